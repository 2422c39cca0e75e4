#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""vm.py - runs live tests on this machine's kernel and on others: Debian's, under QEMU without hardware support, one guest a
kernel.

The guest is a kernel image out of its package (kernels.py), or one that checks itself (lockdep.py), and one archive in memory
(initramfs.py); its first process (init.sh) runs the programs of PROGRAMS. What they print comes over the second serial line,
what the kernel has to say over the first, where every complaint of its own is a failure. A guest that hangs, dies, or leaves
a program without a result fails.

    vm.py            all kernels, this machine's first, one after the other, and a table: make check-vm
    vm.py NAME..     only these
    test_vm_*.py     one kernel, as a test program

Settings, from the environment: O build folder, VM_CACHE where kernel images are kept, VM_ACCEL, VM_LIMIT_S, VM=1 for a test
program: all of it, and fetched if need be.
"""
import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import initramfs  # noqa: E402
import kernels  # noqa: E402
import lockdep  # noqa: E402

BUILD = kernels.BUILD
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
WORK = os.path.join(BUILD, "vm")
QEMU = "qemu-system-x86_64"
LIMIT_S = int(os.environ.get("VM_LIMIT_S", 850))  # below the runner's own
PROVOKED_LIMIT_S = 300

# What a guest runs. Everything that is about the kernel; LEFT_OUT says what is not.
PROGRAMS = ["build/live/test_kernel", "build/live/test_kernel_kinds", "build/live/test_lock", "selftests/live/test_locks.py",
            "selftests/live/test_record.py", "selftests/live/test_unwind.py", "selftests/live/test_evidence.py",
            "selftests/live/test_known.py", "selftests/live/test_known_moved.py", "selftests/live/test_probe.py",
            "selftests/live/test_doctor.py", "selftests/live/test_kill.py", "selftests/live/test_failslab.py"]
# In the table only: they take longer than all others together.
LONG = ["selftests/live/test_hurt.py"]
# What make check runs where a kernel is at hand, some three minutes: the rest seldom depends on it. VM=1: all.
QUICK = ["build/live/test_kernel", "build/live/test_kernel_kinds", "build/live/test_lock", "selftests/live/test_locks.py",
         "selftests/live/test_evidence.py", "selftests/live/test_known_moved.py"]
# A kernel that checks itself takes three times as long: for more than these the runner has no time. The table has all.
LOCKDEP_AS_A_TEST = ["build/live/test_kernel", "build/live/test_lock", "selftests/live/test_kill.py",
                     "selftests/live/test_failslab.py"]
OTHER_FILES = "a matter of the program's file, the same on every kernel"
NO_KERNEL = "a matter of bstack alone, the same on every kernel"
LEFT_OUT = {
    "test_record.truncation": "needs a whole compiler",
    "test_record.go_tool_pprof": "needs Go",
    "test_record.zz_frames_checked": "counts the frames of all tests",
    **{f"test_record.{test}": NO_KERNEL for test in
       ("replaced_while_it_runs", "exits_at_once", "period_and_task_clock", "progress_on_a_terminal",
        "sigterm_and_signalled_command", "unwritable_output", "failed_start_leaves_files_alone", "cpu_filter",
        "self_when_asked", "sigkill_leaves_a_profile", "target_exits_while_record_starts", "output_to_a_pipe", "full_disk", "dev_full",
        "bad_targets", "no_privileges")},
    "test_unwind.no_pie": OTHER_FILES,
    "test_unwind.static": OTHER_FILES,
    "test_unwind.cet": OTHER_FILES,
    "test_unwind.no_plt": OTHER_FILES,
    "test_unwind.musl": OTHER_FILES,
    "test_unwind.ordinary_programs": OTHER_FILES,
    "test_unwind.small_memory_evicts_and_counts": NO_KERNEL,
    **{f"test_probe.{test}": "needs binutils" for test in ("every_instruction", "address_in_a_stripped_file")},
    **{f"test_probe.words_{test}": NO_KERNEL for test in
       ("for_a_wrong_name", "for_a_wrong_file", "for_a_wrong_symbol", "without_the_pmu", "without_privileges")},
    "test_doctor.binaries": "needs a whole compiler",
    "test_hurt.memory_cgroup_at_its_limit": "the guest's files are memory that cannot be given back",
    "test_hurt.killed_for_want_of_memory": "the kernel tells of it as of a failure",
}

# A kernel that says one of these is not well, or a program of ours died.
COMPLAINTS = re.compile(
    r"\bBUG:|\bWARNING:|\bOops\b|general protection fault|Kernel panic|rcu: INFO|blocked for more than|soft lockup|"
    r"hard LOCKUP|INFO: possible |possible circular locking|suspicious RCU usage|inconsistent lock state|Call Trace:|"
    r"Out of memory|oom-kill|segfault at|traps: |Unable to handle|list_(add|del) corruption|refcount_t: |"
    r"trying to register non-static key|turning off the locking correctness validator")
# A trace of calls that is no complaint: (the line before it, why), and how many lines before.
NOT_A_COMPLAINT = [("bstack: vmalloc error: size ", "test_failslab has it fail, and the kernel tells so unless its caller forbids")]
HEAD_LINES = 3
# What a kernel of the lockdep kind must say, and be heard: what is tested, the kernel's own crash test for it, and the words of
# the report. After a lock that is kept, and after a report of KASAN, the lock validator is off: they come last, in this order.
PROVOKED = [
    ("warning", "WARNING", r"WARNING: .*lkdtm_WARNING"),
    ("damaged_list", "CORRUPT_LIST_ADD", r"list_add corruption"),
    ("lock_kept", "SPINLOCKUP", r"WARNING: lock held when returning to user space!"),
    ("sleep_in_atomic", "SPINLOCKUP", r"BUG: (scheduling while atomic|sleeping function called from invalid context)"),
    ("use_after_free", "READ_AFTER_FREE", r"BUG: KASAN: slab-use-after-free"),
]
# Longer than the host may let a guest wait for a CPU
KERNEL_ARGS = ("console=ttyS0 panic=-1 oops=panic tsc=reliable no_timer_check "
               "rcupdate.rcu_cpu_stall_timeout=120 watchdog_thresh=60")

# The lock validator stops at its first report, so what is known has to be kept from happening. For the tracepoints of mmap_lock,
# which test_lock uses, 6.12 writes down the path of the memory cgroup: in a timer's interrupt it takes kernfs_rename_lock, a
# rwlock_t, which may sleep on PREEMPT_RT ("BUG: Invalid wait context"; kernfs_path_from_node of get_mm_memcg_path). bstack uses
# none of them, with PREEMPT_RT no lock is taken there, and newer kernels write a number. Without memory cgroups there is no path.
LOCKDEP_ARGS = "cgroup_disable=memory"

# A thread for each of the guest's CPUs: with one for both they change places too seldom for tests of locks. For this, one may
# run an int3 that the kernel, which changes its own code when a tracepoint is used, has already taken away: what emulates is
# at fault, and not the kernel, so the guest is then started once more.
ACCEL = os.environ.get("VM_ACCEL", "-accel tcg,thread=multi")
STALE_INT3 = re.compile(r"\bOops: int3: |\bint3: 0000 ")

PASS, FAIL, SKIP = "pass", "FAIL", "skip"
LOCKDEP = "6.12-lockdep"
HOST = "here"


def load_judge():
    """The runner's own reading of a program's output."""
    path = os.path.join(HERE, "..", "run")
    loader = importlib.machinery.SourceFileLoader("run", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
    loader.exec_module(module)
    return module.judge


judge = load_judge()


def missing_pieces():
    if os.uname().machine != "x86_64":
        return "the guests are x86-64, as their programs are this machine's"
    if not shutil.which(QEMU):
        return f"{QEMU} is not installed: selftests/deps.sh vm"
    return None


def boot(name, image, limit_s, programs):
    """(what the programs printed, what the kernel printed, how the guest ended wrongly or None)"""
    paths = [os.path.join(WORK, f"{name}.{what}") for what in ("console", "results", "initramfs")]
    console, results, archive = paths
    os.makedirs(WORK, exist_ok=True)
    initramfs.make(archive, BUILD, programs, [t.split(".", 1)[1] for t in LEFT_OUT])
    args = f"{KERNEL_ARGS} {LOCKDEP_ARGS}" if name.startswith(LOCKDEP) else KERNEL_ARGS
    command = [QEMU, *ACCEL.split(), "-cpu", "max", "-smp", "2", "-m", "2G",
               "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", image, "-initrd", archive,
               "-append", args, "-serial", f"file:{console}", "-serial", f"file:{results}"]
    for path in (console, results):
        open(path, "w").close()
    wrong = None
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as proc:
        try:
            _, err = proc.communicate(timeout=limit_s)
            if proc.returncode:
                wrong = f"{QEMU}: exit status {proc.returncode}: {err.decode(errors='replace')}"
        except subprocess.TimeoutExpired:
            proc.kill()
            wrong = f"the guest ran longer than {limit_s:.0f} s"
    os.unlink(archive)
    texts = [open(p, errors="replace", newline="").read().replace("\r", "") for p in (results, console)]
    return texts[0], texts[1], wrong


def detail_of(output, test):
    """The comment lines before a failed test's result."""
    lines = []
    for line in output.splitlines():
        if re.match(rf"not ok \d+ {re.escape(test)}$", line):
            return lines
        lines = [] if re.match(r"(not )?ok ", line) else [*lines, line]
    return []


