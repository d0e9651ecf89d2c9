"""Bad input over raw sockets. Run by 20-hostile.sh, which says the gateway's pid."""

import asyncio
import base64
import contextlib
import os
import shutil
import struct
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent / "lib"))
from rawhttp import ADDRESS, Wire, get, request  # noqa: E402
from snapshot import snapshot  # noqa: E402

GATEWAY = int(sys.argv[1])
# http.idle.seconds, and what a loaded machine may add.
IDLE, SLACK = 3, 3
FAILURES = []

# MARK: What is expected


def expect(name, condition, shown=""):
    if not condition:
        FAILURES.append(name)
        print(f"not ok: {name}: {shown}", file=sys.stderr)


def is_problem(answer, status, code):
    if answer is None or answer.status != status or answer.fields.get("content-type") != "application/problem+json":
        return False
    document = answer.json
    return (document["status"], document["code"], document["requestId"]) == (status, code, answer.fields["x-request-id"])


def problem(name, target, status, code, *fields, method="GET", body=b""):
    """A problem document, over a connection that can be used again."""
    with Wire() as wire:
        wire.send(request(target, *fields, method=method) + body)
        answer = wire.answer()
        expect(name, is_problem(answer, status, code), answer)
        if answer is not None and "connection" not in answer.fields:
            wire.send(request("/health/live"))
            after = wire.answer()
            expect(f"{name}, then a good request", after and after.status == 200, after)
        elif answer is not None:
            expect(f"{name}: closed as announced", wire.closed())
        return answer


def refused(name, data):
    """No HTTP: a bare 400 or nothing, and the connection is closed, within the idle time."""
    with Wire(timeout=IDLE + SLACK) as wire:
        wire.send(data)
        answer = wire.answer()
        expect(name, answer is None or (answer.status == 400 and answer.fields.get("connection", "").lower() == "close"), answer)
        expect(f"{name}: closed", wire.closed())


# MARK: Requests that are no HTTP/1.1


