/*
 * Instructions that are emulated in C (callouts). The translator decodes an instruction once and keeps an emu_insn beside the TU;
 * translated code calls its handler with all guest registers and flags in *v.
 *
 * A handler gets v->eip = the instruction's own EIP and v->next_eip = the one behind it (already masked for 16-bit code). It raises
 * (exception.h) before it commits anything, or does its work and returns: EMU_NEXT  the instruction is done; translated code goes on behind
 * it. Allowed only when nothing that the translator baked into TUs has changed (CPL, segment registers, CR0/CR4, EFLAGS.VM/AC/TF, pages)
 * and IF was not enabled. EMU_EXIT  done, but the TU is left, for the dispatcher or, if that would have nothing to do, straight for the
 * next one; the handler has set v->eip (next_eip or the target of a transfer). Handlers run with the guest FPU in the host's registers:
 * general registers only, unless they call fpu_park(v) first. vCPU thread.
 */
#ifndef RINGER_EMULATE_H
#define RINGER_EMULATE_H

#include "monitor/exception.h"
#include "monitor/types.h"
#include "monitor/vcpu.h"

enum emu_result { EMU_NEXT, EMU_EXIT };

struct emu_insn;
typedef int emu_fn(struct vcpu *v, const struct emu_insn *i);

#define EMU_NO_REG 0xff
struct emu_insn {
	emu_fn *fn;
	u8 kind; /* enum emu_kind */
	u8 length;
	u8 opsize;	       /* 1 for byte forms, else 2 or 4 */
	u8 addrsize;	       /* 2 or 4 */
	u8 stacksize;	       /* SS.B: 2 or 4 */
	u8 opcode;	       /* last opcode byte */
	bool has_mem;	       /* ModRM names memory */
	u8 mod, reg, rm;       /* of ModRM, when there is one */
	u8 seg;		       /* effective segment of the memory operand (also of string and moffs forms: DS or the override) */
	u8 base, index, scale; /* REG_* or EMU_NO_REG; scale 1, 2, 4, 8 */
	bool rep, repne, lock;
	s32 disp;
	u32 imm;  /* first immediate, sign-extended as the instruction does; far pointers: the offset; relative branches: the target EIP */
	u32 imm2; /* second immediate (ENTER's level, far pointers' selector) */
};

/* Registers by ModRM number. 8-bit: AL CL DL BL AH CH DH BH. */
static inline u32 reg_get(const struct vcpu *v, unsigned n, unsigned size)
{
	if (size == 1)
		return n < 4 ? v->regs[n] & 0xff : v->regs[n - 4] >> 8 & 0xff;
	return size == 2 ? v->regs[n] & 0xffff : v->regs[n];
}
static inline void reg_set(struct vcpu *v, unsigned n, unsigned size, u32 x)
{
	if (size == 1) {
		u32 shift = n < 4 ? 0 : 8, *r = &v->regs[n & 3];
		*r = (*r & ~(0xffu << shift)) | (x & 0xff) << shift;
	} else if (size == 2) {
		v->regs[n] = (v->regs[n] & 0xffff0000u) | (x & 0xffff);
	} else {
		v->regs[n] = x;
	}
}

/* Offset (not linear) of the memory operand. */
static inline u32 emu_ea(const struct vcpu *v, const struct emu_insn *i)
{
	u32 ea = (u32)i->disp;
	if (i->base != EMU_NO_REG)
		ea += v->regs[i->base];
	if (i->index != EMU_NO_REG)
		ea += v->regs[i->index] * i->scale;
	return i->addrsize == 2 ? ea & 0xffff : ea;
}
/* The r/m operand, register or memory. emu_rm_write raises before it changes anything. */
static inline u32 emu_rm_read(struct vcpu *v, const struct emu_insn *i, unsigned size)
{
	return i->has_mem ? (u32)seg_read(v, i->seg, emu_ea(v, i), size) : reg_get(v, i->rm, size);
}
static inline void emu_rm_write(struct vcpu *v, const struct emu_insn *i, unsigned size, u32 x)
{
	if (i->has_mem)
		seg_write(v, i->seg, emu_ea(v, i), x, size);
	else
		reg_set(v, i->rm, size, x);
}

