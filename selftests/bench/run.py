#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""run.py - the figures of bstack beside those of its peers, as one table. Nothing gates on them."""
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, ".."), os.path.join(HERE, "..", "live")]
import ktap  # noqa: E402
import profiles  # noqa: E402
import truth  # noqa: E402
from truth import locks  # noqa: E402

ROWS = []
DIR = tempfile.mkdtemp(prefix="bstack-bench-")
ROUNDS = int(os.environ.get("ROUNDS", "5"))
# Build-ids from the kernel (5.12): perf 6.1, where it reads them itself, may abort ("assertion failed at util/build-id.c").
PERF_RECORD = ["perf", "record", "-q", "--buildid-mmap"]


def row(what, ours, peer="", note=""):
    ROWS.append((what, ours, peer, note))
    print(f"  {what}: {ours}   {peer}   {note}", flush=True)


def perf():
    return shutil.which("perf")


def timed(args, **kwargs):
    """(seconds, peak KiB) of a process, whose output is in DIR/out: a child's peak begins with that of its parent, so
    nothing large is read here."""
    start = time.monotonic()
    with open(os.path.join(DIR, "out"), "wb") as out:
        proc = subprocess.Popen(list(map(str, args)), stdout=out, stderr=subprocess.DEVNULL, **kwargs)
        _, status, usage = os.wait4(proc.pid, 0)
    assert not status, f"{args}: wait status {status:#x}"
    return time.monotonic() - start, usage.ru_maxrss


COST_WAYS = ("rows", "fp", "raw_walk", "fp known", "build_id_helper", "rows known")
COST_DEPTHS = (16, 32, 64)
COST_LIBS = ((1, "one library"), (2, "two alternating"))


COST_HZ = 9999
COST_CPU = max(os.sched_getaffinity(0))


def alone_on_its_cpu():
    """Almost no event is then one of another process, and bstack works elsewhere."""
    os.sched_setaffinity(0, {COST_CPU})
    os.nice(-10)


def cost_recording(pid, *args):
    return truth.record(DIR, *args, "-F", COST_HZ, "-C", COST_CPU, "-p", pid)[0].ledger


def refusal_cost():
    """Nanoseconds of BPF for an event that is not wanted, one of another process: the clock ticks for all."""
    proc, other = subprocess.Popen(["sleep", "600"]), truth.start("chain", 600, 1, preexec_fn=alone_on_its_cpu)
    try:
        ledgers = [cost_recording(proc.pid, "-d", 0.5) for _ in range(ROUNDS)]
    finally:
        for p in (proc, other):
            p.kill()
            p.wait()
    return statistics.median((led["bpf_ns"] / led["bpf_runs"]) for led in ledgers)


def walk_cost(way, pid, hz):
    """Of the kernel's walk alone; hz 0: at calls of getpid()."""
    return float(subprocess.run([os.path.join(ktap.build_dir(), "bench/cost"), way, str(pid), "1", str(hz)],
                                stdout=subprocess.PIPE, check=True).stdout)


def cost_once(way, pid, refusal):
    """Nanoseconds of BPF a sample of a process: of bstack's program, by each stack anew or, with " known", counting those that
    come again, the first of them and what is handed over included; or of the kernel's walk alone."""
    how, _, known = way.partition(" ")
    if how not in ("rows", "fp"):
        return walk_cost(way, pid, COST_HZ)
    led = cost_recording(pid, f"--unwind={how}", *(["-d", 4] if known else ["-d", 1, "--known-stacks", 0]))
    return (led["bpf_ns"] - refusal * (led["bpf_runs"] - led["fired"])) / led["fired"]


def cost_at(depth, libs, refusal):
    """{way: median} below a stack of that depth."""
    figures = {way: [] for way in COST_WAYS}
    proc = truth.start("deep", 600, depth - 4, "spin", *libs, preexec_fn=alone_on_its_cpu)
    try:
        for _ in range(ROUNDS):
            for way in COST_WAYS:
                figures[way].append(cost_once(way, proc.pid, refusal))
    finally:
        proc.kill()
        proc.wait()
    return {way: statistics.median(v) for way, v in figures.items()}


