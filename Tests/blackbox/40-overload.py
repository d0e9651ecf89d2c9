"""40-overload.py REQUESTS: the load and the checks of 40-overload.sh, for a gateway that works on so many requests at once.

The work is browsing with filters, uncached. To refuse a request costs the gateway, the client and the kernel about half of what a
detail costs that was loaded in a batch; with both on one machine, three times as many of those would measure that alone.
"""

import asyncio
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from client import Connection, get_once, milliseconds, percentile  # noqa: E402

PORT = int(os.environ["KABABEAT_HTTP_PORT"])
LIMIT = int(sys.argv[1])
SECONDS = 4
ROUNDS = 3
CROWD = 600  # connections of the crowd; far more than are worked on at once
# Of the peak. A release build on a quiet machine keeps 0.8; to refuse costs a debug build several times as much.
GOODPUT = float(os.environ.get("KABABEAT_TEST_GOODPUT", "0.5"))
PATIENCE = 5.0  # no answer takes longer


async def wrk(paths, connections, pause=0):
    process = await asyncio.create_subprocess_exec(
        "wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{SECONDS}s", "--timeout", "10s",
        "--script", os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "overload.lua"), f"http://127.0.0.1:{PORT}",
        env={**os.environ, "DELAY": str(pause), "PATHS": paths}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    if not await is_idle():
        sys.exit(f"  not ok: {PATIENCE:.0f} s after the clients have gone, their requests are still worked on")
    return json.loads(output.decode().strip().splitlines()[-1])


async def probe(paths, refusals, complaints, is_running):
    """One more client among the crowd, which reads what it gets."""
    connection, number = Connection(PORT), 0
    while is_running():
        number += 1
        answer = await connection.get(paths[number % len(paths)], no_cache=True)
        if answer.status == 503:
            refusals.append(answer.seconds)
            if answer.json["code"] != "overloaded" or not answer.fields.get("retry-after", "").isdigit():
                complaints.append(f"a refusal is {answer.fields} {answer.body}")
        elif answer.status != 200 or not answer.json["items"]:
            complaints.append(f"an answer is {answer.status} {answer.body[:200]}")
        await asyncio.sleep(0.01)
    connection.close()


async def is_idle():
    """Whether what the crowd has left behind is finished in time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        metrics = (await get_once(PORT, "/metrics")).body.decode()
        # The one is this request itself.
        if "\nkababeat_http_requests_in_flight 1\n" in metrics:
            return True
        await asyncio.sleep(0.05)
    return False


async def main():
    browse = [
        f"/api/beats?genre={genre}&bpm[min]={low}&bpm[max]={low + 40}&sortBy={sort}&limit=20"
        for genre in ("House", "Jazz", "Rock", "Soul", "Trap")
        for low in range(60, 140, 4)
        for sort in ("price", "title", "createdAt")
    ]
    paths = os.path.join(os.environ["KABABEAT_TEST_SCRATCH"], "paths")
    with open(paths, "w", encoding="utf-8") as file:
        file.write("\n".join(browse) + "\n")
    await wrk(paths, LIMIT * 3 // 4)  # warm-up

    # In turn, so that whatever else the machine does weighs on both sides of the comparison.
    peaks, goodputs, refusals, complaints = [], [], [], []
    for _ in range(ROUNDS):
        calm = await wrk(paths, LIMIT * 3 // 4)
        peak = calm["answered"] / calm["seconds"]
        pause = max(1, round(CROWD / (3 * peak) * 1000))
        is_crowded = True
        client = asyncio.create_task(probe(browse, refusals, complaints, lambda: is_crowded))
        crowd = await wrk(paths, CROWD, pause)
        is_crowded = False
        await client
        goodput, refused = crowd["answered"] / crowd["seconds"], crowd["refused"] / crowd["seconds"]
        print(f"    peak {peak:.0f}/s; under three times that: {goodput:.0f}/s answered, {refused:.0f}/s refused, max {crowd['max']:.0f} ms")
        peaks.append(peak)
        goodputs.append(goodput)
        for name, result in (("calm", calm), ("overloaded", crowd)):
            if result["broken"]:
                complaints.append(f"{name}: {result['broken']} requests without an answer")
            if result["max"] > PATIENCE * 1000:
                complaints.append(f"{name}: an answer took {result['max']:.0f} ms")
        if calm["refused"]:
            complaints.append(f"{calm['refused']} refusals within the limit")
        if not crowd["refused"]:
            complaints.append("nothing is refused under overload")

    share = statistics.median(goodput / peak for goodput, peak in zip(goodputs, peaks))
    print(f"    goodput {share:.0%} of the peak (median of {ROUNDS}); refusals: {milliseconds(refusals)}")
    if share < GOODPUT:
        complaints.append(f"goodput falls to {share:.0%}")
    if percentile(sorted(refusals), 0.5) > 0.05:
        complaints.append("a refusal takes its time")
    for complaint in complaints:
        print(f"  not ok: {complaint}")
    sys.exit(1 if complaints else 0)


asyncio.run(main())
