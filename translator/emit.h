/*
 * Emitting x86-64 bytes. Host registers are numbered 0..15 as in the architecture; guest register n lives in host register n, but ESP (4)
 * in r15.
 */
#ifndef RINGER_EMIT_H
#define RINGER_EMIT_H

#include "translator/xlate.h"

enum { R8 = 8, R9, R10, R11, R12, R13, R14, R15, RCX = 1 };
#define NO_REG 0xff

static inline unsigned host_reg(unsigned guest)
{
	return guest == REG_ESP ? R15 : guest;
}
static inline void e1(struct xlate *x, u32 b)
{
	*x->p++ = (u8)b;
}
static inline void e4(struct xlate *x, u32 d)
{
	__builtin_memcpy(x->p, &d, 4);
	x->p += 4;
}
#define EB(x, ...)                                                                                                                         \
	do {                                                                                                                               \
		static const u8 eb_[] = {__VA_ARGS__};                                                                                     \
		__builtin_memcpy((x)->p, eb_, sizeof(eb_));                                                                                \
		(x)->p += sizeof(eb_);                                                                                                     \
	} while (0)

/* The rx address of the next byte. */
static inline u32 here(const struct xlate *x)
{
	return x->rx + (u32)(x->p - x->start);
}
/* A rel32 field to an rx or text address. */
static inline void rel32(struct xlate *x, u64 to)
{
	e4(x, (u32)to - (here(x) + 4));
}
static inline void emit_jmp(struct xlate *x, u64 to)
{
	e1(x, 0xe9);
	rel32(x, to);
}
static inline void emit_call(struct xlate *x, void (*thunk)(void))
{
	e1(x, 0xe8);
	rel32(x, (u64)thunk);
}
/* Fills in the rel32 field at rx address `site`. */
static inline void patch_rel32(struct xlate *x, u32 site, u32 to)
{
	u32 d = to - (site + 4);
	__builtin_memcpy(x->start + (site - x->rx), &d, 4);
}

/* ModRM + SIB + displacement of [base + index * scale + disp]; reg is the low three bits of the other operand. base or index may be NO_REG.
 */
static inline void emit_mem(struct xlate *x, unsigned reg, unsigned base, unsigned index, unsigned scale, s32 disp)
{
	unsigned ss = scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
	unsigned mod = disp == 0 && (base & 7) != 5 ? 0 : disp >= -128 && disp < 128 ? 1 : 2;
	reg = (reg & 7) << 3;
	if (base == NO_REG) {
		/* No RIP-relative form: a SIB byte without base. */
		e1(x, 0x04 | reg);
		e1(x, ss << 6 | (index == NO_REG ? 4 : index & 7) << 3 | 5);
		e4(x, (u32)disp);
		return;
	}
	if (index == NO_REG && (base & 7) != 4) {
		e1(x, mod << 6 | reg | (base & 7));
	} else {
		e1(x, mod << 6 | reg | 4);
		e1(x, ss << 6 | (index == NO_REG ? 4 : index & 7) << 3 | (base & 7));
	}
	if (mod == 1)
		e1(x, (u32)disp);
	else if (mod == 2)
		e4(x, (u32)disp);
}
static inline unsigned rex_bits(unsigned reg, unsigned base, unsigned index)
{
	return (reg >= 8 && reg != NO_REG ? 4 : 0) | (index >= 8 && index != NO_REG ? 2 : 0) | (base >= 8 && base != NO_REG ? 1 : 0);
}
/* op reg, [base + index * scale + disp] or the reverse, with a one-byte opcode; w: 64-bit. */
static inline void emit_op_mem(struct xlate *x, bool w, u32 opcode, unsigned reg, unsigned base, unsigned index, unsigned scale, s32 disp)
{
	unsigned rex = rex_bits(reg, base, index) | (w ? 8 : 0);
	if (rex)
		e1(x, 0x40 | rex);
	e1(x, opcode);
	emit_mem(x, reg, base, index, scale, disp);
}
/* mov between a register and a field of the vCPU, 32 bits. */
static inline void emit_load_v(struct xlate *x, unsigned reg, size_t offset)
{
	emit_op_mem(x, false, 0x8b, reg, R14, NO_REG, 1, (s32)offset);
}
static inline void emit_store_v(struct xlate *x, unsigned reg, size_t offset)
{
	emit_op_mem(x, false, 0x89, reg, R14, NO_REG, 1, (s32)offset);
}
/* lea dst32, [...] */
static inline void emit_lea32(struct xlate *x, unsigned dst, unsigned base, unsigned index, unsigned scale, s32 disp)
{
	emit_op_mem(x, false, 0x8d, dst, base, index, scale, disp);
}
/* mov dst32, imm32 */
static inline void emit_mov_imm(struct xlate *x, unsigned dst, u32 imm)
{
	if (dst >= 8)
		e1(x, 0x41);
	e1(x, 0xb8 | (dst & 7));
	e4(x, imm);
}
/* mov dst, src; 32 or 64 bits */
static inline void emit_mov(struct xlate *x, bool w, unsigned dst, unsigned src)
{
	unsigned rex = rex_bits(src, dst, NO_REG) | (w ? 8 : 0);
	if (rex)
		e1(x, 0x40 | rex);
	e1(x, 0x89);
	e1(x, 0xc0 | (src & 7) << 3 | (dst & 7));
}
/* movzx dst32, src16 */
static inline void emit_movzx16(struct xlate *x, unsigned dst, unsigned src)
{
	unsigned rex = rex_bits(dst, src, NO_REG);
	if (rex)
		e1(x, 0x40 | rex);
	e1(x, 0x0f);
	e1(x, 0xb7);
	e1(x, 0xc0 | (dst & 7) << 3 | (src & 7));
}
/* mov dst16, src16: leaves the upper half of dst alone */
static inline void emit_mov16(struct xlate *x, unsigned dst, unsigned src)
{
	e1(x, 0x66);
	emit_mov(x, false, dst, src);
}
/* pext/pdep dst32, src32, [r14 + offset]: VEX.LZ.F3/F2.0F38.W0 F5 /r */
static inline void emit_pext_v(struct xlate *x, bool pdep, unsigned dst, unsigned src, size_t offset)
{
	e1(x, 0xc4);
	e1(x, (dst >= 8 ? 0 : 0x80) | 0x40 | 0x00 | 0x02); /* R, X, B (r14: B = 0), map 0F38 */
	e1(x, (~src & 15) << 3 | (pdep ? 3 : 2));
	e1(x, 0xf5);
	emit_mem(x, dst, R14, NO_REG, 1, (s32)offset);
}

#endif
