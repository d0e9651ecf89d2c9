# shellcheck shell=bash
# Throwaway stores for tests: on free ports, in a temporary directory, with nothing kept safe on disk.
# Needs common.sh, install.sh, stores.sh, gateway.sh. What tests are told of them is exported as KABABEAT_TEST_...

start_throwaway_stores() {
    KABABEAT_TEST_DIRECTORY=$(mktemp -d "${TMPDIR:-/tmp}/kababeat-test.XXXXXX")
    # Open to pass through: as root, Postgres runs as another user.
    chmod 711 "$KABABEAT_TEST_DIRECTORY"
    read -r KABABEAT_TEST_POSTGRES_PORT KABABEAT_TEST_MONGO_PORT KABABEAT_TEST_REDIS_PORT KABABEAT_TEST_HTTP_PORT < <(free_ports 4)
    export KABABEAT_TEST_DIRECTORY KABABEAT_TEST_POSTGRES_PORT KABABEAT_TEST_MONGO_PORT KABABEAT_TEST_REDIS_PORT KABABEAT_TEST_HTTP_PORT
    start_throwaway_store postgres
    start_throwaway_store redis
    start_throwaway_store mongodb
    KABABEAT_TEST_POSTGRES="host=127.0.0.1 port=$KABABEAT_TEST_POSTGRES_PORT user=postgres"
    KABABEAT_TEST_POSTGRES+=" password=$(cat "$KABABEAT_TEST_DIRECTORY/postgres/password") dbname=postgres"
    KABABEAT_TEST_MONGO="mongodb://127.0.0.1:$KABABEAT_TEST_MONGO_PORT/?replicaSet=rs0&directConnection=true"
    KABABEAT_TEST_REDIS="127.0.0.1:$KABABEAT_TEST_REDIS_PORT"
    KABABEAT_TEST_POSTGRES_PID=$(server_pid "$KABABEAT_TEST_DIRECTORY/postgres")
    KABABEAT_TEST_MONGO_PID=$(server_pid "$KABABEAT_TEST_DIRECTORY/mongodb")
    KABABEAT_TEST_REDIS_PID=$(server_pid "$KABABEAT_TEST_DIRECTORY/redis")
    KABABEAT_TEST_STORE=$ROOT/scripts/lib/test-store
    export KABABEAT_TEST_PYTHON=$VENV/bin/python
    export KABABEAT_TEST_POSTGRES KABABEAT_TEST_MONGO KABABEAT_TEST_REDIS KABABEAT_TEST_STORE
    export KABABEAT_TEST_POSTGRES_PID KABABEAT_TEST_MONGO_PID KABABEAT_TEST_REDIS_PID
}

# start_throwaway_store NAME: also after a test has stopped or killed it; the port stays the same. With KABABEAT_TEST_DURABLE set,
# Postgres keeps what it has committed when it is killed.
start_throwaway_store() {
    local directory=$KABABEAT_TEST_DIRECTORY/$1
    local -a haste=(fsync=off synchronous_commit=off full_page_writes=off)
    if [[ -n ${KABABEAT_TEST_DURABLE:-} ]]; then haste=(); fi
    case $1 in
    postgres) start_postgres "$directory" "$KABABEAT_TEST_POSTGRES_PORT" max_connections=400 "${haste[@]}" ;;
    mongodb) start_mongod "$directory" "$KABABEAT_TEST_MONGO_PORT" 0.25 ;;
    redis) start_redis "$directory" "$KABABEAT_TEST_REDIS_PORT" "" ;;
    *) fail "no such store: $1" ;;
    esac
}

# remove_throwaway_stores [LOGS]: stops them, keeps their logs in the directory LOGS if one is given, deletes the rest.
remove_throwaway_stores() {
    local name directory
    [[ -d ${KABABEAT_TEST_DIRECTORY:-} ]] || return 0
    for name in postgres mongodb redis; do
        directory=$KABABEAT_TEST_DIRECTORY/$name
        # A test that failed may have left it frozen.
        kill -CONT "$(server_pid "$directory")" 2>/dev/null || true
        if [[ -n ${1:-} && -r $directory/server.log ]]; then
            mkdir -p "$1"
            cp "$directory/server.log" "$1/$name.log"
        fi
    done
    stop_servers "$KABABEAT_TEST_DIRECTORY"/{postgres,mongodb,redis}
    rm -rf "$KABABEAT_TEST_DIRECTORY"
}

free_ports() {
    python3 - "$1" <<-END
		import socket, sys
		sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
		print(*(s.getsockname()[1] for s in sockets))
	END
}

# black_box_environment NAME: a database, a namespace and an empty cache of its own for one black-box test.
black_box_environment() {
    export KABABEAT_HTTP_HOST=127.0.0.1
    gateway_settings "$KABABEAT_TEST_POSTGRES_PORT" "$KABABEAT_TEST_MONGO_PORT" "$KABABEAT_TEST_REDIS_PORT" "$KABABEAT_TEST_HTTP_PORT" \
        "kababeat_${1//[^a-z0-9]/_}"
    export KABABEAT_POSTGRES_PASSWORD=test-gateway KABABEAT_POSTGRES_OWNER_PASSWORD=test-owner
    export KABABEAT_IDENTITY_SECRET=a-secret-for-tests-of-more-than-32-bytes
    unset KABABEAT_REDIS_PASSWORD
    export KABABEAT_TEST_SCRATCH=$KABABEAT_TEST_DIRECTORY/scratch-$1
    mkdir -p "$KABABEAT_TEST_SCRATCH"
    create_database "$KABABEAT_TEST_DIRECTORY/postgres/password"
    redis-cli -p "$KABABEAT_TEST_REDIS_PORT" flushall >/dev/null
}
