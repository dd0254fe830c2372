/*
 * Lowering: what each guest instruction becomes. The table is insn_table.h; this file has the expansions that it names.
 *
 * Invariant of every expansion: guest state changes only after its last access that can fault, so that a fault finds the state of
 * the instruction's start.
 */
#include "translator/emit.h"

#include "monitor/cpuid.h"
#include "translator/insn_info.h"

/* The target of a relative branch: masked for 16-bit operands. */
static u32 branch_target(const struct xlate *x)
{
	u32 t = x->next_eip + (u32)x->ops[0].imm.value.s;
	return x->in.operand_width == 16 ? t & 0xffff : t;
}

/* ---- stack ---- */

void load_operand(struct xlate *x, const ZydisDecodedOperand *mem, unsigned reg, unsigned size)
{
	emit_linear(x, mem, 0, size, ACCESS_READ);
	struct cold *c = begin_access(x, 0);
	emit_load(x, reg, size);
	end_access(x, c);
}

static void lower_push(struct xlate *x)
{
	const ZydisDecodedOperand *op = &x->ops[0];
	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		emit_push(x, host_reg(gpr_number(op->reg.value)), 0, opsize(x));
	} else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		load_operand(x, op, R11, opsize(x));
		emit_push(x, R11, 0, opsize(x));
	} else {
		emit_push(x, NO_REG, (u32)op->imm.value.s, opsize(x));
	}
}

static void lower_pop(struct xlate *x)
{
	const ZydisDecodedOperand *op = &x->ops[0];
	unsigned size = opsize(x);
	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		unsigned r = host_reg(gpr_number(op->reg.value));
		bool straight = size == 4 && r != R15;
		emit_pop(x, straight ? r : R11, size);
		/* ESP moves first: POP ESP ends with the popped value. */
		emit_add_esp(x, (s32)size);
		if (size == 2)
			emit_mov16(x, r, R11);
		else if (!straight)
			emit_mov(x, false, r, R11);
		return;
	}
	emit_pop(x, R11, size);
	/* The address of POP [ESP + n] is computed with ESP already moved (SDM Vol. 2B, POP). */
	ZydisDecodedOperand mem = *op;
	if (mem.mem.base == ZYDIS_REGISTER_ESP) {
		mem.mem.disp.has_displacement = true;
		mem.mem.disp.value = (s32)((u32)mem.mem.disp.value + size);
	}
	emit_linear(x, &mem, 0, size, ACCESS_WRITE);
	struct cold *c = begin_access(x, 0);
	emit_op_ref(x, size == 2, 0, 0x89, R11);
	end_access(x, c);
	emit_add_esp(x, (s32)size);
}

/* mov (e)sp, (e)bp ; pop (e)bp: the pop is from SS:(E)BP. */
static void lower_leave(struct xlate *x)
{
	unsigned size = opsize(x);
	emit_stack_linear(x, REG_EBP, 0, 1, size, ACCESS_READ);
	struct cold *c = begin_access(x, 1);
	emit_load(x, R11, size);
	end_access(x, c);
	if (x->mode & MODE_SS32)
		emit_mov(x, false, R15, REG_EBP);
	else
		emit_mov16(x, R15, REG_EBP);
	emit_add_esp(x, (s32)size);
	if (size == 2)
		emit_mov16(x, REG_EBP, R11);
	else
		emit_mov(x, false, REG_EBP, R11);
}

/* ---- control flow ---- */

static void lower_jcc(struct xlate *x)
{
	emit_jcc_exit(x, 0x80 | (x->in.opcode & 0xf), branch_target(x));
	/* The TU goes on behind an untaken branch, while there is room for its exits. */
	if (x->tu->exit_count + 2 >= TU_MAX_EXITS || (x->mode & MODE_SINGLE)) {
		emit_exit(x, x->next_eip);
		x->end = true;
	}
}

