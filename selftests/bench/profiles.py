# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""profiles.py - large profiles for the bench, encoded by hand."""
import gzip
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from pprof_make import data, num, packed  # noqa: E402


class Strings:
    def __init__(self):
        self.ids = {"": 0}

    def id(self, text):
        return self.ids.setdefault(text, len(self.ids))

    def parts(self):
        return [data(6, s.encode()) for s in self.ids]


def head(strings):
    return [data(1, num(1, strings.id(t)) + num(2, strings.id(u)))
            for t, u in (("samples", "count"), ("cpu-clock", "nanoseconds"))]


def finish(parts, strings):
    for text in ("bstack: is_complete 1", "bstack: host bench", "bstack: event cpu-clock"):
        parts.append(num(13, strings.id(text)))
    return gzip.compress(b"".join(parts + strings.parts()), 1)


def addresses(path, build_id, addrs):
    """One sample at each address of a file, without names."""
    strings = Strings()
    parts = head(strings)
    parts.append(data(3, num(1, 1) + num(2, 1) + num(3, 1 << 46) + num(4, 1) + num(5, strings.id(path))
                      + num(6, strings.id(build_id))))
    for i, addr in enumerate(sorted(set(addrs)), 1):
        parts.append(data(4, num(1, i) + num(2, 1) + num(3, addr)))
        parts.append(data(2, packed(1, [i]) + packed(2, [1, 1])))
    return finish(parts, strings)


def many_stacks(count):
    """Distinct stacks, 24 deep, of 20,000 functions."""
    rng = random.Random(1)
    strings = Strings()
    parts = head(strings)
    label = (data(3, num(1, strings.id("thread")) + num(2, strings.id("worker")))
             + data(3, num(1, strings.id("unwind")) + num(2, strings.id("rooted")))
             + data(3, num(1, strings.id("evidence")) + num(2, strings.id("kernel:24"))))
    parts.append(data(3, num(1, 1) + num(2, 1) + num(3, 1 << 46) + num(4, 1) + num(5, strings.id("/usr/bin/big"))
                      + num(6, strings.id("ab" * 20)) + num(7, 1)))
    functions = 20000
    for i in range(1, functions + 1):
        name = strings.id(f"namespace_{i % 97}::function_number_{i}(int, char const*)")
        parts.append(data(5, num(1, i) + num(2, name) + num(3, name)))
        parts.append(data(4, num(1, i) + num(2, 1) + num(3, 16 * i) + data(4, num(1, i))))
    prefix = [rng.randint(1, functions) for _ in range(20)]
    for i in range(count):
        stack = [i % functions + 1, i // functions + 1, rng.randint(1, functions), rng.randint(1, 50), *prefix]
        parts.append(data(2, packed(1, stack) + packed(2, [1, 10101010]) + label))
    return finish(parts, strings)
