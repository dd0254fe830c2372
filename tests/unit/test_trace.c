/* -d: its items, -dfilter's ranges, the names of devices' registers, what a listing and an interrupt's record say. */
#include "tests/unit/vm_harness.h"

#include <stdio.h>
#include <unistd.h>

#include "monitor/log.h"
#include "monitor/trace.h"
#include "translator/translate.h"

#define CODE 0x20000u

/* ---- ranges ---- */

static const struct {
	const char *text;
	u32 first, last;
} ranges[] = {
	{"0x8000..0x8fff", 0x8000, 0x8fff},
	{"0xffffff00..0xffffffff", 0xffffff00, 0xffffffff},
	{"5..5", 5, 5},
	{"0..0", 0, 0},
	{"0xc0000000+0x200", 0xc0000000, 0xc00001ff},
	{"0+0x100000000", 0, 0xffffffff},
	{"4096+1", 4096, 4096},
	{"0x60000-0x1000", 0x5f001, 0x60000},
	{"7-8", 0, 7},
};

START_TEST(good_range)
{
	struct log_range r;

	ck_assert(log_parse_range(ranges[_i].text, &r));
	ck_assert_uint_eq(r.first, ranges[_i].first);
	ck_assert_uint_eq(r.last, ranges[_i].last);
}
END_TEST

static const char *const bad_ranges[] = {"",
					 "5",
					 "5.",
					 "5..",
					 "..5",
					 "5.6",
					 "5...6",
					 "6..5",
					 "5+",
					 "5+0",
					 "5-0",
					 "7-9",
					 "x..y",
					 "5..6x",
					 " 5..6",
					 "5.. 6",
					 "-5..6",
					 "5*6",
					 "5 + 6",
					 "0x100000000..0x100000001",
					 "1+0x100000000",
					 "0xfffffff0+0x11",
					 "99999999999999999999..5",
					 "5..99999999999999999999"};

START_TEST(bad_range)
{
	struct log_range r;

	ck_assert_msg(!log_parse_range(bad_ranges[_i], &r), "'%s'", bad_ranges[_i]);
}
END_TEST

START_TEST(in_ranges)
{
	static const struct log_range two[] = {{0x10, 0x1f}, {0xfffffff0, 0xffffffff}};

	ck_assert(log_in_ranges(two, 0, 0x99)); /* none: everything */
	ck_assert(log_in_ranges(two, 2, 0x10) && log_in_ranges(two, 2, 0x1f) && log_in_ranges(two, 2, 0xffffffff));
	ck_assert(!log_in_ranges(two, 2, 0xf) && !log_in_ranges(two, 2, 0x20) && !log_in_ranges(two, 1, 0xfffffff0));
}
END_TEST

/* ---- items ---- */

START_TEST(items)
{
	const char *bad = "";
	u32 mask = 0;
	u64 pic, lapic;

	ck_assert(log_parse("in_asm,smc,trace:pic,nochain,trace:lapic", &mask, &bad));
	ck_assert_uint_eq(mask, LOG_IN_ASM | LOG_SMC | LOG_TRACE | LOG_NOCHAIN);
	ck_assert(trace_device_bit("pic", 3, &pic) && trace_device_bit("lapic", 5, &lapic) && pic != lapic);
	ck_assert_uint_eq(log_parse_traces("in_asm,smc,trace:pic,nochain,trace:lapic"), pic | lapic);
	for (unsigned i = 0; i < TRACE_DEVICE_COUNT; i++) {
		const char *name = trace_device_name((enum trace_device)i);
		u64 bit;

		ck_assert(trace_device_bit(name, strlen(name), &bit));
		ck_assert_uint_eq(bit, 1ull << i);
	}
	static const char *const wrong[] = {"trace", "trace:", "trace:DEVICE", "trace:nosuch", "trace:pi", "int,trace:picx", "chain"};
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		ck_assert_msg(!log_parse(wrong[i], &mask, &bad), "'%s'", wrong[i]);
	ck_assert_str_eq(bad, "chain");
}
END_TEST

/* ---- registers ---- */

