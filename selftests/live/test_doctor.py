#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_doctor.py - what doctor says, as root, with a few capabilities, with none, and without BTF."""
import fcntl
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from truth import ktap  # noqa: E402

# What record's own description asks for
CAPS = "+bpf,+perfmon,+sys_ptrace,+dac_read_search,+checkpoint_restore"
REQUIRED = ["btf", "perf_program", "build_id_stack", "ringbuf", "bpf_loop", "tp_btf", "system_wide", "mmap2_build_id"]
KERNEL = [*REQUIRED, "build_id_stackmap", "procmap_query", "map_files", "mm_lock_seq", "per_vma_lock", "vma_files", "no_preempt_rt",
          "cve_2026_90247_fix", "mmap_lock_tracepoints", "pmu_cycles", "tracefs", "uprobe", "kallsyms", "kallsyms_all", "fentry"]
PRIVILEGES = ["euid", "cap_bpf", "cap_perfmon", "cap_sys_admin", "cap_sys_ptrace", "cap_dac_read_search",
              "cap_checkpoint_restore", "cap_syslog", "perf_event_paranoid", "kptr_restrict",
              "unprivileged_bpf_disabled", "memlock"]
STATES = {"yes", "no", "denied", "partial", "unknown"}


def doctor(*args, prefix=(), check=0, program=None):
    done = subprocess.run([*prefix, program or ktap.bstack(), "doctor", *args], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    ktap.eq(done.returncode, check, done.stdout.decode() + done.stderr.decode())
    ktap.eq(done.stderr, b"", "stderr")
    return done.stdout.decode()


def states(*args, **kwargs):
    found = json.loads(doctor("--json", *args, **kwargs))
    return found, {f["key"]: f["state"] for f in found["features"] + found["privileges"]}


def details(found):
    return {f["key"]: f["detail"] for f in found["features"] + found["privileges"]}


def with_caps(caps):
    """Run as nobody with these capabilities, which the program gets as ambient ones."""
    bounding = ["--bounding-set=-all"] if caps == "-all" else [f"--ambient-caps={caps}"]
    return ["setpriv", "--reuid", "65534", "--clear-groups", f"--inh-caps={caps}", *bounding]


def with_program(run):
    """Call run with a copy of bstack that every user may execute, wherever the build folder is."""
    with truth.temp_dir() as d:
        os.chmod(d, 0o755)
        copy = os.path.join(d, "bstack")
        shutil.copy(ktap.bstack(), copy)
        os.chmod(copy, 0o755)
        return run(copy)


def as_nobody(caps, *args, **kwargs):
    return with_program(lambda copy: states(*args, prefix=with_caps(caps), program=copy, **kwargs))


def in_mount_namespace(script):
    """Run after a shell script, in a mount namespace of its own."""
    return ["unshare", "-m", "sh", "-e", "-c", script + '\nexec "$@"', "sh"]


def number_in(path):
    with open(path) as f:
        return int(f.read())


def test_root():
    found, state = states()
    ktap.eq([f["key"] for f in found["features"]], KERNEL, "features")
    ktap.eq([f["key"] for f in found["privileges"]], PRIVILEGES, "privileges")
    assert set(state.values()) <= STATES, state
    ktap.eq([k for k in REQUIRED if state[k] != "yes"], [], "required features that are missing")
    ktap.eq([f["key"] for f in found["features"] if f["is_required"]], REQUIRED, "is_required")
    ktap.eq((found["can_record"], found["reason"], found["advice"]), (True, "", ""), "verdict")
    for feature in found["features"] + found["privileges"]:
        assert feature["text"] and feature["effect"], feature
    assert doctor().endswith("\nrecording works here\n")


def test_text_is_aligned():
    """Rows are state and text in columns; what is indented further belongs to a row that is not yes."""
    lines = doctor().split("\nbinaries")[0].splitlines()
    row = re.compile(r"  (yes    |no     |denied |partial|unknown)  \S")
    last = None
    for line in lines:
        if not line or line in ("kernel", "privileges"):
            continue
        if row.match(line):
            last = line.split()[0]
        else:
            assert re.match(r" {11}(means|try): \S", line) and last != "yes", line
    ktap.eq(sum(bool(row.match(line)) for line in lines), len(KERNEL) + len(PRIVILEGES), "rows")


def test_facts_agree():
    """What can be known in another way."""
    found, state = states()
    detail = details(found)
    btf = subprocess.run("bpftool btf dump file /sys/kernel/btf/vmlinux format raw".split(), stdout=subprocess.PIPE,
                         env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}, check=True).stdout.decode()
    ktap.eq(state["btf"], "yes", "btf, where /sys/kernel/btf/vmlinux could be dumped")
    seq = re.search(r"'mm_lock_seq' type_id=(\d+)", btf)
    ktap.eq(state["mm_lock_seq"] == "yes", bool(seq), "mm_lock_seq")
    if seq:
        kind = re.search(rf"^\[{seq[1]}\] \w+ '(\w+)'", btf, flags=re.M)[1]
        assert ("a seqcount_t" if kind == "seqcount_t" else "an int") in detail["mm_lock_seq"], (kind, detail)
    ktap.eq(state["per_vma_lock"] == "yes", "'vm_lock_seq' type_id" in btf or "'vm_refcnt' type_id" in btf,
            "per-VMA locks")
    block = btf[btf.index("STRUCT 'mmap_unlock_irq_work'"):]
    block = block[:block.index("\n[")]
    ktap.eq(state["cve_2026_90247_fix"] == "yes", "'active'" in block, "the fix of CVE-2026-90247")
    ktap.eq(state["no_preempt_rt"] == "yes", "PREEMPT_RT" not in platform.version(), "PREEMPT_RT")
    with open("/proc/kallsyms") as f:
        ktap.eq(state["kallsyms_all"] == "yes", any(line.split()[2] == "mmap_unlock_work" for line in f),
                "mmap_unlock_work in /proc/kallsyms")
    if not any(os.path.exists(f"/sys/bus/event_source/devices/{d}") for d in ("cpu", "cpu_core", "armv8_pmuv3_0")):
        ktap.eq(state["pmu_cycles"], "no", "cycles, on a machine without a PMU")
    ktap.eq(state["procmap_query"] == "yes", has_procmap_query(), "PROCMAP_QUERY")


