#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_cli.py - what the commands print, to the byte, and their exit codes: products on stdout, one
line on stderr when something is wrong, and never half a file."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import ktap  # noqa: E402
import pprof_make  # noqa: E402

TIME_LIMIT_S = 300
FOLDER = tempfile.TemporaryDirectory()
BSTACK = os.path.abspath(ktap.bstack())


def path(name):
    return os.path.join(FOLDER.name, name)


def make(name, content):
    with open(path(name), "wb") as out:
        out.write(content)
    return name


def run(*args, stdin=b"", stdout=subprocess.PIPE):
    """(exit code, stdout, stderr) in the tests' folder; stdin is a pipe."""
    done = subprocess.run([BSTACK, *args], input=stdin, stdout=stdout, stderr=subprocess.PIPE,
                          cwd=FOLDER.name, timeout=TIME_LIMIT_S, check=False)
    return done.returncode, (done.stdout or b"").decode(), done.stderr.decode()


def refused(args, code, text, **kw):
    ktap.eq(run(*args, **kw), (code, "", text), f"bstack {' '.join(args)}")


def gives(args, text, talk="", **kw):
    ktap.eq(run(*args, **kw), (0, text, talk), f"bstack {' '.join(args)}")


def leftovers():
    return [name for name in os.listdir(FOLDER.name) if name.endswith(".tmp")]


def test_no_arguments():
    code, out, err = run()
    ktap.eq((code, out), (2, ""), "no arguments")
    ktap.eq(err, run("--help")[1], "overview")
    assert err.startswith("Usage: bstack COMMAND [OPTIONS]\n"), err


def test_words_that_are_no_commands():
    ktap.eq(run("--help")[0::2], (0, ""), "--help")
    ktap.eq(run("help"), run("--help"), "help")
    code, out, err = run("--version")
    ktap.eq((code, out.split()[0], err), (0, "bstack", ""), "--version")
    gives(["--list-commands"], "record\nreport\nfold\nflame\nsymbolize\nstackmap\ndoctor\n")
    refused(["--man"], 2, "bstack: usage: bstack --man COMMAND\n")
    refused(["--completion", "fish"], 2, "bstack: usage: bstack --completion bash|zsh\n")
    refused(["--man", "fodl"], 2,
            'bstack: unknown command "fodl" (did you mean fold?); see bstack --help\n')


def test_unknown_command():
    refused(["reprot"], 2,
            'bstack: unknown command "reprot" (did you mean report?); see bstack --help\n')
    refused(["xyzzy"], 2, 'bstack: unknown command "xyzzy"; see bstack --help\n')
    refused(["help", "rec"], 2,
            'bstack: unknown command "rec" (did you mean record?); see bstack --help\n')
    refused(["--verbose"], 2, 'bstack: unknown option "--verbose"; see bstack --help\n')
    refused(["\033[2Jx\n"], 2, 'bstack: unknown command "?[2Jx?"; see bstack --help\n')


def test_wrong_options():
    refused(["report", "--jsno"], 2, "bstack report: unknown option --jsno (did you mean --json?); "
            "see bstack report --help\n")
    refused(["report", "--min-res", "5"], 2, "bstack report: unknown option --min-res (did you mean "
            "--min-resolved?); see bstack report --help\n")
    refused(["report", "--min-rooted", "101"], 2, "bstack report: --min-rooted: 101 is not between 0 "
            "and 100; see bstack report --help\n")
    refused(["report", "-n", "-1"], 2, "bstack report: -n: -1 is not between 0 and 1000000; "
            "see bstack report --help\n")
    refused(["report", "--top", "all"], 2, 'bstack report: --top: "all" is not a whole number; '
            "see bstack report --help\n")
    refused(["flame", "--min-width", "wide"], 2, 'bstack flame: --min-width: "wide" is not a number; '
            "see bstack flame --help\n")
    refused(["fold", "-o"], 2, "bstack fold: -o needs a value: FILE; see bstack fold --help\n")
    refused(["fold", "a", "b"], 2, 'bstack fold: one argument too many: "b"; '
            "see bstack fold --help\n")
    refused(["symbolize"], 2, "bstack symbolize: an argument is missing; "
            "usage: bstack symbolize FILE [OPTIONS]\n")


