/*
 * Far transfers and interrupts of real mode and virtual-8086 mode, SDM Vol. 3A chapter 20: what 8086 programs do with CS, and the ways into
 * and out of virtual-8086 mode that the instructions of far.c and interrupt.c do not have.
 *
 * A selector is a paragraph here, so nothing but limits and pages can fault; protection in virtual-8086 mode is a matter of IOPL, CR4.VME
 * and the bitmaps of the TSS. Real mode runs at CPL 0, virtual-8086 mode at CPL 3: v->cpl says so. Invariant: as in segment.h, nothing is
 * committed before the last check and the last access that can fault.
 */
#include "monitor/segment.h"

#define TSS_IO_MAP_BASE	 0x66
#define REDIRECTION_SIZE 32 /* bytes below the I/O map, SDM Vol. 3A 20.3.3.1 */

static void check_ip(struct vcpu *v, const struct segment *cs, u32 eip)
{
	if (eip > cs->limit)
		raise_error(v, EXC_GP, 0);
}

static int enter(struct vcpu *v, const struct segment *cs, u32 eip, u32 esp)
{
	segment_commit(&v->seg[SEG_CS], cs);
	v->regs[REG_ESP] = esp;
	v->eip = eip;
	return EMU_EXIT;
}

int real_go_far(struct vcpu *v, u32 sel, u32 off, unsigned opsize, bool call)
{
	struct segment cs = segment_8086(v, SEG_CS, sel);
	u32 items[2] = {v->next_eip, v->seg[SEG_CS].sel};
	u32 eip = opsize == 2 ? off & 0xffff : off, esp = v->regs[REG_ESP];

	check_ip(v, &cs, eip);
	if (call)
		esp = stack_push(v, &v->seg[SEG_SS], esp, items, 2, opsize, acc_cpl(v), 0);
	return enter(v, &cs, eip, esp);
}

/* ESP above `bytes` of the stack. */
static u32 released(const struct vcpu *v, u32 bytes)
{
	return sp_merge(v->regs[REG_ESP], v->regs[REG_ESP] + bytes, segment_sp_mask(&v->seg[SEG_SS]));
}

int real_ret_far(struct vcpu *v, const struct emu_insn *i)
{
	struct segment cs;
	u32 items[2];

	stack_read(v, v->regs[REG_ESP], items, 2, i->opsize);
	cs = segment_8086(v, SEG_CS, items[1]);
	check_ip(v, &cs, items[0]);
	return enter(v, &cs, items[0], released(v, 2u * i->opsize + (i->imm & 0xffff)));
}

/* ---- flags ---- */

u32 real_vme_flags(struct vcpu *v, u32 image)
{
	u32 mask = EFLAGS_HOST | EFLAGS_TF | EFLAGS_NT, flags;

	if ((image & EFLAGS_TF) || ((image & EFLAGS_IF) && (v->sysflags & EFLAGS_VIP)))
		raise_error(v, EXC_GP, 0);
	flags = (vcpu_eflags(v) & ~(mask | EFLAGS_VIF | EFLAGS_RF)) | (image & mask);
	return image & EFLAGS_IF ? flags | EFLAGS_VIF : flags;
}

/* Of an IRET that pops an image: what real mode, or virtual-8086 mode with IOPL 3, lets it change (SDM Vol. 2A, IRET). */
static u32 iret_flags(const struct vcpu *v, u32 image, unsigned size)
{
	u32 mask = EFLAGS_HOST | EFLAGS_TF | EFLAGS_IF | EFLAGS_NT;

	if (!is_v86(v))
		mask |= EFLAGS_IOPL;
	if (size == 4)
		mask |= EFLAGS_RF | EFLAGS_AC | EFLAGS_ID;
	return (vcpu_eflags(v) & ~mask) | (image & mask);
}

int real_iret(struct vcpu *v, const struct emu_insn *i)
{
	bool restricted = is_v86(v) && vcpu_iopl(v) < 3;
	unsigned size = i->opsize;
	u32 items[3], flags;
	struct segment cs;

	if (restricted && !((v->cr4 & CR4_VME) && size == 2))
		raise_error(v, EXC_GP, 0);
	stack_read(v, v->regs[REG_ESP], items, 3, size);
	cs = segment_8086(v, SEG_CS, items[1]);
	check_ip(v, &cs, items[0]);
	flags = restricted ? real_vme_flags(v, items[2]) : iret_flags(v, items[2], size);
	enter(v, &cs, items[0], released(v, 3 * size));
	vcpu_set_eflags(v, flags);
	return EMU_EXIT;
}