def has_procmap_query():
    query = bytearray(struct.pack("QQQ", 0x68, 0x10, 0) + bytes(0x68 - 24))  # the first mapping of all
    with open("/proc/self/maps", "rb") as f:
        try:
            fcntl.ioctl(f, 0xc0686611, query)
        except OSError:
            return False
    return True


def test_settings():
    """Values of settings, and whether they stand in the way of who holds no capability."""
    out = doctor()
    for name in ("perf_event_paranoid", "kptr_restrict", "unprivileged_bpf_disabled"):
        assert f"  kernel.{name}: {number_in(f'/proc/sys/kernel/{name}')}\n" in out, (name, out)
    found, state = as_nobody("-all", check=1)
    paranoid = number_in("/proc/sys/kernel/perf_event_paranoid")
    ktap.eq(state["perf_event_paranoid"], "denied" if paranoid > 0 else "yes", "perf_event_paranoid")
    ktap.eq(state["kptr_restrict"], "denied" if number_in("/proc/sys/kernel/kptr_restrict") else "yes",
            "kptr_restrict")
    ktap.eq((state["euid"], details(found)["euid"]), ("no", "effective uid 65534"), "euid")


def test_paranoid_of_debian():
    """Its kernels know a value above 2, which CAP_PERFMON does not lift."""
    place = "/proc/sys/kernel/perf_event_paranoid"
    for value, state in ((2, "yes"), (3, "denied")):
        with truth.temp_dir() as d:
            made = os.path.join(d, "value")
            with open(made, "w") as f:
                f.write(f"{value}\n")
            pretend = in_mount_namespace(f"mount --bind {made} {place}")
            _, states_seen = with_program(lambda copy: states(prefix=[*pretend, *with_caps(CAPS)], program=copy))
            ktap.eq(states_seen["perf_event_paranoid"], state, f"perf_event_paranoid with {value}")


def test_few_capabilities():
    found, state = as_nobody(CAPS)
    ktap.eq((found["can_record"], found["reason"]), (True, ""), found)
    ktap.eq([state[k] for k in REQUIRED], ["yes"] * len(REQUIRED), "required features")
    ktap.eq((state["cap_bpf"], state["cap_perfmon"], state["cap_sys_ptrace"], state["map_files"]), ("yes",) * 4,
            "what was given")
    ktap.eq((state["cap_sys_admin"], state["cap_syslog"]), ("no", "no"), "what was not given")


def test_only_two_capabilities():
    """Enough to record; what lacks is told, and with which capability it comes."""
    found, state = as_nobody("+bpf,+perfmon")
    ktap.eq(found["can_record"], True, found)
    ktap.eq((state["map_files"], state["cap_checkpoint_restore"]), ("denied", "no"), "map_files")
    advice = {f["key"]: f["advice"] for f in found["features"]}
    assert "CAP_CHECKPOINT_RESTORE" in advice["map_files"], advice["map_files"]


