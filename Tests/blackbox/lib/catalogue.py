"""Writes a catalogue of as many beats as asked for: the same ones every time."""

import json
import sys

GENRES = ["Hip-Hop", "House", "Jazz", "Rock", "Soul", "Techno", "Trap", "Ambient"]
MOODS = ["Calm", "Dark", "Happy"]
KEYS = ["C major", "A minor", "F# minor"]

for number in range(int(sys.argv[1])):
    creator = number % 97
    print(
        json.dumps(
            {
                "externalId": f"test:beat:{number}",
                "creator": {"externalId": f"test:creator:{creator}", "displayName": f"Creator {creator}"},
                "title": f"Beat {number}",
                "description": f"The beat with the number {number}.",
                "createdAt": f"2026-01-{1 + number % 28:02d}T10:{number // 60 % 60:02d}:{number % 60:02d}Z",
                "currency": "USD",
                "licenseTypes": {"basic": f"{1 + number % 50}.00", "premium": f"{60 + number % 50}.00"},
                "metadata": {
                    "bpm": 60 + number % 120,
                    "genre": GENRES[number % len(GENRES)],
                    "mood": MOODS[number % len(MOODS)],
                    "key": KEYS[number % len(KEYS)],
                    "tags": ["test", f"tag{number % 20}"],
                },
            }
        )
    )
