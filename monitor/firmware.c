/*
 * Firmware: finds and checks the image, puts it where the processor starts, and describes the machine to it by fw_cfg and CMOS.
 *
 * Invariants: the image is read once; a reset finds the same ROM, which nobody can write. With -kernel and no -bios there is no image, and
 * the ROM area reads as ones; with both, firmware boots the kernel (load_firmware.c). What the user got wrong ends in fatal().
 */
#include "monitor/firmware.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/acpi.h"
#include "monitor/devices/checked_state.h"
#include "monitor/devices/fw_cfg.h"
#include "monitor/devices/i440fx.h"
#include "monitor/devices/rtc.h"
#include "monitor/load_image.h"
#include "monitor/log.h"
#include "monitor/smbios.h"
#include "monitor/vm.h"

#define ROM_UNIT   0x10000u
#define ROM_MAX	   (16u << 20)
#define ROM_LOW	   0x20000u /* what of it lies below 1 MiB */
#define TOP	   (1ull << 32)
#define CMOS_BOOT1 0x3d /* first and second boot device */
#define CMOS_BOOT2 0x38 /* third; bit 0: do not look for a floppy's signature */
#define CMOS_CPUS  0x5f /* beside the first */

static const char *const directories[] = {"/usr/share/seabios", "/usr/share/qemu", "/usr/share/vgabios", "/usr/local/share/qemu"};

static bool readable(const char *path)
{
	return access(path, R_OK) == 0;
}

/* Where `name` is; false if it is nowhere. */
static bool find(const struct vm *vm, const char *name, char *path, size_t size)
{
	if (strchr(name, '/') || readable(name)) {
		snprintf(path, size, "%s", name);
		return readable(name);
	}
	for (unsigned i = 0; i < vm->opt.firmware_dir_count + ARRAY_SIZE(directories); i++) {
		const char *dir = i < vm->opt.firmware_dir_count ? vm->opt.firmware_dirs[i] : directories[i - vm->opt.firmware_dir_count];

		if ((size_t)snprintf(path, size, "%s/%s", dir, name) < size && readable(path))
			return true;
	}
	return false;
}

u8 *firmware_read(const struct vm *vm, const char *what, const char *name, size_t *size, bool optional)
{
	struct image image = {0};
	char path[PATH_MAX];

	if (!find(vm, name, path, sizeof(path))) {
		if (optional)
			return NULL;
		fatal("%s %s: not found (Debian's package seabios has it; -L names further directories)", what, name);
	}
	image_read(&image, path, what);
	free(image.path);
	*size = image.size;
	return image.data;
}

u64 firmware_install(struct vm *vm)
{
	u64 low = memory_alloc(&vm->mem, I440FX_ROM_SZ), top;
	const char *name = vm->opt.bios;
	size_t size, part;
	u8 *image;

	memset(vm->mem.ram + low, 0xff, I440FX_ROM_SZ);
	if (!name && vm->opt.kernel)
		return low;
	image = firmware_read(vm, "BIOS", name ? name : FIRMWARE_DEFAULT, &size, false);
	if (size % ROM_UNIT || size > ROM_MAX)
		fatal("BIOS %s: its size must be a multiple of 64 KiB, at most 16 MiB", name ? name : FIRMWARE_DEFAULT);
	top = memory_alloc(&vm->mem, size);
	memcpy(vm->mem.ram + top, image, size);
	if (!memory_map(vm, TOP - size, size, top, false))
		fatal("BIOS: no place below 4 GiB");
	part = MIN(size, (size_t)ROM_LOW);
	memcpy(vm->mem.ram + low + I440FX_ROM_SZ - part, image + size - part, part);
	free(image);
	return low;
}

static void add_number(struct fw_cfg *f, u16 key, u64 value, unsigned size)
{
	u8 bytes[8];

	put64(bytes, value);
	fw_cfg_add_item(f, key, bytes, size);
}

/* Unlike the map that a kernel gets, this has only what firmware cannot know: where RAM is. */
static void tell_memory(struct vm *vm)
{
	const struct memory *m = &vm->mem;
	u8 map[2 * 20];
	unsigned n = 0;

	put64(map, 0);
	put64(map + 8, m->low_size);
	put32(map + 16, E820_RAM);
	n += 20;
	if (m->ram_size > m->low_size) {
		put64(map + n, RAM_HIGH_BASE);
		put64(map + n + 8, m->ram_size - m->low_size);
		put32(map + n + 16, E820_RAM);
		n += 20;
	}
	add_number(vm->fw_cfg, FW_CFG_RAM_SIZE, m->ram_size, 8);
	fw_cfg_add_file(vm->fw_cfg, "etc/e820", map, n);
}

