/*
 * Decoding and translating any bytes in any mode; then the code is written to.
 *
 * The input is a CPU state and bytes, which may be repeated to the end of two pages so that one instruction fills a TU. Checked of each TU:
 * the bounds that the cache counts on; the instruction table; that the emitted code decodes to its end, holds no instruction that is
 * privileged, traps or enters the host's kernel, touches no host stack, and jumps only to instructions of its own and to thunks; that a
 * write to guest memory drops it if and only if it overlaps the TU's bytes.
 */
#include "tests/fuzz/fuzz.h"

#include <Zydis/Zydis.h>

#include "cache/jc.h"
#include "cache/smc.h"
#include "cache/tc.h"
#include "translator/mode.h"
#include "translator/translate.h"
#include "translator/xlate.h"

#define RAM	  (1u << 20)
#define CODE	  0x20000u /* two pages */
#define CODE_SIZE 0x2000u

static struct vcpu *v;
static ZydisDecoder host_decoder;

/* Linear address of the code: the last two pages of RAM when `end`, with nothing behind them. */
static void set_cpu(struct input *in, u32 linear)
{
	u8 a = take8(in), b = take8(in), segs = take8(in), c = take8(in);
	static const u32 eips[] = {0, 0x1234, 0xfff0, 0x10000, 0x7fffffff, 0xfffffff1, 0xffff, 0xfffff800};
	static const u32 attrs[] = {0, SEG_TYPE_E, SEG_UNUSABLE, SEG_TYPE_CODE};

	fuzz_cpu_flat(v, a & 3);
	if (b & 1)
		v->cr0 |= CR0_TS;
	if (b & 2)
		v->cr0 |= CR0_EM;
	if (b & 4)
		v->cr0 |= CR0_MP;
	if (b & 8)
		v->cr4 |= CR4_OSFXSR;
	for (int n = SEG_ES; n <= SEG_GS; n++) {
		struct segment *s = &v->seg[n];

		if (n == SEG_CS || !(segs >> n & 1))
			continue;
		/* A base alone costs an addition; a limit, or a type that is not plain data, a check. */
		segment_set(v, n, s->sel, c & 8 ? 0 : 0x1000u * (u32)n, c & 4 ? 0xfffff : 0xffffffffu, s->attr ^ attrs[c & 3]);
	}
	if (!(a & 8))
		segment_set(v, SEG_SS, v->seg[SEG_SS].sel, v->seg[SEG_SS].base, v->seg[SEG_SS].limit, v->seg[SEG_SS].attr & ~SEG_DB);
	v->eip = segs & 0x80 ? eips[c >> 5] : linear;
	u32 limit = segs & 2 ? (c & 16 ? 0xffff : v->eip + (b >> 4)) : 0xffffffffu;
	segment_set(v, SEG_CS, v->seg[SEG_CS].sel, linear - v->eip, limit, a & 4 ? v->seg[SEG_CS].attr : v->seg[SEG_CS].attr & ~SEG_DB);
	v->mode = mode_compute(v);
	if (a & 16)
		v->mode |= MODE_SINGLE;
	if (a & 32)
		v->mode |= MODE_DIRECT;
}

/* ---- the emitted code ---- */

static bool is_thunk(u64 to)
{
	static void (*const thunks[])(void) = {thunk_exit_jc,	  thunk_exit_chain,  thunk_head_miss, thunk_miss0,   thunk_miss1,
					       thunk_miss_write0, thunk_miss_write1, thunk_commit0,   thunk_commit1, thunk_seg0,
					       thunk_seg1,	  thunk_callout,     thunk_sti_exit};

	for (unsigned i = 0; i < ARRAY_SIZE(thunks); i++)
		if ((u64)thunks[i] == to)
			return true;
	return false;
}

static bool is_forbidden(const ZydisDecodedInstruction *in)
{
	if (in->mnemonic == ZYDIS_MNEMONIC_RDTSC)
		return false;
	switch (in->meta.category) {
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_RDWRFSGS:
		return true;
	default:
		break;
	}
	return (in->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) || in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ||
	       in->mnemonic == ZYDIS_MNEMONIC_UD2;
}

/* How an instruction moves the host's stack: PUSHF and POPF go through it, to and from r11, and nothing else does. */
static int stack_move(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *op)
{
	bool r11 = op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && op[0].reg.value == ZYDIS_REGISTER_R11;

	if (in->mnemonic == ZYDIS_MNEMONIC_PUSHFQ || (in->mnemonic == ZYDIS_MNEMONIC_PUSH && r11))
		return 1;
	if (in->mnemonic == ZYDIS_MNEMONIC_POPFQ || (in->mnemonic == ZYDIS_MNEMONIC_POP && r11))
		return -1;
	return 0;
}

/* Operands that no translated instruction has: the host's stack, RIP-relative addresses, FS; GS without a 32-bit address but for a register
 * of the guest's, or none, and a displacement that the window's guards catch. */
