#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_flame.py - flame graphs in a browser: zoom, search, hostile names, five frames and 50,000."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import ktap  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
FIVE = "main;a;b;leaf 40\nmain;a;c 20\nmain;b;a 30\nmain;vfs_read_[k] 10\n"
HOSTILE = [
    "</title><script>window.hacked = 1</script>",
    "]]><script>window.hacked = 1</script>",
    "\"}); window.hacked = 1; ({\"",
    "'+(window.hacked=1)+'",
    "</svg><img src=x onerror='window.hacked=1'>",
    "&lt;b&gt;&#60;i&#62;",
    "\\u003cscript\\u003e \\",
    "esc\x1b[31mape\x07 \u202e \u2028 \U0001f525",
    "</script></style></text>",
]
# what a page needs to drive a graph; the test's own code follows
DRIVER = """
var svg = document.querySelectorAll("svg.bstack-flame")[0], api = svg.bstackFlame;
function rects() {
    return Array.from(svg.querySelectorAll(".bs-frames rect"));
}
function nameOf(rect) {
    return api.describe(rect.bstackFrame).replace(/ \\(\\d.*$/, "");
}
function named(name) {
    return rects().filter(function (r) { return nameOf(r) === name; });
}
function names() {
    return rects().map(nameOf);
}
function widthOf(rect) {
    return Math.round(Number(rect.getAttribute("width")) / (svg.viewBox.baseVal.width - 20) * 100);
}
function send(el, type, what) {
    el.dispatchEvent(new MouseEvent(type, Object.assign({ bubbles: true }, what)));
}
function press(what) {
    var event = new KeyboardEvent("keydown",
        Object.assign({ bubbles: true, cancelable: true }, what));
    window.dispatchEvent(event);
    return event.defaultPrevented;
}
function text(cls) {
    return svg.querySelector("." + cls).textContent;
}
function type(pattern) {
    var input = svg.querySelector("input");
    input.value = pattern;
    input.dispatchEvent(new Event("input"));
    return text("bs-found");
}
"""


def chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return shutil.which(name)
    raise ktap.Skip("no chromium on this machine")


def dump_dom(path, folder):
    """The document after its scripts ran; a browser that gave up is started once more."""
    for attempt in range(2):
        data = os.path.join(folder, f"browser{attempt}")
        command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                   "--no-first-run", "--disable-background-networking", "--disable-sync",
                   "--disable-component-update", "--disable-dev-shm-usage",
                   "--window-size=1200,900", f"--user-data-dir={data}", "--dump-dom",
                   f"file://{path}"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=240, check=False, env={**os.environ, "HOME": folder})
        except subprocess.TimeoutExpired:
            continue
        if b'bs-result="' in done.stdout:
            return done.stdout.decode()
    raise AssertionError(f"{path} did not run its script in two attempts")


def run(*args, data):
    raw = data if isinstance(data, bytes) else data.encode()
    done = subprocess.run([ktap.bstack(), *args], input=raw, capture_output=True, check=False)
    ktap.eq((done.returncode, done.stderr), (0, b""), f"bstack {' '.join(args)}")
    return done.stdout


def flame(folded, *args):
    return run("flame", *args, "-o", "-", "-", data=folded).decode("ascii")


def in_browser(document, code, end="</svg>", script=("<script><![CDATA[", "]]></script>")):
    """Runs code, which fills the object r, at the end of document; returns r."""
    test = f"""(function () {{ var r = {{}};
        try {{ {DRIVER} {code} }} catch (e) {{ r.error = String(e); }}
        document.documentElement.setAttribute("bs-result", encodeURIComponent(JSON.stringify(r)));
    }})();"""
    at = document.rindex(end)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "page.html" if end != "</svg>" else "page.svg")
        with open(path, "w", encoding="ascii") as page:
            page.write(document[:at] + script[0] + test + script[1] + document[at:])
        dom = dump_dom(path, folder)
    result = json.loads(urllib.parse.unquote(re.search(r'bs-result="([^"]*)"', dom)[1]))
    assert "error" not in result, result["error"]
    return result


def in_html(document, code):
    return in_browser(document, code, "</body>", ("<script>", "</script>"))


def test_draws_without_script():
    root = ET.fromstring(flame(FIVE))
    frames = root.find(f"{SVG}g[@class='bs-frames']")
    ktap.eq([e.text for e in frames.iter(f"{SVG}title")],
            ["all (100 samples, 100.00 %)", "main (100 samples, 100.00 %)",
             "a (60 samples, 60.00 %)", "b (40 samples, 40.00 %)", "leaf (40 samples, 40.00 %)",
             "c (20 samples, 20.00 %)", "b (30 samples, 30.00 %)", "a (30 samples, 30.00 %)",
             "vfs_read (10 samples, 10.00 %)"], "frames")
    ktap.eq([(e.get("x"), e.get("width")) for e in frames.iter(f"{SVG}rect")][2:5],
            [("10", "707.5"), ("10", "471.5"), ("10", "471.5")], "a, b and leaf")


