/*
 * The I/O APIC.
 *
 * Invariants: `lines` is the level of every input as its device drives it. An edge-triggered input sends a message at each rising edge
 * while it is not masked; a level-triggered one when it is high, not masked, and its last message has been ended (remote IRR clear).
 * Polarity is kept but not acted upon: what drives an input here says whether it is active.
 */
#include "monitor/devices/ioapic.h"

#include <stdlib.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/lapic.h"
#include "monitor/devices/pic.h"
#include "monitor/log.h"
#include "monitor/memory.h"
#include "monitor/text.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define SELECT	     0x00
#define WINDOW	     0x10
#define TICK_INPUT   2
#define REG_ID	     0x00
#define REG_VERSION  0x01
#define REG_ARB	     0x02
#define REG_TABLE    0x10
#define VERSION	     ((IOAPIC_INPUTS - 1) << 16 | 0x11)
#define RT_LOGICAL   0x0800ull
#define RT_REMOTE    0x4000ull
#define RT_LEVEL     0x8000ull
#define RT_MASKED    0x10000ull
#define RT_WRITABLE  0xff0000000001afffull
#define RT_SAVED     (RT_WRITABLE | RT_REMOTE)
#define RT_VECTOR(e) ((u8)(e))
#define RT_MODE(e)   ((u8)((e) >> 8 & 7))
#define RT_DEST(e)   ((u8)((e) >> 56))

struct ioapic {
	struct vm *vm;
	struct lapic *lapic;
	struct pic *pic;
	u8 select, id;
	u32 lines;
	u64 table[IOAPIC_INPUTS];
};

static void send(struct ioapic *a, int n)
{
	u64 e = a->table[n];

	lapic_message(a->lapic, RT_DEST(e), e & RT_LOGICAL, RT_MODE(e), RT_VECTOR(e), e & RT_LEVEL);
}

static void service_level(struct ioapic *a, int n)
{
	u64 *e = &a->table[n];

	if (!(*e & RT_LEVEL) || *e & (RT_MASKED | RT_REMOTE) || !(a->lines & BIT(n)))
		return;
	/* Messages that no end of interrupt follows leave it clear. */
	if (RT_MODE(*e) == APIC_FIXED || RT_MODE(*e) == APIC_LOWEST)
		*e |= RT_REMOTE;
	send(a, n);
}

static void set_line(void *opaque, int n, int level)
{
	struct ioapic *a = opaque;
	bool rises = level && !(a->lines & BIT(n));

	a->lines = level ? a->lines | BIT(n) : a->lines & ~BIT(n);
	if (a->table[n] & RT_LEVEL)
		service_level(a, n);
	else if (rises && !(a->table[n] & RT_MASKED))
		send(a, n);
}

void ioapic_print(const struct ioapic *a, struct text *out)
{
	text_printf(out, "ioapic0: id=%u sel=%02x\n", a->id, a->select);
	for (int n = 0; n < IOAPIC_INPUTS; n++) {
		u64 e = a->table[n];

		if (e & RT_MASKED)
			continue;
		text_printf(out, "  pin %-2d 0x%016llx dest=%02x vec=%u mode=%u %s %s%s%s\n", n, (unsigned long long)e, RT_DEST(e),
			    RT_VECTOR(e), RT_MODE(e), e & RT_LEVEL ? "level" : "edge", e & RT_LOGICAL ? "logical" : "physical",
			    e & RT_REMOTE ? " remote-irr" : "", a->lines & BIT(n) ? " high" : "");
	}
}

struct irq ioapic_irq(struct ioapic *a, int n)
{
	return (struct irq){set_line, a, n};
}

static void set_isa_line(void *opaque, int n, int level)
{
	struct ioapic *a = opaque;
	struct irq pic = pic_irq(a->pic, n);

	irq_set(&pic, level);
	set_line(a, n ? n : TICK_INPUT, level);
}

struct irq ioapic_isa_irq(struct ioapic *a, int n)
{
	return (struct irq){set_isa_line, a, n & 15};
}

static bool tick_by_pic(const struct ioapic *a)
{
	return a->table[TICK_INPUT] & RT_MASKED;
}

bool ioapic_tick_masked(const struct ioapic *a)
{
	return tick_by_pic(a) && (pic_irq_masked(a->pic, 0) || !lapic_takes_pic(a->lapic));
}

