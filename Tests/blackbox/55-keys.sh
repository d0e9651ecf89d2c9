#!/usr/bin/env bash
# Secrets and keys of an installation: serve does not start where they are missing or of another installation, keys are made on the
# command line, and a new signing key is published before it signs.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

OUTPUT=$KABABEAT_TEST_SCRATCH/output

# refused TEXT COMMAND...: the command fails within 30 s and says TEXT.
refused() {
    local text=$1 status=0
    shift
    bounded 30 "$@" >"$OUTPUT" 2>&1 || status=$?
    ((status != 0 && status < 124)) || fail "$* ended with $status: $(tail -n 5 "$OUTPUT")"
    grep -qF -- "$text" "$OUTPUT" || fail "$* does not say '$text' but: $(cat "$OUTPUT")"
}

# status EXPECTED CURL-ARGUMENT...
status() {
    local expected=$1 answered
    shift
    answered=$(curl --silent --max-time 10 --output "$OUTPUT" --write-out '%{http_code}' "$@")
    [[ $answered == "$expected" ]] || fail "$* is answered $answered, not $expected: $(cat "$OUTPUT")"
}

key_ids() { python3 -c 'import json, sys; print(*sorted(k["kid"] for k in json.load(sys.stdin)["keys"]))' <"$OUTPUT"; }

production_needs_its_secrets() {
    local secret='KABABEAT_IDENTITY_SECRET must be a secret of 32 bytes' production=KABABEAT_ENVIRONMENT=production
    refused "$secret" env --unset=KABABEAT_IDENTITY_SECRET "$production" "$KABABEAT_BINARY" serve
    refused "$secret" env KABABEAT_IDENTITY_SECRET=short "$KABABEAT_BINARY" serve
    refused 'KABABEAT_PASSWORD_COMMON_FILE must be' env --unset=KABABEAT_PASSWORD_COMMON_FILE "$production" "$KABABEAT_BINARY" serve
    refused 'cannot be read' env KABABEAT_PASSWORD_COMMON_FILE=/none "$KABABEAT_BINARY" serve
    head -n 100 "$KABABEAT_PASSWORD_COMMON_FILE" >"$KABABEAT_TEST_SCRATCH/few"
    refused '3000 are needed' env KABABEAT_PASSWORD_COMMON_FILE="$KABABEAT_TEST_SCRATCH/few" "$KABABEAT_BINARY" serve
    refused 'KABABEAT_PASSWORD_COST must be a whole number from 10 to 15' env "$production" KABABEAT_PASSWORD_COST=9 "$KABABEAT_BINARY" serve
    refused 'KABABEAT_ENVIRONMENT must be production or development' env KABABEAT_ENVIRONMENT=prod "$KABABEAT_BINARY" serve
    pass "serve does not start without its secrets"
}

service_keys_open_what_they_are_for() {
    local key other
    refused 'the scopes are: ' "$KABABEAT_BINARY" service-key create --name x --scope everything
    refused 'days' "$KABABEAT_BINARY" service-key create --name x --scope audit:read --days 0
    key=$(kababeat service-key create --name auditor --scope audit:read --days 1)
    other=$(kababeat service-key create --name plays --scope events:write --scope analytics:read)
    [[ $key =~ ^kbk_[A-Za-z0-9_-]{43}$ && $key != "$other" ]] || fail "a service key is printed as $key"
    status 200 --header "Authorization: Bearer $key" "$BASE/api/admin/audit?action=service_key_created"
    grep -q '"auditor"' "$OUTPUT" || fail "the audit log does not say which key was made: $(cat "$OUTPUT")"
    ! grep -q "${key#kbk_}" "$OUTPUT" || fail "the audit log holds a key"
    status 403 --header "Authorization: Bearer $other" "$BASE/api/admin/audit"
    status 403 --header "Authorization: Bearer $key" "$BASE/api/admin/service-keys"
    status 401 --header "Authorization: Bearer ${key%?????}AAAAA" "$BASE/api/admin/audit"
    status 401 --cookie "__Host-kababeat_access=$key" "$BASE/api/admin/audit"
    status 401 "$BASE/api/admin/audit"
    ! grep -q "${key#kbk_}" "$GATEWAY_LOG" || fail "the log holds a key"
    pass "a service key opens what its scopes say, and nothing else"
}

new_keys_are_published_before_they_sign() {
    local before after
    status 200 --dump-header "$OUTPUT.header" "$BASE/.well-known/jwks.json"
    grep -qi '^cache-control: public, max-age=60' "$OUTPUT.header" || fail "the key set may not be kept: $(cat "$OUTPUT.header")"
    before=$(key_ids)
    [[ $before != *' '* ]] || fail "there is more than one key to begin with: $before"
    status 304 --header "If-None-Match: $(sed -n 's/^etag: //Ip' "$OUTPUT.header" | tr -d '\r')" "$BASE/.well-known/jwks.json"
    kababeat keys rotate >"$OUTPUT"
    grep -Eq '^the key [A-Za-z0-9_-]{43} signs from 20[0-9T:.-]+Z on; the others count until' "$OUTPUT" ||
        fail "a rotation says: $(cat "$OUTPUT")"
    end_gateway
    start_gateway
    status 200 "$BASE/.well-known/jwks.json"
    after=$(key_ids)
    [[ $(wc -w <<<"$after") == 2 && $after == *"$before"* ]] || fail "after a rotation the key set holds $after, not $before and another"
    pass "a new signing key is published beside the old one"
}

another_secret_is_found_out() {
    end_gateway
    local stranger=KABABEAT_IDENTITY_SECRET=another-secret-of-more-than-32-bytes
    refused 'was sealed with another identity.secret' env "$stranger" "$KABABEAT_BINARY" serve
    bounded 30 env "$stranger" "$KABABEAT_BINARY" keys rotate --at-once >"$OUTPUT"
    start_gateway "$stranger"
    status 200 "$BASE/.well-known/jwks.json"
    [[ $(key_ids | wc -w) == 1 ]] || fail "keys that count for nothing are published: $(cat "$OUTPUT")"
    pass "another secret than the keys were sealed with is found out, and can be lived with"
}

kababeat migrate >/dev/null
production_needs_its_secrets
start_gateway
service_keys_open_what_they_are_for
new_keys_are_published_before_they_sign
another_secret_is_found_out