def test_stackmap_usage():
    refused(["stackmap"], 2, "bstack stackmap: an argument is missing; "
            "usage: bstack stackmap ID|PATH|list [OPTIONS]\n")
    wrong = {
        ("1", "2"): 'one argument too many: "2"',
        ("list", "--folded"): "list takes no options",
        ("-p", "1", "list"): "list takes no options",
        ("1", "--folded", "-o", "x"): "--folded prints, -o writes a profile: one of them",
        ("1", "--key-offset", "4"): "--key-offset is of the map that --counts names",
        ("1", "--pid-offset", "0"): "--pid-offset is of the map that --counts names",
        ("1", "--counts", "2", "--key-offset", "0,4,8"): "--key-offset: one or two ids are in a key",
        ("1", "--counts", "2", "--key-offset", "4097"): "--key-offset: 4097 is not between 0 and 4096",
        ("1", "--counts", "2", "--pid-offset", "0", "-p", "1"):
            "-p says that all stacks are of one process, --pid-offset that each has its own: one of them",
        ("1", "-p", "0"): "-p: 0 is not between 1 and 2147483647",
        ("1", "--count", "2"): "unknown option --count (did you mean --counts?)",
    }
    for args, text in wrong.items():
        refused(["stackmap", *args], 2, f"bstack stackmap: {text}; see bstack stackmap --help\n")
    refused(["stackmap", "absent"], 1,
            "bstack stackmap: cannot open absent: No such file or directory\n")
    refused(["stackmap", ""], 1, "bstack stackmap: cannot open : No such file or directory\n")


def test_no_profile():
    for name in ("report", "fold", "flame"):
        refused([name], 1, f"bstack {name}: cannot read bstack.pb.gz: No such file or directory; "
                "record one with bstack record, or name a profile\n")
    for name in ("report", "fold", "flame", "symbolize"):
        refused([name, "absent"], 1,
                f"bstack {name}: cannot read absent: No such file or directory\n")
    assert not os.path.exists(path("flame.svg")), "flame.svg was made of nothing"


def test_not_a_file():
    os.mkfifo(path("fifo"))
    os.mkdir(path("folder"))
    for name in ("report", "fold", "flame", "symbolize"):
        refused([name, "folder"], 1, f"bstack {name}: cannot read folder: it is a directory, not a "
                "file; name the profile in it\n")
        refused([name, "fifo"], 1, f"bstack {name}: cannot read fifo: it is a FIFO, not a file; to "
                "read it all the same: bstack COMMAND - < fifo\n")
        refused([name, "/dev/zero"], 1, f"bstack {name}: cannot read /dev/zero: it is a device, not a "
                "file; to read it all the same: bstack COMMAND - < /dev/zero\n")


def test_not_a_profile():
    empty = make("empty", b"")
    elf = make("elf", b"\x7fELF\x02\x01\x01" + bytes(57))
    for name in ("report", "fold", "flame", "symbolize"):
        refused([name, empty], 1, f"bstack {name}: cannot read empty: it is empty; record one with "
                "bstack record\n")
        refused([name, elf], 1, f"bstack {name}: cannot read elf: neither a pprof profile nor folded "
                "text (it begins with 7f 45 4c 46 02 01 01 00); record one with bstack record\n")
        refused([name, "-"], 1, f"bstack {name}: cannot read standard input: it is empty; record one "
                "with bstack record\n")


def one_line(args, *words, **kw):
    """Failed with 1, nothing on stdout, one line on stderr that holds the words."""
    code, out, err = run(*args, **kw)
    ktap.eq((code, out), (1, ""), f"bstack {' '.join(args)}: {err}")
    assert err.count("\n") == 1 and err.endswith("\n"), f"not one line: {err!r}"
    assert err.startswith(f"bstack {args[0]}: "), err
    for word in words:
        assert word in err, f"{word!r} is not in {err!r}"


def test_text_that_is_not_folded():
    make("prose.txt", b"a;b 1\nthis is no stack\n")
    one_line(["report", "prose.txt"], "prose.txt", "2")
    one_line(["fold", "-"], "standard input", "1", stdin=b"hello\n")


