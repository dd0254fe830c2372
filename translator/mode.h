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

u32 mode_compute(const struct vcpu *v);

#endif
