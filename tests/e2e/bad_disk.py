#!/usr/bin/env python3
"""What a start refuses, what it makes of damaged files, and how the server lives with a full journal.

Arguments: words; only cases whose name contains one of them. KEEP=1 keeps the data and logs.
"""
import os
import random
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
from server import NotReady, Server, program
from wire import Closed, Wire, event, events_of, frame, text

SCRATCH = tempfile.mkdtemp(prefix="millrace-bad-disk-")
RANDOM = random.Random(20130101)
REFUSE_SECONDS = 10
NOBODY = 65534


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


def read_only_file_system():
    server = Server(scratch("read-only"))
    os.mkdir(server.data)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", server.data], capture_output=True, check=False)
    if mounted.returncode != 0:
        raise Skip("mount is not allowed here")
    try:
        refused(server, server.data)
    finally:
        subprocess.run(["umount", server.data], check=False)


def not_writable():
    """Not root, as a server should run: a directory of somebody else, and files of somebody else in an own one."""
    server = Server(scratch("not-writable"))
    os.chmod(SCRATCH, 0o755)
    if os.geteuid() == 0:
        # The tree may lie where nobody else may look.
        server.binary = shutil.copy(program(), scratch("millrace"))
        os.chmod(server.binary, 0o755)
        server.user = NOBODY
    os.mkdir(server.data)
    os.chmod(server.data, 0o555)
    refused(server, server.data, "ermission")
    expect(os.listdir(server.data) == [], f"the refused start left {os.listdir(server.data)}")
    os.chmod(server.data, 0o755)
    if os.geteuid() == 0:
        os.chown(server.data, NOBODY, NOBODY)
    server.start()
    server.stop()
    if os.geteuid() == 0:
        for folder, _, names in os.walk(server.data):
            for path in (os.path.join(folder, name) for name in names):
                os.chown(path, 0, 0)
                os.chmod(path, 0o600)
        refused(server, server.data, "ermission")


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

def write_marked(server, events, size=3000, after=None):
    """Writes events one by one, each acknowledged; returns the segment's bytes and the events' marks.

    `after` takes the place of reading the bytes back: it is called right behind the last acknowledgement, with the seconds
    since that append was sent.
    """
    writer, segment = uuid.uuid4(), "bad/disk/0.#epoch.0"
    marks, written = [], []
    with Wire(server.store) as client:
        client.create(segment)
        before = b"" if after is None else client.read_all(segment)
        client.setup(segment, writer)
        for number in range(1, events + 1):
            marks.append(uuid.uuid4().bytes)
            written.append(event(marks[-1] + RANDOM.randbytes(size)))
            begun = time.monotonic()
            client.append(writer, written[-1], number)
        if after is not None:
            after(begun)
            return segment, before + b"".join(written), marks
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


def torn_tails(server):
    """As the health document counts them."""
    status, health = server.get("/v1/health")
    expect(status == 200, f"GET /v1/health has status {status}")
    return int(health["children"]["journal"]["details"]["tornTails"])


def flipped_bits(end, places):
    """Flips a bit of some events, by index, after `end` has ended a server; each time the start refuses, naming the place."""
    def run():
        server = Server(scratch(f"flipped-{end}"))
        server.start()
        segment, before, marks = write_marked(server, 300)
        getattr(server, end)()
        for index in places:
            path, offset = place_of(server.data, marks[index])
            flip(path, offset + 100)
            refused(server, path, "offset")
            refused(server, path, "offset")  # a refusal changes nothing
            flip(path, offset + 100)
        server.start()
        expect(torn_tails(server) == 0, f"{torn_tails(server)} torn tails counted")
        with Wire(server.store) as client:
            expect(client.read_all(segment) == before, "other data than before")
        server.stop()
    return run


def torn_tail():
    """Damage to the very last frame before a crash looks like a write that was cut off: dropped, logged, and counted.

    About 100 ms after the last acknowledgement a marker vouches for that frame, and damage to it is refused. So the crash has to come
    sooner; where the machine is too busy for that, once more.
    """
    server = Server(scratch("torn"))
    server.start()
    took = []

    def crash(sent):
        server.kill()
        took.append(time.monotonic() - sent)

    for _ in range(50):
        segment, before, marks = write_marked(server, 50, after=crash)
        if took[-1] < 0.09:
            break
        server.start()
    else:
        raise Skip(f"the machine is too busy to kill within 90 ms; the fastest of 50 took {min(took) * 1000:.0f} ms")
    path, offset = place_of(server.data, marks[-1])
    flip(path, offset + 100)
    server.start()
    expect(torn_tails(server) == 1, f"{torn_tails(server)} torn tails counted")
    with Wire(server.store) as client:
        after = client.read_all(segment)
    lost = len(list(events_of(before))) - len(list(events_of(after)))
    expect(before.startswith(after) and 0 <= lost <= 1, f"{lost} events lost by a torn tail")
    said = [line for line in server.log().splitlines() if path in line and "offset" in line]
    expect(said, f"the log does not name the torn tail's place: {server.log()[-600:]}")
    expect("1 torn tails repaired" in server.log(), f"the log does not count it: {server.log()[-600:]}")
    note(said[-1][:240])
    server.stop()
    server.start()
    expect(torn_tails(server) == 0, "a torn tail was not repaired, but found again")
    server.stop()


