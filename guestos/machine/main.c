/*
 * A kernel that prints what firmware and operating systems find when they ask what this machine is: CMOS, the firmware configuration
 * device's directory, the configuration space of every PCI function. tests/firmware/compare.py compares what it prints on Ringer and on
 * QEMU.
 *
 * With "port" or "mmio" on its command line it reads a port, or a memory-mapped register, without end: it says so, and keeps the tick
 * going, which prints a dot a second.
 */
#include "guestos/lib/lib.h"

enum { CMOS_INDEX = 0x70, PCI_ADDRESS = 0xcf8, PCI_DATA = 0xcfc, FW_CFG_SELECT = 0x510, FW_CFG_DATA = 0x511 };
enum { FW_CFG_ID = 1, FW_CFG_DIR = 0x19, CMOS_SIZE = 128 };

static void print_cmos(void)
{
	for (u32 i = 0; i < CMOS_SIZE; i++) {
		outb(CMOS_INDEX, (u8)i);
		print("cmos %02x %02x\n", i, inb(CMOS_INDEX + 1));
	}
}

static u32 fw_cfg_be(unsigned bytes)
{
	u32 x = 0;

	while (bytes--)
		x = x << 8 | inb(FW_CFG_DATA);
	return x;
}

static void print_fw_cfg(void)
{
	char name[57];
	u32 count;

	outw(FW_CFG_SELECT, 0);
	print("fw_cfg signature %08x\n", fw_cfg_be(4));
	outw(FW_CFG_SELECT, FW_CFG_ID);
	print("fw_cfg id %08x\n", fw_cfg_be(4));
	outw(FW_CFG_SELECT, FW_CFG_DIR);
	count = fw_cfg_be(4);
	for (u32 i = 0; i < count; i++) {
		u32 size = fw_cfg_be(4);

		fw_cfg_be(4); /* its number, which nobody is to rely on */
		for (u32 k = 0; k < 56; k++)
			name[k] = (char)inb(FW_CFG_DATA);
		name[56] = 0;
		print("fw_cfg file:%s %u\n", name, size);
	}
}

static u32 config_read(u32 devfn, u32 reg)
{
	outl(PCI_ADDRESS, 0x80000000u | devfn << 8 | reg);
	return inl(PCI_DATA);
}

static void print_pci(void)
{
	for (u32 devfn = 0; devfn < 256; devfn++) {
		if (config_read(devfn, 0) == 0xffffffffu)
			continue;
		for (u32 reg = 0; reg < 256; reg += 4)
			print("pci %02x.%x %02x %08x\n", devfn >> 3, devfn & 7, reg, config_read(devfn, reg));
	}
}

static int tick(struct state *s)
{
	(void)s;
	outb(0x20, 0x20);
	if (++ticks % HZ == 0)
		con_putc('.');
	return 1;
}

static void hammer_port(void)
{
	print("reading a port\n");
	asm volatile("sti\n1:\tinb $0x60, %%al\n\tjmp 1b" ::: "eax");
}

static void hammer_mmio(void)
{
	print("reading a register\n");
	asm volatile("sti\n1:\tmovl 0xfee00020, %%eax\n\tjmp 1b" ::: "eax");
}

void kernel_main(const char *cmdline)
{
	timer_init();
	trap_hook[V_IRQ0] = tick;
	if (strstr(cmdline, "port"))
		hammer_port();
	if (strstr(cmdline, "mmio"))
		hammer_mmio();
	print_cmos();
	print_fw_cfg();
	print_pci();
	print("end\n");
	machine_exit(0);
}
