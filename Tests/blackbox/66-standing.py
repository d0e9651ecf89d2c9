"""A creator who is barred while MongoDB is frozen: 66-standing.py GATEWAY OTHER."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
from identity import PATIENCE, Gateway, address

PASSWORD = "violet harbour 27"
LAG = 0.25  # seconds after the answer in which a beat may still be seen
GRACE = 0.25  # what two reads take on a machine that is busy
# Of a gateway that died there is no answer. Others look for what it left twice a second, and leave a little to it.
FOUND = 5


@contextmanager
def frozen_mongodb():
    subprocess.run([os.environ["KABABEAT_TEST_STORE"], "freeze", "mongodb"], check=True)
    try:
        yield
    finally:
        subprocess.run([os.environ["KABABEAT_TEST_STORE"], "thaw", "mongodb"], check=True)


def until(condition, what, within=PATIENCE):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"not within {within} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - began


class Standing(Gateway):
    def __init__(self, gateway, other):
        super().__init__(gateway)
        self.gateways = (gateway, other)
        self.admin = self._account("admin")[1]
        subprocess.run([os.environ["KABABEAT_BINARY"], "admin", "grant", address("admin")], check=True, capture_output=True, timeout=60)

    def _account(self, name):
        body = {"email": address(name), "username": name, "password": PASSWORD}
        answer = self.api("POST", "/api/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        self.sql(f"UPDATE user_accounts SET email_verified_at = now() WHERE user_id = '{answer.json()['user']['id']}'")
        return answer.json()["user"]["id"], answer.json()["accessToken"]

    def _creator(self, name):
        """An account with a published beat that both gateways have in memory."""
        creator, token = self._account(name)
        assert self.api("POST", "/api/users/me/creator", token, json={}).status_code == 200
        made = self.api("POST", "/api/beats", token, json={"title": name, "metadata": {"bpm": 100}})
        assert made.status_code == 201, made.text
        path = f"/api/beats/{made.json()['id']}"
        assert self.api("POST", f"{path}/publish", token).status_code == 200
        for gateway in self.gateways:
            until(lambda: httpx.get(gateway + path, timeout=PATIENCE).headers.get("X-Cache") == "l1", "the beat is in memory")
        return creator, token, path

    def _is_gone(self, path):
        return all(httpx.get(gateway + path, timeout=PATIENCE).status_code == 404 for gateway in self.gateways)

    def _settles(self):
        """MongoDB is back: what waited is delivered, and the copies are right."""
        until(lambda: self.sql("SELECT count(*) FROM outbox WHERE aggregate_type <> 'mail'") == "0", "everything is delivered", 60)
        # What has just been written is left out of a comparison.
        self.sql("UPDATE beats SET updated_at = now() - interval '1 hour'")
        done = subprocess.run([os.environ["KABABEAT_BINARY"], "verify"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def suspended_with_mongodb_frozen(self):
        creator, _, path = self._creator("ada")
        with frozen_mongodb():
            answer = self.api("POST", f"/api/admin/users/{creator}/suspend", self.admin, json={"reason": "Spam"})
            assert answer.status_code == 200, answer.text
            until(lambda: self._is_gone(path), "a suspended creator's beat is nowhere", LAG + GRACE)
        self._settles()
        assert self.api("POST", f"/api/admin/users/{creator}/unsuspend", self.admin).status_code == 200
        for gateway in self.gateways:
            until(lambda: httpx.get(gateway + path, timeout=PATIENCE).status_code == 200, "the beat is back")
        self._settles()

    def deleted_with_mongodb_frozen(self):
        _, token, path = self._creator("bea")
        with frozen_mongodb():
            answer = self.api("DELETE", "/api/users/me", token, json={"password": PASSWORD})
            assert answer.status_code == 204, answer.text
            until(lambda: self._is_gone(path), "the beat of a creator who is no more is nowhere", LAG + GRACE)
        self._settles()

    def suspended_by_a_gateway_that_died_after_its_commit(self):
        creator, _, path = self._creator("cleo")
        with frozen_mongodb():
            self.sql(
                f"""WITH barred AS (UPDATE users SET status = 'suspended', version = version + 1 WHERE id = '{creator}' RETURNING version)
                INSERT INTO outbox (aggregate_type, aggregate_id, version, operation)
                SELECT kind, '{creator}', version, 'upsert' FROM barred, unnest(ARRAY['user', 'creator', 'standing']) AS kind"""
            )
            until(lambda: self._is_gone(path), "whoever comes next takes the beat out", FOUND)
        self._settles()


Standing(*sys.argv[1:]).run()
