/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_pprof.c - a profile's message (not compressed, or as it is when the input begins like gzip) into a model; and
 * what was read, written and read again: the same samples.
 */
#include "fuzz.h"
#include "profile/folded.h"
#include "profile/pprof.h"

struct total {
	uint64_t count, weight;
};

static struct total model_check(const struct model *m)
{
	struct total t = {};

	for (size_t i = 0; i < m->location_cnt; i++) {
		const struct location *l = &m->locations[i];

		FUZZ_CHECK(l->mapping == MODEL_NONE || l->mapping < m->mapping_cnt);
		FUZZ_CHECK(l->first_line <= m->line_cnt &&
			   l->line_cnt <= m->line_cnt - l->first_line);
	}
	for (size_t i = 0; i < m->line_cnt; i++)
		FUZZ_CHECK(m->lines[i].function < m->function_cnt);
	for (size_t i = 0; i < m->frame_cnt; i++)
		FUZZ_CHECK(m->frames[i].location < m->location_cnt &&
			   m->frames[i].evidence < EVID_CNT && m->frames[i].reason < REASON_CNT);
	for (size_t i = 0; i < m->stack_cnt; i++)
		FUZZ_CHECK(m->stacks[i].first_frame <= m->frame_cnt &&
			   m->stacks[i].frame_cnt <= m->frame_cnt - m->stacks[i].first_frame);
	for (size_t i = 0; i < m->sample_cnt; i++) {
		const struct sample *s = &m->samples[i];

		FUZZ_CHECK(s->stack < m->stack_cnt && s->cause < CAUSE_CNT &&
			   s->outcome < OUTCOME_CNT && s->stop < STOP_CNT);
		t.count += s->count;
		t.weight += s->weight;
	}
	FUZZ_CHECK(t.count <= INT64_MAX && t.weight <= INT64_MAX);
	return t;
}

/* What folded_write says, by a null device: it must not fail. */
static void fold(const struct model *m)
{
	static FILE *null;

	if (!null)
		null = fopen("/dev/null", "w");
	FUZZ_CHECK(null && !folded_write(m, &(struct folded_opts){ .with_module = true }, null));
}

static void again(const struct model *m, struct total was)
{
	struct error e = {};
	struct model copy;
	struct total t;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && !model_init(&copy));
	FUZZ_CHECK(!pprof_write(m, fd, &e) && !lseek(fd, 0, SEEK_SET));
	if (pprof_read(fd, "again", &copy, &e)) {
		fprintf(stderr, "%s\n", e.text);
		FUZZ_CHECK(!"what was written can be read");
	}
	t = model_check(&copy);
	FUZZ_CHECK(t.count == was.count && t.weight == was.weight);
	FUZZ_CHECK(copy.sample_cnt <= m->sample_cnt && copy.has_ledger == m->has_ledger);
	model_release(&copy);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = fuzz_fd(data, size);
	struct error e = {};
	struct model m;

	FUZZ_CHECK(!model_init(&m));
	if (!pprof_read(fd, "input", &m, &e)) {
		struct total t = model_check(&m);

		fold(&m);
		again(&m, t);
	} else {
		FUZZ_CHECK(e.text[0]);
	}
	model_release(&m);
	close(fd);
	return 0;
}
