#!/usr/bin/env python3
"""Long-term storage behind a small journal: data without end, restarts with history, storage that is down, that lies and that is missing.

Arguments: words; only cases whose name contains one of them. KEEP=1 keeps the data and logs. MILLRACE_TIER_MIB: how much the first case
writes (600). MILLRACE_TIER_S3="endpoint region bucket access-key secret-key" runs it on an S3 server instead of a directory.
"""
import ctypes
import os
import shutil
import sys
import tempfile
import threading
import time

import cases
from cases import expect, note
from server import NotReady, Server, program
from tier_load import JOURNAL_MIB, MIB, SMALL, Damage, Stream, objects_below, storage_health, until, usage
from wire import Wire

SCRATCH = tempfile.mkdtemp(prefix="millrace-tiering-")
LIMIT_RSS = 400 * MIB
NOBODY = 65534


def storage_options(name):
    given = os.environ.get("MILLRACE_TIER_S3", "").split()
    if not given:
        return [], {}
    endpoint, region, bucket, access, secret = given
    return (["--storage", "s3", "--s3-endpoint", endpoint, "--s3-region", region, "--s3-bucket", bucket, "--s3-prefix", name,
             "--s3-access-key", access], {"MILLRACE_S3_SECRET_KEY": secret})


def server_of(name):
    options, environment = storage_options(name)
    return Server(os.path.join(SCRATCH, name), options=SMALL + options, environment=environment)


def much_data():
    """More than the journal holds several times over, with a kill on the way; all of it is there afterwards, and memory stays."""
    total = int(os.environ.get("MILLRACE_TIER_MIB", 600))
    server = server_of("much")
    server.start()
    streams = [Stream(server, f"s{i}", i) for i in range(3)]
    quiet = [Stream(server, f"quiet{i}", 100 + i) for i in range(20)]
    for stream in quiet:
        stream.write(1)
    peak = [0, 0]
    done = threading.Event()

    def watch():
        while not done.is_set():
            try:
                peak[0] = max(peak[0], server.rss_bytes())
            except (OSError, StopIteration, TypeError):
                pass
            peak[1] = max(peak[1], usage(os.path.join(server.data, "journal")))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for part in (1, 2, 3):
            goal = total * part // 9
            writers = [threading.Thread(target=stream.write, args=(goal,)) for stream in streams]
            begun = time.monotonic()
            for writer in writers:
                writer.start()
            if part == 2:
                time.sleep(0.5)
                server.kill()
                note(f"killed; ready again after {server.start() * 1000:.0f} ms")
            for writer in writers:
                writer.join()
            note(f"{goal} MiB in each of {len(streams)} segments, {total / 3 / (time.monotonic() - begun):.0f} MiB/s")
        for stream in streams + quiet:
            stream.check()
    finally:
        done.set()
        watcher.join()
    note(f"at most {peak[0] >> 20} MiB resident, journal at most {peak[1] >> 20} MiB; storage says {storage_health(server)}")
    expect(peak[0] < LIMIT_RSS, f"{peak[0] >> 20} MiB resident")
    expect(peak[1] <= (JOURNAL_MIB + 2) * MIB, f"the journal took {peak[1] >> 20} MiB")
    until("everything has moved", lambda: storage_health(server)["journalOnlyBytes"] == "0")
    server.kill()
    note(f"ready after {server.start() * 1000:.0f} ms with {total} MiB of history")
    for stream in streams + quiet:
        stream.check()
    with Wire(server.store) as client:
        for stream in streams:
            client.truncate(stream.segment, client.info(stream.segment)[1])
    until("objects of what was truncated are removed", lambda: int(storage_health(server)["objects"]) <= len(quiet))
    for stream in quiet:
        stream.check()
    server.stop_in_order()


