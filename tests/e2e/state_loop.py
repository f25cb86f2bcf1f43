#!/usr/bin/env python3
"""kill -9 again and again while tables, attributes and segments change, with a flush of the state every few hundred KiB.

    state_loop.py [--rounds 8] [--seed N]

What was acknowledged is there after each start, and of what had no answer all or nothing. At the end a bit is flipped in
each file of the state, one after the other: the server refuses, or answers with an error, and never with other data.
"""
import argparse
import os
import random
import shutil
import struct
import sys
import tempfile
import threading
import time
import uuid

from cases import expect, note, run
from server import NotReady, Server
from wire import (GET_SEGMENT_ATTRIBUTE, NO_EVENT, SEGMENT_ATTRIBUTE, UPDATE_SEGMENT_ATTRIBUTE, Closed, Wire, event, frame,
                  text)

CREATE_TABLE, UPDATE_TABLE, TABLE_UPDATED, READ_TABLE, TABLE_READ = 70, 74, 75, 78, 79
ATTRIBUTE_UPDATED, DELETE_SEGMENT, SEGMENT_DELETED = 37, 30, 31
NO_VERSION = -(1 << 63)
KEYS = 400
OPTIONS = ["--replay-limit", "2MiB", "--flush-seconds", "1", "--state-cache", "8MiB"]


def sized(data):
    return struct.pack(">ii", len(data) + 4, len(data)) + data


def key_of(number):
    return b"key-%d" % number


class Table:
    """A table: batches of entries, each all or nothing."""

    name = "state/tables/0.#epoch.0"

    def __init__(self):
        self.known = {}
        self.unanswered = None
        self.count = 0

    def prepare(self, wire):
        wire.send(frame(CREATE_TABLE, struct.pack(">q", wire.next_id()) + text(self.name) + text("") +
                        struct.pack(">biq", 0, 0, 0)))
        wire.receive()

    def step(self, wire, dice):
        batch = {dice.randrange(KEYS): b"%d-" % self.count + b"v" * dice.randrange(300) for _ in range(10)}
        entries = b"".join(struct.pack(">ii", len(key_of(k)) + 12, len(key_of(k))) + key_of(k) + struct.pack(">q", NO_VERSION) +
                           sized(value) for k, value in batch.items())
        self.unanswered = batch
        wire.send(frame(UPDATE_TABLE, struct.pack(">q", wire.next_id()) + text(self.name) + text("") +
                        struct.pack(">i", len(batch)) + entries + struct.pack(">q", -1)))
        code, _ = wire.receive()
        if code != TABLE_UPDATED:
            raise ValueError(f"an update was answered with {code}")
        self.known.update(batch)
        self.unanswered = None
        self.count += 1

    def read(self, wire, keys):
        data = b"".join(struct.pack(">ii", len(key_of(k)) + 12, len(key_of(k))) + key_of(k) + struct.pack(">q", NO_VERSION)
                        for k in keys)
        wire.send(frame(READ_TABLE, struct.pack(">q", wire.next_id()) + text(self.name) + text("") +
                        struct.pack(">i", len(keys)) + data))
        code, fields = wire.receive()
        if code != TABLE_READ:
            raise ValueError(f"a read of a table was answered with {code}")
        fields.take("q"), fields.text()
        found = {}
        for _ in range(fields.take("i")):
            fields.take("i")
            key = fields.raw(fields.take("i"))
            version = fields.take("q")
            fields.take("i")
            value = fields.raw(fields.take("i"))
            if version >= 0:
                found[int(key[4:])] = bytes(value)
        return found

    def verify(self, wire):
        shown = {}
        for first in range(0, KEYS, 50):
            shown.update(self.read(wire, range(first, first + 50)))
        if self.unanswered is not None and shown == {**self.known, **self.unanswered}:
            self.known = shown
        expect(shown == self.known, f"the table has {len(shown)} entries, other than the {len(self.known)} that it should have")
        self.unanswered = None


class Attributes:
    """Attributes of one segment, as many as a segment keeps in memory and more."""

    name = "state/attributes/0.#epoch.0"

    def __init__(self):
        self.known = {}
        self.unanswered = None

    def prepare(self, wire):
        wire.create(self.name)

    def step(self, wire, dice):
        number = dice.randrange(3000)
        before = self.known.get(number, NO_EVENT)
        value = dice.randrange(1 << 40)
        self.unanswered = (number, value)
        wire.send(frame(UPDATE_SEGMENT_ATTRIBUTE, struct.pack(">q", wire.next_id()) + text(self.name) +
                        uuid.UUID(int=number + 1).bytes + struct.pack(">qq", value, before) + text("")))
        code, fields = wire.receive()
        expect(code == ATTRIBUTE_UPDATED, f"an update of an attribute was answered with {code}")
        fields.take("q")
        expect(fields.take("b") == 1, f"attribute {number} is not {before}")
        self.known[number] = value
        self.unanswered = None

    def read(self, wire, number):
        wire.send(frame(GET_SEGMENT_ATTRIBUTE, struct.pack(">q", wire.next_id()) + text(self.name) +
                        uuid.UUID(int=number + 1).bytes + text("")))
        code, fields = wire.receive()
        if code != SEGMENT_ATTRIBUTE:
            raise ValueError(f"a question for an attribute was answered with {code}")
        fields.take("q")
        return fields.take("q")

    def verify(self, wire):
        if self.unanswered is not None:
            number, value = self.unanswered
            if self.read(wire, number) == value:
                self.known[number] = value
        for number in random.sample(sorted(self.known), min(300, len(self.known))):
            expect(self.read(wire, number) == self.known[number], f"attribute {number} is not what was acknowledged")
        self.unanswered = None


