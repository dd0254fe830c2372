/*
 * -kernel under -bios: firmware runs, and boots the kernel by an option ROM of ours (monitor/rom), to which the loaders hand its parts as
 * fw_cfg items. Numbers and contents of the items are QEMU's, so firmware that loads them by itself finds them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/devices/fw_cfg.h"
#include "monitor/load_image.h"
#include "monitor/log.h"

#define ROM_UNIT     512u
#define ROM_CHECKSUM 6 /* a byte behind the entry that nobody uses */

static const u8 linuxboot[] = {
#include "linuxboot.hex"
};
static const u8 multiboot[] = {
#include "multiboot.hex"
};

static const struct {
	u16 addr, size, data;
	const char *name;
} items[] = {
	[ITEM_KERNEL] = {FW_CFG_KERNEL_ADDR, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA, "kernel"},
	[ITEM_INITRD] = {FW_CFG_INITRD_ADDR, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA, "initrd"},
	[ITEM_CMDLINE] = {FW_CFG_CMDLINE_ADDR, FW_CFG_CMDLINE_SIZE, FW_CFG_CMDLINE_DATA, "command line"},
	[ITEM_SETUP] = {FW_CFG_SETUP_ADDR, FW_CFG_SETUP_SIZE, FW_CFG_SETUP_DATA, "kernel"},
};

void load_publish_item(struct vm *vm, enum load_item which, u32 addr, const void *data, size_t size)
{
	u8 bytes[4];

	if (size > FW_CFG_SIZE_MAX)
		fatal("with -bios, the %s must not be larger than %u MiB", items[which].name, FW_CFG_SIZE_MAX >> 20);
	put32(bytes, addr);
	fw_cfg_add_item(vm->fw_cfg, items[which].addr, bytes, sizeof(bytes));
	put32(bytes, (u32)size);
	fw_cfg_add_item(vm->fw_cfg, items[which].size, bytes, sizeof(bytes));
	fw_cfg_add_item(vm->fw_cfg, items[which].data, data, size);
}

void load_publish_rom(struct vm *vm, const char *name)
{
	bool linux_rom = strcmp(name, "linuxboot") == 0;
	size_t size = linux_rom ? sizeof(linuxboot) : sizeof(multiboot);
	char file[56], order[80];
	u8 *rom = malloc(size), sum = 0;

	if (!rom)
		fatal("out of memory");
	memcpy(rom, linux_rom ? linuxboot : multiboot, size);
	for (size_t i = 0; i < size; i++)
		sum += rom[i];
	rom[ROM_CHECKSUM] -= sum;
	snprintf(file, sizeof(file), "genroms/%s.bin", name);
	fw_cfg_add_file(vm->fw_cfg, file, rom, size);
	/* Before all other boot devices; the list ends in a zero byte. */
	snprintf(order, sizeof(order), "/rom@%s", file);
	fw_cfg_add_file(vm->fw_cfg, "bootorder", order, strlen(order) + 1);
	free(rom);
}
_Static_assert(sizeof(linuxboot) % ROM_UNIT == 0 && sizeof(multiboot) % ROM_UNIT == 0, "an option ROM is made of units");
