"""replica_set.py PORT: waits until the one mongod there is primary, and makes it a replica set of one if it is none yet."""

import sys
import time

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

DEADLINE_SECONDS = 30


def main(port):
    address = f"127.0.0.1:{port}"
    deadline = time.monotonic() + DEADLINE_SECONDS
    client = MongoClient(f"mongodb://{address}/?directConnection=true", serverSelectionTimeoutMS=1000)
    while True:
        try:
            hello = client.admin.command("hello")
            if hello["isWritablePrimary"]:
                return
            if "setName" not in hello:
                initiate(client, address)
            reason = "it is no primary yet"
        except PyMongoError as error:
            reason = error
        if time.monotonic() > deadline:
            sys.exit(f"mongod at {address} did not become primary in {DEADLINE_SECONDS} s: {reason}")
        time.sleep(0.05)


def initiate(client, address):
    try:
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": address}]})
    except OperationFailure as error:
        # It has a configuration already, and is still reading it.
        if error.code != 23:
            raise


if __name__ == "__main__":
    main(sys.argv[1])
