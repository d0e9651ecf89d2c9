"""Everything that stands in Postgres and MongoDB, as hashes: what changed nothing leaves them as they were."""

import os

from pymongo import MongoClient
from postgres import PATIENCE, sql

# What gateways arrange among themselves, and so changes with the clock.
CLOCK = {
    "cache_generation": "what gateways agree on among themselves",
    "leases": "which gateway does what one does for all",
    "verifications": "the last comparison of copies, made by the clock",
}


def tables(left_out):
    """The names of every table; a partition is hashed with its parent."""
    names = sql(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1").split()
    return [name for name in names if name not in left_out]


def snapshot(left_out=CLOCK):
    """A hash of each table but for those that are left out, and of each collection, by name."""
    parts = [
        f"SELECT '{name}', md5(coalesce(string_agg(one::text, E'\\n' ORDER BY one::text COLLATE \"C\"), '')) FROM \"{name}\" AS one"
        for name in tables(left_out)
    ]
    hashes = dict(line.split("|") for line in sql(" UNION ALL ".join(parts)).splitlines())
    client = MongoClient(os.environ["KABABEAT_TEST_MONGO"], serverSelectionTimeoutMS=PATIENCE * 1000)
    collections = client[os.environ["KABABEAT_MONGO_DATABASE"]].command("dbHash")["collections"]
    client.close()
    return {f"postgres.{name}": value for name, value in hashes.items()} | {f"mongo.{name}": value for name, value in collections.items()}
