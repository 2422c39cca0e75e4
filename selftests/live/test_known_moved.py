#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
test_known_moved.py - known stacks of processes whose mappings change all the time. Heap churn alone costs them nothing;
and whatever takes the place of code, in whatever way and however fast, no call is counted for what was there before: each
call of either library is told apart from the other's, to the last one, at one address.
"""
import contextlib
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from test_evidence import needs_sequence  # noqa: E402
from truth import ktap, record, temp_dir  # noqa: E402

CALLS = {"a": 300, "b": 500}
GETPID = ("-e", "syscalls:sys_enter_getpid")


def leaves(folded):
    found = {}
    for _, frames, count in folded.stacks:
        leaf = frames[-1] if frames else "(none)"
        found[leaf] = found.get(leaf, 0) + count
    return found


def swapped(kind, unwind, rounds, batches=1, pause_ms=0, share=0.1, churn="map"):
    """Both libraries, `rounds` times each: the recording, whose calls were all told apart."""
    made = {n: int(share * calls) for n, calls in CALLS.items()}
    args = [kind, rounds, batches, pause_ms, churn]
    for name, calls in made.items():
        args += [ktap.fixture(f"bare_{name}.so"), calls]
    with temp_dir() as d:
        # A ring for all of them: on a busy machine the reader may come late.
        rec, _ = record(d, f"--unwind={unwind}", "--ring", 128, *GETPID, "--", ktap.fixture("swapways"), *args)
    rec.exact()
    ktap.eq(rec.ledger["lost_ring"], 0, "lost")
    found = leaves(rec.folded)
    # A preemptible kernel runs no program on a CPU where a change of a BPF map was put off, and counts that.
    nested, unknown = rec.ledger["lost_nested"], found.pop("[unknown]", 0)
    why = {reason: count for reason, count in rec.ledger["unresolved"].items() if count}
    what = f"calls, {kind}, {churn}, {unwind}, unresolved {unknown}, nested {nested}, frames unresolved {why}"
    # Until the files are known, a stack may stay unresolved: no event tells of mremap(), and where it is slow, an answer about the
    # process may come between a change and its event. It is never another's.
    assert kind == "mremap" or unknown <= (rounds * batches * sum(made.values()) // 1000 if truth.IS_SLOW else 0), what
    missing = nested + unknown
    for name, calls in made.items():
        rest = rounds * batches * calls - found.pop(f"fx_{name}_bare", 0)
        assert 0 <= rest <= missing, f"{what}: {rest} of {name} are missing, beside {found}"
        missing -= rest
    ktap.eq((missing, found), (0, {}), what)
    return rec


def check_way(kind):
    needs_sequence()
    for unwind in ("rows", "fp"):
        # So long that the stacks become known; a thread moves the sequence all the time.
        led = swapped(kind, unwind, 3, 4, 150, 1).ledger
        assert led["counted_vma"] > truth.share(0.2) * led["samples"], f"{kind}, {unwind}: {led}"
        assert led["counted_vma"] <= led["counted"], led
        # As fast as it goes: the other one comes before, while and after this one becomes known.
        swapped(kind, unwind, 300 if kind == "pid" or truth.IS_SLOW else 1500)


def test_mapped_over():
    check_way("over")


def test_unmapped_and_mapped():
    check_way("unmap")


def test_moved():
    check_way("mremap")


def test_moved_while_forked():
    """A fork marks all mappings of its parent: what a sample finds then may be about to change, or not."""
    needs_sequence()
    for unwind in ("rows", "fp"):
        swapped("mremap", unwind, 300 if truth.IS_SLOW else 1500, churn="fork")


def test_protected():
    check_way("mprotect")


def test_number_of_a_process_reused():
    check_way("pid")


def test_exec():
    """Two programs with code at one address, in one process, which execute each other."""
    needs_sequence()
    rounds, batches = 6, 3
    for unwind in ("rows", "fp"):
        with temp_dir() as d:
            rec, _ = record(d, f"--unwind={unwind}", *GETPID, "--", ktap.fixture("swapexec_a"), rounds, CALLS["a"],
                            batches, ktap.fixture("swapexec_b"))
        rec.exact()
        want = {f"fx_{n}_exec": rounds // 2 * batches * c for n, c in CALLS.items()}
        ktap.eq(leaves(rec.folded), want, f"calls, {unwind}")
        # Of a static program the frame pointers lead astray at last: such a stack is never known.
        if unwind == "rows":
            assert rec.ledger["counted"] > truth.share(0.2) * rec.ledger["samples"], rec.ledger


def test_code_in_place_of_the_vdso():
    """Memory that was put where the vdso was is not the vdso."""
    needs_sequence()
    calls = 400
    for unwind in ("rows", "fp"):
        with temp_dir() as d:
            rec, _ = record(d, f"--unwind={unwind}", *GETPID, "--", ktap.fixture("vdsogone"), calls)
        rec.exact()
        ktap.eq(leaves(rec.folded), {"[anon]": calls}, f"calls, {unwind}")


def test_more_events_than_the_side_band_holds():
    """bstack is stopped while code is replaced so often that its side band runs full. The kernel tells of what was lost
    with the next event that finds room, which comes much later: what is known by then of mappings holds for nothing."""
    calls, rounds = 2, 6000
    way = ["over", rounds, 1, 0, "none", ktap.fixture("bare_a.so"), calls, ktap.fixture("bare_b.so"), calls]
    swaps = " ".join(map(str, [ktap.fixture("swapways"), *way]))
    no_events = "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done"
    # Where room is left for a shorter event the kernel tells sooner. Forks before the first mapping shift what is left.
    for forks in range(6):
        with temp_dir() as d:
            rec, _ = record(d, "--known-stacks", 0, "--ring", 128, *GETPID, "--", "sh", "-c",
                            f"kill -STOP $PPID; {'(:); ' * forks} {swaps}; kill -CONT $PPID; {no_events}")
        rec.exact()
        assert rec.ledger["sideband_lost"] > 0, f"{forks} forks: no event was lost"
        found = leaves(rec.folded)
        for name in CALLS:
            assert found.get(f"fx_{name}_bare", 0) <= rounds * calls, f"{forks} forks: {found}"


def churning(program):
    """A program that does nothing but map and unmap memory: its stacks are counted all the same."""
    needs_sequence()
    for unwind in ("rows", "fp"):
        proc = truth.start(program, 60, 1)
        try:
            with temp_dir() as d:
                rec, _ = record(d, f"--unwind={unwind}", "-F", truth.rate(1999), "-p", proc.pid, "-d", 3)
        finally:
            proc.kill()
            proc.wait()
        rec.exact()
        count, wrong = truth.check_frames(rec.folded)
        assert count and not wrong, wrong[:5]
        led = rec.ledger
        assert led["counted_vma"] > truth.share(0.2) * led["samples"], led
        assert led["frames"]["proven"] > truth.share(0.5) * sum(led["frames"].values()), led["frames"]


def test_heap_churn_costs_nothing():
    churning("storm")


@contextlib.contextmanager
def overlay(name):
    """The path of a fixture in an overlay, from whose lower layer it comes."""
    with temp_dir() as d:
        layers = {layer: os.path.join(d, layer) for layer in ("lower", "upper", "work", "merged")}
        for path in layers.values():
            os.mkdir(path)
        subprocess.run(["mount", "-t", "tmpfs", "none", layers["upper"]], check=True)
        try:
            for layer in ("upper", "work"):
                layers[layer] = os.path.join(d, "upper", layer)
                os.mkdir(layers[layer])
            shutil.copy(ktap.fixture(name), layers["lower"])
            done = subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={layers['lower']},upperdir={layers['upper']},"
                                   f"workdir={layers['work']}", "none", layers["merged"]], stderr=subprocess.PIPE)
            if done.returncode:
                raise ktap.Skip(f"no overlay can be mounted: {done.stderr.decode().strip()}")
            try:
                yield os.path.join(layers["merged"], name)
            finally:
                subprocess.run(["umount", layers["merged"]], check=True)
        finally:
            subprocess.run(["umount", os.path.join(d, "upper")], check=True)


def test_heap_churn_on_an_overlay():
    """What is mapped is a file of the layer below; /proc shows the overlay's."""
    with overlay("storm") as program:
        churning(program)


if __name__ == "__main__":
    ktap.main(globals())
