#!/usr/bin/env bash
# The audit log over HTTP and on the command line: what happens is in it, without a secret; who may read it does, nobody else;
# `kababeat audit verify` proves it, and names what was tampered with.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

kababeat migrate >"$KABABEAT_TEST_SCRATCH/migrate.log"
start_gateway KABABEAT_ENVIRONMENT=development KABABEAT_PASSWORD_COST=4
PYTHONPATH=$HERE/lib PYTHONDONTWRITEBYTECODE=1 bounded 120 python3 "$HERE/65-audit.py" "$KABABEAT_HTTP_PORT" "$KABABEAT_BINARY" \
    || fail "see above; the gateway's log ends with: $(tail -n 20 "$GATEWAY_LOG")"
