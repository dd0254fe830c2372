/*
 * Nanobenchmarks of address spaces: CR3 loads that come back to an address space after 0 or 63 others, each followed by touching a few
 * pages that are mapped differently in every space; and switches between two threads of control, each with a stack and an address space of
 * its own. Rows with a count of pages in their name are the cost of the whole: load and touches.
 *
 * Invariant: every directory of spaces[] has the entries of the directory that was there before, so kernel code runs in all of them alike.
 */
#include "guestos/nano/nano.h"

enum { SPACES = 64, PAGES = 16, POOL = 64, AT = 0x20000000 };

static u32 dirs[SPACES][1024] __attribute__((aligned(4096)));
static u32 tables[SPACES][1024] __attribute__((aligned(4096)));
static u8 pool[POOL][4096] __attribute__((aligned(4096)));

static void make_spaces(u32 cr3)
{
	for (u32 n = 0; n < SPACES; n++) {
		memcpy(dirs[n], (void *)(uintptr_t)cr3, sizeof(dirs[n]));
		for (u32 k = 0; k < PAGES; k++)
			tables[n][k] = ADDR(pool[(n + k) % POOL]) | P_P | P_W;
		dirs[n][AT >> 22] = ADDR(tables[n]) | P_P | P_W | P_U;
	}
}

static inline void touch(u32 pages)
{
	for (u32 k = 0; k < pages; k++)
		*(volatile u32 *)(AT + (k << 12)) += k;
}

/* Two threads: nano_switch puts what the ABI has a function keep on the stack, changes stacks, loads CR3. */
struct nano_thread {
	u32 esp, cr3;
};
static struct nano_thread threads[2];
static u8 stacks[2][4096] __attribute__((aligned(4096)));
static volatile u32 peer_pages;
void nano_switch(struct nano_thread *from, struct nano_thread *to);
asm(".pushsection .text\n"
    "nano_switch: mov 4(%esp), %eax; mov 8(%esp), %edx\n"
    "push %ebp; push %ebx; push %esi; push %edi\n"
    "mov %esp, (%eax); mov (%edx), %esp; mov 4(%edx), %ecx\n"
    "test %ecx, %ecx; jz 1f; mov %ecx, %cr3; 1:\n"
    "pop %edi; pop %esi; pop %ebx; pop %ebp; ret\n"
    ".popsection");

static void peer(void)
{
	for (;;) {
		touch(peer_pages);
		nano_switch(&threads[1], &threads[0]);
	}
}

static void start_peer(u32 cr3_main, u32 cr3_peer, u32 pages)
{
	u32 *sp = (u32 *)(stacks[1] + sizeof(stacks[1]));

	*--sp = 0;
	*--sp = ADDR(peer);
	sp -= 4; /* what nano_switch pops */
	threads[0].cr3 = cr3_main;
	threads[1] = (struct nano_thread){ADDR(sp), cr3_peer};
	peer_pages = pages;
}

/* A repetition is there and back: two switches. */
static void switches(const char *name, u32 n, u32 cr3_main, u32 cr3_peer, u32 pages)
{
	u64 best = ~0ull;

	start_peer(cr3_main, cr3_peer, pages);
	for (u32 round = 0; round < nano.rounds; round++) {
		u64 t = rdtsc();

		for (u32 i = 0; i < n; i++) {
			nano_switch(&threads[0], &threads[1]);
			touch(pages);
		}
		t = rdtsc() - t;
		best = t < best ? t : best;
	}
	nano_report(name, best, 2 * n, 0);
}

void nano_memory(void)
{
	u32 cr3 = read_cr3();

	make_spaces(cr3);
	write_cr3(ADDR(dirs[0]));
	BENCH("touch_4_pages", 20000, touch(4));
	BENCH("cr3_same_touch_4", 5000, {
		write_cr3(ADDR(dirs[0]));
		touch(4);
	});
	BENCH("cr3_64_spaces", 6400, write_cr3(ADDR(dirs[i % SPACES])));
	BENCH("cr3_64_spaces_touch_4", 6400, {
		write_cr3(ADDR(dirs[i % SPACES]));
		touch(4);
	});
	switches("switch_stack", 20000, 0, 0, 0);
	switches("switch_stack_cr3", 5000, ADDR(dirs[0]), ADDR(dirs[1]), 0);
	switches("switch_stack_cr3_touch_16", 2000, ADDR(dirs[0]), ADDR(dirs[1]), 16);
	write_cr3(cr3);
}
