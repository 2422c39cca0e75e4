/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * known.bpf.h - is this stack known, in this state of the address space? Then it is counted, and that is all: no lock, no
 * record. Nothing is inserted here. Else the mappings that it is in go with its record.
 */
#ifndef BSTACK_KNOWN_BPF_H
#define BSTACK_KNOWN_BPF_H

#define KEY_WORDS_MAX (2 * BSTACK_FRAMES) /* kernel and user addresses */
#define KEY_BLOCK     16 /* of them, mixed without a look whether there are so many */

/* Loops in this program: the kernel's bpf_loop() would cost as much as the mixing. */
static __always_inline void key_mix_all(struct bstack_key *key, const u64 *words, u32 cnt)
{
	u32 i = 0;

	for (; i + KEY_BLOCK <= cnt && i <= KEY_WORDS_MAX - KEY_BLOCK; i += KEY_BLOCK)
#pragma unroll
		for (u32 k = 0; k < KEY_BLOCK; k += 2)
			key_mix(key, words[i + k], words[i + k + 1]);
	for (; i + 2 <= cnt && i <= KEY_WORDS_MAX - 2; i += 2)
		key_mix(key, words[i], words[i + 1]);
	if (i < cnt && i < KEY_WORDS_MAX)
		key_mix(key, words[i], cnt);
}

/* A walk by rows has mixed the user's addresses as it met them. */
static __always_inline void key_make(struct scratch *sc, struct bstack_key *ret)
{
	const struct bstack_sample *s = &sc->sample;
	struct bstack_key key = { settings.key_seed[0], settings.key_seed[1] };
	u32 cnt = s->kernel_cnt + s->user_cnt;

	if (s->step_cnt) {
		key = sc->walk.key;
		cnt = s->kernel_cnt;
		key_mix(&key, sc->walk.module, s->mm.start_ns);
	}
	key_mix(&key, (u64)s->pid << 32 | s->tid, s->mm.start_ns);
	key_mix(&key, s->mm.exec_id,
		(u64)s->kernel_cnt << 32 | (u64)s->user_cnt << 16 | s->end << 8 |
			(s->flags & BSTACK_SAMPLE_TRUNCATED));
	key_mix(&key, ((u64 *)s->comm)[0], ((u64 *)s->comm)[1]);
	key_mix_all(&key, (const u64 *)sc->data, cnt);
	*ret = key;
}

/* Is this mapping where it was? Looked at once for each sequence, while that stands still. */
static __always_inline bool vma_holds(struct scratch *sc, struct mm_struct *mm, u32 i)
{
	const struct bstack_sample *s = &sc->sample;
	struct bstack_known_vma *v = LOOKUP(known_vmas, i);
	u64 seq;

	if (!v)
		return false;
	if (s->flags & BSTACK_SAMPLE_STEADY && v->seq == s->mm.seq)
		return true;
	if (vma_at(mm, v->vma.start, sc->since, sc->node, &sc->vma, &seq) != VMA_HERE ||
	    !bstack_vma_same(&sc->vma, &v->vma))
		return false;
	v->seq = seq;
	return true;
}

struct hold_ctx {
	struct scratch *sc;
	struct mm_struct *mm;
	const struct bstack_known *k;
};

static long hold_step(u32 i, struct hold_ctx *c)
{
	if (i < BSTACK_VMAS_MAX && vma_holds(c->sc, c->mm, c->k->vmas[i]))
		return 0;
	c->sc->is_moved = 1;
	return 1;
}

/* Are all mappings of a slot where they were? By bpf_loop(): of eight in a row the verifier would look at each. */
static __always_inline bool vmas_hold(struct scratch *sc, struct mm_struct *mm,
				      const struct bstack_known *k)
{
	struct hold_ctx c = { .sc = sc, .mm = mm, .k = k };

	sc->is_moved = !k->vma_cnt;
	bpf_loop(k->vma_cnt, hold_step, &c, 0);
	return !sc->is_moved;
}

