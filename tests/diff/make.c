/*
 * Making single instructions, see making.h.
 */
#include <string.h>

#include "tests/diff/making.h"

static void note_written(struct making *m, const struct insn *i)
{
	for (unsigned k = 0; k < i->in.operand_count; k++) {
		const ZydisDecodedOperand *op = &i->ops[k];

		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		switch (ZydisRegisterGetClass(op->reg.value)) {
		case ZYDIS_REGCLASS_GPR8:
			m->written |= 1u << ((op->reg.value - ZYDIS_REGISTER_AL) & 3);
			break;
		case ZYDIS_REGCLASS_GPR16:
		case ZYDIS_REGCLASS_GPR32:
			/* Pushes and pops leave ESP where it is useful. */
			if (reg_number(op->reg.value) != 4 || op->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN)
				m->written |= 1u << reg_number(op->reg.value);
			break;
		default:
			break;
		}
	}
	if (i->in.mnemonic == ZYDIS_MNEMONIC_POPAD || i->in.mnemonic == ZYDIS_MNEMONIC_POPA)
		m->written |= 0xef;
	if (i->in.mnemonic == ZYDIS_MNEMONIC_LEAVE || i->in.mnemonic == ZYDIS_MNEMONIC_ENTER)
		m->written |= 0x30;
}

static unsigned put_prefixes(struct making *m, const struct form *f, u8 *p)
{
	static const u8 segments[] = {0x3e, 0x26, 0x36, 0x2e, 0x64, 0x65};
	unsigned n = 0;

	if (rand_below(&m->r, 12) == 0)
		p[n++] = segments[rand_below(&m->r, 6)];
	if (m->g->low && rand_below(&m->r, 12) == 0)
		p[n++] = 0x67;
	if (f->code.memory && rand_below(&m->r, 6) == 0)
		p[n++] = 0xf0;
	if (rand_below(&m->r, 40) == 0)
		p[n++] = rand_below(&m->r, 2) ? 0xf2 : 0xf3;
	if (f->code.prefix)
		p[n++] = f->code.prefix;
	return n;
}

static unsigned put_operands(struct making *m, const struct form *f, u8 *p)
{
	unsigned n = 0;
	u32 immediates[2] = {value_integer(&m->r), value_integer(&m->r)};

	if (f->code.has_modrm) {
		if (!f->code.memory)
			p[n++] = f->code.fixed_rm ? f->code.modrm : (u8)(f->code.modrm | rand_below(&m->r, 8));
		else
			p[n++] = (u8)((f->code.modrm & 0x38) | rand_below(&m->r, 3) << 6 | rand_below(&m->r, 8));
		if (f->code.memory) {
			/* What is not a SIB byte counts as displacement or immediate. */
			u32 sib = rand_u32(&m->r);

			p[n++] = (u8)sib;
		}
	}
	memcpy(p + n, immediates, 8);
	return n + 8;
}

static bool make_insn(struct making *m, const struct form *f, struct insn *i)
{
	u32 pinned = m->pinned, regs[8];

	memcpy(regs, m->c->in.regs, sizeof(regs));
	for (unsigned tries = 0; tries < 20; tries++) {
		memset(i, 0, sizeof(*i));
		unsigned n = put_prefixes(m, f, i->bytes);
		n += opcode_put(i->bytes + n, &f->code);
		n += put_operands(m, f, i->bytes + n);
		if (decode(m->g, i, n > 15 ? 15 : n) && tested(i) && solve_operands(m, i) && decode(m->g, i, 15)) {
			note_written(m, i);
			return true;
		}
		m->pinned = pinned;
		memcpy(m->c->in.regs, regs, sizeof(regs));
	}
	return false;
}

const struct form *any_form(struct making *m)
{
	const struct generator *g = m->g;
	u32 n;

	if (rand_below(&m->r, 2))
		return &g->forms[rand_below(&m->r, g->form_count)];
	/* All mnemonics alike, be they of one form or of hundreds. */
	n = rand_below(&m->r, g->group_count);
	return &g->forms[g->group[n] + rand_below(&m->r, g->group[n + 1] - g->group[n])];
}

void append(struct test_case *c, const u8 *bytes, unsigned n)
{
	if (c->length + n > CODE_MAX)
		return;
	memcpy(c->code + c->length, bytes, n);
	c->length += n;
}

void append_insn(struct making *m, const struct form *f)
{
	struct insn i;

	if (make_insn(m, f, &i))
		append(m->c, i.bytes, i.in.length);
}

static bool is_comparable(const struct making *m, const u8 *bytes, unsigned n)
{
	struct insn i = {0};

	memcpy(i.bytes, bytes, n > 15 ? 15 : n);
	/* What Zydis does not know is undefined on both sides. */
	return !decode(m->g, &i, 15) || tested(&i);
}

/* Bytes at random behind a few prefixes; mostly undefined. */
static void append_bytes(struct making *m)
{
	u8 bytes[16];
	unsigned n = rand_below(&m->r, 3), map = rand_below(&m->r, 5);

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (u8)rand_u32(&m->r);
	for (unsigned i = 0; i < n; i++)
		bytes[i] = rand_below(&m->r, 2) ? 0x66 : (u8)(0xf0 | (2 + rand_below(&m->r, 2)));
	if (map)
		bytes[n++] = 0x0f;
	if (map > 2)
		bytes[n] = map == 3 ? 0x38 : 0x3a;
	if (is_comparable(m, bytes, sizeof(bytes)))
		append(m->c, bytes, sizeof(bytes));
}

void append_odd(struct making *m)
{
	static const u8 prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
	struct insn i;
	u8 bytes[40];
	unsigned kind = rand_below(&m->r, 8), n, length;

	if (kind == 0) {
		append_bytes(m);
		return;
	}
	if (!make_insn(m, any_form(m), &i))
		return;
	if (kind == 1) {
		/* Around the limit of 15 bytes, with prefixes that change nothing but the segment. */
		length = 13 + rand_below(&m->r, 5);
		n = length > i.in.length ? length - i.in.length : 0;
		for (unsigned k = 0; k < n; k++)
			bytes[k] = prefixes[5 + rand_below(&m->r, rand_below(&m->r, 4) ? 4 : 6)];
	} else {
		n = 1 + rand_below(&m->r, 4);
		for (unsigned k = 0; k < n; k++)
			bytes[k] = prefixes[rand_below(&m->r, sizeof(prefixes))];
		/* Twice the same. */
		if (n > 1 && kind < 4)
			bytes[1] = bytes[0];
	}
	memcpy(bytes + n, i.bytes, sizeof(i.bytes));
	if (is_comparable(m, bytes, n + sizeof(i.bytes)))
		append(m->c, bytes, n + i.in.length);
}
