"""The part `flink`: the connector for Apache Flink against what it is made of, the plain Java client, and against Flink's own generator."""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import harness as h
from harness import ROOT, BenchError, Skipped, say

sys.path.insert(0, os.path.join(ROOT, "tests", "flink"))

LINE = "2.3"
BUILD = os.path.join(ROOT, "build", "flink", LINE)
EVENT_BYTES = 1024
HISTORY_SEGMENTS, SINK_SEGMENTS = 4, 4
PASSES, PASSES_TO_WARM_UP = 6, 3  # of a JVM over the history
WINDOWS = 3  # of a writer; the first warms it up
TRANSACTION_MS = 1000
CHECKPOINT_TASKS, CHECKPOINT_SEGMENTS, CHECKPOINT_MS = 8, 16, 500
CHECKPOINTS_SKIPPED = 10  # while the JVM compiles


class Size:
    def __init__(self, plan, quick):
        self.rounds = plan.rounds
        self.events = 50_000 if quick else 300_000
        self.seconds = 4 if quick else 8
        self.checkpoint_seconds = 15 if quick else 40
        self.rate = 2_000


def classpath():
    return ":".join([os.path.join(BUILD, "classes"), os.path.join(BUILD, "test-classes"), os.path.join(BUILD, "lib", "*")])


def java(millrace, what, stream, *numbers, patience=900, start=False):
    """Runs a program of FlinkBench: its lines of key=value as dictionaries, with what the server used. Or starts it."""
    command = ["java", "-Xmx768m", "-XX:+UseParallelGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
               "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED", "-cp", classpath(),
               "io.millrace.flink.bench.FlinkBench", what, millrace.controller, stream, *map(str, numbers)]
    if start:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = h.Usage([millrace.pid])
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{what}: no end after {patience} s") from None
    if done.returncode != 0:
        raise BenchError(f"{what}: exit status {done.returncode}: {done.stderr.strip()[-800:]}")
    used = h.Usage([millrace.pid]).since(before)
    lines = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in done.stdout.splitlines() if "=" in line]
    return [{key: h.number(value) for key, value in line.items()} | used for line in lines]


def compared(report, title, unit, rounds, note):
    """Rounds of {plain, connector}: a section with the ratio of the connector to the plain client."""
    plain, ours = [each["plain"] for each in rounds], [each["connector"] for each in rounds]
    report.section(title, h.table([f"plain client {unit}", f"connector {unit}", "MB/s", "ratio", "client CPU µs/event, plain", "connector", "others %"], [[
        f"{h.median(plain, 'events_s'):,.0f}", f"{h.median(ours, 'events_s'):,.0f}", f"{h.median(ours, 'events_s') * EVENT_BYTES / 1e6:.0f}",
        h.spread([each["connector"]["events_s"] / max(each["plain"]["events_s"], 1) for each in rounds]),
        f"{h.median(plain, 'client_us_per_event'):.1f}", f"{h.median(ours, 'client_us_per_event'):.1f}",
        f"{h.median(plain + ours, 'others'):.0f}"]]) + "\n\n" + note)


def turns(number, *subjects):
    return subjects if number % 2 == 0 else tuple(reversed(subjects))


def source(size, millrace, report):
    stream = "bench/history"
    java(millrace, "create", stream, HISTORY_SEGMENTS)
    java(millrace, "write", stream, size.events, EVENT_BYTES, 0)
    rounds = []
    for number in range(size.rounds):
        found = {}
        for name, program in turns(number, ("plain", "read-plain"), ("connector", "read-source")):
            say(f"flink source, round {number + 1}, {name}")
            passes = java(millrace, program, stream, PASSES)
            if any(each["events"] != size.events for each in passes):
                raise BenchError(f"{name} read {[each['events'] for each in passes]}, not {size.events}")
            warm = passes[PASSES_TO_WARM_UP:]
            found[name] = passes[-1] | {what: h.median(warm, what) for what in ("events_s", "client_us_per_event")}
            report.run("flink", f"source {name}", number, found[name] | {"passes": [each["events_s"] for each in passes]})
        rounds.append(found)
    compared(report, "Flink: the source at one task against the plain client's batch reader", "events/s", rounds,
             f"{size.events:,} events of {EVENT_BYTES:,} bytes in {HISTORY_SEGMENTS} segments; the median of {PASSES - PASSES_TO_WARM_UP} passes of a JVM after {PASSES_TO_WARM_UP} to "
             f"warm up, from the first event to the last, {size.rounds} rounds. The job reads, counts and drops, with object reuse.")


def sink(size, millrace, report):
    rounds = []
    for number in range(size.rounds):
        found = {}
        for name, program in turns(number, ("plain", "write-plain"), ("connector", "write-sink")):
            say(f"flink sink, round {number + 1}, {name}")
            stream = f"bench/sink-{number}-{name}"
            java(millrace, "create", stream, SINK_SEGMENTS)
            windows = java(millrace, program, stream, EVENT_BYTES, TRANSACTION_MS, size.seconds, WINDOWS)
            found[name] = windows[-1] | {what: h.median(windows[1:], what) for what in ("events_s", "client_us_per_event")}
            report.run("flink", f"sink {name}", number, found[name] | {"windows": [each["events_s"] for each in windows]})
        rounds.append(found)
    compared(report, "Flink: the exactly-once sink at one task against a plain transactional writer", "events/s", rounds,
             f"Events of {EVENT_BYTES:,} bytes over {SINK_SEGMENTS} segments, a transaction each {TRANSACTION_MS} ms; {WINDOWS - 1} windows of {size.seconds} s "
             f"after one to warm up, {size.rounds} rounds.")


