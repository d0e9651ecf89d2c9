"""What a schema cannot say, for 10-contract.sh: rules between parameters, and names of what is there."""

import json
import os
import urllib.error
import urllib.request
import zlib

import schemathesis

BASE = "http://127.0.0.1:" + os.environ["KABABEAT_HTTP_PORT"]


def fetch(path):
    with urllib.request.urlopen(BASE + path, timeout=5) as response:
        return json.load(response)


BEATS = fetch("/api/beats?limit=100")
IDS = [beat["id"] for beat in BEATS["items"]]
USERS = sorted({beat["creator"][name] for beat in BEATS["items"] for name in ("id", "username")})


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Every second name is one of something that is there."""
    for name, known in (("id", IDS), ("user", USERS)):
        if name in (path_parameters or {}):
            choice = zlib.crc32(str(path_parameters[name]).encode(errors="replace"))
            if choice % 2:
                path_parameters[name] = known[choice % len(known)]
    return path_parameters


@schemathesis.hook
def before_call(context, case, kwargs):
    """Brings a query that is correct by the schema in line with the rules between its parameters."""
    if not case.meta or not case.meta.generation.mode.is_positive or not case.query:
        return
    query = case.query
    if "cursor" in query and zlib.crc32(query.pop("cursor").encode(errors="replace")) % 4 == 0:
        follow(case, query)
    if int(query.get("page", 1)) * int(query.get("limit", 20)) > 10_000:
        del query["page"]
    for name in ("bpm", "price"):
        low, high = f"{name}[min]", f"{name}[max]"
        if low in query and high in query and float(query[low]) > float(query[high]):
            query[low], query[high] = query[high], query[low]
    if "search" in query and not any(character.isalnum() for character in query["search"]):
        query["search"] += "1"
    if query.get("sortBy") == "relevance":
        query.setdefault("search", "beat")


def follow(case, query):
    """A cursor belongs to one list: this case asks for the second page of the one that has no filter."""
    try:
        following = fetch(case.formatted_path + "?limit=1")["page"]["next"]
    except urllib.error.HTTPError:
        following = None
    limit = query.get("limit")
    query.clear()
    query.update({name: value for name, value in (("limit", limit), ("cursor", following)) if value is not None})
