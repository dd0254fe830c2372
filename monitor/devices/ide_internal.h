/*
 * What the files of the IDE controller share: ide.c (registers, resets, the data port, saved state), ata.c (disks), atapi.c (CD-ROM
 * drives), ide_pci.c (the PCI function and the bus master). vm->lock held, vCPU thread, for everything.
 *
 * A channel does one command at a time. Its data go through ch->buf in chunks of up to IDE_BUFFER bytes: a chunk is read from or written to
 * the image in one request, whatever the size of the blocks in which the guest takes it (a block is what one DRQ is for).
 *
 * Invariants: pos <= drq_end <= end <= IDE_BUFFER, also in a loaded state. While ch->in_flight nobody touches buf, and BSY is set. What a
 * command goes on with is ch->job and nothing else, so a channel without a request in flight can be saved between any two accesses.
 */
#ifndef RINGER_IDE_INTERNAL_H
#define RINGER_IDE_INTERNAL_H

#include "monitor/devices/ide.h"
#include "monitor/devices/pci.h"
#include "monitor/state.h"

#define IDE_BUFFER    (128u << 10)
#define ATA_MAX_MULTI 16
#define CD_SECTOR     2048u
#define CD_RAW_SECTOR 2352u
#define CD_CHUNK      (IDE_BUFFER / CD_RAW_SECTOR) /* sectors in one request, of either size */
#define ATAPI_PACKET  12u

enum { /* status */
       ST_ERR = 0x01,
       ST_DRQ = 0x08,
       ST_DSC = 0x10, /* seek complete; SERV in packet drives */
       ST_DF = 0x20,
       ST_DRDY = 0x40,
       ST_BSY = 0x80,
};
enum { /* error */
       ER_ABRT = 0x04,
       ER_IDNF = 0x10,
       ER_UNC = 0x40,
};
enum { SEL_DEV = 0x10, SEL_LBA = 0x40, SEL_FIXED = 0xa0 };
enum { CTL_NIEN = 0x02, CTL_SRST = 0x04, CTL_HOB = 0x80 };
enum { IR_CD = 0x01, IR_IO = 0x02 }; /* interrupt reason, a packet drive's sector count register */

/* What the command under way does with the channel's data. */
enum ide_job {
	JOB_NONE,
	JOB_REPLY,	  /* to the guest by PIO: all there is, is in buf */
	JOB_ATA_READ,	  /* sectors to the guest */
	JOB_ATA_WRITE,	  /* sectors from the guest */
	JOB_ATA_VERIFY,	  /* sectors to nowhere */
	JOB_FLUSH,	  /* the image; then the command ends */
	JOB_PACKET,	  /* a command packet from the guest */
	JOB_PACKET_REPLY, /* to the guest: all there is, is in buf */
	JOB_PACKET_READ,  /* CD sectors to the guest */
	JOB_PACKET_WRITE, /* parameters from the guest, which change nothing */
	JOB_COUNT
};

struct ide_drive {
	enum ide_kind kind;
	struct block *block;
	u64 sectors; /* of 512 bytes */
	struct chs native;

	/* Registers. Those with two entries hold what was written last and what was written before that. */
	u8 error, status;
	u8 feature[2], count[2], lba_low[2], lba_mid[2], lba_high[2], select;

	/* Disks */
	struct chs current; /* INITIALIZE DEVICE PARAMETERS; cylinders 0: none valid */
	u8 multi;	    /* sectors to a block of READ MULTIPLE; 0: off */
	u8 dma_mode;	    /* as SET FEATURES has it: 20h + MWDMA mode, 40h + UDMA mode, 0 none */
	bool write_cache, read_ahead, standby;

	/* CD-ROM drives */
	u8 sense_key, asc, ascq;
	bool tray_open, locked, unit_attention;
	u8 media_event; /* to be told by GET EVENT STATUS NOTIFICATION: 0, 1 eject, 2 new media, 3 removed */
};

struct ide_channel {
	struct ide *ide;
	int number;
	struct irq irq;
	struct ide_drive drive[2];
	u8 unit;    /* the drive selected */
	u8 control; /* device control register */
	bool intrq; /* the interrupt that the drive asks for, before nIEN */

