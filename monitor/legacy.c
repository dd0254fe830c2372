/*
 * Instructions that 64-bit mode has no more, or that are rare enough to be emulated: decimal adjustment, BOUND, ENTER, PUSHA/POPA,
 * LAHF/SAHF, SALC; and divisions that fail.
 *
 * Flags that the manual leaves undefined are as real CPUs leave them, measured over all inputs; tests/unit/test_legacy.c compares with the
 * host's CPU. In short: they are those of the addition or subtraction that the adjustment amounts to.
 * Invariant: memory is checked as a whole before registers change.
 */
#include "monitor/emulate.h"
#include "monitor/segment.h"
#include "shadowpt/access.h"

/* --- flags --- */

static u32 flags_szp8(u32 x)
{
	u32 f = (x & 0x80 ? EFLAGS_SF : 0) | (x & 0xff ? 0 : EFLAGS_ZF);

	return f | (__builtin_parity(x & 0xff) ? 0 : EFLAGS_PF);
}

static u32 flags_szp16(u32 x)
{
	u32 f = (x & 0x8000 ? EFLAGS_SF : 0) | (x & 0xffff ? 0 : EFLAGS_ZF);

	return f | (__builtin_parity(x & 0xff) ? 0 : EFLAGS_PF);
}

static void set_arith(struct vcpu *v, u32 f)
{
	v->hflags = f | (v->hflags & EFLAGS_DF);
}

static u32 get_ax(const struct vcpu *v)
{
	return reg_get(v, REG_EAX, 2);
}

static void set_ax(struct vcpu *v, u32 x)
{
	reg_set(v, REG_EAX, 2, x);
}

static void set_al(struct vcpu *v, u32 x)
{
	reg_set(v, REG_EAX, 1, x);
}

/* --- decimal adjustment --- */

int emu_daa(struct vcpu *v, const struct emu_insn *i)
{
	u32 al = reg_get(v, REG_EAX, 1), f = 0, add = 0, x;

	(void)i;
	if ((al & 15) > 9 || (v->hflags & EFLAGS_AF)) {
		add = 6;
		f |= EFLAGS_AF;
	}
	if (al > 0x99 || (v->hflags & EFLAGS_CF)) {
		add += 0x60;
		f |= EFLAGS_CF;
	}
	x = (al + add) & 0xff;
	f |= flags_szp8(x) | ((~(al ^ add) & (al ^ x)) & 0x80 ? EFLAGS_OF : 0);
	set_al(v, x);
	set_arith(v, f);
	return EMU_NEXT;
}

int emu_das(struct vcpu *v, const struct emu_insn *i)
{
	u32 al = reg_get(v, REG_EAX, 1), f = 0, sub = 0, x;

	(void)i;
	if ((al & 15) > 9 || (v->hflags & EFLAGS_AF)) {
		sub = 6;
		f |= EFLAGS_AF | (al < 6 ? EFLAGS_CF : 0);
	}
	if (al > 0x99 || (v->hflags & EFLAGS_CF)) {
		sub += 0x60;
		f |= EFLAGS_CF;
	}
	x = (al - sub) & 0xff;
	f |= flags_szp8(x) | (((al ^ sub) & (al ^ x)) & 0x80 ? EFLAGS_OF : 0);
	set_al(v, x);
	set_arith(v, f);
	return EMU_NEXT;
}

int emu_aaa(struct vcpu *v, const struct emu_insn *i)
{
	u32 ax = get_ax(v), add = 0, f = 0, x;

	(void)i;
	if ((ax & 15) > 9 || (v->hflags & EFLAGS_AF)) {
		add = 0x106;
		f = EFLAGS_AF | EFLAGS_CF;
	}
	x = (ax + add) & 0xffff;
	f |= flags_szp16(x) | ((~(ax ^ add) & (ax ^ x)) & 0x8000 ? EFLAGS_OF : 0);
	set_ax(v, x & 0xff0f);
	set_arith(v, f);
	return EMU_NEXT;
}

int emu_aas(struct vcpu *v, const struct emu_insn *i)
{
	u32 ax = get_ax(v), sub = 0, f = 0, x;

	(void)i;
	if ((ax & 15) > 9 || (v->hflags & EFLAGS_AF)) {
		sub = 0x106;
		f = EFLAGS_AF | EFLAGS_CF;
	}
	x = (ax - sub) & 0xffff;
	f |= flags_szp16(x) | (((ax ^ sub) & (ax ^ x)) & 0x8000 ? EFLAGS_OF : 0);
	set_ax(v, x & 0xff0f);
	set_arith(v, f);
	return EMU_NEXT;
}

