#!/usr/bin/env python3
"""Load on an S3 server that fails: it goes on, and all that was acknowledged is there afterwards; what is damaged there is an error.

Arguments: words; only cases whose name contains one of them. KEEP=1 keeps the data and logs. MILLRACE_S3_DOWN_SECONDS: how long S3 is
down (20). MILLRACE_TIER_S3="endpoint region bucket access-key secret-key" puts the faults in front of that server.
"""
import os
import shutil
import sys
import tempfile
import threading
import time
import urllib.parse

import cases
from cases import Skip, expect, note
from faulty_s3 import FaultyS3, Object
from server import Server
from tier_load import JOURNAL_MIB, MIB, SMALL, Damage, Stream, storage_health, until, usage

SCRATCH = tempfile.mkdtemp(prefix="millrace-s3-faults-")
DOWN_SECONDS = float(os.environ.get("MILLRACE_S3_DOWN_SECONDS", 20))
PATIENCE = 240


def given():
    return os.environ.get("MILLRACE_TIER_S3", "").split()


def faulty():
    if not given():
        return FaultyS3()
    endpoint = urllib.parse.urlsplit(given()[0])
    return FaultyS3(behind=(endpoint.hostname, endpoint.port), bucket=given()[2])


def server_of(name, s3):
    options, environment = SMALL + s3.options(prefix=name), s3.environment()
    if given():
        options[options.index("--s3-region") + 1], options[options.index("--s3-access-key") + 1] = given()[1], given()[3]
        environment = {"MILLRACE_S3_SECRET_KEY": given()[4]}
    return Server(os.path.join(SCRATCH, name), options=options, environment=environment)


def moved(server):
    return storage_health(server)["journalOnlyBytes"] == "0"


class Writing:
    """Streams that are written until told to stop, each block acknowledged at its pace."""

    def __init__(self, streams, pause=0.0):
        self.streams, self.pause, self.ended = streams, pause, threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(stream,)) for stream in streams]
        for thread in self.threads:
            thread.start()

    def write(self, stream):
        while not self.ended.is_set():
            stream.write(stream.blocks + 2)
            time.sleep(self.pause)

    def blocks(self):
        return sum(stream.blocks for stream in self.streams)

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(PATIENCE)
            expect(not thread.is_alive(), "a writer hangs")


