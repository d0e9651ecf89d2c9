"""replica_set.py PORT... [--election MILLISECONDS]: waits until one of the mongods there is primary, and makes them a replica set if
they are none yet. With --election, the set elects another primary after so long a silence, in place of ten seconds, and a member that is
silent counts as gone as soon."""

import argparse
import sys
import time

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

DEADLINE_SECONDS = 30


def main(ports, election):
    addresses = [f"127.0.0.1:{port}" for port in ports]
    deadline = time.monotonic() + DEADLINE_SECONDS
    clients = [MongoClient(f"mongodb://{address}/?directConnection=true", serverSelectionTimeoutMS=1000) for address in addresses]
    while True:
        try:
            answers = [client.admin.command("hello") for client in clients]
            if any(hello["isWritablePrimary"] for hello in answers):
                return
            if all("setName" not in hello for hello in answers):
                initiate(clients[0], addresses, election)
            reason = "none is primary yet"
        except PyMongoError as error:
            reason = error
        if time.monotonic() > deadline:
            sys.exit(f"no mongod at {', '.join(addresses)} became primary in {DEADLINE_SECONDS} s: {reason}")
        time.sleep(0.05)


def initiate(client, addresses, election):
    members = [{"_id": number, "host": address} for number, address in enumerate(addresses)]
    configuration = {"_id": "rs0", "members": members}
    if election:
        configuration["settings"] = {
            "electionTimeoutMillis": election,
            "heartbeatIntervalMillis": min(2000, election // 4),
            # A member that is silent for so long is no source for the others.
            "heartbeatTimeoutSecs": max(1, election // 1000),
        }
    try:
        client.admin.command("replSetInitiate", configuration)
    except OperationFailure as error:
        # It has a configuration already, and is still reading it.
        if error.code != 23:
            raise


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ports", nargs="+", metavar="PORT")
    parser.add_argument("--election", type=int, metavar="MILLISECONDS")
    arguments = parser.parse_args()
    main(arguments.ports, arguments.election)
