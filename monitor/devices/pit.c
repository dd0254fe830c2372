/*
 * The 8254 interval timer: channel 0 is IRQ0, channel 1 the memory refresh of old, channel 2 the speaker (gated by port 61h).
 *
 * Time is a count of input clocks since vm time 0, and everything that the guest sees is computed from it: a channel holds only the clock
 * at which its count was loaded. Nothing is decremented, so nothing drifts.
 *
 * Channel 0's interrupts. A periodic mode makes a tick at every rising edge of OUT. A tick is delivered when the PIC latches an edge for
 * it; one that comes due while the last still waits there (the guest has interrupts off, or this process did not run) is owed (`backlog`).
 * Owed ticks are delivered later, at most twice as fast as programmed and never more often than every 20 us; what is owed beyond one second
 * is forgotten. While IRQ0 is masked, ticks are lost as on hardware. Thus a guest that counts ticks keeps time, and one that was away for
 * long is not drowned. One-shot modes interrupt at their exact clock, and are never owed.
 */
#include "monitor/devices/pit.h"

#include <stdlib.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/ioapic.h"
#include "monitor/devices/pic.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define PIT_COUNTER 0x40 /* ..0x42 */
#define PIT_CONTROL 0x43
#define PORT_61	    0x61

#define CW_BCD	      0x01
#define CW_COUNTER(v) ((v) >> 6)
#define CW_ACCESS(v)  (((v) >> 4) & 3) /* 0: latch the count; 1 LSB, 2 MSB, 3 LSB then MSB */
#define CW_MODE(v)    (((v) >> 1) & 7)
#define READBACK      3	   /* as counter number */
#define RB_NO_COUNT   0x20 /* active low */
#define RB_NO_STATUS  0x10
#define STATUS_OUT    0x80
#define STATUS_NULL   0x40
#define P61_GATE2     0x01
#define P61_WRITABLE  0x0f
#define P61_REFRESH   0x10
#define P61_OUT2      0x20
#define REFRESH_NS    15085 /* channel 1 as a PC's firmware programs it: 18 clocks */

#define MIN_SPACING_NS 20000
#define NO_EDGE	       UINT64_MAX
#define CLOCK_MAX      (1ull << 62) /* of saved clocks: far beyond any uptime, far from overflow */

struct channel {
	u8 mode;   /* 0..5 */
	u8 access; /* 1..3 */
	bool bcd;
	bool gate;
	bool written; /* a count has been written since the control word */
	bool running; /* the count has been loaded (modes 1 and 5: triggered); start and count are valid */
	bool frozen;  /* the gate has stopped the count: `held` clocks have passed */
	bool fresh;   /* modes 1 and 5: written, and not loaded before the next trigger */
	bool reload;  /* modes 2 and 3: at clock reload_at, the count becomes reg and start becomes reload_start */
	u32 reg;      /* the count register, 1..65536 (10000) */
	u32 count;    /* what the counting element was loaded with */
	u64 start, held, reload_at, reload_start;

	bool write_msb, read_msb; /* access 3: the other half comes next */
	u8 lsb;
	u8 latched_bytes; /* left to read */
	u16 latched;
	bool status_latched;
	u8 status;
};

struct pit {
	struct vm *vm;
	struct pic *pic;
	struct ioapic *ioapic; /* or NULL */
	struct irq irq;
	struct timer timer;
	struct channel ch[3];
	u8 port61;
	bool replaced;	  /* the line is not channel 0's */
	u64 edge;	  /* the clock of channel 0's next rising edge, or NO_EDGE */
	u32 backlog;	  /* ticks owed */
	u64 delivered_ns; /* vm time of the last tick's edge */
};

/* Clocks are counted from well before vm time 0, so that a period that began "before" it is still a positive number. */
#define CLOCK_BIAS 0x20000

static u64 clock_of(u64 ns)
{
	return muldiv64(ns, PIT_HZ, NS_PER_SEC) + CLOCK_BIAS;
}

