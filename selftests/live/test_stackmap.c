// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * test_stackmap - bstack stackmap: which maps it takes, what it counts, and what it says of counts and
 * stacks that do not meet. test_stackmap_frames has the frames.
 */
#include "stackmap_kit.h"

/* --- exact stacks, exact counts --- */

static void build_ids(void)
{
	char text[512];

	START();
	if (take(chain, 5)) {
		snprintf(text, sizeof(text),
			 "stack %u: count 1, broken: frame-pointer\n"
			 "  kernel            forge_syscall [test_stackmap]\n"
			 "  kernel            sm_inner [test_stackmap]\n"
			 "  kernel            sm_outer [test_stackmap]\n\n",
			 only_stack(skel->maps.sm_ids));
		CHECK_EQ(sh("$B stackmap %u", id_of(skel->maps.sm_ids)), 0);
		CHECK_STR(out, text);
		CHECK_STR(err, "");
		CHECK_EQ(sh("$B stackmap %u -p %d", id_of(skel->maps.sm_ids), getpid()), 0);
		snprintf(text, sizeof(text), "stack %u, pid %d: count 1, broken: frame-pointer\n",
			 only_stack(skel->maps.sm_ids), getpid());
		check_has(out, text);
		CHECK_EQ(times(out, "\n  kernel  "), 3);
	}
	close_skel();
}

/* The kernel's id is an error in each key: it is told, the user's stack stays. */
static void counts(void)
{
	char text[512];

	START();
	if (take(chain, 5)) {
		CHECK_EQ(sh("$B stackmap %u --counts %u --folded", id_of(skel->maps.sm_ids),
			    id_of(skel->maps.sm_counts)),
			 0);
		CHECK_STR(out, "sm_outer;sm_inner;forge_syscall 5\n");
		CHECK_STR(err,
			  "bstack stackmap: 5 counts have an error instead of a stack: EFAULT (Bad "
			  "address)\n");
		CHECK_EQ(sh("$B stackmap %u --counts %u --key-offset 4", id_of(skel->maps.sm_ids),
			    id_of(skel->maps.sm_counts)),
			 0);
		CHECK_STR(err, "");
		snprintf(text, sizeof(text), "stack %u: count 5, broken: frame-pointer\n",
			 only_stack(skel->maps.sm_ids));
		check_has(out, text);
		/* a per-CPU map whose key is the id */
		CHECK_EQ(sh("$B stackmap %u --counts %u --folded", id_of(skel->maps.sm_ids),
			    id_of(skel->maps.sm_percpu)),
			 0);
		CHECK_STR(out, "sm_outer;sm_inner;forge_syscall 5\n");
		CHECK_STR(err, "");
	}
	close_skel();
}

/* Values of every CPU are summed, of every kind of map; an array's zeros are no counts. */
static void count_maps(void)
{
	static const struct {
		enum bpf_map_type type;
		uint32_t value_sz;
		bool is_per_cpu;
	} kinds[] = {
		{ BPF_MAP_TYPE_HASH, 4, false },        { BPF_MAP_TYPE_HASH, 8, false },
		{ BPF_MAP_TYPE_LRU_HASH, 8, false },    { BPF_MAP_TYPE_PERCPU_HASH, 4, true },
		{ BPF_MAP_TYPE_PERCPU_HASH, 8, true },  { BPF_MAP_TYPE_LRU_PERCPU_HASH, 8, true },
		{ BPF_MAP_TYPE_ARRAY, 4, false },       { BPF_MAP_TYPE_ARRAY, 8, false },
		{ BPF_MAP_TYPE_PERCPU_ARRAY, 4, true }, { BPF_MAP_TYPE_PERCPU_ARRAY, 8, true },
	};
	int cpu_cnt = libbpf_num_possible_cpus();
	uint64_t values[1024] = {};
	uint32_t id;

	START();
	if (!take(chain, 1) || !CHECK(cpu_cnt > 0 && cpu_cnt < 1024))
		return;
	id = only_stack(skel->maps.sm_ids);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int fd = bpf_map_create(kinds[i].type, "sm_made", 4, kinds[i].value_sz, 8192, NULL);
		uint64_t sum = 7;
		char text[128];

		for (int cpu = 0; cpu < cpu_cnt; cpu++)
			values[cpu] = 7 + (uint64_t)cpu;
		for (int cpu = 1; kinds[i].is_per_cpu && cpu < cpu_cnt; cpu++)
			sum += values[cpu];
		CHECK_EQ(bpf_map_update_elem(fd, &id, values, BPF_ANY), 0);
		snprintf(text, sizeof(text), "sm_outer;sm_inner;forge_syscall %" PRIu64 "\n", sum);
		CHECK_EQ(sh("$B stackmap %u --counts %u --folded", id_of(skel->maps.sm_ids),
			    id_of_fd(fd)),
			 0);
		if (!CHECK_STR(out, text))
			printf("# map type %d, values of %u bytes\n", kinds[i].type,
			       kinds[i].value_sz);
		CHECK_STR(err, "");
		close(fd);
	}
	close_skel();
}