/* ---- into virtual-8086 mode ---- */

int real_iret_to_v86(struct vcpu *v)
{
	enum { EIP, CS, FLAGS, ESP, SS, ES, DS, FS, GS, ITEMS };
	struct segment cs;
	u32 items[ITEMS];

	stack_read(v, v->regs[REG_ESP], items, ITEMS, 4);
	cs = segment_v86(items[CS]);
	check_ip(v, &cs, items[EIP]);
	v->seg[SEG_SS] = segment_v86(items[SS]);
	v->seg[SEG_ES] = segment_v86(items[ES]);
	v->seg[SEG_DS] = segment_v86(items[DS]);
	v->seg[SEG_FS] = segment_v86(items[FS]);
	v->seg[SEG_GS] = segment_v86(items[GS]);
	enter(v, &cs, items[EIP], items[ESP]);
	vcpu_set_eflags(v, items[FLAGS]);
	cpl_set(v, 3);
	return EMU_EXIT;
}

/* ---- interrupts ---- */

/* Pushes FLAGS, CS and IP, and goes where the entry at `linear` of an interrupt vector table points. */
static void through_ivt(struct vcpu *v, u32 linear, u32 flags, u32 return_eip)
{
	u32 items[3] = {return_eip, v->seg[SEG_CS].sel, flags};
	const u32 *at = softmmu_at(v, linear, 4, ACC_READ);
	u32 entry = likely(at) ? *at : (u32)lin_read(v, linear, 4, ACC_READ);
	struct segment cs = segment_8086(v, SEG_CS, entry >> 16);

	check_ip(v, &cs, entry & 0xffff);
	enter(v, &cs, entry & 0xffff, stack_push(v, &v->seg[SEG_SS], v->regs[REG_ESP], items, 3, 2, acc_cpl(v), 0));
	v->sysflags &= ~(EFLAGS_TF | EFLAGS_RF);
}

void real_interrupt(struct vcpu *v, int vector, u32 return_eip, u32 flags)
{
	u32 entry = ((u32)vector & 0xff) * 4;

	if (entry + 3 > v->idtr.limit)
		raise_error(v, EXC_GP, 0);
	through_ivt(v, v->idtr.base + entry, flags, return_eip);
	v->sysflags &= ~(EFLAGS_IF | EFLAGS_AC);
	v->shadow = SHADOW_NONE;
}

/* A vector's bit in the interrupt redirection bitmap of the TSS: set sends it to protected mode. */
static bool is_redirected(struct vcpu *v, u32 vector)
{
	const struct segment *tr = &v->seg[SEG_TR];
	u32 at;

	if ((tr->attr & SEG_UNUSABLE) || (tr->attr & SEG_TYPE) < DESC_TSS32_AVAIL || tr->limit < TSS_IO_MAP_BASE + 1)
		raise_error(v, EXC_GP, 0);
	at = (u32)lin_read(v, tr->base + TSS_IO_MAP_BASE, 2, 0) - REDIRECTION_SIZE + vector / 8;
	if (at > tr->limit)
		raise_error(v, EXC_GP, 0);
	return lin_read(v, tr->base + at, 1, 0) >> vector % 8 & 1;
}

bool real_v86_int(struct vcpu *v, int vector)
{
	u32 flags = vcpu_eflags(v) & ~EFLAGS_RF;
	bool restricted = vcpu_iopl(v) < 3;

	if (!(v->cr4 & CR4_VME) || is_redirected(v, (u32)vector)) {
		if (restricted)
			raise_error(v, EXC_GP, 0);
		return false;
	}
	/* The program sees the IOPL and the IF that it thinks it has (SDM Vol. 3A 20.3.3.4). */
	if (restricted) {
		flags = (flags & ~EFLAGS_IF) | EFLAGS_IOPL;
		if (flags & EFLAGS_VIF)
			flags |= EFLAGS_IF;
	}
	through_ivt(v, (u32)vector * 4, flags, v->next_eip);
	v->sysflags &= restricted ? ~EFLAGS_VIF : ~EFLAGS_IF;
	return true;
}
