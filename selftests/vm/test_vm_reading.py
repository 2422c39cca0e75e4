#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_vm_reading.py - what vm.py makes of a guest's two serial lines, the bad ones above all."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import ktap  # noqa: E402
import vm  # noqa: E402

GOOD = "== kernel 6.1\n== begin a/one\nok 1 x\n# why\nnot ok 2 y\nok 3 z # SKIP no PMU\n1..3\n== end 1\n== done\n"


def outcomes(text, programs=("a/one",)):
    return [(test, outcome) for test, outcome, _ in vm.read_results(text, programs)]


def test_good():
    ktap.eq(vm.read_results(GOOD, ["a/one"]), [("one.x", vm.PASS, []), ("one.y", vm.FAIL, ["# why"]),
                                               ("one.z", vm.SKIP, ["no PMU"])], "rows")


def test_two_programs():
    text = "== begin a/one\nok 1 x\n1..1\n== end 0\n== begin b/two.py\nok 1 x\n1..1\n== end 0\n== done\n"
    ktap.eq(outcomes(text, ["a/one", "b/two.py"]), [("one.x", vm.PASS), ("two.x", vm.PASS)], "rows")


BAD = [
    ("nothing at all", ""),
    ("died in the program", "== begin a/one\nok 1 x\n"),
    ("no plan", "== begin a/one\nok 1 x\n== end 0\n"),
    ("fewer results than planned", "== begin a/one\nok 1 x\n1..2\n== end 0\n"),
    ("bad exit status", "== begin a/one\nok 1 x\n1..1\n== end 139\n"),
    ("no tests", "== begin a/one\n1..0\n== end 0\n"),
    ("skip without a reason", "== begin a/one\nok 1 x # SKIP \n1..1\n== end 0\n"),
    ("another program", GOOD.replace("a/one", "a/other")),
]


def test_bad():
    for what, text in BAD:
        assert (("one.ends", vm.FAIL)) in outcomes(text), (what, outcomes(text))


COMPLAINTS = """BUG: kernel NULL pointer dereference, address: 0000000000000008
Oops: 0002 [#1] PREEMPT SMP NOPTI
WARNING: CPU: 1 PID: 33 at kernel/locking/rwsem.c:1374 __up_read+0x1
watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [storm:201]
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
INFO: task storm:201 blocked for more than 120 seconds.
WARNING: possible circular locking dependency detected
WARNING: suspicious RCU usage
INFO: possible recursive locking detected
Kernel panic - not syncing: Fatal exception
bstack[210]: segfault at 0 ip 00005581 sp 00007ffd error 4 in bstack
general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1]
list_del corruption. prev->next should be ffff, but was 0
WARNING: inconsistent lock state
WARNING: lock held when returning to user space!
WARNING: bad unlock balance detected!
BUG: sleeping function called from invalid context at kernel/locking/rwsem.c:1536
BUG: scheduling while atomic: bstack/210/0x00000002
BUG: KASAN: slab-use-after-free in stack_map_get_build_id_offset+0x1/0x2
BUG: MAX_LOCKDEP_ENTRIES too low!
turning off the locking correctness validator.
INFO: trying to register non-static key.
[ BUG: Invalid wait context ]
Out of memory: Killed process 210 (bstack)""".splitlines()
QUIET = """Linux version 6.1.0 (gcc-12) #1 SMP PREEMPT_DYNAMIC Debian
Debug: sleeping functions are reported
rcu: Hierarchical RCU implementation.
watchdog: Delayed init of the lockup detector
smpboot: CPU 1 is now offline
process '/bstack/build/fixtures/jit' started with executable stack
RETBleed: WARNING""".splitlines()


def test_complaints():
    for line in COMPLAINTS:
        text = "\n".join([*QUIET, f"[  12.345678] {line}", *QUIET])
        ktap.eq(vm.read_console(text)[:1], [f"[  12.345678] {line}"], "first line shown")
    ktap.eq(vm.read_console("\n".join(QUIET)), [], "complaints of a quiet kernel")


def test_each_complaint_is_shown():
    """The second may be ours, when the first is not; what follows is shown once."""
    text = ["WARNING: possible circular locking dependency detected", *map(str, range(100)), "BUG: one more", "of it"]
    shown = vm.read_console("\n".join(text))
    ktap.eq((shown[0], shown[-2:], len(shown)), (text[0], text[-2:], 62), "first, last, lines shown")


FAILED_ON_PURPOSE = ["[ 1315.511779] bstack: vmalloc error: size 4096, failed to allocated page array size 8, mode:0xcc2",
                     "[ 1315.553967] CPU: 1 UID: 0 PID: 1617 Comm: bstack Not tainted", "[ 1315.554344] Call Trace:"]


def test_a_fault_that_was_asked_for():
    ktap.eq(vm.read_console("\n".join(FAILED_ON_PURPOSE)), [], "complaints of a fault that a test asked for")
    for text in (FAILED_ON_PURPOSE[1:], [line.replace("bstack: ", "init: ") for line in FAILED_ON_PURPOSE],
                 [FAILED_ON_PURPOSE[0], *"abc", FAILED_ON_PURPOSE[2]], [*FAILED_ON_PURPOSE[:2], "BUG: of another kind"]):
        ktap.eq(vm.read_console("\n".join(text))[-1:], text[-1:], "the last line shown")


STATES = [
    ("== tainted: 0\n== debug_locks: 1\n", True, 0),
    ("== tainted: 0\n", False, 0),
    ("== tainted: 512\n== debug_locks: 1\n", True, 1),
    ("== tainted: 0\n== debug_locks: 0\n", True, 1),
    ("== tainted: 0\n", True, 1),
    ("== debug_locks: 1\n", True, 1),
    ("", False, 1),
]


def test_state_at_the_end():
    for text, has_validator, count in STATES:
        wrong = vm.read_state(text, has_validator)
        ktap.eq(len(wrong), count, f"{text!r}: {wrong}")


def test_this_machine():
    """Its column has the same rows; a program that dies is seen."""
    with tempfile.TemporaryDirectory() as d:
        for name, text in {"good": "echo 'ok 1 x'; echo 1..1", "bad": "echo 'ok 1 x'; echo 1..1; kill -SEGV $$"}.items():
            with open(f"{d}/{name}", "w") as f:
                f.write(f"#!/bin/sh\n{text}\n")
            os.chmod(f.name, 0o755)
        rows, description = vm.run_here([f"{d}/good", f"{d}/bad"])
    ktap.eq([(test, outcome) for test, outcome, _ in rows if "quiet" not in test],
            [("good.x", vm.PASS), ("bad.x", vm.PASS), ("bad.ends", vm.FAIL)], "rows")
    assert description.startswith(os.uname().release), description


if __name__ == "__main__":
    ktap.main(globals())
