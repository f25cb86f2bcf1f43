#!/usr/bin/env python3
"""Many things at once on the segment store's protocol, whose replies no transcript can hold because their order is free: writers that share
a connection, what stands behind a seal or a new set-up, readers at the tail, tables that change while they are read. One server.

Arguments: words; only cases whose name contains one of them.
"""
import os
import shutil
import struct
import sys
import tempfile
import threading
import time
import uuid

import cases
import wire
from cases import expect
from server import Server
from wire import NO_EVENT, Closed, Wire, event, frame, text

SCRATCH = tempfile.mkdtemp(prefix="millrace-wire-edges-")
DELETE_TABLE_SEGMENT, CREATE_TABLE_SEGMENT, SEGMENT_DELETED = 71, 70, 31
UPDATE_TABLE_ENTRIES, TABLE_ENTRIES_UPDATED, READ_TABLE, TABLE_READ, TABLE_KEY_BAD_VERSION = 74, 75, 78, 79, 82
LARGEST_PAYLOAD = 0x00FFFFFF - 8
SERVER = None
NAMES = iter(range(1 << 30))


def connect(timeout=30.0):
    return Wire(SERVER.store, timeout=timeout)


def fresh(client):
    name = f"edges/s{next(NAMES)}/0.#epoch.0"
    client.create(name)
    return name


def request(client, code, segment, rest=b""):
    client.send(frame(code, struct.pack(">q", client.next_id()) + text(segment) + rest))


def setup_frame(client, segment, writer):
    return frame(wire.SETUP_APPEND, struct.pack(">q", client.next_id()) + writer.bytes + text(segment) + text(""))


def acknowledgement(fields):
    """(writer, event number, the one before, request id, end offset)"""
    return (fields.uuid(),) + fields.take("qqqq")


# ---- writers ----

def writers_share_a_connection():
    """200 writers of 20 segments set up and write in one go: each gets its own unbroken chain of acknowledgements, nothing is lost."""
    with connect() as client:
        segments = [fresh(client) for _ in range(20)]
        writers = [(segment, uuid.uuid4()) for segment in segments for _ in range(10)]
        client.send(b"".join(setup_frame(client, segment, writer) for segment, writer in writers))
        for _ in writers:
            code, fields = client.receive()
            expect(code == wire.APPEND_SETUP, f"a set-up is answered with {code}")
            fields.take("q"), fields.text(), fields.uuid()
            expect(fields.take("q") == NO_EVENT, "a new writer is known")
        for number in range(1, 6):
            client.send(b"".join(client.append_frame(writer, b"%d" % number, number) for _, writer in writers))
        last = {writer: NO_EVENT for _, writer in writers}
        while min(last.values()) < 5:
            code, fields = client.receive()
            expect(code == wire.DATA_APPENDED, f"an append is answered with {code}")
            writer, number, before, _, _ = acknowledgement(fields)
            expect(before == last[writer] and number > before, f"{number} follows {before}, acknowledged was {last[writer]}")
            last[writer] = number
        for segment in segments:
            expect(sorted(client.read(segment, 0, 100)) == sorted(b"12345" * 10), f"{segment} has other bytes")


def a_new_set_up_acknowledges():
    """A set-up behind appends that are under way answers with the last of them; the writer goes on from there."""
    with connect() as client:
        segment, writer = fresh(client), uuid.uuid4()
        client.setup(segment, writer)
        client.send(b"".join(client.append_frame(writer, b"x", number) for number in range(1, 50)) +
                    setup_frame(client, segment, writer) + client.append_frame(writer, b"y", 50))
        last = None
        while last != 50:
            code, fields = client.receive()
            if code == wire.APPEND_SETUP:
                fields.take("q"), fields.text(), fields.uuid()
                expect(fields.take("q") == 49, "the set-up does not know of all appends before it")
                continue
            expect(code == wire.DATA_APPENDED, f"answered with {code}")
            last = acknowledgement(fields)[1]
        expect(client.info(segment)[1] == 50, "an append is lost, or there twice")


