#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_record_faults.py - bstack record runs out of memory, of disk and of luck, while it records.

Whatever fails: no crash, nothing that the sanitizers report, no leak. Either exit status 0, a whole profile and its
ledger exact, or a message and exit status 1; and what stands in the file then can be read, or nothing does.
"""
import concurrent.futures
import ctypes
import os
import resource
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from truth import ktap, start, temp_dir  # noqa: E402

ADDR_NO_RANDOMIZE = 0x0040000
AT_ONCE = 3  # recordings: most of their time they wait
LIBC = ctypes.CDLL(None, use_errno=True)
# What the dynamic linker remembers of a library opened at run time
SUPPRESSIONS = "leak:dl_open_worker\n"


def layout_fixed():
    if LIBC.personality(ADDR_NO_RANDOMIZE) < 0:
        os._exit(99)


class Fault:
    """bstack, built with sanitizers, with faults preloaded."""

    def __init__(self, folder, args):
        self.folder = folder
        self.args = [str(a) for a in args]
        self.suppressions = os.path.join(folder, "suppressions")
        with open(self.suppressions, "w", encoding="ascii") as f:
            f.write(SUPPRESSIONS)

    def run(self, limit=None, **env):
        """A recording: Outcome. limit: a resource limit and its value, for bstack as it is installed: sanitizers need
        memory and files themselves. A setting that is a file descriptor to write to is given as True."""
        fd, path = tempfile.mkstemp(suffix=".pb.gz", dir=self.folder)
        os.close(fd)
        os.unlink(path)
        pipes = {k: os.pipe() for k, v in env.items() if v is True}
        env = {**env, **{k: str(w) for k, (_, w) in pipes.items()}}
        to_stdout = "-" in self.args
        args = [path if a == "OUT" else a for a in self.args]
        reads = {}
        program = [ktap.bstack()] if limit else [os.path.join(ktap.build_dir(), "asan", "bstack")]

        def prepare():
            layout_fixed()
            if limit:
                resource.setrlimit(limit[0], (limit[1], limit[1]))

        with open(path if to_stdout else os.devnull, "wb") as stdout:
            proc = subprocess.Popen(
                [*program, "record", "-q", *args], stdout=stdout,
                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, pass_fds=[w for _, w in pipes.values()],
                preexec_fn=prepare,
                env={**os.environ, **env, "LD_PRELOAD": ktap.fixture("faults.so"),
                     "ASAN_OPTIONS": "verify_asan_link_order=0:exitcode=98", "UBSAN_OPTIONS": "exitcode=98",
                     "LSAN_OPTIONS": f"suppressions={self.suppressions}:print_suppressions=0:exitcode=98"})
        for k, (r, w) in pipes.items():
            os.close(w)
            with open(r, "rb") as f:
                reads[k] = f.read()
        _, stderr = proc.communicate(timeout=300)
        return Outcome(proc.returncode, stderr.decode(errors="replace"), path, reads)


class Outcome:
    def __init__(self, status, stderr, path, reads):
        self.status, self.stderr, self.path, self.reads = status, stderr, path, reads

    def size(self):
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def check(self, what):
        """In order, whichever way; the Recording when it is whole, else None."""
        what = f"{what}: exit status {self.status}, {self.stderr}"
        assert self.status in (0, 1, 7), what
        assert "Sanitizer" not in self.stderr and "runtime error" not in self.stderr, what
        if self.status == 1:
            assert self.stderr.strip(), f"{what}: no message"
            if self.size():
                out = subprocess.run([ktap.bstack(), "report", self.path], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, check=False)
                assert out.returncode == 0, f"{what}: a file that cannot be read: {out.stderr.decode()}"
            return None
        assert not self.stderr, what
        rec = truth.Recording(self.path)
        rec.exact()
        return rec

    def remove(self):
        if os.path.exists(self.path):
            os.unlink(self.path)


def target():
    """A process to record, that outlives all recordings."""
    return start("chain", 3600)


def is_named(rec):
    """A profile that lacks names did not say so; few samples may have none (of a PLT stub)."""
    return rec.folded.samples() < 5 or any(f and f[-1].startswith("fx_") for _, f, _ in rec.folded.stacks)


def site_fails(case, variable, site):
    """(what became of it, whether the site was met)"""
    out = case.run(**{variable: site, "FAIL_FD": True})
    if "CHECK failed: sanitizer_" in out.stderr:
        return "an allocation of the sanitizer's"
    has_failed = bool(out.reads["FAIL_FD"])
    rec = out.check(f"{' '.join(case.args)}: {variable}={site}")
    result = "told" if out.status == 1 else "counted" if rec.ledger["lost_memory"] or rec.ledger["unwind_no_room"] else "done without"
    if rec and "--no-symbols" not in case.args:
        assert is_named(rec), f"{variable}={site}: names are missing: {rec.folded.stacks[:3]}"
    out.remove()
    return result if has_failed else "not met"


def sites_of(case, runs=2):
    found = []
    for _ in range(runs):
        out = case.run(SITES_FD=True)
        ktap.eq((out.status in (0, 7), out.stderr), (True, ""), "a recording in which nothing fails")
        found += out.reads["SITES_FD"].decode().split()
        out.remove()
    return list(dict.fromkeys(found))


def sweep(case, variable, sites):
    counts, wrong = {}, []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(site_fails, case, variable, s) for s in sites]:
            try:
                result = done.result()
                counts[result] = counts.get(result, 0) + 1
            except AssertionError as err:
                wrong.append(str(err))
    assert not wrong, f"{len(wrong)} of {len(sites)} call sites:\n" + "\n".join(wrong)
    print(f"# {' '.join(case.args)}: {variable}: {len(sites)} call sites: {counts}")
    # Which ones are met depends on what the target does, and when
    assert counts.get("not met", 0) <= len(sites) / 2, counts
    return counts


def ways(d, pid):
    """Recordings that between them go through all of record."""
    return {
        "process": Fault(d, ["-k", "-F", 499, "-d", 0.2, "-o", "OUT", "-p", pid]),
        "frame_pointer": Fault(d, ["--unwind=fp", "--no-symbols", "-F", 499, "-d", 0.2, "-o", "OUT", "-p", pid]),
        "command": Fault(d, ["-F", 997, "-o", "-", "--", "sh", "-c",
                                "exec $0 > /dev/null", ktap.fixture("execer_a")]),
    }


def each_site(way, variable, step=1):
    """Of those that the ways before this one do not have; what became of them."""
    proc = target()
    try:
        with temp_dir() as d:
            seen = set()
            for name, case in ways(d, proc.pid).items():
                sites = [s for s in sites_of(case) if s not in seen]
                seen.update(sites)
                if name == way:
                    return sweep(case, variable, sites[::step])
    finally:
        proc.kill()
        proc.wait()


def test_each_allocation_of_a_process():
    counts = each_site("process", "FAIL_SITE")
    # Most end the recording before it begins; samples, and tables that a thread of its own makes, are counted
    assert counts["told"] > 50 and counts["counted"] > 0, counts


def test_each_allocation_by_frame_pointer():
    each_site("frame_pointer", "FAIL_SITE")


def test_each_allocation_of_a_command():
    assert each_site("command", "FAIL_SITE")["told"] > 0


def test_no_memory_from_some_site_on():
    assert each_site("process", "FAIL_SITE_FROM", 4)["told"] > 0


def limit_falls(which, values, least):
    """Recordings under one limit after the other; what became of them."""
    proc = target()
    counts = {"told": 0, "whole": 0}
    try:
        with temp_dir() as d, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            case = ways(d, proc.pid)["process"]
            for value, out in zip(values, pool.map(lambda v: case.run(limit=(which, v)), values)):
                if out.status == 127 and "error while loading shared libraries" in out.stderr:
                    continue  # it did not come to main()
                rec = out.check(f"limit {value}")
                assert not rec or is_named(rec), f"limit {value}: names are missing: {rec.folded.stacks[:3]}"
                counts["whole" if rec else "told"] += 1
                out.remove()
    finally:
        proc.kill()
        proc.wait()
    print(f"# {counts}")
    assert counts["told"] >= least and counts["whole"] > 0, counts


def test_no_more_files():
    limit_falls(resource.RLIMIT_NOFILE, [*range(3, 90), 1024], 20)


def test_no_more_address_space():
    limit_falls(resource.RLIMIT_AS, [n << 20 for n in [*range(8, 240, 4), 2048]], 10)


if __name__ == "__main__":
    ktap.main(globals())