def errors_under_load():
    """A fifth of the requests fails, some after the work was done, and some replies are lost; a kill on the way."""
    with faulty() as s3:
        server = server_of("errors", s3)
        server.start()
        s3.fail_share, s3.lost_share = 0.2, 0.02
        streams = [Stream(server, f"s{i}", i) for i in range(3)]
        for part in (1, 2):
            for stream in streams:
                stream.client = None
            goal = part * 80
            writers = [threading.Thread(target=stream.write, args=(goal,)) for stream in streams]
            for writer in writers:
                writer.start()
            if part == 2:
                time.sleep(1)
                server.kill()
                server.start()
            for writer in writers:
                writer.join(PATIENCE)
                expect(not writer.is_alive(), f"a writer hangs: {storage_health(server)}")
        for stream in streams:
            stream.check()
        until("everything has moved", lambda: moved(server), PATIENCE)
        note(f"{s3.faults} of {s3.requests} requests failed; storage says {storage_health(server)}")
        expect(s3.faults > s3.requests // 8, "S3 hardly failed")
        server.kill()
        server.start()  # storage fails on
        for stream in streams:
            stream.check()
        server.stop_in_order()


def down_under_load():
    """The server is gone in the middle of a load: acknowledgements go on while the journal has room, all goes on by itself afterwards."""
    with faulty() as s3:
        server = server_of("down", s3)
        server.options[server.options.index("--journal-limit") + 1] = "1GiB"
        server.start()
        streams = [Stream(server, f"s{i}", 10 + i) for i in range(3)]
        # A pace with which the journal's limit comes near in the time, and is not reached.
        pause = max(0.2, DOWN_SECONDS * 6 / 600)
        writing = Writing(streams, pause)
        until("the first objects are there", lambda: int(storage_health(server)["objects"]) > 0, PATIENCE)
        s3.down()
        begun, before = time.monotonic(), writing.blocks()
        until("health says so", lambda: storage_health(server)["state"].startswith("failing"), 90)
        said_after = time.monotonic() - begun
        expect(server.get("/v1/health/readiness") == (200, True), "it is not ready, though it takes data")
        time.sleep(max(0.0, DOWN_SECONDS - said_after))
        meanwhile = writing.blocks() - before
        expect(meanwhile > 0, "nothing was acknowledged while storage was down")
        newest = [stream.blocks for stream in streams]
        s3.up()
        until("it heals", lambda: storage_health(server)["state"] == "working", PATIENCE)
        until("writers go on", lambda: all(s.blocks > n for s, n in zip(streams, newest)), PATIENCE)
        writing.stop()
        until("everything has moved", lambda: moved(server), PATIENCE)
        note(f"down for {time.monotonic() - begun:.0f} s, said so after {said_after:.1f} s; {meanwhile} MiB acknowledged meanwhile, "
             f"{writing.blocks()} MiB in all; journal {usage(os.path.join(server.data, 'journal')) >> 20} MiB")
        for stream in streams:
            stream.check()
        server.kill()
        server.start()
        for stream in streams:
            stream.check()
        server.stop_in_order()


def down_until_the_journal_is_full():
    """Down for longer than the journal lasts: writers wait, nothing is lost, what is stored is read; then all goes on."""
    with faulty() as s3:
        server = server_of("full", s3)
        server.start()
        streams = [Stream(server, f"s{i}", 20 + i) for i in range(2)]
        for stream in streams:
            stream.write(10)
        s3.down()
        writing = Writing(streams)
        until("the journal is full", lambda: server.get("/v1/health/details/journal")[1]["space"] == "log full", PATIENCE)
        before = writing.blocks()
        expect(before <= 20 + JOURNAL_MIB, f"{before} MiB acknowledged, more than the journal holds")
        expect(server.get("/v1/health/readiness")[0] == 200, "not ready: whoever frees space could not reach it")
        s3.up()
        until("writers go on", lambda: writing.blocks() > before + 20, PATIENCE)
        writing.stop()
        note(f"{before} MiB acknowledged when the journal was full, {writing.blocks()} MiB in all")
        for stream in streams:
            stream.check()
        server.stop_in_order()


def damaged_objects():
    """An object that is deleted, cut off or has another bit: an error that names it, for its segment's range only."""
    if given():
        raise Skip("only of objects in memory it is known how to damage them")
    with faulty() as s3:
        server = server_of("damaged", s3)
        server.start()
        streams = [Stream(server, name, 30 + seed) for seed, name in enumerate(("a", "b", "c"))]
        for stream in streams:
            stream.write(16)
            until("it has moved", lambda: moved(server), PATIENCE)
        server.stop_in_order()
        # Only those of one segment, so that it is known who may be harmed: a chunk of 8 MiB or more.
        key = max((key for key in s3.objects if "/objects/" in key), key=lambda key: len(s3.objects[key].data))
        whole = s3.objects[key]
        at = len(whole.data) // 2
        flipped = whole.data[:at] + bytes([whole.data[at] ^ 1]) + whole.data[at + 1:]
        for damage, content in (("deleted", None), ("a flipped bit", flipped), ("cut off", whole.data[:-1])):
            with s3.lock:
                s3.objects.pop(key, None)
                if content is not None:
                    s3.objects[key] = Object(content, whole.identity)
            server.start()
            found = Damage(server, streams, damage)
            owner = max(found.harmed, key=lambda segment: len(found.harmed[segment]))
            expect(0 < found.count <= 16 and found.only(owner), f"{damage}: not served are {found.harmed}")
            name = key.split("/objects/", 1)[1]
            expect(all(name in answer for answer in found.answers), f"{damage}: the answer does not name it: {found.answers[0]}")
            expect(name in found.said, f"{damage}: the log does not name it: {found.said[-600:]}")
            if content is flipped:
                expect(f"at byte {at // 65536 * 65536}" in found.answers[0], f"the answer names another place: {found.answers[0]}")
            note(f"{damage}: {found.count} of 48 blocks, all of {owner}; {found.answers[0][-150:]}")
            # Whole again: served again, without a restart.
            with s3.lock:
                s3.objects[key] = whole
            for stream in streams:
                stream.client = None
                stream.write(stream.blocks + 1)
                stream.check()
            server.stop_in_order()


if __name__ == "__main__":
    try:
        sys.exit(cases.run([("S3 fails in a fifth of all requests", errors_under_load),
                            (f"S3 is down for {DOWN_SECONDS:.0f} s", down_under_load),
                            ("S3 is down until the journal is full", down_until_the_journal_is_full),
                            ("S3 has lost and damaged objects", damaged_objects)], sys.argv[1:]))
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(SCRATCH, ignore_errors=True)
