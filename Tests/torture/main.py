"""The run of `scripts/torture`: docs/torture.md says what it does."""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time

import checker
from book import Book, Stalls
from clients import Account, Keys, Reader, Unexpected, Writer
from faults import Hand, table
from history import Disturbances
from stage import ENTRIES, INSTANCES, PATIENCE, Stage

ACCOUNTS, WRITERS_EACH, READERS = 3, 2, 8
REPORT_EVERY = 10.0


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/torture", add_help=False)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--directory", required=True)
    options = parser.parse_args()
    if options.kills is None and options.seconds is None:
        options.seconds = 60.0
    return options


class Run:
    def __init__(self, options):
        self.options = options
        self.stage, self.book, self.stalls = Stage(options.binary, options.directory), Book(), Stalls()
        self.hand = Hand(self.stage, self.say)
        self.began, self.is_over, self.problems = time.monotonic(), False, []
        self.journal = open(os.path.join(options.directory, "run.log"), "w")

    def say(self, text):
        print(f"{time.monotonic() - self.began:8.2f} s  {text}", file=self.journal, flush=True)

    def show(self, text):
        self.say(text)
        print(text, flush=True)

    async def run(self):
        self.show(f"seed {self.options.seed}")
        await self.stage.raise_curtain()
        accounts = [Account(f"torture-{number}", self.options.seed, self.stage, self.book) for number in range(ACCOUNTS)]
        for account in accounts:
            await account.sign_up()
        self.began = time.monotonic()
        clients = self.clients(accounts)
        helpers = [asyncio.create_task(self.stalls.watch(asyncio.sleep)), asyncio.create_task(self.progress())]
        helpers += [asyncio.create_task(account.stay()) for account in accounts]
        try:
            await self.watched(self.hand.run(self.options.seed, self.is_enough), clients)
            self.is_over = True
            await asyncio.wait_for(asyncio.gather(*clients), 2 * PATIENCE)
            await self.finish(accounts)
        finally:
            for task in (*helpers, *clients):
                task.cancel()
        return self.judge()

    def clients(self, accounts):
        def is_over():
            return self.is_over

        keys = Keys.of(os.environ["KABABEAT_OPENAPI_FILE"])
        writers = [
            Writer(number, account, self.options.seed, self.stage, self.book, keys).run(is_over)
            for account in accounts for number in range(WRITERS_EACH)
        ]
        readers = [
            Reader(f"reader-{number}", self.options.seed, self.stage, self.book).run(is_over, accounts) for number in range(READERS)
        ]
        return [asyncio.create_task(client) for client in (*writers, *readers)]

    async def watched(self, work, clients):
        """Awaits `work`, and fails at once if a client does."""
        task = asyncio.create_task(work)
        done, _ = await asyncio.wait([task, *clients], return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()

    def is_enough(self, hand):
        if self.options.kills is not None:
            return hand.kills >= self.options.kills
        return time.monotonic() - self.began >= self.options.seconds

    async def progress(self):
        while True:
            await asyncio.sleep(REPORT_EVERY)
            print(self.figures(), file=sys.stderr, flush=True)

    def figures(self):
        writes = self.book.writes
        return (
            f"{time.monotonic() - self.began:6.0f} s  {self.hand.kills} kills, {sum(self.hand.counts.values()) - self.hand.kills} freezes,"
            f" {len(self.book.beats)} beats; writes: {writes['acknowledged']} acknowledged, {writes['unknown']} unknown,"
            f" {writes['refused']} refused; reads: {sum(self.book.reads.values())}")

    # MARK: The end

    async def finish(self, accounts):
        """All is whole again: nothing is left to deliver, the copies are right, and every beat is looked at once more."""
        async def is_delivered():
            return await self.stage.sql("SELECT count(*) FROM outbox") == "0"

        try:
            seconds = await self.stage.until("the outbox is empty", is_delivered)
            self.show(f"the outbox was empty {seconds:.1f} s after the last fault was healed")
        except RuntimeError as error:
            self.problems.append(f"{error}: {await self.stage.sql('SELECT * FROM outbox LIMIT 5')}")
        for account in accounts:
            for where in INSTANCES:
                await account.list_own(where)
        owners = {account.name: account for account in accounts}
        for beat in list(self.book.beats):
            account = owners[self.book.owners[beat]]
            answers = [await account.look(beat, where, "final") for where in INSTANCES]
            if all(answer is not None and answer.status == 200 for answer in answers):
                self.book.beats[beat].changes = await account.versions(beat, INSTANCES[0])
        text, status = await self.stage.command(self.stage.binary, "verify", check=False)
        if status:
            self.problems.append(f"kababeat verify found something: {text}")

    def judge(self):
        """Prints what came of it; whether all is well."""
        disturbances = Disturbances(self.hand.spans, self.stalls.spans)
        verdicts, counts, lags = [], dict.fromkeys(checker.KINDS, 0), {False: 0.0, True: 0.0}
        for beat in self.book.beats.values():
            found = checker.check(beat, disturbances)
            for lag, is_disturbed in checker.lags(beat, disturbances):
                lags[is_disturbed] = max(lags[is_disturbed], lag)
            if found:
                self.write_history(beat, found, disturbances)
            verdicts += found
        for token, *beats in self.book.twins:
            verdicts.append(checker.Verdict(checker.PHANTOM, beats[0], f"the creation {token!r} also made {beats[1]}"))
        for verdict in verdicts:
            counts[verdict.kind] += 1
        self.show(self.figures())
        for line in (*table(self.hand), *self.book.entries.table(ENTRIES)):
            self.show(line)
        self.problems += self.book.entries.idle(ENTRIES)
        self.show("reads: " + ", ".join(f"{count} {kind}" for kind, count in sorted(self.book.reads.items())))
        if self.book.writes["sent again"]:
            self.show(f"writes that were sent again under their key: {self.book.writes['sent again']}")
        self.show(
            f"the oldest answer out of a cache was {lags[False] * 1000:.0f} ms behind an acknowledged write,"
            f" {lags[True] * 1000:.0f} ms while a store was away, frozen or just back")
        self.show(f"this machine let the checker wait {len(self.stalls.spans)} times for more than {Stalls.MOST * 1000:.0f} ms")
        self.show(", ".join(f"{count} {kind}" for kind, count in counts.items()))
        for problem in self.problems:
            self.show(f"not ok: {problem}")
        for verdict in verdicts[:5]:
            self.show(f"not ok: {verdict.kind} {verdict.beat}: {verdict.text}")
        if verdicts:
            self.show(f"the histories of the beats concerned are in {self.options.directory}")
        return not verdicts and not self.problems

    def write_history(self, beat, verdicts, disturbances):
        with open(os.path.join(self.options.directory, f"beat-{beat.id}.json"), "w") as file:
            json.dump(
                {"seed": self.options.seed, "began": self.began, "verdicts": [[one.kind, one.text] for one in verdicts],
                 "disturbances": disturbances.all.spans, "stalls": disturbances.stalls.spans, **beat.as_json()}, file, indent=1)


STOPS = (signal.SIGINT, signal.SIGTERM)


def stop(number, _):
    """Ends the run, and what it has started; once, although a whole process group is told, and by two hands."""
    for one in STOPS:
        signal.signal(one, lambda *_: None)
    sys.exit(128 + number)


def main():
    run = Run(arguments())
    # Explicitly: a shell lets what it starts in the background ignore SIGINT.
    for one in STOPS:
        signal.signal(one, stop)
    try:
        is_well = asyncio.run(run.run())
    except (Unexpected, RuntimeError) as error:
        run.show(f"not ok: {error}")
        is_well = False
    finally:
        run.stage.drop_curtain()
    if not is_well:
        run.show(f"to do the same again: --seed {run.options.seed}")
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
