/*
 * Instructions that move FPU state as a whole, and the MMX/SSE store with an implicit address.
 *
 * The guest's x87, MMX and SSE state is in the host's registers, so the host's own instructions make and take the images, in a buffer of
 * the monitor's; the guest's memory is read and written through the usual accesses. What the images say about the last x87 instruction is
 * replaced: the host recorded host addresses.
 *
 * Invariants: nothing changes before the last access that can fault. An access may reach a device, for which the FPU state is saved
 * (v->fpu_loaded becomes false); so every use of the host's registers is behind fpu_load() with no access in between.
 */
#include "monitor/emulate.h"
#include "monitor/fpu.h"
#include "monitor/segment.h"
#include "shadowpt/access.h"

#define FXSAVE_SIZE    512
#define FXSAVE_WRITTEN 288 /* up to XMM7; the rest is left as it is in 32-bit modes, SDM Vol. 1 10.5.1 */
#define MXCSR_VALID    0xffffu
#define FSW_ES	       0x80u
#define FSW_TOP_SHIFT  11

struct fxsave {
	u16 fcw, fsw;
	u8 ftw, reserved0;
	u16 fop;
	u32 fip;
	u16 fcs, reserved1;
	u32 fdp;
	u16 fds, reserved2;
	u32 mxcsr, mxcsr_mask;
	u8 st[8][16];
	u8 xmm[16][16];
	u8 reserved3[96];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct fxsave) == FXSAVE_SIZE, "FXSAVE image, SDM Vol. 1 table 10-2");

/* Waiting instructions report an exception that an earlier one left pending; with CR0.NE clear the dispatcher makes FERR# of it. */
static void fpu_wait(struct vcpu *v)
{
	u16 fsw;

	fpu_load(v);
	asm volatile("fnstsw %0" : "=m"(fsw));
	if (unlikely(fsw & FSW_ES))
		raise_exception(v, EXC_MF);
}

static u32 operand(struct vcpu *v, const struct emu_insn *i, unsigned size, int acc)
{
	if (!i->has_mem)
		raise_exception(v, EXC_UD);
	return seg_linear(v, i->seg, emu_ea(v, i), size, acc);
}

/* --- FXSAVE, FXRSTOR, LDMXCSR --- */

/* The whole operand must be accessible, although its end is neither read nor written. */
static u32 fx_operand(struct vcpu *v, const struct emu_insn *i, int acc)
{
	u32 linear = operand(v, i, FXSAVE_SIZE, acc);

	if (linear & 15)
		raise_error(v, EXC_GP, 0);
	lin_probe(v, linear, FXSAVE_SIZE, acc | acc_cpl(v));
	return linear;
}

int emu_fxsave(struct vcpu *v, const struct emu_insn *i)
{
	u32 linear = fx_operand(v, i, ACC_WRITE);
	struct fxsave fx;

	fpu_load(v);
	fpu_track_live(v);
	asm volatile("fxsave %0" : "=m"(fx));
	fx.fop = v->fpu_op;
	fx.fip = v->fpu_ip;
	fx.fcs = v->fpu_cs;
	fx.fdp = v->fpu_dp;
	fx.fds = v->fpu_ds;
	fx.reserved0 = 0;
	fx.reserved1 = fx.reserved2 = 0;
	/* Bits above are extensions of the host's that the guest's CPUID does not show. */
	fx.mxcsr_mask = MXCSR_VALID;
	lin_write_buf(v, linear, &fx, FXSAVE_WRITTEN, acc_cpl(v));
	return EMU_NEXT;
}

