"""Load for the tests of long-term storage: a server with a small journal, segments whose content follows from a seed, damage that is told.
"""
import hashlib
import os
import random
import socket
import struct
import time
import uuid

import wire
from cases import expect, note
from wire import Closed, Wire

MIB = 1 << 20
JOURNAL_MIB = 136
SMALL = ["--journal-file", "34MiB", "--journal-limit", f"{JOURNAL_MIB}MiB", "--cache", "64MiB", "--storage-cache", "64MiB",
         "--flush-size", "8MiB", "--flush-seconds", "1"]


def usage(path):
    total = 0
    for folder, _, files in os.walk(path):
        for file in files:
            try:
                total += os.stat(os.path.join(folder, file)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def objects_below(server):
    found = []
    for folder, _, files in os.walk(os.path.join(server.data, "storage")):
        found += [os.path.join(folder, file) for file in files if "objects" in folder]
    return found


def storage_health(server):
    return server.get("/v1/health/details/storage")[1]


def until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"{what}: not within {seconds} s")
        time.sleep(0.05)


class Stream:
    """One segment, written in blocks that follow from a seed; goes on where the server says after a reconnection."""

    def __init__(self, server, name, seed):
        self.server, self.segment, self.writer = server, f"tier/{name}/0.#epoch.0", uuid.uuid4()
        self.seed = seed
        self.blocks = 0  # acknowledged
        self.client = None

    def block(self, number):
        data = random.Random(self.seed * 1_000_003 + number).randbytes(4096) * 256
        return struct.pack(">ii", 0, len(data) - 8) + data[8:]

    def connect(self):
        self.client = Wire(self.server.store, timeout=60)
        self.client.create(self.segment)
        last = self.client.setup(self.segment, self.writer)
        stored = 0 if last == wire.NO_EVENT else last
        expect(stored >= self.blocks, f"{self.segment}: {self.blocks} acknowledged, {stored} stored")
        self.blocks = stored

    def write(self, until_blocks, window=8):
        """Blocks of 1 MiB up to that number, some in flight."""
        while self.blocks < until_blocks:
            try:
                if self.client is None:
                    self.connect()
                sent = self.blocks
                while self.blocks < until_blocks:
                    while sent < until_blocks and sent - self.blocks < window:
                        sent += 1
                        self.client.send(self.client.append_frame(self.writer, self.block(sent), sent))
                    self.blocks = self.client.acknowledged()
            except (Closed, OSError, socket.timeout):
                self.client = None
                time.sleep(0.1)

    def check(self, from_block=0):
        with Wire(self.server.store, timeout=60) as client:
            start, length, _ = client.info(self.segment)
            expect(length == self.blocks * MIB, f"{self.segment} has {length} bytes, {self.blocks} MiB were acknowledged")
            at = from_block * MIB
            for number in range(from_block + 1, self.blocks + 1):
                want, got = self.block(number), bytearray()
                while len(got) < MIB:
                    got += client.read(self.segment, at + len(got), MIB - len(got))
                expect(hashlib.sha256(got).digest() == hashlib.sha256(want).digest(), f"{self.segment}: other bytes in block {number}")
                at += MIB



class Damage:
    """Which blocks of some streams are not served, and what the log says of it; anything but a block's own bytes fails the case."""

    def __init__(self, server, streams, what):
        begin = os.path.getsize(server.log_path)
        self.harmed = {stream.segment: [] for stream in streams}
        self.answers = []
        for stream in streams:
            with Wire(server.store, timeout=60) as client:
                for number in range(1, stream.blocks + 1):
                    want, got = stream.block(number), bytearray()
                    while len(got) < MIB:
                        client.ask_for(stream.segment, (number - 1) * MIB + len(got), MIB - len(got))
                        code, fields = client.receive()
                        if code != wire.SEGMENT_READ:
                            expect(code == wire.ERROR_MESSAGE, f"{what}: a read is answered with {code}")
                            fields.take("q"), fields.text()
                            self.answers.append(fields.text())
                            self.harmed[stream.segment].append(number)
                            break
                        fields.text(), fields.take("q"), fields.take("bb")
                        got += fields.blob()
                    expect(want.startswith(got), f"{what}: other bytes are served of block {number} of {stream.segment}")
        with open(server.log_path, "rb") as log:
            log.seek(begin)
            self.said = log.read().decode(errors="replace")

    @property
    def count(self):
        return sum(len(numbers) for numbers in self.harmed.values())

    def only(self, segment):
        return all(not numbers for name, numbers in self.harmed.items() if name != segment)