# ---- too little room -----------------------------------------------------------------------------

SMALL_JOURNAL = ["--journal-file", "34MiB", "--journal-limit", "136MiB", "--storage", "none"]
BLOCK = RANDOM.randbytes(1 << 20)


class Full:
    """A server whose journal is full: one segment of many acknowledged blocks, and writers that wait for room."""

    def __init__(self, name, blocked=0):
        self.server = Server(scratch(name), options=SMALL_JOURNAL)
        self.server.start()
        self.writer, self.segment = uuid.uuid4(), "bad/full/0.#epoch.0"
        self.acknowledged = 0
        self.others = [f"bad/other/{i}.#epoch.0" for i in range(blocked)]  # in each of the containers, most likely
        self.blocked = []
        waiting = [(self.open(segment), uuid.uuid4(), segment) for segment in self.others]
        for client, writer, segment in waiting:
            client.setup(segment, writer)
        client = self.open(self.segment, timeout=5)
        client.setup(self.segment, self.writer)
        try:
            while self.acknowledged < 400:
                client.append(self.writer, BLOCK, self.acknowledged + 1)
                self.acknowledged += 1
        except (Closed, socket.timeout):
            pass
        expect(30 <= self.acknowledged < 400, f"{self.acknowledged} MiB fit into a journal of 136 MiB")
        client.socket.settimeout(30)
        self.first = client
        for client, writer, _ in waiting:
            for number in (1, 2, 3):
                client.send(client.append_frame(writer, BLOCK, number))
            self.blocked.append((client, writer))

    def open(self, segment, timeout=30):
        client = Wire(self.server.store, timeout=timeout)
        client.create(segment)
        return client

    def healthy(self):
        expect(self.server.alive(), f"the server ended, status {self.server.process.returncode}: {self.server.log()[-600:]}")
        expect(self.server.get("/v1/health")[0] == 200, "the server is ill")

    def told(self):
        """That there is no space, in health and to a request that needs some."""
        expect(self.server.get("/v1/health/readiness") == (200, True), "whoever makes room must reach the server")
        details = self.server.get("/v1/health/details/journal")[1]
        expect(details["space"] == "log full" and 0 < int(details["usedBytes"]) <= int(details["limitBytes"]),
               f"health says {details}")
        expect("log full" in self.server.get("/v1/health/details")[1].get("warning", ""), "health does not warn")
        with Wire(self.server.store) as client:
            client.send(frame(wire.CREATE_SEGMENT, struct.pack(">q", 77) + text("bad/full/1.#epoch.0") +
                              struct.pack(">ib", 0, 0) + text("") + struct.pack(">q", 0)))
            code, fields = client.receive()
            expect((code, fields.take("q")) == (wire.ERROR_MESSAGE, 77), f"CREATE_SEGMENT is answered with {code}")

    def length(self):
        with Wire(self.server.store) as client:
            return client.info(self.segment)[1]

    def check(self):
        """What was acknowledged is there."""
        length = self.length()
        expect(length >= self.acknowledged << 20, f"{length} bytes, acknowledged were {self.acknowledged} MiB")
        with Wire(self.server.store) as client:
            for at in range(0, self.acknowledged << 20, 16 << 20):
                data = client.read(self.segment, at, 1 << 20)
                expect(data and BLOCK.startswith(data), f"other data at {at}")

    def acknowledged_by(self, client, last):
        """The event numbers that a writer which waited is acknowledged, up to `last`."""
        got = []
        try:
            while not got or got[-1] < last:
                got.append(client.acknowledged())
        except Closed:
            self.server.wait(2)  # say what happened, if it is that
            self.healthy()
            raise
        return got

    def make_room(self):
        with Wire(self.server.store, timeout=30) as client:
            client.truncate(self.segment, client.info(self.segment)[1])

    def goes_on(self):
        """Each segment takes appends again, and has what its writers sent, whole blocks only."""
        for segment in [self.segment, *self.others]:
            writer = uuid.uuid4()
            with Wire(self.server.store, timeout=30) as client:
                client.setup(segment, writer)
                expect(client.append(writer, BLOCK, 1) == 1, f"{segment}: another event number")
                start, length, _ = client.info(segment)
                expect(length % (1 << 20) == 0, f"{segment}: {length} bytes, not whole blocks")
                data = client.read(segment, length - (1 << 20), 1 << 20)
                expect(data and BLOCK.startswith(data), f"{segment}: other data at its end")


def full_journal():
    """Writers wait when the journal is full; what is there can be read, now and after a crash; truncation makes room again."""
    full = Full("full")
    for again in (False, True):
        if again:
            full.server.kill()
            note(f"full after {full.acknowledged} MiB; ready after {full.server.start() * 1000:.0f} ms")
        full.healthy()
        full.told()
        full.check()
    expect(full.server.log().count("warning journal in ") == 2, "each start says once that the journal is full")
    full.make_room()
    full.goes_on()
    details = full.server.get("/v1/health/details/journal")[1]
    expect(details["space"] == "free", f"health still says that the log is full: {details}")
    full.server.stop()


