#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# demo.sh - records a mix of real programs through the ordinary command line, prints the report and
# draws the flame graph. Writes flame.svg and demo.pb.gz in the current folder.
set -eu
bstack=${O:-build}/bstack
seconds=${SECONDS_TO_RECORD:-6}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/mix.sh" <<'MIX'
cd "$1"
seconds=$2
seq 1 400000 > numbers
run() { command -v "$1" >/dev/null && { timeout "$seconds" sh -c "while :; do $2; done" >/dev/null 2>&1 & }; }
run xz 'xz -3 -k -c numbers'
run openssl 'openssl speed -seconds 1 sha256'
run perl 'perl -e "my %h; \$h{\$_ % 9973} .= sqrt \$_ for 1..500000; print scalar sort keys %h"'
run python3 'python3 -c "import json; [json.loads(json.dumps({str(i): [i] * 20 for i in range(300)})) for _ in range(50)]"'
run gcc 'printf "#include <stdio.h>\n#include <stdlib.h>\nint main(void){return printf(\"x\");}\n" | gcc -O2 -x c - -o /dev/null'
wait
MIX

echo "Recording xz, openssl, perl, python3 and gcc for $seconds seconds:"
echo "  $bstack record -F 199 -k -o demo.pb.gz -- bash mix.sh"
"$bstack" record -F 199 -k -o demo.pb.gz -- bash "$work/mix.sh" "$work" "$seconds" || true
"$bstack" report --top 15 --min-percent 3 demo.pb.gz
"$bstack" flame --threads --title "Debian programs on one host" -o flame.svg demo.pb.gz
