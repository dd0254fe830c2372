/*
 * What shadow paging costs: touches pages that are mapped in a way that the command line says, and prints `BENCH name cycles` per page or
 *per switch, with one decimal.
 *
 *	mib=N	a working set of N MiB (1 to 256)
 *	map=contiguous|scattered|large	4 KiB pages in the order of physical memory, or in none, or 4 MiB pages
 *	ring=0|3	who touches them
 *	spaces=N	instead: N address spaces (1 to 256) in turn, each with 16 pages of its own
 *	churn	instead: 256 pages are mapped elsewhere, flushed by INVLPG and touched
 *
 * A working set is touched once (first), then the code runs for some 50 ms, so that a monitor that waits for hot code has seen it, then it
 *is touched again (second) and a few times more, of which the best is "warm".
 *
 * Invariants: what is touched lies in [AT, AT + 256 MiB), mapped to physical memory from 16 MiB up, where nothing else is; the tick goes
 *on.
 */
#include "guestos/lib/lib.h"

enum {
	AT = 0x40000000,
	PHYS = 16 << 20,
	MAX_MIB = 256,
	MAX_SPACES = 256,
	SPACE_PAGES = 16,
	CHURN_PAGES = 256,
	WARM_PASSES = 4,
};

static u32 tables[MAX_MIB / 4][1024] __attribute__((aligned(4096)));
static u32 space_dirs[MAX_SPACES][1024] __attribute__((aligned(4096)));
static u32 space_tables[MAX_SPACES][1024] __attribute__((aligned(4096)));
static int ring;

/* Adds 1 to the first dword of EBX's page, and of the ECX - 1 pages behind it. */
CODE(touch_pages, "1: addl $1, (%ebx); add $4096, %ebx; dec %ecx; jnz 1b");
CODE(spin, "1: dec %ecx; jnz 1b");

static u32 option(const char *cmdline, const char *name, u32 least, u32 most, u32 otherwise)
{
	const char *p = strstr(cmdline, name);
	u32 x = 0;

	if (!p)
		return otherwise;
	for (p += strlen(name); *p >= '0' && *p <= '9' && x < 100000; p++)
		x = x * 10 + (u32)(*p - '0');
	return x < least ? least : x > most ? most : x;
}

static void report(const char *name, u64 cycles, u32 n)
{
	u32 per = (u32)(cycles * 10 / n);

	print("BENCH %s %u.%u\n", name, per / 10, per % 10);
}

static void go(const void *code, u32 ebx, u32 ecx)
{
	struct state s = at_ring(code, ring);

	s.ebx = ebx;
	s.ecx = ecx;
	run(&s);
	if (s.vec != V_END) {
		print("NOTE trap %u at %x, cr2 %x\n", s.vec, s.eip, s.cr2);
		machine_exit(2);
	}
}

static u64 pass(u32 at, u32 pages)
{
	u64 t = rdtsc();

	go(touch_pages, at, pages);
	return rdtsc() - t;
}

static void heat(void)
{
	u32 until = ticks + 5;

	while (ticks < until)
		go(spin, 0, 200000);
}

static void working_set(const char *cmdline, u32 mib)
{
	u32 pages = mib * 256, *dir = (u32 *)(uintptr_t)read_cr3(), scattered = strstr(cmdline, "map=scattered") != NULL;
	u64 best = ~0ull;

	if (strstr(cmdline, "map=large")) {
		write_cr4(read_cr4() | CR4_PSE);
		for (u32 i = 0; i < (mib + 3) / 4; i++)
			dir[(AT >> 22) + i] = (PHYS + (i << 22)) | P_P | P_W | P_U | P_PS;
	} else {
		for (u32 i = 0; i < pages; i++) {
			/* An odd factor makes a permutation of the pages, a power of two of them or not: what comes twice is as good. */
			u32 page = scattered ? (u32)((u64)i * 2654435761u % pages) : i;

			tables[i >> 10][i & 1023] = (PHYS + (page << 12)) | P_P | P_W | P_U;
		}
		for (u32 i = 0; i < (mib + 3) / 4; i++)
			dir[(AT >> 22) + i] = ADDR(tables[i]) | P_P | P_W | P_U;
	}
	write_cr3(read_cr3());
	report("first", pass(AT, pages), pages);
	heat();
	report("second", pass(AT, pages), pages);
	for (u32 i = 0; i < WARM_PASSES; i++) {
		u64 t = pass(AT, pages);

		best = t < best ? t : best;
	}
	report("warm", best, pages);
}

static void spaces(u32 count)
{
	u32 home = read_cr3(), rounds = 4096 / count + 2;
	u64 best = ~0ull, t = rdtsc();

	for (u32 n = 0; n < count; n++) {
		memcpy(space_dirs[n], (void *)(uintptr_t)home, 4096);
		for (u32 k = 0; k < SPACE_PAGES; k++)
			space_tables[n][k] = (PHYS + ((n * SPACE_PAGES + k) << 12)) | P_P | P_W | P_U;
		space_dirs[n][AT >> 22] = ADDR(space_tables[n]) | P_P | P_W | P_U;
	}
	for (u32 round = 0; round < rounds; round++) {
		t = rdtsc();
		for (u32 n = 0; n < count; n++) {
			write_cr3(ADDR(space_dirs[n]));
			go(touch_pages, AT, SPACE_PAGES);
		}
		t = rdtsc() - t;
		if (!round) {
			report("first", t, count);
			/* Everyone is seen at work. */
			for (u32 n = 0; n < count; n++) {
				u32 now = ticks;

				write_cr3(ADDR(space_dirs[n]));
				while (ticks == now)
					go(spin, 0, 20000);
			}
		} else {
			best = t < best ? t : best;
		}
	}
	report("warm", best, count);
	write_cr3(home);
}

static void churn(void)
{
	u32 *dir = (u32 *)(uintptr_t)read_cr3();
	u64 best = ~0ull;

	dir[AT >> 22] = ADDR(tables[0]) | P_P | P_W | P_U;
	for (u32 round = 0; round < 12; round++) {
		u64 t;

		if (round == 2)
			heat();
		t = rdtsc();
		for (u32 i = 0; i < CHURN_PAGES; i++) {
			*(volatile u32 *)&tables[0][i] = (PHYS + (((i + round) % CHURN_PAGES) << 12)) | P_P | P_W | P_U;
			invlpg(AT + (i << 12));
		}
		go(touch_pages, AT, CHURN_PAGES);
		t = rdtsc() - t;
		if (!round)
			report("first", t, CHURN_PAGES);
		else if (round > 3)
			best = t < best ? t : best;
	}
	report("warm", best, CHURN_PAGES);
}

void kernel_main(const char *cmdline)
{
	u32 mib = option(cmdline, "mib=", 1, MAX_MIB, 0), count = option(cmdline, "spaces=", 1, MAX_SPACES, 0);
	u32 need = mib ? mib << 10 : count ? count * SPACE_PAGES * 4 : strstr(cmdline, "churn") ? CHURN_PAGES * 4 : 0;

	ring = (int)option(cmdline, "ring=", 0, 3, 3) ? 3 : 0;
	if (boot_mem_kb < PHYS / 1024 + need) {
		print("NOTE too little memory: %u KiB\n", boot_mem_kb);
		machine_exit(2);
	}
	paging_set(PG_32);
	asm volatile("sti");
	if (mib)
		working_set(cmdline, mib);
	else if (count)
		spaces(count);
	else if (strstr(cmdline, "churn"))
		churn();
	asm volatile("cli");
	print("BENCH end 0\n");
	machine_exit(0);
}
