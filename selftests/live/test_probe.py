#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_probe.py - uprobes: each call of a function is a sample with the exact chain, for every target; and what is said
where a name does not fit the file."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from test_evidence import needs_sequence  # noqa: E402
from test_record import ROOT, root_of  # noqa: E402
from truth import ktap, record, run, start_record, stop, temp_dir  # noqa: E402

ONE, OTHER, BATCHES = 300, 200, 4
# Whatever the table's maker is waiting for: there is room for the stack of every hit that comes before the table.
RING = ["--ring", 128]
LIBRARY = ktap.fixture("probed.so")


def event(path, symbol):
    return f"uprobe:{path}:{symbol}"


def calls(leaf, times=1):
    """{the frames of the fixture: calls}"""
    head = ["main", f"{leaf}_run"]
    return {(*head, f"{leaf}_one", leaf): times * BATCHES * ONE, (*head, f"{leaf}_other", leaf): times * BATCHES * OTHER}


def chains(folded):
    """{all frames, the C library's start with plain names: count} of the stacks."""
    found = {}
    for _, frames, count in folded.stacks:
        frames = tuple(root_of(frames))
        found[frames] = found.get(frames, 0) + count
    return found


def whole(chain_counts):
    """The same from _start on."""
    return {(*ROOT[:-1], *chain): count for chain, count in chain_counts.items()}


def command(fixture="probed_pie", *threads):
    return ["--", ktap.fixture(fixture), "now", LIBRARY, ONE, OTHER, *threads]


def waiting(fixture="probed_pie", *threads):
    return truth.start(fixture, "wait", LIBRARY, ONE, OTHER, *threads, stdin=subprocess.PIPE)


def go(proc):
    """Let it make its calls, to the end."""
    proc.communicate(b"\n", timeout=120)
    ktap.eq(proc.returncode, 0, "exit status of the fixture")


def kernel_version():
    return tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())


def nothing_lost(rec):
    rec.exact()
    led = rec.ledger
    # A kernel that preempts itself, and has no bpf_preempt_disable() (Linux 6.10), lets a hit come within another one's.
    assert not led["lost_nested"] or kernel_version() < (6, 10), led
    ktap.eq(led["recorded"] + led["lost_nested"], led["fired"], "recorded, and lost by preemption")


def check(rec, want):
    nothing_lost(rec)
    if rec.ledger["lost_nested"]:
        ktap.eq(rec.ledger["fired"], sum(want.values()), "calls")
        assert set(chains(rec.folded)) <= set(want), chains(rec.folded)
    else:
        ktap.eq(chains(rec.folded), want, "chains")
        ktap.eq(rec.ledger["rooted"], rec.ledger["samples"], "rooted")


def check_command(fixture, path, leaf, symbol):
    with temp_dir() as d:
        rec, _ = record(d, *RING, "-e", event(path, symbol), *command(fixture))
    check(rec, whole(calls(leaf)))
    ktap.eq(rec.json["event"], event(path, symbol), "event")
    ktap.eq((rec.json["unit"], rec.ledger["weight"]), ("count", rec.ledger["samples"]), "unit and weight")


def test_pie():
    check_command("probed_pie", ktap.fixture("probed_pie"), "fx_here", "fx_here")


def test_no_pie():
    check_command("probed_nopie", ktap.fixture("probed_nopie"), "fx_here", "fx_here")


def test_shared_library():
    check_command("probed_pie", LIBRARY, "fx_there", "fx_there")


def test_relative_path():
    check_command("probed_pie", os.path.relpath(LIBRARY), "fx_there", "fx_there")


def instructions(path, symbol):
    """Offsets in a function at which its instructions begin, from binutils."""
    text = subprocess.run(["objdump", "-d", f"--disassemble={symbol}", path], stdout=subprocess.PIPE,
                          check=True).stdout.decode()
    at = [int(a, 16) for a in re.findall(r"^ +([0-9a-f]+):\t", text, re.M)]
    assert len(at) > 2, text
    return [a - at[0] for a in at]


