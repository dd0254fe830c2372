/* Local APIC and I/O APIC: priorities, delivery, the timer, and how the 8259 pair gets through. SDM Vol. 3A chapter 10; 82093AA. */
#include <check.h>

#include "monitor/cpuid.h"
#include "monitor/devices/ioapic.h"
#include "monitor/devices/lapic.h"
#include "monitor/devices/pic.h"
#include "tests/unit/device_harness.h"

enum {
	ID = 0x20,
	TPR = 0x80,
	PPR = 0xa0,
	EOI = 0xb0,
	LDR = 0xd0,
	DFR = 0xe0,
	SVR = 0xf0,
	ISR = 0x100,
	TMR = 0x180,
	IRR = 0x200,
	ESR = 0x280,
	ICR = 0x300,
	ICR2 = 0x310,
	TIMER = 0x320,
	LINT0 = 0x350,
	LINT1 = 0x360,
	ERROR = 0x370,
	INITIAL = 0x380,
	CURRENT = 0x390,
	DIVIDE = 0x3e0
};

static struct rig *rig;
static struct wire intr_pin, nmi_pin;
static struct lapic *lapic;
static struct ioapic *ioapic;
static struct pic *pic;

/* An NMI is a pulse. */
static void nmi_pulse(void *opaque, int line, int level)
{
	struct wire *w = opaque;

	wire_set(w, line, level);
	w->level = 0;
}

/* Whether the processor was to be reset since the last call, under -no-reboot. */
static bool init_asked(void)
{
	return atomic_exchange(&rig->vm->exit_reason, VM_RUNNING) == VM_REBOOT;
}

static void build(struct rig *r)
{
	lapic = lapic_create(r->vm, wire_irq(&intr_pin), (struct irq){nmi_pulse, &nmi_pin, 0});
	pic = pic_create(r->vm, lapic_lint0(lapic));
	lapic_set_pic(lapic, pic);
	ioapic = ioapic_create(r->vm, lapic, pic);
}

static void setup(void)
{
	rig = rig_create();
	intr_pin = nmi_pin = (struct wire){0};
	rig->vm->opt.cpu_model = "pentium3"; /* its timer counts nanoseconds */
	build(rig);
}

static void teardown(void)
{
	rig_free(rig);
}

static u32 in(unsigned reg)
{
	return mmio_read(rig->vm, LAPIC_BASE + reg, 4);
}

static void out(unsigned reg, u32 value)
{
	mmio_write(rig->vm, LAPIC_BASE + reg, value, 4);
}

static void route(unsigned n, u32 low, u32 high)
{
	mmio_write(rig->vm, IOAPIC_BASE, 0x11 + 2 * n, 4);
	mmio_write(rig->vm, IOAPIC_BASE + 0x10, high, 4);
	mmio_write(rig->vm, IOAPIC_BASE, 0x10 + 2 * n, 4);
	mmio_write(rig->vm, IOAPIC_BASE + 0x10, low, 4);
}

static bool intr(void)
{
	return intr_pin.level;
}

static int ack(void)
{
	int vector;

	rig_lock(rig);
	vector = lapic_ack(lapic);
	rig_unlock(rig);
	return vector;
}

static void line(int n, int level)
{
	struct irq irq = ioapic_isa_irq(ioapic, n);

	rig_lock(rig);
	irq_set(&irq, level);
	rig_unlock(rig);
}

START_TEST(after_reset)
{
	ck_assert_uint_eq(in(ID), 0);
	ck_assert_uint_eq(in(0x30) & 0xff, 0x14);
	ck_assert_uint_eq(in(SVR), 0xff);
	ck_assert_uint_eq(in(DFR), 0xffffffff);
	ck_assert_uint_eq(in(TIMER), 0x10000);
	mmio_write(rig->vm, IOAPIC_BASE, 1, 4);
	ck_assert_uint_eq(mmio_read(rig->vm, IOAPIC_BASE + 0x10, 4), 0x170011);
	ck_assert(!intr());
	ck_assert_int_eq(ack(), -1);
}
END_TEST

