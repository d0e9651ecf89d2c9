"""Accounts of the benchmark's own, and people who sign in to them."""

import base64
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

PASSWORD = "a long password of the benchmark"
NAMES = [f"bench-{number}" for number in range(100)]


def _post(server, path, body):
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read() or b"{}")


def _send(server, method, path, token):
    request = urllib.request.Request(server.url + path, headers={"Authorization": f"Bearer {token}"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        response.read()


def all_of(requests, server):
    """Sends requests without a body, (method, path, token), a few at once."""
    with ThreadPoolExecutor(8) as people:
        for answer in [people.submit(_send, server, *request) for request in requests]:
            answer.result()


def creators(server):
    """The id of each account and a token for it as a creator."""
    all_of([("POST", "/api/users/me/creator", token) for token in access_tokens(server)], server)
    return [(_subject(token), token) for token in access_tokens(server)]


def _subject(token):
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]


def _credentials(name):
    return {"email": f"{name}@bench.example", "password": PASSWORD}


def access_tokens(server):
    """A token for each account; those that are not there yet are registered."""
    tokens = []
    for name in NAMES:
        try:
            signed_in = _post(server, "/api/auth/login", _credentials(name))
        except urllib.error.HTTPError as refusal:
            if refusal.code != 401:
                raise
            _post(server, "/api/auth/register", _credentials(name) | {"username": name})
            signed_in = _post(server, "/api/auth/login", _credentials(name))
        tokens.append(signed_in["accessToken"])
    return tokens


def me(server, token):
    request = urllib.request.Request(server.url + "/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())


class SignIns:
    """Signs in `rate` times a second, however long each takes, while the block runs. `statuses` counts the answers."""

    def __init__(self, server, rate):
        self.server, self.rate, self.statuses, self.seconds = server, rate, {}, 0.0
        self._local, self._lock, self._done = threading.local(), threading.Lock(), threading.Event()
        self._clock = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        with ThreadPoolExecutor(64) as people:
            start, number = time.monotonic(), 0
            while not self._done.wait(max(0.0, start + number / self.rate - time.monotonic())):
                people.submit(self._sign_in, NAMES[number % len(NAMES)])
                number += 1
            self.seconds += time.monotonic() - start

    def _sign_in(self, name):
        try:
            if not hasattr(self._local, "connection"):
                self._local.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
            self._local.connection.request("POST", "/api/auth/login", json.dumps(_credentials(name)), {"Content-Type": "application/json"})
            answer = self._local.connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException) as failure:
            self._local.connection.close()
            status = type(failure).__name__
        with self._lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1

    def __enter__(self):
        self._clock.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._clock.join()