static const struct {
	enum trace_regs regs;
	u32 key;
	const char *device, *name;
} registers[] = {
	{REGS_PIC, 0x20, "pic", "master command"},
	{REGS_PIC, 0x4d1, "pic", "slave ELCR"},
	{REGS_PIT, 0x43, "pit", "control"},
	{REGS_PIT, 0x61, "pit", "port B"},
	{REGS_RTC, 0x71, "rtc", "data"},
	{REGS_UART, 5, "uart", "LSR"},
	{REGS_I8042, 0x64, "i8042", "command/status"},
	{REGS_IDE, 0x1f7, "ide", "primary command/status"},
	{REGS_IDE, 0x376, "ide", "secondary control"},
	{REGS_IDE_BM, 4, "ide", "primary PRD table"},
	{REGS_FDC, 0x3f5, "fdc", "FIFO"},
	{REGS_DMA, 0x0b, "dma", "mode"},
	{REGS_DMA, 0x81, "dma", "channel 2 page"},
	{REGS_LAPIC, 0xb0, "lapic", "EOI"},
	{REGS_LAPIC, 0x110, "lapic", "ISR+0x10"},
	{REGS_LAPIC, 0x10, "lapic", "+0x10"},
	{REGS_IOAPIC, 0x10, "ioapic", "window"},
	{REGS_HPET, 0xf4, "hpet", "counter+0x4"},
	{REGS_PCI, 0xcf8, "pci", "address"},
	{REGS_PCI, 0xcfe, "pci", "data+0x2"},
	{REGS_VGA, 0x3d5, "vga", "CRTC data"},
	{REGS_VGA, 0x1ce, "vga", "VBE index"},
	{REGS_FW_CFG, 0x510, "fw_cfg", "selector"},
	{REGS_ACPI_PM, 8, "acpi_pm", "timer"},
	{REGS_ACPI_SMI, 0xb2, "acpi_pm", "SMI command"},
	{REGS_SYSCTL, 0x92, "sysctl", "A20 and reset"},
	{REGS_LPT, 1, "lpt", "status"},
};

START_TEST(register_name)
{
	char name[64];

	trace_register_name(registers[_i].regs, registers[_i].key, name, sizeof(name));
	ck_assert_str_eq(name, registers[_i].name);
	ck_assert_str_eq(trace_device_name(trace_regs_device(registers[_i].regs)), registers[_i].device);
}
END_TEST

/* ---- what is printed ---- */

static char log_path[64];

/* Everything that is logged from here on goes to a file. */
static void log_here(u32 mask)
{
	snprintf(log_path, sizeof(log_path), "/tmp/ringer-test-trace.%d", (int)getpid());
	ck_assert(log_open(log_path));
	log_mask = mask;
}

