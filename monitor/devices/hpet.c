/*
 * The high-precision event timers.
 *
 * Time is a count of ticks of 10 ns since vm time 0. The main counter is that plus `offset` while it runs, and `halted` while not; a timer
 * holds the tick of its next match. Nothing is counted, so nothing drifts. A match is found when its time has come: by the host timer,
 * which runs for timers that may interrupt only, or at an access to a register that would show it.
 *
 * Invariants
 *  - While the counter runs, `next` of each timer is the first tick, of those not yet looked at, at which the counter (its low half, for a
 *    timer in 32-bit mode) equals the comparator, or NEVER; while it stands, NEVER. A comparator that the counter has passed matches when
 *    it has come around, as on hardware.
 *  - `driven` has the levels that out[] were told. An edge-triggered timer holds its line until its next match, as the 8254 does, for an
 *    8259 forgets an edge whose line falls.
 *  - Periods shorter than HPET_MIN_TICK are kept, but their interrupts merged.
 */
#include "monitor/devices/hpet.h"

#include <stdlib.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/ioapic.h"
#include "monitor/devices/pit.h"
#include "monitor/log.h"
#include "monitor/memory.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define TIMERS	 3
#define NEVER	 UINT64_MAX
#define TICK_MAX (1ull << 60) /* of saved ticks: far beyond any uptime, far from overflow */

#define REG_CAPS    0x000
#define REG_CONFIG  0x010
#define REG_STATUS  0x020
#define REG_COUNTER 0x0f0
#define REG_TIMERS  0x100 /* 20h bytes each: */
#define TIMER_CONF  0x00
#define TIMER_COMP  0x08

#define PERIOD_FS	(HPET_TICK_NS * 1000000u)
#define CONFIG_ENABLE	0x1u
#define CONFIG_LEGACY	0x2u
#define CONFIG_WRITABLE 0x3u
#define T_LEVEL		0x0002u
#define T_ENABLE	0x0004u
#define T_PERIODIC	0x0008u
#define T_CAPS		0x0030u /* can be periodic, is 64 bits wide */
#define T_SET_VALUE	0x0040u
#define T_32BIT		0x0100u
#define T_ROUTE(conf)	((conf) >> 9 & 31)
#define T_ROUTE_MASK	0x3e00u
#define T_WRITABLE	(T_LEVEL | T_ENABLE | T_PERIODIC | T_SET_VALUE | T_32BIT | T_ROUTE_MASK)
#define APIC_INPUT	2 /* the one that timers can be routed to */
#define ROUTE_CAPS	BIT(APIC_INPUT)

enum { OUT_ISA0, OUT_ISA8, OUT_APIC, OUTS, OUT_NONE = OUTS };

struct hpet {
	struct vm *vm;
	struct pit *pit;
	struct irq out[OUTS];
	struct timer timer;
	/* Saved from here on. */
	u8 config, status, driven;
	bool rtc; /* the clock's line */
	u64 halted, offset, seen;
	struct hpet_timer {
		u32 conf;
		bool high;	/* edge-triggered: it holds its line */
		u64 comparator; /* of a periodic timer: the next match's */
		u64 period;
		u64 next, last; /* ticks: of the next match; of the last interrupt */
	} t[TIMERS];
};

static u64 now(const struct hpet *h)
{
	return clock_ns(&h->vm->clock) / HPET_TICK_NS;
}

static bool runs(const struct hpet *h)
{
	return h->config & CONFIG_ENABLE;
}

/* Timers 0 and 1 have the lines of the 8254 and the clock, HPET 2.3.5; and keep them from these while they stand. */
static bool legacy(const struct hpet *h)
{
	return h->config & CONFIG_LEGACY;
}

static u64 counter_at(const struct hpet *h, u64 tick)
{
	return runs(h) ? tick + h->offset : h->halted;
}

static u64 width_mask(const struct hpet_timer *t)
{
	return t->conf & T_32BIT ? UINT32_MAX : UINT64_MAX;
}

/* ---- interrupt lines ---- */

static unsigned output(const struct hpet *h, int n)
{
	if (legacy(h) && n < 2)
		return n ? OUT_ISA8 : OUT_ISA0;
	return T_ROUTE(h->t[n].conf) == APIC_INPUT ? OUT_APIC : OUT_NONE;
}

