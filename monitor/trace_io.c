/*
 * Device accesses under -d io and -d trace:DEVICE: which device, which of its registers, what was read or written.
 *
 * The tables below are all that is to be known of a device. A table of ports that cannot move is keyed by the port's number, one of a range
 * that can (or of several alike) by the offset in it. Invariant: each table ascends and ends in a NULL; an access to a key that has no name
 * of its own is named by the register before it, "+n".
 */
#include <stdio.h>
#include <string.h>

#include "monitor/trace.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"

struct reg_name {
	u32 key;
	const char *name;
};

static const struct reg_name acpi_pm_names[] = {{0, "PM1 status"}, {2, "PM1 enable"}, {4, "PM1 control"}, {8, "timer"}, {0, NULL}};
static const struct reg_name acpi_smi_names[] = {{0xb2, "SMI command"}, {0xb3, "SMI status"}, {0, NULL}};
static const struct reg_name dma_names[] = {{0x00, "channel 0 address"},
					    {0x01, "channel 0 count"},
					    {0x02, "channel 1 address"},
					    {0x03, "channel 1 count"},
					    {0x04, "channel 2 address"},
					    {0x05, "channel 2 count"},
					    {0x06, "channel 3 address"},
					    {0x07, "channel 3 count"},
					    {0x08, "command/status"},
					    {0x09, "request"},
					    {0x0a, "mask one"},
					    {0x0b, "mode"},
					    {0x0c, "clear flip-flop"},
					    {0x0d, "master clear"},
					    {0x0e, "clear mask"},
					    {0x0f, "mask all"},
					    {0x80, "POST code"},
					    {0x81, "channel 2 page"},
					    {0x82, "channel 3 page"},
					    {0x83, "channel 1 page"},
					    {0x84, "spare page"},
					    {0x87, "channel 0 page"},
					    {0x88, "spare page"},
					    {0x89, "channel 6 page"},
					    {0x8a, "channel 7 page"},
					    {0x8b, "channel 5 page"},
					    {0x8c, "spare page"},
					    {0x8f, "channel 4 page"},
					    {0xc0, "channel 4 address"},
					    {0xc2, "channel 4 count"},
					    {0xc4, "channel 5 address"},
					    {0xc6, "channel 5 count"},
					    {0xc8, "channel 6 address"},
					    {0xca, "channel 6 count"},
					    {0xcc, "channel 7 address"},
					    {0xce, "channel 7 count"},
					    {0xd0, "command/status"},
					    {0xd2, "request"},
					    {0xd4, "mask one"},
					    {0xd6, "mode"},
					    {0xd8, "clear flip-flop"},
					    {0xda, "master clear"},
					    {0xdc, "clear mask"},
					    {0xde, "mask all"},
					    {0, NULL}};
static const struct reg_name fdc_names[] = {{0x3f0, "SRA"},	{0x3f1, "SRB"},	 {0x3f2, "DOR"},     {0x3f3, "TDR"},
					    {0x3f4, "MSR/DSR"}, {0x3f5, "FIFO"}, {0x3f7, "DIR/CCR"}, {0, NULL}};
static const struct reg_name fw_cfg_names[] = {{0x510, "selector"}, {0x511, "data"}, {0x514, "DMA address"}, {0, NULL}};
static const struct reg_name hpet_names[] = {{0x000, "capabilities"},	       {0x010, "configuration"},
					     {0x020, "interrupt status"},      {0x0f0, "counter"},
					     {0x100, "timer 0 configuration"}, {0x108, "timer 0 comparator"},
					     {0x110, "timer 0 FSB route"},     {0x120, "timer 1 configuration"},
					     {0x128, "timer 1 comparator"},    {0x130, "timer 1 FSB route"},
					     {0x140, "timer 2 configuration"}, {0x148, "timer 2 comparator"},
					     {0x150, "timer 2 FSB route"},     {0, NULL}};
static const struct reg_name i8042_names[] = {{0x60, "data"}, {0x64, "command/status"}, {0, NULL}};
static const struct reg_name ide_names[] = {{0x170, "secondary data"},
					    {0x171, "secondary error/feature"},
					    {0x172, "secondary count"},
					    {0x173, "secondary LBA low"},
					    {0x174, "secondary LBA mid"},
					    {0x175, "secondary LBA high"},
					    {0x176, "secondary device"},
					    {0x177, "secondary command/status"},
					    {0x1f0, "primary data"},
					    {0x1f1, "primary error/feature"},
					    {0x1f2, "primary count"},
					    {0x1f3, "primary LBA low"},
					    {0x1f4, "primary LBA mid"},
					    {0x1f5, "primary LBA high"},
					    {0x1f6, "primary device"},
					    {0x1f7, "primary command/status"},
					    {0x376, "secondary control"},
					    {0x3f6, "primary control"},
					    {0, NULL}};
