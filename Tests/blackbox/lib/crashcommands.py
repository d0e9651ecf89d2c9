"""The checks of crash points in commands."""

import json
import os
import uuid

from beatwriter import coherent, mongo
from crashtrial import check
from doomed import SCRATCH, command, number
from postgres import sql

LINES, BATCH = 1000, 500
REBUILD_LEASE = 15


def copies_match(source):
    """Holds both copies of all beats of a source to what Postgres has; answers how many there are."""
    versions = dict(line.split("|") for line in sql(f"SELECT id, version FROM beats WHERE source = '{source}'").split())
    wanted = {uuid.UUID(beat): int(version) for beat, version in versions.items()}
    for copy in (mongo.beats, mongo.search_index):
        found = {document["_id"]: document["v"] for document in copy.find({"_id": {"$in": list(wanted)}}, {"v": 1})}
        assert found == wanted, f"{copy.name} differs: {len(found)} of {len(wanted)}"
    return len(wanted)


@check("importInChunk", "importAfterChunk", "importBeforeDrain")
def catalogue(trial):
    """Whole batches are there; a gateway delivers them, and the same import, run again, adds the rest."""
    source = trial.point.lower()
    path = trial.world.some_lines(source)
    command("import", path, point=trial.point, passage=1 if trial.point == "importBeforeDrain" else 2)
    trial.was_killed()
    trial.heal()
    before = copies_match(source)
    assert before % BATCH == 0 and (trial.point != "importBeforeDrain" or before == LINES), f"{before} beats of {LINES}"
    command("import", path)
    assert copies_match(source) == LINES
    assert number(f"SELECT count(*) FROM beats WHERE source = '{source}' AND version > 1") == 0, "something was written twice"
    return f"complete; {before} beats of {LINES} at once, all after the same import again"


@check("importInAudio")
def original(trial):
    """An original is stored whole, or as good as not at all; the same import, run again, stores it."""
    source, bytes_of_audio = trial.point.lower(), os.urandom(5_000_000)
    path = trial.world.some_lines(source, 1)
    with open(f"{SCRATCH}/{source}.wav", "wb") as file:
        file.write(bytes_of_audio)
    with open(path, encoding="utf-8") as lines:
        line = json.loads(lines.read()) | {"audio": {"format": "wav", "file": f"{source}.wav"}}
    with open(path, "w", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")
    # A chunk is 255 KiB, and sixteen are one message: some are there, and not the file.
    command("import", path, point=trial.point, passage=18)
    trial.was_killed()
    trial.heal()
    assert mongo["media.chunks"].count_documents({}) > 0 and mongo["media.files"].count_documents({}) == 0
    assert copies_match(source) == 0
    command("import", path)
    assert copies_match(source) == 1
    file = mongo["media.files"].find_one({})
    chunks = list(mongo["media.chunks"].find({}).sort("n"))
    assert all(chunk["files_id"] == file["_id"] for chunk in chunks), "chunks of a file that is not there are left"
    assert b"".join(chunk["data"] for chunk in chunks) == bytes_of_audio
    return "undone; stored whole by the same import again"


@check("repairAfterEnqueueing")
def repair(trial):
    """What was enqueued is mended by any gateway, the rest by the next run."""
    beats = sql("SELECT id FROM beats WHERE source = 'base' AND status = 'published' ORDER BY id LIMIT 2").split()
    assert mongo.search_index.delete_many({"_id": {"$in": [uuid.UUID(beat) for beat in beats]}}).deleted_count == 2
    command("verify", "--repair", point=trial.point)
    trial.was_killed()
    trial.heal()
    # The second one was not looked at.
    command("verify", status=1)
    command("verify", "--repair")
    command("verify")
    assert copies_match("base") == 100
    return "complete; the rest was found and mended by the next run"


@check("rebuildWhileFilling", "rebuildBeforeSwap", "rebuildAfterSwap")
def rebuild(trial):
    """Lists are answered from a whole index at every moment, what is written meanwhile is in it, and what was left behind goes."""
    world, is_exchanged = trial.world, trial.point == "rebuildAfterSwap"
    expected, before = indexes(mongo)["search_index"], identity("search_index")
    command("rebuild", "search", point=trial.point)
    trial.was_killed()
    assert (identity("search_index") != before) == is_exchanged
    trial.heal()
    beat, state = world.publish(world.olga, f"{trial.point}, meanwhile")
    trial.delivered()
    coherent(beat, state, world.olga)
    for source in world.sources:
        copies_match(source)
    # The next run outlives the lease of the one that was killed: set back instead of waited for.
    lease = "leases WHERE name = 'rebuild search_index'"
    assert float(sql(f"SELECT extract(epoch FROM held_until - clock_timestamp()) FROM {lease}")) <= REBUILD_LEASE
    sql("UPDATE leases SET held_until = now() WHERE name = 'rebuild search_index'")
    command("rebuild", "search")
    assert [name for name in mongo.list_collection_names() if name.startswith("search_index")] == ["search_index"]
    assert number("SELECT count(*) FROM index_rebuilds") == 0
    assert indexes(mongo)["search_index"] == expected
    coherent(beat, state, world.olga)
    for source in world.sources:
        copies_match(source)
    return f"{'complete; the new' if is_exchanged else 'undone; the old'} index is in use, and the next run replaces it"


@check("migrationBetweenFiles", "migrationBeforeRecord")
def migration(trial):
    """Files are applied whole; the next run goes on where the last one ended, and comes to the same schema."""
    name = f"{os.environ['KABABEAT_POSTGRES_DATABASE']}_{trial.point.lower()}"
    sql(f"CREATE DATABASE {name} OWNER {os.environ['KABABEAT_POSTGRES_OWNER']}")
    settings = {"KABABEAT_POSTGRES_DATABASE": name, "KABABEAT_MONGO_DATABASE": name}
    command("migrate", point=trial.point, passage=5, **settings)
    trial.was_killed()
    command("migrate", **settings)
    assert "up to date" in command("migrate", **settings)
    assert schema(name) == schema(None), "another schema than that of an undisturbed migration"
    other = mongo.client[name]
    assert indexes(other) == indexes(mongo), "other indexes than those of an undisturbed migration"
    mongo.client.drop_database(name)
    sql(f"DROP DATABASE {name}")
    return "complete; the schema is that of an undisturbed migration"


def identity(collection):
    return mongo.command("listCollections", filter={"name": collection})["cursor"]["firstBatch"][0]["info"]["uuid"]


def schema(database):
    return sql(
        """SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
               FROM information_schema.columns WHERE table_schema = 'public'
           UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
           UNION ALL SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
               WHERE connamespace = 'public'::regnamespace
           UNION ALL SELECT format('%s', pg_policies) FROM pg_policies WHERE schemaname = 'public'
           UNION ALL SELECT format('%s %s', proname, prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
           UNION ALL SELECT format('%s %s', name, checksum) FROM schema_migrations ORDER BY 1""",
        database,
    )


def indexes(database):
    return {name: database[name].index_information() for name in database.list_collection_names()}
