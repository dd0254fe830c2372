/*
 * IDE channels: task file registers, selection, resets, the data port, interrupts, saved state (ATA/ATAPI-6, T13/1410D, chapters 7 to 9).
 * What a command does is ata.c's and atapi.c's business.
 *
 * Both drives of a channel see every register write; the selected one answers. A drive that is not there answers with zeros, as the drive
 * beside it does for it. See ide_internal.h for the invariants.
 */
#include <stdlib.h>
#include <string.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/ide_internal.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

enum { /* offsets in the command block */
       REG_DATA,
       REG_ERROR, /* feature when written */
       REG_COUNT,
       REG_LBA_LOW,
       REG_LBA_MID,
       REG_LBA_HIGH,
       REG_SELECT,
       REG_STATUS, /* command when written */
       REG_BLOCK = 8
};
static const u16 command_base[2] = {0x1f0, 0x170};
static const u16 control_port[2] = {0x3f6, 0x376};

#define DIAGNOSTIC_PASSED 0x01
#define SIGNATURE_PACKET  0xeb14

/* ---- interrupts ---- */

static void update_irq(struct ide_channel *ch)
{
	irq_set(&ch->irq, ch->intrq && !(ch->control & CTL_NIEN));
}

void ide_raise(struct ide_channel *ch)
{
	if (!ch->intrq)
		ide_bm_interrupt(ch);
	ch->intrq = true;
	update_irq(ch);
}

static void lower(struct ide_channel *ch)
{
	ch->intrq = false;
	update_irq(ch);
}

/* ---- the course of a command ---- */

static void forget_job(struct ide_channel *ch)
{
	ch->job = JOB_NONE;
	ch->dma = false;
	ch->pos = ch->drq_end = ch->end = 0;
	ch->left = 0;
}

void ide_end(struct ide_channel *ch, u8 error)
{
	struct ide_drive *d = ide_selected(ch);

	d->error = error;
	d->status = ST_DRDY | ST_DSC | (error ? ST_ERR : 0);
	forget_job(ch);
	ide_raise(ch);
}

void ide_drq(struct ide_channel *ch, bool interrupt)
{
	ch->drq_end = ch->dma ? ch->end : MIN(ch->pos + ch->block, ch->end);
	ide_selected(ch)->status = ST_DRDY | ST_DSC | ST_DRQ;
	if (interrupt)
		ide_raise(ch);
}

static void request_done(void *opaque, int err)
{
	struct ide_channel *ch = opaque;

	ch->in_flight = false;
	if (ch->dropped)
		return;
	if (ide_selected(ch)->kind == IDE_DISK)
		ata_request_done(ch, err);
	else
		atapi_request_done(ch, err);
}

void ide_request(struct ide_channel *ch, enum block_op op, u64 offset, u32 bytes)
{
	struct ide_drive *d = ide_selected(ch);

	d->status = ST_BSY | ST_DRDY | ST_DSC;
	ch->in_flight = true;
	ch->request = (struct block_request){
		.op = op,
		.offset = offset,
		.bytes = bytes,
		.buf = ch->buf,
		.done = request_done,
		.opaque = ch,
	};
	block_submit(d->block, &ch->request);
}

/* Waits for what is under way, and has it go on to its end or to where the guest's data are needed. */
static void settle(struct ide_channel *ch)
{
	while (ch->in_flight)
		block_drain(ide_selected(ch)->block);
}

/* The command under way is given up. */
static void ide_cancel(struct ide_channel *ch)
{
	ch->dropped = true;
	settle(ch);
	ch->dropped = false;
	ide_selected(ch)->status &= (u8) ~(ST_DRQ | ST_BSY);
	forget_job(ch);
}

static void block_done(struct ide_channel *ch)
{
	if (ide_selected(ch)->kind == IDE_DISK)
		ata_block_done(ch);
	else
		atapi_block_done(ch);
}

/* ---- resets ---- */

void ide_signature(struct ide_drive *d)
{
	u16 mark = d->kind == IDE_CDROM ? SIGNATURE_PACKET : 0;

	d->error = DIAGNOSTIC_PASSED;
	d->status = d->kind == IDE_DISK ? ST_DRDY | ST_DSC : 0;
	memset(d->feature, 0, sizeof(d->feature));
	d->count[0] = d->lba_low[0] = 1;
	d->lba_mid[0] = (u8)mark;
	d->lba_high[0] = mark >> 8;
	d->count[1] = d->lba_low[1] = d->lba_mid[1] = d->lba_high[1] = 0;
	d->select = SEL_FIXED | (d->select & SEL_DEV);
	if (d->kind == IDE_NONE)
		memset(d, 0, sizeof(*d));
}

