/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cmd.c - what the commands share: messages, help, the end of stdout. */
#include "cmd/cmd.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "profile/model.h"

/* Length of the UTF-8 character at s that is no control character, or 0. */
static size_t printable(const unsigned char *s)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	uint32_t c = len == 1 ? s[0] : s[0] & (0x7fu >> len);
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	if (s[0] >= 0xf8 || (s[0] >= 0x80 && s[0] < 0xc2))
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c < least[len] || c > 0x10ffff ||
	    (c >= 0xd800 && c < 0xe000))
		return 0;
	return len;
}

/* Text that came from outside, made harmless for a terminal, in place. */
static void clean(char *text)
{
	unsigned char *s = (unsigned char *)text;

	while (*s) {
		size_t len = printable(s);

		if (!len)
			*s = '?';
		s += len ? len : 1;
	}
}

static void say(const struct command *self, char *text)
{
	clean(text);
	fflush(stdout);
	fprintf(stderr, "bstack%s%s: %s\n", self ? " " : "", self ? self->name : "", text);
}

void cmd_say(const struct command *self, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(self, text);
}

static void tell(const struct command *self, const struct error *e)
{
	if (e->text[0])
		cmd_say(self, "%s%s%s", e->text, e->advice[0] ? "; " : "", e->advice);
}

int cmd_fail(const struct command *self, const struct error *e)
{
	tell(self, e);
	return EXIT_FAILED;
}

int cmd_usage(const struct command *self, const struct error *e)
{
	tell(self, e);
	return EXIT_USAGE;
}

int cmd_no_memory(const struct command *self)
{
	struct error e = {};

	error_errno(&e, ENOMEM, "cannot start");
	return cmd_fail(self, &e);
}

void cmd_warn_cut(const struct command *self, const struct model *m, const char *name)
{
	if (m->is_cut)
		cmd_say(self,
			"%s was cut: its recording did not end in order, so the last second may "
			"be missing; this is what came before",
			name);
}

/* Columns of the terminal, within what is readable; 0 when stdout is none. */
static unsigned int terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return 0;
	if (size.ws_col < 60)
		return 60;
	return size.ws_col > 100 ? 100 : size.ws_col;
}

int cmd_flush(const struct command *self)
{
	struct error e = {};
	int err = 0;

	errno = 0;
	if (fflush(stdout) || ferror(stdout))
		err = errno ? errno : EIO;
	if (!err)
		return EXIT_DONE;
	if (err != EPIPE)
		error_errno(&e, err, "cannot write standard output");
	return cmd_fail(self, &e);
}

bool cmd_parse(const struct command *self, int argc, char **argv, void *into, int *ret_first,
	       int *ret_code)
{
	struct error e = {};
	int err = opt_parse(self, argc, argv, into, ret_first, &e);

	if (!err)
		return true;
	if (err > 0) {
		help_write(self, stdout, terminal_width());
		*ret_code = cmd_flush(self);
	} else {
		*ret_code = err == -EINVAL ? cmd_usage(self, &e) : cmd_fail(self, &e);
	}
	return false;
}

void cmd_line(int argc, char **argv, struct buf *ret)
{
	buf_str(ret, "bstack");
	for (int i = 0; i < argc; i++) {
		buf_char(ret, ' ');
		buf_str(ret, argv[i]);
	}
}
