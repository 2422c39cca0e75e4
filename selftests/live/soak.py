#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""soak.py - records the whole host for a long time, under load that changes, and watches what bstack needs. soak.py SECONDS

Held against it at the end: fired = recorded + lost to the last event, and the profile has what the ledger says. In a run of
LONG_S at least, memory, too: in the last third of the time not more than in the second, but for what is stated below.
"""
import gzip
import itertools
import os
import pty
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from pprof_samples import fields  # noqa: E402
from truth import ktap  # noqa: E402

LONG_S = 300
PHASE_S = 4
RATE_HZ = 199
# Median of the last third against that of the second third: so much more is no growth.
GROWTH_PART = 0.05
GROWTH_BYTES = 4 << 20
# By design the profile stays in memory, as man bstack-record says: a thread with a stack, a frame of a stack.
SAMPLE_BYTES = 150
FRAME_BYTES = 12
FILES_MAX = 1024 + 16  # files of modules that were sampled stay open, by design; and a few for a moment

# Threads whose stacks truth.py knows
KNOWN = ("forkbomb", "storm", "dlswap", "chain", "chain-thread", "execer_a", "execer_b", "jit", "jit_unwound")

EXECS = "end=$(($(date +%s) + $0)); while [ $(date +%s) -lt $end ]; do /bin/true; /bin/ls / > /dev/null; done"
PERL = "$e = time + shift; while (time < $e) { @a = sort { $a <=> $b } map { rand } 1..20000; /(.)\\1+/ for @a }"
DEEPS = "end=$(($(date +%s) + $1)); i=1; while [ $(date +%s) -lt $end ]; do $0 0.2 $((i % 100 + 1)) $2 $3; i=$((i + 7)); done"


def phases(seconds):
    """What runs beside one another, phase by phase, again and again."""
    fx, s = ktap.fixture, str(seconds)
    return [
        ("forks", [[fx("forkbomb"), s], ["sh", "-c", EXECS, s]]),
        ("mappings", [[fx("storm"), s, "1"], [fx("dlswap"), s, fx("swap_a.so"), fx("swap_b.so")]]),
        ("threads and execs", [[fx("chain"), s, "8"], [fx("execer_a")], [fx("execer_a")]]),
        ("code made at run time", [[fx("jit"), s], [fx("jit_unwound"), s]]),
        ("many stacks", [[fx("stacks"), s, "11"], ["sh", "-c", DEEPS, fx("deep"), s, fx("deep_a.so"), fx("deep_b.so")]]),
        ("interpreters", [["perl", "-e", PERL, s], [sys.executable, "-c", "import json, time\nend = time.time() + " + s + "\n"
                                                     "while time.time() < end: json.loads(json.dumps(list(range(9999))))"]]),
    ]


class Load(threading.Thread):
    def __init__(self):
        super().__init__()
        self.is_stopping = threading.Event()
        self.names, self.failed = [], None

    def run(self):
        try:
            for name, commands in itertools.cycle(phases(PHASE_S)):
                if self.is_stopping.is_set():
                    return
                procs = [subprocess.Popen(["nice", "-n", "5", *c], stdout=subprocess.DEVNULL) for c in commands]
                for p in procs:
                    if p.wait() not in (0, 7):
                        raise OSError(f"{p.args} ended: {p.returncode}")
                self.names.append(name)
        except OSError as err:
            self.failed = err

    def stop(self):
        self.is_stopping.set()
        self.join()
        assert not self.failed, self.failed


def status_kib(pid, names):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        values = dict(line.split(":", 1) for line in f)
    return [int(values[n].split()[0]) << 10 for n in names]


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("Pss:"))


def maps_bytes(pid):
    """Memory of the BPF maps that the process holds, as the kernel accounts for it."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as f:
                info = dict(line.split(":", 1) for line in f if ":" in line)
        except FileNotFoundError:
            continue  # closed since the list was made
        if "map_id" in info:
            found[int(info["map_id"])] = int(info["memlock"])
    return sum(found.values())


def open_files(pid):
    """How many files are open, and how many descriptors of other things."""
    files = others = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            is_file = os.readlink(f"/proc/{pid}/fd/{fd}").startswith("/")
        except FileNotFoundError:
            continue  # closed since the list was made
        files += is_file
        others += not is_file
    return files, others


class Progress(threading.Thread):
    """The line that bstack shows on a terminal, each second: samples and losses so far."""
    LINE = re.compile(rb"(\d+) s  (\d+) samples  (\d+) lost .*?(\d+) KiB ")

    def __init__(self, fd):
        super().__init__()
        self.fd, self.samples, self.lost, self.kib, self.text = fd, 0, 0, 0, b""

    def run(self):
        try:
            while chunk := os.read(self.fd, 65536):
                self.text = (self.text + chunk)[-4096:]
                for m in self.LINE.finditer(self.text):
                    self.samples, self.lost, self.kib = int(m[2]), int(m[3]), int(m[4])
        except OSError:
            pass  # the end of a terminal that nobody writes to any more


