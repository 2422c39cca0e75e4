#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
test_known.py - stacks that BPF counts by itself: as many as there were, of the right stack, and none of them after the
mappings changed. The storms of test_record.py run with it, too.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from test_evidence import needs_sequence  # noqa: E402
from truth import check_frames, ktap, record, temp_dir  # noqa: E402


def checked(rec):
    rec.exact()
    count, wrong = check_frames(rec.folded)
    assert count > 0 and not wrong, wrong[:5]


def record_chain(d, *args, seconds=2):
    proc = truth.start("chain", 60, 2)
    try:
        rec, _ = record(d, *args, "-F", truth.rate(1999), "-p", proc.pid, "-d", seconds)
    finally:
        proc.kill()
        proc.wait()
    checked(rec)
    return rec


def check_counted(way):
    needs_sequence()
    with temp_dir() as d:
        rec = record_chain(d, f"--unwind={way}")
    led = rec.ledger
    assert led["counted"] > truth.share(0.5) * led["samples"], led
    frames = sum(n for k, n in led["frames"].items() if k != "kernel_text")
    assert led["frames"]["proven"] > truth.share(0.5) * frames, led["frames"]
    # The period of the event is the weight of each, counted or not.
    assert abs(led["weight"] / led["samples"] - 1e9 / truth.rate(1999)) < 0.2 * 1e9 / truth.rate(1999), led


def test_by_rows():
    check_counted("rows")


def test_by_frame_pointer():
    check_counted("fp")


def test_every_call_is_counted_once():
    """4,000 calls of one stack in one thread, to the last one, by a tracepoint."""
    needs_sequence()
    loop = "for (1..4) { syscall(39) for 1..1000; $e = time + 1; while (time < $e) {} }"
    for way in ("rows", "fp"):
        with temp_dir() as d:
            rec, _ = record(d, f"--unwind={way}", "-e", "syscalls:sys_enter_getpid", "--", "perl", "-e", loop)
        rec.exact()
        ktap.eq(rec.ledger["fired"], 4000, "calls")
        ktap.eq(rec.folded.samples(), 4000, "calls in the profile")
        assert rec.ledger["counted"] > truth.share(1000), f"{way}: {rec.ledger}"


def test_switched_off():
    with temp_dir() as d:
        rec = record_chain(d, "--known-stacks", 0, seconds=1)
    ktap.eq(rec.ledger["counted"], 0, "counted")


def test_few_slots():
    """More stacks than there is room for: some make room, and what was counted of them stays."""
    needs_sequence()
    with temp_dir() as d:
        rec = record_chain(d, "--known-stacks", 4, "-k")
    assert rec.ledger["known_evicted"] > truth.share(0), rec.ledger
    assert rec.ledger["counted"] > 0, rec.ledger


def test_many_stacks_of_many_processes():
    """Far more stacks than slots, of processes that come and go: each stack has as many calls as were made, and what made
    room is counted."""
    needs_sequence()
    processes, stacks, repeat = (10, 100, 20) if truth.IS_SLOW else (20, 300, 80)
    with temp_dir() as d:
        # A ring for all of them: on a busy machine the reader may come late.
        rec, _ = record(d, "--known-stacks", 1000, "--ring", 256, "-e", "syscalls:sys_enter_getpid", "--",
                        ktap.fixture("manystacks"), processes, stacks, repeat)
    rec.exact()
    ktap.eq(rec.ledger["lost_ring"], 0, "lost")
    counts = [count for _, _, count in rec.folded.stacks]
    ktap.eq(set(counts), {processes * repeat}, "calls of each stack")
    ktap.eq(len(counts), stacks, "stacks")
    print(f"# {rec.ledger['counted']} counted in BPF, {rec.ledger['known_evicted']} stacks made room")
    if rec.ledger["counted"]:  # the reader did not come too late for all
        assert rec.ledger["known_evicted"] > 0 or truth.IS_SLOW, rec.ledger


def test_changing_code_is_never_counted():
    """Code made at run time changes without a change of mappings."""
    with temp_dir() as d:
        rec, _ = record(d, "-F", 997, "--", ktap.fixture("jit_unwound"), 1)
    checked(rec)
    spins = sum(c for _, f, c in rec.folded.stacks if f and f[-1] in ("fx_jitted_[j]", "[anon]"))
    assert rec.ledger["counted"] <= rec.ledger["samples"] - spins, rec.ledger


def test_the_same_addresses_of_two_libraries():
    """One stack, address by address, that is one library's now and the other's then: each has its own calls, exactly."""
    needs_sequence()
    rounds, calls, batches = 3, {"a": 300, "b": 500}, 4
    for way in ("rows", "fp"):
        args = [rounds, ktap.fixture("count_a.so"), calls["a"], ktap.fixture("count_b.so"), calls["b"]]
        with temp_dir() as d:
            rec, _ = record(d, f"--unwind={way}", "-e", "syscalls:sys_enter_getpid", "--", ktap.fixture("swapcount"), *args)
        rec.exact()
        found = {}
        for _, frames, count in rec.folded.stacks:
            found[frames[-1]] = found.get(frames[-1], 0) + count
        ktap.eq(found, {f"fx_{n}_count": rounds * batches * c for n, c in calls.items()}, f"calls, {way}")
        assert rec.ledger["counted"] > truth.share(0.2) * rec.ledger["samples"], rec.ledger


def test_libraries_at_one_address():
    """dlclose and dlopen of two libraries at one address, as often as the machine can: each sample is its own library's."""
    for way in ("rows", "fp"):
        proc = truth.start("dlswap", 60, ktap.fixture("swap_a.so"), ktap.fixture("swap_b.so"))
        try:
            with temp_dir() as d:
                rec, _ = record(d, f"--unwind={way}", "-F", truth.rate(9997), "-p", proc.pid, "-d", 2)
        finally:
            proc.kill()
            proc.wait()
        checked(rec)


if __name__ == "__main__":
    ktap.main(globals())
