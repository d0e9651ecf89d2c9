"""The faults and the checks of 80-replicas.sh: 80-replicas.py DIRECTORY."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time

from pymongo import MongoClient, WriteConcern
from pymongo.errors import PyMongoError

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from client import Connection, get_once  # noqa: E402
from failures import Failures  # noqa: E402
from steadyload import DEADLINE, GATEWAY, KINDS, Load  # noqa: E402

DIRECTORY = sys.argv[1]
DATABASE = os.environ["KABABEAT_POSTGRES_DATABASE"]
REPLICA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "replica")
WRITERS, READERS = 6, 6
PASSWORD = "copper lantern 83"
# What may come on top of the servers' own time: noticing (a driver's look at each server every 2 s, a call that waits 2 s for an answer),
# the wait before the next attempt (2 s), and the machine.
SLACK = 6.0
# How long nothing can be acknowledged because the standby does not answer.
STANDBY_AWAY = 3.0
# A Postgres that is silent, and not just gone: 5 s until its connections are given up, 5 s for an attempt to open one in vain.
SILENCE = 10.0


async def replica(*arguments):
    process = await asyncio.create_subprocess_exec(REPLICA, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
    await process.communicate()
    if process.returncode:
        sys.exit(f"not ok: {' '.join(arguments)} failed")


def port(node):
    with open(os.path.join(DIRECTORY, f"{node}.port")) as file:
        return int(file.read())


def sql(node, text, database=DATABASE):
    with open(os.path.join(DIRECTORY, "postgres1", "password")) as file:
        environment = os.environ | {"PGPASSWORD": file.read().strip()}
    server = f"host=127.0.0.1 port={port(node)} user=postgres dbname={database}"
    command = ["psql", "-qXAt", "--set", "ON_ERROR_STOP=1", "--command", text, server]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


class Mongos:
    """The three servers, each asked by itself."""

    NODES = ["mongo1", "mongo2", "mongo3"]

    def __init__(self):
        self.clients = {
            node: MongoClient(f"mongodb://127.0.0.1:{port(node)}/?directConnection=true", serverSelectionTimeoutMS=300, socketTimeoutMS=300)
            for node in self.NODES
        }
        self.all = MongoClient(os.environ["KABABEAT_MONGO_URI"], serverSelectionTimeoutMS=20_000)

    def hello(self, node):
        try:
            return self.clients[node].admin.command("hello")
        except PyMongoError:
            return {}

    async def primary(self, besides=None):
        """The primary's name, once there is one."""
        end = time.monotonic() + 40
        while time.monotonic() < end:
            for node in self.NODES:
                if node != besides and (await asyncio.to_thread(self.hello, node)).get("isWritablePrimary"):
                    return node
            await asyncio.sleep(0.02)
        sys.exit("not ok: the replica set has no primary")

    async def acknowledges(self, primary):
        """Returns once a majority has acknowledged a write to that primary."""
        probe = self.clients[primary].get_database("probe", write_concern=WriteConcern("majority", j=True, wtimeout=250)).probe
        end = time.monotonic() + 40
        while time.monotonic() < end:
            try:
                await asyncio.to_thread(probe.insert_one, {})
                return primary
            except PyMongoError:
                await asyncio.sleep(0.02)
        sys.exit("not ok: the replica set takes no writes")

    async def whole(self):
        end = time.monotonic() + 40
        while time.monotonic() < end:
            states = [await asyncio.to_thread(self.hello, node) for node in self.NODES]
            if sum(state.get("isWritablePrimary", False) for state in states) == 1 and sum(state.get("secondary", False) for state in states) == 2:
                return
            await asyncio.sleep(0.05)
        sys.exit("not ok: the replica set does not come together")


