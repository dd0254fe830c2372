/*
 * Two cascaded 8259A interrupt controllers, with the edge/level control registers (ELCR) of later chip sets.
 *
 * Invariants:
 * - `lines` is the level of every input as its device drives it. In level mode IRR follows it; in edge mode a rising edge sets IRR, which
 * then stays until it is acknowledged or the chip initialised: no pulse is lost.
 * - IRR bit 2 of the master is the slave's INT output, always; it needs no edge, so a second slave interrupt behind the first cannot get
 * stuck.
 * - `intr` is the level last told to intr_out; it is high exactly when the master has a request that its priorities let through.
 * A reset leaves the pair as PC firmware does (vectors 08h and 70h, timer and keyboard unmasked), because no firmware runs here.
 */
#include "monitor/devices/pic.h"

#include <stdlib.h>

#include "monitor/devices/checked_state.h"
#include "monitor/log.h"
#include "monitor/text.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define PIC_MASTER 0x20 /* command; +1: data */
#define PIC_SLAVE  0xa0
#define PIC_ELCR   0x4d0 /* master; +1: slave */

#define ICW1_INIT 0x10
#define ICW1_LTIM 0x08
#define ICW1_SNGL 0x02
#define ICW1_IC4  0x01
#define ICW4_SFNM 0x10
#define ICW4_AEOI 0x02
#define OCW3	  0x08
#define OCW3_ESMM 0x40
#define OCW3_SMM  0x20
#define OCW3_POLL 0x04
#define OCW3_RR	  0x02
#define OCW3_RIS  0x01

#define OCW2_ROTATE   0x80
#define OCW2_SPECIFIC 0x40
#define OCW2_EOI      0x20

#define CASCADE 2 /* the master's input that the slave drives */

/* IRQ 0, 1, 2, 8 and 13 are edge-triggered whatever ELCR says. */
static const u8 elcr_writable[2] = {0xf8, 0xde};

struct chip {
	u8 irr, imr, isr;
	u8 lines;
	u8 elcr;
	u8 base;      /* ICW2 bits 7:3 */
	u8 lowest;    /* the input of lowest priority; lowest + 1 is the highest */
	u8 init_step; /* the ICW expected next at the data port: 0 none, else 2..4 */
	bool want_icw4, single;
	bool level;			      /* ICW1 LTIM: all inputs are level-triggered */
	bool sfnm, auto_eoi, rotate_auto_eoi; /* special fully nested mode... */
	bool special_mask, poll, read_isr;
};

struct pic {
	struct vm *vm;
	struct chip chip[2]; /* master, slave */
	struct irq intr_out;
	bool intr;
	u64 rises[16]; /* of each line; not saved */
};

static u8 chip_level_inputs(const struct chip *c)
{
	return c->level ? 0xff : c->elcr;
}

/* The input of highest priority in the set, or -1. */
static int chip_highest(const struct chip *c, u8 set)
{
	if (!set)
		return -1;
	for (int i = 1; i <= 8; i++) {
		int n = (c->lowest + i) & 7;

		if (set & BIT(n))
			return n;
	}
	return -1;
}

/* 0 is the highest priority, 8 that of "none". */
static int chip_priority(const struct chip *c, int n)
{
	return n < 0 ? 8 : (n - c->lowest - 1) & 7;
}

/* The input that asserts INT, or -1. */
static int chip_request(const struct chip *c, bool master)
{
	int n = chip_highest(c, c->irr & ~c->imr);
	u8 blocking = c->isr;

	if (n < 0)
		return -1;
	if (c->special_mask)
		blocking &= ~c->imr;
	/* In special fully nested mode the master lets the slave interrupt its own service (8259A, "The Special Fully Nested Mode"). */
	if (master && c->sfnm && n == CASCADE)
		blocking &= ~BIT(CASCADE);
	return chip_priority(c, n) < chip_priority(c, chip_highest(c, blocking)) ? n : -1;
}

static void chip_set_line(struct chip *c, int n, bool high)
{
	u8 bit = BIT(n);

	if (chip_level_inputs(c) & bit)
		c->irr = high ? c->irr | bit : c->irr & ~bit;
	else if (high && !(c->lines & bit))
		c->irr |= bit;
	c->lines = high ? c->lines | bit : c->lines & ~bit;
}

/* Brings both INT outputs up to date after any change. */
static void pic_update(struct pic *p)
{
	struct chip *m = &p->chip[0];
	bool slave = !m->single && chip_request(&p->chip[1], false) >= 0;
	bool intr;

	m->irr = slave ? m->irr | BIT(CASCADE) : m->irr & ~BIT(CASCADE);
	intr = chip_request(m, true) >= 0;
	if (intr != p->intr) {
		p->intr = intr;
		irq_set(&p->intr_out, intr);
	}
}

