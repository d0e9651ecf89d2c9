"""The hand that kills and freezes: what it will do is a pure function of the seed; that it does it, and what heals how fast."""

import asyncio
import random
import time
from collections import defaultdict
from dataclasses import dataclass

from stage import INSTANCES, STORES

# What may happen, and how often, of a hundred.
KINDS = {
    ("kill", "a"): 20, ("kill", "b"): 20, ("kill", "mongodb"): 10, ("kill", "redis"): 10, ("kill", "postgres"): 10,
    ("freeze", "mongodb"): 10, ("freeze", "redis"): 10, ("freeze", "postgres"): 10,
}
SECOND_FAULT = 0.2  # how often something else goes wrong at the same time
HASTE = 0.3  # how often the next comes before all is whole again
CALM = 2.0  # seconds after all is whole in which caches may still find out what they missed


@dataclass(frozen=True)
class Fault:
    action: str
    target: str
    # Seconds from the step's beginning, and until it is started or thawed again.
    delay: float
    away: float


@dataclass(frozen=True)
class Step:
    # Seconds of quiet before.
    pause: float
    faults: tuple
    # Whether the next step waits until all is whole.
    is_patient: bool


def plan(seed):
    """Steps without end, the same ones for the same seed."""
    chance = random.Random(f"faults {seed}")
    while True:
        faults = [fault(chance, list(KINDS))]
        if chance.random() < SECOND_FAULT:
            faults.append(fault(chance, [kind for kind in KINDS if kind[1] != faults[0].target]))
        yield Step(round(chance.uniform(0.1, 1.5), 2), tuple(faults), chance.random() > HASTE)


def fault(chance, kinds):
    action, target = chance.choices(kinds, [KINDS[kind] for kind in kinds])[0]
    longest = 8 if chance.random() < 0.05 else {"kill": 1.5, "freeze": 3.0}[action]
    return Fault(action, target, round(chance.uniform(0, 0.5), 2), round(chance.uniform(0, longest), 2))


class Hand:
    def __init__(self, stage, log):
        self.stage, self.log = stage, log
        self.counts = defaultdict(int)
        self.healed = defaultdict(list)
        # When stores were not all there, or not whole; the last one may be open.
        self.spans, self.since = [], None

    @property
    def kills(self):
        return sum(count for (action, _), count in self.counts.items() if action == "kill")

    async def run(self, seed, is_enough):
        for step in plan(seed):
            if is_enough(self):
                break
            await asyncio.sleep(step.pause)
            began = min(await asyncio.gather(*(self.strike(fault) for fault in step.faults)))
            if step.is_patient:
                await self.stage.until("everything is whole again", self.stage.is_whole)
                self.end_disturbance()
                self.log(f"all is whole again {time.monotonic() - began:.2f} s after that")
                if len(step.faults) == 1:
                    self.healed[step.faults[0].action, step.faults[0].target].append(time.monotonic() - began)
        await self.stage.until("everything is whole again", self.stage.is_whole)
        self.end_disturbance()

    async def strike(self, fault):
        """Returns when it was over, and the target started or thawed again."""
        await asyncio.sleep(fault.delay)
        self.log(f"{fault.action} {fault.target} for {fault.away} s")
        self.counts[fault.action, fault.target] += 1
        if fault.target in INSTANCES:
            self.stage.kill_instance(fault.target)
            await asyncio.sleep(fault.away)
            self.stage.start_instance(fault.target)
            return time.monotonic()
        if self.since is None:
            self.since = time.monotonic()
        await self.stage.store(fault.action, fault.target)
        await asyncio.sleep(fault.away)
        over = time.monotonic()
        await self.stage.store("start" if fault.action == "kill" else "thaw", fault.target)
        self.log(f"{fault.target} is there again {time.monotonic() - over:.2f} s after it was {'started' if fault.action == 'kill' else 'thawed'}")
        return over

    def end_disturbance(self):
        if self.since is not None:
            self.spans.append((self.since, time.monotonic() + CALM))
            self.since = None


def table(hand):
    """What was done to what, and how long it took to heal, in lines."""
    lines = [f"{'':18}{'times':>7}{'healed in p50':>15}{'max':>9}"]
    for kind in KINDS:
        times = sorted(hand.healed[kind])
        figures = f"{times[len(times) // 2]:13.2f} s{times[-1]:7.2f} s" if times else f"{'–':>15}{'–':>9}"
        lines.append(f"{' '.join(kind):18}{hand.counts[kind]:7}{figures}")
    return lines


assert set(STORES) | set(INSTANCES) == {target for _, target in KINDS}
