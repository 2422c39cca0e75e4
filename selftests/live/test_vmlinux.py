#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_vmlinux.py - vmlinux.h, kept by hand, against the types of the running kernel."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import ktap  # noqa: E402

HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "vmlinux", "vmlinux.h")
# Not the kernel's own layout: a context that the verifier rewrites, an interface that never changes
NOT_RELOCATED = {"bpf_perf_event_data", "bpf_stack_build_id", "user_pt_regs"}


def declared():
    """{struct: [member, ...]} of vmlinux.h, for this machine's architecture."""
    text = re.sub(r"/\*.*?\*/", "", open(HEADER).read(), flags=re.S)
    arm = r"#elif defined\(__TARGET_ARCH_arm64\).*?#endif"
    text = re.sub(arm, "#endif", text, flags=re.S)
    found = {}
    for match in re.finditer(r"^struct (\w+) \{(.*?)^\};", text, flags=re.S | re.M):
        members = []
        for line in match[2].split(";"):
            line = re.sub(r"\[\w+\]", "", line).strip()
            if not line or line.startswith("}"):
                continue
            first, *more = re.sub(r":\s*\d+", "", line).split(",")
            members += [re.split(r"[\s*]+", first.strip())[-1], *[m.strip(" *\n\t") for m in more]]
        found[match[1]] = members
    return found


def kernel_types():
    path = os.environ["PATH"] + ":/usr/sbin"
    out = subprocess.run(["bpftool", "-j", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"], stdout=subprocess.PIPE,
                         env={**os.environ, "PATH": path}, check=True).stdout
    types = {t["id"]: t for t in json.loads(out)["types"]}
    return types, {t["name"]: t for t in types.values() if t["kind"] == "STRUCT"}


def members_of(types, struct):
    for member in struct.get("members", []):
        if member["name"] != "(anon)":
            yield member["name"]
            continue
        inner = types[member["type_id"]]
        if inner["kind"] in ("STRUCT", "UNION"):
            yield from members_of(types, inner)


def test_parsed():
    found = declared()
    assert {"task_struct", "mm_struct", "rw_semaphore", "pid", "signal_struct"} <= set(found), found
    assert "group_leader" in found["task_struct"] and "self_exec_id" in found["task_struct"], found


def test_members_exist():
    types, structs = kernel_types()
    # On PREEMPT_RT a rw_semaphore has no count and owner: bpf/compat.bpf.h asks before it reads them.
    maybe = set() if "rwbase_rt" not in structs else {("rw_semaphore", "count"), ("rw_semaphore", "owner")}
    missing = []
    for struct, members in declared().items():
        if struct in NOT_RELOCATED:
            continue
        if struct not in structs:
            missing.append(struct)
            continue
        have = set(members_of(types, structs[struct]))
        # x86's pt_regs says fsgsbase structures beside cs and ss on newer kernels: names are what counts
        missing += [f"{struct}.{m}" for m in members if m not in have and (struct, m) not in maybe]
    ktap.eq(missing, [], "not in the running kernel")


if __name__ == "__main__":
    ktap.main(globals())