static void chip_ack(struct chip *c, int n)
{
	if (c->auto_eoi) {
		if (c->rotate_auto_eoi)
			c->lowest = n;
	} else {
		c->isr |= BIT(n);
	}
	if (!(chip_level_inputs(c) & BIT(n)))
		c->irr &= ~BIT(n);
}

int pic_ack(struct pic *p)
{
	struct chip *c = &p->chip[0];
	int n = chip_request(c, true);

	if (n >= 0)
		chip_ack(c, n);
	if (n == CASCADE && !c->single) {
		c = &p->chip[1];
		n = chip_request(c, false);
		if (n >= 0)
			chip_ack(c, n);
	}
	pic_update(p);
	/* A request that went away in between reads as input 7, and no ISR bit tells of it. */
	return c->base | (n < 0 ? 7 : n);
}

static void pic_set_line(void *opaque, int line, int level)
{
	struct pic *p = opaque;

	if (level && !(p->chip[line >> 3].lines & BIT(line & 7)))
		p->rises[line]++;
	chip_set_line(&p->chip[line >> 3], line & 7, level != 0);
	pic_update(p);
}

struct irq pic_irq(struct pic *p, int n)
{
	return (struct irq){.fn = pic_set_line, .opaque = p, .line = n & 15};
}

bool pic_irq_pending(const struct pic *p, int n)
{
	return p->chip[(n >> 3) & 1].irr & BIT(n & 7);
}

bool pic_irq_masked(const struct pic *p, int n)
{
	if (n >= 8 && (p->chip[0].imr & BIT(CASCADE)))
		return true;
	return p->chip[(n >> 3) & 1].imr & BIT(n & 7);
}

u64 pic_irq_count(const struct pic *p, int n)
{
	return p->rises[n & 15];
}

void pic_print(const struct pic *p, struct text *out)
{
	for (int i = 0; i < 2; i++) {
		const struct chip *c = &p->chip[i];

		text_printf(out, "pic%d: irr=%02x imr=%02x isr=%02x hprio=%d irq_base=%02x rr_sel=%d elcr=%02x fnm=%d\n", i, c->irr, c->imr,
			    c->isr, (c->lowest + 1) & 7, c->base, c->read_isr, c->elcr, c->sfnm);
	}
}

static void chip_icw1(struct chip *c, u8 value)
{
	c->want_icw4 = value & ICW1_IC4;
	c->single = value & ICW1_SNGL;
	c->level = value & ICW1_LTIM;
	c->imr = 0;
	c->isr = 0;
	/* The edge detectors start over: an input that is high now must fall first. */
	c->irr = c->lines & chip_level_inputs(c);
	c->lowest = 7;
	c->sfnm = c->auto_eoi = c->rotate_auto_eoi = false;
	c->special_mask = c->poll = c->read_isr = false;
	c->init_step = 2;
}

static void chip_ocw2(struct chip *c, u8 value)
{
	int n = value & 7;

	switch (value & (OCW2_ROTATE | OCW2_SPECIFIC | OCW2_EOI)) {
	case OCW2_ROTATE:
		c->rotate_auto_eoi = true;
		return;
	case 0:
		c->rotate_auto_eoi = false;
		return;
	case OCW2_ROTATE | OCW2_SPECIFIC:
		c->lowest = n;
		return;
	case OCW2_SPECIFIC:
		return;
	}
	/* A non-specific EOI ends the service of highest priority; in special mask mode those that the mask hides do not count. */
	if (!(value & OCW2_SPECIFIC))
		n = chip_highest(c, c->special_mask ? c->isr & ~c->imr : c->isr);
	if (n < 0)
		return;
	c->isr &= ~BIT(n);
	if (value & OCW2_ROTATE)
		c->lowest = n;
}

static void chip_ocw3(struct chip *c, u8 value)
{
	if (value & OCW3_ESMM)
		c->special_mask = value & OCW3_SMM;
	c->poll = value & OCW3_POLL;
	if (!c->poll && (value & OCW3_RR))
		c->read_isr = value & OCW3_RIS;
}

static void chip_write_data(struct chip *c, u8 value)
{
	switch (c->init_step) {
	case 2:
		c->base = value & 0xf8;
		c->init_step = !c->single ? 3 : c->want_icw4 ? 4 : 0;
		return;
	case 3: /* ICW3 says where the slave is; a PC's is at input 2, by its wiring */
		c->init_step = c->want_icw4 ? 4 : 0;
		return;
	case 4:
		c->sfnm = value & ICW4_SFNM;
		c->auto_eoi = value & ICW4_AEOI;
		c->init_step = 0;
		return;
	}
	c->imr = value;
}

static void pic_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct pic *p = opaque;
	struct chip *c = &p->chip[(port & 0x80) != 0];

	(void)size;
	if (port & 1)
		chip_write_data(c, value);
	else if (value & ICW1_INIT)
		chip_icw1(c, value);
	else if (value & OCW3)
		chip_ocw3(c, value);
	else
		chip_ocw2(c, value);
	pic_update(p);
}

