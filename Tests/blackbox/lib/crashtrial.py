"""What the checks of crash points share: the accounts and the data that they work on, and one trial."""

import os
import time

from beatwriter import State, a_beat
from doomed import PATIENCE, SCRATCH, Gateway, call, command, number, until
from postgres import sql
from mailbox import MailServer

PASSWORD = "violet harbour 27"
LEASE = int(os.environ["KABABEAT_OUTBOX_LEASE_SECONDS"])
MAIL_LEASE = 150
# What a request may take, and what its statements may take beyond that.
KEY_LEASE = 30 + 10
CHECKS = {}


def check(*points):
    """Enters a check of these points: called with a trial, it answers what became of what was under way."""

    def enter(function):
        for point in points:
            CHECKS[point] = function
        return function

    return enter


class World:
    """Migrated databases with a catalogue, a mail server, and accounts: Olga writes, Nina has a name that beats show, Ines is an admin."""

    def __init__(self, catalogue):
        self.catalogue, self.sources = catalogue, []
        self.mails = MailServer(SCRATCH)
        os.environ |= {"KABABEAT_SMTP_HOST": "127.0.0.1", "KABABEAT_SMTP_PORT": str(self.mails.port), "KABABEAT_SMTP_TLS": "none"}
        command("migrate")
        command("import", self.some_lines("base", 100))
        gateway = Gateway()
        for name in ("olga", "nina", "ines"):
            register(name).expect(201)
        sql("INSERT INTO user_roles (user_id, role) SELECT id, 'admin' FROM users WHERE username = 'ines'")
        for name in ("olga", "nina"):
            call("POST", "/api/users/me/creator", token=login(name)["accessToken"]).expect(200)
        self.olga, self.nina, self.ines = (login(name)["accessToken"] for name in ("olga", "nina", "ines"))
        # Nina's beats, by id, as they are to be.
        self.beats = dict(self.publish(self.nina, f"Nina's {number}") for number in range(3))
        gateway.end()

    def publish(self, token, title):
        beat = call("POST", "/api/beats", a_beat(title), token).expect(201)["id"]
        call("POST", f"/api/beats/{beat}/publish", token=token).expect(200)
        return beat, State(title, 100, "published", 2)

    def some_lines(self, source, count=None):
        """The catalogue, or its first lines, as another source's."""
        self.sources.append(source)
        path = f"{SCRATCH}/{source}.ndjson"
        with open(self.catalogue, encoding="utf-8") as lines, open(path, "w", encoding="utf-8") as file:
            file.writelines(line.replace("test:beat", f"{source}:beat") for line in list(lines)[:count])
        return path

    def letter(self, name, copies=1):
        """Holds what was mailed to an account to one mail, and `copies` of it; nothing of it is kept."""
        letters = until(
            lambda: len(found := self.mails.letters(f"{name}@example.org")) >= copies and found, f"{copies} mails reach {name}"
        )
        assert len(letters) == copies, f"{len(letters)} mails instead of {copies}"
        assert len({(letter["messageID"], letter["date"]) for letter in letters}) == 1, letters
        kept = "sent_at IS NULL OR sealed_text IS NOT NULL"
        assert number(f"SELECT count(*) FROM mails WHERE recipient = '{name}@example.org' AND ({kept})") == 0

    def settled(self):
        """Holds everything that all trials have left behind to what it should be."""
        # What was changed in the last five seconds is passed over by `verify`.
        last = sql("SELECT max(updated_at) FROM beats")
        until(lambda: sql(f"SELECT now() > timestamptz '{last}' + interval '5 seconds'") == "t", "the last change is five seconds old")
        gateway = Gateway()
        until(lambda: number("SELECT count(*) FROM outbox") == 0, "the outbox is empty")
        until(lambda: number("SELECT count(*) FROM audit_unsealed") == 0, "the audit log is sealed")
        gateway.end()
        assert number("SELECT count(*) FROM beat_content_staged") == 0
        print(command("verify"))
        print(command("audit", "verify"))

    def end(self):
        self.mails.end()


def register(name):
    return call("POST", "/api/auth/register", {"email": f"{name}@example.org", "username": name, "password": PASSWORD})


def sign_in(name):
    return call("POST", "/api/auth/login", {"email": f"{name}@example.org", "password": PASSWORD})


def login(name):
    return sign_in(name).expect(200)


class Trial:
    """One process that dies at one point, and what follows."""

    def __init__(self, point, world):
        self.point, self.world, self.died_at, self.healed, self.gateway = point, world, None, None, None

    def start(self, passage=1):
        """A gateway that dies at the point."""
        self.gateway = Gateway(self.point, passage)

    def dies(self):
        self.gateway.dies()
        self.was_killed()

    def was_killed(self):
        """Holds what the dead have leased to the lease: nothing is out of reach for longer."""
        self.died_at = time.monotonic()
        left = "coalesce(max(extract(epoch FROM claimed_until - clock_timestamp())), 0)"
        for lane, lease in (("aggregate_type <> 'mail'", LEASE), ("aggregate_type = 'mail'", MAIL_LEASE)):
            assert float(sql(f"SELECT {left} FROM outbox WHERE {lane}")) <= lease, f"a lease is longer than {lease} s"

    def heal(self):
        """Another gateway, which is to deliver whatever is left; counts the seconds since the end of the first, its own start included."""
        # The lease of mails outlasts all that a batch of them may take: set back instead of waited for.
        sql("UPDATE outbox SET claimed_until = now() WHERE aggregate_type = 'mail' AND claimed_until IS NOT NULL")
        self.gateway = Gateway()
        self.delivered()
        self.healed = time.monotonic() - self.died_at

    def delivered(self):
        until(lambda: number("SELECT count(*) FROM outbox WHERE state = 'pending'") == 0, "the outbox is delivered", PATIENCE)

    def end(self):
        if self.gateway:
            self.gateway.end()
