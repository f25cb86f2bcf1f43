#!/usr/bin/env python3
"""Whatever clients send ends in a clear error; the process lives, other clients notice nothing, nothing acknowledged is lost.

Arguments: words; only cases whose name contains one of them. KEEP=1 keeps the data and logs.
"""
import os
import random
import resource
import shutil
import socket
import struct
import sys
import tempfile
import time
import uuid

import cases
import wire
from cases import Skip, expect, note
from server import Server
from wire import Closed, Wire, event, events_of, frame, text

SCRATCH = tempfile.mkdtemp(prefix="millrace-bad-input-")
RANDOM = random.Random(20130101)
CONNECTIONS = 5000


def scratch(name):
    return os.path.join(SCRATCH, name)


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
    """Sends one gRPC call with any bytes as its body. Returns the bytes of its answer's data frames (none: an error, or a reset), or
    None if the connection ended before the call did."""
    path = b"/io.pravega.controller.stream.api.grpc.v1.ControllerService/" + method
    head = header_block([(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
                         (b"te", b"trailers"), (b"content-type", b"application/grpc")])
    data, reset, end_stream = 0, 3, 1
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2(4, 0, 0, b"") + http2(1, 4, 1, head))
        try:
            # Within the window that every server grants at first.
            for at in range(0, min(len(body), 60_000), 16_000):
                connection.sendall(http2(0, 0, 1, body[at:at + 16_000]))
            connection.sendall(http2(0, end_stream, 1, b""))
            got, answer = b"", b""
            while True:
                while len(got) >= 9:
                    size, kind, flags = int.from_bytes(got[:3], "big"), got[3], got[4]
                    if len(got) < 9 + size:
                        break
                    if kind == data:
                        answer += got[9:9 + size]
                    if kind == reset or (kind in (0, 1) and flags & end_stream):
                        return answer
                    got = got[9 + size:]
                more = connection.recv(65536)
                if not more:
                    return None
                got += more
        except ConnectionError:
            return None


def message(data, size=None, compressed=0):
    """A gRPC message: compressed or not, length, bytes."""
    return bytes([compressed]) + struct.pack(">I", len(data) if size is None else size) + data


def field(number, value):
    """A protobuf field of bytes, or of a message."""
    size, length = len(value), b""
    while True:
        length += bytes([size & 0x7f | (0x80 if size > 0x7f else 0)])
        size >>= 7
        if not size:
            return bytes([number << 3 | 2]) + length + value


def bad_calls(on):
    """gRPC: bodies that are no messages, lengths that lie, methods that are not there. Each gets an answer, or the end."""
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


def rpc_names(on):
    """Such names by gRPC: refused with the status that says so, or with an error, and nothing is made. (A leading underscore is
    for clients' own scopes and streams, so it is good here.)"""
    scope_exists, invalid_scope, invalid_stream = b"\x08\x02", b"\x08\x03", b"\x08\x04"
    controller = on.server.controller
    before = on.server.get("/v1/scopes")
    raw = [b"", b" ", b"a/b", b"../up", b"a b", b"x" * 300, "naïve".encode(), b"a\0b", b"\xff\xfe", b"x" * 50_000]
    for name in raw:
        answer = call(controller, b"createScope", message(field(1, name)))
        expect(answer is not None, f"scope name {name[:40]!r}: the connection ended")
        expect(answer in (b"", message(invalid_scope)), f"scope name {name[:40]!r} is answered with {answer!r}")
    expect(on.server.get("/v1/scopes") == before, "a refused scope was made")
    expect(call(controller, b"createScope", message(field(1, b"rpc.name-1"))) == message(b""), "a proper scope name is refused")
    expect(call(controller, b"createScope", message(field(1, b"rpc.name-1"))) == message(scope_exists), "a scope was made twice")
    policy = field(2, b"\x20\x01")  # one segment
    for name in raw:
        config = field(1, field(1, b"rpc.name-1") + field(2, name)) + policy
        answer = call(controller, b"createStream", message(config))
        expect(answer is not None, f"stream name {name[:40]!r}: the connection ended")
        expect(answer in (b"", message(invalid_stream)), f"stream name {name[:40]!r} is answered with {answer!r}")
    config = field(1, field(1, b"rpc.name-1") + field(2, b"a")) + policy
    expect(call(controller, b"createStream", message(config)) == message(b""), "a proper stream name is refused")
    status, streams = on.server.get("/v1/scopes/rpc.name-1/streams")
    expect(status == 200 and [s["streamName"] for s in streams["streams"]] == ["a"], f"the scope now has {streams}")


