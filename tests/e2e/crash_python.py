#!/usr/bin/env python3
"""kill -9 at random moments under the published Python client; everything acknowledged is read once, in order.

    crash_python.py [--rounds 6] [--seed N] [one] [three] [bytes]

one, three: a writer, a writer of transactions, and so many readers of a group (`python_client.py`) go on through every restart, while the
stream is split and merged. One more reads from a stream cut. bytes: a byte stream that is written, read, sought and truncated.
A case is skipped when the client's reader panics as it is known to (Role.check_client); since such a reader may also stand still without
a word, only bytes is run where CI=true.
The rounds are shared out among the cases. The client comes from the Python package index, into a folder below build/; without it the
cases are skipped, or fail where CI=true.
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
KNOWN_PANIC = "should have assigned this segment to reader"
PLACE = os.path.join(ROOT, "build", "python-client")
CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python_client.py")
SEGMENTS, SIZES, PATIENCE = 3, ("5", "2", "4"), 300


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
        self.name = "-".join(arguments[:1] + tuple(a for a in arguments[2:4] if "/" not in a))
        self.out, self.err = (os.path.join(state, f"{self.name}.{kind}") for kind in ("out", "err"))
        with open(self.out, "w") as out, open(self.err, "w") as err:
            self.process = subprocess.Popen([python, CLIENT, *arguments], stdout=out, stderr=err, env=environment(),
                                            start_new_session=True)

    def lines(self):
        with open(self.out) as file:
            return file.read().splitlines()

    def errors(self):
        with open(self.err) as err:
            return err.read()[-800:]

    def check_client(self):
        """A reader changes its group's state by a conditional update. When the reply is lost with the server, the client
        makes the change again on the state that has it, and panics: that is the client's, on any server."""
        if self.process.poll() in (None, 0):
            return
        with open(self.err) as err:
            if KNOWN_PANIC in err.read():
                raise cases.Skip(f"the client's reader panicked: {KNOWN_PANIC}")
        raise cases.Failure(f"{self.name} ended with {self.process.poll()}: {self.errors()}")

    def finish(self):
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise cases.Failure(f"{self.name} does not end")
        if status != 0:
            raise cases.Failure(f"{self.name} ended with {status}: {self.errors()}")


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


def verify_again(written, before, behind):
    """What follows a stream cut: of every key the events from the first on that was not read before the cut."""
    first, seen = collections.Counter(), collections.defaultdict(list)
    for path, note_down in ((before, lambda key, _: first.update([key])), (behind, lambda key, number: seen[key].append(number))):
        with open(path) as file:
            for line in file:
                key, number = line.strip().split(":")
                note_down(key, int(number))
    for key, count in written.items():
        expect(seen[key] == list(range(first[key], count)), f"{key}: other events than those from {first[key]} on follow the stream cut")
    return sum(map(len, seen.values()))


def read_lines(files):
    count = 0
    for path in files:
        if os.path.exists(path):
            with open(path, "rb") as file:
                count += file.read().count(b"\n")
    return count


class Scene:
    """A server and the client's processes; ends them whatever happens, and keeps the files of what went wrong."""

    def __init__(self, seed):
        self.python = interpreter()
        self.state = tempfile.mkdtemp(prefix="millrace-crash-python-")
        self.server, self.moments, self.roles = Server(self.state), random.Random(seed), []
        self.controller = f"tcp://127.0.0.1:{self.server.base}"
        note(f"seed {seed}; data in {self.state}")

    def __enter__(self):
        self.server.start()
        self.run("create", str(SEGMENTS))
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.server.stop()
            shutil.rmtree(self.state)
            return
        note(f"kept for a look: {self.state}")
        for role in self.roles:
            role.process.kill()
        self.server.kill_quietly()

    def path(self, name):
        return os.path.join(self.state, name)

    def begin(self, role, *arguments):
        self.roles.append(Role(self.python, self.state, role, self.controller, *arguments))
        return self.roles[-1]

    def run(self, role, *arguments):
        Role(self.python, self.state, role, self.controller, *arguments).finish()

    def kills(self, rounds, writers, progress, before_kill=lambda turn: None):
        """Every writer has gone on before each kill."""
        for turn in range(rounds):
            before = [len(writer.lines()) for writer in writers]
            wait_until(lambda: all(w.process.poll() is not None or len(w.lines()) > b + 3 for w, b in zip(writers, before)),
                       f"round {turn + 1}: a writer does not go on")
            for writer in writers:
                expect(writer.process.poll() is None, f"round {turn + 1}: {writer.name} ended: {writer.errors()}")
            before_kill(turn)
            time.sleep(self.moments.random())
            expect(self.server.alive(), f"round {turn + 1}: the server ended by itself: {self.server.log()[-600:]}")
            self.server.kill()
            time.sleep(self.moments.choice((0, 0, 1)))
            ready = self.server.start()
            note(f"round {turn + 1}: {progress()}, ready after {ready * 1000:.0f} ms")

    def segments(self):
        """Of the stream's newest epoch."""
        status, events = self.server.get(f"/v1/scopes/python/streams/stream/scaling-events?from=0&to={int(time.time() * 1000) + 60_000}")
        expect(status == 200, f"scaling events: {status}")
        return len(events[-1]["segments"])


