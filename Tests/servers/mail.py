"""mail.py DIRECTORY OPTION...: a mail server (aiosmtpd) for one test. Prints a line of JSON when it listens, one for each
connection and one for each mail that it took; ends with its standard input.

What it does with a mail, the recipient's local part says: `refused-550`, `later-451` (at RCPT), `spam-554`, `full-452` (at the end of
DATA), `leaving-421`, `silent` (RCPT is never answered), `slow` (takes a second), `dies` (in the middle of DATA), anything else: takes it.

  --port NUMBER                 a port of its own otherwise
  --tls starttls|implicit       with a certificate for localhost and 127.0.0.1 that DIRECTORY/certificate.pem trusts
  --auth MECHANISM              asks for user "ana" with password "s3cret ü"
  --sender-refused              refuses MAIL FROM
  --no-utf8                     does not know SMTPUTF8
  --script FILE                 no mail server at all: sends FILE's parts, which are parted by lines `---`, one before each line it hears
"""

import argparse
import asyncio
import email
import email.policy
import json
import os
import ssl
import subprocess
import sys
import threading

from aiosmtpd.smtp import SMTP, AuthResult

USER, PASSWORD = b"ana", "s3cret ü".encode()
REFUSALS = {
    "refused-550": "550 5.1.1 <nobody@example.org> is unknown here",
    "later-451": "451 4.7.1 Greylisted, come back later",
    "leaving-421": "421 4.3.2 Shutting down",
}
AFTER_DATA = {"spam-554": "554 5.7.1 This looks like spam", "full-452": "452 4.3.1 No room"}


def say(**facts):
    print(json.dumps(facts), flush=True)


def read(content):
    """What another program than ours makes of a message."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    return {
        "subject": message["Subject"],
        "text": message.get_content().replace("\r\n", "\n"),
        "author": message["From"],
        "reader": message["To"],
        "date": message["Date"],
        "messageID": message["Message-ID"],
        "defects": [str(defect) for defect in message.defects],
        "longestLine": max(len(line) for line in content.split(b"\r\n")),
        "strayLineEnds": content.replace(b"\r\n", b"").count(b"\n") + content.replace(b"\r\n", b"").count(b"\r"),
    }


class Handler:
    def __init__(self, options):
        self.options = options

    async def handle_MAIL(self, server, session, envelope, address, parameters):
        if self.options.sender_refused:
            return "550 5.7.60 Not your address"
        envelope.mail_from = address
        envelope.mail_options.extend(parameters)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, parameters):
        local = address.split("@")[0]
        if local == "silent":
            await asyncio.Event().wait()
        if local in REFUSALS:
            return REFUSALS[local]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        local = envelope.rcpt_tos[0].split("@")[0]
        if local in AFTER_DATA:
            return AFTER_DATA[local]
        if local == "slow":
            # Longer than beats may take to be delivered meanwhile.
            await asyncio.sleep(1)
        say(
            to=envelope.rcpt_tos,
            sender=envelope.mail_from,
            options=envelope.mail_options,
            **read(envelope.content),
            encrypted=self.options.tls == "implicit" or session.ssl is not None,
            user=session.auth_data.decode() if session.auth_data else None,
        )
        return "250 2.0.0 OK"


class Server(SMTP):
    def connection_made(self, transport):
        if self.transport is None:
            say(connection=True)
        super().connection_made(transport)

    async def smtp_DATA(self, argument):
        if self.envelope.rcpt_tos and self.envelope.rcpt_tos[0].startswith("dies@"):
            await self.push("354 Go ahead")
            await self._reader.readline()
            os._exit(1)
        await super().smtp_DATA(argument)


def check(server, session, envelope, mechanism, credentials):
    if credentials.login == USER and credentials.password == PASSWORD:
        return AuthResult(success=True, auth_data=credentials.login)
    return AuthResult(success=False, handled=False)


def encryption(directory):
    certificate, key = f"{directory}/certificate.pem", f"{directory}/key.pem"
    if not os.path.exists(certificate):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
            + ["-keyout", key, "-out", certificate, "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
            check=True,
            stderr=subprocess.DEVNULL,
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def play(parts, reader, writer):
    for part in parts:
        writer.write(part)
        await writer.drain()
        if not await reader.readline():
            break
    await reader.read()
    writer.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", choices=["starttls", "implicit"])
    parser.add_argument("--auth", choices=["PLAIN", "LOGIN"])
    parser.add_argument("--sender-refused", action="store_true")
    parser.add_argument("--no-utf8", action="store_true")
    parser.add_argument("--script")
    options = parser.parse_args()

    loop = asyncio.get_running_loop()
    context = encryption(options.directory) if options.tls else None
    if options.script:
        with open(options.script, "rb") as file:
            parts = file.read().split(b"---\n")
        server = await asyncio.start_server(lambda reader, writer: play(parts, reader, writer), "127.0.0.1", options.port)
    else:
        settings = {"hostname": "localhost", "enable_SMTPUTF8": not options.no_utf8, "ident": "test"}
        if options.tls == "starttls":
            settings |= {"tls_context": context, "require_starttls": True}
        if options.auth:
            settings |= {"auth_required": True, "authenticator": check, "auth_require_tls": options.tls == "starttls"}
            settings |= {"auth_exclude_mechanism": {"PLAIN", "LOGIN"} - {options.auth}}
        handler = Handler(options)
        server = await loop.create_server(
            lambda: Server(handler, loop=loop, **settings),
            "127.0.0.1",
            options.port,
            ssl=context if options.tls == "implicit" else None,
        )
    say(port=server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
asyncio.run(main())
