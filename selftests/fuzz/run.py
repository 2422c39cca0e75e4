#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""run.py - fuzzes one target after the other, so many seconds each: a line of figures for each.

What is new stays in O/fuzz/corpus/NAME and is where the next run begins; --merge makes the
repository's corpus of it. Ends with 1 when anything was found; the
input that did it is kept, and the line says how to run it again.
"""
import argparse
import fnmatch
import hashlib
import os
import shutil
import sys
import tempfile

import seeds
import targets

INPUT_MAX_SZ = 16384  # of those that fuzzing makes
COMMITTED_MAX = 64    # inputs of one target


def working(name):
    """The growing corpus, with this machine's seeds in it."""
    folder = os.path.join(targets.build_dir(), "fuzz", "corpus", name)
    os.makedirs(folder, exist_ok=True)
    for data in seeds.seeds(name):
        with open(os.path.join(folder, hashlib.sha1(data).hexdigest()), "wb") as f:
            f.write(data)
    return folder


def fuzz(name, seconds):
    """True when nothing was found."""
    folders = [working(name)]
    if os.path.isdir(targets.committed(name)):
        folders.append(targets.committed(name))
    status, output = targets.run(name, f"-max_total_time={seconds}", f"-max_len={INPUT_MAX_SZ}",
                                 "-print_final_stats=1", *folders)
    stats = targets.last_stats(output)
    figures = "{} runs, cov {}, ft {}, corpus {}".format(*stats) if stats else "no figures"
    if not status:
        print(f"ok   {name}: {figures}", flush=True)
        return True
    path = targets.reproducer(output)
    print(f"FAIL {name}: {figures}\n{targets.without_progress(output)}", flush=True)
    if path:
        print(f"     again: {targets.program(name)} {path}", flush=True)
    return False


def gains(control):
    """From libFuzzer's record of a merge: (features that no smaller input had, size, path) of each input."""
    with open(control, encoding="ascii") as f:
        lines = f.read().splitlines()
    paths = lines[2:2 + int(lines[0])]
    found = {}
    for words in map(str.split, lines[2 + len(paths):]):
        if words[0] == "FT" and len(words) > 2:
            path = paths[int(words[1])]
            found[path] = (len(words) - 2, max(os.path.getsize(path), 1), path)
    return list(found.values())


def merge(name, budget):
    """What adds most coverage, of all that is known, into the committed corpus: budget bytes of it.
    Inputs called found-* stay: each was a finding."""
    target = targets.committed(name)
    os.makedirs(target, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        control = os.path.join(folder, "control")
        os.mkdir(os.path.join(folder, "out"))
        status, output = targets.run(name, "-merge=1", f"-merge_control_file={control}",
                                     f"-max_len={INPUT_MAX_SZ}", os.path.join(folder, "out"),
                                     target, working(name))
        if status:
            print(f"FAIL {name}: merge\n{targets.without_progress(output)}", flush=True)
            return False
        chosen = {}
        for _, size, path in sorted(gains(control), key=lambda g: (-g[0], g[1:])):
            if size <= budget and len(chosen) < COMMITTED_MAX:
                budget -= size
                with open(path, "rb") as f:
                    chosen[hashlib.sha1(f.read()).hexdigest()] = shutil.copy(path, folder)
        for entry in os.listdir(target):
            if not entry.startswith("found-"):
                os.unlink(os.path.join(target, entry))
        for digest, path in chosen.items():
            shutil.move(path, os.path.join(target, digest))
    sizes = [e.stat().st_size for e in os.scandir(target)]
    print(f"ok   {name}: {len(sizes)} inputs, {sum(sizes)} bytes", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--time", type=int, default=60, help="seconds for each target")
    parser.add_argument("--merge", type=int, metavar="BYTES",
                        help="fill the committed corpus anew, so many bytes for each target")
    parser.add_argument("glob", nargs="?", default="*", help="names of targets")
    args = parser.parse_args()
    chosen = fnmatch.filter(targets.names(), args.glob)
    if not chosen:
        sys.exit(f"run.py: no target {args.glob}: {' '.join(targets.names())}")
    results = [merge(n, args.merge) if args.merge else fuzz(n, args.time) for n in chosen]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