static void drive_reset(struct ide_drive *d, bool hard)
{
	if (d->kind == IDE_DISK)
		ata_reset(d, hard);
	else if (d->kind == IDE_CDROM)
		atapi_reset(d, hard);
	d->select = 0;
	ide_signature(d);
}

static void channel_reset(struct ide_channel *ch, bool hard)
{
	ide_cancel(ch);
	ch->unit = 0;
	ch->command = ch->cd_layout = 0;
	ch->block = ch->chunk = ch->cd_sector = 0;
	ch->lba = 0;
	for (int i = 0; i < 2; i++)
		drive_reset(&ch->drive[i], hard);
	lower(ch);
}

/* EXECUTE DEVICE DIAGNOSTIC, for both drives whichever is selected. */
static void diagnose(struct ide_channel *ch)
{
	ide_cancel(ch);
	ch->unit = 0;
	for (int i = 0; i < 2; i++) {
		ch->drive[i].select = 0;
		ide_signature(&ch->drive[i]);
	}
	ide_raise(ch);
}

/* ---- registers ---- */

static bool sends_to_guest(const struct ide_channel *ch)
{
	return ch->job == JOB_REPLY || ch->job == JOB_ATA_READ || ch->job == JOB_PACKET_REPLY || ch->job == JOB_PACKET_READ;
}

static bool data_ready(struct ide_channel *ch)
{
	return (ide_selected(ch)->status & ST_DRQ) && !ch->dma && !ch->in_flight;
}

static u32 data_read(struct ide_channel *ch, unsigned size)
{
	u32 value = 0, n;

	if (!data_ready(ch) || !sends_to_guest(ch))
		return 0;
	n = MIN(size, ch->drq_end - ch->pos);
	memcpy(&value, ch->buf + ch->pos, n);
	ch->pos += n;
	if (ch->pos == ch->drq_end)
		block_done(ch);
	return value;
}

static void data_write(struct ide_channel *ch, u32 value, unsigned size)
{
	u32 n;

	if (!data_ready(ch) || sends_to_guest(ch))
		return;
	n = MIN(size, ch->drq_end - ch->pos);
	memcpy(ch->buf + ch->pos, &value, n);
	ch->pos += n;
	if (ch->pos == ch->drq_end)
		block_done(ch);
}

static u8 register_read(struct ide_channel *ch, unsigned reg)
{
	struct ide_drive *d = ide_selected(ch);
	unsigned previous = ch->control & CTL_HOB ? 1 : 0;

	if (d->kind == IDE_NONE)
		return 0;
	if (reg == REG_STATUS)
		lower(ch);
	if (reg == REG_STATUS || (d->status & ST_BSY))
		return d->status;
	switch (reg) {
	case REG_ERROR:
		return d->error;
	case REG_COUNT:
		return d->count[previous];
	case REG_LBA_LOW:
		return d->lba_low[previous];
	case REG_LBA_MID:
		return d->lba_mid[previous];
	case REG_LBA_HIGH:
		return d->lba_high[previous];
	default:
		return d->select | SEL_FIXED;
	}
}

static void shift_in(u8 r[2], u8 value)
{
	r[1] = r[0];
	r[0] = value;
}

static void set_register(struct ide_drive *d, unsigned reg, u8 value)
{
	switch (reg) {
	case REG_ERROR:
		shift_in(d->feature, value);
		break;
	case REG_COUNT:
		shift_in(d->count, value);
		break;
	case REG_LBA_LOW:
		shift_in(d->lba_low, value);
		break;
	case REG_LBA_MID:
		shift_in(d->lba_mid, value);
		break;
	case REG_LBA_HIGH:
		shift_in(d->lba_high, value);
		break;
	default:
		d->select = value;
		break;
	}
}

#define CMD_DEVICE_RESET 0x08
#define CMD_DIAGNOSTIC	 0x90

static void command_write(struct ide_channel *ch, u8 command)
{
	struct ide_drive *d = ide_selected(ch);

	/* A busy drive takes no command but, if it is a packet drive, DEVICE RESET; one that is held in reset takes none. */
	if ((ch->control & CTL_SRST) || (ch->in_flight && (command != CMD_DEVICE_RESET || d->kind != IDE_CDROM)))
		return;
	lower(ch);
	if (command == CMD_DIAGNOSTIC) {
		diagnose(ch);
		return;
	}
	if (d->kind == IDE_NONE)
		return;
	ide_cancel(ch);
	ch->command = command;
	if (command == CMD_DEVICE_RESET && d->kind == IDE_CDROM) {
		atapi_reset(d, false);
		ide_signature(d);
		return;
	}
	d->error = 0;
	ata_command(ch, command);
}

