"""Roles of the published Python client (package `pravega`), one process each: its calls hold the interpreter, so that writers and
readers in one process would wait for each other. Runs in the environment that crash_python.py made.

    python_client.py create CONTROLLER SEGMENTS            the scope, the streams, the reader group
    python_client.py scale CONTROLLER SEGMENTS [TURN]      gives the stream so many segments
    python_client.py events|transactions CONTROLLER STOP   writes until the file STOP is there; its last line: KEY=COUNT ... as acknowledged
    python_client.py read CONTROLLER NAME OUT STOP         a reader of the group; appends KEY:NUMBER lines to OUT; after STOP it ends once idle
    python_client.py cut CONTROLLER OUT STOP               reads some events into OUT and says `cut`; after STOP it reads again, into OUT-again,
                                                           from that stream cut until the last events that STOP names: KEY=COUNT ...
    python_client.py bytes CONTROLLER STOP                 writes to a byte stream until STOP; its last line: written bytes=LENGTH
    python_client.py readbytes CONTROLLER STOP             reads along, jumps back, truncates; once STOP is there, up to the end

Of each key the events are numbered from 0. Those of transactions that were aborted take no numbers. What a byte stream holds follows
from the place alone.
"""
import asyncio
import collections
import os
import random
import sys
import time

import pravega_client

SCOPE, STREAM, GROUP, BYTES = "python", "stream", "group", "bytes"
FLUSH_EVERY, IN_FLIGHT, EVENTS_OF_TRANSACTION, ABORT_EVERY = 200, 50, 20, 7
IDLE_ROUNDS, SLICE_SECONDS = 3, 5  # a round without events takes the client a second
PAUSE_SECONDS, CUT_BEHIND, PIECE, TRUNCATE_BEHIND = 0.05, 1000, 8192, 200_000


def create(manager, segments):
    assert manager.create_scope(SCOPE) and manager.create_stream(SCOPE, STREAM, int(segments)) and manager.create_stream(SCOPE, BYTES, 1)
    manager.create_reader_group(GROUP, SCOPE, STREAM)


def scale(manager, segments, *_):
    """Another number of fixed segments: all of them are sealed, and others follow."""
    fixed = pravega_client.StreamScalingPolicy.fixed_scaling_policy(int(segments))
    until_done("scale", lambda: manager.update_stream_with_policy(SCOPE, STREAM, scaling_policy=fixed))


def tell(counts):
    print("written", *(f"{key}={count}" for key, count in counts.items()), flush=True)


def events(manager, stop):
    """The client repeats what a lost connection leaves open: no call may fail."""
    writer = manager.create_writer(SCOPE, STREAM, IN_FLIGHT)
    counts = collections.Counter()
    while not os.path.exists(stop):
        for turn in range(FLUSH_EVERY):
            key = f"e{turn % 7}"
            writer.write_event(f"{key}:{counts[key]}", key)
            counts[key] += 1
        writer.flush()
        print("wrote", sum(counts.values()), flush=True)
        time.sleep(PAUSE_SECONDS)
    tell(counts)


def until_done(what, call):
    while True:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the client raises many kinds while the server is away
            print(f"{what}: {error}", file=sys.stderr, flush=True)
            time.sleep(0.5)


def end(transaction, call):
    """Commits or aborts. An error may hide that it was done; then the transaction is open no more."""
    def once():
        try:
            call()
        except Exception:
            if transaction.is_open():
                raise
    until_done("end", once)


def transactions(manager, stop):
    writer = until_done("writer", lambda: manager.create_transaction_writer(SCOPE, STREAM, 7))
    counts, turn = collections.Counter(), 0
    while not os.path.exists(stop):
        transaction = until_done("begin", writer.begin_txn)
        turn += 1
        within, whole = collections.Counter(counts), True
        try:
            for event in range(EVENTS_OF_TRANSACTION):
                key = f"t{event % 3}"
                transaction.write_event(f"{key}:{within[key]}", key)
                within[key] += 1
        except Exception as error:  # noqa: BLE001
            print(f"write: {error}", file=sys.stderr, flush=True)
            whole = False
        if not whole or turn % ABORT_EVERY == 0:
            end(transaction, transaction.abort)
        else:
            end(transaction, transaction.commit)
            counts = within
            print("committed", turn, flush=True)
    tell(counts)


