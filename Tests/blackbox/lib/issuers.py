"""Issuers of tokens: what they publish, and what they sign."""

import base64
import hmac
import http.server
import json
import threading
import time

from joserfc import jwt


class Issuer(http.server.ThreadingHTTPServer):
    """Publishes keys, and whatever else `pages` has: bytes, or a function that answers by itself. Counts who asks."""

    daemon_threads = True

    def __init__(self, port=0):
        self.pages, self.asked = {}, []
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def publish(self, path, *keys):
        self.pages[path] = json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        page = self.server.pages.get(self.path)
        if callable(page):
            page(self)
            return
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Length", str(len(page or b"")))
        self.end_headers()
        self.wfile.write(page or b"")

    def log_message(self, *arguments):
        pass


def token(key, algorithm, claims, **header):
    """A signed token that is good for an hour, unless `claims` say otherwise; None leaves a claim out."""
    now = int(time.time())
    claims = {"iat": now, "exp": now + 3600, "sub": "5f7f6c9e-0000-4000-8000-000000000001"} | claims
    header = {"alg": algorithm, "typ": "JWT"} | header
    return jwt.encode(
        {k: v for k, v in header.items() if v is not None}, {k: v for k, v in claims.items() if v is not None}, key,
        algorithms=[algorithm],
    )


def forged(header, claims, key=None):
    """What no library signs: with nothing, or with bytes that are no secret, by HMAC."""
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    now = int(time.time())
    claims = {"iat": now, "exp": now + 3600, "sub": "somebody"} | claims
    text = ".".join(part(json.dumps(value).encode()) for value in ({"typ": "JWT"} | header, claims))
    return f"{text}.{part(hmac.digest(key, text.encode(), 'sha256')) if key else ''}"
