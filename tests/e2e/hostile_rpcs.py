#!/usr/bin/env python3
"""Every RPC of the controller with every hostile value, sent to a server that runs (src/api/grpc/hostile_client.cc makes the requests):
each is answered, with OK or with a status that fits and a reason; the server lives, serves, keeps its memory, and knows everything after a
restart.

Arguments: words; only cases whose name contains one of them.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

import cases
from cases import Skip, expect, note
from server import ROOT, Server

SCRATCH = tempfile.mkdtemp(prefix="millrace-hostile-")
GROWTH_BYTES = 200 << 20


def client():
    named = os.environ.get("MILLRACE_HOSTILE_CLIENT")
    found = [named] if named else sorted(glob.glob(os.path.join(ROOT, "build", "*", "src", "api", "grpc", "hostile-client")),
                                         key=os.path.getmtime)
    if not found:
        raise Skip("hostile-client is not built")
    return found[-1]


def every_rpc():
    program = client()
    server = Server(os.path.join(SCRATCH, "server"))
    server.start()
    before = server.rss_bytes()
    run = subprocess.run([program, "%s:%d" % server.controller], capture_output=True, text=True, timeout=900)
    lines = [line for line in run.stdout.splitlines() if not line.startswith("ok ")]
    with open(os.path.join(ROOT, "proto", "controller.proto")) as proto:
        rpcs = set(re.findall(r"^\s*rpc\s+(\w+)", proto.read(), re.M))
    tried = set(re.findall(r"^(?:ok|FAILED) (\w+):", run.stdout, re.M))
    expect(tried == rpcs, f"RPCs that were not tried: {sorted(rpcs - tried)}")
    requests = sum(int(n) for n in re.findall(r"^ok \w+: (\d+) requests", run.stdout, re.M))
    for line in lines[:20]:
        note(line[:300])
    expect(run.returncode == 0, f"{len(lines)} RPCs answer as they should not; {run.stderr[-300:]}")
    expect(requests > 5000, f"only {requests} requests were sent")
    expect(server.alive(), "the server ended")
    grown = server.rss_bytes() - before
    note(f"{requests} requests, {grown >> 20} MiB more memory")
    expect(grown < GROWTH_BYTES, f"the server grew by {grown >> 20} MiB")
    errors = [line for line in server.log().splitlines() if " error " in line]
    expect(not errors, f"{len(errors)} errors are logged, first: {errors[:1]}")
    status, scopes = server.get("/v1/scopes")
    expect(status == 200, f"GET /v1/scopes is {status}")
    server.kill()
    server.start()
    expect(server.get("/v1/scopes") == (200, scopes), "the scopes are others after the restart")
    expect("taken up" not in server.log().rsplit("millrace ready", 1)[-1], "something was left unfinished")
    server.stop_in_order()


if __name__ == "__main__":
    try:
        sys.exit(cases.run([("every RPC with hostile requests", every_rpc)], sys.argv[1:]))
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)
