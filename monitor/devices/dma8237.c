/*
 * The DMA controllers. A transfer is done at once, when the device asks for it: single, block and demand mode differ in how the bus is
 * shared, which nobody sees. Memory-to-memory transfers, which a PC's wiring does not allow, are not done.
 *
 * Invariants: `base` is what the guest wrote last, `current` moves on; both are 16 bits, and an address never leaves its page (64 KiB, or
 * 128 KiB for words). A channel that has reached its terminal count masks itself unless it reloads itself.
 */
#include "monitor/devices/dma8237.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/devices/checked_state.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define DMA1_BASE 0x00 /* address and count of channels 0..3, then REG_* from 8 on */
#define DMA2_BASE 0xc0 /* the same at every second port */
#define PAGE_BASE 0x80 /* 80h itself is the POST code */
#define PAGES	  16
#define CHANNELS  8
#define CASCADE	  4

enum {
	REG_COMMAND = 8, /* status when read */
	REG_REQUEST,
	REG_MASK_ONE,
	REG_MODE,
	REG_CLEAR_FLIPFLOP,
	REG_MASTER_CLEAR, /* temporary register when read */
	REG_CLEAR_MASK,
	REG_MASK_ALL,
	REG_COUNT
};
enum { CMD_DISABLE = 0x04 };
enum { MODE_TYPE = 0x0c, MODE_VERIFY = 0x00, MODE_TO_MEMORY = 0x04, MODE_FROM_MEMORY = 0x08, MODE_AUTOINIT = 0x10, MODE_DOWN = 0x20 };

struct channel {
	u16 base_addr, base_count, addr, count;
	u8 mode;
	bool dreq;
	void (*ready)(void *opaque);
	void *opaque;
};

struct dma8237 {
	struct vm *vm;
	struct channel ch[CHANNELS];
	struct controller {
		u8 command, mask, request, terminal; /* a bit for each of its channels */
		bool high_byte;			     /* the flip-flop: the next byte is the high one */
	} ctl[2];
	u8 page[PAGES];
};

/* Which page register belongs to a channel. */
static const u8 page_register[CHANNELS] = {0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa};

static bool can_go(const struct dma8237 *d, unsigned channel)
{
	const struct controller *c = &d->ctl[channel / 4], *second = &d->ctl[1];

	if ((c->command & CMD_DISABLE) || (c->mask & BIT(channel % 4)))
		return false;
	/* The first controller asks through the second one's cascade channel. */
	return channel >= 4 || (!(second->command & CMD_DISABLE) && !(second->mask & BIT(0)));
}

static void wake(struct dma8237 *d)
{
	for (unsigned i = 0; i < CHANNELS; i++)
		if (d->ch[i].dreq && d->ch[i].ready && can_go(d, i))
			d->ch[i].ready(d->ch[i].opaque);
}

/* ---- transfers ---- */

static u32 linear(const struct dma8237 *d, unsigned channel)
{
	u32 page = d->page[page_register[channel]], addr = d->ch[channel].addr;

	return channel < 4 ? page << 16 | addr : (page & 0xfe) << 16 | addr << 1;
}

static void move(struct dma8237 *d, unsigned channel, u8 *buf, u32 n)
{
	u8 type = d->ch[channel].mode & MODE_TYPE;

	if (type == MODE_TO_MEMORY)
		phys_write(d->vm, linear(d, channel), buf, n);
	else if (type == MODE_FROM_MEMORY)
		phys_read(d->vm, linear(d, channel), buf, n);
}

/* How many units can be moved in one go, at ascending addresses that do not wrap. */
static u32 run_length(const struct channel *c, u32 units)
{
	if (c->mode & MODE_DOWN)
		return 1;
	return MIN(MIN(units, c->count + 1u), 0x10000u - c->addr);
}

static void terminal_count(struct dma8237 *d, unsigned channel)
{
	struct channel *c = &d->ch[channel];
	struct controller *ctl = &d->ctl[channel / 4];

	ctl->terminal |= BIT(channel % 4);
	ctl->request &= ~BIT(channel % 4);
	if (c->mode & MODE_AUTOINIT) {
		c->addr = c->base_addr;
		c->count = c->base_count;
	} else {
		ctl->mask |= BIT(channel % 4);
	}
}

