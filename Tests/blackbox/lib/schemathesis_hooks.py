"""What a schema cannot say, for 10-contract.sh: who asks, rules between parameters, and names of what is there."""

import base64
import itertools
import json
import os
import threading
import urllib.error
import urllib.request
import zlib

import schemathesis

BASE = "http://127.0.0.1:" + os.environ["KABABEAT_HTTP_PORT"]
# Nobody, or an account that the script has made.
EMAIL, PASSWORD = os.environ.get("KABABEAT_TEST_EMAIL"), os.environ.get("KABABEAT_TEST_PASSWORD")
# The ids of those who ask, here and in other runs: an admin among them must not suspend one.
ACCOUNTS = set(os.environ["KABABEAT_TEST_ACCOUNTS"].split())


def fetch(path, body=None, token=None):
    request = urllib.request.Request(BASE + path, data=body and json.dumps(body).encode())
    if body:
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


class Session:
    """The access token of the account; another one where the one before was ended by what was tried out."""

    lock = threading.Lock()
    current = None
    # All that there were.
    tokens = set()

    @classmethod
    def token(cls):
        with cls.lock:
            if cls.current is None:
                cls.current = fetch("/api/auth/login", {"email": EMAIL, "password": PASSWORD})["accessToken"]
                cls.tokens.add(cls.current)
            return cls.current

    @classmethod
    def end(cls):
        with cls.lock:
            cls.current = None


if EMAIL:

    @schemathesis.auth(refresh_interval=None)
    class Bearer:
        def get(self, case, context):
            return Session.token()

        def set(self, case, data, context):
            case.headers = {**(case.headers or {}), "Authorization": "Bearer " + data}


ENDING = {("POST", "/api/auth/logout"), ("DELETE", "/api/auth/sessions"), ("DELETE", "/api/auth/sessions/{id}")}


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code == 401 or (case.method.upper(), case.path) in ENDING:
        Session.end()
    if 400 <= response.status_code < 500 and response.request.method not in ("GET", "HEAD", "OPTIONS"):
        record(response.request, response.status_code)


REFUSED = open(os.environ["KABABEAT_TEST_REFUSED"], "a")


def record(request, status):
    """Writes down a request that was refused, for refused.py: bytes as they were, and whose session it was sent in, if in one."""
    fields = {name: value.decode("latin-1") if isinstance(value, bytes) else value for name, value in request.headers.items()}
    token = next((value for name, value in fields.items() if name.lower() == "authorization"), "").removeprefix("Bearer ")
    is_ours = token in Session.tokens
    hidden = {"x-schemathesis-testcaseid"} | ({"authorization"} if is_ours else set())
    fields = {name: value for name, value in fields.items() if name.lower() not in hidden}
    body = request.body or b""
    line = {
        "status": status,
        "method": request.method,
        "target": request.path_url,
        "fields": fields,
        "account": EMAIL if is_ours else "",
        "body": base64.b64encode(body.encode() if isinstance(body, str) else body).decode(),
    }
    with Session.lock:
        print(json.dumps(line), file=REFUSED, flush=True)


@schemathesis.check
def a_public_read_is_everybodys(context, response, case):
    """Whatever credential is tried out: without one, nobody is sent to sign in to read what is public."""
    sent = {name.lower() for name in response.request.headers}
    if case.operation.definition.raw.get("x-policy") == "anyone" and case.method.upper() in ("GET", "HEAD"):
        if not sent & {"authorization", "cookie"}:
            assert response.status_code not in (401, 403), f"{response.status_code} for nobody in particular"


BEATS = fetch("/api/beats?limit=100")
IDS = [beat["id"] for beat in BEATS["items"]]
USERS = sorted({beat["creator"][name] for beat in BEATS["items"] if beat["creator"]["id"] not in ACCOUNTS for name in ("id", "username")})


def names(path, parameter):
    """What there is that a path's parameter may name."""
    if parameter == "user" or path.startswith("/api/admin/users"):
        return [name for name in USERS if parameter == "user" or len(name) == 36]
    return IDS if parameter == "id" and path.startswith("/api/beats") else []


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Every second name is one of something that is there."""
    for parameter in path_parameters or {}:
        known = names(context.operation.path, parameter)
        choice = zlib.crc32(str(path_parameters[parameter]).encode(errors="replace"))
        if known and choice % 2:
            path_parameters[parameter] = known[choice % len(known)]
    return path_parameters


@schemathesis.hook
def map_body(context, body):
    """Short passwords that are made at random are mostly among those that are guessed first."""
    if context.operation.path == "/api/auth/register" and isinstance(body, dict):
        password = body.get("password")
        if isinstance(password, str) and 8 <= len(password) and len(password.encode(errors="replace")) <= 54:
            body["password"] = password + " and some more words"[: 72 - len(password.encode(errors="replace"))]
    return body


@schemathesis.hook
def filter_case(context, case):
    """A field that nobody knows is no error in HTTP (RFC 9110 §5.1). And ids of earlier answers are tried, also of those who ask."""
    if case.path.startswith("/api/admin/users") and (case.path_parameters or {}).get("id") in ACCOUNTS:
        return False
    return "x-schemathesis-unknown-property" not in {name.lower() for name in case.headers or {}}


# What names a request that no other request had.
NUMBERS = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Brings a query that is correct by the schema in line with the rules between its parameters."""
    if not case.meta or not case.meta.generation.mode.is_positive:
        return
    # A key that stands for another request is refused however well it is formed.
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = f"fuzz-{os.getpid()}-{next(NUMBERS)}"
    if not case.query:
        return
    query = case.query
    if "cursor" in query and zlib.crc32(query.pop("cursor").encode(errors="replace")) % 4 == 0:
        follow(case, query)
    if int(query.get("page", 1)) * int(query.get("limit", 20)) > 10_000:
        del query["page"]
    for name in ("bpm", "price"):
        low, high = f"{name}[min]", f"{name}[max]"
        if low in query and high in query and float(query[low]) > float(query[high]):
            query[low], query[high] = query[high], query[low]
    if "search" in query and not any(character.isalnum() for character in query["search"]):
        query["search"] += "1"
    if query.get("sortBy") == "relevance":
        query.setdefault("search", "beat")


def follow(case, query):
    """A cursor belongs to one list: this case asks for the second page of the one that has no filter."""
    try:
        following = fetch(case.formatted_path + "?limit=1", token=EMAIL and Session.token())["page"]["next"]
    except urllib.error.HTTPError:
        following = None
    limit = query.get("limit")
    query.clear()
    query.update({name: value for name, value in (("limit", limit), ("cursor", following)) if value is not None})
