/*
 * The options for firmware and back ends: -fw_cfg, -boot, -chardev and -global.
 *
 * Invariant: strings point into argv or into struct options.
 */
#include "monitor/options_firmware.h"

#include <stdio.h>
#include <string.h>

#include "monitor/log.h"
#include "monitor/options_item.h"

void options_fw_cfg(struct options *o, const char *name, const char *arg)
{
	struct option_item it;
	const char *file = "";
	unsigned n = o->fw_cfg_count;
	bool first = true, value = false;

	if (n == MAX_FW_CFG)
		fatal("-%s: at most %d", name, MAX_FW_CFG);
	for (; options_next_item(name, &arg, &it); first = false) {
		if (first || (it.has_value && strcmp(it.key, "name") == 0)) {
			file = it.has_value ? it.value : it.key;
			if (!*file || strlen(file) >= sizeof(o->fw_cfg[n].name))
				fatal("-%s: '%s' is not a name of at most 55 characters", name, file);
			strcpy(o->fw_cfg[n].name, file);
		} else if (it.has_value && (strcmp(it.key, "file") == 0 || strcmp(it.key, "string") == 0)) {
			if (strlen(it.value) >= sizeof(o->fw_cfg[n].value))
				fatal("-%s: '%s' is longer than %zu characters", name, it.value, sizeof(o->fw_cfg[n].value) - 1);
			o->fw_cfg[n].file = it.key[0] == 'f';
			strcpy(o->fw_cfg[n].value, it.value);
			value = true;
		} else {
			fatal("-%s: invalid property '%s'", name, it.key);
		}
	}
	if (!value)
		fatal("-%s: file=F or string=S is needed", name);
	o->fw_cfg_count++;
}

static void set_order(char to[BOOT_DEVICES + 1], const char *name, const char *order)
{
	size_t known = strspn(order, "abcdn");

	if (!*order)
		fatal("-%s: no boot device", name);
	if (order[known])
		fatal("-%s: Invalid boot device '%c'", name, order[known]);
	for (const char *p = order; *p; p++)
		if (strchr(p + 1, *p))
			fatal("-%s: Boot device '%c' was given twice", name, *p);
	if (known > BOOT_DEVICES)
		fatal("-%s: Too many boot devices for PC", name);
	strcpy(to, order);
}

void options_boot(struct options *o, const char *name, const char *arg)
{
	struct option_item it;

	while (options_next_item(name, &arg, &it)) {
		const char *order = it.has_value ? it.value : it.key;

		if (it.has_value && strcmp(it.key, "menu") == 0) {
			o->boot_menu = options_on_off(name, &it);
		} else if (it.has_value && strcmp(it.key, "splash-time") == 0) {
			o->splash_time = (int)options_number(name, it.key, it.value, 0, 0xffff);
		} else if (it.has_value && strcmp(it.key, "reboot-timeout") == 0) {
			bool never = strcmp(it.value, "-1") == 0;

			o->reboot_timeout = never ? -1 : (int)options_number(name, it.key, it.value, 0, 0xffff);
		} else if (it.has_value && strcmp(it.key, "strict") == 0) {
			options_on_off(name, &it);
		} else if (!it.has_value || strcmp(it.key, "order") == 0) {
			set_order(o->boot_order, name, order);
		} else if (strcmp(it.key, "once") == 0) {
			set_order(o->boot_once, name, order);
		} else {
			fatal("-%s: invalid property '%s'", name, it.key);
		}
	}
}

void options_chardev(struct options *o, const char *name, const char *arg)
{
	char kind[sizeof(((struct option_item *)0)->key)], id[32] = "", path[sizeof(((struct option_item *)0)->value)] = "";
	struct option_item it;

	options_next_item(name, &arg, &it);
	memcpy(kind, it.key, sizeof(kind));
	if (it.has_value)
		fatal("-%s: it begins with the kind of back end", name);
	while (options_next_item(name, &arg, &it)) {
		if (strcmp(it.key, "id") == 0 && it.has_value && strlen(it.value) < sizeof(id))
			strcpy(id, it.value);
		else if (strcmp(it.key, "path") == 0 && it.has_value)
			strcpy(path, it.value);
		else
			fatal("-%s: invalid property '%s'", name, it.key);
	}
	if (!*id)
		fatal("-%s: an id=ID is needed", name);
	if (o->chardev_count == MAX_CHARDEVS)
		fatal("-%s: at most %d", name, MAX_CHARDEVS);
	memcpy(o->chardevs[o->chardev_count].id, id, sizeof(id));
	snprintf(o->chardevs[o->chardev_count].spec, sizeof(o->chardevs[0].spec), "%s%s%s", kind, *path ? ":" : "", path);
	o->chardev_count++;
}

void options_global(struct options *o, const char *name, const char *arg)
{
	struct option_item it;

	options_next_item(name, &arg, &it);
	if (strcmp(it.key, "isa-debugcon.iobase") == 0 && it.has_value && !arg)
		o->debugcon_iobase = (u16)options_number(name, it.key, it.value, 0, 0xffff);
	else
		fatal("-%s: '%s' is not supported: only isa-debugcon.iobase=P", name, it.key);
}