/* The first nanosecond at which clock_of() is at least clk. */
static u64 ns_of(u64 clk)
{
	if (clk < CLOCK_BIAS)
		return 0;
	return (u64)(((unsigned __int128)(clk - CLOCK_BIAS) * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ);
}

static u32 channel_modulus(const struct channel *c)
{
	return c->bcd ? 10000 : 0x10000;
}

static u64 channel_elapsed(const struct channel *c, u64 now)
{
	if (c->frozen)
		return c->held;
	return now > c->start ? now - c->start : 0;
}

static bool channel_periodic(const struct channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* OUT, 8254 "Mode Definitions". `start` is the clock that loads the count, one after the write or trigger. */
static bool channel_out(const struct channel *c, u64 now)
{
	u64 e = channel_elapsed(c, now);

	if (!c->running)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
		return e >= c->count;
	case 1:
		return now < c->start || e >= c->count;
	case 2:
		return !c->gate || e % c->count != c->count - 1;
	case 3:
		return !c->gate || e % c->count < (c->count + 1) / 2;
	default:
		return e != c->count;
	}
}

/* The counting element, in binary. */
static u32 channel_value(const struct channel *c, u64 now)
{
	u64 e = channel_elapsed(c, now);
	u32 m = channel_modulus(c), high = (c->count + 1) / 2;

	if (!c->running)
		return c->count;
	switch (c->mode) {
	case 2:
		return c->count - (u32)(e % c->count);
	case 3:
		e %= c->count;
		return (c->count & ~1u) - 2 * (u32)(e < high ? e : e - high);
	default:
		return (u32)(((u64)c->count + m - e % m) % m);
	}
}

static u16 channel_read_value(const struct channel *c, u64 now)
{
	u32 v = channel_value(c, now) % channel_modulus(c);

	if (!c->bcd)
		return v;
	return v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
}

/* Loads the counting element at the next clock. */
static void channel_start(struct channel *c, u64 now)
{
	c->count = c->reg;
	c->start = now + 1;
	c->running = true;
	c->fresh = c->reload = c->frozen = false;
	c->held = 0;
}

/* Returns true if the count takes effect now, false if it waits for the end of a period or for a trigger. */
static bool channel_write_count(struct channel *c, u32 v, u64 now)
{
	u32 m = channel_modulus(c);

	if (c->bcd)
		v = ((v >> 12) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 + (v & 15)) % m;
	c->reg = v ? v : m;
	c->written = true;
	switch (c->mode) {
	case 0:
	case 4:
		channel_start(c, now);
		c->frozen = !c->gate;
		return true;
	case 1:
	case 5:
		c->fresh = true;
		return false;
	}
	if (!c->gate)
		return false;
	if (!c->running || now < c->start) {
		channel_start(c, now);
		return true;
	}
	/* A running period is finished first: the whole in mode 2, the half in mode 3. */
	u64 e = now - c->start, begin = now - e % c->count;
	u32 high = (c->count + 1) / 2;

	c->reload = true;
	if (c->mode == 3 && e % c->count < high) {
		c->reload_at = begin + high;
		c->reload_start = c->reload_at - (c->reg + 1) / 2;
	} else {
		c->reload_at = c->reload_start = begin + c->count;
	}
	return false;
}

static void channel_set_gate(struct channel *c, bool level, u64 now)
{
	if (level == c->gate)
		return;
	if (!level) {
		if (c->running && c->mode != 1 && c->mode != 5) {
			c->held = channel_elapsed(c, now);
			c->frozen = true;
			c->reload = false;
		}
	} else if (c->mode == 0 || c->mode == 4) {
		if (c->frozen)
			c->start = now > c->held ? now - c->held : 0;
		c->frozen = false;
	} else if (c->written) {
		channel_start(c, now);
	}
	c->gate = level;
}

static void channel_control(struct channel *c, u8 v)
{
	u8 mode = CW_MODE(v);

	*c = (struct channel){
		.mode = mode > 5 ? mode - 4 : mode,
		.access = CW_ACCESS(v),
		.bcd = v & CW_BCD,
		.gate = c->gate,
	};
	c->reg = c->count = channel_modulus(c);
}

static u8 channel_status(const struct channel *c, u64 now)
{
	bool null = !c->running || c->fresh || c->reload || (!c->frozen && now < c->start);

	return (channel_out(c, now) ? STATUS_OUT : 0) | (null ? STATUS_NULL : 0) | c->access << 4 | c->mode << 1 | c->bcd;
}

static void channel_latch(struct channel *c, u64 now)
{
	if (c->latched_bytes)
		return;
	c->latched = channel_read_value(c, now);
	c->latched_bytes = c->access == 3 ? 2 : 1;
}

static u8 channel_read(struct channel *c, u64 now)
{
	u16 v = c->latched;
	bool msb;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->latched_bytes) {
		msb = c->access == 2 || (c->access == 3 && c->latched_bytes == 1);
		c->latched_bytes--;
	} else {
		v = channel_read_value(c, now);
		msb = c->access == 2 || c->read_msb;
		if (c->access == 3)
			c->read_msb = !c->read_msb;
	}
	return msb ? v >> 8 : v;
}

