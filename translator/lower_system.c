/*
 * The expansions of what belongs to the system: segment registers, table registers, CR0, the flags with their IF, the time-stamp counter.
 *
 * Invariant of every expansion: guest state changes only after its last access that can fault.
 */
#include "translator/emit.h"

#include "monitor/cpuid.h"
#include "translator/insn_info.h"

/* ---- segments and tables ---- */

/* In real and virtual-8086 mode a load of a data segment register is two stores. SS holds interrupts back as well. */
static bool loads_paragraph(const struct xlate *x, unsigned seg)
{
	return (x->mode & (MODE_REAL | MODE_V86)) && !(x->mode & MODE_SINGLE) && seg != SEG_CS && seg != SEG_SS;
}

/* The selector is in r11d, zero-extended; r11 is lost. */
static void emit_load_paragraph(struct xlate *x, unsigned seg)
{
	size_t s = offsetof(struct vcpu, seg) + seg * sizeof(struct segment);
	emit_store_v(x, R11, s + offsetof(struct segment, sel));
	emit_lea32(x, R11, NO_REG, R11, 8, 0);
	emit_lea32(x, R11, R11, R11, 1, 0);
	emit_store_v(x, R11, s + offsetof(struct segment, base));
}

/* The handler loads a segment register. It may go on behind SS all the same: tc_callout. */
static void mark_ss(struct xlate *x, unsigned seg)
{
	if (seg == SEG_SS)
		cur_insn(x)->access[0] = ACCESS_MOV_SS;
}

/* The Sreg number of POP seg is in the opcode, not in a ModRM byte. */
void lower_pop_seg(struct xlate *x)
{
	unsigned seg = seg_number(x->ops[0].reg.value);
	if (loads_paragraph(x, seg)) {
		emit_pop(x, R11, opsize(x));
		emit_movzx16(x, R11, R11);
		emit_add_esp(x, (s32)opsize(x));
		emit_load_paragraph(x, seg);
		return;
	}
	u32 n = new_emu(x, emu_pop_seg);
	x->tc->emus[n].reg = (u8)seg;
	mark_ss(x, seg);
	emit_call_emu(x, n);
}

void lower_mov_to_seg(struct xlate *x)
{
	const ZydisDecodedOperand *from = &x->ops[1];
	unsigned seg = seg_number(x->ops[0].reg.value);
	if (!loads_paragraph(x, seg)) {
		mark_ss(x, seg);
		emit_callout(x, emu_mov_to_seg, false);
		return;
	}
	if (from->type == ZYDIS_OPERAND_TYPE_MEMORY)
		load_operand(x, from, R11, 2);
	else
		emit_movzx16(x, R11, host_reg(gpr_number(from->reg.value)));
	emit_load_paragraph(x, seg);
}

/* The first operand gets a field of the vCPU: a register all of it, if the operand size is 32 bits; memory always 16 of them. */
static void store_field(struct xlate *x, size_t field)
{
	const ZydisDecodedOperand *to = &x->ops[0];
	bool narrow = x->in.operand_width == 16;
	unsigned reg = R11;
	if (to->type == ZYDIS_OPERAND_TYPE_REGISTER && !narrow)
		reg = host_reg(gpr_number(to->reg.value));
	if (to->type == ZYDIS_OPERAND_TYPE_MEMORY)
		emit_linear(x, to, 0, 2, ACCESS_WRITE);
	struct cold *c = to->type == ZYDIS_OPERAND_TYPE_MEMORY ? begin_access(x, 0) : NULL;
	emit_load_v(x, reg, field);
	if (to->type == ZYDIS_OPERAND_TYPE_MEMORY)
		emit_op_ref(x, true, 0, 0x89, R11);
	else if (narrow)
		emit_mov16(x, host_reg(gpr_number(to->reg.value)), R11);
	end_access(x, c);
}

static size_t selector_of(unsigned seg)
{
	return offsetof(struct vcpu, seg) + seg * sizeof(struct segment) + offsetof(struct segment, sel);
}

void lower_mov_from_seg(struct xlate *x)
{
	store_field(x, selector_of(seg_number(x->ops[1].reg.value)));
}

/* #UD outside of protected mode (SDM Vol. 3A 20.1.3 and 20.2.1). */
static void store_system_selector(struct xlate *x, unsigned seg)
{
	if (x->mode & (MODE_NO_PE | MODE_V86))
		emit_callout(x, emu_ud, true);
	else
		store_field(x, selector_of(seg));
}

void lower_sldt(struct xlate *x)
{
	store_system_selector(x, SEG_LDTR);
}