static bool is_stray(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *op)
{
	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
		return false;
	/* The return address of a call of a thunk; the flags. */
	if (op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
	    (in->meta.category == ZYDIS_CATEGORY_CALL || in->meta.category == ZYDIS_CATEGORY_PUSH ||
	     in->meta.category == ZYDIS_CATEGORY_POP))
		return false;
	if (op->mem.base == ZYDIS_REGISTER_RSP || op->mem.base == ZYDIS_REGISTER_ESP || op->mem.base == ZYDIS_REGISTER_RIP ||
	    op->mem.base == ZYDIS_REGISTER_EIP)
		return true;
	if (op->mem.segment == ZYDIS_REGISTER_GS && in->address_width != 32) {
		s64 disp = op->mem.disp.has_displacement ? op->mem.disp.value : 0;
		bool monitors =
			op->mem.base == ZYDIS_REGISTER_R12 || op->mem.base == ZYDIS_REGISTER_R13 || op->mem.base == ZYDIS_REGISTER_R14;
		bool far = op->mem.base == ZYDIS_REGISTER_NONE ? disp < 0 : disp < -0xf000 || disp > 0xf000;
		return op->mem.index != ZYDIS_REGISTER_NONE || monitors || far;
	}
	return op->mem.segment == ZYDIS_REGISTER_FS;
}

static void check_host_code(struct tu *tu)
{
	static u8 boundary[TU_MAX_HOST + 16];
	static struct {
		u32 from, to;
	} branch[TU_MAX_HOST / 2];
	const u8 *code = v->tc->rw + (tu->head - (u32)(u64)v->tc->rx);
	u32 size = tu->end - tu->head, branches = 0;
	int depth = 0;

	memset(boundary, 0, size + 1);
	boundary[size] = 1;
	for (u32 at = 0; at < size;) {
		ZydisDecodedInstruction in;
		ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
		u64 to;

		REQUIRE(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&host_decoder, code + at, size - at, &in, op)),
			"host code at +%#x does not decode", at);
		REQUIRE(!is_forbidden(&in), "host code at +%#x: %s", at, ZydisMnemonicGetString(in.mnemonic));
		boundary[at] = 1;
		int move = stack_move(&in, op);
		bool stack = in.meta.category == ZYDIS_CATEGORY_PUSH || in.meta.category == ZYDIS_CATEGORY_POP;
		REQUIRE(!!move == stack && depth + move == (move > 0), "host code at +%#x: %s leaves the stack askew", at,
			ZydisMnemonicGetString(in.mnemonic));
		depth += move;
		for (unsigned k = 0; k < in.operand_count; k++) {
			REQUIRE(!is_stray(&in, &op[k]), "host code at +%#x: %s has a stray operand", at,
				ZydisMnemonicGetString(in.mnemonic));
			if (op[k].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || !op[k].imm.is_relative)
				continue;
			ZydisCalcAbsoluteAddress(&in, &op[k], tu->head + at, &to);
			if (to - tu->head >= size)
				REQUIRE(is_thunk(to), "host code at +%#x leaves to %#llx", at, (unsigned long long)to);
			else
				branch[branches].from = at, branch[branches++].to = (u32)(to - tu->head);
		}
		at += in.length;
	}
	for (u32 i = 0; i < branches; i++) {
		u32 to = branch[i].to;

		/* The way to a miss: the last five bytes of an eight-byte NOP are a jump. */
		if (!boundary[to] && to >= 3 && boundary[to - 3] && !memcmp(code + to - 3, (u8[]){0x0f, 0x1f, 0x84, 0xe9}, 4)) {
			s32 rel;
			memcpy(&rel, code + to + 1, 4);
			to = to + 5 + (u32)rel;
		}
		REQUIRE(to < size && boundary[to], "host code at +%#x jumps to +%#x, amid an instruction", branch[i].from, to);
	}
}

/* ---- the TU ---- */

