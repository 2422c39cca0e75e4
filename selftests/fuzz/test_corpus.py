#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_corpus.py - each fuzz target over its corpus, and a fixed number of runs that begin there.

The same seed each time: what fails once fails again. `make fuzz` looks for what is new.
"""
import os
import sys

import targets

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import ktap  # noqa: E402

RUNS = 4000
INPUT_MAX_SZ = 8192
CORPUS_MAX_SZ = 300 * 1024


def test_corpus_is_small():
    sizes = [os.path.getsize(os.path.join(folder, f))
             for folder, _, files in os.walk(os.path.join(targets.HERE, "corpus")) for f in files]
    assert sum(sizes) < CORPUS_MAX_SZ, f"{sum(sizes)} bytes, {CORPUS_MAX_SZ} at most"


def test_every_corpus_has_a_target():
    ktap.eq(sorted(os.listdir(os.path.join(targets.HERE, "corpus"))), targets.names())


def corpus_of(name):
    def run():
        folder = targets.committed(name)
        inputs = sorted(os.listdir(folder))
        assert inputs, f"{folder} is empty"
        status, output = targets.run(name, *[os.path.join(folder, i) for i in inputs])
        ran = output.count("\nExecuted ")
        assert status == 0 and ran == len(inputs), \
            f"{ran} of {len(inputs)} inputs ran, exit status {status}\n{targets.without_progress(output)}"
    return run


def runs_of(name):
    def run():
        status, output = targets.run(name, "-seed=1", f"-runs={RUNS}", f"-max_len={INPUT_MAX_SZ}",
                                     "-reduce_inputs=0", targets.snapshot(name))
        stats = targets.last_stats(output)
        assert status == 0 and stats and int(stats[0]) >= RUNS, \
            f"{stats}, exit status {status}\n{targets.without_progress(output)}"
        print("# {}: {} runs, cov {}, ft {}".format(name, *stats))
    return run


for _name in targets.names():
    globals()[f"test_{_name}_corpus"] = corpus_of(_name)
    globals()[f"test_{_name}_runs"] = runs_of(_name)

if __name__ == "__main__":
    ktap.main(dict(globals()))
