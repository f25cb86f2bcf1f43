#!/usr/bin/env python3
"""Starts, kills and stops `millrace standalone` for tests; a module for the Python tests, a command for the shell ones.

    server.py start STATE [option...]    a fresh server on free ports; data and logs below STATE; prints shell variables
    server.py restart STATE              kill -9, then the same ports and data again
    server.py kill STATE | stop STATE    at once | SIGTERM, and wait
    server.py variables STATE            CONTROLLER, REST, STORE of the running server

The program is $MILLRACE_BIN, else build/millrace of this tree.
"""
import atexit
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
READY_SECONDS = float(os.environ.get("MILLRACE_READY_SECONDS", 30))
STOP_SECONDS = 30
STOP_PROMISED_MS = 2000


def program():
    return os.environ.get("MILLRACE_BIN") or os.path.join(ROOT, "build", "millrace")


def clean_environment(additions=None):
    """Without the tests' own MILLRACE_... variables: the program would take them for its options."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")} | (additions or {})


def free_ports():
    """Three ports in a row that nobody listens on, below the range from which the system takes those of clients.

    MILLRACE_TEST_PORTS=FIRST-LAST: others than 20000-31999."""
    first, last = (int(port) for port in os.environ.get("MILLRACE_TEST_PORTS", "20000-31999").split("-"))
    for _ in range(1000):
        base = random.randrange(first, last - 2, 4)
        try:
            for port in range(base, base + 3):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise RuntimeError("no free ports")


class NotReady(Exception):
    """The server ended, or stayed silent, before it was ready. Holds its exit status (None: it was running) and what it said."""

    def __init__(self, status, said):
        super().__init__(f"exit status {status}: {said.strip()[-600:]}")
        self.status = status
        self.said = said


class Server:
    """One data directory and one set of ports; the process behind them comes and goes."""

    def __init__(self, state, port_base=None, options=(), environment=None):
        self.state = os.path.abspath(state)
        self.data = os.path.join(self.state, "data")
        self.base = port_base or free_ports()
        self.options = list(options)
        self.environment = clean_environment(environment)
        self.pid = None
        self.outlives_us = False
        self.binary = program()
        self.user = None  # id to run as; None: ours
        os.makedirs(self.state, exist_ok=True)

    @property
    def controller(self):
        return "127.0.0.1", self.base

    @property
    def rest(self):
        return "127.0.0.1", self.base + 1

    @property
    def store(self):
        return "127.0.0.1", self.base + 2

    @property
    def log_path(self):
        return os.path.join(self.state, "server.log")

    def command(self):
        return [self.binary, "standalone", "--data-dir", self.data, "--controller-port", str(self.base), "--rest-port",
                str(self.base + 1), "--store-port", str(self.base + 2)] + self.options

    def start(self, seconds=READY_SECONDS):
        """Returns the seconds until the line `millrace ready`. Raises NotReady. stdout and stderr go to files below `state`."""
        if not self.outlives_us:
            atexit.register(self.kill_quietly)  # a case that fails leaves no server behind
        out_path = os.path.join(self.state, "stdout")
        begun = time.monotonic()
        log_begin = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(out_path, "wb") as out, open(self.log_path, "ab") as log:
            # A session of its own: a signal to the test is none to the server, and no zombie keeps its id while we wait.
            other = {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                                            env=self.environment, start_new_session=True, **other)
        self.pid = self.process.pid
        while True:
            with open(out_path, "rb") as out:
                said = out.read().decode(errors="replace")
            lines = said.split("\n")
            if "millrace ready" in lines[:-1] and any(line.startswith("data ") for line in lines[:-1]):
                ready = time.monotonic() - begun
                self.ready_lines = lines[lines.index("millrace ready"):]
                break
            status = self.process.poll()
            if status is not None or time.monotonic() - begun > seconds:
                with open(self.log_path, "rb") as log:
                    log.seek(log_begin)
                    said += log.read().decode(errors="replace")
                if status is None:
                    self.kill()
                self.pid = None
                raise NotReady(status, said)
            time.sleep(0.005)
        self.save()
        return ready

    def log(self):
        with open(self.log_path, "rb") as log:
            return log.read().decode(errors="replace")

    def alive(self):
        if self.pid is None:
            return False
        if hasattr(self, "process"):
            return self.process.poll() is None
        try:
            with open(f"/proc/{self.pid}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def signal(self, number):
        if self.pid is not None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        self.signal(signal.SIGKILL)
        if not self.wait(10):
            raise RuntimeError(f"process {self.pid} survives SIGKILL")
        self.pid = None

    def kill_quietly(self):
        if self.alive():
            self.signal(signal.SIGKILL)
            self.process.wait()

    def stop(self, seconds=STOP_SECONDS):
        """SIGTERM; returns the seconds until the end and the exit status. Kills, and raises, after `seconds`."""
        begun = time.monotonic()
        self.signal(signal.SIGTERM)
        if not self.wait(seconds):
            self.kill()
            raise RuntimeError(f"the server did not end within {seconds} s of SIGTERM")
        took = time.monotonic() - begun
        self.pid = None
        return took, getattr(getattr(self, "process", None), "returncode", None)

    def stop_in_order(self):
        """SIGTERM; returns the milliseconds that the end took, by the server's own log.

        Raises unless everything ended in order, with status 0, below the 2 s that are promised. The server's clock is taken, not ours:
        on a busy machine the signal and the news of the end may be late.
        """
        begin = os.path.getsize(self.log_path)
        _, status = self.stop()
        with open(self.log_path, "rb") as log:
            log.seek(begin)
            said = log.read().decode(errors="replace")
        took = re.search(r"ended after (\d+) ms", said)
        if status != 0 or took is None or int(took[1]) >= STOP_PROMISED_MS:
            raise AssertionError(f"no end in order: status {status}, load {os.getloadavg()[0]:.0f}, log: {said[-600:]}")
        return int(took[1])

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    def get(self, path, method="GET", body=None):
        """A REST request: (status, parsed JSON or text)."""
        connection = http.client.HTTPConnection(*self.rest, timeout=10)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            reply = connection.getresponse()
            text = reply.read().decode(errors="replace")
            try:
                return reply.status, json.loads(text)
            except ValueError:
                return reply.status, text
        finally:
            connection.close()

    def save(self):
        with open(os.path.join(self.state, "state.json"), "w") as file:
            json.dump({"base": self.base, "options": self.options, "pid": self.pid}, file)

    @staticmethod
    def load(state):
        with open(os.path.join(state, "state.json")) as file:
            saved = json.load(file)
        server = Server(state, saved["base"], saved["options"])
        server.pid = saved["pid"]
        return server

    def variables(self):
        return (f"CONTROLLER=tcp://127.0.0.1:{self.base}\nREST=http://127.0.0.1:{self.base + 1}\n"
                f"STORE=127.0.0.1:{self.base + 2}\nSERVER_PID={self.pid}")


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in ("start", "restart", "kill", "stop", "variables"):
        print(__doc__, file=sys.stderr)
        return 2
    action, state, options = arguments[0], arguments[1], arguments[2:]
    try:
        if action == "start":
            server = Server(state, options=options)
            server.outlives_us = True
            server.start()
            print(server.variables())
            return 0
        server = Server.load(state)
        server.outlives_us = True
        if action == "variables":
            print(server.variables())
        elif action == "stop":
            server.stop()
        elif action == "kill":
            server.kill()
        else:
            server.kill()
            server.start()
        return 0
    except NotReady as error:
        print(f"the server is not ready: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
