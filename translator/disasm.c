/* See disasm.h. Invariant: a field of the vCPU that translated code uses is in `fields`; the golden tests fail where one is not. */
#include "translator/disasm.h"

#include <Zydis/Zydis.h>
#include <string.h>

/* What is printed by name. */
struct names {
	struct vcpu *v;
	const struct tu *tu;
	bool unnamed;
	ZydisFormatterFunc default_disp;
};

static const struct {
	void (*fn)(void);
	const char *name;
} thunks[] = {
#define T(n)                                                                                                                               \
	{                                                                                                                                  \
		thunk_##n, "thunk_" #n                                                                                                     \
	}
	T(exit_jc), T(exit_chain), T(head_miss), T(miss0), T(miss1),   T(miss_write0), T(miss_write1),
	T(commit0), T(commit1),	   T(seg0),	 T(seg1),  T(callout), T(sti_exit),
#undef T
};

static const char *const handlers[] = {
#define X(n) "emu_" #n,
	EMU_HANDLERS(X)
#undef X
};

/* Fields of the vCPU that translated code uses, all of four or eight bytes. */
static const struct {
	size_t offset;
	const char *name;
} fields[] = {
#define F(n)                                                                                                                               \
	{                                                                                                                                  \
		offsetof(struct vcpu, n), #n                                                                                               \
	}
	F(sysflags),
	F(events),
	F(jc),
	F(mask_no_if),
	F(mask_host),
	F(mask31),
	F(mask15),
	F(step),
	F(tsc_line.base),
	F(tsc_line.scale),
	F(tsc_line.offset),
	F(tsc_line.shift),
	F(tsc_aux),
	F(gdtr.base),
	F(gdtr.limit),
	F(idtr.base),
	F(idtr.limit),
	F(window_base),
	F(fpu_dp),
	F(cr0),
	F(cr2),
	F(cr3),
	F(cr4),
	F(insns),
	F(stats.jc_transfers),
	/* not a field: an address that is never aligned (emit_before_miss) */
	{1, "misaligned"},
#undef F
};

static const char *thunk_name(u64 address)
{
	for (size_t i = 0; i < ARRAY_SIZE(thunks); i++)
		if ((u64)thunks[i].fn == address)
			return thunks[i].name;
	return NULL;
}

static void field_name(struct names *n, u64 offset, char *text, size_t size)
{
	static const char *const segments[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
	static const struct {
		size_t offset;
		const char *name;
	} parts[] = {
		{offsetof(struct segment, base), "base"},	    {offsetof(struct segment, sel), "sel"},
		{offsetof(struct segment, full_read), "full_read"}, {offsetof(struct segment, full_write), "full_write"},
		{offsetof(struct segment, low_read), "low_read"},   {offsetof(struct segment, low_write), "low_write"},
	};
	u64 at = offset - offsetof(struct vcpu, seg), seg = at / sizeof(struct segment);

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (fields[i].offset == offset) {
			snprintf(text, size, "%s", fields[i].name);
			return;
		}
	}
	for (size_t i = 0; seg < ARRAY_SIZE(segments) && i < ARRAY_SIZE(parts); i++) {
		if (at % sizeof(struct segment) == parts[i].offset) {
			snprintf(text, size, "%s.%s", segments[seg], parts[i].name);
			return;
		}
	}
	snprintf(text, size, "UNNAMED");
	n->unnamed = true;
}

static ZyanStatus append(ZydisFormatterBuffer *buffer, const char *text)
{
	ZyanString *s;

	ZYAN_CHECK(ZydisFormatterBufferAppend(buffer, ZYDIS_TOKEN_SYMBOL));
	ZYAN_CHECK(ZydisFormatterBufferGetString(buffer, &s));
	ZyanStringView view;
	ZYAN_CHECK(ZyanStringViewInsideBuffer(&view, text));
	return ZyanStringAppend(s, &view);
}

static ZyanStatus print_address(const ZydisFormatter *f, ZydisFormatterBuffer *buffer, ZydisFormatterContext *context)
{
	struct names *n = context->user_data;
	char text[64];
	ZyanU64 a;

	(void)f;
	ZYAN_CHECK(ZydisCalcAbsoluteAddress(context->instruction, context->operand, context->runtime_address, &a));
	if (a >= n->tu->head && a <= n->tu->end)
		snprintf(text, sizeof(text), "+0x%02llx", (unsigned long long)(a - n->tu->head));
	else if (thunk_name(a))
		snprintf(text, sizeof(text), "%s", thunk_name(a));
	else
		snprintf(text, sizeof(text), "0x%llx", (unsigned long long)a);
	return append(buffer, text);
}