/* More counts than one batch holds: each is met once. */
static void many_counts(void)
{
	struct sm_key key = { .kern_stack_id = -14 };
	uint64_t one = 1;

	START();
	if (take(chain, 1)) {
		key.user_stack_id = (int32_t)only_stack(skel->maps.sm_ids);
		/* above every pid, so that none is that of the stack that was taken */
		for (key.pid = 1U << 30; key.pid < (1U << 30) + 8000; key.pid++)
			CHECK_EQ(bpf_map_update_elem(bpf_map__fd(skel->maps.sm_counts), &key, &one,
						     BPF_ANY),
				 0);
		CHECK_EQ(sh("$B stackmap %u --counts %u --key-offset 4 --folded",
			    id_of(skel->maps.sm_ids), id_of(skel->maps.sm_counts)),
			 0);
		/* and the one that was taken */
		CHECK_STR(out, "sm_outer;sm_inner;forge_syscall 8001\n");
	}
	close_skel();
}

static void losses(void)
{
	struct sm_key key = { .pid = 1 };
	uint64_t n;
	uint32_t id;

	START();
	if (take(chain, 5)) {
		key.user_stack_id = -EFAULT;
		n = 3;
		bpf_map_update_elem(bpf_map__fd(skel->maps.sm_counts), &key, &n, BPF_ANY);
		key.user_stack_id = -EEXIST;
		n = 4;
		bpf_map_update_elem(bpf_map__fd(skel->maps.sm_counts), &key, &n, BPF_ANY);
		key.user_stack_id = (int32_t)only_stack(skel->maps.sm_ids) ^ 1;
		n = 6;
		bpf_map_update_elem(bpf_map__fd(skel->maps.sm_counts), &key, &n, BPF_ANY);
		CHECK_EQ(sh("$B stackmap %u --counts %u --key-offset 4 --folded",
			    id_of(skel->maps.sm_ids), id_of(skel->maps.sm_counts)),
			 0);
		CHECK_STR(out, "sm_outer;sm_inner;forge_syscall 5\n");
		check_has(err,
			  "bstack stackmap: 3 counts have an error instead of a stack: EFAULT (Bad "
			  "address)\n");
		check_has(
			err,
			"bstack stackmap: 4 counts have an error instead of a stack: EEXIST (File "
			"exists)\n");
		check_has(err,
			  "bstack stackmap: 6 counts name stacks that the map has no longer\n");
		check_has(
			err,
			"bstack stackmap: 13 of 18 counts have no stack at all and are left out\n");
		CHECK_EQ(times(err, "\n"), 4);
		/* the ledger of a profile says the same */
		CHECK_EQ(sh("$B stackmap %u --counts %u --key-offset 4 -o $D/p.pb.gz && "
			    "$B report --json --no-tree $D/p.pb.gz",
			    id_of(skel->maps.sm_ids), id_of(skel->maps.sm_counts)),
			 0);
		check_has(out, "\"fired\":18,\"recorded\":5,");
		check_has(out, "\"lost_stackmap\":13");
		CHECK_EQ(sh("$B fold --no-thread $D/p.pb.gz"), 0);
		CHECK_STR(out, "sm_outer;sm_inner;forge_syscall 5\n");
		/* the map loses its stack: all counts are in vain */
		id = only_stack(skel->maps.sm_ids);
		CHECK_EQ(bpf_map_delete_elem(bpf_map__fd(skel->maps.sm_ids), &id), 0);
		CHECK_EQ(sh("$B stackmap %u --counts %u --key-offset 4 --folded",
			    id_of(skel->maps.sm_ids), id_of(skel->maps.sm_counts)),
			 0);
		CHECK_STR(out, "");
		check_has(err,
			  "bstack stackmap: 11 counts name stacks that the map has no longer\n");
		check_has(
			err,
			"bstack stackmap: 18 of 18 counts have no stack at all and are left out\n");
		check_has(err, "(sm_ids) has no stack\n");
	}
	close_skel();
}