def test_fetches_nothing():
    svg = flame(FIVE)
    ktap.eq(re.findall(r"\b(?:href|src)\b|@import|url\((?!#)|fetch\(|XMLHttp|<(?:image|use)\b", svg),
            [], "what could fetch")
    ktap.eq(set(re.findall(r"https?://[^\"' ]*", svg)),
            {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}, "addresses")


def test_zoom_and_reset():
    r = in_browser(flame(FIVE), """
        r.before = names();
        r.hidden = svg.querySelector(".bs-reset").getAttribute("visibility");
        send(named("b")[1], "click");
        r.zoomed = names();
        r.widths = rects().map(widthOf);
        r.shown = svg.querySelector(".bs-reset").getAttribute("visibility");
        r.details = text("bs-details");
        send(named("main")[0], "click");
        r.back = names().length;
        send(named("vfs_read")[0], "click");
        send(svg.querySelector(".bs-reset"), "click");
        r.reset = names();
        api.zoom(named("leaf")[0].bstackFrame);
        press({ key: "Escape" });
        r.escaped = api.zoomed();
    """)
    ktap.eq(r["before"], ["all", "main", "a", "b", "leaf", "c", "b", "a", "vfs_read"], "before")
    ktap.eq(r["zoomed"], ["all", "main", "b", "a"], "zoomed")
    ktap.eq(r["widths"], [100] * 4, "widths, in percent")
    ktap.eq((r["hidden"], r["shown"]), ("hidden", "visible"), "reset button")
    ktap.eq(r["details"], "b (30 samples, 30.00 %; 100.00 % of the zoomed)", "details")
    ktap.eq(r["back"], 9, "frames after a click on main below")
    ktap.eq(r["reset"], r["before"], "after reset")
    ktap.eq(r["escaped"], 0, "zoomed frame after Escape")


def test_script_draws_the_same():
    svg = flame("".join(f"main;function_number_{i};{'x' * i} {i % 17 + 1}\n" for i in range(40)))
    frames = ET.fromstring(svg).find(f"{SVG}g[@class='bs-frames']")
    drawn = [[e.text for e in frames.iter(f"{SVG}text")]]
    drawn += [[e.get(k) for e in frames.iter(f"{SVG}rect")] for k in ("y", "fill")]
    r = in_html(f"<!DOCTYPE html><html><body>{svg}</body></html>", """
        function all(tag, key) {
            return Array.from(svg.querySelectorAll(".bs-frames " + tag)).map(function (e) {
                return key ? e.getAttribute(key) : e.textContent;
            });
        }
        r.drawn = [all("text"), all("rect", "y"), all("rect", "fill")];
    """)
    ktap.eq(r["drawn"], drawn, "texts, heights and colours")
    assert any(t.startswith("fun") and t.endswith("..") for t in drawn[0]), drawn[0]


def test_search():
    r = in_browser(flame(FIVE), """
        r.a = type("^a$");
        r.colored = rects().filter(function (x) { return x.getAttribute("fill") === "#d63ad6"; })
            .map(nameOf);
        r.ab = type("^[ab]$");
        r.all = type("main");
        r.none = type("nowhere");
        r.upper = type("LEAF");
        send(svg.querySelector(".bs-case"), "click");
        r.any = text("bs-found");
        r.broken = type("leaf(");
        r.counts = api.search("^[ab]$");
        press({ key: "Escape" });
        r.cleared = text("bs-found");
        r.ctrl_f = press({ key: "f", ctrlKey: true });
        r.focused = document.activeElement === svg.querySelector("input");
        r.again = press({ key: "f", ctrlKey: true });
    """)
    ktap.eq(r["a"], "matched 90.00 %", "a in two places")
    ktap.eq(r["colored"], ["a", "a"], "highlighted")
    ktap.eq(r["ab"], "matched 90.00 %", "b in a and a in b count once")
    ktap.eq(r["counts"], {"sum": 90, "frames": 4, "percent": 90}, "counts")
    ktap.eq(r["all"], "matched 100.00 %", "main")
    ktap.eq((r["none"], r["upper"]), ("matched 0.00 %",) * 2, "nothing")
    ktap.eq(r["any"], "matched 40.00 %", "LEAF in any case")
    ktap.eq(r["broken"], "matched 0.00 % (literally)", "not a regular expression")
    ktap.eq(r["cleared"], "", "after Escape")
    ktap.eq((r["ctrl_f"], r["focused"], r["again"]), (True, True, False),
            "Ctrl-F: ours, in the field; the browser's own when pressed there")


def test_details_and_tooltip():
    r = in_browser(flame(FIVE), """
        send(named("leaf")[0], "mouseover");
        r.details = text("bs-details");
        r.tooltip = named("leaf")[0].querySelector("title").textContent;
        send(svg.querySelector(".bs-frames"), "mouseleave");
        r.idle = text("bs-details");
        r.legend = text("bs-legend").trim().split(/\\n/);
    """)
    ktap.eq(r["details"], "leaf (40 samples, 40.00 %)", "details")
    ktap.eq(r["tooltip"], r["details"], "tooltip")
    ktap.eq(r["idle"], "100 samples. Click a frame to zoom.", "without a frame")
    ktap.eq(r["legend"], ["kernel", "module not recorded"], "legend")


