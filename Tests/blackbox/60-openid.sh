#!/usr/bin/env bash
# Sign-in at a real OpenID provider, canaille, with its own forms, and links to accounts. What is replayed, tampered with, foreign or
# unverified gets nobody in.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

ISSUERS=$KABABEAT_TEST_SCRATCH/issuers.json

openid() { PYTHONPATH=$HERE/lib PYTHONDONTWRITEBYTECODE=1 bounded 300 "$KABABEAT_TEST_OPENID/bin/python" "$HERE/60-openid.py" "$@"; }

kababeat migrate >"$KABABEAT_TEST_SCRATCH/migrate.log"
openid prepare "$BASE" "$KABABEAT_TEST_SCRATCH" "$ISSUERS"
start_gateway KABABEAT_IDENTITY_ISSUERS_FILE="$ISSUERS" KABABEAT_API_URL="$BASE" KABABEAT_LIMITS_ENABLED=false
openid check "$BASE" "$KABABEAT_TEST_SCRATCH" "$ISSUERS" || fail "see above; the gateway's log ends with: $(tail -n 20 "$GATEWAY_LOG")"
kill -0 "$GATEWAY" || fail "the gateway did not survive"
if grep -E 'eyJ[A-Za-z0-9_-]{20}|a/secret|a%2Fsecret' "$GATEWAY_LOG"; then fail "the log holds a token or a secret"; fi
pass "no token and no secret is in the log"
