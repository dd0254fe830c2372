/*
 * The console without terminals: expressions, formats, dumps, lines that are wrong, completion. The test's thread stands for the vCPU's;
 * guest memory and page tables are a real vCPU's.
 */
#include <stdio.h>
#include <unistd.h>

#include "monitor/console_internal.h"
#include "shadowpt/walk.h"

#include "tests/unit/vm_harness.h"

#define DATA 0x20000u

static struct text out;

/* What a line prints, until the next one is carried out. */
static const char *say(const char *line)
{
	text_free(&out);
	console_carry_out(vm, line, &out, true);
	return out.p ? out.p : "";
}

static void set_up(void)
{
	machine_create();
	cpu_flat(0);
	v->regs[REG_EAX] = 0x11223344;
	v->regs[REG_ESP] = 0x4000;
	v->eip = DATA;
}

static void tear_down(void)
{
	text_free(&out);
	free(vm->console);
	vm->console = NULL;
	machine_destroy();
}

static const struct {
	const char *text;
	s64 value;
} expressions[] = {
	{"1", 1},
	{"0x10", 16},
	{"010", 8},
	{"-1", -1},
	{"~0", -1},
	{"- -3", 3},
	{"+ +3", 3},
	{"'a'", 97},
	{"2+3*4", 14},
	{"(2+3)*4", 20},
	{"10 - 2 - 3", 5},
	{"7/2", 3},
	{"-7/2", -3},
	{"-7%4", -3},
	{"1+6&3", 3},  /* & binds before + here, as in QEMU */
	{"8|1+1", 10}, /* and so does | */
	{"5^1", 4},
	{"$eax", 0x11223344},
	{"$eax+$esp", 0x11227344},
	{"$eip", DATA},
	{"$pc", DATA},
	{"$cs", 8},
	{"$ds.limit", 0xffffffff},
	{"$ss.base", 0},
	{"$eflags & 2", 2},
	{"$cr0 & 1", 1},
	{"0xffffffffffffffff", -1},
	{"-0x7fffffffffffffff-1", (s64)(1ull << 63)},
	{"(-0x7fffffffffffffff-1)/-1", (s64)(1ull << 63)},
	{"(-0x7fffffffffffffff-1)%-1", 0},
};

START_TEST(good_expressions)
{
	const char *p = expressions[_i].text;
	struct text err = {0};
	s64 value;

	set_up();
	ck_assert_msg(console_expr(&p, v, &value, &err), "%s: %s", expressions[_i].text, err.p);
	ck_assert_msg(!*p, "%s: '%s' is left", expressions[_i].text, p);
	ck_assert_msg(value == expressions[_i].value, "%s: %lld", expressions[_i].text, (long long)value);
	tear_down();
}
END_TEST

static const struct {
	const char *text, *message;
} bad_expressions[] = {
	{"", "unexpected end of expression\n"},
	{"1+", "unexpected end of expression\n"},
	{"(1", "')' expected\n"},
	{"1/0", "division by zero\n"},
	{"1%(2-2)", "division by zero\n"},
	{"'a", "missing terminating ' character\n"},
	{"'", "character constant expected\n"},
	{"$nothing", "unknown register\n"},
	{"$", "unknown register\n"},
	{"xyz", "invalid char 'x' in expression\n"},
	{"\x81", "invalid char '\\x81' in expression\n"},
	{"0x1ffffffffffffffff", "number too large\n"},
};

START_TEST(wrong_expressions)
{
	const char *p = bad_expressions[_i].text;
	struct text err = {0};
	s64 value;

	set_up();
	ck_assert_msg(!console_expr(&p, v, &value, &err), "%s", bad_expressions[_i].text);
	ck_assert_str_eq(err.p, bad_expressions[_i].message);
	text_free(&err);
	tear_down();
}
END_TEST

