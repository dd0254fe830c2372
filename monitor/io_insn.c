/*
 * IN, OUT, INS, OUTS (SDM Vol. 1 chapter 19).
 *
 * Invariants: permission and the memory side are checked before a device is touched, so that an instruction that faults has had no effect
 * there. A repeated form commits one element at a time and comes back to the dispatcher now and then, with EIP unchanged, to let interrupts
 * in.
 */
#include "monitor/debug.h"
#include "monitor/emulate.h"
#include "monitor/io.h"
#include "monitor/vm.h"

#define MAX_ELEMENTS	64
#define TSS_IO_MAP_BASE 0x66

/* SDM Vol. 1 19.5.2: outside of IOPL, and always in virtual-8086 mode, the TSS's I/O permission bitmap decides. Two bytes of it are read,
 * both within the limit. */
static void check_permission(struct vcpu *v, u32 port, unsigned size)
{
	const struct segment *tr = &v->seg[SEG_TR];
	unsigned type = tr->attr & SEG_TYPE;
	u32 offset, bits;

	if (likely(v->cpl <= vcpu_iopl(v) && !(v->sysflags & EFLAGS_VM)))
		return;
	if ((tr->attr & SEG_UNUSABLE) || (type != DESC_TSS32_AVAIL && type != DESC_TSS32_BUSY) || tr->limit < TSS_IO_MAP_BASE + 1)
		raise_error(v, EXC_GP, 0);
	offset = (u32)lin_read(v, tr->base + TSS_IO_MAP_BASE, 2, 0) + port / 8;
	if (offset >= tr->limit)
		raise_error(v, EXC_GP, 0);
	bits = (u32)lin_read(v, tr->base + offset, 2, 0) >> port % 8;
	if (bits & ((1u << size) - 1))
		raise_error(v, EXC_GP, 0);
}

/* I/O breakpoints: R/W = 10b in DR7 with CR4.DE set (SDM Vol. 3B 17.2.4). A trap behind the instruction, or behind each repetition. */
static void watch_port(struct vcpu *v, u32 port, unsigned size)
{
	static const u8 lengths[4] = {1, 2, 8, 4};

	if (likely(!(v->cr4 & CR4_DE) || !(v->dr[7] & 0xff)))
		return;
	for (unsigned n = 0; n < 4; n++) {
		u32 fields = v->dr[7] >> (16 + 4 * n), len = lengths[fields >> 2 & 3], at = v->dr[n] & ~(len - 1);

		if ((v->dr[7] >> (2 * n) & 3) && (fields & 3) == 2 && port < at + len && at < port + size)
			v->pending_db |= 1u << n;
	}
}

static u16 port_of(const struct vcpu *v, const struct emu_insn *i)
{
	/* E4-E7: imm8; EC-EF: DX. */
	return i->opcode & 8 ? (u16)v->regs[REG_EDX] : (u16)(i->imm & 0xff);
}

/* An access may have raised an interrupt line: then let the dispatcher look. */
static int done(struct vcpu *v)
{
	if (!emu_event_due(v) && !v->pending_db)
		return EMU_NEXT;
	v->eip = v->next_eip;
	return EMU_EXIT;
}

int emu_in(struct vcpu *v, const struct emu_insn *i)
{
	u16 port = port_of(v, i);

	check_permission(v, port, i->opsize);
	fpu_park(v);
	reg_set(v, REG_EAX, i->opsize, io_read(v->vm, port, i->opsize));
	watch_port(v, port, i->opsize);
	return done(v);
}

int emu_out(struct vcpu *v, const struct emu_insn *i)
{
	u16 port = port_of(v, i);

	check_permission(v, port, i->opsize);
	fpu_park(v);
	io_write(v->vm, port, reg_get(v, REG_EAX, i->opsize), i->opsize);
	watch_port(v, port, i->opsize);
	return done(v);
}

static void ins_element(struct vcpu *v, const struct emu_insn *i, u16 port)
{
	u32 step = v->hflags & EFLAGS_DF ? 0u - i->opsize : i->opsize;
	u32 off = reg_get(v, REG_EDI, i->addrsize), linear = seg_linear(v, SEG_ES, off, i->opsize, ACC_WRITE);

	lin_probe(v, linear, i->opsize, ACC_WRITE | acc_cpl(v));
	fpu_park(v);
	lin_write(v, linear, io_read(v->vm, port, i->opsize), i->opsize, acc_cpl(v));
	reg_set(v, REG_EDI, i->addrsize, off + step);
	watch_port(v, port, i->opsize);
}

static void outs_element(struct vcpu *v, const struct emu_insn *i, u16 port)
{
	u32 step = v->hflags & EFLAGS_DF ? 0u - i->opsize : i->opsize;
	u32 off = reg_get(v, REG_ESI, i->addrsize);
	u32 value = (u32)seg_read(v, i->seg, off, i->opsize);

	fpu_park(v);
	io_write(v->vm, port, value, i->opsize);
	reg_set(v, REG_ESI, i->addrsize, off + step);
	watch_port(v, port, i->opsize);
}

static int string_io(struct vcpu *v, const struct emu_insn *i, void (*element)(struct vcpu *v, const struct emu_insn *i, u16 port))
{
	u16 port = (u16)v->regs[REG_EDX];
	u32 count;

	if (!i->rep && !i->repne) {
		check_permission(v, port, i->opsize);
		element(v, i, port);
		return done(v);
	}
	count = reg_get(v, REG_ECX, i->addrsize);
	if (!count)
		return EMU_NEXT;
	check_permission(v, port, i->opsize);
	for (unsigned n = 0; n < MAX_ELEMENTS; n++) {
		element(v, i, port);
		reg_set(v, REG_ECX, i->addrsize, --count);
		if (!count)
			return done(v);
		if (emu_event_due(v) || v->pending_db || debug_steps(v))
			break;
	}
	return EMU_EXIT;
}

int emu_ins(struct vcpu *v, const struct emu_insn *i)
{
	return string_io(v, i, ins_element);
}

int emu_outs(struct vcpu *v, const struct emu_insn *i)
{
	return string_io(v, i, outs_element);
}
