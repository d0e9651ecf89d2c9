"""What stands in Postgres, seen past the gateway."""

import os
import subprocess

# Seconds that a statement may take on a busy machine.
PATIENCE = 30


def sql(text, database=None):
    """What psql answers, as the server's superuser: a line a row, columns with | between."""
    where = f"{os.environ['KABABEAT_TEST_POSTGRES']} dbname={database or os.environ['KABABEAT_POSTGRES_DATABASE']}"
    command = ["psql", "--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--command", text, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"{text}: {done.stderr}"
    return done.stdout.strip()
