/*
 * -device, spelled as QEMU's.
 *
 * Invariants: DEVICES is the one list of devices: what is accepted and what help says come from it. Devices take places behind those of
 * -drive and its short forms, in their order on the command line. A drive belongs to one device at most.
 */
#include "monitor/options_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"
#include "monitor/options_drive.h"

/* A -device being read: its properties as given, or NULL, by index of its kind's list. */
#define MAX_PROPERTIES 4
struct request {
	struct options *o;
	const char *arg;
	const struct kind *kind;
	bool given[MAX_PROPERTIES];
	char values[MAX_PROPERTIES][DRIVE_FILE_MAX];
};

struct kind {
	const char *name, *bus, *help;
	struct {
		const char *key, *help;
	} properties[MAX_PROPERTIES];
	void (*place)(struct request *r);
};

static const char *value(const struct request *r, const char *key)
{
	for (int i = 0; i < MAX_PROPERTIES && r->kind->properties[i].key; i++)
		if (r->given[i] && strcmp(r->kind->properties[i].key, key) == 0)
			return r->values[i];
	return NULL;
}

/* A number in C's notation between low and high, or `otherwise` if it is not given. */
static unsigned number(const struct request *r, const char *key, unsigned low, unsigned high, unsigned otherwise)
{
	const char *s = value(r, key);
	unsigned long x;
	char *end;

	if (!s)
		return otherwise;
	errno = 0;
	x = strtoul(s, &end, 0);
	if (*s < '0' || *s > '9' || *end)
		fatal("-device %.200s: %s: '%.80s' is not a number", r->arg, key, s);
	if (errno || x < low || x > high)
		fatal("-device %.200s: %s must be between %u and %u", r->arg, key, low, high);
	return (unsigned)x;
}

/* ---- drives ---- */

static const struct drive_option *at(const struct options *o, enum drive_interface interface, unsigned bus, unsigned unit)
{
	for (unsigned i = 0; i < o->drive_count; i++)
		if (o->drives[i].interface == interface && o->drives[i].bus == bus && o->drives[i].unit == unit)
			return &o->drives[i];
	return NULL;
}

/* The drive that the device is to be; an empty one if it names none. */
static struct drive_option *take_drive(struct request *r)
{
	const char *id = value(r, "drive");
	struct drive_option *d;

	if (!id) {
		if (r->o->drive_count == MAX_DRIVES)
			fatal("-device %.200s: at most %d drives", r->arg, MAX_DRIVES);
		d = &r->o->drives[r->o->drive_count++];
		memset(d, 0, sizeof(*d));
		d->interface = DRIVE_NONE;
		return d;
	}
	d = *id ? options_drive_by_id(r->o, id) : NULL;
	if (!d)
		fatal("-device %.200s: Property '%s.drive' can't find value '%.80s'", r->arg, r->kind->name, id);
	if (d->attached)
		fatal("-device %.200s: Drive '%s' is already in use by another block device", r->arg, id);
	if (d->interface != DRIVE_NONE)
		fatal("-device %.200s: Drive '%s' is already in use because it has been automatically connected to another device (did you "
		      "need 'if=none' in the drive options?)",
		      r->arg, id);
	return d;
}

/* Puts d where the device's bus= and unit= say, or into the first place that is free. */
static void attach(struct request *r, struct drive_option *d, enum drive_interface interface, const char *const buses[], unsigned count)
{
	const char *bus = value(r, "bus"), *what = interface == DRIVE_IDE ? "IDE" : "Floppy";
	unsigned first = 0, last = count - 1, unit;

	if (bus) {
		while (first < count && strcmp(buses[first], bus) != 0)
			first++;
		if (first == count)
			fatal("-device %.200s: Bus '%.80s' not found", r->arg, bus);
		last = first;
	}
	unit = number(r, "unit", 0, 1, 2);
	for (unsigned b = first; b <= last; b++) {
		if (unit < 2 && at(r->o, interface, b, unit)) {
			/* A whole bus is passed by where none is named. */
			if (b == last || !at(r->o, interface, b, !unit))
				fatal("-device %.200s: %s unit %u is in use", r->arg, what, unit);
			continue;
		}
		for (unsigned u = 0; u < 2; u++) {
			if ((unit < 2 && u != unit) || at(r->o, interface, b, u))
				continue;
			d->interface = interface;
			d->bus = (u8)b;
			d->unit = (u8)u;
			d->attached = true;
			return;
		}
	}
	if (bus)
		fatal("-device %.200s: Bus '%s' is full", r->arg, bus);
	fatal("-device %.200s: No '%s' bus found for device '%s'", r->arg, r->kind->bus, r->kind->name);
}

static const char *const ide_buses[] = {"ide.0", "ide.1"};
static const char *const floppy_buses[] = {"floppy-bus.0"};

static void place_ide_hd(struct request *r)
{
	struct drive_option *d;

	if (!value(r, "drive"))
		fatal("-device %.200s: No drive specified", r->arg);
	d = take_drive(r);
	if (!*d->file)
		fatal("-device %.200s: Device needs media, but drive is empty", r->arg);
	d->cdrom = false;
	attach(r, d, DRIVE_IDE, ide_buses, 2);
	r->o->no_cdrom = true;
}

static void place_ide_cd(struct request *r)
{
	struct drive_option *d = take_drive(r);

	d->cdrom = d->readonly = true;
	attach(r, d, DRIVE_IDE, ide_buses, 2);
	r->o->no_cdrom = true;
}

static void place_floppy(struct request *r)
{
	struct drive_option *d = take_drive(r);

	d->cdrom = false;
	attach(r, d, DRIVE_FLOPPY, floppy_buses, 1);
	r->o->no_floppy = true;
}

/* ---- others ---- */

