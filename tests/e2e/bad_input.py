#!/usr/bin/env python3
"""Whatever comes from outside ends in a clear error; the process lives, other clients notice nothing, nothing acknowledged is lost.

Arguments: words; only cases whose name contains one of them. KEEP=1 keeps the data and logs.
"""
import os
import random
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid

import cases
import wire
from cases import Skip, expect, note
from server import NotReady, Server
from wire import Closed, Wire, event, events_of, frame, text

SCRATCH = tempfile.mkdtemp(prefix="millrace-bad-input-")
RANDOM = random.Random(20130101)
REFUSE_SECONDS = 10


def scratch(name):
    return os.path.join(SCRATCH, name)


def refused(server, *words):
    """Starts a server that must refuse soon, with a non-zero exit status and a message that holds all of `words`."""
    begun = time.monotonic()
    try:
        server.start(REFUSE_SECONDS)
    except NotReady as error:
        expect(error.status is not None, f"neither ready nor ended after {REFUSE_SECONDS} s: {error.said}")
        expect(error.status > 0, f"ended by signal {-error.status}: {error.said[-600:]}")
        for word in words:
            expect(word in error.said, f"the message does not say {word!r}: {error.said[-600:]}")
        note(f"refused after {(time.monotonic() - begun) * 1000:.0f} ms: {error.said.strip().splitlines()[-1][:220]}")
        return
    server.stop()
    raise cases.Failure("it started")


# ---- what a start refuses ------------------------------------------------------------------------

def port_taken():
    server = Server(scratch("ports"))
    for offset in range(3):
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", server.base + offset))
            holder.listen(1)
            refused(server, str(server.base + offset))
    server.start()
    server.stop()


def directory_in_use():
    first = Server(scratch("in-use"))
    first.start()
    second = Server(scratch("in-use-2"))
    second.data = first.data
    refused(second, first.data)
    expect(first.get("/v1/scopes")[0] == 200, "the first server is ill")
    first.kill()
    second.start()  # a lock does not outlive its process
    second.stop()


def directory_is_file():
    server = Server(scratch("is-file"))
    with open(server.data, "w") as file:
        file.write("something else")
    refused(server, server.data)
    with open(server.data) as file:
        expect(file.read() == "something else", "the file was touched")


def directory_not_writable():
    server = Server(scratch("read-only"))
    os.mkdir(server.data)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", server.data], capture_output=True, check=False)
    if mounted.returncode != 0:
        raise Skip("mount is not allowed here")
    try:
        refused(server, server.data)
    finally:
        subprocess.run(["umount", server.data], check=False)


def newer_version():
    server = Server(scratch("newer"))
    server.start()
    server.stop()
    path = os.path.join(server.data, "VERSION")
    with open(path) as file:
        now = file.read()
    expect(now.startswith("millrace-data 1"), f"VERSION holds {now!r}")
    newer = now.replace("millrace-data 1", "millrace-data 999", 1)
    for other, word in ((newer, "999"), ("", "VERSION"), ("something else\n", "VERSION")):
        with open(path, "w") as file:
            file.write(other)
        refused(server, word)
    with open(path, "w") as file:
        file.write(now)
    server.start()
    server.stop()


# ---- damage on disk ------------------------------------------------------------------------------

def write_marked(server, events, size=3000):
    """Writes events one by one, each acknowledged; returns the segment's bytes and the events' marks."""
    writer, segment = uuid.uuid4(), "bad/disk/0.#epoch.0"
    marks = []
    with Wire(server.store) as client:
        client.create(segment)
        client.setup(segment, writer)
        for number in range(1, events + 1):
            marks.append(uuid.uuid4().bytes)
            client.append(writer, event(marks[-1] + RANDOM.randbytes(size)), number)
        return segment, client.read_all(segment), marks