def test_truncated_profile():
    whole = pprof_make.example().gz()
    make("stub.pb.gz", whole[:20])
    for name in ("report", "fold", "flame", "symbolize"):
        one_line([name, "stub.pb.gz"], "stub.pb.gz")
    make("cut.pb.gz", whole + whole[:-30])
    code, out, err = run("fold", "cut.pb.gz")
    ktap.eq((code, out), (0, FOLDED), "what came before the cut")
    ktap.eq(err, CUT.format("fold", "cut.pb.gz"), "talk")
    make("killed.pb.gz", pprof_make.example(is_complete=0).gz())
    code, out, err = run("fold", "killed.pb.gz")
    ktap.eq((code, out, err), (0, FOLDED, CUT.format("fold", "killed.pb.gz")), "never ended")


def test_profile_that_begins_like_text():
    """Compressed bytes whose first line ends in a number, as one profile in some thousands does by chance."""
    whole = pprof_make.example().gz()
    ktap.eq(whole[4:8], bytes(4), "the header's time")
    make("lucky.pb.gz", whole[:4] + b" 12\n" + whole[8:])
    gives(["fold", "lucky.pb.gz"], FOLDED)
    make("lucky.pb", b"\x12 12\n".ljust(35, b"\0") + pprof_make.example().raw())  # a sample with fields that nobody knows
    code, out, err = run("fold", "lucky.pb")
    assert "line 1" not in err, (code, out, err)


def test_damaged_profiles():
    """Neither crash nor success without a word: every truncation of an uncompressed profile and
    every flip of its first bytes ends by itself with an exit code of ours."""
    raw = pprof_make.example().raw()
    for cut in range(1, len(raw), 97):
        code = run("fold", make("damaged", raw[:cut]))[0]
        assert code in (0, 1), f"cut at {cut}: {code}"
    for at in range(0, 64):
        code = run("fold", make("damaged", raw[:at] + bytes([raw[at] ^ 0xff]) + raw[at + 1:]))[0]
        assert code in (0, 1), f"flip at {at}: {code}"


FOLDED = """\
app;main;libwork.so.1+0x678 4
app;main;parse<a:b>(int) 1
app;main;parse<a:b>(int);vfs_read_[k] 2
kthreadd;kthread_[k] 1
worker;[unknown] 1
worker;libwork.so.1+0x678 1
"""
CUT = ("bstack {}: {} was cut: its recording did not end in order, so the last second may be "
       "missing; this is what came before\n")


def test_fold():
    make("example.pb.gz", pprof_make.example().gz())
    make("example.pb", pprof_make.example().raw())
    gives(["fold", "example.pb.gz"], FOLDED)
    gives(["fold", "example.pb"], FOLDED)
    gives(["fold", "-"], FOLDED, stdin=pprof_make.example().gz())
    with open(path("example.pb.gz"), "rb") as profile:
        done = subprocess.run([BSTACK, "fold", "-"], stdin=profile, capture_output=True, check=False)
    ktap.eq((done.returncode, done.stdout.decode()), (0, FOLDED), "fold - < FILE")


def test_fold_options():
    make("example.pb.gz", pprof_make.example().gz())
    gives(["fold", "--weight", "example.pb.gz"],
          "".join(f"{line}000\n" for line in FOLDED.splitlines()))
    gives(["fold", "--pid", "example.pb.gz"],
          FOLDED.replace("app;m", "app-100;m").replace("worker;", "worker-100;")
          .replace("kthreadd;", "kthreadd-2;"))
    gives(["fold", "example.pb.gz", "--tid"], """\
app-100/100;main;libwork.so.1+0x678 4
app-100/101;main;parse<a:b>(int) 1
app-100/101;main;parse<a:b>(int);vfs_read_[k] 2
kthreadd-2/2;kthread_[k] 1
worker-100/102;[unknown] 1
worker-100/102;libwork.so.1+0x678 1
""")
    gives(["fold", "--addr", "--no-thread", "example.pb.gz"], """\
[kernel]+0xffffffff81000020_[k] 1
[unknown]+0xdead 1
app+0x1234;app+0x2345 1
app+0x1234;app+0x2345;[kernel]+0xffffffff81000010_[k] 2
app+0x1234;libwork.so.1+0x678 4
libwork.so.1+0x678 1
""")
    gives(["fold", "--no-thread", "example.pb.gz"], """\
[unknown] 1
kthread_[k] 1
libwork.so.1+0x678 1
main;libwork.so.1+0x678 4
main;parse<a:b>(int) 1
main;parse<a:b>(int);vfs_read_[k] 2
""")


