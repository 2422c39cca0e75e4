/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* table.c - sections to rows: CIEs and FDEs found, their programs executed, the rows sorted. */
#include "unwind/table.h"
#include "unwind/cfi.h"
#include "unwind/uncovered.h"

#include <dwarf.h>
#include <gelf.h>
#include <string.h>
#include <unistd.h>

#define CIES_MAX       65536
#define SECTIONS_MAX   (1U << 20)
#define SECTION_MAX_SZ ((uint64_t)512 << 20) /* of a file with holes, which takes no room on disk */
#define STRINGS_MAX_SZ ((uint64_t)16 << 20)  /* the sections' names */
#define NAME_END       8                     /* longest augmentation string that is looked at */

void unwind_table_release(struct unwind_table *t)
{
	free(t->rows);
	free(t->rules);
	free(t->pages);
	hmap_release(&t->rule_map);
	*t = (struct unwind_table){};
}

static int rule_intern(struct unwind_table *t, const struct bstack_rule *rule, uint16_t *ret)
{
	struct hmap_iter it;
	uint64_t hash;
	int err;

	/* Most rows have the rule of one a few rows before: remember where the last ones were found. */
	for (size_t i = 0; i < ARRAY_SIZE(t->recent); i++) {
		uint16_t r = t->recent[i];

		if (r < t->rule_cnt && !memcmp(&t->rules[r], rule, sizeof(*rule))) {
			*ret = r;
			return 0;
		}
	}
	hash = hash_bytes(rule, sizeof(*rule), 5);
	for (uint32_t i = hmap_first(&t->rule_map, hash, &it); i != HMAP_NONE;
	     i = hmap_next(&t->rule_map, &it)) {
		if (!memcmp(&t->rules[i], rule, sizeof(*rule))) {
			*ret = t->recent[t->recent_next++ % ARRAY_SIZE(t->recent)] = (uint16_t)i;
			return 0;
		}
	}
	err = array_reserve(&t->rules, &t->rule_cap, t->rule_cnt + 1, sizeof(*rule),
			    UNWIND_RULES_MAX);
	if (!err)
		err = hmap_add(&t->rule_map, hash, (uint32_t)t->rule_cnt);
	if (err)
		return err;
	t->rules[t->rule_cnt] = *rule;
	*ret = (uint16_t)t->rule_cnt++;
	return 0;
}

int unwind_table_add(struct unwind_table *t, uint64_t vaddr, const struct bstack_rule *rule)
{
	struct bstack_row row = { .rule = BSTACK_RULE_NONE };
	int err;

	if (vaddr < t->base || (rule && vaddr - t->base >= UINT32_MAX))
		return 0; /* outside the file's code */
	/* What ends beyond it ends with it. */
	row.pc = vaddr - t->base < UINT32_MAX ? (uint32_t)(vaddr - t->base) : UINT32_MAX;
	/* Twice what can be kept: rows that repeat are dropped when the table is finished. */
	err = array_reserve(&t->rows, &t->row_cap, t->row_cnt + 1, sizeof(row),
			    2 * UNWIND_ROWS_MAX);
	if (!err && rule)
		err = rule_intern(t, rule, &row.rule);
	if (!err)
		t->rows[t->row_cnt++] = row;
	return err;
}

/* By pc; the end of one function before the start of the next at the same place. */
static int row_cmp(const void *a, const void *b)
{
	const struct bstack_row *x = a, *y = b;

	if (x->pc != y->pc)
		return x->pc < y->pc ? -1 : 1;
	return (x->rule != BSTACK_RULE_NONE) - (y->rule != BSTACK_RULE_NONE);
}

/* Linkers write functions in the order of their addresses, mostly. */
static bool is_sorted(const struct unwind_table *t)
{
	for (size_t i = 1; i < t->row_cnt; i++)
		if (row_cmp(&t->rows[i - 1], &t->rows[i]) > 0)
			return false;
	return true;
}