/* A write to a counter's port. Returns true if the running count is another from now on. */
static bool channel_write(struct channel *c, u8 v, u64 now)
{
	if (c->access != 3)
		return channel_write_count(c, c->access == 2 ? v << 8 : v, now);
	if (c->write_msb) {
		c->write_msb = false;
		return channel_write_count(c, v << 8 | c->lsb, now);
	}
	c->lsb = v;
	c->write_msb = true;
	if (c->mode != 0)
		return false;
	/* The first byte stops the count in mode 0. */
	c->running = false;
	return true;
}

/* ---- channel 0's interrupt ---- */

/* The edge that the count just loaded leads to. */
static u64 pit_first_edge(const struct channel *c)
{
	if (!c->running || c->mode == 1 || c->mode == 5)
		return NO_EDGE;
	return c->start + c->count + (c->mode == 4);
}

/* Books the edges up to clock `now`. */
static void pit_collect(struct pit *p, u64 now)
{
	struct channel *c = &p->ch[0];

	if (p->edge > now)
		return;
	if (!channel_periodic(c)) {
		p->backlog = 1;
		p->edge = NO_EDGE;
		return;
	}
	u64 n = (now - p->edge) / c->count + 1;
	u64 most = MAX(1, PIT_HZ / c->count);

	p->edge += n * c->count;
	p->backlog = MIN(p->backlog + n, most);
}

/* Brings a channel to clock `now`; every access starts with it. */
static void channel_sync(struct pit *p, int i, u64 now)
{
	struct channel *c = &p->ch[i];

	if (c->reload && now >= c->reload_at) {
		if (i == 0)
			pit_collect(p, c->reload_at);
		c->start = c->reload_start;
		c->count = c->reg;
		c->reload = false;
		if (i == 0)
			p->edge = pit_first_edge(c);
	}
	if (i == 0)
		pit_collect(p, now);
}

static void pit_raise(struct pit *p)
{
	irq_set(&p->irq, 0);
	irq_set(&p->irq, 1);
}

static bool tick_waits(const struct pit *p)
{
	return p->ioapic ? ioapic_tick_waits(p->ioapic) : pic_irq_pending(p->pic, 0);
}

static bool tick_masked(const struct pit *p)
{
	return p->ioapic ? ioapic_tick_masked(p->ioapic) : pic_irq_masked(p->pic, 0);
}

/* Delivers what is due and arms the timer for what comes. channel_sync(0) has run. */
static void pit_deliver(struct pit *p, u64 ns)
{
	struct channel *c = &p->ch[0];
	u64 deadline = NO_EDGE;

	if (p->replaced) {
		p->backlog = 0;
		timer_del(&p->timer);
		return;
	}
	if (p->backlog && !channel_periodic(c)) {
		pit_raise(p);
		p->backlog = 0;
	} else if (p->backlog) {
		u64 spacing = MAX((u64)c->count * NS_PER_SEC / PIT_HZ / 2, MIN_SPACING_NS);
		bool waits = tick_waits(p);

		if (waits && tick_masked(p)) {
			p->backlog = 0;
		} else if (!waits && (ns >= p->delivered_ns + spacing || ns < p->delivered_ns)) {
			pit_raise(p);
			p->backlog--;
			p->delivered_ns = ns;
		}
		if (p->backlog)
			deadline = waits ? ns + spacing : p->delivered_ns + spacing;
	}
	if (!p->backlog && p->edge != NO_EDGE) {
		deadline = ns_of(p->edge);
		if (channel_periodic(c))
			deadline = MAX(deadline, p->delivered_ns + MIN_SPACING_NS);
	}
	if (deadline == NO_EDGE)
		timer_del(&p->timer);
	else if (!p->timer.armed || p->timer.deadline != deadline)
		timer_mod(&p->timer, deadline);
}

static void pit_timer(void *opaque)
{
	struct pit *p = opaque;
	u64 ns = clock_ns(&p->vm->clock);

	channel_sync(p, 0, clock_of(ns));
	pit_deliver(p, ns);
}

/* Channel 0 has been programmed anew, and not only for its next period: the old programme's edges are gone. */
static void pit_reprogrammed(struct pit *p, u64 ns)
{
	struct channel *c = &p->ch[0];

	p->edge = pit_first_edge(c);
	if (!channel_periodic(c))
		p->backlog = 0;
	if (!p->replaced)
		irq_set(&p->irq, channel_out(c, clock_of(ns)));
	pit_deliver(p, ns);
}