static void register_write(struct ide_channel *ch, unsigned reg, u8 value)
{
	ch->control &= (u8)~CTL_HOB;
	if (reg == REG_STATUS) {
		command_write(ch, value);
		return;
	}
	/* Registers are the drive's while it is busy, and selecting another would lose it. */
	if (ch->in_flight)
		return;
	for (int i = 0; i < 2; i++)
		if (ch->drive[i].kind != IDE_NONE)
			set_register(&ch->drive[i], reg, value);
	if (reg == REG_SELECT && ch->unit != !!(value & SEL_DEV)) {
		ide_cancel(ch);
		ch->unit = !!(value & SEL_DEV);
		/* INTRQ is driven by the selected drive, and the other one has nothing to say. */
		lower(ch);
	}
}

static u32 command_block_read(void *opaque, u16 port, unsigned size)
{
	struct ide_channel *ch = opaque;
	unsigned reg = port - command_base[ch->number];
	u32 value = 0;

	if (!ide_pci_decodes(ch))
		return 0xffffffffu;
	if (reg == REG_DATA)
		return data_read(ch, size);
	for (unsigned i = 0; i < size; i++)
		value |= (u32)register_read(ch, reg + i) << (8 * i);
	return value;
}

static void command_block_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct ide_channel *ch = opaque;
	unsigned reg = port - command_base[ch->number];

	if (!ide_pci_decodes(ch))
		return;
	if (reg == REG_DATA) {
		data_write(ch, value, size);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		register_write(ch, reg + i, (u8)(value >> (8 * i)));
}

static u32 control_read(void *opaque, u16 port, unsigned size)
{
	struct ide_channel *ch = opaque;

	(void)port;
	(void)size;
	return ide_pci_decodes(ch) ? ide_selected(ch)->status : 0xff;
}

static void control_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct ide_channel *ch = opaque;
	u8 old = ch->control;

	(void)port;
	(void)size;
	if (!ide_pci_decodes(ch))
		return;
	ch->control = value & (CTL_NIEN | CTL_SRST | CTL_HOB);
	if (ch->control & CTL_SRST) {
		if (!(old & CTL_SRST))
			channel_reset(ch, false);
		for (int i = 0; i < 2; i++)
			if (ch->drive[i].kind != IDE_NONE)
				ch->drive[i].status = ST_BSY;
	} else if (old & CTL_SRST) {
		for (int i = 0; i < 2; i++)
			ide_signature(&ch->drive[i]);
	}
	update_irq(ch);
}

/* ---- the device ---- */

static void ide_reset(void *opaque)
{
	struct ide *ide = opaque;

	for (int i = 0; i < 2; i++) {
		channel_reset(&ide->ch[i], true);
		ide->ch[i].control = 0;
		ide_bm_reset(&ide->ch[i]);
	}
}

static void put_chs(struct state *s, const struct chs *g)
{
	state_put_u32(s, g->cylinders);
	state_put_u32(s, g->heads);
	state_put_u32(s, g->sectors);
}

static struct chs get_chs(struct state *s)
{
	struct chs g;

	g.cylinders = state_get_u32_max(s, 65535);
	g.heads = state_get_u32_max(s, 16);
	g.sectors = state_get_u32_max(s, 255);
	return g;
}

/* Registers and settings that are plain bytes, once for both directions. */
#define DRIVE_BYTES(X)                                                                                                                     \
	X(error)                                                                                                                           \
	X(status)                                                                                                                          \
	X(feature[0])                                                                                                                      \
	X(feature[1])                                                                                                                      \
	X(count[0])                                                                                                                        \
	X(count[1])                                                                                                                        \
	X(lba_low[0])                                                                                                                      \
	X(lba_low[1]) X(lba_mid[0]) X(lba_mid[1]) X(lba_high[0]) X(lba_high[1]) X(select) X(dma_mode) X(sense_key) X(asc) X(ascq)
#define DRIVE_FLAGS(X) X(write_cache) X(read_ahead) X(standby) X(tray_open) X(locked) X(unit_attention)