void unwind_table_finish(struct unwind_table *t)
{
	size_t kept = 0;

	if (!t->row_cnt)
		return;
	if (!is_sorted(t))
		qsort(t->rows, t->row_cnt, sizeof(*t->rows), row_cmp);
	for (size_t i = 0; i < t->row_cnt; i++) {
		if (i + 1 < t->row_cnt && t->rows[i + 1].pc == t->rows[i].pc)
			continue;
		if (kept && t->rows[kept - 1].rule == t->rows[i].rule)
			continue;
		t->rows[kept++] = t->rows[i];
	}
	t->row_cnt = kept;
}

#define PAGE_SHIFT_MIN 6

/* Pages of 2^31 bytes are the largest that can be told: code beyond needs two of them, however few rows it has. */
uint32_t unwind_table_room(const struct unwind_table *t)
{
	size_t page_cnt = (t->row_cnt + BSTACK_ROWS_A_PAGE - 1) / BSTACK_ROWS_A_PAGE;

	if (page_cnt == 1 && t->rows[t->row_cnt - 1].pc >> 31)
		page_cnt = 2;
	return (uint32_t)(page_cnt * BSTACK_ROWS_A_PAGE);
}

int unwind_table_index(struct unwind_table *t)
{
	uint32_t max = unwind_table_room(t) / BSTACK_ROWS_A_PAGE, last, row = 0;

	if (!t->row_cnt)
		return 0;
	last = t->rows[t->row_cnt - 1].pc;
	t->page_shift = PAGE_SHIFT_MIN;
	while ((last >> t->page_shift) + 1 > max)
		t->page_shift++;
	t->page_cnt = (last >> t->page_shift) + 1;
	t->pages = calloc(t->page_cnt, sizeof(*t->pages));
	if (!t->pages)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->page_cnt; i++) {
		while (row + 1 < t->row_cnt && t->rows[row + 1].pc <= i << t->page_shift)
			row++;
		t->pages[i].first = row;
		while (row + 1 < t->row_cnt && t->rows[row + 1].pc >> t->page_shift == i)
			row++;
		t->pages[i].last = row;
	}
	return 0;
}

struct bstack_module unwind_table_place(const struct unwind_table *t, struct bstack_row *rows,
					struct bstack_page *pages, struct bstack_rule *rules,
					uint32_t first_row, uint32_t first_rule)
{
	memcpy(rows + first_row, t->rows, t->row_cnt * sizeof(*rows));
	memcpy(pages + first_row / BSTACK_ROWS_A_PAGE, t->pages, t->page_cnt * sizeof(*pages));
	memcpy(rules + first_rule, t->rules, t->rule_cnt * sizeof(*rules));
	return (struct bstack_module){
		.first_row = first_row,
		.row_cnt = (uint32_t)t->row_cnt,
		.first_rule = first_rule,
		.rule_cnt = (uint32_t)t->rule_cnt,
		.page_cnt = t->page_cnt,
		.page_shift = t->page_shift,
		.instead = t->has_fp_gaps ? BSTACK_MODULE_FP : 0,
	};
}

/* The augmentation string's data: where the FDEs' pointers are told. False: not understood. */
static bool cie_augmentation(struct bytes *b, const char *aug, uint64_t vaddr,
			     const uint8_t *section, struct cie *ret)
{
	struct bytes data;
	uint64_t skip;

	if (!aug[0])
		return true;
	if (aug[0] != 'z')
		return false;
	ret->has_augmentation_data = true;
	skip = bytes_uleb(b);
	data = bytes_take(b, skip);
	for (aug++; *aug; aug++) {
		uint8_t encoding;

		switch (*aug) {
		case 'R':
			ret->encoding = (uint8_t)bytes_uint(&data, 1);
			break;
		case 'P': /* the personality: of no interest, but it stands in the way */
			encoding = (uint8_t)bytes_uint(&data, 1);
			if (!eh_pointer(&data, encoding & 0x0f,
					vaddr + (uint64_t)(data.p - section), &skip))
				return false;
			break;
		case 'L':
			bytes_uint(&data, 1);
			break;
		case 'S':
			ret->is_signal = true;
			break;
		case 'B':
			break;
		default:
			return false;
		}
	}
	return !data.is_bad && !b->is_bad;
}

