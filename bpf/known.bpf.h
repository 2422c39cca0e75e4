/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * known.bpf.h - is this stack known, in this state of the address space? Then it is counted, and that is all: no lock, no
 * record. Nothing is inserted here.
 */
#ifndef BSTACK_KNOWN_BPF_H
#define BSTACK_KNOWN_BPF_H

#define KEY_WORDS 8 /* mixed in one round of the loop */

struct key_ctx {
	struct scratch *sc;
	struct bstack_key key;
	u32 cnt; /* words of data */
};

static long key_step(u32 i, struct key_ctx *c)
{
	u32 first = i * KEY_WORDS;
	u64 *ips;

	if (first > (BSTACK_SAMPLE_DATA_MAX / 8) - KEY_WORDS)
		return 1;
	ips = (u64 *)c->sc->data + first;
	for (u32 k = 0; k < KEY_WORDS; k++)
		if (first + k < c->cnt)
			key_mix(&c->key, ips[k]);
	return 0;
}

/* A walk by rows has mixed the user's addresses as it met them. */
static __always_inline void key_make(struct scratch *sc, struct bstack_key *ret)
{
	struct bstack_sample *s = &sc->sample;
	struct key_ctx c = {
		.sc = sc,
		.key = { settings.key_seed[0], settings.key_seed[1] },
		.cnt = s->kernel_cnt + s->user_cnt,
	};

	if (s->step_cnt) {
		c.key = sc->walk.key;
		c.cnt = s->kernel_cnt;
	}
	key_mix(&c.key, (u64)s->pid << 32 | s->tid);
	key_mix(&c.key, s->mm.start_ns);
	key_mix(&c.key, s->mm.exec_id);
	key_mix(&c.key, ((u64 *)s->comm)[0]);
	key_mix(&c.key, ((u64 *)s->comm)[1]);
	key_mix(&c.key, (u64)s->kernel_cnt << 32 | (u64)s->user_cnt << 16 | s->end << 8 |
				(s->flags & BSTACK_SAMPLE_TRUNCATED));
	if (c.cnt)
		bpf_loop((c.cnt + KEY_WORDS - 1) / KEY_WORDS, key_step, &c, 0);
	*ret = c.key;
}

/* True: the sample, whose mm.seq holds, is counted. */
static __always_inline bool known_count(struct scratch *sc, struct bstack_counters *c)
{
	struct bstack_sample *s = &sc->sample;
	struct bstack_known *k;
	u32 *slot;

	key_make(sc, &s->key);
	slot = bpf_map_lookup_elem(&known, &s->key);
	k = slot ? bpf_map_lookup_elem(&known_slots, slot) : NULL;
	if (!k || k->seq != s->mm.seq)
		return false;
	__sync_fetch_and_add(&k->count, 1);
	__sync_fetch_and_add(&k->weight, s->weight);
	c->counted++;
	return true;
}

#endif