/* Tells the outputs what has changed. */
static void drive(struct hpet *h)
{
	u8 levels = h->rtc && !legacy(h) ? BIT(OUT_ISA8) : 0, changed;

	for (int n = 0; n < TIMERS; n++) {
		const struct hpet_timer *t = &h->t[n];
		bool high = t->conf & T_LEVEL ? h->status >> n & 1 : t->high;

		if (runs(h) && t->conf & T_ENABLE && high && output(h, n) != OUT_NONE)
			levels |= BIT(output(h, n));
	}
	changed = levels ^ h->driven;
	h->driven = levels;
	for (int i = 0; i < OUTS; i++)
		if (changed & BIT(i))
			irq_set(&h->out[i], levels >> i & 1);
}

/* A timer has matched. */
static void match(struct hpet *h, int n, u64 tick)
{
	struct hpet_timer *t = &h->t[n];
	unsigned out = output(h, n);

	t->last = tick;
	if (t->conf & T_LEVEL) {
		h->status |= BIT(n);
	} else if (t->conf & T_ENABLE && out != OUT_NONE) {
		irq_set(&h->out[out], 0);
		h->driven &= ~BIT(out);
		t->high = true;
	}
	drive(h);
}

/* ---- time ---- */

/* Finds the next match, at or behind `seen`. */
static void plan(struct hpet *h, int n)
{
	struct hpet_timer *t = &h->t[n];
	u64 ahead = (t->comparator - counter_at(h, h->seen)) & width_mask(t);

	t->next = runs(h) && ahead < TICK_MAX ? h->seen + ahead : NEVER;
}

/* Takes note of a match at t->next, and of what a late look has missed behind it. */
static void advance(struct hpet *h, int n, u64 tick)
{
	struct hpet_timer *t = &h->t[n];
	u64 step = t->conf & T_32BIT ? 1ull << 32 : 0;

	if (t->conf & T_PERIODIC && t->period)
		step = t->period;
	if (!step) {
		t->next = NEVER;
	} else {
		u64 steps = (tick - t->next) / step + 1;

		if (step > TICK_MAX || t->next > TICK_MAX - step)
			t->next = NEVER;
		else
			t->next += steps * step;
		if (t->conf & T_PERIODIC)
			t->comparator = (t->comparator + steps * t->period) & width_mask(t);
	}
	match(h, n, tick);
}

static void sync(struct hpet *h, u64 tick)
{
	h->seen = tick;
	for (int n = 0; n < TIMERS; n++)
		if (h->t[n].next <= tick)
			advance(h, n, tick);
}

/* The host timer: for the first match that interrupts. */
static void arm(struct hpet *h)
{
	u64 first = NEVER;

	for (int n = 0; n < TIMERS; n++) {
		const struct hpet_timer *t = &h->t[n];
		u64 at = t->next;

		if (!(t->conf & T_ENABLE) || at == NEVER || output(h, n) == OUT_NONE || (t->conf & T_LEVEL && h->status >> n & 1))
			continue;
		if (t->conf & T_PERIODIC && t->last)
			at = MAX(at, t->last + HPET_MIN_TICK);
		first = MIN(first, at);
	}
	if (first == NEVER)
		timer_del(&h->timer);
	else
		timer_mod(&h->timer, first * HPET_TICK_NS);
}

static void expired(void *opaque)
{
	struct hpet *h = opaque;

	sync(h, now(h));
	arm(h);
}

/* ---- registers ---- */

static u32 half(u64 value, u64 offset)
{
	return (u32)(value >> (offset & 4 ? 32 : 0));
}

static u64 with_half(u64 old, u64 offset, u32 value)
{
	return offset & 4 ? (old & UINT32_MAX) | (u64)value << 32 : (old & ~(u64)UINT32_MAX) | value;
}

static u64 read_timer(const struct hpet *h, u64 offset)
{
	const struct hpet_timer *t = &h->t[(offset - REG_TIMERS) / 0x20];

	switch (offset & 0x18) {
	case TIMER_CONF:
		return (u64)ROUTE_CAPS << 32 | T_CAPS | t->conf;
	case TIMER_COMP:
		return t->comparator;
	default:
		return 0; /* no messages in place of interrupts */
	}
}