static const char *chardev(struct request *r)
{
	const char *id = value(r, "chardev");

	if (!id)
		fatal("-device %.200s: Can't create %s device, empty char device: it needs chardev=ID", r->arg, r->kind->name);
	for (unsigned i = 0; i < r->o->chardev_count; i++)
		if (strcmp(r->o->chardevs[i].id, id) == 0)
			return r->o->chardevs[i].spec;
	fatal("-device %.200s: Property '%s.chardev' can't find value '%.80s'", r->arg, r->kind->name, id);
}

static void place_serial(struct request *r)
{
	const char *spec = chardev(r);
	unsigned n = number(r, "index", 0, MAX_SERIALS - 1, r->o->serial_count);

	if (n >= MAX_SERIALS)
		fatal("-device %.200s: Max. supported number of ISA serial ports is %d.", r->arg, MAX_SERIALS);
	while (r->o->serial_count <= n)
		r->o->serial[r->o->serial_count++] = "none";
	if (strcmp(r->o->serial[n], "none") != 0)
		fatal("-device %.200s: serial port %u is in use", r->arg, n);
	r->o->serial[n] = spec;
}

static void place_debugcon(struct request *r)
{
	r->o->debugcon = chardev(r);
	r->o->debugcon_iobase = (u16)number(r, "iobase", 0, 0xffff, r->o->debugcon_iobase);
}

static void place_debug_exit(struct request *r)
{
	struct options *o = r->o;

	o->debug_exit = true;
	o->debug_exit_iobase = (u16)number(r, "iobase", 0, 0xffff, o->debug_exit_iobase);
	o->debug_exit_iosize = (u16)number(r, "iosize", 1, 4, o->debug_exit_iosize);
	if (o->debug_exit_iobase + o->debug_exit_iosize > 0x10000)
		fatal("-device %.200s: the ports of isa-debug-exit end beyond 0xffff", r->arg);
}

static const struct kind kinds[] = {
	{"floppy",
	 "floppy-bus",
	 "virtual floppy drive",
	 {{"drive", "ID of a -drive with if=none; without it the drive is empty"}, {"bus", "floppy-bus.0"}, {"unit", "0 or 1"}},
	 place_floppy},
	{"ide-cd",
	 "IDE",
	 "virtual IDE CD-ROM",
	 {{"drive", "ID of a -drive with if=none; without it the drive is empty"}, {"bus", "ide.0 or ide.1"}, {"unit", "0 or 1"}},
	 place_ide_cd},
	{"ide-hd",
	 "IDE",
	 "virtual IDE disk",
	 {{"drive", "ID of a -drive with if=none"}, {"bus", "ide.0 or ide.1"}, {"unit", "0 or 1"}},
	 place_ide_hd},
	{"isa-debug-exit",
	 "ISA",
	 "a port that ends the machine",
	 {{"iobase", "first port, default 0x501"}, {"iosize", "ports, 1 to 4, default 2"}},
	 place_debug_exit},
	{"isa-debugcon", "ISA", "debug console", {{"chardev", "ID of a -chardev"}, {"iobase", "port, default 0xe9"}}, place_debugcon},
	{"isa-serial", "ISA", "serial port", {{"chardev", "ID of a -chardev"}, {"index", "0 to 3: COM1 to COM4"}}, place_serial},
};

/* ---- the option ---- */

static const struct kind *find_kind(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strlen(kinds[i].name) == n && memcmp(kinds[i].name, name, n) == 0)
			return &kinds[i];
	return NULL;
}

_Noreturn static void help(const struct kind *k)
{
	if (!k) {
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			printf("name \"%s\", bus %s, desc \"%s\"\n", kinds[i].name, kinds[i].bus, kinds[i].help);
		exit(0);
	}
	printf("%s options:\n", k->name);
	for (int i = 0; i < MAX_PROPERTIES && k->properties[i].key; i++)
		printf("  %s=<%s>\n", k->properties[i].key, k->properties[i].help);
	exit(0);
}

void options_device(struct options *o, const char *name, const char *arg)
{
	size_t n = strcspn(arg, ",");
	const struct kind *k = find_kind(arg, n);

	if (strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0)
		help(NULL);
	if (!k)
		fatal("-%s %.200s: '%.*s' is not a valid device model name (-device help lists them)", name, arg, (int)MIN(n, (size_t)80),
		      arg);
	if (strcmp(arg + n, ",help") == 0)
		help(k);
	if (o->device_count == MAX_DEVICE_OPT)
		fatal("-%s: at most %d of them", name, MAX_DEVICE_OPT);
	o->devices[o->device_count++] = arg;
}

static void place(struct options *o, const char *arg)
{
	size_t n = strcspn(arg, ",");
	struct request *r = calloc(1, sizeof(*r));
	const char *list = arg + n + (arg[n] == ',');
	struct property p;

	if (!r)
		fatal("out of memory");
	r->o = o;
	r->arg = arg;
	r->kind = find_kind(arg, n);
	while (options_next_property("device", &list, &p)) {
		int i = 0;

		while (i < MAX_PROPERTIES && r->kind->properties[i].key && strcmp(r->kind->properties[i].key, p.key) != 0)
			i++;
		if (i < MAX_PROPERTIES && r->kind->properties[i].key) {
			r->given[i] = true;
			strcpy(r->values[i], p.value);
		} else if (strcmp(p.key, "id") != 0) {
			/* A name of its own is good for nothing here, and does no harm. */
			fatal("-device %.200s: Property '%s.%s' not found", arg, r->kind->name, p.key);
		}
	}
	r->kind->place(r);
	free(r);
}

void options_devices_place(struct options *o)
{
	for (unsigned i = 0; i < o->device_count; i++)
		place(o, o->devices[i]);
}
