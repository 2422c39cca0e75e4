# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""faults.py - bstack record with faults, and what has to hold whatever fails.

No crash, nothing that the sanitizers report, no leak. Either exit status 0, a whole profile and its ledger exact, or a
message and exit status 1; and what stands in the file then can be read, or nothing does.
"""
import ctypes
import os
import resource
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from truth import ktap, start  # noqa: E402

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


def ways(d, pid):
    """Recordings that between them go through all of record."""
    return {
        "process": Fault(d, ["-k", "-F", 499, "-d", 0.2, "-o", "OUT", "-p", pid]),
        "frame_pointer": Fault(d, ["--unwind=fp", "--no-symbols", "-F", 499, "-d", 0.2, "-o", "OUT", "-p", pid]),
        "command": Fault(d, ["-F", 997, "-o", "-", "--", "sh", "-c",
                                "exec $0 > /dev/null", ktap.fixture("execer_a")]),
    }