static u32 hpet_read(void *opaque, u64 offset, unsigned size)
{
	struct hpet *h = opaque;
	u64 tick = now(h), value = 0;
	u32 word;

	if ((offset & ~7ull) != REG_COUNTER)
		sync(h, tick);
	switch (offset & ~7ull) {
	case REG_CAPS:
		value = (u64)PERIOD_FS << 32 | HPET_BLOCK_ID;
		break;
	case REG_CONFIG:
		value = h->config;
		break;
	case REG_STATUS:
		value = h->status;
		break;
	case REG_COUNTER:
		value = counter_at(h, tick);
		break;
	default:
		if (offset - REG_TIMERS < TIMERS * 0x20)
			value = read_timer(h, offset);
	}
	if ((offset & ~7ull) != REG_COUNTER)
		arm(h);
	word = half(value, offset) >> 8 * (offset & 3);
	return size == 4 ? word : word & (BIT(8 * size) - 1);
}

/* ENABLE_CNF and LEG_RT_CNF, HPET 2.3.5. */
static void write_config(struct hpet *h, u32 value, u64 tick)
{
	bool ran = runs(h);
	u64 counter = counter_at(h, tick);

	h->config = value & CONFIG_WRITABLE;
	if (runs(h) && !ran) {
		h->offset = counter - tick;
		h->seen = tick;
	}
	h->halted = counter;
	for (int n = 0; n < TIMERS; n++) {
		h->t[n].high = false;
		if (runs(h) != ran)
			plan(h, n);
	}
	/* Two that hold one line: the old one lets go first. */
	if (legacy(h))
		pit_set_replaced(h->pit, true);
	drive(h);
	if (!legacy(h))
		pit_set_replaced(h->pit, false);
}

static void write_conf(struct hpet *h, int n, u32 value)
{
	struct hpet_timer *t = &h->t[n];
	u32 old = t->conf;

	/* A route that it cannot take is not taken. */
	if (!(ROUTE_CAPS >> T_ROUTE(value) & 1) && T_ROUTE(value))
		value = (value & ~T_ROUTE_MASK) | (old & T_ROUTE_MASK);
	t->conf = value & T_WRITABLE;
	if ((old ^ t->conf) & ~T_SET_VALUE)
		t->high = false;
	if (!(t->conf & T_LEVEL))
		h->status &= ~BIT(n);
	if (t->conf & T_32BIT) {
		t->comparator = (u32)t->comparator;
		t->period = (u32)t->period;
	}
	if ((old ^ t->conf) & T_32BIT)
		plan(h, n);
	drive(h);
}

/* HPET 2.3.9.2.2: a periodic timer adds what was last written; the value itself is set by a write that VAL_SET_CNF announces. */
static void write_comparator(struct hpet *h, int n, u64 offset, u32 value)
{
	struct hpet_timer *t = &h->t[n];

	if (!(t->conf & T_PERIODIC) || t->conf & T_SET_VALUE) {
		t->comparator = with_half(t->comparator, offset, value) & width_mask(t);
		plan(h, n);
	}
	t->period = with_half(t->period, offset, value) & width_mask(t);
	t->conf &= ~T_SET_VALUE;
}

static void write_timer(struct hpet *h, u64 offset, u32 value)
{
	int n = (int)(offset - REG_TIMERS) / 0x20;

	if ((offset & 0x1c) == TIMER_CONF)
		write_conf(h, n, value);
	else if ((offset & 0x18) == TIMER_COMP)
		write_comparator(h, n, offset, value);
}

static void hpet_write(void *opaque, u64 offset, u32 value, unsigned size)
{
	struct hpet *h = opaque;
	u64 tick = now(h);

	if (size != 4 || offset & 3)
		return;
	sync(h, tick);
	switch (offset) {
	case REG_CONFIG:
		write_config(h, value, tick);
		break;
	case REG_STATUS:
		h->status &= ~value;
		drive(h);
		break;
	case REG_COUNTER:
	case REG_COUNTER + 4:
		/* A running counter is not to be written. */
		if (!runs(h))
			h->halted = with_half(h->halted, offset, value);
		break;
	default:
		if (offset >= REG_TIMERS && offset - REG_TIMERS < TIMERS * 0x20)
			write_timer(h, offset, value);
	}
	arm(h);
}

