/*
 * PCI configuration access. No device is on the bus yet; the bridge alone is there because kernels complain of a PC whose configuration
 * mechanism they cannot find, and take its presence as the proof that the mechanism works. Invariant: the address register answers
 * doubleword accesses only (PCI 3.2.2.3.2); smaller ones belong to whatever else lies at those ports.
 */
#include "monitor/devices/pci_host.h"

#include <stdlib.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/sysctl.h"
#include "monitor/io.h"
#include "monitor/log.h"
#include "monitor/vm.h"

#define PCI_ADDRESS   0xcf8
#define PCI_DATA      0xcfc
#define PORT_RESET    0xcf9
#define ADDR_ENABLE   0x80000000u
#define ADDR_FUNCTION 0x00ffff00u /* bus, device and function: 0 is the bridge's */
#define ADDR_REGISTER 0x000000fcu
#define ADDR_MASK     (ADDR_ENABLE | ADDR_FUNCTION | ADDR_REGISTER)

struct pci_host {
	struct sysctl *sysctl;
	u32 address;
};

/* The bridge's read-only configuration header: an Intel 440FX, which every kernel knows, revision 2. All other registers are 0. */
static const u32 bridge[] = {
	0x12378086, /* device, vendor */
	0x02000006, /* status: medium DEVSEL#; command: memory, bus master */
	0x06000002, /* class: host bridge; revision */
};

static u32 address_read(void *opaque, u16 port, unsigned size)
{
	struct pci_host *h = opaque;

	if (size == 4)
		return h->address;
	return size == 1 && port == PORT_RESET ? sysctl_reset_read(h->sysctl) : 0xffffffff;
}

static void address_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct pci_host *h = opaque;

	if (size == 4)
		h->address = value & ADDR_MASK;
	else if (size == 1 && port == PORT_RESET)
		sysctl_reset_write(h->sysctl, value);
}

static u32 data_read(void *opaque, u16 port, unsigned size)
{
	struct pci_host *h = opaque;
	u32 reg = (h->address & ADDR_REGISTER) / 4;

	(void)size;
	if (!(h->address & ADDR_ENABLE) || (h->address & ADDR_FUNCTION))
		return 0xffffffff;
	return reg < ARRAY_SIZE(bridge) ? bridge[reg] >> 8 * (port - PCI_DATA) : 0;
}

static void pci_reset(void *opaque)
{
	struct pci_host *h = opaque;

	h->address = 0;
}

static void pci_save(void *opaque, struct state *s)
{
	struct pci_host *h = opaque;

	state_put_u32(s, h->address);
}

static void pci_load(void *opaque, struct state *s)
{
	struct pci_host *h = opaque;
	u32 address = state_get_u32(s);

	if (address & ~ADDR_MASK)
		s->error = true;
	if (!s->error)
		h->address = address;
}

static void pci_free(void *opaque)
{
	free(opaque);
}

void pci_host_create(struct vm *vm, struct sysctl *sysctl)
{
	struct pci_host *h = calloc(1, sizeof(*h));

	if (!h)
		fatal("out of memory");
	h->sysctl = sysctl;
	io_register(vm, &(struct port_range){PCI_ADDRESS, PCI_ADDRESS + 3, 4, address_read, address_write, h});
	io_register(vm, &(struct port_range){PCI_DATA, PCI_DATA + 3, 4, data_read, NULL, h});
	device_register(vm, &(struct device){"pci_host", 1, h, pci_reset, pci_save, pci_load, pci_free});
}
