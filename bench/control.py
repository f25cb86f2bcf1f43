"""The parts that measure the controller: `elastic` (a load that outgrows its segments) and `control` (streams made, scales made)."""
import os
import re
import subprocess

import harness as h
import peers

TARGET, KEYS = 1_000, 1_000  # events per second of one segment
STREAMS = {"millrace": 1_000, "pravega": 100}  # as many as take some seconds
AT_ONCE = (1, 100)
SCALES = 20
ELASTIC_ROUNDS = 2  # of seven minutes
LOAD_PATIENCE = 600


# ---- elastic ----

def part_elastic(plan, work, report):
    rounds = []
    low = 150 if plan.quick else 400
    with h.Millrace(work, "elastic") as millrace:
        for number in range(min(plan.rounds, ELASTIC_ROUNDS)):
            h.say(f"elastic, round {number + 1}")
            run = peers.java_program("Elastic", millrace.controller, [millrace.pid], (TARGET, KEYS, 15, 40, low), 55 + low, "1g")
            report.run("elastic", "millrace", number, run)
            rounds.append(run)

    def over(name, form="{:.1f}"):
        return h.spread([run[name] for run in rounds], form)
    rows = [["first split, seconds after the step", over("first_split_s")],
            ["ten segments or more, seconds after the step", over("enough_s")],
            ["segments under that load", over("segments_high", "{:.0f}")],
            [f"acknowledged events/s before the step ({TARGET:,} offered)", over("before_s", "{:,.0f}")],
            [f"from 1 s after the step to 5 s after the last split ({10 * TARGET:,} offered)", over("during_s", "{:,.0f}")],
            ["dip: the worst second of these, % below what was offered", over("dip")],
            ["then, until the load falls, events/s", over("after_s", "{:,.0f}")],
            ["dip in that time, when nothing scales, %", over("dip_after")],
            ["slowest acknowledgement from the step to 5 s after the last split, ms", over("ack_max_ms", "{:.0f}")],
            ["first merge, seconds after the fall", over("first_merge_s")],
            ["last change of the segments, seconds after the fall", over("final_s")],
            ["segments then", over("segments_final", "{:.0f}")],
            ["events verified", over("verified", "{:,.0f}")],
            ["missing / twice / out of order", " / ".join(over(name, "{:.0f}") for name in ("missing", "twice", "disordered"))],
            ["others %", over("others", "{:.0f}")]]
    report.section("A load that steps from 1x to 10x the target of one segment, and back", h.table(["", ""], rows) +
                   f"\n\nThe official Java client, four writers, {KEYS:,} keys, 100-byte events, {len(rounds)} rounds. A group of two readers "
                   "demands of each event that it is its key's next one. Windows of a second begin at each tenth.")


# ---- control ----

def metadata_load(controller, streams, at_once):
    """Streams made, sealed, deleted a second and the p50 of each: {"create_s": ..., "create_p50_ms": ...}."""
    tool = os.path.join(os.path.dirname(h.tool()), "metadata-load")
    command = [tool, controller.removeprefix("tcp://"), "--streams", str(streams), "--in-flight", str(at_once)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise h.BenchError(f"metadata-load: {error}") from None
    if done.returncode != 0:
        raise h.BenchError(f"metadata-load: exit status {done.returncode}: {(done.stdout + done.stderr).strip()[-800:]}")
    found = {}
    for what, per_second, p50 in re.findall(r"^(create|seal|delete)\s.*?([0-9]+)/s\s+p50 ([0-9.]+) ms", done.stdout, re.MULTILINE):
        found |= {f"{what}_s": float(per_second), f"{what}_p50_ms": float(p50)}
    return found


def part_control(plan, work, report):
    peers.kit("pravega.sh")
    streams, scales = {}, []
    count = 4 if plan.quick else SCALES
    with h.Millrace(work, "control") as millrace, peers.Pravega(work) as pravega:
        subjects = ("millrace", millrace.controller, [millrace.pid]), ("pravega", pravega.controller, pravega.pids)
        for name, controller, _ in subjects:  # not counted: Pravega's servers compile themselves at first
            h.say(f"control, warming up {name}")
            metadata_load(controller, STREAMS[name] // 2, AT_ONCE[-1])
        for number in range(plan.rounds):
            order = subjects if number % 2 == 0 else tuple(reversed(subjects))
            for at_once in AT_ONCE:
                pair = {}
                for name, controller, pids in order:
                    h.say(f"control, round {number + 1}, streams, {at_once} at once, {name}")
                    before = h.Usage(pids)
                    made = STREAMS[name] if at_once > 1 else STREAMS[name] // 4
                    pair[name] = metadata_load(controller, made, at_once) | h.Usage(pids).since(before)
                    report.run("control", f"{name} streams {at_once}", number, pair[name])
                streams.setdefault(at_once, []).append(pair)
            pair = {}
            for name, controller, pids in order:
                h.say(f"control, round {number + 1}, scales, {name}")
                pair[name] = peers.java_program("ScaleTimes", controller, pids, (count,), 10 * count)
                report.run("control", f"{name} scales", number, pair[name])
            scales.append(pair)

    def row(title, pairs, figure, form):
        ratios = [pair["millrace"][figure] / max(pair["pravega"][figure], 0.01) for pair in pairs]
        sides = [form.format(h.median([pair[name] for pair in pairs], figure)) for name in ("pravega", "millrace")]
        others = h.median([run for pair in pairs for run in pair.values()], "others")
        return [title, *sides, h.spread(ratios), f"{others:.0f}"]
    rows = []
    for at_once, pairs in streams.items():
        for what in ("create", "seal", "delete"):
            rows.append(row(f"streams: {what}, {at_once} at once, per second", pairs, f"{what}_s", "{:,.0f}"))
    rows.append(row("streams: create, one after the other, p50 ms", streams[1], "create_p50_ms", "{:.1f}"))
    rows.append(row("scale, until a writer's event is acknowledged in a new segment, p50 ms", scales, "visible_p50_ms", "{:.1f}"))
    rows.append(row("scale, until the request is answered, p50 ms", scales, "answer_p50_ms", "{:.1f}"))
    report.section("Streams and scales, against Pravega 0.13", h.table(["", "Pravega", "Millrace", "ratio", "others %"], rows) +
                   f"\n\nStreams of one segment, by gRPC; {STREAMS['millrace']:,} of Millrace and {STREAMS['pravega']:,} of Pravega a round "
                   f"(a quarter of that one after the other). {count} scales a round by the official Java client, a split and a merge in turn, "
                   f"while a writer sends one event after the other. {plan.rounds} rounds; Pravega on ZooKeeper and three bookies with synced "
                   "journals. A ratio is Millrace's figure over Pravega's.")


PARTS = {"elastic": part_elastic, "control": part_control}