/* A taken branch on a condition that is not in a jcc: `67 E3/E2 rel8` over the way of the untaken. */
static void finish_short_branch(struct xlate *x)
{
	/* jcxz/loop +2 ; jmp +10 ; jmp taken ; (5 bytes) jmp untaken */
	EB(x, 0x02, 0xeb, 0x05, 0xe9);
	e4(x, 0);
	struct cold *c = new_cold(x, COLD_EXIT);
	c->site = here(x) - 4;
	c->eip = branch_target(x);
	emit_exit(x, x->next_eip);
	x->end = true;
}

static void lower_jcxz(struct xlate *x)
{
	if (x->in.address_width == 32) {
		EB(x, 0x67, 0xe3);
	} else {
		/* mov r10, rcx ; movzx ecx, cx ; jrcxz taken: ECX is restored on both ways */
		EB(x, 0x49, 0x89, 0xca, 0x0f, 0xb7, 0xc9, 0xe3, 0x05); /* jrcxz +5 */
		EB(x, 0x4c, 0x89, 0xd1, 0xeb, 0x08);		       /* mov rcx, r10 ; jmp +8 */
		EB(x, 0x4c, 0x89, 0xd1, 0xe9);			       /* mov rcx, r10 ; jmp taken */
		e4(x, 0);
		struct cold *c = new_cold(x, COLD_EXIT);
		c->site = here(x) - 4;
		c->eip = branch_target(x);
		emit_exit(x, x->next_eip);
		x->end = true;
		return;
	}
	finish_short_branch(x);
}

static void lower_loop(struct xlate *x)
{
	if (x->in.address_width == 32) {
		e1(x, 0x67);
		e1(x, x->in.opcode);
		finish_short_branch(x);
		return;
	}
	/* lea r9d, [rcx - 1] ; mov cx, r9w ; (jne/je untaken) ; mov r10, rcx ; movzx ecx, cx ; jrcxz untaken ; taken */
	emit_lea32(x, R9, RCX, NO_REG, 1, -1);
	emit_mov16(x, RCX, R9);
	unsigned skip = 3 + 3 + 2 + 3 + 5 + 3;
	if (x->in.opcode == 0xe1) {
		e1(x, 0x75); /* LOOPE: ZF = 0 ends it */
		e1(x, skip);
	} else if (x->in.opcode == 0xe0) {
		e1(x, 0x74);
		e1(x, skip);
	}
	EB(x, 0x49, 0x89, 0xca, 0x0f, 0xb7, 0xc9, 0xe3, 0x08); /* jrcxz +8 */
	EB(x, 0x4c, 0x89, 0xd1, 0xe9);			       /* mov rcx, r10 ; jmp taken */
	e4(x, 0);
	struct cold *c = new_cold(x, COLD_EXIT);
	c->site = here(x) - 4;
	c->eip = branch_target(x);
	/* jrcxz lands here with ECX = CX; jne/je land behind the restoring move. */
	EB(x, 0x4c, 0x89, 0xd1);
	emit_exit(x, x->next_eip);
	x->end = true;
}

static bool is_far(const struct xlate *x)
{
	return x->in.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

/* An indirect near target into a register. */
static void load_target(struct xlate *x, unsigned reg)
{
	const ZydisDecodedOperand *op = &x->ops[0];
	if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		load_operand(x, op, reg, opsize(x));
		return;
	}
	unsigned r = host_reg(gpr_number(op->reg.value));
	if (opsize(x) == 2)
		emit_movzx16(x, reg, r);
	else
		emit_mov(x, false, reg, r);
}

static void lower_jmp(struct xlate *x)
{
	x->end = true;
	if (x->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		emit_exit(x, branch_target(x));
		return;
	}
	load_target(x, R8);
	emit_exit_indirect(x);
}

static void lower_call(struct xlate *x)
{
	x->end = true;
	if (x->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		emit_push(x, NO_REG, x->next_eip, opsize(x));
		emit_exit(x, branch_target(x));
		return;
	}
	load_target(x, R11);
	emit_push(x, NO_REG, x->next_eip, opsize(x));
	emit_mov(x, false, R8, R11);
	emit_exit_indirect(x);
}

