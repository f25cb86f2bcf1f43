# shellcheck shell=bash
# Sourced by the shell tests: where things are, a scratch folder, servers that end with the test.
#
# A test prints one line for each case: `ok NAME`, `FAILED NAME: reason`, `skipped NAME: reason`, or, for many at once,
# `counted P passed, F failed, S skipped: NAME`. run-all adds them up.
set -euo pipefail

# shellcheck disable=SC2155
readonly HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2155
readonly ROOT=$(cd "$HERE/../.." && pwd)
# The kits that drive any Pravega-compatible server are no part of this tree.
KITS=${MILLRACE_KITS:-$ROOT/../shared}
# shellcheck disable=SC2155
readonly SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/millrace-e2e-XXXXXX")
SERVERS=()

# start_server NAME [option...]: a fresh server on free ports; sets CONTROLLER, REST, STORE and STATE.
start_server() {
    STATE=$SCRATCH/$1
    shift
    local variables
    variables=$("$HERE/server.py" start "$STATE" "$@") || { echo "FAILED to start a server"; return 1; }
    SERVERS+=("$STATE")
    eval "$variables"
}

stop_server() { "$HERE/server.py" stop "$STATE"; }

finish() {
    local status=$? state
    for state in "${SERVERS[@]:-}"; do
        if [[ -n $state ]]; then "$HERE/server.py" kill "$state" >/dev/null 2>&1 || true; fi
    done
    if ((status == 0)) || [[ -n ${CI:-} ]]; then rm -rf "$SCRATCH"; else echo "     kept for a look: $SCRATCH"; fi
    exit "$status"
}
trap finish EXIT

# unavailable NAME REASON: what a test needs is not to be had here. On a developer's machine it is skipped; where every change is
# judged (CI=true), a test that did not run must not look like one that passed.
unavailable() {
    if [[ -n ${CI:-} ]]; then
        echo "FAILED $1: $2"
        return 1
    fi
    echo "skipped $1: $2"
}

# need_kit FOLDER NAME: ends the test where the kit is not there.
need_kit() {
    [[ -x $KITS/$1/run.sh ]] && return
    unavailable "$2" "kit not found at $KITS/$1 (set MILLRACE_KITS)"
    exit
}
