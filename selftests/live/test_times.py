#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_times.py - record --timestamps: each sample is one of its own, at its time, and all else is as without."""
import gzip
import itertools
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "cli")]
import truth  # noqa: E402
from pprof_samples import Samples, fields  # noqa: E402
from pprof_make import data, num  # noqa: E402
from truth import ktap, record, run, temp_dir  # noqa: E402

GETPID = "syscalls:sys_enter_getpid"


def times_of(samples):
    """Their times, ascending, each from a label with its unit."""
    times = []
    for s in samples:
        ktap.eq(s["count"], 1, "count of a sample with a time")
        ktap.eq(s["timestamp"][1], "nanoseconds", "unit")
        times.append(s["timestamp"][0])
    return sorted(times)


def record_calls(d, *args, loop="syscall(39) for 1..2000"):
    before = time.time_ns()
    rec, _ = record(d, *args, "-e", GETPID, "--", "perl", "-e", loop)
    return rec, before, time.time_ns()


def test_each_call_has_its_time():
    with temp_dir() as d:
        rec, before, after = record_calls(d, "--timestamps")
        rec.exact()
        ktap.eq(rec.ledger["fired"], 2000, "calls")
        ktap.eq(rec.ledger["counted"], 0, "counted in BPF")
        profile = Samples(rec.path)
        ktap.eq(len(profile.list), 2000, "samples in the file")
        times = times_of(profile.list)
        ktap.eq(len(set(times)), 2000, "different times of one thread's calls")
        assert before <= profile.time_ns <= times[0] <= times[-1] <= after, \
            (before, profile.time_ns, times[0], times[-1], after)
        ktap.eq(profile.time_ns, rec.ledger["start_ns"], "time_nanos")
        assert times[-1] - profile.time_ns <= rec.ledger["duration_ns"], (times[-1], profile.time_ns, rec.ledger)


def test_order_of_calls():
    """Sorted by time, the leaves are the calls in the order in which they were made."""
    rounds, calls, batches = 2, {"a": 30, "b": 50}, 4
    args = [rounds, ktap.fixture("count_a.so"), calls["a"], ktap.fixture("count_b.so"), calls["b"]]
    for way in ("rows", "fp"):
        with temp_dir() as d:
            rec, _ = record(d, "--timestamps", f"--unwind={way}", "-e", GETPID, "--", ktap.fixture("swapcount"), *args)
            rec.exact()
            samples = sorted(Samples(rec.path).list, key=lambda s: s["timestamp"][0])
        found = [(leaf, len(list(group))) for leaf, group in itertools.groupby(s["leaf"] for s in samples)]
        ktap.eq(found, [(f"fx_{n}_count", batches * c) for n, c in calls.items()] * rounds, f"calls in their order, {way}")


def test_threads_of_a_clock():
    """Two threads on a clock: no thread has two samples at one time, and they lie within the recording."""
    with temp_dir() as d:
        proc = truth.start("chain", 60, 2)
        try:
            rec, _ = record(d, "--timestamps", "-F", truth.rate(1999), "-p", proc.pid, "-d", 1)
        finally:
            proc.kill()
            proc.wait()
        rec.exact()
        profile = Samples(rec.path)
        ktap.eq(len(profile.list), rec.ledger["samples"], "samples in the file")
        for tid in {s["tid"] for s in profile.list}:
            times = times_of(s for s in profile.list if s["tid"] == tid)
            ktap.eq(len(set(times)), len(times), f"different times of thread {tid}")
            assert profile.time_ns <= times[0], (profile.time_ns, times[0])
            assert times[-1] <= profile.time_ns + rec.ledger["duration_ns"], (times[-1], rec.ledger)


def strip(path, stripped):
    """The same profile without the times."""
    with gzip.open(path) as f:
        message = list(fields(f.read()))
    strings = [v for n, v in message if n == 6]

    def sample(value):
        return b"".join(data(n, v) for n, v in fields(value) if n != 3 or strings[dict(fields(v))[1]] != b"timestamp")

    with gzip.open(stripped, "wb") as f:
        for n, v in message:
            f.write(num(n, v) if isinstance(v, int) else data(n, sample(v) if n == 2 else v))


def test_readers_see_the_same():
    """A profile with its times and without them: report, folded stacks and flame graph do not differ by a byte. symbolize
    keeps the times."""
    with temp_dir() as d:
        rec, _, _ = record_calls(d, "--timestamps", "--no-symbols", loop="syscall(39) for 1..500; sub f { syscall(39) } "
                                 "f for 1..500")
        named, stripped = (os.path.join(d, name) for name in ("named.pb.gz", "stripped.pb.gz"))
        run("symbolize", "-o", named, rec.path)
        ktap.eq(times_of(Samples(named).list), times_of(Samples(rec.path).list), "times after symbolize")
        strip(named, stripped)
        assert not any("timestamp" in s for s in Samples(stripped).list)
        for args in (["fold"], ["fold", "--pid"], ["report"], ["report", "--json"], ["flame", "--title", "t", "-o", "-"]):
            ktap.eq(run(*args, named)[0], run(*args, stripped)[0], " ".join(args))
        ktap.eq(truth.Folded(run("fold", named)[0]).samples(), 1000, "samples folded")


def test_known_stacks_are_refused():
    for args, status in ((["--known-stacks", 100], 2), (["--known-stacks", 0], 0)):
        with temp_dir() as d:
            path = os.path.join(d, "x.pb.gz")
            _, err = run("record", "-q", "--timestamps", *args, "-o", path, "--", "true", check=status)
        if status:
            ktap.eq(err.splitlines()[0], "bstack record: --timestamps and --known-stacks exclude each other; a stack that "
                    "BPF counts by itself keeps no times: leave one of them out", "stderr")


def test_without_they_are_not_kept():
    with temp_dir() as d:
        rec, _, _ = record_calls(d)
        samples = Samples(rec.path).list
        assert not any("timestamp" in s for s in samples), samples[:3]
        ktap.eq(sum(s["count"] for s in samples), 2000, "calls")


if __name__ == "__main__":
    ktap.main(globals())