/* The 8259 pair through LINT0: open after a reset, then as the entry says, and always while the APIC is off. */
START_TEST(virtual_wire)
{
	line(1, 1);
	ck_assert(intr());
	ck_assert_int_eq(ack(), 0x09);
	ck_assert(!intr());
	line(1, 0);
	out8(rig, 0x20, 0x20);
	out(SVR, 0x1ff);
	out(LINT0, 0x10700);
	line(1, 1);
	ck_assert(!intr());
	out(LINT0, 0x700);
	ck_assert(intr());
	out(LINT0, 0x10700);
	rig_lock(rig);
	lapic_set_base(lapic, LAPIC_BASE);
	rig_unlock(rig);
	ck_assert(intr());
	ck_assert_uint_eq(in(ID), 0xffffffff);
	ck_assert_int_eq(ack(), 0x09);
}
END_TEST

START_TEST(priorities)
{
	out(SVR, 0x1ff);
	out(ICR, 0x40041); /* to itself */
	ck_assert(intr());
	out(ICR, 0x40061);
	ck_assert_int_eq(ack(), 0x61);
	ck_assert(!intr()); /* 41h is below what is in service */
	ck_assert_uint_eq(in(PPR), 0x60);
	ck_assert_uint_eq(in(ISR + 0x30), 2);
	ck_assert_uint_eq(in(IRR + 0x20), 2);
	out(ICR, 0x40072);
	ck_assert_int_eq(ack(), 0x72);
	out(EOI, 0);
	ck_assert_uint_eq(in(PPR), 0x60);
	ck_assert(!intr());
	out(EOI, 0);
	ck_assert(intr());
	out(TPR, 0x40);
	ck_assert(!intr());
	out(TPR, 0x3f);
	ck_assert_int_eq(ack(), 0x41);
	out(EOI, 0);
	out(EOI, 0); /* nothing is in service any more */
	ck_assert_uint_eq(in(PPR), 0x3f);
}
END_TEST

