#!/usr/bin/env python3
"""How the server starts, says what it is, takes its options, and ends. Arguments: words; only cases whose name has one of them."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import cases
from cases import Skip, expect, note
from server import Server, clean_environment, free_ports, program
from wire import Closed, Wire, event, events_of

SCRATCH = tempfile.mkdtemp(prefix="millrace-lifecycle-")


def scratch(name):
    return os.path.join(SCRATCH, name)


def output(*arguments, environment=None):
    done = subprocess.run([program(), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
                          env=clean_environment(environment))
    return done.returncode, done.stdout, done.stderr


def version():
    status, out, _ = output("version")
    expect(status == 0 and re.search(r"\d+\.\d+\.\d+", out), f"`millrace version` says {out!r}, status {status}")
    note(out.strip().replace("\n", "; "))


def help_texts():
    status, out, _ = output("--help")
    expect(status == 0 and "standalone" in out, f"`millrace --help` names no command, status {status}")
    status, out, _ = output("standalone", "--help")
    expect(status == 0, f"`millrace standalone --help` has status {status}")
    for option in ("--data-dir", "--listen", "--controller-port", "--rest-port", "--store-port", "--log-level",
                   "--log-format", "--config"):
        expect(option in out, f"`millrace standalone --help` does not name {option}")


def ready_and_end():
    server = Server(scratch("ready"))
    ready = server.start()
    expect(server.ready_lines[:5] == [
        "millrace ready", f"controller tcp://127.0.0.1:{server.base}", f"rest http://127.0.0.1:{server.base + 1}",
        f"store 127.0.0.1:{server.base + 2}", f"data {os.path.realpath(server.data)}"],
           f"the ready lines are {server.ready_lines[:5]}")
    # Ready means ready: each port answers at once.
    status, health = server.get("/v1/health")
    expect(status == 200, f"GET /v1/health has status {status}")
    expect(not isinstance(health, dict) or health.get("status", "UP") == "UP", f"health is {health}")
    expect(server.get("/v1/scopes")[0] == 200, "GET /v1/scopes right after the start")
    with Wire(server.store):
        pass
    time.sleep(1)
    note(f"ready after {ready * 1000:.0f} ms; idle {server.rss_bytes() / 1e6:.0f} MB resident")
    note(f"ended {server.stop_in_order()} ms after SIGTERM")
    expect(ready < 10, f"{ready:.1f} s to start")

    begun = server.start()
    note(f"ready again on its data after {begun * 1000:.0f} ms")
    server.signal(signal.SIGINT)
    expect(server.wait(10), "SIGINT does not end the server")
    expect(server.process.returncode == 0, f"exit status after SIGINT is {server.process.returncode}")


def keeps_data():
    server = Server(scratch("keeps"))
    server.start()
    writer, segment = uuid.uuid4(), "lifecycle/keeps/0.#epoch.0"
    with Wire(server.store) as wire:
        wire.create(segment)
        wire.setup(segment, writer)
        for number in range(1, 101):
            wire.append(writer, event(b"event %d" % number), number)
        before = wire.read_all(segment)
    for how in (server.stop, server.kill):
        how()
        note(f"ready after {server.start() * 1000:.0f} ms")
        with Wire(server.store) as wire:
            expect(wire.read_all(segment) == before, f"other data after {how.__name__}")
            expect(wire.setup(segment, writer) == 100, f"another last event after {how.__name__}")
    server.stop()


class Deaf:
    """A client that writes as fast as it can, and reads no reply."""

    def __init__(self, server, segment):
        self.segment, self.writer = segment, uuid.uuid4()
        self.wire = Wire(server.store, timeout=30)
        self.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.wire.create(segment)
        self.wire.setup(segment, self.writer)
        self.sent = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while True:
                # Counted before it goes out: what the server has is never more than this.
                self.sent += 1
                self.wire.send(self.wire.append_frame(self.writer, event(b"%d" % self.sent), self.sent))
        except (Closed, socket.timeout):
            pass


def waits_at_tail(server, segment):
    client = Wire(server.store)
    client.ask_for(segment, 1 << 20, 100)
    return client


def half_frame(server, segment):
    client = Wire(server.store)
    client.setup(segment, uuid.uuid4())
    client.send(client.append_frame(uuid.uuid4(), bytes(100_000), 2)[:5000])
    return client


def idle_http(server, _):
    client = socket.create_connection(server.rest, timeout=10)
    client.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    expect(client.recv(100).startswith(b"HTTP/1.1 200"), "GET /ping is not answered")
    return client


def half_http(server, _):
    client = socket.create_connection(server.rest, timeout=10)
    client.sendall(b"POST /v1/scopes HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    return client


def idle_call(server, _):
    client = socket.create_connection(server.controller, timeout=10)
    client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4))
    expect(client.recv(100)[3:4] == b"\x04", "the controller does not greet")
    return client


def deaf_reader(server, segment):
    """Asks for much more than the socket's buffers hold, and takes nothing."""
    client = Wire(server.store, timeout=2)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(50):
        client.ask_for(segment, 0, 1 << 20)
    return client