u32 dma8237_transfer(struct dma8237 *d, unsigned channel, u8 *buf, u32 n, bool *tc)
{
	struct channel *c = &d->ch[channel];
	u32 unit = channel < 4 ? 1 : 2, units = n / unit, done = 0;

	*tc = false;
	if (!can_go(d, channel))
		return 0;
	while (done < units && !*tc) {
		u32 run = run_length(c, units - done);

		move(d, channel, buf + done * unit, run * unit);
		c->addr = (u16)(c->mode & MODE_DOWN ? c->addr - run : c->addr + run);
		done += run;
		*tc = run > c->count;
		c->count = (u16)(c->count - run);
	}
	if (*tc)
		terminal_count(d, channel);
	return done * unit;
}

void dma8237_attach(struct dma8237 *d, unsigned channel, void (*ready)(void *opaque), void *opaque)
{
	d->ch[channel].ready = ready;
	d->ch[channel].opaque = opaque;
}

void dma8237_request(struct dma8237 *d, unsigned channel, bool dreq)
{
	d->ch[channel].dreq = dreq;
}

/* ---- registers ---- */

static u8 read_half(struct controller *ctl, u16 value)
{
	u8 half = ctl->high_byte ? value >> 8 : (u8)value;

	ctl->high_byte = !ctl->high_byte;
	return half;
}

static void write_half(const struct controller *ctl, u16 *base, u16 *current, u8 value)
{
	*base = (u16)(ctl->high_byte ? (*base & 0x00ff) | value << 8 : (*base & 0xff00) | value);
	*current = (u16)(ctl->high_byte ? (*current & 0x00ff) | value << 8 : (*current & 0xff00) | value);
}

static u8 status(struct dma8237 *d, unsigned n)
{
	u8 s = d->ctl[n].terminal;

	for (unsigned i = 0; i < 4; i++)
		if (d->ch[4 * n + i].dreq)
			s |= BIT(4 + i);
	d->ctl[n].terminal = 0;
	return s;
}

static u32 controller_read(struct dma8237 *d, unsigned n, unsigned reg)
{
	struct controller *ctl = &d->ctl[n];

	if (reg < REG_COMMAND)
		return read_half(ctl, reg & 1 ? d->ch[4 * n + reg / 2].count : d->ch[4 * n + reg / 2].addr);
	switch (reg) {
	case REG_COMMAND:
		return status(d, n);
	case REG_MASK_ALL:
		return 0xf0 | ctl->mask;
	default:
		return 0; /* the temporary register; the others cannot be read */
	}
}

static void set_bit(u8 *bits, u8 value)
{
	u8 bit = (u8)BIT(value & 3);

	*bits = (u8)(value & 4 ? *bits | bit : *bits & ~bit);
}

static void master_clear(struct controller *ctl)
{
	*ctl = (struct controller){.mask = 15};
}

static void controller_write(struct dma8237 *d, unsigned n, unsigned reg, u8 value)
{
	struct controller *ctl = &d->ctl[n];
	struct channel *c;

	switch (reg) {
	case REG_COMMAND:
		ctl->command = value;
		break;
	case REG_REQUEST:
		set_bit(&ctl->request, value);
		break;
	case REG_MASK_ONE:
		set_bit(&ctl->mask, value);
		break;
	case REG_MODE:
		d->ch[4 * n + (value & 3)].mode = value & 0xfc;
		break;
	case REG_CLEAR_FLIPFLOP:
		ctl->high_byte = false;
		break;
	case REG_MASTER_CLEAR:
		master_clear(ctl);
		break;
	case REG_CLEAR_MASK:
		ctl->mask = 0;
		break;
	case REG_MASK_ALL:
		ctl->mask = value & 15;
		break;
	default:
		c = &d->ch[4 * n + reg / 2];
		if (reg & 1)
			write_half(ctl, &c->base_count, &c->count, value);
		else
			write_half(ctl, &c->base_addr, &c->addr, value);
		ctl->high_byte = !ctl->high_byte;
		break;
	}
	wake(d);
}

static u32 dma1_read(void *opaque, u16 port, unsigned size)
{
	(void)size;
	return controller_read(opaque, 0, port - DMA1_BASE);
}

static void dma1_write(void *opaque, u16 port, u32 value, unsigned size)
{
	(void)size;
	controller_write(opaque, 0, port - DMA1_BASE, (u8)value);
}

