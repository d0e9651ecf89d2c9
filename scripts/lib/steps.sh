# shellcheck shell=bash
# Runs named steps, and says in the end how each went and how long it took. Needs common.sh.

STEPS=()
STEPS_FAILED=0

# step NAME COMMAND...: fails as the command does.
step() {
    local name=$1 start=$SECONDS status=0
    shift
    say "$name"
    "$@" || status=$?
    STEPS+=("$(printf '%-7s %5d s  %s' "$( ((status)) && echo FAILED || echo ok)" $((SECONDS - start)) "$name")")
    if ((status)); then STEPS_FAILED=$((STEPS_FAILED + 1)); fi
    return "$status"
}

# step_summary: fails if a step did.
step_summary() {
    printf '\n'
    printf '%s\n' "${STEPS[@]}"
    printf 'steps: %d passed, %d failed\n' $((${#STEPS[@]} - STEPS_FAILED)) "$STEPS_FAILED"
    ((STEPS_FAILED == 0))
}