START_TEST(destinations)
{
	static const struct {
		u32 ldr, dfr, icr, icr2;
		bool here;
	} cases[] = {
		{0, 0xffffffff, 0x00041, 0x00000000, true},
		{0, 0xffffffff, 0x00041, 0x01000000, false},
		{0, 0xffffffff, 0x00041, 0xff000000, true},
		{0x02000000, 0xffffffff, 0x00841, 0x03000000, true},
		{0x02000000, 0xffffffff, 0x00841, 0x01000000, false},
		{0x12000000, 0x0fffffff, 0x00841, 0x12000000, true},
		{0x12000000, 0x0fffffff, 0x00841, 0x22000000, false},
		{0, 0xffffffff, 0xc0041, 0, false},
		{0, 0xffffffff, 0x80041, 0, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		out(SVR, 0x1ff);
		out(LDR, cases[i].ldr);
		out(DFR, cases[i].dfr);
		out(ICR2, cases[i].icr2);
		out(ICR, cases[i].icr);
		ck_assert_msg(intr() == cases[i].here, "case %zu", i);
		if (cases[i].here)
			ck_assert_int_eq(ack(), 0x41);
		out(EOI, 0);
	}
	out(ICR, 0x44400); /* an NMI to itself */
	ck_assert_uint_eq(nmi_pin.rises, 1);
	out(SVR, 0xff); /* disabled by software: no messages, masked entries */
	out(ICR, 0x40041);
	ck_assert(!intr());
	out(TIMER, 0x40);
	ck_assert_uint_eq(in(TIMER), 0x10040);
}
END_TEST

START_TEST(errors)
{
	out(SVR, 0x1ff);
	out(ERROR, 0x51);
	out(ICR, 0x40005);
	ck_assert_uint_eq(in(ESR), 0);
	out(ESR, 0);
	ck_assert_uint_eq(in(ESR), 0x20);
	ck_assert_int_eq(ack(), 0x51);
	in(0x3f0);
	out(ESR, 0);
	ck_assert_uint_eq(in(ESR), 0x80);
	out(ERROR, 0x01); /* the error of the error */
	out(ICR, 0x40005);
	out(ESR, 0);
	ck_assert_uint_eq(in(ESR), 0x20);
}
END_TEST

/*
 * Every delivery mode, to this processor by each way that there is: by its physical ID, flat and cluster logical, broadcast, shorthands. A
 * level de-assertion is no message at all. SDM Vol. 3A tables 10-3 and 10-4.
 */
START_TEST(delivery_modes)
{
	static const struct {
		u32 dfr, icr, icr2;
		bool here;
	} ways[] = {
		{0xffffffff, 0x00000, 0x00000000, true},  {0xffffffff, 0x00800, 0x82000000, true},
		{0x0fffffff, 0x00800, 0x82000000, true},  {0xffffffff, 0x00000, 0xff000000, true},
		{0xffffffff, 0x00800, 0xff000000, true},  {0xffffffff, 0x40000, 0x00000000, true},
		{0xffffffff, 0x80000, 0x00000000, true},  {0xffffffff, 0xc0000, 0x00000000, false},
		{0xffffffff, 0x00000, 0x03000000, false}, {0x0fffffff, 0x00800, 0x72000000, false},
		{0x0fffffff, 0x00800, 0x81000000, false},
	};
	unsigned nmis = 0;

	rig->vm->opt.no_reboot = true;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		for (u32 mode = 0; mode < 8; mode++) {
			for (u32 level = 0; level < 4; level++) { /* bit 0: assert, bit 1: level-triggered */
				bool sent = ways[i].here && level != 2, fixed = mode == APIC_FIXED || mode == APIC_LOWEST;

				out(SVR, 0x1ff);
				out(LDR, 0x82000000);
				out(DFR, ways[i].dfr);
				out(ICR2, ways[i].icr2);
				out(ICR, ways[i].icr | level << 14 | mode << 8 | 0x41);
				nmis += sent && mode == APIC_NMI;
				ck_assert_msg(intr() == (sent && fixed), "way %zu, mode %u, level %u", i, mode, level);
				ck_assert_int_eq(ack(), sent && fixed ? 0x41 : -1);
				ck_assert_uint_eq(in(TMR + 0x20) & 2, 0);
				out(EOI, 0);
				ck_assert_uint_eq(nmi_pin.rises, nmis);
				ck_assert(init_asked() == (sent && mode == APIC_INIT));
			}
		}
	}
	/* Vectors of modes that have none are no errors. */
	out(ICR, 0x40000 | APIC_NMI << 8);
	out(ESR, 0);
	ck_assert_uint_eq(in(ESR), 0);
	/* Disabled by software it takes NMI and INIT all the same. */
	out(SVR, 0xff);
	out(ICR2, 0);
	out(ICR, 0x4000 | APIC_INIT << 8);
	ck_assert(init_asked());
	out(ICR, 0x4000 | APIC_NMI << 8);
	ck_assert_uint_eq(nmi_pin.rises, nmis + 2);
}
END_TEST

static void nmi_line(void)
{
	rig_lock(rig);
	lapic_nmi(lapic);
	rig_unlock(rig);
}

static void lint0(int level)
{
	struct irq irq = lapic_lint0(lapic);

	rig_lock(rig);
	irq_set(&irq, level);
	rig_unlock(rig);
}

