#!/usr/bin/env bash
# Signing in over HTTP against two instances of the gateway: tokens and cookies, rotation, logout, second factors, and a log without
# any of their secrets.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"
source "$HERE/lib/second-gateway.sh"

kababeat migrate >"$KABABEAT_TEST_SCRATCH/migrate.log"
export KABABEAT_ENVIRONMENT=development KABABEAT_PASSWORD_COST=4 KABABEAT_LOG_LEVEL=trace
start_gateway
trap 'end_second_gateway; end_gateway' EXIT
start_second_gateway
bounded 120 python3 "$HERE/60-sessions.py" "$KABABEAT_HTTP_PORT" "$SECOND_PORT" "$GATEWAY_LOG" "$SECOND_LOG"
