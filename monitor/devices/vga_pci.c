/*
 * The VGA as a PCI function: video memory in BAR 0, registers in BAR 2 (the VGA's ports 3C0h-3DFh at 400h, VBE's at 500h, 16 bits each),
 * the VGA BIOS in the expansion ROM. The legacy ports and the window at A0000h answer whatever the function's command register says.
 */
#include <string.h>

#include "monitor/devices/vga_state.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define BAR_MEMORY    0
#define BAR_REGISTERS 2
#define REGISTERS     0x1000u
#define ROM_SIZE      0x10000u
#define REG_PORTS     0x400u
#define REG_PORTS_END 0x420u
#define REG_VBE	      0x500u
#define REG_VBE_END   (REG_VBE + 2 * VGA_VBE_REGS)

static u32 register_read(void *opaque, u64 offset, unsigned size)
{
	struct vga *g = opaque;
	u32 value = 0;

	if (offset >= REG_PORTS && offset + size <= REG_PORTS_END) {
		for (unsigned i = 0; i < size; i++)
			value |= vga_port_read(g, (u16)(0x3c0 + offset - REG_PORTS + i), 1) << 8 * i;
		return value;
	}
	if (offset >= REG_VBE && offset + size <= REG_VBE_END) {
		for (unsigned i = 0; i < size; i++) {
			u64 at = offset + i - REG_VBE;
			value |= (u32)(u8)(vbe_read(g, (unsigned)(at >> 1)) >> 8 * (at & 1)) << 8 * i;
		}
		return value;
	}
	return 0xffffffff;
}

static void register_write(void *opaque, u64 offset, u32 value, unsigned size)
{
	struct vga *g = opaque;

	if (offset >= REG_PORTS && offset + size <= REG_PORTS_END) {
		for (unsigned i = 0; i < size; i++)
			vga_port_write(g, (u16)(0x3c0 + offset - REG_PORTS + i), value >> 8 * i & 0xff, 1);
	} else if (offset >= REG_VBE && offset + size <= REG_VBE_END && !(offset & 1) && size >= 2) {
		for (unsigned i = 0; i < size; i += 2)
			vbe_write(g, (unsigned)(offset + i - REG_VBE) >> 1, (u16)(value >> 8 * i));
	}
}

static void map_memory(struct pci_device *d, int bar, u64 base)
{
	struct vga *g = d->opaque;

	(void)bar;
	if (base == PCI_NOWHERE)
		memory_unmap(g->vm, g->offset);
	else
		memory_map(g->vm, base, VGA_MEMORY, g->offset, true);
}

static void map_registers(struct pci_device *d, int bar, u64 base)
{
	struct vga *g = d->opaque;

	(void)bar;
	mmio_move(g->vm, g->mmio, base == PCI_NOWHERE ? MEMORY_NOTHING : base);
}

static void map_rom(struct pci_device *d, int bar, u64 base)
{
	struct vga *g = d->opaque;

	(void)bar;
	if (base == PCI_NOWHERE)
		memory_unmap(g->vm, g->rom_offset);
	else
		memory_map(g->vm, base, ROM_SIZE, g->rom_offset, false);
}

u64 vga_frame_buffer(const struct vga *g)
{
	return g->pci.bus ? g->pci.mapped[BAR_MEMORY] : PCI_NOWHERE;
}

void vga_attach_pci(struct vga *g, struct pci_bus *bus)
{
	/* Vendor and device, class 0300 (VGA compatible), subsystem 1AF4:1100. */
	static const struct {
		u8 reg, value;
	} config[] = {{0x00, 0x34}, {0x01, 0x12}, {0x02, 0x11}, {0x03, 0x11}, {0x08, 0x02}, {0x0a, 0x00},
		      {0x0b, 0x03}, {0x2c, 0xf4}, {0x2d, 0x1a}, {0x2e, 0x00}, {0x2f, 0x11}};
	struct pci_device *d = &g->pci;

	d->name = "pci-vga";
	d->opaque = g;
	d->devfn = PCI_DEVFN(2, 0);
	for (size_t i = 0; i < ARRAY_SIZE(config); i++)
		d->config[config[i].reg] = config[i].value;
	g->mmio = mmio_register(&g->vm->mem, &(struct mmio_range){MEMORY_NOTHING, REGISTERS, register_read, register_write, g});
	trace_mmio(g->vm, g->mmio, REGS_VGA_MMIO);
	d->bar[BAR_MEMORY] = (struct pci_bar){.size = VGA_MEMORY, .prefetchable = true, .map = map_memory};
	d->bar[BAR_REGISTERS] = (struct pci_bar){.size = REGISTERS, .map = map_registers};
	if (g->rom) {
		g->rom_offset = memory_alloc(&g->vm->mem, ROM_SIZE);
		memcpy(g->vm->mem.ram + g->rom_offset, g->rom, g->rom_size);
		d->bar[PCI_ROM_BAR] = (struct pci_bar){.size = ROM_SIZE, .map = map_rom};
	}
	pci_attach(bus, d);
}