void pit_set_replaced(struct pit *p, bool replaced)
{
	u64 ns = clock_ns(&p->vm->clock), now = clock_of(ns);

	if (replaced == p->replaced)
		return;
	channel_sync(p, 0, now);
	p->backlog = 0;
	p->replaced = replaced;
	irq_set(&p->irq, !replaced && channel_out(&p->ch[0], now));
	pit_deliver(p, ns);
}

/* ---- ports ---- */

static void pit_write_control(struct pit *p, u8 v, u64 ns)
{
	int n = CW_COUNTER(v);
	u64 now = clock_of(ns);

	if (n == READBACK) {
		for (int i = 0; i < 3; i++) {
			struct channel *c = &p->ch[i];

			if (!(v & 2 << i))
				continue;
			channel_sync(p, i, now);
			if (!(v & RB_NO_COUNT))
				channel_latch(c, now);
			if (!(v & RB_NO_STATUS) && !c->status_latched) {
				c->status = channel_status(c, now);
				c->status_latched = true;
			}
		}
		return;
	}
	channel_sync(p, n, now);
	if (CW_ACCESS(v) == 0) {
		channel_latch(&p->ch[n], now);
		return;
	}
	channel_control(&p->ch[n], v);
	if (n == 0) {
		p->backlog = 0;
		pit_reprogrammed(p, ns);
	}
}

static void pit_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct pit *p = opaque;
	u64 ns = clock_ns(&p->vm->clock), now = clock_of(ns);
	int n = port - PIT_COUNTER;

	(void)size;
	if (port == PIT_CONTROL) {
		pit_write_control(p, value, ns);
		return;
	}
	channel_sync(p, n, now);
	if (channel_write(&p->ch[n], value, now) && n == 0)
		pit_reprogrammed(p, ns);
}

static u32 pit_read(void *opaque, u16 port, unsigned size)
{
	struct pit *p = opaque;
	u64 now = clock_of(clock_ns(&p->vm->clock));
	int n = port - PIT_COUNTER;

	(void)size;
	if (port == PIT_CONTROL)
		return 0xff;
	channel_sync(p, n, now);
	return channel_read(&p->ch[n], now);
}

static u32 port61_read(void *opaque, u16 port, unsigned size)
{
	struct pit *p = opaque;
	u64 ns = clock_ns(&p->vm->clock), now = clock_of(ns);

	(void)port;
	(void)size;
	channel_sync(p, 2, now);
	return p->port61 | (ns / REFRESH_NS & 1 ? P61_REFRESH : 0) | (channel_out(&p->ch[2], now) ? P61_OUT2 : 0);
}

static void port61_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct pit *p = opaque;
	u64 now = clock_of(clock_ns(&p->vm->clock));

	(void)port;
	(void)size;
	p->port61 = value & P61_WRITABLE;
	channel_sync(p, 2, now);
	channel_set_gate(&p->ch[2], value & P61_GATE2, now);
}

/* ---- life cycle ---- */

/* As PC firmware leaves it: channel 0 ticks 18.2 times a second, channel 1 refreshes. */
static void pit_reset(void *opaque)
{
	struct pit *p = opaque;
	u64 ns = clock_ns(&p->vm->clock), now = clock_of(ns);

	for (int i = 0; i < 3; i++) {
		p->ch[i].gate = i < 2;
		channel_control(&p->ch[i], i << 6 | 3 << 4 | (i < 2 ? 2 : 3) << 1);
	}
	channel_write_count(&p->ch[0], 0, now);
	channel_write_count(&p->ch[1], 18, now);
	p->port61 = 0;
	p->replaced = false;
	p->backlog = 0;
	p->delivered_ns = ns;
	pit_reprogrammed(p, ns);
}

