"""Runs the cases of one end-to-end test, one line each: `ok NAME`, `FAILED NAME: reason`, `skipped NAME: reason`.

run-all counts these lines. A case is a function; it fails by raising, and is skipped by raising Skip.
"""
import sys
import time
import traceback


class Skip(Exception):
    """What the case needs is not to be had on this machine."""


class Failure(AssertionError):
    """Something else happened than expected."""


def expect(condition, what):
    if not condition:
        raise Failure(what)


def note(text):
    print(f"     {text}", flush=True)


def run(cases, only=None):
    """Runs (name, function) pairs; returns the exit status. `only`: run those whose name contains one of these words."""
    failed = 0
    for name, case in cases:
        if only and not any(word in name for word in only):
            continue
        begun = time.monotonic()
        try:
            case()
            print(f"ok {name} ({time.monotonic() - begun:.1f} s)", flush=True)
        except Skip as reason:
            print(f"skipped {name}: {reason}", flush=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this case's failure
            failed += 1
            print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
            if not isinstance(error, Failure):
                traceback.print_exc(file=sys.stderr)
    return 1 if failed else 0
