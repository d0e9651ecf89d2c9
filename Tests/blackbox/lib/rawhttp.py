"""HTTP/1.1 by hand, for requests that no client library would send."""

import json
import os
import socket

ADDRESS = ("127.0.0.1", int(os.environ["KABABEAT_HTTP_PORT"]))


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}"


class Wire:
    """One connection: bytes out, answers in."""

    def __init__(self, timeout=5.0, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(ADDRESS)
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False when the other side has closed already."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.unread += data
        return bool(data)

    def answer(self, has_body=True):
        """The next answer, or None where the connection is closed before there is a whole one. A TimeoutError is a hang."""
        while b"\r\n\r\n" not in self.unread:
            if not self._more():
                return None
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in fields, f"{name} stands twice: {head}"
            fields[name.lower()] = value
        length = int(fields["content-length"]) if has_body and "content-length" in fields else 0
        while len(self.unread) < length:
            if not self._more():
                return None
        body, self.unread = self.unread[:length], self.unread[length:]
        return Answer(int(first.split(" ")[1]), fields, body)

    def closed(self):
        """Whether the other side closes without another byte. A TimeoutError is a hang."""
        return not self.unread and not self._more()


def request(target, *fields, method="GET", host="gateway.example"):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]
    return "\r\n".join(lines).encode()


def get(target, *fields):
    with Wire() as wire:
        wire.send(request(target, *fields))
        return wire.answer()
