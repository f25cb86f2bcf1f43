#!/usr/bin/env bash
# The contract test of long-term storage against a real S3 server: the one that MILLRACE_S3_ENDPOINT names (then also _REGION, _BUCKET,
# _ACCESS_KEY, _SECRET_KEY), or Ceph's gateway, started for the test by services/s3.sh of the kits.
#
#   s3.sh [gtest filter]     MILLRACE_UNIT_BUILD: build folder of the test program (build/release)
# shellcheck source=tests/e2e/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

program=${MILLRACE_UNIT_BUILD:-$ROOT/build/release}/src/lts/chunk_store_contract_test
service=$KITS/services/s3.sh
if [[ ! -x $program ]]; then
    echo "FAILED s3: $program is not built"
    exit 1
fi

free_port() { # of a row of so many
    python3 - "$1" <<'PYTHON'
import random, socket, sys
def free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False
row = int(sys.argv[1])
print(next(p for p in iter(lambda: random.randrange(20000, 32000), None) if all(free(q) for q in range(p, p + row))))
PYTHON
}

if [[ -z ${MILLRACE_S3_ENDPOINT:-} ]]; then
    if [[ ! -x $service ]]; then
        echo "skipped s3: no server named by MILLRACE_S3_ENDPOINT, and no $service (set MILLRACE_KITS)"
        exit 0
    fi
    # shellcheck disable=SC2317
    end_service() {
        "$service" stop "$SCRATCH/s3" >&2 || true
        finish
    }
    trap 'end_service' EXIT
    variables=$("$service" start "$SCRATCH/s3" --port "$(free_port 1)" --mon-port "$(free_port 1)" --osd-port "$(free_port 100)" \
        --store memstore --size 2) || { echo "FAILED s3: the server does not start"; exit 1; }
    eval "$variables"
    export MILLRACE_S3_ENDPOINT=$S3_ENDPOINT MILLRACE_S3_REGION=$S3_REGION MILLRACE_S3_BUCKET=$S3_BUCKET
    export MILLRACE_S3_ACCESS_KEY=$S3_ACCESS_KEY MILLRACE_S3_SECRET_KEY=$S3_SECRET_KEY
fi

# Only of a server of our own it is known how to break it.
if [[ -n ${S3_ENDPOINT:-} ]]; then
    export MILLRACE_S3_KILL="'$service' kill '$SCRATCH/s3' 3 >&2" MILLRACE_S3_START="'$service' start '$SCRATCH/s3' >&2"
fi
out=$SCRATCH/contract.out status=0
"$program" --gtest_filter="${1:-*/s3_server:S3Outage.*}" >"$out" 2>&1 || status=$?
passed=$(grep -cE '^\[       OK \]' "$out" || true)
failed=$(grep -cE '^\[  FAILED  \] .*\([0-9]+ ms\)$' "$out" || true)
if ((status != 0 && failed == 0)) || ((passed + failed == 0)); then failed=$((failed + 1)); fi
if ((failed > 0)); then grep -vE '^\[ RUN  |^\[       OK' "$out" | tail -60; fi
echo "counted $passed passed, $failed failed, 0 skipped: long-term storage on $MILLRACE_S3_ENDPOINT"

# The server itself on it.
MILLRACE_TIER_MIB=${MILLRACE_TIER_MIB:-150} MILLRACE_TIER_S3="$MILLRACE_S3_ENDPOINT $MILLRACE_S3_REGION $MILLRACE_S3_BUCKET $MILLRACE_S3_ACCESS_KEY $MILLRACE_S3_SECRET_KEY" \
    env -u MILLRACE_S3_ENDPOINT "$HERE/tiering.py" || failed=$((failed + 1))
((failed == 0))
