#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_record_limits.py - bstack record at its limits: nobody reads the ring buffer, tables and maps are full, calls are cut
short, the disk is full for a moment, the clock jumps. What was lost is counted to the last event, by a tracepoint whose
hits are known.
"""
import concurrent.futures
import contextlib
import ctypes
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from faults import AT_ONCE, is_named, target, ways  # noqa: E402
from truth import ktap, record, run, start, stop, temp_dir, wait_until  # noqa: E402

CHAIN = ["main", *[f"fx_{i}" for i in range(1, 9)], "fx_spin"]
GETPID = "syscalls:sys_enter_getpid"
# Calls as many as each line of its input says, and tells when it has.
CALLER = r'$| = 1; print "ready\n"; while (<STDIN>) { for my $i (1..$_) { syscall(39) } print "done\n" }'


class Caller:
    def __init__(self):
        self.proc = subprocess.Popen(["perl", "-e", CALLER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ktap.eq(self.proc.stdout.readline(), b"ready\n", "perl")
        self.pid, self.count = self.proc.pid, 0

    def call(self, count):
        self.proc.stdin.write(b"%d\n" % count)
        self.proc.stdin.flush()
        ktap.eq(self.proc.stdout.readline(), b"done\n", "perl")
        self.count += count

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.stdin.close()
        self.proc.wait()
        self.proc.stdout.close()


def faults(**env):
    return {**os.environ, **{k: str(v) for k, v in env.items()}, "LD_PRELOAD": ktap.fixture("faults.so")}


def record_start(d, *args, env=None, **kwargs):
    """bstack record, sampling when this returns: the first flush, a second after its start, is in the file."""
    path = os.path.join(d, "x.pb.gz")
    proc = subprocess.Popen([ktap.bstack(), "record", "-o", path, *map(str, args)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=env, **kwargs)
    wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > 0 or proc.poll() is not None, "the first flush")
    assert proc.poll() is None, proc.communicate()[1]
    return proc, path


def record_end(proc, path):
    status, _, err = stop(proc)
    ktap.eq(status, 0, err)
    rec = truth.Recording(path)
    rec.exact()
    return rec, err


def freeze(proc):
    proc.send_signal(signal.SIGSTOP)
    wait_until(lambda: open(f"/proc/{proc.pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()[0] == "T",
               "the recorder to stop")


def test_ring_full_while_nobody_reads():
    """Each call is in the profile or in the ledger."""
    with temp_dir() as d, Caller() as caller:
        proc, path = record_start(d, "--ring", 1, "--known-stacks", 0, "-e", GETPID, "-p", caller.pid)
        caller.call(100)
        freeze(proc)
        caller.call(50000)
        proc.send_signal(signal.SIGCONT)
        rec, err = record_end(proc, path)
    led = rec.ledger
    ktap.eq(led["fired"], caller.count, "fired")
    # A record has a hundred bytes at least
    assert led["lost_ring"] >= caller.count - 100 - (1 << 20) / 100, led
    assert led["recorded"] >= 100, led
    ktap.eq(led["lost_nested"] + led["lost_memory"], 0, "lost elsewhere")
    assert f"{led['recorded']} samples, {led['lost_ring']} lost, of {caller.count} that fired" in err, err
    ktap.eq(rec.folded.samples(), caller.count - led["lost_ring"], "samples")


def test_report_tells_of_a_full_ring():
    with temp_dir() as d, Caller() as caller:
        proc, path = record_start(d, "--ring", 1, "--known-stacks", 0, "-e", GETPID, "-p", caller.pid)
        freeze(proc)
        caller.call(20000)
        proc.send_signal(signal.SIGCONT)
        rec, _ = record_end(proc, path)
        out, _ = run("report", path)
    lost = rec.ledger["lost_ring"]
    assert lost > 0 and re.search(rf"^ *ring +{lost:,} .*the ring buffer was full$".replace(",", ",?"), out, re.M), out[:2000]


def test_known_stacks_are_counted_while_nobody_reads():
    """Some of the calls need no reader; all are accounted for."""
    truth_needs_sequence()
    with temp_dir() as d, Caller() as caller:
        proc, path = record_start(d, "--ring", 1, "-e", GETPID, "-p", caller.pid)
        size = os.path.getsize(path)
        caller.call(1000)
        wait_until(lambda: os.path.getsize(path) > size, "the next flush")
        caller.call(1000)
        freeze(proc)
        caller.call(50000)
        proc.send_signal(signal.SIGCONT)
        rec, _ = record_end(proc, path)
    led = rec.ledger
    ktap.eq(led["fired"], caller.count, "fired")
    ktap.eq(led["recorded"] + led["lost_ring"], caller.count, "recorded and lost")
    assert led["counted"] > truth.share(1000), led


def truth_needs_sequence():
    from test_evidence import needs_sequence
    needs_sequence()


def test_side_band_full_while_nobody_reads():
    """More mapping events than its rings hold: counted; and no frame is wrong for it."""
    with temp_dir() as d:
        target = start("chain", 600, 1)
        try:
            proc, path = record_start(d, "-F", truth.rate(499), "-p", target.pid)
            freeze(proc)
            # Ten mapping events of each, 100 bytes at least each: four times what the ring of one CPU holds
            count, cpu = 4 * 512 * 1024 // (10 * 100), min(os.sched_getaffinity(0))
            subprocess.run(["sh", "-c", f"i=0; while [ $i -lt {count} ]; do /bin/true; i=$((i+1)); done"], check=True,
                           preexec_fn=lambda: os.sched_setaffinity(0, [cpu]))
            proc.send_signal(signal.SIGCONT)
            rec, _ = record_end(proc, path)
            out, _ = run("report", path)
        finally:
            target.kill()
            target.wait()
    checked, wrong = truth.check_frames(rec.folded)
    assert checked > 0 and not wrong, wrong[:3]
    assert rec.ledger["sideband_lost"] > 0, rec.ledger
    assert re.search(r"sideband lost +[0-9,]+ .*mapping events that the kernel dropped", out), out[:2000]


def test_known_stacks_make_room():
    """Six processes, each with its own stacks, and two slots: none of their calls is missing."""
    truth_needs_sequence()
    with contextlib.ExitStack() as callers, temp_dir() as d:
        callers = [callers.enter_context(Caller()) for _ in range(6)]
        proc, path = record_start(d, "--known-stacks", 2, "-e", GETPID, "-p", ",".join(str(c.pid) for c in callers))
        for _ in range(4):
            size = os.path.getsize(path)
            for caller in callers:
                caller.call(300)
            wait_until(lambda: os.path.getsize(path) > size, "the next flush")
        rec, _ = record_end(proc, path)
    ktap.eq(rec.ledger["fired"], sum(c.count for c in callers), "calls")
    ktap.eq(rec.folded.samples(), rec.ledger["fired"], "calls in the profile")
    assert rec.ledger["counted"] > 0 and rec.ledger["known_evicted"] > truth.share(0), rec.ledger


def map_of(pid, name):
    """The id of a map that this process holds."""
    held = set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as f:
            held.update(int(line.split()[1]) for line in f if line.startswith("map_id:"))
    maps = json.loads(subprocess.run(["bpftool", "-j", "map", "show"], stdout=subprocess.PIPE, check=True).stdout)
    return next(m["id"] for m in maps if m["id"] in held and m.get("name") == name)


def map_fill(map_id, keys, value):
    """Through the kernel's own interface, as anybody with the privilege could: BPF_MAP_GET_FD_BY_ID, _UPDATE_BATCH."""
    libc = ctypes.CDLL(None, use_errno=True)
    attr = ctypes.create_string_buffer(128)
    attr[0:4] = int(map_id).to_bytes(4, "little")
    fd = libc.syscall(321, 14, attr, 128)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    keys_buf = (ctypes.c_uint32 * len(keys))(*keys)
    values_buf = (ctypes.c_uint32 * len(keys))(*([value] * len(keys)))
    attr = ctypes.create_string_buffer(128)
    attr[16:24] = ctypes.addressof(keys_buf).to_bytes(8, "little")
    attr[24:32] = ctypes.addressof(values_buf).to_bytes(8, "little")
    attr[32:36] = len(keys).to_bytes(4, "little")
    attr[36:40] = fd.to_bytes(4, "little")
    libc.syscall(321, 26, attr, 128)
    os.close(fd)
    return int.from_bytes(attr[32:36], "little")


