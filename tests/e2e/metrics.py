#!/usr/bin/env python3
"""GET /metrics from outside: figures that follow what clients do, in Prometheus' text format, each of them documented.

Arguments: words; only cases whose name contains one of them. KEEP=1 keeps the data and logs.
"""
import http.client
import os
import re
import shutil
import sys
import tempfile
import time
import uuid

import cases
import wire
from cases import expect
from server import ROOT, Server
from wire import Wire

SCRATCH = tempfile.mkdtemp(prefix="millrace-metrics-")
SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\]|\\.)*)"(,|$)')


class Metrics:
    """One scrape, taken apart. A line that is none of the format's is an error."""

    def __init__(self, text):
        self.text = text
        self.types, self.samples = {}, {}
        family = None
        for line in text.split("\n")[:-1]:
            if line.startswith("# HELP "):
                family = line.split(" ")[2]
                expect(family not in self.types, f"{family} is there twice")
                expect(len(line.split(" ", 3)[3]) > 3, f"{family} has no help")
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                expect(name == family and kind in ("counter", "gauge", "histogram"), f"bad line: {line}")
                self.types[name] = kind
            else:
                self.sample(line, family)
        expect(text.endswith("\n"), "the last line has no end")

    def sample(self, line, family):
        found = SAMPLE.match(line)
        expect(found, f"no sample: {line!r}")
        name, labels, number = found.groups()
        suffix = name[len(family):] if name.startswith(family) else None
        allowed = ("_bucket", "_sum", "_count") if self.types[family] == "histogram" else ("",)
        expect(suffix in allowed, f"{line!r} in the family {family}")
        pairs, at = [], 0
        while labels and at < len(labels):
            pair = LABEL.match(labels, at)
            expect(pair, f"bad labels: {line!r}")
            pairs.append((pair[1], pair[2]))
            at = pair.end()
        key = (name, tuple(sorted(pairs)))
        expect(key not in self.samples, f"{line!r} is there twice")
        self.samples[key] = float(number)

    def all(self, name, **labels):
        wanted = set(labels.items())
        return [value for (found, pairs), value in self.samples.items() if found == name and wanted <= set(pairs)]

    def sum(self, name, **labels):
        return sum(self.all(name, **labels))

    def one(self, name, **labels):
        values = self.all(name, **labels)
        expect(len(values) == 1, f"{name} {labels}: {len(values)} samples")
        return values[0]


def raw(server, path="/metrics"):
    connection = http.client.HTTPConnection(*server.rest, timeout=30)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.getheader("Content-Type"), reply.read().decode()
    finally:
        connection.close()


def scrape(server, path="/metrics"):
    status, kind, text = raw(server, path)
    expect(status == 200, f"{path} was answered {status}: {text[:200]}")
    expect(kind == "text/plain; version=0.0.4; charset=utf-8", f"content type {kind}")
    return Metrics(text)


def until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"{what}: not within {seconds} s")
        time.sleep(0.05)


def server_of(name, *options):
    server = Server(os.path.join(SCRATCH, name), options=options)
    server.start()
    return server


def make_stream(server, scope, stream, segments=1):
    server.get("/v1/scopes", "POST", {"scopeName": scope})
    policy = {"streamName": stream, "scalingPolicy": {"type": "FIXED_NUM_SEGMENTS", "minSegments": segments}}
    status, reply = server.get(f"/v1/scopes/{scope}/streams", "POST", policy)
    expect(status == 201, f"the stream was answered {status}: {reply}")


def write(client, segment, events, size=100, block=100, first=0):
    """So many events, a block of them in each append; returns the bytes."""
    writer, total = uuid.uuid4(), 0
    client.setup(segment, writer)
    for last in range(block, events + 1, block):
        data = wire.event(bytes(size)) * block
        expect(client.append(writer, data, last, block) == last, "another event was acknowledged")
        total += len(data)
    return total