	enum ide_job job;
	u8 command;	/* the one under way */
	bool dma;	/* its data go by DMA */
	bool in_flight; /* a request is with the worker, or waits to be done */
	bool dropped;	/* and its end is nobody's business any more: during ide_cancel only */
	u32 pos, drq_end, end;
	u32 block;     /* bytes to a DRQ */
	u64 lba;       /* the chunk after the one in buf: sectors of 512 bytes, or of a CD */
	u32 left;      /* sectors from there on */
	u32 chunk;     /* sectors in buf */
	u32 cd_sector; /* bytes to the guest for one CD sector */
	u8 cd_layout;  /* which fields of a raw sector they are */
	struct block_request request;

	/* The bus master, ide_pci.c's. */
	u8 bm_command, bm_status;
	u32 bm_table;	       /* where the descriptor table begins */
	u32 bm_next;	       /* the next descriptor */
	u32 bm_addr, bm_bytes; /* what is left of the present one */
	bool bm_last;

	u8 *buf; /* IDE_BUFFER bytes */
};

struct ide {
	struct vm *vm;
	struct pci_device pci;
	bool on_pci;
	unsigned bm_ports;
	struct ide_channel ch[2];
};

static inline struct ide_drive *ide_selected(struct ide_channel *ch)
{
	return &ch->drive[ch->unit];
}

/* ---- ide.c ---- */
void ide_raise(struct ide_channel *ch);
/* The command ends; errors are bits of the error register, 0 for none. Interrupts. */
void ide_end(struct ide_channel *ch, u8 error);
/* Offers (in) or asks for the next DRQ block of the chunk in buf by PIO. Interrupts, but for the first block of what the guest sends. */
void ide_drq(struct ide_channel *ch, bool interrupt);
/* Submits a request for buf with the drive's image; ide_request_done goes on with the job. */
void ide_request(struct ide_channel *ch, enum block_op op, u64 offset, u32 bytes);
/* Puts a drive's registers to what they are after a reset: EXECUTE DEVICE DIAGNOSTIC's code and the signature. */
void ide_signature(struct ide_drive *d);

/* ---- ata.c ---- */
void ata_init(struct ide_drive *d);
/* Software settings go back to their defaults (hardware reset; or SRST, which leaves more as it is). */
void ata_reset(struct ide_drive *d, bool hard);
void ata_command(struct ide_channel *ch, u8 command);
/* A DRQ block has gone through the data port; or, by DMA, the whole of buf. */
void ata_block_done(struct ide_channel *ch);
void ata_request_done(struct ide_channel *ch, int err);

/* ---- atapi.c ---- */
void atapi_reset(struct ide_drive *d, bool hard);
void atapi_identify(struct ide_drive *d, u8 *buf);
/* PACKET: asks for the packet. */
void atapi_packet_command(struct ide_channel *ch);
void atapi_block_done(struct ide_channel *ch);
void atapi_request_done(struct ide_channel *ch, int err);
/* The disc is gone, or another one is there; no request is in flight. */
void atapi_set_medium(struct ide_channel *ch, struct ide_drive *d, struct block *block);
void atapi_press_eject(struct ide_drive *d);
/* 16-bit words of IDENTIFY data, text padded with spaces and swapped as it wants. */
void ide_put_word(u8 *buf, unsigned word, u16 value);
void ide_put_text(u8 *buf, unsigned word, unsigned words, const char *text);

/* ---- ide_pci.c ---- */
void ide_pci_init(struct ide *ide, struct pci_bus *bus);
/* Whether the chipset decodes the channel's ports. */
bool ide_pci_decodes(const struct ide_channel *ch);
void ide_bm_reset(struct ide_channel *ch);
/* INTRQ has risen. */
void ide_bm_interrupt(struct ide_channel *ch);
/* The device asks for or offers the chunk in buf, pos to end, by DMA: moves as much as the bus master is ready for; *_block_done if all. */
void ide_bm_run(struct ide_channel *ch);
void ide_bm_save(const struct ide_channel *ch, struct state *s);
void ide_bm_load(struct ide_channel *ch, struct state *s);

#endif
