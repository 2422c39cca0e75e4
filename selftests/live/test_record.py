#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_record.py - the whole profiler on programs whose stacks are known: zero wrong frames."""
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from truth import ktap  # noqa: E402
from truth import check_frames, record, run, start, start_record, stop, temp_dir  # noqa: E402

CHAIN = ["main", *[f"fx_{i}" for i in range(1, 9)], "fx_spin"]
checked_total = 0


def no_wrong(rec, allowed=lambda name: True):
    """Every fx_ frame is where it belongs; their number."""
    global checked_total
    checked, wrong = check_frames(rec.folded, allowed)
    assert not wrong, f"{len(wrong)} wrong stacks of {checked} frames, e.g. {wrong[:3]}"
    checked_total += checked
    return checked


def all_healed(rec):
    """Every sample that fell back is healed, or holds frames with a stated reason."""
    led = rec.ledger
    ktap.eq(sum(led["fallback"].values()), led["fell_back"], "causes of the samples that fell back")
    if led["healed"] < led["fell_back"]:
        assert led["frames"]["none"] > 0, led


ROOT = ["_start", "__libc_start_main", "__libc_start_call_main", "main"]


def root_of(frames):
    """Frames with the names that differ between versions of the C library made plain."""
    # __libc_start_call_main is local: without the library's debug symbols it has no name
    return [re.sub(r"^libc\.so\.6\+0x.*$", ROOT[2], re.sub(r"^(__libc_start_main)(_impl)?(@.*)?$", r"\1", f))
            for f in frames]


def test_chain_by_frame_pointer():
    with temp_dir() as d:
        rec, _ = record(d, "--unwind=fp", "-F", 997, "--", ktap.fixture("chain"), 1, check=7)
        rec.exact()
        assert no_wrong(rec) > truth.share(1000)
        share = rec.folded.chain(CHAIN) / rec.folded.samples()
        assert share > truth.share(0.9), f"the chain is {share:.3f} of the samples"
        # with interrupts off a PREEMPT_RT kernel gives no build-id at all
        ways = {"timeline", "query", "proven"} if truth.IS_RT else {"kernel", "proven"}
        known = sum(c for way, c in rec.ledger["frames"].items() if way in ways)
        assert known > 0.9 * sum(rec.ledger["frames"].values()), rec.ledger
        ktap.eq(rec.ledger["unwind_tables"], 0, "unwind tables")


def test_chain_by_rows():
    with temp_dir() as d:
        rec, _ = record(d, "-F", 997, "--", ktap.fixture("chain"), truth.seconds(1), check=7)
        rec.exact()
        assert no_wrong(rec) > truth.share(1000)
        whole = sum(c for _, f, c in rec.folded.stacks if root_of(f) == [*ROOT, *CHAIN[1:]])
        assert whole > truth.share(0.5) * rec.folded.samples(), (rec.ledger["stops"], rec.folded.stacks[:3])
        assert rec.ledger["rooted"] > truth.share(0.5) * rec.ledger["samples"], rec.ledger


def test_threads_of_pid():
    with temp_dir() as d:
        proc = start("chain", 60, 2)
        try:
            rec, _ = record(d, "-F", 499, "-p", proc.pid, "-d", 1)
        finally:
            proc.kill()
            proc.wait()
        rec.exact()
        no_wrong(rec)
        assert rec.folded.samples("chain-thread") > 0, rec.folded.stacks[:3]
        assert rec.folded.samples("chain") > 0


def test_one_thread():
    with temp_dir() as d:
        proc = start("chain", 60, 2)
        try:
            tids = sorted(int(t) for t in os.listdir(f"/proc/{proc.pid}/task"))
            rec, _ = record(d, "-F", 499, "-t", tids[1], "-d", 1)
        finally:
            proc.kill()
            proc.wait()
        rec.exact()
        ktap.eq({t for t, _, _ in rec.folded.stacks}, {"chain-thread"}, "threads")


