#!/usr/bin/env bash
# openapi.yaml is what the gateway does: valid, served as it stands, and fuzzed by schemathesis, as nobody, as a creator and as an
# admin: no answer that the document does not have, no correct request refused and no wrong one accepted, and what is refused changes
# neither database. /metrics is clean, /health/ready ready.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"

FEATURED=12
PASSWORD='quiet orchard 93 lamps'

get() { curl --fail --silent --show-error --max-time 10 "$@"; }

# As editors will: the row, its version and the announcement in one transaction. The relay of the gateway does the rest.
feature_some_beats() {
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 "$KABABEAT_TEST_POSTGRES dbname=$KABABEAT_POSTGRES_DATABASE" <<-END
		WITH chosen AS (
		    UPDATE beats SET is_featured = true, version = version + 1
		     WHERE id IN (SELECT id FROM beats WHERE status = 'published' ORDER BY id LIMIT $FEATURED)
		    RETURNING id, version
		)
		INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) SELECT 'beat', id, version, 'upsert' FROM chosen;
	END
    local tries=100
    until get --header 'Cache-Control: no-cache' "$BASE/api/beats/featured" | grep -q "\"total\":$FEATURED,"; do
        ((tries-- > 0)) || fail "after 10 s the featured beats are not in the list"
        sleep 0.1
    done
    pass "a committed change arrives in the lists"
}

document_is_served() {
    local served=$KABABEAT_TEST_SCRATCH/openapi.yaml
    get --output "$served" "$BASE/openapi.yaml"
    cmp "$served" "$KABABEAT_OPENAPI_FILE" || fail "/openapi.yaml is not the project's openapi.yaml"
    openapi-spec-validator "$served"
    pass "openapi.yaml is valid and served as it stands"
}

# make_account NAME [ROUTE...]: registers it, notes its id, and posts an empty body to each route in its name.
make_account() {
    local name=$1 id token route
    shift
    post() { get --header 'Content-Type: application/json' "$@"; }
    post --data "{\"email\":\"$name@example.com\",\"username\":\"$name\",\"password\":\"$PASSWORD\"}" "$BASE/api/auth/register" \
        >/dev/null
    read -r id token < <(post --data "{\"email\":\"$name@example.com\",\"password\":\"$PASSWORD\"}" "$BASE/api/auth/login" |
        python3 -c 'import json, sys; answer = json.load(sys.stdin); print(answer["user"]["id"], answer["accessToken"])')
    KABABEAT_TEST_ACCOUNTS+=" $id"
    for route; do post --header "Authorization: Bearer $token" --data '{}' "$BASE$route" >/dev/null; done
}

# document_is_kept EXAMPLES [NAME]: as nobody, or as the account of that name.
document_is_kept() {
    # From where the hooks are found and where it may leave things behind.
    (
        cd "$KABABEAT_TEST_SCRATCH"
        export PYTHONPATH=$HERE/lib PYTHONDONTWRITEBYTECODE=1
        if [[ -n ${2:-} ]]; then export KABABEAT_TEST_EMAIL=$2@example.com KABABEAT_TEST_PASSWORD=$PASSWORD; fi
        bounded 300 schemathesis --config-file "$HERE/lib/schemathesis.toml" --no-color run --max-examples "$1" "$BASE/openapi.yaml"
    ) || fail "to ${2:-nobody} the gateway does not do what openapi.yaml says; its log ends with: $(tail -n 20 "$GATEWAY_LOG")"
    pass "to ${2:-nobody in particular} the gateway does what openapi.yaml says"
}

# refusals_change_nothing: what was refused while the document was held against the gateway, once more.
refusals_change_nothing() {
    KABABEAT_TEST_PASSWORD=$PASSWORD bounded 300 python3 "$HERE/lib/refused.py" "$KABABEAT_TEST_REFUSED" ||
        fail "a request that was refused changed a store"
    pass "what is refused leaves both databases as they were, byte for byte"
}

export KABABEAT_TEST_ACCOUNTS=
export KABABEAT_TEST_REFUSED=$KABABEAT_TEST_SCRATCH/refused.ndjson
kababeat migrate >"$KABABEAT_TEST_SCRATCH/migrate.log"
kababeat import "$HERE/fixtures/catalogue.ndjson"
# Tries of passwords and codes are counted wherever they come from, and here come thousands.
start_gateway KABABEAT_ENVIRONMENT=development KABABEAT_PASSWORD_COST=4 KABABEAT_LIMITS_SIGNIN=100000/60 \
    KABABEAT_LIMITS_REGISTRATION=100000/60 KABABEAT_LIMITS_RECOVERY=100000/60
feature_some_beats
document_is_served
make_account fuzz-creator /api/users/me/creator
make_account fuzz-admin
kababeat admin grant fuzz-admin@example.com
document_is_kept 30
document_is_kept 20 fuzz-creator
document_is_kept 20 fuzz-admin
refusals_change_nothing
get "$BASE/metrics" | promtool check metrics || fail "promtool finds fault with /metrics"
pass "/metrics is clean"
[[ $(get "$BASE/health/ready") == '{"status":"ready","stores":{"postgres":"up","mongo":"up","redis":"up"}}' ]] || fail "not ready any more"
pass "after all that the gateway is ready"
