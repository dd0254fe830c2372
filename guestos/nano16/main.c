/*
 * Nanobenchmarks of 16-bit code: TSC cycles of single operations in real mode and in virtual-8086 mode, as `BENCH name cycles`. What DOS,
 * a BIOS and an extended-memory manager do all day. Each is the best of several rounds, the cost of an empty loop taken off.
 */
#include "guestos/modes/modes.h"

enum { ROUNDS = 5, N = 20000 };

/* The operation in a loop. SI, DI and BX are 0x100 and may be changed by it. */
#define LOOP(name, op) CODE16(name, "mov $20000, %ecx; 8: mov $0x100, %si; mov %si, %di; mov %si, %bx;\n" op "\ndec %ecx; jnz 8b")

LOOP(empty, "");
LOOP(add_mem, "add %ax, (%bx)");
LOOP(load_store, "mov 4(%si), %ax; mov %ax, 8(%di)");
LOOP(push_pop, "push %ax; pop %dx");
LOOP(near_call, "call 1f; jmp 2f; 1: ret; 2:");
LOOP(near_call_indirect, "mov $2f - near_call_indirect, %dx; jmp 1f; 2: ret; 1: call *%dx");
LOOP(far_call, "lcall $0x1000, $1f - far_call; jmp 2f; 1: lret; 2:");
LOOP(far_jump, "ljmp $0x1000, $1f - far_jump; 1:");
LOOP(mov_es, "mov %ax, %es");
LOOP(push_pop_ds, "push %ds; pop %ds");
LOOP(push_pop_es, "push %ds; pop %es");
LOOP(les, "les 0x40, %dx");
LOOP(pushf_popf, "pushf; popf");
LOOP(cli_sti, "cli; sti");
LOOP(int_iret, "int $0x60");
LOOP(in_pic, "in $0x21, %al");
LOOP(out_post_port, "out %al, $0x80");
LOOP(rep_movsw_64, "push %cx; mov $64, %cx; mov $0x4000, %di; rep movsw; pop %cx");
LOOP(movsb, "movsb");
LOOP(lodsb_stosb, "lodsb; stosb");
LOOP(rep_stosw_64, "push %cx; mov $64, %cx; rep stosw; pop %cx");
LOOP(loop_16, "push %cx; mov $8, %cx; 1: loop 1b; pop %cx");
LOOP(mov_cr0, "mov %cr0, %eax");

/* In which modes a row makes sense: the last is virtual-8086 mode with CR4.VME and IOPL 0. */
enum { REAL = 1, V86 = 2, VME = 4 };

static const struct row {
	const char *name;
	const u8 *code, *end;
	u32 modes;
} rows[] = {
#define ROW(name, modes)                                                                                                                   \
	{                                                                                                                                  \
#name, name, name##_end + 2, modes                                                                                         \
	}
	ROW(add_mem, REAL | V86),
	ROW(load_store, REAL | V86),
	ROW(push_pop, REAL | V86),
	ROW(near_call, REAL | V86),
	ROW(near_call_indirect, REAL | V86),
	ROW(far_call, REAL | V86),
	ROW(far_jump, REAL | V86),
	ROW(mov_es, REAL | V86),
	ROW(push_pop_ds, REAL | V86),
	ROW(push_pop_es, REAL | V86),
	ROW(les, REAL | V86),
	ROW(pushf_popf, REAL | V86 | VME),
	ROW(cli_sti, REAL | V86 | VME),
	ROW(int_iret, REAL | V86 | VME),
	ROW(in_pic, REAL | V86),
	ROW(out_post_port, REAL | V86),
	ROW(movsb, REAL | V86),
	ROW(lodsb_stosb, REAL | V86),
	ROW(rep_movsw_64, REAL | V86),
	ROW(rep_stosw_64, REAL | V86),
	ROW(loop_16, REAL | V86),
	ROW(mov_cr0, REAL),
};

static u32 cr4, loop_cost;

/* An IRET of the mode's own: a stub in the code segment for what is reflected, or a handler of protected mode. */
extern u8 nano_iret[];
asm("nano_iret: iret");

/* Of one repetition, the loop included; ~0 if it trapped. */
static u32 cycles(const u8 *code, const u8 *end, u32 mode)
{
	u64 best = ~0ull;

	for (int round = 0; round < ROUNDS; round++) {
		struct state s = mode == REAL ? at_real(code, (u32)(end - code)) : at_v86(code, (u32)(end - code), mode == VME ? 0 : 3);
		u64 t;

		s.eax = LOW_AREA >> 4;
		*(volatile u16 *)low(LOW_AREA + 0x42) = LOW_AREA >> 4;
		*(volatile u8 *)low(LOW_CODE + 0x8000) = 0xcf; /* iret */
		*(volatile u32 *)low(LOW_IVT + 4 * 0x60) = LOW_CODE >> 4 << 16 | 0x8000;
		*(volatile u32 *)low(4 * 0x60) = LOW_CODE >> 4 << 16 | 0x8000;
		idt[0x60] = gate(KCS, ADDR(nano_iret), 0xe, 3);
		if (mode == VME)
			write_cr4(cr4 | CR4_VME);
		t = rdtsc();
		if (mode == REAL)
			real_run(&s);
		else
			run(&s);
		t = rdtsc() - t;
		write_cr4(cr4);
		/* At IOPL 0 with VME the closing INT n itself is #GP, by its redirection bit. */
		if (s.vec != V_END && !(mode == VME && s.vec == V_GP && s.eip == (u32)(end - code) - 2)) {
			print("NOTE mode %u: trap %u at %x:%x\n", mode, s.vec, s.cs, s.eip);
			return ~0u;
		}
		best = t < best ? t : best;
	}
	return (u32)(best / N);
}

static void bench(const char *prefix, u32 mode)
{
	loop_cost = cycles(empty, empty_end + 2, mode);
	for (u32 i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		u32 per;

		if (!(rows[i].modes & mode))
			continue;
		per = cycles(rows[i].code, rows[i].end, mode);
		if (per == ~0u)
			continue;
		print("BENCH %s_%s %u\n", prefix, rows[i].name, per > loop_cost ? per - loop_cost : 0);
	}
}

void kernel_main(const char *cmdline)
{
	(void)cmdline;
	paging_set(PG_32);
	pic_mask(0xffff);
	cr4 = read_cr4();
	/*
	 * Virtual-8086 mode may use all ports below 8000h. With CR4.VME INT n asks the redirection bitmap, the 32 bytes below the I/O
	 * bitmap: all are the mode's own but the one that ends a run.
	 */
	tss.iomap = offsetof(struct tss, bitmap) + 32;
	memset(tss.bitmap, 0, 32 + 4096);
	tss.bitmap[V_END / 8] |= 1u << V_END % 8;
	bench("real", REAL);
	bench("v86", V86);
	/* TCG has no VME. */
	if (cpuid_edx1() & 2)
		bench("vme", VME);
	print("BENCH end 0\n");
	machine_exit(0);
}
