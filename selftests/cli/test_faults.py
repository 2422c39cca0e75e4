#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_faults.py - commands that run out of memory at each allocation in turn, and writes cut short.

Whatever fails: no crash, and either the whole output and exit status 0, or a message and another
status, with the file that was to be replaced as it was.
"""
import gzip
import os
import resource
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import ktap  # noqa: E402
import pprof_make  # noqa: E402

ALLOCATIONS_MAX = 20000  # of one command, more than any needs here


class Case:
    """A command whose output is a file, in a folder of its own that holds nothing else."""
    files = ["in.pb.gz", "out"]

    def __init__(self, folder, args, profile):
        self.args = args
        self.input = os.path.join(folder, "in.pb.gz")
        self.output = os.path.join(folder, "out")
        with open(self.input, "wb") as f:
            f.write(profile)

    def run(self, prepare=None, **env):
        """prepare: called before the program. (exit status, stderr, whether an allocation failed, what the output file holds)"""
        with open(self.output, "w", encoding="ascii") as f:
            f.write("before\n")
        out_r, out_w = os.pipe()
        args = [self.output if a == "OUT" else self.input if a == "IN" else a for a in self.args]
        to_stdout = "OUT" not in self.args
        with open(self.output if to_stdout else os.devnull, "wb") as stdout:
            proc = subprocess.run([ktap.bstack(), *args], stdout=stdout, stderr=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, pass_fds=(out_w,), check=False,
                                  preexec_fn=prepare,
                                  env={**os.environ, **env, "FAIL_FD": str(out_w),
                                       "LD_PRELOAD": ktap.fixture("faults.so")})
        os.close(out_w)
        has_failed = bool(os.read(out_r, 1))
        os.close(out_r)
        with open(self.output, "rb") as f:
            return proc.returncode, proc.stderr.decode(errors="replace"), has_failed, f.read()


    def listed(self):
        return sorted(os.listdir(os.path.dirname(self.output)))


def content(output):
    """Of gzip, what is in it: zlib may find other ways when it lacks memory."""
    return gzip.decompress(output) if output[:2] == b"\x1f\x8b" else output


def every_failure(case, variable):
    """Fail the first, the second, ... until none is left to fail."""
    status, stderr, _, whole = case.run()
    ktap.eq(status, 0, stderr)
    assert len(whole) > 40, whole
    failures = 0
    for n in range(1, ALLOCATIONS_MAX):
        status, stderr, has_failed, output = case.run(**{variable: str(n)})
        what = f"{' '.join(case.args)}: {variable}={n}: exit status {status}, {stderr!r}"
        if not has_failed:
            break
        failures += 1
        assert 0 <= status < 126, what
        if status:
            assert stderr.strip(), f"{what}: no message"
            if "OUT" in case.args:
                ktap.eq(output, b"before\n", what)
        else:
            ktap.eq(content(output), content(whole), what)
        ktap.eq(case.listed(), case.files, f"{what}: files left behind")
    else:
        raise AssertionError(f"more than {ALLOCATIONS_MAX} allocations")
    assert failures > 20, failures
    print(f"# {' '.join(case.args)}: {failures} allocations failed in turn")


def check(args, profile, variable):
    with tempfile.TemporaryDirectory() as folder:
        every_failure(Case(folder, args, profile), variable)


def add_fixture(p, path):
    """A stack of each function of the program's, without their names."""
    notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True,
                           check=True).stdout
    build_id = notes.split("Build ID: ")[1].split()[0]
    symbols = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    text = [line.split() for line in symbols.splitlines() if " T " in line or " t " in line]
    mapping = p.mapping(os.path.abspath(path), build_id, 0x1000, 1 << 40, 0x1000)
    p.sample([p.location(mapping, int(words[0], 16)) for words in text], 1, 1000, pid=1, tid=1,
             thread="all", unwind="rooted", evidence=f"kernel:{len(text)}")


def unnamed_profile():
    """Of two programs, one in C++, whose names are mangled."""
    p = pprof_make.Profile()
    add_fixture(p, ktap.fixture("chain"))
    add_fixture(p, ktap.fixture("thrown"))
    for key, value in (("fired", 1), ("recorded", 1), ("event", "cpu-clock"), ("is_complete", 1)):
        p.comment(key, value)
    return p.gz()


COMMANDS = {
    "report": (["report", "IN"], lambda: pprof_make.example().gz()),
    "report_json": (["report", "--json", "IN"], lambda: pprof_make.example().gz()),
    "fold": (["fold", "--module", "-o", "OUT", "IN"], lambda: pprof_make.example().gz()),
    "fold_folded": (["fold", "IN"], lambda: b"app;main;work 50\napp;main;vfs_read_[k] 2\n" * 9),
    "flame": (["flame", "-o", "OUT", "IN"], lambda: pprof_make.example().gz()),
    "symbolize": (["symbolize", "-o", "OUT", "IN"], unnamed_profile),
}


def of_command(name, variable):
    args, profile = COMMANDS[name]
    return lambda: check(args, profile(), variable)


for _name in COMMANDS:
    globals()[f"test_{_name}_one_fails"] = of_command(_name, "FAIL_AT")
    globals()[f"test_{_name}_all_fail"] = of_command(_name, "FAIL_FROM")


def test_short_and_interrupted_writes():
    with tempfile.TemporaryDirectory() as folder:
        case = Case(folder, ["symbolize", "-o", "OUT", "IN"], unnamed_profile())
        status, stderr, _, whole = case.run()
        ktap.eq(status, 0, stderr)
        for most in (1, 7, 100):
            status, stderr, _, output = case.run(WRITE_MAX=str(most))
            ktap.eq(status, 0, stderr)
            ktap.eq(output, whole, f"at most {most} bytes")


def test_file_may_not_grow():
    """At its limit (ulimit -f) or anywhere before: a message, and the old file."""
    for name in ("fold", "flame", "symbolize"):
        args, profile = COMMANDS[name]
        with tempfile.TemporaryDirectory() as folder:
            case = Case(folder, args, profile())
            status, stderr, _, whole = case.run()
            ktap.eq(status, 0, stderr)
            for limit in (0, 1, len(whole) // 2, len(whole) - 1):
                status, stderr, _, output = case.run(
                    lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
                what = f"{name}, {limit} of {len(whole)} bytes"
                ktap.eq(status, 1, f"{what}: {stderr}")
                assert "cannot write" in stderr and "File too large" in stderr, f"{what}: {stderr}"
                ktap.eq(output, b"before\n", what)
                ktap.eq(case.listed(), case.files, f"{what}: files left behind")


def test_disk_becomes_full():
    """Likewise on a file system of four pages, three of them taken."""
    if os.geteuid():
        raise ktap.Skip("mounts a file system: needs root")
    for name in ("flame", "symbolize"):
        args, profile = COMMANDS[name]
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "bstack-test", folder],
                           check=True)
            try:
                case = Case(folder, args, profile())
                with open(case.output, "w", encoding="ascii") as f:
                    f.write("before\n")
                with open(os.path.join(folder, "filler"), "wb", buffering=0) as f:
                    f.write(bytes(8192))
                status, stderr, _, output = case.run()
                ktap.eq(status, 1, stderr)
                assert "No space left" in stderr, stderr
                ktap.eq(output, b"before\n")
                ktap.eq(case.listed(), ["filler", *case.files], "files left behind")
            finally:
                subprocess.run(["umount", folder], check=True)


if __name__ == "__main__":
    ktap.main(globals())