int emu_aam(struct vcpu *v, const struct emu_insn *i)
{
	u32 al = reg_get(v, REG_EAX, 1), base = i->imm & 0xff;

	if (!base)
		raise_exception(v, EXC_DE);
	set_ax(v, al / base << 8 | al % base);
	set_arith(v, flags_szp8(al % base));
	return EMU_NEXT;
}

int emu_aad(struct vcpu *v, const struct emu_insn *i)
{
	u32 ax = get_ax(v), al = ax & 0xff, add = (ax >> 8) * (i->imm & 0xff) & 0xff, sum = al + add, f;

	f = flags_szp8(sum) | (sum > 0xff ? EFLAGS_CF : 0) | ((al ^ add ^ sum) & 0x10 ? EFLAGS_AF : 0);
	f |= (~(al ^ add) & (al ^ sum)) & 0x80 ? EFLAGS_OF : 0;
	set_ax(v, sum & 0xff);
	set_arith(v, f);
	return EMU_NEXT;
}

/* D6, not in the manual's tables: AL = CF ? FFh : 0, flags unchanged. */
int emu_salc(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	set_al(v, v->hflags & EFLAGS_CF ? 0xff : 0);
	return EMU_NEXT;
}

/* --- AH and the flags --- */

#define FLAGS_AH (EFLAGS_SF | EFLAGS_ZF | EFLAGS_AF | EFLAGS_PF | EFLAGS_CF)

int emu_lahf(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	reg_set(v, 4, 1, ((u32)v->hflags & FLAGS_AH) | EFLAGS_FIXED);
	return EMU_NEXT;
}

int emu_sahf(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	v->hflags = (v->hflags & EFLAGS_HOST & ~FLAGS_AH) | (reg_get(v, 4, 1) & FLAGS_AH);
	return EMU_NEXT;
}

/* --- BOUND --- */

int emu_bound(struct vcpu *v, const struct emu_insn *i)
{
	unsigned size = i->opsize;
	u32 off, second;
	s32 x, low, high;

	if (!i->has_mem)
		raise_exception(v, EXC_UD);
	off = emu_ea(v, i);
	second = i->addrsize == 2 ? (off + size) & 0xffff : off + size;
	low = (s32)seg_read(v, i->seg, off, size);
	high = (s32)seg_read(v, i->seg, second, size);
	x = (s32)reg_get(v, i->reg, size);
	if (size == 2) {
		low = (s16)low;
		high = (s16)high;
		x = (s16)x;
	}
	if (x < low || x > high)
		raise_exception(v, EXC_BR);
	return EMU_NEXT;
}

/* --- the stack --- */

static u32 stack_mask(const struct emu_insn *i)
{
	return i->stacksize == 2 ? 0xffff : 0xffffffff;
}

/* SDM Vol. 2A, ENTER: imm is the frame's size, imm2 the nesting level. */
int emu_enter(struct vcpu *v, const struct emu_insn *i)
{
	u32 size = i->opsize, mask = stack_mask(i), level = i->imm2 & 31, frame;
	u32 sp = (v->regs[REG_ESP] - size) & mask, bp = v->regs[REG_EBP];

	seg_write(v, SEG_SS, sp, v->regs[REG_EBP], size);
	frame = sp;
	if (level) {
		for (u32 n = 1; n < level; n++) {
			u32 x;

			bp -= size;
			x = (u32)seg_read(v, SEG_SS, bp & mask, size);
			sp = (sp - size) & mask;
			seg_write(v, SEG_SS, sp, x, size);
		}
		sp = (sp - size) & mask;
		seg_write(v, SEG_SS, sp, (v->regs[REG_ESP] & ~mask) | frame, size);
	}
	sp = (sp - (i->imm & 0xffff)) & mask;
	/* The instruction faults if a push at the new top of the stack would. */
	lin_probe(v, seg_linear(v, SEG_SS, sp, size, ACC_WRITE), size, ACC_WRITE | acc_cpl(v));
	reg_set(v, REG_EBP, size, (v->regs[REG_ESP] & ~mask) | frame);
	reg_set(v, REG_ESP, i->stacksize, sp);
	return EMU_NEXT;
}