static void lower_ret(struct xlate *x)
{
	x->end = true;
	u32 bytes = x->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? (u32)x->ops[0].imm.value.u & 0xffff : 0;
	emit_pop(x, R8, opsize(x));
	emit_add_esp(x, (s32)(opsize(x) + bytes));
	emit_exit_indirect(x);
}

/* ---- moves ---- */

static bool is_esp(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value == ZYDIS_REGISTER_ESP;
}

static void lower_mov(struct xlate *x)
{
	if (x->esp_off && is_esp(&x->ops[1])) {
		emit_lea32(x, host_reg(gpr_number(x->ops[0].reg.value)), R15, NO_REG, 1, x->esp_off);
		return;
	}
	/* A0..A3 have 64-bit addresses in 64-bit mode: 8A 8B 88 89 with AL/eAX. */
	if (x->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (x->in.opcode & 0xfc) == 0xa0) {
		static const u8 modrm_form[4] = {0x8a, 0x8b, 0x88, 0x89};
		const ZydisDecodedOperand *mem = explicit_mem(x);
		emit_linear(x, mem, 0, mem->size / 8, x->in.opcode & 2 ? ACCESS_WRITE : ACCESS_READ);
		struct cold *c = begin_access(x, 0);
		emit_op_ref(x, mem->size == 16, 0, modrm_form[x->in.opcode & 3], REG_EAX);
		end_access(x, c);
		return;
	}
	lower_generic(x);
}

static void lower_lea(struct xlate *x)
{
	const ZydisDecodedOperand *mem = &x->ops[1];
	unsigned dst = host_reg(gpr_number(x->ops[0].reg.value));
	unsigned base = mem->mem.base != ZYDIS_REGISTER_NONE ? host_reg(gpr_number(mem->mem.base)) : NO_REG;
	unsigned index = mem->mem.index != ZYDIS_REGISTER_NONE ? host_reg(gpr_number(mem->mem.index)) : NO_REG;
	s32 disp = (mem->mem.disp.has_displacement ? (s32)mem->mem.disp.value : 0) + (base == R15 ? x->esp_off : 0);
	unsigned scale = mem->mem.scale ? mem->mem.scale : 1;
	if (x->in.address_width == 32 && x->in.operand_width == 32) {
		emit_lea32(x, dst, base, index, scale, disp);
		return;
	}
	emit_lea32(x, R8, base, index, scale, disp);
	if (x->in.address_width == 16)
		emit_movzx16(x, R8, R8);
	if (x->in.operand_width == 16)
		emit_mov16(x, dst, R8);
	else
		emit_mov(x, false, dst, R8);
}

/* The host's own division, whose #DE is a signal; emulated where it has failed too often. */
static void lower_div(struct xlate *x)
{
	if (x->guilty)
		emit_callout(x, x->in.mnemonic == ZYDIS_MNEMONIC_DIV ? emu_div : emu_idiv, false);
	else
		lower_generic(x);
}

