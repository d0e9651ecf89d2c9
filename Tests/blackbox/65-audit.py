"""What admins see of the audit log, and what the command line proves of it: 65-audit.py PORT KABABEAT."""

import http.client
import json
import re
import subprocess
import sys
import time
from urllib.parse import urlencode

from postgres import sql

PORT, KABABEAT = int(sys.argv[1]), sys.argv[2]
PASSWORD = "amber quarry 61"
WRONG = "not amber but blue"
SECRETS = {PASSWORD, WRONG}


def call(method, path, body=None, token=None):
    headers = {"User-Agent": "audit-check/1"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
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


def verify(*arguments):
    done = subprocess.run([KABABEAT, "audit", "verify", *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def register(name):
    expect(201, call("POST", "/api/auth/register", {"email": f"{name}@example.com", "username": name, "password": PASSWORD}))


def login(name, password=PASSWORD):
    answer = call("POST", "/api/auth/login", {"email": f"{name}@example.com", "password": password})
    for secret in ("accessToken", "refreshToken"):
        if secret in answer[1]:
            SECRETS.add(answer[1][secret])
    return answer


def audit(token, **filters):
    return expect(200, call("GET", "/api/admin/audit?" + urlencode(filters), token=token))


def settled():
    """Waits until everything is sealed."""
    end = time.monotonic() + 20
    while sql("SELECT count(*) FROM audit_unsealed") != "0":
        assert time.monotonic() < end, "the sealer does not seal"
        time.sleep(0.05)


def what_happens_is_in_the_log():
    global ADMIN, USER, USER_ID
    register("olga")
    register("ines")
    sql("INSERT INTO user_roles (user_id, role) SELECT id, 'admin' FROM users WHERE username = 'ines'")
    expect(401, login("olga", WRONG))
    expect(401, login("nobody", WRONG))
    signed_in = expect(200, login("olga"))
    USER, USER_ID = signed_in["accessToken"], signed_in["user"]["id"]
    ADMIN = expect(200, login("ines"))["accessToken"]
    entries = audit(ADMIN, category="sign_in")["items"]
    failed = [entry for entry in entries if entry["severity"] != "info"]
    passed = [entry for entry in entries if entry["severity"] == "info"]
    assert len(failed) == 2 and len(passed) == 2, entries
    assert any(entry.get("target", {}).get("id") == USER_ID for entry in failed), failed
    for entry in entries:
        assert entry["address"] == "127.0.0.1" and entry["userAgent"] == "audit-check/1", entry
        assert re.fullmatch("[0-9a-f]{16}", entry["requestId"]), entry


def what_the_edge_refuses_again_and_again_is_in_the_log_once():
    for _ in range(25):
        expect(401, call("GET", "/api/auth/me", token="of nobody"))
    end = time.monotonic() + 10
    while not (entries := audit(ADMIN, action="dead_credentials")["items"]):
        assert time.monotonic() < end, "dead credentials are not in the log"
        time.sleep(0.05)
    assert len(entries) == 1 and entries[0]["metadata"] == {"count": "10", "route": "GET /api/auth/me"}, entries


def filters_narrow_and_cursors_join():
    everything = audit(ADMIN, limit=100)
    assert everything["page"] == {"limit": 100, "next": None, "total": len(everything["items"]), "totalIsExact": True}
    ids, cursor = [], {}
    while True:
        page = audit(ADMIN, limit=3, **cursor)
        ids += [entry["id"] for entry in page["items"]]
        if page["page"]["next"] is None:
            break
        cursor = {"cursor": page["page"]["next"]}
    assert ids == [entry["id"] for entry in everything["items"]]
    targeted = audit(ADMIN, target=USER_ID, targetKind="user")["items"]
    assert targeted and all(entry["target"] == {"kind": "user", "id": USER_ID} for entry in targeted)
    assert audit(ADMIN, to="2020-01-01T00:00:00Z")["items"] == []
    backwards = "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"
    for wrong in ("actor=me", "category=love", "severity=9", "from=yesterday", backwards, "x=1", "cursor=x"):
        assert call("GET", f"/api/admin/audit?{wrong}", token=ADMIN)[0] == 400, wrong
    foreign = audit(ADMIN, limit=1)["page"]["next"]
    status, problem, _ = call("GET", f"/api/admin/audit?cursor={foreign}&category=sign_in", token=ADMIN)
    assert (status, problem["code"]) == (400, "invalid_cursor")


def only_admins_and_keys_with_the_scope_read_it():
    expect(401, call("GET", "/api/admin/audit"))
    expect(403, call("GET", "/api/admin/audit", token=USER))
    for scope, status in (("audit:read", 200), ("catalogue:read", 403)):
        made = expect(201, call("POST", "/api/admin/service-keys", {"name": f"reads {scope}", "scopes": [scope]}, token=ADMIN))
        key = next(value for value in made.values() if isinstance(value, str) and value.startswith("kbk_"))
        SECRETS.add(key)
        answer = call("GET", "/api/admin/audit?category=key", token=key)
        assert answer[0] == status, answer[:2]
        if status == 200:
            assert [entry["action"] for entry in answer[1]["items"]] == ["service_key_created"], answer[1]


def no_secret_is_in_it():
    text = sql("SELECT string_agg(to_jsonb(audit_log)::text, ' ') FROM audit_log")
    for secret in SECRETS:
        assert secret not in text, "a secret is in the audit log"
        assert secret[:20] not in text, "the beginning of a secret is in the audit log"
    assert "[removed]" not in text


def the_chain_holds_and_an_altered_entry_is_named():
    settled()
    code, text = verify()
    line = r"^(\d+) entries are as they were sealed, (\d+) are not yet sealed; the last is (\1:[0-9a-f]{64})$"
    found = re.search(line, text, re.MULTILINE)
    assert code == 0 and found, (code, text)
    assert int(found[1]) == int(sql("SELECT count(*) FROM audit_log"))
    anchor = found[3]
    assert verify("--after", anchor)[0] == 0
    assert verify("--after", anchor[:-1] + ("0" if anchor[-1] != "0" else "1"))[0] == 1
    assert verify("--after", "nonsense")[0] == 1
    entry, at = sql("SELECT entry_id, seq FROM audit_chain ORDER BY seq OFFSET 2 LIMIT 1").split("|")
    sql(f"CREATE TABLE before AS SELECT * FROM audit_log WHERE id = '{entry}'")
    mend = "UPDATE audit_log SET severity = before.severity FROM before WHERE audit_log.id = before.id"
    for tamper, words in (
        (f"UPDATE audit_log SET severity = 'critical' WHERE id = '{entry}'", "the entry was altered"),
        (f"DELETE FROM audit_log WHERE id = '{entry}'", "the entry is missing"),
    ):
        sql(tamper)
        code, text = verify()
        assert code == 1 and f"{words}, at link {at}, entry {entry}" in text, (code, text)
        sql(mend)
    sql("DROP TABLE before")


for check in (
    what_happens_is_in_the_log,
    what_the_edge_refuses_again_and_again_is_in_the_log_once,
    filters_narrow_and_cursors_join,
    only_admins_and_keys_with_the_scope_read_it,
    no_secret_is_in_it,
    the_chain_holds_and_an_altered_entry_is_named,
):
    check()
    print(f"ok: {check.__name__.replace('_', ' ')}", flush=True)
