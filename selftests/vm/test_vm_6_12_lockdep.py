#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The live tests on Linux 6.12-lockdep, in a guest: vm.py tells how."""
import vm

if __name__ == "__main__":
    vm.main_one("6.12-lockdep")
