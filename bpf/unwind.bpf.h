/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* unwind.bpf.h - a user stack by rows: registers of the task, then step after step in a bpf_loop. */
#ifndef BSTACK_UNWIND_BPF_H
#define BSTACK_UNWIND_BPF_H

#define LOOKUP(map, i)                            \
	({                                        \
		u32 key_ = (i);                   \
		bpf_map_lookup_elem(&map, &key_); \
	})
#define UNWIND_ROW(i)          ((const struct bstack_row *)LOOKUP(rows, i))
#define UNWIND_PAGE(i)         ((const struct bstack_page *)LOOKUP(pages, i))
#define UNWIND_RULE(i)         ((const struct bstack_rule *)LOOKUP(rules, i))
#define UNWIND_MODULE(i)       ((const struct bstack_module *)LOOKUP(modules, i))
#define UNWIND_MAPPING(i)      ((const struct bstack_mapping *)LOOKUP(mappings, i))
#define UNWIND_READ(addr, ret) bpf_probe_read_user((ret), sizeof(u64), (const void *)(addr))
#define UNWIND_READ_PAIR(addr, ret) \
	bpf_probe_read_user((ret), 2 * sizeof(u64), (const void *)(addr))

#include "bpf/unwind.h"

#if defined(__TARGET_ARCH_x86)
/* cs as a whole: a narrower read of an event's registers is refused ("invalid bpf_context access", 6.18). */
#define IS_USER(regs)                         \
	({                                    \
		u64 cs_ = (regs).cs;          \
		asm volatile("" : "+r"(cs_)); \
		(cs_ & 3) == 3;               \
	})
#define REGS_COPY(s, r_)                          \
	({                                        \
		(s)->ip = (r_).ip;                \
		(s)->sp = (r_).sp;                \
		(s)->regs[BSTACK_BP] = (r_).bp;   \
		(s)->regs[BSTACK_BX] = (r_).bx;   \
		(s)->regs[BSTACK_R12] = (r_).r12; \
		(s)->regs[BSTACK_R13] = (r_).r13; \
		(s)->regs[BSTACK_R14] = (r_).r14; \
		(s)->regs[BSTACK_R15] = (r_).r15; \
		(s)->regs[BSTACK_AX] = (r_).ax;   \
		(s)->regs[BSTACK_CX] = (r_).cx;   \
		(s)->regs[BSTACK_DX] = (r_).dx;   \
		(s)->regs[BSTACK_SI] = (r_).si;   \
		(s)->regs[BSTACK_DI] = (r_).di;   \
		(s)->regs[BSTACK_R8] = (r_).r8;   \
		(s)->regs[BSTACK_R9] = (r_).r9;   \
		(s)->regs[BSTACK_R10] = (r_).r10; \
		(s)->regs[BSTACK_R11] = (r_).r11; \
		(s)->stored = 0;                  \
		(s)->is_caller = 0;               \
		(s)->mapping = 0;                 \
		(s)->mapping_before = 0;          \
	})

/* The user's registers as the kernel saved them when it was entered. */
static __always_inline bool regs_at_entry(struct unwind_state *s)
{
	const void *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct pt_regs copy;

	if (!regs || bpf_probe_read_kernel(&copy, sizeof(copy), regs) || !IS_USER(copy))
		return false;
	REGS_COPY(s, copy);
	return true;
}
#else
/* Rows are made for x86-64: other machines walk by frame pointer. */
#define IS_USER(regs)    0
#define REGS_COPY(s, r_) ((void)0)
static __always_inline bool regs_at_entry(struct unwind_state *s)
{
	return false;
}
#endif

struct walk_ctx {
	struct scratch *sc;
};

/* One frame: its address and how its caller was found go into the sample. 1 ends the loop. */
static long walk_step(u32 unused, struct walk_ctx *ctx)
{
	struct walk *w = &ctx->sc->walk;
	struct bstack_step *step;
	u32 i = w->cnt, ip_at = w->ips_off + i * 8, step_at = i * sizeof(*step);

	if (i >= BSTACK_FRAMES || ip_at > BSTACK_SAMPLE_DATA_MAX - 8 ||
	    step_at > BSTACK_STEPS_MAX_SZ - sizeof(*step))
		return 1;
	*(u64 *)(ctx->sc->data + ip_at) = w->state.ip;
	if (settings.has_known && i >= w->mixed) {
		key_mix(&w->key, w->state.ip, w->module);
		w->mixed = i + 1;
	}
	step = (void *)(ctx->sc->steps + step_at);
	w->cnt = i + 1;
	if (w->asked.end && unwind_holds(&w->asked, w->state.ip - w->state.is_caller))
		w->end = unwind_in_mapping(&w->state, &w->asked, step);
	else
		w->end = unwind_step(&w->process, &w->state, step);
	w->module = step->module;
	return w->end != 0;
}

#define VM_EXEC 4
#define ENOENT  2

/* What the kernel says of an address. */
struct vma_found {
	struct bstack_mapping map;
	struct bstack_inode inode;
	u32 is_exec, has_file, is_special;
};

