#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""test_analysis.py - static analysis: clang-tidy over user/ and bpf/, cppcheck over user/, sparse over bpf/.

Each finding is a failure, unless suppressions.txt has a row for it; a row that no finding needs is a failure too.
The rules of clang-tidy are in .clang-tidy. What it says of a file is kept in $O/analysis until the file, preprocessed,
its flags, the rules or the tool are others.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import ktap  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
O = os.path.abspath(ktap.build_dir())
CLANG_TIDY = os.environ.get("CLANG_TIDY", "clang-tidy-14")
CLANG = os.environ.get("CLANG", "clang-14")
PROCESSES = 2
# The analyzer's bound on the states of one function: with its own, 225000, a run takes more than twice as long.
MAX_NODES = 60000

FINDING = re.compile(r"^(?P<file>[^\s:][^:]*):(?P<line>\d+):(?:\d+:)? (?P<kind>warning|error|performance|portability): "
                     r"(?P<text>.*?)(?: \[(?P<check>[\w.,-]+)\])?$")
LEAK = re.compile(r"(?:Potential leak of memory pointed to by '|Resource leak: |Memory leak: )(?:.*[.>])?(\w+)")


class Suppressions:
    """Rows of suppressions.txt: tool, check, file, part of the line, reason; between tabs."""

    def __init__(self, path):
        self.rows, self.used, self.tools = [], set(), set()
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                if not line.strip() or line.startswith("#"):
                    continue
                row = re.split(r"\t+", line.strip())
                assert len(row) == 5 and all(row), f"{path}:{number}: is {len(row)} columns, expected 5"
                self.rows.append(tuple(row))

    def has(self, tool, finding):
        """Is there a row for it? All such rows count as used."""
        rows = [r for r in self.rows if r[0] == tool and r[1] in finding["check"].split(",") and
                r[2] == finding["file"] and r[3] in finding["source"]]
        self.used.update(rows)
        return bool(rows)


SUPPRESSIONS = Suppressions(os.path.join(HERE, "suppressions.txt"))


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise ktap.Skip(f"{tool} is not installed")


def commands():
    """{file: compiler and flags}, from the compilation database that make has written"""
    with open(os.path.join(O, "compile_commands.json"), encoding="utf-8") as f:
        return {c["file"]: c["arguments"][:-2] for c in json.load(f)}


def run(command):
    """(exit status, all it says)"""
    proc = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, check=False)
    return proc.returncode, proc.stdout.decode(errors="replace")


def source_line(path, number):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.readlines()[number - 1].strip()


def findings_in(output):
    """Those in user/ and bpf/, each once; what is in headers of others is theirs."""
    found = {}
    for match in filter(None, map(FINDING.match, output.splitlines())):
        path = os.path.relpath(os.path.join(ROOT, match["file"]), ROOT)
        if re.match(r"(user|bpf)/", path) or match["kind"] == "error":
            line = int(match["line"])
            found[path, line, match["text"]] = {
                "file": path, "line": line, "check": match["check"] or match["kind"], "text": match["text"],
                "source": source_line(path, line),
            }
    return list(found.values())


def is_freed_by_cleanup(finding):
    """Neither clang 14 nor cppcheck knows the attribute: what CLEANUP() frees or closes is no leak."""
    leak = LEAK.match(finding["text"])
    if not leak:
        return False
    with open(os.path.join(ROOT, finding["file"]), encoding="utf-8") as f:
        return re.search(rf"\b{leak[1]} CLEANUP\(", f.read()) is not None


def judge(tool, results):
    """Fails with what the tool found, or with its words when it could not do its work."""
    SUPPRESSIONS.tools.add(tool)
    wrong = []
    assert results, f"{tool}: no file to look at"
    for status, output in results:
        found = findings_in(output)
        wrong += [f"{f['file']}:{f['line']}: {f['text']} [{f['check']}]\n\t{f['source']}" for f in found
                  if not is_freed_by_cleanup(f) and not SUPPRESSIONS.has(tool, f)]
        if status < 0 or (status and not found):
            wrong.append(f"exit status {status}:\n{output}")
    assert not wrong, f"{tool}:\n" + "\n".join(dict.fromkeys(wrong))