static void pit_save(void *opaque, struct state *s)
{
	struct pit *p = opaque;

	for (int i = 0; i < 3; i++) {
		const struct channel *c = &p->ch[i];

		state_put_u8(s, c->mode);
		state_put_u8(s, c->access);
		state_put_u8(s, c->bcd);
		state_put_u8(s, c->gate);
		state_put_u8(s, c->written);
		state_put_u8(s, c->running);
		state_put_u8(s, c->frozen);
		state_put_u8(s, c->fresh);
		state_put_u8(s, c->reload);
		state_put_u32(s, c->reg);
		state_put_u32(s, c->count);
		state_put_u64(s, c->start);
		state_put_u64(s, c->held);
		state_put_u64(s, c->reload_at);
		state_put_u64(s, c->reload_start);
		state_put_u8(s, c->write_msb);
		state_put_u8(s, c->read_msb);
		state_put_u8(s, c->lsb);
		state_put_u8(s, c->latched_bytes);
		state_put_u16(s, c->latched);
		state_put_u8(s, c->status_latched);
		state_put_u8(s, c->status);
	}
	state_put_u8(s, p->port61);
	state_put_u8(s, p->replaced);
	state_put_u64(s, p->edge);
	state_put_u32(s, p->backlog);
	state_put_u64(s, p->delivered_ns);
	state_put_u64(s, p->timer.armed ? p->timer.deadline : 0);
}

static void channel_load(struct channel *c, struct state *s)
{
	c->mode = state_get_u8_max(s, 5);
	c->access = state_get_u8_max(s, 3);
	c->bcd = state_get_bool(s);
	c->gate = state_get_bool(s);
	c->written = state_get_bool(s);
	c->running = state_get_bool(s);
	c->frozen = state_get_bool(s);
	c->fresh = state_get_bool(s);
	c->reload = state_get_bool(s);
	c->reg = state_get_u32_max(s, channel_modulus(c));
	c->count = state_get_u32_max(s, channel_modulus(c));
	c->start = state_get_u64_max(s, CLOCK_MAX);
	c->held = state_get_u64_max(s, CLOCK_MAX);
	c->reload_at = state_get_u64_max(s, CLOCK_MAX);
	c->reload_start = state_get_u64_max(s, CLOCK_MAX);
	c->write_msb = state_get_bool(s);
	c->read_msb = state_get_bool(s);
	c->lsb = state_get_u8(s);
	c->latched_bytes = state_get_u8_max(s, 2);
	c->latched = state_get_u16(s);
	c->status_latched = state_get_bool(s);
	c->status = state_get_u8(s);
	if (!c->reg || !c->count || !c->access || (c->reload && !(c->running && channel_periodic(c))))
		s->error = true;
}

static void pit_load(void *opaque, struct state *s)
{
	struct pit *p = opaque;
	struct channel ch[3];
	bool replaced;
	u8 port61;
	u64 edge, delivered_ns, deadline;
	u32 backlog;

	for (int i = 0; i < 3; i++)
		channel_load(&ch[i], s);
	port61 = state_get_u8_max(s, P61_WRITABLE);
	replaced = state_get_bool(s);
	edge = state_get_u64(s);
	backlog = state_get_u32_max(s, PIT_HZ);
	delivered_ns = state_get_u64_max(s, CLOCK_MAX);
	deadline = state_get_u64_max(s, CLOCK_MAX);
	/* While the line is another's, no edge is waited for. */
	if (s->error || (edge != NO_EDGE && edge > CLOCK_MAX) || (replaced && deadline)) {
		s->error = true;
		return;
	}
	for (int i = 0; i < 3; i++)
		p->ch[i] = ch[i];
	p->port61 = port61;
	p->replaced = replaced;
	p->edge = edge;
	p->backlog = backlog;
	p->delivered_ns = delivered_ns;
	/* Through the timer even if something is due: a load must not change what it has loaded. */
	if (!replaced && (backlog || edge != NO_EDGE))
		timer_mod(&p->timer, deadline);
	else
		timer_del(&p->timer);
}

static void pit_free(void *opaque)
{
	struct pit *p = opaque;

	timer_del(&p->timer);
	free(p);
}

struct pit *pit_create(struct vm *vm, struct pic *pic)
{
	struct pit *p = calloc(1, sizeof(*p));

	if (!p)
		fatal("out of memory");
	p->vm = vm;
	p->pic = pic;
	p->irq = pic_irq(pic, 0);
	p->edge = NO_EDGE;
	timer_init(&p->timer, vm, pit_timer, p);
	pit_reset(p);
	trace_ports(vm, io_register(vm, &(struct port_range){PIT_COUNTER, PIT_CONTROL, 1, pit_read, pit_write, p}), REGS_PIT);
	trace_ports(vm, io_register(vm, &(struct port_range){PORT_61, PORT_61, 1, port61_read, port61_write, p}), REGS_PIT);
	device_register(vm, &(struct device){"pit", 3, p, pit_reset, pit_save, pit_load, pit_free});
	return p;
}

void pit_set_ioapic(struct pit *p, struct ioapic *a)
{
	p->ioapic = a;
	p->irq = ioapic_isa_irq(a, 0);
}