def place_of(directory, mark):
    """(path, offset) of a mark in the newest file that holds it."""
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                at = file.read().find(mark)
            if at >= 0:
                found.append((path, at))
    expect(found, "an acknowledged event is in no file")
    return found[0]


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def flipped_bit():
    server = Server(scratch("flipped"))
    server.start()
    segment, before, marks = write_marked(server, 300)
    server.stop()
    # In the middle, and in the very last frame: the journal was closed in order, so no place of it may be taken for a torn end.
    for mark in (marks[len(marks) // 2], marks[-1]):
        path, offset = place_of(server.data, mark)
        flip(path, offset + 100)
        refused(server, path, "offset")
        refused(server, path, "offset")  # a refusal changes nothing
        flip(path, offset + 100)
    server.start()
    with Wire(server.store) as client:
        expect(client.read_all(segment) == before, "other data than before")
    server.stop()


def torn_tail():
    server = Server(scratch("torn"))
    server.start()
    segment, before, marks = write_marked(server, 50)
    server.kill()
    path, offset = place_of(server.data, marks[-1])
    flip(path, offset + 100)
    server.start()
    with Wire(server.store) as client:
        after = client.read_all(segment)
    expect(before.startswith(after) and len(list(events_of(after))) >= len(marks) - 1,
           f"{len(list(events_of(after)))} of {len(marks)} events after a torn tail")
    said = [line for line in server.log().splitlines() if path in line and "offset" in line]
    expect(said, f"the log does not name the torn tail's place: {server.log()[-600:]}")
    note(said[-1][:240])
    server.stop()


# ---- too little room -----------------------------------------------------------------------------

def full_journal():
    """Writers wait when the journal is full; what is there can be read, now and after a crash; truncation makes room again."""
    server = Server(scratch("full"), options=["--journal-file", "48MiB", "--journal-limit", "192MiB"])
    server.start()
    writer, segment = uuid.uuid4(), "bad/full/0.#epoch.0"
    block = RANDOM.randbytes(1 << 20)
    acknowledged = 0
    with Wire(server.store, timeout=5) as client:
        client.create(segment)
        client.setup(segment, writer)
        try:
            while acknowledged < 400:
                client.append(writer, block, acknowledged + 1)
                acknowledged += 1
        except (Closed, socket.timeout):
            pass
    expect(50 <= acknowledged < 400, f"{acknowledged} MiB fit into a journal of 192 MiB")
    expect(server.log().count("warning journal in ") == 1, "the log does not say once that the journal is full")
    for again in (False, True):
        if again:
            server.kill()
            note(f"full after {acknowledged} MiB; ready after {server.start() * 1000:.0f} ms")
        expect(server.alive() and server.get("/v1/health/readiness") == (200, True), "the server is ill")
        details = server.get("/v1/health/details/journal")[1]
        expect(details["space"] == "log full" and int(details["usedBytes"]) > 100 << 20 and
               int(details["limitBytes"]) == 192 << 20, f"health says {details}")
        expect("log full" in server.get("/v1/health/details")[1].get("warning", ""), "health does not warn")
        with Wire(server.store) as client:
            client.send(frame(wire.CREATE_SEGMENT, struct.pack(">q", 77) + text("bad/full/1.#epoch.0") +
                              struct.pack(">ib", 0, 0) + text("") + struct.pack(">q", 0)))
            code, fields = client.receive()
            expect((code, fields.take("q")) == (61, 77), f"CREATE_SEGMENT into a full journal is answered with {code}")
            length = client.info(segment)[1]
            expect(length >= acknowledged << 20, f"{length} bytes, acknowledged were {acknowledged} MiB")
            for at in range(0, acknowledged << 20, 16 << 20):
                data = client.read(segment, at, 1 << 20)
                expect(data and block.startswith(data), f"other data at {at}")
    with Wire(server.store, timeout=30) as client:
        client.truncate(segment, length)
        last = client.setup(segment, writer)
        client.append(writer, block, last + 1)
        expect(client.read(segment, length, 1 << 20), "nothing behind the truncation")
    expect(server.get("/v1/health/details/journal")[1]["space"] == "free", "health still says that the log is full")
    server.stop()


# ---- misbehaving clients -------------------------------------------------------------------------

class Abuse:
    """One server with a well-behaved writer that never leaves; after each case it, and every port, must work as before."""

    def __init__(self):
        self.server = Server(scratch("abuse"))
        self.server.start()
        self.first_pid = self.server.pid
        self.writer, self.segment = uuid.uuid4(), "bad/input/0.#epoch.0"
        self.client = Wire(self.server.store)
        self.client.create(self.segment)
        self.client.setup(self.segment, self.writer)
        self.written = 0
        self.write()

    def write(self):
        for _ in range(10):
            self.written += 1
            got = self.client.append(self.writer, event(b"%d" % self.written), self.written)
            expect(got == self.written, f"event {self.written} was acknowledged as {got}")

    def healthy(self):
        expect(self.server.alive(), f"the server ended: {self.server.log()[-800:]}")
        expect(self.server.pid == self.first_pid, "another process")
        self.write()
        status, _ = self.server.get("/v1/health")
        expect(status == 200, f"GET /v1/health has status {status}")
        with Wire(self.server.store) as another:
            expect(another.info(self.segment) is not None, "a new client does not see the segment")
        with socket.create_connection(self.server.controller, timeout=10) as http2:
            http2.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4))
            got = http2.recv(9)
            expect(len(got) == 9 and got[3] == 4, f"the controller's port answers {got!r} to a new client")

    def all_there(self):
        for again in (False, True):
            with Wire(self.server.store) as reader:
                got = list(events_of(reader.read_all(self.segment)))
            expect(got == [b"%d" % n for n in range(1, self.written + 1)],
                   f"{len(got)} events, acknowledged were {self.written}{' (after a restart)' if again else ''}")
            if not again:
                self.client.close()
                self.server.kill()
                self.server.start()
        self.server.stop()


