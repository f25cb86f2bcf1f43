#!/usr/bin/env bash
# Recorded requests to Pravega 0.13, played to Millrace: the replies must be the same. Which scenarios already are is written down in
# conformance/transcripts-passing.txt; one of that list that differs is a failure. The list only grows.
#
#   transcripts.sh [--update] [--only PATTERN]     --update adds what passes now
#
# conformance/deviations/NAME.json takes the place of the recording where Millrace answers otherwise on purpose.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_kit transcripts "transcripts"

LIST=$ROOT/conformance/transcripts-passing.txt
JOBS=${MILLRACE_TRANSCRIPT_JOBS:-8}
update='' only=()
while (($#)); do
    case $1 in
    --update) update=1; shift ;;
    --only) only=(--only "$2"); shift 2 ;;
    *) sed -n '2,8p' "$0"; exit 2 ;;
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

# The first word of a line is the verdict, the second the scenario.
awk '$1 == "same" {print $2}' "$out" | LC_ALL=C sort >"$SCRATCH/same"
awk '$1 == "different" {sub(/:$/, "", $2); print $2}' "$out" | LC_ALL=C sort >"$SCRATCH/different"
if [[ ! -s $SCRATCH/same && ! -s $SCRATCH/different ]]; then
    tail -20 "$SCRATCH/transcripts.err" "$out"
    echo "FAILED transcripts: no scenario ran"
    exit 1
fi
touch "$SCRATCH/listed"
if [[ -e $LIST ]]; then grep -v '^#' "$LIST" | LC_ALL=C sort -u >"$SCRATCH/listed" || true; fi
if ((${#only[@]})); then # of the list only what was asked for
    cat "$SCRATCH/same" "$SCRATCH/different" | LC_ALL=C sort | LC_ALL=C comm -12 - "$SCRATCH/listed" >"$SCRATCH/some"
    mv "$SCRATCH/some" "$SCRATCH/listed"
fi
LC_ALL=C comm -23 "$SCRATCH/listed" "$SCRATCH/same" >"$SCRATCH/lost"
LC_ALL=C comm -13 "$SCRATCH/listed" "$SCRATCH/same" >"$SCRATCH/new"
kept=$(LC_ALL=C comm -12 "$SCRATCH/listed" "$SCRATCH/same" | wc -l)

if [[ -s $SCRATCH/new ]]; then
    echo "     $(wc -l <"$SCRATCH/new") scenarios pass that are not in the list (scripts/ratchet-transcripts adds them):"
    sed -n '1,20s/^/       /p' "$SCRATCH/new"
fi
while read -r scenario; do
    awk -v name="$scenario" '$1 == "same" || $1 == "different" {show = $1 == "different" && ($2 == name || $2 == name ":")}
                             show && shown++ < 16 {print "       " substr($0, 1, 400)}' "$out"
    echo "FAILED transcript $scenario: it was the same once"
done <"$SCRATCH/lost"
echo "     $(wc -l <"$SCRATCH/same") of $(cat "$SCRATCH/same" "$SCRATCH/different" | wc -l) scenarios are the same, $took s"
echo "counted $kept passed, 0 failed, 0 skipped: transcripts"
if [[ -z $alive ]]; then
    echo "FAILED transcripts: the server ended: $(tail -3 "$STATE/server.log")"
    exit 1
fi
if [[ -n $update ]]; then
    {
        echo "# Scenarios that are answered exactly like Pravega 0.13 does. Only grows: scripts/ratchet-transcripts."
        { if [[ -e $LIST ]]; then grep -v '^#' "$LIST" || true; fi; cat "$SCRATCH/same"; } | LC_ALL=C sort -u
    } >"$SCRATCH/list"
    cp "$SCRATCH/list" "$LIST"
    echo "     the list now has $(grep -vc '^#' "$LIST") scenarios"
fi
stop_server
[[ ! -s $SCRATCH/lost ]]
