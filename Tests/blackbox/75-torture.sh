#!/usr/bin/env bash
# Two gateways behind a balancer write and read beats while instances and stores are killed and frozen at random: nothing is lost, torn
# or stale, and nothing goes back in time (docs/torture.md). First the checker itself: it finds what is wrong with histories that are.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

# Every kind of fault twice at least.
SEED=1226
KILLS=15

python3 "$HERE/../torture/checker_test.py"
pass "the checker finds what it is there for"
bounded 400 "$HERE/../../scripts/torture" --seed "$SEED" --kills "$KILLS" --binary "$KABABEAT_BINARY" ||
    fail "see above; the histories are in .local/torture"
pass "nothing is lost, torn, stale or goes back in time"