ABUSE = None


def abuse(case):
    def run():
        global ABUSE
        if ABUSE is None:
            ABUSE = Abuse()
        case(ABUSE)
        ABUSE.healthy()
    return run


def garbage(on):
    """Random bytes and other protocols' greetings, on each port."""
    tls = bytes.fromhex("16030100c8010000c40303") + RANDOM.randbytes(190)
    greetings = [b"", b"\0" * 4096, b"\xff" * 4096, RANDOM.randbytes(64), RANDOM.randbytes(300_000), tls,
                 b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
                 b"POST /v1/scopes HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
                 b"POST /v1/scopes HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000000\r\n\r\n{",
                 b"POST /v1/scopes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n",
                 b"GET /v1/scopes HTTP/1.1\r\n" + b"X-A: b\r\n" * 50_000 + b"\r\n",
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + RANDOM.randbytes(5000),
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4) + b"\xff\xff\xff\x01\x04\0\0\0\1",
                 frame(wire.HELLO, struct.pack(">ii", 16, 5)) + RANDOM.randbytes(5000)]
    for address in (on.server.store, on.server.controller, on.server.rest):
        for greeting in greetings:
            with socket.create_connection(address, timeout=0.3) as connection:
                try:
                    connection.sendall(greeting)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass
        expect(on.server.alive(), f"the server ended after garbage on port {address[1]}: {on.server.log()[-800:]}")


def bad_json(on):
    for path, body in (("/v1/scopes", b"{"), ("/v1/scopes", b"[]"), ("/v1/scopes", b"{}"), ("/v1/scopes", b'{"scopeName": 7}'),
                       ("/v1/scopes", b"[" * 100_000), ("/v1/scopes", b'{"scopeName": "' + b"\xff\xfe" * 10 + b'"}')):
        with socket.create_connection(on.server.rest, timeout=10) as connection:
            connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                               b"Connection: close\r\n\r\n%s" % (path.encode(), len(body), body))
            status = connection.recv(65536).split(b"\r\n")[0]
            expect(status.startswith(b"HTTP/1.1 4"), f"{body[:40]!r} is answered with {status!r}")


def header_block(fields):
    """HPACK without tables and without compression: every field a literal."""
    block = b""
    for name, value in fields:
        block += b"\0" + b"".join(bytes([len(part)]) + part for part in (name, value))  # each shorter than 127
    return block