def storm(way, *args):
    with temp_dir() as d:
        rec, _ = record(d, f"--unwind={way}", *args, "-F", truth.rate(9973), "--", ktap.fixture("storm"), 4, 2)
        rec.exact()
        no_wrong(rec)
        all_healed(rec)
        # garbage, and an offset outside of code: what a walk by frame pointer takes for an address in code that keeps none,
        # as the dynamic linker's
        led = rec.ledger
        lost = led["frames"]["none"] - led["unresolved"]["garbage"] - led["unresolved"]["bad-offset"]
        assert lost <= 0.001 * led["frame_total"], led
        spins = [(f, c) for _, f, c in rec.folded.stacks if f and f[-1] == "fx_spin"]
        whole = sum(c for f, c in spins if f[-10:] == ["fx_spinner", *CHAIN[1:]])
        assert whole > truth.share(0.9) * sum(c for _, c in spins), f"{whole} of {sum(c for _, c in spins)}"
        return rec


def test_storm_by_frame_pointer():
    """Each stack is asked of the kernel, and falls back where a writer has the lock."""
    rec = storm("fp", "--known-stacks", 0)
    if truth.IS_RT:
        ktap.eq(rec.ledger["fallback"]["rt"], rec.ledger["user_samples"], "stacks that fell back, as all have to")
    else:
        assert rec.ledger["fallback"]["writer"] > truth.share(100), rec.ledger


def test_storm_of_known_stacks():
    """The same by frame pointer, but that BPF knows most of the stacks, and asks for nothing."""
    truth.needs_vma_files()
    led = storm("fp").ledger
    assert led["counted_vma"] > truth.share(0.5) * led["samples"] or truth.IS_RT, led
    assert led["fell_back"] < 0.5 * led["samples"] or truth.IS_SLOW, led


def test_storm_by_rows():
    """No lock is taken, so nothing falls back; the mappings change all the time and no frame is wrong."""
    rec = storm("rows")
    assert rec.ledger["rooted"] > truth.share(0.5) * rec.ledger["user_samples"], rec.ledger
    assert truth.IS_SLOW or rec.ledger["fell_back"] < 0.5 * rec.ledger["samples"], rec.ledger


def dlswap(way):
    with temp_dir() as d:
        proc = subprocess.Popen(
            [ktap.bstack(), "record", "-q", f"--unwind={way}", "-F", str(truth.rate(9973)), "-o", f"{d}/x.pb.gz", "--",
             ktap.fixture("dlswap"), "3", ktap.fixture("swap_a.so"), ktap.fixture("swap_b.so")],
            stdout=subprocess.PIPE)
        out, _ = proc.communicate(timeout=120)
        ktap.eq(proc.returncode, 0, "exit status")
        same = truth.first_number(r"same (\d+) of", out.decode())
        assert same > truth.share(10), f"the libraries met at one address {same} times: {out}"
        rec = truth.Recording(f"{d}/x.pb.gz")
        rec.exact()
        assert no_wrong(rec) > truth.share(1000)
        all_healed(rec)
        assert rec.folded.with_leaf("fx_a_inner") and rec.folded.with_leaf("fx_b_inner")


def test_dlswap_by_frame_pointer():
    dlswap("fp")


def test_dlswap_by_rows():
    dlswap("rows")


def test_exec():
    with temp_dir() as d:
        rec, _ = record(d, "-F", truth.rate(4999), "--", ktap.fixture("execer_a"))
        rec.exact()
        assert no_wrong(rec) > truth.share(500)
        for thread, frames, _ in rec.folded.stacks:
            for side, other in (("execer_a", "fx_exec_b"), ("execer_b", "fx_exec_a")):
                assert thread != side or not any(f.startswith(other) for f in frames), (thread, frames)
        assert rec.folded.with_leaf("fx_exec_a_spin") and rec.folded.with_leaf("fx_exec_b_spin")


def test_forkbomb():
    with temp_dir() as d:
        rec, _ = record(d, "-F", truth.rate(4999), "--", ktap.fixture("forkbomb"), 2)
        rec.exact()
        assert no_wrong(rec) > truth.share(1000)
        all_healed(rec)
        assert rec.folded.chain(["fx_child", *CHAIN[1:]]) > truth.share(0.2) * rec.folded.samples(), rec.ledger