/* True: the sample is counted. */
static __always_inline bool known_count(struct scratch *sc, struct mm_struct *mm,
					struct bstack_counters *c)
{
	struct bstack_sample *s = &sc->sample;
	struct bstack_known *k;
	u32 *slot;

	key_make(sc, &s->key);
	s->flags |= BSTACK_SAMPLE_KEY;
	slot = bpf_map_lookup_elem(&known, &s->key);
	k = slot ? bpf_map_lookup_elem(&known_slots, slot) : NULL;
	if (!k || k->seq == BSTACK_KNOWN_NONE)
		return false;
	if (!(s->flags & BSTACK_SAMPLE_STEADY) || k->seq != s->mm.seq) {
		if (!has_vmas() || !vmas_hold(sc, mm, k))
			return false;
		c->counted_vma++;
	}
	__sync_fetch_and_add(&k->count, 1);
	__sync_fetch_and_add(&k->weight, s->weight);
	c->counted++;
	return true;
}

/* A walk over the addresses of a sample: of which mappings. */
struct vmas_ctx {
	struct scratch *sc;
	struct mm_struct *mm;
	u32 ips_off;
};

static __always_inline bool is_unknown_file(const struct bstack_vma *v)
{
	return v->kind == BSTACK_VMA_FILE && !bpf_map_lookup_elem(&files, &v->file);
}

static long vmas_step(u32 i, struct vmas_ctx *c)
{
	struct bstack_sample *s = &c->sc->sample;
	u32 ip_at, cnt = s->vma_cnt;
	struct bstack_vma *v;
	u64 ip, seq;

	if (i >= s->user_cnt) {
		/* A second look at those: a writer may have been in the middle of the tree. */
		if (!c->sc->is_missed || cnt >= BSTACK_VMAS_MAX)
			return 1;
		i -= s->user_cnt;
	}
	ip_at = c->ips_off + i * 8;
	if (ip_at > BSTACK_SAMPLE_DATA_MAX - 8)
		return 1;
	ip = *(u64 *)(c->sc->data + ip_at);
	for (u32 k = 0; k < BSTACK_VMAS_MAX; k++) {
		v = &c->sc->vmas[k];
		if (ip >= v->start && ip < v->end)
			return 0;
	}
	if (cnt >= BSTACK_VMAS_MAX) {
		c->sc->is_untold = 1;
		s->flags &= ~BSTACK_SAMPLE_VMAS;
		return 1;
	}
	v = &c->sc->vmas[cnt];
	switch (vma_at(c->mm, ip, c->sc->since, c->sc->node, v, &seq)) {
	case VMA_UNREAD:
		c->sc->is_untold = 1;
		s->flags &= ~BSTACK_SAMPLE_VMAS;
		return 0;
	case VMA_NONE:
		v->end = 0;
		c->sc->is_missed = 1;
		return 0;
	case VMA_IN_FLUX:
		v->is_in_flux = 1;
		c->sc->is_untold = 1;
		break;
	case VMA_HERE:
		if (!is_unknown_file(v))
			break;
		c->sc->is_untold = 1;
		c->sc->is_unknown = !settings.has_rows;
	}
	s->vma_cnt = cnt + 1;
	return 0;
}

/*
 * The mappings that the user's addresses at data[off] are in. They go with every record, however full the ring buffer is:
 * without them code moved by mremap() would be taken for what was there before. sc->is_untold, which is set before: a
 * build-id stack may tell more than they do.
 */
static __always_inline void vmas_read(struct scratch *sc, struct mm_struct *mm, u32 off)
{
	struct vmas_ctx c = { .sc = sc, .mm = mm, .ips_off = off };

	if (!has_vmas())
		return;
	for (u32 k = 0; k < BSTACK_VMAS_MAX; k++)
		sc->vmas[k].end = 0;
	sc->is_missed = sc->is_untold = 0;
	sc->sample.flags |= BSTACK_SAMPLE_VMAS;
	bpf_loop(2 * sc->sample.user_cnt, vmas_step, &c, 0);
}

#endif
