#!/usr/bin/env python3
"""kill -9 at random moments under the official Java client; nothing acknowledged is lost, duplicated, reordered or altered.

    crash_java.py [--rounds 20] [--seed N] [events] [transactions]

`CrashLoad` (conformance/) writes and reads along all the time, through every restart, and reads everything once more at the end.
`CrashTransactions` commits transactions, on a stream that is split and merged meanwhile, and reads what is there at the end. The server's journal and caches are small and its moves to long-term storage eager, so that kills meet those too.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import cases
from cases import expect, note
from server import ROOT, Server

OPTIONS = ["--journal-file", "34MiB", "--journal-limit", "272MiB", "--cache", "32MiB", "--storage-cache", "32MiB", "--flush-size", "1MiB",
           "--flush-seconds", "1"]
WRITERS, SEGMENTS, COMMITTERS = 3, 3, 4
PATIENCE = 600


class Load:
    """The Java program, asked and answered by lines."""

    def __init__(self, program, controller, arguments, log):
        self.log = log
        self.process = subprocess.Popen([os.path.join(ROOT, "conformance", "run"), program, controller] + [str(a) for a in arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1,
                                        start_new_session=True)
        self.hear("ready")

    def say(self, order):
        try:
            self.process.stdin.write(order + "\n")
        except BrokenPipeError:
            pass  # hear() says why it ended

    def hear(self, wanted):
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line.startswith(wanted):
            self.process.kill()
            self.log.seek(0)
            raise cases.Failure(f"the client said {line!r} and ended: {self.log.read()[-1500:]}")
        return line

    def acknowledged(self):
        self.say("count")
        return int(self.hear("acknowledged").split()[1])


def crash_loop(rounds, seed, program, arguments, enough):
    """`enough`: so many acknowledgements are waited for after each start."""
    state = tempfile.mkdtemp(prefix="millrace-crash-java-")
    subprocess.run([os.path.join(ROOT, "conformance", "run"), "--build"], check=True)
    server = Server(state, options=OPTIONS)
    moments = random.Random(seed)
    note(f"seed {seed}; data in {state}")
    load = None
    try:
        server.start()
        with open(os.path.join(state, "client.log"), "w+") as log:
            load = Load(program, f"tcp://127.0.0.1:{server.base}", arguments, log)
            for turn in range(rounds):
                before = load.acknowledged()
                # The client goes on by itself after some time: a kill before that is one of a server without load.
                end = time.monotonic() + PATIENCE
                while load.acknowledged() < before + enough:
                    expect(time.monotonic() < end, f"round {turn + 1}: the client does not go on")
                    time.sleep(0.05)
                time.sleep(moments.choice((0.0, 0.1, 0.5, 1.0)) * moments.random())
                expect(server.alive(), f"round {turn + 1}: the server ended by itself: {server.log()[-600:]}")
                server.kill()
                ready = server.start()
                note(f"round {turn + 1}: {load.acknowledged():,} acknowledged, ready after {ready * 1000:.0f} ms")
            load.say("stop")
            note(load.hear("verified").strip())
        server.stop()
    except Exception:
        note(f"kept for a look: {state}")
        if load is not None:
            load.process.kill()
        if server.alive():
            server.kill()
        raise
    shutil.rmtree(state)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("only", nargs="*")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    rounds, seed = options.rounds, options.seed
    every = {
        "events": lambda: crash_loop(rounds, seed, "CrashLoad", (WRITERS, SEGMENTS), 2000),
        "transactions": lambda: crash_loop(rounds, seed, "CrashTransactions", (COMMITTERS,), 10),
    }
    sys.exit(cases.run([(f"kill -9 under the Java client, {rounds} times: {name}", every[name]) for name in options.only or every]))
