#!/usr/bin/env python3
"""A stream that splits with its load, and a Flink job that follows it by `millrace flink-scale`: ten times the load, and back again.

    scaling_together.py [--flink 2.3|1.20] [--rate N] [--times 10] [--hold SECONDS] [--patience SECONDS] [--json FILE] [--keep]

A feeder writes numbered events at --rate to a stream with an auto-scaling policy, which has one segment then; a job on Flink's adaptive
scheduler copies it exactly once to a second stream. Then the rate is ten times as high: the stream splits, flink-scale asks for as many
subtasks, Flink rescales, the lag drains. Then the rate is as before: segments merge, the job follows again. At the end every event must be
in the second stream, once and in order. Prints one line of JSON with the seconds that each step took; they are figures, not conditions.
Exit status 0: each step came and every event is right; 1: not; 2: could not be run. Needs `make flink`.
"""
import argparse
import atexit
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from cluster import Feeder, Flink, exact, note, servers, tool, verify  # noqa: E402

SLOTS, TASKMANAGERS = 4, 2
KEYS = 200  # enough for a segment of them to be divided often


class Follower:
    """What the stream and the job have, each second: (time, open segments, parallelism or None, unread bytes or None)."""

    def __init__(self, server, flink, stream, job):
        self.server, self.flink, self.stream, self.job = server, flink, stream, job
        self.seen = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def segments(self):
        scope, name = self.stream.split("/")
        _, text = self.server.get("/metrics")
        for line in text.split("\n"):
            if line.startswith("millrace_stream_advised_parallelism{") and f'scope="{scope}"' in line and f'stream="{name}"' in line:
                return int(float(line.split()[-1]))
        return None

    def follow(self):
        last = None
        while not self.ended.wait(0.5):
            try:
                now = (self.segments(), self.flink.parallelism(self.job), self.flink.metric(self.job, "Source", "pendingBytes"))
            except OSError:
                continue
            self.seen.append((time.monotonic(), *now))
            if now[:2] != last:
                note(f"{now[0]} segments, {now[1] or 'a restart to other'} subtasks, {now[2]} bytes unread")
                last = now[:2]

    def wait(self, what, patience, condition):
        """Until condition(segments, parallelism, unread) holds, from now on; the time at which it did."""
        end = time.monotonic() + patience
        looked = len(self.seen)
        while time.monotonic() < end:
            seen = self.seen[:]
            for when, *state in seen[looked:]:
                if condition(*state):
                    return when
            looked = max(looked, len(seen))
            time.sleep(0.1)
        raise RuntimeError(f"not within {patience} s: {what}; last seen {self.seen[-1:]}")

    def first(self, since, condition):
        return next((when for when, *state in self.seen if when >= since and condition(*state)), None)


