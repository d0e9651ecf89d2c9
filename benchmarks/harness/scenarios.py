"""The scenarios. Each gives rows (contender, figures) and the thresholds that it is judged by."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import accounts
import catalogue
from load import IGNORED, cache_lookups, get, middle, require_equal, tool, wrk
from machine import PeakMemory, Server, free_port
from zipf import Checker

CONNECTIONS = 64


@dataclass
class Threshold:
    text: str
    value: float
    met: bool
    unit: str = "×"


@dataclass
class Result:
    name: str
    title: str
    rows: list = field(default_factory=list)  # (contender, figures)
    thresholds: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def rate(self, contender):
        return next((figures["rate"] for name, figures in self.rows if name == contender), None)

    def at_least(self, factor, of, name="gateway"):
        """Demands that `name` serve `factor` times what `of` does."""
        ours, theirs = self.rate(name), self.rate(of)
        if ours and theirs:
            self.thresholds.append(Threshold(f"at least {factor:g} × {of}", ours / theirs, ours / theirs >= factor))


class Run:
    """What all scenarios share: the servers, the files with paths, and how long a round is."""

    def __init__(self, directory, gateway, binary, password_file, source, quick):
        self.directory, self.gateway, self.binary = Path(directory), gateway, binary
        self.password_file, self.source = password_file, source
        self.setting = {name: value for name, value in os.environ.items() if name.startswith("KABABEAT_")}
        self.rounds, self.seconds, self.warm_up = (3, 2, 1) if quick else (5, 5, 3)
        self.quick = quick
        self.servers = []
        self.ids = catalogue.identifiers(self.setting)
        self.every = self.paths("every", (f"/api/beats/{identifier}" for identifier in self.ids))
        self.thousand = self.paths("thousand", (f"/api/beats/{identifier}" for identifier in self.ids[:1000]))
        self.one = self.paths("one", [f"/api/beats/{self.ids[0]}"])

    def paths(self, name, lines):
        file = self.directory / f"paths-{name}.txt"
        file.write_text("".join(f"{line}\n" for line in lines))
        return file

    def start(self, name, argv, env=None):
        port = free_port()
        environment = {"PORT": "{port}", **(env or {})}
        environment = {name: value.replace("{port}", str(port)) for name, value in environment.items()}
        server = Server(name, port, [part.format(port=port) for part in argv], environment, self.directory / f"{name}.log")
        self.servers.append(server)
        return server

    def peer_environment(self, connections, setting=None):
        setting = setting or self.setting
        # The principal is the session's: cheaper than once a transaction, which is what the gateway has to do.
        login = (f"postgres://{setting['KABABEAT_POSTGRES_USER']}:{setting['KABABEAT_POSTGRES_PASSWORD']}@{setting['KABABEAT_POSTGRES_HOST']}"
                 f":{setting['KABABEAT_POSTGRES_PORT']}/{setting['KABABEAT_POSTGRES_DATABASE']}?options=-c%20kababeat.role%3Danonymous")
        password = setting.get("KABABEAT_REDIS_PASSWORD")
        redis = f"redis://{f':{password}@' if password else ''}{setting['KABABEAT_REDIS_HOST']}:{setting['KABABEAT_REDIS_PORT']}"
        return {"POSTGRES_URL": login + connections, "REDIS_URL": redis, "MONGO_URI": setting["KABABEAT_MONGO_URI"],
                "MONGO_DATABASE": setting["KABABEAT_MONGO_DATABASE"], "TZ": "UTC", "NODE_ENV": "production"}

    @property
    def peers(self):
        return Path(__file__).parent.parent / "peers"

    def peer(self, name):
        """The peer of that name, started at first need."""
        for server in self.servers:
            if server.name == name:
                return server
        if name == "Express":
            return self.start(name, ["node", str(self.peers / "express" / "server.js")], self.peer_environment(""))
        return self.start(name, [str(self.directory / "go-peer")], self.peer_environment("&sslmode=disable&pool_max_conns=8"))

    def bare(self):
        """A bare route with the bytes and as many fields as the gateway's cached detail."""
        for _ in range(2):
            body, fields = get(self.gateway, f"/api/beats/{self.ids[0]}")
        file = self.directory / "body.json"
        file.write_bytes(body)
        carried = [f"{name}: {value}" for name, value in fields.items() if name.lower() not in ("date", "content-length", "connection")]
        return self.start("bare route", [str(self.directory / "benchbare"), "{port}", str(file), *carried])

    def interleave(self, contenders, times=None):
        """Rounds in turn, A B C A B C, after a warm-up of each; the medians with the most memory seen. `contenders`: name ->
        (server or None, function of seconds). `times`: rounds, and the seconds of each and of a warm-up, where not the usual ones."""
        count, seconds, warm_up = times or (self.rounds, self.seconds, self.warm_up)
        for server, measure in contenders.values():
            measure(warm_up)
        rounds, memory = {name: [] for name in contenders}, dict.fromkeys(contenders, 0.0)
        for _ in range(count):
            for name, (server, measure) in contenders.items():
                if server is None:
                    rounds[name].append(measure(seconds))
                    continue
                with PeakMemory(server) as peak:
                    rounds[name].append(measure(seconds))
                memory[name] = max(memory[name], peak.megabytes)
        return [(name, middle(rounds[name]) | {"memory": memory[name] or None}) for name in contenders]

    def served(self, server, file, *how):
        return server, lambda seconds: wrk(server, file, seconds, *how, connections=CONNECTIONS)

    def stop(self):
        for server in self.servers:
            server.stop()