static void check_tu(struct tu *tu)
{
	struct tc *tc = v->tc;
	u32 last_host = 0, last_guest = 0;

	REQUIRE(tu->end - tu->head <= TU_MAX_HOST, "%u host bytes", tu->end - tu->head);
	REQUIRE(v->xlate->cold_count <= MAX_COLD, "%u stubs", v->xlate->cold_count);
	REQUIRE(tu->insn_count > 0 && tu->insn_count <= TU_MAX_INSNS, "%u instructions", tu->insn_count);
	REQUIRE(tu->exit_count <= TU_MAX_EXITS, "%u exits", tu->exit_count);
	REQUIRE(tu->head <= tu->body && tu->body <= tu->cold && tu->cold <= tu->end, "parts out of order");
	REQUIRE(tc->used <= tc->size && tc->tu_count <= tc->tu_max && tc->insn_count <= tc->insn_max && tc->exit_count <= tc->exit_max &&
			tc->emu_count <= tc->emu_max,
		"the arenas overflow");
	REQUIRE(tu->guest_len > 0 && tu->guest_len <= PAGE_SIZE + 15, "%u guest bytes", tu->guest_len);
	REQUIRE(!!(tu->flags & TU_SINGLE) == !!(v->mode & MODE_SINGLE) && (!(tu->flags & TU_SINGLE) || tu->insn_count == 1), "not single");
	u32 in_page = PAGE_SIZE - ((u32)tu->pa & PAGE_MASK);
	REQUIRE(tu->flags & TU_STRADDLES ? tu->insn_count == 1 && tu->guest_len > in_page && tu->guest_len - in_page < 15
					 : tu->guest_len <= in_page,
		"%u guest bytes, %u in the page", tu->guest_len, in_page);
	for (u32 n = 0; n < tu->insn_count; n++) {
		const struct tu_insn *in = tu_insn(tc, tu, n);

		REQUIRE(!n || in->host_off >= last_host, "instruction %u: host offset %u after %u", n, in->host_off, last_host);
		REQUIRE(n ? in->guest_off > last_guest && in->guest_off - last_guest <= 15 : !in->guest_off,
			"instruction %u: guest offset %u", n, in->guest_off);
		REQUIRE(in->host_off >= tu->body - tu->head && in->host_off <= tu->cold - tu->head, "instruction %u: host offset %u", n,
			in->host_off);
		REQUIRE(!in->cold_off || (in->cold_off >= tu->cold - tu->head && in->cold_off < tu->end - tu->head), "instruction %u: stub",
			n);
		REQUIRE(!in->join_off || (in->join_off >= in->host_off && in->join_off <= tu->cold - tu->head),
			"instruction %u: control may come in at offset %u", n, in->join_off);
		REQUIRE(in->guest_off < tu->guest_len, "instruction %u lies behind the TU's bytes", n);
		last_host = in->host_off;
		last_guest = in->guest_off;
	}
	check_host_code(tu);
}

/* Whether a write to [pa, pa + n) changes a byte that the TU was made from. */
static bool overlaps(const struct tu *tu, u64 pa, u32 n)
{
	for (u32 k = 0; k < tu->guest_len; k++) {
		u32 in_page = PAGE_SIZE - ((u32)tu->pa & PAGE_MASK);
		u64 byte = k < in_page ? tu->pa + k : tu->pa2 + (k - in_page);

		if (byte >= pa && byte < pa + n)
			return true;
	}
	return false;
}

static void check_writes(struct tu *tu, struct input *in, u32 base)
{
	u8 byte[64];

	for (int i = 0; i < 4 && !(tu->flags & TU_DEAD); i++) {
		u32 pa = base + take16(in) % (CODE_SIZE - 64), n = 1 + take8(in) % 64;
		bool hit = overlaps(tu, pa, n);

		memset(byte, take8(in), n);
		phys_write(v->vm, pa, byte, n);
		REQUIRE(!!(tu->flags & TU_DEAD) == hit, "a write to %#x+%u, TU at %#llx+%u: dropped %d", pa, n, (unsigned long long)tu->pa,
			tu->guest_len, !!(tu->flags & TU_DEAD));
		REQUIRE(hit || tu_lookup(v->tc, tu->pa, tu->eip, tu->mode) == tu, "a living TU is not found");
	}
	if (!(tu->flags & TU_DEAD))
		tu_drop(v, tu);
	REQUIRE(!tu_lookup(v->tc, tu->pa, tu->eip, tu->mode), "a dropped TU is found");
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size};
	static struct tu *tu;

	if (!v) {
		v = fuzz_machine(RAM, 0, 1 << 20, FLAVOUR_CHECKED);
		ZydisDecoderInit(&host_decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	}
	u8 layout = take8(&in);
	u16 offset = take16(&in) & PAGE_MASK;
	u32 base = layout & 1 ? RAM - CODE_SIZE : CODE;
	if (layout & 2)
		offset = (u16)(PAGE_SIZE - 1 - offset % 16);
	/* With jump caches that are not indexed by all of EIP, TUs have a head. */
	v->tc->jc_entries = layout & 16 ? JC_HASHED_ENTRIES : JC_FLAT_ENTRIES;
	/* In the last page of RAM an instruction straddles into nothing. */
	u32 at = base + offset + (layout & 4 ? PAGE_SIZE : 0);
	set_cpu(&in, at);

	struct input writes = {in.p, MIN(in.n, (size_t)16)};
	u8 *code = ram_ptr(&v->vm->mem, base);
	memset(code, 0x90, CODE_SIZE);
	u32 room = base + CODE_SIZE - at, n = (u32)MIN(in.n, (size_t)room);
	memcpy(ram_ptr(&v->vm->mem, at), in.p, n);
	if ((layout & 8) && n)
		for (u32 k = n; k < room; k++)
			ram_ptr(&v->vm->mem, at)[k] = in.p[k % n];

	tu = NULL;
	int raised = CATCH(v, tu = translate(v, at));
	if (!tu) {
		REQUIRE(raised == EXC_GP || raised == EXC_UD || raised == EXC_PF, "raised %d", raised);
		return 0;
	}
	check_tu(tu);
	check_writes(tu, &writes, base);
	return 0;
}
