/*
 * Ways out of straight-line code: exits of a TU, callouts, the cold part, and the stack operations that transfers need.
 */
#include "translator/emit.h"

#include "cache/jc.h"
#include "monitor/log.h"

struct cold *new_cold(struct xlate *x, enum cold_kind kind)
{
	struct cold *c = &x->cold[x->cold_count++];
	*c = (struct cold){.kind = kind, .insn = (u8)x->insn};
	return c;
}

/* Whether control transfers straight to other TUs: not in single-step TUs, under lockstep or -d nochain, nor where CS's limit is to be
 * checked at each entry. */
static bool may_link(const struct xlate *x)
{
	return !(x->mode & (MODE_SINGLE | MODE_CS_LIMIT)) && !x->v->lockstep && !log_on(LOG_NOCHAIN);
}

/* In the page that the TU began in, and in it from end to end: then its mapping is the TU's own. */
static bool in_page(const struct xlate *x, u32 target)
{
	u32 offset = ((u32)x->tu->pa & PAGE_MASK) + (target - x->tu->eip);
	return offset < PAGE_SIZE && !(x->tu->flags & TU_STRADDLES);
}

/*
 * Whether an exit can be a branch that is patched. Out of the page that is a link: only in the direct flavour, for the other's code is not
 * hot or lives too short to be linked, and not in segments, where an EIP is no linear address.
 */
static bool may_chain(const struct xlate *x, u32 target)
{
	const u32 links = MODE_DIRECT | MODE_CS32 | MODE_FLAT(SEG_CS);
	/* The dispatcher raises #GP. */
	if ((x->mode & MODE_CS_64K) && target > 0xffff)
		return false;
	if (!may_link(x) || x->tu->exit_count >= TU_MAX_EXITS)
		return false;
	if (!in_page(x, target))
		return (x->mode & links) == links;
	u32 offset = ((u32)x->tu->pa & PAGE_MASK) + (target - x->tu->eip);
	return decoder_fits(&x->decoder, cs32(x), x->page + offset, PAGE_SIZE - offset);
}

/*
 *	mov   r10, [r14 + jc]
 *	mov   r9d, [r10 + r8*4]		; (or by the low 16 bits: movzx r9d, r8w ; mov r9d, [r10 + r9*4])
 *	lea   r9, [r9 + r12]		; r12 = thunk_exit_jc
 *	jmp   r9
 */
void emit_exit_indirect(struct xlate *x)
{
	emit_esp(x);
	if (!may_link(x)) {
		emit_jmp(x, (u64)thunk_exit_jc);
		return;
	}
	if (log_on(LOG_STATS)) {
		emit_op_mem(x, true, 0x8b, R9, R14, NO_REG, 1, offsetof(struct vcpu, stats.jc_transfers));
		emit_op_mem(x, true, 0x8d, R9, R9, NO_REG, 1, 1);
		emit_op_mem(x, true, 0x89, R9, R14, NO_REG, 1, offsetof(struct vcpu, stats.jc_transfers));
	}
	bool flat = tc_is_flat(x->tc);
	emit_op_mem(x, true, 0x8b, R10, R14, NO_REG, 1, offsetof(struct vcpu, jc));
	if (!flat)
		emit_movzx16(x, R9, R8);
	emit_op_mem(x, false, 0x8b, R9, R10, flat ? R8 : R9, 4, 0);
	emit_op_mem(x, true, 0x8d, R9, R9, R12, 1, 0);
	EB(x, 0x41, 0xff, 0xe1); /* jmp r9 */
}

/*
 * A loop without indirect transfers must notice events too: mov r9, [r14 + jc] ; mov r9d, [r9], which faults in the all-miss cache. Returns
 * the second one's address.
 */
static u32 emit_poll(struct xlate *x)
{
	emit_op_mem(x, true, 0x8b, R9, R14, NO_REG, 1, offsetof(struct vcpu, jc));
	emit_op_mem(x, false, 0x8b, R9, R9, NO_REG, 1, 0);
	return here(x) - 3;
}