def counts_of(role):
    role.finish()
    words = role.lines()[-1].split()
    expect(words[0] == "written", f"{role.name} said {words}")
    return {key: int(count) for key, count in (word.split("=") for word in words[1:])}


def crash_events(rounds, seed, readers):
    with Scene(seed) as scene:
        stop, stop_readers, early = scene.path("stop"), scene.path("stop-readers"), scene.path("read-early")
        files = [scene.path(f"read-{reader}") for reader in range(readers)]
        writers = [scene.begin(role, stop) for role in ("events", "transactions")]
        readings = [scene.begin("read", f"r{reader}", files[reader], stop_readers) for reader in range(readers)]
        if readers == 1:
            readings.append(scene.begin("cut", early, stop_readers))
            wait_until(lambda: readings[-1].lines(), "no stream cut is taken")
        scalings = []

        def scale(turn):
            """The kill comes amid it."""
            if scalings:
                scalings[-1].finish()
            scalings.append(scene.begin("scale", SIZES[turn % len(SIZES)], str(turn)))

        scene.kills(rounds, writers, lambda: f"{read_lines(files):,} events read", scale)
        scalings[-1].finish()
        size = int(SIZES[(rounds - 1) % len(SIZES)])
        wait_until(lambda: scene.segments() == size, f"no {size} segments")
        before = [len(writer.lines()) for writer in writers]
        wait_until(lambda: all(len(w.lines()) > b + 3 for w, b in zip(writers, before)), "a writer does not go on behind the last scaling")
        open(stop, "w").close()
        written = {}
        for writer in writers:
            written.update(counts_of(writer))
        total = sum(written.values())
        expect(any(key[0] == "t" for key in written), "no transaction was committed")

        def all_read():
            for reading in readings:
                reading.check_client()
            return read_lines(files) >= total

        wait_until(all_read, f"of {total} events {read_lines(files)} were read")
        with open(stop_readers + ".new", "w") as file:
            file.write(" ".join(f"{key}={count}" for key, count in written.items()))
        os.rename(stop_readers + ".new", stop_readers)
        for reading in readings:
            wait_until(lambda reading=reading: reading.check_client() or reading.process.poll() is not None, f"{reading.name} does not end")
        verify(written, files)
        note(f"verified {total:,} events of {scene.segments()} segments")
        if readers == 1:
            note(f"verified {verify_again(written, early, early + '-again'):,} again, from a stream cut")


def crash_bytes(rounds, seed):
    with Scene(seed) as scene:
        stop, stop_reader = scene.path("stop"), scene.path("stop-readers")
        writer, reader = scene.begin("bytes", stop), scene.begin("readbytes", stop_reader)
        scene.kills(rounds, [writer, reader], lambda: " and ".join(role.lines()[-1] for role in (writer, reader)))
        open(stop, "w").close()
        written = counts_of(writer)
        open(stop_reader, "w").close()
        read = counts_of(reader)
        expect(read["bytes"] == written["bytes"], f"{written['bytes']} bytes were written, the stream has {read['bytes']}")
        note(f"verified {read['bytes']:,} bytes, truncated at {read['truncated']:,}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("only", nargs="*")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    every = {
        "one": lambda rounds: crash_events(rounds, options.seed, 1),
        "three": lambda rounds: crash_events(rounds, options.seed, 3),
        "bytes": lambda rounds: crash_bytes(rounds, options.seed),
    }
    words = {"one": "one reader", "three": "three readers", "bytes": "a byte stream"}
    names = options.only or (["bytes"] if os.environ.get("CI") else list(every))
    share = max(1, options.rounds // len(names))
    sys.exit(cases.run([(f"kill -9 under the Python client, {share} times: {words[name]}", lambda name=name: every[name](share)) for name in names]))