def test_every_instruction():
    """Between the pushes and pops of a function each place has its own row."""
    path = ktap.fixture("probed_pie")
    for offset in instructions(path, "fx_here")[1:]:
        check_command("probed_pie", path, "fx_here", f"fx_here+{offset}")


def address(path, symbol):
    text = subprocess.run(["nm", path], stdout=subprocess.PIPE, check=True).stdout.decode()
    return int(re.search(rf"^(\w+) [tT] {symbol}$", text, re.M)[1], 16)


def test_address_in_a_stripped_file():
    for fixture in ("probed_pie", "probed_nopie"):
        with temp_dir() as d:
            path = os.path.join(d, "stripped")
            subprocess.run(["strip", "-s", "-o", path, ktap.fixture(fixture)], check=True)
            at = address(ktap.fixture(fixture), "fx_here")
            rec, _ = record(d, *RING, "-e", event(path, hex(at)), "--", path, "now", LIBRARY, ONE, OTHER)
        nothing_lost(rec)
        ktap.eq(rec.ledger["fired"], BATCHES * (ONE + OTHER), "calls")
        ktap.eq({f[-1] for _, f, _ in rec.folded.stacks}, {f"stripped+{at:#x}"}, "leaf")


def test_by_frame_pointer():
    """Before Linux 6.12 the kernel leaves out the caller of a function at its entry."""
    with temp_dir() as d:
        rec, _ = record(d, *RING, "--unwind=fp", "-e", event(ktap.fixture("probed_fp"), "fx_here+0"), *command("probed_fp"))
    nothing_lost(rec)
    ktap.eq(rec.ledger["fired"], BATCHES * (ONE + OTHER), "calls")
    want = [c[1:] for c in calls("fx_here")]
    short = [[*c[:-2], c[-1]] for c in want]
    for _, frames, _ in rec.folded.stacks:
        chain = [f for f in frames if f.startswith("fx_")]
        assert chain in [list(c) for c in want] or chain in short, frames


def test_kernel_stacks_are_empty():
    with temp_dir() as d:
        rec, _ = record(d, *RING, "-k", "-e", event(LIBRARY, "fx_there"), *command())
    check(rec, whole(calls("fx_there")))


def test_pid_among_others():
    """Two processes make the calls, one is the target; its stacks come to be known, and are counted in BPF."""
    target, stranger = waiting(), waiting()
    try:
        with temp_dir() as d:
            proc, path = start_record(d, *RING, "-e", event(LIBRARY, "fx_there"), "-p", target.pid)
            go(stranger)
            go(target)
            ktap.eq(proc.wait(timeout=60), 0, "exit status")
            proc.communicate()
            rec = truth.Recording(path)
    finally:
        target.kill()
        stranger.kill()
    check(rec, whole(calls("fx_there")))
    if truth.IS_SLOW:
        return
    needs_sequence()
    assert rec.ledger["counted"] > 0.3 * rec.ledger["samples"], rec.ledger


def test_one_thread():
    """The main thread of three: the others' calls are not its own."""
    target = waiting("probed_pie", 2)
    try:
        with temp_dir() as d:
            proc, path = start_record(d, *RING, "-e", event(ktap.fixture("probed_pie"), "fx_here"), "-t", target.pid)
            go(target)
            ktap.eq(proc.wait(timeout=60), 0, "exit status")
            proc.communicate()
            rec = truth.Recording(path)
    finally:
        target.kill()
    check(rec, whole(calls("fx_here")))


def test_threads_at_once():
    """Four threads at the same function: every call of each, none twice."""
    with temp_dir() as d:
        rec, _ = record(d, *RING, "-e", event(ktap.fixture("probed_pie"), "fx_here"), *command("probed_pie", 4))
    nothing_lost(rec)
    ktap.eq(rec.ledger["fired"], 5 * BATCHES * (ONE + OTHER), "calls")
    want = {chain[-3:]: count for chain, count in calls("fx_here", 5).items()}
    found = {}
    for frames, count in chains(rec.folded).items():
        found[frames[-3:]] = found.get(frames[-3:], 0) + count
    assert found == want or rec.ledger["lost_nested"] and set(found) == set(want), found


