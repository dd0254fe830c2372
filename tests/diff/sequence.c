/*
 * Sequences: branches, loops, calls and returns, runs of pushes and pops, code that changes itself.
 */
#include <string.h>

#include "tests/diff/making.h"

/* In front of the instructions that a branch skips: its displacement is set once they are there. */
static void append_branch(struct making *m)
{
	struct test_case *c = m->c;
	u8 op[6] = {0};
	unsigned n, near = rand_below(&m->r, 10), start;

	if (near < 4) {
		op[0] = (u8)(0x70 | rand_below(&m->r, 16));
		n = 2;
	} else if (near < 7) {
		op[0] = 0x0f;
		op[1] = (u8)(0x80 | rand_below(&m->r, 16));
		n = 6;
	} else {
		/* LOOPNE, LOOPE, LOOP, JECXZ */
		op[0] = (u8)(0xe0 | rand_below(&m->r, 4));
		n = 2;
		if (!(m->pinned & 2) && !(m->written & 2) && rand_below(&m->r, 2))
			pin(m, 1, rand_below(&m->r, 3));
		m->written |= 2;
	}
	append(c, op, n);
	start = c->length;
	append_insn(m, any_form(m));
	if (start <= CODE_MAX - 16 && start >= n)
		c->code[start - (n == 2 ? 1 : 4)] = (u8)(c->length - start);
}

/* A backward loop of one instruction. */
static void append_loop(struct making *m)
{
	struct test_case *c = m->c;
	unsigned start = c->length;
	u8 op[2] = {(u8)(0xe0 | rand_below(&m->r, 3))};
	u32 written;

	if (!is_free(m, 1))
		return;
	pin(m, 1, 1 + rand_below(&m->r, 5));
	written = m->written;
	append_insn(m, any_form(m));
	if ((m->written & ~written & 2) || c->length > CODE_MAX - 16)
		return;
	op[1] = (u8)(start - c->length - 2);
	append(c, op, 2);
	m->written |= 2;
}

static void append_op32(struct test_case *c, u8 op, u32 x)
{
	u8 bytes[5] = {op, (u8)x, (u8)(x >> 8), (u8)(x >> 16), (u8)(x >> 24)};

	append(c, bytes, 5);
}

/* Calls, returns and indirect jumps, all to the place right behind them or a little farther. */
static void append_transfer(struct making *m)
{
	struct test_case *c = m->c;
	unsigned kind = rand_below(&m->r, 6), n = rand_below(&m->r, 8);
	u32 here = c->in.eip + c->length, skip = rand_below(&m->r, 3);
	static const u8 fill[3] = {0x90, 0x40, 0xf9};

	if (m->written & 0x10 || c->length > CODE_MAX - 24)
		return;
	switch (kind) {
	case 0: /* call +skip */
		append_op32(c, 0xe8, skip);
		break;
	case 1: /* push ; ret */
		append_op32(c, 0x68, here + 6 + skip);
		append(c, (const u8[]){0xc3}, 1);
		break;
	case 2: /* push ; ret n */
		append_op32(c, 0x68, here + 8 + skip);
		append(c, (const u8[]){0xc2, (u8)(n * 4), 0}, 3);
		break;
	case 3: /* mov reg, target ; jmp/call reg */
		append_op32(c, (u8)(0xb8 | n), here + 7 + skip);
		append(c, (const u8[]){0xff, (u8)((rand_below(&m->r, 2) ? 0xe0 : 0xd0) | n)}, 2);
		m->written |= 1u << n;
		break;
	case 4: /* push ; jmp/call [esp] */
		append_op32(c, 0x68, here + 8 + skip);
		append(c, (const u8[]){0xff, rand_below(&m->r, 2) ? 0x24 : 0x14, 0x24}, 3);
		break;
	default: /* jmp */
		append_op32(c, 0xe9, skip);
		break;
	}
	append(c, fill, skip);
	if (skip > 1)
		m->written |= 1;
}

static unsigned any_register(struct making *m)
{
	unsigned n = rand_below(&m->r, 8);

	/* ESP less often: what is loaded into it leads nowhere. */
	return n == 4 && rand_below(&m->r, 4) ? 0 : n;
}

