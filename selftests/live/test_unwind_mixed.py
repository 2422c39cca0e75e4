#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
test_unwind_mixed.py - exact chains through code without .eh_frame, and back into code that has it: Go, a library
stepped by frame pointer, a library with .debug_frame alone, code made at run time.

As in test_unwind.py, every stack is the chain or the leaf side of it, and more than half are whole.
"""
import bisect
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from truth import ktap, record, temp_dir  # noqa: E402

GO_CHAIN = ["runtime.main", "main.main", "main.fxA", "main.fxB", "main.fxC", "main.fxSpin"]
MIXED_CHAINS = {
    "callback": ["main", "fx_a", "fx_bare_outer", "fx_back", "fx_bare_inner", "fx_spin"],
    "sort": ["main", "fx_a", "fx_bare_sort", "fx_bare_compare", "fx_spin"],
}


def sections(path):
    out = subprocess.run(["readelf", "-SW", path], stdout=subprocess.PIPE, check=True).stdout.decode()
    return set(re.findall(r"^ +\[ *\d+\] (\.\S+)", out, re.M))


def own(frames):
    return [f for f in frames if f == "main" or f.startswith("fx_")]


def check_stacks(rec, chain, leaf, pick):
    """Every stack with the leaf is the chain, or its leaf side; most are the whole of it."""
    spinning = whole = 0
    for _, frames, count in rec.folded.stacks:
        if leaf not in frames:
            continue
        found = pick(frames)
        assert found == chain[len(chain) - len(found):], f"{frames}, expected {chain}"
        spinning += count
        whole += count if found == chain else 0
    assert spinning > 50, f"{spinning} samples in {leaf}: {rec.folded.stacks}"
    assert whole > 0.5 * spinning, f"{whole} of {spinning} are whole: {rec.ledger['stops']}"


def go_record(directory, name, *args):
    """Go's scheduler interrupts what runs long, by a signal: not here."""
    if not os.path.exists(ktap.fixture(name)):
        raise ktap.Skip("the Go fixtures were not built: go is not installed")
    rec, _ = record(directory, "-F", 997, "--", ktap.fixture(name), *args,
                    env=dict(os.environ, GODEBUG="asyncpreemptoff=1"))
    rec.exact()
    return rec


def go_tail(frames):
    """From runtime.main on: what starts it has other names in other versions."""
    return frames[-len(GO_CHAIN):]


def test_go():
    assert ".eh_frame" not in sections(ktap.fixture("gospin_id"))
    with temp_dir() as d:
        rec = go_record(d, "gospin_id")
    check_stacks(rec, GO_CHAIN, "main.fxSpin", go_tail)


class OffsetNames:
    """Functions of an ELF file by offset in the file, from binutils."""

    def __init__(self, path):
        self.base = os.path.basename(path)
        text = subprocess.run(["readelf", "-lW", path], stdout=subprocess.PIPE, check=True).stdout.decode()
        off, vaddr, size = (int(n, 16) for n in re.search(
            r"LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x\w+ R E", text).groups())
        text = subprocess.run(["nm", "-n", path], stdout=subprocess.PIPE, check=True).stdout.decode()
        self.funcs = [(int(a, 16) - vaddr + off, n) for a, n in re.findall(r"^(\w+) [tT] (\S+)", text, re.M)]
        self.end = off + size

    def name(self, frame):
        match = re.fullmatch(re.escape(self.base) + r"\+0x([0-9a-f]+)", frame)
        if not match or int(match[1], 16) >= self.end:
            return frame
        return self.funcs[bisect.bisect_right(self.funcs, (int(match[1], 16), "\x7f")) - 1][1]


def test_go_without_build_id():
    """Walked all the same; each frame says that its file has no build-id, and is given as file and offset."""
    names = OffsetNames(ktap.fixture("gospin")) if os.path.exists(ktap.fixture("gospin")) else None
    with temp_dir() as d:
        rec = go_record(d, "gospin")
    for stack in rec.folded.stacks:
        stack[1][:] = map(names.name, stack[1])
    check_stacks(rec, GO_CHAIN, "main.fxSpin", go_tail)
    led = rec.ledger
    assert led["unresolved"]["no-build-id"] > 0.9 * sum(led["frames"].values()), led


def test_go_with_eh_frame_of_start_files():
    """As every program with cgo has it: its rows cover the C code, the rest keeps frame pointers."""
    with temp_dir() as d:
        rec = go_record(d, "gospin_cgo")
    check_stacks(rec, GO_CHAIN, "main.fxSpin", go_tail)


def test_go_leaf_without_a_frame():
    """Its caller is not skipped. .debug_frame, compressed, tells the way."""
    with temp_dir() as d:
        rec = go_record(d, "gospin_id", "leaf")
    check_stacks(rec, [*GO_CHAIN[:-1], "main.fxLeaf"], "main.fxLeaf", go_tail)


def test_go_with_debug_frame():
    """Above runtime.goexit is nothing: the address 0 that stands there is no frame."""
    with temp_dir() as d:
        rec = go_record(d, "gospin_dwarf")
    check_stacks(rec, GO_CHAIN, "main.fxSpin", go_tail)
    assert rec.ledger["unresolved"]["garbage"] < 0.5 * rec.ledger["samples"], rec.ledger


def test_library_without_build_id():
    """It has .eh_frame and keeps no frame pointers: walked by rows, or the stack ends there. No caller is skipped."""
    names = OffsetNames(ktap.fixture("bare_noid.so"))
    with temp_dir() as d:
        rec, _ = record(d, "-F", 997, "--", ktap.fixture("mixed_fp"), ktap.fixture("bare_noid.so"), "callback")
    rec.exact()
    chain = MIXED_CHAINS["callback"]
    for _, frames, _ in rec.folded.stacks:
        if "fx_spin" in frames:
            found = own([names.name(f) for f in frames])
            assert found == chain[len(chain) - len(found):], f"{frames}: {found}, expected {chain}"


def check_mixed(library, has_debug_frame):
    path = ktap.fixture(library)
    ktap.eq({".eh_frame", ".debug_frame"} & sections(path), {".debug_frame"} if has_debug_frame else set(), library)
    for case, chain in MIXED_CHAINS.items():
        with temp_dir() as d:
            rec, _ = record(d, "-F", 997, "--", ktap.fixture("mixed"), path, case)
        rec.exact()
        check_stacks(rec, chain, "fx_spin", own)
        assert rec.ledger["rooted"] > 0.5 * rec.ledger["user_samples"], f"{library} {case}: {rec.ledger['stops']}"


def test_library_by_frame_pointer():
    check_mixed("bare_fp.so", False)


def test_library_with_debug_frame():
    """Keeps no frame pointers: only .debug_frame tells the way."""
    check_mixed("bare_debug.so", True)


def test_code_made_at_run_time():
    """Anonymous memory has no table: its frame is stepped by frame pointer, its callers by their rows."""
    with temp_dir() as d:
        rec, _ = record(d, "-F", 997, "--", ktap.fixture("jit_unwound"), 1)
    rec.exact()
    check_stacks(rec, ["main", "fx_call_named", "fx_jitted_[j]"], "fx_jitted_[j]", own)
    check_stacks(rec, ["main", "fx_call_unnamed"], "fx_call_unnamed", own)
    assert rec.ledger["rooted"] > 0.5 * rec.ledger["user_samples"], rec.ledger["stops"]


if __name__ == "__main__":
    ktap.main(globals())
