"""Writers that remember what was acknowledged to them, and readers."""

import asyncio
import time

from book import dice, read_of, zipf
from client import Connection
from history import ACKNOWLEDGED, MOVES, REFUSED, UNKNOWN, Write
from stage import ENTRIES

# What a request may take before its client gives up: more than the gateway itself allows.
LIMIT = 35
MOST_BEATS = 12
# Of a hundred writes.
WRITES = {"core": 28, "content": 24, "both": 18, "put": 10, "move": 14, "create": 4, "delete": 2}
READS = {"cached": 60, "no-cache": 14, "floor": 12, "creator's list": 7, "list": 7}


class Unexpected(Exception):
    """An answer that no rule allows, whatever is killed."""


class Keys:
    """Which writes are sent with an `Idempotency-Key`, so that they can be sent again until their outcome is known."""

    PAUSE = 0.5
    # A gateway that dies keeps a key for 40 s.
    TRIES = 100

    def __init__(self, kinds=frozenset()):
        self.kinds = kinds

    @classmethod
    def of(cls, openapi):
        """Those for which the description has it."""
        with open(openapi) as file:
            return cls(frozenset({"create", *MOVES}) if "parameters/IdempotencyKey" in file.read() else frozenset())

    @staticmethod
    def is_open(answer):
        """Whether it leaves the outcome open."""
        return answer is None or answer.status >= 500 or answer.status == 409 and answer.json["code"] == "idempotency_key_in_use"


class Client:
    def __init__(self, name, seed, stage, book):
        self.name, self.stage, self.book = name, stage, book
        self.chance = dice(seed, name)
        self.connections = {where: Connection(stage.ports[where]) for where in ENTRIES}
        self.fields = {}

    async def ask(self, where, method, path, fields=(), body=None):
        """(answer or None, when it was begun, when it ended). None: the connection was cut, or there is nobody."""
        connection, began = self.connections[where], time.monotonic()
        try:
            answer = await asyncio.wait_for(connection.send(method, path, body, fields), LIMIT)
        except (OSError, EOFError, TimeoutError):
            connection.close()
            self.book.entries.note(where, method, None)
            return None, began, time.monotonic()
        ended = time.monotonic()
        self.book.entries.note(where, method, answer.status)
        if answer.status == 500:
            raise Unexpected(f"{method} {path}: 500 {answer.body.decode()}")
        return answer, began, ended

    def somewhere(self):
        return self.chance.choice(ENTRIES)

    def close(self):
        for connection in self.connections.values():
            connection.close()


class Account(Client):
    """An account that makes beats; several writers act in its name."""

    PASSWORD = "quiet orchard 93 lamps"

    @property
    def owner(self):
        return self.name

    async def sign_up(self):
        await self.must("/api/auth/register", self.login | {"username": self.name})
        await self.sign_in()
        await self.must("/api/users/me/creator", {})

    @property
    def login(self):
        return {"email": f"{self.name}@example.com", "password": self.PASSWORD}

    async def sign_in(self):
        answer = await self.must("/api/auth/login", self.login)
        self.fields["Authorization"] = f"Bearer {answer.json['accessToken']}"

    async def must(self, path, body):
        answer, _, _ = await self.ask("a", "POST", path, self.fields, body)
        if answer is None or answer.status >= 300:
            raise Unexpected(f"{path}: {answer and answer.body}")
        return answer

    async def stay(self):
        """Signs in anew before its token ends; where that fails, soon again."""
        while True:
            # Half of what the torture's gateways let a token last.
            await asyncio.sleep(1800)
            while True:
                try:
                    await self.sign_in()
                    break
                except Unexpected:
                    await asyncio.sleep(5)

    async def look(self, beat, where, how, floor=0):
        """Reads one beat as its owner."""
        fields = dict(self.fields)
        if floor:
            fields["If-Version-At-Least"] = str(floor)
        if how in ("no-cache", "final"):
            fields["Cache-Control"] = "no-cache"
        answer, began, ended = await self.ask(where, "GET", f"/api/beats/{beat}", fields)
        read = read_of(self.name, where, how, began, ended, floor, is_owner=True)
        if answer is None or answer.status >= 500:
            self.book.reads["503 or cut"] += 1
            return None
        if answer.status == 404:
            self.book.missed(beat, read)
        elif answer.status == 200:
            self.book.saw(answer.json, read)
        else:
            raise Unexpected(f"GET of {beat}: {answer}")
        return answer

    async def list_own(self, where):
        answer, began, ended = await self.ask(where, "GET", "/api/users/me/beats?limit=100", self.fields)
        if answer is None or answer.status >= 500:
            self.book.reads["503 or cut"] += 1
            return
        if answer.status != 200:
            raise Unexpected(f"own list: {answer.status} {answer.body}")
        self.book.listed(
            answer.json["items"], lambda: read_of(self.name, where, "own", began, ended, is_owner=True), {self.owner}, self.owner)

    async def versions(self, beat, where):
        """The version history, oldest first."""
        changes, cursor = [], ""
        while cursor is not None:
            answer, _, _ = await self.ask(where, "GET", f"/api/beats/{beat}/versions?limit=100{cursor and '&cursor=' + cursor}", self.fields)
            if answer is None or answer.status != 200:
                raise Unexpected(f"versions of {beat}: {answer and answer.body}")
            changes += [(change["version"], change["changes"]) for change in answer.json["items"]]
            cursor = answer.json["page"]["next"]
        return changes[::-1]