def test_folded_text():
    text = b"# comment\n\nmain;b 2\nmain;a;sys_read_[k] 1\nmain;b 3\n"
    make("text.folded", text)
    for args in (["-"], ["--no-thread", "-"], ["text.folded"]):
        gives(["fold", *args], "main;a;sys_read_[k] 1\nmain;b 5\n", stdin=text)
    code, out, err = run("report", "--json", "-", stdin=text)
    ktap.eq((code, err), (0, ""), "report of folded text")
    ktap.eq(json.loads(out)["ledger"]["samples"], 6, "samples")


def test_report_json():
    make("example.pb.gz", pprof_make.example().gz())
    code, out, err = run("report", "--json", "example.pb.gz")
    ktap.eq((code, err), (0, ""), "report --json")
    ledger = json.loads(out)["ledger"]
    expected = {"samples": 10, "lost": 2, "user_samples": 9, "rooted": 7, "truncated": 0, "broken": 2}
    ktap.eq({key: ledger[key] for key in expected}, expected, "ledger")
    # 4 x 2 + 2 x 2 + 1 by the kernel; 1 of each healed; the kernel's own 2 + 1
    frames = {"kernel": 13, "proven": 0, "timeline": 1, "query": 1, "jit": 0, "vdso": 0,
              "kernel_text": 3, "none": 1}
    ktap.eq(ledger["frames"], frames, "frames")
    ktap.eq(ledger["unresolved"]["garbage"], 1, "unresolved")
    ktap.eq(ledger["fallback"]["writer"], 1, "fallback")


def test_report_text():
    make("example.pb.gz", pprof_make.example().gz())
    code, out, err = run("report", "example.pb.gz")
    ktap.eq((code, err), (0, ""), "report")
    for words in ("app/102", "libwork.so.1", "main", "vfs_read", "parse<a:b>(int)"):
        assert words in out, f"{words} is not in the report:\n{out}"
    assert "\033" not in out, "colours in a pipe"
    short = run("report", "--no-tree", "-n", "1", "example.pb.gz")[1]
    assert len(short) < len(out), "--no-tree and -n leave nothing out"


def test_thresholds():
    make("example.pb.gz", pprof_make.example().gz())
    plain = run("report", "example.pb.gz")
    # 15 of 16 user frames are resolved, 7 of 9 user stacks rooted
    ktap.eq(run("report", "--min-resolved", "93.75", "--min-rooted", "77", "example.pb.gz"), plain,
            "reached")
    ktap.eq(run("report", "--min-resolved", "93.76", "example.pb.gz"),
            (3, plain[1], "bstack report: below the threshold: 93.75 % of the user frames are "
             "resolved, 93.76 % asked for (--min-resolved)\n"), "resolved")
    ktap.eq(run("report", "--min-resolved", "99", "--min-rooted", "78", "example.pb.gz"),
            (3, plain[1], "bstack report: below the threshold: 93.75 % of the user frames are "
             "resolved, 99 % asked for (--min-resolved)\n"
             "bstack report: below the threshold: 77.77 % of the user stacks are rooted, 78 % asked "
             "for (--min-rooted)\n"), "both")
    make("nobody.pb.gz", pprof_make.Profile().gz())
    code, _, err = run("report", "--min-rooted", "1", "nobody.pb.gz")
    ktap.eq(code, 3, f"a profile without samples: {err}")


def test_flame():
    make("example.pb.gz", pprof_make.example().gz())
    gives(["flame", "example.pb.gz"], "",
          "bstack flame: wrote flame.svg: open it in a web browser\n")
    with open(path("flame.svg"), encoding="utf-8") as svg:
        text = svg.read()
    assert text.rstrip().endswith("</svg>"), "not a whole SVG"
    code, out, err = run("flame", "-o", "-", "example.pb.gz")
    ktap.eq((code, out, err), (0, text, ""), "flame -o -")
    code, out, err = run("flame", "-o", "-", "--title", "a <b> & c", "-", stdin=b"main;f 1\n")
    ktap.eq((code, err), (0, ""), "flame of folded text")
    assert "a &lt;b&gt; &amp; c" in out and "<b>" not in out, "the title is not escaped"
    os.unlink(path("flame.svg"))