def look(proc, progress, start):
    files, others = open_files(proc.pid)
    anon, rss = status_kib(proc.pid, ["RssAnon", "VmRSS"])
    return {"time": time.monotonic() - start, "anon": anon, "rss": rss, "pss": pss(proc.pid),
            "files": files, "fds": others, "maps": maps_bytes(proc.pid),
            "samples": progress.samples, "lost": progress.lost, "file": progress.kib << 10}


def tell(s):
    print(f"# {s['time']:6.0f} s: own {s['anon'] >> 10} KiB, RSS {s['rss'] >> 10}, PSS {s['pss'] >> 10}, BPF maps {s['maps'] >> 10}, "
          f"{s['files']} files, {s['fds']} other fds, {s['samples']} samples, {s['lost']} lost, file {s['file'] >> 10} KiB", flush=True)


def held_bytes(path):
    """What the samples of a profile that was written at once take in the recorder's memory."""
    with gzip.open(path) as f:
        samples = [dict(fields(v)).get(1, b"") for n, v in fields(f.read()) if n == 2]
    frames = sum(sum(byte < 128 for byte in locations) for locations in set(samples))
    return len(samples) * SAMPLE_BYTES + frames * FRAME_BYTES


def median(looks, key):
    return statistics.median(s[key] for s in looks)


def check_flat(looks, held):
    """held: of all samples, in bytes; they came as the samples did."""
    third = len(looks) // 3
    second, last = looks[third:2 * third], looks[2 * third:]
    new = median(last, "samples") - median(second, "samples")
    for key in ("anon", "rss", "pss"):
        was, now = median(second, key), median(last, key)
        limit = was * (1 + GROWTH_PART) + GROWTH_BYTES + held * new / (looks[-1]["samples"] or 1)
        print(f"# {key}: {was / 1024:.0f} KiB in the second third, {now / 1024:.0f} in the last ({new:.0f} samples later); "
              f"at most {limit / 1024:.0f}")
        assert now <= limit, f"{key} grows"
    ktap.eq(looks[-1]["fds"], looks[third]["fds"], "descriptors")
    assert max(s["files"] for s in looks) <= FILES_MAX, "too many open files"
    ktap.eq(looks[-1]["maps"], looks[third]["maps"], "memory of BPF maps")


def known_stacks(folded):
    """Of threads that truth.py knows, each stack from its last unresolved frame on: that one is no frame of anybody's."""
    stacks = []
    for thread, frames, count in folded.stacks:
        if thread in KNOWN:
            cut = max((i + 1 for i, name in enumerate(frames) if name == "[unknown]"), default=0)
            stacks.append((thread, frames[cut:], count))
    return stacks


def soak(seconds):
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bstack-soak-") as d:
        path = os.path.join(d, "x.pb.gz")
        main, side = pty.openpty()
        proc = subprocess.Popen([ktap.bstack(), "record", "-a", "-k", "-F", str(RATE_HZ), "-o", path], stdout=subprocess.DEVNULL,
                                stderr=side)
        os.close(side)
        progress, load, looks = Progress(main), Load(), []
        progress.start()
        load.start()
        try:
            pause = max(0.5, seconds / 600)
            while time.monotonic() < start + seconds:
                assert proc.poll() is None, f"bstack ended: {proc.returncode}, {progress.text}"
                looks.append(look(proc, progress, start))
                if len(looks) % 30 == 1:
                    tell(looks[-1])
                time.sleep(pause)  # polls a condition: what the process needs, as time goes by
            tell(looks[-1])
        finally:
            load.stop()
            proc.send_signal(signal.SIGINT)
            status = proc.wait(timeout=300)
            progress.join()
            os.close(main)
        ktap.eq(status, 0, f"exit status: {progress.text}")
        rec = truth.Recording(path)
        led, held = rec.ledger, held_bytes(path)
        print(f"# {len(load.names)} phases: fired {led['fired']} = recorded {led['recorded']} (counted in BPF {led['counted']}) + "
              f"lost {led['lost']}; side band lost {led['sideband_lost']}, tables without room {led['unwind_no_room']}, "
              f"evicted {led['unwind_evicted']}, known stacks evicted {led['known_evicted']}; the file: "
              f"{os.path.getsize(path)} bytes, {len(rec.folded.stacks)} stacks; its samples in memory: {held >> 10} KiB")
    rec.exact()
    assert len(load.names) > 0 and led["recorded"] > 0, load.names
    if seconds >= LONG_S:
        check_flat(looks, held)
    rec.folded.stacks = known_stacks(rec.folded)
    checked, wrong = truth.check_frames(rec.folded)
    assert checked > 0 and not wrong, f"{len(wrong)} wrong stacks of {checked} frames: {wrong[:3]}"


if __name__ == "__main__":
    soak(float(sys.argv[1]) if len(sys.argv) > 1 else 3600)
