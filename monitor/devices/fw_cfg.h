/*
 * The firmware configuration device, ports 510h to 51Bh: how the machine tells its firmware what it is made of, and hands it tables and
 * option ROMs. It behaves as the one that QEMU documents (docs/specs/fw_cfg), which SeaBIOS and kernels know.
 */
#ifndef RINGER_FW_CFG_H
#define RINGER_FW_CFG_H

#include "monitor/types.h"

struct vm;
struct fw_cfg;

/* Items that have a number. */
enum {
	FW_CFG_SIGNATURE = 0x00,
	FW_CFG_ID = 0x01,
	FW_CFG_UUID = 0x02,
	FW_CFG_RAM_SIZE = 0x03,
	FW_CFG_NOGRAPHIC = 0x04,
	FW_CFG_NB_CPUS = 0x05,
	FW_CFG_KERNEL_ADDR = 0x07, /* -kernel: addresses and sizes of 4 bytes, data as it is to lie there */
	FW_CFG_KERNEL_SIZE = 0x08,
	FW_CFG_INITRD_ADDR = 0x0a,
	FW_CFG_INITRD_SIZE = 0x0b,
	FW_CFG_MAX_CPUS = 0x0d,
	FW_CFG_BOOT_MENU = 0x0e,
	FW_CFG_KERNEL_ENTRY = 0x10,
	FW_CFG_KERNEL_DATA = 0x11,
	FW_CFG_INITRD_DATA = 0x12,
	FW_CFG_CMDLINE_ADDR = 0x13,
	FW_CFG_CMDLINE_SIZE = 0x14,
	FW_CFG_CMDLINE_DATA = 0x15,
	FW_CFG_SETUP_ADDR = 0x16,
	FW_CFG_SETUP_SIZE = 0x17,
	FW_CFG_SETUP_DATA = 0x18,
	FW_CFG_FILE_DIR = 0x19,
	FW_CFG_FILE_FIRST = 0x20,
	FW_CFG_IRQ0_OVERRIDE = 0x8002,
};

#define FW_CFG_SIZE_MAX (256u << 20) /* of an item */

/* Registers it with vm, which owns it; with signature, feature bits and an empty directory. */
struct fw_cfg *fw_cfg_create(struct vm *vm);
/* The following: start-up only; data is copied. fatal() if there is no room, or if the name or number is taken. */
void fw_cfg_add_item(struct fw_cfg *f, u16 key, const void *data, size_t size);
/* name: at most 55 characters. Option ROMs: "vgaroms/..." for the VGA adapter's, "genroms/..." for others. */
void fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, size_t size);
/* The file's bytes may depend on what firmware has set up by the time that it reads them: refresh may change them, not their number. It is
 * called when the guest begins to read the file (vCPU thread, lock held). */
void fw_cfg_refresh_file(struct fw_cfg *f, const char *name, void (*refresh)(void *opaque, u8 *data, size_t size), void *opaque);
/* For whoever looks at what was added: the file's bytes, or NULL. */
const u8 *fw_cfg_file(const struct fw_cfg *f, const char *name, size_t *size);

#endif