START_TEST(deep_expressions)
{
	char deep[3000];
	const char *p = deep;
	struct text err = {0};
	s64 value;

	memset(deep, '(', sizeof(deep));
	deep[sizeof(deep) - 1] = '\0';
	ck_assert(!console_expr(&p, NULL, &value, &err));
	memset(deep, '-', sizeof(deep) - 1);
	p = deep;
	ck_assert(!console_expr(&p, NULL, &value, &err));
	ck_assert_str_eq(err.p, "the expression is nested too deeply\nthe expression is nested too deeply\n");
	text_free(&err);
	p = "$eax";
	ck_assert(!console_expr(&p, NULL, &value, &err));
	ck_assert_str_eq(err.p, "registers cannot be used here\n");
	text_free(&err);
}
END_TEST

/* Each on a fresh console: what is last seen is what the next one takes. */
static const struct {
	const char *line, *text;
} lines[] = {
	{"p 3*7", "0x15\n"},
	{"print/d 3*7", "21\n"},
	{"p/o 8", "010\n"},
	{"p/u -1", "18446744073709551615\n"},
	{"p/d -1", "-1\n"},
	{"p/c 65", "'A'\n"},
	{"p/c 10", "'\\n'\n"},
	{"p/c 0x27", "'\\''\n"},
	{"p/c 200", "'\\xc8'\n"},
	{"  p   $eax  ", "0x11223344\n"},
	{"p 1 2", "print|p: extraneous characters at the end of line\n"},
	{"p", "print|p: expression expected\n"},
	{"p/q 1", "invalid char in format: 'q'\n"},
	{"x/4xb 0x20000", "00020000: 0x90 0x31 0xc0 0xcc\n"},
	{"x/2xh 0x20000", "00020000: 0x3190 0xccc0\n"},
	{"x/2xw 0x20000", "00020000: 0xccc03190 0x80ff4241\n"},
	{"x/1xg 0x20000", "00020000: 0x80ff4241ccc03190\n"},
	{"x/2c 0x20004", "00020004: 'A' 'B'\n"},
	{"x/2ub 0x20006", "00020006: 255 128\n"},
	{"x/2db 0x20006", "00020006:  -1 -128\n"},
	{"x/1ow 0x20006", "00020006:     0100377\n"},
	{"x/9xb 0x20000", "00020000: 0x90 0x31 0xc0 0xcc 0x41 0x42 0xff 0x80\n00020008: 0x00\n"},
	{"xp/1xw 0x20000", "0000000000020000: 0xccc03190\n"},
	{"x $eip", "00020000: 0xccc03190\n"},
	{"x/3i $eip", "0x00020000:  90                       nop\n0x00020001:  31 c0                    xor %eax, %eax\n0x00020003:  cc    "
		      "                   int3\n"},
	{"x/0x 0", ""},
	{"x/1xw 0xd0000000", "d0000000: Cannot access memory\n"}, /* the harness's device: not read */
	{"xp/1xw 0xfffffffff0000000", "fffffffff0000000: Cannot access memory\n"},
	{"x/1i 0xd0000000", "Cannot access memory\n"},
	{"x/2xw 0xffffffff", "ffffffff: Cannot access memory\n"},
	{"x/99999999x 0", "the count is larger than 1048576\n"},
	{"x", "x: address expected\n"},
	{"x/i", "x: address expected\n"},
	{"x/i (", "unexpected end of expression\n"},
	{"", ""},
	{"   \t ", ""},
	{"frobnicate the", "unknown command: 'frobnicate'\n"},
	{"savevm a", "unknown command: 'savevm'\n"},
	{"info nothing", "unknown command: 'info nothing'\n"},
	{"/x", "unknown command: '/x'\n"},
	{"cont|c", "unknown command: 'cont|c'\n"},
	{"info status extra", "info status: extraneous characters at the end of line\n"},
	{"info status", "VM status: running\n"},
	{"help nothing", "unknown command: 'nothing'\n"},
	{"help stop", "stop|s -- stop the machine\n"},
	{"? c", "cont|c -- let the machine go on\n"},
	{"help info pic", "info pic -- show the interrupt controllers\n"},
	{"sendkey", "sendkey: keys expected\n"},
	{"sendkey ctrl-nokey", "invalid parameter: nokey\n"},
	{"sendkey a-", "invalid parameter: \n"},
	{"sendkey a 0", "sendkey: hold_time must be between 1 and 60000 ms\n"},
	{"sendkey a 1 2", "sendkey: extraneous characters at the end of line\n"},
	{"sendkey a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a", "sendkey: at most 16 keys at a time\n"},
	{"sendkey \"a", "sendkey: keys: unterminated string\n"},
	{"mouse_move 1", "mouse_move: dy expected\n"},
	{"mouse_move 99999 1", "mouse_move: dx must be between -10000 and 10000\n"},
	{"log none", ""},
	{"log nonsense", "log: invalid log item 'nonsense' (help log lists them)\n"},
	{"log insn", "log: 'insn' counts from the start only: -d insn\n"},
	{"logfile /nonexistent/x", "logfile: /nonexistent/x: No such file or directory\n"},
	{"screendump", "screendump: filename expected\n"},
	{"screendump x -f", "screendump: format expected\n"},
	{"screendump x -f bmp", "screendump: invalid format 'bmp': 'png' and 'ppm' are there\n"},
	{"screendump x", "screendump: there is no screen to take a picture of\n"},
	{"eject", "eject: device expected\n"},
	{"eject ide9-cd0", "Device 'ide9-cd0' not found\n"},
	{"change ide1-cd0", "change: filename expected\n"},
	{"o/w 0x80", "o: value expected\n"},
	{"i/g 0x80", "i: a port is read or written by 1, 2 or 4 bytes\n"},
	{"i/b 0x80", "portb[0x0080] = 0xff\n"}, /* nobody's */
	{"i/h 0x80", "portw[0x0080] = 0xffff\n"},
	{"o/b 0x80 1", ""},
	{"info mem", "PG disabled\n"},
	{"info name", ""},
};