/* PUSHA and POPA are eight accesses of the operand's size, each checked. */
static void check_alignment(struct vcpu *v, const struct emu_insn *i)
{
	if (access_checks_alignment(v) && (v->regs[REG_ESP] & (i->opsize - 1u)))
		raise_error(v, EXC_AC, 0);
}

/* Memory order is EDI (lowest) to EAX; the slot of ESP holds its value before the instruction. */
int emu_pusha(struct vcpu *v, const struct emu_insn *i)
{
	u32 words[8];

	check_alignment(v, i);
	for (unsigned n = 0; n < 8; n++)
		words[n] = v->regs[7 - n];
	v->regs[REG_ESP] = stack_push(v, &v->seg[SEG_SS], v->regs[REG_ESP], words, 8, i->opsize, acc_cpl(v), 0);
	return EMU_NEXT;
}

/* The slot of ESP is skipped. */
int emu_popa(struct vcpu *v, const struct emu_insn *i)
{
	u32 words[8];

	check_alignment(v, i);
	stack_read(v, v->regs[REG_ESP], words, 8, i->opsize);
	for (unsigned n = 0; n < 8; n++)
		if (7 - n != REG_ESP)
			reg_set(v, 7 - n, i->opsize, words[n]);
	reg_set(v, REG_ESP, i->stacksize, v->regs[REG_ESP] + 8 * i->opsize);
	return EMU_NEXT;
}

/* --- division, SDM Vol. 2A, DIV and IDIV --- */

/* The host's own, which does not fail: so the undefined flags are what they would have been. */
#define DIVIDE(v, insn, a, d, divisor)                                                                                                     \
	do {                                                                                                                               \
		u64 flags_ = ((v)->hflags & EFLAGS_HOST) | EFLAGS_FIXED;                                                                   \
		asm volatile("lea -128(%%rsp), %%rsp\n\tpush %2\n\tpopfq\n\t" insn "\n\tpushfq\n\tpop %2\n\tcld\n\tlea 128(%%rsp), %%rsp"  \
			     : "+a"(a), "+d"(d), "+r"(flags_)                                                                              \
			     : "c"(divisor)                                                                                                \
			     : "cc", "memory");                                                                                            \
		(v)->hflags = flags_ & EFLAGS_HOST;                                                                                        \
	} while (0)

int emu_div(struct vcpu *v, const struct emu_insn *i)
{
	u32 bits = i->opsize * 8u, divisor = emu_rm_read(v, i, i->opsize), a = v->regs[REG_EAX], d = v->regs[REG_EDX];
	u64 dividend = bits == 8 ? get_ax(v) : (u64)reg_get(v, REG_EDX, i->opsize) << bits | reg_get(v, REG_EAX, i->opsize);

	if (!divisor || dividend >> bits >= divisor)
		raise_exception(v, EXC_DE);
	if (bits == 8)
		DIVIDE(v, "divb %%cl", a, d, divisor);
	else if (bits == 16)
		DIVIDE(v, "divw %%cx", a, d, divisor);
	else
		DIVIDE(v, "divl %%ecx", a, d, divisor);
	v->regs[REG_EAX] = a;
	v->regs[REG_EDX] = d;
	return EMU_NEXT;
}

int emu_idiv(struct vcpu *v, const struct emu_insn *i)
{
	u32 bits = i->opsize * 8u, unused = 64 - bits, a = v->regs[REG_EAX], d = v->regs[REG_EDX];
	s64 divisor = (s64)((u64)emu_rm_read(v, i, i->opsize) << unused) >> unused, dividend, quotient;

	if (bits == 8)
		dividend = (s16)get_ax(v);
	else
		dividend = (s64)((((u64)reg_get(v, REG_EDX, i->opsize) << bits) | reg_get(v, REG_EAX, i->opsize)) << (64 - 2 * bits)) >>
			   (64 - 2 * bits);
	/* The host would trap at the second as well. */
	if (!divisor || (divisor == -1 && dividend == INT64_MIN))
		raise_exception(v, EXC_DE);
	quotient = dividend / divisor;
	if (quotient != (s64)((u64)quotient << unused) >> unused)
		raise_exception(v, EXC_DE);
	if (bits == 8)
		DIVIDE(v, "idivb %%cl", a, d, (u32)divisor);
	else if (bits == 16)
		DIVIDE(v, "idivw %%cx", a, d, (u32)divisor);
	else
		DIVIDE(v, "idivl %%ecx", a, d, (u32)divisor);
	v->regs[REG_EAX] = a;
	v->regs[REG_EDX] = d;
	return EMU_NEXT;
}
