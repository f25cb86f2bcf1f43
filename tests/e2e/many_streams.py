#!/usr/bin/env python3
"""Thousands of streams in one scope: made in parallel over REST, listed, looked up, known after kill -9, and deleted.

Arguments: words; only cases whose name contains one of them.
"""
import concurrent.futures
import http.client
import json
import os
import shutil
import sys
import tempfile
import threading
import time

import cases
from cases import expect, note
from server import Server

SCRATCH = tempfile.mkdtemp(prefix="millrace-many-")
STREAMS = int(os.environ.get("MILLRACE_MANY_STREAMS", 10_000))
AT_ONCE = 16
BYTES_EACH = 40_000  # of memory, at most


class Clients:
    """One kept connection for each thread."""

    def __init__(self, server):
        self.server = server
        self.local = threading.local()

    def ask(self, method, path, body=None):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(*self.server.rest, timeout=120)
        self.local.connection.request(method, path, None if body is None else json.dumps(body))
        reply = self.local.connection.getresponse()
        text = reply.read()
        return reply.status, json.loads(text) if text else None


def timed(what, count, work):
    begun = time.monotonic()
    result = work()
    note(f"{what}: {count / (time.monotonic() - begun):,.0f}/s")
    return result


def many_in_a_scope():
    server = Server(os.path.join(SCRATCH, "server"))
    server.start()
    clients = Clients(server)
    expect(clients.ask("POST", "/v1/scopes", {"scopeName": "many"})[0] == 201, "the scope is not made")
    before = server.rss_bytes()
    names = [f"stream-{i:05}" for i in range(STREAMS)]

    def create(name):
        policy = {"type": "FIXED_NUM_SEGMENTS", "minSegments": 1}
        return clients.ask("POST", "/v1/scopes/many/streams", {"streamName": name, "scalingPolicy": policy})[0]

    def listed():
        status, answer = clients.ask("GET", "/v1/scopes/many/streams")
        expect(status == 200, f"the list is answered with {status}")
        return [stream["streamName"] for stream in answer["streams"]]

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        answers = timed("created", STREAMS, lambda: list(pool.map(create, names)))
        expect(set(answers) == {201}, f"creations are answered with {set(answers)}")
        expect(timed("listed", STREAMS, listed) == names, "the list is not what was made")
        found = timed("looked up", STREAMS, lambda: list(pool.map(
            lambda name: clients.ask("GET", f"/v1/scopes/many/streams/{name}")[0], names)))
        expect(set(found) == {200}, f"streams are answered with {set(found)}")
        grown = server.rss_bytes() - before
        note(f"{grown // STREAMS:,} bytes of memory for each")
        expect(grown < STREAMS * BYTES_EACH + (64 << 20), f"the server grew by {grown >> 20} MiB")
    server.kill()
    note(f"ready again after {server.start():.2f} s")
    clients = Clients(server)
    expect(listed() == names, "the list is another after kill -9")
    expect("taken up" not in server.log(), "something was left unfinished")
    server.stop_in_order()


if __name__ == "__main__":
    try:
        sys.exit(cases.run([("many streams in a scope", many_in_a_scope)], sys.argv[1:]))
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)