def test_whole_host():
    first, second = waiting(), waiting()
    try:
        with temp_dir() as d:
            proc, path = start_record(d, *RING, "-e", event(LIBRARY, "fx_there"), "-a")
            go(first)
            go(second)
            status, _, err = stop(proc)
            ktap.eq(status, 0, err)
            rec = truth.Recording(path)
            threads = {line.split(";")[0] for line in run("fold", "--pid", path)[0].splitlines()}
    finally:
        first.kill()
        second.kill()
    check(rec, whole(calls("fx_there", 2)))
    ktap.eq(threads, {f"probed_pie-{first.pid}", f"probed_pie-{second.pid}"}, "processes")


def test_cgroup():
    mounts = [line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2"]
    if not mounts:
        raise ktap.Skip("no cgroup2 is mounted here")
    group = os.path.join(mounts[0], f"bstack-probe-{os.getpid()}")
    os.mkdir(group)
    inside, outside = waiting(), waiting()
    try:
        with open(os.path.join(group, "cgroup.procs"), "w") as f:
            f.write(str(inside.pid))
        with temp_dir() as d:
            proc, path = start_record(d, *RING, "-e", event(LIBRARY, "fx_there"), "--cgroup", group)
            go(outside)
            go(inside)
            status, _, err = stop(proc)
            ktap.eq(status, 0, err)
            rec = truth.Recording(path)
    finally:
        inside.kill()
        outside.kill()
        inside.wait()
        os.rmdir(group)
    check(rec, whole(calls("fx_there")))


def test_times():
    with temp_dir() as d:
        rec, _ = record(d, *RING, "--timestamps", "-e", event(LIBRARY, "fx_there"), *command())
    check(rec, whole(calls("fx_there")))


def refused(status, name, words, *args, prefix=()):
    done = subprocess.run([*prefix, ktap.bstack(), "record", "-q", "-o", "/dev/null", "-e", name, *args, "--", "true"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    err = done.stderr.decode()
    ktap.eq(done.returncode, status, err)
    ktap.eq(err.splitlines()[0], f"bstack record: {words}", "stderr")


def test_words_for_a_wrong_name():
    form = "not of the form uprobe:PATH:SYMBOL[+OFFSET]"
    for name in ("uprobe:", "uprobe:fx_there", "uprobe::fx_there", "uprobe:/bin/true:"):
        refused(2, name, f"-e {name}: {form}")
    name = event("x.so", "f+0x")
    refused(2, name, f"-e {name}: +0x is not an offset in bytes")
    name = "uretprobe:x.so:f"
    refused(2, name, f"-e {name}: probes of returns are not supported; they replace the return addresses by which stacks are "
            "unwound; uprobe:PATH:SYMBOL+OFFSET probes any instruction")
    refused(2, event("x" * 400, "f"), "-e: the name of the event is too long")
    name = event(LIBRARY, "fx_there")
    for args in (["-F", "99"], ["-c", "2"]):
        refused(2, name, f"-e {name}: each hit of a uprobe is a sample: -F and -c do not apply", *args)


def test_words_for_a_wrong_file():
    with temp_dir() as d:
        for path, words in ((f"{d}/none.so", f"cannot read {d}/none.so: No such file or directory"),
                            (__file__, f"{__file__} is not an ELF file"), (d, f"{d} is not a regular file"),
                            ("/dev/null", "/dev/null is not a regular file")):
            refused(1, event(path, "f"), f"-e {event(path, 'f')}: {words}")
        debug = os.path.join(d, "debug")
        subprocess.run(["objcopy", "--only-keep-debug", ktap.fixture("probed_pie"), debug], check=True)
        name = event(debug, "fx_here")
        refused(1, name, f"-e {name}: {debug} holds debug information only, no code; name the file that is run")


AMBIGUOUS = """static __attribute__((noinline, noclone)) int twice(int x) { return x + SHIFT; }
int NAME(int x) { return twice(x); }"""
IFUNC = """static int a(void) { return 1; } static int (*choose(void))(void) { return a; }
int chosen(void) __attribute__((ifunc("choose")));"""


def compiled(directory, source, *args):
    """Assembled by name: gcc keeps the names of static functions."""
    path = os.path.join(directory, "made.o")
    subprocess.run(["gcc", "-O1", "-fPIC", "-x", "c", "-c", "-", "-o", path, *args], input=source.encode(), check=True)
    return shutil.move(path, os.path.join(directory, f"{len(os.listdir(directory))}.o"))


def linked(directory, *objects):
    path = os.path.join(directory, "made.so")
    subprocess.run(["gcc", "-shared", "-o", path, *objects], check=True)
    return path


def test_words_for_a_wrong_symbol():
    for symbol, advice in (("fx_htere", "did you mean fx_there?"),
                           ("strangely_named", "nm and nm -D show what it names; C++ and Rust as they are mangled")):
        name = event(LIBRARY, symbol)
        refused(1, name, f"-e {name}: {LIBRARY} names no function {symbol}; {advice}")
    size = instructions(LIBRARY, "fx_there")[-1] + 1
    name = event(LIBRARY, f"fx_there+{size}")
    refused(1, name, f"-e {name}: fx_there has only {size} bytes")
    name = event(LIBRARY, "0x7fffffff")
    refused(1, name, f"-e {name}: 0x7fffffff is in no executable segment of {LIBRARY}")
    name = event(LIBRARY, "0xyz")
    refused(2, name, f"-e {name}: 0xyz is not an address")
    with temp_dir() as d:
        stripped = os.path.join(d, "stripped")
        shutil.copy(ktap.fixture("probed_pie"), stripped)
        subprocess.run(["strip", "-s", stripped], check=True)
        name = event(stripped, "fx_here")
        # What it imports is in .dynsym, and is no function of its own
        refused(1, name, f"-e {name}: {stripped} is stripped: it names no function; give the address as its debug file has "
                "it: uprobe:PATH:0xADDR")
        made = linked(d, compiled(d, IFUNC))
        name = event(made, "chosen")
        refused(1, name, f"-e {name}: chosen is chosen when a program starts (IFUNC); name the variant that is chosen here, or "
                "its address: uprobe:PATH:0xADDR")
        made = linked(d, *(compiled(d, AMBIGUOUS, f"-DNAME=f{i}", f"-DSHIFT={i}") for i in (1, 2)))
        text = subprocess.run(["nm", made], stdout=subprocess.PIPE, check=True).stdout.decode()
        one, other = (hex(int(a, 16)) for a in re.findall(r"^(\w+) t twice$", text, re.M))
        name = event(made, "twice")
        refused(1, name, f"-e {name}: {made} has several functions twice, at {one} and {other}; give the address of one: "
                "uprobe:PATH:0xADDR")


def test_words_without_the_pmu():
    name = event(LIBRARY, "fx_there")
    hide = ["unshare", "-m", "sh", "-e", "-c", 'mount -t tmpfs none /sys/bus/event_source/devices/uprobe; exec "$@"', "sh"]
    refused(1, name, f"-e {name}: this kernel has no uprobes for perf events: No such file or directory; it takes Linux 4.17 "
            "and CONFIG_UPROBE_EVENTS; bstack doctor tells more", prefix=hide)


def test_words_without_privileges():
    with temp_dir() as d:
        os.chmod(d, 0o755)
        library = shutil.copy(LIBRARY, os.path.join(d, "probed.so"))
        done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
                               ktap.bstack(), "record", "-q", "-o", "/dev/null", "-e", event(library, "fx_there"), "-a"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    err = done.stderr.decode()
    ktap.eq(done.returncode, 1, err)
    assert "CAP_BPF" in err, err


if __name__ == "__main__":
    ktap.main(globals())