def what_stands_behind_a_seal():
    """Appends before a seal are acknowledged before anything says sealed; the first one behind it is told, with its number."""
    with connect() as client:
        segment, writer = fresh(client), uuid.uuid4()
        client.setup(segment, writer)
        client.send(b"".join(client.append_frame(writer, b"x", number) for number in range(1, 10)))
        request(client, wire.SEAL_SEGMENT, segment, text(""))
        client.send(client.append_frame(writer, b"y", 10) + client.append_frame(writer, b"y", 11))
        seen, last = [], 0
        while not {wire.SEGMENT_SEALED, wire.SEGMENT_IS_SEALED} <= set(seen):
            code, fields = client.receive()
            if code == wire.DATA_APPENDED:
                expect(wire.SEGMENT_IS_SEALED not in seen, "an acknowledgement comes after the refusal")
                last = acknowledgement(fields)[1]
            if code == wire.SEGMENT_IS_SEALED:
                fields.take("q"), fields.text(), fields.text()
                expect(fields.take("q") == 10, "another append than the first one behind the seal is refused")
            seen.append(code)
        expect(last == 9, f"event {last} is the last one acknowledged")
        expect(client.info(segment) == (0, 9, True), f"the segment is {client.info(segment)}")
        expect(client.setup(segment, writer) == 9, "the writer does not learn what was stored")


def the_largest_frame():
    """An append that fills the largest frame is taken; one byte more of a frame's length ends the connection or is taken whole."""
    with connect() as client:
        segment, writer = fresh(client), uuid.uuid4()
        client.setup(segment, writer)
        data = os.urandom(LARGEST_PAYLOAD - 16 - 4 - 4 - 4 - 8 - 8)
        expect(client.append(writer, data, 1) == 1, "it is not taken")
        expect(client.read_all(segment) == data, "other bytes are read")
        client.send(struct.pack(">ii", wire.APPEND_BLOCK_END, 0x7FFFFFFF))
        expect(client.ends(), "a frame of 2 GiB is waited for")
    with connect() as client:
        expect(client.info(segment)[1] == len(data), "what was acknowledged is not there")


def own_attributes_are_no_writers():
    """SETUP_APPEND by the id of a segment's own attribute is refused: an append would make the segment a table, at the next start."""
    with connect() as client:
        segment, writer = fresh(client), uuid.uuid4()
        client.setup(segment, writer)
        client.append(writer, event(b"one"), 1)
        for number in (0, 1, 9, 12, 1 << 20):
            client.send(setup_frame(client, segment, uuid.UUID(int=(1 << 127) + number)))
            code, _ = client.receive()
            expect(code == wire.ERROR_MESSAGE, f"a writer with the id of attribute {number} is answered with {code}")
        expect(client.append(writer, event(b"two"), 2) == 2, "the connection is of no use any more")


# ---- readers at the tail ----

def readers_at_the_tail():
    """Readers that ask for whatever comes next, in pieces of all sizes, while a writer is ahead of them: each gets every byte, once."""
    with connect() as client:
        segment, writer = fresh(client), uuid.uuid4()
        client.setup(segment, writer)
        blocks = [os.urandom(100) for _ in range(2000)]
        whole, got = b"".join(blocks), {}

        def follow(size):
            parts, at = [], 0
            try:
                with connect() as reader:
                    while at < len(whole):
                        parts.append(reader.read(segment, at, size))
                        at += len(parts[-1])
                got[size] = b"".join(parts)
            except (Closed, OSError, ValueError) as error:
                got[size] = error

        readers = [threading.Thread(target=follow, args=(size,)) for size in (700, 5000, 1 << 20)]
        for reader in readers:
            reader.start()
        for number, block in enumerate(blocks, 1):
            client.send(client.append_frame(writer, block, number))
        while client.acknowledged() < len(blocks):
            pass
        for reader in readers:
            reader.join()
        for size, data in got.items():
            expect(data == whole, f"the reader of {size} bytes has {data if isinstance(data, Exception) else len(data)}")


