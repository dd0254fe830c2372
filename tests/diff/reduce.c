/*
 * Reducing failures, see reduce.h. Code is reduced for many failures at a time, each batch holding all variants of all of them; state and
 * memory for one at a time, for they share the batch's memory contents.
 */
#include "tests/diff/reduce.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tests/diff/known.h"

#define ROUNDS 12u

struct batch *reduce_batch(const struct reducer *d, u32 n, const u8 *keep, int *fd)
{
	struct batch *b = batch_new(n, fd);

	b->low = d->low;
	gen_pages(d->gen, b->pristine);
	if (!keep)
		return b;
	for (u32 i = 0; i < KEEP_BYTES * 8; i++)
		if (!(keep[i / 8] >> i % 8 & 1))
			memset((u8 *)b->pristine + i * GRANULE, 0, GRANULE);
	return b;
}

/* --- code --- */

static unsigned instruction_length(const struct reducer *d, const u8 *p, unsigned left)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(d->gen), p, left, &in, ops)) ? in.length : 1;
}

static struct test_case without(const struct test_case *c, unsigned at, unsigned n)
{
	struct test_case r = *c;

	memmove(r.code + at, r.code + at + n, r.length - at - n);
	r.length -= n;
	memset(r.code + r.length, 0, CODE_MAX - r.length);
	return r;
}

/* Smaller versions of c: less one instruction, only the first ones, less one prefix. Returns their number. */
static u32 variants(const struct reducer *d, const struct test_case *c, struct test_case *v, u32 max)
{
	u32 n = 0;

	for (unsigned at = 0, len; at < c->length; at += len) {
		len = instruction_length(d, c->code + at, c->length - at);
		if (len > c->length - at)
			len = c->length - at;
		if (len == c->length)
			break;
		if (n < max)
			v[n++] = without(c, at, len);
		if (n < max && at)
			v[n++] = without(c, at, c->length - at);
	}
	for (unsigned at = 0; at < c->length && n < max && strchr("\x26\x2e\x36\x3e\x66\x67\xf0\xf2\xf3", c->code[at]) && c->code[at]; at++)
		v[n++] = without(c, at, 1);
	return n;
}

#define VARIANTS 40u

/* One round: every case in the list is replaced by its shortest failing variant. True if any got shorter. */
static bool code_round(const struct reducer *d, struct failure *f, u32 n)
{
	struct test_case *v = calloc(n * VARIANTS, sizeof(*v));
	u32 *owner = calloc(n * VARIANTS, sizeof(*owner)), total = 0;
	struct outcome o;
	struct batch *b;
	bool shorter = false;
	int fd;

	if (!v || !owner)
		exit(2);
	for (u32 i = 0; i < n; i++) {
		u32 k = variants(d, &f[i].c, v + total, VARIANTS);

		while (k--)
			owner[total++] = i;
	}
	if (total) {
		b = reduce_batch(d, total, NULL, &fd);
		memcpy(batch_cases(b), v, total * sizeof(*v));
		o = batch_run(d->paths, b, fd);
		for (u32 i = 0; i < o.count; i++) {
			const struct mismatch *m = &o.list[i];
			struct failure *x = &f[owner[m->index]], y = *x;

			y.c = v[m->index];
			y.want = batch_results(b)[m->index];
			y.got = m->got;
			y.died = m->died;
			if (y.c.length >= x->c.length || failure_is_known(d->gen, &y))
				continue;
			*x = y;
			shorter = true;
		}
		free(o.list);
		batch_free(b, fd);
	}
	free(v);
	free(owner);
	return shorter;
}

void reduce_code(const struct reducer *d, struct failure *f, u32 n)
{
	for (unsigned round = 0; n && round < ROUNDS; round++)
		if (!code_round(d, f, n))
			return;
}

/* --- state --- */

void reduce_plain(struct state32 *s)
{
	memset(s, 0, sizeof(*s));
	s->regs[4] = STACK + 0x1000;
	s->eip = CODE_BASE + 0x100;
	s->eflags = 0x202;
	s->fx[0] = 0x7f;
	s->fx[1] = 3;
	s->fx[24] = 0x80;
	s->fx[25] = 0x1f;
}

/* A part of the state that is made plain as a whole: bytes, or bits of one dword. */
struct part {
	u32 offset, size, bits;
};

