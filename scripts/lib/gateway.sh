# shellcheck shell=bash
# What the gateway is told by environment, when it runs on servers that stores.sh started. Needs common.sh.

# These are the scripts' own: the gateway takes a setting that it does not know for a mistake.
export -n KABABEAT_DATA_DIR KABABEAT_MONGO_PORT KABABEAT_MONGO_CACHE_GB KABABEAT_REDIS_MAXMEMORY \
    KABABEAT_POSTGRES_BIN KABABEAT_MONGOD KABABEAT_BINARY

GATEWAY_SETTINGS=(
    KABABEAT_HTTP_HOST KABABEAT_HTTP_PORT KABABEAT_POSTGRES_HOST KABABEAT_POSTGRES_PORT KABABEAT_POSTGRES_DATABASE
    KABABEAT_POSTGRES_USER KABABEAT_POSTGRES_PASSWORD KABABEAT_POSTGRES_OWNER KABABEAT_POSTGRES_OWNER_PASSWORD
    KABABEAT_MONGO_URI KABABEAT_MONGO_DATABASE KABABEAT_REDIS_HOST KABABEAT_REDIS_PORT KABABEAT_REDIS_PASSWORD
    KABABEAT_ENVIRONMENT KABABEAT_IDENTITY_SECRET KABABEAT_PASSWORD_COMMON_FILE
    KABABEAT_SQL_DIRECTORY KABABEAT_MONGO_DIRECTORY KABABEAT_OPENAPI_FILE KABABEAT_LIMITS_EXEMPT
)

# gateway_settings POSTGRES_PORT MONGO_PORT REDIS_PORT HTTP_PORT DATABASE: exports all but the secrets.
gateway_settings() {
    export KABABEAT_ENVIRONMENT=development KABABEAT_HTTP_PORT=$4 KABABEAT_PASSWORD_COMMON_FILE=$LOCAL/tools/common-passwords.txt
    export KABABEAT_POSTGRES_HOST=127.0.0.1 KABABEAT_POSTGRES_PORT=$1 KABABEAT_POSTGRES_DATABASE=$5
    export KABABEAT_POSTGRES_USER=kababeat_gateway KABABEAT_POSTGRES_OWNER=kababeat_owner
    export KABABEAT_MONGO_URI="mongodb://127.0.0.1:$2/?replicaSet=rs0" KABABEAT_MONGO_DATABASE=$5
    export KABABEAT_REDIS_HOST=127.0.0.1 KABABEAT_REDIS_PORT=$3
    # Whoever works or measures on this machine reads and writes as fast as it goes; signing in is counted here too.
    export KABABEAT_LIMITS_EXEMPT=${KABABEAT_LIMITS_EXEMPT-127.0.0.0/8 ::1}
    export KABABEAT_SQL_DIRECTORY=$ROOT/sql KABABEAT_MONGO_DIRECTORY=$ROOT/mongo KABABEAT_OPENAPI_FILE=$ROOT/openapi.yaml
}

# create_database SUPERUSER_PASSWORD_FILE: makes the database of the settings and its owner, unless they are there.
# The owner makes the gateway's role when it migrates: hence CREATEROLE.
create_database() {
    PGPASSWORD=$(cat "$1") psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --host "$KABABEAT_POSTGRES_HOST" \
        --port "$KABABEAT_POSTGRES_PORT" --username postgres --dbname postgres <<-END
		\set owner $KABABEAT_POSTGRES_OWNER
		\set database $KABABEAT_POSTGRES_DATABASE
		\set password $KABABEAT_POSTGRES_OWNER_PASSWORD
		SELECT format('CREATE ROLE %I LOGIN CREATEROLE PASSWORD %L', :'owner', :'password')
		 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \gexec
		SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'owner')
		 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
	END
}

# write_environment FILE: the settings in force, for a developer's own shell.
write_environment() {
    local name
    for name in "${GATEWAY_SETTINGS[@]}"; do
        if [[ -n ${!name:-} ]]; then printf 'export %s=%q\n' "$name" "${!name}"; fi
    done | private_file "$1"
}