def test_exits_at_once():
    with temp_dir() as d:
        rec, _ = record(d, "-F", 9973, "--", "/bin/true")
        rec.exact()


def test_exits_with_its_stack():
    """A process that is gone before its samples are read."""
    with temp_dir() as d:
        rec, _ = record(d, "--unwind=fp", "-F", truth.rate(9973), "--", ktap.fixture("chain"), 0.5 if truth.IS_SLOW else 0.02,
                        check=7)
        rec.exact()
        no_wrong(rec)
        assert rec.folded.chain(CHAIN) > 0, rec.folded.stacks


def test_deleted_while_it_runs():
    with temp_dir() as d:
        path = shutil.copy(ktap.fixture("chain"), os.path.join(d, "gone"))
        proc = subprocess.Popen([path, "60"], stdout=subprocess.PIPE)
        try:
            proc.stdout.readline()
            os.unlink(path)
            rec, _ = record(d, "-F", 997, "-p", proc.pid, "-d", 1)
        finally:
            proc.kill()
            proc.wait()
        rec.exact()
        no_wrong(rec)
        assert rec.folded.chain(CHAIN) > truth.share(0.9) * rec.folded.samples(), rec.folded.stacks[:5]


def test_replaced_while_it_runs():
    """Another program under the same name: its names must not be taken."""
    with temp_dir() as d:
        path = shutil.copy(ktap.fixture("chain"), os.path.join(d, "prog"))
        proc = subprocess.Popen([path, "60"], stdout=subprocess.PIPE)
        try:
            proc.stdout.readline()
            shutil.copy(ktap.fixture("storm"), path + ".new")
            os.rename(path + ".new", path)
            rec, _ = record(d, "-F", 997, "-p", proc.pid, "-d", 1)
        finally:
            proc.kill()
            proc.wait()
        rec.exact()
        no_wrong(rec)
        assert rec.folded.chain(CHAIN) > truth.share(0.9) * rec.folded.samples(), rec.folded.stacks[:5]


def comm_of(pid):
    """The name of a process; None: it has left."""
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return None


def test_other_namespaces():
    """In a mount and pid namespace of its own, from a file that is only there."""
    with temp_dir() as d:
        script = (f"mount -t tmpfs none /mnt && cp {ktap.fixture('chain')} /mnt/inside && "
                  "exec /mnt/inside 60")
        proc = subprocess.Popen(["unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c", script],
                                stdout=subprocess.PIPE, start_new_session=True)
        try:
            assert proc.stdout.readline().startswith(b"ready")
            inside = [p for p in os.listdir("/proc") if p.isdigit() and comm_of(p) == "inside"]
            ktap.eq(len(inside), 1, "processes named inside")
            rec, _ = record(d, "-F", 997, "-p", inside[0], "-d", 1)
        finally:
            os.killpg(proc.pid, signal.SIGKILL)
            proc.wait()
        rec.exact()
        no_wrong(rec)
        assert rec.folded.chain(CHAIN) > truth.share(0.9) * rec.folded.samples(), rec.folded.stacks[:5]


def test_jit():
    with temp_dir() as d:
        rec, _ = record(d, "-F", 997, "--", ktap.fixture("jit"), 2)
        rec.exact()
        no_wrong(rec)
        assert rec.folded.chain(["main", "fx_call_named", "fx_jitted_[j]"]) > 0, rec.folded.stacks
        assert rec.ledger["frames"]["jit"] > 0
        assert rec.ledger["unresolved"]["anonymous"] > 0
        # A timer that is late fires twice in one interrupt, and the second stack does find the slot taken.
        if not truth.IS_SLOW:
            ktap.eq(rec.ledger["fallback"]["slot-busy"], 0, "stacks of code that could have no build-id")


