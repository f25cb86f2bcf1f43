"""A small Flink cluster on loopback: one JobManager and one TaskManager, each a JVM of its own, on the jars that Maven put together."""
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

OPENS = ["--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
         "--add-opens=java.base/java.time=ALL-UNNAMED", "--add-opens=java.base/java.net=ALL-UNNAMED"]


class Failed(Exception):
    """What the user has to know; no trace is needed."""


class Flink:
    def __init__(self, classpath, folder, rest_port, slots):
        self.classpath, self.folder, self.rest = classpath, folder, rest_port
        self.processes = {}
        for name in ("conf", "checkpoints", "tmp"):
            os.makedirs(os.path.join(folder, name))
        settings = {
            "jobmanager.rpc.address": "127.0.0.1", "jobmanager.bind-host": "127.0.0.1", "jobmanager.rpc.port": rest_port + 1,
            "rest.address": "127.0.0.1", "rest.bind-address": "127.0.0.1", "rest.port": rest_port,
            "taskmanager.host": "127.0.0.1", "taskmanager.bind-host": "127.0.0.1", "taskmanager.numberOfTaskSlots": slots,
            "io.tmp.dirs": folder + "/tmp", "web.upload.dir": folder + "/tmp",
            "jobmanager.memory.heap.size": "256m", "jobmanager.memory.off-heap.size": "64m",
            "taskmanager.cpu.cores": "2.0", "taskmanager.memory.task.heap.size": "512m", "taskmanager.memory.task.off-heap.size": "128m",
            "taskmanager.memory.framework.heap.size": "64m", "taskmanager.memory.framework.off-heap.size": "64m",
            "taskmanager.memory.network.min": "64m", "taskmanager.memory.network.max": "64m", "taskmanager.memory.managed.size": "256m",
            "taskmanager.memory.jvm-metaspace.size": "192m", "taskmanager.memory.jvm-overhead.min": "64m",
            "taskmanager.memory.jvm-overhead.max": "64m",
            "execution.checkpointing.dir": "file://" + folder + "/checkpoints",
            # Streaming jobs may be rescaled while they run; the view wants fresh figures.
            "jobmanager.scheduler": "adaptive", "jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling": "5 s",
            "jobmanager.adaptive-scheduler.executing.resource-stabilization-timeout": "1 s",
            "jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout": "1 s",
            # A machine that is busy with other things is no reason to fail.
            "pekko.ask.timeout": "60 s", "heartbeat.timeout": 120000,
            "web.refresh-interval": 1000, "metrics.fetcher.update-interval": 1000,
        }
        with open(os.path.join(folder, "conf", "config.yaml"), "w") as out:
            for key, value in settings.items():
                out.write(f"{key}: {value}\n")
        self.launch("jobmanager", "320m", "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint")
        self.launch("taskmanager", "640m", "org.apache.flink.runtime.taskexecutor.TaskManagerRunner", tier=4)

    def java(self, heap, level, main, *arguments, tier=1):
        """The quick compiler alone is the faster one for what lives some seconds; the TaskManager gets both."""
        return ["java", "-Xmx" + heap, "-XX:+UseSerialGC", f"-XX:TieredStopAtLevel={tier}", f"-Dorg.slf4j.simpleLogger.defaultLogLevel={level}",
                "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.log.io.pravega=error", *OPENS, "-cp", self.classpath, main,
                *map(str, arguments)]

    def launch(self, name, heap, main, tier=1):
        with open(os.path.join(self.folder, name + ".log"), "ab") as log:
            # A session of its own: Ctrl-C is the script's to answer.
            self.processes[name] = subprocess.Popen(self.java(heap, "info", main, "--configDir", self.folder + "/conf", tier=tier),
                                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def check(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise Failed(f"Flink's {name} ended with status {process.returncode}: {self.folder}/{name}.log")

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()

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
