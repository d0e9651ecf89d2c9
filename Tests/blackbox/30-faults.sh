#!/usr/bin/env bash
# Each of the three stores is stopped, killed and frozen under load, and comes back: nothing hangs past its deadline, no 500, no
# empty 200, no broken connection; every answer says what is missing, and all heals without a restart of the gateway.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

load_catalogue 3000
start_gateway
python3 "$HERE/30-faults.py" || fail "see above; the gateway's log ends with: $(tail -n 20 "$GATEWAY_LOG")"
kill -0 "$GATEWAY" || fail "the gateway did not survive"
pass "every store can go and come back"
