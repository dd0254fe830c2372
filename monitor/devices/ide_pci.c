/*
 * The PIIX3's IDE function: its place in PCI configuration space, and its bus master (82371SB data sheet 290550, 2.7).
 *
 * A drive's chunk is moved as far as the descriptors reach; where they end too early, or the guest has stopped the bus master, the drive
 * keeps asking until the guest starts it again or gives the command up. Each descriptor moves at least two bytes, so the work is bounded by
 * the command's length whatever a table looks like, also one without an end.
 */
#include <string.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/ide_internal.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define PIIX3_VENDOR   0x8086
#define PIIX3_IDE      0x7010
#define CFG_COMMAND    0x04
#define CFG_MASTER     0x04 /* bus master enable */
#define CFG_CLASS      0x09
#define CFG_IDETIM     0x40 /* two 16-bit registers */
#define CFG_SIDETIM    0x44
#define IDETIM_DECODE  0x80 /* of the high byte */
#define BM_BAR	       4
#define BM_PORTS       16
#define BM_PER_CHANNEL 8

enum { BM_COMMAND = 0, BM_STATUS = 2, BM_TABLE = 4 };
enum { BMC_START = 0x01, BMC_TO_MEMORY = 0x08 };
enum { BMS_ACTIVE = 0x01, BMS_ERROR = 0x02, BMS_INTERRUPT = 0x04, BMS_CAPABLE = 0x60 };
#define PRD_BYTES 8u
#define PRD_LAST  0x80000000u

bool ide_pci_decodes(const struct ide_channel *ch)
{
	const struct ide *ide = ch->ide;

	return !ide->on_pci || (ide->pci.config[CFG_IDETIM + 2 * ch->number + 1] & IDETIM_DECODE);
}

static bool may_master(const struct ide *ide)
{
	return ide->on_pci && (ide->pci.config[CFG_COMMAND] & CFG_MASTER);
}

void ide_bm_reset(struct ide_channel *ch)
{
	ch->bm_command = ch->bm_status = 0;
	ch->bm_table = ch->bm_next = ch->bm_addr = ch->bm_bytes = 0;
	ch->bm_last = false;
}

void ide_bm_interrupt(struct ide_channel *ch)
{
	ch->bm_status |= BMS_INTERRUPT;
}

/* The next descriptor; false at the end of the table, or if there is none to be read. */
static bool next_descriptor(struct ide_channel *ch)
{
	u32 prd[2];

	if (ch->bm_last) {
		ch->bm_status &= (u8)~BMS_ACTIVE;
		return false;
	}
	if (!may_master(ch->ide) || !phys_read(ch->ide->vm, ch->bm_next, prd, sizeof(prd))) {
		ch->bm_status = (u8)((ch->bm_status & ~BMS_ACTIVE) | BMS_ERROR);
		ch->bm_last = true;
		return false;
	}
	ch->bm_next += PRD_BYTES;
	ch->bm_addr = prd[0] & ~1u;
	ch->bm_bytes = prd[1] & 0xfffe;
	if (!ch->bm_bytes)
		ch->bm_bytes = 0x10000;
	ch->bm_last = prd[1] & PRD_LAST;
	return true;
}

void ide_bm_run(struct ide_channel *ch)
{
	bool to_memory = ch->job == JOB_ATA_READ || ch->job == JOB_PACKET_READ || ch->job == JOB_PACKET_REPLY;

	if (!(ch->bm_command & BMC_START))
		return;
	while (ch->pos < ch->end) {
		u32 n;

		if (!ch->bm_bytes && !next_descriptor(ch))
			return;
		/* Addresses have 32 bits: behind the last one comes the first, not the fifth gibibyte. */
		n = (u32)MIN(MIN(ch->bm_bytes, ch->end - ch->pos), 0x100000000ull - ch->bm_addr);
		/* What is not memory swallows what is written and reads as ones. */
		if (to_memory)
			phys_write(ch->ide->vm, ch->bm_addr, ch->buf + ch->pos, n);
		else
			phys_read(ch->ide->vm, ch->bm_addr, ch->buf + ch->pos, n);
		ch->pos += n;
		ch->bm_addr += n;
		ch->bm_bytes -= n;
	}
	if (ch->bm_last && !ch->bm_bytes)
		ch->bm_status &= (u8)~BMS_ACTIVE;
	if (ide_selected(ch)->kind == IDE_DISK)
		ata_block_done(ch);
	else
		atapi_block_done(ch);
}

/* ---- ports ---- */

static void command_write(struct ide_channel *ch, u8 value)
{
	u8 old = ch->bm_command;

	ch->bm_command = value & (BMC_START | BMC_TO_MEMORY);
	if (!(value & BMC_START)) {
		ch->bm_status &= (u8)~BMS_ACTIVE;
		return;
	}
	if (old & BMC_START)
		return;
	ch->bm_status |= BMS_ACTIVE;
	ch->bm_next = ch->bm_table;
	ch->bm_bytes = 0;
	ch->bm_last = false;
	if (ch->dma && !ch->in_flight)
		ide_bm_run(ch);
}

