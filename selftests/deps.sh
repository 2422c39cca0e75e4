#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# deps.sh KIND.. - installs the packages of these kinds in packages.txt that are missing.
# Asks nothing of the network, and needs no root, when none is.
set -eu
list="$(dirname "$0")/../packages.txt"
missing=
for kind in "$@"; do
	for package in $(awk -v kind="$kind" '$1 == kind { print $2 }' "$list"); do
		case "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" in
		installed) ;;
		*) missing="$missing $package" ;;
		esac
	done
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "bstack: these packages are missing:$missing" >&2
	echo "bstack: install them as root: apt-get install$missing" >&2
	exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of names
apt-get install -qq -y --no-install-recommends $missing >/dev/null ||
	{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null; }