class Segments:
    """Segments that come, get an event, and go."""

    def __init__(self):
        self.known = {}
        self.unanswered = None
        self.gone = []
        self.count = 0

    def prepare(self, wire):
        pass

    @staticmethod
    def name(number):
        return f"state/s{number}/0.#epoch.0"

    def step(self, wire, dice):
        if self.known and dice.random() < 0.3:
            number = dice.choice(list(self.known))
            self.unanswered = number
            wire.send(frame(DELETE_SEGMENT, struct.pack(">q", wire.next_id()) + text(self.name(number)) + text("")))
            code, _ = wire.receive()
            expect(code == SEGMENT_DELETED, f"a deletion was answered with {code}")
            del self.known[number]
            self.gone.append(number)
        else:
            self.count += 1
            number = self.unanswered = self.count
            writer = uuid.UUID(int=number)
            data = event(b"event of %d" % number)
            wire.create(self.name(number))
            wire.setup(self.name(number), writer)
            wire.append(writer, data, 1)
            self.known[number] = data
        self.unanswered = None

    def verify(self, wire):
        if self.unanswered is not None:
            self.known.pop(self.unanswered, None)  # it may be there, in part, or not
            self.gone = [number for number in self.gone if number != self.unanswered]
        for number in random.sample(sorted(self.known), min(150, len(self.known))):
            expect(wire.read_all(self.name(number)) == self.known[number], f"segment {number} has other bytes")
            expect(wire.setup(self.name(number), uuid.UUID(int=number)) == 1, f"segment {number} has forgotten its writer")
        for number in random.sample(self.gone, min(50, len(self.gone))):
            expect(wire.info(self.name(number)) is None, f"segment {number} was deleted, and is there again")
        self.unanswered = None


def work(server, part, dice, failures):
    try:
        with Wire(server.store, timeout=30) as wire:
            while True:
                part.step(wire, dice)
    except (Closed, OSError):
        pass
    except Exception as error:  # noqa: BLE001 - told by the case
        failures.append(error)


def loop(rounds, seed, state):
    dice = random.Random(seed)
    server = Server(state, options=OPTIONS)
    parts = [Table(), Attributes(), Segments()]
    slowest = 0.0
    server.start()
    with Wire(server.store) as wire:
        for part in parts:
            part.prepare(wire)
    for number in range(1, rounds + 1):
        failures = []
        threads = [threading.Thread(target=work, args=(server, part, random.Random(dice.random()), failures)) for part in parts]
        for thread in threads:
            thread.start()
        time.sleep(dice.uniform(0.5, 3))
        if number % 4 == 0:
            server.stop()
        else:
            server.kill()
        for thread in threads:
            thread.join(60)
            expect(not thread.is_alive(), "a client hangs")
        expect(not failures, f"round {number}: {failures[:1]}")
        slowest = max(slowest, server.start())
        with Wire(server.store, timeout=30) as wire:
            for part in parts:
                part.verify(wire)
    note(f"seed {seed}: {parts[0].count:,} updates of a table, {len(parts[1].known):,} attributes, {parts[2].count:,} segments, "
         f"{len(parts[2].gone):,} of them deleted; longest start {slowest * 1000:.0f} ms")
    server.stop()
    return server, parts


def damage(server, parts):
    """A bit flipped in each SST file: refused, or errors, and nothing else than what was there."""
    place = os.path.join(server.data, "state")
    files = [os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names if name.endswith(".sst")]
    expect(files, "the state has no files")
    refused = errors = unseen = 0
    for path in sorted(files)[:12]:
        with open(path, "rb") as file:
            original = file.read()
        at = random.randrange(max(1, len(original) * 3 // 4))
        with open(path, "wb") as file:
            file.write(original[:at] + bytes([original[at] ^ 0x10]) + original[at + 1:])
        try:
            server.start()
        except NotReady as answer:
            expect("state of container" in answer.said or "damaged" in answer.said, f"it does not say why: {answer.said[-300:]}")
            refused += 1
        else:
            hit = False
            for part in parts:
                try:
                    with Wire(server.store, timeout=30) as wire:
                        part.verify(wire)
                except (Closed, ValueError):  # an error, in the place of an answer
                    hit = True
            if hit:
                expect(os.path.basename(path) in server.log(), "the log does not name the file")
                told = server.get("/v1/health/details/state")[1]["damagedPlaces"]
                expect(int(told) > 0, f"health knows of {told} damaged places")
            errors += hit
            unseen += not hit
            server.kill()
        with open(path, "wb") as file:
            file.write(original)
    note(f"of {len(files)} files: {refused} starts refused, {errors} answered with errors, {unseen} not needed by anybody")
    server.start()
    with Wire(server.store, timeout=30) as wire:
        for part in parts:
            part.verify(wire)
    server.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    arguments = parser.parse_args()
    state = tempfile.mkdtemp(prefix="millrace-state-")
    made = []
    status = run([("kill -9 while the state changes", lambda: made.extend(loop(arguments.rounds, arguments.seed, state))),
                  ("a bit flipped in the state", lambda: damage(*made))])
    if status == 0:
        shutil.rmtree(state)
    return status


if __name__ == "__main__":
    sys.exit(main())