def test_text_of_maps():
    """Without PROCMAP_QUERY the text of /proc/PID/maps does as well."""
    with temp_dir() as d:
        proc = start("storm", 60, 1)
        try:
            rec, _ = record(d, "--unwind=fp", "--known-stacks", 0, "-F", 997, "-p", proc.pid, "-d", 1,
                            env={**os.environ, "BSTACK_NO_PROCMAP_QUERY": "1"})
        finally:
            proc.kill()
            proc.wait()
        rec.exact()
        no_wrong(rec)
        all_healed(rec)
        assert rec.ledger["frames"]["query"] + rec.ledger["frames"]["kernel"] > 0, rec.ledger


def test_page_faults():
    with temp_dir() as d:
        rec, _ = record(d, "-e", "page-faults", "--", ktap.fixture("storm"), 0.3)
        rec.exact()
        assert rec.folded.samples() > truth.share(64), rec.ledger
        ktap.eq(rec.json["event"], "page-faults", "event")


def test_tracepoint_exact_count():
    with temp_dir() as d:
        rec, _ = record(d, "-e", "syscalls:sys_enter_getpid", "--", "perl", "-e",
                        "require 'syscall.ph' if 0; syscall(39) for 1..5000")
        rec.exact()
        ktap.eq(rec.ledger["fired"], 5000, "getpid calls")


def forkbomb_pids(directory, *args):
    """Processes sampled when forkbomb's parent is the target; its own pid."""
    proc = start("forkbomb", 60)
    try:
        path = os.path.join(directory, "x.pb.gz")
        run("record", "-q", "-F", truth.rate(4999), "-p", proc.pid, "-d", 1, *args, "-o", path)
    finally:
        proc.kill()
        proc.wait()
    truth.Recording(path).exact()
    threads = {line.split(";")[0] for line in run("fold", "--pid", path)[0].splitlines()}
    return {int(re.search(r"-(\d+)( \d+)?$", t)[1]) for t in threads}, proc.pid


def test_children_only_with_inherit():
    with temp_dir() as d:
        pids, parent = forkbomb_pids(d)
        assert pids <= {parent}, pids
        pids, parent = forkbomb_pids(d, "--inherit")
        assert len(pids - {parent}) > 10, pids


def test_period_and_task_clock():
    with temp_dir() as d:
        rec, _ = record(d, "-e", "task-clock", "-c", 1000000, "--", ktap.fixture("chain"), 0.5, check=7)
        rec.exact()
        ktap.eq((rec.json["event"], rec.ledger["period"], rec.ledger["freq_hz"]), ("task-clock", 1000000, 0), "event")
        ktap.eq(rec.ledger["weight"], 1000000 * rec.ledger["samples"], "weight: the period of each sample")
        assert rec.folded.samples() > 100


