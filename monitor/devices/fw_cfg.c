/*
 * The firmware configuration device. An item is selected by number; its bytes are read one by one at the data port, or as a whole by a DMA
 * descriptor {control, length, address}, big-endian, whose address the guest writes, big-endian, to 514h (high half) and 518h (low half,
 * which starts it). Item 19h is the directory of named files.
 *
 * Invariants: items and their sizes are fixed once the machine runs and cannot be written by the guest; those with a refresh function are
 * brought up to date before the first byte that is read of them behind a selection, or behind a load of saved state. What is read beyond an
 * item's end is 0. A DMA operation ends within the call: it moves at most FW_CFG_SIZE_MAX bytes and does not follow descriptors.
 */
#include "monitor/devices/fw_cfg.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/devices/checked_state.h"
#include "monitor/io.h"
#include "monitor/log.h"
#include "monitor/memory.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define PORT_SELECT 0x510 /* 16 bits */
#define PORT_DATA   0x511
#define PORT_DMA    0x514
#define PORT_LAST   0x51b

#define ID_TRADITIONAL 0x01
#define ID_DMA	       0x02

#define DMA_ERROR  0x01u
#define DMA_READ   0x02u
#define DMA_SKIP   0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE  0x10u

#define MAX_ITEMS 96
#define NAME_SIZE 56
#define DIR_ENTRY (8 + NAME_SIZE)

struct item {
	u16 key;
	u8 *data;
	u32 size;
	void (*refresh)(void *opaque, u8 *data, size_t size); /* or NULL */
	void *opaque;
};

struct file {
	char name[NAME_SIZE];
	u16 key;
};

struct fw_cfg {
	struct vm *vm;
	struct item items[MAX_ITEMS];
	unsigned item_count;
	struct file files[MAX_ITEMS]; /* sorted by name */
	unsigned file_count;
	u16 selected;
	u32 offset;
	u32 dma_high;
	bool fresh; /* the selected item's data is up to date */
};

static const char dma_signature[] = "QEMU CFG";

static void put_be(u8 *p, u64 value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		p[i] = (u8)(value >> 8 * (size - 1 - i));
}

static u64 get_be(const u8 *p, unsigned size)
{
	u64 value = 0;

	for (unsigned i = 0; i < size; i++)
		value = value << 8 | p[i];
	return value;
}

static struct item *find_item(const struct fw_cfg *f, u16 key)
{
	for (unsigned i = 0; i < f->item_count; i++)
		if (f->items[i].key == key)
			return (struct item *)&f->items[i];
	return NULL;
}

/* ---- the guest's side ---- */

static void select_item(struct fw_cfg *f, u16 key)
{
	f->selected = key;
	f->offset = 0;
	f->fresh = false;
}

/* The selected item, to be read; NULL if there is none. */
static const struct item *reading(struct fw_cfg *f)
{
	const struct item *it = find_item(f, f->selected);

	if (it && it->refresh && !f->fresh)
		it->refresh(it->opaque, it->data, it->size);
	f->fresh = true;
	return it;
}

static u8 next_byte(struct fw_cfg *f)
{
	const struct item *it = reading(f);

	return it && f->offset < it->size ? it->data[f->offset++] : 0;
}

/* The next n bytes of the selected item go to guest memory; false if a byte of it is not there. */
static bool dma_read(struct fw_cfg *f, u64 address, u32 n)
{
	static const u8 zero[PAGE_SIZE];
	const struct item *it = reading(f);

	while (n) {
		u32 left = it && f->offset < it->size ? it->size - f->offset : 0;
		u32 k = left ? MIN(left, n) : MIN(n, (u32)sizeof(zero));

		if (!phys_write(f->vm, address, left ? it->data + f->offset : zero, k))
			return false;
		if (left)
			f->offset += k;
		address += k;
		n -= k;
	}
	return true;
}

static u32 dma_run(struct fw_cfg *f, u32 control, u32 length, u64 address)
{
	const struct item *it;

	if (control & DMA_SELECT)
		select_item(f, (u16)(control >> 16));
	if (control & DMA_READ) {
		if (length > FW_CFG_SIZE_MAX || !dma_read(f, address, length))
			return DMA_ERROR;
	} else if (control & DMA_WRITE) {
		return DMA_ERROR;
	} else if (control & DMA_SKIP) {
		it = find_item(f, f->selected);
		if (it)
			f->offset = MIN(it->size, f->offset + (u64)length);
	}
	return 0;
}

static void dma_start(struct fw_cfg *f, u64 at)
{
	u8 d[16], result[4];

	if (!phys_read(f->vm, at, d, sizeof(d))) {
		log_to(LOG_GUEST_ERRORS, "fw_cfg: a DMA descriptor at %#llx, where no memory is", (unsigned long long)at);
		return;
	}
	put_be(result, dma_run(f, (u32)get_be(d, 4), (u32)get_be(d + 4, 4), get_be(d + 8, 8)), 4);
	phys_write(f->vm, at, result, sizeof(result));
}

static u32 fw_cfg_read(void *opaque, u16 port, unsigned size)
{
	u32 value = 0;

	if (port < PORT_DMA)
		return port == PORT_DATA && size == 1 ? next_byte(opaque) : 0;
	for (unsigned i = 0; i < size; i++)
		value |= (u32)(u8)dma_signature[port - PORT_DMA + i] << 8 * i;
	return value;
}

