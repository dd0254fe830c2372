/*
 * The mode of a translation unit: all CPU state that the translator bakes into code. Two CPUs in the same mode may share a TU; code that
 * changes any of it ends its TU and goes through the dispatcher, which computes the mode anew.
 */
#ifndef RINGER_MODE_H
#define RINGER_MODE_H

#include "monitor/vcpu.h"

#define MODE_CPL	0x0003u
#define MODE_CS32	0x0004u /* CS.D: 32-bit operands and addresses by default */
#define MODE_SS32	0x0008u /* SS.B: pushes use ESP */
#define MODE_FLAT_SHIFT 4 /* bits 4..7: ES, CS, SS, DS (in Sreg order) have base 0 and every offset readable, and but for CS writable */
#define MODE_FLAT(seg)	(1u << (MODE_FLAT_SHIFT + (seg)))
/* CR0.MP, EM, TS and CR4.OSFXSR, as they lie there. */
#define MODE_CR0_SHIFT 7
#define MODE_CR4_SHIFT 2
#define MODE_MP	       0x0100u
#define MODE_EM	       0x0200u
#define MODE_TS	       0x0400u
#define MODE_OSFXSR    0x0800u
#define MODE_SINGLE    0x1000u /* one instruction, leaves to the dispatcher */
#define MODE_DIRECT    0x4000u /* memory operands go through the window in the GS base */
#define MODE_V86       0x8000u /* EFLAGS.VM */
#define MODE_V86_SHIFT 2
#define MODE_CS_LIMIT  0x2000u	/* CS is not 4 GiB long: the limit is checked at each entry; no chaining, no jump cache */
#define MODE_CS_64K    0x10000u /* CS is 64 KiB of 16-bit code: branches that stay below FFFFh, as all with 16-bit operands do, are linked */

#define MODE_REAL 0x20000u /* real mode, all data segments 64 KiB and writable: a selector is a paragraph, and nothing else changes */

#define MODE_NO_PE 0x80000u /* CR0.PE is clear */

#define MODE_IOPL3 0x40000u /* CPL and IOPL are 3: CLI, STI and POPF have IF in hand, as at CPL 0 */

/* What may be written may be read. */
static inline u32 mode_flat_bit(const struct vcpu *v, int seg)
{
	return ((seg == SEG_CS ? v->seg[seg].full_read : v->seg[seg].full_write) / SEG_FULL_FLAT) << (MODE_FLAT_SHIFT + seg);
}

static inline u32 mode_limit_bit(const struct segment *cs)
{
	if (likely(cs->limit == 0xffffffffu))
		return 0;
	return cs->limit == 0xffff && !(cs->attr & SEG_DB) ? MODE_CS_64K : MODE_CS_LIMIT;
}

static inline u32 mode_real_bits(const struct vcpu *v)
{
	const struct segment *s = v->seg;
	if (likely(v->cr0 & CR0_PE))
		return 0;
	u32 writable = s[SEG_ES].low_write & s[SEG_SS].low_write & s[SEG_DS].low_write & s[SEG_FS].low_write & s[SEG_GS].low_write;
	u32 longer = (s[SEG_ES].limit | s[SEG_SS].limit | s[SEG_DS].limit | s[SEG_FS].limit | s[SEG_GS].limit) >> 16;
	return MODE_NO_PE | (writable && !longer ? MODE_REAL : 0);
}

/* The mode of v, without MODE_SINGLE and MODE_DIRECT. At every change of privilege and segment load: inline, and no branches that go either
 * way in one guest. */
static inline __attribute__((always_inline)) u32 mode_compute(const struct vcpu *v)
{
	return mode_real_bits(v) | v->cpl | (v->seg[SEG_CS].attr & SEG_DB ? MODE_CS32 : 0) |
	       (v->seg[SEG_SS].attr & SEG_DB ? MODE_SS32 : 0) | mode_flat_bit(v, SEG_ES) | mode_flat_bit(v, SEG_CS) |
	       mode_flat_bit(v, SEG_SS) | mode_flat_bit(v, SEG_DS) | (v->cr0 & (CR0_MP | CR0_EM | CR0_TS)) << MODE_CR0_SHIFT |
	       (v->cr4 & CR4_OSFXSR) << MODE_CR4_SHIFT | mode_limit_bit(&v->seg[SEG_CS]) | (v->sysflags & EFLAGS_VM) >> MODE_V86_SHIFT |
	       (v->cpl == 3 && (v->sysflags & EFLAGS_IOPL) == EFLAGS_IOPL ? MODE_IOPL3 : 0);
}

#endif