def read_results(text, programs):
    """[(test, outcome, lines of why)] of what the programs printed."""
    rows = []
    found = dict((p, (out, int(status))) for p, out, status in
                 re.findall(r"^== begin (.*)\n((?:(?!== ).*\n)*)== end (\d+)$", text, flags=re.M))
    for program in programs:
        short = os.path.splitext(os.path.basename(program))[0]
        if program not in found:
            begun = text.partition(f"== begin {program}\n")[2]
            rows.append((f"{short}.ends", FAIL, begun.splitlines()[-20:] or ["it did not begin"]))
            continue
        output, status = found[program]
        passed, failed, skipped, wrong = judge(output, status)
        # in the order of the program
        outcome = {**{t: (PASS, []) for t in passed}, **{t: (FAIL, detail_of(output, t)) for t in failed},
                   **{t: (SKIP, [reason]) for t, reason in skipped}}
        for test in re.findall(r"^(?:not )?ok \d+ (\S+)", output, flags=re.M):
            rows.append((f"{short}.{test}", *outcome[test]))
        if wrong:
            rows.append((f"{short}.ends", FAIL, [wrong, *output.splitlines()[-20:]]))
    return rows


def is_asked_for(lines, i):
    """Is it the trace of calls of a report that a test provokes?"""
    return "Call Trace:" in lines[i] and any(text in line for line in lines[max(0, i - HEAD_LINES):i]
                                             for text, _ in NOT_A_COMPLAINT)