/* The pins in every mode that an entry can have, masked and not, SDM Vol. 3A 10.5.1. */
START_TEST(local_pins)
{
	nmi_line(); /* as after a reset */
	ck_assert_uint_eq(nmi_pin.rises, 1);
	out(SVR, 0x1ff);
	rig->vm->opt.no_reboot = true;
	for (u32 mode = 0; mode < 8; mode++) {
		bool fixed = mode == APIC_FIXED;
		unsigned nmis;

		if (mode == APIC_LOWEST || mode == 3 || mode == 6)
			continue; /* reserved */
		for (u32 masked = 0; masked < 2; masked++) {
			nmis = nmi_pin.rises;
			out(LINT1, masked << 16 | mode << 8 | 0x52);
			nmi_line();
			ck_assert_int_eq(ack(), fixed && !masked ? 0x52 : -1);
			out(EOI, 0);
			ck_assert_uint_eq(nmi_pin.rises, nmis + (mode == APIC_NMI && !masked));
			ck_assert(init_asked() == (mode == APIC_INIT && !masked));
			out(LINT1, 0x10000);

			nmis = nmi_pin.rises;
			out(LINT0, masked << 16 | mode << 8 | 0x53);
			lint0(1);
			ck_assert_uint_eq(nmi_pin.rises, nmis + (mode == APIC_NMI && !masked));
			ck_assert(init_asked() == (mode == APIC_INIT && !masked));
			if (mode == APIC_EXTINT)
				ck_assert(intr() == !masked); /* by the 8259 pair, which has the vector */
			else
				ck_assert_int_eq(ack(), fixed && !masked ? 0x53 : -1);
			lint0(0);
			ck_assert(!intr());
			out(EOI, 0);
			out(LINT0, 0x10000);
		}
	}
	/* While the APIC is off the pins are INTR and NMI. */
	rig_lock(rig);
	lapic_set_base(lapic, LAPIC_BASE);
	rig_unlock(rig);
	nmi_line();
	ck_assert_uint_eq(nmi_pin.rises, 4);
}
END_TEST

/* Fixed and level-triggered: one interrupt for each time that the line is found high, remote IRR between acceptance and end. */
START_TEST(lint0_level)
{
	out(SVR, 0x1ff);
	out(LINT0, 0x8053);
	lint0(1);
	ck_assert_uint_eq(in(LINT0), 0xc053);
	ck_assert_uint_eq(in(TMR + 0x20), 1u << 0x13);
	ck_assert_int_eq(ack(), 0x53);
	lint0(0);
	lint0(1);
	out(LINT0, 0x8053); /* remote IRR is not written */
	ck_assert_uint_eq(in(LINT0), 0xc053);
	ck_assert(!intr());
	out(EOI, 0); /* and is still high */
	ck_assert_int_eq(ack(), 0x53);
	ck_assert_uint_eq(in(LINT0), 0xc053);
	lint0(0);
	out(EOI, 0);
	ck_assert_uint_eq(in(LINT0), 0x8053);
	ck_assert_int_eq(ack(), -1);
	/* Masked, it waits. */
	out(LINT0, 0x18053);
	lint0(1);
	ck_assert(!intr());
	out(LINT0, 0x8053);
	ck_assert_int_eq(ack(), 0x53);
	out(LINT0, 0x10053);
	ck_assert_uint_eq(in(LINT0), 0x10053);
	out(EOI, 0);
	lint0(0);
	/* An illegal vector is an error and no interrupt. */
	out(ESR, 0);
	out(LINT0, 0x8003);
	lint0(1);
	out(ESR, 0);
	ck_assert_uint_eq(in(ESR), 0x40);
	ck_assert_uint_eq(in(LINT0), 0x8003);
	ck_assert(!intr());
}
END_TEST

/* Which bits of the local vector table there are; delivery status and remote IRR cannot be written. */
START_TEST(local_vectors)
{
	static const u32 writable[] = {0x000700ff, 0x000107ff, 0x000107ff, 0x0001a7ff, 0x0001a7ff, 0x000100ff};

	out(SVR, 0x1ff);
	for (unsigned k = 0; k < 6; k++) {
		for (unsigned bit = 0; bit < 32; bit++) {
			out(TIMER + 16 * k, 1u << bit);
			ck_assert_uint_eq(in(TIMER + 16 * k), (1u << bit) & writable[k]);
		}
		out(TIMER + 16 * k, 0x10000);
	}
	out(0x3f0, 0);
	out(ESR, 0);
	ck_assert_uint_eq(in(ESR), 0x80);
}
END_TEST