START_TEST(a_line)
{
	set_up();
	PUT(DATA, 0x90, 0x31, 0xc0, 0xcc, 'A', 'B', 0xff, 0x80, 0);
	pthread_mutex_lock(&vm->lock);
	ck_assert_msg(strcmp(say(lines[_i].line), lines[_i].text) == 0, "%s: '%s'", lines[_i].line, out.p);
	pthread_mutex_unlock(&vm->lock);
	ck_assert_uint_eq(mmio_count, 0);
	tear_down();
}
END_TEST

START_TEST(formats_last)
{
	set_up();
	PUT(DATA, 1, 0, 0, 0, 0, 0, 0, 0);
	ck_assert_str_eq(say("x/2xb 0x20000"), "00020000: 0x01 0x00\n");
	ck_assert_str_eq(say("x 0x20000"), "00020000: 0x01\n");
	ck_assert_str_eq(say("x/d 0x20000"), "00020000:   1\n");
	ck_assert_str_eq(say("p 17"), "17\n");
	ck_assert_str_eq(say("x/i 0x20000"), "0x00020000:  01 00                    add %eax, (%eax)\n");
	/* i is remembered, and no size with it. */
	ck_assert_str_eq(say("x 0x20000"), "0x00020000:  01 00                    add %eax, (%eax)\n");
	ck_assert_str_eq(say("x/x 0x20000"), "00020000: 0x01\n");
	tear_down();
}
END_TEST

#define DIR   0x30000u
#define TABLE 0x31000u

static void page_tables(void)
{
	poke(DIR, TABLE | PTE_P | PTE_W | PTE_U, 4);
	poke(DIR + 4, 0x00400000 | PTE_P | PTE_PS | PTE_W, 4);
	poke(TABLE, DATA | PTE_P | PTE_U, 4);
	poke(TABLE + 4, (DATA + 0x2000) | PTE_P | PTE_W, 4);
	poke(TABLE + 12, 0xd0000000 | PTE_P | PTE_W | PTE_G, 4);
	v->cr3 = DIR;
	v->cr4 = CR4_PSE;
	v->cr0 |= CR0_PG;
	mmu_flush_all(v);
}