/* The CIE whose body (behind its id) is b. */
static bool cie_parse(struct bytes b, uint64_t vaddr, const uint8_t *section, struct cie *ret)
{
	struct cie c = { .encoding = DW_EH_PE_absptr };
	uint8_t version = (uint8_t)bytes_uint(&b, 1);
	char aug[NAME_END + 1] = "";

	if (version != 1 && version != 3 && version != 4)
		return false;
	for (size_t i = 0;; i++) {
		char ch = (char)bytes_uint(&b, 1);

		if (!ch)
			break;
		if (i == NAME_END)
			return false;
		aug[i] = ch;
	}
	if (version == 4 && (bytes_uint(&b, 1) != 8 || bytes_uint(&b, 1) != 0))
		return false; /* addresses of 8 bytes, no segments */
	c.code_align = bytes_uleb(&b);
	c.data_align = bytes_sleb(&b);
	c.ra_reg = version == 1 ? bytes_uint(&b, 1) : bytes_uleb(&b);
	if (c.data_align < -1024 || c.data_align > 1024 || c.code_align > 1024)
		return false;
	if (!cie_augmentation(&b, aug, vaddr, section, &c) || b.is_bad)
		return false;
	c.program = b;
	*ret = c;
	return true;
}

/* CIEs by their place in the section: parsed when an FDE first names them. */
struct frames {
	const uint8_t *data;
	size_t len;
	uint64_t vaddr;
	bool is_debug;
	struct cie *cies;
	size_t *places; /* place + 1 of each; what could not be parsed has is_bad program */
	size_t cnt, cie_cap, place_cap;
	struct hmap map;
};

/* One entry: its body behind the length, and the next place. False: the section ends. */
static bool entry_get(const struct frames *f, size_t at, struct bytes *ret_body, bool *ret_is_64,
		      size_t *ret_next)
{
	struct bytes b = { .p = f->data + at, .end = f->data + f->len };
	uint64_t len = bytes_uint(&b, 4);
	bool is_64 = len == 0xffffffff;

	if (is_64)
		len = bytes_uint(&b, 8);
	if (!len || b.is_bad)
		return false;
	*ret_body = bytes_take(&b, len);
	*ret_is_64 = is_64;
	*ret_next = (size_t)(b.p - f->data);
	return !b.is_bad;
}

static const struct cie *cie_get(struct frames *f, size_t at)
{
	struct hmap_iter it;
	struct bytes body;
	struct cie c;
	bool is_64;
	uint64_t id;
	size_t next;

	for (uint32_t i = hmap_first(&f->map, hash_u64(at), &it); i != HMAP_NONE;
	     i = hmap_next(&f->map, &it))
		if (f->places[i] == at)
			return f->cies[i].program.is_bad ? NULL : &f->cies[i];
	if (at >= f->len || !entry_get(f, at, &body, &is_64, &next))
		return NULL;
	id = bytes_uint(&body, is_64 && f->is_debug ? 8 : 4);
	if (id != (!f->is_debug ? 0 : is_64 ? UINT64_MAX : UINT32_MAX))
		return NULL;
	if (array_reserve(&f->cies, &f->cie_cap, f->cnt + 1, sizeof(c), CIES_MAX) ||
	    array_reserve(&f->places, &f->place_cap, f->cnt + 1, sizeof(at), CIES_MAX) ||
	    hmap_add(&f->map, hash_u64(at), (uint32_t)f->cnt))
		return NULL;
	if (!cie_parse(body, f->vaddr, f->data, &c))
		c = (struct cie){ .program.is_bad = true };
	f->places[f->cnt] = at;
	f->cies[f->cnt++] = c;
	return c.program.is_bad ? NULL : &f->cies[f->cnt - 1];
}