static void drive_save(const struct ide_drive *d, struct state *s)
{
	state_put_u8(s, (u8)d->kind);
	state_put_u64(s, d->sectors);
#define X(f) state_put_u8(s, d->f);
	DRIVE_BYTES(X)
	DRIVE_FLAGS(X)
#undef X
	put_chs(s, &d->current);
	state_put_u8(s, d->multi);
	state_put_u8(s, d->media_event);
}

/* What the drive is (and how large) is the machine's, and must be what was saved. */
static void drive_load(struct ide_drive *d, struct state *s)
{
	if (state_get_u8(s) != d->kind || state_get_u64(s) != d->sectors)
		s->error = true;
#define X(f) d->f = state_get_u8(s);
	DRIVE_BYTES(X)
#undef X
#define X(f) d->f = state_get_bool(s);
	DRIVE_FLAGS(X)
#undef X
	d->current = get_chs(s);
	if (d->current.cylinders && (!d->current.heads || !d->current.sectors))
		s->error = true;
	d->multi = state_get_u8_max(s, ATA_MAX_MULTI);
	d->media_event = state_get_u8_max(s, 3);
	if (d->sense_key > 15)
		s->error = true;
	if (d->kind == IDE_NONE && (d->status || d->select))
		s->error = true;
}

static void channel_save(struct ide_channel *ch, struct state *s)
{
	settle(ch);
	for (int i = 0; i < 2; i++)
		drive_save(&ch->drive[i], s);
	state_put_u8(s, ch->unit);
	state_put_u8(s, ch->control);
	state_put_u8(s, ch->intrq);
	state_put_u8(s, (u8)ch->job);
	state_put_u8(s, ch->command);
	state_put_u8(s, ch->dma);
	state_put_u32(s, ch->pos);
	state_put_u32(s, ch->drq_end);
	state_put_u32(s, ch->end);
	state_put_u32(s, ch->block);
	state_put_u64(s, ch->lba);
	state_put_u32(s, ch->left);
	state_put_u32(s, ch->chunk);
	state_put_u32(s, ch->cd_sector);
	state_put_u8(s, ch->cd_layout);
	ide_bm_save(ch, s);
	state_put(s, ch->buf, ch->end);
}

/* A job that waits for the guest, of a drive that can have it. */
static bool job_is_sound(const struct ide_channel *ch)
{
	const struct ide_drive *d = &ch->drive[ch->unit];
	bool packet = ch->job >= JOB_PACKET;

	if (ch->job == JOB_NONE)
		return !ch->end && !ch->pos && !ch->drq_end && !ch->left && !ch->dma && !(d->status & ST_DRQ);
	if (ch->job == JOB_FLUSH || ch->job == JOB_ATA_VERIFY || d->kind == IDE_NONE)
		return false;
	if (ch->job != JOB_REPLY && packet != (d->kind == IDE_CDROM))
		return false;
	if (ch->dma && (ch->job == JOB_REPLY || ch->job == JOB_PACKET || ch->job == JOB_PACKET_WRITE || ch->drq_end != ch->end))
		return false;
	if (ch->job == JOB_PACKET_READ && (!d->block || !ch->cd_sector || ch->chunk > CD_CHUNK || ch->end > ch->chunk * ch->cd_sector))
		return false;
	if ((ch->job == JOB_ATA_READ || ch->job == JOB_ATA_WRITE) && ch->end != ch->chunk * BLOCK_SECTOR)
		return false;
	if (ch->job == JOB_PACKET && ch->end != ATAPI_PACKET)
		return false;
	return ch->pos < ch->drq_end && (d->status & (ST_DRQ | ST_BSY)) == ST_DRQ;
}

static void channel_load(struct ide_channel *ch, struct state *s)
{
	for (int i = 0; i < 2; i++)
		drive_load(&ch->drive[i], s);
	ch->unit = state_get_u8_max(s, 1);
	ch->control = state_get_u8(s);
	ch->intrq = state_get_bool(s);
	ch->job = (enum ide_job)state_get_u8_max(s, JOB_COUNT - 1);
	ch->command = state_get_u8(s);
	ch->dma = state_get_bool(s);
	ch->pos = state_get_u32(s);
	ch->drq_end = state_get_u32(s);
	ch->end = state_get_u32_max(s, IDE_BUFFER);
	ch->block = state_get_u32_max(s, IDE_BUFFER);
	ch->lba = state_get_u64_max(s, 1ull << 48);
	ch->left = state_get_u32(s);
	ch->chunk = state_get_u32_max(s, IDE_BUFFER / BLOCK_SECTOR);
	ch->cd_sector = state_get_u32_max(s, CD_RAW_SECTOR);
	ch->cd_layout = state_get_u8(s);
	ide_bm_load(ch, s);
	if (ch->pos > ch->drq_end || ch->drq_end > ch->end || (ch->job != JOB_NONE && ch->block < 2) ||
	    (ch->control & ~(CTL_NIEN | CTL_SRST | CTL_HOB)) || !job_is_sound(ch))
		s->error = true;
	if (!s->error)
		state_get(s, ch->buf, ch->end);
}

