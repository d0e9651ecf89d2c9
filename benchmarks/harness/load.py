"""Load and answers: wrk, the C clients, and single requests."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent.parent


def wrk(server, paths, seconds, *how, connections=64):
    """One round of wrk; `paths` is a file. Latencies in milliseconds, rate in requests a second."""
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "10s",
               "--script", str(HERE / "load" / "paths.lua"), server.url, "--", str(paths), *how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    found = re.search(r"^\{.*\}$", done.stdout, re.MULTILINE)
    if not found:
        raise SystemExit(f"wrk against {server.name} failed:\n{done.stdout}{done.stderr}")
    return json.loads(found[0])


def tool(*command, timeout):
    """Runs one of the C clients, which print one line of JSON."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise SystemExit(f"{Path(command[0]).name} failed: {done.stderr}")
    if done.stderr:
        print(done.stderr.rstrip(), file=sys.stderr)
    return json.loads(done.stdout)


def middle(rounds):
    """The rounds as one: medians, and all errors."""
    return {"rate": median(r["rate"] for r in rounds), "p50": median(r["p50"] for r in rounds),
            "p99": median(r["p99"] for r in rounds), "errors": sum(r["errors"] for r in rounds)}


def get(server, path, fresh=False):
    request = urllib.request.Request(server.url + path, headers={"Cache-Control": "no-cache"} if fresh else {})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read(), dict(response.headers)


def cache_lookups(gateway):
    """Look-ups by tier since the gateway started."""
    text = get(gateway, "/metrics")[0].decode()
    return {tier: float(value) for tier, value in re.findall(r'kababeat_cache_lookups_total\{tier="(\w+)"\} (\S+)', text)}


# What may differ between two right answers, and why.
IGNORED = {
    "page.next": "the cursor is the gateway's own; the peers have no second page",
    "createdAt, updatedAt": "compared to the millisecond: Go leaves out trailing zeros",
}


def _comparable(value, key=None):
    if isinstance(value, dict):
        return {name: _comparable(item, name) for name, item in value.items() if not (name == "next" and "limit" in value)}
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if key in ("createdAt", "updatedAt"):
        return (value.rstrip("Z") + ("" if "." in value else ".")).ljust(23, "0")
    return value


def require_equal(servers, paths):
    """Ends the run where two servers do not answer the same to any of `paths`."""
    for path in paths:
        answers = [_comparable(json.loads(get(server, path, fresh=True)[0])) for server in servers]
        for server, answer in zip(servers[1:], answers[1:]):
            if answer != answers[0]:
                raise SystemExit(f"{path}: {server.name} and {servers[0].name} differ:\n"
                                 f"  {json.dumps(answers[0], sort_keys=True)[:1500]}\n  {json.dumps(answer, sort_keys=True)[:1500]}")