/* The FDE whose body (behind its CIE pointer) is b. What is not understood leaves its function without rows. */
static int fde_parse(const struct frames *f, const struct cie *cie, struct bytes b,
		     struct unwind_table *t)
{
	uint64_t start, size, skip;
	int err;

	if (!eh_pointer(&b, cie->encoding, f->vaddr + (uint64_t)(b.p - f->data), &start) ||
	    !eh_pointer(&b, cie->encoding & 0x0f, 0, &size))
		return 0;
	if (cie->has_augmentation_data) {
		skip = bytes_uleb(&b);
		bytes_take(&b, skip);
	}
	/* Below the code: a function that the linker dropped, its address set to 0. */
	if (b.is_bad || !size || start < t->base || start > UINT64_MAX - size)
		return 0;
	err = cfi_execute(cie, b, start, start + size, t);
	return err == -ENOMEM || err == -E2BIG ? err : 0;
}

static int entry_parse(struct frames *f, size_t at, size_t *ret_next, struct unwind_table *t)
{
	const struct cie *cie;
	struct bytes body;
	uint64_t id;
	size_t id_at;
	bool is_64;

	if (!entry_get(f, at, &body, &is_64, ret_next))
		return -ENOENT;
	id_at = (size_t)(body.p - f->data);
	id = bytes_uint(&body, is_64 && f->is_debug ? 8 : 4);
	if (body.is_bad || id == (!f->is_debug ? 0 : is_64 ? UINT64_MAX : UINT32_MAX))
		return 0; /* a CIE */
	if (!f->is_debug && id > id_at)
		return 0;
	cie = cie_get(f, f->is_debug ? (size_t)id : id_at - (size_t)id);
	return cie ? fde_parse(f, cie, body, t) : 0;
}

int unwind_frames_parse(const uint8_t *data, size_t len, uint64_t vaddr, bool is_debug,
			uint64_t base, struct unwind_table *t)
{
	struct frames f = { .data = data, .len = len, .vaddr = vaddr, .is_debug = is_debug };
	size_t at = 0;
	int err = 0;

	t->base = base;
	while (!err && at < len)
		err = entry_parse(&f, at, &at, t);
	free(f.cies);
	free(f.places);
	hmap_release(&f.map);
	return err == -ENOENT ? 0 : err;
}

/* The lowest link-time address of executable code, and how many bytes of it there are. */
static bool code_base(Elf *elf, uint64_t *ret, uint64_t *ret_sz)
{
	bool is_found = false;
	GElf_Phdr ph;
	size_t cnt;

	if (elf_getphdrnum(elf, &cnt))
		return false;
	for (size_t i = 0; i < cnt; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_LOAD || !(ph.p_flags & PF_X))
			continue;
		if (!is_found || ph.p_vaddr < *ret)
			*ret = ph.p_vaddr;
		is_found = true;
		*ret_sz += ph.p_filesz;
	}
	return is_found;
}

/* A section's bytes, decompressed where they are compressed. NULL: too many, or not to be had. */
static Elf_Data *section_data(Elf_Scn *scn, const GElf_Shdr *sh)
{
	GElf_Chdr ch;

	if (sh->sh_size > SECTION_MAX_SZ)
		return NULL;
	if (!(sh->sh_flags & SHF_COMPRESSED))
		return elf_rawdata(scn, NULL);
	if (!gelf_getchdr(scn, &ch) || ch.ch_size > SECTION_MAX_SZ || elf_compress(scn, 0, 0) < 0)
		return NULL;
	return elf_getdata(scn, NULL);
}

