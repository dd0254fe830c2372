/*
 * -drive and its short forms, spelled as QEMU's.
 *
 * Invariants: no two entries of options.drives are the same place; each has a file, is an empty CD-ROM or floppy drive, or waits for a
 * -device (DRIVE_NONE) that says what it is. A drive without a
 * place gets the first free one at its own position on the command line.
 */
#include "monitor/options_drive.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"

/* Places behind an interface. */
static const struct {
	const char *name;
	unsigned buses, units;
} interfaces[] = {
	[DRIVE_IDE] = {"ide", 2, 2},
	[DRIVE_FLOPPY] = {"floppy", 1, 2},
	[DRIVE_NONE] = {"none", 1, MAX_DRIVES},
};

/* A -drive under way: numbers are -1 until they are given. */
struct request {
	struct drive_option d;
	int index, bus, unit;
	bool has_media, has_readonly;
};

struct drive_option *options_drive_by_id(struct options *o, const char *id)
{
	for (unsigned i = 0; i < o->drive_count; i++)
		if (strcmp(o->drives[i].id, id) == 0)
			return &o->drives[i];
	return NULL;
}

static bool taken(const struct options *o, const struct drive_option *d)
{
	for (unsigned i = 0; i < o->drive_count; i++)
		if (o->drives[i].interface == d->interface && o->drives[i].bus == d->bus && o->drives[i].unit == d->unit)
			return true;
	return false;
}

static void add(struct options *o, const char *name, struct request *r)
{
	struct drive_option *d = &r->d;
	unsigned units = interfaces[d->interface].units, places = interfaces[d->interface].buses * units;
	const char *kind = interfaces[d->interface].name;

	if (o->drive_count == MAX_DRIVES)
		fatal("-%s: at most %d drives", name, MAX_DRIVES);
	if (*d->id && options_drive_by_id(o, d->id))
		fatal("-%s: Duplicate ID '%s' for drive", name, d->id);
	if (r->index >= 0 && (r->bus >= 0 || r->unit >= 0))
		fatal("-%s: index= goes without bus= and unit=", name);
	if (r->bus >= (int)interfaces[d->interface].buses || r->unit >= (int)units || r->index >= (int)places)
		fatal("-%s: there is no such place for a drive: if=%s has %u", name, kind, places);
	for (unsigned place = 0; place < places; place++) {
		d->bus = (u8)(place / units);
		d->unit = (u8)(place % units);
		if (r->index >= 0 ? (int)place != r->index : (r->bus >= 0 && r->bus != d->bus) || (r->unit >= 0 && r->unit != d->unit))
			continue;
		if (!taken(o, d)) {
			o->drives[o->drive_count++] = *d;
			return;
		}
		if (r->index >= 0 || r->unit >= 0)
			fatal("-%s: there is a drive already at if=%s,bus=%u,unit=%u", name, kind, d->bus, d->unit);
	}
	fatal("-%s: no place is left for a drive with if=%s", name, kind);
}

static void set_file(struct drive_option *d, const char *name, const char *file)
{
	if (!*file)
		fatal("-%s: the file name is empty", name);
	if (strlen(file) >= sizeof(d->file))
		fatal("-%s: the file name is too long", name);
	strcpy(d->file, file);
}

void options_drive_short(struct options *o, const char *name, const char *arg)
{
	static const struct {
		const char *name;
		enum drive_interface interface;
		u8 index;
		bool cdrom;
	} forms[] = {
		{"hda", DRIVE_IDE, 0, false},	 {"hdb", DRIVE_IDE, 1, false},	{"hdc", DRIVE_IDE, 2, false},
		{"hdd", DRIVE_IDE, 3, false},	 {"cdrom", DRIVE_IDE, 2, true}, {"fda", DRIVE_FLOPPY, 0, false},
		{"fdb", DRIVE_FLOPPY, 1, false},
	};
	struct request r = {.bus = -1, .unit = -1};
	size_t i = 0;

	while (i < ARRAY_SIZE(forms) - 1 && strcmp(name, forms[i].name) != 0)
		i++;
	r.d.interface = forms[i].interface;
	r.d.cdrom = forms[i].cdrom;
	r.d.readonly = forms[i].cdrom;
	r.index = forms[i].index;
	set_file(&r.d, name, arg);
	add(o, name, &r);
}

/* ---- -drive ---- */

bool options_next_property(const char *name, const char **list, struct property *p)
{
	const char *s = *list;
	size_t n = strcspn(s, "=,"), v = 0;

	if (!*s)
		return false;
	if (s[n] != '=' || n >= sizeof(p->key))
		fatal("-%s: '%.*s' is not PROPERTY=VALUE", name, (int)MIN(n, (size_t)80), s);
	memcpy(p->key, s, n);
	p->key[n] = '\0';
	for (s += n + 1; *s && (*s != ',' || s[1] == ','); s++) {
		if (v == sizeof(p->value) - 1)
			fatal("-%s: the value of %s is too long", name, p->key);
		p->value[v++] = *s;
		if (*s == ',')
			s++;
	}
	p->value[v] = '\0';
	*list = *s ? s + 1 : s;
	return true;
}