def complaints_at(lines):
    """Where a kernel complains, by number of line."""
    return [i for i, line in enumerate(lines) if COMPLAINTS.search(line) and not is_asked_for(lines, i)]


def read_console(text):
    """The kernel's complaints, each with what follows it: a report names the locks, and where each was taken."""
    lines = text.splitlines()
    shown = {j for i in complaints_at(lines) for j in range(i, min(i + 60, len(lines)))}
    return [lines[j] for j in sorted(shown)][:600]


def read_state(results, has_validator):
    """What the kernel says of itself at the end: the lines of why it is not well."""
    state = dict(re.findall(r"^== (tainted|debug_locks): (\d+)$", results, flags=re.M))
    wrong = []
    if state.get("tainted") != "0":
        wrong.append(f"the kernel is tainted: {state.get('tainted', 'it did not say')}")
    if has_validator and state.get("debug_locks") != "1":
        wrong.append("the lock validator is off: it stopped at its first report, or never ran")
    return wrong


def run_provoked(name, image):
    """Rows: is each splat that the kernel makes on purpose found?"""
    asked = list(dict.fromkeys(crash for _, crash, _ in PROVOKED))
    results, console, wrong = boot(f"{name}.provoked", image, PROVOKED_LIMIT_S, [f"provoke {crash}" for crash in asked])
    lines = console.splitlines()
    heard = [lines[i] for i in complaints_at(lines)]
    rows = []
    for what, _, report in PROVOKED:
        is_heard = any(re.search(report, line) for line in heard)
        rows.append((f"provoked.{what}", PASS if is_heard else FAIL,
                     [] if is_heard else [f"{report} is not among:", *heard, str(wrong), *results.splitlines()[-20:]]))
    is_off = "the lock validator" in " ".join(read_state(results, True))
    rows.append(("provoked.validator_is_off", PASS if is_off else FAIL, [] if is_off else results.splitlines()[-20:]))
    return rows


def image_of(name, may_fetch):
    """(path of the kernel image, its description)"""
    reason = missing_pieces()
    if reason:
        raise kernels.Missing(reason)
    if name == LOCKDEP:
        return lockdep.kept(kernels.cache())
    return (kernels.kernel if may_fetch else kernels.kept)(name, kernels.cache())


