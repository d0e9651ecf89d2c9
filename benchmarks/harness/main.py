"""scripts/bench runs this with the system up and everything built."""

import argparse
import sys
from pathlib import Path


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--only", action="append", metavar="SCENARIO")
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--gateway-pid", type=int)
    parser.add_argument("--gateway-binary")
    parser.add_argument("--superuser-password", metavar="FILE")
    parser.add_argument("--catalogue", metavar="FILE")
    return parser.parse_args()


def main():
    options = arguments()
    if options.list:
        # Before the imports below: it should answer without anything installed.
        print("cached\ncold\nbrowse\nzipf\nconnections\nsize\nme\nlogins\nwrites\nvisible\ndrain\nsnapshot")
        return
    import os

    from machine import Server, facts
    from report import lines, write
    from scenarios import ALL as READING, Run
    from writing import ALL as WRITING

    every = READING | WRITING
    chosen = options.only or list(every)
    if unknown := set(chosen) - set(every):
        sys.exit(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    here = Path(__file__).resolve().parent.parent
    before = facts(here)
    gateway = Server("gateway", int(os.environ["KABABEAT_HTTP_PORT"]), pid=options.gateway_pid)
    run = Run(options.directory, gateway, options.gateway_binary, options.superuser_password, options.catalogue, options.quick)
    results = []
    try:
        for name in chosen:
            for result in every[name](run):
                results.append(result)
                print("\n".join(lines(result)), flush=True)
    finally:
        run.stop()
    if not options.only:
        write(here / "results.md", results, before, options.quick)
        print(f"written to {here / 'results.md'}")
    missed = [threshold for result in results for threshold in result.thresholds if not threshold.met]
    print(f"{sum(len(result.thresholds) for result in results) - len(missed)} thresholds met, {len(missed)} not met")
    if missed and options.strict:
        sys.exit(1)


if __name__ == "__main__":
    main()