def test_progress_on_a_terminal():
    with temp_dir() as d:
        command = f"{ktap.bstack()} record -o {d}/x.pb.gz -- {ktap.fixture('chain')} 2.5"
        out = subprocess.run(["script", "-qec", command, "/dev/null"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE).stdout.decode()
        assert re.search(r"\r +1 s  \d+ samples  0 lost  \d+\.\d % fell back", out), out
        _, err = run("record", "-o", f"{d}/x.pb.gz", "--", ktap.fixture("chain"), 1.2, check=7)
        assert "\r" not in err, err  # not a terminal


def test_sigterm_and_signalled_command():
    with temp_dir() as d:
        target = start("chain", 60)
        try:
            proc, path = start_record(d, "-F", 997, "-p", target.pid)
            status, _, err = stop(proc, signal.SIGTERM)
        finally:
            target.kill()
            target.wait()
        ktap.eq(status, 0, err)
        truth.Recording(path).exact()
        run("record", "-q", "-o", path, "--", "sh", "-c", "kill -9 $$", check=128 + 9)


def test_unwritable_output():
    _, err = run("record", "-q", "-o", "/no/such/folder/x.pb.gz", "--", "true", check=1)
    ktap.eq(err, "bstack record: cannot write /no/such/folder/x.pb.gz: No such file or directory\n", "stderr")


def test_failed_start_leaves_files_alone():
    """No empty file where nothing was recorded, and what was recorded before stays."""
    with temp_dir() as d:
        path = os.path.join(d, "x.pb.gz")
        run("record", "-q", "-o", path, "--", "/no/such/program", check=1)
        assert not os.path.exists(path), "an empty file"
        record(d, "-F", 499, "--", ktap.fixture("chain"), 0.2, check=7)
        with open(path, "rb") as f:
            before = f.read()
        run("record", "-q", "-o", path, "--", "/no/such/program", check=1)
        with open(path, "rb") as f:
            ktap.eq(f.read(), before, "the recording before")


def test_cpu_filter():
    with temp_dir() as d:
        rec, _ = record(d, "-F", 499, "-C", 0, "--", "taskset", "-c", 0, ktap.fixture("chain"), 0.5, check=7)
        assert rec.folded.samples() > 50
        rec, _ = record(d, "-F", 499, "-C", 1, "--", "taskset", "-c", 0, ktap.fixture("chain"), 0.5, check=7)
        ktap.eq(rec.folded.samples("chain"), 0, "samples on CPU 1")


def test_cgroup():
    mounts = [line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2"]
    with temp_dir() as d:
        if not mounts:
            mounts = [os.path.join(d, "cgroup2")]
            os.mkdir(mounts[0])
            subprocess.run(["mount", "-t", "cgroup2", "none", mounts[0]], check=True)
        group = os.path.join(mounts[0], f"bstack-test-{os.getpid()}")
        os.mkdir(group)
        inside, outside = start("chain", 60), start("chain", 60)
        try:
            with open(os.path.join(group, "cgroup.procs"), "w") as f:
                f.write(str(inside.pid))
            path = os.path.join(d, "x.pb.gz")
            run("record", "-F", 499, "--cgroup", group, "-d", 1, "-o", path)
            out = run("fold", "--pid", path)[0]
            threads = {line.split(";")[0] for line in out.splitlines()}
            ktap.eq(threads, {f"chain-{inside.pid}"}, "threads in the cgroup")
        finally:
            for proc in (inside, outside):
                proc.kill()
                proc.wait()
            os.rmdir(group)
            if mounts[0].startswith(d):
                subprocess.run(["umount", mounts[0]], check=True)


def test_whole_host_and_kernel():
    with temp_dir() as d:
        path = os.path.join(d, "x.pb.gz")
        target = start("storm", 60, 1)
        try:
            proc = subprocess.Popen([ktap.bstack(), "record", "-q", "-a", "-k", "-F", "499", "-d", "1", "-o", path])
            ktap.eq(proc.wait(timeout=60), 0, "exit status")
        finally:
            target.kill()
            target.wait()
        rec = truth.Recording(path)
        rec.exact()
        no_wrong(rec)
        assert any(f.endswith("_[k]") for _, frames, _ in rec.folded.stacks for f in frames)
        assert rec.folded.samples("storm") > 0
        assert f"bstack-{proc.pid};" not in run("fold", "--pid", path)[0], "bstack sampled itself"


def test_self_when_asked():
    with temp_dir() as d:
        path = os.path.join(d, "x.pb.gz")
        target = start("storm", 60, 1)
        try:
            proc = subprocess.Popen([ktap.bstack(), "record", "-q", "-a", "--self", "-k", "-F", str(truth.rate(4999)), "-d", "2", "-o", path])
            ktap.eq(proc.wait(timeout=60), 0, "exit status")
        finally:
            target.kill()
            target.wait()
        assert f"bstack-{proc.pid};" in run("fold", "--pid", path)[0], "bstack was not sampled"


def test_truncation():
    """perl's recursion is in its own interpreter; a deep C recursion is cut at 127, leaf side kept."""
    source = ("int d(int n){ volatile int x = n; if (!n) for (volatile long i=0;i<800000000;i++); "
              "else x += d(n-1); return x; } int main(void){ return d(300) != 0 ? 0 : 0; }")
    with temp_dir() as d:
        path = os.path.join(d, "deep")
        subprocess.run(["gcc", "-O0", "-fno-omit-frame-pointer", "-x", "c", "-", "-o", path],
                       input=source.encode(), check=True)
        rec, _ = record(d, "-F", 99, "--", path)
        rec.exact()
        assert rec.ledger["truncated"] > 0.8 * rec.ledger["samples"], rec.ledger
        assert rec.folded.chain(["d"] * 127) > 0


def test_sigint_saves_everything():
    with temp_dir() as d:
        target = start("chain", 60)
        try:
            proc, path = start_record(d, "-F", 997, "-p", target.pid)
            status, out, err = stop(proc)
        finally:
            target.kill()
            target.wait()
        ktap.eq((status, out), (0, ""), "exit status and stdout")
        rec = truth.Recording(path)
        rec.exact()
        no_wrong(rec)
        assert f"{rec.ledger['recorded']} samples, " in err, err


def test_sigkill_leaves_a_profile():
    with temp_dir() as d:
        target = start("chain", 60)
        try:
            proc, path = start_record(d, "-F", 997, "-p", target.pid)
            stop(proc, signal.SIGKILL)
        finally:
            target.kill()
            target.wait()
        rec = truth.Recording(path)
        assert rec.ledger["is_cut"] is True and rec.ledger["is_complete"] == 0
        assert rec.folded.samples() > 0
        out, _ = run("report", path)
        assert "cut" in out, out[:1000]


def test_target_exits():
    with temp_dir() as d:
        target = start("chain", 60)
        try:
            proc, path = start_record(d, "-F", 499, "-p", target.pid)
        finally:
            target.kill()
            target.wait()
        _, err = proc.communicate(timeout=60)
        ktap.eq(proc.returncode, 0, err.decode())
        rec = truth.Recording(path)
        rec.exact()
        no_wrong(rec)


def test_target_exits_while_record_starts():
    """At every moment of the start: it is told, or its samples are taken, and record ends."""
    with temp_dir() as d:
        for ms in range(0, 200, 10):
            proc = subprocess.Popen(["sleep", str(ms / 1000)])
            done = subprocess.run([ktap.bstack(), "record", "-q", "-p", str(proc.pid), "-o", f"{d}/x.pb.gz"],
                                  stderr=subprocess.PIPE, timeout=60)
            proc.wait()
            err = done.stderr.decode()
            assert done.returncode == 0 or done.returncode == 1 and "it has exited" in err, (ms, done.returncode, err)


def test_output_to_a_pipe():
    with temp_dir() as d:
        proc = subprocess.run([ktap.bstack(), "record", "-q", "-F", "499", "-o", "-", "--",
                               ktap.fixture("chain"), "0.5"], stdout=subprocess.PIPE)
        ktap.eq(proc.returncode, 7, "exit status")
        # the fixture's own line comes first: it has the same standard output
        data = proc.stdout[proc.stdout.index(b"\x1f\x8b"):]
        path = os.path.join(d, "x.pb.gz")
        with open(path, "wb") as f:
            f.write(data)
        rec = truth.Recording(path)
        rec.exact()
        assert rec.folded.chain(CHAIN) > 0


def test_full_disk():
    """One page left: an error told once, and the file is no whole profile that is silently short."""
    with temp_dir() as d:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", d], check=True)
        try:
            with open(os.path.join(d, "filler"), "wb") as f:
                f.write(b"x" * (64 - 4) * 1024)
            path = os.path.join(d, "x.pb.gz")
            _, err = run("record", "-F", 9973, "-k", "-o", path, "--", ktap.fixture("storm"), 4, check=1)
            ktap.eq(err.count("No space left on device"), 1, err)
            out, err = run("report", path, check=None)
            assert "cut" in out or "empty" in err, (out[:500], err)
        finally:
            subprocess.run(["umount", d], check=True)


def test_dev_full():
    _, err = run("record", "-q", "-o", "/dev/full", "--", ktap.fixture("chain"), 0.2, check=1)
    assert "No space left" in err, err


def test_go_tool_pprof():
    if not shutil.which("go"):
        raise ktap.Skip("go is not installed")
    with temp_dir() as d:
        rec, _ = record(d, "-F", 997, "--", ktap.fixture("chain"), 1, check=7)
        env = {**os.environ, "HOME": d, "PPROF_TMPDIR": d}
        out = subprocess.run(["go", "tool", "pprof", "-top", "-sample_index=samples", rec.path], env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        ktap.eq(out.returncode, 0, out.stderr.decode())
        assert "fx_spin" in out.stdout.decode(), out.stdout.decode()
        raw = subprocess.run(["go", "tool", "pprof", "-raw", rec.path], env=env, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=120)
        ktap.eq(raw.returncode, 0, raw.stderr.decode())
        assert "Mappings" in raw.stdout.decode()


def test_hotplug():
    path = "/sys/devices/system/cpu/cpu1/online"
    if not os.path.exists(path) or not os.access(path, os.W_OK):
        raise ktap.Skip("CPU 1 cannot be taken offline here")
    with temp_dir() as d:
        target = start("storm", 60, 2)
        proc = None
        try:
            proc, profile = start_record(d, "-F", 997, "-p", target.pid)
            try:
                with open(path, "w") as f:
                    f.write("0")
            except OSError as err:
                raise ktap.Skip(f"CPU 1 cannot be taken offline here: {err}")
            size = os.path.getsize(profile)
            truth.wait_until(lambda: os.path.getsize(profile) > size, "samples with CPU 1 offline")
            with open(path, "w") as f:
                f.write("1")
            size = os.path.getsize(profile)
            truth.wait_until(lambda: os.path.getsize(profile) > size, "samples with CPU 1 online")
            status, _, err = stop(proc)
        finally:
            with open(path, "w") as f:
                f.write("1")
            if proc and proc.poll() is None:
                proc.kill()
            target.kill()
            target.wait()
        ktap.eq(status, 0, err)
        rec = truth.Recording(profile)
        rec.exact()
        no_wrong(rec)


def test_bad_targets():
    zombie = subprocess.Popen(["true"])
    truth.wait_until(lambda: open(f"/proc/{zombie.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z",
                     "a zombie")
    kthread = next(p for p in os.listdir("/proc") if p.isdigit() and
                   open(f"/proc/{p}/comm").read().startswith("kthreadd"))
    cases = [(["-p", "4194304"], "there is none"), (["-p", kthread], "kernel thread"),
             (["-p", str(zombie.pid)], "zombie"), (["-t", "4194304"], "there is none")]
    for args, text in cases:
        out, err = run("record", "-q", "-o", "/dev/null", *args, check=1)
        assert text in err and not out, (args, out, err)
    zombie.wait()
    _, err = run("record", "-q", "-o", "/dev/null", "--", "/no/such/program", check=1)
    assert "/no/such/program: No such file" in err, err


def test_no_privileges():
    proc = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all",
                           "--bounding-set=-all", ktap.bstack(), "record", "-o", "/dev/null", "-a"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    err = proc.stderr.decode()
    ktap.eq(proc.returncode, 1, err)
    assert "CAP_" in err, err


def test_capabilities_suffice():
    """CAP_BPF and CAP_PERFMON, and what /proc needs: no root."""
    caps = "+bpf,+perfmon,+sys_ptrace,+dac_read_search,+checkpoint_restore"
    with temp_dir() as d:
        os.chmod(d, 0o777)
        proc = start("chain", 60)
        try:
            path = os.path.join(d, "x.pb.gz")
            cmd = ["setpriv", "--reuid", "65534", "--clear-groups", f"--inh-caps={caps}",
                   f"--ambient-caps={caps}", ktap.bstack(), "record", "-F", "499", "-p", str(proc.pid),
                   "-d", "1", "-o", path]
            done = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        finally:
            proc.kill()
            proc.wait()
        ktap.eq(done.returncode, 0, done.stderr.decode())
        rec = truth.Recording(path)
        rec.exact()
        assert rec.folded.chain(CHAIN) > truth.share(0.9) * rec.folded.samples(), rec.folded.stacks[:5]


def test_zz_frames_checked():
    """The tests above, together."""
    print(f"# {checked_total} frames checked, 0 wrong")
    if len(sys.argv) > 1:
        raise ktap.Skip("only some of the tests ran")
    assert checked_total >= 100000, f"{checked_total} frames checked, fewer than 100,000"


if __name__ == "__main__":
    ktap.main(globals())
