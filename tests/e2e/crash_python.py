#!/usr/bin/env python3
"""kill -9 at random moments under the published Python client; everything acknowledged is read once, in order.

    crash_python.py [--rounds 6] [--seed N] [one] [three]

A writer, a writer of transactions, and one or three readers of a group (`python_client.py`) go on through every restart. The client
comes from the Python package index, into a folder below build/; without it the cases are skipped, or fail where CI=true.
"""
import argparse
import collections
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

import cases
from cases import expect, note
from server import ROOT, Server, clean_environment

PACKAGE = "pravega==0.3.8"
PLACE = os.path.join(ROOT, "build", "python-client")
CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python_client.py")
SEGMENTS, PATIENCE = 3, 300


def loads(python):
    return subprocess.run([python, "-c", "import pravega_client"], capture_output=True, env=environment()).returncode == 0


def environment():
    return clean_environment({"PYTHONPATH": PLACE, "RUST_LOG": "off", "PYTHONUNBUFFERED": "1"})


def interpreter():
    """The Python that can load the client; fetches it at the first call."""
    system, said = "/usr/bin/python3", ""
    for python in dict.fromkeys((sys.executable, system)):
        if loads(python):
            return python
    for python, before in ((sys.executable, None), (system, [os.path.join(ROOT, "scripts", "install-deps"), "--python", "--pip"])):
        if before:
            subprocess.run(before, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        made = subprocess.run([python, "-m", "pip", "install", "-q", "--upgrade", "--target", PLACE, PACKAGE], capture_output=True, text=True)
        if made.returncode == 0 and loads(python):
            return python
        said = made.stderr.strip().splitlines()[-1:] or ["it cannot be loaded"]
    reason = f"no {PACKAGE}: {said[0][:200]}"
    raise cases.Failure(reason) if os.environ.get("CI") else cases.Skip(reason)


class Role:
    def __init__(self, python, state, *arguments):
        self.name = "-".join(arguments[:1] + tuple(a for a in arguments[2:3] if "/" not in a))
        self.out, self.err = (os.path.join(state, f"{self.name}.{kind}") for kind in ("out", "err"))
        with open(self.out, "w") as out, open(self.err, "w") as err:
            self.process = subprocess.Popen([python, CLIENT, *arguments], stdout=out, stderr=err, env=environment(),
                                            start_new_session=True)

    def lines(self):
        with open(self.out) as file:
            return file.read().splitlines()

    def finish(self):
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise cases.Failure(f"{self.name} does not end")
        if status != 0:
            with open(self.err) as err:
                raise cases.Failure(f"{self.name} ended with {status}: {err.read()[-800:]}")


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        expect(time.monotonic() < end, what)
        time.sleep(0.1)


def verify(written, files):
    """Every number of every key once. One reader: in order; several: in order within each."""
    seen = collections.defaultdict(list)
    for path in files:
        last = collections.defaultdict(lambda: -1)
        with open(path) as file:
            for line in file:
                key, number = line.strip().split(":")
                expect(int(number) > last[key], f"{key}: {number} was read after {last[key]}")
                last[key] = int(number)
                seen[key].append(int(number))
    for key, count in written.items():
        expect(sorted(seen.pop(key, [])) == list(range(count)), f"{key}: not each of the {count} events was read once")
    expect(not seen, f"events of aborted transactions were read: {sorted(seen)}")


def read_lines(files):
    count = 0
    for path in files:
        if os.path.exists(path):
            with open(path, "rb") as file:
                count += file.read().count(b"\n")
    return count


def crash_loop(rounds, seed, readers):
    python = interpreter()
    state = tempfile.mkdtemp(prefix="millrace-crash-python-")
    server, moments, roles = Server(state), random.Random(seed), []
    note(f"seed {seed}; data in {state}")
    stop, stop_readers = os.path.join(state, "stop"), os.path.join(state, "stop-readers")
    files = [os.path.join(state, f"read-{reader}") for reader in range(readers)]
    controller = f"tcp://127.0.0.1:{server.base}"
    try:
        server.start()
        Role(python, state, "create", controller, str(SEGMENTS)).finish()
        writers = [Role(python, state, role, controller, stop) for role in ("events", "transactions")]
        readings = [Role(python, state, "read", controller, f"r{reader}", files[reader], stop_readers) for reader in range(readers)]
        roles = writers + readings
        for turn in range(rounds):
            before = [len(writer.lines()) for writer in writers]
            wait_until(lambda: all(len(w.lines()) > b + 3 for w, b in zip(writers, before)), f"round {turn + 1}: a writer does not go on")
            time.sleep(2 * moments.random())
            expect(server.alive(), f"round {turn + 1}: the server ended by itself: {server.log()[-600:]}")
            server.kill()
            time.sleep(moments.choice((0, 0, 1)))
            ready = server.start()
            note(f"round {turn + 1}: {read_lines(files):,} events read, ready after {ready * 1000:.0f} ms")
        open(stop, "w").close()
        written = {}
        for writer in writers:
            writer.finish()
            words = writer.lines()[-1].split()
            expect(words[0] == "written", f"{writer.name} said {words}")
            written.update((key, int(count)) for key, count in (word.split("=") for word in words[1:]))
        total = sum(written.values())
        expect(any(key[0] == "t" for key in written), "no transaction was committed")
        wait_until(lambda: read_lines(files) >= total, f"of {total} events {read_lines(files)} were read")
        open(stop_readers, "w").close()
        for reading in readings:
            reading.finish()
        verify(written, files)
        note(f"verified {total:,} events")
        server.stop()
    except Exception:
        note(f"kept for a look: {state}")
        for role in roles:
            role.process.kill()
        if server.alive():
            server.kill()
        raise
    shutil.rmtree(state)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("only", nargs="*")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    every = {"one": 1, "three": 3}
    sys.exit(cases.run([(f"kill -9 under the Python client, {options.rounds} times: readers: {name}",
                         lambda name=name: crash_loop(options.rounds, options.seed, every[name])) for name in options.only or every]))