HOSTILE_CODE = """
    send(rects()[rects().length - 1], "mouseover");
    rects().forEach(function (x) { send(x, "mouseover"); });
    type("script");
    r.hacked = window.hacked === undefined ? "no" : "yes";
    r.tags = Array.from(new Set(Array.from(svg.querySelectorAll("*")).map(function (e) {
        return e.localName;
    }))).sort();
    r.count = api.count;
    r.images = document.querySelectorAll("img, b, i").length;
    r.scripts = document.querySelectorAll("svg script").length;
"""


def check_hostile(r, scripts):
    ktap.eq(r["hacked"], "no", "a name ran as script")
    ktap.eq(r["tags"], ["defs", "foreignObject", "g", "input", "linearGradient", "rect", "script",
                        "stop", "style", "text", "title"], "elements")
    ktap.eq((r["images"], r["scripts"]), (0, scripts), "elements made by names")
    assert r["count"] > len(HOSTILE), f"only {r['count']} frames"


def hostile_flame():
    folded = "".join(f"main;{name} {i + 1}\n" for i, name in enumerate(HOSTILE))
    return flame(folded, "--title", HOSTILE[0] + HOSTILE[1])


def test_hostile_names():
    check_hostile(in_browser(hostile_flame(), HOSTILE_CODE), 2)


def test_hostile_names_inlined():
    page = f"<!DOCTYPE html><html><body>{hostile_flame()}</body></html>"
    check_hostile(in_html(page, HOSTILE_CODE), 1)


def test_two_inlined():
    page = f"<!DOCTYPE html><html><body>{flame(FIVE)}<p>{flame('x;y 1')}</p></body></html>"
    r = in_html(page, """
        var other = document.querySelectorAll("svg.bstack-flame")[1].bstackFlame;
        r.counts = [api.count, other.count];
        send(named("leaf")[0], "click");
        r.zoomed = [api.zoomed() > 0, other.zoomed()];
        r.globals = typeof window.flame;
    """)
    ktap.eq(r, {"counts": [9, 3], "zoomed": [True, 0], "globals": "undefined"}, "two graphs")


def big_folded():
    """50,000 frames and some with C++ names of 110 characters, no two alike."""
    lines, frames = [], 0
    while frames < 50000:
        depth = 5 + frames % 60
        chain = [f"std::vector<std::pair<const std::string, project::module{i % 97}::Handler<int>>>::"
                 f"operator()(args{i:06d}&&) const".ljust(110, "x")[:110]
                 for i in range(frames, frames + depth)]
        frames += depth
        lines.append(";".join(["main", f"group{len(lines) % 7}", *chain])
                     + f" {1 + len(lines) ** 3 % 1009 ** (len(lines) % 3)}\n")
    return "".join(lines), frames + 9, lines[-1].split(";")[-1].rsplit(" ", 1)


def test_fifty_thousand_frames():
    folded, count, (leaf, samples) = big_folded()
    svg = flame(folded)
    assert len(svg) < 10_000_000, f"{len(svg)} bytes"
    r = in_browser(svg, f"""
        var i;
        r.count = api.count;
        r.drawn = rects().length;
        r.notes = text("bs-notes");
        r.found = api.search("args[0-9]{{6}}").frames;
        r.one = api.search({json.dumps(re.escape(leaf))});
        api.search("");
        for (i = 0; i < api.count; i++)
            if (api.describe(i).startsWith({json.dumps(leaf)}))
                api.zoom(i);
        r.zoomed = names()[rects().length - 1];
        r.last = widthOf(rects()[rects().length - 1]);
    """)
    ktap.eq(r["count"], count, "frames in the file")
    assert 1000 < r["drawn"] < count, f"{r['drawn']} frames drawn"
    assert r["notes"].endswith("frames too narrow to draw: zoom in to see them. "), r["notes"]
    ktap.eq(r["found"], count - 9, "all frames are searched, drawn or not")
    ktap.eq((r["one"]["frames"], r["one"]["sum"]), (1, int(samples)), "one narrow frame")
    ktap.eq((r["zoomed"], r["last"]), (leaf, 100), "that frame, zoomed")


def test_json_of_hostile_names():
    folded = "".join(f"main;{name} {i + 1}\n" for i, name in enumerate(HOSTILE))
    report = json.loads(run("report", "--json", "-", data=folded))
    ktap.eq(report["ledger"]["samples"], sum(range(1, len(HOSTILE) + 1)), "samples")
    ktap.eq(report["tree"]["total"], report["ledger"]["samples"], "total of the tree")
    names = {f["name"] for f in report["functions"]}
    assert HOSTILE[0] in names, names
    assert not any(ord(c) < 32 for name in names for c in name), names


if __name__ == "__main__":
    ktap.main(globals())
