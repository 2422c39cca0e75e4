#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# test_lint.sh - the rules of the house, in KTAP: each prints what breaks it.
set -u
shopt -s lastpipe # rule counts in this shell
cd "$(dirname "$0")/../.." || exit 1
count=0
failed=0

# rule NAME: what breaks it is on standard input, a line each
rule() {
	local found
	count=$((count + 1))
	found=$(cat)
	if [ -n "$found" ]; then
		printf '%s\n' "$found" | sed 's/^/# /'
		echo "not ok $count $1"
		failed=1
	else
		echo "ok $count $1"
	fi
}

files() {
	find bpf user selftests vmlinux -type f \( -name '*.c' -o -name '*.h' -o -name '*.py' -o -name '*.sh' \
		-o -name '*.mk' -o -name '*.js' -o -name '*.proto' -o -name '*.config' \) -not -name '*.pyc' | sort
}

for f in $(files) Makefile .ci/run selftests/run packages.txt; do
	head -n 3 "$f" | grep -q 'SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause' || echo "$f"
done | rule spdx_line_first

# Includes go down only: folder, then the folders it must not include.
layer() {
	local folder=$1
	shift
	for other in "$@"; do
		grep -nE "^#include \"$other/" "user/$folder"/*.[ch] /dev/null
	done
}
{
	layer base cli cmd collect resolve symbol profile render unwind
	layer cli cmd collect resolve symbol profile render unwind
	layer profile cli cmd collect resolve symbol render unwind
	layer render cli cmd collect resolve symbol unwind
	layer symbol cli cmd collect resolve profile render
	layer resolve cli cmd collect symbol profile render unwind
	layer unwind cli cmd collect symbol profile render
	layer collect cli cmd symbol profile render
} | rule includes_go_down

grep -lE '#include <(bpf/(libbpf|bpf|btf)\.h|linux/bpf\.h)>|skel\.h"' user/*.c user/*/*.[ch] |
	grep -v '^user/collect/' | rule only_collect_uses_libbpf
grep -lE '#include <(libelf|gelf|elfutils/[a-z]+|dwarf|libdw)\.h>' user/*.c user/*/*.[ch] |
	grep -vE '^user/(symbol|unwind)/' | rule only_symbol_and_unwind_use_elfutils
grep -nE '\b(printf|puts|putchar|perror|exit|_exit|err|errx|warn|warnx)\(|\bstderr\b|\bstdout\b' \
	user/{base,cli,profile,render,symbol,resolve,unwind,collect}/*.c |
	grep -vE 'libbpf_quiet|vfprintf\(stderr, fmt, ap\)' | rule nothing_below_cmd_prints
grep -nE '/work/|/var/tmp/|/home/[a-z]|\.library|helper-[0-9]' -r bpf user selftests Makefile README.md packages.txt .ci vmlinux \
	--include='*' --exclude='test_lint.sh' --exclude='*.pyc' | rule no_machine_paths

# Functions: from a line that starts a definition to the closing brace in the first column.
for f in $(files | grep -E '\.[ch]$' | grep -v '^vmlinux/'); do
	awk -v file="$f" '
		/^[a-zA-Z_].*[)]$/ || /^[a-zA-Z_].*,$/ || /^\t.*[)]$/ { if (/^[a-zA-Z_]/) start = FNR }
		/^{/ { body = FNR }
		/^}/ { if (body && FNR - body > 100) printf "%s:%d: %d lines\n", file, start, FNR - body; body = 0 }
	' "$f"
done | rule functions_within_100_lines
for f in $(files | grep -E '\.[ch]$' | grep -v '^vmlinux/'); do
	awk -v file="$f" 'END { if (FNR > 800) printf "%s: %d lines\n", file, FNR }' "$f"
done | rule files_within_800_lines

clang_format=${CLANG_FORMAT:-clang-format-14}
if command -v "$clang_format" >/dev/null; then
	for f in $(files | grep -E '\.[ch]$' | grep -v '^vmlinux/'); do
		"$clang_format" --dry-run --Werror "$f" >/dev/null 2>&1 || echo "$f: make format"
	done | rule formatted
else
	count=$((count + 1))
	echo "ok $count formatted # SKIP $clang_format is not installed"
fi

grep -nE 'time\.sleep|usleep\(|[^_a-z]sleep\(|nanosleep\(' -r selftests --include='*.py' --include='*.c' --include='*.h' |
	grep -vE 'polls a condition|^selftests/bench/' | rule no_sleep_as_synchronization

awk '$1 !~ /^(#|(build|test|vm|kernel)$)/ && NF' packages.txt | rule packages_have_a_kind

echo "1..$count"
exit $failed