def test_too_many_targets():
    """The list of targets is full: children are not followed, each is counted, and the report says so."""
    if os.uname().machine != "x86_64":
        raise ktap.Skip("the number of bpf() is that of x86-64")
    children = 30
    code = (f'$| = 1; print "ready\\n"; <STDIN>; for (1..{children}) {{ unless (fork) {{ syscall(39) for 1..10; exit 0 }} wait }} '
            'print "done\\n"; <STDIN>')
    with temp_dir() as d:
        perl = subprocess.Popen(["perl", "-e", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        perl.stdout.readline()
        try:
            proc, path = record_start(d, "--inherit", "-e", GETPID, "-p", perl.pid)
            room = 65536 - 1
            numbers = range(1 << 31, (1 << 31) + room)  # no process has such
            ktap.eq(map_fill(map_of(proc.pid, "targets"), numbers, 1), room, "targets added")
            perl.stdin.write(b"\n")
            perl.stdin.flush()
            ktap.eq(perl.stdout.readline(), b"done\n", "perl")
            rec, _ = record_end(proc, path)
            out, _ = run("report", path)
        finally:
            perl.kill()
            perl.wait()
    ktap.eq(rec.ledger["targets_missed"], children, "children not followed")
    ktap.eq(rec.ledger["fired"], 0, "calls of theirs")
    assert re.search(rf"targets missed +{children} .*too many targets", out), out[:1000]


# MAPPINGS executable mappings that are not one; a child, or several, that have them too. Then as CALLER.
MAPPER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
cnt, children = int(sys.argv[1]), int(sys.argv[2])
base = libc.mmap(None, 2 * cnt * 4096, 0, 0x22, -1, 0)
for i in range(cnt):
    assert libc.mmap(base + 2 * i * 4096, 4096, 5, 0x32, -1, 0) == base + 2 * i * 4096
pids = []
r, w = os.pipe()
for _ in range(children):
    pid = os.fork()
    if not pid:
        os.close(w)
        os.read(r, 1)
        for _ in range(20):
            libc.getpid()
        os._exit(0)
    pids.append(pid)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    libc.getpid()
os.close(w)
for pid in pids:
    os.waitpid(pid, 0)
print("done", flush=True)
sys.stdin.readline()
"""


def mappings_full(mappings, children):
    """(the recording, its report) of the calls of all of them"""
    with temp_dir() as d:
        mapper = subprocess.Popen([sys.executable, "-c", MAPPER, str(mappings), str(children)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        try:
            ktap.eq(mapper.stdout.readline(), b"ready\n", "the mapper")
            pids = subprocess.run(["pgrep", "-P", str(mapper.pid)], stdout=subprocess.PIPE, check=False).stdout.split()
            ktap.eq(len(pids), children, "children")
            proc, path = record_start(d, "-e", GETPID, "-p", ",".join([str(mapper.pid), *[p.decode() for p in pids]]))
            mapper.stdin.write(b"\n")
            mapper.stdin.flush()
            ktap.eq(mapper.stdout.readline(), b"done\n", "the mapper")
            rec, _ = record_end(proc, path)
            out, _ = run("report", path)
        finally:
            mapper.kill()
            mapper.wait()
    ktap.eq(rec.ledger["fired"], 20 * (children + 1), "calls")
    ktap.eq(rec.ledger["recorded"], rec.ledger["fired"], "none is lost")
    return rec, out


def test_a_process_of_too_many_mappings():
    rec, out = mappings_full(4200, 0)
    assert rec.ledger["unwind_no_room"] >= 1, rec.ledger
    assert "no room" in out, out[:3000]


def test_more_mappings_than_the_table_holds():
    """80 processes of 4,000 mappings each: 64 of them fit."""
    rec, out = mappings_full(4000, 79)
    assert rec.ledger["unwind_no_room"] >= 16, rec.ledger
    assert "no room" in out, out[:3000]


def test_short_and_interrupted_calls():
    """To a file and to a pipe: each write() cut to 7 bytes, every other call interrupted."""
    with temp_dir() as d:
        for output in ("file", "pipe"):
            path = os.path.join(d, "x.pb.gz")
            args = ["-q", "-F", "499", "-o", path if output == "file" else "-", "--", "sh", "-c",
                    "exec $0 1 > /dev/null", ktap.fixture("chain")]
            with open(path if output == "pipe" else os.devnull, "wb") as stdout:
                proc = subprocess.Popen([ktap.bstack(), "record", *args], env=faults(WRITE_MAX=7, INTERRUPT=1),
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                out, err = proc.communicate(timeout=120)
                stdout.write(out)
            ktap.eq((proc.returncode, err), (7, b""), output)
            rec = truth.Recording(path)
            rec.exact()
            assert rec.folded.chain(CHAIN) > 0, rec.folded.stacks[:3]
            os.unlink(path)


def test_disk_full_for_a_moment():
    """The second flush fails; what it had is in what is written at the end."""
    for args in (["--no-symbols"], []):
        with temp_dir() as d, Caller() as caller:
            proc, path = record_start(d, *args, "-e", GETPID, "-p", caller.pid, env=faults(DISK_FROM=2, DISK_TO=2))
            caller.call(500)
            _, err = proc.communicate(timeout=120)
            ktap.eq(proc.returncode, 1, err)
            ktap.eq(err.count(b"No space left on device"), 1, err)
            rec = truth.Recording(path)
        rec.exact()
        ktap.eq(rec.ledger["fired"], caller.count, "calls")


def test_file_may_not_grow():
    """At its limit (ulimit -f): a message, told once, and what was written before."""
    for limit in (0, 1000):
        with temp_dir() as d:
            path = os.path.join(d, "x.pb.gz")
            _, err = run("record", "-q", "-k", "-F", 9973, "-o", path, "--", ktap.fixture("storm"), 2, check=1,
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
            ktap.eq(err.count("File too large"), 1, err)
            if os.path.getsize(path):
                run("report", path)


def test_nobody_reads_the_pipe():
    """The reader is gone: that is no crash, and told."""
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    with os.fdopen(write_fd, "wb") as stdout:
        proc = subprocess.run([ktap.bstack(), "record", "-q", "-F", "499", "-o", "-", "--", "sh", "-c",
                               "exec $0 0.2 > /dev/null", ktap.fixture("chain")], stdout=stdout, stderr=subprocess.PIPE,
                              check=False, timeout=120)
    ktap.eq(proc.returncode, 1, proc.stderr)
    assert b"Broken pipe" in proc.stderr, proc.stderr


def test_clock_set_back_and_forth():
    """An hour, at each look: order, durations and progress are by another clock; the start is one look at this one."""
    step = 3600
    with temp_dir() as d, Caller() as caller:
        path = os.path.join(d, "x.pb.gz")
        main, side = pty.openpty()
        before, mono = time.time(), time.monotonic()
        proc = subprocess.Popen([ktap.bstack(), "record", "-o", path, "-e", GETPID, "-p", str(caller.pid)],
                                env=faults(CLOCK_STEP_S=step), stdout=subprocess.DEVNULL, stderr=side)
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > 0, "the first flush")
        caller.call(500)
        size = os.path.getsize(path)
        wait_until(lambda: os.path.getsize(path) > size, "the next flush")
        proc.send_signal(signal.SIGINT)
        ktap.eq(proc.wait(timeout=60), 0, "exit status")
        took = time.monotonic() - mono
        os.close(side)
        shown = b""
        try:
            while chunk := os.read(main, 65536):
                shown += chunk
        except OSError:
            pass  # the end of a terminal that nobody writes to any more
        os.close(main)
        rec = truth.Recording(path)
    rec.exact()
    ktap.eq(rec.ledger["fired"], caller.count, "calls")
    assert 0 < rec.ledger["duration_ns"] < took * 1e9, (rec.ledger["duration_ns"], took)
    start_s = rec.ledger["start_ns"] / 1e9
    assert before <= start_s <= before + took or before + step <= start_s <= before + step + took, (before, start_s)
    seconds = [int(s) for s in re.findall(rb"\r *(\d+) s  ", shown)]
    assert seconds and seconds == sorted(seconds) and seconds[-1] <= took, shown


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