static u32 pic_read(void *opaque, u16 port, unsigned size)
{
	struct pic *p = opaque;
	struct chip *c = &p->chip[(port & 0x80) != 0];

	(void)size;
	if (c->poll) {
		/* The read that follows a poll command is the acknowledge cycle. */
		int n = chip_request(c, c == &p->chip[0]);

		c->poll = false;
		if (n < 0)
			return 0;
		chip_ack(c, n);
		pic_update(p);
		return 0x80 | n;
	}
	if (port & 1)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static u32 elcr_read(void *opaque, u16 port, unsigned size)
{
	struct pic *p = opaque;

	(void)size;
	return p->chip[port & 1].elcr;
}

static void elcr_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct pic *p = opaque;
	struct chip *c = &p->chip[port & 1];
	u8 new = value &elcr_writable[port & 1];
	u8 changed = new ^ c->elcr;

	(void)size;
	c->elcr = new;
	/* What becomes level-triggered follows its line; what becomes edge-triggered has seen no edge yet. */
	c->irr = (c->irr & ~changed) | (c->lines & changed & new);
	pic_update(p);
}

static void pic_reset(void *opaque)
{
	struct pic *p = opaque;

	for (int i = 0; i < 2; i++)
		p->chip[i] = (struct chip){.base = i ? 0x70 : 0x08, .imr = i ? 0xff : 0xf8, .lowest = 7};
	pic_update(p);
}

static void pic_save(void *opaque, struct state *s)
{
	struct pic *p = opaque;

	for (int i = 0; i < 2; i++) {
		const struct chip *c = &p->chip[i];
		const u8 fields[] = {c->irr,	      c->imr,	    c->isr,	c->lines, c->elcr, c->base,	c->lowest,
				     c->init_step,    c->want_icw4, c->single,	c->level, c->sfnm, c->auto_eoi, c->rotate_auto_eoi,
				     c->special_mask, c->poll,	    c->read_isr};

		state_put(s, fields, sizeof(fields));
	}
}

static void chip_load(struct chip *c, int i, struct state *s)
{
	c->irr = state_get_u8(s);
	c->imr = state_get_u8(s);
	c->isr = state_get_u8(s);
	c->lines = state_get_u8(s);
	c->elcr = state_get_u8(s);
	c->base = state_get_u8(s);
	c->lowest = state_get_u8_max(s, 7);
	c->init_step = state_get_u8_max(s, 4);
	c->want_icw4 = state_get_bool(s);
	c->single = state_get_bool(s);
	c->level = state_get_bool(s);
	c->sfnm = state_get_bool(s);
	c->auto_eoi = state_get_bool(s);
	c->rotate_auto_eoi = state_get_bool(s);
	c->special_mask = state_get_bool(s);
	c->poll = state_get_bool(s);
	c->read_isr = state_get_bool(s);
	if ((c->elcr & ~elcr_writable[i]) || (c->base & 7) || c->init_step == 1)
		s->error = true;
}

/* Whether the master sees what the slave asks for: pic_update would find nothing to do. */
static bool cascade_is_sound(const struct chip chip[2])
{
	return !(chip[0].irr & BIT(CASCADE)) == (chip[0].single || chip_request(&chip[1], false) < 0);
}

static void pic_load(void *opaque, struct state *s)
{
	struct pic *p = opaque;
	struct chip chip[2];

	for (int i = 0; i < 2; i++)
		chip_load(&chip[i], i, s);
	if (!s->error && !cascade_is_sound(chip))
		s->error = true;
	if (s->error)
		return;
	p->chip[0] = chip[0];
	p->chip[1] = chip[1];
	pic_update(p);
}

static void pic_free(void *opaque)
{
	free(opaque);
}

struct pic *pic_create(struct vm *vm, struct irq intr_out)
{
	struct pic *p = calloc(1, sizeof(*p));

	if (!p)
		fatal("out of memory");
	p->vm = vm;
	p->intr_out = intr_out;
	pic_reset(p);
	trace_ports(vm, io_register(vm, &(struct port_range){PIC_MASTER, PIC_MASTER + 1, 1, pic_read, pic_write, p}), REGS_PIC);
	trace_ports(vm, io_register(vm, &(struct port_range){PIC_SLAVE, PIC_SLAVE + 1, 1, pic_read, pic_write, p}), REGS_PIC);
	trace_ports(vm, io_register(vm, &(struct port_range){PIC_ELCR, PIC_ELCR + 1, 1, elcr_read, elcr_write, p}), REGS_PIC);
	device_register(vm, &(struct device){"pic", 1, p, pic_reset, pic_save, pic_load, pic_free});
	return p;
}
