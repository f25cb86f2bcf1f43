"""What the benchmarks share: processes and what they use, the load client, medians, tables, the report.

Times are in seconds, sizes in bytes, unless a name says otherwise. Python's standard library only.
"""
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import server as e2e  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()
CLIENT_PATIENCE = 60  # beyond a run's own length, for preparation and the last answers


class BenchError(Exception):
    """A part cannot go on: what it needs is missing, or a process failed. The other parts go on."""


class Skipped(Exception):
    """A part has nothing to measure here, which is no failure."""


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


# ---- what processes and the machine use ----

class Usage:
    """CPU seconds and written bytes of some processes and of the machine, as counted by the kernel so far."""

    def __init__(self, pids):
        self.time = time.monotonic()
        self.cpu = self.written = 0.0
        for pid in pids:
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            self.cpu += (int(fields[11]) + int(fields[12])) / TICKS
            with open(f"/proc/{pid}/io") as io:
                self.written += next(int(line.split()[1]) for line in io if line.startswith("write_bytes"))
        with open("/proc/stat") as stat:
            ticks = [int(field) for field in stat.readline().split()[1:9]]
        self.busy = (sum(ticks) - ticks[3] - ticks[4]) / TICKS  # without idle and iowait
        children = os.times()
        self.children = children.children_user + children.children_system

    def since(self, before):
        """Figures of the time between two samples. `others`: per cent of the machine that neither server nor client took."""
        elapsed = self.time - before.time
        server, client = self.cpu - before.cpu, self.children - before.children
        others = max(0.0, self.busy - before.busy - server - client)
        return {"server_cpu_s": server, "client_cpu_s": client, "written": self.written - before.written,
                "others": 100 * others / (elapsed * CORES)}


# ---- servers ----

class Millrace:
    """A server on a directory of its own below `work`; gone with its data at the end of the `with` block."""

    def __init__(self, work, name, options=()):
        self.server = e2e.Server(os.path.join(work, name), options=options)
        self.ready = None

    def start(self, seconds=300):
        try:
            self.ready = self.server.start(seconds)
        except e2e.NotReady as error:
            raise BenchError(f"Millrace did not start: {error}") from error
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.server.kill_quietly()
        shutil.rmtree(self.server.state, ignore_errors=True)

    @property
    def pid(self):
        return self.server.pid

    @property
    def port(self):
        return self.server.store[1]

    @property
    def controller(self):
        return f"tcp://127.0.0.1:{self.server.base}"


class NullSink:
    """The least that a durable server can do (null_sink.h), on the same disk."""

    def __init__(self, work):
        self.file = os.path.join(work, "null-sink.bin")

    def __enter__(self):
        self.port = e2e.free_ports()
        self.process = subprocess.Popen([tool(), "null-sink", "--file", self.file, "--port", str(self.port)],
                                        stdout=subprocess.PIPE, text=True)
        if "ready" not in self.process.stdout.readline():
            raise BenchError("the null sink did not start")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        if os.path.exists(self.file):
            os.remove(self.file)

    @property
    def pid(self):
        return self.process.pid


# ---- the load client ----

def tool():
    path = os.environ.get("MILLRACE_BENCH") or os.path.join(ROOT, "build", "release", "bench", "millrace-bench")
    if not os.access(path, os.X_OK):
        raise BenchError(f"{path} is not there: make build")
    return path


def number(text):
    try:
        return float(text)
    except ValueError:
        return text


def run_tool(command, patience=CLIENT_PATIENCE, **options):
    """Runs millrace-bench; its line of key=value as a dictionary. Options: name_with_underscores=value."""
    arguments = [tool(), command]
    for name, value in options.items():
        arguments += ["--" + name.replace("_", "-"), str(value)]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{' '.join(arguments)}: no end after {patience:.0f} s") from None
    if done.returncode != 0:
        raise BenchError(f"{' '.join(arguments)}: exit status {done.returncode}: {(done.stderr + done.stdout).strip()}")
    return {key: number(value) for key, value in (word.split("=", 1) for word in done.stdout.split() if "=" in word)}


def start_tool(command, **options):
    """Starts millrace-bench, to run beside something; its output is not looked at."""
    arguments = [tool(), command]
    for name, value in options.items():
        arguments += ["--" + name.replace("_", "-"), str(value)]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL)


def append(target, seconds, warmup, **options):
    """One append run against a server (anything with `port` and `pid`); adds what the server used for it."""
    before = Usage([target.pid])
    run = run_tool("append", patience=seconds + warmup + CLIENT_PATIENCE, port=target.port, seconds=seconds,
                   warmup=warmup, **options)
    run |= Usage([target.pid]).since(before)
    run["server_us_per_event"] = run["server_cpu_s"] * 1e6 / run["events"]
    run["written_per_byte"] = run["written"] / (run["events"] * run["event_bytes"])
    return run


def sync_probe(work, seconds):
    """One synced 4 KiB write after the other, for so long: p50_us, p99_us."""
    return run_tool("sync", file=os.path.join(work, "sync.bin"), seconds=seconds)


# ---- figures ----

def median(rounds, name):
    return statistics.median(run[name] for run in rounds)


def spread(values, form="{:.2f}"):
    """Median, and what the rounds lie between."""
    text = form.format(statistics.median(values))
    if len(values) > 1:
        text += f" ({form.format(min(values))} to {form.format(max(values))})"
    return text


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "--:|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


class Report:
    """Sections of Markdown, to stdout as they come and to a file; and each single run to a file of JSON lines."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, "REPORT.md")
        self.text = open(self.path, "w")
        self.runs = open(os.path.join(folder, "runs.jsonl"), "w")

    def write(self, text):
        print(text + "\n", flush=True)
        self.text.write(text + "\n\n")
        self.text.flush()

    def section(self, title, body):
        self.write(f"## {title}\n\n{body}")

    def run(self, part, subject, round_number, figures):
        line = {"part": part, "subject": subject, "round": round_number} | figures
        self.runs.write(json.dumps(line) + "\n")
        self.runs.flush()


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    except OSError:
        return ""


def machine(work):
    """One paragraph on where this was measured."""
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    file_system = output_of("stat", "-f", "-c", "%T", work)
    revision = output_of("git", "describe", "--always", "--dirty")
    return (f"{time.strftime('%Y-%m-%d %H:%M')}, revision {revision}, {CORES} cores ({model}), {memory:.0f} GiB, "
            f"Linux {platform.release()}, {file_system} on one disk; load before the run {load()}. "
            "Client and servers share the machine. `others` is what everything else took of it.")


def load():
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def ended_by_signals():
    """Also a SIGTERM unwinds, so that servers end with us."""
    def leave(number, _):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGTERM, leave)
