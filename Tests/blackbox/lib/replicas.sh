# shellcheck shell=bash
# Three mongods as one replica set, and a Postgres with a streaming standby, in the test's scratch directory. Sourced, never run.
# Needs scripts/lib/{common,install,stores,throwaway}.sh.

REPLICAS=$KABABEAT_TEST_SCRATCH/replicas

replica_port() { cat "$REPLICAS/$1.port"; }

# replica_settings NODE: how the Postgres of that name is started; who follows it is in its own configuration.
replica_settings() {
    # What is acknowledged can be read on both: a standby that has yet to hear of a database refuses whoever asks for it.
    # A standby that lost its primary looks for it again every five seconds unless told otherwise.
    printf '%s\n' fsync=off full_page_writes=off wal_level=replica max_wal_senders=4 wal_keep_size=64MB max_connections=100 \
        wal_retrieve_retry_interval=200ms synchronous_commit=remote_apply
}

# start_replicas ELECTION_MILLISECONDS: mongo1 to mongo3; postgres1, followed by postgres2.
start_replicas() {
    local node
    local -a ports
    mkdir -p "$REPLICAS"
    read -r -a ports < <(free_ports 5)
    for node in mongo1 mongo2 mongo3 postgres1 postgres2; do
        echo "${ports[0]}" >"$REPLICAS/$node.port"
        ports=("${ports[@]:1}")
    done
    for node in mongo1 mongo2 mongo3; do start_mongod_member "$REPLICAS/$node" "$(replica_port "$node")" 0.25; done
    "$VENV/bin/python" "$ROOT/scripts/lib/replica_set.py" "$(replica_port mongo1)" "$(replica_port mongo2)" "$(replica_port mongo3)" \
        --election "$1"
    start_replica postgres1
    follow_replica postgres2 postgres1
}

# start_replica NODE: as what it was.
start_replica() {
    case $1 in
    mongo*) start_mongod_member "$REPLICAS/$1" "$(replica_port "$1")" 0.25 ;;
    *)
        local -a settings
        mapfile -t settings < <(replica_settings)
        start_postgres "$REPLICAS/$1" "$(replica_port "$1")" "${settings[@]}"
        ;;
    esac
}

# replica_sql NODE SQL: as its superuser.
replica_sql() {
    PGPASSWORD=$(cat "$REPLICAS/postgres1/password") psql --quiet --no-psqlrc --tuples-only --no-align --set ON_ERROR_STOP=1 \
        --host 127.0.0.1 --port "$(replica_port "$1")" --username postgres --dbname "${3:-postgres}" --command "$2"
}

# follow_replica NODE PRIMARY: makes it a standby, whatever it was, from which on the primary acknowledges nothing that is not on both.
follow_replica() {
    local node=$1 primary=$2 directory=$REPLICAS/$1 source
    rm -rf "${directory:?}/data"
    mkdir -p "$directory"
    if ((EUID == 0)); then chown "$POSTGRES_USER_AS_ROOT" "$directory"; fi
    source="host=127.0.0.1 port=$(replica_port "$primary") user=postgres application_name=standby"
    source+=" password=$(cat "$REPLICAS/postgres1/password")"
    as_postgres "$(postgres_bin_directory)/pg_basebackup" --dbname "$source" --pgdata "$directory/data" --wal-method stream \
        --checkpoint fast --no-sync --write-recovery-conf
    # Promoted, it must not wait for a standby of its own.
    as_postgres sh -c 'echo "synchronous_standby_names = '"''"'" >>"$1"' sh "$directory/data/postgresql.auto.conf"
    start_replica "$node"
    replica_sql "$primary" "ALTER SYSTEM SET synchronous_standby_names = 'standby'"
    replica_sql "$primary" "SELECT pg_reload_conf()" >/dev/null
    wait_until 10 is_followed "$primary"
}

is_followed() { [[ $(replica_sql "$1" "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1 ]]; }

# promote_replica NODE: returns when it takes writes.
promote_replica() {
    as_postgres "$(postgres_bin_directory)/pg_ctl" promote --silent -w -t 30 -D "$REPLICAS/$1/data" >/dev/null
}

# signal_replica SIGNAL NODE: to all of its processes; KILL returns when they are gone.
signal_replica() {
    local pid
    pid=$(server_pid "$REPLICAS/$2")
    local -a pids=("$pid")
    mapfile -t -O 1 pids < <(pgrep --parent "$pid")
    kill "-$1" "${pids[@]}"
    [[ $1 != KILL ]] || wait_until 10 process_gone "$pid"
}

# remove_replicas: in any state they may be in.
remove_replicas() {
    local node
    for node in "$REPLICAS"/*/; do
        signal_replica CONT "$(basename "$node")" 2>/dev/null || true
        signal_replica KILL "$(basename "$node")" 2>/dev/null || true
    done
    rm -rf "$REPLICAS"
}