static u32 dma2_read(void *opaque, u16 port, unsigned size)
{
	(void)size;
	return controller_read(opaque, 1, (port - DMA2_BASE) / 2u);
}

static void dma2_write(void *opaque, u16 port, u32 value, unsigned size)
{
	(void)size;
	controller_write(opaque, 1, (port - DMA2_BASE) / 2u, (u8)value);
}

static u32 page_read(void *opaque, u16 port, unsigned size)
{
	struct dma8237 *d = opaque;

	(void)size;
	return d->page[port - PAGE_BASE];
}

static void page_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct dma8237 *d = opaque;

	(void)size;
	d->page[port - PAGE_BASE] = (u8)value;
}

/* ---- the device ---- */

/* The state that a PC's firmware leaves: the cascade channel passes the first controller's requests on, as kernels without one expect. */
static void dma_reset(void *opaque)
{
	struct dma8237 *d = opaque;

	for (unsigned i = 0; i < CHANNELS; i++) {
		struct channel *c = &d->ch[i];

		c->base_addr = c->base_count = c->addr = c->count = 0;
		c->mode = i == CASCADE ? 0xc0 : 0x00;
	}
	master_clear(&d->ctl[0]);
	master_clear(&d->ctl[1]);
	d->ctl[1].mask &= (u8)~BIT(0);
	memset(d->page, 0, sizeof(d->page));
}

static void dma_save(void *opaque, struct state *s)
{
	struct dma8237 *d = opaque;

	for (unsigned i = 0; i < CHANNELS; i++) {
		const struct channel *c = &d->ch[i];

		state_put_u16(s, c->base_addr);
		state_put_u16(s, c->base_count);
		state_put_u16(s, c->addr);
		state_put_u16(s, c->count);
		state_put_u8(s, c->mode);
		state_put_u8(s, c->dreq);
	}
	for (unsigned i = 0; i < 2; i++) {
		state_put_u8(s, d->ctl[i].command);
		state_put_u8(s, d->ctl[i].mask);
		state_put_u8(s, d->ctl[i].request);
		state_put_u8(s, d->ctl[i].terminal);
		state_put_u8(s, d->ctl[i].high_byte);
	}
	state_put(s, d->page, sizeof(d->page));
}

static void dma_load(void *opaque, struct state *s)
{
	struct dma8237 *d = opaque;
	struct dma8237 n = *d;

	for (unsigned i = 0; i < CHANNELS; i++) {
		struct channel *c = &n.ch[i];

		c->base_addr = state_get_u16(s);
		c->base_count = state_get_u16(s);
		c->addr = state_get_u16(s);
		c->count = state_get_u16(s);
		c->mode = state_get_u8(s);
		c->dreq = state_get_bool(s);
		if (c->mode & 3)
			s->error = true;
	}
	for (unsigned i = 0; i < 2; i++) {
		n.ctl[i].command = state_get_u8(s);
		n.ctl[i].mask = state_get_u8_max(s, 15);
		n.ctl[i].request = state_get_u8_max(s, 15);
		n.ctl[i].terminal = state_get_u8_max(s, 15);
		n.ctl[i].high_byte = state_get_bool(s);
	}
	state_get(s, n.page, sizeof(n.page));
	if (!s->error)
		*d = n;
}

static void dma_free(void *opaque)
{
	free(opaque);
}

struct dma8237 *dma8237_create(struct vm *vm)
{
	struct dma8237 *d = calloc(1, sizeof(*d));

	if (!d)
		fatal("out of memory");
	d->vm = vm;
	dma_reset(d);
	trace_ports(vm, io_register(vm, &(struct port_range){DMA1_BASE, DMA1_BASE + REG_COUNT - 1, 1, dma1_read, dma1_write, d}), REGS_DMA);
	trace_ports(vm, io_register(vm, &(struct port_range){PAGE_BASE, PAGE_BASE + PAGES - 1, 1, page_read, page_write, d}), REGS_DMA);
	trace_ports(vm, io_register(vm, &(struct port_range){DMA2_BASE, DMA2_BASE + 2 * REG_COUNT - 1, 1, dma2_read, dma2_write, d}),
		    REGS_DMA);
	device_register(vm, &(struct device){"dma8237", 1, d, dma_reset, dma_save, dma_load, dma_free});
	return d;
}
