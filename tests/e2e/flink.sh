#!/usr/bin/env bash
# The connector for Apache Flink: its tests against a server, then faults on a cluster of Flink's own processes.
#
# MILLRACE_FLINK_LINES: of Flink, default 2.3. MILLRACE_FLINK_CONTROLLER: another server to test against, as a real Pravega.
# MILLRACE_FLINK_EXCLUDED: tests with these tags are left out; default marks, and with another server what only Millrace does.
# MILLRACE_FLINK_FAULTS: options of tests/flink/exactly_once.py.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v mvn >/dev/null || { unavailable flink "no Maven (scripts/install-deps --java)"; exit; }
lines=${MILLRACE_FLINK_LINES:-2.3}
# shellcheck disable=SC2086
"$ROOT/flink/build" $lines >/dev/null

tests() { # line
    local line=$1 profile=() status=0 reports=$ROOT/build/flink/$1/surefire-reports
    [[ $line == 1.20 ]] && profile=(-Pflink-1.20)
    CONTROLLER=${MILLRACE_FLINK_CONTROLLER:-}
    [[ -n $CONTROLLER ]] || start_server "flink-$line"
    rm -rf "$reports"
    # What waits for the clock of time marks is left to a run by hand.
    local excluded=marks
    [[ -z ${MILLRACE_FLINK_CONTROLLER:-} ]] || excluded='marks | prepared | outage'
    mvn -q -B -Dstyle.color=never -f "$ROOT/flink/pom.xml" "${profile[@]}" surefire:test -Dmillrace.controller="$CONTROLLER" \
        -Dtest.excluded="${MILLRACE_FLINK_EXCLUDED-$excluded}" >"$SCRATCH/flink-$line.log" 2>&1 || status=$?
    grep -E '^\[ERROR\]   [A-Za-z]+\.' "$SCRATCH/flink-$line.log" | head -20 || true
    python3 - "$reports" "$line" "$status" <<'PYTHON'
import glob, sys, xml.etree.ElementTree as tree
passed = failed = skipped = 0
for path in glob.glob(sys.argv[1] + "/TEST-*.xml"):
    suite = tree.parse(path).getroot()
    bad, out, all_ = int(suite.get("failures")) + int(suite.get("errors")), int(suite.get("skipped")), int(suite.get("tests"))
    passed, failed, skipped = passed + all_ - bad - out, failed + bad, skipped + out
if sys.argv[3] != "0" and failed == 0 or passed == 0:
    failed += 1
print(f"counted {passed} passed, {failed} failed, {skipped} skipped: connector for Flink {sys.argv[2]}")
PYTHON
}

# The jar for SQL holds all that it needs, under other names: it must work without the client and its dependencies beside it.
sql_jar() { # line
    local build=$ROOT/build/flink/$1 alone=$SCRATCH/alone-$1 jars found
    mkdir -p "$alone/io/millrace/flink/faults"
    cp "$build/test-classes/io/millrace/flink/faults/SqlJar.class" "$alone/io/millrace/flink/faults/"
    jars=$(ls "$build"/lib/*.jar | grep -vE '/(pravega-|netty-|grpc-|guava-|protobuf-|gson-|opencensus|perfmark|jjwt|jackson-|proto-google|bcprov)' |
        tr '\n' ':')
    found=$(java -Xmx512m --add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$alone:$jars$(ls "$build"/millrace-connector-flink-*-sql.jar)" \
        io.millrace.flink.faults.SqlJar "$CONTROLLER" "sqljar$RANDOM" 2>"$SCRATCH/sql-jar-$1.log" | grep '^+I' | tr '\n' ' ') || true
    if [[ $found == "+I[1, one] +I[2, two] " ]]; then echo "ok the jar for SQL alone, Flink $1"; else
        echo "FAILED the jar for SQL alone, Flink $1: '$found', $(grep -m1 -E 'Exception|Error' "$SCRATCH/sql-jar-$1.log" || true)"
    fi
}

for line in $lines; do
    tests "$line"
    sql_jar "$line"
    if [[ -z ${MILLRACE_FLINK_CONTROLLER:-} ]]; then
        # shellcheck disable=SC2086
        "$ROOT/tests/flink/exactly_once.py" --flink "$line" ${MILLRACE_FLINK_FAULTS:---faults 3 --rate 200} || true
    fi
done