/* Is there an event that the dispatcher can act on now? Long instructions that can be interrupted ask it between their parts. */
static inline bool emu_event_due(const struct vcpu *v)
{
	return unlikely(v->events & (v->sysflags & EFLAGS_IF ? ~0u : ~(u32)EV_INTR));
}

/*
 * The handlers, from one table: X(name). The translator's instruction table names them as emu_NAME.
 * Far transfers, INT and IRET: monitor/far.c. Privileged and sensitive: monitor/priv.c, monitor/segment_insn.c. Legacy arithmetic (BCD,
 * BOUND...): monitor/legacy.c. Strings and what touches the FPU image: monitor/string.c, monitor/fpu_insn.c. I/O: monitor/io_insn.c.
 */
/* clang-format off */
#define EMU_HANDLERS(X)                                                                                      \
	/* far.c */                                                                                          \
	X(call_far_imm) X(call_far_mem) X(jmp_far_imm) X(jmp_far_mem) X(ret_far) /* imm = bytes to pop */    \
	X(int_n) /* imm = vector */ X(int3) X(int1) X(into) X(iret)                                          \
	X(sysenter) X(sysexit)                                                                               \
	/* segment_insn.c */                                                                                 \
	X(mov_from_seg) /* reg = Sreg; r/m16, register form zero-extends */ X(mov_to_seg)                    \
	X(pop_seg) /* reg = Sreg */ X(load_far_ptr) /* LES LDS LSS LFS LGS: imm2 = SEG_* */      \
	X(lar) X(lsl) X(verr) X(verw) X(arpl) X(lldt) X(ltr)                                  \
	X(lgdt) X(lidt)                                                                      \
	/* priv.c */                                                                                         \
	X(lmsw) X(mov_from_cr) X(mov_to_cr) X(mov_from_dr) X(mov_to_dr) /* reg = CRn/DRn, rm = GPR */ \
	X(clts) X(invlpg) X(wbinvd) /* INVD too */ X(hlt) X(rdtsc) X(rdtscp) X(rdpmc) X(rdmsr) X(wrmsr) X(cpuid) \
	X(cli) X(sti) X(pushf) X(popf) X(rsm)                                                                \
	X(ud) /* raises #UD */ X(nm) /* raises #NM */                                                        \
	/* io_insn.c: IN OUT INS OUTS with IOPL, the I/O bitmap, REP */                                      \
	X(in) X(out) /* opcode tells imm8 (imm) or DX; opsize the width */ X(ins) X(outs)                    \
	/* legacy.c */                                                                                       \
	X(daa) X(das) X(aaa) X(aas) X(aam) X(aad) X(salc) X(bound) X(enter) X(pusha) X(popa) X(lahf) X(sahf) X(div) X(idiv) \
	/* string.c: MOVS STOS LODS CMPS SCAS, with and without REP; opsize is the element */                \
	X(movs) X(stos) X(lods) X(cmps) X(scas)                                                              \
	/* fpu_insn.c */                                                                                     \
	X(fxsave) X(fxrstor) X(fnsave) X(fninit) X(frstor) X(fnstenv) X(fldenv) X(maskmovq) X(maskmovdqu) X(ldmxcsr)
/* clang-format on */

#define X(n) emu_fn emu_##n;
EMU_HANDLERS(X)
#undef X

/* Handlers by number, for statistics. */
enum emu_kind {
#define X(n) EMU_KIND_##n,
	EMU_HANDLERS(X)
#undef X
		EMU_KINDS
};
_Static_assert(EMU_KINDS <= STATS_CALLOUT_KINDS, "struct stats counts callouts by kind");

#endif