/* No key, or a count of zero, as an array has them. */
static void uncounted(void)
{
	int fds[2];

	START();
	fds[0] = bpf_map_create(BPF_MAP_TYPE_HASH, "sm_none", 4, 8, 16, NULL);
	fds[1] = bpf_map_create(BPF_MAP_TYPE_ARRAY, "sm_zeros", 4, 8, 4096, NULL);
	for (int i = 0; take(chain, 1) && i < 2; i++) {
		CHECK_EQ(sh("$B stackmap %u --counts %u", id_of(skel->maps.sm_ids),
			    id_of_fd(fds[i])),
			 0);
		CHECK_STR(out, "");
		CHECK_STR(err, "bstack stackmap: 1 of 1 stacks have no count and are left out\n");
		close(fds[i]);
	}
	close_skel();
}

/* --- which map --- */

static void pinned(void)
{
	START();
	if (!has_bpffs) {
		close_skel();
		SKIP("a BPF file system cannot be mounted");
	}
	if (take(chain, 3)) {
		char path[128], text[512];

		snprintf(path, sizeof(path), "%s/bpf/ids", dir);
		CHECK_EQ(bpf_map__pin(skel->maps.sm_ids, path), 0);
		snprintf(path, sizeof(path), "%s/bpf/counts", dir);
		CHECK_EQ(bpf_map__pin(skel->maps.sm_percpu, path), 0);
		snprintf(path, sizeof(path), "%s/bpf/prog", dir);
		CHECK_EQ(bpf_program__pin(skel->progs.at_syscall, path), 0);
		CHECK_EQ(sh("$B stackmap $D/bpf/ids --counts $D/bpf/counts --folded"), 0);
		CHECK_STR(out, "sm_outer;sm_inner;forge_syscall 3\n");
		snprintf(text, sizeof(text),
			 "%s is not a map but another BPF object; bstack stackmap list "
			 "shows the stack maps",
			 path);
		refused(sh("$B stackmap $D/bpf/prog"), 1, text);
		/* only digits: a path needs its ./ */
		CHECK_EQ(sh("mv $D/bpf/ids $D/bpf/1 && cd $D/bpf && $B stackmap ./1 --folded"), 0);
		CHECK_STR(out, "sm_outer;sm_inner;forge_syscall 1\n");
		CHECK_EQ(sh("rm $D/bpf/1 $D/bpf/counts $D/bpf/prog"), 0);
	}
	close_skel();
}

static void listed(void)
{
	char text[256];

	START();
	if (take(chain, 1)) {
		CHECK_EQ(sh("$B stackmap list"), 0);
		CHECK_STR(err, "");
		CHECK(!strncmp(
			out,
			"      ID  NAME             FRAMES    DEPTH   STACKS     ROOM  PROGRAMS\n",
			70));
		snprintf(text, sizeof(text),
			 "\n%8u  sm_ids           build-id     32        1     4096  at_syscall, "
			 "in_timer\n",
			 id_of(skel->maps.sm_ids));
		if (!strstr(out, text)) { /* in which order the programs were loaded is libbpf's */
			snprintf(text, sizeof(text),
				 "\n%8u  sm_ids           build-id     32        1     4096  "
				 "in_timer, at_syscall\n",
				 id_of(skel->maps.sm_ids));
			check_has(out, text);
		}
		snprintf(text, sizeof(text),
			 "\n%8u  sm_plain         address      32        2     4096  at_syscall\n",
			 id_of(skel->maps.sm_plain));
		check_has(out, text);
		CHECK(!strstr(out, "sm_counts"));
	}
	close_skel();
}