static void fw_cfg_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct fw_cfg *f = opaque;

	if (port == PORT_SELECT && size == 2) {
		select_item(f, (u16)value);
	} else if (port == PORT_DMA && size == 4) {
		f->dma_high = __builtin_bswap32(value);
	} else if (port == PORT_DMA + 4 && size == 4) {
		u64 at = (u64)f->dma_high << 32 | __builtin_bswap32(value);

		f->dma_high = 0;
		dma_start(f, at);
	}
}

/* ---- the machine's side ---- */

void fw_cfg_add_item(struct fw_cfg *f, u16 key, const void *data, size_t size)
{
	struct item *it = &f->items[f->item_count];

	if (f->item_count == MAX_ITEMS || find_item(f, key) || size > FW_CFG_SIZE_MAX)
		fatal("firmware configuration: no place for item %#x", key);
	it->key = key;
	it->size = (u32)size;
	it->data = malloc(size + 1);
	if (!it->data)
		fatal("out of memory");
	memcpy(it->data, data, size);
	f->item_count++;
}

static void build_directory(struct fw_cfg *f)
{
	struct item *dir = find_item(f, FW_CFG_FILE_DIR);
	u8 *p;

	free(dir->data);
	dir->size = 4 + f->file_count * DIR_ENTRY;
	dir->data = p = calloc(1, dir->size);
	if (!p)
		fatal("out of memory");
	put_be(p, f->file_count, 4);
	p += 4;
	for (unsigned i = 0; i < f->file_count; i++, p += DIR_ENTRY) {
		put_be(p, find_item(f, f->files[i].key)->size, 4);
		put_be(p + 4, f->files[i].key, 2);
		memcpy(p + 8, f->files[i].name, NAME_SIZE);
	}
}

void fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, size_t size)
{
	unsigned at = f->file_count;
	u16 key = (u16)(FW_CFG_FILE_FIRST + f->file_count);

	if (strlen(name) >= NAME_SIZE || fw_cfg_file(f, name, NULL))
		fatal("firmware configuration: no place for %s", name);
	fw_cfg_add_item(f, key, data, size);
	for (; at > 0 && strcmp(f->files[at - 1].name, name) > 0; at--)
		f->files[at] = f->files[at - 1];
	memset(&f->files[at], 0, sizeof(f->files[at]));
	memcpy(f->files[at].name, name, strlen(name));
	f->files[at].key = key;
	f->file_count++;
	build_directory(f);
}

static struct item *find_file(const struct fw_cfg *f, const char *name)
{
	for (unsigned i = 0; i < f->file_count; i++)
		if (strcmp(f->files[i].name, name) == 0)
			return find_item(f, f->files[i].key);
	return NULL;
}

void fw_cfg_refresh_file(struct fw_cfg *f, const char *name, void (*refresh)(void *opaque, u8 *data, size_t size), void *opaque)
{
	struct item *it = find_file(f, name);

	if (!it)
		fatal("firmware configuration: no file %s", name);
	it->refresh = refresh;
	it->opaque = opaque;
}

const u8 *fw_cfg_file(const struct fw_cfg *f, const char *name, size_t *size)
{
	const struct item *it = find_file(f, name);

	if (it && size)
		*size = it->size;
	return it ? it->data : NULL;
}

/* ---- life cycle ---- */

static void fw_cfg_reset(void *opaque)
{
	struct fw_cfg *f = opaque;

	select_item(f, 0);
	f->dma_high = 0;
}

static void fw_cfg_save(void *opaque, struct state *s)
{
	struct fw_cfg *f = opaque;

	state_put_u16(s, f->selected);
	state_put_u32(s, f->offset);
	state_put_u32(s, f->dma_high);
}

static void fw_cfg_load(void *opaque, struct state *s)
{
	struct fw_cfg *f = opaque;
	u16 selected = state_get_u16(s);
	const struct item *it = find_item(f, selected);
	u32 offset = state_get_u32_max(s, it ? it->size : 0), dma_high = state_get_u32(s);

	if (s->error)
		return;
	f->selected = selected;
	f->offset = offset;
	f->fresh = false;
	f->dma_high = dma_high;
}

static void fw_cfg_free(void *opaque)
{
	struct fw_cfg *f = opaque;

	for (unsigned i = 0; i < f->item_count; i++)
		free(f->items[i].data);
	free(f);
}

struct fw_cfg *fw_cfg_create(struct vm *vm)
{
	struct fw_cfg *f = calloc(1, sizeof(*f));
	static const u8 id[4] = {ID_TRADITIONAL | ID_DMA};

	if (!f)
		fatal("out of memory");
	f->vm = vm;
	fw_cfg_add_item(f, FW_CFG_SIGNATURE, "QEMU", 4);
	fw_cfg_add_item(f, FW_CFG_ID, id, sizeof(id));
	fw_cfg_add_item(f, FW_CFG_FILE_DIR, "", 0);
	build_directory(f);
	/* The data port lies within the selector's two: byte accesses to it, words to that. */
	trace_ports(vm, io_register(vm, &(struct port_range){PORT_SELECT, PORT_LAST, 4, fw_cfg_read, fw_cfg_write, f}), REGS_FW_CFG);
	device_register(vm, &(struct device){"fw_cfg", 1, f, fw_cfg_reset, fw_cfg_save, fw_cfg_load, fw_cfg_free});
	return f;
}
