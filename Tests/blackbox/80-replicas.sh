#!/usr/bin/env bash
# A gateway on three mongods and on a Postgres with a standby, under steady writes and reads: primaries are killed, frozen, stepped
# down, restarted and replaced. Writes and reads resume by themselves, and what was acknowledged is in both databases each time.
# shellcheck source-path=SCRIPTDIR/../../scripts/lib
set -euo pipefail
LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib" && pwd)
source "$LIB/common.sh"
source "$LIB/install.sh"
source "$LIB/stores.sh"
source "$LIB/gateway.sh"
source "$LIB/throwaway.sh"
source "$(dirname "${BASH_SOURCE[0]}")/lib/gateway.sh"
source "$HERE/lib/replicas.sh"

# A fifth of what MongoDB has by default, to be done sooner; ELECTION_MILLISECONDS=10000 measures that.
ELECTION_MILLISECONDS=${ELECTION_MILLISECONDS:-2000}

trap 'end_gateway; remove_replicas' EXIT
start_replicas "$ELECTION_MILLISECONDS"
KABABEAT_POSTGRES_PORT=$(replica_port postgres1) create_database "$REPLICAS/postgres1/password"
# The standby stands first, so that every connection has to find out that it is one.
export KABABEAT_POSTGRES_HOST=127.0.0.1,127.0.0.1
KABABEAT_POSTGRES_PORT=$(replica_port postgres2),$(replica_port postgres1)
KABABEAT_MONGO_URI="mongodb://127.0.0.1:$(replica_port mongo1),127.0.0.1:$(replica_port mongo2),127.0.0.1:$(replica_port mongo3)/?replicaSet=rs0"
export KABABEAT_POSTGRES_PORT KABABEAT_MONGO_URI KABABEAT_PASSWORD_COST=4 KABABEAT_BINARY
kababeat migrate >"$KABABEAT_TEST_SCRATCH/migrate.log" || fail "migrate: $(cat "$KABABEAT_TEST_SCRATCH/migrate.log")"
start_gateway
trap 'end_gateway; remove_replicas' EXIT
bounded 300 python3 "$HERE/80-replicas.py" "$REPLICAS" ||
    fail "see above; the gateway's log ends with: $(tail -n 20 "$GATEWAY_LOG")"
kill -0 "$GATEWAY" || fail "the gateway did not survive"
pass "every primary can go, and another one take over"
