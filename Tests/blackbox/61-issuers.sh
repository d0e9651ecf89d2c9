#!/usr/bin/env bash
# The access tokens of trusted issuers work as they are, a Supabase project's among them; what is expired, forged, for others or of an
# unknown key does not, and an issuer that is away or answers badly does no harm.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

ISSUERS=$KABABEAT_TEST_SCRATCH/issuers.json

issuers() { PYTHONPATH=$HERE/lib PYTHONDONTWRITEBYTECODE=1 bounded 300 "$KABABEAT_TEST_OPENID/bin/python" "$HERE/61-issuers.py" "$@"; }

# A file that could not work stops the gateway, with its reason.
wrong_files_are_refused() {
    local file=$KABABEAT_TEST_SCRATCH/wrong.json text output
    while IFS='|' read -r text output; do
        printf '%s' "$text" >"$file"
        if KABABEAT_IDENTITY_ISSUERS_FILE=$file bounded 30 "$KABABEAT_BINARY" serve >"$GATEWAY_LOG" 2>&1; then fail "$text is accepted"; fi
        grep -qF -- "$output" "$GATEWAY_LOG" || fail "$text is not refused with '$output' but: $(cat "$GATEWAY_LOG")"
    done <<-'END'
		{|is cut off
		{"issuer":[]}|the file: issuer is not known
		{"issuers":[{"issuer":"https://a.test","jwks":"https://a.test/keys"}]}|issuers[0]: audience is missing
		{"issuers":[{"issuer":"https://a.test","audience":"a","secret":"short"}]}|issuers[0]: secret must have at least 32 bytes
		{"issuers":[{"issuer":"https://a.test","audience":"a","jwks":"http://a.test/keys"}]}|issuers[0]: jwks must be an https address
		{"issuers":[{"issuer":"https://a.test","audience":"a","jwks":"https://a.test/keys","algorithms":["HS256"]}]}|algorithms can only have
		{"providers":[{"preset":"google"}]}|providers[0]: clientId is missing
	END
    pass "a file of issuers that could not work is refused with its reason"
}

kababeat migrate >"$KABABEAT_TEST_SCRATCH/migrate.log"
wrong_files_are_refused
issuers prepare "$ISSUERS"
start_gateway KABABEAT_IDENTITY_ISSUERS_FILE="$ISSUERS" KABABEAT_LIMITS_ENABLED=false
issuers check "$BASE" "$ISSUERS" || fail "see above; the gateway's log ends with: $(tail -n 20 "$GATEWAY_LOG")"
kill -0 "$GATEWAY" || fail "the gateway did not survive"
if grep -E 'eyJ[A-Za-z0-9_-]{20}|super-secret' "$GATEWAY_LOG"; then fail "the log holds a token or a secret"; fi
pass "no token and no secret is in the log"
