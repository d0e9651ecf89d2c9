"""What a client sees of signing in: 60-sessions.py PORT SECOND_PORT LOG SECOND_LOG."""

import base64
import hashlib
import hmac
import http.client
import json
import struct
import sys
import time

ONE, OTHER = int(sys.argv[1]), int(sys.argv[2])
LOGS = sys.argv[3:]
PASSWORD = "violet harbour 27"
SECRETS = {PASSWORD}


class Answer:
    def __init__(self, response):
        self.status, self.fields, body = response.status, response.headers, response.read()
        self.json = json.loads(body) if body else {}
        for name in ("accessToken", "refreshToken", "secret"):
            if name in self.json:
                SECRETS.add(self.json[name])
        SECRETS.update(self.json.get("recoveryCodes", []))
        self.cookies = {}
        for field in self.fields.get_all("Set-Cookie", []):
            name, _, rest = field.partition("=")
            self.cookies[name] = rest.split(";")[0]
            SECRETS.update({self.cookies[name]} - {""})

    @property
    def code(self):
        return self.json.get("code")


def call(method, path, body=None, token=None, cookies=None, port=ONE, **fields):
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if cookies:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    data = None
    if body is not None:
        data = json.dumps(body)
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, data, headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def expect(answer, status, code=None):
    assert answer.status == status and answer.code == code, f"{answer.status} {answer.json}, not {status} {code}"
    return answer


def register(name):
    body = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    return expect(call("POST", "/api/auth/register", body), 201)


def login(name, port=ONE, **more):
    return call("POST", "/api/auth/login", {"email": f"{name}@example.com", "password": PASSWORD, **more}, port=port)


def tokens():
    register("nora")
    signed_in = expect(login("nora"), 200).json
    assert set(signed_in) == {"user", "accessToken", "refreshToken", "expiresIn"} and signed_in["expiresIn"] == 600
    bodies = []
    for path in ("/api/auth/me", "/api/auth/profile", "/api/users/me", "/api/users/profile"):
        me = expect(call("GET", path, token=signed_in["accessToken"], port=OTHER), 200)
        assert me.fields["Cache-Control"] == "no-store"
        bodies.append(me.json)
    assert all(body == signed_in["user"] for body in bodies), bodies
    expect(call("GET", "/api/auth/me"), 401, "unauthenticated")
    refreshed = expect(call("POST", "/api/auth/refresh", {"refreshToken": signed_in["refreshToken"]}, port=OTHER), 200).json
    again = expect(call("POST", "/api/auth/refresh", {"refreshToken": refreshed["refreshToken"]}), 200).json
    expect(call("POST", "/api/auth/refresh", {"refreshToken": signed_in["refreshToken"]}), 401, "unauthenticated")
    expect(call("GET", "/api/auth/me", token=again["accessToken"], port=OTHER), 401, "unauthenticated")
    expect(call("POST", "/api/auth/refresh", {}), 400, "invalid_request")


def wrong_credentials():
    answers = [
        expect(call("POST", "/api/auth/login", {"email": f"{name}@example.com", "password": "no such password"}), 401, "unauthenticated")
        for name in ("nora", "nobody")
    ]
    assert answers[0].json["detail"] == answers[1].json["detail"]