def counters_move():
    server = server_of("move")
    make_stream(server, "s", "x", 2)
    before = scrape(server)
    with Wire(server.store) as client:
        size = write(client, "s/x/0.#epoch.0", 1000)
        data = client.read_all("s/x/0.#epoch.0")
        expect(len(data) == size, f"{size} bytes were written, {len(data)} read")
        after = scrape(server)
        grown = lambda name, **labels: after.sum(name, **labels) - before.sum(name, **labels)
        for name, least, most in (("millrace_container_events_total", 1000, 1000),
                                  ("millrace_container_append_bytes_total", size, size),
                                  ("millrace_container_appends_total", 10, 10),
                                  ("millrace_received_appends_total", 10, 10),
                                  ("millrace_received_append_bytes_total", size, size),
                                  ("millrace_acknowledgements_total", 10, 10),
                                  ("millrace_read_bytes_total", size, size),
                                  ("millrace_connections_accepted_total", 1, 1),
                                  ("millrace_writers_begun_total", 1, 1),
                                  ("millrace_journal_syncs_total", 10, 1e6),
                                  ("millrace_journal_sync_seconds_count", 10, 1e6),
                                  ("millrace_journal_written_bytes_total", size, 1e9),
                                  ("millrace_journal_frames_total", 10, 1e6),
                                  ("millrace_http_requests_total", 1, 1)):
            expect(least <= grown(name) <= most, f"{name} grew by {grown(name)}")
        expect(grown("millrace_reads_total", source="memory") >= 1, "no read from memory")
        expect(grown("millrace_reads_total", source="storage") == 0, "a read from storage")
        expect(after.one("millrace_connections") == 1 and after.one("millrace_writers") == 1, "connections and writers now")
        expect(after.one("millrace_ready") == 1 and after.one("millrace_containers_silent") == 0, "it serves")
        expect(after.one("process_resident_memory_bytes") > 1 << 20, "memory")
        expect(after.one("process_open_fds") > 5, "files")
    until("the connection is closed", lambda: scrape(server).one("millrace_connections") == 0)
    expect(scrape(server).one("millrace_writers") == 0, "writers that have gone")
    server.stop_in_order()


def figures_of_streams():
    server = server_of("streams", "--metrics-streams", "2")
    for stream, segments in (("a", 1), ("b", 3), ("c", 2)):
        make_stream(server, "s", stream, segments)
    with Wire(server.store) as client:
        write(client, "s/c/1.#epoch.0", 5000)
    until("rates are there", lambda: scrape(server, "/metrics?stream=s/c").sum(
        "millrace_stream_write_events_per_second", window="10s") > 100)
    now = scrape(server)
    expect(now.one("millrace_streams") == 3, "three streams")
    expect(now.one("millrace_streams_named") == 2, "two of them have figures")
    expect(now.one("millrace_stream_segments", scope="s", stream="b") == 3, "segments of s/b")
    expect(not now.all("millrace_stream_segments", stream="c"), "s/c is beyond the limit")
    now = scrape(server, "/metrics?stream=s/c&stream=s/a&stream=s/none")
    expect(now.one("millrace_stream_segments", stream="c") == 2, "segments of s/c")
    expect(now.one("millrace_stream_advised_parallelism", stream="c") == 2, "parallelism of s/c")
    expect(now.one("millrace_stream_write_bytes_per_second", stream="c", window="1m") > 1000, "bytes of s/c")
    expect(now.one("millrace_stream_write_events_per_second", stream="a", window="10s") == 0, "events of s/a")
    expect(len(now.all("millrace_stream_segments")) == 2, "only what was asked for")
    for bad in ("/metrics?stream=x", "/metrics?stream=s/%20", "/metrics?" + "&".join(f"stream=s/{i}" for i in range(101))):
        expect(raw(server, bad)[0] == 400, f"{bad[:40]} was answered {raw(server, bad)[0]}")
    server.get("/v1/scopes/s/streams/b/state", "PUT", {"streamState": "SEALED"})
    expect(scrape(server, "/metrics?stream=s/b").one("millrace_stream_segments", stream="b") == 0, "a sealed stream")
    server.stop_in_order()


