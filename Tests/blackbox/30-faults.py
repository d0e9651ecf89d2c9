"""The load and the checks of 30-faults.sh."""

import asyncio
import contextlib
import os
import random
import sys
import time
from collections import Counter, defaultdict

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from client import Connection, every_beat, get_once, milliseconds, percentile  # noqa: E402
from failures import Failures  # noqa: E402

PORT = int(os.environ["KABABEAT_HTTP_PORT"])
CONNECTIONS = 64
PAUSE = 0.04  # seconds between two requests of one connection
DEADLINE = 5.0  # what the gateway promises for a whole answer
GRACE = 0.5  # what two cores, shared by three stores, the gateway and this client, may add to it
AWAY = 5.0  # how long a store stays away
SETTLED = 3.0  # after so long, a store that is away costs nothing any more
FAST = 0.1  # what a 503 for such a store may take at the median: the tail is the machine's, which is busy
HEALED_WITHIN = 10.0

STORES = {"redis": "redis", "mongodb": "mongo", "postgres": "postgres"}  # as test-store and as the API names them


class Load:
    """Requests of all kinds on steady connections, each answer held against what the state of the stores allows."""

    def __init__(self, beats, failures):
        self.beats, self.failures = beats, failures
        self.ids = list(beats)
        self.hot = self.ids[:20]
        self.users = sorted({beat["creator"]["username"] for beat in beats.values()})
        self.versions = {}  # the version that a beat has at least, by id
        self.changing = set()  # beats whose change may not have reached MongoDB yet
        self.away = None  # the store that is not there, or may not be
        self.phase = "before"
        self.settled = False
        self.times = defaultdict(list)
        self.statuses = defaultdict(Counter)
        self.refusals = []  # how long each 503 took while a store was away for a while
        self.is_running = True

    def choose(self):
        kind = random.choices(["hot", "warm", "cold", "list", "browse", "user", "genres"], [30, 20, 25, 8, 7, 7, 3])[0]
        beat = random.choice(self.hot if kind == "hot" else self.ids)
        match kind:
            case "hot" | "warm" | "cold":
                return kind, beat, f"/api/beats/{beat}", kind == "cold"
            case "list":
                return kind, None, f"/api/beats?limit=20&page={random.randint(1, 40)}", False
            case "browse":
                low = random.randint(60, 150)
                return kind, None, f"/api/beats?genre=House&bpm[min]={low}&bpm[max]={low + 20}&sortBy=price", True
            case "user":
                return kind, None, f"/api/users/{random.choice(self.users)}", random.random() < 0.5
            case _:
                return kind, None, "/api/genres", random.random() < 0.5

    async def client(self):
        connection = Connection(PORT)
        await asyncio.sleep(random.random() * PAUSE)
        while self.is_running:
            kind, beat, path, no_cache = self.choose()
            before = (self.away, beat in self.changing, self.versions.get(beat, 0))
            try:
                answer = await asyncio.wait_for(connection.get(path, no_cache), 3 * DEADLINE)
            except (OSError, EOFError, TimeoutError) as error:
                self.failures.add(f"{self.phase}: {kind} got no answer", f"{path}: {error!r}")
                connection.close()
                continue
            self.check(kind, beat, path, no_cache, answer, *before)
            await asyncio.sleep(PAUSE * (0.5 + random.random()))
        connection.close()

    def check(self, kind, beat, path, no_cache, answer, was_away, was_changing, version):
        away = {self.away, was_away} - {None}
        self.times[self.phase, kind].append(answer.seconds)
        self.statuses[self.phase, kind][answer.status] += 1

        def hold(rule, condition):
            if not condition:
                self.failures.add(f"{self.phase}: {kind} {rule}", f"{path} {answer.status} {answer.fields} {answer.body[:300]!r}")

        hold("is answered within the deadline", answer.seconds < DEADLINE + GRACE)
        hold("is answered 200 or 503", answer.status in (200, 503))
        if answer.status == 200:
            self.check_body(kind, beat, path, answer, away, was_changing or beat in self.changing, version, hold)
        if answer.status == 503:
            needs = {"cold": {"postgres"}, "hot": {"postgres"}, "warm": {"postgres"}, "user": {"postgres"}, "genres": {"mongodb"}}
            hold("is not refused for this store", away & needs.get(kind, {"postgres", "mongodb"}))
            hold("is refused with a problem document", answer.fields.get("content-type") == "application/problem+json")
            hold("is refused with Retry-After", answer.fields.get("retry-after", "").isdigit())
            hold("is refused with its code", answer.json["code"] == "store_unavailable")
            hold("is refused naming the store", answer.json.get("sources") in ({STORES[store]: "missing"} for store in away))
            if self.settled:
                self.refusals.append(answer.seconds)

    def check_body(self, kind, beat, path, answer, away, is_changing, version, hold):
        body = answer.json
        if beat:
            known = self.beats[beat]
            hold("is the beat that was asked for", body["id"] == beat and body["title"] == known["title"])
            hold("is not older than what was delivered", body["version"] >= version)
            hold("has the core", body["licenseTypes"] and body["creator"]["username"])
            match body.get("sources"):
                case {"mongo": "missing"}:
                    hold("lacks its content only without MongoDB", "mongodb" in away and "metadata" not in body)
                case sources:
                    hold("is stale only while it changes", sources is None or (sources == {"mongo": "stale"} and is_changing))
                    hold("has its content", body["metadata"]["bpm"] == known["metadata"]["bpm"])
        elif kind in ("list", "browse"):
            hold("has items", len(body["items"]) > 0 and all("metadata" in item for item in body["items"]))
        elif kind == "user":
            hold("is the user who was asked for", body["username"] == path.rsplit("/", 1)[1])
        else:
            hold("has all eight genres", len(body["items"]) == 8)

    def report(self, phase):
        for (name, kind), times in sorted(self.times.items()):
            if name == phase:
                counts = ", ".join(f"{count} × {status}" for status, count in sorted(self.statuses[name, kind].items()))
                print(f"    {kind:7} {counts:25} {milliseconds(times)}")


