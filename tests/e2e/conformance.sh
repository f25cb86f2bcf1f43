#!/usr/bin/env bash
# The conformance kit against Millrace: the official Java client, on what this release has. Three runs, each on a fresh server:
# the kit's tests by tag; the same with so little memory and journal, and such eager moves to long-term storage, that history comes from
# there; and those that kill and restart the server under their clients, in that narrowness too.
#
#   conformance.sh [plain] [tiered] [restart]      without words: these three
#   conformance.sh s3-tiered s3-restart            the same on a bucket: S3_ENDPOINT, S3_REGION, S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY
#   conformance.sh slow                            tests that wait for minutes for what a server does by itself
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_kit conformance "conformance kit"

TAGS=${MILLRACE_KIT_TAGS:-stem,stream,write,read,batch,bytes,sync,scale,truncate,txn,kvt,rest}
SLOW_TAGS=${MILLRACE_KIT_SLOW_TAGS:-autoscale,retention,watermark,load}
TIERED_TAGS=${MILLRACE_KIT_TIERED_TAGS:-stem,write,bytes,sync,truncate,kvt}  # what reads history
EXCLUDED=${MILLRACE_KIT_EXCLUDED:-}
RESTART_EXCLUDED=${MILLRACE_KIT_RESTART_EXCLUDED:-}

RACES=$HERE/../../conformance/client-races.txt

NARROW=(--journal-file 34MiB --journal-limit 256MiB --cache 16MiB --storage-cache 16MiB --flush-size 256KiB --flush-seconds 1)

run_kit() { # file, options...: what the kit printed, in the file too, and its status
    local out=$1 status=0
    shift
    "$KITS/conformance/run.sh" --controller "$CONTROLLER" --rest "$REST" "$@" >"$out" 2>&1 || status=$?
    sed -i 's/\x1b\[[0-9;]*m//g' "$out"
    # The counts below say what failed; the tests' own lines must not count again.
    grep -vE '^[[:space:]]*$|^\[(INFO|ERROR|WARNING)\]' "$out" | sed 's/^/     | /' || true
    return $status
}

# The tags of the tests that failed, if all of them are known races of the client; else nothing.
raced_tags() { # file
    awk 'NR == FNR {if ($1 !~ /^#/) known[$1 " " $2] = 1; next}
         $1 == "FAILED" {tag = substr($2, 2, length($2) - 2); test = $3; sub(/:$/, "", test)
                         if ((tag " " test) in known) tags[tag] = 1; else other = 1}
         END {if (!other) for (tag in tags) print tag}' "$RACES" "$1" | paste -sd,
}

kit() { # name, options...; the server's are in SERVER_OPTIONS
    local name=$1 status=0 out=$SCRATCH/$1.out counts raced
    shift
    start_server "$name" "${SERVER_OPTIONS[@]}"
    run_kit "$out" "$@" || status=$?
    counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$out" | tail -1 || true)
    raced=$(raced_tags "$out")
    for _ in 1 2 3 4; do
        [[ $status != 0 && -n $counts && -n $raced ]] || break
        echo "     a race of the client's (${RACES##*/}); once more: $raced"
        status=0
        run_kit "$out.again" --tags "$raced" "${@:3}" || status=$?
        if ((status == 0)); then
            counts=$(awk '{print $1 + $3 " passed, 0 failed, " $5 " skipped"}' <<<"$counts")
        elif [[ -z $(raced_tags "$out.again") ]]; then
            break
        fi
    done
    if [[ -z $counts ]]; then
        tail -30 "$out"
        echo "FAILED $name: the kit ran no test (status $status)"
    else
        echo "counted $counts: $name"
    fi
    if ! kill -0 "$SERVER_PID" 2>/dev/null && [[ $name != *restart* ]]; then
        echo "FAILED $name: the server ended: $(tail -3 "$STATE/server.log")"
        status=1
    fi
    "$HERE/server.py" stop "$STATE" || status=1
    ((status == 0)) || FAILED=1
}

FAILED=0
runs=("$@")
((${#runs[@]})) || runs=(plain tiered restart)
for run in "${runs[@]}"; do
    SERVER_OPTIONS=()
    [[ $run == plain || $run == slow ]] || SERVER_OPTIONS=("${NARROW[@]}")
    # The server that s3.sh in the kits prints the variables of, or any other.
    if [[ $run == s3* ]]; then
        SERVER_OPTIONS+=(--storage s3 --s3-endpoint "$S3_ENDPOINT" --s3-region "$S3_REGION" --s3-bucket "$S3_BUCKET"
            --s3-access-key "$S3_ACCESS_KEY" --s3-secret-key "$S3_SECRET_KEY" --s3-prefix "kit-$run-$$")
    fi
    case $run in
    plain) kit conformance --tags "$TAGS" ${EXCLUDED:+--exclude "$EXCLUDED"} ;;
    slow) kit conformance-slow --tags "$SLOW_TAGS" --retention-minutes 2 --autoscale-minutes 1 --autoscale-down-minutes 3 ;;
    tiered | s3-tiered) kit "conformance-$run" --tags "$TIERED_TAGS" ${EXCLUDED:+--exclude "$EXCLUDED"} ;;
    restart | s3-restart)
        kit "conformance-$run" --tags restart ${RESTART_EXCLUDED:+--exclude "$RESTART_EXCLUDED"} \
            --restart-cmd "$(printf '%q restart %q' "$HERE/server.py" "$SCRATCH/conformance-$run")"
        ;;
    *) echo "unknown run: $run" >&2; exit 2 ;;
    esac
done
exit $FAILED