def what_wakes_a_reader():
    """Only the byte that it asked for, or a seal: not an empty append."""
    with connect() as client, connect() as reader:
        segment, writer = fresh(client), uuid.uuid4()
        client.setup(segment, writer)
        for offset in (0, 30, (1 << 63) - 1):
            reader.ask_for(segment, offset, 10)
        client.append(writer, b"", 1)
        reader.send(frame(wire.KEEP_ALIVE))
        expect(reader.receive()[0] == wire.KEEP_ALIVE, "an empty append wakes a reader")
        client.append(writer, b"0123456789" * 2, 2)
        code, fields = reader.receive()
        expect((code, fields.text(), fields.take("q")) == (wire.SEGMENT_READ, segment, 0), "the first byte wakes another one")
        request(client, wire.SEAL_SEGMENT, segment, text(""))
        client.receive()
        offsets = set()
        for _ in range(2):
            code, fields = reader.receive()
            expect(code == wire.SEGMENT_IS_SEALED, f"the seal tells them {code}")
            fields.take("q"), fields.text(), fields.text()
            offsets.add(fields.take("q"))
        expect(offsets == {30, (1 << 63) - 1}, f"they are told about {offsets}")


def readers_that_leave():
    """Segments that are only on the disk are read by clients that are gone before their bytes have come."""
    with connect() as client:
        segments, writer = [fresh(client) for _ in range(300)], uuid.uuid4()
        for segment in segments:
            client.setup(segment, writer)
            client.append(writer, segment.encode() * 500, 1)
    SERVER.stop_in_order()
    SERVER.start()
    for number in range(0, len(segments), 5):
        reader = connect()
        for segment in segments[number:number + 5]:
            reader.ask_for(segment, 0, 1 << 20)
        time.sleep(number % 20 / 10_000)
        reader.reset()
    with connect() as client:
        for segment in segments:
            expect(client.read_all(segment) == segment.encode() * 500, f"{segment} has other bytes")


# ---- tables ----

def table_key(key, version=NO_EVENT):
    return struct.pack(">ii", 12 + len(key), len(key)) + key + struct.pack(">q", version)


def table_value(value):
    return struct.pack(">ii", 4 + len(value), len(value)) + value


def create_table(client):
    name = f"edges/t{next(NAMES)}_kvtable/0.#epoch.0"
    request(client, CREATE_TABLE_SEGMENT, name, text("") + struct.pack(">biq", 0, 0, 0))
    expect(client.receive()[0] == wire.SEGMENT_CREATED, "no table is made")
    return name


def put(client, table, entries):
    """Versions, or the code of another reply."""
    body = b"".join(table_key(key, version) + table_value(value) for key, value, version in entries)
    request(client, UPDATE_TABLE_ENTRIES, table, text("") + struct.pack(">i", len(entries)) + body + struct.pack(">q", -1))
    code, fields = client.receive()
    if code != TABLE_ENTRIES_UPDATED:
        return code
    fields.take("q")
    return [fields.take("q") for _ in range(fields.take("i"))]


def get(client, table, keys):
    """[(key, version, value)], or the code of another reply."""
    request(client, READ_TABLE, table, text("") + struct.pack(">i", len(keys)) + b"".join(table_key(key) for key in keys))
    code, fields = client.receive()
    if code != TABLE_READ:
        return code
    fields.take("q"), fields.text()
    found = []
    for _ in range(fields.take("i")):
        fields.take("i")
        key, version = fields.blob(), fields.take("q")
        fields.take("i")
        found.append((key, version, fields.blob()))
    return found


def reads_of_a_changing_table():
    """Keys that are read together while others are written: each reply has the keys' own values, and never an older one than before."""
    keys = [b"key%04d" % number for number in range(3000)]
    with connect() as client:
        table = create_table(client)
        put(client, table, [(key, key + b"=0", NO_EVENT) for key in keys])
    SERVER.stop_in_order()
    SERVER.start()  # now all are on the disk, and what is written is in memory first
    ends, wrong, reads = threading.Event(), [], []

    def read(some):
        newest = {}
        try:
            with connect() as reader:
                while not ends.is_set():
                    found = get(reader, table, some)
                    reads.append(len(found))
                    for asked, (key, version, value) in zip(some, found):
                        own = key == asked and value.startswith(key + b"=") and version >= newest.get(key, 0)
                        if not own or len(found) != len(some):
                            wrong.append((asked, key, version, value))
                            return
                        newest[key] = version
        except (Closed, OSError) as error:
            wrong.append(error)

    readers = [threading.Thread(target=read, args=(keys[number::100],)) for number in range(3)]
    for reader in readers:
        reader.start()
    with connect() as client:
        for number, key in enumerate(keys, 1):  # each one only once: that is when memory learns of it
            expect(isinstance(put(client, table, [(key, key + b"=%d" % number, NO_EVENT)]), list), "an update is refused")
    ends.set()
    for reader in readers:
        reader.join()
    expect(not wrong and reads, f"of {len(reads)} reads one gives {wrong[:1]}")


