#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
test_unwind.py - exact chains through code without frame pointers, in the ways that programs are built.

What must hold for every single stack is that it is the chain, or its leaf side: a sample may come before its
process has its tables. How many are whole is a matter of time, on which no test depends: more than half.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import truth  # noqa: E402
from truth import ktap, record, temp_dir  # noqa: E402

ABC = ["fx_a", "fx_b", "fx_c", "fx_spin"]
CHAINS = {
    "plain": ["main", *ABC],
    "qsort": ["main", "fx_qsort", "fx_compare", "fx_spin"],
    "bsearch": ["main", "fx_bsearch", "fx_compare", "fx_spin"],
    "signal": ["main", "fx_signal", "fx_raise", "fx_handler", *ABC],
    "altstack": ["main", "fx_signal", "fx_raise", "fx_handler", *ABC],
    "alloca": ["main", "fx_alloca", *ABC],
    "vla": ["main", "fx_vla", *ABC],
    "aligned": ["main", "fx_aligned", *ABC],
    "tail": ["main", "fx_before_tail", *ABC],
    "noreturn": ["main", "fx_calls_noreturn", "fx_never_returns", "fx_spin"],
    "context": ["fx_coroutine", *ABC],
    "threads": ["fx_thread_start", *ABC],
}
FRAMES = 127


def own(frames):
    """The frames of the fixture: the C library's own between them are of no interest."""
    return [f for f in frames if f == "main" or f.startswith("fx_")]


def check_chain(build, case, seconds=0.4):
    """Every stack is the chain or the leaf side of it; most are the whole one, and rooted."""
    want = CHAINS[case]
    with temp_dir() as d:
        rec, _ = record(d, "-F", 997, "--", ktap.fixture(f"unwound_{build}"), case, seconds)
    rec.exact()
    whole = spinning = 0
    for _, frames, count in rec.folded.stacks:
        if "fx_spin" not in frames:
            continue
        spinning += count
        chain = own(frames)
        assert chain == want[len(want) - len(chain):], f"{build} {case}: {chain}, expected {want}"
        whole += count if chain == want else 0
    led = rec.ledger
    # The C library's __start_context has no CFI that marks it as the root: the chain is whole, and not called rooted.
    has_root = case != "context"
    if truth.IS_SLOW and not (whole and (led["rooted"] or not has_root)) and seconds < 20:
        check_chain(build, case, 4 * seconds)  # it ended before its tables came
        return
    assert spinning > truth.share(50), f"{build} {case}: {spinning} samples"
    assert whole > truth.share(0.5) * spinning, f"{build} {case}: {whole} of {spinning} are whole: {led['stops']}"
    if has_root:
        part = truth.share(0.5)
        assert led["rooted"] > part * led["user_samples"], f"{build} {case}: {led['rooted']} rooted: {led['stops']}"


def check_build(build, cases=tuple(CHAINS)):
    if not os.path.exists(ktap.fixture(f"unwound_{build}")):
        raise ktap.Skip(f"unwound_{build} was not built here")
    for case in cases:
        check_chain(build, case)


def test_pie():
    check_build("pie")


def test_no_pie():
    check_build("nopie")


def test_static():
    check_build("static")


def test_cet():
    check_build("cet")


def test_no_plt():
    check_build("noplt", ("plain", "qsort", "signal"))


def test_musl():
    """Debian's musl has no CFI for its own start code and signal trampoline: what passes through neither."""
    with temp_dir() as d:
        rec, _ = record(d, "-F", 997, "--", ktap.fixture("unwound_musl"), "plain")
    rec.exact()
    for _, frames, _ in rec.folded.stacks:
        if "fx_spin" in frames:
            chain = own(frames)
            assert chain == CHAINS["plain"][len(CHAINS["plain"]) - len(chain):], chain
    assert rec.folded.chain(CHAINS["plain"]) > truth.share(0.5) * rec.folded.samples(), rec.folded.stacks