def broken_requests():
    start = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
    refused("a field of 17 KiB", start + b"X: " + b"a" * (17 << 10) + b"\r\n\r\n")
    refused("33 KiB of fields", start + b"".join(b"X%d: %s\r\n" % (n, b"a" * 3000) for n in range(11)) + b"\r\n")
    refused("200 fields", start + b"".join(b"X%d: a\r\n" % n for n in range(200)) + b"\r\n")
    refused("a field without an end", start + b"X: " + b"a" * (1 << 20))
    refused("a target of 20 KB", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    refused("a NUL in the target", b"GET /api/beats?search=a\0b HTTP/1.1\r\nHost: x\r\n\r\n")
    refused("a NUL in a field", start + b"X: a\0b\r\n\r\n")
    refused("a NUL in a field's name", start + b"X\0: a\r\n\r\n")
    refused("bytes that are no UTF-8 in the target", b"GET /api/beats?search=\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n")
    refused("a carriage return in a field", start + b"X: a\rY: b\r\n\r\n")
    refused("a folded field", start + b"X: a\r\n b\r\n\r\n")
    refused("a blank before the colon", b"GET /health/live HTTP/1.1\r\nHost : x\r\n\r\n")
    refused("a field without a name", start + b": a\r\n\r\n")
    refused("lines that end in LF alone", b"GET /health/live HTTP/1.1\nHost: x\n\n")
    refused("a method in lower case", b"get /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    refused("a method that nobody knows", b"GE\x7fT /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    refused("HTTP/0.9", b"GET /health/live\r\n\r\n")
    refused("HTTP/3.7", b"GET /health/live HTTP/3.7\r\nHost: x\r\n\r\n")
    refused("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4\0\0\0\0\0")
    refused("a TLS ClientHello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(range(160)))
    refused("a Redis command", b"*1\r\n$4\r\nPING\r\n")
    refused("nothing but NULs", b"\0" * 4096)
    refused("nothing but line ends", b"\r\n" * 4096)
    post = b"POST /health/live HTTP/1.1\r\nHost: x\r\n"
    smuggled = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    refused("Content-Length and Transfer-Encoding", post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled)
    refused("two Content-Lengths", post + b"Content-Length: 0\r\nContent-Length: 36\r\n\r\n" + smuggled)
    refused("a negative Content-Length", post + b"Content-Length: -1\r\n\r\n" + smuggled)
    refused("a Content-Length past 64 bits", post + b"Content-Length: 99999999999999999999\r\n\r\n")


# MARK: Requests that are HTTP/1.1, and wrong


def wrong_targets_and_hosts():
    for name, data in {
        "no Host": b"GET /health/live HTTP/1.1\r\n\r\n",
        "an empty Host": b"GET /health/live HTTP/1.1\r\nHost: \r\n\r\n",
        "two Hosts": b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "a Host with a path": b"GET /health/live HTTP/1.1\r\nHost: a/b@c\r\n\r\n",
        "a Host with quotes": b"GET /health/live HTTP/1.1\r\nHost: \"a\"'\r\n\r\n",
        "a Host of 300 bytes": b"GET /health/live HTTP/1.1\r\nHost: " + b"a" * 300 + b"\r\n\r\n",
        "a full URL without a Host": b"GET http://x/health/live HTTP/1.1\r\n\r\n",
    }.items():
        with Wire() as wire:
            wire.send(data)
            answer = wire.answer()
            expect(name, is_problem(answer, 400, "invalid_host"), answer)
    with Wire() as wire:
        # Every server must take one (RFC 9112 §3.2.2).
        wire.send(request("http://other.example/health/live"))
        expect("a full URL as the target", wire.answer().status == 200)
    problem("* as the target", "*", 400, "invalid_request", method="OPTIONS")
    with Wire() as wire:
        # What follows a CONNECT is no HTTP any more, so nothing of it may be answered.
        wire.send(request("x:80", method="CONNECT") + request("/metrics"))
        expect("CONNECT", is_problem(wire.answer(), 400, "invalid_request") and wire.closed())
    problem("8,193 bytes of path", "/" + "a" * 8192, 414, "uri_too_long")
    problem("8,193 bytes of query", "/api/beats?search=" + "a" * 8175, 414, "uri_too_long")
    for path in [
        "/", "//", "/api", "/api/beats/", "//api/beats", "/api//beats", "/api/../metrics", "/api/beats/../../metrics", "/%2e%2e/etc/passwd",
        "/api/beats/..%2f..%2fmetrics", "/api/beats%00", "/api/beats/%00", "/api/beats/%ff", "/api/beats/%c0%ae%c0%ae", "/api/beats/%",
        "/api/beats/%zz", "/health/live#x", "/health/live;x=1", "/API/BEATS", "/api/users/" + "a" * 5000, "/api/users/%0d%0aX-Evil:1",
        "/api/users/$ne", "/api/users/%7B%22$ne%22:1%7D", "/api/users/'%20OR%201=1--", "/api/users/.../beats", "/api/users//beats",
        "/api/beats/1", "/api/beats/{id}", "/api/beats/00000000-0000-0000-0000-00000000000", "/api/beats/00000000-0000-0000-0000-0000000000000",
        "/api/beats/00000000-0000-0000-0000-00000000000g", "/api/beats/00000000000000000000000000000000",
        "/api/beats/%7B00000000-0000-0000-0000-000000000000%7D", "/api/beats/00000000-0000-0000-0000-000000000000",
    ]:
        answer = problem(f"the path {path[:60]}", path, 404, "not_found")
        expect(f"{path[:60]} gives no field", answer and "x-evil" not in answer.fields)


def other_protocols():
    """What offers another protocol is answered in this one, and nothing of what follows is answered or kept."""
    offers = {
        "h2c": (request("/health/live", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"), 200),
        "WebSocket": (request("/nowhere", "Connection: Upgrade", "Upgrade: websocket"), 404),
        "CONNECT": (request("x:80", method="CONNECT"), 400),
    }
    for name, (offer, status) in offers.items():
        with Wire() as wire:
            wire.send(offer + request("/metrics"))
            answer = wire.answer()
            expect(name, answer and answer.status == status and answer.fields.get("connection") == "close", answer)
            expect(f"{name}: closed as announced", wire.closed())
    resident = memory()
    with contextlib.ExitStack() as open_wires:
        wires = [open_wires.enter_context(Wire()) for _ in range(20)]
        for wire in wires:
            wire.send(offers["h2c"][0])
            wire.send(b"x" * (15 << 20))
        expect("300 MB after offers are not kept", memory() - resident < 100 << 20, f"{(memory() - resident) >> 20} MB")
        answers = [wire.answer() for wire in wires]
        expect("each is answered", all(a and a.status == 200 for a in answers) and all(wire.closed() for wire in wires), answers)
    with Wire() as wire:
        wire.send(offers["CONNECT"][0])
        expect("bytes without end after a CONNECT are cut off", not all(wire.send(b"x" * (1 << 20)) for _ in range(64)))


def wrong_methods_and_bodies():
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "PURGE", "QUERY"]:
        answer = problem(method, "/api/genres", 405, "method_not_allowed", method=method)
        expect(f"{method}: Allow", answer and answer.fields.get("allow") == "GET, HEAD", answer and answer.fields)
    with Wire() as wire:
        wire.send(request("/api/beats?limit=1", method="HEAD") + request("/api/beats?limit=1"))
        head, full = wire.answer(has_body=False), wire.answer()
        names = ("content-length", "content-type", "etag")
        expect("HEAD", head.status == 200 and [head.fields[n] for n in names] == [full.fields[n] for n in names], head)
    bodies = {
        "a body": (["Content-Length: 5"], b"hello"),
        "a chunked body": (["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n"),
        "a body of 10 MB": (["Content-Length: 10000000"], b"x" * 10_000_000),
        "JSON 100,000 deep": (["Content-Type: application/json", "Content-Length: 100000"], b"[" * 100_000),
        "a body that was announced and never comes": (["Content-Length: 5", "Expect: 100-continue"], b""),
        "a Transfer-Encoding that nobody knows": (["Transfer-Encoding: banana"], b""),
    }
    for name, (fields, body) in bodies.items():
        problem(f"GET with {name}", "/api/beats", 400, "body_not_allowed", *fields, body=body)
        problem(f"POST with {name}", "/api/genres", 405, "method_not_allowed", *fields, method="POST", body=body)
    problem("a broken query and a body", "/api/beats?%=", 400, "body_not_allowed", "Content-Length: 1", body=b"x")


def wrong_json():
    """Bodies for a route that takes one. Few: whoever tries to sign in is counted."""
    login, json = "/api/auth/login", "Content-Type: application/json"
    for name, body in {
        "a member twice": b'{"email":"a","\\u0065mail":"b"}', "half of a surrogate pair": b'{"email":"\\ud800"}', "a NUL": b'{"email":"\\u0000"}',
        "bytes that are no UTF-8": b'{"email":"\xff"}', "60,000 brackets": b"[" * 60_000, "no object": b"[1]", "a body that is cut off": b'{"email":',
        "something behind": b"{}{}",
    }.items():
        problem(f"login with {name}", login, 400, "invalid_body", json, f"Content-Length: {len(body)}", method="POST", body=body)
    operators = b'{"email":{"$ne":1},"$where":"1=1"}'
    problem("login with operators", login, 400, "invalid_request", json, f"Content-Length: {len(operators)}", method="POST", body=operators)
    problem("login with a form", login, 415, "unsupported_media_type", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 7",
            method="POST", body=b"email=a")
    problem("login with 10 MB", login, 413, "body_too_large", json, "Content-Length: 10000000", method="POST", body=b"x" * 10_000_000)
    problem("login with 10 MB in chunks", login, 413, "body_too_large", json, "Transfer-Encoding: chunked", method="POST",
            body=(b"10000\r\n" + b"x" * 65536 + b"\r\n") * 150 + b"0\r\n\r\n")


# MARK: Queries

TEXTS = ["genre", "mood", "tags", "search"]
STRICT = ["key", "bpm[min]", "bpm[max]", "price[min]", "price[max]", "page", "limit", "cursor", "sortBy", "sortOrder"]


def wrong_queries():
    for query in ["%", "genre=%", "genre=%f", "genre=%zz", "genre=%00", "genre=a%00b", "genre=%ff", "genre=%c0%af", "genre=%e0%80%af", "genre=%ed%a0%80",
                  "search=%0d%0aSet-Cookie:a=b", "search=%7f", "genre=a&genre=b", "limit=10&limit=10", "genre=", "genre=+", "search=%21%21",
                  "tags=", "tags=a,,b", "tags=" + ",".join("abcdefghijk"), "genre=" + "a" * 101, "search=" + "a" * 201, "sortBy=relevance"]:
        answer = problem(f"the query {query[:60]}", f"/api/beats?{query}", 400, "invalid_request")
        expect(f"{query[:60]} sets nothing", answer and "set-cookie" not in answer.fields)
    for query in ["x=1", "Genre=a", "bpm=1", "bpm[ne]=1", "=a", "%67enre%20=a", "__proto__=1", "a%0d%0ab=1", "limit[]=1", "$where=1"]:
        problem(f"the query {query}", f"/api/beats?{query}", 400, "unknown_parameter")
    for path in ["/api/genres", "/health/live", "/health/ready", "/metrics", "/openapi.yaml", "/api/beats/featured", "/api/users/studio-1/beats"]:
        problem(f"an unknown parameter of {path}", f"{path}?x=1", 400, "unknown_parameter")
    for value in ["0", "101", "-1", "1e9", "1.0", "٣", "０", "+1", " 1", "1 ", "0x1", "9" * 30, "null", "true", "NaN"]:
        problem(f"limit={value}", f"/api/beats?limit={quote(value)}", 400, "invalid_request")
    for value in ["0", "501", "999999999999", "-9223372036854775808", "9223372036854775808"]:
        problem(f"page={value}", f"/api/beats?page={value}", 400, "invalid_request")
    for name in TEXTS + STRICT:
        for suffix in ["[$ne]", "[$gt]", "[$regex]", "[]", ".$ne", "[min][$ne]"]:
            problem(f"{name}{suffix}", f"/api/beats?{quote(name + suffix)}=x", 400, "unknown_parameter")
        for value in ['{"$ne":"x"}', '{"$gt":""}', "$where", '{"$where":"sleep(9)"}', "[$ne]", ".*", "'; DROP TABLE beats; --", "${7*7}"]:
            target = f"/api/beats?{quote(name)}={quote(value)}"
            if name in STRICT:
                problem(f"{name}={value}", target, 400, "invalid_request")
            elif name != "search":
                answer = get(target)
                expect(f"{name}={value} finds nothing", answer.status == 200 and answer.json["page"]["total"] == 0, answer)
    everything = get("/api/beats").json["page"]["total"]
    for search in ['"$where" beat', 'beat" -beat', '"beat', "-beat", "beat {$ne:1}"]:
        answer = get(f"/api/beats?search={quote(search)}")
        expect(f"search={search}", answer.status == 200 and answer.json["page"]["total"] <= everything, answer)


def wrong_cursors():
    following = get("/api/beats?limit=1").json["page"]["next"]
    for other in ["sortBy=title", "sortOrder=asc", "genre=Trap", "sortBy=price"]:
        problem(f"a cursor with {other}", f"/api/beats?{other}&cursor={following}", 400, "invalid_cursor")
    problem("a cursor of another path", f"/api/beats/featured?cursor={following}", 400, "invalid_cursor")
    for cursor in ["x", "=", "A" * 35, "A" * 2000, "A" * 3000, following + "A", following[:-1], following[::-1], "%00", "é"]:
        problem(f"the cursor {cursor[:40]}", f"/api/beats?cursor={quote(cursor)}", 400, "invalid_request")
    raw = base64.urlsafe_b64decode(following + "=" * (-len(following) % 4))
    values = [b"\0", b"\1" + struct.pack(">q", -(2**63)), b"\1" + struct.pack(">q", 2**63 - 1), b"\2" + struct.pack(">d", 1e308), b"\3", b"\3$ne\0",
              b"\2" + struct.pack(">d", float("nan")), b"\3" + b"a" * 1025, b"\3\xff", b"\4"]
    forged = [raw[:25] + value for value in values]
    forged += [raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :] for bit in range(0, len(raw) * 8, 3)]
    for cursor in forged:
        answer = get("/api/beats?limit=2&cursor=" + base64.urlsafe_b64encode(cursor).rstrip(b"=").decode())
        expect(f"the forged cursor {cursor.hex()}", answer.status == 200 or answer.status == 400, answer)


def many_requests_at_once():
    with Wire() as wire:
        wire.send(request("/health/live") * 50 + request("/nowhere") * 50 + request("/api/beats?limit=2") * 50)
        statuses = [wire.answer().status for _ in range(150)]
        expect("150 requests in one packet", statuses == [200] * 50 + [404] * 50 + [200] * 50, statuses)
    with Wire() as wire:
        wire.send(request("/health/live") + b"GET / HTTP/1.1\r\nbroken\r\n\r\n" + request("/metrics"))
        first, second = wire.answer(), wire.answer()
        expect("a broken request behind a good one", first.status == 200 and (second is None or second.status == 400) and wire.closed(), second)
    with Wire() as wire:
        for byte in request("/health/live"):
            wire.send(bytes([byte]))
        expect("a request byte by byte", wire.answer().status == 200)


def whole_answers_before_closing():
    """Many answers wait in the gateway when the last request asks to close: none may be lost."""
    for close in ["close", "Close", "keep-alive, close"]:
        with Wire(timeout=20, receive_buffer=4096) as wire:
            wire.send(request("/api/beats?limit=100") * 60 + request("/api/beats?limit=100", f"Connection: {close}"))
            # Until the answers that nobody reads fill the socket, and wait in the gateway.
            time.sleep(0.2)
            answers = [wire.answer() for _ in range(61)]
            expect(f"Connection: {close}", all(a and a.status == 200 for a in answers) and wire.closed(), len([a for a in answers if a]))


# MARK: Slow ones


def silent():
    with Wire(timeout=IDLE + SLACK) as wire:
        expect("a silent connection is closed", wire.closed())


def slow(name, first, rest):
    """A byte each half second, whatever the gateway says, until it takes no more."""
    with Wire() as wire:
        wire.send(first)
        began = time.monotonic()
        while time.monotonic() - began < IDLE * 4 and wire.send(rest[:1]):
            rest = rest[1:]
            time.sleep(0.5)
        took = time.monotonic() - began
        expect(f"{name} is closed", took < IDLE * 2 + SLACK, f"{took:.1f} s")


def slow_reader():
    with Wire(timeout=1, receive_buffer=4096) as wire:
        began = time.monotonic()
        list_request = request("/api/beats?limit=100")
        while time.monotonic() - began < IDLE * 4:
            try:
                if not wire.send(list_request * 50):
                    break
            except TimeoutError:
                pass
        expect("a reader that stops reading is closed", time.monotonic() - began < IDLE * 2 + SLACK, f"{time.monotonic() - began:.1f} s")


def endless_body():
    with Wire(timeout=IDLE * 4) as wire:
        wire.send(request("/api/genres", "Transfer-Encoding: chunked", method="POST"))
        chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        expect("a body without end is closed", not all(wire.send(chunk) for _ in range(64)))


def slow_ones():
    head = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: "
    body = request("/api/genres", "Content-Length: 1000", method="POST")
    chunks = request("/api/genres", "Transfer-Encoding: chunked", method="POST")
    wanted = request("/api/auth/login", "Content-Type: application/json", "Content-Length: 1000", method="POST")
    cases = [
        silent,
        lambda: slow("a slow request line", b"", b"GET /" + b"a" * 100),
        lambda: slow("a slow header", head, b"a" * 100),
        lambda: slow("a slow second header", request("/health/live") + head, b"a" * 100),
        lambda: slow("a slow body", body, b"a" * 100),
        lambda: slow("a slow body that is wanted", wanted, b" " * 100),
        lambda: slow("slow chunks", chunks, b"1\r\na\r\n" * 20),
        slow_reader,
        endless_body,
    ]
    with ThreadPoolExecutor(len(cases)) as pool:
        list(pool.map(lambda case: case(), cases))


# MARK: While it goes on


async def slow_crowd(connections, seconds):
    """Connections that each send a header a byte a second, and come again when they are thrown out."""
    end = time.monotonic() + seconds

    async def one():
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(*ADDRESS)
                writer.write(b"GET /api/beats HTTP/1.1\r\nHost: x\r\nX: ")
                while time.monotonic() < end and not writer.is_closing():
                    writer.write(b"a")
                    await writer.drain()
                    await asyncio.sleep(1)
                writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))


def times(beat, seconds=None, count=60):
    """How long normal requests take, each on a connection of its own."""
    taken, end = [], time.monotonic() + (seconds or 60)
    while time.monotonic() < end and (seconds or len(taken) < count):
        began = time.monotonic()
        answers = [get(f"/api/beats/{beat}"), get("/api/beats?limit=5", "Cache-Control: no-cache")]
        taken.append(time.monotonic() - began)
        expect("normal requests are answered", all(a and a.status == 200 for a in answers), answers)
        # One client of many, who leaves the machine to the others.
        time.sleep(0.02)
    return sorted(taken)


def under_siege(name, beat, longest, work, seconds):
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        taken = times(beat, seconds=seconds)
        working.result()
    expect(f"{name}: others are answered within {longest:.1f} s", taken[-1] < longest, f"{taken[-1]:.3f} s")
    print(f"ok: {name}: {len(taken)} pairs of normal requests, the slowest in {taken[-1] * 1000:.0f} ms")


def sieges(beat, longest):
    under_siege("400 slow headers", beat, longest, lambda: asyncio.run(slow_crowd(400, 6)), 6)
    tool = shutil.which("slowhttptest")
    if not tool:
        return
    url = f"http://127.0.0.1:{ADDRESS[1]}/api/beats"
    for name, options in {
        "slowhttptest, headers": ["-H", "-i", "1"],
        "slowhttptest, bodies": ["-B", "-i", "1", "-s", "8192"],
        "slowhttptest, reading": ["-X", "-w", "1", "-y", "2", "-n", "1", "-z", "8"],
    }.items():
        command = [tool, *options, "-c", "300", "-r", "150", "-l", "6", "-p", "3", "-u", url]
        under_siege(name, beat, longest, lambda: subprocess.run(command, stdout=subprocess.DEVNULL, timeout=30, check=False), 6)


# MARK: The gateway itself


def open_files():
    return len(os.listdir(f"/proc/{GATEWAY}/fd"))


def memory():
    """Resident bytes of the gateway."""
    return int(Path(f"/proc/{GATEWAY}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    beat = get("/api/beats?limit=1").json["items"][0]["id"]
    times(beat, count=10)
    before, files, resident = snapshot(), open_files(), memory()
    usual = times(beat)
    # A second, unless the machine is so slow that even now it takes longer than usual.
    longest = max(1, 10 * usual[-1])
    for step in [broken_requests, wrong_targets_and_hosts, other_protocols, wrong_methods_and_bodies, wrong_json, wrong_queries, wrong_cursors, many_requests_at_once,
                 whole_answers_before_closing, slow_ones, lambda: sieges(beat, longest)]:
        began, failed = time.monotonic(), len(FAILURES)
        try:
            step()
        except TimeoutError:
            expect(f"{step.__name__}: nothing hangs", False, traceback.format_exc())
        if len(FAILURES) == failed and step.__name__ != "<lambda>":
            print(f"ok: {step.__name__.replace('_', ' ')} ({time.monotonic() - began:.1f} s)")
    # Whatever was left open is closed by now because it is idle.
    time.sleep(IDLE + 1)
    expect("no connection is left", open_files() <= files + 8, f"{files} open files before, {open_files()} after")
    expect("little memory is left behind", memory() - resident < 100 << 20, f"{(memory() - resident) >> 20} MB")
    after = times(beat)
    median = len(usual) // 2
    expect("the gateway is as fast as before", after[median] < 3 * usual[median] + 0.02 and after[-1] < longest, f"{usual[median]} {after[median]} {after[-1]}")
    left = snapshot()
    changed = sorted(name for name in before.keys() | left.keys() if before.get(name) != left.get(name))
    expect("both stores are byte for byte what they were", "postgres.beats" in left and "mongo.beats" in left and not changed, changed)
    print(f"{len(FAILURES)} failures")
    sys.exit(1 if FAILURES else 0)


main()
