"""70-crash-points.py CATALOGUE [POINT...]: kills the gateway and the commands at every crash point, or at those named."""

import sys
import time

import crashchecks  # noqa: F401: its checks enter themselves
import crashcommands  # noqa: F401
from crashtrial import CHECKS, Trial, World
from doomed import command


def main():
    points = command("crash-points").split()
    unknown = set(CHECKS) ^ set(points)
    assert not unknown, f"points without a check, or checks without a point: {sorted(unknown)}"
    began = time.monotonic()
    world = World(sys.argv[1])
    rows, failures = [], 0
    for point in sys.argv[2:] or points:
        trial = Trial(point, world)
        try:
            outcome = CHECKS[point](trial)
        except Exception as error:  # noqa: BLE001: whatever it is, the other points are tried
            failures += 1
            outcome = f"FAILED: {error!r}"
        finally:
            trial.end()
        rows.append((point, trial.died_at is not None, outcome, trial.healed))
        print(row(*rows[-1]), flush=True)
    try:
        world.settled()
    except AssertionError as error:
        failures += 1
        print(f"  not ok: {error}")
    world.end()
    longest = max(seconds or 0 for _, _, _, seconds in rows)
    print(f"{len(rows)} points, {failures} failures, healed within {longest:.1f} s at most, {time.monotonic() - began:.0f} s in all")
    sys.exit(1 if failures else 0)


def row(point, died, outcome, healed):
    return f"    {point:30} {'killed' if died else 'NOT KILLED':10} {'-' if healed is None else f'{healed:.2f} s':>8}  {outcome}"


main()
