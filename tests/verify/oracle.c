/* See oracle.h. */
#include "tests/verify/oracle.h"

#include <Zydis/Zydis.h>
#include <stddef.h>
#include <string.h>

#include "shadowpt/softmmu.h"
#include "translator/mode.h"

struct decoded {
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

static bool decode(const u8 *p, unsigned avail, struct decoded *d)
{
	ZydisDecoder decoder;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, p, avail, &d->in, d->ops));
}

static unsigned gpr64(ZydisRegister r)
{
	return (unsigned)ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r));
}

static bool is_gpr(ZydisRegister r)
{
	return ZydisRegisterGetClass(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r)) == ZYDIS_REGCLASS_GPR64;
}

/* The operand that is an access to memory. */
static const ZydisDecodedOperand *memory_of(const struct decoded *d)
{
	if (d->in.meta.category == ZYDIS_CATEGORY_NOP || d->in.meta.category == ZYDIS_CATEGORY_WIDENOP)
		return NULL;
	for (unsigned i = 0; i < d->in.operand_count; i++)
		if (d->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && d->ops[i].mem.type == ZYDIS_MEMOP_TYPE_MEM &&
		    d->ops[i].visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			return &d->ops[i];
	return NULL;
}

static bool is_window(const struct decoded *d, const ZydisDecodedOperand *m)
{
	s64 disp = m->mem.disp.has_displacement ? m->mem.disp.value : 0;
	if (m->mem.segment != ZYDIS_REGISTER_GS)
		return false;
	if (d->in.address_width == 32)
		return true;
	if (m->mem.index != ZYDIS_REGISTER_NONE)
		return false;
	switch (m->mem.base) {
	case ZYDIS_REGISTER_NONE:
		return disp >= 0;
	case ZYDIS_REGISTER_RSP:
	case ZYDIS_REGISTER_RIP:
	case ZYDIS_REGISTER_R12:
	case ZYDIS_REGISTER_R13:
	case ZYDIS_REGISTER_R14:
		return false;
	default:
		return disp >= -0xf000 && disp <= 0xf000;
	}
}

static bool is_plain(const struct decoded *d, const ZydisDecodedOperand *m, ZydisRegister base, ZydisRegister index, unsigned scale)
{
	return d->in.address_width == 64 && m->mem.segment != ZYDIS_REGISTER_GS && m->mem.segment != ZYDIS_REGISTER_FS &&
	       m->mem.base == base && m->mem.index == index && (index == ZYDIS_REGISTER_NONE || m->mem.scale == scale);
}

static s64 displacement(const ZydisDecodedOperand *m)
{
	return m->mem.disp.has_displacement ? m->mem.disp.value : 0;
}

/* Whether [r14 + at] of n bytes lies in a field that the documentation names for translated code. */
/* A selector's or a base's place in an array of segments, where such may be stored. */
static bool is_paragraph_field(size_t at, unsigned n, u32 mode)
{
	size_t seg = at / sizeof(struct segment), in = at % sizeof(struct segment);

	return (mode & (MODE_REAL | MODE_V86)) && seg != SEG_CS && seg != SEG_SS && n == 4 &&
	       (in == offsetof(struct segment, sel) || in == offsetof(struct segment, base));
}

static bool is_known_field(s64 at, unsigned n, bool write, u32 mode)
{
#define IN(m) (at >= (s64)offsetof(struct vcpu, m) && at + n <= (s64)(offsetof(struct vcpu, m) + sizeof(((struct vcpu *)0)->m)))
	if (IN(sysflags) || IN(stats.jc_transfers) || IN(insns))
		return true;
	if (IN(step))
		return true;
	if (write)
		return IN(fpu_dp) || (IN(seg) && is_paragraph_field((size_t)at - offsetof(struct vcpu, seg), n, mode));
	if (IN(cr0) || IN(gdtr) || IN(idtr))
		return true;
	if (IN(cr2) || IN(cr3) || IN(cr4))
		return !(mode & MODE_CPL);
	return IN(tsc_line) || IN(tsc_aux) || IN(events) || IN(jc) || IN(window_base) || IN(mask_no_if) || IN(mask_host) || IN(mask31) ||
	       IN(mask15) || IN(seg) || (at == 1 && n == 16);
#undef IN
}

static bool writes(const ZydisDecodedOperand *op)
{
	return op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
}

/* ---- what can be reached ---- */

static void describe(const struct decoded *d, u32 off, struct host_insn *h)
{
	*h = (struct host_insn){.off = (u16)off, .length = d->in.length};
	h->modrm_offset = d->in.raw.modrm.offset;
	h->disp_offset = d->in.raw.disp.offset;
	h->disp_size = d->in.raw.disp.size;
	const ZydisDecodedOperand *m = memory_of(d);
	if (m) {
		h->window = is_window(d, m);
		h->narrow = h->window && d->in.address_width == 32;
		h->vcpu = is_plain(d, m, ZYDIS_REGISTER_R14, ZYDIS_REGISTER_NONE, 0);
		h->table = is_plain(d, m, ZYDIS_REGISTER_R13, ZYDIS_REGISTER_R9, 8);
		h->direct = is_plain(d, m, ZYDIS_REGISTER_R9, ZYDIS_REGISTER_R8, 1) && !displacement(m);
		h->writes = writes(m);
		h->size = (u8)MIN(m->size / 8, 255);
	}
	if (d->in.raw.imm[0].is_relative) {
		h->branch = true;
		h->call = d->in.mnemonic == ZYDIS_MNEMONIC_CALL;
		h->rel_offset = d->in.raw.imm[0].offset;
		h->rel_size = d->in.raw.imm[0].size;
	}
}

unsigned oracle_reach(const struct vcpu *v, const struct tu *tu, struct host_insn *list, unsigned max)
{
	static bool seen[TU_MAX_HOST];
	static u32 work[TU_MAX_HOST];
	u32 length = tu->end - tu->head, pending = 0;
	unsigned n = 0;
	(void)v;
	memset(seen, 0, length);
	work[pending++] = 0;
	work[pending++] = tu->body - tu->head;
	while (pending) {
		u32 off = work[--pending];
		while (off < length && !seen[off] && n < max) {
			struct decoded d;
			const u8 *p = (const u8 *)(u64)(tu->head + off);
			if (!decode(p, length - off, &d))
				break;
			seen[off] = true;
			describe(&d, off, &list[n]);
			u32 next = off + d.in.length;
			if (list[n].branch) {
				u64 target = (u64)((s64)(tu->head + next) + d.in.raw.imm[0].value.s) - tu->head;
				if (target < length)
					work[pending++] = (u32)target;
				if (list[n].call &&
				    ((u64)thunk_miss_write0 == target + tu->head || (u64)thunk_miss_write1 == target + tu->head))
					work[pending++] = next + 5;
			}
			n++;
			if (d.in.mnemonic == ZYDIS_MNEMONIC_JMP)
				break;
			off = next;
		}
	}
	return n;
}

/* ---- opinions ---- */

static bool is_thunk(u64 at, bool call)
{
	static void (*const jumps[])(void) = {thunk_exit_jc, thunk_exit_chain, thunk_head_miss, thunk_sti_exit};
	static void (*const calls[])(void) = {thunk_miss0,   thunk_miss1, thunk_miss_write0, thunk_miss_write1, thunk_commit0,
					      thunk_commit1, thunk_seg0,  thunk_seg1,	     thunk_callout};
	for (unsigned i = 0; i < (call ? ARRAY_SIZE(calls) : ARRAY_SIZE(jumps)); i++)
		if ((u64)(call ? calls[i] : jumps[i]) == at)
			return true;
	return false;
}

static bool is_forbidden(const struct decoded *d)
{
	if (d->in.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
		return true;
	if (d->in.mnemonic == ZYDIS_MNEMONIC_RDTSC)
		return false;
	switch (d->in.meta.category) {
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_VTX:
	case ZYDIS_CATEGORY_RDWRFSGS:
	case ZYDIS_CATEGORY_XSAVE:
		return true;
	default:
		break;
	}
	switch (d->in.mnemonic) {
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_SMSW:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_ENTER:
	case ZYDIS_MNEMONIC_LEAVE:
	case ZYDIS_MNEMONIC_XLAT:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
		return true;
	default:
		break;
	}
	if (d->in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && d->in.mnemonic != ZYDIS_MNEMONIC_PEXT &&
	    d->in.mnemonic != ZYDIS_MNEMONIC_PDEP && d->in.mnemonic != ZYDIS_MNEMONIC_SHRX && d->in.mnemonic != ZYDIS_MNEMONIC_SARX &&
	    d->in.mnemonic != ZYDIS_MNEMONIC_RORX && d->in.mnemonic != ZYDIS_MNEMONIC_MULX)
		return true;
	return d->in.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

static bool is_stack_insn(const struct decoded *d)
{
	return d->in.meta.category == ZYDIS_CATEGORY_PUSH || d->in.meta.category == ZYDIS_CATEGORY_POP;
}

/* Registers that are never written, or that are no general ones at all. */
static bool bad_register(const struct decoded *d)
{
	bool flow = d->in.mnemonic == ZYDIS_MNEMONIC_CALL || is_stack_insn(d);
	for (unsigned i = 0; i < d->in.operand_count; i++) {
		const ZydisDecodedOperand *op = &d->ops[i];
		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		ZydisRegisterClass class = ZydisRegisterGetClass(op->reg.value);
		if (op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT &&
		    (class == ZYDIS_REGCLASS_SEGMENT || class == ZYDIS_REGCLASS_CONTROL || class == ZYDIS_REGCLASS_DEBUG))
			return true;
		if (!is_gpr(op->reg.value) || !writes(op))
			continue;
		unsigned n = gpr64(op->reg.value);
		if ((n >= 12 && n <= 14) || (n == 4 && !flow) || (n == 4 && op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT))
			return true;
	}
	return false;
}

/* An access that no rule allows, whatever the registers hold; or one that its look-up does not cover. */
static bool bad_memory(const struct vcpu *v, const struct tu *tu, const struct host_insn *was, const struct decoded *d)
{
	const ZydisDecodedOperand *m = memory_of(d);
	if (d->in.meta.category == ZYDIS_CATEGORY_STRINGOP)
		return !(tu->mode & MODE_DIRECT);
	if (!m)
		return false;
	if (is_window(d, m))
		return !(tu->mode & MODE_DIRECT);
	if (d->in.address_width == 64 && m->mem.segment == ZYDIS_REGISTER_GS)
		return true;
	if (is_plain(d, m, ZYDIS_REGISTER_R14, ZYDIS_REGISTER_NONE, 0))
		return !is_known_field(displacement(m), m->size / 8, writes(m), tu->mode);
	if (is_plain(d, m, ZYDIS_REGISTER_R9, ZYDIS_REGISTER_R8, 1) || is_plain(d, m, ZYDIS_REGISTER_R8, ZYDIS_REGISTER_R9, 1))
		return displacement(m) < 0 || !was->direct || displacement(m) + m->size / 8 > was->size || (writes(m) && !was->writes);
	if (is_plain(d, m, ZYDIS_REGISTER_R13, ZYDIS_REGISTER_R9, 8))
		return !was->table || writes(m) || (displacement(m) && displacement(m) != MMU_WRITE_OFFSET);
	if (is_plain(d, m, ZYDIS_REGISTER_R10, tc_is_flat(v->tc) ? ZYDIS_REGISTER_R8 : ZYDIS_REGISTER_R9, 4))
		return writes(m) || displacement(m);
	if (is_plain(d, m, ZYDIS_REGISTER_R9, ZYDIS_REGISTER_NONE, 0))
		return writes(m) || displacement(m);
	return true;
}

static bool bad_branch(const struct tu *tu, const struct host_insn *was, const struct decoded *d)
{
	if (d->in.meta.category != ZYDIS_CATEGORY_UNCOND_BR && d->in.meta.category != ZYDIS_CATEGORY_COND_BR &&
	    d->in.meta.category != ZYDIS_CATEGORY_CALL)
		return false;
	if (!d->in.raw.imm[0].is_relative)
		return d->ops[0].type != ZYDIS_OPERAND_TYPE_REGISTER || d->in.mnemonic != ZYDIS_MNEMONIC_JMP || was->branch ||
		       d->ops[0].reg.value != ZYDIS_REGISTER_R9;
	bool call = d->in.mnemonic == ZYDIS_MNEMONIC_CALL;
	u64 target = (u64)((s64)(tu->head + was->off + d->in.length) + d->in.raw.imm[0].value.s);
	if (!call && target >= tu->head && target < tu->end)
		return false;
	return !is_thunk(target, call) || (!call && d->in.mnemonic != ZYDIS_MNEMONIC_JMP);
}

bool oracle_violates(const struct vcpu *v, const struct tu *tu, const struct host_insn *was, const u8 *p, unsigned avail)
{
	struct decoded d, old;
	if (!decode(p, avail, &d) || !decode((const u8 *)(u64)(tu->head + was->off), tu->end - tu->head - was->off, &old))
		return false;
	if (is_forbidden(&d) || bad_register(&d) || bad_branch(tu, was, &d) || bad_memory(v, tu, was, &d))
		return true;
	/* One more or one less on the host's stack. */
	bool push = d.in.meta.category == ZYDIS_CATEGORY_PUSH, pop = d.in.meta.category == ZYDIS_CATEGORY_POP;
	bool was_push = old.in.meta.category == ZYDIS_CATEGORY_PUSH, was_pop = old.in.meta.category == ZYDIS_CATEGORY_POP;
	return d.in.length == was->length && (push != was_push || pop != was_pop);
}
