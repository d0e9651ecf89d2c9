"""The gateway as something that is killed: started with a crash point armed, seen to die of it, and started again."""

import atexit
import http.client
import json
import os
import signal
import subprocess
import time

from postgres import sql

BINARY = os.environ["KABABEAT_BINARY"]
PORT = int(os.environ["KABABEAT_HTTP_PORT"])
SCRATCH = os.environ["KABABEAT_TEST_SCRATCH"]
LOG = f"{SCRATCH}/gateway.log"
# Seconds that anything may take on a busy machine.
PATIENCE = 30


def until(condition, what, within=PATIENCE):
    """Waits until `condition` answers something; answers that."""
    end = time.monotonic() + within
    while True:
        if answer := condition():
            return answer
        assert time.monotonic() < end, f"not within {within} s: {what}"
        time.sleep(0.02)


def armed(point, passage):
    return os.environ | {"KABABEAT_CRASH_AT": f"{point}:{passage}"}


def was_killed(status, log, point):
    """Holds an end to what the point promises: SIGKILL, and by the point itself."""
    assert status == -signal.SIGKILL, f"{point} was never reached; the process ended with {status}: {log[-2000:]}"
    assert f"killed at {point}\n" in log, f"something else than {point} killed the process: {log[-2000:]}"


class Gateway:
    """One process of `kababeat serve`, ready to answer; with a point, one that dies when it passes there for the `passage`th time."""

    def __init__(self, point=None, passage=1):
        self.point = point
        with open(LOG, "wb") as log:
            environment = armed(point, passage) if point else os.environ
            self.process = subprocess.Popen([BINARY, "serve"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        # Whatever becomes of the check, no gateway is left behind.
        atexit.register(self.end)
        until(self._is_ready, "the gateway answers")

    def _is_ready(self):
        assert self.process.poll() is None, f"the gateway ended with {self.process.returncode}: {self.log}"
        answer = call("GET", "/health/ready")
        return answer is not None and answer.status == 200

    @property
    def log(self):
        with open(LOG, encoding="utf-8", errors="replace") as log:
            return log.read()

    def dies(self):
        """Waits for its end, and holds it to its point."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.point} was never reached; the gateway still runs") from None
        was_killed(self.process.returncode, self.log, self.point)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)


class Answer:
    def __init__(self, response):
        self.status, self.fields, self.body = response.status, response.headers, response.read()
        self.json = json.loads(self.body) if self.body and "json" in self.fields.get("Content-Type", "") else {}

    def expect(self, status):
        assert self.status == status, f"{self.status} {self.json}, not {status}"
        return self.json


def call(method, path, body=None, token=None, **fields):
    """The answer; None where whoever would have given it is gone."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None:
        body = json.dumps(body)
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers)
        return Answer(connection.getresponse())
    except (ConnectionError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def command(*arguments, point=None, passage=1, status=0, **settings):
    """Runs `kababeat` to its end, which is at `point` where one is given; answers what it says."""
    environment = (armed(point, passage) if point else os.environ) | settings
    done = subprocess.run([BINARY, *arguments], env=environment, capture_output=True, text=True, timeout=4 * PATIENCE)
    said = done.stdout + done.stderr
    if point:
        was_killed(done.returncode, said, point)
    else:
        assert done.returncode == status, f"kababeat {' '.join(arguments)} ended with {done.returncode}: {said}"
    return said


def number(text):
    return int(sql(text))
