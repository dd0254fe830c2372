/*
 * System control ports. The DMA controllers (8237 pair and page registers) are latches: what is written is read back, status reads "nothing
 * requested, nothing done", and nothing is ever transferred, for there is no ISA DMA device.
 * Invariant: the A20 gate's only state is vm->mem.a20_open, shared with the i8042; it is saved here.
 */
#include "monitor/devices/sysctl.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/devices/checked_state.h"
#include "monitor/io.h"
#include "monitor/log.h"
#include "monitor/vm.h"

#define PORT_92	       0x92
#define P92_RESET      0x01 /* 0 -> 1 resets */
#define P92_A20	       0x02
#define CF9_SYSTEM     0x02 /* hard reset: of the chipset's kept registers as well */
#define CF9_CPU	       0x04 /* 0 -> 1 resets */
#define CF9_FULL       0x08
#define DMA1_FIRST     0x00
#define DMA1_LAST      0x0f
#define DMA1_STATUS    0x08
#define DMA2_FIRST     0xc0
#define DMA2_LAST      0xdf
#define DMA2_STATUS    0xd0
#define DMA_PAGE_FIRST 0x80 /* 80h itself is the POST code */
#define DMA_PAGE_LAST  0x8f

struct sysctl {
	struct vm *vm;
	u8 port92; /* bits other than A20 */
	u8 cf9;
	u8 dma1[DMA1_LAST - DMA1_FIRST + 1];
	u8 dma2[DMA2_LAST - DMA2_FIRST + 1];
	u8 page[DMA_PAGE_LAST - DMA_PAGE_FIRST + 1];
};

static u32 port92_read(void *opaque, u16 port, unsigned size)
{
	struct sysctl *c = opaque;

	(void)port;
	(void)size;
	return c->port92 | (c->vm->mem.a20_open ? P92_A20 : 0);
}

static void port92_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct sysctl *c = opaque;
	bool reset = (value & P92_RESET) && !(c->port92 & P92_RESET);

	(void)port;
	(void)size;
	c->port92 = value & ~P92_A20;
	vm_set_a20(c->vm, value & P92_A20);
	if (reset)
		vm_request_reset(c->vm);
}

u8 sysctl_reset_read(const struct sysctl *c)
{
	return c->cf9;
}

void sysctl_reset_write(struct sysctl *c, u8 value)
{
	bool reset = (value & CF9_CPU) && !(c->cf9 & CF9_CPU);

	c->cf9 = value & (CF9_SYSTEM | CF9_CPU | CF9_FULL);
	if (!reset)
		return;
	c->vm->hard_reset = value & CF9_SYSTEM;
	vm_request_reset(c->vm);
}

/* The latch behind a DMA or POST port. */
static u8 *latch(struct sysctl *c, u16 port)
{
	if (port <= DMA1_LAST)
		return &c->dma1[port - DMA1_FIRST];
	if (port <= DMA_PAGE_LAST)
		return &c->page[port - DMA_PAGE_FIRST];
	return &c->dma2[port - DMA2_FIRST];
}

static u32 latch_read(void *opaque, u16 port, unsigned size)
{
	(void)size;
	return port == DMA1_STATUS || port == DMA2_STATUS ? 0 : *latch(opaque, port);
}

static void latch_write(void *opaque, u16 port, u32 value, unsigned size)
{
	(void)size;
	*latch(opaque, port) = value;
}

static void sysctl_reset(void *opaque)
{
	struct sysctl *c = opaque;

	c->port92 = c->cf9 = 0;
	memset(c->dma1, 0, sizeof(c->dma1));
	memset(c->dma2, 0, sizeof(c->dma2));
	memset(c->page, 0, sizeof(c->page));
	/* Firmware opens the gate long before a kernel runs. */
	vm_set_a20(c->vm, true);
}

static void sysctl_save(void *opaque, struct state *s)
{
	struct sysctl *c = opaque;

	state_put_u8(s, c->vm->mem.a20_open);
	state_put_u8(s, c->port92);
	state_put_u8(s, c->cf9);
	state_put_u8(s, c->vm->hard_reset);
	state_put(s, c->dma1, sizeof(c->dma1));
	state_put(s, c->dma2, sizeof(c->dma2));
	state_put(s, c->page, sizeof(c->page));
}

static void sysctl_load(void *opaque, struct state *s)
{
	struct sysctl *c = opaque;
	struct sysctl n = {.vm = c->vm};
	bool a20 = state_get_bool(s), hard_reset;

	n.port92 = state_get_u8(s);
	n.cf9 = state_get_u8(s);
	hard_reset = state_get_bool(s);
	state_get(s, n.dma1, sizeof(n.dma1));
	state_get(s, n.dma2, sizeof(n.dma2));
	state_get(s, n.page, sizeof(n.page));
	if ((n.port92 & P92_A20) || (n.cf9 & ~(CF9_SYSTEM | CF9_CPU | CF9_FULL)))
		s->error = true;
	if (s->error)
		return;
	*c = n;
	c->vm->hard_reset = hard_reset;
	vm_set_a20(c->vm, a20);
}

static void sysctl_free(void *opaque)
{
	free(opaque);
}

struct sysctl *sysctl_create(struct vm *vm)
{
	struct sysctl *c = calloc(1, sizeof(*c));

	if (!c)
		fatal("out of memory");
	c->vm = vm;
	sysctl_reset(c);
	io_register(vm, &(struct port_range){PORT_92, PORT_92, 1, port92_read, port92_write, c});
	io_register(vm, &(struct port_range){DMA1_FIRST, DMA1_LAST, 1, latch_read, latch_write, c});
	io_register(vm, &(struct port_range){DMA_PAGE_FIRST, DMA_PAGE_LAST, 1, latch_read, latch_write, c});
	io_register(vm, &(struct port_range){DMA2_FIRST, DMA2_LAST, 1, latch_read, latch_write, c});
	device_register(vm, &(struct device){"sysctl", 1, c, sysctl_reset, sysctl_save, sysctl_load, sysctl_free});
	return c;
}
