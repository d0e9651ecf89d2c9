# shellcheck shell=bash
# Starts and stops Postgres, mongod and Redis, each in a directory of its own, on loopback. Needs common.sh, install.sh.
# A server's directory holds its `pid`, its `server.log` and its `data`. It counts as ours when the process of
# that pid works in that directory, so that a stale pid file never ends somebody else's process.

# As root, Postgres runs as this user: it refuses to run as root.
POSTGRES_USER_AS_ROOT=postgres

as_postgres() {
    if ((EUID == 0)); then
        # From / because the caller's directory may be closed to that user.
        (cd / && runuser -u "$POSTGRES_USER_AS_ROOT" -- "$@")
    else
        "$@"
    fi
}

# server_pid DIRECTORY: the pid of our server there; fails when there is none.
server_pid() {
    local pid working
    [[ -r $1/pid ]] || return 1
    read -r pid <"$1/pid" || return 1
    working=$(readlink "/proc/$pid/cwd" 2>/dev/null) || return 1
    [[ $working/ == "$(realpath "$1")"/* ]] || return 1
    echo "$pid"
}

# require_port_free NAME PORT VARIABLE
require_port_free() {
    port_answers "$2" || return 0
    local holder=""
    if command -v ss >/dev/null; then holder=$(ss -Hltnp "sport = :$2" 2>/dev/null | grep -o '(("[^"]*",pid=[0-9]*' | head -n 1 | tr -d '("' || true); fi
    fail "port $2, wanted for $1, is taken${holder:+ by $holder}" "stop what listens there, or choose another port: $3=NUMBER"
}

# start_failed NAME DIRECTORY
start_failed() {
    show_log "$2/server.log"
    fail "$1 did not start" "its log is $2/server.log"
}

# start_postgres DIRECTORY PORT [setting=value...]: the first start makes a cluster whose superuser is `postgres`,
# with the password in DIRECTORY/password.
start_postgres() {
    local directory port=$2 bin setting
    mkdir -p "$1"
    # Through a link of ours, that user may have no way.
    directory=$(realpath "$1")
    local -a options=(-p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c external_pid_file=../pid)
    for setting in "${@:3}"; do options+=(-c "$setting"); done
    bin=$(postgres_bin_directory)
    [[ -s $directory/data/PG_VERSION ]] || make_postgres_cluster "$directory" "$bin"
    as_postgres "$bin/pg_ctl" start --silent -w -t 60 -D "$directory/data" -l "$directory/server.log" -o "${options[*]}" >/dev/null ||
        start_failed Postgres "$directory"
}

make_postgres_cluster() {
    local directory=$1 bin=$2 output
    # What a broken first start left is worth nothing, and initdb refuses to go over it.
    rm -rf "${directory:?}/data"
    random_secret | private_file "$directory/password"
    if ((EUID == 0)); then chown "$POSTGRES_USER_AS_ROOT" "$directory" "$directory/password"; fi
    # The cluster can be made anew, so that it need not be on the disk when initdb returns.
    output=$(as_postgres "$bin/initdb" --no-sync --encoding UTF8 --locale C.UTF-8 --auth scram-sha-256 --username postgres \
        --pwfile "$directory/password" -D "$directory/data" 2>&1) ||
        fail "initdb could not make a Postgres cluster in $directory/data" "$output"
}

# start_mongod DIRECTORY PORT CACHE_GIGABYTES: as a replica set of one, rs0.
start_mongod() {
    start_mongod_member "$@"
    "$VENV/bin/python" "$ROOT/scripts/lib/replica_set.py" "$2" || start_failed MongoDB "$1"
}

# start_mongod_member DIRECTORY PORT CACHE_GIGABYTES: to be made a member of the replica set rs0, or one already.
start_mongod_member() {
    local directory=$1 port=$2 cache=$3
    mkdir -p "$directory/data"
    (
        cd "$directory" || exit
        exec setsid "$(mongod_binary)" --dbpath "$directory/data" --port "$port" --bind_ip 127.0.0.1 --nounixsocket \
            --replSet rs0 --oplogSize 256 --wiredTigerCacheSizeGB "$cache" --setParameter diagnosticDataCollectionEnabled=false \
            </dev/null >"$directory/server.log" 2>&1
    ) &
    echo "$!" >"$directory/pid"
    # No shell of ours is to report its end.
    disown
    wait_until 60 answers_or_gone "$port" "$!" || true
    port_answers "$port" || start_failed MongoDB "$directory"
}

answers_or_gone() { port_answers "$1" || process_gone "$2"; }

# start_redis DIRECTORY PORT PASSWORD: a cache, so nothing is written to disk. An empty password asks for none.
start_redis() {
    local directory=$1 port=$2 password=$3
    mkdir -p "$directory"
    private_file "$directory/redis.conf" <<-END
		bind 127.0.0.1
		port $port
		dir "$directory"
		daemonize yes
		pidfile "$directory/pid"
		logfile "$directory/server.log"
		save ""
		appendonly no
		maxmemory ${KABABEAT_REDIS_MAXMEMORY:-256mb}
		maxmemory-policy allkeys-lfu
		${password:+requirepass $password}
	END
    "$(redis_binary)" "$directory/redis.conf" >/dev/null || start_failed Redis "$directory"
    wait_until 10 port_answers "$port" || start_failed Redis "$directory"
}

# stop_servers DIRECTORY...: asks all of them at once, then waits for each; who does not go in 30 s is killed.
stop_servers() {
    local directory pid
    for directory; do
        pid=$(server_pid "$directory") || continue
        # INT is Postgres' fast shutdown: TERM would wait for its clients to leave.
        if [[ -e $directory/data/PG_VERSION ]]; then kill -INT "$pid"; else kill -TERM "$pid"; fi
    done
    for directory; do
        pid=$(server_pid "$directory") || continue
        if ! wait_until 30 process_gone "$pid"; then
            say "killing $pid, the server in $directory, which did not stop in 30 s"
            kill -KILL "$pid" || true
        fi
    done
}

process_gone() { ! kill -0 "$1" 2>/dev/null; }
