"""Scenarios that write: how many a second, how soon others see it, and what an outage or an old snapshot costs."""

import json
import os
import subprocess
import time
from statistics import median

import accounts
import catalogue
import pymongo
from load import tool
from machine import PeakMemory
from scenarios import Result, Threshold

CONNECTIONS = 64
RATE = 200
# Rounds, and the seconds of each and of a warm-up: six contenders are to be done in a minute.
TIMES = (3, 2.5, 1)
# A catalogue's line is about as large.
BEAT = {"title": "Written {n}", "description": "A beat of the benchmark", "licenseTypes": {"basic": 10, "premium": 25.5},
        "metadata": {"bpm": 140, "key": "C#", "genre": "Hip Hop", "mood": "Chill", "tags": ["w{n}", "summer"], "duration": 180}}
CORE = {"title": "Renamed {n}", "licenseTypes": {"basic": 12.5}}
CONTENT = {"metadata": {"bpm": 120, "mood": "Mood {n}", "tags": ["w{n}", "winter"]}}
BOTH = {"title": "Renamed {n}", "metadata": {"bpm": 121, "tags": ["w{n}", "autumn"]}}


class Writing:
    """Stores of their own, empty at the start, and two gateways on them: clients write to one, and look at the other."""

    def __init__(self, run):
        self.run, name = run, "kababeat_bench_writes"
        catalogue.drop_database(run.setting, run.password_file, name)
        catalogue.create_database(run.setting, run.password_file, name)
        pymongo.MongoClient(run.setting["KABABEAT_MONGO_URI"]).drop_database(name)
        self.setting = run.setting | {"KABABEAT_POSTGRES_DATABASE": name, "KABABEAT_MONGO_DATABASE": name}
        subprocess.run([run.binary, "migrate"], env={**os.environ, **self.setting}, check=True, stdout=subprocess.DEVNULL)
        self.gateway, self.other = self.serve("gateway that writes"), self.serve("gateway that reads")
        # One account is the naive writer's: what it leaves half written is no gateway's to change.
        self.naive, *self.creators = accounts.creators(self.gateway)
        self.serial = int(time.time()) * 1_000_000

    def serve(self, name):
        return self.run.start(name, [self.run.binary, "serve"], self.setting | {
            "KABABEAT_HTTP_PORT": "{port}", "KABABEAT_ENVIRONMENT": "development", "KABABEAT_LIMITS_ENABLED": "false",
            "KABABEAT_PASSWORD_COST": "4", "KABABEAT_TOKEN_SECONDS": "3600"})

    def query(self, statement):
        """Runs one statement as the gateway itself does its own work; rows of columns."""
        command, env = catalogue.psql(self.setting, "--command", statement, role="system")
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
        return [line.split("|") for line in done.splitlines() if line]

    def mongo(self):
        return pymongo.MongoClient(self.setting["KABABEAT_MONGO_URI"])[self.setting["KABABEAT_MONGO_DATABASE"]]

    def requests(self, name, lines):
        return self.run.paths(f"requests-{name}", ("\t".join(map(str, line)) for line in lines))

    def creations(self):
        return self.requests("create", (("POST", "/api/beats", token, json.dumps(BEAT), 0) for _, token in self.creators))

    def changes(self, name, edit, beats):
        tokens = dict([self.naive, *self.creators])
        return self.requests(name, (("PATCH", f"/api/beats/{identifier}", tokens[creator], json.dumps(edit), version)
                                    for identifier, creator, version in beats))

    def beats(self, status, count, naive=False):
        """Beats as they are now, in an order that is random and always the same: id, creator, version."""
        return self.query(f"SELECT id, creator_id, version FROM beats WHERE status = '{status}' AND title NOT LIKE 'Backlog %' AND "
                          f"(creator_id = '{self.naive[0]}') = {naive} ORDER BY md5(id::text) LIMIT {count}")

    def write(self, server, requests, seconds, *options, connections=CONNECTIONS):
        """One round of the client. Each gets numbers of its own, so that every change is one."""
        self.serial += 1_000_000
        figures = tool(self.run.directory / "writes", server.port, connections, seconds, requests, f"from={self.serial}", *options,
                       timeout=seconds + 60)
        return figures | {"errors": figures["errors"] + figures["unseen"]}

    def publish(self, count):
        """Makes sure that as many beats are published."""
        while len(self.beats("draft", count)) < count:
            self.write(self.gateway, self.creations(), 2)
        tokens = dict(self.creators)
        drafts = self.beats("draft", max(0, count - len(self.beats("published", count))))
        for position in range(0, len(drafts), 32):
            accounts.all_of([("POST", f"/api/beats/{identifier}/publish", tokens[creator])
                             for identifier, creator, _ in drafts[position:position + 32]], self.gateway)
        return self.beats("published", count)

    def settle(self, patience=60):
        """Waits until everything is delivered."""
        deadline = time.monotonic() + patience
        while self.query("SELECT count(*) FROM outbox WHERE state = 'pending'") != [["0"]]:
            if time.monotonic() > deadline:
                raise SystemExit(f"the outbox has not been delivered within {patience} s")
            time.sleep(0.05)