static u32 list_parts(struct part *p)
{
	static const u32 flags[] = {1, 4, 0x10, 0x40, 0x80, 0x400, 0x800, 0x40000};
	static const struct part fx[] = {{0, 4, 0}, {4, 1, 0}, {24, 4, 0}};
	u32 n = 0, fx_at = offsetof(struct state32, fx);

	for (unsigned i = 0; i < 8; i++)
		p[n++] = (struct part){offsetof(struct state32, regs) + 4 * i, 4, 0};
	p[n++] = (struct part){offsetof(struct state32, eip), 4, 0};
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		p[n++] = (struct part){offsetof(struct state32, eflags), 4, flags[i]};
	for (unsigned i = 0; i < sizeof(fx) / sizeof(fx[0]); i++)
		p[n++] = (struct part){fx_at + fx[i].offset, fx[i].size, 0};
	for (unsigned i = 0; i < 16; i++)
		p[n++] = (struct part){fx_at + 32 + 16 * i, 16, 0};
	return n;
}

#define PARTS 40u

/* True if that changes anything. */
static bool apply(struct state32 *s, const struct part *p)
{
	struct state32 plain, before = *s;
	u32 x;

	reduce_plain(&plain);
	if (p->bits) {
		memcpy(&x, (u8 *)s + p->offset, 4);
		x &= ~p->bits;
		memcpy((u8 *)s + p->offset, &x, 4);
	} else {
		memcpy((u8 *)s + p->offset, (u8 *)&plain + p->offset, p->size);
	}
	return memcmp(&before, s, sizeof(before)) != 0;
}

/* Which of n versions of f fail, as bits; the first failing one's results go into f if n is 1. */
static u64 still_fails(const struct reducer *d, struct failure *f, const struct test_case *v, u32 n, const u8 *keep)
{
	struct outcome o;
	struct batch *b;
	u64 failing = 0;
	int fd;

	b = reduce_batch(d, n, keep, &fd);
	memcpy(batch_cases(b), v, n * sizeof(*v));
	o = batch_run(d->paths, b, fd);
	for (u32 i = 0; i < o.count; i++) {
		struct failure y = *f;

		y.c = v[o.list[i].index];
		y.want = batch_results(b)[o.list[i].index];
		y.got = o.list[i].got;
		y.died = o.list[i].died;
		if (failure_is_known(d->gen, &y))
			continue;
		failing |= 1ull << o.list[i].index;
		if (n == 1) {
			memcpy(y.keep, keep, sizeof(y.keep));
			*f = y;
		}
	}
	free(o.list);
	batch_free(b, fd);
	return failing;
}

static void plain_registers(const struct reducer *d, struct failure *f)
{
	struct part parts[PARTS], tried[PARTS];
	struct test_case v[PARTS], all = f->c;
	u32 count = list_parts(parts), n = 0;
	u64 failing;

	for (u32 i = 0; i < count; i++) {
		v[n] = f->c;
		if (apply(&v[n].in, &parts[i]))
			tried[n++] = parts[i];
	}
	if (!n)
		return;
	failing = still_fails(d, f, v, n, f->keep);
	for (u32 i = 0; i < n; i++)
		if (failing >> i & 1)
			apply(&all.in, &tried[i]);
	/* Each of them alone may be left out; if not all together, then one by one. */
	if (still_fails(d, f, &all, 1, f->keep))
		return;
	for (u32 i = 0; i < n; i++) {
		struct test_case one = f->c;

		if (failing >> i & 1 && apply(&one.in, &tried[i]))
			still_fails(d, f, &one, 1, f->keep);
	}
}

/* Granules first .. first + n - 1 of keep; true if any was set. */
static bool clear(u8 *keep, u32 first, u32 n)
{
	bool any = false;

	for (u32 i = first; i < first + n; i++) {
		any |= keep[i / 8] >> i % 8 & 1;
		keep[i / 8] &= (u8) ~(1u << i % 8);
	}
	return any;
}

static void plain_memory(const struct reducer *d, struct failure *f)
{
	u8 keep[KEEP_BYTES] = {0};

	if (still_fails(d, f, &f->c, 1, keep))
		return;
	for (u32 n = 4096 / GRANULE; n; n /= 2) {
		for (u32 first = 0; first < KEEP_BYTES * 8; first += n) {
			memcpy(keep, f->keep, sizeof(keep));
			if (clear(keep, first, n))
				still_fails(d, f, &f->c, 1, keep);
		}
	}
}

void reduce_state(const struct reducer *d, struct failure *f)
{
	plain_registers(d, f);
	plain_memory(d, f);
}
