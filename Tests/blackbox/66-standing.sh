#!/usr/bin/env bash
# A creator whom nobody may see any more takes his beats out of two gateways at once, though MongoDB is frozen and though whoever barred
# him died in between; when MongoDB is back, it has what Postgres has.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"
source "$HERE/lib/second-gateway.sh"

kababeat migrate >"$KABABEAT_TEST_SCRATCH/migrate.log"
export KABABEAT_ENVIRONMENT=development KABABEAT_PASSWORD_COST=4
start_gateway
trap '"$KABABEAT_TEST_STORE" thaw mongodb; end_second_gateway; end_gateway' EXIT
start_second_gateway
PYTHONPATH=$HERE/lib PYTHONDONTWRITEBYTECODE=1 bounded 180 python3 "$HERE/66-standing.py" "$KABABEAT_HTTP_PORT" "$SECOND_PORT" \
    || fail "see above; the gateway's log ends with: $(tail -n 20 "$GATEWAY_LOG")"
