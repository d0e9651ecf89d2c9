#!/usr/bin/env bash
# 70-crash-points.sh [POINT...]
#
# The process is killed at every crash point that the code registers, and started again: what was acknowledged is all there, what was
# not is complete or undone, and neither database, no cache and no history has half of it. A point that is never reached fails.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

# The lease is waited for; a second is enough here.
export KABABEAT_PASSWORD_COST=4 KABABEAT_OUTBOX_LEASE_SECONDS=1 KABABEAT_MAIL_FROM='KabaBeat <no-reply@example.org>'
make_catalogue 1000
PYTHONPATH=$HERE/lib PYTHONDONTWRITEBYTECODE=1 bounded 600 python3 "$HERE/70-crash-points.py" "$CATALOGUE" "$@" \
    || fail "see above; the gateway's log ends with: $(tail -n 20 "$GATEWAY_LOG")"
pass "complete or undone at every crash point"