def kept(name, key, command):
    """run(command), or what it said when the key was the same"""
    path = os.path.join(O, "analysis", name.replace("/", "."))
    try:
        with open(path, encoding="utf-8") as f:
            old = json.load(f)
        if old["key"] == key:
            return old["status"], old["output"]
    except FileNotFoundError:
        pass
    status, output = run(command)
    if status >= 0:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".tmp", "w", encoding="utf-8") as f:
            json.dump({"key": key, "status": status, "output": output}, f)
        os.replace(path + ".tmp", path)
    return status, output


def tidy_one(path, compiler, version):
    command = [CLANG_TIDY, "--quiet", path, "--", *compiler[1:], "-Xclang", "-analyzer-config",
               "-Xclang", f"max-nodes={MAX_NODES}"]
    status, text = run([CLANG, "-E", "-CC", *compiler[1:], path])
    if status:
        return status, text
    with open(os.path.join(ROOT, ".clang-tidy"), encoding="utf-8") as f:
        key = hashlib.sha256("\0".join([version, f.read(), *command, text]).encode()).hexdigest()
    return kept(path, key, command)


def tidy(folder):
    need(CLANG_TIDY, CLANG)
    version = run([CLANG_TIDY, "--version"])[1]
    files = [(path, compiler) for path, compiler in commands().items() if path.startswith(folder)]
    files.sort(key=lambda f: -os.path.getsize(os.path.join(ROOT, f[0])))
    with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
        judge("clang-tidy", list(pool.map(lambda f: tidy_one(*f, version), files)))


def test_rules_off_have_a_reason():
    with open(os.path.join(ROOT, ".clang-tidy"), encoding="utf-8") as f:
        text = f.read()
    off = set(re.findall(r"^  -([\w.-]+),?$", text, re.M))
    told = set(re.findall(r"^# -([\w.-]+): \S", text, re.M))
    ktap.eq(told, off, "checks with a reason, beside those that are off")


def test_clang_tidy_user():
    tidy("user/")


def test_clang_tidy_bpf():
    tidy("bpf/")


def test_cppcheck_user():
    need("cppcheck")
    files = [path for path in commands() if path.startswith("user/")]
    judge("cppcheck", [run([
        "cppcheck", "--quiet", "--enable=warning,performance,portability", "--std=c11", "--platform=unix64",
        "--template={file}:{line}: {severity}: {message} [{id}]", "-Iuser", "-I.", "-D_GNU_SOURCE",
        "-D__x86_64__", '-DBSTACK_VERSION=""',
        "-DLIBBPF_OPTS(TYPE,NAME,...)=struct TYPE NAME={__VA_ARGS__}", *files])])


def test_sparse_bpf():
    """It has not what clang has for BPF: the builtins of CO-RE stand for their argument, or for a size."""
    need("sparse")
    builtins = [f"-D__builtin_preserve_{name}" for name in
                ("access_index(x)=(x)", "field_info(x,y)=8", "type_info(x,y)=8", "enum_value(x,y)=0")]
    builtins.append("-D__builtin_btf_type_id(x,y)=1")
    files = [(path, [a for a in compiler if re.match("-[DI]", a)]) for path, compiler in commands().items()
             if path.startswith("bpf/")]
    # Programs and maps are found by section, not declared; 0 for a null pointer is in libbpf's macros.
    judge("sparse", [run(["sparse", "-Wsparse-all", "-Wno-decl", "-Wno-non-pointer-null", "-D__bpf__", "-D__clang__",
                          "-D__clang_major__=14", *builtins, *flags, path]) for path, flags in files])


def test_suppressions_are_used():
    if not SUPPRESSIONS.tools:
        raise ktap.Skip("no tool has run")
    idle = [r for r in SUPPRESSIONS.rows if r[0] in SUPPRESSIONS.tools and r not in SUPPRESSIONS.used]
    ktap.eq(idle, [], "rows of suppressions.txt without a finding")


if __name__ == "__main__":
    ktap.main(dict(globals()))