def _writing(run):
    if not hasattr(run, "writing"):
        run.writing = Writing(run)
    return run.writing


def _least(name, rows, rate):
    figures = dict(rows)[name]
    return Threshold(f"{name}: at least {rate} a second", figures["rate"], figures["rate"] >= rate, "/s")


def writes(run):
    """Creating and changing beats, in both databases, beside a naive dual write."""
    writing = _writing(run)
    environment = run.peer_environment("", writing.setting)
    # The peer trusts whoever comes: all that it writes is one account's.
    environment["POSTGRES_URL"] = environment["POSTGRES_URL"].replace(
        "kababeat.role%3Danonymous", f"kababeat.role%3Dcreator%20-c%20kababeat.user%3D{writing.naive[0]}")
    naive = run.start("naive dual write", ["node", str(run.peers / "express" / "server.js")], environment)
    creations = writing.creations()

    def round_of(server, requests):
        return server, lambda seconds: writing.write(server, requests, seconds)

    made = Result("writes-create", "Creating beats, drafts: a row, content and its history; answered when both stores have it")
    made.rows = run.interleave({"gateway": round_of(writing.gateway, creations), "naive dual write": round_of(naive, creations)}, TIMES)
    made.thresholds = [_least("gateway", made.rows, 400)]
    writing.settle()

    drafts = writing.beats("draft", 4000)
    changed = Result("writes-update", "Changing beats that nobody may find yet")
    changed.rows = run.interleave({
        "core": round_of(writing.gateway, writing.changes("core", CORE, drafts)),
        "content": round_of(writing.gateway, writing.changes("content", CONTENT, drafts)),
        "core and content": round_of(writing.gateway, writing.changes("both", BOTH, drafts)),
        "naive dual write": round_of(naive, writing.changes("naive", BOTH, writing.beats("draft", 4000, naive=True)))})
    changed.thresholds = [_least(name, changed.rows, 800) for name, _ in changed.rows[:3]]
    changed.notes = [
        "The naive dual write (Express) checks no token and no version, keeps no history and no search index, and waits for `w: majority, "
        "j: true` after Postgres has committed.", _killed(writing, naive)]
    return [made, changed]


