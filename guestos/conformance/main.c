/*
 * The harness: chooses tests by the command line, runs them, reports, and ends the machine.
 *
 * Options on the command line: test=SUBSTRING, verbose, noirq, paging=off|32|pae, and strict: skip nothing under QEMU
 * (for a run on real hardware through KVM). A test that takes more than ten seconds with interrupts
 * enabled is named by the watchdog and ends the machine.
 */
#include "guestos/conformance/test.h"

enum { HANG_SECONDS = 10, MAX_MESSAGES = 6 };

extern const struct test __tests_start[], __tests_end[];

static char running[80];
static u32 started_at;
static int strict, failures, skipped, totals[3];
static char message[60];

static void say(const char *verdict, const char *sep, const char *fmt, va_list ap)
{
	char line[400];

	vsnprint(line, sizeof(line), fmt, ap);
	print("%s %s%s%s\n", verdict, running, sep, line);
}

void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!failures)
		say("FAIL", ": ", fmt, ap);
	else if (failures < MAX_MESSAGES)
		say("  also", ": ", fmt, ap);
	failures++;
	va_end(ap);
}

void skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("SKIP", ": ", fmt, ap);
	va_end(ap);
	skipped = 1;
}

int qemu_skips(const char *why)
{
	if (!boot_qemu || strict)
		return 0;
	skip("QEMU TCG: %s", why);
	return 1;
}

void eq(u32 got, u32 want, const char *what)
{
	if (got != want)
		fail("%s is %x, want %x", what, got, want);
}

static void unexpected(const struct state *s, const char *what)
{
	fail("%s: trap %u error %x at %x:%x cr2 %x eflags %x", what, s->vec, s->err, s->cs, s->eip, s->cr2, s->eflags);
}

int ended(const struct state *s, const char *what)
{
	if (s->vec == V_END)
		return 1;
	unexpected(s, what);
	return 0;
}

int trapped(const struct state *s, u32 vec, u32 err, const void *eip, const char *what)
{
	if (s->vec != vec) {
		if (s->vec == V_END)
			fail("%s: no trap, want %u", what, vec);
		else
			fail("%s: trap %u error %x at %x cr2 %x, want %u", what, s->vec, s->err, s->eip, s->cr2, vec);
		return 0;
	}
	if (s->err != err)
		fail("%s: trap %u error %x, want %x", what, vec, s->err, err);
	if (eip && s->eip != ADDR(eip))
		fail("%s: trap %u eip %x, want %x", what, vec, s->eip, ADDR(eip));
	return s->err == err && (!eip || s->eip == ADDR(eip));
}

void same_regs(const struct state *got, const struct state *want, const char *what)
{
	static const char *const names[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};

	for (int i = 0; i < 8; i++) {
		u32 g = (&got->eax)[i], w = (&want->eax)[i];

		if (g != w)
			fail("%s: %s is %x, want %x", what, names[i], g, w);
	}
}

struct state go(const void *code, int ring)
{
	struct state s = at_ring(code, ring);

	run(&s);
	return s;
}

const char *tag(const char *name, int ring)
{
	snprint(message, sizeof(message), "%s in ring %d", name, ring);
	return message;
}

static void watchdog(struct state *s)
{
	if (!running[0] || uptime_us - started_at < HANG_SECONDS * 1000000)
		return;
	fail("hung at %x:%x", s->cs, s->eip);
	print("SUMMARY: %d passed, %d failed, %d skipped\n", totals[0], totals[1] + 1, totals[2]);
	machine_exit(1);
}

static void run_test(const struct test *t, enum paging mode, const char *suffix, const char *only, int verbose)
{
	u32 cr0 = read_cr0(), cr4 = read_cr4();

	snprint(running, sizeof(running), "%s%s", t->name, suffix);
	if (!strstr(running, only))
		return;
	if (verbose)
		print("RUN  %s\n", running);
	paging_set(mode);
	asm volatile("fninit");
	failures = skipped = 0;
	started_at = uptime_us;
	t->fn();
	paging_set(PG_OFF);
	write_cr0(cr0);
	write_cr4(cr4);
	idt_reset();
	if (failures) {
		totals[1]++;
	} else if (skipped) {
		totals[2]++;
	} else {
		totals[0]++;
		print("PASS %s\n", running);
	}
}

static const char *option(const char *cmdline, const char *name, char *buf, size_t size)
{
	const char *p = strstr(cmdline, name);
	size_t n = 0;

	if (p)
		for (p += strlen(name); *p && *p != ' ' && n + 1 < size; p++)
			buf[n++] = *p;
	buf[n] = 0;
	return buf;
}

void kernel_main(const char *cmdline)
{
	char only[80], pg[8];
	int verbose = strstr(cmdline, "verbose") != NULL;
	enum paging mode;

	strict = strstr(cmdline, "strict") != NULL;
	option(cmdline, "test=", only, sizeof(only));
	option(cmdline, "paging=", pg, sizeof(pg));
	mode = !strcmp(pg, "off") ? PG_OFF : !strcmp(pg, "pae") ? PG_PAE : PG_32;
	tick_hook = watchdog;
	if (!no_irq)
		asm volatile("sti");
	for (const struct test *t = __tests_start; t < __tests_end; t++) {
		if (!t->modes)
			run_test(t, mode, "", only, verbose);
		if (t->modes & IN_OFF)
			run_test(t, PG_OFF, " (no paging)", only, verbose);
		if (t->modes & IN_32)
			run_test(t, PG_32, "", only, verbose);
		if (t->modes & IN_PAE)
			run_test(t, PG_PAE, " (PAE)", only, verbose);
	}
	running[0] = 0;
	print("SUMMARY: %d passed, %d failed, %d skipped\n", totals[0], totals[1], totals[2]);
	machine_exit(totals[1] ? 1 : 0);
}
