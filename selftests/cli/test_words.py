#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_words.py - help, man pages, completion and README say the same."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import ktap  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
# what the program itself takes, without a command
TOP_OPTIONS = {"--help", "--version", "--list-commands", "--man", "--completion"}


def run(*args):
    done = subprocess.run([ktap.bstack(), *args], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    ktap.eq((done.returncode, done.stderr), (0, ""), f"bstack {' '.join(args)}")
    return done.stdout


def commands():
    names = run("--list-commands").split()
    assert len(names) >= 6, f"only {names}"
    return names


def options_of_help(name):
    """{"--json", "-n", "--top", ...}"""
    found = set()
    for line in run(name, "--help").splitlines():
        match = re.match(r"^  (?:(-\w),|   ) (--[a-z0-9-]+)(?: |$)", line)
        if match:
            found |= {word for word in match.groups() if word}
    return found


def options_of_man(name):
    lines = run("--man", name).splitlines()
    found = set()
    for before, line in zip(lines, lines[1:]):
        if before == ".TP" and line.startswith("\\fB\\-"):
            for word in re.findall(r"\\fB(\\-.*?)\\fR", line):
                found.add(word.replace("\\-", "-"))
    return found


def complete_bash(*words):
    """What bash offers for the last of the words."""
    with tempfile.NamedTemporaryFile("w", suffix=".bash") as script:
        script.write(run("--completion", "bash"))
        script.flush()
        done = subprocess.run(
            ["bash", "--norc", "--noprofile", "-c",
             'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
             '_bstack bstack "${COMP_WORDS[COMP_CWORD]}"; '
             'for word in "${COMPREPLY[@]}"; do printf "%s\\n" "$word"; done',
             "-", script.name, "bstack", *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    ktap.eq((done.returncode, done.stderr), (0, ""), f"completing {words}")
    return done.stdout.splitlines()


def options_of_zsh():
    """{command: options} as the script's case branches say."""
    branches, name = {}, None
    for line in run("--completion", "zsh").splitlines():
        match = re.match(r"^\t([a-z-]+)\)$", line)
        if match:
            name = match[1]
            branches[name] = set()
        elif name and line.startswith("\t\t'") and "[" in line:
            spec = line.split("[", 1)[0]
            braces = re.search(r"\{(.*)\}", spec)
            for word in re.findall(r"--?[A-Za-z0-9][a-z0-9-]*", braces[1] if braces else spec):
                branches[name].add(word)
    return branches


def test_help_man_and_completion_agree():
    zsh = options_of_zsh()
    for name in commands():
        expected = options_of_help(name)
        assert {"-h", "--help"} <= expected, f"{name} --help lists {expected}"
        ktap.eq(options_of_man(name), expected, f"man page of {name}")
        ktap.eq(set(complete_bash(name, "-")), expected, f"bash completion of {name}")
        ktap.eq(zsh[name], expected, f"zsh completion of {name}")
    ktap.eq(sorted(set(zsh) - {"help"}), sorted(commands()), "commands in the zsh script")


def test_commands_agree():
    names = commands()
    overview = re.findall(r"^  ([a-z]+)  +\S", run("--help").split("Commands:\n")[1]
                          .split("\n\n")[0], re.M)
    ktap.eq(overview, names, "commands of the overview")
    ktap.eq(set(complete_bash("")), set(names) | {"help", "--help", "--version"}, "first word")
    ktap.eq(complete_bash("help", ""), names + ["help"], "after help")
    for name in names:
        ktap.eq(run("help", name), run(name, "--help"), f"help {name}")
        ktap.eq(run(name, "-h"), run(name, "--help"), f"{name} -h")


def test_options_exist():
    """Each option of the help is known to the parser, each unknown one is refused."""
    for name in commands():
        for option in sorted(options_of_help(name)) + ["--no-such-option"]:
            # help ends the parse wherever it stands; a value may be needed before it
            outcomes = []
            for value in ([], ["1"]):
                done = subprocess.run([ktap.bstack(), name, option, *value, "--help"],
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                      check=False)
                outcomes.append(done.returncode)
                assert ("unknown option" in done.stderr) == (option == "--no-such-option"), \
                    f"{name} {option}: {done.stderr}"
            assert (0 in outcomes) == (option != "--no-such-option"), f"{name} {option}: {outcomes}"


def test_bash_completes():
    with tempfile.TemporaryDirectory() as folder:
        for made in ("one.pb.gz", "one two.pb.gz", "other"):
            with open(os.path.join(folder, made), "w", encoding="ascii"):
                pass
        os.mkdir(os.path.join(folder, "one.d"))
        start = os.path.join(folder, "one")
        files = sorted(start + rest for rest in (" two.pb.gz", ".d", ".pb.gz"))
        ktap.eq(sorted(complete_bash("report", start)), files, "a file")
        ktap.eq(sorted(complete_bash("fold", "-o", start)), files, "a file after -o")
        ktap.eq(sorted(complete_bash("fold", "--output", "=", start)), files, "--output=")
        ktap.eq(complete_bash("symbolize", "--debug-dir", start), [start + ".d"], "a folder")
        ktap.eq(complete_bash("symbolize", "--debug-dir", "=", start), [start + ".d"], "a folder")
    ktap.eq(complete_bash("re"), ["record", "report"], "re")
    ktap.eq(complete_bash("report", "--min-r"), ["--min-resolved", "--min-rooted"], "--min-r")
    ktap.eq(complete_bash("report", "--top", ""), [], "a number")
    ktap.eq(complete_bash("no-such-command", ""), [], "unknown command")


def test_bash_completes_record():
    own = str(os.getpid())
    assert own in complete_bash("record", "-p", own), "own pid is not offered"
    assert f"1,{own}" in complete_bash("record", "-p", f"1,{own}"), "own pid in a list is not offered"
    assert "sh" in complete_bash("record", "--", "sh"), "a command is not offered after --"


def test_zsh_syntax():
    zsh = shutil.which("zsh")
    if not zsh:
        raise ktap.Skip("zsh is not installed")
    with tempfile.NamedTemporaryFile("w") as script:
        script.write(run("--completion", "zsh"))
        script.flush()
        done = subprocess.run([zsh, "-f", "-n", script.name], capture_output=True, text=True,
                              check=False)
    ktap.eq((done.returncode, done.stdout + done.stderr), (0, ""), "zsh -n")


def test_bash_syntax():
    done = subprocess.run(["bash", "-n"], input=run("--completion", "bash"), capture_output=True,
                          text=True, check=False)
    ktap.eq((done.returncode, done.stderr), (0, ""), "bash -n")


def test_man_pages_are_clean():
    groff = shutil.which("groff")
    if not groff:
        raise ktap.Skip("groff is not installed")
    pages = {f"bstack-{name}.1": run("--man", name) for name in commands()}
    for path in glob.glob(os.path.join(ROOT, "user", "doc", "*.1")):
        with open(path, encoding="utf-8") as page:
            pages[os.path.basename(path)] = page.read()
    for name, text in pages.items():
        done = subprocess.run([groff, "-man", "-Tutf8", "-ww", "-z"], input=text, text=True,
                              capture_output=True, check=False)
        ktap.eq((done.returncode, done.stderr), (0, ""), f"groff on {name}")


def help_texts(name):
    """The description's paragraphs and the options' texts."""
    blocks = run(name, "--help").split("\n\n")
    texts = []
    for block in blocks[2:]:
        if re.match(r"^[A-Z][^\n]*:\n  ", block):
            break
        texts.append(block)
    for line in run(name, "--help").splitlines():
        match = re.match(r"^  (?:-\w,|   ) --[a-z0-9-]+.*?(?:  +(\S.*))?$", line)
        if match and "--help" not in line[:12]:
            texts.append(match[1] or "")
        elif line.startswith(" " * 28):
            texts[-1] += " " + line.strip()
    return texts


def test_man_page_reads_as_help_does():
    """What roff makes of the page still has every text of the help: no escape went wrong."""
    groff = shutil.which("groff")
    if not groff:
        raise ktap.Skip("groff is not installed")
    for name in commands():
        done = subprocess.run([groff, "-man", "-Tascii", "-rHY=0", "-P-cbou"],
                              input=run("--man", name), text=True, capture_output=True, check=True)
        page = "".join(done.stdout.split())
        texts = help_texts(name)
        assert texts and all(texts), f"help of {name}: {texts}"
        for text in texts:
            assert "".join(text.split()) in page, f"man page of {name} lacks: {text}"


def documents():
    paths = [os.path.join(ROOT, "README.md")]
    for pattern in ("*.md", "*.1"):
        paths += glob.glob(os.path.join(ROOT, "user", "doc", pattern))
    return [path for path in paths if os.path.exists(path)]


def test_documents_name_only_what_exists():
    paths = documents()
    if not paths:
        raise ktap.Skip("no README.md and nothing in user/doc")
    names = commands()
    options = {name: options_of_help(name) for name in names}
    for path in paths:
        with open(path, encoding="utf-8") as page:
            text = page.read().replace("\\-", "-").replace("\\fR", "").replace("\\fB", "")
        text = text.replace("\\\n", " ")
        for line in text.splitlines():
            for name, rest in re.findall(r"\bbstack ([a-z]+)((?: [^|`;#&\n]*)?)", line):
                if name not in names:
                    continue
                # what follows a lone -- is a command of others
                own = rest.split(" -- ")[0]
                used = re.findall(r"(?:^|[ \[(])(--[a-z][a-z0-9-]*)", own)
                used += re.findall(r"(?:^|[ \[(])(-[A-Za-z])(?=[\d\s\])]|$)", own)
                for option in used:
                    assert option in options[name], \
                        f"{os.path.relpath(path, ROOT)}: bstack {name} has no {option}: {line}"
            for option in re.findall(r"\bbstack (--[a-z-]+)", line):
                assert option in TOP_OPTIONS, f"{os.path.relpath(path, ROOT)}: {line}"


if __name__ == "__main__":
    ktap.main(globals())