def http2(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def call(address, method, body):
    """Sends one gRPC call with any bytes as its body; True if a header frame came back, False if the connection ended."""
    path = b"/io.pravega.controller.stream.api.grpc.v1.ControllerService/" + method
    head = header_block([(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
                         (b"te", b"trailers"), (b"content-type", b"application/grpc")])
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2(4, 0, 0, b"") + http2(1, 4, 1, head))
        try:
            # Within the window that every server grants at first.
            for at in range(0, min(len(body), 60_000), 16_000):
                connection.sendall(http2(0, 0, 1, body[at:at + 16_000]))
            connection.sendall(http2(0, 1, 1, b""))
            got = b""
            while True:
                while len(got) >= 9:
                    size = int.from_bytes(got[:3], "big")
                    if len(got) < 9 + size:
                        break
                    if got[3] in (1, 3):  # headers, or the stream was reset
                        return True
                    got = got[9 + size:]
                more = connection.recv(65536)
                if not more:
                    return False
                got += more
        except ConnectionError:
            return False


def bad_calls(on):
    """gRPC: bodies that are no messages, lengths that lie, methods that are not there. Each gets an answer, or the end."""
    def message(data, size=None, compressed=0):
        return bytes([compressed]) + struct.pack(">I", len(data) if size is None else size) + data

    bodies = {
        "empty": b"", "cut length": b"\0\0", "cut message": message(b"\x0a\xff\xff\xff\x7fabc"), "random": message(RANDOM.randbytes(50_000)),
        "4 GiB claimed": message(b"abc", 0xffffffff), "compressed": message(b"abc", compressed=1), "flag 7": message(b"abc", compressed=7),
        "deep groups": message(b"\x0b" * 20_000), "bad UTF-8": message(b"\x0a\x02\xff\xfe"), "two messages": message(b"") * 2,
        "wrong wire type": message(b"\x08\x01"),
    }
    for method in (b"createScope", b"createStream", b"getSegmentsBetween", b"createReaderGroup", b"listScopes", b"noSuchMethod"):
        for name, body in bodies.items():
            call(on.server.controller, method, body)
            expect(on.server.alive(), f"the server ended after {method.decode()} with a body {name!r}: {on.server.log()[-800:]}")
    expect(call(on.server.controller, b"listScopes", message(b"")), "a proper call right after gets no answer")


def half_open(on):
    """Clients that stop in the middle of everything, politely, rudely, or not at all."""
    whole = on.client.append_frame(uuid.uuid4(), event(b"x" * 1000), 1)
    halves = [b"", frame(wire.HELLO, struct.pack(">ii", 16, 5))[:5], whole[:4], whole[:8], whole[:500],
              struct.pack(">ii", wire.APPEND_BLOCK, 8 << 20) + b"y" * 1000]
    silent = []
    for half in halves:
        for end in ("orderly", "reset", "silent"):
            client = Wire(on.server.store, hello=False)
            client.send(half)
            if end == "orderly":
                client.close()
            elif end == "reset":
                client.reset()
            else:
                silent.append(client)
    # One that asks for much and takes nothing: it must not fill the server's memory.
    greedy = Wire(on.server.store)
    greedy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    big, segment = uuid.uuid4(), "bad/greedy/0.#epoch.0"
    greedy.create(segment)
    greedy.setup(segment, big)
    greedy.append(big, bytes(4 << 20), 1)
    before = on.server.rss_bytes()
    greedy.socket.settimeout(1)
    try:
        for _ in range(2000):
            greedy.ask_for(segment, 0, 2 << 20)
    except (Closed, socket.timeout):
        pass
    on.healthy()
    grown = on.server.rss_bytes() - before
    note(f"a client that asks for 4 GB and takes nothing: {grown / 1e6:.0f} MB more resident")
    expect(grown < 500e6, f"{grown / 1e6:.0f} MB more resident for one client that takes nothing")
    greedy.reset()
    for client in silent:
        client.close()


def lying_lengths(on):
    """Frames that are too large, or whose inner lengths do not fit: the connection ends, without an answer, nothing else happens."""
    ident = uuid.uuid4()
    segment_text = text("bad/lies/0.#epoch.0")
    head = struct.pack(">q", 1)
    lies = {
        "17 MiB and one byte": struct.pack(">ii", wire.APPEND_BLOCK, wire.FRAME_MAX + 1) + ident.bytes,
        "2 GiB": struct.pack(">ii", wire.APPEND_BLOCK_END, 0x7fffffff) + ident.bytes,
        "negative": struct.pack(">ii", wire.APPEND_BLOCK_END, -5) + ident.bytes,
        "unknown command": frame(4711, b"x"),
        "a reply as request": frame(wire.DATA_APPENDED, bytes(40)),
        "a bare event": event(b"x"),
        "text longer than its frame": frame(wire.SETUP_APPEND, head + ident.bytes + struct.pack(">H", 60000) + b"abc"),
        "data longer than its frame": frame(wire.APPEND_BLOCK_END, ident.bytes + struct.pack(">ii", 10, 1 << 30) + b"abc"),
        "no writer": on.client.append_frame(ident, event(b"x"), 1),
        "cut": frame(wire.CREATE_SEGMENT, head + segment_text),
        "empty frame": frame(wire.READ_SEGMENT),
        "table entries without end": frame(74, head + segment_text + text("") + struct.pack(">i", 0x7fffffff)),
        "table key longer than its frame": frame(78, head + segment_text + text("") + struct.pack(">iii", 1, 1 << 30, 1 << 30)),
        "negative read": frame(wire.READ_SEGMENT, text(on.segment) + struct.pack(">qi", -1, 100) + text("") + head),
        "wrong text": frame(wire.CREATE_SEGMENT, head + b"\0\2\xff\xfe" + struct.pack(">ib", 0, 0) + text("") + head),
    }
    answered = []
    for name, lie in lies.items():
        with Wire(on.server.store, timeout=3) as client:
            try:
                client.send(lie)
                client.send(frame(wire.KEEP_ALIVE))
            except Closed:
                continue
            if not client.ends():
                answered.append(name)
        expect(on.server.alive(), f"the server ended after {name}: {on.server.log()[-800:]}")
    # Text that is no UTF-8 may be taken as a name; all else must end the connection.
    expect(not set(answered) - {"wrong text"}, f"the connection stays open after: {', '.join(answered)}")


def too_large_event(on):
    """16 MiB of data in one append go in or end the connection; what is above the frame's limit ends it. Neither harms others."""
    writer, segment = uuid.uuid4(), "bad/large/0.#epoch.0"
    for size in (8 << 20, (16 << 20) - 64, (17 << 20) + 64, 40 << 20):
        client = Wire(on.server.store, timeout=20)
        try:
            client.create(segment)
            last = client.setup(segment, writer)
            number = max(0, last) + 1
            client.send(client.append_frame(writer, bytes(size), number))
            expect(client.acknowledged() == number, "another event number")
            outcome = "taken"
        except Closed:
            outcome = "connection ended"
        finally:
            client.close()
        note(f"{size / (1 << 20):.2f} MiB: {outcome}")
        expect(outcome == ("taken" if size <= 8 << 20 else outcome), "8 MiB must be taken")
        expect(outcome == "connection ended" or size < wire.FRAME_MAX, f"{size} bytes in one frame were taken")
    stored = 0
    with Wire(on.server.store, timeout=20) as client:
        stored = client.info(segment)[1]
    expect(stored in (8 << 20, (24 << 20) - 64), f"{stored} bytes are in the segment")


def backwards(on):
    """Event numbers that go back end the connection and leave no trace."""
    writer, segment = uuid.uuid4(), "bad/backwards/0.#epoch.0"
    with Wire(on.server.store) as client:
        client.create(segment)
        client.setup(segment, writer)
        client.append(writer, event(b"ten"), 10)
        client.send(client.append_frame(writer, event(b"nine"), 9))
        expect(client.ends(), "the connection stays open")
    with Wire(on.server.store) as client:
        expect(client.setup(segment, writer) == 10, "another last event")
        expect(client.read_all(segment) == event(b"ten"), "the refused event left a trace")


def names(on):
    for name in ("", " ", "a/b", "../up", "a b", "_hidden", "x" * 300, "naïve", "a\u0000b"):
        status, said = on.server.get("/v1/scopes", "POST", {"scopeName": name})
        expect(status == 400, f"scope name {name!r}: status {status}, {said}")
    status, said = on.server.get("/v1/scopes", "POST", {"scopeName": "proper.name-1"})
    expect(status == 201, f"a proper scope name: status {status}, {said}")
    policy = {"scalingPolicy": {"type": "FIXED_NUM_SEGMENTS", "minSegments": 1}}
    for name in ("", "a/b", "a b", "_hidden", "x" * 300, "naïve"):
        status, said = on.server.get("/v1/scopes/proper.name-1/streams", "POST", dict(policy, streamName=name))
        expect(status == 400, f"stream name {name!r}: status {status}, {said}")
    status, _ = on.server.get("/v1/scopes/nobody/streams", "POST", dict(policy, streamName="x"))
    expect(status == 404, f"a stream in a missing scope: status {status}")
    status, _ = on.server.get("/v1/scopes/" + "%2e%2e%2f" * 20)
    expect(400 <= status < 500, f"dots and slashes: status {status}")
    # The segment store takes any name but the empty one, which ends the connection.
    with Wire(on.server.store, timeout=3) as client:
        client.send(frame(wire.CREATE_SEGMENT, struct.pack(">q", 1) + text("") + struct.pack(">ib", 0, 0) + text("") +
                          struct.pack(">q", 0)))
        expect(client.ends(), "an empty segment name is taken")
    with Wire(on.server.store) as client:
        for name in ("../../../../tmp/escape", "/etc/passwd", "a\u0000b", "é" * 100, "x" * 5000, "y" * 65535):
            expect(client.create(name), f"segment name {name!r}")
            expect(client.info(name) is not None, f"segment name {name!r} is gone")


def thousands(on):
    """5,000 connections at a time; a client that was there before works on, and so does a new one."""
    wanted = 5000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted + 200 if hard == resource.RLIM_INFINITY else min(hard, wanted + 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    count = min(wanted, most - 200)
    with open(f"/proc/{on.server.pid}/limits") as limits:
        of_server = next(line.split()[3] for line in limits if line.startswith("Max open files"))
    clients = []
    begun = time.monotonic()
    answered = 0
    try:
        for _ in range(count):
            client = Wire(on.server.store, timeout=10, hello=False)
            clients.append(client)
            client.send(frame(wire.HELLO, struct.pack(">ii", 16, 5)))
        on.write()
        for client in clients:
            try:
                answered += client.receive()[0] == wire.HELLO
            except (Closed, socket.timeout):
                pass
        took = time.monotonic() - begun
        on.healthy()
        note(f"{answered:,} of {count:,} connections answered in {took:.1f} s, {on.server.rss_bytes() / 1e6:.0f} MB resident, "
             f"server's limit of open files {of_server}")
        expect(answered == count or int(of_server) < count + 200, f"only {answered:,} of {count:,} connections were answered")
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def nothing_lost():
    if ABUSE is None:
        raise Skip("no case before it")
    ABUSE.healthy()
    ABUSE.all_there()


if __name__ == "__main__":
    try:
        sys.exit(cases.run([
            ("a port is taken", port_taken), ("the data directory is in use", directory_in_use),
            ("the data directory is a file", directory_is_file), ("the data directory is read-only", directory_not_writable),
            ("data of another version", newer_version), ("a flipped bit in the journal", flipped_bit),
            ("a torn tail", torn_tail), ("a full journal", full_journal),
            ("garbage on each port", abuse(garbage)), ("bad JSON", abuse(bad_json)), ("bad calls", abuse(bad_calls)),
            ("half-open clients", abuse(half_open)), ("lying lengths", abuse(lying_lengths)),
            ("too large an event", abuse(too_large_event)), ("event numbers that go back", abuse(backwards)),
            ("names", abuse(names)), ("5,000 connections", abuse(thousands)), ("nothing acknowledged is lost", nothing_lost),
        ], sys.argv[1:]))
    finally:
        if ABUSE is not None and ABUSE.server.alive():
            ABUSE.server.kill()
        if not os.environ.get("KEEP"):
            shutil.rmtree(SCRATCH, ignore_errors=True)
