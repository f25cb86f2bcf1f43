"""The parts about long-term storage: data without end, cold reads, readers of history beside writers, many segments, tables."""
import os
import time

import harness as h

KIB, MIB, GIB = 2**10, 2**20, 2**30
WRITERS = 100
LANES = 50  # segments of one writer at most: with all of 5,000 the client's own windows would be the load
SEGMENTS = (1, 10, 100, 500, 5000)
SMALL_BYTES = 100


def high_water(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * KIB for line in status if line.startswith("VmHWM"))


def storage(millrace):
    return millrace.server.get("/v1/health/details/storage")[1]


def until_moved(millrace, seconds=120):
    end = time.monotonic() + seconds
    while storage(millrace)["journalOnlyBytes"] != "0":
        if time.monotonic() > end:
            raise h.BenchError(f"bytes do not move: {storage(millrace)}")
        time.sleep(0.2)


def object_files(millrace):
    found = []
    for folder, _, files in os.walk(os.path.join(millrace.server.data, "storage", "objects")):
        found += [os.path.join(folder, name) for name in files]
    return sorted(found)


def drop_from_page_cache(paths):
    for path in paths:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_plainly(paths):
    """MB/s of reading these files one after the other."""
    buffer = bytearray(MIB)
    total, begun = 0, time.monotonic()
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while got := file.readinto(buffer):
                total += got
    return total / (time.monotonic() - begun) / 1e6


# ---- endless ----

