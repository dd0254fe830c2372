/*
 * A kernel that brings the CPU into a known state, says so on the console, and halts for good: what a debugger or a monitor's console shows
 * of it can be compared. Registers of all kinds differ from one another; page tables have pages of all rights, large ones, and holes.
 */
#include "guestos/lib/lib.h"

enum { P = 1, W = 2, U = 4, PS = 0x80, G = 0x100 };

static u32 directory[1024] __attribute__((aligned(4096)));
static u32 low[1024] __attribute__((aligned(4096)));
static u32 odd[1024] __attribute__((aligned(4096)));

static const u32 vectors[4] __attribute__((aligned(16))) = {0x01234567, 0x89abcdef, 0xfedcba98, 0x76543210};

static void paging_on(void)
{
	for (u32 i = 0; i < 1024; i++)
		low[i] = i << 12 | P | W;
	/* Runs of different lengths and rights, with holes between them. */
	for (u32 i = 0; i < 64; i++)
		if (i % 8)
			odd[i] = (0x200000 + (i << 12)) | P | (i & 16 ? W : 0) | (i & 32 ? U : 0);
	directory[0] = ADDR(low) | P | W;
	directory[1] = 0x00400000 | P | W | PS | G;
	directory[2] = 0x00800000 | P | PS | U;
	directory[0x300] = ADDR(odd) | P | W | U;
	directory[0x301] = ADDR(odd) | P;
	write_cr3(ADDR(directory));
	write_cr4(read_cr4() | CR4_PSE | CR4_PGE | CR4_OSFXSR);
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
	(void)*(volatile u32 *)0xc0001000u;
	*(volatile u32 *)0xc0011000u = 0x12345678;
	(void)*(volatile u32 *)0x00401000u;
}

void kernel_main(const char *cmdline)
{
	(void)cmdline;
	paging_on();
	gdt_set(SEL_FREE, desc(0x00200000, 0xffff, ACC_DATA | ACC_DPL(3), 0x4));
	asm volatile("mov %0, %%fs" ::"r"(SEL_FREE | 3));
	asm volatile("mov %0, %%gs" ::"r"(0));
	asm volatile("mov %0, %%dr0" ::"r"(0x1234));
	print("STATE\n");
	asm volatile("clts\n\t"
		     "fninit\n\t"
		     "fldpi\n\t"
		     "fld1\n\t"
		     "fldl2t\n\t"
		     "fchs\n\t"
		     "movups %0, %%xmm0\n\t"
		     "movups %0, %%xmm5\n\t"
		     "pslldq $3, %%xmm5\n\t"
		     "xorps %%xmm7, %%xmm7\n\t"
		     "mov $0xa1a2a3a4, %%eax\n\t"
		     "mov $0xb1b2b3b4, %%ebx\n\t"
		     "mov $0xc1c2c3c4, %%ecx\n\t"
		     "mov $0xd1d2d3d4, %%edx\n\t"
		     "mov $0x51525354, %%esi\n\t"
		     "mov $0xd1d1d1d1, %%edi\n\t"
		     "mov $0xb9b9b9b9, %%ebp\n\t"
		     "pushl $0x00004c93\n\t"
		     "popf\n\t"
		     ".globl state_halt\n"
		     "state_halt:\n\t"
		     "hlt\n\t"
		     "jmp state_halt\n\t" ::"m"(vectors));
	__builtin_unreachable();
}