/* CMOS names a boot device by a nibble: 1 floppy, 2 disk, 3 CD-ROM, 4 network. */
static u8 boot_nibble(char letter)
{
	static const char letters[] = "acdn";
	const char *p = letter ? strchr(letters, letter == 'b' ? 'a' : letter) : NULL;

	return p ? (u8)(p - letters + 1) : 0;
}

static void set_boot_order(struct vm *vm, const char *order)
{
	u8 nibble[3] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(nibble) && order[i]; i++)
		nibble[i] = boot_nibble(order[i]);
	rtc_set_cmos(vm->rtc, CMOS_BOOT1, nibble[1] << 4 | nibble[0]);
	rtc_set_cmos(vm->rtc, CMOS_BOOT2, nibble[2] << 4);
}

static const char *usual_order(const struct vm *vm)
{
	return vm->opt.boot_order[0] ? vm->opt.boot_order : "cad";
}

/* -boot once=: the order of the first start; from the first reset behind it on it is the usual one. */
struct boot_once {
	struct vm *vm;
	bool started;
};

static void boot_once_reset(void *opaque)
{
	struct boot_once *b = opaque;

	if (b->started)
		set_boot_order(b->vm, usual_order(b->vm));
	b->started = true;
}

static void boot_once_save(void *opaque, struct state *s)
{
	struct boot_once *b = opaque;

	state_put_u8(s, b->started);
}

static void boot_once_load(void *opaque, struct state *s)
{
	struct boot_once *b = opaque;
	bool started = state_get_bool(s);

	if (!s->error)
		b->started = started;
}

static void boot_once_free(void *opaque)
{
	free(opaque);
}

static void boot_once_create(struct vm *vm)
{
	struct boot_once *b = calloc(1, sizeof(*b));

	if (!b)
		fatal("out of memory");
	b->vm = vm;
	device_register(vm, &(struct device){"boot-once", 1, b, boot_once_reset, boot_once_save, boot_once_load, boot_once_free});
}

static void tell_boot_order(struct vm *vm)
{
	u8 wait[4];

	set_boot_order(vm, vm->opt.boot_once[0] ? vm->opt.boot_once : usual_order(vm));
	if (vm->opt.boot_once[0])
		boot_once_create(vm);
	rtc_set_cmos(vm->rtc, CMOS_CPUS, 0);
	add_number(vm->fw_cfg, FW_CFG_BOOT_MENU, vm->opt.boot_menu, 2);
	if (vm->opt.splash_time >= 0) {
		put16(wait, (u16)vm->opt.splash_time);
		fw_cfg_add_file(vm->fw_cfg, "etc/boot-menu-wait", wait, 2);
	}
	put32(wait, (u32)vm->opt.reboot_timeout);
	fw_cfg_add_file(vm->fw_cfg, "etc/boot-fail-wait", wait, 4);
}

/* What the user has for the firmware: SeaBIOS boots a floppyimg/NAME, and runs genroms/NAME. */
static void tell_files(struct vm *vm)
{
	for (unsigned i = 0; i < vm->opt.fw_cfg_count; i++) {
		const char *name = vm->opt.fw_cfg[i].name, *value = vm->opt.fw_cfg[i].value;
		struct image image = {0};

		if (fw_cfg_file(vm->fw_cfg, name, NULL))
			fatal("fw_cfg %s: there is one of that name", name);
		if (!vm->opt.fw_cfg[i].file) {
			fw_cfg_add_file(vm->fw_cfg, name, value, strlen(value));
			continue;
		}
		image_read(&image, value, "fw_cfg file");
		if (image.size > FW_CFG_SIZE_MAX)
			fatal("fw_cfg file %s: is larger than %u MiB", value, FW_CFG_SIZE_MAX >> 20);
		fw_cfg_add_file(vm->fw_cfg, name, image.data, image.size);
		free(image.path);
		free(image.data);
	}
}

void firmware_tell(struct vm *vm)
{
	/* S3 and S4 are not offered: bit 7 of bytes 3 and 4 is clear. */
	static const u8 states[6] = {128, 0, 0, 1, 2, 128}, uuid[16];

	fw_cfg_add_item(vm->fw_cfg, FW_CFG_UUID, uuid, sizeof(uuid));
	add_number(vm->fw_cfg, FW_CFG_NOGRAPHIC, vm->opt.nographic, 2);
	add_number(vm->fw_cfg, FW_CFG_NB_CPUS, 1, 2);
	add_number(vm->fw_cfg, FW_CFG_MAX_CPUS, 1, 2);
	add_number(vm->fw_cfg, FW_CFG_IRQ0_OVERRIDE, 1, 1);
	tell_memory(vm);
	tell_boot_order(vm);
	acpi_publish(vm);
	smbios_publish(vm);
	fw_cfg_add_file(vm->fw_cfg, "etc/system-states", states, sizeof(states));
	if (vm->loader)
		loader_publish(vm->loader, vm);
	tell_files(vm);
}
