/*
 * Nanobenchmarks of interrupts and devices: MMIO accesses, an interrupt that the processor sends to itself by its local APIC (request,
 * delivery, EOI, IRET), and how late a timer's interrupt comes to running code and to HLT. The last two are times from the moment for which
 * the 8254 was set, which counts in steps of 838 ns: they are exact to about that.
 *
 * Invariant: the local APIC is used in the test window's mapping, with the 8259's INTR let through as a loader leaves it.
 */
#include "guestos/nano/nano.h"

enum {
	APIC_AT = TW + 0x10000,
	APIC_ID = 0x20,
	APIC_TPR = 0x80,
	APIC_EOI = 0xb0,
	APIC_SVR = 0xf0,
	APIC_ICR = 0x300,
	APIC_LVT0 = 0x350,
	V_SELF = 0x40,
	SHOTS = 40,
	SHOT_COUNT = 1193, /* of the 8254: 1 ms */
};

#define APIC(reg) (*(volatile u32 *)(APIC_AT + (reg)))

volatile u32 nano_irqs;
extern u8 nano_self_irq[];
asm(".pushsection .text\n"
    "nano_self_irq: incl nano_irqs; movl $0, 0x100100b0; iret\n"
    ".popsection");
_Static_assert(APIC_AT + APIC_EOI == 0x100100b0, "nano_self_irq writes to the EOI register");

/* The timer's interrupt: when it came, by the TSC. */
volatile u32 nano_timer_came[2];
extern u8 nano_timer_irq[];
asm(".pushsection .text\n"
    "nano_timer_irq: push %eax; push %edx; rdtsc; mov %eax, nano_timer_came; mov %edx, nano_timer_came + 4; incl nano_irqs\n"
    "mov $0x20, %al; out %al, $0x20; pop %edx; pop %eax; iret\n"
    ".popsection");

static void mmio(void)
{
	BENCH("mmio_lapic_read", 5000, (void)APIC(APIC_ID));
	BENCH("mmio_lapic_write_tpr", 5000, APIC(APIC_TPR) = 0);
	BENCH("mmio_vga_read", 5000, (void)*(volatile u16 *)(0xb8000 + 2 * 100));
	BENCH("mmio_vga_write", 5000, *(volatile u16 *)(0xb8000 + 2 * 100) = 0x0720);
}

static void self_interrupts(void)
{
	u32 lost = 0;

	nano_gate(V_SELF, nano_self_irq, 0);
	asm volatile("sti");
	BENCH("irq_self_eoi_iret", 2000, {
		u32 before = nano_irqs;
		u32 tries = 0;

		APIC(APIC_ICR) = 0x40000 | V_SELF;
		while (nano_irqs == before && tries++ < 1000000)
			;
		lost += nano_irqs == before;
	});
	asm volatile("cli");
	if (lost)
		print("NOTE irq_self_eoi_iret: %u interrupts did not come\n", lost);
}

/* One shot of the timer, waited for in HLT or in a loop; cycles from when it was due. */
static u32 shot(int halt)
{
	u32 before = nano_irqs, due = (u32)((u64)nano.tsc_khz * SHOT_COUNT / 1193), late;
	u64 t;

	t = rdtsc();
	outb(0x43, 0x30); /* channel 0, both bytes, mode 0: the output rises once */
	outb(0x40, (u8)SHOT_COUNT);
	outb(0x40, SHOT_COUNT >> 8);
	asm volatile("sti");
	while (nano_irqs == before) {
		/* Between the test and HLT the interrupt must not come. */
		if (halt)
			asm volatile("cli; cmp %0, nano_irqs; jne 1f; sti; hlt; 1: sti" ::"r"(before) : "memory", "cc");
	}
	asm volatile("cli");
	t = ((u64)nano_timer_came[1] << 32 | nano_timer_came[0]) - t;
	late = (u32)t;
	return late > due ? late - due : 0;
}

static void timer(const char *best_name, const char *median_name, int halt)
{
	u32 late[SHOTS], n = nano.rounds > 2 ? SHOTS : 11;

	/* The first may be an interrupt that the 8259 has had in store. */
	shot(halt);
	for (u32 i = 0; i < n; i++) {
		u32 x = shot(halt), k = i;

		for (; k && late[k - 1] > x; k--)
			late[k] = late[k - 1];
		late[k] = x;
	}
	nano_report(best_name, late[0], 1, 0);
	nano_report(median_name, late[n / 2], 1, 0);
}

void nano_events(void)
{
	u32 svr;

	map(APIC_AT, (void *)(uintptr_t)0xfee00000, P_P | P_W | 0x10);
	mmio();
	svr = APIC(APIC_SVR);
	APIC(APIC_SVR) = 0x1ff;
	self_interrupts();
	APIC(APIC_LVT0) = 0x700; /* ExtINT: the 8259's */
	nano_gate(V_IRQ0, nano_timer_irq, 0);
	pic_mask(0xfffe);
	timer("irq_timer_busy_best", "irq_timer_busy_median", 0);
	timer("irq_timer_hlt_best", "irq_timer_hlt_median", 1);
	pic_mask(0xffff);
	pit_hz(HZ);
	APIC(APIC_SVR) = svr;
	idt_reset();
	unmap_window();
}