def test_one_capability_lacks():
    """The one that lacks is named, and the one that is held is not."""
    for caps, missing in (("+bpf", "CAP_PERFMON"), ("+perfmon", "CAP_BPF")):
        found, _ = as_nobody(caps, check=1)
        ktap.eq(found["reason"], f"cannot record here: missing: {missing}: not held", f"with {caps}")


def test_no_capability():
    found, state = as_nobody("-all", check=1)
    ktap.eq(found["can_record"], False, found)
    ktap.eq(found["reason"], "cannot record here: missing: CAP_BPF, CAP_PERFMON: not held", "reason")
    assert "root" in found["advice"] and "cap_bpf,cap_perfmon" in found["advice"], found["advice"]
    ktap.eq((state["perf_program"], state["bpf_loop"], state["cap_bpf"]), ("denied", "denied", "no"), "states")
    out = with_program(lambda copy: doctor(prefix=with_caps("-all"), check=1, program=copy))
    ktap.eq(out.splitlines()[-2:], [found["reason"], "try: " + found["advice"]], "the last lines")


def test_user_namespace():
    """Root of a user namespace has every capability, and none that counts."""
    inside = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*inside, "true"], stderr=subprocess.DEVNULL).returncode:
        raise ktap.Skip("user namespaces are not allowed here")
    found, state = states(prefix=inside, check=1)
    ktap.eq((state["euid"], state["cap_bpf"], state["cap_perfmon"], state["perf_program"]),
            ("yes", "denied", "denied", "denied"), "states")
    ktap.eq(found["reason"], "cannot record here: missing: CAP_BPF, CAP_PERFMON: held only within a user namespace",
            "reason")