int emu_fxrstor(struct vcpu *v, const struct emu_insn *i)
{
	u32 linear = fx_operand(v, i, ACC_READ);
	struct fxsave fx;
	u8 *rest = fx.xmm[8];
	u64 n = sizeof(fx) - FXSAVE_WRITTEN;

	lin_read_buf(v, linear, &fx, FXSAVE_WRITTEN, acc_cpl(v));
	if (fx.mxcsr & ~MXCSR_VALID)
		raise_error(v, EXC_GP, 0);
	asm volatile("rep stosb" : "+D"(rest), "+c"(n) : "a"(0) : "memory");
	v->fpu_op = fx.fop & 0x7ff;
	v->fpu_ip = fx.fip;
	v->fpu_cs = fx.fcs;
	v->fpu_dp = fx.fdp;
	v->fpu_ds = fx.fds;
	fx.fip = 0;
	/* Replaces all of the state, so what was saved meanwhile is of no interest; but FXRSTOR may leave FIP as it is, where it must
	 * become 0. */
	asm volatile("fninit\n\tfxrstor %0" : : "m"(fx));
	v->fpu_loaded = true;
	return EMU_NEXT;
}

int emu_ldmxcsr(struct vcpu *v, const struct emu_insn *i)
{
	u32 x = (u32)lin_read(v, operand(v, i, 4, ACC_READ), 4, acc_cpl(v));

	if (x & ~MXCSR_VALID)
		raise_error(v, EXC_GP, 0);
	fpu_load(v);
	asm volatile("ldmxcsr %0" : : "m"(x));
	return EMU_NEXT;
}

/*
 * --- FNSAVE, FRSTOR, FNSTENV, FLDENV: the images of SDM Vol. 1 8.1.10. Those of real and virtual-8086 mode have linear addresses, 20 or 32
 * bits long, whose upper bits share words with the opcode, in place of selectors and offsets. ---
 */

union x87_image {
	struct {
		u32 fcw, fsw, ftw, fip;
		u16 fcs, fop;
		u32 fdp, fds;
	} wide; /* 32-bit operand size: 28 bytes */
	struct {
		u16 fcw, fsw, ftw, fip, fcs, fdp, fds;
	} narrow; /* 16-bit: 14 bytes */
	struct {
		u32 fcw, fsw, ftw, fip, fip_fop, fdp, fdp_high;
	} wide_8086;
	struct {
		u16 fcw, fsw, ftw, fip, fip_fop, fdp, fdp_high;
	} narrow_8086;
	u8 bytes[108]; /* with the eight registers behind: 108 or 94 */
} __attribute__((aligned(16)));

static unsigned environment_size(const struct emu_insn *i)
{
	return i->opsize == 2 ? 14 : 28;
}

static unsigned image_size(const struct emu_insn *i)
{
	return environment_size(i) + 80;
}

static void pointers_to_image_8086(const struct vcpu *v, const struct emu_insn *i, union x87_image *x)
{
	u32 ip = v->fpu_ip, dp = v->fpu_dp;

	if (i->opsize == 2) {
		x->narrow_8086.fip = (u16)ip;
		x->narrow_8086.fip_fop = (u16)((ip >> 4 & 0xf000) | v->fpu_op);
		x->narrow_8086.fdp = (u16)dp;
		x->narrow_8086.fdp_high = dp >> 4 & 0xf000;
		return;
	}
	x->wide_8086.fip = (ip & 0xffff) | 0xffff0000u;
	x->wide_8086.fip_fop = (ip >> 4 & 0x0ffff000) | v->fpu_op;
	x->wide_8086.fdp = (dp & 0xffff) | 0xffff0000u;
	x->wide_8086.fdp_high = dp >> 4 & 0x0ffff000;
}

/* What the host gets of it has the opcode alone, where its own format has it. */
static void pointers_from_image_8086(struct vcpu *v, const struct emu_insn *i, union x87_image *x)
{
	u32 high, dp_high;

	if (i->opsize == 2) {
		high = x->narrow_8086.fip_fop;
		dp_high = x->narrow_8086.fdp_high;
		v->fpu_ip = x->narrow_8086.fip;
		v->fpu_dp = x->narrow_8086.fdp;
		x->narrow.fip = x->narrow.fcs = x->narrow.fdp = x->narrow.fds = 0;
	} else {
		high = x->wide_8086.fip_fop;
		dp_high = x->wide_8086.fdp_high;
		v->fpu_ip = x->wide_8086.fip & 0xffff;
		v->fpu_dp = x->wide_8086.fdp & 0xffff;
		x->wide.fip = x->wide.fdp = x->wide.fds = 0;
		x->wide.fcs = 0;
		x->wide.fop = high & 0x7ff;
	}
	v->fpu_ip |= (high & 0x0ffff000) << 4;
	v->fpu_dp |= (dp_high & 0x0ffff000) << 4;
	v->fpu_op = high & 0x7ff;
	v->fpu_cs = v->fpu_ds = 0;
}

