#!/usr/bin/env python3
"""Stream to stream through a real Flink cluster, exactly once, while its processes and the store are killed; every event is verified.

    exactly_once.py [--seed N] [--faults N] [--keys N] [--numbers N] [--rate N] [--flink 2.3|1.20]
                    [--controller URI] [--no-server-kills] [--no-scaling] [--unaligned] [--patience SECONDS]

A feeder writes numbered events of each key to one stream; a job reads them, checks their order in its state and writes them to a second
stream in transactions. Meanwhile, chosen by the seed: a TaskManager is killed (SIGKILL) and started again, the job is stopped with a
savepoint and started from it with another parallelism, the server is killed (SIGKILL) and started again, and a stream is scaled.
At the end the second stream must hold each event once, in the order of its key. Exit status 0: so it is; 1: not; 2: could not be run.

Without --controller a server is started and killed: $MILLRACE_BIN, else build/millrace. Needs `make flink`.
"""
import argparse
import atexit
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import server as servers  # noqa: E402

OPENS = ["--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
         "--add-opens=java.base/java.time=ALL-UNNAMED", "--add-opens=java.base/java.net=ALL-UNNAMED"]
STARTED = time.monotonic()


def note(text):
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


class Flink:
    """One JobManager and some TaskManagers, each a JVM of its own, on the classes that Maven put together."""

    def __init__(self, build, scratch, taskmanagers):
        self.scratch = scratch
        self.classpath = ":".join([os.path.join(build, "classes"), os.path.join(build, "test-classes"), os.path.join(build, "lib", "*")])
        base = servers.free_ports()
        self.rest, self.rpc = base, base + 1
        self.processes = {}
        self.lives = 0
        for folder in ("conf", "checkpoints", "savepoints", "tmp"):
            os.makedirs(os.path.join(scratch, folder))
        settings = {
            "jobmanager.rpc.address": "127.0.0.1", "jobmanager.bind-host": "127.0.0.1", "jobmanager.rpc.port": self.rpc,
            "rest.address": "127.0.0.1", "rest.bind-address": "127.0.0.1", "rest.port": self.rest,
            "taskmanager.host": "127.0.0.1", "taskmanager.bind-host": "127.0.0.1", "taskmanager.numberOfTaskSlots": 2,
            "io.tmp.dirs": scratch + "/tmp", "web.upload.dir": scratch + "/tmp",
            "jobmanager.memory.heap.size": "256m", "jobmanager.memory.off-heap.size": "64m",
            "taskmanager.cpu.cores": "1.0", "taskmanager.memory.task.heap.size": "192m", "taskmanager.memory.task.off-heap.size": "64m",
            "taskmanager.memory.framework.heap.size": "64m", "taskmanager.memory.framework.off-heap.size": "64m",
            "taskmanager.memory.network.min": "32m", "taskmanager.memory.network.max": "32m", "taskmanager.memory.managed.size": "32m",
            "taskmanager.memory.jvm-metaspace.size": "128m", "taskmanager.memory.jvm-overhead.min": "64m",
            "taskmanager.memory.jvm-overhead.max": "64m",
            "pekko.startup-timeout": "300 s", "pekko.ask.timeout": "60 s",
            "heartbeat.interval": 2000, "heartbeat.timeout": 15000, "heartbeat.rpc-failure-threshold": 2,
            # Else a cluster that is five minutes old refuses a job whose TaskManager is still starting.
            "resourcemanager.standalone.start-up-time": 86400000, "slot.request.timeout": 300000,
            "execution.checkpointing.dir": "file://" + scratch + "/checkpoints", "state.checkpoints.dir": "file://" + scratch + "/checkpoints",
            "execution.checkpointing.savepoint-dir": "file://" + scratch + "/savepoints",
        }
        with open(os.path.join(scratch, "conf", "config.yaml"), "w") as out:
            for key, value in settings.items():
                out.write(f"{key}: {value}\n")
        atexit.register(self.end)
        self.launch("jobmanager", "320m", "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint", [])
        for i in range(taskmanagers):
            self.start_taskmanager(i)

    def launch(self, name, heap, main, arguments):
        log = open(os.path.join(self.scratch, name + ".log"), "ab")
        self.processes[name] = subprocess.Popen(
            ["java", "-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
             "-Dorg.slf4j.simpleLogger.log.io.pravega=error", *OPENS, "-cp", self.classpath, main, "--configDir", self.scratch + "/conf",
             *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()

    def start_taskmanager(self, number):
        self.lives += 1
        self.launch(f"taskmanager-{number}", "384m", "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
                    ["-D", f"taskmanager.resource-id=tm-{number}-{self.lives}"])

    def kill(self, name):
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def end(self):
        for name in list(self.processes):
            if self.processes[name].poll() is None:
                self.kill(name)

    def get(self, path, body=None, method=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"{}")

    def until(self, what, seconds, ask):
        """Waits until ask() gives something; raises after so many seconds."""
        end = time.monotonic() + seconds
        while True:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended; see {self.scratch}/{name}.log")
            try:
                answer = ask()
                if answer:
                    return answer
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            if time.monotonic() > end:
                raise RuntimeError(f"no {what} after {seconds} s; see {self.scratch}")
            time.sleep(0.25)

    def completed(self, job):
        return self.get(f"/jobs/{job}/checkpoints")["counts"]["completed"]

    def state(self, job):
        return self.get(f"/jobs/{job}")["state"]


def tool(flink, main, *arguments, timeout=600):
    """Runs one of the test's programs to its end; returns the last line that it printed."""
    command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", *OPENS, "-cp",
               flink.classpath, "io.millrace.flink.faults." + main, *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"{main} {arguments[0]} failed: {done.stderr.decode(errors='replace')[-2000:]}")
    lines = done.stdout.decode().strip().split("\n")
    return lines[-1]


class Run:
    def __init__(self, options, scratch):
        self.options = options
        self.random = random.Random(options.seed)
        self.server = None
        if options.controller:
            self.controller = options.controller
        else:
            self.server = servers.Server(os.path.join(scratch, "server"))
            self.server.start()
            self.controller = f"tcp://127.0.0.1:{self.server.base}"
        build = os.path.join(ROOT, "build", "flink", options.flink)
        if not os.path.isdir(os.path.join(build, "test-classes")):
            print("not built: make flink", file=sys.stderr)
            sys.exit(2)
        self.flink = Flink(build, os.path.join(scratch, "flink"), 2)
        scope = "faults%d" % (time.time() * 1000)
        self.source, self.sink = scope + "/in", scope + "/out"
        self.parallelism = 2
        self.job = None
        self.done = []

    def submit(self, savepoint="-"):
        line = tool(self.flink, "FaultJob", self.flink.rest, self.controller, self.source, self.sink, self.parallelism, 1000, savepoint,
                    "unaligned" if self.options.unaligned else "aligned")
        self.job = line.split()[-1]

    def checkpoint(self, count=2):
        """Waits for checkpoints that were begun after now."""
        begun = self.flink.completed(self.job)
        self.flink.until("checkpoint", self.options.patience, lambda: self.flink.completed(self.job) >= begun + count)

    def kill_taskmanager(self):
        number = self.random.randrange(2)
        self.flink.kill(f"taskmanager-{number}")
        self.flink.start_taskmanager(number)

    def rescale(self):
        self.parallelism = self.random.choice([p for p in (1, 2, 3, 4) if p != self.parallelism])
        def stop():
            trigger = self.flink.get(f"/jobs/{self.job}/stop", {"targetDirectory": "file://" + self.flink.scratch + "/savepoints", "drain": False})
            path = f"/jobs/{self.job}/savepoints/{trigger['request-id']}"
            answer = self.flink.until("savepoint", self.options.patience, lambda: (lambda a: a if a["status"]["id"] == "COMPLETED" else None)(
                self.flink.get(path)))
            return answer["operation"].get("location")
        # A savepoint that meets a restart fails; the job runs on.
        location = self.flink.until("savepoint", self.options.patience, stop)
        self.flink.until("end of the job", 60, lambda: self.flink.state(self.job) == "FINISHED")
        self.submit(location)
        return f"to {self.parallelism}"

    def kill_server(self):
        self.server.kill()
        time.sleep(self.random.random() * 3)
        self.server.start()

    def scale_stream(self):
        stream, segments = self.random.choice([self.source, self.sink]), self.random.randrange(1, 5)
        tool(self.flink, "FaultTools", "scale", self.controller, stream, segments)
        return f"{stream} to {segments}"

    def run(self):
        options = self.options
        tool(self.flink, "FaultTools", "create", self.controller, self.source, 2, self.sink, 2)
        self.flink.until("TaskManagers", 180, lambda: self.flink.get("/overview")["taskmanagers"] >= 2)
        self.submit()
        feeder = subprocess.Popen(["java", "-Xmx256m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp",
                                   self.flink.classpath, "io.millrace.flink.faults.FaultTools", "feed", self.controller, self.source,
                                   str(options.keys), str(options.numbers), str(options.rate)], stdin=subprocess.DEVNULL, start_new_session=True)
        atexit.register(lambda: feeder.poll() is None and feeder.kill())
        self.checkpoint()
        note("first checkpoints are complete")
        faults = [self.kill_taskmanager, self.rescale]
        if not options.no_scaling:
            faults.append(self.scale_stream)
        if self.server and not options.no_server_kills:
            faults.append(self.kill_server)
        # Each kind at least once, if there are enough; then any.
        order = faults[:]
        self.random.shuffle(order)
        while len(order) < options.faults:
            order.append(self.random.choice(faults))
        for fault in order[:options.faults]:
            detail = fault()
            self.done.append(fault.__name__)
            note(f"{fault.__name__} {detail or ''}")
            self.checkpoint()
            note("checkpoints complete again")
        if feeder.wait(timeout=3600) != 0:
            raise RuntimeError("the feeder failed")
        verdict = json.loads(tool(self.flink, "FaultTools", "verify", self.controller, self.sink, options.keys, options.numbers, options.patience,
                                  timeout=3600))
        verdict.update(seed=options.seed, flink=options.flink, faults=self.done)
        return verdict


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--faults", type=int, default=4)
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--numbers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=250)
    parser.add_argument("--flink", default="2.3")
    parser.add_argument("--controller")
    parser.add_argument("--no-server-kills", action="store_true")
    parser.add_argument("--no-scaling", action="store_true")
    parser.add_argument("--unaligned", action="store_true")
    parser.add_argument("--patience", type=int, default=180)
    options = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix="millrace-flink-")
    note(f"seed {options.seed}, Flink {options.flink}, logs in {scratch}")
    try:
        verdict = Run(options, scratch).run()
    except Exception as error:  # whatever it is, the seed and the logs are needed
        print(f"FAILED exactly_once: seed {options.seed}: {type(error).__name__}: {error}")
        return 1
    print(json.dumps(verdict))
    good = verdict["complete"] and verdict["wrong"] == 0 and verdict["found"] == verdict["expected"]
    print("ok exactly_once" if good else f"FAILED exactly_once: seed {options.seed}: {verdict}")
    if good:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
