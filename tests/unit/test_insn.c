/*
 * The instruction table as insn_info answers from it, and as the translator uses it; keys of opcode forms; marks of executed ones.
 */
#include "tests/unit/vm_harness.h"

#include "cache/tc.h"
#include "monitor/cpuid.h"
#include "monitor/log.h"
#include "translator/coverage.h"
#include "translator/insn_info.h"
#include "translator/opcodes.h"
#include "translator/translate.h"
#include "translator/verify.h"

#define CODE 0x20000u

struct decoded {
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

static struct decoded decode_bytes(const u8 *code, u32 n, bool wide)
{
	ZydisDecoder d;
	struct decoded x;

	opcode_decoder(&d);
	if (!wide)
		ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	ck_assert(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, code, n, &x.in, x.ops)));
	return x;
}

START_TEST(classes)
{
	static const struct {
		u8 code[16];
		enum insn_class class;
		const char *handler;
		int row; /* of the seventeen, or -1 */
	} cases[] = {
		{{0x01, 0xd8}, INSN_IDENTITY, "lower_generic", -1},		/* add eax, ebx */
		{{0x01, 0x18}, INSN_MEMORY, "lower_generic", -1},		/* add [eax], ebx */
		{{0x8d, 0x00}, INSN_IDENTITY, "lower_lea", -1},			/* an address, no access */
		{{0x89, 0xd8}, INSN_IDENTITY, "lower_mov", -1},			/* mov eax, ebx */
		{{0x8b, 0x18}, INSN_MEMORY, "lower_mov", -1},			/* mov ebx, [eax] */
		{{0x8e, 0xd8}, INSN_SENSITIVE, "lower_mov_to_seg", 17},		/* mov ds, ax */
		{{0x8c, 0xd8}, INSN_SENSITIVE, "lower_mov_from_seg", 17},	/* mov eax, ds */
		{{0x0f, 0x20, 0xc0}, INSN_PRIVILEGED, "lower_mov_from_cr", -1}, /* mov eax, cr0 */
		{{0x50}, INSN_STACK, "lower_push", -1},				/* push eax */
		{{0x1e}, INSN_SENSITIVE, "lower_push_seg", 11},			/* push ds */
		{{0x0f, 0xa1}, INSN_SENSITIVE, "lower_pop_seg", 10},		/* pop fs */
		{{0xe8, 0, 0, 0, 0}, INSN_CONTROL, "lower_call", -1},
		{{0xff, 0x10}, INSN_CONTROL, "lower_call", -1},		/* call [eax] */
		{{0xff, 0x18}, INSN_SENSITIVE, "emu_call_far_mem", 12}, /* call far [eax] */
		{{0x9a, 0, 0, 0, 0, 8, 0}, INSN_SENSITIVE, "emu_call_far_imm", 12},
		{{0xea, 0, 0, 0, 0, 8, 0}, INSN_SENSITIVE, "emu_jmp_far_imm", 13},
		{{0xc3}, INSN_CONTROL, "lower_ret", -1},
		{{0xcb}, INSN_SENSITIVE, "emu_ret_far", 15},
		{{0xcf}, INSN_SENSITIVE, "emu_iret", -1}, /* not on Robin and Irvine's list */
		{{0x9c}, INSN_SENSITIVE, "lower_pushf", 4},
		{{0x66, 0x9d}, INSN_SENSITIVE, "lower_popf", 5},
		{{0xa5}, INSN_MEMORY, "lower_string", -1},			/* movsd, the string's */
		{{0xf2, 0x0f, 0x10, 0xc1}, INSN_IDENTITY, "lower_generic", -1}, /* movsd xmm0, xmm1 */
		{{0xf4}, INSN_PRIVILEGED, "emu_hlt", -1},
		{{0x27}, INSN_EMULATED, "emu_daa", -1},
		{{0x0f, 0x0b}, INSN_UNDEFINED, "emu_ud", -1},
		{{0x0f, 0x05}, INSN_UNDEFINED, "emu_ud", -1},		  /* syscall */
		{{0xc5, 0xf8, 0x77}, INSN_UNDEFINED, "emu_ud", -1},	  /* vzeroupper */
		{{0x0f, 0x01, 0xc1}, INSN_UNDEFINED, "emu_ud", -1},	  /* vmcall */
		{{0x0f, 0x0f, 0xc1, 0x9e}, INSN_UNDEFINED, "emu_ud", -1}, /* 3DNow! */
	};

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		struct decoded x = decode_bytes(cases[k].code, 15, true);
		struct insn_info info;
		insn_info(&x.in, x.ops, &info);
		ck_assert_msg(info.class == cases[k].class && !strcmp(info.handler, cases[k].handler), "case %u: %s, %s", k,
			      insn_class_name(info.class), info.handler);
		ck_assert_msg(insn_seventeen(&x.in, x.ops) == cases[k].row, "case %u: row %d", k, insn_seventeen(&x.in, x.ops));
	}
}
END_TEST

