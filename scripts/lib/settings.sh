# shellcheck shell=bash
# The private system of scripts/up and scripts/down: where it lives, on which ports, with which secrets.
# Needs common.sh, install.sh, stores.sh, gateway.sh.
#
# Set by environment: KABABEAT_DATA_DIR, KABABEAT_HTTP_HOST, KABABEAT_HTTP_PORT, KABABEAT_POSTGRES_PORT,
# KABABEAT_MONGO_PORT, KABABEAT_REDIS_PORT, KABABEAT_REDIS_MAXMEMORY, KABABEAT_MONGO_CACHE_GB,
# KABABEAT_POSTGRES_BIN (directory of initdb), KABABEAT_MONGOD, KABABEAT_BINARY (a gateway that is built already).

DATA=${KABABEAT_DATA_DIR:-$LOCAL/data}
[[ $DATA == /* ]] || DATA=$PWD/$DATA
MONGO_PORT=${KABABEAT_MONGO_PORT:-17017}
export KABABEAT_HTTP_HOST=${KABABEAT_HTTP_HOST:-127.0.0.1}
gateway_settings "${KABABEAT_POSTGRES_PORT:-15432}" "$MONGO_PORT" "${KABABEAT_REDIS_PORT:-16379}" "${KABABEAT_HTTP_PORT:-8080}" kababeat

# secret NAME: the same one at every call, made at the first.
secret() {
    [[ -s $DATA/secrets/$1 ]] || random_secret | private_file "$DATA/secrets/$1"
    cat "$DATA/secrets/$1"
}

# load_secrets: makes what is missing, exports all, and writes $DATA/environment for a developer's own shell.
load_secrets() {
    mkdir -p "$DATA/secrets"
    chmod 700 "$DATA/secrets"
    KABABEAT_POSTGRES_PASSWORD=$(secret postgres-gateway)
    KABABEAT_POSTGRES_OWNER_PASSWORD=$(secret postgres-owner)
    KABABEAT_REDIS_PASSWORD=$(secret redis)
    KABABEAT_IDENTITY_SECRET=$(secret identity)
    export KABABEAT_POSTGRES_PASSWORD KABABEAT_POSTGRES_OWNER_PASSWORD KABABEAT_REDIS_PASSWORD KABABEAT_IDENTITY_SECRET
    write_environment "$DATA/environment"
}

# Only a directory that bears this mark is ever deleted.
MARK=$DATA/.kababeat-data

make_data_directory() {
    if [[ -e $DATA && ! -e $MARK ]]; then
        [[ -d $DATA && -z $(ls -A "$DATA") ]] || fail "$DATA is there already, and nothing that scripts/up made" \
            "name an empty or a new directory: KABABEAT_DATA_DIR=PATH"
    fi
    mkdir -p "$DATA/gateway"
    echo "made by scripts/up of $ROOT; scripts/up --fresh deletes it" >"$MARK"
    place_postgres
}

# As root, Postgres runs as another user, to whom the way to our directory may be closed. Then its files live elsewhere.
place_postgres() {
    local elsewhere
    [[ ! -e $DATA/postgres ]] && ((EUID == 0)) || return 0
    if as_postgres test -x "$DATA"; then return; fi
    elsewhere=/var/lib/kababeat-$(printf '%s' "$DATA" | sha256sum | cut -c 1-12)
    say "the user $POSTGRES_USER_AS_ROOT cannot reach $DATA: Postgres keeps its files in $elsewhere"
    mkdir -p "$elsewhere"
    ln -sfn "$elsewhere" "$DATA/postgres"
}

erase_data_directory() {
    [[ -e $DATA ]] || return 0
    [[ -e $MARK ]] || fail "$DATA bears no $(basename "$MARK"): it was not made by scripts/up, so it is not deleted"
    if [[ -L $DATA/postgres ]]; then rm -rf "$(realpath "$DATA/postgres")"; fi
    rm -rf "$DATA"
}