/* The guest's idea of the last x87 instruction, into or out of an image. What goes to the host has FIP 0: see fpu_track_live. */
static void pointers_to_image(const struct vcpu *v, const struct emu_insn *i, union x87_image *x)
{
	if (is_8086(v)) {
		pointers_to_image_8086(v, i, x);
		return;
	}
	if (i->opsize == 2) {
		x->narrow.fip = (u16)v->fpu_ip;
		x->narrow.fcs = v->fpu_cs;
		x->narrow.fdp = (u16)v->fpu_dp;
		x->narrow.fds = v->fpu_ds;
		return;
	}
	x->wide.fip = v->fpu_ip;
	x->wide.fcs = v->fpu_cs;
	x->wide.fop = v->fpu_op;
	x->wide.fdp = v->fpu_dp;
	x->wide.fds = v->fpu_ds | 0xffff0000u;
}

static void pointers_from_image(struct vcpu *v, const struct emu_insn *i, union x87_image *x)
{
	if (is_8086(v)) {
		pointers_from_image_8086(v, i, x);
		return;
	}
	if (i->opsize == 2) {
		v->fpu_ip = x->narrow.fip;
		v->fpu_cs = x->narrow.fcs;
		v->fpu_dp = x->narrow.fdp;
		v->fpu_ds = x->narrow.fds;
		x->narrow.fip = x->narrow.fcs = 0;
		return;
	}
	v->fpu_ip = x->wide.fip;
	v->fpu_cs = x->wide.fcs;
	v->fpu_op = x->wide.fop & 0x7ff;
	v->fpu_dp = x->wide.fdp;
	v->fpu_ds = (u16)x->wide.fds;
	x->wide.fip = 0;
}

/* The operand of a store, checked as a whole: the host's instruction changes the FPU at once, and then the store must not fault any more.
 */
static u32 store_operand(struct vcpu *v, const struct emu_insn *i, unsigned size)
{
	u32 linear = operand(v, i, size, ACC_WRITE);

	if (access_checks_alignment(v) && (linear & (i->opsize - 1u)))
		raise_error(v, EXC_AC, 0);
	lin_probe(v, linear, size, ACC_WRITE | acc_cpl(v));
	fpu_load(v);
	return linear;
}

/* Stores and then initializes the FPU. Does not wait. */
int emu_fnsave(struct vcpu *v, const struct emu_insn *i)
{
	u32 linear = store_operand(v, i, image_size(i));
	union x87_image x;

	fpu_track_live(v);
	if (i->opsize == 2)
		asm volatile(".byte 0x66\n\tfnsave %0" : "=m"(x));
	else
		asm volatile("fnsave %0" : "=m"(x));
	pointers_to_image(v, i, &x);
	v->fpu_ip = v->fpu_dp = 0;
	v->fpu_cs = v->fpu_ds = v->fpu_op = 0;
	lin_write_buf(v, linear, &x, image_size(i), acc_cpl(v));
	return EMU_NEXT;
}

/* Does not wait. The pointers to the last instruction are cleared as well (SDM Vol. 2A, FINIT). */
int emu_fninit(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	fpu_load(v);
	asm volatile("fninit");
	v->fpu_ip = v->fpu_dp = 0;
	v->fpu_cs = v->fpu_ds = v->fpu_op = 0;
	return EMU_NEXT;
}

/* Stores and then masks all exceptions. Does not wait. */
int emu_fnstenv(struct vcpu *v, const struct emu_insn *i)
{
	u32 linear = store_operand(v, i, environment_size(i));
	union x87_image x;

	fpu_track_live(v);
	if (i->opsize == 2)
		asm volatile(".byte 0x66\n\tfnstenv %0" : "=m"(x));
	else
		asm volatile("fnstenv %0" : "=m"(x));
	pointers_to_image(v, i, &x);
	lin_write_buf(v, linear, &x, environment_size(i), acc_cpl(v));
	return EMU_NEXT;
}

