#!/usr/bin/env python3
"""kill -9 at random moments under writers; after each restart everything acknowledged must be there, once, in order.

    crash_loop.py [--rounds 20] [--seed N]

Writers keep several appends in flight, two writers to a segment. A writer knows what was acknowledged; after the crash the server
tells it the last event it has of this writer (at least the last acknowledged one, exactly the last one in the segment), and the
writer goes on behind that. An event's content follows from writer and number, so every byte is checked. One more client creates
segments all the time: a created one must stay. The way files are written changes from start to start.
"""
import argparse
import collections
import random
import shutil
import socket
import sys
import tempfile
import threading
import time
import uuid

import cases
from cases import expect, note
from server import Server
from wire import NO_EVENT, Closed, Wire, event, events_of

SEGMENTS = 3
WRITERS = 6
IN_FLIGHT = 8
# Of the starts, in turn: both ways to write files, and journal files that are soon full and recycled.
OPTIONS = ([], ["--io", "threads"], ["--journal-file", "34MiB"])


def content(writer, number):
    """Bytes of 20 to about 1,500; they name writer and number and cannot be mistaken for another event's."""
    head = b"%d %d " % (writer, number)
    size = (number * 7919 + writer * 104729) % 1500
    return head + (b"%08x" % ((number * 2654435761 + writer) & 0xffffffff)) * (size // 8)


class Writer:
    def __init__(self, index, seed):
        self.index = index
        self.id = uuid.uuid4()
        self.segment = f"crash/loop/{index % SEGMENTS}.#epoch.0"
        self.random = random.Random(seed * 1000 + index)
        self.sent = 0
        self.acknowledged = 0
        self.error = None

    def run(self, address, stop):
        try:
            with Wire(address) as wire:
                self.go_on(wire, stop)
        except (Closed, ConnectionError, socket.timeout):
            pass  # the crash, or the end
        except Exception as error:  # noqa: BLE001 - handed to the main thread
            self.error = error

    def go_on(self, wire, stop):
        last = wire.setup(self.segment, self.id)
        last = 0 if last == NO_EVENT else last
        expect(self.acknowledged <= last <= self.sent,
               f"writer {self.index}: the server has up to event {last}; acknowledged were {self.acknowledged}, sent {self.sent}")
        self.acknowledged = self.sent = last
        pending = collections.deque()
        while not stop.is_set():
            while len(pending) < IN_FLIGHT:
                count = self.random.randint(1, 20)
                data = b"".join(event(content(self.index, self.sent + i + 1)) for i in range(count))
                # Counted before it goes out: what the server has may be more than what was acknowledged, never more than this.
                self.sent += count
                pending.append(self.sent)
                wire.send(wire.append_frame(self.id, data, self.sent, count))
            number = wire.acknowledged()
            expect(number in pending, f"writer {self.index}: an acknowledgement of {number}, in flight are {list(pending)}")
            while pending and pending[0] <= number:
                pending.popleft()
            self.acknowledged = number


class Creator:
    """Creates segments one after the other; `created` of them were acknowledged."""

    def __init__(self):
        self.created = 0
        self.error = None

    def name(self, number):
        return f"crash/created/{number}.#epoch.0"

    def run(self, address, stop):
        try:
            with Wire(address) as wire:
                while not stop.is_set():
                    wire.create(self.name(self.created))
                    self.created += 1
        except (Closed, ConnectionError, socket.timeout):
            pass
        except Exception as error:  # noqa: BLE001
            self.error = error


def verify(server, writers, creator):
    total = 0
    with Wire(server.store, timeout=30) as wire:
        for number in range(SEGMENTS):
            here = [w for w in writers if w.index % SEGMENTS == number]
            next_number = {w.index: 1 for w in here}
            for payload in events_of(wire.read_all(here[0].segment)):
                index, at = (int(part) for part in payload.split(b" ", 2)[:2])
                expect(index in next_number, f"segment {number} has an event of writer {index}")
                expect(at == next_number[index], f"writer {index}: event {at} where {next_number[index]} should be")
                expect(payload == content(index, at), f"writer {index}: event {at} is altered")
                next_number[index] = at + 1
                total += 1
            for w in here:
                stored = next_number[w.index] - 1
                expect(w.acknowledged <= stored <= w.sent,
                       f"writer {w.index}: {stored} events stored, {w.acknowledged} acknowledged, {w.sent} sent")
                last = wire.setup(w.segment, w.id)
                expect((0 if last == NO_EVENT else last) == stored,
                       f"writer {w.index}: the server names {last} as last event, the segment has {stored}")
        # The newest matter most; of the older ones a sample.
        numbers = list(range(max(0, creator.created - 50), creator.created))
        numbers += random.sample(range(creator.created), min(50, creator.created))
        for number in numbers:
            expect(wire.info(creator.name(number)) is not None, f"{creator.name(number)} was created and is gone")
    return total


def crash_loop(rounds, seed):
    state = tempfile.mkdtemp(prefix="millrace-crash-")
    server = Server(state)
    writers = [Writer(i, seed) for i in range(WRITERS)]
    creator = Creator()
    moments = random.Random(seed)
    times = []
    note(f"seed {seed}; data in {state}")
    try:
        server.start()
        with Wire(server.store) as wire:
            for number in range(SEGMENTS):
                wire.create(f"crash/loop/{number}.#epoch.0")
        for turn in range(rounds):
            before = sum(w.acknowledged for w in writers)
            stop = threading.Event()
            threads = [threading.Thread(target=w.run, args=(server.store, stop)) for w in [*writers, creator]]
            for thread in threads:
                thread.start()
            # Early kills hit the start's own writes, late ones recycled files and checkpoints.
            time.sleep(moments.choice((0.02, 0.1, 0.3, 0.6, 1.0)) * (0.5 + moments.random()))
            expect(server.alive(), f"round {turn}: the server ended by itself: {server.log()[-600:]}")
            server.kill()
            stop.set()
            for thread in threads:
                thread.join(30)
                expect(not thread.is_alive(), "a writer hangs")
            for w in [*writers, creator]:
                if w.error is not None:
                    raise w.error
            server.options = OPTIONS[turn % len(OPTIONS)]
            times.append(server.start())
            total = verify(server, writers, creator)
            new = sum(w.acknowledged for w in writers) - before
            note(f"round {turn + 1}: {new:,} more acknowledged, {total:,} events and {creator.created:,} segments verified, "
                 f"ready after {times[-1] * 1000:.0f} ms")
        expect(total > 0 and creator.created > 0, "nothing was ever acknowledged")
        server.stop()
        server.start()
        verify(server, writers, creator)
        server.stop()
        note(f"longest start {max(times) * 1000:.0f} ms")
    except Exception:
        note(f"kept for a look: {state}")
        if server.alive():
            server.kill()
        raise
    shutil.rmtree(state)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    sys.exit(cases.run([(f"kill -9, {options.rounds} times", lambda: crash_loop(options.rounds, options.seed))]))