static void wrong_maps(void)
{
	int bad_value, no_btf;
	char text[512];
	uint32_t ids;

	START();
	bad_value = make_map(BPF_MAP_TYPE_HASH, "sm_big", 4, 24);
	no_btf = make_map(BPF_MAP_TYPE_HASH, "sm_wide", 16, 8);
	ids = id_of(skel->maps.sm_ids);
	snprintf(text, sizeof(text),
		 "map %u (sm_percpu) is not a stack map but of type percpu_hash; bstack "
		 "stackmap list shows the stack maps",
		 id_of(skel->maps.sm_percpu));
	refused(sh("$B stackmap %u", id_of(skel->maps.sm_percpu)), 1, text);
	refused(sh("$B stackmap 4294967295"), 1,
		"there is no map 4294967295; bstack stackmap list shows the stack maps");
	refused(sh("$B stackmap 4294967296"), 1, "there is no map 4294967296");
	snprintf(text, sizeof(text), "cannot open %s/absent: No such file or directory", dir);
	refused(sh("$B stackmap $D/absent"), 1, text);
	snprintf(text, sizeof(text),
		 "cannot open %s/out: it is not on a BPF file system; give the path of a pinned "
		 "map, or its id",
		 dir);
	refused(sh("$B stackmap $D/out"), 1, text);
	snprintf(text, sizeof(text),
		 "cannot read counts of map %u (sm_ids): it is of type stack_trace; counts "
		 "are read of hash and array maps, also per-CPU and LRU",
		 ids);
	refused(sh("$B stackmap %u --counts %u", ids, ids), 1, text);
	snprintf(text, sizeof(text),
		 "cannot read counts of map %u (sm_big): its values have 24 bytes, a count "
		 "4 or 8",
		 id_of_fd(bad_value));
	refused(sh("$B stackmap %u --counts %u", ids, id_of_fd(bad_value)), 1, text);
	snprintf(text, sizeof(text),
		 "cannot tell where the stack id is in the key of map %u (sm_wide), 16 "
		 "bytes: no BTF of a struct says so; --key-offset N gives its offset in "
		 "bytes, N,M those of two",
		 id_of_fd(no_btf));
	refused(sh("$B stackmap %u --counts %u", ids, id_of_fd(no_btf)), 1, text);
	snprintf(text, sizeof(text),
		 "--key-offset 13: the key of map %u (sm_wide) ends after 16 bytes",
		 id_of_fd(no_btf));
	refused(sh("$B stackmap %u --counts %u --key-offset 13", ids, id_of_fd(no_btf)), 1, text);
	snprintf(text, sizeof(text),
		 "--pid-offset 4096: the key of map %u (sm_wide) ends after 16 bytes",
		 id_of_fd(no_btf));
	refused(sh("$B stackmap %u --counts %u --key-offset 12 --pid-offset 4096", ids,
		   id_of_fd(no_btf)),
		1, text);
	close(bad_value);
	close(no_btf);
	close_skel();
}

static void not_allowed(void)
{
	char text[256];

	START();
	snprintf(text, sizeof(text),
		 "cannot open map %u: Operation not permitted; run as root, or with "
		 "CAP_SYS_ADMIN: the kernel asks for it to open a map by its id",
		 id_of(skel->maps.sm_ids));
	refused(sh("setpriv --bounding-set=-all --inh-caps=-all $B stackmap %u",
		   id_of(skel->maps.sm_ids)),
		1, text);
	refused(sh("setpriv --bounding-set=-all --inh-caps=-all $B stackmap list"), 1,
		"cannot list the BPF maps: Operation not permitted; run as root, or with "
		"CAP_SYS_ADMIN: the "
		"kernel asks for it");
	close_skel();
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(build_ids),   TEST(counts), TEST(count_maps),
		TEST(many_counts), TEST(losses), TEST(uncounted),
		TEST(pinned),      TEST(listed), TEST(wrong_maps),
		TEST(not_allowed), {},
	};

	return kit_main(tests, argc, argv);
}