def cached_detail(run):
    """Detail of one hot beat, and of a thousand, from the cache."""
    bare, express = run.bare(), run.peer("Express")
    results = []
    for name, title, file in (("cached-one", "Cached detail, one beat", run.one), ("cached", "Cached detail, 1,000 beats", run.thousand)):
        result = Result(name, title)
        result.rows = run.interleave({
            "gateway": run.served(run.gateway, file), "bare route": run.served(bare, file), "Express": run.served(express, file)})
        result.at_least(0.75, "bare route")
        result.at_least(4, "Express")
        results.append(result)
    return results


def cold_detail(run):
    """Merged detail past every cache, random beats of the whole catalogue."""
    go, express = run.peer("Go"), run.peer("Express")
    require_equal([run.gateway, go, express], [f"/api/beats/{identifier}" for identifier in run.ids[:20]])
    ids = run.paths("ids", run.ids)

    def find(threads, seconds):
        return tool(run.directory / "find", run.setting["KABABEAT_MONGO_URI"], run.setting["KABABEAT_MONGO_DATABASE"], ids, seconds,
                    threads, timeout=seconds + 60)

    trials = {threads: find(threads, run.warm_up)["rate"] for threads in (1, 2, 4, 8, 16)}
    best = max(trials, key=trials.get)
    result = Result("cold", "Cold merged detail, random beats")
    result.rows = run.interleave({
        "gateway": run.served(run.gateway, run.every, "no-cache"), "Go": run.served(go, run.every, "no-cache"),
        "Express": run.served(express, run.every, "no-cache"), "C loop": (None, lambda seconds: find(best, seconds))})
    result.notes.append("C loop: one `find` by _id per beat over libmongoc, "
                        + ", ".join(f"{threads}: {rate:,.0f}/s" for threads, rate in trials.items()) + f"; {best} threads went on.")
    result.at_least(2, "C loop")
    result.at_least(2.5, "Go")
    result.at_least(6, "Express")
    return [result]


