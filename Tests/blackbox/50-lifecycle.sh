#!/usr/bin/env bash
# The command line and the process: arguments and settings that cannot be used are named, a command that finds a store away says which,
# where and what to do, a second gateway says why it does not start, SIGTERM under load breaks no request, and the importer says what it
# does and why it stops.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

OUTPUT=$KABABEAT_TEST_SCRATCH/output

# refused CODE TEXT COMMAND...: the command fails within 30 s, with that exit code unless it is -, and says TEXT.
refused() {
    local expected=$1 text=$2 status=0
    shift 2
    bounded 30 "$@" >"$OUTPUT" 2>&1 || status=$?
    ((status != 0)) || fail "$* succeeded"
    ((status < 124)) || fail "$* ended with $status: $(tail -n 5 "$OUTPUT")"
    [[ $expected == - || $status == "$expected" ]] || fail "$* ended with $status, not $expected: $(cat "$OUTPUT")"
    grep -qF -- "$text" "$OUTPUT" || fail "$* does not say '$text' but: $(cat "$OUTPUT")"
}

settings_are_checked() {
    refused 64 'KABABEAT_HTTP_PROT in the environment is not a setting' env KABABEAT_HTTP_PROT=1 "$KABABEAT_BINARY" serve
    refused 64 'KABABEAT_HTTP_PORT must be a whole number from 1 to 65535' env KABABEAT_HTTP_PORT=80a "$KABABEAT_BINARY" serve
    refused 64 'KABABEAT_HTTP_PORT must be a whole number from 1 to 65535' "$KABABEAT_BINARY" serve --port 65536
    refused 64 'KABABEAT_REDIS_ENABLED must be true or false' "$KABABEAT_BINARY" config --set redis.enabled=maybe
    refused 64 'KABABEAT_MONGO_URI must be a MongoDB connection string' env KABABEAT_MONGO_URI=localhost "$KABABEAT_BINARY" serve
    refused 64 'http.prot is not a setting' "$KABABEAT_BINARY" serve --set http.prot=1
    refused - 'KABABEAT_OPENAPI_FILE must be the path of openapi.yaml' env KABABEAT_OPENAPI_FILE=/none "$KABABEAT_BINARY" serve
    printf 'KABABEAT_HTTP_PORT=8081\nKABABEAT_COLOUR=red\n' >"$KABABEAT_TEST_SCRATCH/settings"
    refused 64 'KABABEAT_COLOUR in the settings file is not a setting' "$KABABEAT_BINARY" serve --settings "$KABABEAT_TEST_SCRATCH/settings"
    refused 64 'cannot be read' "$KABABEAT_BINARY" serve --settings /none
    refused 64 'KABABEAT_SITE_URL must be an address' env KABABEAT_SITE_URL=javascript:x "$KABABEAT_BINARY" serve
    refused 64 'KABABEAT_SITE_URL must be where others reach' env KABABEAT_ENVIRONMENT=production KABABEAT_PASSWORD_COST=12 \
        KABABEAT_SMTP_HOST=mail.example.org KABABEAT_MAIL_FROM=a@example.org "$KABABEAT_BINARY" serve
    pass "a setting that cannot be used is named"
}

arguments_are_checked() {
    local hours='--since is a whole number of hours from 1 to 87600' choice='name ids, or --all'
    for count in 99999999999 87601 0 -1 9223372036854775807; do refused 64 "$hours" "$KABABEAT_BINARY" verify --since="$count"; done
    refused 64 "$choice" "$KABABEAT_BINARY" outbox replay
    refused 64 "$choice" "$KABABEAT_BINARY" outbox purge 1 --all
    refused 64 'an id is a whole number from 1 on' "$KABABEAT_BINARY" outbox purge 0
    refused 64 '--limit is a whole number from 1 to 1000' "$KABABEAT_BINARY" outbox dead --limit 0
    refused 64 '--days is a whole number from 1 to 3650' "$KABABEAT_BINARY" service-key create --name x --scope audit:read --days 99999999999
    kababeat --help >"$OUTPUT"
    for status in 1 64 69 70; do grep -qw "$status" "$OUTPUT" || fail "kababeat --help does not say what $status means"; done
    pass "an argument that cannot be used is named"
}

commands_need_migrations() {
    for command in verify outbox 'admin grant nora@example.com' 'rebuild search' 'audit verify' 'keys rotate'; do
        # shellcheck disable=SC2086
        refused 69 '`kababeat migrate`' "$KABABEAT_BINARY" $command
    done
    pass "a command on databases that were never migrated says what to do"
}

config_hides_secrets() {
    KABABEAT_POSTGRES_PASSWORD=s3cret-1 KABABEAT_POSTGRES_OWNER_PASSWORD=s3cret-2 KABABEAT_REDIS_PASSWORD=s3cret-3 \
        KABABEAT_MONGO_URI='mongodb://someone:s3cret-4@127.0.0.1/' KABABEAT_IDENTITY_SECRET=s3cret-5 \
        kababeat config --set http.port=8123 >"$OUTPUT"
    ! grep -q s3cret "$OUTPUT" || fail "kababeat config shows a secret: $(grep s3cret "$OUTPUT")"
    [[ $(grep -c '<redacted>' "$OUTPUT") == 5 ]] || fail "kababeat config does not say which secrets are set: $(cat "$OUTPUT")"
    grep -q '^KABABEAT_HTTP_PORT  *8123$' "$OUTPUT" || fail "a flag does not win over the environment: $(cat "$OUTPUT")"
    pass "kababeat config shows what is in force, and no secret"
}

