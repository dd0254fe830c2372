/*
 * SMBIOS: what the machine says of itself to those who ask by dmidecode. Firmware puts the tables into memory, adds type 0 (itself), and
 * fills in the anchor's address, counts and checksums.
 *
 * Invariant: every structure has the length that its type has in version 2.4 or later, and as many strings as it refers to.
 */
#include "monitor/smbios.h"

#include <stdio.h>
#include <string.h>

#include "monitor/devices/fw_cfg.h"
#include "monitor/log.h"
#include "monitor/vm.h"

#define AREA_SIZE   1024
#define ANCHOR_SIZE 31
#define HANDLE(t)   ((u16)((t) << 8))
#define UNKNOWN	    0x02 /* in most enumerations */

struct area {
	u8 bytes[AREA_SIZE];
	unsigned used, count, largest;
	unsigned begin; /* of the structure under way */
};

static void put(u8 *p, u64 value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		p[i] = (u8)(value >> 8 * i);
}

/* A structure of `size` bytes, its header filled in; the strings come behind it, by end(). */
static u8 *begin(struct area *a, u8 type, u8 size)
{
	u8 *p = a->bytes + a->used;

	if (a->used + size > AREA_SIZE)
		fatal("the SMBIOS tables do not fit");
	a->begin = a->used;
	a->used += size;
	p[0] = type;
	p[1] = size;
	put(p + 2, HANDLE(type), 2);
	return p;
}

/* Ends it with its strings, a list that NULL ends; they are numbered from 1. */
static void end(struct area *a, const char *const *strings)
{
	static const char *const none[] = {NULL};
	bool any = strings != NULL;

	for (strings = any ? strings : none; *strings; strings++) {
		size_t n = strlen(*strings) + 1;

		if (a->used + n > AREA_SIZE)
			fatal("the SMBIOS tables do not fit");
		memcpy(a->bytes + a->used, *strings, n);
		a->used += (unsigned)n;
	}
	a->used += any ? 1 : 2;
	if (a->used > AREA_SIZE)
		fatal("the SMBIOS tables do not fit");
	a->largest = MAX(a->largest, a->used - a->begin);
	a->count++;
}

static void system_information(struct area *a)
{
	static const char *const strings[] = {"Ringer", "PC (i440FX + PIIX)", RINGER_VERSION, NULL};
	u8 *p = begin(a, 1, 27);

	p[4] = 1;
	p[5] = 2;
	p[6] = 3;
	p[24] = 0x06; /* woken by the power switch */
	end(a, strings);
}

static void enclosure(struct area *a)
{
	static const char *const strings[] = {"Ringer", NULL};
	u8 *p = begin(a, 3, 21);

	p[4] = 1;
	p[5] = 0x01;		     /* other */
	p[9] = p[10] = p[11] = 0x03; /* states: safe */
	p[12] = UNKNOWN;
	end(a, strings);
}

static void processor(struct area *a)
{
	static const char *const strings[] = {"CPU 0", "Ringer", NULL};
	u8 *p = begin(a, 4, 35);

	p[4] = 1;
	p[5] = 0x03; /* central processor */
	p[6] = 0x01; /* family: other */
	p[7] = 2;
	p[24] = 0x41; /* present, enabled */
	p[25] = 0x01; /* upgrade: other */
	put(p + 26, 0xffff, 2);
	put(p + 28, 0xffff, 2);
	put(p + 30, 0xffff, 2);
	end(a, strings);
}

static void memory_array(struct area *a, u64 bytes)
{
	u8 *p = begin(a, 16, 15);

	p[4] = 0x01; /* location: other */
	p[5] = 0x03; /* system memory */
	p[6] = 0x06; /* multi-bit ECC */
	put(p + 7, bytes >> 10, 4);
	put(p + 11, 0xfffe, 2); /* no error information */
	put(p + 13, 1, 2);
	end(a, NULL);
}

static void memory_device(struct area *a, u64 bytes)
{
	static const char *const strings[] = {"DIMM 0", NULL};
	u8 *p = begin(a, 17, 27);
	u64 mib = bytes >> 20;

	put(p + 4, HANDLE(16), 2);
	put(p + 6, 0xfffe, 2);
	put(p + 8, 0xffff, 2);
	put(p + 10, 0xffff, 2);
	put(p + 12, MIN(mib, 0x7ffe), 2);
	p[14] = 0x09; /* DIMM */
	p[16] = 1;
	p[18] = 0x07; /* RAM */
	put(p + 19, 0x0002, 2);
	end(a, strings);
}

static void memory_range(struct area *a, u64 bytes)
{
	u8 *p = begin(a, 19, 15);

	put(p + 8, (MIN(bytes, 1ull << 41) >> 10) - 1, 4);
	put(p + 12, HANDLE(16), 2);
	p[14] = 1;
	end(a, NULL);
}

static void boot_information(struct area *a)
{
	begin(a, 32, 11);
	end(a, NULL);
}

void smbios_publish(struct vm *vm)
{
	struct area a = {0};
	u8 anchor[ANCHOR_SIZE] = {'_', 'S', 'M', '_'};

	system_information(&a);
	enclosure(&a);
	processor(&a);
	memory_array(&a, vm->mem.ram_size);
	memory_device(&a, vm->mem.ram_size);
	memory_range(&a, vm->mem.ram_size);
	boot_information(&a);
	begin(&a, 127, 4);
	end(&a, NULL);

	anchor[5] = ANCHOR_SIZE;
	anchor[6] = 2; /* version 2.8 */
	anchor[7] = 8;
	put(anchor + 8, a.largest, 2);
	memcpy(anchor + 16, "_DMI_", 5);
	put(anchor + 22, a.used, 2);
	put(anchor + 28, a.count, 2);
	anchor[30] = 0x28;
	fw_cfg_add_file(vm->fw_cfg, "etc/smbios/smbios-tables", a.bytes, a.used);
	fw_cfg_add_file(vm->fw_cfg, "etc/smbios/smbios-anchor", anchor, sizeof(anchor));
}