def storage_down():
    """While storage takes nothing the journal does, and says why it grows; afterwards all moves by itself."""
    server = Server(os.path.join(SCRATCH, "down"), options=SMALL)
    server.start()
    stream = Stream(server, "a", 1)
    stream.write(20)
    until("the first bytes have moved", lambda: storage_health(server)["journalOnlyBytes"] == "0")
    place, away = os.path.join(server.data, "storage"), os.path.join(server.state, "away")
    os.rename(place, away)
    with open(place, "w") as file:
        file.write("not a directory")
    stream.write(40)
    until("health says so", lambda: storage_health(server)["state"].startswith("failing"))
    expect(server.get("/v1/health/readiness") == (200, True), "it is not ready, though it takes data")
    stream.check(from_block=20)
    os.remove(place)
    os.rename(away, place)
    until("it heals", lambda: storage_health(server)["state"] == "working" and storage_health(server)["journalOnlyBytes"] == "0")
    stream.check()
    server.kill()
    server.start()
    stream.check()
    server.stop_in_order()


def damaged_storage():
    """An object that lacks a byte, has another one, or is gone: an error for its range, never other bytes, and only for its range."""
    server = Server(os.path.join(SCRATCH, "damaged"), options=SMALL)
    server.start()
    streams = [Stream(server, name, seed) for seed, name in enumerate(("a", "b"))]
    for stream in streams:
        stream.write(16)
        until("it has moved", lambda: storage_health(server)["journalOnlyBytes"] == "0")
    server.stop_in_order()
    largest = sorted(objects_below(server), key=os.path.getsize)[-1]
    with open(largest, "rb") as file:
        whole = file.read()
    flipped = whole[:5000] + bytes([whole[5000] ^ 4]) + whole[5001:]
    for damage, content in (("a flipped bit", flipped), ("cut off", whole[:-1]), ("missing", None)):
        os.remove(largest)
        if content is not None:
            with open(largest, "wb") as file:
                file.write(content)
        server.start()
        found = Damage(server, streams, damage)
        owner = max(found.harmed, key=lambda segment: len(found.harmed[segment]))
        expect(0 < found.count <= 16 and found.only(owner), f"{damage}: not served are {found.harmed}")
        name = os.path.basename(largest)
        expect(all(name in answer for answer in found.answers), f"{damage}: the answer does not name the object: {found.answers[0]}")
        expect(name in found.said, f"{damage}: the log does not name the object: {found.said[-600:]}")
        note(f"{damage}: {found.count} of 32 blocks are not served: {found.answers[0][-160:]}")
        # Writers, and readers of what is not damaged, go on beside it.
        for stream in streams:
            stream.client = None
            stream.write(stream.blocks + 1)
            stream.check(from_block=stream.blocks - 1)
        server.stop_in_order()
    with open(largest, "wb") as file:
        file.write(whole)
    server.start()
    for stream in streams:
        stream.check()
    server.stop_in_order()


def place_in_journal(server, needle):
    for folder, _, names in os.walk(os.path.join(server.data, "journal")):
        # One that is being made has no data yet, and gets another name.
        for path in (os.path.join(folder, name) for name in names if not name.endswith(".tmp")):
            with open(path, "rb") as file:
                at = file.read().find(needle)
            if at >= 0:
                return path, at
    raise cases.Failure("acknowledged bytes are in no file of the journal")