serve_needs_migrations() {
    kababeat migrate >"$OUTPUT"
    grep -q '^applied ' "$OUTPUT" || fail "kababeat migrate says nothing of what it did: $(cat "$OUTPUT")"
    kababeat migrate >"$OUTPUT"
    grep -q '^up to date' "$OUTPUT" || fail "a second kababeat migrate is no 'up to date': $(cat "$OUTPUT")"
    local newer=$KABABEAT_TEST_SCRATCH/sql
    cp -r "$KABABEAT_SQL_DIRECTORY" "$newer"
    echo 'SELECT 1;' >"$newer/999_newer.sql"
    refused - 'lack 999_newer.sql; run `kababeat migrate` first' env KABABEAT_SQL_DIRECTORY="$newer" "$KABABEAT_BINARY" serve
    pass "serve starts on migrated databases only, and says what to do"
}

import_reports() {
    make_catalogue 40000
    kababeat import "$CATALOGUE" >"$OUTPUT" 2>"$OUTPUT.progress"
    grep -Eq '^imported 40000 beats in [0-9.]+ s \([0-9]+/s\), skipped 0$' "$OUTPUT" || fail "the import ends with: $(cat "$OUTPUT")"
    grep -Eq '^[0-9]+ %  [0-9]+ lines  [0-9]+/s  [0-9]+ s left$' "$OUTPUT.progress" || fail "no progress: $(cat "$OUTPUT.progress")"
    ! grep -q $'[\r\e]' "$OUTPUT.progress" || fail "a progress bar where there is no terminal"

    local bad=$KABABEAT_TEST_SCRATCH/bad.ndjson
    { head -n 2 "$CATALOGUE"; echo '{"externalId":"test:bad","title":""}'; echo 'no JSON'; sed -n 3,4p "$CATALOGUE"; } >"$bad"
    refused 1 "$bad:3: " "$KABABEAT_BINARY" import "$bad"
    kababeat import --skip-invalid "$bad" >"$OUTPUT" 2>"$OUTPUT.progress"
    grep -q '^imported 4 beats .* skipped 2$' "$OUTPUT" || fail "--skip-invalid ends with: $(cat "$OUTPUT")"
    [[ $(grep -c "^$bad:[34]: " "$OUTPUT.progress") == 2 ]] || fail "--skip-invalid does not report each line: $(cat "$OUTPUT.progress")"
    refused 1 'cannot read /none' "$KABABEAT_BINARY" import /none
    pass "an import reports progress, and each line that it cannot take"
}

# away STORE HOW PLACE COMMAND...: with the store away, an import and these commands end by themselves and say which one they miss and
# what to do.
away() {
    "$KABABEAT_TEST_STORE" "$2" "$1"
    # Beats that are there already would need no MongoDB.
    head -n 1500 "$CATALOGUE" | sed "s/\"test:beat:/\"$1:beat:/" >"$KABABEAT_TEST_SCRATCH/more.ndjson"
    local status=0
    bounded 120 "$KABABEAT_BINARY" import "$KABABEAT_TEST_SCRATCH/more.ndjson" >"$OUTPUT" 2>&1 || status=$?
    ((status == 69)) || fail "an import without $1 ends with $status: $(cat "$OUTPUT")"
    grep -qF "$3 does not answer" "$OUTPUT" || fail "an import without $1 does not name it: $(cat "$OUTPUT")"
    grep -q 'Run it again' "$OUTPUT" || fail "an import without $1 does not say what to do: $(cat "$OUTPUT")"
    for command in "${@:4}"; do
        # shellcheck disable=SC2086
        refused 69 "$3 does not answer" "$KABABEAT_BINARY" $command
    done
    "$KABABEAT_TEST_STORE" "$([[ $2 == freeze ]] && echo thaw || echo start)" "$1"
    kababeat import "$KABABEAT_TEST_SCRATCH/more.ndjson" >"$OUTPUT" 2>&1 || fail "with $1 back the import still fails: $(cat "$OUTPUT")"
    pass "commands without $1 say so, and an import goes on with it"
}

port_is_taken() {
    start_gateway
    refused - "$KABABEAT_HTTP_PORT" "$KABABEAT_BINARY" serve
    grep -qi 'in use' "$OUTPUT" || fail "a second gateway does not say that the port is taken: $(cat "$OUTPUT")"
    pass "a second gateway on the same port says why it does not start"
}

signal_ends_gently() {
    python3 "$HERE/50-lifecycle.py" "$GATEWAY" || fail "the gateway's log ends with: $(tail -n 20 "$GATEWAY_LOG")"
    local status=0
    wait "$GATEWAY" || status=$?
    GATEWAY=''
    ((status == 0)) || fail "after SIGTERM the gateway ends with $status"
    pass "SIGTERM under load breaks no request, and the gateway ends with 0"
}

settings_are_checked
arguments_are_checked
config_hides_secrets
commands_need_migrations
serve_needs_migrations
import_reports
away postgres kill "PostgreSQL at $KABABEAT_POSTGRES_HOST:$KABABEAT_POSTGRES_PORT" verify outbox migrate 'admin grant nora@example.com'
MONGO=${KABABEAT_MONGO_URI#*//}
away mongodb freeze "MongoDB at ${MONGO%%[/?]*}" verify 'rebuild search'
port_is_taken
signal_ends_gently
