"""A real OpenID provider (canaille), and a browser that signs in there."""

import base64
import hashlib
import hmac
import json
import os
import re
import struct
import subprocess
import sys
import time
import urllib.parse

import httpx
from joserfc import jwk

from identity import PATIENCE

BIN = os.path.dirname(sys.executable)


class Provider:
    """canaille over SQLite. Says that an address is verified of those accounts whose name begins with `known`."""

    client_id, client_secret = "kababeat", "a/secret+with signs"

    def __init__(self, directory, port):
        self.port, self.issuer, self.process = port, f"http://127.0.0.1:{port}", None
        self.config = os.path.join(directory, "canaille.toml")
        self.log = os.path.join(directory, "canaille.log")
        self.environment = {**os.environ, "CANAILLE_CONFIG": self.config}

    def prepare(self, callback, accounts):
        """`accounts` are triples: name, password, address."""
        key = jwk.RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)
        members = ", ".join(f"{name} = {json.dumps(value)}" for name, value in key.items())
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(
                f"""
                SECRET_KEY = "{os.urandom(32).hex()}"
                SERVER_NAME = "127.0.0.1:{self.port}"
                PREFERRED_URL_SCHEME = "http"
                [CANAILLE]
                DATABASE = "sql"
                JAVASCRIPT = false
                HTMX = false
                [CANAILLE_SQL]
                DATABASE_URI = "sqlite:///{self.config}.sqlite"
                [CANAILLE_OIDC]
                ACTIVE_JWKS = [{{{members}}}]
                [CANAILLE_OIDC.USERINFO_MAPPING]
                WEBSITE = "{{% if user.user_name.startswith('known') %}}true{{% endif %}}"
                """
            )
        self.run("install")
        for name, password, address in accounts:
            self.run(
                "create", "user", "--user-name", name, "--password", password, "--given-name", name, "--family-name", "Tester",
                "--display-name", name, "--emails", address,
            )
        self.run(
            "create", "client", "--client-id", self.client_id, "--client-secret", self.client_secret, "--client-name", "KabaBeat",
            "--client-uri", "http://127.0.0.1", "--redirect-uris", callback, "--grant-types", "authorization_code",
            "--response-types", "code", "--scope", "openid", "--scope", "email", "--scope", "profile",
            "--token-endpoint-auth-method", "client_secret_basic", "--id-token-signed-response-alg", "RS256",
        )
        # Its identity tokens are for whoever is named here, and a client can only be named once it is there.
        self.run("set", "client", self.client_id, "--audience", self.client_id)

    def run(self, *arguments):
        command = [os.path.join(BIN, "canaille"), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise SystemExit(f"canaille {arguments[0]} failed: {done.stdout[-500:]}{done.stderr[-2000:]}")

    def start(self):
        with open(self.log, "ab") as log:
            command = [os.path.join(BIN, "canaille"), "run", "--bind", f"127.0.0.1:{self.port}"]
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                httpx.get(f"{self.issuer}/.well-known/openid-configuration", timeout=PATIENCE).raise_for_status()
                return
            except httpx.TransportError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"canaille did not start; its log is {self.log}") from None
                time.sleep(0.1)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE)


class Browser:
    """Goes from the gateway to the provider, fills in the forms there, and comes back. Keeps the gateway's cookies by itself: they are
    for TLS alone, and a test has none."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.cookies = {}
        self.there = httpx.Client(follow_redirects=False, timeout=PATIENCE)

    def ask(self, method, path, **options):
        headers = options.pop("headers", {})
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        url = path if path.startswith("http") else self.gateway + path
        answer = httpx.request(method, url, headers=headers, timeout=PATIENCE, follow_redirects=False, **options)
        for field in answer.headers.get_list("set-cookie"):
            pair, *attributes = [part.strip() for part in field.split(";")]
            assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(attributes), field
            name, _, value = pair.partition("=")
            assert name.startswith("__Host-"), field
            self.cookies[name] = value
        return answer

    def depart(self, path="/api/auth/openid/canaille/start"):
        """Where the gateway sends the browser."""
        answer = self.ask("GET", path)
        assert answer.status_code == 303, (answer.status_code, answer.text)
        return answer.headers["location"]

    def sign_in(self, url, name, password):
        """Follows `url`, signs in there, and returns the address of the gateway that it is sent back to."""
        answer = self.there.get(url)
        for _ in range(12):
            if answer.is_redirect:
                target = str(answer.url.join(answer.headers["location"]))
                if target.startswith(self.gateway):
                    return target
                answer = self.there.get(target)
                continue
            assert answer.status_code == 200, (answer.status_code, answer.text[:500])
            fields = {}
            for tag in re.findall(r"<input[^>]*>", answer.text):
                field, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
                if field:
                    fields[field.group(1)] = value.group(1) if value else ""
            if "login" in fields:
                fields["login"] = name
            if "password" in fields:
                fields["password"] = password
            answer = self.there.post(str(answer.url), data=fields)
        raise AssertionError(f"no way back from {answer.url}")


def changed(url, **parameters):
    """The address with other query parameters; those that are None are left out."""
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query)) | parameters
    return parts._replace(query=urllib.parse.urlencode({k: v for k, v in query.items() if v is not None})).geturl()


def parameter(url, name):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query)).get(name)


def one_time_code(secret):
    """RFC 6238 with SHA-1, 30 s and six digits."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    offset = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[offset:offset + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"