def durations(flink, job):
    """Milliseconds from trigger to completion of the job's checkpoints, and how many failed."""
    found = flink.get(f"/jobs/{job}/checkpoints")
    done = [each["end_to_end_duration"] for each in sorted(found["history"], key=lambda each: each["id"]) if each["status"] == "COMPLETED"]
    return done[CHECKPOINTS_SKIPPED:], found["counts"]["failed"]


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def checkpoints(size, millrace, report, scratch):
    import cluster
    stream = "bench/checkpoints"
    java(millrace, "create", stream, CHECKPOINT_SEGMENTS)
    rounds = []
    for number in range(size.rounds):
        found = {}
        # A cluster for each round: both jobs start on JVMs of the same age.
        for name, kind in turns(number, ("generator", "generator"), ("connector", "stream")):
            say(f"flink checkpoints, round {number + 1}, {name}")
            flink = cluster.Flink(LINE, os.path.join(scratch, f"{number}-{name}"), 1, heap="1g", settings={
                "taskmanager.numberOfTaskSlots": CHECKPOINT_TASKS, "taskmanager.memory.task.heap.size": "768m", "taskmanager.cpu.cores": "2.0",
                "taskmanager.memory.network.min": "64m", "taskmanager.memory.network.max": "64m", "web.checkpoints.history": 10000,
                "metrics.fetcher.update-interval": 1000})
            # It writes while either job runs, so that the two differ in the source alone.
            feeder = java(millrace, "write", stream, 1_000_000_000, EVENT_BYTES, size.rate, start=True)
            try:
                flink.until("TaskManagers", 180, lambda: flink.get("/overview")["slots-total"] >= CHECKPOINT_TASKS)
                job = str(java(millrace, "checkpoints", stream, kind, CHECKPOINT_TASKS, EVENT_BYTES, size.rate, CHECKPOINT_MS, flink.rest)[0]["job"])
                flink.until("checkpoints", 180, lambda: flink.completed(job) > CHECKPOINTS_SKIPPED)
                pids = [millrace.pid, feeder.pid] + [process.pid for process in flink.processes.values()]
                before = h.Usage(pids)
                read = flink.metric(job, "in", "numRecordsOut") or 0
                begun = time.monotonic()
                time.sleep(size.checkpoint_seconds)
                rate = ((flink.metric(job, "in", "numRecordsOut") or 0) - read) / (time.monotonic() - begun)
                used = h.Usage(pids).since(before)
                took, failed = durations(flink, job)
            finally:
                feeder.kill()
                feeder.wait()
                flink.end()
            found[name] = {"p50_ms": statistics.median(took), "p95_ms": percentile(took, 0.95), "max_ms": max(took), "checkpoints": len(took),
                           "failed": failed, "events_s": rate} | used
            report.run("flink", f"checkpoints {name}", number, found[name])
        rounds.append(found)
    rows = []
    for name, title in (("generator", "Flink's generator"), ("connector", "connector")):
        runs = [each[name] for each in rounds]
        rows.append([title, f"{sum(run['checkpoints'] for run in runs):,}", f"{sum(run['failed'] for run in runs)}", f"{h.median(runs, 'events_s'):,.0f}",
                     f"{h.median(runs, 'p50_ms'):.0f}", f"{h.median(runs, 'p95_ms'):.0f}", f"{h.median(runs, 'max_ms'):.0f}",
                     "1" if name == "generator" else h.spread([each["connector"]["p95_ms"] / each["generator"]["p95_ms"] for each in rounds]),
                     f"{h.median(runs, 'others'):.0f}"])
    report.section("Flink: how long checkpoints take", h.table(
        ["source", "checkpoints", "failed", "events/s", "p50 ms", "p95 ms", "most ms", "p95 / generator's", "others %"], rows) +
        f"\n\nA job of {CHECKPOINT_TASKS} source tasks, a key exchange and {CHECKPOINT_TASKS} tasks that count per key, {size.rate:,} events of {EVENT_BYTES:,} "
        f"bytes a second, a checkpoint each {CHECKPOINT_MS} ms; the stream has {CHECKPOINT_SEGMENTS} segments and is written at that rate while either job runs. "
        f"{size.checkpoint_seconds} s each, {size.rounds} rounds.")


def part_flink(plan, work, report):
    if not os.path.isdir(os.path.join(BUILD, "test-classes")):
        raise Skipped("the connector is not built: make flink")
    size = Size(plan, plan.seconds < 5)
    with h.Millrace(work, "flink") as millrace, tempfile.TemporaryDirectory(dir=work) as scratch:
        source(size, millrace, report)
        sink(size, millrace, report)
        try:
            checkpoints(size, millrace, report, scratch)
        except (RuntimeError, OSError, json.JSONDecodeError) as error:
            raise BenchError(f"Flink: {error}") from error


PARTS = {"flink": part_flink}