START_TEST(features_and_flags)
{
	static const struct {
		u8 code[4];
		u64 feature;
		u32 read, written, undefined;
	} cases[] = {
		{{0x01, 0xd8}, 0, 0, EFLAGS_ARITH, 0},
		{{0x19, 0xd8}, 0, EFLAGS_CF, EFLAGS_ARITH, 0}, /* sbb: AF is not undefined */
		{{0x0f, 0x20, 0xc0}, 0, 0, 0, EFLAGS_ARITH},   /* mov eax, cr0 */
		{{0x89, 0xd8}, 0, 0, 0, 0},
		{{0x0f, 0x44, 0xc3}, 1ull << CPUF_CMOV_BIT, EFLAGS_ZF, 0, 0},
		{{0xda, 0xc9}, 1ull << CPUF_FPU_BIT | 1ull << CPUF_CMOV_BIT, EFLAGS_ZF, 0, 0}, /* fcmove */
		{{0x66, 0x0f, 0x58, 0xc1}, 1ull << CPUF_SSE2_BIT, 0, 0, 0},
		{{0x0f, 0xae, 0x00}, 1ull << CPUF_FXSR_BIT, 0, 0, 0},
		{{0xc5, 0xf8, 0x77}, ~0ull, 0, 0, 0},
		{{0x0f, 0x0b}, 0, 0, 0, 0},
	};

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		struct decoded x = decode_bytes(cases[k].code, 4, true);
		struct insn_info info;
		insn_info(&x.in, x.ops, &info);
		ck_assert_msg(info.feature == cases[k].feature, "case %u: feature %#llx", k, (unsigned long long)info.feature);
		ck_assert_msg(info.flags_read == cases[k].read && info.flags_written == cases[k].written &&
				      info.flags_undefined == cases[k].undefined,
			      "case %u: flags %#x %#x %#x", k, info.flags_read, info.flags_written, info.flags_undefined);
	}
}
END_TEST

/* ---- the translator does what insn_info says ---- */

static const char *const handler_names[] = {
#define X(n) "emu_" #n,
	EMU_HANDLERS(X)
#undef X
};

static unsigned forms_checked;

static void check_handler(void *opaque, const struct opcode_form *f, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	u32 mode = MODE_CS32 | MODE_SS32 | MODE_OSFXSR | MODE_FLAT(SEG_ES) | MODE_FLAT(SEG_CS) | MODE_FLAT(SEG_SS) | MODE_FLAT(SEG_DS);
	struct insn_info info;
	u8 code[16] = {0};

	(void)opaque, (void)f;
	opcode_of_key(opcode_key(in, ops, true), code);
	insn_info(in, ops, &info);
	tc_flush(v);
	/* The instruction ends its page, and with it the TU. */
	v->eip = CODE + PAGE_SIZE - in->length;
	memcpy(ram_at(v->eip), code, in->length);
	v->mode = mode;
	translate(v, v->eip);
	const char *called = v->tc->emu_count ? handler_names[v->tc->emus[0].kind] : "none";
	if (!strncmp(info.handler, "emu_", 4) && strcmp(info.handler, called))
		ck_abort_msg("%s: insn_info says %s, the translator calls %s", ZydisMnemonicGetString(in->mnemonic), info.handler, called);
	if (!strcmp(info.handler, "lower_generic") && v->tc->emu_count)
		ck_abort_msg("%s: insn_info says %s, the translator calls %s", ZydisMnemonicGetString(in->mnemonic), info.handler, called);
	forms_checked++;
}

START_TEST(translator_agrees)
{
	ZydisDecoder d;

	machine_create();
	v->features = (1ull << CPUF_COUNT) - 1;
	fpu_save(v);
	opcode_decoder(&d);
	opcode_forms(&d, check_handler, NULL);
	ck_assert_uint_gt(forms_checked, 10000);
	machine_destroy();
}
END_TEST

/* ---- keys ---- */

static void check_key(void *opaque, const struct opcode_form *f, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	u32 key = opcode_key(in, ops, true);
	u8 code[16] = {0};

	(void)opaque, (void)f;
	opcode_of_key(key, code);
	struct decoded x = decode_bytes(code, 15, true);
	if (key >= OPCODE_KEYS || x.in.mnemonic != in->mnemonic || opcode_key(&x.in, x.ops, true) != key)
		ck_abort_msg("%s: key %#x does not lead back", ZydisMnemonicGetString(in->mnemonic), key);
}

static u32 key_of(const u8 *code, bool wide)
{
	struct decoded x = decode_bytes(code, 8, wide);
	return opcode_key(&x.in, x.ops, wide);
}