def run(options, scratch):
    server = servers.Server(os.path.join(scratch, "server"))
    server.start()
    controller = f"tcp://127.0.0.1:{server.base}"
    flink = Flink(options.flink, os.path.join(scratch, "flink"), TASKMANAGERS, heap="640m", settings={
        "jobmanager.scheduler": "adaptive", "taskmanager.numberOfTaskSlots": SLOTS, "taskmanager.memory.task.heap.size": "448m",
        "metrics.fetcher.update-interval": 1000})
    scope = "together%d" % (time.time() * 1000)
    source, sink = scope + "/in", scope + "/out"
    most = SLOTS * TASKMANAGERS
    try:
        tool(flink, "create", controller, sink, 4)
        # The first rate is little enough of a segment's target for all to merge to one again; ten times that is too much for three.
        target = int(options.rate * 3)
        enough = min(most, math.ceil(options.rate * options.times / target))
        status, answer = server.get(f"/v1/scopes/{scope}/streams", "POST", {"streamName": "in", "scalingPolicy": {
            "type": "BY_RATE_IN_EVENTS_PER_SEC", "targetRate": target, "scaleFactor": 2, "minSegments": 1}})
        if status != 201:
            raise RuntimeError(f"the stream was answered {status}: {answer}")
        flink.until("TaskManagers", 180, lambda: flink.get("/overview")["slots-total"] >= most)
        job = tool(flink, "job", flink.rest, controller, source, sink, 1, 1000, "-", "aligned").split()[-1]
        flink.until("checkpoint", options.patience, lambda: flink.completed(job) >= 1)
        with open(os.path.join(scratch, "flink-scale.log"), "wb") as log:
            scaler = subprocess.Popen([servers.program(), "flink-scale", "--flink", f"http://127.0.0.1:{flink.rest}", "--job", job, "--metrics",
                                       "http://%s:%d" % server.rest, "--stream", source, "--max", str(most), "--cooldown-down", "60",
                                       "--log-level", "debug"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=servers.clean_environment())
        atexit.register(lambda: scaler.poll() is None and scaler.kill())
        feeder = Feeder(flink, controller, source, KEYS, options.rate)
        follower = Follower(server, flink, source, job)
        time.sleep(15)
        before = follower.seen[-1]
        note(f"the load goes from {options.rate:.0f} to {options.rate * options.times:.0f} events a second")
        step = time.monotonic()
        feeder.rate(options.rate * options.times)
        result = {"line": options.flink, "rate": options.rate, "times": options.times, "target": target, "segments_before": before[1]}
        split = follower.wait("a split", options.patience, lambda segments, *_: segments and segments > before[1])
        rescaled = follower.wait("a rescaling", options.patience, lambda _, width, __: width and width > (before[2] or 1))
        full = follower.wait("as many subtasks as segments", options.patience,
                             lambda segments, width, _: segments and width == min(segments, most) and segments >= enough)
        result |= {"step_to_split_s": split - step, "split_to_rescaled_s": rescaled - split}
        settled = next(when for when, segments, *_ in follower.seen if segments and segments >= enough)
        result |= {"enough_segments_to_all_subtasks_s": full - settled, "segments_up": follower.seen[-1][1], "subtasks_up": follower.seen[-1][2]}
        # What a second and a half brings may always be under way: a checkpoint is made each second.
        little = options.rate * options.times * 1.5 * 20
        def drained():
            return follower.first(full, lambda _, __, unread: unread is not None and unread <= little)
        flink.until("little lag", options.patience, drained)
        result |= {"most_lag_bytes": max((unread or 0) for when, _, __, unread in follower.seen if when >= step), "rescaled_to_drained_s": drained() - full}
        time.sleep(options.hold)
        result["segments_held"], result["subtasks_held"] = follower.seen[-1][1:3]
        note("the load goes down again")
        down = time.monotonic()
        wide = follower.seen[-1][2] or most
        feeder.rate(options.rate)
        merged = follower.wait("few segments", options.down_patience, lambda segments, *_: segments and segments <= 2)
        narrow = follower.wait("few subtasks", options.patience + 120, lambda segments, width, _: segments and width and width <= 2)
        first_merge = follower.first(down, lambda segments, *_: segments and segments < result["segments_held"])
        first_narrower = follower.first(down, lambda _, width, __: width and width < wide)
        result |= {"down_to_first_merge_s": first_merge - down, "down_to_first_rescaling_s": first_narrower - down, "down_to_few_segments_s": merged - down,
                   "down_to_few_subtasks_s": narrow - down}
        numbers = feeder.end(options.patience)
        follower.ended.set()
        found = flink.get(f"/jobs/{job}/checkpoints")["counts"]
        result |= {"checkpoints": found["completed"], "checkpoints_failed": found["failed"], "restarts": found["restored"]}
        result |= verify(flink, controller, sink, KEYS, numbers, options.patience)
        result["exact"] = exact(result)
        result["load"] = os.getloadavg()[0]
        return {name: round(value, 1) if isinstance(value, float) else value for name, value in result.items()}
    finally:
        flink.end()
        server.kill_quietly()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flink", default="2.3")
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--times", type=float, default=10)
    parser.add_argument("--hold", type=float, default=20)
    parser.add_argument("--patience", type=float, default=240)
    parser.add_argument("--down-patience", type=float, default=1500)
    parser.add_argument("--json")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix="millrace-together-")
    note(f"Flink {options.flink}, logs in {scratch}")
    try:
        result = run(options, scratch)
    except Exception as error:  # whatever it is, the logs are needed
        print(f"FAILED scaling_together: {type(error).__name__}: {error}; logs in {scratch}")
        return 1
    print(json.dumps(result))
    if options.json:
        with open(options.json, "a") as out:
            out.write(json.dumps(result) + "\n")
    print("ok scaling_together" if result["exact"] else f"FAILED scaling_together; logs in {scratch}")
    if result["exact"] and not options.keep:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0 if result["exact"] else 1


if __name__ == "__main__":
    sys.exit(main())