def test_symbolize():
    """Nobody has these build-ids: all stays, and the talk says what is missing."""
    make("named.pb.gz", pprof_make.example().gz())
    talk = ("bstack symbolize: 2 of 3 addresses have a name, 0 of them from this run\n"
            "bstack symbolize: /usr/lib/libwork.so.1, build-id 0123456789abcdef0123456789abcdef01234567"
            ": 1 addresses without a name: no file with this build-id was found\n")
    gives(["symbolize", "--force", "named.pb.gz"], "", talk)
    gives(["fold", "named.pb.gz"], FOLDED)
    code, before, _ = run("report", "--json", make("example.pb.gz", pprof_make.example().gz()))
    ktap.eq(json.loads(run("report", "--json", "named.pb.gz")[1])["ledger"]["frames"],
            json.loads(before)["ledger"]["frames"], "evidence after symbolize")
    gives(["symbolize", "-o", "copy.pb.gz", "-"], "", talk, stdin=pprof_make.example().gz())
    gives(["fold", "copy.pb.gz"], FOLDED)
    done = subprocess.run([BSTACK, "symbolize", "-"], input=pprof_make.example().gz(),
                          capture_output=True, check=False)
    ktap.eq((done.returncode, done.stderr.decode()), (0, talk), "symbolize -")
    gives(["fold", "-"], FOLDED, stdin=done.stdout)
    ktap.eq(leftovers(), [], "temporary files")


def own_build_id(name):
    """Of an ELF file, as eu-readelf or readelf says."""
    for tool in ("readelf", "eu-readelf"):
        try:
            out = subprocess.run([tool, "-n", name], capture_output=True, text=True,
                                 check=False).stdout
        except FileNotFoundError:
            continue
        for line in out.splitlines():
            if "Build ID:" in line:
                return line.split()[-1]
    raise ktap.Skip("neither readelf nor a build-id")


def test_symbolize_names():
    """A function of bstack's own file, by its link-time address and by its offset in the file."""
    build_id = own_build_id(BSTACK)
    out = subprocess.run(["nm", BSTACK], capture_output=True, text=True, check=False).stdout
    address = next(int(line.split()[0], 16) for line in out.splitlines()
                   if line.endswith(" T opt_parse"))
    p = pprof_make.Profile()
    app = p.mapping(BSTACK, build_id, 1, 1 << 40)
    p.sample([p.location(app, address + 1)], 1, 1, pid=1, tid=1, thread="t", unwind="broken",
             evidence="kernel:1")
    p.comment("recorded", 1)
    p.comment("is_complete", 1)
    make("own.pb.gz", p.gz())
    gives(["symbolize", "own.pb.gz"], "",
          "bstack symbolize: 1 of 1 addresses have a name, 1 of them from this run\n")
    gives(["fold", "own.pb.gz"], "t;opt_parse 1\n")
    gives(["symbolize", "own.pb.gz"], "",
          "bstack symbolize: 1 of 1 addresses have a name, 0 of them from this run\n")


def test_symbolize_refuses():
    text = make("some.folded", b"main;f 1\n")
    refused(["symbolize", text], 1, "bstack symbolize: cannot look up names for some.folded: folded "
            "stacks have no addresses; give the profile that they were made from\n")
    p = pprof_make.Profile()
    p.sample([p.location(p.mapping("/x"), 1, "f")], 1, 1)
    foreign = make("foreign.pb.gz", p.gz())
    refused(["symbolize", foreign], 1, "bstack symbolize: will not replace foreign.pb.gz: it was not "
            "written by bstack and would lose what bstack does not read; name another file with -o\n")
    with open(path(foreign), "rb") as kept:
        ktap.eq(kept.read(), p.gz(), "the foreign profile")
    ktap.eq(run("symbolize", foreign, "-o", "mine.pb.gz")[0], 0, "with -o")


def test_full_disk():
    make("example.pb.gz", pprof_make.example().gz())
    for name in ("report", "fold"):
        with open("/dev/full", "wb") as full:
            refused([name, "example.pb.gz"], 1, f"bstack {name}: cannot write standard output: No "
                    "space left on device\n", stdout=full)
    for name in ("fold", "flame"):
        refused([name, "-o", "/dev/full", "example.pb.gz"], 1,
                f"bstack {name}: cannot write /dev/full: No space left on device\n")
    with open("/dev/full", "wb") as full:
        refused(["--help"], 1, "bstack: cannot write standard output: No space left on device\n",
                stdout=full)
    with open("/dev/full", "wb") as full:
        one_line(["symbolize", "-o", "-", "example.pb.gz"], "No space left on device", stdout=full)