def browse(run):
    """Lists with three conditions and a sort, 20 a page, past every cache."""
    go, express = run.peer("Go"), run.peer("Express")
    paths = catalogue.browse_paths(run.setting)
    require_equal([run.gateway, go, express], paths[:: max(1, len(paths) // 20)][:20])
    file = run.paths("browse", paths)
    result = Result("browse", "Browse, three conditions and a sort, 20 a page, cold")
    result.rows = run.interleave({
        "gateway": run.served(run.gateway, file, "no-cache"), "Go": run.served(go, file, "no-cache"),
        "Express": run.served(express, file, "no-cache")})
    result.at_least(2, "Go")
    result.notes.append(f"{len(paths)} different lists; answers compared beforehand, but for "
                        + "; ".join(f"`{name}` ({why})" for name, why in IGNORED.items()) + ".")
    return [result]


def warm_cache(gateway, file, rounds=10):
    """Reads all paths alike until the cache has nearly all: one that has been up for a while holds the rare ones too."""
    for _ in range(rounds):
        before = cache_lookups(gateway)
        wrk(gateway, file, 5, connections=CONNECTIONS)
        new = {tier: count - before.get(tier, 0) for tier, count in cache_lookups(gateway).items()}
        if new.get("miss", 0) < 0.01 * sum(new.values()):
            return


def zipf(run):
    """Zipf(1.0) reads of 10,000 beats with one change to a hundred reads, and a checker that looks for stale reads."""
    ids = run.ids[:10_000]
    file = run.paths("zipf", (f"/api/beats/{identifier}" for identifier in ids))
    warm_cache(run.gateway, file)
    checker, before = Checker(run.gateway, run.setting, ids), cache_lookups(run.gateway)
    with PeakMemory(run.gateway) as peak:
        figures = checker.run(0.012, lambda: wrk(run.gateway, file, run.rounds * run.seconds, "zipf", connections=CONNECTIONS))
    lookups = {tier: count - before.get(tier, 0) for tier, count in cache_lookups(run.gateway).items()}
    reads = sum(lookups.values())
    hits = (lookups.get("l1", 0) + lookups.get("l2", 0)) / max(reads, 1)
    figures["errors"] += checker.failed
    result = Result("zipf", "Zipf(1.0) reads of 10,000 beats with 1 % invalidations", [("gateway", figures | {"memory": peak.megabytes})])
    result.thresholds = [
        Threshold("hits, at least 95 %", hits * 100, hits >= 0.95, "%"),
        Threshold("changes to reads, at least 1 %", checker.changes / max(reads, 1) * 100, checker.changes >= 0.01 * reads, "%"),
        Threshold(f"stale reads among the checker's {checker.reads:,}, none", checker.stale, checker.stale == 0, ""),
    ]
    result.notes.append(f"{checker.changes:,} changes, each acknowledged by the gateway's relay; look-ups by tier: "
                        + ", ".join(f"{tier} {count:,.0f}" for tier, count in lookups.items() if count) + ".")
    return [result]


def connections(run, total=10_000, active=500):
    """10,000 open keep-alive connections, 500 of them busy."""
    # All of them come from one address, which by default may have fewer.
    gateway = run.start("connections", [run.binary, "serve"], {
        "KABABEAT_HTTP_PORT": "{port}", "KABABEAT_HTTP_CONNECTIONS_ADDRESS": str(total + 1000)})
    room = gateway.allow_files(total + 1000)
    if room < total + 200:
        raise SystemExit(f"the gateway may open {room} files, too few for {total} connections: raise the hard limit (ulimit -Hn)")
    with PeakMemory(gateway) as peak:
        figures = tool(run.directory / "connections", gateway.port, total, active, run.rounds * run.seconds,
                       f"/api/beats/{run.ids[0]}", timeout=300)
    result = Result("connections", f"{total:,} open connections, {active} busy", [("gateway", figures | {"memory": peak.megabytes})])
    result.thresholds = [
        Threshold(f"open, {total:,}", figures["open"], figures["open"] == total, ""),
        Threshold("errors, none", figures["errors"], figures["errors"] == 0, ""),
        Threshold("memory under 400 MB", peak.megabytes, peak.megabytes < 400, "MB"),
    ]
    return [result]


def size(run):
    """Cold merged detail on 5,000 and on 500,000 beats."""
    contenders, counts = {}, (5_000, 50_000 if run.quick else 500_000)
    for count in counts:
        setting = sized_catalogue(run, count)
        ids = catalogue.identifiers({**run.setting, **setting})
        server = run.start(f"{count:,} beats", [run.binary, "serve"], setting | {"KABABEAT_HTTP_PORT": "{port}"})
        contenders[f"{count:,} beats"] = run.served(
            server, run.paths(f"size-{count}", (f"/api/beats/{identifier}" for identifier in ids)), "no-cache")
    result = Result("size", "Cold merged detail by size of the catalogue", run.interleave(contenders))
    small, large = (result.rate(f"{count:,} beats") for count in counts)
    result.thresholds = [Threshold(f"{counts[1]:,} beats cost as much within 20 %", large / small, large / small >= 0.8)]
    return [result]


def sized_catalogue(run, count):
    """The settings of a database pair with `count` beats, which is made at the first run and kept."""
    name = f"kababeat_bench_{count}"
    setting = {"KABABEAT_POSTGRES_DATABASE": name, "KABABEAT_MONGO_DATABASE": name, "KABABEAT_REDIS_ENABLED": "false"}
    if not catalogue.database_exists(run.setting, run.password_file, name):
        catalogue.create_database(run.setting, run.password_file, name)
    environment = {**os.environ, **setting}
    subprocess.run([run.binary, "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL)
    if catalogue.is_imported({**run.setting, **setting}, count):
        return setting
    print(f"importing {count:,} beats, once", flush=True)
    file = run.directory / f"{name}.ndjson"
    catalogue.multiply(run.source, file, count)
    subprocess.run([run.binary, "import", str(file)], env=environment, check=True)
    file.unlink()
    return setting


def with_accounts(run, name, cost):
    """A gateway on a catalogue of its own where anybody may sign in as often as they like, and the settings of its stores."""
    setting = sized_catalogue(run, 5_000)
    return setting, run.start(name, [run.binary, "serve"], setting | {
        "KABABEAT_HTTP_PORT": "{port}", "KABABEAT_ENVIRONMENT": "development", "KABABEAT_LIMITS_ENABLED": "false",
        "KABABEAT_PASSWORD_COST": str(cost), "KABABEAT_TOKEN_SECONDS": "3600"})


def me(run):
    """Who a token's holder is, read as that account under row security."""
    setting, gateway = with_accounts(run, "gateway with accounts", 4)
    tokens = accounts.access_tokens(gateway)
    peer = run.start("four round trips", [str(run.directory / "go-peer")],
                     run.peer_environment("&sslmode=disable&pool_max_conns=8", run.setting | setting) | {"GATEWAY_URL": gateway.url})
    for token in tokens[:20]:
        ours, theirs = accounts.me(gateway, token), accounts.me(peer, token)
        if {**ours, "createdAt": ""} != {**theirs, "createdAt": ""}:
            raise SystemExit(f"/api/auth/me differs:\n  {ours}\n  {theirs}")
    file = run.paths("me", (f"/api/auth/me\t{token}" for token in tokens))
    result = Result("me", f"GET /api/auth/me, {len(tokens)} sessions")
    result.rows = run.interleave({"gateway": run.served(gateway, file), "four round trips": run.served(peer, file)})
    result.thresholds = [Threshold("at least 6,000 a second", result.rate("gateway"), result.rate("gateway") >= 6000, "/s")]
    result.at_least(2.5, "four round trips")
    result.notes.append("four round trips: Go with pgx as PostgREST would do it: BEGIN, set_config, the query, COMMIT. It believes a token "
                        "until it expires; the gateway also looks up at every request whether the session still lives.")
    return [result]


def logins(run, rate=50, pace=10):
    """Cached reads of a steady stream while people sign in. At cost 8, one thread can hash 50 passwords a second on most machines."""
    setting, gateway = with_accounts(run, "gateway with sign-ins", 8)
    accounts.access_tokens(gateway)
    file = run.paths("logins", (f"/api/beats/{identifier}" for identifier in catalogue.identifiers(run.setting | setting)[:1000]))
    everybody = []

    def reads(seconds):
        return wrk(gateway, file, seconds, f"pace={pace}", connections=CONNECTIONS)

    def reads_with_sign_ins(seconds):
        with accounts.SignIns(gateway, rate) as sign_ins:
            figures = reads(seconds)
        everybody.append(sign_ins)
        return figures

    result = Result("logins", f"Cached detail, {CONNECTIONS} readers with a pause of {pace} ms, and {rate} sign-ins a second")
    result.rows = run.interleave({"gateway": (gateway, reads), "with sign-ins": (gateway, reads_with_sign_ins)})
    (_, alone), (_, beside) = result.rows
    answers = sum(sum(some.statuses.values()) for some in everybody)
    signed_in = sum(some.statuses.get(200, 0) for some in everybody)
    seconds = sum(some.seconds for some in everybody)
    result.thresholds = [
        Threshold("p99 beside sign-ins, at most 2 ×", beside["p99"] / alone["p99"], beside["p99"] <= 2 * alone["p99"]),
        Threshold(f"sign-ins a second, at least {0.95 * rate:g}", signed_in / seconds, signed_in / seconds >= 0.95 * rate, "/s"),
    ]
    result.notes.append(f"{answers} sign-ins, each a bcrypt hash of cost 8 and a session; {answers - signed_in} were refused.")
    return [result]


ALL = {"cached": cached_detail, "cold": cold_detail, "browse": browse, "zipf": zipf, "connections": connections, "size": size, "me": me,
       "logins": logins}
