/*
 * The verifier's view of an instruction: Capstone's, reduced to what the rules ask for, behind a scan of the prefixes by hand, for there
 * disassemblers and CPUs differ: each at most once, of those that the emitter uses, REX last.
 *
 * Invariant: an instruction that is passed on is on the list, has nothing but general, x87, MMX and XMM registers, and a single memory
 * operand at most.
 */
#include <string.h>

#include "translator/verify_impl.h"
#include "translator/verify_table.h"

/* clang-format off */
static const u16 effects[X86_INS_ENDING] = {
#define X(m, e) [X86_INS_##m] = E_LISTED | (e),
#define R(m) X(m, 0)
#define W(m) X(m, E_W0)
#define O(m) X(m, E_W0 | E_ONLY)
	ALLOWED(X, R, W, O)
#undef X
#undef R
#undef W
#undef O
#define X(m) [X86_INS_##m] = E_SENS,
	SENSITIVE(X)
#undef X
#define X(m) [X86_INS_##m] = E_FORB,
	FORBIDDEN(X)
#undef X
};
/* clang-format on */

struct reg {
	u8 type, number;
};

/* clang-format off */
#define GPR(n, a, b, c, d) \
	[X86_REG_##a] = {VOP_GPR, n}, [X86_REG_##b] = {VOP_GPR, n}, [X86_REG_##c] = {VOP_GPR, n}, [X86_REG_##d] = {VOP_GPR, n},
#define GPRS(X) \
	X(0, AL, AX, EAX, RAX) X(1, CL, CX, ECX, RCX) X(2, DL, DX, EDX, RDX) X(3, BL, BX, EBX, RBX) X(4, SPL, SP, ESP, RSP) \
	X(5, BPL, BP, EBP, RBP) X(6, SIL, SI, ESI, RSI) X(7, DIL, DI, EDI, RDI) X(8, R8B, R8W, R8D, R8) X(9, R9B, R9W, R9D, R9) \
	X(10, R10B, R10W, R10D, R10) X(11, R11B, R11W, R11D, R11) X(12, R12B, R12W, R12D, R12) X(13, R13B, R13W, R13D, R13) \
	X(14, R14B, R14W, R14D, R14) X(15, R15B, R15W, R15D, R15)
#define VECTOR(p, n) [X86_REG_##p##n] = {VOP_VECTOR, n},
#define VECTORS(p) VECTOR(p, 0) VECTOR(p, 1) VECTOR(p, 2) VECTOR(p, 3) VECTOR(p, 4) VECTOR(p, 5) VECTOR(p, 6) VECTOR(p, 7)
static const struct reg regs[X86_REG_ENDING] = {
	GPRS(GPR)
	[X86_REG_AH] = {VOP_GPR, 0}, [X86_REG_CH] = {VOP_GPR, 1}, [X86_REG_DH] = {VOP_GPR, 2}, [X86_REG_BH] = {VOP_GPR, 3},
	VECTORS(XMM) VECTORS(MM) VECTORS(ST)
};
/* clang-format on */

static enum verify_rule scan_prefixes(const u8 *p, size_t avail, struct vinsn *in)
{
	static const u8 bit[256] = {[0x65] = P_GS, [0x67] = P_ADDR32, [0xf0] = P_LOCK, [0x66] = P_OPSIZE, [0xf3] = P_REP, [0xf2] = P_REPNE};
	size_t i = 0;
	for (; i < avail && bit[p[i]]; i++) {
		if (in->prefixes & bit[p[i]])
			return VERIFY_PREFIX;
		in->prefixes |= bit[p[i]];
	}
	if (i < avail && (p[i] & 0xf0) == 0x40)
		in->rex = p[i++];
	if (i == avail)
		return VERIFY_DECODE;
	/* ES CS SS DS FS: ignored by the CPU, or a way around the window. Behind REX any prefix voids that. */
	if (p[i] == 0x26 || p[i] == 0x2e || p[i] == 0x36 || p[i] == 0x3e || p[i] == 0x64)
		return VERIFY_PREFIX;
	if (in->rex && (bit[p[i]] || (p[i] & 0xf0) == 0x40))
		return VERIFY_PREFIX;
	in->opcode = p[i];
	in->vex = p[i] == 0xc4 || p[i] == 0xc5 || p[i] == 0x62 || p[i] == 0x8f;
	if (in->vex && (in->prefixes || in->rex))
		return VERIFY_PREFIX;
	return VERIFY_OK;
}

static u8 address_register(x86_reg reg)
{
	if (reg == X86_REG_INVALID || reg == X86_REG_RIZ || reg == X86_REG_EIZ)
		return V_NO_REG;
	if (regs[reg].type == VOP_GPR)
		return regs[reg].number;
	return V_RIP;
}

/* Where Capstone gives a memory operand another size than the manuals do. */
static u8 memory_size(const struct vinsn *in, u8 size)
{
	bool mmx = !(in->prefixes & P_OPSIZE);
	switch (in->id) {
	case X86_INS_COMISS:
		return 4;
	case X86_INS_COMISD:
		return 8;
	case X86_INS_FNSTSW:
		return 2;
	case X86_INS_PUNPCKLBW:
	case X86_INS_PUNPCKLWD:
	case X86_INS_PUNPCKLDQ:
		return mmx ? 4 : size;
	case X86_INS_ADD:
	case X86_INS_ROL:
		return (in->opcode & 1) && (in->prefixes & P_OPSIZE) && !(in->rex & 8) ? 2 : size;
	default:
		return size;
	}
}

static enum verify_rule other_register(x86_reg reg)
{
	switch (reg) {
	case X86_REG_CS:
	case X86_REG_DS:
	case X86_REG_ES:
	case X86_REG_FS:
	case X86_REG_GS:
	case X86_REG_SS:
		return VERIFY_SENSITIVE;
	default:
		return VERIFY_REGISTER;
	}
}

static enum verify_rule take_operand(struct vinsn *in, const cs_x86 *x, unsigned i)
{
	const cs_x86_op *op = &x->operands[i];
	struct vop *to = &in->op[i];
	to->size = op->size;
	switch (op->type) {
	case X86_OP_REG:
		to->type = regs[op->reg].type;
		to->reg = regs[op->reg].number;
		return to->type == VOP_NONE ? other_register(op->reg) : VERIFY_OK;
	case X86_OP_IMM:
		to->type = VOP_IMM;
		to->imm = op->imm;
		return VERIFY_OK;
	case X86_OP_MEM:
		if (in->mem != V_NO_REG)
			return in->effect & E_GLUE ? VERIFY_OK : VERIFY_MEMORY;
		to->type = VOP_MEM;
		to->size = memory_size(in, op->size);
		in->mem = (u8)i;
		in->base = address_register(op->mem.base);
		in->index = address_register(op->mem.index);
		in->scale = (u8)op->mem.scale;
		in->disp = op->mem.disp;
		return VERIFY_OK;
	default:
		return VERIFY_UNLISTED;
	}
}

/* Transfers have no prefix but the 67 of JECXZ and LOOP, and REX only for the register of an indirect jump. */
static enum verify_rule check_flow(const struct vinsn *in)
{
	bool short_count = in->opcode >= 0xe0 && in->opcode <= 0xe3;
	if (in->prefixes & ~(short_count ? P_ADDR32 : 0))
		return VERIFY_PREFIX;
	if (in->rex && in->opcode != 0xff)
		return VERIFY_PREFIX;
	return VERIFY_OK;
}

/* Capstone on the bytes at p; 0, or the instruction's number. */
static u16 disassemble(csh cs, cs_insn *scratch, const u8 *p, size_t avail, u64 at)
{
	u8 fence[15];
	/* SDM Vol. 2A, LFENCE: the r/m field is ignored; Capstone knows it as 0 only. */
	if (avail >= 3 && p[0] == 0x0f && p[1] == 0xae && p[2] >= 0xe8) {
		memcpy(fence, p, avail);
		fence[2] &= 0xf8;
		p = fence;
	}
	return cs_disasm_iter(cs, &p, &avail, &at, scratch) ? (u16)scratch->id : X86_INS_INVALID;
}

/*
 * F2 and F3 must mean something: elsewhere Capstone ignores them, while a CPU may know another instruction by them. They do if it is
 * another instruction without; strings and PAUSE are the exceptions.
 */
static bool rep_means_something(csh cs, cs_insn *scratch, const u8 *p, size_t avail, const struct vinsn *in)
{
	u8 without[15];
	size_t n = 0;
	if ((in->opcode >= 0xa4 && in->opcode <= 0xa7) || (in->opcode >= 0xaa && in->opcode <= 0xaf) || in->id == X86_INS_PAUSE)
		return (in->prefixes & (P_REP | P_REPNE)) != (P_REP | P_REPNE);
	bool prefix = true;
	for (size_t i = 0; i < avail; i++) {
		prefix = prefix && (p[i] == 0x65 || p[i] == 0x66 || p[i] == 0x67 || p[i] == 0xf0 || p[i] == 0xf2 || p[i] == 0xf3);
		if (!prefix || (p[i] != 0xf2 && p[i] != 0xf3))
			without[n++] = p[i];
	}
	return disassemble(cs, scratch, without, n, 0) != in->id;
}

enum verify_rule verify_decode(csh cs, cs_insn *scratch, const u8 *p, size_t avail, u64 at, struct vinsn *in)
{
	size_t left = MIN(avail, 15);
	u16 off = in->off;

	*in = (struct vinsn){.off = off, .mem = V_NO_REG, .base = V_NO_REG, .index = V_NO_REG};
	enum verify_rule rule = scan_prefixes(p, left, in);
	if (rule)
		return rule;
	in->id = disassemble(cs, scratch, p, left, at);
	if (in->id == X86_INS_INVALID)
		return VERIFY_DECODE;
	in->length = (u8)scratch->size;
	in->effect = effects[in->id];
	if (in->effect & E_SENS)
		return VERIFY_SENSITIVE;
	if (in->effect & E_FORB)
		return VERIFY_FORBIDDEN;
	if (!(in->effect & E_LISTED) || in->vex != !!(in->effect & E_VEX))
		return VERIFY_UNLISTED;
	const cs_x86 *x = &scratch->detail->x86;
	if (x->op_count > ARRAY_SIZE(in->op))
		return VERIFY_UNLISTED;
	in->ops = x->op_count;
	for (unsigned i = 0; i < x->op_count; i++) {
		rule = take_operand(in, x, i);
		if (rule)
			return rule;
	}
	/* Other NOPs than 90 and 0F 1F are something else on some CPUs. */
	if (in->id == X86_INS_NOP && in->opcode == 0x0f && x->opcode[1] != 0x1f)
		return VERIFY_UNLISTED;
	if ((in->prefixes & (P_REP | P_REPNE)) && !rep_means_something(cs, scratch, p, left, in))
		return VERIFY_PREFIX;
	if (!(in->effect & E_FLOW))
		return VERIFY_OK;
	if (in->ops == 1 && in->op[0].type == VOP_IMM)
		in->target = (u64)in->op[0].imm;
	return check_flow(in);
}

/* ---- the memo ---- */

static u32 hash_bytes(const u8 *p, size_t n)
{
	u32 h = 0x811c9dc5u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x01000193u;
	return h ^ h >> 15;
}

/* Makes a decoded instruction one at `at`, or, with what the memo has, the other way round. */
static void relocate(struct vinsn *in, u64 delta)
{
	if (!(in->effect & E_FLOW) || in->ops != 1 || in->op[0].type != VOP_IMM)
		return;
	in->target += delta;
	in->op[0].imm = (s64)in->target;
}

enum verify_rule verify_decode_memo(struct vmemo *memo, csh cs, cs_insn *scratch, const u8 *p, size_t avail, u64 at, struct vinsn *in)
{
	u16 off = in->off;
	u16 *lengths = &memo->lengths[hash_bytes(p, MIN(avail, 3)) % ARRAY_SIZE(memo->lengths)];
	/* No instruction is the beginning of another, so at most one length is right. */
	for (u32 left = *lengths; left; left &= left - 1) {
		u32 n = (u32)__builtin_ctz(left), slot = hash_bytes(p, MIN(n, avail)) % V_MEMO;
		if (n > avail || memo->entry[slot].length != n || memcmp(memo->entry[slot].bytes, p, n) != 0)
			continue;
		*in = memo->entry[slot].in;
		in->off = off;
		relocate(in, at + n);
		return VERIFY_OK;
	}
	enum verify_rule rule = verify_decode(cs, scratch, p, avail, at, in);
	if (rule)
		return rule;
	u32 n = in->length, slot = hash_bytes(p, n) % V_MEMO;
	*lengths |= (u16)(1u << n);
	memo->entry[slot].length = in->length;
	memcpy(memo->entry[slot].bytes, p, n);
	memo->entry[slot].in = *in;
	relocate(&memo->entry[slot].in, -(at + n));
	return VERIFY_OK;
}
