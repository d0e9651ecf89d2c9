"""What did not hold in a run under load: how often, and one example of each."""

from collections import Counter


class Failures:
    def __init__(self):
        self.counts, self.examples = Counter(), {}

    def add(self, rule, example):
        self.counts[rule] += 1
        self.examples.setdefault(rule, example)

    def end(self):
        """Prints them. Returns the status to exit with."""
        for rule, count in self.counts.items():
            print(f"  not ok: {rule} ({count} times), such as {self.examples[rule]}")
        return 1 if self.counts else 0
