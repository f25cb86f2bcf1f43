#!/usr/bin/env python3
"""Stream to stream through a real Flink cluster, exactly once, while its processes and the store are killed; every event is verified.

    exactly_once.py [--seed N] [--faults N] [--keys N] [--rate N] [--flink 2.3|1.20] [--rounds N] [--json FILE]
                    [--controller URI] [--no-server-kills] [--no-scaling] [--unaligned] [--patience SECONDS]
    exactly_once.py --scale-every 60 --minutes 30 [--flink ...] [--json FILE]

A feeder writes numbered events of each key to one stream; a job reads them, checks their order in its state and writes them to a second
stream in transactions. Meanwhile, chosen by the seed: a TaskManager is killed (SIGKILL) and started again, the job is stopped with a
savepoint and started from it with another parallelism, the server is killed (SIGKILL) and started again, both are at once, and a stream is
scaled; each at any time between checkpoints, some before the job has recovered from the one before.
At the end the second stream must hold each event once, in the order of its key. Exit status 0: so it is; 1: not; 2: could not be run.

--rounds N: so many runs, with the seeds from --seed (default 1) on; --flink 2.3,1.20 takes each seed on both. --json FILE gets a line for each.
--scale-every SECONDS: no other fault; the stream that is read is scaled so often for --minutes, and no checkpoint may expire or fail.

Without --controller a server is started and killed: $MILLRACE_BIN, else build/millrace. Needs `make flink`.
"""
import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from cluster import Feeder, Flink, exact, note, servers, tool, verify  # noqa: E402

OVERLAP = 0.25  # of the faults strike before the job has recovered from the one before


class Run:
    def __init__(self, options, seed, flink, scratch):
        self.options = options
        self.random = random.Random(seed)
        self.server = None
        if options.controller:
            self.controller = options.controller
        else:
            self.server = servers.Server(os.path.join(scratch, "server"))
            self.server.start()
            self.controller = f"tcp://127.0.0.1:{self.server.base}"
        self.flink = flink
        scope = "faults%d" % (time.time() * 1000)
        self.source, self.sink = scope + "/in", scope + "/out"
        self.parallelism = 2
        self.job = None
        self.feeder = None
        self.done = []
        self.recoveries = []  # seconds from a fault to the second checkpoint after it

    def end(self):
        if self.feeder:
            self.feeder.kill()
        if self.server:
            self.server.kill_quietly()

    def submit(self, savepoint="-"):
        line = tool(self.flink, "job", self.flink.rest, self.controller, self.source, self.sink, self.parallelism, 1000, savepoint,
                    "unaligned" if self.options.unaligned else "aligned")
        self.job = line.split()[-1]

    def checkpoint(self, count=2):
        """Waits for checkpoints that were begun after now."""
        begun = self.flink.completed(self.job)
        self.flink.until("checkpoint", self.options.patience, lambda: self.flink.completed(self.job) >= begun + count)

    def kill_taskmanager(self):
        # One that has tasks, if Flink's REST API knows of one.
        busy = [each["id"] for each in self.flink.get("/taskmanagers")["taskmanagers"] if each["freeSlots"] < each["slotsNumber"]]
        number = self.random.choice([number for number, name in sorted(self.flink.ids.items()) if name in busy] or [0, 1])
        self.flink.kill(f"taskmanager-{number}")
        self.flink.start_taskmanager(number)
        return str(number)

    def rescale(self):
        self.parallelism = self.random.choice([p for p in (1, 2, 3, 4) if p != self.parallelism])
        def stop():
            trigger = self.flink.get(f"/jobs/{self.job}/stop", {"targetDirectory": "file://" + self.flink.folder + "/savepoints", "drain": False})
            path = f"/jobs/{self.job}/savepoints/{trigger['request-id']}"
            answer = self.flink.until("savepoint", self.options.patience, lambda: (lambda a: a if a["status"]["id"] == "COMPLETED" else None)(
                self.flink.get(path)))
            return answer["operation"].get("location")
        # A savepoint that meets a restart fails; the job runs on.
        location = self.flink.until("savepoint", self.options.patience, stop)
        self.flink.until("end of the job", self.options.patience, lambda: self.flink.state(self.job) == "FINISHED")
        self.submit(location)
        return f"to {self.parallelism}"

    def kill_server(self):
        self.server.kill()
        time.sleep(self.random.random() * 3)
        self.server.start()

    def kill_both(self):
        self.server.kill()
        self.kill_taskmanager()
        self.server.start()

    def scale_stream(self):
        stream, segments = self.random.choice([self.source, self.sink]), self.random.randrange(1, 5)
        tool(self.flink, "scale", self.controller, stream, segments)
        return f"{stream} to {segments}"

    def faults(self):
        options = self.options
        kinds = [self.kill_taskmanager, self.rescale]
        if not options.no_scaling:
            kinds.append(self.scale_stream)
        if self.server and not options.no_server_kills:
            kinds += [self.kill_server, self.kill_both]
        # Each kind at least once, if there are enough; then any.
        order = kinds[:]
        self.random.shuffle(order)
        while len(order) < options.faults:
            order.append(self.random.choice(kinds))
        order = order[:options.faults]
        for number, fault in enumerate(order):
            time.sleep(self.random.random() * 1.5)  # anywhere between two checkpoints
            struck = time.monotonic()
            detail = fault()
            self.done.append(fault.__name__)
            note(f"{fault.__name__} {detail or ''}")
            if self.random.random() < OVERLAP and number + 1 < len(order):
                time.sleep(self.random.random() * 3)
                continue
            self.checkpoint()
            self.recoveries.append(round(time.monotonic() - struck, 1))
            note("checkpoints complete again")

    def scalings(self):
        """Scales the stream that is read again and again, and counts what becomes of the checkpoints."""
        options, turns, end = self.options, 0, time.monotonic() + self.options.minutes * 60
        # Flink may begin one while the job's tasks are still being started, and fails it then.
        before = self.flink.get(f"/jobs/{self.job}/checkpoints")["counts"]["failed"]
        while time.monotonic() < end:
            begun = time.monotonic()
            segments = self.random.choice([s for s in (1, 2, 3, 4, 6) if turns == 0 or s != segments])
            tool(self.flink, "scale", self.controller, self.source, segments)
            turns += 1
            counts = self.flink.get(f"/jobs/{self.job}/checkpoints")["counts"]
            note(f"scaled to {segments}; checkpoints {counts}")
            if counts["failed"] > before:
                break
            time.sleep(max(0, min(begun + options.scale_every, end) - time.monotonic()))
        self.checkpoint()
        found = self.flink.get(f"/jobs/{self.job}/checkpoints")
        durations = found["summary"]["end_to_end_duration"]
        return {"minutes": options.minutes, "scalings": turns, "checkpoints": found["counts"]["completed"], "failed": found["counts"]["failed"] - before,
                "restored": found["counts"]["restored"], "checkpoint_ms": {name: durations[name] for name in ("avg", "p95", "max")}}

    def run(self):
        options = self.options
        tool(self.flink, "create", self.controller, self.source, 2, self.sink, 2)
        self.flink.until("TaskManagers", 180, lambda: self.flink.get("/overview")["taskmanagers"] >= 2)
        self.submit()
        self.feeder = Feeder(self.flink, self.controller, self.source, options.keys, options.rate)
        self.checkpoint()
        note("first checkpoints are complete")
        more = {}
        if options.scale_every:
            more = self.scalings()
        else:
            self.faults()
        numbers = self.feeder.end(options.patience)
        note("all is written")
        found = verify(self.flink, self.controller, self.sink, options.keys, numbers, options.patience)
        note("verified")
        self.flink.cancel(self.job)
        return found | more