/* Records the branch whose rel32 field was just emitted as a chainable exit. */
static void add_exit(struct xlate *x, u32 target, u32 poll, u32 poll_eip)
{
	u32 n = x->tc->exit_count++;
	x->tu->exit_count++;
	x->tc->exits[n] = (struct tu_exit){
		.target_eip = target,
		.site = here(x) - 4,
		.poll = poll,
		.poll_eip = poll_eip,
		.tu = tu_index(x->tc, x->tu),
		.flags = in_page(x, target) ? 0 : EXIT_CROSS,
	};
	struct cold *c = new_cold(x, COLD_CHAIN);
	c->site = here(x) - 4;
	c->index = n;
}

void emit_exit(struct xlate *x, u32 target)
{
	emit_esp(x);
	if (!may_chain(x, target)) {
		emit_mov_imm(x, R8, target);
		emit_exit_indirect(x);
		return;
	}
	u32 poll = target <= x->eip ? emit_poll(x) : 0;
	e1(x, 0xe9);
	e4(x, 0);
	add_exit(x, target, poll, target);
}

/* jcc to a taken exit: straight to it when that is a chain, else by the cold part. `opcode` is the 0F 8x one. */
void emit_jcc_exit(struct xlate *x, u32 opcode, u32 target)
{
	bool chains = may_chain(x, target);
	/* Taken or not, it polls: a second jump would cost loops more. */
	u32 poll = chains && target <= x->eip ? emit_poll(x) : 0;
	e1(x, 0x0f);
	e1(x, opcode);
	e4(x, 0);
	if (chains) {
		add_exit(x, target, poll, x->eip);
		return;
	}
	struct cold *c = new_cold(x, COLD_EXIT);
	c->site = here(x) - 4;
	c->eip = target;
}

static void fill_emu(struct xlate *x, struct emu_insn *i, emu_fn *fn)
{
	const ZydisDecodedInstruction *in = &x->in;
	*i = (struct emu_insn){.fn = fn, .length = in->length, .base = EMU_NO_REG, .index = EMU_NO_REG, .scale = 1, .seg = SEG_DS};
	i->opsize = in->operand_width == 8 ? 1 : in->operand_width == 16 ? 2 : 4;
	i->addrsize = in->address_width == 16 ? 2 : 4;
	i->stacksize = x->mode & MODE_SS32 ? 4 : 2;
	i->opcode = in->opcode;
	i->mod = in->raw.modrm.mod;
	i->reg = in->raw.modrm.reg;
	i->rm = in->raw.modrm.rm;
	i->rep = in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE);
	i->repne = in->attributes & ZYDIS_ATTRIB_HAS_REPNE;
	i->lock = in->attributes & ZYDIS_ATTRIB_HAS_LOCK;
	unsigned imms = 0;
	for (unsigned k = 0; k < in->operand_count; k++) {
		const ZydisDecodedOperand *op = &x->ops[k];
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM) {
			i->has_mem = true;
			i->seg = (u8)seg_number(op->mem.segment);
			i->base = op->mem.base == ZYDIS_REGISTER_NONE ? EMU_NO_REG : (u8)gpr_number(op->mem.base);
			i->index = op->mem.index == ZYDIS_REGISTER_NONE ? EMU_NO_REG : (u8)gpr_number(op->mem.index);
			i->scale = op->mem.scale ? op->mem.scale : 1;
			i->disp = op->mem.disp.has_displacement ? (s32)op->mem.disp.value : 0;
		} else if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
			   op->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT &&
			   ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_SEGMENT) {
			/* LDS, LES, ... */
			i->imm2 = seg_number(op->reg.value);
		} else if (op->type == ZYDIS_OPERAND_TYPE_POINTER) {
			i->imm = op->ptr.offset;
			i->imm2 = op->ptr.segment;
		} else if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			u32 value = (u32)op->imm.value.u;
			if (imms++)
				i->imm2 = value;
			else
				i->imm = value;
		}
	}
	/* Strings, XLAT, MASKMOV: the source's segment is DS or the override. */
	if (!i->has_mem) {
		static const struct {
			ZydisInstructionAttributes attribute;
			u8 seg;
		} overrides[] = {
			{ZYDIS_ATTRIB_HAS_SEGMENT_CS, SEG_CS}, {ZYDIS_ATTRIB_HAS_SEGMENT_SS, SEG_SS}, {ZYDIS_ATTRIB_HAS_SEGMENT_DS, SEG_DS},
			{ZYDIS_ATTRIB_HAS_SEGMENT_ES, SEG_ES}, {ZYDIS_ATTRIB_HAS_SEGMENT_FS, SEG_FS}, {ZYDIS_ATTRIB_HAS_SEGMENT_GS, SEG_GS},
		};
		for (unsigned k = 0; k < ARRAY_SIZE(overrides); k++)
			if (in->attributes & overrides[k].attribute)
				i->seg = overrides[k].seg;
	}
}

