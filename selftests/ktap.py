# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ktap.py - test programs in Python, reporting in KTAP.

A test is a function named test_*; it fails by an exception (assert with a
message that shows actual and expected), skips by raising Skip(reason).
argv[1], when given, chooses the tests whose names contain it; KTAP_LEAVE_OUT names tests that
are not run.
"""
import contextlib
import os
import sys
import traceback


AROUND = []  # context managers that each test runs in
SUMMARIES = []  # functions that give lines to be printed at the end


class Skip(Exception):
    pass


def eq(actual, expected, what=""):
    assert actual == expected, f"{what}: is {actual!r}, expected {expected!r}"


def bstack():
    return os.environ.get("BSTACK", "build/bstack")


def build_dir():
    return os.environ.get("O", "build")


def fixture(name):
    return os.path.join(build_dir(), "fixtures", name)


def main(namespace):
    tests = [(n[5:], f) for n, f in namespace.items() if n.startswith("test_") and callable(f)]
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    left_out = os.environ.get("KTAP_LEAVE_OUT", "").split()
    count = failed = 0
    for name, run in tests:
        if only not in name or name in left_out:
            continue
        count += 1
        try:
            with contextlib.ExitStack() as stack:
                for around in AROUND:
                    stack.enter_context(around())
                run()
            print(f"ok {count} {name}", flush=True)
        except Skip as skip:
            print(f"ok {count} {name} # SKIP {skip}", flush=True)
        except BaseException:  # noqa: B902 - whatever it was, the test did not pass
            failed += 1
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            print(f"not ok {count} {name}", flush=True)
    for line in (line for lines in SUMMARIES for line in lines()):
        print(f"# {line}")
    print(f"1..{count}")
    sys.exit(1 if failed else 0)