static void ide_save(void *opaque, struct state *s)
{
	struct ide *ide = opaque;

	for (int i = 0; i < 2; i++)
		channel_save(&ide->ch[i], s);
}

static void ide_load(void *opaque, struct state *s)
{
	struct ide *ide = opaque;
	struct ide_channel n[2];
	u8 *buf = malloc(2 * IDE_BUFFER);

	if (!buf)
		s->error = true;
	for (int i = 0; i < 2 && !s->error; i++) {
		settle(&ide->ch[i]);
		n[i] = ide->ch[i];
		n[i].buf = buf + i * IDE_BUFFER;
		channel_load(&n[i], s);
	}
	for (int i = 0; i < 2 && !s->error; i++) {
		memcpy(ide->ch[i].buf, n[i].buf, n[i].end);
		n[i].buf = ide->ch[i].buf;
		ide->ch[i] = n[i];
		update_irq(&ide->ch[i]);
	}
	free(buf);
}

static void ide_free(void *opaque)
{
	struct ide *ide = opaque;

	for (int i = 0; i < 2; i++) {
		for (int k = 0; k < 2; k++)
			block_close(ide->ch[i].drive[k].block);
		free(ide->ch[i].buf);
	}
	free(ide);
}

bool ide_geometry(const struct ide *ide, int channel, int unit, struct chs *g)
{
	const struct ide_drive *d = &ide->ch[channel & 1].drive[unit & 1];

	*g = d->native;
	return d->kind == IDE_DISK;
}

void ide_view(const struct ide *ide, int channel, int unit, struct ide_drive_view *view)
{
	const struct ide_drive *d = &ide->ch[channel & 1].drive[unit & 1];

	*view = (struct ide_drive_view){d->kind, d->block, d->tray_open, d->locked};
}

void ide_change(struct ide *ide, int channel, int unit, struct block *block)
{
	struct ide_channel *ch = &ide->ch[channel & 1];
	struct ide_drive *d = &ch->drive[unit & 1];
	struct block *old = d->block;

	if (old && ide_selected(ch) == d)
		settle(ch);
	atapi_set_medium(ch, d, block);
	block_close(old);
}

void ide_press_eject(struct ide *ide, int channel, int unit)
{
	atapi_press_eject(&ide->ch[channel & 1].drive[unit & 1]);
}

static void drive_init(struct ide_drive *d, const struct ide_drive_config *c)
{
	d->kind = c->kind;
	d->block = c->block;
	d->sectors = c->block ? block_sectors(c->block) : 0;
	if (c->kind == IDE_DISK)
		ata_init(d);
}

struct ide *ide_create(struct vm *vm, struct pci_bus *bus, const struct irq irq[2], const struct ide_drive_config drives[2][2])
{
	struct ide *ide = calloc(1, sizeof(*ide));

	if (!ide)
		fatal("out of memory");
	ide->vm = vm;
	for (int i = 0; i < 2; i++) {
		struct ide_channel *ch = &ide->ch[i];

		ch->ide = ide;
		ch->number = i;
		ch->irq = irq[i];
		ch->buf = calloc(1, IDE_BUFFER);
		if (!ch->buf)
			fatal("out of memory");
		for (int k = 0; k < 2; k++)
			drive_init(&ch->drive[k], &drives[i][k]);
		trace_ports(vm,
			    io_register(vm, &(struct port_range){command_base[i], command_base[i] + REG_BLOCK - 1, 4, command_block_read,
								 command_block_write, ch}),
			    REGS_IDE);
		trace_ports(vm, io_register(vm, &(struct port_range){control_port[i], control_port[i], 1, control_read, control_write, ch}),
			    REGS_IDE);
	}
	ide_pci_init(ide, bus);
	ide_reset(ide);
	device_register(vm, &(struct device){"ide", 1, ide, ide_reset, ide_save, ide_load, ide_free});
	return ide;
}