async def consume(reader, out, ended):
    """Until `ended`, told the number of rounds without events and the last number of each key, says so."""
    idle, pending, last = 0, None, {}
    with open(out, "w") as file:
        while not ended(idle, last):
            # A call that is dropped takes its slice along: wait for the same one again.
            pending = pending or asyncio.ensure_future(reader.get_segment_slice_async())
            done, _ = await asyncio.wait({pending}, timeout=SLICE_SECONDS)
            if not done:
                idle += IDLE_ROUNDS
                continue
            slice_, pending, count = pending.result(), None, 0
            if slice_ is not None:
                for event in slice_:
                    text = bytes(event.data()).decode()
                    file.write(text + "\n")
                    key, number = text.split(":")
                    last[key] = int(number)
                    count += 1
                file.flush()
                reader.release_segment(slice_)
            idle = 0 if count else idle + 1
            if not count:
                await asyncio.sleep(0.1)


def read(manager, name, out, stop):
    group = manager.create_reader_group(GROUP, SCOPE, STREAM)
    asyncio.run(consume(group.create_reader(name), out, lambda idle, _: idle >= IDLE_ROUNDS and os.path.exists(stop)))
    os._exit(0)  # a call may still wait for events


def cut(manager, out, stop):
    """A cut behind what one reader has read; the group's state has its place as soon as it is gone."""
    group = manager.create_reader_group(GROUP + "-early", SCOPE, STREAM)

    async def go():
        reader = group.create_reader("early")
        await consume(reader, out, lambda _, last: sum(last.values()) > CUT_BEHIND)
        reader.reader_offline()
        place = group.get_streamcut()
        print("cut", place.get_segment_offset_map(), flush=True)
        while not os.path.exists(stop):
            await asyncio.sleep(0.1)
        with open(stop) as file:
            wanted = {key: int(count) - 1 for key, count in (word.split("=") for word in file.read().split())}
        from_cut = manager.create_reader_group(GROUP + "-again", SCOPE, STREAM, False, place)
        await consume(from_cut.create_reader("again"), out + "-again", lambda _, last: last == wanted)

    asyncio.run(go())
    os._exit(0)


def content(begin, end):
    """What belongs into these places of the byte stream: each place of eight holds its own number."""
    first = begin // 8
    whole = b"".join(number.to_bytes(8, "big") for number in range(first, (end + 7) // 8))
    return whole[begin - first * 8:end - first * 8]


def bytes_(manager, stop):
    """As for events: the client repeats, no call may fail."""
    stream, length = manager.create_byte_stream(SCOPE, BYTES), 0
    while not os.path.exists(stop):
        for size in (1, 1000, PIECE, 20_000):
            assert stream.write(content(length, length + size)) == size
            length += size
        stream.flush()
        print("wrote", length, flush=True)
        time.sleep(PAUSE_SECONDS)
    tell({"bytes": length})


def read_bytes(manager, stop):
    stream, chance, head, place, most = until_done("open", lambda: manager.create_byte_stream(SCOPE, BYTES)), random.Random(1), 0, 0, 0
    while True:
        ending = os.path.exists(stop)
        tail = until_done("tail", stream.current_tail_offset)
        if tail == place:
            if ending:
                break
            time.sleep(0.05)
            continue
        buffer = bytearray(min(tail - place, PIECE))
        try:
            count = stream.readinto(buffer)
        except Exception as error:  # noqa: BLE001
            print(f"read: {error}", file=sys.stderr, flush=True)
            time.sleep(0.5)
            stream.seek(place, 0)
            continue
        assert bytes(buffer[:count]) == content(place, place + count), f"other bytes than written at {place}"
        place += count
        assert stream.tell() == place
        most = max(most, place)
        if most - head > 2 * TRUNCATE_BEHIND:
            head = most - TRUNCATE_BEHIND
            until_done("truncate", lambda: stream.truncate(head))
            assert until_done("head", stream.current_head_offset) == head
        if chance.random() < 0.05:
            place = chance.randrange(head, place + 1)
            assert stream.seek(place, 0) == place
        print("read", place, flush=True)
    print("written", f"bytes={place}", f"truncated={head}", flush=True)
    os._exit(0)


if __name__ == "__main__":
    role, controller, *rest = sys.argv[1:]
    roles = {"create": create, "scale": scale, "events": events, "transactions": transactions, "read": read, "cut": cut,
             "bytes": bytes_, "readbytes": read_bytes}
    roles[role](pravega_client.StreamManager(controller), *rest)
