#!/usr/bin/env python3
"""Many segments with one event each: memory for each of them, and starts after kill -9 and after an orderly end.

    many_segments.py [--segments 100000] [--options "--storage none"] [--verify 1000]

Prints figures; fails when an event is not what was acknowledged. The program is $MILLRACE_BIN, else build/millrace.
"""
import argparse
import os
import random
import shlex
import struct
import sys
import tempfile
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))
from server import Server  # noqa: E402
from wire import (APPEND_SETUP, CREATE_SEGMENT, DATA_APPENDED, SEGMENT_CREATED, SETUP_APPEND, Wire, event, frame,  # noqa: E402
                  text)

CHUNK = 200


def name(i):
    return f"many/stream{i // 10}/{i}.#epoch.0"


def content(i):
    return event(b"event of segment %d" % i)


def expect(wire, code, count):
    for _ in range(count):
        got, _ = wire.receive()
        if got != code:
            raise SystemExit(f"FAILED: frame {got} where {code} was expected")


def write(server, first, last):
    writer = uuid.UUID(int=7)
    with Wire(server.store, timeout=60) as wire:
        wire.send(b"".join(frame(CREATE_SEGMENT, struct.pack(">q", wire.next_id()) + text(name(i)) +
                                 struct.pack(">ib", 0, 0) + text("") + struct.pack(">q", 0)) for i in range(first, last)))
        expect(wire, SEGMENT_CREATED, last - first)
        for i in range(first, last):
            wire.send(frame(SETUP_APPEND, struct.pack(">q", wire.next_id()) + uuid.UUID(int=i + 1).bytes + text(name(i)) +
                            text("")))
        expect(wire, APPEND_SETUP, last - first)
        for i in range(first, last):
            wire.send(wire.append_frame(uuid.UUID(int=i + 1), content(i), 1))
        expect(wire, DATA_APPENDED, last - first)
    return writer


def verify(server, count, sample):
    begun = time.monotonic()
    with Wire(server.store, timeout=60) as wire:
        for i in random.sample(range(count), min(sample, count)):
            data = wire.read_all(name(i))
            if data != content(i):
                raise SystemExit(f"FAILED: segment {i} has {data!r}")
    return time.monotonic() - begun


def mib(size):
    return f"{size / (1 << 20):.1f} MiB"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--segments", type=int, default=100_000)
    parser.add_argument("--options", default="")
    parser.add_argument("--verify", type=int, default=1000)
    parser.add_argument("--port", type=int)
    arguments = parser.parse_args()
    count = arguments.segments
    with tempfile.TemporaryDirectory(prefix="millrace-many-") as state:
        server = Server(state, port_base=arguments.port, options=["--flush-seconds", "2"] + shlex.split(arguments.options))
        server.start()
        write(server, 0, CHUNK)
        time.sleep(3)
        before = server.rss_bytes()
        begun = time.monotonic()
        for first in range(CHUNK, count, CHUNK):
            write(server, first, min(first + CHUNK, count))
        took = time.monotonic() - begun
        print(f"{count:,} segments made and written in {took:.1f} s ({count / took:,.0f}/s), {mib(server.rss_bytes())}")
        time.sleep(8)
        after = server.rss_bytes()
        print(f"resident: {mib(before)} before, {mib(after)} after: {(after - before) / count:,.0f} bytes a segment")
        print(f"{arguments.verify} segments read back in {verify(server, count, arguments.verify):.1f} s")
        server.kill()
        print(f"after kill -9: ready in {server.start(seconds=120):.2f} s, {mib(server.rss_bytes())}")
        print(f"{arguments.verify} segments read back in {verify(server, count, arguments.verify):.1f} s")
        server.stop()
        print(f"after an orderly end: ready in {server.start(seconds=120):.2f} s, {mib(server.rss_bytes())}")
        verify(server, count, arguments.verify)
        time.sleep(3)
        loaded = server.rss_bytes()
        print(f"resident: {mib(loaded)}, {(loaded - before) / count:,.0f} bytes a segment")
        server.stop()


if __name__ == "__main__":
    main()
