"""50-lifecycle.py PID: ends the gateway by SIGTERM under load, and holds every connection to a clean end."""

import asyncio
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from client import Connection, every_beat  # noqa: E402

PORT = int(os.environ["KABABEAT_HTTP_PORT"])
CONNECTIONS = 64
ENDS_WITHIN = 8.0  # seconds, a client that does not read its answers included


async def client(ids, counts, is_ending):
    """Asks until its connection is closed. A request that was sent is answered whole, unless the server closed before it read it."""
    connection = Connection(PORT)
    try:
        while True:
            answer = await connection.get(f"/api/beats/{random.choice(ids)}", no_cache=True)
            counts[answer.status] = counts.get(answer.status, 0) + 1
            if connection.writer is None:
                return None
    except asyncio.IncompleteReadError as error:
        # Closed between two requests: that is how a server without work says goodbye.
        return None if is_ending.is_set() and not error.partial else f"an answer broke off after {len(error.partial)} bytes"
    except ConnectionRefusedError:
        return None if is_ending.is_set() else "refused"
    except OSError as error:
        return repr(error)


async def idle():
    """A connection that asks nothing: it is closed, and keeps nobody waiting."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    rest = await reader.read()
    writer.close()
    return None if rest == b"" else f"an idle connection was sent {rest[:100]!r}"


async def deaf():
    """A connection that asks for much and reads nothing. It is waited for, but not for long."""
    _, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"GET /openapi.yaml HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 2000)
    return writer


async def main():
    pid = int(sys.argv[1])
    ids = list(await every_beat(PORT))
    counts, is_ending = {}, asyncio.Event()
    clients = [asyncio.create_task(client(ids, counts, is_ending)) for _ in range(CONNECTIONS)]
    clients += [asyncio.create_task(idle()) for _ in range(4)]
    unread = await deaf()
    # So long all are answered, and the answers that nobody reads pile up.
    await asyncio.sleep(2)
    is_ending.set()
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    _, late = await asyncio.wait(clients, timeout=ENDS_WITHIN)
    for task in late:
        task.cancel()
    complaints = [task.result() for task in clients if task not in late and task.result()]
    complaints += [f"a connection is still open {ENDS_WITHIN} s after SIGTERM"] * len(late)
    while os.path.exists(f"/proc/{pid}/stat") and open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z":
        if time.monotonic() - began > ENDS_WITHIN:
            complaints.append(f"the gateway still runs {ENDS_WITHIN} s after SIGTERM")
            break
        await asyncio.sleep(0.02)
    unread.close()
    print(f"    {counts} before the end, which took {time.monotonic() - began:.2f} s")
    for complaint in sorted(set(complaints)):
        print(f"  not ok: {complaint} ({complaints.count(complaint)} times)")
    sys.exit(1 if complaints or set(counts) != {200} else 0)


asyncio.run(main())
