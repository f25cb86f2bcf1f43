"""Flink's own processes on loopback, each a JVM of its own: what the demo's cluster and the tests' clusters share."""
import os
import subprocess

OPENS = ["--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
         "--add-opens=java.base/java.time=ALL-UNNAMED", "--add-opens=java.base/java.net=ALL-UNNAMED"]
JOBMANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASKMANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"


class FlinkProcesses:
    """The JobManager runs from the start; TaskManagers are launched by who uses this. REST is at `rest`, and `rest` + 1 is taken too."""

    def __init__(self, classpath, folder, rest, settings):
        """`settings`: of Flink, besides and instead of those here. `folder`: for logs, configuration, checkpoints."""
        self.classpath, self.folder, self.rest = classpath, folder, rest
        self.processes = {}
        for name in ("conf", "checkpoints", "savepoints", "tmp"):
            os.makedirs(os.path.join(folder, name))
        settings = {
            "jobmanager.rpc.address": "127.0.0.1", "jobmanager.bind-host": "127.0.0.1", "jobmanager.rpc.port": rest + 1,
            "rest.address": "127.0.0.1", "rest.bind-address": "127.0.0.1", "rest.port": rest,
            "taskmanager.host": "127.0.0.1", "taskmanager.bind-host": "127.0.0.1",
            "io.tmp.dirs": folder + "/tmp", "web.upload.dir": folder + "/tmp",
            "jobmanager.memory.heap.size": "256m", "jobmanager.memory.off-heap.size": "64m",
            "taskmanager.memory.framework.heap.size": "64m", "taskmanager.memory.framework.off-heap.size": "64m",
            "taskmanager.memory.jvm-overhead.min": "64m", "taskmanager.memory.jvm-overhead.max": "64m",
            "execution.checkpointing.dir": "file://" + folder + "/checkpoints",
            "execution.checkpointing.savepoint-dir": "file://" + folder + "/savepoints",
            # A machine that is busy with other things is no reason to fail.
            "pekko.ask.timeout": "60 s",
        } | settings
        with open(os.path.join(folder, "conf", "config.yaml"), "w") as out:
            for key, value in settings.items():
                out.write(f"{key}: {value}\n")
        self.launch("jobmanager", "320m", JOBMANAGER)

    def java(self, heap, level, main, *arguments, tier=1):
        """The command of a JVM. The quick compiler alone (tier 1) is the faster one for what lives some seconds."""
        return ["java", "-Xmx" + heap, "-XX:+UseSerialGC", f"-XX:TieredStopAtLevel={tier}", f"-Dorg.slf4j.simpleLogger.defaultLogLevel={level}",
                "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.log.io.pravega=error", *OPENS, "-cp", self.classpath, main,
                *map(str, arguments)]

    def log(self, name):
        return os.path.join(self.folder, name + ".log")

    def launch(self, name, heap, main, *arguments, tier=1):
        """One of Flink's processes. In a session of its own: Ctrl-C is the script's to answer."""
        with open(self.log(name), "ab") as log:
            self.processes[name] = subprocess.Popen(
                self.java(heap, "info", main, "--configDir", self.folder + "/conf", *arguments, tier=tier),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
