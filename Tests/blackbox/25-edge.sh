#!/usr/bin/env bash
# TLS, known hosts, other sites' pages and trusted proxies, as a gateway's settings switch them on.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

CERTIFICATE=$KABABEAT_TEST_SCRATCH/certificate.pem
KEY=$KABABEAT_TEST_SCRATCH/key.pem
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
    -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -keyout "$KEY" -out "$CERTIFICATE" 2>"$KABABEAT_TEST_SCRATCH/openssl.log" ||
    fail "openssl: $(cat "$KABABEAT_TEST_SCRATCH/openssl.log")"

kababeat migrate >"$KABABEAT_TEST_SCRATCH/migrate.log"

refused() { # refused WHAT NAME=VALUE...: the gateway does not start with these settings, and says why.
    local said
    if said=$(env "${@:2}" timeout 20 "$KABABEAT_BINARY" serve 2>&1); then fail "$1: it started"; fi
    [[ $said == *"$1"* ]] || fail "it did not say '$1': $said"
}
refused KABABEAT_TLS_KEY KABABEAT_TLS_CERTIFICATE="$CERTIFICATE"
refused "no certificate chain and key" KABABEAT_TLS_CERTIFICATE="$KEY" KABABEAT_TLS_KEY="$KEY"
refused KABABEAT_HTTP_PROXIES KABABEAT_HTTP_PROXIES=10.0.0.1/8
refused KABABEAT_HTTP_ORIGINS KABABEAT_HTTP_ORIGINS=app.example.com
pass "settings that make no sense are refused"

BASE=https://localhost:$KABABEAT_HTTP_PORT
export CURL_CA_BUNDLE=$CERTIFICATE
start_gateway KABABEAT_TLS_CERTIFICATE="$CERTIFICATE" KABABEAT_TLS_KEY="$KEY" KABABEAT_HTTP_HOSTS=localhost \
    KABABEAT_HTTP_ORIGINS=https://app.example.com

answer=$(curl -sS -i "$BASE/api/genres")
grep -qi '^strict-transport-security: max-age=31536000' <<<"$answer" || fail "no HSTS: $answer"
grep -qi '^content-security-policy: ' <<<"$answer" || fail "no policy for browsers: $answer"
# Two requests over one connection: TLS keeps it open.
[[ $(curl -sS -o /dev/null -o /dev/null -w '%{num_connects}' "$BASE/health/live" "$BASE/health/live") == 10 ]] || fail "the connection was not kept"
! curl -sS --tls-max 1.1 "$BASE/health/live" 2>/dev/null || fail "TLS 1.1 is taken"
! curl -sS "http://localhost:$KABABEAT_HTTP_PORT/health/live" 2>/dev/null || fail "plain HTTP is answered"
pass "TLS"

status=$(curl -sS -o /dev/null -w '%{http_code}' -H 'Host: evil.example' "$BASE/api/genres")
[[ $status == 400 ]] || fail "another host: $status"
pass "only known hosts are answered"

answer=$(curl -sS -i -H 'Origin: https://app.example.com' "$BASE/api/genres")
grep -qi '^access-control-allow-origin: https://app.example.com' <<<"$answer" || fail "a known origin: $answer"
answer=$(curl -sS -i -H 'Origin: https://evil.example' "$BASE/api/genres")
! grep -qi '^access-control-allow-origin' <<<"$answer" || fail "another origin: $answer"
answer=$(curl -sS -i -X OPTIONS -H 'Origin: https://app.example.com' -H 'Access-Control-Request-Method: GET' "$BASE/api/genres")
grep -qi '^access-control-allow-methods: GET, HEAD' <<<"$answer" || fail "a preflight: $answer"
pass "only known sites may read answers"
end_gateway
