#!/usr/bin/env bash
# The Java client of today on the product: each of its ways in and out, then the main job where its data is at hand.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$ROOT/conformance/run" --build
start_server clients
status=0
timeout 300 "$ROOT/conformance/run" Smoke "$CONTROLLER" || status=1
if csv=$("$ROOT/scripts/fetch-flights" 2>"$SCRATCH/fetch.err"); then
    if timeout 600 "$ROOT/conformance/run" FlightsPipeline --expect EWR=120835,JFK=111279,LGA=104662 "$CONTROLLER" "$csv" \
        >"$SCRATCH/flights" 2>&1; then
        grep -E '^(in|out):' "$SCRATCH/flights" | sed 's/^/     /'
        echo "ok main job: 336,776 departures"
    else
        sed 's/^/     /' "$SCRATCH/flights"
        echo "FAILED main job: see above"
        status=1
    fi
else
    unavailable "main job" "the data set is not to be had: $(tail -1 "$SCRATCH/fetch.err")" || status=1
fi
# A stream that splits by itself under its load, with every event verified by readers that read along.
if timeout 600 "$ROOT/conformance/run" Elastic "$CONTROLLER" 300 300 8 15 1 >"$SCRATCH/elastic" 2>&1; then
    echo "ok a load that outgrows its segment: $(grep -o 'segments_high=[0-9]*\|verified=[0-9]*' "$SCRATCH/elastic" | tr '\n' ' ')"
else
    sed 's/^/     /' "$SCRATCH/elastic"
    echo "FAILED a load that outgrows its segment: see above"
    status=1
fi
stop_server
exit $status
