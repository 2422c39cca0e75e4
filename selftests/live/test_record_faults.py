#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_record_faults.py - bstack record runs out of memory, at each call site in turn, in a build with sanitizers."""
import concurrent.futures
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from faults import AT_ONCE, is_named, target, ways  # noqa: E402
from truth import ktap, temp_dir  # noqa: E402


def site_fails(case, variable, site):
    """What became of it."""
    out = case.run(**{variable: site, "FAIL_FD": True})
    if "CHECK failed: sanitizer_" in out.stderr:
        return "an allocation of the sanitizer's"
    has_failed = bool(out.reads["FAIL_FD"])
    rec = out.check(f"{' '.join(case.args)}: {variable}={site}")
    result = ("told" if out.status == 1 else "lost" if rec.ledger["lost_memory"] else
              "no table" if rec.ledger["unwind_no_room"] else "done without")
    if rec and "--no-symbols" not in case.args:
        assert is_named(rec), f"{variable}={site}: names are missing: {rec.folded.stacks[:3]}"
    out.remove()
    return result if has_failed else "not met"


def sites_of(case, runs=2):
    found = []
    for _ in range(runs):
        out = case.run(SITES_FD=True)
        ktap.eq((out.status in (0, 7), out.stderr), (True, ""), "a recording in which nothing fails")
        found += out.reads["SITES_FD"].decode().split()
        out.remove()
    return list(dict.fromkeys(found))


def sweep(case, variable, sites):
    counts, wrong = {}, []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(site_fails, case, variable, s) for s in sites]:
            try:
                result = done.result()
                counts[result] = counts.get(result, 0) + 1
            except AssertionError as err:
                wrong.append(str(err))
    assert not wrong, f"{len(wrong)} of {len(sites)} call sites:\n" + "\n".join(wrong)
    print(f"# {' '.join(case.args)}: {variable}: {len(sites)} call sites: {counts}")
    # Which ones are met depends on what the target does, and when
    assert counts.get("not met", 0) <= len(sites) / 2, counts
    return counts


def each_site(way, variable, step=1):
    """Of those that the ways before this one do not have; what became of them."""
    proc = target()
    try:
        with temp_dir() as d:
            seen = set()
            for name, case in ways(d, proc.pid).items():
                sites = [s for s in sites_of(case) if s not in seen]
                seen.update(sites)
                if name == way:
                    return sweep(case, variable, sites[::step])
    finally:
        proc.kill()
        proc.wait()


def test_each_allocation_of_a_process():
    counts = each_site("process", "FAIL_SITE")
    # Most end the recording before it begins; lost samples, and tables that a thread of its own makes, are counted
    assert counts["told"] > 50 and counts["lost"] > 0 and counts["no table"] > 0, counts


def test_each_allocation_by_frame_pointer():
    each_site("frame_pointer", "FAIL_SITE")


def test_each_allocation_of_a_command():
    assert each_site("command", "FAIL_SITE")["told"] > 0


def test_no_memory_from_some_site_on():
    assert each_site("process", "FAIL_SITE_FROM", 4)["told"] > 0


if __name__ == "__main__":
    ktap.main(globals())
