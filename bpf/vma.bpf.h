/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vma.bpf.h - executable mappings of the current address space, found without its lock.
 *
 * The maple tree of mappings and all that hangs on it is read under RCU, in which BPF programs run; from Linux 6.4 the
 * kernel itself looks up mappings in this way when it handles a page fault (lock_vma_under_rcu). A writer marks a mapping
 * before it changes or removes it: its vm_lock_seq becomes the address space's mm_lock_seq, which moves on when the writer is
 * done. So a mapping that is not marked now and whose vm_lock_seq is the same behind all reads was not changed meanwhile; nor
 * was its memory given to another one, whose vm_lock_seq starts anew.
 *
 * The order of reads is that of the program on x86; elsewhere it would take a barrier that BPF does not have.
 */
#ifndef BSTACK_VMA_BPF_H
#define BSTACK_VMA_BPF_H

/* From 6.2, and so wherever mappings have the mark: reads through the result need no call, and cannot fault. */
#ifndef BSTACK_NO_KFUNCS
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;
#define AS(type, p) \
	((struct type *)bpf_rdonly_cast((void *)(p), bpf_core_type_id_kernel(struct type)))
#else
#define AS(type, p) ((struct type *)(p))
#endif

#define BARRIER() asm volatile("" : : : "memory")

/* A pointer to a node of the tree carries its type (lib/maple_tree.c). */
#define TREE_LEVELS    12 /* far more than the mappings that a process may have */
#define NODE_SZ        256
#define NODE_WORD_MASK (NODE_SZ / 8 - 1)
#define NODE_TYPE(e)   ((e) >> 3 & 15)
#define NODE_LEAF      1
#define NODE_RANGE     2
#define NODE_ARANGE    3
#define IS_NODE(e)     (((e)&3) == 2 && (e) > 4096)

struct tree_walk {
	u64 *node; /* NODE_SZ bytes to read one to */
	u64 addr;
	u64 at; /* the node to read next; then what was found */
	bool is_found;
};

/* The slot of a node that holds addr: the first whose pivot, its last address, is not below. A pivot of 0 is unused. */
static __always_inline u64 node_find(const u64 *node, u64 addr, u32 pivots, u32 slots, u32 cnt)
{
	u32 i;

	for (i = 0; i < cnt; i++) {
		u64 pivot = node[(pivots / 8 + i) & NODE_WORD_MASK];

		if (pivot >= addr || !pivot)
			break;
	}
	return node[(slots / 8 + i) & NODE_WORD_MASK];
}

static long tree_step(u32 unused, struct tree_walk *w)
{
	u64 type = NODE_TYPE(w->at);

	if (bpf_probe_read_kernel(w->node, NODE_SZ, (void *)(w->at & ~(NODE_SZ - 1ULL))))
		return 1;
	if (type == NODE_ARANGE) {
		w->at = node_find(w->node, w->addr,
				  bpf_core_field_offset(struct maple_arange_64, pivot),
				  bpf_core_field_offset(struct maple_arange_64, slot), 9);
	} else if (type == NODE_LEAF || type == NODE_RANGE) {
		w->at = node_find(w->node, w->addr,
				  bpf_core_field_offset(struct maple_range_64, pivot),
				  bpf_core_field_offset(struct maple_range_64, slot), 15);
	} else {
		return 1;
	}
	w->is_found = type == NODE_LEAF;
	return w->is_found;
}

/* *ret: what the tree has at addr, a vm_area_struct or 0. False: it is no tree that we can read. node: NODE_SZ bytes of scratch. */
static __always_inline bool tree_find(struct mm_struct *mm, u64 addr, u64 *node, u64 *ret)
{
	struct tree_walk w = { .node = node, .addr = addr, .at = (u64)mm->mm_mt.ma_root };

	if (!IS_NODE(w.at))
		return false; /* fewer than two mappings */
	bpf_loop(TREE_LEVELS, tree_step, &w, 0);
	*ret = w.at;
	return w.is_found;
}

static __always_inline u64 ctime_ns(struct inode *inode)
{
	if (bpf_core_field_exists(((struct inode___6_11 *)0)->i_ctime_sec)) {
		struct inode___6_11 *i = (void *)inode;

		return (u64)i->i_ctime_sec * 1000000000 + (i->i_ctime_nsec & CTIME_NSEC_MASK);
	}
	if (bpf_core_field_exists(((struct inode___6_6 *)0)->__i_ctime)) {
		struct inode___6_6 *i = (void *)inode;

		return (u64)i->__i_ctime.tv_sec * 1000000000 + i->__i_ctime.tv_nsec;
	}
	if (bpf_core_field_exists(((struct inode___6_5 *)0)->i_ctime)) {
		struct inode___6_5 *i = (void *)inode;

		return (u64)i->i_ctime.tv_sec * 1000000000 + i->i_ctime.tv_nsec;
	}
	return 0;
}