def long_term_storage():
    server = server_of("storage", "--flush-size", "1MiB", "--flush-seconds", "1")
    with Wire(server.store) as client:
        client.create("s/x/0.#epoch.0")
        write(client, "s/x/0.#epoch.0", 2000, 4000)
        until("objects are written", lambda: scrape(server).sum("millrace_storage_written_bytes_total") > 7e6)
        until("nothing waits", lambda: scrape(server).sum("millrace_storage_backlog_bytes") == 0)
        now = scrape(server)
        expect(now.sum("millrace_storage_objects") > 0 and now.sum("millrace_storage_failing") == 0, "objects, no trouble")
        place, away = os.path.join(server.data, "storage"), os.path.join(server.state, "away")
        os.rename(place, away)
        with open(place, "w") as file:
            file.write("not a directory")
        write(client, "s/x/0.#epoch.0", 2000, 1000)
        until("it fails", lambda: scrape(server).sum("millrace_storage_failing") == 1)
        now = scrape(server)
        expect(now.sum("millrace_storage_write_errors_total") >= 1, "errors are counted")
        expect(now.sum("millrace_storage_backlog_bytes") >= 2e6, "the bytes wait")
        expect(now.sum("millrace_log_messages_total", level="warn") >= 1, "a warning was logged")
        os.remove(place)
        os.rename(away, place)
        until("it heals", lambda: scrape(server).sum("millrace_storage_failing") == 0)
        client.truncate("s/x/0.#epoch.0", client.info("s/x/0.#epoch.0")[1])
        until("objects are removed", lambda: scrape(server).sum("millrace_storage_removed_objects_total") >= 1)
    server.stop_in_order()


def many_scrapes():
    """Several at once get whole answers; the other path gives the same families."""
    server = server_of("many")
    make_stream(server, "s", "x")
    connections = [http.client.HTTPConnection(*server.rest, timeout=30) for _ in range(20)]
    for connection in connections:
        connection.request("GET", "/metrics")
    for connection in connections:
        Metrics(connection.getresponse().read().decode())
        connection.close()
    expect(scrape(server, "/prometheus").types == scrape(server).types, "other families below /prometheus")
    expect(raw(server, "/metrics/x")[0] == 404, "a path below it")
    server.stop_in_order()


def documented():
    """docs/metrics.md names every family with its type, and no other; dashboard and alerts use only such."""
    server = server_of("documented")
    make_stream(server, "s", "x")
    with Wire(server.store) as client:
        write(client, "s/x/0.#epoch.0", 100)
    types = scrape(server).types
    server.stop_in_order()
    with open(os.path.join(ROOT, "docs", "metrics.md")) as file:
        told = dict(re.findall(r"^\| `([a-z0-9_]+)` \| (\w+) \|", file.read(), re.M))
    for name in sorted(types.keys() | told.keys()):
        expect(told.get(name) == types.get(name), f"{name}: {told.get(name)} in docs/metrics.md, {types.get(name)} in /metrics")
    used = 0
    for folder, _, files in os.walk(os.path.join(ROOT, "docs")):
        for name in files:
            if not name.endswith((".json", ".yaml", ".yml")):
                continue
            with open(os.path.join(folder, name)) as file:
                for metric in set(re.findall(r"\b(?:millrace|process)_[a-z0-9_]+\b", file.read())):
                    base = re.sub(r"_(bucket|sum|count)$", "", metric)
                    used += 1
                    expect(metric in types or types.get(base) == "histogram", f"{name} uses {metric}, which is not there")
    expect(used > 20, f"dashboard and alerts use {used} metrics")


def main():
    try:
        return cases.run([("the counters follow what a client does", counters_move),
                          ("streams have figures of their own, within the limit or by asking", figures_of_streams),
                          ("long-term storage: objects, backlog, failures", long_term_storage),
                          ("scrapes at the same time, and the other path", many_scrapes),
                          ("every metric is documented", documented)], sys.argv[1:])
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(SCRATCH, ignore_errors=True)


sys.exit(main())