def cookies():
    signed_in = expect(login("nora", cookies=True), 200)
    assert "refreshToken" not in signed_in.json
    assert set(signed_in.cookies) == {"__Host-kababeat_access", "__Host-kababeat_refresh"}
    for field in signed_in.fields.get_all("Set-Cookie"):
        for part in ("Path=/", "HttpOnly", "Secure", "SameSite=Lax"):
            assert part in field, field
    jar = signed_in.cookies
    expect(call("GET", "/api/auth/me", cookies=jar), 200)
    site, foreign = {"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "cross-site"}
    for path in ("/api/auth/refresh", "/api/auth/logout"):
        expect(call("POST", path, {}, cookies=jar, **foreign), 403, "cross_site")
        expect(call("POST", path, {}, cookies=jar, Origin="https://evil.example"), 403, "cross_site")
        expect(call("POST", path, {}, cookies=jar), 403, "cross_site")
    body = {"email": "nora@example.com", "password": PASSWORD, "cookies": True}
    expect(call("POST", "/api/auth/login", body, **foreign), 403, "cross_site")
    # A browser sends its old cookies along.
    stale = jar | {"__Host-kababeat_access": "stale"}
    expect(call("GET", "/api/auth/me", cookies=stale), 401, "unauthenticated")
    refreshed = expect(call("POST", "/api/auth/refresh", {}, cookies=stale, **site), 200)
    assert "refreshToken" not in refreshed.json
    gone = expect(call("POST", "/api/auth/logout", {}, cookies=refreshed.cookies | {"__Host-kababeat_access": "stale"}, **site), 204)
    assert set(gone.cookies.values()) == {""}
    expect(call("GET", "/api/auth/me", cookies=refreshed.cookies, port=OTHER), 401, "unauthenticated")


def sessions():
    first, second = expect(login("nora"), 200).json, expect(login("nora", port=OTHER), 200).json
    listed = expect(call("GET", "/api/auth/sessions", token=second["accessToken"], User_Agent="a browser"), 200).json
    assert [item["isCurrent"] for item in listed["items"][:2]] == [True, False], listed
    assert listed["items"][0]["address"] == "127.0.0.1" and "page" in listed
    path = f"/api/auth/sessions/{listed['items'][1]['id']}"
    expect(call("DELETE", path, token=second["accessToken"]), 204)
    expect(call("DELETE", path, token=second["accessToken"]), 404, "not_found")
    expect(call("GET", "/api/auth/me", token=first["accessToken"], port=OTHER), 401, "unauthenticated")
    expect(call("DELETE", "/api/auth/sessions?which=none", token=second["accessToken"]), 400, "invalid_request")
    expect(call("DELETE", "/api/auth/sessions", token=second["accessToken"]), 204)
    expect(call("DELETE", "/api/auth/sessions?which=all", token=second["accessToken"]), 204)
    expect(call("GET", "/api/auth/me", token=second["accessToken"], port=OTHER), 401, "unauthenticated")


def one_time_code(secret, periods=0):
    """RFC 6238."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 + periods), hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start:start + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def second_factor():
    register("otto")
    token = expect(login("otto"), 200).json["accessToken"]
    path = "/api/auth/second-factor"
    expect(call("POST", path, {"password": "wrong password"}, token=token), 400, "invalid_request")
    enrolment = expect(call("POST", path, {"password": PASSWORD}, token=token), 200).json
    secret = enrolment["secret"]
    assert enrolment["uri"].startswith("otpauth://totp/KabaBeat:otto%40example.com?secret=" + secret)
    codes = expect(call("POST", f"{path}/confirm", {"code": one_time_code(secret, -1)}, token=token), 200).json["recoveryCodes"]
    assert len(set(codes)) == 10
    expect(login("otto"), 401, "second_factor_needed")
    code = one_time_code(secret)
    expect(login("otto", code=code), 200)
    expect(login("otto", code=code, port=OTHER), 401, "second_factor_needed")
    expect(login("otto", code=codes[0]), 200)
    expect(login("otto", code=codes[0]), 401, "second_factor_needed")
    assert expect(call("GET", path, token=token), 200).json == {"isEnabled": True, "recoveryCodesLeft": 9}
    expect(call("DELETE", path, {"password": PASSWORD, "code": codes[1]}, token=token), 204)
    expect(login("otto"), 200)


def log_holds_no_secret():
    for name in LOGS:
        with open(name, encoding="utf-8") as log:
            text = log.read()
        assert '"message"' in text or "{" in text, f"{name} is empty"
        found = [secret for secret in SECRETS if secret in text]
        assert not found, f"{name} holds {len(found)} secrets"


for step, says in (
    (tokens, "tokens rotate, an old one ends the session, and every name of the account answers the same"),
    (wrong_credentials, "a wrong password and an unknown address have the same answer"),
    (cookies, "cookies are out of reach of scripts and other sites, and outlive an old access token"),
    (sessions, "sessions are listed and ended, with effect on the other instance"),
    (second_factor, "a second factor is enrolled, asked for once a code, recovered from, and removed"),
    (log_holds_no_secret, "no log holds a password, token, code or secret"),
):
    step()
    print(f"ok: {says}")