def test_without_btf():
    hide = in_mount_namespace("mount -t tmpfs none /sys/kernel/btf")
    found, state = states(prefix=hide, check=1)
    ktap.eq((state["btf"], state["tp_btf"], state["mm_lock_seq"], state["cve_2026_90247_fix"]),
            ("no", "unknown", "unknown", "unknown"), "states")
    assert "BTF" in found["reason"] and "CAP_" not in found["reason"], found
    assert "/sys/kernel/btf/vmlinux: No such file or directory" in found["reason"], found
    assert "CONFIG_DEBUG_INFO_BTF" in found["advice"], found
    done = subprocess.run([*hide, ktap.bstack(), "record", "-q", "-o", "/dev/null", "--", "true"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ktap.eq(done.returncode, 1, done.stderr.decode())
    assert "BTF" in done.stderr.decode() and done.stderr.count(b"\n") == 1, done.stderr.decode()
    assert "doctor" in done.stderr.decode(), done.stderr.decode()


def test_preempt_rt():
    """A kernel that says it is one: works, with a limit. BTF, which is at hand, does not say so here."""
    with truth.temp_dir() as d:
        pretend = in_mount_namespace(f"""mount --bind /sys/kernel/btf {d}
            mount -t tmpfs none /sys/kernel
            mkdir /sys/kernel/btf
            mount --bind {d} /sys/kernel/btf
            echo 1 > /sys/kernel/realtime""")
        found, state = states(prefix=pretend)
    ktap.eq((state["no_preempt_rt"], state["btf"], found["can_record"]), ("partial", "yes", True), "states")
    assert "falls back" in details(found)["no_preempt_rt"], details(found)


def test_tracefs_not_mounted():
    """That it could be mounted is found out without mounting it."""
    script = """umount -q -l /sys/kernel/debug/tracing /sys/kernel/debug /sys/kernel/tracing 2>/dev/null || true
        "$@"
        ! grep ' tracefs ' /proc/self/mounts"""
    found, state = states(prefix=["unshare", "-m", "sh", "-e", "-c", script, "sh"])
    ktap.eq((state["tracefs"], details(found)["tracefs"]), ("yes", "not mounted; bstack mounts it"), "tracefs")


def build(path, *args):
    made = subprocess.run(["gcc", "-x", "c", "-", "-o", path, *args], input=b"int main(void) { return 0; }",
                          stderr=subprocess.PIPE)
    ktap.eq(made.returncode, 0, made.stderr.decode())


def test_binaries():
    with truth.temp_dir() as d:
        stripped, plain, bare, fifo = (os.path.join(d, n) for n in ("stripped", "plain", "bare", "fifo"))
        subprocess.run(["strip", "-o", stripped, ktap.fixture("chain")], check=True)
        build(plain, "-Wl,--build-id=none")
        subprocess.run(["objcopy", "-R", ".eh_frame", "-R", ".eh_frame_hdr", ktap.fixture("chain"), bare], check=True)
        os.mkfifo(fifo)
        alone, _ = states(stripped)  # beside the file that it was made from its symbols are found there
        assert "-dbgsym" in doctor(stripped), "what to install for a stripped file"
        files = [ktap.fixture("chain"), plain, bare, "/etc/hostname", "/no/such/file", fifo, d]
        found, _ = states(*files)
        out = doctor(*files)
    ktap.eq([b["path"] for b in found["binaries"]], files, "paths")
    stripped = alone["binaries"][0]
    chain, plain, bare, text, missing, fifo, folder = found["binaries"]
    ktap.eq((chain["symbols"], len(chain["build_id"]), chain["error"]), ("yes", 40, ""), "chain")
    ktap.eq((stripped["symbols"], stripped["build_id"]), ("no", chain["build_id"]), "stripped")
    ktap.eq((plain["build_id"], plain["symbols"], plain["error"]), ("", "no", ""), "without a build-id")
    ktap.eq((bare["symbols"], bare["unwind_rows"], bare["error"]), ("yes", 0, ""), "without .eh_frame")
    ktap.eq([b["error"] for b in (text, missing, fifo, folder)],
            ["not an ELF file of this machine, or damaged", "No such file or directory", "not a regular file",
             "not a regular file"], "what cannot be looked at")
    for words in ("--build-id", "no unwind information (.eh_frame)"):
        assert words in out, (words, out)
    if platform.machine() == "x86_64":
        assert chain["unwind_rows"] > 10 and plain["unwind_rows"] > 0, (chain, plain)


def test_relative_name():
    there, name = os.path.split(os.path.abspath(ktap.fixture("chain")))
    program = os.path.abspath(ktap.bstack())
    found, _ = states(name, prefix=["env", "-C", there], program=program)
    ktap.eq((found["binaries"][0]["path"], found["binaries"][0]["symbols"]), (name, "yes"), "a name without a folder")


def test_own_binaries():
    """Without a word about which: bstack itself and the C library."""
    found, _ = states()
    names = [os.path.basename(b["path"]) for b in found["binaries"]]
    ktap.eq(len(names), 2, names)
    ktap.eq(os.path.realpath(found["binaries"][0]["path"]), os.path.realpath(ktap.bstack()), "the first")
    assert names[1].startswith("libc"), names
    assert all(len(b["build_id"]) == 40 for b in found["binaries"]), found["binaries"]


def test_process():
    """Program and libraries of a process, its program deleted meanwhile."""
    with truth.temp_dir() as d:
        path = os.path.join(d, "gone")
        shutil.copy(ktap.fixture("chain"), path)
        proc = subprocess.Popen([path, "60"], stdout=subprocess.PIPE)
        try:
            assert proc.stdout.readline().startswith(b"ready")
            os.unlink(path)
            found, _ = states("-p", str(proc.pid))
        finally:
            proc.kill()
            proc.wait()
    program = found["binaries"][0]
    assert program["path"].startswith(path), program
    ktap.eq((program["symbols"], len(program["build_id"]), program["error"]), ("yes", 40, ""), "the program")
    names = [os.path.basename(b["path"]) for b in found["binaries"]]
    assert any(n.startswith("libc.so") for n in names) and any(n.startswith("ld-") for n in names), names
    ktap.eq(len(set(names)), len(names), f"each once: {names}")


def test_processes_that_are_none():
    def told(*args, check=1, prefix=(), program=None):
        done = subprocess.run([*prefix, program or ktap.bstack(), "doctor", *args], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        ktap.eq((done.returncode, done.stdout), (check, b""), done.stderr.decode())
        ktap.eq(done.stderr.count(b"\n"), 1, done.stderr.decode())
        return done.stderr.decode()

    assert "cannot look at process 4194304: No such process" in told("-p", "4194304")  # numbers end below
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert "it runs no program" in told("-p", str(zombie.pid))
    finally:
        zombie.wait()
    proc = truth.start("chain", 60)
    try:
        err = with_program(lambda copy: told("-p", str(proc.pid), prefix=with_caps("-all"), program=copy))
    finally:
        proc.kill()
        proc.wait()
    assert "Permission denied" in err and "CAP_SYS_PTRACE" in err, err
    told("-p", "0", check=2)


if __name__ == "__main__":
    ktap.main(globals())
