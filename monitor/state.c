/*
 * The byte stream of saved states.
 *
 * Invariants: pos <= len <= cap; once `error` is set every get yields zeros and moves nothing. Fields are written and read byte by byte,
 * least significant first, so that the format does not depend on the host's layout of structures.
 */
#include "monitor/state.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"

#define SECTION_NAME_MAX 63

void state_init(struct state *s)
{
	memset(s, 0, sizeof(*s));
}

void state_free(struct state *s)
{
	free(s->data);
	memset(s, 0, sizeof(*s));
}

static void state_grow(struct state *s, size_t n)
{
	size_t cap = s->cap ? s->cap : 256;
	u8 *data;

	if (n <= s->cap - s->len)
		return;
	while (cap - s->len < n) {
		if (cap > SIZE_MAX / 2)
			fatal("a saved state grows beyond the host's address space");
		cap *= 2;
	}
	data = realloc(s->data, cap);
	if (!data)
		fatal("no memory for a saved state of %zu bytes", cap);
	s->data = data;
	s->cap = cap;
}

void state_put(struct state *s, const void *p, size_t n)
{
	if (n == 0)
		return;
	state_grow(s, n);
	memcpy(s->data + s->len, p, n);
	s->len += n;
}

static void put_le(struct state *s, u64 x, unsigned n)
{
	u8 b[8];

	for (unsigned i = 0; i < n; i++)
		b[i] = (u8)(x >> (8 * i));
	state_put(s, b, n);
}

void state_put_u8(struct state *s, u8 x)
{
	put_le(s, x, 1);
}

void state_put_u16(struct state *s, u16 x)
{
	put_le(s, x, 2);
}

void state_put_u32(struct state *s, u32 x)
{
	put_le(s, x, 4);
}

void state_put_u64(struct state *s, u64 x)
{
	put_le(s, x, 8);
}

void state_get(struct state *s, void *p, size_t n)
{
	if (n == 0)
		return;
	if (s->error || n > s->len - s->pos) {
		s->error = true;
		memset(p, 0, n);
		return;
	}
	memcpy(p, s->data + s->pos, n);
	s->pos += n;
}

static u64 get_le(struct state *s, unsigned n)
{
	u8 b[8];
	u64 x = 0;

	state_get(s, b, n);
	for (unsigned i = 0; i < n; i++)
		x |= (u64)b[i] << (8 * i);
	return x;
}

u8 state_get_u8(struct state *s)
{
	return (u8)get_le(s, 1);
}

u16 state_get_u16(struct state *s)
{
	return (u16)get_le(s, 2);
}

u32 state_get_u32(struct state *s)
{
	return (u32)get_le(s, 4);
}

u64 state_get_u64(struct state *s)
{
	return get_le(s, 8);
}

/* On the wire: u8 length of the name, the name, u32 version. */
void state_put_section(struct state *s, const char *name, u32 version)
{
	size_t n = strlen(name);

	if (n == 0 || n > SECTION_NAME_MAX || version == 0)
		fatal("a section of a saved state needs a name of 1 to %d characters and a version", SECTION_NAME_MAX);
	state_put_u8(s, (u8)n);
	state_put(s, name, n);
	state_put_u32(s, version);
}

u32 state_get_section(struct state *s, const char *name)
{
	char buf[SECTION_NAME_MAX + 1] = {0};
	unsigned n = state_get_u8(s);
	u32 version;

	if (n == 0 || n > SECTION_NAME_MAX) {
		s->error = true;
		return 0;
	}
	state_get(s, buf, n);
	version = state_get_u32(s);
	if (s->error || version == 0 || strlen(name) != n || memcmp(buf, name, n) != 0) {
		s->error = true;
		return 0;
	}
	return version;
}