static u8 bm_read_byte(struct ide_channel *ch, unsigned reg)
{
	switch (reg) {
	case BM_COMMAND:
		return ch->bm_command;
	case BM_STATUS:
		return ch->bm_status;
	case BM_TABLE:
	case BM_TABLE + 1:
	case BM_TABLE + 2:
	case BM_TABLE + 3:
		return (u8)(ch->bm_table >> 8 * (reg - BM_TABLE));
	default:
		return 0xff;
	}
}

static void bm_write_byte(struct ide_channel *ch, unsigned reg, u8 value)
{
	unsigned shift = 8 * (reg & 3);

	if (reg == BM_COMMAND) {
		command_write(ch, value);
	} else if (reg == BM_STATUS) {
		ch->bm_status &= (u8) ~(value & (BMS_ERROR | BMS_INTERRUPT));
		ch->bm_status = (u8)((ch->bm_status & ~BMS_CAPABLE) | (value & BMS_CAPABLE));
	} else if (reg >= BM_TABLE) {
		ch->bm_table = ((ch->bm_table & ~(0xffu << shift)) | (u32)value << shift) & ~3u;
	}
}

static u32 bm_read(void *opaque, u16 port, unsigned size)
{
	struct ide *ide = opaque;
	unsigned reg = port - ide->vm->ports[ide->bm_ports].first;
	u32 value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (u32)bm_read_byte(&ide->ch[(reg + i) / BM_PER_CHANNEL], (reg + i) % BM_PER_CHANNEL) << (8 * i);
	return value;
}

static void bm_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct ide *ide = opaque;
	unsigned reg = port - ide->vm->ports[ide->bm_ports].first;

	for (unsigned i = 0; i < size; i++)
		bm_write_byte(&ide->ch[(reg + i) / BM_PER_CHANNEL], (reg + i) % BM_PER_CHANNEL, (u8)(value >> (8 * i)));
}

static void bm_map(struct pci_device *d, int bar, u64 base)
{
	struct ide *ide = d->opaque;

	(void)bar;
	io_move(ide->vm, ide->bm_ports, base == PCI_NOWHERE ? IO_NOWHERE : (u32)base);
}

/* ---- saved state ---- */

void ide_bm_save(const struct ide_channel *ch, struct state *s)
{
	state_put_u8(s, ch->bm_command);
	state_put_u8(s, ch->bm_status);
	state_put_u32(s, ch->bm_table);
	state_put_u32(s, ch->bm_next);
	state_put_u32(s, ch->bm_addr);
	state_put_u32(s, ch->bm_bytes);
	state_put_u8(s, ch->bm_last);
}

void ide_bm_load(struct ide_channel *ch, struct state *s)
{
	ch->bm_command = state_get_u8(s);
	ch->bm_status = state_get_u8(s);
	ch->bm_table = state_get_u32(s);
	ch->bm_next = state_get_u32(s);
	ch->bm_addr = state_get_u32(s);
	ch->bm_bytes = state_get_u32_max(s, 0x10000);
	ch->bm_last = state_get_bool(s);
	if ((ch->bm_command & ~(BMC_START | BMC_TO_MEMORY)) || (ch->bm_status & ~(BMS_ACTIVE | BMS_ERROR | BMS_INTERRUPT | BMS_CAPABLE)) ||
	    (ch->bm_table & 3))
		s->error = true;
}

void ide_pci_init(struct ide *ide, struct pci_bus *bus)
{
	struct pci_device *d = &ide->pci;
	static const u8 header[] = {PIIX3_VENDOR & 0xff, PIIX3_VENDOR >> 8, PIIX3_IDE & 0xff, PIIX3_IDE >> 8};

	if (!bus)
		return;
	ide->on_pci = true;
	d->name = "piix3-ide";
	d->opaque = ide;
	d->devfn = PCI_DEVFN(1, 1);
	memcpy(d->config, header, sizeof(header));
	d->config[0x06] = 0x80; /* fast back to back; medium decoding */
	d->config[0x07] = 0x02;
	d->config[CFG_CLASS] = 0x80; /* masters, legacy ports only */
	d->config[CFG_CLASS + 1] = 0x01;
	d->config[CFG_CLASS + 2] = 0x01;
	/* Decoded from the start, for kernels that are booted without firmware, which would switch it on. */
	d->config[CFG_IDETIM + 1] = d->config[CFG_IDETIM + 3] = IDETIM_DECODE;
	memset(&d->writable[CFG_IDETIM], 0xff, 4);
	d->writable[CFG_SIDETIM] = 0xff;
	d->bar[BM_BAR] = (struct pci_bar){.size = BM_PORTS, .io = true, .map = bm_map};
	ide->bm_ports = io_register_nowhere(ide->vm, &(struct port_range){0, BM_PORTS - 1, 4, bm_read, bm_write, ide});
	trace_ports(ide->vm, ide->bm_ports, REGS_IDE_BM);
	pci_attach(bus, d);
}