def raise_limit(pid, wanted):
    """Of open files of a process; Skip where that is not allowed."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        hard = hard if hard == resource.RLIM_INFINITY else max(hard, wanted)
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, PermissionError):
            raise Skip(f"the limit of open files is {soft}, and {wanted} are needed") from None


def thousands(port, hello, answers):
    """5,000 connections to one port at a time; a client that was there before works on, and so does a new one.

    `hello` is what each sends; `answers` takes what came back first and names it. Each must get an answer.
    """
    def run(on):
        for pid in (0, on.server.pid):
            raise_limit(pid, CONNECTIONS + 500)
        before = on.server.rss_bytes()
        clients, counts = [], {}
        begun = time.monotonic()
        try:
            for _ in range(CONNECTIONS):
                clients.append(socket.create_connection(getattr(on.server, port), timeout=20))
                try:
                    clients[-1].sendall(hello)
                except ConnectionError:
                    pass  # refused by now; its answer may be there all the same
            on.write()
            for client in clients:
                try:
                    name = answers(client.recv(4096))
                except ConnectionError:
                    name = "refused"
                except socket.timeout:
                    name = "silent"
                counts[name] = counts.get(name, 0) + 1
            took = time.monotonic() - begun
            on.write()
            with Wire(on.server.store) as another:
                expect(another.info(on.segment) is not None, "a new client does not see the segment")
            said = ", ".join(f"{count:,} {name}" for name, count in counts.items())
            note(f"{said} in {took:.1f} s; {(on.server.rss_bytes() - before) / 1e6:.0f} MB more resident")
            expect(set(counts) <= {"answered", "refused"} and counts.get("answered", 0) >= 1000, f"of 5,000 connections: {said}")
            expect(port == "rest" or counts == {"answered": CONNECTIONS}, f"of 5,000 connections: {said}")
        finally:
            for client in clients:
                client.close()
    return run


def store_answer(data):
    return "answered" if data[:4] == struct.pack(">i", wire.HELLO) else f"answered with {data[:20]!r}"


def rest_answer(data):  # the REST server serves 1,000 connections; the others get a 503, or just the end
    return {b"HTTP/1.1 200": "answered", b"HTTP/1.1 503": "refused", b"": "refused"}.get(data[:12], f"answered with {data[:20]!r}")


def controller_answer(data):
    return "answered" if data[3:4] == b"\x04" else f"answered with {data[:20]!r}"


def few_files(on):
    """More connections than the process may have files: some wait or end, the process lives, and all is well when they have gone."""
    server = Server(scratch("few-files"))
    server.start()
    with Wire(server.store) as old:
        old.create("bad/few/0.#epoch.0")
        open_now = len(os.listdir(f"/proc/{server.pid}/fd"))
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (open_now + 20, open_now + 20))
        for address in (server.store, server.rest, server.controller):
            clients = [socket.create_connection(address, timeout=5) for _ in range(100)]
            time.sleep(0.3)
            expect(server.alive(), f"the server ended: {server.log()[-600:]}")
            expect(old.info("bad/few/0.#epoch.0") is not None, "a client that was there before is not served")
            for client in clients:
                client.close()
        with Wire(server.store, timeout=20) as new:
            expect(new.info("bad/few/0.#epoch.0") is not None, "a new client is not served, though the others have gone")
        expect(server.get("/v1/health")[0] == 200, "REST does not answer, though the others have gone")
    lines = server.log().count("\n")
    note(f"{lines} lines in the log")
    expect(lines < 300, f"{lines} lines in the log of a server without free files")
    server.stop()


def nothing_lost():
    if ABUSE is None:
        raise Skip("no case before it")
    ABUSE.healthy()
    ABUSE.all_there()


if __name__ == "__main__":
    try:
        sys.exit(cases.run([
            ("garbage on each port", abuse(garbage)), ("bad JSON", abuse(bad_json)), ("bad calls", abuse(bad_calls)),
            ("half-open clients", abuse(half_open)), ("lying lengths", abuse(lying_lengths)),
            ("too large an event", abuse(too_large_event)), ("event numbers that go back", abuse(backwards)),
            ("names", abuse(names)), ("names by gRPC", abuse(rpc_names)),
            ("5,000 connections to the segment store",
             abuse(thousands("store", frame(wire.HELLO, struct.pack(">ii", 16, 5)), store_answer))),
            ("5,000 connections to REST", abuse(thousands("rest", b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", rest_answer))),
            ("5,000 connections to the controller",
             abuse(thousands("controller", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2(4, 0, 0, b""), controller_answer))),
            ("more connections than files", abuse(few_files)), ("nothing acknowledged is lost", nothing_lost),
        ], sys.argv[1:]))
    finally:
        if ABUSE is not None and ABUSE.server.alive():
            ABUSE.server.kill()
        if not os.environ.get("KEEP"):
            shutil.rmtree(SCRATCH, ignore_errors=True)