void lower_str(struct xlate *x)
{
	store_system_selector(x, SEG_TR);
}

/* A 32-bit register gets all of CR0, as on processors. No privilege is asked for: UMIP is not offered. */
void lower_smsw(struct xlate *x)
{
	store_field(x, offsetof(struct vcpu, cr0));
}

/*
 * All 32 bits of the base whatever the operand size, as every processor since the 80386. Two stores behind one look-up, also in the direct
 * flavour: there the first would be seen if the second faulted.
 */
static void store_table(struct xlate *x, size_t table)
{
	x->direct = false;
	emit_linear(x, &x->ops[0], 0, 6, ACCESS_WRITE);
	struct cold *c = begin_access(x, 0);
	emit_load_v(x, R11, table + offsetof(struct table_register, limit));
	emit_op_ref(x, true, 0, 0x89, R11);
	emit_load_v(x, R11, table + offsetof(struct table_register, base));
	x->ref.disp = 2;
	emit_op_ref(x, false, 0, 0x89, R11);
	end_access(x, c);
}

void lower_sgdt(struct xlate *x)
{
	store_table(x, offsetof(struct vcpu, gdtr));
}

void lower_sidt(struct xlate *x)
{
	store_table(x, offsetof(struct vcpu, idtr));
}

/* An m16:16 is loaded as a whole, and only then changes anything. */
void lower_load_far_ptr(struct xlate *x)
{
	static const struct {
		ZydisMnemonic mnemonic;
		u8 seg;
	} segs[] = {{ZYDIS_MNEMONIC_LES, SEG_ES}, {ZYDIS_MNEMONIC_LDS, SEG_DS}, {ZYDIS_MNEMONIC_LFS, SEG_FS}, {ZYDIS_MNEMONIC_LGS, SEG_GS}};
	unsigned seg = SEG_SS;
	for (unsigned i = 0; i < ARRAY_SIZE(segs); i++)
		if (segs[i].mnemonic == x->in.mnemonic)
			seg = segs[i].seg;
	if (!loads_paragraph(x, seg) || opsize(x) != 2) {
		emit_callout(x, emu_load_far_ptr, false);
		return;
	}
	load_operand(x, &x->ops[1], R11, 4);
	emit_mov16(x, host_reg(gpr_number(x->ops[0].reg.value)), R11);
	EB(x, 0xc4, 0x43, 0x7b, 0xf0, 0xdb, 0x10); /* rorx r11d, r11d, 16 */
	emit_movzx16(x, R11, R11);
	emit_load_paragraph(x, seg);
}

/* CR0.TS is part of the mode. */
void lower_clts(struct xlate *x)
{
	if (mode_cpl(x) != 0 || (x->mode & MODE_TS))
		emit_callout(x, emu_clts, true);
}

void lower_mov_from_cr(struct xlate *x)
{
	static const size_t fields[] = {[0] = offsetof(struct vcpu, cr0),
					[2] = offsetof(struct vcpu, cr2),
					[3] = offsetof(struct vcpu, cr3),
					[4] = offsetof(struct vcpu, cr4)};
	unsigned n = (unsigned)(x->ops[1].reg.value - ZYDIS_REGISTER_CR0);
	if (mode_cpl(x) != 0 || n >= ARRAY_SIZE(fields) || !fields[n])
		emit_callout(x, emu_mov_from_cr, false);
	else
		emit_load_v(x, host_reg(gpr_number(x->ops[0].reg.value)), fields[n]);
}

/* Zero-extended for 32-bit operands; a selector field has no more than its 16 bits. */
void lower_push_seg(struct xlate *x)
{
	unsigned seg = seg_number(x->ops[0].reg.value);
	emit_load_v(x, R11, selector_of(seg));
	emit_push(x, R11, 0, opsize(x));
}

/* ---- flags ---- */

/*
 *	pushfq ; pop r11
 *	pext r11d, r11d, [mask_host] ; pdep ...		; only the flags that are the guest's
 *	mov r10d, [sysflags] ; lea r11d, [r11 + r10 + 2]
 */
void lower_pushf(struct xlate *x)
{
	/* RF and VM may be set, above bit 15; and in virtual-8086 mode IOPL counts. */
	if ((x->mode & MODE_SINGLE) || ((x->mode & MODE_V86) && (!(x->mode & MODE_IOPL3) || opsize(x) != 2))) {
		emit_callout(x, emu_pushf, false);
		return;
	}
	EB(x, 0x9c, 0x41, 0x5b);
	emit_pext_v(x, false, R11, R11, offsetof(struct vcpu, mask_host));
	emit_pext_v(x, true, R11, R11, offsetof(struct vcpu, mask_host));
	emit_load_v(x, R10, offsetof(struct vcpu, sysflags));
	emit_lea32(x, R11, R11, R10, 1, EFLAGS_FIXED);
	emit_push(x, R11, 0, opsize(x));
}