/* Registers take whole doubleword accesses; two level-triggered inputs are ended one by one. */
START_TEST(ioapic_registers)
{
	mmio_write(rig->vm, IOAPIC_BASE, 0, 4);
	mmio_write(rig->vm, IOAPIC_BASE + 0x10, 0xffffffff, 4);
	ck_assert_uint_eq(mmio_read(rig->vm, IOAPIC_BASE + 0x10, 4), 0x0f000000);
	route(7, 0x10000, 0);
	for (unsigned offset = 0; offset < 0x40; offset++) {
		for (unsigned size = 1; size <= 4; size *= 2) {
			if (!offset || (offset == 0x10 && size == 4))
				continue;
			mmio_write(rig->vm, IOAPIC_BASE, 0x1e, 4);
			mmio_write(rig->vm, IOAPIC_BASE + offset, 0x45, size);
			mmio_write(rig->vm, IOAPIC_BASE, 0x1e, 4);
			ck_assert_uint_eq(mmio_read(rig->vm, IOAPIC_BASE + 0x10, 4), 0x10000);
		}
	}
	out(SVR, 0x1ff);
	route(10, 0x804a, 0);
	route(11, 0x804b, 0);
	line(10, 1);
	line(11, 1);
	ck_assert_int_eq(ack(), 0x4b);
	line(10, 0);
	line(11, 0);
	out(EOI, 0);
	mmio_write(rig->vm, IOAPIC_BASE, 0x10 + 20, 4);
	ck_assert_uint_eq(mmio_read(rig->vm, IOAPIC_BASE + 0x10, 4), 0xc04a);
	ck_assert_int_eq(ack(), 0x4a);
	mmio_write(rig->vm, IOAPIC_BASE, 0x10 + 22, 4);
	ck_assert_uint_eq(mmio_read(rig->vm, IOAPIC_BASE + 0x10, 4), 0x804b);
}
END_TEST

START_TEST(timer_one_shot)
{
	out(SVR, 0x1ff);
	out(TIMER, 0x40);
	out(DIVIDE, 0xb); /* by 1 */
	out(INITIAL, 10 * MS);
	rig_advance(rig, 4 * MS);
	ck_assert_uint_eq(in(CURRENT), 6 * MS);
	ck_assert(!intr());
	rig_advance(rig, 6 * MS + 1);
	ck_assert_int_eq(ack(), 0x40);
	ck_assert_uint_eq(in(CURRENT), 0);
	out(EOI, 0);
	rig_advance(rig, 50 * MS);
	ck_assert(!intr());
	out(DIVIDE, 0x3); /* by 16 */
	out(INITIAL, MS);
	rig_advance(rig, 8 * MS);
	ck_assert_uint_eq(in(CURRENT), MS / 2);
	out(INITIAL, 0);
	rig_advance(rig, 50 * MS);
	ck_assert(!intr());
}
END_TEST

START_TEST(timer_periodic)
{
	out(SVR, 0x1ff);
	out(TIMER, 0x20040);
	out(DIVIDE, 0xb);
	out(INITIAL, 10 * MS);
	for (int i = 0; i < 5; i++) {
		rig_advance(rig, 10 * MS);
		ck_assert_int_eq(ack(), 0x40);
		ck_assert_int_eq(ack(), -1);
		out(EOI, 0);
	}
	out(TIMER, 0x30040);
	rig_advance(rig, 10 * MS);
	ck_assert(!intr());
	/* A period of 1 ns: no more often than the monitor allows, and it goes on. */
	out(TIMER, 0x20040);
	out(INITIAL, 1);
	rig_advance(rig, MS);
	ck_assert_int_eq(ack(), 0x40);
	out(INITIAL, 0);
}
END_TEST