async def check_stores(load, failures, primary, mongos):
    """What was acknowledged is in both databases, and over HTTP."""
    name = load.phase
    known = [(beat.id, beat.version, beat.title, set(beat.maybe), beat.is_published) for beat in load.beats]
    end = time.monotonic() + 40
    while int(sql(primary, "SELECT count(*) FROM outbox WHERE state = 'pending' AND aggregate_type <> 'mail'")):
        if time.monotonic() > end:
            failures.add(f"{name}: what is pending is delivered", sql(primary, "SELECT * FROM outbox LIMIT 3"))
            break
        await asyncio.sleep(0.05)
    drained = time.monotonic() - end + 40
    rows = dict(line.split("|", 1) for line in sql(primary, "SELECT id, version || '|' || title FROM beats").splitlines())
    documents = {}
    database = mongos.all[os.environ["KABABEAT_MONGO_DATABASE"]]
    for document in database.beats.find({}, {"v": 1}):
        documents[str(document["_id"].as_uuid())] = document["v"]
    indexed = {str(document["_id"].as_uuid()) for document in database.search_index.find({"deleted": {"$exists": False}}, {"_id": 1})}
    for id, version, title, maybe, is_published in known:
        row = rows.get(id)
        if row is None:
            failures.add(f"{name}: every acknowledged beat is in Postgres", id)
            continue
        there, text = row.split("|", 1)
        if int(there) < version or (int(there) == version and text != title and text not in maybe):
            failures.add(f"{name}: every acknowledged version is in Postgres", f"{id} {row} instead of {version} {title}")
        if documents.get(id, 0) < version:
            failures.add(f"{name}: every acknowledged version is in MongoDB", f"{id} {documents.get(id)} instead of {version}")
        if is_published and id not in indexed:
            failures.add(f"{name}: every published beat is in the search index", id)
    for id, version, *_ in random.sample([beat for beat in known if beat[4]], min(20, len(known) // 2)):
        answer = await get_once(GATEWAY, f"/api/beats/{id}")
        if answer.status != 200 or answer.json["version"] < version or "sources" in answer.json:
            failures.add(f"{name}: every acknowledged version is served", f"{answer.status} {answer.body[:300]!r} instead of {version}")
    return drained, len(known)


async def verify(failures, name):
    process = await asyncio.create_subprocess_exec(
        os.environ["KABABEAT_BINARY"], "verify", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    if process.returncode:
        failures.add(f"{name}: kababeat verify finds nothing", output.decode()[-1000:])


async def walk(load, failures, mongos, name, primary, limit, fault, afterwards=None):
    """One case: the fault, the servers' own recovery, the gateway's, and then the state of both databases. `fault` returns once the
    servers have recovered, and `limit` is what the gateway may take, from the fault on, besides."""
    load.begin(name)
    began = time.monotonic()
    new = await fault()
    recovered = time.monotonic() - began
    if not await load.settle(limit):
        failures.add(f"{name}: writes and reads resume", f"last failed {load.last_failed}, fine since {load.fine_since}, began {began}")
    # Nothing that failed or was late: no time at all.
    times = {kind: load.fine_since.get(kind, float("inf")) - began if kind in load.last_failed else 0.0 for kind in KINDS}
    for kind, seconds in times.items():
        if seconds > recovered + limit:
            failures.add(f"{name}: {kind} within {recovered:.1f} s + {limit:.1f} s", f"{seconds:.1f} s")
    if afterwards:
        await afterwards()
    await load.pause()
    drained, beats = await check_stores(load, failures, new if new in ("postgres1", "postgres2") else primary, mongos)
    await verify(failures, name)
    load.may_write.set()
    print(f"    {name:34}" + "".join(f"{cell:14.1f}" for cell in [recovered, *times.values(), drained]) + f"{beats:9}", flush=True)


async def main():
    failures, mongos = Failures(), Mongos()
    token = await sign_up()
    load = Load(failures, token)
    tasks = [asyncio.create_task(load.writer(number)) for number in range(WRITERS)]
    tasks += [asyncio.create_task(load.reader(number)) for number in range(READERS)]
    # While all is well: everything has to have been answered before anything is broken.
    await asyncio.sleep(2)
    if not await load.settle(5):
        failures.add("before: everything is answered", f"{load.last_failed}")
    heads = "".join(f"{head:>14}" for head in ("servers", *KINDS, "drained"))
    print(f"    {'seconds from the fault until':34}{heads}    beats", flush=True)

    async def mongo_gone(action):
        old = await mongos.primary()
        await replica(action, old)
        load.faulted()
        mongo_gone.old = old
        return await mongos.acknowledges(await mongos.primary(besides=old))

    async def mongo_back(action):
        await replica(action, mongo_gone.old)
        await mongos.whole()

    async def stepped_down():
        old = await mongos.primary()
        try:
            await asyncio.to_thread(mongos.clients[old].admin.command, {"replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 2})
        except PyMongoError as error:
            print(f"    {error}")
        load.faulted()
        return await mongos.acknowledges(await mongos.primary(besides=old))

    async def postgres(*steps, new):
        for step in steps:
            await replica(*step)
            load.faulted()
        # Answered once the standby has it, where there is one.
        await asyncio.to_thread(sql, new, "INSERT INTO probe DEFAULT VALUES", "postgres")
        return new

    one, two = "postgres1", "postgres2"
    sql(one, "CREATE TABLE probe (at timestamptz DEFAULT now())", "postgres")
    await walk(load, failures, mongos, "MongoDB: primary killed", one, SLACK, lambda: mongo_gone("kill"), lambda: mongo_back("start"))
    await walk(load, failures, mongos, "MongoDB: primary frozen", one, SLACK, lambda: mongo_gone("freeze"), lambda: mongo_back("thaw"))
    await walk(load, failures, mongos, "MongoDB: primary stepped down", one, SLACK, stepped_down, mongos.whole)
    await walk(load, failures, mongos, "Postgres: primary restarted", one, SLACK, lambda: postgres(("restart", one), new=one))

    async def standby_away():
        await replica("freeze", two)
        load.faulted()
        # What it is away for, as the name of the case says.
        await asyncio.sleep(STANDBY_AWAY)
        await replica("thaw", two)
        await asyncio.to_thread(sql, one, "INSERT INTO probe DEFAULT VALUES", "postgres")
        return one

    await walk(load, failures, mongos, "Postgres: standby frozen for 3 s", one, SLACK, standby_away)
    await walk(load, failures, mongos, "Postgres: killed, standby promoted", one, SLACK,
               lambda: postgres(("kill", one), ("promote", two), new=two))
    # The old primary stands second in the list, and is a standby from here on.
    await replica("follow", one, two)

    async def cut():
        sql(two, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'kababeat_gateway'")
        load.faulted()
        return two

    await walk(load, failures, mongos, "Postgres: all connections cut", two, SLACK, cut)
    await walk(load, failures, mongos, "Postgres: frozen, standby promoted", two, SLACK + SILENCE,
               lambda: postgres(("freeze", two), ("promote", one), new=one), lambda: replica("kill", two))
    load.is_running = False
    await asyncio.wait_for(asyncio.gather(*tasks), 3 * DEADLINE)
    print(f"    answers: {', '.join(f'{count} × {status}' for status, count in sorted(load.counts.items()))}")
    sys.exit(failures.end())


async def sign_up():
    connection = Connection(GATEWAY)
    account = {"email": "replica@example.org", "username": "replica", "password": PASSWORD}

    async def call(path, body, token=None):
        answer = await connection.send("POST", path, body, {"Authorization": f"Bearer {token}"} if token else {})
        if answer.status not in (200, 201):
            sys.exit(f"not ok: {path} {answer.status} {answer.body!r}")
        return json.loads(answer.body)

    await call("/api/auth/register", account)
    token = (await call("/api/auth/login", {name: account[name] for name in ("email", "password")}))["accessToken"]
    await call("/api/users/me/creator", {}, token)
    token = (await call("/api/auth/login", {name: account[name] for name in ("email", "password")}))["accessToken"]
    connection.close()
    return token


asyncio.run(main())