def test_unwritable():
    make("example.pb.gz", pprof_make.example().gz())
    os.makedirs(path("some-folder"), exist_ok=True)
    for name in ("fold", "flame", "symbolize"):
        refused([name, "-o", "absent/out", "example.pb.gz"], 1,
                f"bstack {name}: cannot write absent/out: No such file or directory\n")
        refused([name, "-o", "some-folder", "example.pb.gz"], 1,
                f"bstack {name}: cannot write some-folder: Is a directory\n")
        refused([name, "-o", "", "example.pb.gz"], 1,
                f"bstack {name}: cannot write : No such file or directory\n")
    ktap.eq(leftovers(), [], "temporary files")


def test_closed_pipe():
    """The reader went away: a failure, without a word."""
    make("example.pb.gz", pprof_make.example().gz())
    for args in (["fold"], ["report"], ["flame", "-o", "-"], ["symbolize", "-o", "-"]):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as out:
            refused([*args, "example.pb.gz"], 1, "", stdout=out)


def test_closed_streams():
    """A closed stdout is no place to write to, and never becomes the profile."""
    make("example.pb.gz", pprof_make.example().gz())
    done = subprocess.run(["sh", "-c", '"$0" fold example.pb.gz >&-', BSTACK], cwd=FOLDER.name,
                          capture_output=True, check=False)
    ktap.eq((done.returncode, done.stderr.decode()),
            (1, "bstack fold: cannot write standard output: Bad file descriptor\n"), ">&-")
    done = subprocess.run(["sh", "-c", '"$0" symbolize -o closed.pb.gz example.pb.gz >&- 2>&- <&-',
                           BSTACK], cwd=FOLDER.name, check=False)
    ktap.eq(done.returncode, 0, "all streams closed")
    gives(["fold", "closed.pb.gz"], FOLDED)


def test_output_files():
    """The mode of what is replaced and symbolic links stay; FIFOs are written as they are."""
    make("example.pb.gz", pprof_make.example().gz())
    make("private", b"old\n")
    os.chmod(path("private"), 0o600)
    os.symlink("private", path("link"))
    gives(["fold", "-o", "link", "example.pb.gz"], "")
    assert os.path.islink(path("link")), "the link was replaced"
    ktap.eq(os.stat(path("private")).st_mode & 0o777, 0o600, "mode")
    with open(path("private"), encoding="utf-8") as out:
        ktap.eq(out.read(), FOLDED, "through the link")
    os.mkfifo(path("pipe"))
    with subprocess.Popen([BSTACK, "fold", "-o", "pipe", "example.pb.gz"], cwd=FOLDER.name) as writer:
        with open(path("pipe"), encoding="utf-8") as out:
            ktap.eq(out.read(), FOLDED, "through the FIFO")
        ktap.eq(writer.wait(TIME_LIMIT_S), 0, "writing to a FIFO")
    ktap.eq(leftovers(), [], "temporary files")


def test_old_file_survives():
    """When writing fails, what was there before is there still."""
    make("example.pb.gz", pprof_make.example().gz())
    make("kept.svg", b"old\n")
    done = subprocess.run(["bash", "-c", 'ulimit -f 1; trap "" XFSZ; "$0" flame -o kept.svg '
                           'example.pb.gz', BSTACK], cwd=FOLDER.name, capture_output=True, check=False)
    ktap.eq((done.returncode, done.stderr.decode()),
            (1, "bstack flame: cannot write kept.svg: File too large\n"), "beyond the limit")
    with open(path("kept.svg"), "rb") as kept:
        ktap.eq(kept.read(), b"old\n", "the old file")
    ktap.eq(leftovers(), [], "temporary files")


def test_too_big():
    with open(path("big"), "wb") as big:
        big.truncate((2 << 30) + 1)
    refused(["report", "big"], 1, "bstack report: cannot read big: it is more than the 2 GiB that "
            "bstack reads; record for a shorter time, or at a lower frequency\n")
    os.unlink(path("big"))


if __name__ == "__main__":
    ktap.main(globals())