static int section_parse(Elf *elf, const char *wanted, uint64_t base, struct unwind_table *t)
{
	Elf_Scn *scn = NULL;
	size_t strings;
	GElf_Shdr sh;

	if (elf_getshdrstrndx(elf, &strings))
		return -ENOENT;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name =
			gelf_getshdr(scn, &sh) ? elf_strptr(elf, strings, sh.sh_name) : NULL;
		Elf_Data *data;

		if (!name || strcmp(name, wanted) != 0 || sh.sh_type == SHT_NOBITS)
			continue;
		data = section_data(scn, &sh);
		if (!data || !data->d_buf || !data->d_size)
			return -ENOENT;
		return unwind_frames_parse(data->d_buf, data->d_size, sh.sh_addr, wanted[1] == 'd',
					   base, t);
	}
	return -ENOENT;
}

/* A file, or an image in memory. */
struct source {
	int fd;
	const char *image; /* NULL: a file */
	size_t sz;
};

static bool source_read(const struct source *s, void *ret, size_t len, uint64_t off)
{
	if (!s->image)
		return off <= INT64_MAX && pread(s->fd, ret, len, (off_t)off) == (ssize_t)len;
	if (off > s->sz || len > s->sz - off)
		return false;
	memcpy(ret, s->image + off, len);
	return true;
}

static bool section_read(const struct source *s, const Elf64_Ehdr *eh, uint32_t i, Elf64_Shdr *ret)
{
	return eh->e_shoff <= INT64_MAX &&
	       source_read(s, ret, sizeof(*ret), eh->e_shoff + i * sizeof(*ret));
}

/* libelf reads the sections' names as a whole, and decompresses them. */
static bool has_small_strings(const struct source *s, const Elf64_Ehdr *eh)
{
	uint32_t i = eh->e_shstrndx;
	Elf64_Shdr sh;

	if (!eh->e_shoff || i == SHN_UNDEF)
		return true;
	if (i == SHN_XINDEX) {
		if (!section_read(s, eh, 0, &sh))
			return true; /* nor will libelf find any */
		i = sh.sh_link;
	}
	return !section_read(s, eh, i, &sh) ||
	       (sh.sh_size <= STRINGS_MAX_SZ && !(sh.sh_flags & SHF_COMPRESSED));
}

/*
 * A file of this machine that libelf may see: it makes room for every section that the first one's header says there
 * are, and a file with holes holds any number.
 */
static bool is_acceptable(const struct source *s)
{
	Elf64_Ehdr eh;
	Elf64_Shdr sh;

	if (!source_read(s, &eh, sizeof(eh), 0) || memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 ||
	    eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh.e_machine != EM_X86_64 || eh.e_phnum == PN_XNUM || !has_small_strings(s, &eh))
		return false;
	return !eh.e_shoff || eh.e_shnum || !source_read(s, &sh, sizeof(sh), eh.e_shoff) ||
	       sh.sh_size <= SECTIONS_MAX;
}

static const struct bstack_rule *rule_at(const struct unwind_table *t, size_t row)
{
	uint16_t rule = t->rows[row].rule;

	return rule == BSTACK_RULE_NONE ? NULL : &t->rules[rule];
}

/* Where t has no rule, more's holds from now on. Both are finished. */
static int table_merge(struct unwind_table *t, const struct unwind_table *more)
{
	struct unwind_table out = { .base = t->base };
	const struct bstack_rule *first = NULL, *second = NULL;
	size_t i = 0, k = 0;
	int err = 0;

	while (!err && (i < t->row_cnt || k < more->row_cnt)) {
		uint32_t pc = i < t->row_cnt ? t->rows[i].pc : UINT32_MAX;

		if (k < more->row_cnt && more->rows[k].pc < pc)
			pc = more->rows[k].pc;
		if (i < t->row_cnt && t->rows[i].pc == pc)
			first = rule_at(t, i++);
		if (k < more->row_cnt && more->rows[k].pc == pc)
			second = rule_at(more, k++);
		err = unwind_table_add(&out, t->base + pc, first ? first : second);
	}
	if (err) {
		unwind_table_release(&out);
		return err;
	}
	unwind_table_finish(&out);
	unwind_table_release(t);
	*t = out;
	return 0;
}

