# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""pprof_samples.py - the samples of a profile with all of their labels, read by hand as profile.proto says: nothing of
bstack's own is used."""
import gzip


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """(number, int or bytes) of a message."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        assert tag & 7 in (0, 2), f"wire type {tag & 7}"
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        yield tag >> 3, value


def packed(data):
    at, out = 0, []
    while at < len(data):
        value, at = varint(data, at)
        out.append(value)
    return out


class Samples:
    """list: a dict each, of its labels (a number with a unit as (number, unit)), count, leaf (a location's id), and the
    header's time_nanos and duration_nanos."""

    def __init__(self, path):
        with gzip.open(path) as f:
            message = list(fields(f.read()))
        self.strings = [v.decode() for n, v in message if n == 6]
        self.time_ns = [v for n, v in message if n == 9][-1]
        self.functions = {d[1]: self.strings[d[2]] for d in (dict(fields(v)) for n, v in message if n == 5)}
        self.names = {}
        for value in (v for n, v in message if n == 4):
            location = dict(fields(value))
            lines = [dict(fields(v)) for n, v in fields(value) if n == 4]
            self.names[location[1]] = self.functions[lines[0][1]] if lines else None
        self.list = [self.sample(v) for n, v in message if n == 2]

    def sample(self, data):
        out = {}
        for number, value in fields(data):
            if number == 1:
                out["leaf"] = self.names[packed(value)[0]]
            elif number == 2:
                out["count"] = packed(value)[0]
            else:
                label = dict(fields(value))
                text = self.strings[label[2]] if 2 in label else label.get(3, 0)
                out[self.strings[label[1]]] = (text, self.strings[label[4]]) if 4 in label else text
        return out