/* Called with the lock held: no stack is taken here. */
static long vma_read(struct task_struct *task, struct vm_area_struct *vma, struct vma_found *f)
{
	struct file *file = vma->vm_file;

	f->map.start = vma->vm_start;
	f->map.end = vma->vm_end;
	f->map.pc_off = vma->vm_pgoff << 12;
	f->is_exec = vma->vm_flags & VM_EXEC;
	f->is_special = vma->vm_ops != NULL;
	if (file) {
		f->has_file = 1;
		f->inode.ino = file->f_inode->i_ino;
		f->inode.dev = file->f_inode->i_sb->s_dev;
	}
	return 0;
}

/*
 * The walk ended at an address that is in no table: the kernel knows what is there. This is the one call of a sample
 * that takes mmap_lock, by trylock, with the unlock left to an irq_work: it may fail as a build-id stack does.
 * True: w->asked tells how to go on.
 */
static __always_inline bool mapping_ask(struct scratch *sc, struct task_struct *task,
					struct mm_struct *mm, struct bstack_counters *c)
{
	struct walk *w = &sc->walk;
	struct lock_state before, after;
	struct bstack_inode_module *m;
	struct vma_found f = {};
	long err;

	c->vma_asked++;
	lock_state_read(mm, &before);
	err = bpf_find_vma(task, w->state.ip - w->state.is_caller, vma_read, &f, 0);
	lock_state_read(mm, &after);
	if (err && err != -ENOENT) {
		c->vma_failed++;
		cause_find(&sc->sample, &before, &after);
		return false;
	}
	if (err || !f.is_exec) {
		w->is_sure = 1;
		return false;
	}
	if (f.has_file) {
		m = bpf_map_lookup_elem(&inodes, &f.inode);
		if (!m)
			return false;
		f.map.module = m->module;
		f.map.pc_off += m->pc_off;
	} else if (f.is_special) {
		return false;
	} else {
		f.map.module = BSTACK_MODULE_FP;
	}
	w->asked = f.map;
	return true;
}

/*
 * The user stack of the current task to data[off], from the registers in walk.state; the number of frames. Without a
 * table for the process it is the first frame alone.
 */
static __always_inline u32 walk_rows(struct scratch *sc, struct task_struct *task,
				     struct mm_struct *mm, struct bstack_counters *c, u32 off)
{
	u32 pid = sc->sample.pid;
	const struct bstack_process *p = bpf_map_lookup_elem(&processes, &pid);
	struct walk *w = &sc->walk;
	struct walk_ctx ctx = { .sc = sc };

	if (p && (!p->start_ns ||
		  (p->start_ns == sc->sample.mm.start_ns && p->exec_id == sc->sample.mm.exec_id)))
		w->process = *p;
	else
		w->process.cnt = 0;
	w->ips_off = off;
	w->cnt = 0;
	w->end = 0;
	w->is_sure = 0;
	w->mixed = 0;
	w->module = 0;
	w->key.a = settings.key_seed[0];
	w->key.b = settings.key_seed[1];
	w->asked.end = 0;
	bpf_loop(BSTACK_FRAMES, walk_step, &ctx, 0);
	if (w->end == BSTACK_END_NO_MAPPING && w->state.ip && mm && mapping_ask(sc, task, mm, c)) {
		w->cnt--; /* this frame once more */
		bpf_loop(BSTACK_FRAMES, walk_step, &ctx, 0);
	}
	if (w->end == BSTACK_END_NO_MAPPING && !w->state.ip)
		w->is_sure = 1;
	if (!w->end)
		w->end = BSTACK_END_TRUNCATED;
	return w->cnt;
}

/* One page of the stack's memory. 1 ends the loop: what lies behind an unreadable page is of no use. */
static long stack_step(u32 i, void *unused)
{
	struct scratch *sc = scratch_here();
	u64 base;
	u32 at;

	if (!sc)
		return 1;
	base = sc->walk.state.sp & ~(u64)(BSTACK_STACK_PAGE - 1);
	at = sc->walk.rest_off + i * BSTACK_STACK_PAGE;
	if (at > BSTACK_DATA_SZ - BSTACK_STACK_PAGE ||
	    bpf_probe_read_user(sc->data + at, BSTACK_STACK_PAGE,
				(void *)(base + (u64)i * BSTACK_STACK_PAGE)))
		return 1;
	sc->sample.stack_sz = (i + 1) * BSTACK_STACK_PAGE;
	return 0;
}

/* Values of the registers that are saved below the memory that is sent. */
static __always_inline void state_settle(struct unwind_state *s)
{
	for (u32 i = 0; i < BSTACK_REGS_ALL; i++) {
		u64 value;

		if (!(s->stored & (1U << i)) || UNWIND_READ(s->regs[i], &value))
			continue;
		s->regs[i] = value;
		s->stored &= ~(1U << i);
	}
}

/* Registers and memory of a walk that lacks a table, to data[off]. */
static __always_inline void stack_send(struct scratch *sc, u32 off)
{
	struct walk *w = &sc->walk;

	KEEP(off);
	if (w->is_sure || off > BSTACK_SAMPLE_DATA_MAX ||
	    bpf_ringbuf_query(&samples, BPF_RB_AVAIL_DATA) + sizeof(*sc) > settings.stack_room)
		return;
	state_settle(&w->state);
	*(struct unwind_state *)(sc->data + off) = w->state;
	w->rest_off = off + sizeof(w->state);
	bpf_loop(BSTACK_STACK_PAGES, stack_step, NULL, 0);
}

#endif
