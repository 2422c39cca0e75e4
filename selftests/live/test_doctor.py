#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_doctor.py - what doctor says, as root, with a few capabilities, with none, and without BTF."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from truth import ktap  # noqa: E402

CAPS = "+bpf,+perfmon,+sys_ptrace,+dac_read_search,+checkpoint_restore"
REQUIRED = ["btf", "perf_program", "build_id_stack", "ringbuf", "tp_btf", "system_wide", "mmap2_build_id"]
KEYS = [*REQUIRED, "build_id_stackmap", "procmap_query", "map_files", "mm_lock_seq", "per_vma_lock", "no_preempt_rt",
        "cve_2026_90247_fix", "mmap_lock_tracepoints", "pmu_cycles", "tracefs", "kallsyms", "fentry", "cap_bpf",
        "cap_perfmon", "cap_sys_ptrace", "cap_dac_read_search", "cap_checkpoint_restore", "cap_syslog",
        "perf_event_paranoid", "unprivileged_bpf_disabled"]


def doctor(*args, prefix=(), check=0):
    done = subprocess.run([*prefix, ktap.bstack(), "doctor", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ktap.eq(done.returncode, check, done.stdout.decode() + done.stderr.decode())
    ktap.eq(done.stderr, b"", "stderr")
    return done.stdout.decode()


def states(*args, **kwargs):
    found = json.loads(doctor("--json", *args, **kwargs))
    return found, {f["key"]: f["state"] for f in found["features"]}


def unprivileged(caps="-all"):
    bounding = ["--bounding-set=-all"] if caps == "-all" else [f"--ambient-caps={caps}"]
    return ["setpriv", "--reuid", "65534", "--clear-groups", f"--inh-caps={caps}", *bounding]


def test_root():
    found, state = states()
    ktap.eq(list(state), KEYS, "features")
    assert set(state.values()) <= {"yes", "no", "denied", "partial", "unknown"}, state
    ktap.eq([k for k in REQUIRED if state[k] != "yes"], [], "required features that are missing")
    ktap.eq((found["can_record"], found["reason"]), (True, ""), "verdict")
    for feature in found["features"]:
        assert feature["text"] and feature["group"] in ("kernel", "privileges"), feature
        assert feature["state"] == "yes" or feature["effect"], feature
    assert "recording works here" in doctor()


def test_facts_agree():
    """What can be known in another way."""
    _, state = states()
    btf = subprocess.run("bpftool btf dump file /sys/kernel/btf/vmlinux format raw".split(), stdout=subprocess.PIPE,
                         env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}).stdout.decode()
    ktap.eq(state["mm_lock_seq"] == "yes", "'mm_lock_seq' type_id" in btf, "mm_lock_seq")
    ktap.eq(state["per_vma_lock"] == "yes", "'vm_lock_seq' type_id" in btf, "per-VMA locks")
    block = btf[btf.index("STRUCT 'mmap_unlock_irq_work'"):]
    block = block[:block.index("\n[")]
    ktap.eq(state["cve_2026_90247_fix"] == "yes", "'active'" in block, "the fix of CVE-2026-90247")
    paranoid = open("/proc/sys/kernel/perf_event_paranoid").read().strip()
    assert f"kernel.perf_event_paranoid: {paranoid}" in doctor()


def test_few_capabilities():
    found, state = states(prefix=unprivileged(CAPS))
    ktap.eq(found["can_record"], True, found)
    ktap.eq((state["cap_bpf"], state["cap_perfmon"], state["cap_syslog"]), ("yes", "yes", "no"), "capabilities")


def test_no_capability():
    found, state = states(prefix=unprivileged(), check=1)
    ktap.eq(found["can_record"], False, found)
    assert "CAP_BPF, CAP_PERFMON" in found["reason"] and "\n" not in found["reason"], found["reason"]
    assert "root" in found["advice"], found["advice"]
    ktap.eq((state["perf_program"], state["cap_bpf"]), ("denied", "no"), "states")


def test_without_btf():
    hide = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"", "sh"]
    found, state = states(prefix=hide, check=1)
    ktap.eq((state["btf"], state["mm_lock_seq"], state["cve_2026_90247_fix"]), ("no", "unknown", "unknown"), "states")
    assert "BTF" in found["reason"] and "CONFIG_DEBUG_INFO_BTF" in found["advice"], found
    done = subprocess.run([*hide, ktap.bstack(), "record", "-q", "-o", "/dev/null", "--", "true"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ktap.eq(done.returncode, 1, done.stderr.decode())
    assert "BTF" in done.stderr.decode() and done.stderr.count(b"\n") == 1, done.stderr.decode()


def test_binaries():
    found, _ = states(ktap.fixture("chain"), "/etc/hostname", "/no/such/file")
    chain, text, missing = found["binaries"]
    ktap.eq((chain["symbols"], len(chain["build_id"]), chain["error"]), ("yes", 40, ""), "chain")
    ktap.eq(text["error"], "Exec format error", "a text")
    ktap.eq(missing["error"], "No such file or directory", "a missing file")


def test_process():
    proc = truth.start("chain", 60)
    try:
        out = doctor("-p", str(proc.pid))
    finally:
        proc.kill()
        proc.wait()
    assert f"/proc/{proc.pid}/exe" in out and "symbols" in out, out


if __name__ == "__main__":
    ktap.main(globals())
