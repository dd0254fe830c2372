/*
 * Port I/O and interrupt lines: the one registry through which every device is reached.
 * Handlers run with vm->lock held, on the vCPU's thread. The port number handed to them is the absolute one.
 */
#ifndef RINGER_IO_H
#define RINGER_IO_H

#include "monitor/types.h"

struct vm;
struct state;

/* size is 1, 2 or 4 bytes. A device that implements only bytes sets max_size = 1: wider accesses are split, low byte first. */
typedef u32 port_read_fn(void *opaque, u16 port, unsigned size);
typedef void port_write_fn(void *opaque, u16 port, u32 value, unsigned size);

struct port_range {
	u16 first, last; /* inclusive */
	unsigned max_size;
	port_read_fn *read;   /* NULL: reads as all ones */
	port_write_fn *write; /* NULL: ignored */
	void *opaque;
};

#define MAX_PORT_RANGES 64
#define IO_NOWHERE	0x10000u
/* Registers a range; at start-up only. Overlaps and table overflow are programming errors and fatal(). Returns an index for io_move. */
unsigned io_register(struct vm *vm, const struct port_range *r);
/* The same for a range that claims no port until io_move; what r says of first and last counts only as its length. */
unsigned io_register_nowhere(struct vm *vm, const struct port_range *r);
/*
 * The range answers from port `base` on, or nowhere (IO_NOWHERE, or it would end beyond FFFFh). A port that two ranges claim is the
 * earlier registered one's, until that moves away. Lock held, vCPU thread or start-up.
 */
void io_move(struct vm *vm, unsigned index, u32 base);
/* Take vm->lock themselves. vCPU thread. An unclaimed port reads all ones and ignores writes. */
u32 io_read(struct vm *vm, u16 port, unsigned size);
void io_write(struct vm *vm, u16 port, u32 value, unsigned size);

/* An interrupt line's input side: level-triggered wires; edge detection is the receiver's. */
typedef void irq_fn(void *opaque, int line, int level);
struct irq {
	irq_fn *fn;
	void *opaque;
	int line;
};
static inline void irq_set(const struct irq *irq, int level)
{
	if (irq->fn)
		irq->fn(irq->opaque, irq->line, level);
}

/* Every device registers itself so that reset, save and load find it. Order of registration is the order of all three. */
struct device {
	const char *name; /* unique; names the section of a saved state */
	u32 version;	  /* of the saved format, >= 1 */
	void *opaque;
	void (*reset)(void *opaque);
	void (*save)(void *opaque, struct state *s);
	void (*load)(void *opaque, struct state *s); /* validates every field; sets s->error on nonsense */
	void (*free)(void *opaque);
};
#define MAX_DEVICES 64
void device_register(struct vm *vm, const struct device *d);
/* The opaque pointer of the device of that name, or NULL. */
void *device_find(const struct vm *vm, const char *name);

#endif