def run_here(programs):
    """(rows, description) of the machine's own kernel. Of what it has to say only what is new counts."""
    start = time.monotonic()
    said = set(kernels.run("dmesg").stdout.splitlines())
    results = ""
    env = {**os.environ, "O": BUILD, "BSTACK": os.path.join(BUILD, "bstack")}
    for program in programs:
        path = os.path.join(BUILD if program.startswith("build/") else ROOT, program.removeprefix("build/"))
        try:
            done = subprocess.run([path], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            results += f"== begin {program}\nit ran longer than {LIMIT_S} s\n"
            continue
        out = done.stdout if done.stdout.endswith("\n") else done.stdout + "\n"
        results += f"== begin {program}\n{out}== end {done.returncode % 256}\n"
    complaints = read_console("\n".join(line for line in kernels.run("dmesg").stdout.splitlines() if line not in said))
    return ([*read_results(results, programs), ("kernel.is_quiet", FAIL if complaints else PASS, complaints)],
            f"{os.uname().release}, {time.monotonic() - start:.0f} s")


def run_kernel(name, programs, limit_s, may_fetch=True):
    """(rows as read_results gives them, description of the kernel)"""
    if name == HOST:
        return run_here(programs)
    try:
        image, package = image_of(name, may_fetch)
    except kernels.Missing as missing:
        return [("guest", SKIP, [str(missing)])], "not run"
    start = time.monotonic()
    results, console, wrong = boot(name, image, limit_s, programs)
    again = ""
    if STALE_INT3.search(console):
        again = ", started twice"
        results, console, wrong = boot(name, image, limit_s - (time.monotonic() - start), programs)
    rows = read_results(results, programs)
    complaints = [*read_state(results, name == LOCKDEP), *read_console(console)]
    if not wrong and "== done" not in results:
        wrong = "the guest ended before its programs did"
    rows.append(("guest.ends", FAIL, [wrong, *console.splitlines()[-20:]]) if wrong else ("guest.ends", PASS, []))
    rows.append(("kernel.is_quiet", FAIL, complaints) if complaints else ("kernel.is_quiet", PASS, []))
    if name == LOCKDEP:
        rows += run_provoked(name, image)
    rows.append(("guest.left_out", SKIP, [f"{len(LEFT_OUT)} tests, for the reasons that vm.py gives"]))
    return rows, f"{package}, {time.monotonic() - start:.0f} s{again}"


def main_one(name):
    """One kernel, in KTAP; unless VM=1 asks for all, some tests, where it is at hand."""
    is_whole = bool(os.environ.get("VM"))
    programs = LOCKDEP_AS_A_TEST if name == LOCKDEP else PROGRAMS if is_whole else QUICK
    rows, description = run_kernel(name, programs, LIMIT_S, is_whole)
    print(f"# {description}")
    for i, (test, outcome, why) in enumerate(rows, 1):
        if outcome == FAIL:
            print("".join(f"# {line}\n" for line in why), end="")
        print(f"{'not ok' if outcome == FAIL else 'ok'} {i} {test}" + (f" # SKIP {why[0]}" if outcome == SKIP else ""))
    print(f"1..{len(rows)}")
    sys.exit(any(outcome == FAIL for _, outcome, _ in rows))


def print_table(columns):
    """columns: {kernel: rows}. A test a line, a kernel a column, and below why something failed or was skipped."""
    tests = list(dict.fromkeys(test for rows in columns.values() for test, _, _ in rows))
    cells = {k: {test: outcome for test, outcome, _ in rows} for k, rows in columns.items()}
    width = max(map(len, tests))
    print("".ljust(width), *(k.rjust(8) for k in columns))
    for test in tests:
        print(test.ljust(width), *(cells[k].get(test, "-").rjust(8) for k in columns))
    print(f"\nleft out in guests: {', '.join(f'{t} ({why})' for t, why in LEFT_OUT.items())}")
    for k, rows in columns.items():
        for test, outcome, why in rows:
            if outcome == SKIP:
                print(f"{k}: skipped {test}: {why[0]}")
            elif outcome == FAIL:
                print(f"\n{k}: {test} FAILED", *why, sep="\n    ")


def main_all():
    columns = {}
    for name in sys.argv[1:] or [HOST, *kernels.KERNELS, LOCKDEP]:
        print(f"{name}: ", end="", flush=True)
        columns[name], description = run_kernel(name, PROGRAMS + LONG, (6 if name == LOCKDEP else 2) * LIMIT_S)
        print(description, flush=True)
    print_table(columns)
    outcomes = [outcome for rows in columns.values() for _, outcome, _ in rows]
    print(f"{outcomes.count(PASS)} passed, {outcomes.count(FAIL)} failed, {outcomes.count(SKIP)} skipped")
    sys.exit(FAIL in outcomes or PASS not in outcomes)


if __name__ == "__main__":
    main_all()
