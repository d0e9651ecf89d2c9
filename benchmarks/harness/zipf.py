"""Invalidations under load, and the outside checker that looks for stale reads."""

import http.client
import json
import random
import subprocess
import threading
import time
from bisect import bisect_left
from itertools import accumulate

from catalogue import psql
from load import cache_lookups

READERS = 4


class Draw:
    """Picks ids so that the n-th has a weight of 1/n."""

    def __init__(self, ids, seed):
        self.ids, self.chance = ids, random.Random(seed)
        self.sums = list(accumulate(1 / rank for rank in range(1, len(ids) + 1)))

    def __call__(self):
        return self.ids[bisect_left(self.sums, self.chance.random() * self.sums[-1])]


class Writer:
    """Changes beats as the gateway does: the row and its outbox row in one transaction. Acknowledged is what the gateway's relay
    has delivered and taken out of the outbox again."""

    def __init__(self, setting):
        command, env = psql(setting, role="system")
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def _ask(self, statement):
        self.process.stdin.write(f"{statement};\nSELECT 'done';\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.strip() == "done":
                return lines
            lines.append(line.strip())
        raise SystemExit("psql ended: see its message above")

    def change(self, ids, patience=10):
        """Returns the acknowledged version of each id."""
        wanted = ",".join(f"'{identifier}'" for identifier in ids)
        rows = self._ask(f"""
            WITH changed AS (UPDATE beats SET version = version + 1, updated_at = now() WHERE id IN ({wanted}) RETURNING id, version),
                 announced AS (INSERT INTO outbox (aggregate_type, aggregate_id, version, operation)
                               SELECT 'beat', id, version, 'upsert' FROM changed RETURNING id)
            SELECT 'outbox', announced.id::text FROM announced UNION ALL SELECT id::text, version::text FROM changed""")
        pairs = [row.split("|") for row in rows]
        announced = ",".join(value for name, value in pairs if name == "outbox")
        deadline = time.monotonic() + patience
        while self._ask(f"SELECT count(*) FROM outbox WHERE id IN ({announced})") != ["0"]:
            if time.monotonic() > deadline:
                raise SystemExit(f"the gateway has not delivered its outbox within {patience} s")
            time.sleep(0.002)
        return {name: int(value) for name, value in pairs if name != "outbox"}

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


class Checker:
    """Reads while beats are changed. A read that began after a change was acknowledged must not show an older version."""

    def __init__(self, gateway, setting, ids):
        self.gateway, self.ids = gateway, ids
        self.writer = Writer(setting)
        self.acknowledged = {}
        self.reads = self.stale = self.failed = self.changes = 0
        self._done = threading.Event()
        self._count = threading.Lock()

    def _read(self, connection, identifier):
        floor = self.acknowledged.get(identifier, 0)
        connection.request("GET", f"/api/beats/{identifier}")
        response = connection.getresponse()
        body = response.read()
        with self._count:
            self.reads += 1
            if response.status != 200:
                self.failed += 1
            elif json.loads(body)["version"] < floor:
                self.stale += 1

    def _keep_reading(self, seed):
        draw = Draw(self.ids, seed)
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=10)
        while not self._done.is_set():
            self._read(connection, draw())
        connection.close()

    def _keep_changing(self, share):
        draw, before = Draw(self.ids, 0), sum(cache_lookups(self.gateway).values())
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=10)
        while not self._done.is_set():
            due = int((sum(cache_lookups(self.gateway).values()) - before) * share) - self.changes
            if due < 1:
                time.sleep(0.01)
                continue
            chosen = set()
            while len(chosen) < min(due, 200):
                chosen.add(draw())
            versions = self.writer.change(chosen)
            self.changes += len(versions)
            self.acknowledged.update(versions)
            # A few at once: the readers look at the rest, and whoever changes must keep up with their pace.
            for identifier in list(versions)[:20]:
                self._read(connection, identifier)
        connection.close()

    def run(self, share, load):
        """Runs `load` while `share` changes go with each read; gives what `load` gave."""
        threads = [threading.Thread(target=self._keep_reading, args=(seed,), daemon=True) for seed in range(1, READERS + 1)]
        threads.append(threading.Thread(target=self._keep_changing, args=(share,), daemon=True))
        for thread in threads:
            thread.start()
        try:
            return load()
        finally:
            self._done.set()
            for thread in threads:
                thread.join(15)
            self.writer.close()
