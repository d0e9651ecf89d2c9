"""A small HTTP/1.1 client for load: keep-alive connections over asyncio, nothing hidden, nothing tried again."""

import asyncio
import json
import socket
import time

HOST = "127.0.0.1"


class Answer:
    __slots__ = ("status", "fields", "body", "began", "seconds")

    def __init__(self, status, fields, body, began, seconds):
        self.status, self.fields, self.body, self.began, self.seconds = status, fields, body, began, seconds

    @property
    def json(self):
        return json.loads(self.body)


class Connection:
    """One connection. Whatever goes wrong on it is an OSError or an IncompleteReadError."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def get(self, path, no_cache=False):
        return await self.send("GET", path, fields={"Cache-Control": "no-cache"} if no_cache else None)

    async def send(self, method, path, body=None, fields=None):
        """One request; `body` goes as JSON, and nothing is followed or tried again."""
        began = time.monotonic()
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(HOST, self.port)
        content = b"" if body is None else json.dumps(body).encode()
        fields = dict(fields or {})
        if body is not None:
            fields["Content-Type"] = "application/json"
        if method != "GET":
            fields["Content-Length"] = str(len(content))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n".encode() + content)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        body = await self.reader.readexactly(int(fields.get("content-length", "0")))
        answer = Answer(int(lines[0].split(" ")[1]), fields, body, began, time.monotonic() - began)
        if fields.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


async def get_once(port, path, no_cache=False):
    connection = Connection(port)
    try:
        return await connection.get(path, no_cache)
    finally:
        connection.close()


def free_ports(count):
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    return [one.getsockname()[1] for one in sockets]


def percentile(values, share):
    """Of a sorted list; 0 for an empty one."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def milliseconds(values):
    """p50, p99 and maximum, in words."""
    values = sorted(values)
    p50, p99, most = (percentile(values, share) * 1000 for share in (0.5, 0.99, 1))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {most:.1f} ms"


async def every_beat(port):
    """What every published beat looks like, by id, read off the list page by page."""
    connection, beats, path = Connection(port), {}, "/api/beats?limit=100&sortBy=title"
    try:
        while path:
            answer = await connection.get(path)
            assert answer.status == 200, answer.body
            for beat in answer.json["items"]:
                beats[beat["id"]] = beat
            cursor = answer.json["page"].get("next")
            path = cursor and f"/api/beats?limit=100&sortBy=title&cursor={cursor}"
    finally:
        connection.close()
    return beats
