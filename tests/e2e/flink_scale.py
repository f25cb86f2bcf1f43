#!/usr/bin/env python3
"""`millrace flink-scale` between a real server and a fake of Flink's REST API: what it asks for, when, and what it says.

Arguments: words; only cases whose name contains one of them. KEEP=1 keeps the data and logs.
"""
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import cases
import wire
from cases import expect
from server import Server, clean_environment, program
from wire import Wire

SCRATCH = tempfile.mkdtemp(prefix="millrace-flink-scale-")
JOB = "0123456789abcdef0123456789abcdef"


class Flink(http.server.ThreadingHTTPServer):
    """A JobManager with one job of two vertices; obeys, and remembers what was asked of it."""

    daemon_threads = True

    def __init__(self, adaptive=True):
        super().__init__(("127.0.0.1", 0), FlinkHandler)
        self.adaptive, self.broken = adaptive, False
        self.state = "RUNNING"
        self.bounds = {"aa": [1, 1], "bb": [1, 1]}
        self.most = {"aa": 128, "bb": 2}
        self.asked = []  # upper bounds of the source
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class FlinkHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        flink = self.server
        if flink.broken:
            return self.answer(503, {"errors": ["Service temporarily unavailable due to an ongoing leader election."]})
        if self.path == "/jobs/overview":
            return self.answer(200, {"jobs": [{"jid": "f" * 32, "name": "orders", "state": "CANCELED", "start-time": 9},
                                              {"jid": JOB, "name": "orders", "state": flink.state, "start-time": 5}]})
        if self.path == f"/jobs/{JOB}":
            vertices = [{"id": name, "name": title, "maxParallelism": flink.most[name], "parallelism": flink.bounds[name][1],
                         "tasks": {"RUNNING": flink.bounds[name][1]}} for name, title in (("aa", "Source: in"), ("bb", "Sink: out"))]
            return self.answer(200, {"jid": JOB, "name": "orders", "state": flink.state, "vertices": vertices})
        if self.path == f"/jobs/{JOB}/resource-requirements" and flink.adaptive:
            return self.answer(200, {name: {"parallelism": {"lowerBound": low, "upperBound": high}}
                                     for name, (low, high) in flink.bounds.items()})
        if self.path == f"/jobs/{JOB}/resource-requirements":
            return self.answer(500, {"errors": ["Internal server error.", "<Exception on server side:\n"
                                                "java.lang.UnsupportedOperationException: The DefaultScheduler does not\n\tat x"]})
        return self.answer(404, {"errors": [f"Not found: {self.path}"]})

    def do_PUT(self):
        flink = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fine = (self.path == f"/jobs/{JOB}/resource-requirements" and body.keys() == flink.bounds.keys() and
                self.headers["Content-Type"] == "application/json")
        bounds = {name: [entry["parallelism"]["lowerBound"], entry["parallelism"]["upperBound"]] for name, entry in body.items()}
        # As Flink: all vertices, and no more than their operators can have.
        if not fine or any(not 1 <= low <= high <= flink.most[name] for name, (low, high) in bounds.items()):
            return self.answer(400, {"errors": ["Invalid requirements", "Caused by: x.RestHandlerException: bad bounds"]})
        flink.bounds = bounds
        flink.asked.append(bounds["aa"][1])
        return self.answer(200, {})

    def log_message(self, *unused):
        pass


class Scaler:
    """The command, running until it is told to end."""

    def __init__(self, flink, server, *options, job=JOB):
        self.log_path = os.path.join(SCRATCH, f"scaler-{uuid.uuid4()}.log")
        metrics = "http://%s:%d" % server.rest
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([program(), "flink-scale", "--flink", flink.url, "--job", job, "--metrics", metrics,
                                             *options], stdout=log, stderr=log, env=clean_environment())

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def log(self):
        with open(self.log_path) as log:
            return log.read()

    def ends(self, status, seconds=30):
        got = self.process.wait(seconds)
        expect(got == status, f"exit status {got}, not {status}: {self.log()[-500:]}")


def until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"{what}: not within {seconds} s")
        time.sleep(0.05)


def server_of(name):
    server = Server(os.path.join(SCRATCH, name))
    server.start()
    server.get("/v1/scopes", "POST", {"scopeName": "s"})
    return server


def make_stream(server, stream, segments):
    status, reply = server.get("/v1/scopes/s/streams", "POST", {
        "streamName": stream, "scalingPolicy": {"type": "FIXED_NUM_SEGMENTS", "minSegments": segments}})
    expect(status == 201, f"the stream was answered {status}: {reply}")