static void wrote(struct making *m, unsigned n)
{
	m->written |= 1u << n;
}

/* op reg, [esp + disp8] */
static void append_esp_operand(struct making *m, u8 op, unsigned reg)
{
	u8 disp = (u8)((rand_below(&m->r, 17) - 8) * 4 + (rand_below(&m->r, 8) ? 0 : rand_below(&m->r, 4)));

	append(m->c, (const u8[]){op, (u8)(0x44 | reg << 3), 0x24, disp}, 4);
}

/* One instruction that has to do with ESP. */
static void append_stack_insn(struct making *m)
{
	struct test_case *c = m->c;
	unsigned n = any_register(m);
	u32 imm = value_integer(&m->r);

	switch (rand_below(&m->r, 22)) {
	case 0:
	case 1:
	case 2:
		append(c, (const u8[]){(u8)(0x50 | n)}, 1);
		break;
	case 3:
	case 4:
	case 5:
		append(c, (const u8[]){(u8)(0x58 | n)}, 1);
		wrote(m, n);
		break;
	case 6:
		append(c, (const u8[]){0x6a, (u8)imm}, 2);
		break;
	case 7:
		append_op32(c, 0x68, imm);
		break;
	case 8:
		append_esp_operand(m, 0xff, 6); /* push */
		break;
	case 9:
		append_esp_operand(m, 0x8f, 0); /* pop */
		break;
	case 10:
		append_esp_operand(m, 0x8b, n); /* mov */
		wrote(m, n);
		break;
	case 11:
		append_esp_operand(m, (u8)(rand_below(&m->r, 8) << 3 | rand_below(&m->r, 2)), n); /* add, or, adc, ... */
		break;
	case 12: /* add, or, adc, ... esp, imm8 */
		append(c, (const u8[]){0x83, (u8)(0xc4 | (rand_below(&m->r, 3) ? 0x28 : rand_below(&m->r, 8) << 3)), (u8)(imm & 0x1c)}, 3);
		break;
	case 13:
		append_esp_operand(m, 0x8d, rand_below(&m->r, 2) ? 4 : n); /* lea */
		wrote(m, n);
		break;
	case 14: /* mov reg, esp */
		append(c, (const u8[]){0x89, (u8)(0xe0 | n)}, 2);
		wrote(m, n);
		break;
	case 15: /* 16 bits */
		append(c, (const u8[]){0x66, (u8)(0x50 | rand_below(&m->r, 2) << 3 | n)}, 2);
		wrote(m, n);
		break;
	case 16: /* pushf, popf */
		append(c, (const u8[]){0x66, (u8)(0x9c | rand_below(&m->r, 2))}, 2);
		break;
	case 17:
		append(c, (const u8[]){(u8)(0x9c | rand_below(&m->r, 2))}, 1);
		break;
	case 18: /* pusha, seldom popa */
		append(c, (const u8[]){rand_below(&m->r, 4) ? 0x60 : 0x61}, 1);
		if (c->code[c->length - 1] == 0x61)
			m->written |= 0xef;
		break;
	case 19:
		append_esp_operand(m, 0x87, n); /* xchg */
		wrote(m, n);
		break;
	case 20: /* push fs, gs */
		append(c, (const u8[]){0x0f, rand_below(&m->r, 2) ? 0xa0 : 0xa8}, 2);
		break;
	default: /* inc, dec, call, push [esp + disp8] as they come */
		append_esp_operand(m, 0xff, rand_below(&m->r, 2));
		break;
	}
}

/* Instructions that carry flags from one to the next, without memory. */
static void append_flag_insn(struct making *m)
{
	static const u8 ops[] = {0x11, 0x13, 0x19, 0x1b, 0xd1, 0xd3}; /* adc, sbb, and rotations by 1 and by CL */
	u8 op = ops[rand_below(&m->r, sizeof(ops))];
	unsigned from = any_register(m), to = any_register(m);

	append(m->c, (const u8[]){op, (u8)(0xc0 | from << 3 | to)}, 2);
	m->written |= 1u << from | 1u << to;
}