static __always_inline u64 mount_of(struct file *file)
{
	u64 mnt = (u64)file->f_path.mnt;

	if (!mnt)
		return 0;
	return AS(mount___6_8, mnt - bpf_core_field_offset(struct mount___6_8, mnt))->mnt_id_unique;
}

/* By the numbers that /proc shows; the time of change, and the mount, are of the file whose bytes are mapped. */
static __always_inline void vma_file_read(struct file *file, struct bstack_vma *ret)
{
	struct inode *inode = file->f_inode, *shown = inode;

	if (bpf_core_field_exists(((struct backing_file___6_7 *)0)->user_path) &&
	    file->f_mode & FMODE_BACKING)
		shown = AS(backing_file___6_7, file)->user_path.dentry->d_inode;
	ret->kind = BSTACK_VMA_FILE;
	ret->file.ino = shown->i_ino;
	ret->file.dev = shown->i_sb->s_dev;
	ret->file.mount = mount_of(file);
	ret->file.generation = inode->i_generation;
	ret->file.ctime_ns = ctime_ns(inode);
}

enum vma_state {
	VMA_UNREAD,  /* nobody knows */
	VMA_NONE,    /* none, or none that is executable */
	VMA_IN_FLUX, /* *ret, but a writer has marked it, or did while it was read */
	VMA_HERE,    /* *ret, unchanged since `since` */
};

/*
 * The executable mapping at addr, `since` being the sequence of a moment ago. *ret_seq, with VMA_HERE: the sequence in which
 * this was so, or BSTACK_KNOWN_NONE.
 */
static __always_inline enum vma_state vma_at(struct mm_struct *mm, u64 addr, u64 since, u64 *node,
					     struct bstack_vma *ret, u64 *ret_seq)
{
	struct lock_state before, now, after;
	struct vm_area_struct *vma;
	u32 mark;
	u64 at;

	lock_state_read(mm, &before);
	if (!tree_find(mm, addr, node, &at))
		return VMA_UNREAD;
	if (!at)
		return VMA_NONE;
	vma = AS(vm_area_struct, at);
	mark = ((struct vm_area_struct___6_4 *)vma)->vm_lock_seq;
	BARRIER();
	lock_state_read(mm, &now);
	BARRIER();
	ret->start = vma->vm_start;
	ret->end = vma->vm_end;
	ret->off = vma->vm_pgoff << 12;
	ret->kind = BSTACK_VMA_OTHER;
	__builtin_memset(&ret->file, 0, sizeof(ret->file));
	ret->is_in_flux = 0;
	if (vma->vm_file)
		vma_file_read(vma->vm_file, ret);
	else if (bpf_core_field_exists(mm->context.vdso) && ret->start == (u64)mm->context.vdso &&
		 vma->vm_ops) /* else: memory put in its place */
		ret->kind = BSTACK_VMA_VDSO;
	if (!(vma->vm_flags & VM_EXEC) || (u64)vma->vm_mm != (u64)mm || addr < ret->start ||
	    addr >= ret->end)
		return VMA_NONE;
	BARRIER();
	if (mark - (u32)since <= (u32)now.seq - (u32)since || /* of a writer of meanwhile */
	    mark != ((struct vm_area_struct___6_4 *)vma)->vm_lock_seq)
		return VMA_IN_FLUX;
	lock_state_read(mm, &after);
	*ret_seq = before.seq == after.seq && is_steady(mm, &before) && is_steady(mm, &after)
			   ? before.seq
			   : BSTACK_KNOWN_NONE;
	return VMA_HERE;
}

static __always_inline bool has_vmas(void)
{
#if defined(BSTACK_NO_KFUNCS)
	int version = LINUX_KERNEL_VERSION; /* for the skeleton, which has a map for it */

	KEEP(version);
	return false;
#elif defined(__TARGET_ARCH_x86)
	return bpf_core_field_exists(((struct vm_area_struct___6_4 *)0)->vm_lock_seq) &&
	       bpf_core_field_exists(((struct mount___6_8 *)0)->mnt_id_unique);
#else
	return false;
#endif
}

#endif
