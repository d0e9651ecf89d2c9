#!/usr/bin/env bash
# Three times more work than the gateway can do: what it can do it goes on doing, the rest is refused at once, nobody waits, and
# afterwards all is as before.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

REQUESTS=64
load_catalogue 3000
start_gateway KABABEAT_HTTP_REQUESTS=$REQUESTS
python3 "$HERE/40-overload.py" "$REQUESTS" || fail "see above; the gateway's log ends with: $(tail -n 5 "$GATEWAY_LOG")"
kill -0 "$GATEWAY" || fail "the gateway did not survive"
pass "three times the work is answered or refused at once"
