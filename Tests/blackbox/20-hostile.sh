#!/usr/bin/env bash
# What is sent to break it: every request is answered with a problem document or loses its connection, never a 5xx. The stores are
# byte for byte what they were, and the gateway answers others meanwhile and afterwards as if nothing had been.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

kababeat migrate >"$KABABEAT_TEST_SCRATCH/migrate.log"
kababeat import "$HERE/fixtures/catalogue.ndjson"
start_gateway KABABEAT_HTTP_IDLE_SECONDS=3
PYTHONDONTWRITEBYTECODE=1 bounded 300 python3 "$HERE/20-hostile.py" "$GATEWAY" || fail "the gateway's log ends with: $(tail -n 20 "$GATEWAY_LOG")"
kill -0 "$GATEWAY" || fail "the gateway did not survive"
! grep -q '"level":"error"' "$GATEWAY_LOG" || fail "the gateway's log has errors: $(grep '"level":"error"' "$GATEWAY_LOG" | head -n 5)"
pass "bad input is turned away"