def once():
    server, flink = server_of("once"), Flink()
    make_stream(server, "x", 4)
    make_stream(server, "y", 3)
    with Scaler(flink, server, "--stream", "s/x", "--once", "--dry-run") as scaler:
        scaler.ends(0)
        expect(flink.asked == [] and "1 -> 4" in scaler.log(), f"a dry run: {flink.asked}, {scaler.log()}")
    Scaler(flink, server, "--stream", "s/x", "--once").ends(0)
    expect(flink.bounds == {"aa": [1, 4], "bb": [1, 2]}, f"each within its maximum: {flink.bounds}")
    Scaler(flink, server, "--stream", "s/x", "--once").ends(0)
    expect(flink.asked == [4], f"asked again for what it has: {flink.asked}")
    Scaler(flink, server, "--stream", "s/x", "--stream", "s/y", "--once", job="orders").ends(0)
    expect(flink.asked == [4, 7], f"two streams, by name: {flink.asked}")
    Scaler(flink, server, "--stream", "s/x", "--once", "--max", "2", "--vertices", "sources").ends(0)
    expect(flink.bounds == {"aa": [1, 2], "bb": [1, 2]}, f"limit: {flink.bounds}")
    with Scaler(flink, server, "--stream", "s/none", "--once") as scaler:
        scaler.ends(1)
        expect("s/none is not among the metrics" in scaler.log(), scaler.log())
    with Scaler(flink, server, "--stream", "s/x", "--once", job="other") as scaler:
        scaler.ends(1)
        expect('no job "other" is running' in scaler.log(), scaler.log())
    with Scaler(Flink(adaptive=False), server, "--stream", "s/x", "--once") as scaler:
        scaler.ends(1)
        expect("jobmanager.scheduler: adaptive" in scaler.log(), scaler.log())
    server.stop_in_order()


def by_rate():
    server, flink = server_of("rate"), Flink()
    make_stream(server, "x", 8)
    done = threading.Event()

    def write():
        with Wire(server.store) as client:
            for number in range(8):
                client.setup(f"s/x/{number}.#epoch.0", uuid.UUID(int=number + 1))
            last = 0
            while not done.is_set():
                last += 50
                for number in range(8):
                    client.append(uuid.UUID(int=number + 1), wire.event(bytes(10)) * 50, last, 50)
                time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        # Whatever this machine can do, it is more than three subtasks of so few take, and less than one of so many.
        few = ["--stream", "s/x", "--by", "events", "--per-task", "10", "--window", "10s"]
        with Scaler(flink, server, *few, "--interval", "1"):
            until("as many subtasks as segments", lambda: flink.asked[-1:] == [8])
        many = ["--stream", "s/x", "--by", "bytes", "--per-task", "100GiB", "--once"]
        Scaler(flink, server, *many).ends(0)
        expect(flink.asked[-1] == 1, f"one is enough: {flink.asked}")
    finally:
        done.set()
        writer.join()
    server.stop_in_order()


def goes_on():
    """Through a stream that comes later, a Flink and a server that are away, up and down, to the job's end."""
    server, flink = server_of("loop"), Flink()
    options = ["--stream", "s/x", "--interval", "1", "--cooldown-up", "0", "--cooldown-down", "2", "--log-level", "debug"]
    with Scaler(flink, server, *options) as scaler:
        until("it misses the stream", lambda: "not among the metrics" in scaler.log())
        make_stream(server, "x", 3)
        until("it follows", lambda: flink.asked == [3])
        flink.broken = True
        until("it tells the reason", lambda: "leader election" in scaler.log())
        flink.bounds["aa"][1] = 6  # somebody else
        flink.broken = False
        until("it goes back", lambda: flink.asked == [3, 3])
        server.kill()
        before = len(scaler.log())
        until("it misses the server", lambda: "connect" in scaler.log()[before:])
        expect(flink.asked == [3, 3], f"it asks without knowing: {flink.asked}")
        server.start()
        until("it goes on", lambda: "goes on" in scaler.log()[before:])
        flink.state = "FINISHED"
        scaler.ends(0)
    flink.state = "RUNNING"
    with Scaler(flink, server, *options) as scaler:
        until("it looks", lambda: "as it should be" in scaler.log())
        scaler.process.send_signal(signal.SIGTERM)
        scaler.ends(0)
    server.stop_in_order()


def main():
    try:
        return cases.run([("one look: limits, several streams, dry run, refusals", once),
                          ("by rate", by_rate),
                          ("goes on through what is away, until the job ends or SIGTERM", goes_on)], sys.argv[1:])
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(SCRATCH, ignore_errors=True)


sys.exit(main())