static const char *logged(void)
{
	static char text[65536];
	FILE *f;
	size_t n;

	fflush(log_file());
	f = fopen(log_path, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	unlink(log_path);
	log_mask = 0;
	return text;
}

/* Each of the strings is in the text, behind the one before. */
static void in_order(const char *text, const char *const *wanted, size_t n)
{
	const char *at = text;

	for (size_t i = 0; i < n; i++) {
		const char *found = strstr(at, wanted[i]);

		ck_assert_msg(found, "no '%s' behind what came before it in:\n%s", wanted[i], text);
		at = found + strlen(wanted[i]);
	}
}
#define IN_ORDER(text, ...)                                                                                                                \
	do {                                                                                                                               \
		static const char *const wanted_[] = {__VA_ARGS__};                                                                        \
		in_order(text, wanted_, ARRAY_SIZE(wanted_));                                                                              \
	} while (0)

START_TEST(listing)
{
	machine_create();
	/* popf ; mov eax, [ebx] ; cpuid ; jne back ; jmp elsewhere */
	PUT(CODE, 0x9d, 0x8b, 0x03, 0x0f, 0xa2, 0x75, 0xf9, 0xe9, 0, 0, 1, 0);
	log_here(LOG_IN_ASM | LOG_OUT_ASM);
	v->eip = CODE;
	cpu_set_mode();
	ck_assert_int_eq(CATCH(translate(v, CODE)), -1);
	const char *text = logged();
	IN_ORDER(text, "TU 0x00020000 pa 0x20000 cpl 0 32-bit checked", "0x00020000  9d ", "popf", "; flat table", "; miss -> thunk_miss1",
		 "[r14+sysflags]", "callout -> thunk_callout", "IF lives in sysflags", "popfq", "cold: miss of a read", "call thunk_miss1",
		 "cold: callout", "; emu_popf", "cold: event behind POPF", "0x00020001  8b 03", "mov eax, [ebx]", "; miss -> thunk_miss0",
		 "0x00020003  0f a2", "cpuid", "; emu_cpuid", "0x00020005  75 f9", "jnz 0x00020000", "; a safepoint",
		 "; -> 0x00020000 (chain)", "cold: exit, not chained yet", "thunk_exit_chain", "0x00020007  e9 ",
		 "-> 0x0003000c (jump cache)");
	/* Its stubs are one instruction's and no other's. */
	const char *stub = strstr(text, "cold: callout");
	ck_assert_msg(!strstr(stub + 1, "cold: callout"), "%s", text);
	ck_assert_msg(!strstr(text, "UNNAMED") && !strstr(text, "not an instruction"), "%s", text);
	machine_destroy();
}
END_TEST

START_TEST(listing_is_filtered)
{
	machine_create();
	vm->opt.log_ranges[0] = (struct log_range){CODE + 1, CODE + 1};
	vm->opt.log_range_count = 1;
	PUT(CODE, 0x90, 0x90, 0xc3);
	log_here(LOG_IN_ASM | LOG_OUT_ASM);
	cpu_set_mode();
	v->eip = CODE;
	ck_assert_int_eq(CATCH(translate(v, CODE)), -1);
	v->eip = CODE + 1;
	ck_assert_int_eq(CATCH(translate(v, CODE + 1)), -1);
	const char *text = logged();
	ck_assert_msg(!strstr(text, "TU 0x00020000 ") && strstr(text, "TU 0x00020001 "), "%s", text);
	machine_destroy();
}
END_TEST

START_TEST(interrupt)
{
	machine_create();
	paging_on();
	map_page(CODE, CODE, PTE_P | PTE_W | PTE_A | PTE_D);
	/* mov [0x00401234], eax: no page there */
	PUT(CODE, 0xa3, 0x34, 0x12, 0x40, 0x00, 0xcc);
	log_here(LOG_INT | LOG_MMU | LOG_CPU);
	v->eip = CODE;
	v->regs[REG_EAX] = 0x5eed;
	struct outcome o = vm_run();
	ck_assert_int_eq(o.vector, EXC_PF);
	IN_ORDER(logged(), "EAX=00005eed ", "EIP=00020000 ",
		 "mmu: supervisor write of 00401234 faults: error 0002 cr3 00010000 pde 00000000",
		 "int 0e exception #PF error 0002 cr2 00401234\n  from 0008:00020000 ss:esp 0010:00004000 efl ",
		 " cpl 0\n    to 0008:000018e0 ", "EIP=000018e0 ");
	machine_destroy();
}
END_TEST

START_TEST(nochain)
{
	unsigned entries = 0;

	machine_create();
	/* mov ecx, 10 ; loop to itself ; int3 */
	PUT(CODE, 0xb9, 10, 0, 0, 0, 0xe2, 0xfe, 0xcc);
	log_here(LOG_EXEC | LOG_NOCHAIN);
	vm_run_ok(CODE);
	for (const char *at = logged(); (at = strstr(at, "exec 0008:00020005 ")); at++)
		entries++;
	ck_assert_uint_eq(entries, 9);
	ck_assert_uint_eq(v->stats.chains, 0);
	machine_destroy();
}
END_TEST

START_TEST(keeps_the_fpu)
{
	u8 before[512] __attribute__((aligned(64))), after[512] __attribute__((aligned(64)));
	u32 control = 0x1f80 | 0x6000, normal = 0x1f80;

	machine_create();
	log_here(LOG_INT);
	__asm__ volatile("fninit\n\tfldpi\n\tfldl2e\n\tmovd %1, %%xmm3\n\tldmxcsr %2\n\tfxsave64 %0"
			 : "=m"(before)
			 : "r"(0x12345678), "m"(control)
			 : "xmm3", "memory");
	trace_print("%s %d %u", "a line", 5, 7u);
	__asm__ volatile("fxsave64 %0\n\tfninit\n\tldmxcsr %1" : "=m"(after) : "m"(normal) : "memory");
	/* What the compiler may have in other registers in between is not looked at: control words, ST0, ST1, XMM3. */
	ck_assert_mem_eq(before, after, 6);
	ck_assert_mem_eq(before + 24, after + 24, 4);
	ck_assert_mem_eq(before + 32, after + 32, 10);
	ck_assert_mem_eq(before + 48, after + 48, 10);
	ck_assert_mem_eq(before + 160 + 48, after + 160 + 48, 16);
	ck_assert_str_eq(logged(), "a line 5 7\n");
	machine_destroy();
}
END_TEST

Suite *trace_suite(void);
Suite *trace_suite(void)
{
	Suite *s = suite_create("trace");
	TCase *t = tcase_create("items");

	tcase_add_loop_test(t, good_range, 0, (int)ARRAY_SIZE(ranges));
	tcase_add_loop_test(t, bad_range, 0, (int)ARRAY_SIZE(bad_ranges));
	tcase_add_test(t, in_ranges);
	tcase_add_test(t, items);
	tcase_add_loop_test(t, register_name, 0, (int)ARRAY_SIZE(registers));
	suite_add_tcase(s, t);
	t = tcase_create("log");
	tcase_add_test(t, listing);
	tcase_add_test(t, listing_is_filtered);
	tcase_add_test(t, interrupt);
	tcase_add_test(t, nochain);
	tcase_add_test(t, keeps_the_fpu);
	suite_add_tcase(s, t);
	return s;
}
