"""Processes and the machine: starting servers, their memory, what this run was measured on."""

import os
import platform
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from datetime import date


class Server:
    """A process under test, with its children. `argv` of None: it runs already as `pid`."""

    def __init__(self, name, port, argv=None, env=None, log=None, pid=None):
        self.name, self.port, self.pid, self.process = name, port, pid, None
        if argv is None:
            return
        with open(log, "w") as output:
            self.process = subprocess.Popen(
                argv, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        self.pid = self.process.pid
        self._wait_until_it_listens(log)

    def _wait_until_it_listens(self, log):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise SystemExit(f"{self.name} did not start:\n{open(log).read()[-2000:]}")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        """Ends what this object started, and nothing else."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def kill(self):
        """Kills what this object started, children included, without a word."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def resident(self):
        """Megabytes in memory, children included."""
        return sum(map(_resident_kilobytes, _family(self.pid))) / 1024

    def allow_files(self, count):
        """Raises the process's limit of open files, as far as this user may; says what it came to."""
        soft, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        if soft < count:
            soft = min(count, hard)
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (soft, hard))
        return soft


class PeakMemory:
    """Samples a server's memory while the block runs; `megabytes` is the most it saw."""

    def __init__(self, server):
        self.server, self.megabytes = server, 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self):
        while True:
            self.megabytes = max(self.megabytes, self.server.resident())
            if self._done.wait(0.2):
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


def _family(root):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parents.setdefault(int(stat.read().rpartition(")")[2].split()[1]), []).append(int(entry))
            except OSError:
                continue
    family, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        family.append(pid)
        waiting += parents.get(pid, [])
    return family


def _resident_kilobytes(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            found = re.search(r"VmRSS:\s+(\d+)", status.read())
        return int(found[1]) if found else 0
    except OSError:
        return 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _first_line(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
        return next((line.strip() for line in done.stdout.splitlines() if line.strip()), "")
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def facts(revision_of):
    """What a reader needs to judge the figures: pairs of a name and a value."""
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*:\s*(.*)", file.read())
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s+(\d+)", file.read())[1]) / 2**20
    with open("/etc/os-release") as file:
        system = re.search(r'PRETTY_NAME="(.*)"', file.read())
    return [
        ("date", date.today().isoformat()),
        ("revision", _first_line("git", "-C", revision_of, "describe", "--always", "--dirty")),
        ("machine", f"{os.cpu_count()} × {model[1] if model else platform.machine()}, {memory:.0f} GiB"),
        ("system", f"{system[1] if system else platform.system()}, Linux {platform.release()}"),
        ("load before the run", f"{os.getloadavg()[0]:.2f}"),
        ("Swift", _first_line("swift", "--version")),
        ("Node", _first_line("node", "--version")),
        ("Go", _first_line("go", "version")),
        ("libmongoc", _first_line("pkg-config", "--modversion", "libmongoc-1.0")),
        ("wrk", _first_line("wrk", "--version")),
    ]
