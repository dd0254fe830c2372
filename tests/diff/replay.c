/*
 * Cases on the command line, see replay.h.
 */
#include "tests/diff/replay.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/diff/reduce.h"

static const char *const names[10] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags"};

/* regs, eip and eflags lie in a row. */
_Static_assert(offsetof(struct state32, eip) == 32 && offsetof(struct state32, eflags) == 36, "names");

static void print_hex(const u8 *p, u32 n)
{
	for (u32 i = 0; i < n; i++)
		printf("%02x", p[i]);
}

static bool kept(const struct failure *f, u32 granule)
{
	return f->keep[granule / 8] >> granule % 8 & 1;
}

static void print_keep(const struct failure *f)
{
	const char *separator = " --keep ";

	for (u32 page = 0; page < PAGES; page++) {
		for (u32 i = 0, n; i < 4096 / GRANULE; i += n + 1) {
			for (n = 0; i + n < 4096 / GRANULE && kept(f, page * 4096 / GRANULE + i + n);)
				n++;
			if (!n)
				continue;
			printf("%s%x+%x", separator, page_address[page] + i * GRANULE, n * GRANULE);
			separator = ",";
		}
	}
}

void replay_print(const struct failure *f, u64 seed, const char *accel)
{
	const char *separator = " --state ";
	struct state32 plain;

	reduce_plain(&plain);
	printf("  run it: build/diff/diff --accel %s --seed %llu --code ", accel, (unsigned long long)seed);
	print_hex(f->c.code, f->c.length);
	for (unsigned i = 0; i < 10; i++) {
		if (((const u32 *)&f->c.in)[i] == ((const u32 *)&plain)[i])
			continue;
		printf("%s%s=%x", separator, names[i], ((const u32 *)&f->c.in)[i]);
		separator = ",";
	}
	separator = " --fx ";
	for (u32 i = 0, n; i < FX_SIZE; i += n + 1) {
		for (n = 0; i + n < FX_SIZE && f->c.in.fx[i + n] != plain.fx[i + n];)
			n++;
		if (!n)
			continue;
		printf("%s%x=", separator, i);
		print_hex(f->c.in.fx + i, n);
		separator = ",";
	}
	print_keep(f);
	printf("\n");
}

/* Hexadecimal digits up to the end of the text or a comma; the number of bytes, or -1. */
static int parse_bytes(const char **text, u8 *to, u32 max)
{
	u32 n = 0;

	while (**text && **text != ',') {
		char digits[3] = {(*text)[0], (*text)[1], 0};
		char *end;

		if (n == max)
			return -1;
		to[n++] = (u8)strtoul(digits, &end, 16);
		if (end != digits + 2)
			return -1;
		*text += 2;
	}
	return (int)n;
}

static bool parse_number(const char **text, u32 *x)
{
	char *end;

	*x = (u32)strtoul(*text, &end, 16);
	if (end == *text)
		return false;
	*text = end;
	return true;
}

bool replay_code(struct failure *f, const char *text)
{
	int n;

	memset(f, 0, sizeof(*f));
	reduce_plain(&f->c.in);
	n = parse_bytes(&text, f->c.code, CODE_MAX);
	f->c.length = (u32)n;
	return n > 0 && !*text;
}

static bool parse_register(struct failure *f, const char **text)
{
	for (unsigned i = 0; i < 10; i++) {
		size_t n = strlen(names[i]);

		if (strncmp(*text, names[i], n) || (*text)[n] != '=')
			continue;
		*text += n + 1;
		return parse_number(text, (u32 *)&f->c.in + i);
	}
	return false;
}

static bool parse_fx(struct failure *f, const char **text)
{
	u32 at;

	if (!parse_number(text, &at) || at >= FX_SIZE || *(*text)++ != '=')
		return false;
	return parse_bytes(text, f->c.in.fx + at, FX_SIZE - at) > 0;
}

static bool parse_keep(struct failure *f, const char **text)
{
	u32 at, n;

	if (!parse_number(text, &at) || *(*text)++ != '+' || !parse_number(text, &n) || n > 4096)
		return false;
	for (u32 i = 0; i < n; i += GRANULE)
		for (u32 page = 0; page < PAGES; page++)
			if (at + i - page_address[page] < 4096) {
				u32 granule = (page * 4096 + (at + i - page_address[page])) / GRANULE;

				f->keep[granule / 8] |= (u8)(1u << granule % 8);
			}
	return true;
}

static bool parse_list(struct failure *f, const char *text, bool (*item)(struct failure *f, const char **text))
{
	do {
		if (!item(f, &text))
			return false;
	} while (*text++ == ',');
	return !text[-1];
}

bool replay_state(struct failure *f, const char *text)
{
	return parse_list(f, text, parse_register);
}

bool replay_fx(struct failure *f, const char *text)
{
	return parse_list(f, text, parse_fx);
}

bool replay_keep(struct failure *f, const char *text)
{
	return parse_list(f, text, parse_keep);
}
