"""The official Java client's load generator and the real Pravega, from the kit beside this tree (or at $MILLRACE_KITS)."""
import json
import os
import random
import shutil
import socket
import subprocess

from harness import ROOT, BenchError, Skipped, Usage, say

START_PATIENCE = 900  # the first start fetches what is missing
STOP_PATIENCE = 120
BLOCK = 16  # ports of one cluster, in a row
CONFORMANCE = os.path.join(ROOT, "conformance", "run")


def kit(script):
    folder = os.path.join(os.environ.get("MILLRACE_KITS") or os.path.join(ROOT, "..", "shared"), "services")
    path = os.path.join(os.path.abspath(folder), script)
    if not os.access(path, os.X_OK):
        raise Skipped(f"no {path} (set MILLRACE_KITS to the folder that holds services/)")
    return path


def free_block():
    """The first of BLOCK ports in a row that nobody listens on."""
    for _ in range(1000):
        base = random.randrange(20000, 32000, BLOCK)
        try:
            for port in range(base, base + BLOCK):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise BenchError(f"no {BLOCK} free ports in a row")


class Pravega:
    """Controller and segment store of Pravega 0.13 on ZooKeeper and three bookies; ended and removed with the `with` block."""

    def __init__(self, work):
        self.folder = os.path.join(work, "pravega")
        self.started = []
        self.log = None

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        self.log = open(os.path.join(self.folder, "start.log"), "ab")
        base = free_block()
        try:
            self.script("zookeeper.sh", "start", "--port", base)
            self.script("bookkeeper.sh", "start", "--port", base + 1, "--zk", f"127.0.0.1:{base}")
            self.script("pravega.sh", "start", "--durable", "--port-base", base + 8, "--zk", f"127.0.0.1:{base}")
        except BaseException:
            self.__exit__()
            raise
        self.controller = f"tcp://127.0.0.1:{base + 8}"
        return self

    def script(self, name, action, *options):
        path, state = kit(name), os.path.join(self.folder, name.removesuffix(".sh"))
        if action == "start":
            self.started.append(name)
            say(f"starting {name}")
        command = [path, action, state] + [str(option) for option in options]
        patience = START_PATIENCE if action == "start" else STOP_PATIENCE
        # Output to a file: daemons that inherit a pipe would keep us waiting for its end.
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, timeout=patience)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{name} {action}: no end after {patience} s") from None
        if done.returncode != 0:
            with open(self.log.name, errors="replace") as log:
                raise BenchError(f"{name} {action} failed: {log.read()[-800:]}")

    def __exit__(self, *_):
        for name in reversed(self.started):
            try:
                self.script(name, "stop")
            except BenchError as error:
                say(str(error))
        self.started = []
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pids(self):
        """Of all that serve: the two of Pravega, the bookies, ZooKeeper."""
        found = []
        for folder, _, names in os.walk(self.folder):
            for name in names:
                if name.endswith(".pid") or os.path.basename(folder) == "pids":
                    with open(os.path.join(folder, name)) as file:
                        found.append(int(file.read().split()[0]))
        return found


def java_program(name, controller, pids, arguments, seconds, heap="512m"):
    """One of conformance/'s programs on the official Java client: its line of key=value, and what the servers used for it."""
    build = subprocess.run([CONFORMANCE, "--build"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if build.returncode != 0:
        raise BenchError(f"conformance/: cannot build: {build.stderr.strip()[-800:]}")
    command = [CONFORMANCE, name, controller] + [str(argument) for argument in arguments]
    before = Usage(pids)
    patience = seconds + START_PATIENCE
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience,
                              env=os.environ | {"JAVA_HEAP": heap})
    except subprocess.TimeoutExpired:
        raise BenchError(f"{name}: no end after {patience:.0f} s") from None
    used = Usage(pids).since(before)
    lines = [line for line in done.stdout.splitlines() if "=" in line]
    if done.returncode != 0 or not lines:
        raise BenchError(f"{name}: exit status {done.returncode}: {reason_of(done.stdout, done.stderr)}")
    return {name: float(value) for name, value in (pair.split("=") for pair in lines[-1].split())} | used


def reason_of(said, errors):
    """What a Java program ended with: its exceptions without their stacks, or its last words."""
    lines = [line.strip() for line in errors.splitlines() if line.startswith(("Exception", "Caused by"))]
    return said.strip()[-400:] + " " + ("; ".join(lines) or errors.strip())[-800:]


def java_transactions(controller, pids, committers, segments, events, seconds, warmup):
    """Committers of the official Java client, one after the other transaction each; figures, and what the servers used."""
    return java_program("Transactions", controller, pids, (committers, segments, events, seconds, warmup), seconds + warmup, "1g")


def java_load(controller, pids, segments, seconds, warmup, writers=10, event_bytes=1024):
    """Unthrottled writers of the official Java client; the generator's figures, and what the servers used."""
    command = [kit("peer-bench.sh"), "--system", "pravega", "--endpoint", controller, "--partitions", str(segments),
               "--writers", str(writers), "--event-size", str(event_bytes), "--rate", "0", "--seconds", str(seconds),
               "--warmup", str(warmup)]
    before = Usage(pids)
    patience = seconds + warmup + START_PATIENCE
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        raise BenchError(f"peer-bench.sh: no end after {patience} s") from None
    used = Usage(pids).since(before)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise BenchError(f"peer-bench.sh: exit status {done.returncode}: {done.stderr.strip()[-800:]}")
    return json.loads(lines[-1]) | used
