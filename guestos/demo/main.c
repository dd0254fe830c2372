/*
 * The demo kernel: a shell on the serial line, what `make demo` shows where no Linux kernel can be had.
 */
#include "guestos/lib/lib.h"

enum { LINE = 120 };

struct command {
	const char *name, *help;
	void (*run)(const char *args);
};

static u64 tsc_per_second;

static void cmd_help(const char *args);

static void cmd_echo(const char *args)
{
	print("%s\n", args);
}

static void cmd_mem(const char *args)
{
	(void)args;
	print("memory: %u KiB; this kernel runs at 1 MiB with paging on, CR0 %x, CR3 %x, CR4 %x\n", boot_mem_kb, read_cr0(), read_cr3(),
	      read_cr4());
}

static void cmd_cpuid(const char *args)
{
	static const struct {
		int reg, bit;
		const char *name;
	} features[] = {{3, 0, "fpu"},	   {3, 3, "pse"},     {3, 4, "tsc"},	 {3, 5, "msr"},	       {3, 6, "pae"},
			{3, 8, "cx8"},	   {3, 11, "sep"},    {3, 13, "pge"},	 {3, 15, "cmov"},      {3, 23, "mmx"},
			{3, 24, "fxsr"},   {3, 25, "sse"},    {3, 26, "sse2"},	 {2, 0, "sse3"},       {2, 9, "ssse3"},
			{2, 19, "sse4.1"}, {2, 20, "sse4.2"}, {2, 23, "popcnt"}, {2, 31, "hypervisor"}};
	u32 r[4], top;
	char brand[49] = {0};

	(void)args;
	cpuid(0, 0, r);
	top = r[0];
	memcpy(brand, &r[1], 4);
	memcpy(brand + 4, &r[3], 4);
	memcpy(brand + 8, &r[2], 4);
	brand[12] = 0;
	print("vendor   %s, leaves up to %u\n", brand, top);
	cpuid(0x80000000, 0, r);
	if (r[0] >= 0x80000004) {
		for (u32 i = 0; i < 3; i++) {
			cpuid(0x80000002 + i, 0, r);
			memcpy(brand + i * 16, r, 16);
		}
		print("model    %s\n", brand);
	}
	cpuid(1, 0, r);
	print("version  family %u model %u stepping %u\nfeatures", (r[0] >> 8 & 15) + (r[0] >> 20 & 255),
	      (r[0] >> 4 & 15) | (r[0] >> 12 & 0xf0), r[0] & 15);
	for (u32 i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (r[features[i].reg] >> features[i].bit & 1)
			print(" %s", features[i].name);
	print("\n");
}

static void cmd_ticks(const char *args)
{
	u32 t = ticks;

	(void)args;
	print("%u ticks of %u Hz: up %u.%02u s\n", t, HZ, t / HZ, t % HZ);
}

static void cmd_primes(const char *args)
{
	static u8 sieve[1000001];
	u32 n = 0, count = 0, last = 0;
	u64 start = rdtsc();

	for (; *args >= '0' && *args <= '9' && n < 1000000; args++)
		n = n * 10 + (u32)(*args - '0');
	if (!n || n > 1000000)
		n = 1000000;
	asm volatile("" ::: "memory"); /* the clock is read before and after the work */
	memset(sieve, 0, n + 1);
	for (u32 i = 2; i <= n; i++) {
		if (sieve[i])
			continue;
		count++;
		last = i;
		for (u32 j = i + i; j <= n; j += i)
			sieve[j] = 1;
	}
	asm volatile("" ::: "memory");
	print("%u primes up to %u, the last is %u (about %u ms)\n", count, n, last, (u32)((rdtsc() - start) * 1000 / tsc_per_second));
}

CODE(user_work, "mov $100000, %ecx; xor %eax, %eax; 1: add %ecx, %eax; loop 1b");

static void cmd_user(const char *args)
{
	struct state s = at_ring(user_work, 3);

	(void)args;
	run(&s);
	print("ring 3 summed 1 to 100000 to %u modulo 2^32 and came back by vector %x\n", s.eax, s.vec);
}

static void cmd_reboot(const char *args)
{
	(void)args;
	machine_reset();
}

static void cmd_poweroff(const char *args)
{
	(void)args;
	print("bye\n");
	outw(0x604, 0x2000);
	machine_exit(0);
}

static const struct command commands[] = {
	{"help", "this list", cmd_help},
	{"echo", "print the rest of the line", cmd_echo},
	{"mem", "memory and control registers", cmd_mem},
	{"cpuid", "the processor", cmd_cpuid},
	{"ticks", "timer ticks since the start", cmd_ticks},
	{"primes", "sieve up to N (default and at most 1000000)", cmd_primes},
	{"user", "run a loop in ring 3", cmd_user},
	{"reboot", "reset the machine", cmd_reboot},
	{"poweroff", "switch the machine off", cmd_poweroff},
};
enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void cmd_help(const char *args)
{
	(void)args;
	for (u32 i = 0; i < N_COMMANDS; i++)
		print("  %10s %s\n", commands[i].name, commands[i].help);
}

/* Reads a line with echo and backspace; sleeps between characters. */
static void read_line(char *line)
{
	u32 n = 0;

	for (;;) {
		int c = con_getc();

		if (c < 0) {
			asm volatile("sti; hlt");
			continue;
		}
		if (c == '\r' || c == '\n')
			break;
		if (c == 3 || c == 21) {
			for (; n; n--)
				print("\b \b");
		} else if ((c == 8 || c == 127) && n) {
			n--;
			print("\b \b");
		} else if (c >= ' ' && c < 127 && n + 1 < LINE) {
			line[n++] = (char)c;
			con_putc((char)c);
		}
	}
	line[n] = 0;
	print("\n");
}

static void execute(const char *line)
{
	size_t n = 0;

	while (*line == ' ')
		line++;
	while (line[n] && line[n] != ' ')
		n++;
	if (!n)
		return;
	for (u32 i = 0; i < N_COMMANDS; i++)
		if (strlen(commands[i].name) == n && !strncmp(line, commands[i].name, n)) {
			commands[i].run(line + n + (line[n] == ' '));
			return;
		}
	print("unknown command; try help\n");
}

void kernel_main(const char *cmdline)
{
	char line[LINE];

	(void)cmdline;
	paging_set(PG_32);
	asm volatile("sti");
	while (ticks < 1)
		;
	tsc_per_second = rdtsc();
	while (ticks < 11)
		;
	tsc_per_second = (rdtsc() - tsc_per_second) * HZ / 10;
	print("\nringer demo kernel: a 32-bit kernel of our own, since no other was at hand. Type help.\n");
	for (;;) {
		print("demo> ");
		read_line(line);
		execute(line);
	}
}
