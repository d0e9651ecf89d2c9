"""Bad input changes no store. For 10-contract.sh, after the fuzz run.

    refused.py RECORDED

RECORDED has every request that was to change something and was refused with 4xx (schemathesis_hooks.py writes it). They are sent once
more while nothing else happens; what is refused again must leave every row and every document as it was, byte for byte. Where it does
not, the request that is to blame is searched for by halves.
"""

import base64
import concurrent.futures
import http.client
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request

from postgres import sql
from snapshot import CLOCK, snapshot

PORT = int(os.environ["KABABEAT_HTTP_PORT"])
PASSWORD = os.environ["KABABEAT_TEST_PASSWORD"]
WORKERS = 4
ROUNDS = 8
# What share must be refused as it was at first. What has become of accounts and keys meanwhile makes some 404 a 403 and the like.
ALIKE = 0.9
PATIENCE = 20

# What exists to account for refusals and traffic, and so changes with them, or with the clock. Nothing else is left out.
TRAFFIC = CLOCK | {
    "audit_log": "a refusal at the edge and a sign-in that failed are entries",
    "audit_unsealed": "entries that are not yet in the chain",
    "audit_chain": "the chain over those entries",
}


def settled():
    """Waits until nothing is on its way any more, and says how everything is then."""
    deadline, before = time.monotonic() + PATIENCE, None
    while True:
        now = snapshot(TRAFFIC) if sql("SELECT count(*) FROM outbox WHERE state = 'pending'") == "0" else None
        if now is not None and now == before:
            return now
        assert time.monotonic() < deadline, "the stores do not come to rest"
        before = now
        time.sleep(0.2)


def sign_in(email):
    """An access token. Where the gateway asks for patience, since a disk is slow for a moment, it is asked again, as by any client."""
    body, deadline = json.dumps({"email": email, "password": PASSWORD}).encode(), time.monotonic() + PATIENCE
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/api/auth/login", body, {"Content-Type": "application/json"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)["accessToken"]
        except urllib.error.HTTPError as error:
            problem = error.read(1000).decode(errors="replace")
            if error.code != 503 or time.monotonic() > deadline:
                sys.exit(f"not ok: {email} cannot sign in: {error.code} {problem}")
            time.sleep(float(error.headers["Retry-After"]))


class Sessions:
    """Access tokens of the accounts that fuzzed; another one where what is replayed has ended the one before."""

    def __init__(self):
        self.lock, self.tokens = threading.Lock(), {}

    def token(self, email):
        with self.lock:
            if email not in self.tokens:
                self.tokens[email] = sign_in(email)
            return self.tokens[email]

    def renew(self, email, token):
        """Drops a token that is good for nothing any more."""
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}/api/auth/me", headers={"Authorization": "Bearer " + token})
        try:
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        except urllib.error.HTTPError:
            with self.lock:
                if self.tokens.get(email) == token:
                    del self.tokens[email]


class Sender(threading.local):
    """One connection a thread."""

    def __init__(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE)

    def send(self, request, sessions):
        """The status that the request is answered with."""
        has_host = any(name.lower() == "host" for name in request["fields"])
        self.connection.putrequest(request["method"], request["target"], skip_host=has_host, skip_accept_encoding=True)
        for name, value in request["fields"].items():
            self.connection.putheader(name, value.encode("latin-1"))
        token = request["account"] and sessions.token(request["account"])
        if token:
            self.connection.putheader("Authorization", "Bearer " + token)
        self.connection.endheaders(base64.b64decode(request["body"]) or None)
        answer = self.connection.getresponse()
        answer.read()
        if answer.will_close:
            self.connection.close()
        if answer.status == 401 and token:
            sessions.renew(request["account"], token)
        return answer.status


def replay(requests, sessions):
    """Those that were refused again, how many of them with the status of the first time, and those that were not, with their status."""
    sender = Sender()

    def send(request):
        try:
            return sender.send(request, sessions)
        except (OSError, http.client.HTTPException):
            sender.connection.close()
            return sender.send(request, sessions)

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        statuses = list(pool.map(send, requests))
    answered = list(zip(requests, statuses))
    again = [request for request, status in answered if 400 <= status < 500]
    alike = sum(request["status"] == status for request, status in answered)
    return again, alike, [(status, request) for request, status in answered if not 400 <= status < 500]


def changed(before, after):
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def blame(requests, sessions):
    """The request among them that changes something, and what; nil where none does it a second time."""
    before = settled()
    replay(requests, sessions)
    difference = changed(before, settled())
    if not difference:
        return None
    if len(requests) == 1:
        return requests[0], difference
    half = len(requests) // 2
    return blame(requests[:half], sessions) or blame(requests[half:], sessions)


def main():
    with open(sys.argv[1]) as file:
        requests = list({line: json.loads(line) for line in file}.values())
    assert len(requests) > 200, f"only {len(requests)} refused requests were recorded"
    sessions, began = Sessions(), time.monotonic()
    for email in sorted({request["account"] for request in requests} - {""}):
        sessions.token(email)
    for _ in range(ROUNDS):
        before = settled()
        again, alike, others = replay(requests, sessions)
        difference = changed(before, settled())
        if not others and difference:
            culprit, parts = blame(requests, sessions) or ("none that does it a second time", difference)
            sys.exit(f"not ok: refused requests changed {', '.join(parts)}: {culprit}")
        requests = again
        if not difference:
            break
        # It was for those that are accepted by now to change something; the rest is held against stores that nobody changes.
    else:
        sys.exit(f"not ok: of what was refused, some is accepted again and again, such as {others[0]}")
    # Or something else than what was to be tried was tried.
    assert alike > ALIKE * len(requests), f"only {alike} of {len(requests)} requests were refused as they were at first"
    print(
        f"{len(requests)} refused requests, sent again in {time.monotonic() - began:.0f} s, {alike} of them refused with the same status,"
        f" changed none of {len(before)} tables and collections")


main()