static u8 kind_of(emu_fn *fn)
{
	static emu_fn *const handlers[] = {
#define X(n) [EMU_KIND_##n] = emu_##n,
		EMU_HANDLERS(X)
#undef X
	};
	u8 kind = 0;
	while (handlers[kind] != fn)
		kind++;
	return kind;
}

u32 new_emu(struct xlate *x, emu_fn *fn)
{
	u32 n = x->tc->emu_count++;
	fill_emu(x, &x->tc->emus[n], fn);
	x->tc->emus[n].kind = kind_of(fn);
	return n;
}

/*
 *	mov  r8d, index ; mov r9d, meta ; call thunk_callout
 * A handler that leaves does not come back.
 */
void emit_call_emu(struct xlate *x, u32 index)
{
	emit_esp(x);
	emit_mov_imm(x, R8, index);
	emit_mov_imm(x, R9, meta(x));
	emit_call(x, thunk_callout);
}

void emit_callout(struct xlate *x, emu_fn *fn, bool end)
{
	emit_call_emu(x, new_emu(x, fn));
	/* Under lockstep always: a device may have set a timer. */
	if (end || x->v->lockstep) {
		/* For handlers that came back all the same. */
		emit_mov_imm(x, R8, x->next_eip);
		emit_jmp(x, (u64)thunk_exit_jc);
		x->end = true;
	}
}

void emit_esp(struct xlate *x)
{
	if (x->esp_off)
		emit_lea32(x, R15, R15, NO_REG, 1, x->esp_off);
	x->esp_off = 0;
}

/* ESP += n, of the stack's width. */
void emit_add_esp(struct xlate *x, s32 n)
{
	if (x->defers)
		x->esp_off += n;
	else if (x->mode & MODE_SS32) {
		emit_lea32(x, R15, R15, NO_REG, 1, n);
	} else {
		emit_lea32(x, R9, R15, NO_REG, 1, n);
		emit_mov16(x, R15, R9);
	}
}

void emit_push(struct xlate *x, unsigned src, u32 imm, unsigned size)
{
	/* Slot 1: an instruction's own memory operand has slot 0. */
	emit_stack_linear(x, R15, -(s32)size, 1, size, ACCESS_WRITE);
	struct cold *c = begin_access(x, 1);
	if (src != NO_REG) {
		emit_op_ref(x, size == 2, 0, 0x89, src);
	} else {
		emit_op_ref(x, size == 2, 0, 0xc7, 0);
		e1(x, imm);
		e1(x, imm >> 8);
		if (size == 4) {
			e1(x, imm >> 16);
			e1(x, imm >> 24);
		}
	}
	end_access(x, c);
	emit_add_esp(x, -(s32)size);
}

void emit_pop(struct xlate *x, unsigned reg, unsigned size)
{
	emit_stack_linear(x, R15, 0, 1, size, ACCESS_READ);
	struct cold *c = begin_access(x, 1);
	emit_load(x, reg, size);
	end_access(x, c);
}

/*
 * What an instruction raises before its access is looked at; the hot path leaves that to the instruction itself:
 *	mov   rcx, r10 ; fwait
 *	pext  ecx, r8d, [mask15] ; jrcxz 1f ; mov rcx, r10 ; movaps xmm0, [r14 + 1]	(never aligned: #GP)
 * 1:	mov   rcx, r10
 */