/* Bytes of the executable sections: a segment may hold constants, too. 0: not known. */
static uint64_t sections_code_sz(Elf *elf)
{
	Elf_Scn *scn = NULL;
	uint64_t sz = 0;
	GElf_Shdr sh;

	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_flags & SHF_EXECINSTR &&
		    sh.sh_type == SHT_PROGBITS)
			sz += sh.sh_size;
	return sz;
}

/*
 * A browser's own code, say, has no unwind tables, and some libraries and assembly linked into it have: what
 * rows cover of such a file is a small part. Where they cover most, a gap is code of which nothing is known.
 */
static bool is_mostly_bare(const struct unwind_table *t, uint64_t code_sz)
{
	uint64_t covered = 0;

	for (size_t i = 0; i + 1 < t->row_cnt; i++)
		if (t->rows[i].rule != BSTACK_RULE_NONE)
			covered += t->rows[i + 1].pc - t->rows[i].pc;
	return covered < code_sz / 2;
}

/* Is the code Go's? It keeps frame pointers (since 1.7), and its .debug_frame may have been stripped. */
static bool is_go(Elf *elf)
{
	Elf_Scn *scn = NULL;
	size_t strings;
	GElf_Shdr sh;

	if (elf_getshdrstrndx(elf, &strings))
		return false;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name =
			gelf_getshdr(scn, &sh) ? elf_strptr(elf, strings, sh.sh_name) : NULL;

		if (name && (strstr(name, ".gopclntab") || !strcmp(name, ".note.go.buildid")))
			return true;
	}
	return false;
}

/* Rows of .eh_frame, and of .debug_frame for code that it does not cover. -ENOENT: of neither. */
static int sections_parse(Elf *elf, uint64_t base, struct unwind_table *t)
{
	struct unwind_table more = {};
	int err = section_parse(elf, ".eh_frame", base, t);

	if (err && err != -ENOENT)
		return err;
	t->base = base;
	unwind_table_finish(t);
	err = section_parse(elf, ".debug_frame", base, &more);
	unwind_table_finish(&more);
	if (!err && more.row_cnt)
		err = table_merge(t, &more);
	unwind_table_release(&more);
	if (err == -ENOMEM)
		return err;
	return t->row_cnt ? 0 : err ? err : -ENOENT;
}

static int elf_parse(Elf *elf, struct unwind_table *ret)
{
	struct unwind_table t = {};
	uint64_t base = 0, code_sz = 0;
	GElf_Ehdr eh;
	int err;

	if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &eh) ||
	    !code_base(elf, &base, &code_sz))
		return -ENOEXEC;
	err = sections_parse(elf, base, &t);
	if (!err)
		err = uncovered_add(elf, &t);
	t.has_fp_gaps = is_go(elf) || is_mostly_bare(&t, sections_code_sz(elf) ?: code_sz);
	if (!err)
		err = t.row_cnt > UNWIND_ROWS_MAX ? -E2BIG : unwind_table_index(&t);
	if (err) {
		unwind_table_release(&t);
		return err;
	}
	*ret = t;
	return 0;
}

int unwind_table_read(int fd, struct unwind_table *ret)
{
	Elf *elf;
	int err;

	if (!is_acceptable(&(struct source){ .fd = fd }))
		return -ENOEXEC;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL); /* read, not mapped: the file may shrink */
	err = elf_parse(elf, ret);
	elf_end(elf);
	return err;
}

int unwind_table_read_image(const void *image, size_t sz, struct unwind_table *ret)
{
	Elf *elf;
	int err;

	if (!is_acceptable(&(struct source){ .image = image, .sz = sz }))
		return -ENOEXEC;
	elf_version(EV_CURRENT);
	elf = elf_memory((char *)image, sz);
	err = elf_parse(elf, ret);
	elf_end(elf);
	return err;
}
