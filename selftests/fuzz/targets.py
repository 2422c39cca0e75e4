# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""targets.py - running one fuzz target of libFuzzer's, for run.py and for the tests."""
import glob
import os
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
# Of one input: seconds and MiB.
LIMITS = ("-timeout=10", "-rss_limit_mb=1024", "-malloc_limit_mb=512")
ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:allocator_may_return_null=1:symbolize=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
STATS = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/(\S+)", re.M)


def build_dir():
    return os.environ.get("O", "build")


def names():
    return sorted(os.path.basename(p)[5:-2] for p in glob.glob(os.path.join(HERE, "fuzz_*.c")))


def program(name):
    return os.path.join(build_dir(), "fuzz", f"fuzz_{name}")


def committed(name):
    """The folder of the corpus that is kept in the repository."""
    return os.path.join(HERE, "corpus", name)


def snapshot(name):
    """A copy of the committed corpus, to which a run may add; empty of what earlier runs added."""
    folder = os.path.join(build_dir(), "fuzz", "snapshot", name)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(committed(name), folder)
    return folder


def found(name):
    """Where inputs that found something go; made when it is not there."""
    folder = os.path.join(build_dir(), "fuzz", "found", name)
    os.makedirs(folder, exist_ok=True)
    return folder


def run(name, *args):
    """(exit status, output); reproducers in found(name)."""
    proc = subprocess.run([program(name), *LIMITS, f"-artifact_prefix={found(name)}/", *args],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          env={**os.environ, **ENV})
    return proc.returncode, proc.stdout.decode(errors="replace")


def reproducer(output):
    """The path of the input that found something, or None."""
    match = re.search(r"Test unit written to (\S+)", output)
    return match and match[1]


def without_progress(output):
    """libFuzzer's output without its line for each new input."""
    return "\n".join(line for line in output.splitlines() if not re.match(r"#\d+\s+[A-Z]", line))


def last_stats(output):
    """The last line of numbers that libFuzzer gave, as (runs, cov, ft, corpus), or None."""
    lines = STATS.findall(output)
    return lines[-1][:4] if lines else None
