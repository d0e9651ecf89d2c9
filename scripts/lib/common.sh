# shellcheck shell=bash
# What every script here needs: where things are, how to speak, how to fail. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Tools and downloads belong to the checkout; servers' data may be put elsewhere.
LOCAL=$ROOT/.local
# Not every script that sources this has a use for it.
# shellcheck disable=SC2034
VENV=$LOCAL/venv

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

fail() {
    printf '\033[31merror:\033[0m %s\n' "$1" >&2
    shift
    if (($#)); then printf '       %s\n' "$@" >&2; fi
    exit 1
}

# show_log FILE: the last lines of the log that tells why.
show_log() {
    [[ -r $1 ]] || return 0
    printf -- '---- last lines of %s\n' "$1" >&2
    tail -n 20 "$1" >&2
    printf -- '----\n' >&2
}

# port_answers PORT: does anything listen there on loopback?
port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_until SECONDS COMMAND...: polls ten times a second.
wait_until() {
    local left=$(($1 * 10))
    shift
    until "$@"; do
        ((left-- > 0)) || return 1
        sleep 0.1
    done
}

# private_file FILE: standard input becomes FILE, which only its owner can read.
private_file() (
    umask 077
    cat >"$1"
)

random_secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