/*
 * Leaves by the cold part, to the next instruction, if any event waits; the flags stay:
 *	mov r10, rcx ; mov ecx, [events] ; jrcxz 1f ; jmp cold
 * 1:	mov rcx, r10
 */
static void emit_event_check(struct xlate *x, enum cold_kind kind)
{
	EB(x, 0x49, 0x89, 0xca);
	emit_load_v(x, RCX, offsetof(struct vcpu, events));
	EB(x, 0xe3, 0x05, 0xe9);
	e4(x, 0);
	struct cold *c = new_cold(x, kind);
	c->site = here(x) - 4;
	c->eip = x->next_eip;
	EB(x, 0x4c, 0x89, 0xd1);
}

/* Whether CLI, STI and POPF may change IF. */
static bool has_if(const struct xlate *x)
{
	return mode_cpl(x) == 0 || (x->mode & MODE_IOPL3);
}

/*
 * At CPL 0 and 3, and only when nothing but IF and arithmetic flags changes, and DF is to be clear; else the callout. At CPL 3 IOPL never
 * changes, and IF only if IOPL is 3.
 */
void lower_popf(struct xlate *x)
{
	unsigned size = opsize(x);
	u32 others = EFLAGS_TF | EFLAGS_DF | EFLAGS_NT | (mode_cpl(x) ? 0 : EFLAGS_IOPL) | (size == 4 ? EFLAGS_AC | EFLAGS_ID : 0);
	if ((x->mode & MODE_SINGLE) || (!has_if(x) && (mode_cpl(x) != 3 || (x->mode & MODE_V86)))) {
		emit_callout(x, emu_popf, false);
		return;
	}
	emit_pop(x, R11, size);
	/* From here on the guest's flags are dead: they come from r11. */
	emit_load_v(x, R10, offsetof(struct vcpu, sysflags));
	EB(x, 0x45, 0x31, 0xda); /* xor r10d, r11d */
	EB(x, 0x41, 0xf7, 0xc2); /* test r10d, imm32 */
	e4(x, others);
	EB(x, 0x0f, 0x85); /* jnz */
	e4(x, 0);
	struct cold *callout = new_cold(x, COLD_CALLOUT);
	callout->site = here(x) - 4;
	callout->index = new_emu(x, emu_popf);
	if (has_if(x)) {
		EB(x, 0x41, 0x81, 0xe2); /* and r10d, IF: 1 if IF changes */
		e4(x, EFLAGS_IF);
		EB(x, 0x45, 0x31, 0x56); /* xor [r14 + sysflags], r10d */
		e1(x, offsetof(struct vcpu, sysflags));
	}
	EB(x, 0x41, 0x81, 0xe3); /* and r11d, arithmetic flags */
	e4(x, EFLAGS_ARITH);
	emit_mov_imm(x, R10, 1);
	emit_store_v(x, R10, offsetof(struct vcpu, step));
	emit_add_esp(x, (s32)size);
	EB(x, 0x41, 0x53, 0x9d); /* push r11 ; popfq */
	/* Events that waited for IF; taken also when IF stays clear, which costs only a dispatch. */
	if (has_if(x))
		emit_event_check(x, COLD_EVENT);
	callout->op_end = here(x);
}

static bool may_cli(const struct xlate *x)
{
	return has_if(x) && !(x->mode & MODE_SINGLE);
}

/* sysflags without IF into r8d. */
static void load_without_if(struct xlate *x)
{
	emit_load_v(x, R8, offsetof(struct vcpu, sysflags));
	emit_pext_v(x, false, R8, R8, offsetof(struct vcpu, mask_no_if));
	emit_pext_v(x, true, R8, R8, offsetof(struct vcpu, mask_no_if));
}

void lower_cli(struct xlate *x)
{
	if (!may_cli(x)) {
		emit_callout(x, emu_cli, false);
		return;
	}
	load_without_if(x);
	emit_store_v(x, R8, offsetof(struct vcpu, sysflags));
}

void lower_sti(struct xlate *x)
{
	if (!may_cli(x)) {
		emit_callout(x, emu_sti, false);
		return;
	}
	load_without_if(x);
	emit_lea32(x, R8, R8, NO_REG, 1, EFLAGS_IF);
	emit_store_v(x, R8, offsetof(struct vcpu, sysflags));
	/* Nothing pending: the interrupt shadow has nothing to hold back. */
	emit_event_check(x, COLD_STI);
	cur_insn(x)->access[0] = ACCESS_STI;
	x->sti = true;
}