static const struct reg_name ide_bm_names[] = {{0, "primary bus master command"},
					       {2, "primary bus master status"},
					       {4, "primary PRD table"},
					       {8, "secondary bus master command"},
					       {10, "secondary bus master status"},
					       {12, "secondary PRD table"},
					       {0, NULL}};
static const struct reg_name ioapic_names[] = {{0x00, "select"}, {0x10, "window"}, {0, NULL}};
static const struct reg_name lapic_names[] = {{0x020, "ID"},
					      {0x030, "version"},
					      {0x080, "TPR"},
					      {0x090, "APR"},
					      {0x0a0, "PPR"},
					      {0x0b0, "EOI"},
					      {0x0d0, "LDR"},
					      {0x0e0, "DFR"},
					      {0x0f0, "SVR"},
					      {0x100, "ISR"},
					      {0x180, "TMR"},
					      {0x200, "IRR"},
					      {0x280, "ESR"},
					      {0x300, "ICR low"},
					      {0x310, "ICR high"},
					      {0x320, "LVT timer"},
					      {0x330, "LVT thermal"},
					      {0x340, "LVT performance"},
					      {0x350, "LINT0"},
					      {0x360, "LINT1"},
					      {0x370, "LVT error"},
					      {0x380, "initial count"},
					      {0x390, "current count"},
					      {0x3e0, "divide"},
					      {0, NULL}};
static const struct reg_name lpt_names[] = {{0, "data"}, {1, "status"}, {2, "control"}, {0, NULL}};
static const struct reg_name pci_names[] = {{0xcf8, "address"}, {0xcfc, "data"}, {0, NULL}};
static const struct reg_name pic_names[] = {{0x20, "master command"},
					    {0x21, "master data"},
					    {0xa0, "slave command"},
					    {0xa1, "slave data"},
					    {0x4d0, "master ELCR"},
					    {0x4d1, "slave ELCR"},
					    {0, NULL}};
static const struct reg_name pit_names[] = {{0x40, "counter 0"}, {0x41, "counter 1"}, {0x42, "counter 2"},
					    {0x43, "control"},	 {0x61, "port B"},    {0, NULL}};
static const struct reg_name rtc_names[] = {{0x70, "index"}, {0x71, "data"}, {0, NULL}};
static const struct reg_name sysctl_names[] = {{0x92, "A20 and reset"}, {0, NULL}};
static const struct reg_name uart_names[] = {{0, "data/DLL"}, {1, "IER/DLM"}, {2, "IIR/FCR"}, {3, "LCR"}, {4, "MCR"},
					     {5, "LSR"},      {6, "MSR"},     {7, "SCR"},     {0, NULL}};
static const struct reg_name vga_names[] = {{0x1ce, "VBE index"},
					    {0x1cf, "VBE data"},
					    {0x3b4, "CRTC index"},
					    {0x3b5, "CRTC data"},
					    {0x3ba, "status 1/feature"},
					    {0x3c0, "attribute index/data"},
					    {0x3c1, "attribute read"},
					    {0x3c2, "status 0/misc output"},
					    {0x3c3, "enable"},
					    {0x3c4, "sequencer index"},
					    {0x3c5, "sequencer data"},
					    {0x3c6, "DAC mask"},
					    {0x3c7, "DAC read index/state"},
					    {0x3c8, "DAC write index"},
					    {0x3c9, "DAC data"},
					    {0x3ca, "feature"},
					    {0x3cc, "misc output"},
					    {0x3ce, "graphics index"},
					    {0x3cf, "graphics data"},
					    {0x3d4, "CRTC index"},
					    {0x3d5, "CRTC data"},
					    {0x3da, "status 1/feature"},
					    {0, NULL}};
static const struct reg_name vga_memory_names[] = {{0, "A0000"}, {0, NULL}};
static const struct reg_name vga_mmio_names[] = {{0x400, "port 3c0"}, {0x500, "VBE index 0"}, {0, NULL}};

