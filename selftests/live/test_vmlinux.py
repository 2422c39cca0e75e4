#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_vmlinux.py - vmlinux.h, kept by hand, against the types of the running kernel.

The header is compiled for BPF, and what the compiler made of it, its BTF, is held against the kernel's: every
struct and member must be there, scalars with the same size (BPF_CORE_READ reads as many bytes as are declared),
bit-fields with the same width, arrays no longer than the kernel's.
"""
import json
import os
import platform
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import ktap  # noqa: E402

HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "vmlinux", "vmlinux.h")
# bpf_perf_event_data is a context that the verifier rewrites: no layout of the kernel's own.
# bpf_stack_build_id is what a helper writes, of the user interface: its layout never changes.
NOT_COMPARED = {"bpf_perf_event_data", "bpf_stack_build_id"}
# Read as they are declared, without relocation: here places count, and not only names and sizes.
NOT_RELOCATED = {"pt_regs", "user_pt_regs"}
ARCH = {"x86_64": "x86", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
TOOLS = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"}


class Types:
    """One BTF, by id, with the few questions that are asked of it."""

    def __init__(self, path):
        out = subprocess.run(["bpftool", "-j", "btf", "dump", "file", path], stdout=subprocess.PIPE, env=TOOLS,
                             check=True).stdout
        self.by_id = {t["id"]: t for t in json.loads(out)["types"]}
        self.structs = {t["name"]: t for t in self.by_id.values() if t["kind"] == "STRUCT" and t["name"] != "(anon)"}

    def plain(self, type_id):
        """The type behind typedefs and qualifiers."""
        t = self.by_id.get(type_id, {"kind": "VOID", "name": "void"})
        while t["kind"] in ("TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG"):
            t = self.by_id.get(t["type_id"], {"kind": "VOID", "name": "void"})
        return t

    def members(self, struct, base=0):
        """{name: (member, offset in bits)}, those of unnamed structs and unions among them."""
        found = {}
        for member in struct.get("members", []):
            offset = base + member["bits_offset"]
            inner = self.plain(member["type_id"])
            if member["name"] != "(anon)":
                found[member["name"]] = (member, offset)
            elif inner["kind"] in ("STRUCT", "UNION"):
                found.update(self.members(inner, offset))
        return found


def kind_of(t):
    return "SCALAR" if t["kind"] in ("INT", "ENUM", "ENUM64") else t["kind"]


def compare_type(what, ours, our_id, theirs, their_id):
    """What differs between the types of one member, as a list of sentences."""
    a, b = ours.plain(our_id), theirs.plain(their_id)
    if kind_of(a) != kind_of(b):
        return [f"{what}: {kind_of(a)}, in the kernel {kind_of(b)}"]
    if kind_of(a) == "SCALAR" and a["size"] != b["size"]:
        return [f"{what}: {a['size']} bytes, in the kernel {b['size']}"]
    if a["kind"] == "ARRAY":
        # An array of none at the end of a struct has as many as were allocated.
        longer = [f"{what}: {a['nr_elems']} elements, in the kernel {b['nr_elems']}"] \
            if 0 < b["nr_elems"] < a["nr_elems"] else []
        return longer + compare_type(what + "[]", ours, a["type_id"], theirs, b["type_id"])
    if a["kind"] == "STRUCT" and a["name"] == "(anon)":
        return compare_members(what, ours, a, theirs, b)
    if a["kind"] == "STRUCT" and a["name"] != b["name"]:
        return [f"{what}: struct {a['name']}, in the kernel struct {b['name']}"]
    return []


def compare_members(what, ours, a, theirs, b):
    wrong = []
    have = theirs.members(b)
    for name, (member, offset) in ours.members(a).items():
        path = f"{what}.{name}"
        if name not in have:
            wrong.append(f"{path}: not in the kernel")
            continue
        their_member, their_offset = have[name]
        if what in NOT_RELOCATED:
            # x86's cs and ss are 8 bytes, of which newer kernels declare 2 by that name
            wrong += [f"{path}: at bit {offset}, in the kernel at {their_offset}"] if offset != their_offset else []
            continue
        if member.get("bitfield_size", 0) != their_member.get("bitfield_size", 0):
            wrong.append(f"{path}: a bit-field of {member.get('bitfield_size', 0)}, "
                         f"in the kernel of {their_member.get('bitfield_size', 0)} (0: none)")
            continue
        wrong += compare_type(path, ours, member["type_id"], theirs, their_member["type_id"])
    return wrong


def compile_header(text, folder):
    """BTF of all structs of a vmlinux.h, which a variable of each keeps in."""
    names = re.findall(r"^struct (\w+) \{", text, flags=re.M)
    with open(os.path.join(folder, "vmlinux.h"), "w") as f:
        f.write(text)
    with open(os.path.join(folder, "all.c"), "w") as f:
        f.write('#include "vmlinux.h"\n' + "".join(f"struct {n} keep_{n};\n" for n in sorted(set(names))))
    made = os.path.join(folder, "all.o")
    subprocess.run([os.environ.get("CLANG", "clang-14"), "-g", "-O2", "-target", "bpf", f"-D__TARGET_ARCH_{ARCH}",
                    "-Wno-everything", "-c", os.path.join(folder, "all.c"), "-o", made], check=True)
    return Types(made)


def structs_here(ours):
    """Structs of the header but for the other architecture's, which were not compiled."""
    return {n: s for n, s in ours.structs.items() if n not in NOT_COMPARED}