async def run(*command):
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        sys.exit(f"not ok: {command[0]} failed")
    return output.decode().strip()


async def store(action, name):
    return await run(os.environ["KABABEAT_TEST_STORE"], action, name)


async def sql(text):
    connection = os.environ["KABABEAT_TEST_POSTGRES"].replace("dbname=postgres", f"dbname={os.environ['KABABEAT_POSTGRES_DATABASE']}")
    return await run("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", connection, "-c", text)


async def change(beat):
    """A new price, as the write path will commit it: the row and its outbox row in one transaction. The version is returned."""
    return int(
        await sql(
            f"""WITH changed AS (UPDATE beats SET price_basic = price_basic + 100, version = version + 1 WHERE id = '{beat}'
                    RETURNING id, version),
                announced AS (INSERT INTO outbox (aggregate_type, aggregate_id, version, operation)
                    SELECT 'beat', id, version, 'upsert' FROM changed)
                SELECT version FROM changed"""
        )
    )


async def until(limit, condition):
    """Seconds until the condition holds; None where it does not within the limit."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if await condition():
            return time.monotonic() - began
        await asyncio.sleep(0.05)
    return None


async def readiness():
    answer = await get_once(PORT, "/health/ready")
    return answer.status, answer.json["stores"]


async def walk(load, failures, name, action):
    """One store goes, is away for a while under load, and comes back."""
    phase = f"{name} {action}"
    beats = random.sample(load.ids, 4)
    load.phase, load.away = phase, name
    began = time.monotonic()
    await store(action, name)
    print(f"{phase} ({time.monotonic() - began:.1f} s)")

    async def is_said_down():
        status, stores = await readiness()
        return stores[STORES[name]] == "down" and status == (200 if name == "redis" else 503) and list(stores.values()).count("up") == 2

    said = await until(5, is_said_down)
    if said is None:
        failures.add(f"{phase}: /health/ready tells which store is away", f"{await readiness()}")
    if name != "postgres":
        # One beat is in every cache, the others in none or some.
        beats[0] = load.hot[0]
        load.changing.update(beats)
        versions = {beat: await change(beat) for beat in beats}
    await asyncio.sleep(max(0.0, SETTLED - (time.monotonic() - began)))
    load.settled = True
    await asyncio.sleep(AWAY - SETTLED)
    live = await get_once(PORT, "/health/live")
    if live.status != 200 or live.seconds > 1:
        failures.add(f"{phase}: /health/live stays 200", f"{live.status} after {live.seconds:.3f} s")
    left = int(await sql("SELECT count(*) FROM outbox")) if name != "postgres" else 0
    if name == "mongodb" and left == 0:
        failures.add(f"{phase}: what cannot be delivered stays in the outbox", "it is empty")
    if name == "redis":
        # Caches that nobody can tell are caches that nobody trusts: the change is shown although Redis has the old one.
        if left:
            failures.add(f"{phase}: what was delivered leaves the outbox", f"{left} rows")
        load.versions.update(versions)
        load.changing.clear()
    load.settled = False
    refusals, load.refusals = sorted(load.refusals), []
    if percentile(refusals, 0.5) > FAST:
        failures.add(f"{phase}: a store that is away costs a refusal nothing", milliseconds(refusals))

    began = time.monotonic()
    await store("thaw" if action == "freeze" else "start", name)
    back = time.monotonic()

    async def is_whole():
        answers = await asyncio.gather(
            get_once(PORT, f"/api/beats/{random.choice(load.ids)}", True),
            get_once(PORT, "/api/beats?limit=1", True),
            get_once(PORT, f"/api/users/{load.users[0]}", True),
            get_once(PORT, "/health/ready"),
        )
        return all(answer.status == 200 for answer in answers) and "sources" not in answers[0].json and b'"down"' not in answers[3].body

    healed = await until(HEALED_WITHIN, is_whole)
    if healed is None:
        failures.add(f"{phase}: heals within {HEALED_WITHIN:.0f} s", str(await readiness()))
    if name != "postgres":

        async def is_delivered():
            return int(await sql("SELECT count(*) FROM outbox")) == 0

        delivered = await until(HEALED_WITHIN, is_delivered)
        if delivered is None:
            failures.add(f"{phase}: the outbox is delivered within {HEALED_WITHIN:.0f} s", await sql("SELECT * FROM outbox"))
        else:
            # From here on the load holds every answer against these.
            load.versions.update(versions)
            load.changing.clear()
            for beat, version in versions.items():
                shown = (await get_once(PORT, f"/api/beats/{beat}")).json
                if shown["version"] < version or "sources" in shown:
                    failures.add(f"{phase}: what was delivered is served", f"{shown} instead of version {version}")
    # A client that got an answer without content must not get it again, nor anybody else.
    load.phase, load.away = f"{phase}, after", None
    await asyncio.sleep(1.0)
    load.report(phase)
    times = [f"said by /health/ready after {said or 0:.2f} s", f"back after {back - began:.1f} s, healed {healed or 0:.2f} s later"]
    if refusals:
        times.append(f"settled: {len(refusals)} refusals, {milliseconds(refusals)}")
    if name != "postgres":
        times.append(f"outbox empty after {time.monotonic() - back - 1:.2f} s")
    for line in times:
        print(f"    {line}")


async def main():
    failures = Failures()
    load = Load(await every_beat(PORT), failures)
    clients = [asyncio.create_task(load.client()) for _ in range(CONNECTIONS)]
    # What everything takes while all is well.
    await asyncio.sleep(2)
    load.report("before")
    for name in STORES:
        for action in ("stop", "kill", "freeze"):
            await walk(load, failures, name, action)
    load.is_running = False
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*clients), 3 * DEADLINE)
    sys.exit(failures.end())


asyncio.run(main())