START_TEST(keys)
{
	static const struct {
		u8 a[8], b[8];
		bool a_wide, b_wide, same;
	} cases[] = {
		{{0x01, 0xd8}, {0x01, 0xe1}, true, true, true},			  /* other registers */
		{{0x01, 0xd8}, {0x01, 0x18}, true, true, false},		  /* memory */
		{{0x01, 0x18}, {0x65, 0x01, 0x44, 0x24, 0x08}, true, true, true}, /* other addresses */
		{{0x01, 0xd8}, {0x66, 0x01, 0xd8}, true, true, false},		  /* operand size */
		{{0x01, 0xd8}, {0x66, 0x01, 0xd8}, false, true, true},		  /* ... in 16-bit code */
		{{0x66, 0x01, 0xd8}, {0x01, 0xd8}, false, true, true},
		{{0xf7, 0xd8}, {0xf7, 0xd0}, true, true, false},		   /* a group */
		{{0x8e, 0xd8}, {0x8e, 0xc0}, true, true, false},		   /* segment registers */
		{{0xd9, 0xe8}, {0xd9, 0xe9}, true, true, false},		   /* x87: rm counts */
		{{0xf0, 0x01, 0x18}, {0xf2, 0xf0, 0x01, 0x18}, true, true, true},  /* XACQUIRE */
		{{0xa4}, {0xf3, 0xa4}, true, true, false},			   /* REP */
		{{0x0f, 0x58, 0xc1}, {0x66, 0x0f, 0x58, 0xc1}, true, true, false}, /* mandatory */
		{{0x66, 0x0f, 0x58, 0xc1}, {0x66, 0x0f, 0x58, 0xc1}, false, true, true},
	};
	ZydisDecoder d;

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++)
		ck_assert_msg((key_of(cases[k].a, cases[k].a_wide) == key_of(cases[k].b, cases[k].b_wide)) == cases[k].same, "case %u", k);
	opcode_decoder(&d);
	opcode_forms(&d, check_key, NULL);
}
END_TEST

/* ---- marks ---- */

/* What was executed is marked, by privilege; what was only translated is not. */
START_TEST(marks)
{
	char *text;
	size_t size;

	log_mask |= LOG_INSN;
	machine_create();
	/* xor eax, eax ; jz +2 ; (not executed: bsf eax, eax) ; sahf ; adc eax, ebx ; int3 */
	PUT(CODE, 0x31, 0xc0, 0x74, 0x03, 0x0f, 0xbc, 0xc0, 0x9e, 0x11, 0xd8, 0xcc);
	v->regs[REG_EBX] = 5;
	vm_run_ok(CODE);
	ck_assert_uint_eq(v->regs[REG_EAX], 5); /* AH was 0, so no carry: marks change no flags */
	cpu_flat(3);
	PUT(CODE + 0x40, 0x0f, 0xc8, 0xcc); /* bswap eax */
	vm_run_ok(CODE + 0x40);
	FILE *f = open_memstream(&text, &size);
	coverage_print(v, f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "insn 31c0 kernel xor\n"));
	ck_assert_ptr_nonnull(strstr(text, " kernel sahf\n"));
	ck_assert_ptr_nonnull(strstr(text, " kernel adc\n"));
	ck_assert_ptr_nonnull(strstr(text, " user bswap\n"));
	ck_assert_ptr_null(strstr(text, "bsf"));
	ck_assert_ptr_null(strstr(text, "kernel bswap"));
	ck_assert_ptr_null(strstr(text, "user adc"));
	free(text);
	/* The verifier knows marks, and nothing else that lies there. */
	struct verify_violation why;
	tc_flush(v);
	fpu_save(v);
	v->eip = CODE;
	v->mode = mode_compute(v);
	struct tu *tu = translate(v, CODE);
	u8 *code = v->tc->rw + (tu->body - (u32)(u64)v->tc->rx);
	static const u8 store[] = {0xc6, 0x04, 0x25};
	u32 mark;
	ck_assert_mem_eq(code, store, 3);
	ck_assert(verify_tu(v, tu, 0, &why));
	memcpy(&mark, code + 3, 4);
	mark += COVERAGE_MARKS;
	memcpy(code + 3, &mark, 4);
	ck_assert(!verify_tu(v, tu, 0, &why));
	ck_assert_int_eq(why.rule, VERIFY_MEMORY);
	machine_destroy();
	log_mask &= ~(u32)LOG_INSN;

	/* Off: nothing to print, and nothing in the code. */
	machine_create();
	ck_assert_ptr_null(v->marks);
	f = open_memstream(&text, &size);
	coverage_print(v, f);
	fclose(f);
	ck_assert_uint_eq(size, 0);
	free(text);
	machine_destroy();
}
END_TEST

Suite *insn_suite(void)
{
	Suite *s = suite_create("insn");
	TCase *c = tcase_create("insn");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, classes);
	tcase_add_test(c, features_and_flags);
	tcase_add_test(c, translator_agrees);
	tcase_add_test(c, keys);
	tcase_add_test(c, marks);
	suite_add_tcase(s, c);
	return s;
}
