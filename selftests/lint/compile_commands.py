#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""compile_commands.py FILE.. - prints the compilation database of these files: how make compiles them.

USER_COMMAND is the compiler with its flags for user/, BPF_COMMAND that for the rest.
"""
import json
import os
import shlex
import sys


def main():
    user, bpf = (shlex.split(os.environ[name]) for name in ("USER_COMMAND", "BPF_COMMAND"))
    json.dump([{
        "directory": os.getcwd(),
        "file": path,
        "arguments": (user if path.startswith("user/") else bpf) + ["-c", path],
    } for path in sys.argv[1:]], sys.stdout, indent=1)


main()