START_TEST(paged)
{
	u8 before[2][4096];

	set_up();
	page_tables();
	poke(DATA + 0xffe, 0x2211, 2);
	poke(DATA + 0x2000, 0x4433, 2);
	memcpy(before[0], ram_at(DIR), 4096);
	memcpy(before[1], ram_at(TABLE), 4096);
	/* Across pages that are not neighbours. */
	ck_assert_str_eq(say("x/4xb 0xffe"), "00000ffe: 0x11 0x22 0x33 0x44\n");
	ck_assert_str_eq(say("x/1xw 0xffe"), "00000ffe: 0x44332211\n");
	ck_assert_str_eq(say("x/1xw 0x1ffe"), "00001ffe: Cannot access memory\n");
	ck_assert_str_eq(say("x/1xw 0x2000"), "00002000: Cannot access memory\n");
	/* A page of a device's. */
	ck_assert_str_eq(say("x/1xw 0x3000"), "00003000: Cannot access memory\n");
	ck_assert_uint_eq(mmio_count, 0);
	ck_assert_str_eq(say("info mem"), "0000000000000000-0000000000001000 0000000000001000 ur-\n"
					  "0000000000001000-0000000000002000 0000000000001000 -rw\n"
					  "0000000000003000-0000000000004000 0000000000001000 -rw\n"
					  "0000000000400000-0000000000800000 0000000000400000 -rw\n");
	ck_assert_str_eq(say("info tlb"), "0000000000000000: 0000000000020000 -------U-\n"
					  "0000000000001000: 0000000000022000 --------W\n"
					  "0000000000003000: 00000000d0000000 -G------W\n"
					  "0000000000400000: 0000000000400000 --P-----W\n");
	/* No A bit, no D bit. */
	ck_assert(memcmp(before[0], ram_at(DIR), 4096) == 0);
	ck_assert(memcmp(before[1], ram_at(TABLE), 4096) == 0);
	/* Tables that are nowhere. */
	v->cr3 = 0xfffff000;
	ck_assert_str_eq(say("info mem"), "");
	ck_assert_str_eq(say("x 0"), "00000000: Cannot access memory\n");
	tear_down();
}
END_TEST

START_TEST(pae)
{
	set_up();
	v->pdpte[0] = DIR | PTE_P;
	v->pdpte[3] = DIR | PTE_P;
	poke(DIR, TABLE | PTE_P | PTE_W, 8);
	poke(DIR + 8, 0x00200000 | PTE_P | PTE_PS | PTE_U | PTE_W, 8);
	poke(TABLE + 8, DATA | PTE_P | PTE_W | PTE_NX, 8);
	v->cr4 = CR4_PAE;
	v->efer = EFER_NXE;
	v->cr0 |= CR0_PG;
	mmu_flush_all(v);
	ck_assert_str_eq(say("info tlb"), "0000000000001000: 0000000000020000 X-------W\n"
					  "0000000000200000: 0000000000200000 --P----UW\n"
					  "00000000c0001000: 0000000000020000 X-------W\n"
					  "00000000c0200000: 0000000000200000 --P----UW\n");
	ck_assert_str_eq(say("info mem"), "0000000000001000-0000000000002000 0000000000001000 -rw\n"
					  "0000000000200000-0000000000400000 0000000000200000 urw\n"
					  "00000000c0001000-00000000c0002000 0000000000001000 -rw\n"
					  "00000000c0200000-00000000c0400000 0000000000200000 urw\n");
	tear_down();
}
END_TEST

START_TEST(registers)
{
	static const char head[] = "\nCPU#0\nEAX=11223344 EBX=00000000 ";

	set_up();
	vcpu_set_eflags(v, EFLAGS_CF | EFLAGS_ZF | EFLAGS_DF | EFLAGS_FIXED);
	v->halted = true;
	ck_assert(strncmp(say("info registers"), head, sizeof(head) - 1) == 0);
	ck_assert_ptr_nonnull(strstr(out.p, "EIP=00020000 EFL=00000443 [D--Z--C] CPL=0 II=0 A20=1 SMM=0 HLT=1\n"));
	ck_assert_ptr_nonnull(strstr(out.p, "CS =0008 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]\n"));
	ck_assert_ptr_nonnull(strstr(out.p, "TR =0028 00002100 00000067 00008b00 DPL=0 TSS32-busy\n"));
	/* ST(0) is the register that the status word's top names. */
	v->fx[2] = 0;
	v->fx[3] = 6 << 3;
	v->fx[4] = 0xc0;
	memset(v->fx + 32, 0x77, 10);
	say("info registers");
	ck_assert_ptr_nonnull(strstr(out.p, "FSW=3000 [ST=6] FTW=c0"));
	ck_assert_ptr_nonnull(strstr(out.p, "FPR6=7777777777777777 7777 "));
	ck_assert_str_eq(say("info registers -a x"), "info registers: extraneous characters at the end of line\n");
	tear_down();
}
END_TEST