def cost_at_calls():
    """Of a program that makes calls without end: {way: median}, below a stack of the greatest depth, in two libraries. A
    hundred times as many events as by the clock, and no hypervisor that sees each, tell more exactly."""
    ways = {"raw_walk": [], "build_id_helper": [], "fp": [], "rows": []}
    libs = [ktap.fixture("deep_a.so"), ktap.fixture("deep_b.so")]
    proc = truth.start("deep", 600, COST_DEPTHS[-1] - 4, "call", *libs, preexec_fn=alone_on_its_cpu)
    try:
        for _ in range(ROUNDS):
            for way, figures in ways.items():
                if way not in ("rows", "fp"):
                    figures.append(walk_cost(way, proc.pid, 0))
                    continue
                led = truth.record(DIR, f"--unwind={way}", "-e", "syscalls:sys_enter_getpid", "-d", 1, "-p", proc.pid)[0].ledger
                assert led["counted"] > 0.9 * led["fired"] > 0.9 * 0.99 * led["bpf_runs"], led
                figures.append(led["bpf_ns"] / led["bpf_runs"])
    finally:
        proc.kill()
        proc.wait()
    return {way: statistics.median(v) for way, v in ways.items()}


def bpf_cost():
    """Nanoseconds of BPF a sample, in hard interrupts, and of each frame more."""
    libs = [ktap.fixture("deep_a.so"), ktap.fixture("deep_b.so")]
    low, high = COST_DEPTHS[0], COST_DEPTHS[-1]
    mids = {}
    stats = subprocess.Popen([os.path.join(ktap.build_dir(), "bench/cost")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert stats.stdout.readline() == b"ready\n"
    try:
        refusal = refusal_cost()
        row("BPF an event of another process", f"{refusal:.0f} ns")
        for depth in COST_DEPTHS:
            for count, text in COST_LIBS:
                mid = mids[depth, count] = cost_at(depth, libs[:count], refusal)
                row(f"BPF a sample, depth {depth}, {text}", f"{mid['rows']:.0f} ns",
                    f"by frame pointer {mid['fp']:.0f} ns; raw walk {mid['raw_walk']:.0f} ns, kernel helper "
                    f"{mid['build_id_helper']:.0f} ns", f"{mid['rows'] / mid['raw_walk']:.2f} x raw")
                row("the same, a known stack", f"{mid['rows known']:.0f} ns",
                    f"by frame pointer {mid['fp known']:.0f} ns", f"{mid['fp known'] / mid['raw_walk']:.2f} x raw")
        calls = cost_at_calls()
    finally:
        stats.communicate()
    row(f"BPF a known stack at a call, depth {high}, two alternating", f"{calls['rows']:.0f} ns",
        f"by frame pointer {calls['fp']:.0f} ns; raw walk {calls['raw_walk']:.0f} ns, kernel helper "
        f"{calls['build_id_helper']:.0f} ns", f"{calls['fp'] / calls['raw_walk']:.2f} x raw")
    for count, text in COST_LIBS:
        more = {way: (mids[high, count][way] - mids[low, count][way]) / (high - low) for way in COST_WAYS}
        row(f"BPF a frame more, {text}", f"{more['rows']:.0f} ns",
            f"by frame pointer {more['fp']:.0f} ns; raw walk {more['raw_walk']:.0f} ns, kernel helper "
            f"{more['build_id_helper']:.0f} ns", f"depth {high} less depth {low}, over {high - low}")


def verifier():
    """What the sampling programs cost the kernel's verifier, once a recording; the time is the least of some."""
    costs = {}
    for _ in range(ROUNDS):
        out = subprocess.run([os.path.join(ktap.build_dir(), "live/test_verifier"), "--list"], stdout=subprocess.PIPE,
                             check=True).stdout.decode()
        for variant, prog, *figures in map(str.split, out.splitlines()):
            costs[variant, prog] = min(list(map(int, figures)), costs.get((variant, prog), [1 << 62]), key=lambda c: c[-1])
    for variant, text in (("rows", "by rows"), ("fp", "by frame pointer"), ("everything", "every setting on")):
        insns, xlated, jited, usec = costs[variant, "on_perf_event"]
        row(f"verifier, on_perf_event {text}", f"{insns:,} insns", "",
            f"{100 * insns / 1e6:.2f} % of the limit; {xlated:,} bytes of BPF, {jited:,} of machine code; "
            f"{usec / 1000:.1f} ms")
    total = sum(c[3] for (variant, prog), c in costs.items() if variant == "rows" and prog != "on_tracepoint")
    row("verifier, the programs of a recording", f"{total / 1000:.1f} ms")


def lock():
    """Acquisitions of the process's mmap_lock for 1,000 samples, by samples and by the loader, as lock_watch counts them; and
    how long a sample holds it."""
    if locks.watch().reason:
        row("mmap_lock", "not watched", "", locks.watch().reason)
        return
    for what, *process in (("steady process", "chain", 600, 1), ("heap that grows and shrinks", "hurt", "heap", 1 << 40)):
        total, sampled, loader = {}, {}, []
        for way in ("rows", "fp"):
            costs = [truth.lock_cost(lambda d, proc: truth.record(d, "-e", "cpu-clock", f"--unwind={way}", "-F", 999, "-p",
                                                                    proc.pid, "-d", 5)[0], *process)[1] for _ in range(ROUNDS)]
            total[way] = statistics.median(c["per_1000"] for c in costs)
            sampled[way] = statistics.median(1000 * c["samples"] / c["fired"] for c in costs)
            loader += [c["loader"] for c in costs]
        row(f"mmap_lock taken, 1,000 samples, {what}", f"{total['rows']:.1f}", f"by frame pointer {total['fp']:.1f}",
            f"by samples {sampled['rows']:.1f} and {sampled['fp']:.1f}; by the loader {min(loader)} to {max(loader)} times a "
            f"recording of 5 s")
    c = locks.given_back()
    row("mmap_lock held by a sample", f"{locks.percentile(c['held'], .5) / 1000:.1f} us",
        note=f"half are below; 99 % below {locks.percentile(c['held'], .99) / 1000:.1f} us; of {c['acquired']:,}, all given back")


MIX = r"""
cd "$1"; seq 1 400000 > numbers
run() { timeout "$2" sh -c "while :; do $1; done" >/dev/null 2>&1 & }
run 'xz -3 -k -c numbers' "$2"
run 'openssl speed -seconds 1 sha256' "$2"
run 'perl -e "my %h; \\$h{\\$_ % 9973} .= sqrt \\$_ for 1..500000; print scalar sort keys %h"' "$2"
run '/usr/bin/python3 -c "import json; [json.loads(json.dumps([[i] * 20 for i in range(300)])) for _ in range(500)]"' "$2"
run 'echo "#include <stdio.h>" | gcc -O2 -x c -c - -o /dev/null' "$2"
wait
"""
# _start has no name in a stripped program, and perf often ends at what it calls: count that for it
ROOTS = re.compile(r"\b(_start|_dl_start_user|__?clone3?|__GI___clone3?|__libc_start\S*)")


def perf_rooted(graph, script):
    """(share of rooted stacks in %, bytes a sample) of perf record."""
    subprocess.run([*PERF_RECORD, "-e", "cpu-clock:u", "--call-graph", graph, "-F", "199", "-o",
                    f"{DIR}/perf.data", "--", "bash", script, DIR, "8"], stderr=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, check=True)
    text = subprocess.run(["perf", "script", "-i", f"{DIR}/perf.data", "-F", "ip,sym"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True).stdout.decode(errors="replace")
    stacks = [s.strip().splitlines() for s in text.split("\n\n") if s.strip()]
    rooted = sum(1 for s in stacks if ROOTS.search(" ".join(s[-2:])))
    return 100 * rooted / max(len(stacks), 1), os.path.getsize(f"{DIR}/perf.data") / max(len(stacks), 1)


def rooted():
    """Stacks that reach their root, on a mix of Debian programs that keep no frame pointers."""
    script = os.path.join(DIR, "mix.sh")
    with open(script, "w") as f:
        f.write(MIX)
    shares = []
    for _ in range(3):
        rec, _ = truth.record(DIR, "-F", 199, "--", "bash", script, DIR, "8")
        shares.append(rec.ledger["rooted_pct"])
    led = rec.ledger
    size = os.path.getsize(rec.path) / led["samples"]
    peers = sizes = ""
    if perf():
        fp, dwarf = perf_rooted("fp", script), perf_rooted("dwarf,16384", script)
        peers = f"perf fp {fp[0]:.2f} %, perf dwarf {dwarf[0]:.2f} %"
        sizes = f"perf fp {fp[1]:,.0f}, perf dwarf {dwarf[1]:,.0f}"
    row("rooted stacks, Debian mix", f"{statistics.median(shares):.2f} %", peers)
    row("bytes a sample, Debian mix", f"{size:,.0f}", sizes)
    row("samples without a table, Debian mix", f"{100 * led['stops']['no-table'] / led['user_samples']:.2f} %")
    row("unwind tables", f"{led['unwind_text_bytes'] / led['unwind_table_ns'] * 1e3:.0f} MB of code/s", "",
        f"{led['unwind_tables']} files, {led['unwind_rows']:,} rows")


def library(name):
    return os.path.realpath(os.path.join("/usr/lib/x86_64-linux-gnu", name))


def table_size():
    """Memory of the tables, rules included, and how fast they are made."""
    files = [library("libc.so.6"), os.path.realpath("/usr/bin/python3"), os.path.realpath("/usr/bin/perl"),
             library("libLLVM-14.so.1")]
    files = [p for p in files if os.path.exists(p)]
    out = subprocess.run([os.path.join(ktap.build_dir(), "bench/tables"), *files], stdout=subprocess.PIPE,
                         check=True).stdout.decode()
    for path, line in zip(files, out.splitlines()):
        rows, rules, size, spent_ns = map(int, line.split())
        row(f"bytes a row, {os.path.basename(path)}", f"{size / rows:.2f}", "16 where each row carries its rule",
            f"{rows:,} rows, {rules:,} rules; {rows / spent_ns * 1e3:.1f} million rows/s")


def never_seen(fixture, count):
    """Copies of a program, each with a build-id of its own."""
    notes = subprocess.run(["readelf", "-n", fixture], stdout=subprocess.PIPE, check=True).stdout.decode()
    build_id = bytes.fromhex(re.search(r"Build ID: ([0-9a-f]+)", notes)[1])
    with open(fixture, "rb") as f:
        image = f.read()
    assert image.count(build_id) == 1, fixture
    paths = [os.path.join(DIR, f"program_{i}") for i in range(count)]
    for path in paths:
        with open(path, "wb") as f:
            f.write(image.replace(build_id, os.urandom(len(build_id))))
        os.chmod(path, 0o755)
    return paths


def first_stack_once(hz, paths):
    """([stacks without a table, a process], all of their samples). Such a stack is its first frame."""
    with open(f"{DIR}/programs.sh", "w") as f:
        f.writelines(f"{path} plain 0.05 >/dev/null\n" for path in paths)
    rec, _ = truth.record(DIR, "-F", hz, "--", "sh", f"{DIR}/programs.sh")
    lacking, samples = {}, 0
    for thread, frames, count in truth.Folded(truth.run("fold", "--pid", rec.path)[0]).stacks:
        if thread.startswith("program_") and frames:
            samples += count
            lacking[thread] = lacking.get(thread, 0) + (count if len(frames) == 1 and frames[0] != "_start" else 0)
    return list(lacking.values()), samples


def first_stack():
    """From the first stack of a new process to its first one that reaches the root. A profile has no times: the stacks
    of one frame are counted, each a period of the clock. They come first, before the tables."""
    hz, count = 4999, 40
    fresh = never_seen(ktap.fixture("unwound_pie"), count)
    for what, paths in (("never seen", fresh), ("seen before", fresh[:1] * count)):
        means, worst, none, lost, total = [], 0, 0, 0, 0
        for _ in range(ROUNDS):
            lacking, samples = first_stack_once(hz, paths)
            means.append(1e6 / hz * sum(lacking) / len(lacking))
            worst = max(worst, *lacking)
            none += lacking.count(0)
            lost += sum(lacking)
            total += samples
        row(f"to the first rooted stack, program {what}", f"{statistics.median(means):.0f} us", "",
            f"mean of {count} processes: stacks of one frame, {1e6 / hz:.0f} us each; {none} of {count * ROUNDS} had none, "
            f"the worst {1e3 / hz * worst:.1f} ms; {100 * lost / total:.2f} % of {total:,} samples")


PERF_GRAPHS = {"perf fp": "fp", "perf dwarf": "dwarf,16384"}


def slow_down():
    """Time of a fixed amount of work, alone and under a profiler; medians of alternating runs."""
    work = [ktap.fixture("work"), "400"]
    for hz in (99, 999):
        ways = {"alone": work, "bstack": [ktap.bstack(), "record", "-q", "-F", str(hz), "-o", f"{DIR}/b.pb.gz", "--", *work]}
        if perf():
            for name, graph in PERF_GRAPHS.items():
                ways[name] = [*PERF_RECORD, "-e", "cpu-clock", "--call-graph", graph, "-F", str(hz), "-o",
                              f"{DIR}/perf.data", "--", *work]
        times = {k: [] for k in ways}
        for _ in range(ROUNDS):
            for name, args in ways.items():
                out = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
                times[name].append(float(re.search(rb"\d+\.\d+", out)[0]))
        mid = {k: statistics.median(v) for k, v in times.items()}
        row(f"slow-down at {hz} Hz", f"{mid['bstack'] / mid['alone']:.3f}",
            "; ".join(f"{name} {mid[name] / mid['alone']:.3f}" for name in PERF_GRAPHS if name in mid),
            f"spread alone {max(times['alone']) / min(times['alone']):.3f}")


# Prints how long its arguments ran, drops what they print, and fails when they do not end as a workload of hurt.h does.
TIME_OF = ["bash", "-c", 'exec 3>&1; TIMEFORMAT=%R; { time "$@" >/dev/null; } 2>&3; [ $? = 7 ]', "bash"]


def churn():
    """Time of a fixed amount of mapping and unmapping, alone and under a profiler; the kernel's helper is asked for each stack
    where no stack is known. Medians of alternating runs."""
    for text, *work in (("eight threads that map, protect and unmap", "protect", 4000), ("malloc and free", "heap", 60000)):
        work = [*TIME_OF, ktap.fixture("hurt"), *map(str, work)]
        ours = [ktap.bstack(), "record", "-q", "-F", "999", "-o", f"{DIR}/b.pb.gz"]
        ways = {"alone": work, "bstack": [*ours, "--", *work], "by frame pointer": [*ours, "--unwind=fp", "--", *work],
                "the kernel's helper for each": [*ours, "--unwind=fp", "--known-stacks=0", "--", *work]}
        if perf():
            ways["perf fp"] = [*PERF_RECORD, "-e", "cpu-clock", "--call-graph", "fp", "-F", "999", "-o", f"{DIR}/perf.data", "--",
                               *work]
        times, counted = {k: [] for k in ways}, []
        for _ in range(ROUNDS):
            for name, args in ways.items():
                out = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
                times[name].append(float(re.search(rb"\d+\.\d+", out)[0]))
                if name == "bstack":
                    led = truth.Recording(f"{DIR}/b.pb.gz").ledger
                    counted.append(100 * led["counted"] / led["samples"])
        mid = {k: statistics.median(v) for k, v in times.items()}
        row(f"slow-down at 999 Hz, {text}", f"{mid['bstack'] / mid['alone']:.3f}",
            "; ".join(f"{name} {mid[name] / mid['alone']:.3f}" for name in list(ways)[2:]),
            f"spread alone {max(times['alone']) / min(times['alone']):.3f}; {statistics.median(counted):.0f} % counted in BPF")


def files():
    """From the end of a recording to folded stacks, and the size in between."""
    work = [ktap.fixture("work"), "1000"]
    subprocess.run([ktap.bstack(), "record", "-q", "-F", "999", "-o", f"{DIR}/b.pb.gz", "--", *work],
                   stdout=subprocess.DEVNULL, check=True)
    seconds = statistics.median(timed([ktap.bstack(), "fold", f"{DIR}/b.pb.gz"])[0] for _ in range(ROUNDS))
    peer_time = peer_size = ""
    if perf():
        subprocess.run([*PERF_RECORD, "-e", "cpu-clock", "-g", "-F", "999", "-o", f"{DIR}/perf.data", "--", *work],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        peer = statistics.median(timed(["perf", "script", "-i", f"{DIR}/perf.data"])[0] for _ in range(ROUNDS))
        peer_time = f"perf script {peer:.3f} s"
        peer_size = f"perf.data {os.path.getsize(f'{DIR}/perf.data'):,} bytes"
    row("profile to folded stacks", f"{seconds:.3f} s", peer_time)
    row("file size, about 2 s at 999 Hz", f"{os.path.getsize(f'{DIR}/b.pb.gz'):,} bytes", peer_size)


def rates():
    """Samples a second without loss."""
    loop = "my $e = time + 4; while (time < $e) { syscall(39) for 1..2000 }"
    rec, _ = truth.record(DIR, "-e", "syscalls:sys_enter_getpid", "--", "perl", "-e", loop)
    led = rec.ledger
    lost = led["fired"] - led["recorded"]
    row("tracepoint stacks a second", f"{led['recorded'] / led['duration_ns'] * 1e9:,.0f}", "", f"{lost} lost of {led['fired']}")
    proc = truth.start("chain", 600, 2)
    try:
        rec, _ = truth.record(DIR, "-c", 20000, "-e", "cpu-clock", "-p", proc.pid, "-d", 3)
    finally:
        proc.kill()
        proc.wait()
    led = rec.ledger
    row("clock samples a second, both CPUs", f"{led['recorded'] / led['duration_ns'] * 1e9:,.0f}", "",
        f"{led['fired'] - led['recorded']} lost of {led['fired']}")


HITS = 500000
HIT_KINDS = (  # what the program does, what it is called here, our event, bpftrace's probe
    ("function", "uprobe", "uprobe:{program}:fx_called", "uprobe:{program}:fx_called"),
    ("getpid", "tracepoint", "syscalls:sys_enter_getpid", "tracepoint:syscalls:sys_enter_getpid"),
)
HIT_OPTIONS = {"bstack": [], "no known stacks": ["--known-stacks", "0"], "with times": ["--timestamps"]}
PERF_PROBE = f"bstack_bench_{os.getpid()}:hit"


def hits_times(out):
    """(seconds, and those of them on a CPU) as the program prints them."""
    found = re.search(rb"^(\d+\.\d+) (\d+\.\d+)$", out, re.M)
    return float(found[1]), float(found[2])


def hits_by_bstack(event, work, options):
    """(seconds that the program's calls took, those on a CPU, hits that became samples)"""
    out = subprocess.run([ktap.bstack(), "record", "-q", *options, "-e", event, "-o", f"{DIR}/b.pb.gz", "--", *work],
                         stdout=subprocess.PIPE, check=True).stdout
    return *hits_times(out), truth.Recording(f"{DIR}/b.pb.gz").ledger["recorded"]


def hits_by_bpftrace(probe, work):
    out = subprocess.run(["bpftrace", "-e", probe + " /pid == cpid/ { @[ustack] = count() }", "-c", " ".join(work)],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    return *hits_times(out), sum(map(int, re.findall(rb"\]: (\d+)$", out, re.M)))


def hits_by_perf(event, work, graph):
    out = subprocess.run([*PERF_RECORD, "-e", event, "--call-graph", graph, "-o", f"{DIR}/perf.data", "--", *work],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    stats = subprocess.run(["perf", "report", "--stats", "-i", f"{DIR}/perf.data"], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, check=True).stdout.decode()
    found = re.search(r"SAMPLE events: +(\d+)", stats)
    return *hits_times(out), int(found[1]) if found else 0


def hit_ways(kind, event, probe, program):
    """({way: how to measure it}, {peer: why it is not here})"""
    work = [program, kind, str(HITS)]
    ways = {name: lambda o=o: hits_by_bstack(event, work, o) for name, o in HIT_OPTIONS.items()}
    absent = {}
    if shutil.which("bpftrace"):
        ways["bpftrace"] = lambda: hits_by_bpftrace(probe, work)
    else:
        absent["bpftrace"] = "not installed"
    perf_event = event
    if not perf():
        absent["perf"] = "not installed"
    elif kind == "function":
        done = subprocess.run(["perf", "probe", "-q", "-x", program, "--add", f"{PERF_PROBE}=fx_called"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        perf_event = PERF_PROBE
        if done.returncode:
            absent["perf"] = f"perf probe: {done.stderr.decode().strip().splitlines()[-1:]}"
    if "perf" not in absent:
        ways["perf fp"] = lambda: hits_by_perf(perf_event, work, "fp")
        ways["perf dwarf"] = lambda: hits_by_perf(perf_event, work, "dwarf,4096")
    return ways, absent


def hits_measure(ways, alone):
    """{way: (ns of CPU added to a hit, stacks a second, hits without a stack)}; medians of alternating runs."""
    times, cpu, lost = ({way: [] for way in ways} for _ in range(3))
    for _ in range(ROUNDS):
        for way, measure in ways.items():
            seconds, on_cpu, recorded = measure()
            times[way].append(seconds)
            cpu[way].append(on_cpu)
            lost[way].append(HITS - recorded)
    return {way: (1e9 * (statistics.median(cpu[way]) - alone) / HITS, HITS / statistics.median(times[way]), sum(lost[way]))
            for way in ways}


def hits():
    """A program that does nothing but run into an event: its stacks a second, and what each adds to it."""
    program = ktap.fixture("called")
    for kind, text, event, probe in HIT_KINDS:
        alone = statistics.median(hits_times(subprocess.run([program, kind, str(HITS)], stdout=subprocess.PIPE,
                                                            check=True).stdout)[1] for _ in range(ROUNDS))
        try:
            ways, absent = hit_ways(kind, event.format(program=program), probe.format(program=program), program)
            found = hits_measure(ways, alone)
        finally:
            if kind == "function" and perf():
                subprocess.run(["perf", "probe", "-q", "--del", PERF_PROBE], stderr=subprocess.DEVNULL)
        peers = [way for way in found if way != "bstack"]
        why = "".join(f"; no {peer}: {reason}" for peer, reason in absent.items())
        rate = {way: f"{a_second:,.0f}" + (f" ({100 * lost / HITS / ROUNDS:.1f} % lost)" if lost else "")
                for way, (_, a_second, lost) in found.items()}
        row(f"{text} hits a second", rate["bstack"], "; ".join(f"{way} {rate[way]}" for way in peers),
            f"one thread, {HITS:,} hits, {found['bstack'][2]} lost{why}")
        row("CPU added to a hit", f"{found['bstack'][0]:,.0f} ns",
            "; ".join(f"{way} {found[way][0]:,.0f} ns" for way in peers), f"alone {1e9 * alone / HITS:.0f} ns")


def names():
    """Names a second, beside eu-addr2line, on the largest library at hand."""
    lib = max((p for p in ["/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", "/usr/lib/x86_64-linux-gnu/libc.so.6"]
               if os.path.exists(p)), key=os.path.getsize)
    lib = os.path.realpath(lib)
    notes = subprocess.run(["readelf", "-nW", lib], stdout=subprocess.PIPE).stdout.decode()
    build_id = re.search(r"Build ID: ([0-9a-f]+)", notes)[1]
    nm = subprocess.run(["nm", "-D", "--defined-only", lib], stdout=subprocess.PIPE).stdout.decode()
    funcs = [int(l.split()[0], 16) for l in nm.splitlines() if len(l.split()) == 3 and l.split()[1] in "TW"]
    random.seed(1)
    seconds = {}
    for count in (1000, 100000):
        addrs = [random.choice(funcs) for _ in range(count)]
        path = os.path.join(DIR, "names.pb.gz")
        with open(path, "wb") as f:
            f.write(profiles.addresses(lib, build_id, addrs))
        seconds[count], _ = timed([ktap.bstack(), "symbolize", "-o", f"{DIR}/named.pb.gz", path])
        with open(f"{DIR}/addrs", "w") as f:
            f.writelines(f"{a:#x}\n" for a in addrs)
        with open(f"{DIR}/addrs") as f:
            seconds[count, "eu"], _ = timed(["eu-addr2line", "-f", "-e", lib], stdin=f)
    warm = 99000 / max(seconds[100000] - seconds[1000], 1e-6)
    eu_warm = 99000 / max(seconds[100000, "eu"] - seconds[1000, "eu"], 1e-6)
    base = os.path.basename(lib)
    row(f"names a second, cold (1,000 of {base})", f"{1000 / seconds[1000]:,.0f}",
        f"eu-addr2line {1000 / seconds[1000, 'eu']:,.0f}")
    row("names a second, warm (the next 99,000)", f"{warm:,.0f}", f"eu-addr2line {eu_warm:,.0f}")


def memory():
    """A million distinct stacks."""
    path = os.path.join(DIR, "million.pb.gz")
    # In a process of its own: a child's peak memory begins with that of its parent.
    subprocess.run([sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import profiles; "
                    "open(sys.argv[2], 'wb').write(profiles.many_stacks(1000000))", HERE, path], check=True)
    for args in (["report", "--no-tree"], ["fold"], ["flame", "-o", "-"]):
        seconds, peak = timed([ktap.bstack(), *args, path])
        row(f"{args[0]} of 1,000,000 stacks", f"{seconds:.2f} s, {peak >> 10} MiB")
    proc = truth.start("chain", 60, 2)
    _, peak = timed([ktap.bstack(), "record", "-q", "-F", "9973", "-p", proc.pid, "-d", "5", "-o", f"{DIR}/b.pb.gz"])
    proc.kill()
    proc.wait()
    row("record, 5 s at 9,973 Hz, both CPUs", f"peak {peak >> 10} MiB")
    # Each process's stacks are others, and so are the labels of its samples.
    many = [ktap.bstack(), "record", "-q", "--ring", "128", "-e", "syscalls:sys_enter_getpid", "-o", f"{DIR}/b.pb.gz", "--",
            ktap.fixture("manystacks"), "10000", "100", "1"]
    seconds, peak = timed(many)
    led = truth.Recording(f"{DIR}/b.pb.gz").ledger
    row("record, 100 stacks of each of 10,000 processes", f"{seconds:.1f} s, peak {peak >> 10} MiB", "",
        f"{led['fired'] - led['recorded']} lost of {led['fired']}; {led['known_evicted']} known stacks made room")


BENCHES = [verifier, bpf_cost, lock, rooted, first_stack, table_size, slow_down, churn, files, rates, hits, names, memory]


def main():
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        for bench in BENCHES:
            if only in bench.__name__:
                bench()
    finally:
        shutil.rmtree(DIR)
    width = max((len(row[0]) for row in ROWS), default=0)
    print(f"\n{'':{width}}{'bstack':>20}   beside it")
    for what, ours, peer, note in ROWS:
        print(f"{what:{width}}{ours:>20}   {peer}{'; ' if peer and note else ''}{note}")


if __name__ == "__main__":
    main()
