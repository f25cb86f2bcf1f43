"""A cluster of Flink's own processes and the fault test's programs, for the tests beside this file."""
import atexit
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "e2e"), os.path.join(ROOT, "flink")]
import server as servers  # noqa: E402
from flink_processes import TASKMANAGER, FlinkProcesses  # noqa: E402

STARTED = time.monotonic()


def note(text):
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


class Flink(FlinkProcesses):
    """One JobManager and some TaskManagers on the classes that Maven put together."""

    def __init__(self, line, folder, taskmanagers, settings=None, heap="384m"):
        """`line`: 2.3 or 1.20. `settings`: of Flink, besides and instead of those here. `heap`: of a TaskManager."""
        build = os.path.join(ROOT, "build", "flink", line)
        if not os.path.isdir(os.path.join(build, "test-classes")):
            print("not built: make flink", file=sys.stderr)
            sys.exit(2)
        self.heap = heap
        self.lives = 0
        self.ids = {}  # of the TaskManagers that live, by number
        self.tools = None
        classpath = ":".join([os.path.join(build, "classes"), os.path.join(build, "test-classes"), os.path.join(build, "lib", "*")])
        super().__init__(classpath, folder, servers.free_ports(), {
            "taskmanager.numberOfTaskSlots": 2,
            "taskmanager.cpu.cores": "1.0", "taskmanager.memory.task.heap.size": "192m", "taskmanager.memory.task.off-heap.size": "64m",
            "taskmanager.memory.network.min": "32m", "taskmanager.memory.network.max": "32m", "taskmanager.memory.managed.size": "32m",
            "taskmanager.memory.jvm-metaspace.size": "128m", "pekko.startup-timeout": "300 s",
            "heartbeat.interval": 2000, "heartbeat.timeout": 15000, "heartbeat.rpc-failure-threshold": 2,
            # Else a cluster that is five minutes old refuses a job whose TaskManager is still starting.
            "resourcemanager.standalone.start-up-time": 86400000, "slot.request.timeout": 300000,
            "state.checkpoints.dir": "file://" + folder + "/checkpoints",
        } | (settings or {}))
        atexit.register(self.end)
        for i in range(taskmanagers):
            self.start_taskmanager(i)

    def start_taskmanager(self, number):
        self.lives += 1
        self.ids[number] = f"tm-{number}-{self.lives}"
        self.launch(f"taskmanager-{number}", self.heap, TASKMANAGER, "-D", f"taskmanager.resource-id={self.ids[number]}")

    def kill(self, name):
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def end(self):
        if self.tools:
            self.tools.end()
        super().end()

    def get(self, path, body=None, method=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        for last in (False, False, True):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.loads(answer.read() or b"{}")
            except TimeoutError:  # of a machine that has much else to do
                if last or body is not None:
                    raise

    def again(self, name):
        """Starts a TaskManager again that ended because the machine was too busy for it to start; whether it was one."""
        with open(self.log(name), errors="replace") as log:
            slow = "Could not create actor system" in log.read()
        if not slow or not name.startswith("taskmanager-"):
            return False
        note(f"{name} did not start within Flink's 10 s: starting it again")
        os.rename(self.log(name), self.log(f"{name}-slow-{self.lives}"))
        self.start_taskmanager(int(name.split("-")[1]))
        return True

    def until(self, what, seconds, ask):
        """Waits until ask() gives something; raises after so many seconds."""
        end = time.monotonic() + seconds
        while True:
            for name, process in list(self.processes.items()):
                if process.poll() is not None and not self.again(name):
                    raise RuntimeError(f"{name} ended; see {self.log(name)}")
            try:
                answer = ask()
                if answer:
                    return answer
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            if time.monotonic() > end:
                raise RuntimeError(f"no {what} after {seconds} s; see {self.folder}")
            time.sleep(0.25)

    def completed(self, job):
        return self.get(f"/jobs/{job}/checkpoints")["counts"]["completed"]

    def state(self, job):
        return self.get(f"/jobs/{job}")["state"]

    def cancel(self, job):
        if self.state(job) not in ("FINISHED", "CANCELED", "FAILED"):
            self.get(f"/jobs/{job}?mode=cancel", method="PATCH")
            self.until("end of the job", 180, lambda: self.state(job) in ("FINISHED", "CANCELED", "FAILED"))

    def parallelism(self, job):
        """Of its widest vertex, if the job and all of its tasks run; else None."""
        found = self.get(f"/jobs/{job}")
        fine = found["state"] == "RUNNING" and all(each["tasks"].get("RUNNING", 0) == each["parallelism"] for each in found["vertices"])
        return max(each["parallelism"] for each in found["vertices"]) if fine else None

    def metric(self, job, vertex, name):
        """Sum over the subtasks of the vertex with this text in its name; None while there is none. Of an operator's: its last part."""
        for each in self.get(f"/jobs/{job}")["vertices"]:
            if vertex in each["name"]:
                path = f"/jobs/{job}/vertices/{each['id']}/subtasks/metrics"
                known = [found["id"] for found in self.get(path) if found["id"] == name or found["id"].endswith("." + name)]
                found = self.get(f"{path}?get={known[0]}&agg=sum") if known else None
                return found[0]["sum"] if found else None
        return None


class Tools:
    """The test's programs in one JVM that stays: a start for each of them would be most of what they take."""

    def __init__(self, flink):
        self.log = flink.log("tools")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(flink.java("256m", "off", "io.millrace.flink.faults.FaultTools", "serve"), stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, start_new_session=True, text=True)
        self.answers = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            if line[0] in "=!":
                self.answers.put(line.rstrip("\n"))
        self.answers.put("!ended")

    def run(self, arguments, timeout):
        self.process.stdin.write(" ".join(map(str, arguments)) + "\n")
        self.process.stdin.flush()
        try:
            answer = self.answers.get(timeout=timeout)
        except queue.Empty:
            self.process.kill()
            raise RuntimeError(f"{arguments[0]}: no answer after {timeout} s") from None
        if answer[0] != "=":
            raise RuntimeError(f"{arguments[0]} failed: {answer[1:]}; see {self.log}")
        return answer[1:]

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def tool(flink, *arguments, timeout=600):
    """Runs one of FaultTools to its end; returns the line that it answers. The first argument: create, scale, verify, job."""
    if flink.tools is None:
        flink.tools = Tools(flink)
    return flink.tools.run(arguments, timeout)


class Feeder:
    """Writes numbered events of so many keys to a stream until it is told to end; the server may come and go."""

    def __init__(self, flink, controller, stream, keys, rate):
        command = flink.java("256m", "off", "io.millrace.flink.faults.FaultTools", "feed", controller, stream, keys, 0, rate)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, text=True)
        atexit.register(self.kill)

    def rate(self, events_per_second):
        self.process.stdin.write(f"{events_per_second}\n")
        self.process.stdin.flush()

    def end(self, patience):
        """All that was written is acknowledged; returns how many events each key has."""
        said, _ = self.process.communicate(timeout=patience)
        if self.process.returncode != 0:
            raise RuntimeError("the feeder failed")
        return int(said.split()[-1])

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def verify(flink, controller, stream, keys, numbers, patience):
    """Reads the stream: {events, found, lost, duplicated, reordered, foreign, first_wrong}; `events` is how many there must be."""
    return json.loads(tool(flink, "verify", controller, stream, keys, numbers, patience, timeout=3600))


def exact(verdict):
    return verdict["found"] == verdict["events"] and not any(verdict[what] for what in ("lost", "duplicated", "reordered", "foreign"))