static const char *complete(const char *line, unsigned nth)
{
	static char word[64];
	size_t start;

	return console_complete(vm, line, strlen(line), nth, &start, word, sizeof(word)) ? word : "";
}

START_TEST(completion)
{
	set_up();
	ck_assert_str_eq(complete("system_r", 0), "system_reset");
	ck_assert_str_eq(complete("system_r", 1), "");
	ck_assert_str_eq(complete("co", 0), "cont");
	ck_assert_str_eq(complete("system_", 1), "system_powerdown");
	ck_assert_str_eq(complete("info reg", 0), "registers");
	ck_assert_str_eq(complete("help sendk", 0), "sendkey");
	ck_assert_str_eq(complete("info registers x", 0), "");
	ck_assert_str_eq(complete("stop c", 0), "");
	ck_assert_str_eq(complete("nonsense", 0), "");
	tear_down();
}
END_TEST

static void say_args(struct console_call *c)
{
	char word[8];
	s64 n;

	while (console_more(c)) {
		if (!console_word(c, "word", word, sizeof(word)))
			return;
		console_printf(c, "<%s>", word);
	}
	console_number(c, "number", &n);
}

START_TEST(registered)
{
	static struct console_cmd mine = {.name = "stop|mine", .args = "X", .help = "of a test", .fn = say_args};

	set_up();
	console_register(vm, &mine);
	ck_assert_str_eq(say("mine a \"b c\" \"\\\"\\\\\""), "<a><b c><\"\\>stop|mine: number expected\n");
	ck_assert_str_eq(say("stop 12345678"), "stop|mine: word: it is longer than 7 characters\n");
	ck_assert_str_eq(say("help mine"), "stop|mine X -- of a test\n");
	tear_down();
}
END_TEST

static unsigned pieces;

static void count_pieces(void *opaque, const char *text)
{
	(void)opaque;
	pieces++;
	ck_assert_str_eq(text, "unknown command: 'x1'\n");
}

START_TEST(entry)
{
	set_up();
	pthread_mutex_lock(&vm->lock);
	console_command(vm, "x1", count_pieces, NULL);
	ck_assert_uint_eq(pieces, 1);
	console_command(vm, " ", count_pieces, NULL);
	ck_assert_uint_eq(pieces, 1);
	pthread_mutex_unlock(&vm->lock);
	tear_down();
}
END_TEST

START_TEST(text_bounds)
{
	static char block[1 << 16];
	struct text t = {0};

	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 1000; i++)
		text_add(&t, block, sizeof(block));
	ck_assert(t.cut);
	ck_assert_uint_le(t.len, TEXT_MAX + 64);
	ck_assert_str_eq(t.p + t.len - 10, "(cut off)\n");
	text_free(&t);
	text_printf(&t, "%d %s", 1, "two");
	ck_assert_str_eq(t.p, "1 two");
	text_drop(&t, 2);
	ck_assert_str_eq(t.p, "two");
	text_drop(&t, 3);
	ck_assert_ptr_null(t.p);
}
END_TEST

Suite *console_suite(void)
{
	Suite *s = suite_create("console");
	TCase *t = tcase_create("console");

	tcase_add_loop_test(t, good_expressions, 0, ARRAY_SIZE(expressions));
	tcase_add_loop_test(t, wrong_expressions, 0, ARRAY_SIZE(bad_expressions));
	tcase_add_test(t, deep_expressions);
	tcase_add_loop_test(t, a_line, 0, ARRAY_SIZE(lines));
	tcase_add_test(t, formats_last);
	tcase_add_test(t, paged);
	tcase_add_test(t, pae);
	tcase_add_test(t, registers);
	tcase_add_test(t, completion);
	tcase_add_test(t, registered);
	tcase_add_test(t, entry);
	tcase_add_test(t, text_bounds);
	suite_add_tcase(s, t);
	return s;
}