def differences(text, theirs):
    with tempfile.TemporaryDirectory() as folder:
        ours = compile_header(text, folder)
    wrong = []
    for name, struct in structs_here(ours).items():
        if name == "rw_semaphore" and "rwbase_rt" in theirs.structs:
            continue  # PREEMPT_RT has another one: bpf/compat.bpf.h asks before it reads
        if name not in theirs.structs:
            wrong.append(f"struct {name}: not in the kernel")
        else:
            wrong += compare_members(name, ours, struct, theirs, theirs.structs[name])
    return wrong


def header():
    text = open(HEADER).read()
    # Only this architecture's structs are compiled: do not ask for a variable of another's.
    other = {"x86": "arm64", "arm64": "x86"}[ARCH]
    return re.sub(rf"(#(?:el)?if defined\(__TARGET_ARCH_{other}\)\n).*?(?=#elif|#else|#endif)", r"\1", text, flags=re.S)


def test_all_in_the_kernel():
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        raise ktap.Skip("this kernel has no BTF")
    ktap.eq(differences(header(), Types("/sys/kernel/btf/vmlinux")), [], "differences")


def test_compared():
    """The comparison sees what it is for: nothing left out, and mistakes made on purpose found."""
    with tempfile.TemporaryDirectory() as folder:
        ours = compile_header(header(), folder)
    want = {"task_struct", "mm_struct", "rw_semaphore", "pid", "upid", "signal_struct", "ns_common", "pid_namespace",
            "pt_regs"}
    ktap.eq(want - set(structs_here(ours)), set(), "structs not compared")
    for name in ("group_leader", "self_exec_id", "in_execve", "comm"):
        assert name in ours.members(ours.structs["task_struct"]), name


MISTAKES = [
    (r"\tint tgid;", "\tint tgidd;", "task_struct.tgidd: not in the kernel"),
    (r"\tint tgid;", "\tlong tgid;", "task_struct.tgid: 8 bytes, in the kernel 4"),
    (r"\tint tgid;", "\tint *tgid;", "task_struct.tgid: PTR, in the kernel SCALAR"),
    (r"unsigned int in_execve : 1;", "unsigned int in_execve;", "task_struct.in_execve: a bit-field of 0"),
    (r"\tchar comm\[16\];", "\tchar comm[32];", "task_struct.comm: 32 elements, in the kernel 16"),
    (r"\tstruct pid \*pids\[4\];", "\tint pids[4];", "signal_struct.pids[]: SCALAR, in the kernel PTR"),
    (r"\tint counter;", "\tint count;", "signal_struct.live.count: not in the kernel"),
    (r"struct signal_struct \{", "struct signal_structt {", "struct signal_structt: not in the kernel"),
]


def test_mistakes_are_found():
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        raise ktap.Skip("this kernel has no BTF")
    theirs = Types("/sys/kernel/btf/vmlinux")
    text = header()
    for pattern, instead, told in MISTAKES:
        made, count = re.subn(pattern, instead, text, count=1)
        ktap.eq(count, 1, f"places of {pattern}")
        found = differences(made, theirs)
        assert any(line.startswith(told) for line in found), f"{instead.strip()}: {found}, expected {told}"
        ktap.eq(len(found), 1, f"differences with {instead.strip()}: {found}")


def test_moved_register_is_found():
    if ARCH != "x86":
        raise ktap.Skip("written for the registers of x86")
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        raise ktap.Skip("this kernel has no BTF")
    made, count = re.subn(r"r15, r14,", "r14, r15,", header(), count=1)
    ktap.eq(count, 1, "places of r15, r14")
    found = differences(made, Types("/sys/kernel/btf/vmlinux"))
    ktap.eq(sorted(line.split(":")[0] for line in found), ["pt_regs.r14", "pt_regs.r15"], "differences")


if __name__ == "__main__":
    ktap.main(globals())
