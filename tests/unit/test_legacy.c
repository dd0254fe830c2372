/*
 * The decimal instructions against this host's CPU: every AX, with every CF/AF, the undefined flags included. The host runs them in a
 * 32-bit program that is compiled here; without a 32-bit compiler the comparison is skipped.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/emulate.h"

static const char program[] =
	"static unsigned out[6 * 65536];\n"
	"#define RUN(insn) __asm__ volatile(\"push %1\\n\\tpopf\\n\\t\" insn \"\\n\\tpushf\\n\\tpop %1\" : \"+a\"(a), \"+r\"(f) : : "
	"\"cc\")\n"
	"static const unsigned flags[6] = {0, 1, 0x10, 0x11, 0x8c4, 0x8d5};\n"
	"static int sys_write(int fd, const void *p, unsigned n)\n"
	"{ int r; __asm__ volatile(\"int $0x80\" : \"=a\"(r) : \"a\"(4), \"b\"(fd), \"c\"(p), \"d\"(n) : \"memory\"); return r; }\n"
	"void _start(void)\n"
	"{\n"
	"	for (int i = 0; i < 6; i++)\n"
	"		for (unsigned ax = 0; ax < 65536; ax++) {\n"
	"			unsigned a = ax, f = flags[i] | 2;\n"
	"			RUN(INSN);\n"
	"			out[i * 65536 + ax] = (a & 0xffff) | (f & 0x8d5) << 16;\n"
	"		}\n"
	"	for (unsigned n = 0; n < sizeof(out);) {\n"
	"		int k = sys_write(1, (char *)out + n, sizeof(out) - n);\n"
	"		if (k <= 0)\n"
	"			break;\n"
	"		n += k;\n"
	"	}\n"
	"	__asm__ volatile(\"int $0x80\" : : \"a\"(1), \"b\"(0));\n"
	"}\n";

static const u32 start_flags[6] = {0, 0x01, 0x10, 0x11, 0x8c4, 0x8d5};

static const struct {
	const char *text;
	emu_fn *fn;
	u32 imm;
} cases[] = {
	{"daa", emu_daa, 0},	    {"das", emu_das, 0},    {"aaa", emu_aaa, 0},	 {"aas", emu_aas, 0},
	{"aam $10", emu_aam, 10},   {"aam $7", emu_aam, 7}, {"aam $255", emu_aam, 0xff}, {"aad $10", emu_aad, 10},
	{"aad $200", emu_aad, 200}, {"sahf", emu_sahf, 0},  {"lahf", emu_lahf, 0},	 {".byte 0xd6", emu_salc, 0},
};

/* Compiles and runs the program with one instruction; its output in *out (malloc'd), NULL if there is no 32-bit compiler. */
static u32 *run_native(const char *insn)
{
	char dir[] = "/tmp/ringer-legacy-XXXXXX", command[512];
	size_t n = 6 * 65536;
	u32 *out = malloc(n * 4);
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(command, sizeof(command), "%s/t.c", dir);
	f = fopen(command, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "#define INSN \"%s\"\n%s", insn, program);
	fclose(f);
	snprintf(command, sizeof(command),
		 "cc -m32 -O1 -static -nostdlib -ffreestanding -fno-pie -no-pie -o %s/t %s/t.c 2>/dev/null && %s/t; rm -rf %s", dir, dir,
		 dir, dir);
	f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	if (fread(out, 4, n, f) != n) {
		free(out);
		out = NULL;
	}
	pclose(f);
	return out;
}

static struct vcpu *new_vcpu(void)
{
	void *p = NULL;

	ck_assert_int_eq(posix_memalign(&p, 64, sizeof(struct vcpu)), 0);
	memset(p, 0, sizeof(struct vcpu));
	return p;
}

START_TEST(like_the_host)
{
	struct emu_insn i = {.opsize = 1, .imm = cases[_i].imm};
	u32 *native = run_native(cases[_i].text);
	struct vcpu *v;

	ck_assert_msg(native != NULL, "no native run of '%s': is there a 32-bit compiler?", cases[_i].text);
	v = new_vcpu();
	for (unsigned k = 0; k < 6; k++) {
		for (u32 ax = 0; ax < 65536; ax++) {
			u32 want = native[k * 65536 + ax];

			v->regs[REG_EAX] = 0xabcd0000 | ax;
			v->hflags = start_flags[k] | EFLAGS_DF;
			if (cases[_i].fn(v, &i) != EMU_NEXT || v->regs[REG_EAX] != (0xabcd0000 | (want & 0xffff)) ||
			    (v->hflags & EFLAGS_HOST) != (EFLAGS_DF | want >> 16))
				ck_abort_msg("%s: AX %04x flags %03x: got EAX %08x flags %03x, the host has AX %04x flags %03x",
					     cases[_i].text, ax, start_flags[k], v->regs[REG_EAX], (u32)v->hflags & EFLAGS_HOST,
					     want & 0xffff, want >> 16);
		}
	}
	free(native);
	free(v);
}
END_TEST

Suite *legacy_suite(void);
Suite *legacy_suite(void)
{
	Suite *s = suite_create("legacy");
	TCase *t = tcase_create("like the host");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, like_the_host, 0, ARRAY_SIZE(cases));
	suite_add_tcase(s, t);
	return s;
}
