/* change, eject. Invariant: an image is opened before anything is changed; the drive's own files do the rest on the vCPU's thread. */
#include <string.h>

#include "monitor/block.h"
#include "monitor/console_internal.h"
#include "monitor/runstate.h"
#include "monitor/storage.h"
#include "monitor/vm.h"

#define FILE_MAX 4096

bool console_removable(struct vm *vm, unsigned nth, char *buf, size_t size)
{
	struct storage_drive d;

	for (unsigned i = 0; storage_drive(vm, i, &d); i++) {
		if (!d.removable || nth-- > 0)
			continue;
		if (strlen(d.name) >= size)
			return false;
		strcpy(buf, d.name);
		return true;
	}
	return false;
}

static bool find_drive(struct console_call *c, const char *name, struct storage_drive *d)
{
	for (unsigned i = 0; storage_drive(c->vm, i, d); i++) {
		if (strcmp(d->name, name) != 0)
			continue;
		if (!d->removable)
			console_printf(c, "Device '%s' is not removable\n", name);
		return d->removable;
	}
	console_printf(c, "Device '%.100s' not found\n", name);
	return false;
}

static bool may_open(struct console_call *c, const struct storage_drive *d)
{
	if (!d->locked || d->tray_open)
		return true;
	storage_press_eject(c->vm, d);
	console_printf(c, "Device '%s' is locked and force was not specified, wait for tray to open and try again\n", d->name);
	return false;
}

struct exchange {
	struct vm *vm;
	const struct storage_drive *drive;
	struct block *block;
};

static void exchange(void *opaque)
{
	struct exchange *x = opaque;

	storage_change(x->vm, x->drive, x->block);
}

static void cmd_eject(struct console_call *c)
{
	bool force = false;
	struct storage_drive d;
	char name[64];

	if (!console_word(c, "device", name, sizeof(name)))
		return;
	if (strcmp(name, "-f") == 0) {
		force = true;
		if (!console_word(c, "device", name, sizeof(name)))
			return;
	}
	if (console_end(c) && find_drive(c, name, &d) && (force || may_open(c, &d)))
		vm_call_vcpu(c->vm, exchange, &(struct exchange){c->vm, &d, NULL});
}

static void cmd_change(struct console_call *c)
{
	char name[64], file[FILE_MAX], format[8] = "", mode[16] = "retain", err[256];
	struct storage_drive d;
	struct exchange x = {c->vm, &d, NULL};

	if (!console_word(c, "device", name, sizeof(name)) || !console_word(c, "filename", file, sizeof(file)))
		return;
	if (console_more(c) && !console_word(c, "format", format, sizeof(format)))
		return;
	if (console_more(c) && !console_word(c, "read-only-mode", mode, sizeof(mode)))
		return;
	if (!console_end(c) || !find_drive(c, name, &d))
		return;
	if (*format && strcmp(format, "raw") != 0) {
		console_printf(c, "change: format '%s' is not supported: only 'raw'\n", format);
		return;
	}
	if (strcmp(mode, "retain") != 0 && strcmp(mode, "read-only") != 0 && strcmp(mode, "read-write") != 0) {
		console_printf(c, "change: invalid mode '%s': 'retain', 'read-only' or 'read-write'\n", mode);
		return;
	}
	if (!may_open(c, &d))
		return;
	x.block = storage_open_medium(c->vm, &d, file, *format,
				      strcmp(mode, "read-only") == 0 || (strcmp(mode, "retain") == 0 && d.block && block_readonly(d.block)),
				      err, sizeof(err));
	if (!x.block)
		console_printf(c, "%s: %s\n", file, err);
	else if (!vm_call_vcpu(c->vm, exchange, &x))
		block_close(x.block);
}

const struct console_cmd console_media_commands[] = {
	{"change", "DEVICE FILE [FORMAT [MODE]]", "put another disc or disk into a drive (info block lists them)", 0, cmd_change, NULL},
	{"eject", "[-f] DEVICE", "take the disc or disk out of a drive; -f even if the guest has locked it", 0, cmd_eject, NULL},
	{0},
};