static void emit_before_miss(struct xlate *x, const struct cold *c)
{
	EB(x, 0x4c, 0x89, 0xd1); /* mov rcx, r10 */
	if (c->waits)
		e1(x, 0x9b);
	if (!c->aligned)
		return;
	emit_pext_v(x, false, RCX, R8, offsetof(struct vcpu, mask15));
	EB(x, 0xe3, 0x08, 0x4c, 0x89, 0xd1, 0x41, 0x0f, 0x28, 0x46, 0x01);
	EB(x, 0x4c, 0x89, 0xd1); /* mov rcx, r10 */
}

static void emit_one_cold(struct xlate *x, struct cold *c)
{
	static void (*const miss[2][2])(void) = {{thunk_miss0, thunk_miss1}, {thunk_miss_write0, thunk_miss_write1}};
	static void (*const commit[2])(void) = {thunk_commit0, thunk_commit1};
	static void (*const seg[2])(void) = {thunk_seg0, thunk_seg1};
	struct tu_insn *in = tu_insn(x->tc, x->tu, c->insn);
	u32 m = tu_index(x->tc, x->tu) << 8 | c->insn;

	c->start = here(x);
	if (c->site)
		patch_rel32(x, c->site, c->start);
	if (!in->cold_off)
		in->cold_off = (u16)(here(x) - x->rx);
	switch (c->kind) {
	case COLD_READ:
		emit_before_miss(x, c);
		emit_mov_imm(x, R9, m);
		emit_call(x, miss[0][c->slot]);
		emit_jmp(x, c->op_start);
		break;
	case COLD_WRITE:
		emit_before_miss(x, c);
		emit_mov_imm(x, R9, m);
		emit_call(x, miss[1][c->slot]);
		emit_jmp(x, c->op_start);
		__builtin_memcpy(x->p, x->start + (c->op_start - x->rx), c->op_end - c->op_start);
		x->p += c->op_end - c->op_start;
		emit_call(x, commit[c->slot]);
		emit_jmp(x, c->op_end);
		break;
	case COLD_SEG:
		emit_before_miss(x, c);
		emit_mov_imm(x, R9, m);
		emit_call(x, seg[c->slot]);
		emit_jmp(x, c->op_end);
		break;
	case COLD_TSC:
		EB(x, 0x4c, 0x89, 0xd1); /* mov rcx, r10 */
		emit_mov(x, false, REG_EAX, R11);
		EB(x, 0xc4, 0xc3, 0xfb, 0xf0, 0xd3, 0x20); /* rorx rdx, r11, 32 */
		emit_mov(x, false, REG_EDX, REG_EDX);
		/* fall through */
	case COLD_CALLOUT:
		x->insn = c->insn;
		emit_call_emu(x, c->index);
		emit_jmp(x, c->op_end);
		break;
	case COLD_EXIT:
		/* Backward or not is a matter of the branch's own EIP. */
		x->eip = x->tu->eip + in->guest_off;
		emit_exit(x, c->eip);
		break;
	case COLD_CHAIN:
		x->tc->exits[c->index].stub = here(x);
		emit_mov_imm(x, R9, c->index + 1);
		emit_jmp(x, (u64)thunk_exit_chain);
		break;
	case COLD_STI:
		EB(x, 0x4c, 0x89, 0xd1);
		emit_mov_imm(x, R8, c->eip);
		emit_jmp(x, (u64)thunk_sti_exit);
		break;
	case COLD_EVENT:
		EB(x, 0x4c, 0x89, 0xd1);
		emit_mov_imm(x, R8, c->eip);
		emit_jmp(x, (u64)thunk_exit_jc);
		break;
	}
}

void emit_cold(struct xlate *x)
{
	/* Cold exits may add chains: the count grows while we go. */
	for (unsigned i = 0; i < x->cold_count; i++)
		emit_one_cold(x, &x->cold[i]);
}