def ends_with(make):
    """SIGTERM with such clients: the end comes within 2 s, in order, and what was acknowledged stays."""
    def run():
        server = Server(scratch("end-" + make.__name__))
        server.start()
        writer, segment = uuid.uuid4(), "lifecycle/end/0.#epoch.0"
        with Wire(server.store) as writing:
            writing.create(segment)
            writing.setup(segment, writer)
            writing.append(writer, event(bytes(1 << 20)), 1)
            clients = [make(server, segment) for _ in range(3)]
            writing.append(writer, event(b"two"), 2)
            note(f"ended {server.stop_in_order()} ms after SIGTERM, by its own log")
        for client in clients:
            client.close()
        server.start()
        with Wire(server.store) as wire:
            expect(wire.read_all(segment) == event(bytes(1 << 20)) + event(b"two"), "an acknowledged event is gone")
        server.stop_in_order()
    return run


def ends_with_deaf_writers():
    """SIGTERM while clients write as fast as they can and read no reply."""
    server = Server(scratch("end-deaf"))
    server.start()
    deaf = [Deaf(server, f"lifecycle/deaf/{i}.#epoch.0") for i in range(2)]
    end = time.monotonic() + 20
    while any(client.sent < 5000 for client in deaf) and time.monotonic() < end:
        time.sleep(0.05)
    took = server.stop_in_order()
    note(f"ended {took} ms after SIGTERM, by its own log; {' and '.join(f'{client.sent:,}' for client in deaf)} events sent")
    for client in deaf:
        client.thread.join(5)
        if client.thread.is_alive():
            # Its kernel has not heard of the end yet: a probe of a window that was long closed comes late.
            client.wire.socket.shutdown(socket.SHUT_RDWR)
            client.thread.join(30)
        expect(not client.thread.is_alive(), "a client's thread hangs")
        client.wire.close()
    server.start()
    with Wire(server.store, timeout=30) as wire:
        for client in deaf:
            stored = list(events_of(wire.read_all(client.segment)))
            expect(len(stored) <= client.sent, f"{len(stored)} events stored, {client.sent} were sent")
            expect(stored == [b"%d" % n for n in range(1, len(stored) + 1)], "events are lost or doubled in the middle")
            expect(wire.setup(client.segment, client.writer) == len(stored) or not stored, "another last event than the last one stored")
    server.stop_in_order()


def waits_for_partner(server):
    """Whether a thread of the server waits in an open() that does not return."""
    tasks = f"/proc/{server.pid}/task"
    for task in os.listdir(tasks):
        try:
            with open(f"{tasks}/{task}/wchan") as file:
                if file.read() in ("wait_for_partner", "fifo_open"):
                    return True
        except OSError:
            continue
    return False


def ends_with_silent_storage():
    """SIGTERM while calls to long-term storage do not return: the process ends, and what was acknowledged stays."""
    server = Server(scratch("end-storage"), options=["--flush-seconds", "1"])
    server.start()
    writer, segment = uuid.uuid4(), "lifecycle/storage/0.#epoch.0"
    registers = os.path.join(server.data, "storage", "registers")

    def owners():
        return [os.path.join(folder, name) for folder, _, names in os.walk(registers) for name in names]

    end = time.monotonic() + 20
    while len(owners()) < 4 and time.monotonic() < end:
        time.sleep(0.02)
    expect(len(owners()) >= 4, f"the containers do not claim their objects: {owners()}")
    # Whoever opens a pipe to read from it waits for one who writes.
    kept = [(path, open(path, "rb").read()) for path in owners()]
    for path, _ in kept:
        os.remove(path)
        os.mkfifo(path)
    with Wire(server.store) as wire:
        wire.create(segment)
        wire.setup(segment, writer)
        numbers = 0
        while not waits_for_partner(server) and numbers < 400:
            numbers += 1
            wire.append(writer, event(b"%d" % numbers), numbers)
            time.sleep(0.05)
    if not waits_for_partner(server):
        raise Skip("no thread can be seen to wait for storage")
    _, status = server.stop()
    expect(status == 0, f"the exit status is {status}")
    expect(re.search("ended after|leaving it", server.log()), f"the log does not say that it ended: {server.log()[-300:]}")
    for path, data in kept:
        os.remove(path)
        with open(path, "wb") as file:
            file.write(data)
    server.start()
    with Wire(server.store) as wire:
        expect(wire.setup(segment, writer) == numbers, "an acknowledged event is gone")
    server.stop_in_order()


def ends_with_unread_log():
    """SIGTERM while nobody reads the pipe that the log goes to, and it is full."""
    server = Server(scratch("end-log"))
    out_path, (reading, writing) = scratch("end-log.out"), os.pipe()
    with open(out_path, "wb") as out:
        process = subprocess.Popen(server.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=writing,
                                   env=clean_environment(), start_new_session=True)
    try:
        end = time.monotonic() + 30
        while b"\ndata " not in open(out_path, "rb").read() and time.monotonic() < end:
            time.sleep(0.01)
        os.set_blocking(writing, False)
        for size in (4096, 1):
            try:
                while True:
                    os.write(writing, b"x" * size)
            except BlockingIOError:
                pass
        os.set_blocking(writing, True)
        process.terminate()
        expect(process.wait(30) == 0, f"exit status {process.returncode}")
    finally:
        process.kill()
        process.wait()
        os.close(reading)
        os.close(writing)