bool ioapic_tick_waits(const struct ioapic *a)
{
	return tick_by_pic(a) ? pic_irq_pending(a->pic, 0) : lapic_waits(a->lapic, RT_VECTOR(a->table[TICK_INPUT]));
}

static void end_of_interrupt(void *opaque, u8 vector)
{
	struct ioapic *a = opaque;

	for (int n = 0; n < IOAPIC_INPUTS; n++) {
		if (RT_VECTOR(a->table[n]) != vector || !(a->table[n] & RT_REMOTE))
			continue;
		a->table[n] &= ~RT_REMOTE;
		service_level(a, n);
	}
}

static u32 ioapic_read(void *opaque, u64 offset, unsigned size)
{
	struct ioapic *a = opaque;
	unsigned i = a->select - REG_TABLE;

	(void)size;
	if (offset == SELECT)
		return a->select;
	if (offset != WINDOW)
		return 0;
	if (i / 2 < IOAPIC_INPUTS)
		return (u32)(a->table[i / 2] >> 32 * (i & 1));
	switch (a->select) {
	case REG_ID:
	case REG_ARB:
		return (u32)a->id << 24;
	case REG_VERSION:
		return VERSION;
	}
	return 0;
}

static void ioapic_write(void *opaque, u64 offset, u32 value, unsigned size)
{
	struct ioapic *a = opaque;
	unsigned i = a->select - REG_TABLE;
	u64 *e, mask;

	if (offset == SELECT) {
		a->select = (u8)value;
		return;
	}
	if (offset != WINDOW || size != 4)
		return;
	if (a->select == REG_ID)
		a->id = value >> 24 & 0xf;
	if (i / 2 >= IOAPIC_INPUTS)
		return;
	e = &a->table[i / 2];
	mask = RT_WRITABLE & (i & 1 ? 0xffffffff00000000ull : 0xffffffffull);
	*e = (*e & ~mask) | ((u64)value << 32 * (i & 1) & mask);
	/* An edge-triggered input owes nothing; kernels switch to edge and back to end an interrupt. */
	if (!(*e & RT_LEVEL))
		*e &= ~RT_REMOTE;
	service_level(a, (int)(i / 2));
}

static void ioapic_reset(void *opaque)
{
	struct ioapic *a = opaque;

	a->select = a->id = 0;
	a->lines = 0;
	for (int n = 0; n < IOAPIC_INPUTS; n++)
		a->table[n] = RT_MASKED;
}

static void ioapic_save(void *opaque, struct state *s)
{
	struct ioapic *a = opaque;

	state_put_u8(s, a->select);
	state_put_u8(s, a->id);
	state_put_u32(s, a->lines);
	for (int n = 0; n < IOAPIC_INPUTS; n++)
		state_put_u64(s, a->table[n]);
}

static void ioapic_load(void *opaque, struct state *s)
{
	struct ioapic *a = opaque;
	u8 select = state_get_u8(s), id = state_get_u8_max(s, 15);
	u32 lines = state_get_u32_max(s, BIT(IOAPIC_INPUTS) - 1);
	u64 table[IOAPIC_INPUTS];

	for (int n = 0; n < IOAPIC_INPUTS; n++) {
		table[n] = state_get_u64(s);
		if (table[n] & ~RT_SAVED)
			s->error = true;
	}
	if (s->error)
		return;
	a->select = select;
	a->id = id;
	a->lines = lines;
	for (int n = 0; n < IOAPIC_INPUTS; n++)
		a->table[n] = table[n];
}

static void ioapic_free(void *opaque)
{
	free(opaque);
}

struct ioapic *ioapic_create(struct vm *vm, struct lapic *lapic, struct pic *pic)
{
	struct ioapic *a = calloc(1, sizeof(*a));

	if (!a)
		fatal("out of memory");
	a->vm = vm;
	a->lapic = lapic;
	a->pic = pic;
	ioapic_reset(a);
	lapic_set_eoi(lapic, end_of_interrupt, a);
	trace_mmio(vm, mmio_register(&vm->mem, &(struct mmio_range){IOAPIC_BASE, PAGE_SIZE, ioapic_read, ioapic_write, a}), REGS_IOAPIC);
	device_register(vm, &(struct device){"ioapic", 1, a, ioapic_reset, ioapic_save, ioapic_load, ioapic_free});
	return a;
}