/* The shortest period there is must neither hang the event loop nor flood the guest: 20 us, and nothing is owed. */
START_TEST(timer_storm)
{
	unsigned n = 0;

	out(SVR, 0x1ff);
	out(TIMER, 0x20040);
	out(DIVIDE, 0xb);
	out(INITIAL, 1);
	for (int i = 0; i < 400; i++) {
		rig_advance(rig, 5 * US);
		while (ack() >= 0) {
			out(EOI, 0);
			n++;
		}
	}
	ck_assert_uint_ge(n, 90);
	ck_assert_uint_le(n, 101);
	rig_advance(rig, 1000 * MS);
	ck_assert_int_eq(ack(), 0x40);
	out(EOI, 0);
	ck_assert_int_eq(ack(), -1);
}
END_TEST

/* The default CPU's timer counts what CPUID leaf 15H says: near 1 GHz, but not that. */
START_TEST(timer_of_crystal)
{
	const u32 counts = 4000000000u;
	u64 hz, whole;

	rig_free(rig);
	rig = rig_create();
	clock_set_tsc_hz(&rig->vm->clock, 2095123456);
	hz = cpu_apic_timer_hz(&rig->vm->opt, rig->vm->clock.tsc_hz);
	ck_assert_uint_ne(hz, 1000000000);
	build(rig);
	whole = muldiv64(counts, 1000000000, hz);
	out(SVR, 0x1ff);
	out(TIMER, 0x20040);
	out(DIVIDE, 0xb);
	out(INITIAL, counts);
	for (int i = 0; i < 3; i++) {
		rig_advance(rig, whole / 2);
		ck_assert_uint_le(in(CURRENT) - (counts / 2 - 2), 4);
		rig_advance(rig, whole - whole / 2 - 2);
		ck_assert(!intr());
		rig_advance(rig, 3);
		ck_assert_int_eq(ack(), 0x40);
		out(EOI, 0);
	}
}
END_TEST

START_TEST(timer_tsc_deadline)
{
	u64 tsc;

	out(SVR, 0x1ff);
	out(TIMER, 0x40040);
	rig_lock(rig);
	tsc = clock_tsc(&rig->vm->clock) + rig->vm->clock.tsc_hz / 100;
	lapic_set_tsc_deadline(lapic, tsc);
	ck_assert_uint_eq(lapic_tsc_deadline(lapic), tsc);
	rig_unlock(rig);
	out(INITIAL, 100); /* ignored in this mode */
	rig_advance(rig, 9 * MS);
	ck_assert(!intr());
	rig_advance(rig, MS + 2);
	ck_assert_int_eq(ack(), 0x40);
	out(EOI, 0);
	rig_lock(rig);
	ck_assert_uint_eq(lapic_tsc_deadline(lapic), 0);
	lapic_set_tsc_deadline(lapic, 1); /* long past */
	rig_unlock(rig);
	rig_advance(rig, 1);
	ck_assert_int_eq(ack(), 0x40);
	out(TIMER, 0x40); /* another mode disarms it, and the MSR is not there */
	rig_lock(rig);
	lapic_set_tsc_deadline(lapic, clock_tsc(&rig->vm->clock));
	rig_unlock(rig);
	rig_advance(rig, 5 * MS);
	out(EOI, 0);
	ck_assert(!intr());
}
END_TEST

