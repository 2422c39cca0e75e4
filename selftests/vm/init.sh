#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# init.sh - the guest's first process: runs the programs listed in /programs and powers off.
# What they print goes to the second serial line between two marks; the first has the kernel's own messages.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/root O=/bstack/build BSTACK=/bstack/build/bstack
export KTAP_LEAVE_OUT="$(cat /left-out)" BSTACK_SLOW=1 # emulated: no test may depend on how fast things are
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /dev/pts
mount -t devpts none /dev/pts
mount -t tmpfs -o mode=1777 none /tmp
mount -t debugfs none /sys/kernel/debug
mount -t tracefs none /sys/kernel/tracing
mount -t bpf none /sys/fs/bpf
mount -t cgroup2 none /sys/fs/cgroup
# Debian's own value, 3, asks for CAP_SYS_ADMIN where other kernels are content with CAP_PERFMON
echo 2 >/proc/sys/kernel/perf_event_paranoid
cd /bstack || exit 1
# provoke CRASH - one of the kernel's crash tests, of a process that may die of it
provoke() (
	echo "$1" >/sys/kernel/debug/provoke-crash/DIRECT
)
{
	echo "== kernel $(uname -r) $(uname -v)"
	while read -r program; do
		echo "== begin $program"
		# shellcheck disable=SC2086 # a program and its arguments
		$program </dev/null 2>&1
		echo "== end $?"
	done </programs
	echo "== tainted: $(cat /proc/sys/kernel/tainted)"
	# shellcheck disable=SC2046 # without its blanks
	[ ! -e /proc/lockdep_stats ] || echo "==" $(grep debug_locks /proc/lockdep_stats)
	echo "== done"
} >/dev/ttyS1
echo o >/proc/sysrq-trigger
while :; do sleep 60; done # the kernel does not want its first process to end
