/*
 * The translator's working state for one TU, shared by its files. Not for users of the translator: they want translate.h.
 */
#ifndef RINGER_XLATE_H
#define RINGER_XLATE_H

#include <Zydis/Zydis.h>

#include "cache/tc.h"
#include "monitor/vcpu.h"
#include "translator/decode.h"
#include "translator/mode.h"

/* Out-of-line code, emitted behind the hot part. */
enum cold_kind {
	COLD_READ,    /* table miss of a read: call the miss thunk, run the hot instruction */
	COLD_WRITE,   /* table miss of a write: run a copy of the instruction on the bounce buffer, commit */
	COLD_SEG,     /* segment that needs checking */
	COLD_TSC,     /* RDTSC by its callout, then go on: it has begun, and is undone first */
	COLD_CALLOUT, /* the whole instruction by its callout, then go on */
	COLD_EXIT,    /* a taken branch: exit to target */
	COLD_CHAIN,   /* an unchained exit */
	COLD_STI,     /* STI with events pending */
	COLD_EVENT,   /* POPF that enabled interrupts with events pending */
};

struct cold {
	enum cold_kind kind;
	u8 slot;
	u8 insn; /* number of the instruction in the TU */
	bool write;
	bool waits;	      /* a pending x87 exception comes before any fault of the access */
	bool aligned;	      /* COLD_READ, COLD_WRITE: so does the #GP of an operand that is not aligned to 16 bytes */
	u32 site;	      /* rx address of the rel32 field that leads here */
	u32 op_start, op_end; /* rx addresses: the instruction that the access belongs to, and behind it */
	u32 start;	      /* rx address of the stub, when it has been emitted */
	u32 eip;	      /* target or next EIP */
	u32 index;	      /* exit or emu_insn */
};

/*
 * How the access that begin_access opened is written as an x86-64 operand: [base + index * scale + disp], 64-bit, or, `window`, the same
 * with the prefixes 65 67: computed modulo 2^32 and based at the guest's window; or with 65 alone, if it can be only a little too large or
 * too small.
 */
struct ref {
	bool window;
	u8 base, index, scale;
	s32 disp;
};

#define MAX_COLD (TU_MAX_INSNS * 6)

struct xlate {
	struct vcpu *v;
	struct tc *tc;
	struct tu *tu;
	u32 mode;
	const u8 *page; /* that the TU begins in */

	u8 *start; /* rw address of the TU's head */
	u8 *p;	   /* next byte */
	u32 rx;	   /* rx address of start */

	ZydisDecodedInstruction in;
	ZydisDecodedOperand *ops; /* its in.operand_count operands; the decoder's */
	u8 bytes[16];		  /* of the instruction */
	u32 eip;		  /* of the instruction */
	u32 next_eip;
	unsigned insn;	/* its number */
	bool guilty;	/* it has cost too many signals (window.h) */
	bool direct;	/* it accesses memory through the window: MODE_DIRECT, and it is not guilty */
	struct ref ref; /* of the access in hand */
	s32 esp_off;	/* the guest's ESP is r15d + esp_off: pushes and pops of a run move r15d once, behind it */
	bool defers;	/* the instruction leaves r15d to a later one */
	bool sti;	/* the last instruction was STI, expanded in the TC */
	bool end;	/* the TU ends behind it: control has been transferred */

	struct cold cold[MAX_COLD];
	unsigned cold_count;

	struct decoder decoder;
};

static inline u32 meta(const struct xlate *x)
{
	return tu_index(x->tc, x->tu) << 8 | x->insn;
}
static inline bool cs32(const struct xlate *x)
{
	return x->mode & MODE_CS32;
}
static inline unsigned mode_cpl(const struct xlate *x)
{
	return x->mode & MODE_CPL;
}
/* FISTTP came with SSE3, and is an x87 instruction all the same. */
static inline bool is_x87(const ZydisDecodedInstruction *in)
{
	return in->meta.isa_ext == ZYDIS_ISA_EXT_X87 || in->mnemonic == ZYDIS_MNEMONIC_FISTTP;
}
/* Which registers there are is asked for each operand of each instruction: the library's answer is a search and a call. */
static inline bool is_gpr32(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_EDI;
}
static inline bool is_gpr16(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_DI;
}
static inline bool is_gpr8(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BH;
}
static inline bool is_mmx(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_MM0 && r <= ZYDIS_REGISTER_MM7;
}
static inline bool is_xmm(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_XMM0 && r <= ZYDIS_REGISTER_XMM7;
}
static inline bool is_flags(ZydisRegister r)
{
	return r == ZYDIS_REGISTER_EFLAGS || r == ZYDIS_REGISTER_FLAGS;
}
static inline struct tu_insn *cur_insn(struct xlate *x)
{
	return tu_insn(x->tc, x->tu, x->insn);
}