static const struct {
	enum trace_device device;
	bool moves; /* keys are offsets */
	const struct reg_name *names;
} tables[REGS_COUNT] = {
	[REGS_ACPI_PM] = {TRACE_ACPI_PM, true, acpi_pm_names},
	[REGS_ACPI_SMI] = {TRACE_ACPI_PM, false, acpi_smi_names},
	[REGS_DMA] = {TRACE_DMA, false, dma_names},
	[REGS_FDC] = {TRACE_FDC, false, fdc_names},
	[REGS_FW_CFG] = {TRACE_FW_CFG, false, fw_cfg_names},
	[REGS_I8042] = {TRACE_I8042, false, i8042_names},
	[REGS_HPET] = {TRACE_HPET, true, hpet_names},
	[REGS_IDE] = {TRACE_IDE, false, ide_names},
	[REGS_IDE_BM] = {TRACE_IDE, true, ide_bm_names},
	[REGS_IOAPIC] = {TRACE_IOAPIC, true, ioapic_names},
	[REGS_LAPIC] = {TRACE_LAPIC, true, lapic_names},
	[REGS_LPT] = {TRACE_LPT, true, lpt_names},
	[REGS_PCI] = {TRACE_PCI, false, pci_names},
	[REGS_PIC] = {TRACE_PIC, false, pic_names},
	[REGS_PIT] = {TRACE_PIT, false, pit_names},
	[REGS_RTC] = {TRACE_RTC, false, rtc_names},
	[REGS_SYSCTL] = {TRACE_SYSCTL, false, sysctl_names},
	[REGS_UART] = {TRACE_UART, true, uart_names},
	[REGS_VGA] = {TRACE_VGA, false, vga_names},
	[REGS_VGA_MEMORY] = {TRACE_VGA, true, vga_memory_names},
	[REGS_VGA_MMIO] = {TRACE_VGA, true, vga_mmio_names},
};

static const char *const devices[] = {
#define X(n, name) name,
	TRACE_DEVICES(X)
#undef X
};
_Static_assert(ARRAY_SIZE(devices) == TRACE_DEVICE_COUNT && TRACE_DEVICE_COUNT <= 64, "a bit for each device");

const char *trace_device_name(enum trace_device device)
{
	return devices[device];
}

bool trace_device_bit(const char *name, size_t n, u64 *bit)
{
	for (unsigned i = 0; i < TRACE_DEVICE_COUNT; i++) {
		if (strlen(devices[i]) == n && memcmp(devices[i], name, n) == 0) {
			*bit = 1ull << i;
			return true;
		}
	}
	return false;
}

enum trace_device trace_regs_device(enum trace_regs regs)
{
	return tables[regs].device;
}

void trace_register_name(enum trace_regs regs, u32 key, char *text, size_t size)
{
	const struct reg_name *n = tables[regs].names, *found = NULL;

	for (; n && n->name && n->key <= key; n++)
		found = n;
	if (!found)
		snprintf(text, size, "+%#x", key);
	else if (found->key == key)
		snprintf(text, size, "%s", found->name);
	else
		snprintf(text, size, "%s+%#x", found->name, key - found->key);
}

void trace_ports(struct vm *vm, unsigned range, enum trace_regs regs)
{
	vm->port_regs[range] = (u8)regs;
}

void trace_mmio(struct vm *vm, unsigned region, enum trace_regs regs)
{
	vm->mem.mmio_regs[region] = (u8)regs;
}

/* where: "port 0020". regs: REGS_NONE for what has no names; `claimed` tells whether there is a device at all. */
static void print(struct vm *vm, const char *where, enum trace_regs regs, u32 key, bool claimed, u32 value, unsigned size, bool write)
{
	char name[64], who[96] = "";

	if (!log_on(LOG_IO) && (!regs || !(vm->opt.log_traces & 1ull << tables[regs].device)))
		return;
	if (regs) {
		trace_register_name(regs, key, name, sizeof(name));
		snprintf(who, sizeof(who), "  %s: %s", devices[tables[regs].device], name);
	}
	log_print("io: %s %s, %u bytes %s %#x%s%s  (eip %08x)\n", write ? "write" : "read", where, size, write ? "<-" : "->", value, who,
		  claimed ? "" : "  no device answers", vm->vcpu ? vm->vcpu->eip : 0);
}

void trace_port(struct vm *vm, int range, u16 port, u32 value, unsigned size, bool write)
{
	enum trace_regs regs = range < 0 ? REGS_NONE : vm->port_regs[range];
	char where[32];

	snprintf(where, sizeof(where), "port %04x", port);
	print(vm, where, regs, tables[regs].moves ? (u32)port - vm->ports[range].first : port, range >= 0, value, size, write);
}

void trace_memory(struct vm *vm, int region, u64 pa, u32 value, unsigned size, bool write)
{
	enum trace_regs regs = region < 0 ? REGS_NONE : vm->mem.mmio_regs[region];
	char where[32];

	snprintf(where, sizeof(where), "memory %08llx", (unsigned long long)pa);
	print(vm, where, regs, region < 0 ? 0 : (u32)(pa - vm->mem.mmio[region].base), region >= 0, value, size, write);
}