int emu_frstor(struct vcpu *v, const struct emu_insn *i)
{
	union x87_image x;

	fpu_wait(v);
	lin_read_buf(v, operand(v, i, image_size(i), ACC_READ), &x, image_size(i), acc_cpl(v));
	pointers_from_image(v, i, &x);
	fpu_load(v);
	if (i->opsize == 2)
		asm volatile(".byte 0x66\n\tfrstor %0" : : "m"(x));
	else
		asm volatile("frstor %0" : : "m"(x));
	return EMU_NEXT;
}

int emu_fldenv(struct vcpu *v, const struct emu_insn *i)
{
	union x87_image x;

	fpu_wait(v);
	lin_read_buf(v, operand(v, i, environment_size(i), ACC_READ), &x, environment_size(i), acc_cpl(v));
	pointers_from_image(v, i, &x);
	fpu_load(v);
	if (i->opsize == 2)
		asm volatile(".byte 0x66\n\tfldenv %0" : : "m"(x));
	else
		asm volatile("fldenv %0" : : "m"(x));
	return EMU_NEXT;
}

/* --- MASKMOVQ, MASKMOVDQU: the bytes of `reg` whose mask byte in `rm` has bit 7 set go to seg:EDI, no others are written --- */

static void masked_store(struct vcpu *v, const struct emu_insn *i, const u8 *data, const u8 *mask, unsigned size)
{
	u32 linear;
	unsigned first = 0, end = size;

	while (first < size && !(mask[first] & 0x80))
		first++;
	if (first == size) {
		/* Whether an empty mask faults is the implementation's choice (SDM Vol. 2B, MASKMOVDQU): as AMD's do. */
		lin_probe(v, seg_linear(v, i->seg, reg_get(v, REG_EDI, i->addrsize), size, ACC_WRITE), size, ACC_WRITE | acc_cpl(v));
		return;
	}
	while (!(mask[end - 1] & 0x80))
		end--;
	linear = seg_linear(v, i->seg, reg_get(v, REG_EDI, i->addrsize) + first, end - first, ACC_WRITE);
	lin_probe(v, linear, end - first, ACC_WRITE | acc_cpl(v));
	for (unsigned n = first; n < end; n++)
		if (mask[n] & 0x80)
			lin_write(v, linear + (n - first), data[n], 1, acc_cpl(v));
}

int emu_maskmovq(struct vcpu *v, const struct emu_insn *i)
{
	struct fxsave fx;
	unsigned top;

	if (i->has_mem)
		raise_exception(v, EXC_UD);
	fpu_wait(v);
	/* FXSAVE looks without touching; it stores ST(n), and MMn is physical register n. */
	asm volatile("fxsave %0" : "=m"(fx));
	top = fx.fsw >> FSW_TOP_SHIFT & 7;
	if (access_checks_alignment(v) && ((v->seg[i->seg].base + reg_get(v, REG_EDI, i->addrsize)) & 7))
		raise_error(v, EXC_AC, 0);
	masked_store(v, i, fx.st[(i->reg - top) & 7], fx.st[(i->rm - top) & 7], 8);
	/* As every MMX instruction: TOP = 0, all tags valid (SDM Vol. 1 9.5.1). A store does that without writing a register. */
	fpu_load(v);
	asm volatile("movq %%mm0, %0" : "=m"(fx));
	return EMU_NEXT;
}

int emu_maskmovdqu(struct vcpu *v, const struct emu_insn *i)
{
	struct fxsave fx;

	if (i->has_mem)
		raise_exception(v, EXC_UD);
	fpu_load(v);
	asm volatile("fxsave %0" : "=m"(fx));
	masked_store(v, i, fx.xmm[i->reg], fx.xmm[i->rm], 16);
	return EMU_NEXT;
}