static void lower_xlat(struct xlate *x)
{
	unsigned seg = SEG_DS;
	for (unsigned i = 0; i < x->in.operand_count; i++)
		if (x->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			seg = seg_number(x->ops[i].mem.segment);
	EB(x, 0x44, 0x0f, 0xb6, 0xc0); /* movzx r8d, al */
	emit_lea32(x, R8, R8, REG_EBX, 1, 0);
	if (x->in.address_width == 16)
		emit_movzx16(x, R8, R8);
	emit_segment(x, seg, 0, 1, ACCESS_READ, x->in.address_width == 16);
	struct cold *c = begin_access(x, 0);
	emit_op_ref(x, false, 0, 0x8a, REG_EAX);
	end_access(x, c);
}

static void lower_nop(struct xlate *x)
{
	(void)x;
}

/* Faults as a load of its operand does (SDM Vol. 2A, CLFLUSH); caches are the host's business. */
static void lower_clflush(struct xlate *x)
{
	emit_linear(x, &x->ops[0], 0, 1, ACCESS_READ);
	struct cold *c = begin_access(x, 0);
	emit_op_ref(x, false, 0x0f, 0xb6, R11); /* movzx r11d, byte */
	end_access(x, c);
}

/* ---- the table ---- */

/* What is done with an instruction; IDENT: it is not in the table. */
enum action { ACTION_IDENT, ACTION_LOWER, ACTION_EMULATE, ACTION_TRANSFER };

struct insn_entry {
	enum action action;
	void (*lower)(struct xlate *x);
	emu_fn *emulate;
};

#define LOWER(m, c, f)	  [ZYDIS_MNEMONIC_##m] = {ACTION_LOWER, lower_##f, NULL},
#define EMULATE(m, c, h)  [ZYDIS_MNEMONIC_##m] = {ACTION_EMULATE, NULL, emu_##h},
#define TRANSFER(m, c, h) [ZYDIS_MNEMONIC_##m] = {ACTION_TRANSFER, NULL, emu_##h},
static const struct insn_entry table[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {INSNS(LOWER, EMULATE, TRANSFER)};
#undef LOWER
#undef EMULATE
#undef TRANSFER

#define LOWER(m, k, c, f)    {ZYDIS_MNEMONIC_##m, INSN_FORM_##k, {ACTION_LOWER, lower_##f, NULL}},
#define EMULATE(m, k, c, h)  {ZYDIS_MNEMONIC_##m, INSN_FORM_##k, {ACTION_EMULATE, NULL, emu_##h}},
#define TRANSFER(m, k, c, h) {ZYDIS_MNEMONIC_##m, INSN_FORM_##k, {ACTION_TRANSFER, NULL, emu_##h}},
static const struct {
	ZydisMnemonic mnemonic;
	enum insn_form form;
	struct insn_entry entry;
} forms[] = {INSN_FORMS(LOWER, EMULATE, TRANSFER)};
#undef LOWER
#undef EMULATE
#undef TRANSFER

static const struct insn_entry *find_entry(const struct xlate *x)
{
	enum insn_form form = insn_form(&x->in, x->ops);
	for (size_t i = 0; form && i < ARRAY_SIZE(forms); i++)
		if (forms[i].mnemonic == x->in.mnemonic && forms[i].form == form)
			return &forms[i].entry;
	return &table[x->in.mnemonic];
}

/* #UD or #NM by CR0 and CR4, SDM Vol. 3A 2.5 and tables 12-1, 13-1. NULL: neither. */
static emu_fn *fpu_unavailable(const struct xlate *x)
{
	const ZydisDecodedInstruction *in = &x->in;
	if (in->meta.isa_ext == ZYDIS_ISA_EXT_BASE)
		return NULL;
	bool mmx = in->mnemonic == ZYDIS_MNEMONIC_EMMS || in->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ, sse = false;
	if (in->mnemonic == ZYDIS_MNEMONIC_FWAIT)
		return (x->mode & (MODE_MP | MODE_TS)) == (MODE_MP | MODE_TS) ? emu_nm : NULL;
	if (is_x87(in) || in->meta.isa_set == ZYDIS_ISA_SET_FXSAVE)
		return x->mode & (MODE_EM | MODE_TS) ? emu_nm : NULL;
	for (unsigned i = 0; i < in->operand_count; i++) {
		if (x->ops[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		mmx |= is_mmx(x->ops[i].reg.value);
		sse |= is_xmm(x->ops[i].reg.value) || x->ops[i].reg.value == ZYDIS_REGISTER_MXCSR;
	}
	sse |= in->mnemonic == ZYDIS_MNEMONIC_LDMXCSR || in->mnemonic == ZYDIS_MNEMONIC_STMXCSR;
	if ((mmx || sse) && (x->mode & MODE_EM))
		return emu_ud;
	if (sse && !(x->mode & MODE_OSFXSR))
		return emu_ud;
	return (mmx || sse) && (x->mode & MODE_TS) ? emu_nm : NULL;
}

static bool is_gpr(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && is_gpr32(op->reg.value);
}

/*
 * Whether an instruction can do with ESP = r15d + esp_off: pushes and pops of registers, near calls and returns, and what has no other
 * business with ESP than as the base of an address. Its accesses must be direct: out-of-line code saves r15d for ESP.
 */
static bool defers_esp(const struct xlate *x, enum action action)
{
	const ZydisDecodedInstruction *in = &x->in;
	const ZydisDecodedOperand *op = x->ops;
	if (!x->direct || (x->mode & (MODE_SS32 | MODE_SINGLE)) != MODE_SS32 || !is_flat(x, SEG_SS, ACCESS_WRITE))
		return false;
	for (unsigned i = 0; i < in->operand_count_visible; i++) {
		if (op[i].type == ZYDIS_OPERAND_TYPE_MEMORY && op[i].mem.type != ZYDIS_MEMOP_TYPE_AGEN &&
		    (in->address_width != 32 || !is_flat(x, seg_number(op[i].mem.segment),
							 op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? ACCESS_WRITE : ACCESS_READ)))
			return false;
	}
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
		return in->operand_width == 32 && ((is_gpr(op) && !is_esp(op)) || op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ||
						   (in->mnemonic == ZYDIS_MNEMONIC_PUSH && is_segment(op)));
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_RET:
		return in->operand_width == 32 && !is_far(x) && !is_esp(op);
	case ZYDIS_MNEMONIC_MOV:
		if (is_esp(&op[1]) && is_gpr(op) && !is_esp(op))
			return true;
		break;
	case ZYDIS_MNEMONIC_LEA:
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_CLD:
	case ZYDIS_MNEMONIC_STD:
		break;
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		if (explicit_mem(x))
			return false;
		break;
	default:
		if (action != ACTION_IDENT)
			return false;
		break;
	}
	for (unsigned i = 0; i < in->operand_count; i++)
		if (op[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (op[i].reg.value == ZYDIS_REGISTER_ESP || op[i].reg.value == ZYDIS_REGISTER_SP))
			return false;
	return true;
}

void lower_insn(struct xlate *x)
{
	const ZydisDecodedInstruction *in = &x->in;
	const struct insn_entry *e = find_entry(x);
	u64 need = insn_feature(in);
	emu_fn *unavailable;

	/* Behind STI an interrupt shadow may have to be thrown; nobody else is to come in there. */
	bool joins = !x->sti && !(x->mode & MODE_SINGLE) && !x->v->marks && !x->v->lockstep;
	x->sti = false;
	x->defers = defers_esp(x, e->action);
	if (!x->defers)
		emit_esp(x);
	cur_insn(x)->esp_off = (s16)x->esp_off;
	if (joins && !x->esp_off)
		cur_insn(x)->join_off = (u16)(here(x) - x->rx);
	if (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || (need && (x->v->features & need) != need)) {
		/* SYSENTER and friends count as BASE; 3DNow!, VEX and the rest are not offered. */
		emit_callout(x, emu_ud, true);
		return;
	}
	unavailable = fpu_unavailable(x);
	if (unavailable) {
		emit_callout(x, unavailable, true);
		return;
	}
	switch (e->action) {
	case ACTION_LOWER:
		e->lower(x);
		break;
	case ACTION_EMULATE:
		emit_callout(x, e->emulate, false);
		break;
	case ACTION_TRANSFER:
		emit_callout(x, e->emulate, true);
		break;
	case ACTION_IDENT:
		if (insn_may_run(in))
			lower_generic(x);
		else
			emit_callout(x, emu_ud, true);
		break;
	}
}
