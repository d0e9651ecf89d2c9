"""What is tortured: two gateways behind HAProxy and three stores, all on loopback and all started by `scripts/torture`."""

import asyncio
import os
import signal
import subprocess
import time

from client import Answer, free_ports, get_once

STORES = ("mongodb", "redis", "postgres")
INSTANCES = ("a", "b")
# Where a client may go in.
ENTRIES = ("balancer", *INSTANCES)
# Seconds that anything may take to be there again. Recovery of MongoDB and Postgres takes most of it.
PATIENCE = 60

HAPROXY = """
defaults
    mode http
    timeout connect 1s
    timeout client 40s
    timeout server 40s
    timeout check 1s
    # Another instance is tried where one does not accept a connection: nothing has been sent then.
    option redispatch 1
    retries 2

frontend api
    bind 127.0.0.1:{port}
    default_backend instances

backend instances
    balance roundrobin
    # HTTP/1.0 without Host is 400, and a server whose check is answered so is down.
    option httpchk
    http-check send meth GET uri /health/live ver HTTP/1.1 hdr Host gateway
    default-server check inter 200ms fall 1 rise 1
    server a 127.0.0.1:{a}
    server b 127.0.0.1:{b}
"""


class Stage:
    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory
        self.ports = dict(zip(ENTRIES, free_ports(len(ENTRIES))))
        self.processes = {}
        self.tools = set()

    async def raise_curtain(self):
        """Migrated databases, both instances ready, the balancer in front."""
        await self.command(self.binary, "migrate")
        for name in INSTANCES:
            self.start_instance(name)
        configuration = os.path.join(self.directory, "haproxy.cfg")
        with open(configuration, "w") as file:
            file.write(HAPROXY.format(port=self.ports["balancer"], a=self.ports["a"], b=self.ports["b"]))
        self._start("balancer", ["haproxy", "-db", "-f", configuration])
        await self.until("the gateways become ready", self.is_whole)

    def start_instance(self, name):
        self._start(name, [self.binary, "serve"], KABABEAT_HTTP_PORT=str(self.ports[name]), KABABEAT_TOKEN_SECONDS="3600",
                    KABABEAT_PASSWORD_COST="4")

    def _start(self, name, argv, **environment):
        with open(os.path.join(self.directory, f"{name}.log"), "ab") as log:
            self.processes[name] = subprocess.Popen(
                argv, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def kill_instance(self, name):
        self.check_instances()
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def check_instances(self):
        """None of them ends unless it is killed."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended by itself with {process.returncode}: see {self.directory}/{name}.log")

    async def store(self, action, name):
        await self.command(os.environ["KABABEAT_TEST_STORE"], action, name)

    async def command(self, *argv, check=True):
        """What it prints, and its exit status if that is not to be checked."""
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        self.tools.add(process)
        try:
            output, _ = await asyncio.wait_for(process.communicate(), 2 * PATIENCE)
        finally:
            self.tools.discard(process)
        text = output.decode(errors="replace").strip()
        if check and process.returncode:
            raise RuntimeError(f"{' '.join(argv[:3])} failed with {process.returncode}: {text[-2000:]}")
        return text if check else (text, process.returncode)

    async def sql(self, text):
        database = f"{os.environ['KABABEAT_TEST_POSTGRES']} dbname={os.environ['KABABEAT_POSTGRES_DATABASE']}"
        return await self.command("psql", "--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1",
                                  "--command", text, database)

    async def is_whole(self):
        """Whether both instances and the balancer answer, and reach all three stores."""
        self.check_instances()
        asked = [get_once(self.ports[name], path, True) for name in ENTRIES for path in ("/health/ready", "/api/beats?limit=1")]
        answers = await asyncio.gather(*(asyncio.wait_for(one, 2) for one in asked), return_exceptions=True)
        return all(isinstance(answer, Answer) and answer.status == 200 and b'"down"' not in answer.body for answer in answers)

    async def until(self, what, condition, limit=PATIENCE):
        """Seconds until the condition holds."""
        began = time.monotonic()
        while not await condition():
            if time.monotonic() - began > limit:
                raise RuntimeError(f"within {limit} s it did not come about that {what}")
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    def drop_curtain(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
