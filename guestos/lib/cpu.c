/*
 * Descriptor tables, the C half of the trap framework, and what the boot loader told us.
 *
 * Invariant: outside a test that says otherwise the GDT holds the entries of lib.h, every IDT entry is an interrupt gate to its stub, and
 * the gates of #BP, #OF, 0x80 and 0xf0 alone have DPL 3.
 */
#include "guestos/lib/lib.h"

u64 gdt[GDT_ENTRIES] __attribute__((aligned(16)));
u64 ldt[LDT_ENTRIES] __attribute__((aligned(16)));
u64 idt[256] __attribute__((aligned(16)));
struct tss tss __attribute__((aligned(4096)));
struct pseudo gdtr, idtr;
u8 stack0[8192] __attribute__((aligned(4096)));
UDATA u8 stack3[8192] __attribute__((aligned(4096)));
int (*trap_hook[256])(struct state *s);
char boot_cmdline[512];
int boot_qemu, no_irq;
u32 boot_mem_kb;
extern struct state trap_state;
void run_back(void) __attribute__((noreturn));

u64 desc(u32 base, u32 limit, u8 access, u8 flags)
{
	return (u64)(limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 | (u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 |
	       (u64)(base >> 24) << 56;
}

u64 gate(u16 sel, u32 off, u8 type, u8 dpl)
{
	return (u64)(off & 0xffff) | (u64)sel << 16 | (u64)(0x80 | dpl << 5 | type) << 40 | (u64)(off >> 16) << 48;
}

void gdt_set(u16 sel, u64 d)
{
	((volatile u64 *)gdt)[sel >> 3] = d;
}

void idt_reset(void)
{
	for (int i = 0; i < 256; i++)
		idt[i] = gate(KCS, ADDR(trap_stubs[i]), 0xe, i == V_BP || i == V_OF || i == V_SYS || i == V_END ? 3 : 0);
}

void cpu_init(void)
{
	gdt_set(KCS, desc(0, 0xfffff, ACC_CODE | ACC_ACCESSED, 0xc));
	gdt_set(KDS, desc(0, 0xfffff, ACC_DATA | ACC_ACCESSED, 0xc));
	gdt_set(UCS & ~7, desc(0, 0xfffff, ACC_CODE | ACC_ACCESSED | ACC_DPL(3), 0xc));
	gdt_set(UDS & ~7, desc(0, 0xfffff, ACC_DATA | ACC_ACCESSED | ACC_DPL(3), 0xc));
	gdt_set(SEL_TSS, desc(ADDR(&tss), sizeof(tss) - 1, 0x89, 0));
	gdt_set(SEL_LDT, desc(ADDR(ldt), sizeof(ldt) - 1, 0x82, 0));
	idt_reset();
	memset(&tss, 0, sizeof(tss));
	tss.ss0 = KDS;
	tss.esp0 = ADDR(tss_stack_top);
	tss.iomap = offsetof(struct tss, bitmap);
	memset(tss.bitmap, 0xff, sizeof(tss.bitmap));
	gdtr = (struct pseudo){sizeof(gdt) - 1, ADDR(gdt)};
	idtr = (struct pseudo){sizeof(idt) - 1, ADDR(idt)};
	asm volatile(
		"lgdt %0\n\tlidt %1\n\tljmp %2, $1f\n1:\tmov %3, %%ds\n\tmov %3, %%es\n\tmov %3, %%fs\n\tmov %3, %%gs\n\tmov %3, %%ss\n\t"
		"lldt %w4\n\tltr %w5"
		:
		: "m"(gdtr), "m"(idtr), "i"(KCS), "r"(KDS), "r"(SEL_LDT), "r"(SEL_TSS)
		: "memory");
	write_cr0((read_cr0() & ~(u32)(CR0_EM | CR0_TS | CR0_AM)) | CR0_NE | CR0_MP | CR0_WP);
}

struct state at_ring(const void *code, int ring)
{
	struct state s = {
		.eax = 0xa1a1a1a1,
		.ecx = 0xc1c1c1c1,
		.edx = 0xd1d1d1d1,
		.ebx = 0xb1b1b1b1,
		.ebp = 0xb9b9b9b9,
		.esi = 0x51515151,
		.edi = 0xd9d9d9d9,
		.eip = ADDR(code),
		.eflags = FL_ONE | (no_irq ? 0 : FL_IF),
	};

	s.cs = ring ? UCS : KCS;
	s.ss = s.ds = s.es = s.fs = s.gs = ring ? UDS : KDS;
	s.esp = ring ? ADDR(stack3 + sizeof(stack3) - 256) : ADDR(stack0 + sizeof(stack0) - 256);
	return s;
}

void trap_c(void)
{
	struct state *t = &trap_state, *r = run_state;

	t->ss &= 0xffff;
	t->cs &= 0xffff;
	t->ds &= 0xffff;
	t->es &= 0xffff;
	t->fs &= 0xffff;
	t->gs &= 0xffff;
	if (trap_hook[t->vec] && trap_hook[t->vec](t))
		return;
	if (r) {
		*r = *t;
		run_state = NULL;
		run_back();
	}
	print("PANIC: vector %u error %x at %x:%08x eflags %08x cr2 %08x\n", t->vec, t->err, t->cs, t->eip, t->eflags, t->cr2);
	print("  eax %08x ecx %08x edx %08x ebx %08x esp %08x ebp %08x esi %08x edi %08x\n", t->eax, t->ecx, t->edx, t->ebx, t->esp, t->ebp,
	      t->esi, t->edi);
	machine_exit(2);
}

u32 cpuid_edx1(void)
{
	u32 r[4];

	cpuid(1, 0, r);
	return r[3];
}

u32 cpuid_ecx1(void)
{
	u32 r[4];

	cpuid(1, 0, r);
	return r[2];
}

void kernel_entry(void)
{
	const u32 *mbi = (const u32 *)(uintptr_t)boot_info;
	const char *p;

	con_init();
	if (boot_magic == 0x2badb002) {
		if (mbi[0] & 1)
			boot_mem_kb = mbi[2] + 1024;
		if (mbi[0] & 4) {
			p = (const char *)(uintptr_t)mbi[4];
			for (size_t i = 0; i + 1 < sizeof(boot_cmdline) && p[i]; i++)
				boot_cmdline[i] = p[i];
		}
		if (mbi[0] & 0x200)
			boot_qemu = !strncmp((const char *)(uintptr_t)mbi[16], "qemu", 4);
	}
	no_irq = strstr(boot_cmdline, "noirq") != NULL;
	cpu_init();
	timer_init();
	kernel_main(boot_cmdline);
	machine_exit(0);
}