def _killed(writing, naive):
    """Kills the naive writer in the middle of creating beats, and says what that cost."""
    left = _halves(writing)
    load = subprocess.Popen([str(writing.run.directory / "writes"), str(naive.port), str(CONNECTIONS), "5", str(writing.creations())],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    naive.kill()
    load.kill()
    load.wait()
    time.sleep(0.5)
    left = _halves(writing) - left
    return (f"Killed in the middle of creating beats, it left {len(left)} without their content, for good: nothing knows of them. What "
            "the gateway's outbox holds is delivered by whoever starts next.")


def _halves(writing):
    """The naive writer's beats that Postgres has and MongoDB has not."""
    rows = {row[0] for row in writing.query(f"SELECT replace(id::text, '-', '') FROM beats WHERE creator_id = '{writing.naive[0]}'")}
    return rows - {bytes(document["_id"]).hex() for document in writing.mongo()["beats"].find({}, {"_id": 1})}


def visible(run):
    """A steady stream of changes at one gateway, looked for at another."""
    writing = _writing(run)
    file = writing.changes("visible", BOTH, writing.publish(500))
    writing.write(writing.gateway, file, 3, f"rate={RATE}", f"watch={writing.other.port}", "lists=10")
    file = writing.changes("visible", BOTH, writing.beats("published", 500))
    with PeakMemory(writing.gateway) as peak:
        seen = writing.write(writing.gateway, file, 8 if run.quick else 30, f"rate={RATE}", f"watch={writing.other.port}", "lists=10")
    result = Result("visible", f"{RATE} changes a second, from sending one until another gateway shows it to readers who ask for nothing special")
    result.rows = [
        ("in a beat's detail", _row(seen, "visible", peak.megabytes)), ("in a list by tag", _row(seen, "listed", None)),
        ("answered", _row(seen, "latency", peak.megabytes))]
    result.thresholds = [limit for name in ("visible", "listed") for limit in _soon(seen, name)]
    result.notes = [
        "Readers ask every millisecond or two, so the time of the commit is over-estimated: it counts from when the change was sent.",
        f"After the writer had its answer, {seen['late']['count']} of {seen['visible']['count']} changes were still to be seen elsewhere: for "
        f"p50 {seen['late']['p50']:.1f} ms, at most {seen['late']['most']:.1f} ms. {seen['unseen']} were not seen within 5 s."]
    return [result]


def _row(seen, name, memory):
    part = seen[name]
    return {"rate": max(part["count"] / seen["latency"]["count"] * seen["rate"], 0.1), "p50": part["p50"], "p99": part["p99"],
            "errors": seen["errors"], "memory": memory}


def _soon(seen, name, prefix=""):
    return [Threshold(f"{prefix}{name}, {share} at most {most} ms", seen[name][share], seen[name][share] <= most, "ms")
            for share, most in (("p50", 50), ("p99", 250))]


def drain(run):
    """What piled up while MongoDB was away: new beats with their content."""
    writing, count = _writing(run), 5_000 if run.quick else 20_000
    creator, _ = writing.creators[0]
    rates, times = [], []
    for number in range(1 if run.quick else 3):
        writing.settle()
        writing.query(f"""
            WITH made AS (
                INSERT INTO beats (id, creator_id, title, status, published_at, price_basic)
                SELECT gen_random_uuid(), '{creator}', 'Backlog ' || number, 'published', now(), 10 FROM generate_series(1, {count}) AS number
                RETURNING id),
            announced AS (
                INSERT INTO outbox (aggregate_type, aggregate_id, version, operation, next_at)
                SELECT 'beat', id, 1, 'upsert', now() + interval '5 seconds' FROM made)
            INSERT INTO beat_content_staged (beat_id, version, content, changes)
            SELECT id, 1, '{{"metadata": {{"bpm": 140, "genre": "Hip Hop", "tags": ["backlog"]}}}}',
                   '[{{"v": 1, "text": "Created", "by": "{creator}", "at": 1700000000000}}]' FROM made""")
        # All at once, as when MongoDB answers again.
        writing.query("UPDATE outbox SET next_at = now() WHERE aggregate_type = 'beat'")
        start = time.monotonic()
        writing.settle(120)
        times.append(time.monotonic() - start)
        rates.append(count / times[-1])
    result = Result("drain", f"{count:,} beats that wait for MongoDB: content, history and search index, by two gateways")
    result.rows = [("documents", {"rate": median(rates), "p50": None, "p99": None, "errors": 0, "memory": None})]
    result.thresholds = [Threshold("at least 2,000 a second", median(rates), median(rates) >= 2000, "/s")]
    return [result]


class Snapshot:
    """A transaction elsewhere that may still see every row there has been since it began."""

    def __init__(self, setting):
        command, env = catalogue.psql(setting, role="system")
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def __enter__(self):
        # The gateway's role is cut off where it idles in a transaction.
        self.process.stdin.write(
            "SET idle_in_transaction_session_timeout = 0;\nBEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM outbox;\n")
        self.process.stdin.flush()
        return self

    def __exit__(self, *_):
        self.process.stdin.write("SELECT count(*) FROM outbox;\nCOMMIT;\n")
        self.process.stdin.close()
        if self.process.wait(60) != 0:
            raise SystemExit("the snapshot was not held to the end")


# What a claim reads, from the oldest row on or from what came due lately.
CLAIM = """EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT id FROM outbox
    WHERE state = 'pending' AND aggregate_type <> 'mail' AND (claimed_until IS NULL OR claimed_until < now())
        AND next_at BETWEEN now() - interval '{span}' AND now() ORDER BY next_at, id LIMIT 500 FOR UPDATE SKIP LOCKED"""


def _claim(writing, span):
    """Milliseconds, the middle of three."""
    return sorted(json.loads("".join(row[0] for row in writing.query(CLAIM.format(span=span))))[0]["Execution Time"] for _ in range(3))[1]


def snapshot(run):
    """A steady stream of changes while a snapshot keeps every row that goes."""
    writing, slices, seconds = _writing(run), 3 if run.quick else 6, 8 if run.quick else 30
    writing.publish(500)
    writing.settle()
    result = Result("snapshot", f"{RATE} changes a second under a snapshot that is held for {slices * seconds} s: until another gateway shows it")
    first, last = None, None
    with Snapshot(writing.setting):
        for number in range(slices):
            file = writing.changes("snapshot", BOTH, writing.beats("published", 500))
            last = writing.write(writing.gateway, file, seconds, f"rate={RATE}", f"watch={writing.other.port}")
            last["claim"], sweep = _claim(writing, "5 seconds"), _claim(writing, "10 years")
            first = first or last
            table, index, dead = writing.query(
                "SELECT pg_table_size('outbox') / 1024, pg_relation_size('outbox_due') / 1024, pg_stat_get_dead_tuples('outbox'::regclass)")[0]
            result.rows.append((f"{number * seconds} to {(number + 1) * seconds} s", _row(last, "visible", None)))
            result.notes.append(
                f"after {(number + 1) * seconds} s: a claim reads for {last['claim']:.2f} ms, from the oldest row on it would for {sweep:.2f} ms; "
                f"the outbox takes {int(table):,} KB, the index of due rows {int(index):,} KB, {int(dead):,} rows have gone.")
    result.thresholds = _soon(last, "visible", "at the end: ")
    bound = max(5.0, 2 * first["claim"])
    result.thresholds.append(Threshold("a claim at the end, at most twice that of the beginning or 5 ms", last["claim"], last["claim"] <= bound, "ms"))
    writing.settle()
    return [result]


ALL = {"writes": writes, "visible": visible, "drain": drain, "snapshot": snapshot}
