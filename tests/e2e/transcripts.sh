#!/usr/bin/env bash
# Recorded requests to Pravega 0.13, played to Millrace: the replies must be the same. Every scenario is in one of two lists:
# conformance/transcripts-passing.txt (the same; only grows) or transcripts-missing.txt (needs what is not there yet, and why).
# One that does not do what its list says is a failure, and so is one in neither list.
#
#   transcripts.sh [--update] [--only PATTERN]     --update adds what passes now
#
# conformance/deviations/NAME.json takes the place of the recording where Millrace answers otherwise on purpose, and says why.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if found=$("$ROOT/scripts/check-deviations"); then
    echo "ok deviations say why: $found"
else
    echo "$found"
    exit 1
fi
need_kit transcripts "transcripts"

JOBS=${MILLRACE_TRANSCRIPT_JOBS:-8}
update='' only=()
while (($#)); do
    case $1 in
    --update) update=1; shift ;;
    --only) only=(--only "$2"); shift 2 ;;
    *) sed -n '2,9p' "$0"; exit 2 ;;
    esac
done

mkdir "$SCRATCH/deviations"
for from in "$KITS/transcripts/deviations" "$ROOT/conformance/deviations"; do
    find "$from" -maxdepth 1 -name '*.json' -exec cp {} "$SCRATCH/deviations/" \; 2>/dev/null || true
done

start_server transcripts
out=$SCRATCH/transcripts.out
begun=$SECONDS
"$KITS/transcripts/run.sh" check --controller "${CONTROLLER#tcp://}" --store "$STORE" --jobs "$JOBS" \
    --deviations "$SCRATCH/deviations" "${only[@]}" >"$out" 2>"$SCRATCH/transcripts.err" || true
took=$((SECONDS - begun))
cp "$out" "$ROOT/build/transcripts.out" 2>/dev/null || true
alive=1
kill -0 "$SERVER_PID" 2>/dev/null || alive=''

if ! grep -qE '^(same|different) ' "$out"; then
    tail -20 "$SCRATCH/transcripts.err" "$out"
    echo "FAILED transcripts: no scenario ran"
    exit 1
fi
status=0
"$HERE/transcript_verdicts.py" "$out" "$ROOT/conformance/transcripts-passing.txt" "$ROOT/conformance/transcripts-missing.txt" \
    ${only:+--part} ${update:+--update} || status=1
echo "     $took s"
if [[ -z $alive ]]; then
    echo "FAILED transcripts: the server ended: $(tail -3 "$STATE/server.log")"
    exit 1
fi
stop_server
exit $status