static ZyanStatus print_disp(const ZydisFormatter *f, ZydisFormatterBuffer *buffer, ZydisFormatterContext *context)
{
	struct names *n = context->user_data;
	const ZydisDecodedOperand *op = context->operand;
	char text[64] = "+";

	if (op->mem.base == ZYDIS_REGISTER_R14)
		field_name(n, (u64)op->mem.disp.value, text + 1, sizeof(text) - 1);
	else if (op->mem.base == ZYDIS_REGISTER_R9 && thunk_name((u64)op->mem.disp.value))
		snprintf(text, sizeof(text), "+%s", thunk_name((u64)op->mem.disp.value));
	else
		return n->default_disp(f, buffer, context);
	return append(buffer, text);
}

/* jrcxz +3 into the middle of a NOP whose last bytes are a jump (operand.c): one line, and the jump's target. */
static bool is_jump_in_nop(const u8 *p, u32 left)
{
	static const u8 code[] = {0xe3, 0x03, 0x0f, 0x1f, 0x84, 0xe9};

	return left >= 10 && memcmp(p, code, sizeof(code)) == 0;
}

/* mov r8d, imm32 */
static bool is_mov_r8(const u8 *p)
{
	return p[0] == 0x41 && p[1] == 0xb8;
}

static u32 get_u32(const u8 *p)
{
	u32 x;

	memcpy(&x, p, 4);
	return x;
}

u32 disasm_nop_target(const u8 *p, u32 left)
{
	return is_jump_in_nop(p, left) ? (u32)(u64)p + 10 + get_u32(p + 6) : 0;
}

const char *disasm_handler(const struct vcpu *v, u32 emu)
{
	return handlers[v->tc->emus[emu].kind];
}

u32 disasm_host_insn(struct vcpu *v, const struct tu *tu, u32 at, u32 to, char text[DISASM_MAX], bool *ok)
{
	struct names names = {.v = v, .tu = tu};
	const u8 *p = (const u8 *)(u64)at;
	ZydisFormatterFunc address = print_address, disp = print_disp;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	ZydisFormatter fmt;
	ZydisDecoder d;

	if (is_jump_in_nop(p, to - at)) {
		snprintf(text, DISASM_MAX, "jrcxz +0x%02x, by way of a NOP", disasm_nop_target(p, to - at) - tu->head);
		return 10;
	}
	ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, p, to - at, &in, ops))) {
		snprintf(text, DISASM_MAX, "not an instruction: %02x", *p);
		*ok = false;
		return 0;
	}
	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterSetProperty(&fmt, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
	ZydisFormatterSetHook(&fmt, ZYDIS_FORMATTER_FUNC_PRINT_ADDRESS_ABS, (const void **)&address);
	ZydisFormatterSetHook(&fmt, ZYDIS_FORMATTER_FUNC_PRINT_DISP, (const void **)&disp);
	names.default_disp = disp;
	ZydisFormatterFormatInstruction(&fmt, &in, ops, in.operand_count_visible, text, DISASM_MAX, at, &names);
	*ok &= !names.unnamed;
	return in.length;
}

bool disasm_host(FILE *f, struct vcpu *v, const struct tu *tu, u32 from, u32 to)
{
	u32 index = 0, length;
	bool all = true;

	for (u32 at = from; at < to; at += length) {
		const u8 *p = (const u8 *)(u64)at;
		char text[DISASM_MAX];
		bool ok = true;

		length = disasm_host_insn(v, tu, at, to, text, &ok);
		fprintf(f, "    %02x  %s", at - tu->head, text);
		if (is_mov_r8(p))
			index = get_u32(p + 2);
		if (strstr(text, "thunk_callout") && index < v->tc->emu_count)
			fprintf(f, "    ; %s", disasm_handler(v, index));
		fputc('\n', f);
		if (!length)
			return false;
		all &= ok;
	}
	if (!all)
		fprintf(f, "    a field of the vCPU has no name: translator/disasm.c wants it\n");
	return all;
}

static u32 print_guest(char *text, size_t n, const u8 *code, u32 length, bool wide, u64 at)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	ZydisFormatter f;
	ZydisDecoder d;

	ZydisDecoderInit(&d, wide ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
			 wide ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
	ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_TZCNT, ZYAN_FALSE);
	ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterSetProperty(&f, ZYDIS_FORMATTER_PROP_FORCE_RELATIVE_BRANCHES, at == ZYDIS_RUNTIME_ADDRESS_NONE);
	ZydisFormatterSetProperty(&f, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, code, length, &in, ops))) {
		snprintf(text, n, "(undefined)");
		return 0;
	}
	ZydisFormatterFormatInstruction(&f, &in, ops, in.operand_count_visible, text, n, at, NULL);
	return in.length;
}

void disasm_guest(char *text, size_t n, const u8 *code, u32 length, bool wide)
{
	print_guest(text, n, code, length, wide, ZYDIS_RUNTIME_ADDRESS_NONE);
}

u32 disasm_guest_at(char *text, size_t n, const u8 *code, u32 length, bool wide, u32 eip)
{
	return print_guest(text, n, code, length, wide, eip);
}
