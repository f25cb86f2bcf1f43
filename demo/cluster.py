"""The demo's Flink cluster: one JobManager and one TaskManager on the jars that Maven put together."""
import json
import os
import sys
import time
import urllib.error
import urllib.request

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "flink"))
from flink_processes import TASKMANAGER, FlinkProcesses  # noqa: E402


class Failed(Exception):
    """What the user has to know; no trace is needed."""


class Flink(FlinkProcesses):
    def __init__(self, classpath, folder, rest_port, slots):
        super().__init__(classpath, folder, rest_port, {
            "taskmanager.numberOfTaskSlots": slots,
            "taskmanager.cpu.cores": "2.0", "taskmanager.memory.task.heap.size": "512m", "taskmanager.memory.task.off-heap.size": "128m",
            "taskmanager.memory.network.min": "64m", "taskmanager.memory.network.max": "64m", "taskmanager.memory.managed.size": "256m",
            "taskmanager.memory.jvm-metaspace.size": "192m", "heartbeat.timeout": 120000,
            # Streaming jobs may be rescaled while they run; the view wants fresh figures.
            "jobmanager.scheduler": "adaptive", "jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling": "5 s",
            "jobmanager.adaptive-scheduler.executing.resource-stabilization-timeout": "1 s",
            "jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout": "1 s",
            "web.refresh-interval": 1000, "metrics.fetcher.update-interval": 1000,
        })
        self.launch("taskmanager", "640m", TASKMANAGER, tier=4)

    def check(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise Failed(f"Flink's {name} ended with status {process.returncode}: {self.log(name)}")

    def get(self, path):
        """Flink's REST: the parsed answer, or None when it cannot be had now."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}{path}", timeout=10) as answer:
                return json.loads(answer.read() or b"{}")
        except (OSError, ValueError):
            return None

    def wait(self, what, seconds, ask):
        """Until ask() gives something, which is returned."""
        end = time.monotonic() + seconds
        while True:
            answer = ask()
            if answer:
                return answer
            self.check()
            if time.monotonic() > end:
                raise Failed(f"no {what} within {seconds} s; logs in {self.folder}")
            time.sleep(0.1)