static void set_rtc(void *opaque, int line, int level)
{
	struct hpet *h = opaque;

	(void)line;
	h->rtc = level != 0;
	drive(h);
}

struct irq hpet_rtc_irq(struct hpet *h)
{
	return (struct irq){set_rtc, h, 0};
}

/* ---- life cycle ---- */

/* The controllers that the lines lead to, and the 8254, are reset as well. */
static void hpet_reset(void *opaque)
{
	struct hpet *h = opaque;

	h->config = h->status = h->driven = 0;
	h->rtc = false;
	h->halted = h->offset = h->seen = 0;
	for (int n = 0; n < TIMERS; n++)
		h->t[n] = (struct hpet_timer){.comparator = UINT64_MAX, .next = NEVER};
	arm(h);
}

static void hpet_save(void *opaque, struct state *s)
{
	struct hpet *h = opaque;

	state_put_u8(s, h->config);
	state_put_u8(s, h->status);
	state_put_u8(s, h->driven);
	state_put_u8(s, h->rtc);
	state_put_u64(s, h->halted);
	state_put_u64(s, h->offset);
	state_put_u64(s, h->seen);
	for (int n = 0; n < TIMERS; n++) {
		const struct hpet_timer *t = &h->t[n];

		state_put_u32(s, t->conf);
		state_put_u8(s, t->high);
		state_put_u64(s, t->comparator);
		state_put_u64(s, t->period);
		state_put_u64(s, t->next);
		state_put_u64(s, t->last);
	}
}

static void load_timer(struct hpet_timer *t, struct state *s)
{
	t->conf = state_get_u32(s);
	t->high = state_get_bool(s);
	t->comparator = state_get_u64(s);
	t->period = state_get_u64(s);
	t->next = state_get_u64(s);
	t->last = state_get_u64_max(s, TICK_MAX);
	if (t->conf & ~T_WRITABLE || (T_ROUTE(t->conf) && T_ROUTE(t->conf) != APIC_INPUT) || (t->next > 2 * TICK_MAX && t->next != NEVER) ||
	    t->comparator & ~width_mask(t) || t->period & ~width_mask(t))
		s->error = true;
}

static void hpet_load(void *opaque, struct state *s)
{
	struct hpet *h = opaque, n = *h;

	n.config = state_get_u8_max(s, CONFIG_WRITABLE);
	n.status = state_get_u8_max(s, BIT(TIMERS) - 1);
	n.driven = state_get_u8_max(s, BIT(OUTS) - 1);
	n.rtc = state_get_bool(s);
	n.halted = state_get_u64(s);
	n.offset = state_get_u64(s);
	n.seen = state_get_u64_max(s, TICK_MAX);
	for (int i = 0; i < TIMERS; i++) {
		load_timer(&n.t[i], s);
		if (!runs(&n) && n.t[i].next != NEVER)
			s->error = true;
	}
	if (s->error)
		return;
	n.timer = h->timer;
	*h = n;
	arm(h);
}

static void hpet_free(void *opaque)
{
	struct hpet *h = opaque;

	timer_del(&h->timer);
	free(h);
}

struct hpet *hpet_create(struct vm *vm, struct ioapic *ioapic, struct pit *pit, struct irq isa8)
{
	struct hpet *h = calloc(1, sizeof(*h));

	if (!h)
		fatal("out of memory");
	h->vm = vm;
	h->pit = pit;
	h->out[OUT_ISA0] = ioapic_isa_irq(ioapic, 0);
	h->out[OUT_ISA8] = isa8;
	h->out[OUT_APIC] = ioapic_irq(ioapic, APIC_INPUT);
	timer_init(&h->timer, vm, expired, h);
	hpet_reset(h);
	trace_mmio(vm, mmio_register(&vm->mem, &(struct mmio_range){HPET_BASE, HPET_SIZE, hpet_read, hpet_write, h}), REGS_HPET);
	device_register(vm, &(struct device){"hpet", 1, h, hpet_reset, hpet_save, hpet_load, hpet_free});
	return h;
}
