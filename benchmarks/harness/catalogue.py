"""What the benchmark asks for: ids and lists of the imported catalogue, and larger catalogues made from it."""

import json
import os
import random
import subprocess
from urllib.parse import urlencode

import pymongo

# A prime, so that every line has its turn before any comes again.
STRIDE = 7919

def psql(setting, *options, role="anonymous"):
    """The command and environment for psql as the gateway's role, with the principal `role`."""
    env = {**os.environ, "PGPASSWORD": setting["KABABEAT_POSTGRES_PASSWORD"], "PGOPTIONS": f"-c kababeat.role={role}"}
    command = ["psql", "--quiet", "--no-psqlrc", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1",
               "--host", setting["KABABEAT_POSTGRES_HOST"], "--port", setting["KABABEAT_POSTGRES_PORT"],
               "--username", setting["KABABEAT_POSTGRES_USER"], "--dbname", setting["KABABEAT_POSTGRES_DATABASE"], *options]
    return command, env


def identifiers(setting):
    """The id of every published beat, in an order that is random and always the same."""
    command, env = psql(setting, "--command", "SELECT id FROM beats WHERE status = 'published' ORDER BY md5(id::text)")
    found = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.split()
    if not found:
        raise SystemExit("the catalogue is empty: scripts/up imports one")
    return found


def browse_paths(setting, count=300):
    """Lists with three conditions and a sort that fill a page: a genre with two bounds of the price, or with a range of tempo
    and a tag, as the catalogue knows one or the other."""
    index = pymongo.MongoClient(setting["KABABEAT_MONGO_URI"])[setting["KABABEAT_MONGO_DATABASE"]]["search_index"]
    chance = random.Random(14)
    rows = list(index.find({"$or": [{"price": {"$exists": True}}, {"bpm": {"$exists": True}}], "genreKey": {"$exists": True}},
                           {"genre": 1, "price": 1, "bpm": 1, "tags": 1}))
    rows.sort(key=lambda row: bytes(row["_id"]))
    paths = set()
    for _ in range(count * 40):
        if len(paths) == count or not rows:
            break
        row = chance.choice(rows)
        query = {"genre": row["genre"]}
        if "price" in row:
            query["price[min]"] = f"{max(1, row['price'] - chance.randrange(100)) / 100:.2f}"
            query["price[max]"] = f"{(row['price'] + chance.randrange(100)) / 100:.2f}"
            matching = sum(1 for other in rows if other.get("genre") == row["genre"] and "price" in other)
        elif row.get("tags"):
            tag, low, high = chance.choice(row["tags"]), row["bpm"] - chance.randrange(5, 40), row["bpm"] + chance.randrange(5, 40)
            query |= {"bpm[min]": max(low, 20), "bpm[max]": high, "tags": tag}
            matching = sum(1 for other in rows if other.get("genre") == row["genre"] and tag in other.get("tags", ())
                           and low <= other.get("bpm", 0) <= high)
        else:
            continue
        if matching < 20:
            continue
        sort = chance.choice(["title", "createdAt"] + (["price"] if "price" in row else []))
        query |= {"sortBy": sort, "sortOrder": chance.choice(["asc", "desc"]), "limit": 20}
        paths.add("/api/beats?" + urlencode(query))
    if not paths:
        raise SystemExit("no list of the catalogue fills a page with three conditions")
    return sorted(paths)


def is_imported(setting, count):
    """Whether the database holds `count` beats, all of them delivered to MongoDB."""
    command, env = psql(setting, "--command", "SELECT (SELECT count(*) FROM beats), (SELECT count(*) FROM outbox)", role="system")
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip() == f"{count}|0"


def _superuser(setting, password_file, statement):
    with open(password_file) as file:
        env = {**os.environ, "PGPASSWORD": file.read().strip()}
    command = ["psql", "--quiet", "--no-psqlrc", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1",
               "--host", setting["KABABEAT_POSTGRES_HOST"], "--port", setting["KABABEAT_POSTGRES_PORT"],
               "--username", "postgres", "--dbname", "postgres", "--command", statement]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()


def database_exists(setting, password_file, name):
    return _superuser(setting, password_file, f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == "1"


def create_database(setting, password_file, name):
    _superuser(setting, password_file, f"CREATE DATABASE {name} OWNER {setting['KABABEAT_POSTGRES_OWNER']}")


def drop_database(setting, password_file, name):
    _superuser(setting, password_file, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def multiply(source, target, count):
    """Writes a catalogue of `count` beats: the lines of `source` over and over, each round under ids and titles of its own.

    The same source and count make the same bytes. Lines are taken in strides, so that a part is like the whole. Originals are
    left out: they would be the same files again.
    """
    with open(source, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    unfinished = f"{target}.part"
    with open(unfinished, "w", encoding="utf-8") as file:
        for number in range(count):
            line, turn = dict(lines[number * STRIDE % len(lines)]), number // len(lines)
            line.pop("audio", None)
            line["externalId"] = f"copy{turn}:{line['externalId']}"
            line["creator"] = line["creator"] | {"externalId": f"copy{turn}:{line['creator']['externalId']}"}
            if turn:
                line["title"] = f"{line['title'][:240]} ({turn})"
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    os.replace(unfinished, target)
