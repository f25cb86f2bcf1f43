"""Roles of the published Python client (package `pravega`), one process each: its calls hold the interpreter, so that writers and
readers in one process would wait for each other. Runs in the environment that crash_python.py made.

    python_client.py create CONTROLLER SEGMENTS            the scope, the stream, the reader group
    python_client.py events|transactions CONTROLLER STOP   writes until the file STOP is there; its last line: KEY=COUNT ... as acknowledged
    python_client.py read CONTROLLER NAME OUT STOP         a reader of the group; appends KEY:NUMBER lines to OUT; after STOP it ends once idle

Of each key the events are numbered from 0. Those of transactions that were aborted take no numbers.
"""
import asyncio
import collections
import os
import sys
import time

import pravega_client

SCOPE, STREAM, GROUP = "python", "stream", "group"
FLUSH_EVERY, IN_FLIGHT, EVENTS_OF_TRANSACTION, ABORT_EVERY = 200, 50, 20, 7
IDLE_ROUNDS, SLICE_SECONDS = 20, 20


def create(manager, segments):
    assert manager.create_scope(SCOPE) and manager.create_stream(SCOPE, STREAM, int(segments))
    manager.create_reader_group(GROUP, SCOPE, STREAM)


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


def read(manager, name, out, stop):
    reader = manager.create_reader_group(GROUP, SCOPE, STREAM).create_reader(name)

    async def go():
        idle, pending = 0, None
        with open(out, "w") as file:
            while idle < IDLE_ROUNDS or not os.path.exists(stop):
                # A call that is dropped takes its slice along: wait for the same one again.
                pending = pending or asyncio.ensure_future(reader.get_segment_slice_async())
                done, _ = await asyncio.wait({pending}, timeout=SLICE_SECONDS)
                if not done:
                    if os.path.exists(stop):
                        return
                    continue
                slice_, pending, count = pending.result(), None, 0
                if slice_ is not None:
                    for event in slice_:
                        file.write(bytes(event.data()).decode() + "\n")
                        count += 1
                    file.flush()
                    reader.release_segment(slice_)
                idle = 0 if count else idle + 1
                if not count:
                    await asyncio.sleep(0.1)

    asyncio.run(go())
    os._exit(0)  # a call may still wait for events


if __name__ == "__main__":
    role, controller, *rest = sys.argv[1:]
    {"create": create, "events": events, "transactions": transactions, "read": read}[role](pravega_client.StreamManager(controller), *rest)