def damaged_journal():
    """A bit that flips in the running journal: an error for what its frame holds, never other bytes, nothing of it in storage; all else moves."""
    server = Server(os.path.join(SCRATCH, "journal"), options=SMALL + ["--cache", "8MiB"])
    server.start()
    streams = [Stream(server, name, seed) for seed, name in enumerate(("a", "b"))]
    place, away = os.path.join(server.data, "storage"), os.path.join(server.state, "away")
    os.rename(place, away)
    with open(place, "w") as file:
        file.write("not a directory")
    for stream in streams:
        stream.write(24)
    needle = streams[0].block(4)[4096:8192]  # many times in its block, and nowhere else
    path, offset = place_in_journal(server, needle)
    with open(path, "r+b") as file:
        file.seek(offset + 100)
        byte = file.read(1)[0]
        file.seek(offset + 100)
        file.write(bytes([byte ^ 0x10]))
    found = Damage(server, streams, "a bit in the journal")
    expect(found.harmed[streams[0].segment] and found.count <= 8, f"not served are {found.harmed}")
    expect(4 in found.harmed[streams[0].segment], f"block 4 is served; not served are {found.harmed}")
    expect(path in found.answers[0] and "offset" in found.answers[0], f"the answer does not name the place: {found.answers[0]}")
    expect(found.said.count(f"{path} is damaged at offset") >= 1, f"the log does not name the place: {found.said[-600:]}")
    journal = server.get("/v1/health/details/journal")[1]
    expect(journal["damagedFrames"] == "1", f"health says {journal}")
    note(f"{found.harmed} are not served: {found.answers[0][-200:]}")
    os.remove(place)
    os.rename(away, place)
    until("all else has moved", lambda: storage_health(server)["state"] == "working" and storage_health(server)["journalOnlyBytes"] == "0")
    again = Damage(server, streams, "all else has moved")
    expect(again.harmed == found.harmed, f"not served are {again.harmed}, before {found.harmed}")
    for stream in streams:
        stream.write(stream.blocks + 4)
        stream.check(from_block=stream.blocks - 4)
    until("what is new has moved", lambda: storage_health(server)["journalOnlyBytes"] == "0")
    server.kill()


def without_storage():
    """What lies in long-term storage is not forgotten by a start without it."""
    server = Server(os.path.join(SCRATCH, "without"), options=SMALL)
    server.start()
    stream = Stream(server, "a", 1)
    stream.write(4)
    until("it has moved", lambda: storage_health(server)["journalOnlyBytes"] == "0")
    server.stop_in_order()
    server.options = SMALL + ["--storage", "none"]
    try:
        server.start()
    except NotReady as error:
        expect("long-term storage" in error.said, f"the message is {error.said}")
    else:
        raise cases.Failure("it started")
    server.options = SMALL
    server.start()
    stream.check()
    server.stop_in_order()


def exchange(one, other):
    """Both at once: a server that runs would make what is missing again."""
    here, exchange_flag = -100, 2
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange_flag) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def another_place():
    """Another directory in the place of storage, empty or another server's, at a start: nothing is written there; ours heals all."""
    server, other = server_of("place"), server_of("other")
    for made in (other, server):
        made.start()
        stream = Stream(made, "a", 1)
        stream.write(8)
        until("it has moved", lambda made=made: storage_health(made)["journalOnlyBytes"] == "0")
        made.stop_in_order()
    place, away = os.path.join(server.data, "storage"), os.path.join(server.state, "away")
    for what in ("empty", "another server's"):
        os.rename(place, away)
        if what == "empty":
            os.mkdir(place)
        else:
            shutil.copytree(os.path.join(other.data, "storage"), place)
        before = sorted(objects_below(server))
        server.start()
        stream.client = None
        stream.write(stream.blocks + 4)
        until(f"{what}: health says so", lambda: storage_health(server)["state"].startswith("failing"))
        expect("as if other storage" in server.log(), f"{what}: the log does not say why")
        until(f"{what}: all stays in the journal", lambda: storage_health(server)["journalOnlyBytes"] == str(4 * MIB))
        expect(sorted(objects_below(server)) == before, f"{what}: objects were written or removed")
        exchange(place, away)
        until(f"{what}: it heals", lambda: storage_health(server)["state"] == "working" and
              storage_health(server)["journalOnlyBytes"] == "0")
        stream.check()
        server.kill()
        shutil.rmtree(away)
    server.start()
    stream.check()
    server.stop_in_order()