class Writer(Account):
    """One of the account's writers."""

    def __init__(self, number, account, seed, stage, book, keys):
        super().__init__(f"{account.name}/{number}", seed, stage, book)
        self.account, self.fields, self.keys, self.count = account, account.fields, keys, 0

    @property
    def owner(self):
        return self.account.name

    async def run(self, is_over):
        while not is_over():
            beat = await self.write()
            if beat and self.chance.random() < 0.6:
                # Its own next read, anywhere: it carries the version that it knows of.
                floor = self.book.newest.get(beat, {}).get("version", 0)
                await self.look(beat, self.somewhere(), "floor", floor)
            if self.chance.random() < 0.06:
                await self.list_own(self.somewhere())
            await asyncio.sleep(self.chance.uniform(0.02, 0.12))
        self.close()

    async def write(self):
        """One write; the beat that it concerned, if it has an id."""
        own = self.book.own(self.owner)
        kind = self.chance.choices(list(WRITES), list(WRITES.values()))[0]
        if len(own) < 4:
            kind = "create"
        elif kind == "create" and len(own) >= MOST_BEATS:
            kind = "delete"
        self.count += 1
        token = f"{self.name}.{self.count}"
        if kind == "create":
            return await self.send(token, kind, None, "POST", "/api/beats", self.body(kind, token))
        beat = zipf(self.chance, own)
        known = self.book.newest[beat]
        if known["status"] != "published" and self.chance.random() < 0.4:
            kind = "move"
        path, if_match = f"/api/beats/{beat}", known["version"] if self.chance.random() < 0.5 else None
        if kind == "move":
            # Readers need something to read.
            is_shown = known["status"] == "published"
            kind = "unpublish" if is_shown and self.chance.random() < 0.3 else "publish"
            if is_shown and kind == "publish":
                kind = "both"
        if kind in MOVES:
            return await self.send(token, kind, beat, "POST", f"{path}/{kind}", None, if_match)
        if kind == "delete":
            return await self.send(token, kind, beat, "DELETE", path, None, if_match)
        return await self.send(token, kind, beat, "PUT" if kind == "put" else "PATCH", path, self.body(kind, token), if_match)

    def body(self, kind, token):
        core = {"title": token, "description": token}
        content = {"metadata": {"album": token, "tags": [token, "torture"]}, "changes": token}
        rest = {"licenseTypes": {"basic": 10}, "artwork": {"colors": ["#102030"]}}
        whole = {"metadata": content["metadata"] | {"bpm": 120, "genre": "Techno", "waveform": [1, 2, 3, 4] * 64}}
        return {"core": core, "content": content, "both": core | content}.get(kind) or core | content | rest | whole

    async def send(self, token, kind, beat, method, path, body, if_match=None):
        fields = dict(self.fields)
        if if_match is not None:
            fields["If-Match"] = f'"{if_match}"'
        where, is_again = self.somewhere(), False
        if kind in self.keys.kinds:
            fields["Idempotency-Key"] = f"torture-{token}"
        answer, began, ended = await self.ask(where, method, path, fields, body)
        if kind in self.keys.kinds and self.chance.random() < 0.7:
            # Who has a key asks again until he knows; who has none does not dare.
            for _ in range(self.keys.TRIES):
                if not self.keys.is_open(answer):
                    break
                is_again = True
                self.book.writes["sent again"] += 1
                await asyncio.sleep(self.keys.PAUSE)
                where = self.somewhere()
                answer, _, ended = await self.ask(where, method, path, fields, body)
        write = Write(token, kind, began, ended, UNKNOWN, if_match, None, self.name, answer.status if answer else 0, is_again)
        if not self.keys.is_open(answer):
            self.judge(write, answer)
        item = answer.json if write.outcome == ACKNOWLEDGED and kind != "delete" else None
        if item:
            write.version, beat = item["version"], item["id"]
        self.book.wrote(write, beat, self.owner)
        if write.outcome == UNKNOWN:
            await asyncio.sleep(self.chance.uniform(0.1, 0.4))
        read = read_of(self.name, where, "answer", began, ended, is_owner=True)
        if item:
            self.book.saw(item, read)
        elif write.status == 404:
            self.book.missed(beat, read)
        return beat

    def judge(self, write, answer):
        if answer.status in (200, 201, 204):
            write.outcome = ACKNOWLEDGED
        elif answer.status in (409, 412):
            # What was sent again may have been carried out at the first time, and be refused because of that.
            write.outcome = UNKNOWN if write.is_again else REFUSED
        elif answer.status != 404:
            # 404 is also what a write is answered that was overtaken by a deletion after its commit.
            raise Unexpected(f"{write}: {answer.status} {answer.body.decode()}")