def one(options, seed, line, clusters):
    """One run: its line for --json. Its logs stay if it failed. The cluster serves the next run too, unless this one failed."""
    scratch = tempfile.mkdtemp(prefix="millrace-flink-")
    note(f"seed {seed}, Flink {line}, logs in {scratch}")
    begun = time.monotonic()
    result = {"seed": seed, "line": line}
    run = None
    try:
        if line not in clusters:
            clusters[line] = Flink(line, tempfile.mkdtemp(prefix="millrace-flink-cluster-"), 2)
        run = Run(options, seed, clusters[line], scratch)
        result |= run.run()
        result["exact"] = exact(result) and not result.get("failed")
    except Exception as error:  # whatever it is, the seed and the logs are needed
        result |= {"exact": False, "error": f"{type(error).__name__}: {error}"}
    finally:
        if run:
            run.end()
    result["faults"] = run.done if run else []
    result["recovery_s"] = run.recoveries if run else []
    result["seconds"] = round(time.monotonic() - begun, 1)
    result["load"] = round(os.getloadavg()[0], 1)
    if result["exact"]:
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        result["logs"] = scratch
        if line in clusters:
            result["cluster_logs"] = clusters[line].folder
            clusters.pop(line).end()
    text = json.dumps(result)
    print(text, flush=True)
    print("ok exactly_once" if result["exact"] else f"FAILED exactly_once: seed {seed}, Flink {line}", flush=True)
    if options.json:
        with open(options.json, "a") as out:
            out.write(text + "\n")
    return result["exact"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--faults", type=int, default=5)
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--rate", type=float, default=250)
    parser.add_argument("--flink", default="2.3")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json")
    parser.add_argument("--controller")
    parser.add_argument("--no-server-kills", action="store_true")
    parser.add_argument("--no-scaling", action="store_true")
    parser.add_argument("--unaligned", action="store_true")
    parser.add_argument("--patience", type=int, default=180)
    parser.add_argument("--scale-every", type=float)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    first = options.seed if options.seed is not None else 1 if options.rounds else random.randrange(1 << 31)
    good, clusters = True, {}
    for seed in range(first, first + (options.rounds or 1)):
        for line in options.flink.split(","):
            good = one(options, seed, line, clusters) and good
    for cluster in clusters.values():
        cluster.end()
        shutil.rmtree(cluster.folder, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