/* Pushes, pops and what else moves or uses ESP, with other instructions in between. */
static void make_stack_run(struct making *m)
{
	unsigned count = 2 + rand_below(&m->r, 9);

	if (rand_below(&m->r, 4) == 0 && !(m->pinned & 0x10))
		m->c->in.regs[4] = (rand_below(&m->r, 2) ? STACK : STACK + 0x2000) + (rand_below(&m->r, 13) - 6) * 4;
	for (unsigned k = 0; k < count; k++) {
		switch (rand_below(&m->r, 12)) {
		case 0:
		case 1:
			append_insn(m, any_form(m));
			break;
		case 2:
			append_flag_insn(m);
			break;
		case 3:
			append_transfer(m);
			break;
		case 4:
			append_branch(m);
			break;
		default:
			append_stack_insn(m);
			break;
		}
	}
}

#define SLED 4u

/* One-byte instructions that may stand for each other. */
static void sled(struct making *m, u8 *p, unsigned n)
{
	static const u8 ops[] = {0x40, 0x41, 0x42, 0x43, 0x45, 0x46, 0x47, 0x48, 0x49,
				 0x4a, 0x4b, 0x4d, 0x4e, 0x4f, 0x90, 0x98, 0xf5, 0xf9};

	while (n--)
		p[n] = ops[rand_below(&m->r, sizeof(ops))];
}

/*
 * Code that changes itself: a store into one-byte instructions in front of it (about to run) or behind it (in a loop: they have run).
 * A string instruction in the third form.
 */
static void append_self_change(struct making *m)
{
	struct test_case *c = m->c;
	unsigned kind = rand_below(&m->r, 3), gap = rand_below(&m->r, 3), wide = rand_below(&m->r, 2), size = wide ? 10 : 7;
	u8 store[10] = {wide ? 0xc7 : 0xc6, 5}, bytes[SLED + 2];
	u32 here = c->in.eip + c->length, at;

	if (c->length > CODE_MAX - 40)
		return;
	sled(m, bytes, sizeof(bytes));
	sled(m, store + 6, SLED);
	if (kind == 0) {
		at = here + size + gap + (wide ? 0 : rand_below(&m->r, SLED));
		memcpy(store + 2, &at, 4);
		append(c, store, size);
		append(c, bytes, gap + SLED);
	} else if (kind == 1) {
		append_op32(c, 0xb9, 1 + rand_below(&m->r, 4)); /* mov ecx */
		at = here + 5 + (wide ? 0 : rand_below(&m->r, SLED));
		for (unsigned i = 0; i < SLED; i++) {
			/* ECX counts. */
			bytes[i] = (bytes[i] & 0xf7) == 0x41 ? 0x90 : bytes[i];
			store[6 + i] = (store[6 + i] & 0xf7) == 0x41 ? 0x40 : store[6 + i];
		}
		memcpy(store + 2, &at, 4);
		append(c, bytes, SLED);
		append(c, store, size);
		append(c, (const u8[]){0xe2, (u8) - (SLED + size + 2)}, 2);
	} else {
		/* cld ; mov edi, sled ; mov ecx, n ; mov al, op ; rep stosb */
		append(c, (const u8[]){0xfc}, 1);
		append_op32(c, 0xbf, here + 15 + gap);
		append_op32(c, 0xb9, 1 + rand_below(&m->r, SLED));
		append(c, (const u8[]){0xb0, store[6], 0xf3, 0xaa}, 4);
		append(c, bytes, gap + SLED);
	}
	m->written |= 0xef;
}

void make_sequence(struct making *m)
{
	unsigned count = 2 + rand_below(&m->r, 7);

	if (rand_below(&m->r, 5) < 2) {
		make_stack_run(m);
		return;
	}
	for (unsigned k = 0; k < count; k++) {
		switch (rand_below(&m->r, 20)) {
		case 0:
		case 1:
		case 2:
		case 3:
			append_branch(m);
			break;
		case 4:
		case 5:
			append_loop(m);
			break;
		case 6:
		case 7:
			append_transfer(m);
			break;
		case 8:
			append_stack_insn(m);
			break;
		case 9:
			append_self_change(m);
			break;
		case 10:
			append_flag_insn(m);
			break;
		case 11:
			append_odd(m);
			break;
		default:
			append_insn(m, any_form(m));
			break;
		}
	}
}