def blocked_writers_leave():
    """Writers that wait for room hang up, politely and rudely; then room is made: the server goes on, and so do those that stayed."""
    full = Full("blocked", blocked=12)
    time.sleep(0.2)
    leave = full.blocked[:8]
    for index, (client, _) in enumerate(leave):
        client.reset() if index % 2 else client.close()
    full.first.reset()
    full.healthy()
    full.check()
    full.make_room()
    for client, _ in full.blocked[8:]:
        got = full.acknowledged_by(client, 3)
        expect(got == sorted(got) and got[-1] == 3, f"a writer that waited is acknowledged {got}")
    full.healthy()
    full.goes_on()
    # Once more, after a crash in that state.
    full.server.kill()
    full.server.start()
    full.goes_on()
    full.server.stop()
    expect("fatal" not in full.server.log(), f"the log has an error: {full.server.log()[-600:]}")


def end_while_full():
    """SIGTERM while writers wait for room: it ends in order, in time, and nothing acknowledged is lost."""
    full = Full("end-while-full", blocked=6)
    full.blocked[0][0].reset()
    note(f"ended {full.server.stop_in_order()} ms after SIGTERM, by its own log")
    full.server.start()
    full.healthy()
    full.check()
    full.make_room()
    full.goes_on()
    full.server.stop_in_order()


def full_disk():
    """Our own data fills the disk, and then somebody else's takes what is left: nothing ends, all can be read, and it goes on with space."""
    server = Server(scratch("full-disk"))
    os.makedirs(server.data, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900m", "tmpfs", server.data], capture_output=True, check=False)
    if mounted.returncode != 0:
        raise Skip("a file system cannot be mounted here")
    try:
        server.start()
        segment, writer = "bad/disk/0.#epoch.0", uuid.uuid4()
        client = Wire(server.store, timeout=1)
        client.create(segment)
        client.setup(segment, writer)
        acknowledged, until = 0, time.monotonic() + 20
        try:
            while acknowledged < 900 and time.monotonic() < until:
                client.append(writer, BLOCK, acknowledged + 1)
                acknowledged += 1
        except (Closed, socket.timeout):
            pass
        client.reset()
        left = shutil.disk_usage(server.data).free >> 20
        note(f"{acknowledged} MiB acknowledged, {left} MiB of the disk left")
        expect(100 <= acknowledged < 900 and left >= 100, "it did not stop with some space left")
        ballast = os.path.join(server.data, "ballast")
        with open(ballast, "wb", buffering=0) as file:
            try:
                while file.write(BLOCK):
                    pass
            except OSError:
                pass
        expect(shutil.disk_usage(server.data).free < 1 << 20, "the disk is not full")
        late = Wire(server.store, timeout=60)
        other = "bad/disk/1.#epoch.0"
        time.sleep(12)  # a move by time, and what a save of the state would take
        expect(server.alive(), f"the server ended: {server.log()[-800:]}")
        expect(server.get("/v1/health")[0] == 200, "the server is ill")
        with Wire(server.store, timeout=30) as reader:
            start, length, _ = reader.info(segment)
            expect(start == 0 and length >= acknowledged << 20, f"{length} bytes, acknowledged were {acknowledged} MiB")
            for at in range(0, acknowledged << 20, 16 << 20):
                data = reader.read(segment, at, 1 << 20)
                expect(data and BLOCK.startswith(data), f"other data at {at}")
        os.remove(ballast)
        with Wire(server.store, timeout=60) as rescuer:
            rescuer.truncate(segment, length)
        late.create(other)
        late.setup(other, writer)
        for number in range(1, 51):
            expect(late.append(writer, BLOCK, number) == number, "another event number")
        server.kill()
        note(f"ready after {server.start() * 1000:.0f} ms")
        with Wire(server.store, timeout=30) as reader:
            expect(reader.info(segment)[:2] == (length, length), "the truncation is lost")
            expect(reader.info(other)[1] == 50 << 20, "acknowledged blocks are lost")
        server.stop()
    finally:
        server.kill_quietly()
        subprocess.run(["umount", "-l", server.data], check=False)


if __name__ == "__main__":
    try:
        sys.exit(cases.run([
            ("a port is taken", port_taken), ("the data directory is in use", directory_in_use),
            ("the data directory is a file", directory_is_file),
            ("the data directory is on a read-only file system", read_only_file_system),
            ("the data directory may not be written", not_writable), ("data of another version", newer_version),
            # Closed in order: not even the very last frame may be taken for a torn end. After a crash: all that a later one vouches for.
            ("a flipped bit in a closed journal", flipped_bits("stop", (150, -1))),
            ("a flipped bit after a crash", flipped_bits("kill", (0, 150, 290))),
            ("a torn tail", torn_tail), ("a full disk", full_disk), ("a full journal", full_journal),
            ("a full journal: blocked writers leave", blocked_writers_leave),
            ("a full journal: the end", end_while_full),
        ], sys.argv[1:]))
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(SCRATCH, ignore_errors=True)