/* Which of a NULL-ended list of words it is; no other is allowed. */
static int one_of(const char *name, const struct property *p, const char *const *words)
{
	char all[128] = "";

	for (int i = 0; words[i]; i++) {
		if (strcmp(p->value, words[i]) == 0)
			return i;
		strncat(all, i ? ", " : "", sizeof(all) - strlen(all) - 1);
		strncat(all, words[i], sizeof(all) - strlen(all) - 1);
	}
	fatal("-%s: %s=%.80s is not supported: there is %s", name, p->key, p->value, all);
}

static void set_interface(struct request *r, const char *name, const struct property *p)
{
	static const char *const words[] = {"ide", "floppy", "none", NULL};

	r->d.interface = (enum drive_interface)one_of(name, p, words);
}

static void set_media(struct request *r, const char *name, const struct property *p)
{
	static const char *const words[] = {"disk", "cdrom", NULL};

	r->d.cdrom = one_of(name, p, words);
	r->has_media = true;
}

static void set_format(struct request *r, const char *name, const struct property *p)
{
	static const char *const words[] = {"raw", NULL};

	one_of(name, p, words);
	r->d.format_given = true;
}

static bool on(const char *name, const struct property *p)
{
	static const char *const words[] = {"off", "on", NULL};

	return one_of(name, p, words);
}

static void set_snapshot(struct request *r, const char *name, const struct property *p)
{
	r->d.snapshot = on(name, p);
}

static void set_readonly(struct request *r, const char *name, const struct property *p)
{
	r->d.readonly = on(name, p);
	r->has_readonly = true;
}

static int number(const char *name, const struct property *p)
{
	char *end;
	long x = strtol(p->value, &end, 10);

	if (*end || end == p->value || x < 0 || x > 255)
		fatal("-%s: %s=%.80s is not the number of a place", name, p->key, p->value);
	return (int)x;
}

static void set_index(struct request *r, const char *name, const struct property *p)
{
	r->index = number(name, p);
}

static void set_bus(struct request *r, const char *name, const struct property *p)
{
	r->bus = number(name, p);
}

static void set_unit(struct request *r, const char *name, const struct property *p)
{
	r->unit = number(name, p);
}

static void set_drive_file(struct request *r, const char *name, const struct property *p)
{
	set_file(&r->d, name, p->value);
}

/* A guest's flush always reaches the disk; how the host caches until then is the host's business. */
static void set_cache(struct request *r, const char *name, const struct property *p)
{
	static const char *const words[] = {"writeback", "none", "writethrough", "directsync", "unsafe", NULL};

	(void)r;
	one_of(name, p, words);
}

static void set_id(struct request *r, const char *name, const struct property *p)
{
	if (!*p->value || strlen(p->value) >= sizeof(r->d.id))
		fatal("-%s: id=%.80s is not a name of at most %zu characters", name, p->value, sizeof(r->d.id) - 1);
	strcpy(r->d.id, p->value);
}

static const struct {
	const char *key;
	void (*set)(struct request *r, const char *name, const struct property *p);
} properties[] = {
	{"file", set_drive_file},   {"if", set_interface},	 {"index", set_index}, {"bus", set_bus},
	{"unit", set_unit},	    {"format", set_format},	 {"media", set_media}, {"snapshot", set_snapshot},
	{"readonly", set_readonly}, {"read-only", set_readonly}, {"cache", set_cache}, {"id", set_id},
};

void options_drive(struct options *o, const char *name, const char *arg)
{
	struct request r = {.index = -1, .bus = -1, .unit = -1};
	struct property p;

	while (options_next_property(name, &arg, &p)) {
		size_t i = 0;

		while (i < ARRAY_SIZE(properties) && strcmp(p.key, properties[i].key) != 0)
			i++;
		if (i == ARRAY_SIZE(properties))
			fatal("-%s: invalid property '%s'", name, p.key);
		properties[i].set(&r, name, &p);
	}
	if (r.has_media && r.d.cdrom && r.d.interface == DRIVE_FLOPPY)
		fatal("-%s: a floppy drive takes no media=cdrom", name);
	if (!*r.d.file && !r.d.cdrom && r.d.interface == DRIVE_IDE)
		fatal("-%s: a disk needs a file=", name);
	if (r.d.cdrom && !r.has_readonly)
		r.d.readonly = true;
	add(o, name, &r);
}