START_TEST(ioapic_edge)
{
	out(SVR, 0x1ff);
	line(4, 1); /* masked: lost */
	line(4, 0);
	route(4, 0x45, 0);
	ck_assert(!(in(IRR + 0x20) & 0x20));
	line(4, 1);
	ck_assert_int_eq(ack(), 0x45);
	out(EOI, 0);
	ck_assert(!(in(IRR + 0x20) & 0x20));
	line(4, 0);
	line(4, 1);
	ck_assert_int_eq(ack(), 0x45);
	ck_assert_uint_eq(in(TMR + 0x20), 0);
	/* ISA interrupt 0 is input 2 here. */
	out(EOI, 0);
	route(2, 0x42, 0);
	line(0, 1);
	ck_assert_int_eq(ack(), 0x42);
}
END_TEST

START_TEST(ioapic_level)
{
	out(SVR, 0x1ff);
	route(11, 0x804b | 0x10000, 0);
	line(11, 1);
	ck_assert(!intr());
	route(11, 0x804b, 0);
	ck_assert_int_eq(ack(), 0x4b);
	ck_assert_uint_eq(in(TMR + 0x20), 0x800);
	mmio_write(rig->vm, IOAPIC_BASE, 0x10 + 22, 4);
	ck_assert_uint_eq(mmio_read(rig->vm, IOAPIC_BASE + 0x10, 4), 0xc04b); /* remote IRR */
	out(EOI, 0);
	ck_assert_int_eq(ack(), 0x4b); /* still high: again */
	line(11, 0);
	out(EOI, 0);
	ck_assert_int_eq(ack(), -1);
	ck_assert_uint_eq(mmio_read(rig->vm, IOAPIC_BASE + 0x10, 4), 0x804b);
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();

	out(SVR, 0x1ff);
	out(TIMER, 0x20040);
	out(INITIAL, 5 * MS);
	route(11, 0x804b, 0);
	line(11, 1);
	ack();
	out(ICR, 0x40061);
	other->vm->opt.cpu_model = "pentium3";
	build(other);
	check_saved_state(rig, other, "lapic");
	check_saved_state(rig, other, "ioapic");
	rig_lock(other);
	ck_assert_int_eq(lapic_ack(lapic), 0x61);
	rig_unlock(other);
	rig_free(other);
}
END_TEST

START_TEST(hostile)
{
	srandom(5);
	for (int i = 0; i < 100000; i++) {
		u64 base = random() & 1 ? LAPIC_BASE : IOAPIC_BASE, at = base + (u64)(random() & (base == LAPIC_BASE ? 0xff3 : 0x13));
		unsigned size = 1u << random() % 3;

		if (random() & 1)
			mmio_write(rig->vm, at, (u32)random(), size);
		else
			mmio_read(rig->vm, at, size);
		if (i % 16 == 0)
			line((int)(random() % 14) + 2 == 2 ? 3 : 4, (int)random() & 1);
		if (i % 64 == 0)
			ack();
		if (i % 2000 == 0)
			rig_advance(rig, (u64)random() % (20 * MS));
	}
	rig_lock(rig);
	for (int i = 0; i < 1000; i++)
		lapic_set_base(lapic, (u64)random() << 12);
	rig_unlock(rig);
}
END_TEST

Suite *lapic_suite(void)
{
	Suite *s = suite_create("lapic");
	TCase *t = tcase_create("lapic");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, after_reset);
	tcase_add_test(t, virtual_wire);
	tcase_add_test(t, priorities);
	tcase_add_test(t, destinations);
	tcase_add_test(t, errors);
	tcase_add_test(t, delivery_modes);
	tcase_add_test(t, local_pins);
	tcase_add_test(t, lint0_level);
	tcase_add_test(t, local_vectors);
	tcase_add_test(t, ioapic_registers);
	tcase_add_test(t, timer_one_shot);
	tcase_add_test(t, timer_periodic);
	tcase_add_test(t, timer_storm);
	tcase_add_test(t, timer_of_crystal);
	tcase_add_test(t, timer_tsc_deadline);
	tcase_add_test(t, ioapic_edge);
	tcase_add_test(t, ioapic_level);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, hostile);
	suite_add_tcase(s, t);
	return s;
}