def conditional_counter():
    """Four clients count in one entry by compare and set: no step is lost and none counts twice."""
    with connect() as client:
        table = create_table(client)
        put(client, table, [(b"counter", b"0", NO_EVENT)])
        wrong = []

        def count():
            done = 0
            with connect() as counter:
                while done < 50 and not wrong:
                    (_, version, value), = get(counter, table, [b"counter"])
                    result = put(counter, table, [(b"counter", b"%d" % (int(value) + 1), version)])
                    if isinstance(result, list):
                        done += 1
                    elif result != TABLE_KEY_BAD_VERSION:
                        wrong.append(result)

        counters = [threading.Thread(target=count) for _ in range(4)]
        for counter in counters:
            counter.start()
        for counter in counters:
            counter.join()
        expect(not wrong and get(client, table, [b"counter"])[0][2] == b"200", f"{get(client, table, [b'counter'])}, {wrong}")


def tables_that_go_while_they_are_read():
    """A table is deleted and made again under readers: they get its entries or are told that there is none, and the server lives."""
    with connect() as client:
        table = create_table(client)
        ends, wrong = threading.Event(), []

        def read():
            try:
                with connect() as reader:
                    while not ends.is_set():
                        found = get(reader, table, [b"a", b"b", b"none"])
                        if isinstance(found, int):
                            if found != wire.NO_SUCH_SEGMENT:
                                wrong.append(found)
                        elif [entry[2] for entry in found] not in ([b"a", b"b", b""], [b"", b"", b""]):
                            wrong.append(found)
            except (Closed, OSError) as error:
                wrong.append(error)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for _ in range(150):
            put(client, table, [(b"a", b"a", NO_EVENT), (b"b", b"b", NO_EVENT)])
            request(client, DELETE_TABLE_SEGMENT, table, struct.pack(">b", 0) + text(""))
            expect(client.receive()[0] == SEGMENT_DELETED, "it is not deleted")
            request(client, CREATE_TABLE_SEGMENT, table, text("") + struct.pack(">biq", 0, 0, 0))
            expect(client.receive()[0] == wire.SEGMENT_CREATED, "it is not made again")
        ends.set()
        for reader in readers:
            reader.join()
        expect(not wrong, f"a read gives {wrong[:1]}")


def the_server_lives():
    """After all this it is the same process, and a kill -9 loses nothing: the segment whose type was aimed at is no table."""
    pid = SERVER.pid
    expect(SERVER.alive() and SERVER.pid == pid, SERVER.log()[-600:])
    with connect() as client:
        segment, writer = fresh(client), uuid.uuid4()
        client.send(setup_frame(client, segment, uuid.UUID(int=(1 << 127) + 9)))
        client.receive()
        client.setup(segment, writer)
        client.append(writer, event(b"one"), 1)
    SERVER.kill()
    SERVER.start()
    with connect() as client:
        expect(client.setup(segment, writer) == 1, "the writer's number is lost")
        expect(client.read_all(segment) == event(b"one"), "the event is lost")
    SERVER.stop_in_order()


CASES = [("writers share a connection", writers_share_a_connection), ("a new set-up acknowledges", a_new_set_up_acknowledges),
         ("what stands behind a seal", what_stands_behind_a_seal), ("the largest frame", the_largest_frame),
         ("own attributes are no writers", own_attributes_are_no_writers), ("readers at the tail", readers_at_the_tail),
         ("what wakes a reader", what_wakes_a_reader), ("readers that leave", readers_that_leave), ("reads of a changing table", reads_of_a_changing_table),
         ("a conditional counter", conditional_counter), ("tables that go while they are read", tables_that_go_while_they_are_read),
         ("the server lives", the_server_lives)]

if __name__ == "__main__":
    try:
        SERVER = Server(os.path.join(SCRATCH, "server"))
        SERVER.start()
        sys.exit(cases.run(CASES, sys.argv[1:]))
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)