/* ---- operand.c ---- */
/*
 * Prepares access number `slot` to memory operand `op` (its size and direction go into the TU's tables). Leaves the linear address in r8d,
 * or, in the direct flavour where segment and address size allow it, nothing but x->ref. Clobbers r9, r10.
 */
void emit_linear(struct xlate *x, const ZydisDecodedOperand *op, unsigned slot, u32 size, u32 dir);
/* r8d holds an offset in `seg`, not above FFFFh if `low`: makes it linear, as above. */
void emit_segment(struct xlate *x, unsigned seg, unsigned slot, u32 size, u32 dir, bool low);
/* Stack accesses: SS:(register + n). */
void emit_stack_linear(struct xlate *x, unsigned reg, s32 n, unsigned slot, u32 size, u32 dir);
/*
 * Opens the access: looks r8 up in the flat table in the checked flavour (clobbers r9, r10). x->ref is the operand from here on. The op
 * that follows must be closed by end_access. NULL in the direct flavour.
 */
struct cold *begin_access(struct xlate *x, unsigned slot);
void end_access(struct xlate *x, struct cold *c);
/* An instruction on the access in hand: p66 the operand-size prefix, map 0 or 0x0f, reg the ModRM.reg field. */
void emit_op_ref(struct xlate *x, bool p66, u8 map, u8 opcode, unsigned reg);
/* mov reg, the access in hand; 2 bytes are zero-extended. */
void emit_load(struct xlate *x, unsigned reg, unsigned size);
/* Re-emits the current instruction for 64-bit mode; its memory operand, if any, becomes x->ref. */
void emit_ident(struct xlate *x, bool mem);
/* The operand size, 2 or 4, of an instruction that has no 8-bit form. */
static inline unsigned opsize(const struct xlate *x)
{
	return x->in.operand_width == 16 ? 2 : 4;
}
static inline bool is_segment(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value >= ZYDIS_REGISTER_ES && op->reg.value <= ZYDIS_REGISTER_GS;
}
/* Reads the memory operand into a register (zero-extended). */
void load_operand(struct xlate *x, const ZydisDecodedOperand *mem, unsigned reg, unsigned size);
/* The whole of an ordinary instruction: address, look-up, re-emitted instruction. */
void lower_generic(struct xlate *x);
/* Accesses of direction dir through segment register seg need no base and no check. */
bool is_flat(const struct xlate *x, unsigned seg, u32 dir);
const ZydisDecodedOperand *explicit_mem(const struct xlate *x);
unsigned seg_number(ZydisRegister r);
unsigned gpr_number(ZydisRegister r);

/* ---- lower_string.c ---- */
void lower_string(struct xlate *x);

/* ---- lower_system.c ---- */
void lower_pop_seg(struct xlate *x);
void lower_mov_to_seg(struct xlate *x);
void lower_mov_from_seg(struct xlate *x);
void lower_sldt(struct xlate *x);
void lower_str(struct xlate *x);
void lower_smsw(struct xlate *x);
void lower_sgdt(struct xlate *x);
void lower_sidt(struct xlate *x);
void lower_load_far_ptr(struct xlate *x);
void lower_clts(struct xlate *x);
void lower_mov_from_cr(struct xlate *x);
void lower_push_seg(struct xlate *x);
void lower_pushf(struct xlate *x);
void lower_popf(struct xlate *x);
void lower_cli(struct xlate *x);
void lower_sti(struct xlate *x);
void lower_direction(struct xlate *x);
void lower_rdtsc(struct xlate *x);

/* ---- control.c ---- */
void emit_exit(struct xlate *x, u32 target);
void emit_jcc_exit(struct xlate *x, u32 opcode, u32 target);
/* EIP in r8d: through the jump cache. */
void emit_exit_indirect(struct xlate *x);
struct cold *new_cold(struct xlate *x, enum cold_kind kind);
void emit_cold(struct xlate *x);
/* Calls an emulation handler; `end`: control does not come back. */
void emit_callout(struct xlate *x, emu_fn *fn, bool end);
u32 new_emu(struct xlate *x, emu_fn *fn);
/* Calls the handler of one that new_emu made. */
void emit_call_emu(struct xlate *x, u32 index);
/* Pushes host register src (or imm if src is NO_REG); src must not be r8..r10. */
void emit_push(struct xlate *x, unsigned src, u32 imm, unsigned size);
/* Pops into a register, without moving ESP. */
void emit_pop(struct xlate *x, unsigned reg, unsigned size);
void emit_add_esp(struct xlate *x, s32 n);
/* Brings r15d up to date: before whatever looks at it, and before control leaves the TU. */
void emit_esp(struct xlate *x);

/* ---- insn.c ---- */
void lower_insn(struct xlate *x);

#endif