/* CLD and STD: cld ; mov r11d, 1 ; mov [r14 + step], r11d */
void lower_direction(struct xlate *x)
{
	e1(x, x->in.opcode);
	emit_mov_imm(x, R11, x->in.mnemonic == ZYDIS_MNEMONIC_STD ? ~0u : 1);
	emit_store_v(x, R11, offsetof(struct vcpu, step));
}

/* ---- time ---- */

/*
 * RDTSC and RDTSCP, by the line through the host's TSC (monitor/tsc.h), as long as it holds:
 *	rorx  r11, rdx, 32 ; lea r11, [r11 + rax]	; EDX:EAX, for the callout may fault
 *	(RDTSCP: lfence) ; rdtsc
 *	rorx  r8, rdx, 32 ; lea r8, [r8 + rax]
 *	mov   r9, [base] ; lea r8, [r8 + r9]		; what has elapsed
 *	mov   r10, rcx ; mov ecx, [shift] ; shrx rcx, r8, rcx
 *	jrcxz 1f
 *	jmp   cold
 * 1:	lea   rdx, [r8 + r8] ; mulx r8, r9, [scale]
 *	mov   r9, [offset] ; lea r8, [r8 + r9]
 *	mov   rcx, r10 ; mov eax, r8d			; RDTSCP: mov ecx, [tsc_aux]
 *	rorx  rdx, r8, 32 ; mov edx, edx
 */
void lower_rdtsc(struct xlate *x)
{
	bool p = x->in.mnemonic == ZYDIS_MNEMONIC_RDTSCP;
	emu_fn *handler = p ? emu_rdtscp : emu_rdtsc;
	if (!x->v->tsc.usable || !(x->v->features & (p ? CPUF_RDTSCP : CPUF_TSC)) || (x->mode & MODE_SINGLE)) {
		emit_callout(x, handler, false);
		return;
	}
	EB(x, 0xc4, 0x63, 0xfb, 0xf0, 0xda, 0x20); /* rorx r11, rdx, 32 */
	emit_op_mem(x, true, 0x8d, R11, R11, REG_EAX, 1, 0);
	if (p)
		EB(x, 0x0f, 0xae, 0xe8); /* lfence */
	EB(x, 0x0f, 0x31);
	EB(x, 0xc4, 0x63, 0xfb, 0xf0, 0xc2, 0x20); /* rorx r8, rdx, 32 */
	emit_op_mem(x, true, 0x8d, R8, R8, REG_EAX, 1, 0);
	emit_op_mem(x, true, 0x8b, R9, R14, NO_REG, 1, offsetof(struct vcpu, tsc_line.base));
	emit_op_mem(x, true, 0x8d, R8, R8, R9, 1, 0);
	EB(x, 0x49, 0x89, 0xca); /* mov r10, rcx */
	emit_load_v(x, RCX, offsetof(struct vcpu, tsc_line.shift));
	EB(x, 0xc4, 0xc2, 0xf3, 0xf7, 0xc8); /* shrx rcx, r8, rcx */
	EB(x, 0xe3, 0x05, 0xe9);	     /* jrcxz +5 ; jmp cold */
	e4(x, 0);
	struct cold *c = new_cold(x, COLD_TSC);
	c->site = here(x) - 4;
	c->index = new_emu(x, handler);
	emit_op_mem(x, true, 0x8d, REG_EDX, R8, R8, 1, 0);
	EB(x, 0xc4, 0x42, 0xb3, 0xf6); /* mulx r8, r9, [r14 + ...] */
	emit_mem(x, R8, R14, NO_REG, 1, offsetof(struct vcpu, tsc_line.scale));
	emit_op_mem(x, true, 0x8b, R9, R14, NO_REG, 1, offsetof(struct vcpu, tsc_line.offset));
	emit_op_mem(x, true, 0x8d, R8, R8, R9, 1, 0);
	if (p)
		emit_load_v(x, RCX, offsetof(struct vcpu, tsc_aux));
	else
		EB(x, 0x4c, 0x89, 0xd1); /* mov rcx, r10 */
	emit_mov(x, false, REG_EAX, R8);
	EB(x, 0xc4, 0xc3, 0xfb, 0xf0, 0xd0, 0x20); /* rorx rdx, r8, 32 */
	emit_mov(x, false, REG_EDX, REG_EDX);
	c->op_end = here(x);
}