def unknown_option():
    status, out, err = output("standalone", "--stor-port", "1")
    expect(status != 0 and "stor-port" in out + err, f"status {status}: {out + err}")


def config_file():
    base = free_ports()
    path = scratch("config.toml")
    with open(path, "w") as file:
        # The store's port is one that the command line replaces: the command line wins.
        file.write(f'data-dir = "{scratch("from-config")}"\ncontroller-port = {base}\nrest-port = {base + 1}\n'
                   f'store-port = 1\n')
    process = subprocess.Popen([program(), "standalone", "--config", path, "--store-port", str(base + 2)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=clean_environment(), start_new_session=True)
    try:
        lines = [process.stdout.readline().strip() for _ in range(5)]
        expect(lines[1:] == [f"controller tcp://127.0.0.1:{base}", f"rest http://127.0.0.1:{base + 1}",
                             f"store 127.0.0.1:{base + 2}", f"data {scratch('from-config')}"], f"it says {lines}")
    finally:
        process.terminate()
        process.communicate(timeout=20)


def unknown_config_key():
    path = scratch("wrong.toml")
    for text, words in (("stor-port = 1\n", ("stor-port", "store-port")), ('store-port = "many"\n', ("store-port",)),
                        ("store-port = 70000\n", ("store-port",)), ("this is no TOML\n", (path,))):
        with open(path, "w") as file:
            file.write(text)
        status, out, err = output("standalone", "--config", path, "--data-dir", scratch("never"))
        expect(status != 0, f"{text!r} is accepted")
        for word in words:
            expect(word in out + err, f"{text!r}: the refusal does not say {word!r}: {out + err}")
    expect(not os.path.exists(scratch("never")), "a refused start made the data directory")


def environment_variables():
    base = free_ports()
    environment = {"MILLRACE_DATA_DIR": scratch("from-environment"), "MILLRACE_CONTROLLER_PORT": str(base),
                   "MILLRACE_REST_PORT": str(base + 1), "MILLRACE_STORE_PORT": str(base + 2)}
    process = subprocess.Popen([program(), "standalone"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, env=clean_environment(environment),
                               start_new_session=True)
    try:
        lines = [process.stdout.readline().strip() for _ in range(5)]
        expect(lines[3:] == [f"store 127.0.0.1:{base + 2}", f"data {scratch('from-environment')}"], f"it says {lines}")
    finally:
        process.terminate()
        process.communicate(timeout=20)


def json_logs():
    server = Server(scratch("json"), options=["--log-format", "json", "--log-level", "debug"])
    server.start()
    server.get("/v1/scopes")
    server.stop()
    lines = [line for line in server.log().split("\n") if line]
    expect(lines, "no log at all")
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            raise cases.Failure(f"not JSON: {line!r}") from None
        expect(isinstance(entry, dict) and "level" in entry, f"an entry without a level: {line}")
    note(f"{len(lines)} lines, like {lines[0][:140]}")


def log_levels():
    server = Server(scratch("quiet"), options=["--log-level", "error"])
    server.start()
    server.stop()
    expect(server.log() == "", f"with --log-level error it logs {server.log()[:300]!r}")
    status, out, err = output("standalone", "--log-level", "loud", "--data-dir", scratch("loud"))
    expect(status != 0 and "loud" in out + err, f"--log-level loud: status {status}, {out + err!r}")


def many_starts():
    """Twenty times up and down: nothing is left behind, no start is slower for those before."""
    server = Server(scratch("many"))
    times = []
    for _ in range(20):
        times.append(server.start())
        server.stop()
    note(f"ready after {sorted(times)[10] * 1000:.0f} ms (median of 20), {max(times) * 1000:.0f} ms (longest)")
    expect(max(times) < 10, f"a start took {max(times):.1f} s")


if __name__ == "__main__":
    try:
        sys.exit(cases.run([
            ("version", version), ("help", help_texts), ("ready and end", ready_and_end), ("data is kept", keeps_data),
            ("the end: clients that wait at the tail", ends_with(waits_at_tail)),
            ("the end: clients that sent half a frame", ends_with(half_frame)),
            ("the end: clients that read nothing", ends_with(deaf_reader)),
            ("the end: clients that write and read nothing", ends_with_deaf_writers),
            ("the end: idle HTTP clients", ends_with(idle_http)), ("the end: half an HTTP request", ends_with(half_http)),
            ("the end: idle gRPC clients", ends_with(idle_call)), ("the end: storage does not answer", ends_with_silent_storage),
            ("the end: nobody reads the log", ends_with_unread_log), ("unknown option", unknown_option), ("configuration file", config_file),
            ("wrong configuration", unknown_config_key), ("environment variables", environment_variables),
            ("JSON log", json_logs), ("log levels", log_levels), ("many starts", many_starts)], sys.argv[1:]))
    finally:
        subprocess.run(["rm", "-rf", SCRATCH], check=False)