def part_endless(plan, work, report):
    """Much more than the log holds; then all of it is read while more is written; then a start with that history."""
    total, limit = plan.endless_bytes, GIB if plan.endless_bytes > GIB else 256 * MIB
    shape = {"segments": 10, "prefix": "bench/endless"}
    rows = []
    with h.Millrace(work, "endless", ["--journal-limit", f"{limit // MIB}MiB"]) as millrace:
        h.say(f"endless: {total / GIB:.3g} GiB")
        filled = h.run_tool("append", patience=total / MIB, port=millrace.port, events=total // KIB, **shape)
        rows.append(["written", f"{total / GIB:.3g}", f"{filled['mb_s']:.0f}", f"{high_water(millrace.pid) / 1e6:.0f}", ""])
        beside = h.start_tool("append", port=millrace.port, events=total // KIB, prefix="bench/beside", segments=10)
        try:
            read = h.run_tool("read", patience=total / MIB, port=millrace.port, connections=2, **shape)
        finally:
            beside.kill()
            beside.wait()
        if read["bytes"] != total:
            raise h.BenchError(f"{read['bytes']:,.0f} bytes read, not {total:,}")
        rows.append(["read and compared, beside writers", f"{total / GIB:.3g}", f"{read['mb_s']:.0f}",
                     f"{high_water(millrace.pid) / 1e6:.0f}", ""])
        millrace.server.kill()
        millrace.start()
        rows.append(["ready after kill -9", "", "", f"{high_water(millrace.pid) / 1e6:.0f}", f"{millrace.ready:.2f}"])
        again = h.run_tool("read", patience=total / MIB, port=millrace.port, connections=2, **shape)
        if again["bytes"] != total:
            raise h.BenchError(f"{again['bytes']:,.0f} bytes read after the restart, not {total:,}")
        rows.append(["read and compared", f"{total / GIB:.3g}", f"{again['mb_s']:.0f}", f"{high_water(millrace.pid) / 1e6:.0f}", ""])
        said = storage(millrace)
        report.run("endless", "millrace", 0, {"bytes": total, "write_mb_s": filled["mb_s"], "read_mb_s": read["mb_s"],
                                              "ready_s": millrace.ready, "rss_bytes": high_water(millrace.pid)})
    report.section(f"Endless: {total / GIB:.3g} GiB through a log of {limit / GIB:.3g} GiB", h.table(
        ["", "GiB", "MB/s", "RSS high-water MB", "start to ready s"], rows) +
        f"\n\n10 writers, 10 segments, {KIB:,}-byte events, into a directory; {said['objects']} objects at the end. Each event tells its "
        "writer and number; readers compare every byte, and that each is the next one of its writer.")


# ---- many segments, with the tier on ----

def part_segments(plan, work, report):
    """What the number of segments costs, everything as a user has it; and small events."""
    rounds = {case: [] for case in [(n, KIB) for n in SEGMENTS] + [(10, SMALL_BYTES)]}
    with h.NullSink(work) as sink, h.Millrace(work, "segments", ["--journal-limit", "4GiB"]) as millrace:
        h.append(millrace, plan.seconds, plan.warmup, segments=100, delete_segments=1)  # not counted: makes the files
        for number in range(plan.rounds):
            for segments, event in rounds:
                writers = WRITERS if event == KIB else 10
                shape = {"segments": segments, "segments_per_writer": LANES, "writers": writers, "event_bytes": event,
                         "window": 500 if event == KIB else 5000}
                pair = {}
                for name, target in (("null", sink), ("millrace", millrace)) if number % 2 == 0 else (
                        ("millrace", millrace), ("null", sink)):
                    h.say(f"segments, round {number + 1}, {segments} segments, {event} bytes, {name}")
                    ours = {"delete_segments": 1} if name == "millrace" else {}
                    pair[name] = h.append(target, plan.seconds, plan.warmup, **shape, **ours)
                    report.run("segments", f"{name} {segments} {event}", number, pair[name])
                rounds[segments, event].append(pair)
        peak = high_water(millrace.pid)
    rows = []
    for (segments, event), pairs in rounds.items():
        null, ours = [pair["null"] for pair in pairs], [pair["millrace"] for pair in pairs]
        rows.append([f"{segments:,}", f"{event:,}", f"{h.median(null, 'events_s'):,.0f}", f"{h.median(ours, 'events_s'):,.0f}",
                     h.spread([pair["millrace"]["events_s"] / pair["null"]["events_s"] for pair in pairs]),
                     f"{h.median(null, 'server_us_per_event'):.2f}", f"{h.median(ours, 'server_us_per_event'):.2f}",
                     f"{h.median(ours, 'written_per_byte'):.2f}", f"{h.median(null + ours, 'others'):.0f}"])
    flat = []
    for number in range(plan.rounds):
        rates = [pairs[number]["millrace"]["events_s"] for (_, event), pairs in rounds.items() if event == KIB]
        flat.append(min(rates) / max(rates))
    report.section("Many segments, with long-term storage", h.table(
        ["segments", "event bytes", "null sink events/s", "Millrace events/s", "ratio", "null sink CPU µs/event",
         "Millrace CPU µs/event", "bytes written per byte", "others %"], rows) +
        f"\n\nClosed loop, {WRITERS} writers (10 for small events), each on {LANES} segments at most, windows of {plan.seconds} s, "
        f"{plan.rounds} rounds. Least over most of the numbers of segments: {h.spread(flat)}. Resident at most {peak / 1e6:.0f} MB.")


# ---- history: cold reads, and writers beside them ----

def part_history(plan, work, report):
    """Cold sequential reads against plain reads of the same files; writers with and without a reader of cold history beside them."""
    events = plan.history_bytes // KIB
    shape = {"segments": 4, "prefix": "bench/history"}
    cold, beside = [], []
    with h.Millrace(work, "history", ["--journal-limit", "2GiB"]) as millrace:
        h.say(f"history: {plan.history_bytes / MIB:.0f} MiB")
        h.run_tool("append", patience=600, port=millrace.port, events=events, **shape)
        until_moved(millrace)
        files = object_files(millrace)
        for number in range(plan.rounds):
            pair = {}
            for name in ("plain", "millrace") if number % 2 == 0 else ("millrace", "plain"):
                h.say(f"history, round {number + 1}, cold, {name}")
                if name == "millrace":  # its own cache holds what was read last
                    millrace.server.stop()
                    millrace.start()
                drop_from_page_cache(files)
                if name == "plain":
                    pair[name] = read_plainly(files)
                    continue
                before = h.Usage([millrace.pid])
                run = h.run_tool("read", patience=600, port=millrace.port, **shape)
                if run["bytes"] != events * KIB:
                    raise h.BenchError(f"{run['bytes']:,.0f} bytes read, not {events * KIB:,}")
                pair[name] = run["mb_s"]
                pair |= h.Usage([millrace.pid]).since(before)
            cold.append(pair)
            report.run("history", "cold", number, pair)
        for number in range(plan.rounds):
            pair = {}
            for name in ("alone", "beside") if number % 2 == 0 else ("beside", "alone"):
                h.say(f"history, round {number + 1}, writers {name}")
                drop_from_page_cache(files)
                reader = h.start_tool("read", port=millrace.port, seconds=plan.seconds + plan.warmup + 60, **shape) \
                    if name == "beside" else None
                try:
                    pair[name] = h.append(millrace, plan.seconds, plan.warmup, segments=100, delete_segments=1)
                finally:
                    if reader is not None:
                        if reader.poll() is not None:
                            raise h.BenchError("the reader ended")
                        reader.kill()
                        reader.wait()
            beside.append(pair)
            report.run("history", "beside", number, {name: run["events_s"] for name, run in pair.items()})
    report.section("Cold history", h.table(
        ["plain read MB/s", "Millrace MB/s", "ratio", "server CPU s/GB", "others %"],
        [[f"{h.median(cold, 'plain'):.0f}", f"{h.median(cold, 'millrace'):.0f}",
          h.spread([pair["millrace"] / pair["plain"] for pair in cold]),
          f"{h.median(cold, 'server_cpu_s') / (events * KIB / 1e9):.2f}", f"{h.median(cold, 'others'):.0f}"]]) +
        f"\n\n{plan.history_bytes / MIB:,.0f} MiB in four segments, one connection, a request of 1 MiB at a time; the files are dropped "
        "from the page cache before each, and read with 1 MiB at a time. Each event is compared by the client.")
    report.section("Writers beside a reader of cold history", h.table(
        ["alone events/s", "beside events/s", "ratio"],
        [[f"{h.median([pair['alone'] for pair in beside], 'events_s'):,.0f}",
          f"{h.median([pair['beside'] for pair in beside], 'events_s'):,.0f}",
          h.spread([pair["beside"]["events_s"] / pair["alone"]["events_s"] for pair in beside])]]) +
        f"\n\n10 writers, 100 segments, {KIB:,}-byte events; client, reader and server share {h.CORES} cores.")


# ---- tables ----

def part_tables(plan, work, report):
    rows = []
    with h.Millrace(work, "tables") as millrace:
        for tables, batch in ((1, 10), (10, 10), (10, 1)):
            runs = []
            for number in range(plan.rounds):
                h.say(f"tables, round {number + 1}, {tables} tables, batches of {batch}")
                before = h.Usage([millrace.pid])
                runs.append(h.run_tool("table", port=millrace.port, tables=tables, batch=batch, seconds=plan.seconds))
                runs[-1] |= h.Usage([millrace.pid]).since(before)
                report.run("tables", f"{tables} {batch}", number, runs[-1])
            rows.append([str(tables), str(batch), f"{h.median(runs, 'updates_s'):,.0f}", f"{h.median(runs, 'gets_s'):,.0f}",
                         f"{h.median(runs, 'others'):.0f}"])
    report.section("Table segments", h.table(["tables", "entries a request", "updates/s", "gets/s", "others %"], rows) +
                   "\n\n10 connections, 4 requests under way on each, 100,000 keys, values of 100 bytes.")


PARTS = {"endless": part_endless, "segments": part_segments, "history": part_history, "tables": part_tables}