def forbidden_storage():
    """A directory that may not be written: a first start refuses it by name, later ones serve; it heals while the server runs."""
    os.chmod(SCRATCH, 0o755)
    place = os.path.join(SCRATCH, "forbidden-storage")
    server = Server(os.path.join(SCRATCH, "forbidden"), options=SMALL + ["--storage-dir", place])
    os.makedirs(server.data)
    os.makedirs(place)
    if os.geteuid() == 0:
        # Nothing is forbidden to root. The tree may lie where nobody else may look.
        server.binary = shutil.copy(program(), os.path.join(SCRATCH, "millrace"))
        os.chmod(server.binary, 0o755)
        server.user = NOBODY
        os.chown(server.data, NOBODY, NOBODY)
        os.chown(place, NOBODY, NOBODY)

    def allow(mode):
        for folder, _, _ in list(os.walk(place)):
            os.chmod(folder, mode)

    allow(0o555)
    for _ in range(2):
        try:
            server.start()
        except NotReady as error:
            expect("long-term storage" in error.said and place in error.said, f"the message is {error.said}")
        else:
            raise cases.Failure("a first start goes on with a directory that it may not write")
    allow(0o755)
    server.start()
    stream = Stream(server, "a", 1)
    stream.write(20)
    until("the first bytes have moved", lambda: storage_health(server)["journalOnlyBytes"] == "0")
    allow(0o555)
    stream.write(30)
    until("health says so", lambda: storage_health(server)["state"].startswith("failing"))
    stream.check()
    server.kill()
    server.start()
    until("health says so after a start", lambda: storage_health(server)["state"].startswith("failing"))
    expect(server.get("/v1/health/readiness") == (200, True), "it is not ready, though it takes data")
    stream.write(40)
    stream.check()
    expect(int(storage_health(server)["journalOnlyBytes"]) > 0, f"nothing can have moved: {storage_health(server)}")
    allow(0o755)
    until("it heals", lambda: storage_health(server)["state"] == "working" and storage_health(server)["journalOnlyBytes"] == "0")
    stream.check()
    server.stop_in_order()


def two_copies():
    """Servers on copies of one data directory with one storage: who started last owns the objects, the other one stops and says so."""
    shared = ["--storage-dir", os.path.join(SCRATCH, "shared")]
    first = Server(os.path.join(SCRATCH, "first"), options=SMALL + shared)
    first.start()
    stream = Stream(first, "a", 1)
    stream.write(20)
    until("it has moved", lambda: storage_health(first)["journalOnlyBytes"] == "0")
    first.stop_in_order()
    second = Server(os.path.join(SCRATCH, "second"), options=SMALL + shared)
    shutil.copytree(first.data, second.data)
    first.start()
    second.start()
    stream.client = None
    copied = Stream(second, "a", 1)
    copied.writer = stream.writer
    copied.connect()
    expect(copied.blocks == 20, f"the copy has {copied.blocks} blocks")
    copied.write(28)
    until("the second moves its bytes", lambda: storage_health(second)["journalOnlyBytes"] == "0")

    def says_so():  # it looks when it has something to move
        stream.write(stream.blocks + 1)
        return storage_health(first)["state"].startswith("taken over")

    until("the first says so", says_so)
    expect("another server" in first.log(), "the first one's log does not say so")
    with Wire(first.store) as client:
        client.truncate(stream.segment, client.info(stream.segment)[1])  # what it would remove now is the other one's
    time.sleep(2)
    copied.check()
    expect(storage_health(second)["state"] == "working", f"the second is {storage_health(second)}")
    stream.write(stream.blocks + 4)
    stream.check(from_block=stream.blocks - 4)
    first.stop()
    second.stop()


if __name__ == "__main__":
    try:
        on_files = [("storage is down for a while", storage_down), ("storage is damaged", damaged_storage),
                    ("the journal is damaged", damaged_journal),
                    ("a start without storage", without_storage), ("another place at a start", another_place),
                    ("storage that may not be written", forbidden_storage),
                    ("two servers on copies of one directory", two_copies)]
        sys.exit(cases.run([("much data through a small journal", much_data)] +
                           ([] if os.environ.get("MILLRACE_TIER_S3") else on_files), sys.argv[1:]))
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(SCRATCH, ignore_errors=True)
