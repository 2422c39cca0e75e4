# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""pprof_make.py - profiles for tests, encoded by hand as profile.proto says.

Nothing of bstack's own is used: what these tests read was not written by what they test.
"""
import gzip


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def num(field, value):
    return varint(field << 3) + varint(value) if value else b""


def data(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def packed(field, values):
    return data(field, b"".join(varint(v) for v in values)) if values else b""


class Profile:
    """Collects, and gives the bytes of a message at the end."""

    def __init__(self, event="cpu-clock", unit="nanoseconds"):
        self.strings = {"": 0}
        self.body = b""
        self.functions = {}
        self.counts = {"mapping": 0, "location": 0}
        for name, of in (("samples", "count"), (event, unit)):
            self.body += data(1, num(1, self.string(name)) + num(2, self.string(of)))

    def string(self, text):
        return self.strings.setdefault(text, len(self.strings))

    def mapping(self, path, build_id="", start=0, limit=0, file_off=0, has_functions=False):
        self.counts["mapping"] += 1
        self.body += data(3, num(1, self.counts["mapping"]) + num(2, start) + num(3, limit)
                          + num(4, file_off) + num(5, self.string(path))
                          + num(6, self.string(build_id)) + num(7, has_functions))
        return self.counts["mapping"]

    def function(self, name):
        if name not in self.functions:
            self.functions[name] = len(self.functions) + 1
            self.body += data(5, num(1, self.functions[name]) + num(2, self.string(name))
                              + num(3, self.string(name)))
        return self.functions[name]

    def location(self, mapping, address, *names):
        """names: innermost first; none: not symbolized"""
        lines = b"".join(data(4, num(1, self.function(n))) for n in names)
        self.counts["location"] += 1
        self.body += data(4, num(1, self.counts["location"]) + num(2, mapping) + num(3, address)
                          + lines)
        return self.counts["location"]

    def sample(self, locations, count, weight, **labels):
        """locations: leaf first"""
        body = packed(1, locations) + packed(2, (count, weight))
        for key, value in labels.items():
            label = num(1, self.string(key))
            label += num(3, value) if isinstance(value, int) else num(2, self.string(value))
            body += data(3, label)
        self.body += data(2, body)

    def comment(self, key, value):
        self.body += num(13, self.string(f"bstack: {key} {value}"))

    def raw(self):
        return self.body + b"".join(data(6, s.encode() if isinstance(s, str) else s)
                                    for s in self.strings)

    def gz(self):
        return gzip.compress(self.raw(), mtime=0)


APP_ID = "aa" * 20
LIB_ID = "0123456789abcdef0123456789abcdef01234567"


def example(is_complete=1):
    """Two threads of one program, 10 samples: 7 rooted, 2 broken of which one unresolved, 1 kernel
    thread; one stack fell back."""
    p = Profile()
    app = p.mapping("/opt/app", APP_ID, 0x1000, 0x9000, 0x1000, True)
    lib = p.mapping("/usr/lib/libwork.so.1", LIB_ID)
    kernel = p.mapping("[kernel]")
    main = p.location(app, 0x1234, "main")
    parse = p.location(app, 0x2345, "parse<a;b>(int)")
    work = p.location(lib, 0x678)
    read = p.location(kernel, 0xffffffff81000010, "vfs_read")
    idle = p.location(kernel, 0xffffffff81000020, "kthread")
    lost = p.location(p.mapping("[unknown]"), 0xdead)
    p.sample([work, main], 4, 4000, pid=100, tid=100, thread="app", unwind="rooted",
             evidence="kernel:2")
    p.sample([read, parse, main], 2, 2000, pid=100, tid=101, thread="app", unwind="rooted",
             evidence="kernel_text:1,kernel:2")
    p.sample([parse, main], 1, 1000, pid=100, tid=101, thread="app", unwind="rooted",
             evidence="timeline:1,query:1", fallback="writer", lock_owner="app/102")
    p.sample([work], 1, 1000, pid=100, tid=102, thread="worker", unwind="broken",
             evidence="kernel:1")
    p.sample([lost], 1, 1000, pid=100, tid=102, thread="worker", unwind="broken",
             evidence="none/garbage:1")
    p.sample([idle], 1, 1000, pid=2, tid=2, thread="kthreadd", unwind="no-user",
             evidence="kernel_text:1")
    for key, value in (("fired", 12), ("recorded", 10), ("lost_ring", 2), ("duration_ns", 10**9),
                       ("freq_hz", 99), ("event", "cpu-clock"), ("is_complete", is_complete)):
        p.comment(key, value)
    return p