def test_deep_recursion_is_cut_at_the_root_side():
    with temp_dir() as d:
        rec, _ = record(d, "-F", 997, "--", ktap.fixture("unwound_pie"), "deep", truth.seconds(1))
    rec.exact()
    deep = [(f, c) for _, f, c in rec.folded.stacks if "fx_deep" in f]
    cut = sum(c for f, c in deep if len(f) == FRAMES)
    assert cut > truth.share(0.5) * sum(c for _, c in deep), deep
    for frames, _ in deep:
        assert "main" not in frames or len(frames) < FRAMES, frames
        below = [f for f in frames if f != "fx_deep"]
        assert len(frames) < FRAMES or "fx_deep" not in frames[-len(below):] or not below, frames
    assert rec.ledger["truncated"] > truth.share(0.5) * rec.ledger["samples"], rec.ledger


def test_exceptions():
    """When libgcc installs a handler's registers it writes them over its own frame's: for these few instructions the
    stack is in two minds, for every unwinder. Stacks inside libgcc's two entry points are left out."""
    with temp_dir() as d:
        rec, _ = record(d, "-F", 1997, "--", ktap.fixture("thrown"), truth.seconds(1))
    rec.exact()
    for _, frames, _ in rec.folded.stacks:
        names = [f.split("(")[0] for f in frames]
        if {"_Unwind_Resume", "_Unwind_RaiseException"} & set(names):
            continue
        chain = own(names)
        depth = chain.count("fx_thrower")
        want = ["main", "fx_catcher", *["fx_thrower"] * depth]
        assert depth <= 6 and (chain == want[len(want) - len(chain):] or chain == ["main"]), frames
    assert rec.ledger["rooted"] > truth.share(0.5) * rec.ledger["user_samples"], rec.ledger["stops"]


def test_through_the_kernel():
    """Samples in a system call: the registers are those at its entry."""
    with temp_dir() as d:
        rec, _ = record(d, "-e", "syscalls:sys_enter_getpid", "--", "perl", "-e",
                        "$e = time + 2; while (time < $e) {} syscall(39) for 1..2000")
    rec.exact()
    ktap.eq(rec.ledger["fired"], 2000, "calls")
    assert rec.ledger["rooted"] > truth.share(0.5) * rec.ledger["samples"], rec.ledger["stops"]


def test_ordinary_programs():
    """Debian's own programs, compiled without frame pointers: nearly all of their stacks reach the root."""
    script = "for i in 1 2 3; do seq 1 300000 | xz -3 -c; perl -e 'my %h; $h{$_ % 997} .= sqrt $_ for 1..400000'; done"
    with temp_dir() as d:
        rec, _ = record(d, "-F", 499, "--", "sh", "-c", script + " >/dev/null")
    rec.exact()
    assert rec.ledger["rooted"] > 0.8 * rec.ledger["user_samples"], rec.ledger


def test_small_memory_evicts_and_counts():
    """One MiB of rows is less than these programs' tables: some make room, none of the stacks is wrong."""
    script = ("perl -e '$x += sqrt $_ for 1..2000000'; seq 1 300000 | xz -3 -c; python3 -c 'sum(range(3000000))'; "
              "openssl speed -seconds 1 sha256; perl -e '$x += sqrt $_ for 1..2000000'")
    with temp_dir() as d:
        rec, _ = record(d, "-F", 499, "--unwind-memory", 1, "--", "sh", "-c", f"({script}) >/dev/null 2>&1")
    rec.exact()
    assert rec.ledger["unwind_evicted"] + rec.ledger["unwind_no_room"] > 0, rec.ledger
    assert rec.ledger["unwind_rows"] > (1 << 20) / 8, rec.ledger


def test_rows_and_frame_pointers_agree():
    """On code that keeps both, the two ways give the same chains."""
    chains = {}
    for way in ("rows", "fp"):
        with temp_dir() as d:
            rec, _ = record(d, f"--unwind={way}", "-F", 997, "--", ktap.fixture("chain"), truth.seconds(1), check=7)
        chains[way] = max((f for _, f, _ in rec.folded.stacks if f and f[-1] == "fx_spin"), key=len)
    ktap.eq(chains["rows"][-10:], chains["fp"][-10:], "chains")


if __name__ == "__main__":
    ktap.main(globals())
