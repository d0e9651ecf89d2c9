"""A creator who is barred while MongoDB is frozen: 66-standing.py PORT SECOND_PORT."""

import http.client
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

from postgres import sql

PORTS = [int(port) for port in sys.argv[1:3]]
BINARY = os.environ["KABABEAT_BINARY"]
PASSWORD = "violet harbour 27"
PATIENCE = 30  # seconds that anything may take on a busy machine
LAG = 0.25  # seconds after the answer in which a beat may still be seen
# What looking costs at most: the first to look may wait a second for MongoDB, which is not known to be silent yet.
GRACE = 4.0
# Of a gateway that died there is no answer. Others look for what it left twice a second, and leave a little to it.
FOUND = 5


def call(method, path, body=None, token=None, port=PORTS[0]):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else {}, response.headers
    finally:
        connection.close()


def expect(status, answer):
    assert answer[0] == status, f"{answer[0]} {answer[1]}, not {status}"
    return answer[1]


def until(condition, what, within=PATIENCE):
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"not within {within} s: {what}"
        time.sleep(0.01)


@contextmanager
def frozen_mongodb():
    subprocess.run([os.environ["KABABEAT_TEST_STORE"], "freeze", "mongodb"], check=True)
    try:
        yield
    finally:
        subprocess.run([os.environ["KABABEAT_TEST_STORE"], "thaw", "mongodb"], check=True)


def account(name):
    made = expect(201, call("POST", "/api/auth/register", {"email": f"{name}@example.org", "username": name, "password": PASSWORD}))
    sql(f"UPDATE user_accounts SET email_verified_at = now() WHERE user_id = '{made['user']['id']}'")
    return made["user"]["id"], made["accessToken"]


def statuses(path):
    return {call("GET", path, port=port)[0] for port in PORTS}


def creator(name):
    """An account with a published beat that both gateways have in memory."""
    user, token = account(name)
    expect(200, call("POST", "/api/users/me/creator", {}, token))
    beat = expect(201, call("POST", "/api/beats", {"title": name, "metadata": {"bpm": 100}}, token))
    path = f"/api/beats/{beat['id']}"
    expect(200, call("POST", f"{path}/publish", token=token))
    for port in PORTS:
        until(lambda: call("GET", path, port=port)[2]["X-Cache"] == "l1", "the beat is in memory")
    return user, token, path


def gone(path, why, answered, within=LAG + GRACE):
    """Looks once the time is over in which the beat may be seen, and holds that it is not."""
    time.sleep(max(0, answered + LAG - time.monotonic()))
    if within > LAG + GRACE:
        until(lambda: statuses(path) == {404}, why, within)
    assert statuses(path) == {404}, why
    assert time.monotonic() - answered < within, f"{why}: looking took {time.monotonic() - answered:.2f} s"


def settled():
    """MongoDB is back: what waited is delivered, and the copies are right."""
    until(lambda: sql("SELECT count(*) FROM outbox WHERE aggregate_type <> 'mail'") == "0", "everything is delivered", 60)
    # What has just been written is left out of a comparison.
    sql("UPDATE beats SET updated_at = now() - interval '1 hour'")
    done = subprocess.run([BINARY, "verify"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def suspended(admin):
    user, _, path = creator("ada")
    with frozen_mongodb():
        expect(200, call("POST", f"/api/admin/users/{user}/suspend", {"reason": "Spam"}, admin))
        gone(path, "a suspended creator's beat is nowhere", time.monotonic())
    settled()
    expect(200, call("POST", f"/api/admin/users/{user}/unsuspend", token=admin))
    until(lambda: statuses(path) == {200}, "the beat is back")
    settled()
    print("ok: suspended with MongoDB frozen, and back")


def deleted():
    _, token, path = creator("bea")
    with frozen_mongodb():
        expect(204, call("DELETE", "/api/users/me", {"password": PASSWORD}, token))
        gone(path, "the beat of a creator who is no more is nowhere", time.monotonic())
    settled()
    print("ok: deleted with MongoDB frozen")


def left():
    """What a gateway leaves that dies right after its COMMIT."""
    user, _, path = creator("cleo")
    with frozen_mongodb():
        sql(
            f"""WITH barred AS (UPDATE users SET status = 'suspended', version = version + 1 WHERE id = '{user}' RETURNING version)
            INSERT INTO outbox (aggregate_type, aggregate_id, version, operation)
            SELECT kind, '{user}', version, 'upsert' FROM barred, unnest(ARRAY['user', 'creator', 'standing']) AS kind"""
        )
        gone(path, "whoever comes next takes the beat out", time.monotonic(), FOUND)
    settled()
    print("ok: suspended by a gateway that died")


chief = account("boss")[1]
subprocess.run([BINARY, "admin", "grant", "boss@example.org"], check=True, capture_output=True, timeout=60)
suspended(chief)
deleted()
left()