class Reader(Client):
    """Somebody who is not signed in, and reads what is published: a few beats often, most of them seldom."""

    async def run(self, is_over, accounts):
        while not is_over():
            beats = list(self.book.beats)
            how = self.chance.choices(list(READS), list(READS.values()))[0]
            if not beats:
                await asyncio.sleep(0.1)
            elif how == "list":
                await self.list("/api/beats?limit=100", how, None)
            elif how == "creator's list":
                account = self.chance.choice(accounts).name
                await self.list(f"/api/users/{account}/beats?limit=100", how, {account})
            else:
                await self.read(zipf(self.chance, beats[-60:][::-1]), how)
            await asyncio.sleep(self.chance.uniform(0.01, 0.08))
        self.close()

    async def read(self, beat, how):
        where, fields, floor = self.somewhere(), {}, 0
        if how == "no-cache":
            fields["Cache-Control"] = "no-cache"
        if how == "floor" and (floor := self.book.newest.get(beat, {}).get("version", 0)):
            fields["If-Version-At-Least"] = str(floor)
        answer, began, ended = await self.ask(where, "GET", f"/api/beats/{beat}", fields)
        read = read_of(self.name, where, how, began, ended, floor)
        if answer is None or answer.status >= 500:
            self.book.reads["503 or cut"] += 1
        elif answer.status == 404:
            self.book.missed(beat, read)
        elif answer.status == 200:
            self.book.saw(answer.json, read)
        else:
            raise Unexpected(f"{path_of(beat)}: {answer.status} {answer.body.decode()}")

    async def list(self, path, how, owners):
        where = self.somewhere()
        answer, began, ended = await self.ask(where, "GET", path)
        if answer is None or answer.status >= 500:
            self.book.reads["503 or cut"] += 1
            return
        if answer.status != 200:
            raise Unexpected(f"{path}: {answer.status} {answer.body.decode()}")
        is_whole = answer.json["page"]["next"] is None
        self.book.listed(answer.json["items"], lambda: read_of(self.name, where, how, began, ended), owners if is_whole else set())


def path_of(beat):
    return f"/api/beats/{beat}"
