/* stop, cont, system_reset, system_powerdown, quit, nmi, the mouse, screendump, log, logfile. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/tc.h"
#include "monitor/console_internal.h"
#include "monitor/devices/acpi_pm.h"
#include "monitor/devices/lapic.h"
#include "monitor/devices/i8042.h"
#include "monitor/devices/vga.h"
#include "monitor/display/backend.h"
#include "monitor/log.h"
#include "monitor/profile.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"

#define FILE_MAX 4096

static void cmd_stop(struct console_call *c)
{
	if (console_end(c))
		vm_stop_wait(c->vm, RUNSTATE_PAUSED);
}

static void cmd_cont(struct console_call *c)
{
	if (console_end(c) && !vm_cont(c->vm))
		console_printf(c, "Resetting the Virtual Machine is required\n");
}

static void cmd_reset(struct console_call *c)
{
	if (console_end(c))
		vm_request_reset(c->vm);
}

static void cmd_powerdown(struct console_call *c)
{
	struct acpi_pm *pm = device_find(c->vm, "acpi_pm");

	if (console_end(c) && pm)
		acpi_pm_power_button(pm);
}

static void cmd_quit(struct console_call *c)
{
	if (console_end(c))
		vm_request_exit(c->vm, VM_QUIT, 0);
}

static void cmd_nmi(struct console_call *c)
{
	if (console_end(c))
		lapic_nmi(c->vm->lapic);
}

/* ---- the mouse ---- */

static bool number_within(struct console_call *c, const char *what, s64 limit, s64 *value)
{
	if (!console_number(c, what, value))
		return false;
	if (*value >= -limit && *value <= limit)
		return true;
	console_printf(c, "%s: %s must be between %lld and %lld\n", c->cmd->name, what, (long long)-limit, (long long)limit);
	return false;
}

static void cmd_mouse_move(struct console_call *c)
{
	s64 dx, dy, dz = 0;

	if (!number_within(c, "dx", 10000, &dx) || !number_within(c, "dy", 10000, &dy))
		return;
	if (console_more(c) && !number_within(c, "dz", 10000, &dz))
		return;
	/* QEMU's y runs downwards. */
	if (console_end(c))
		i8042_mouse(c->vm->keyboard, (int)dx, (int)-dy, (int)dz, console_of(c->vm)->buttons);
}

static void cmd_mouse_button(struct console_call *c)
{
	s64 state;

	if (!number_within(c, "state", 7, &state) || !console_end(c))
		return;
	/* QEMU's: 1 left, 2 middle, 4 right. */
	console_of(c->vm)->buttons = (u8)((state & 1) | (state & 4) >> 1 | (state & 2) << 1);
	i8042_mouse(c->vm->keyboard, 0, 0, 0, console_of(c->vm)->buttons);
}

/* ---- screendump ---- */

static int write_screen(struct vm *vm, const char *path, bool png)
{
	struct frame frame = {0};
	struct vga_view view;
	int err;

	vga_snapshot(vm->vga, &view);
	if (!vga_draw(&view, &frame))
		return -ENOMEM;
	err = png ? picture_write_png(path, &frame) : picture_write_ppm(path, &frame);
	free(frame.pixels);
	return err;
}

static void cmd_screendump(struct console_call *c)
{
	char path[FILE_MAX] = "", word[FILE_MAX], format[8] = "";
	size_t n;
	int err;

	while (console_more(c)) {
		if (!console_word(c, "filename", word, sizeof(word)))
			return;
		if (strcmp(word, "-f") == 0) {
			if (!console_word(c, "format", format, sizeof(format)))
				return;
		} else if (!*path) {
			strcpy(path, word);
		} else {
			console_printf(c, "screendump: extraneous characters at the end of line\n");
			return;
		}
	}
	n = strlen(path);
	if (!*format)
		strcpy(format, n > 4 && strcmp(path + n - 4, ".png") == 0 ? "png" : "ppm");
	if (!n)
		console_printf(c, "screendump: filename expected\n");
	else if (strcmp(format, "png") != 0 && strcmp(format, "ppm") != 0)
		console_printf(c, "screendump: invalid format '%s': 'png' and 'ppm' are there\n", format);
	else if (!c->vm->vga)
		console_printf(c, "screendump: there is no screen to take a picture of\n");
	else if ((err = write_screen(c->vm, path, format[1] == 'n')))
		console_printf(c, "screendump: %s: %s\n", path, strerror(-err));
}

/* ---- log, logfile: on the vCPU's thread, which is who logs most, so that nobody is in the middle of a line ---- */

static void set_profile(struct console_call *c, bool on)
{
	int err = 0;

	if (on)
		err = profile_start(c->vm);
	else
		profile_stop(c->vm);
	if (err)
		console_printf(c, "log: profile: %s\n", strerror(-err));
}

static void cmd_log(struct console_call *c)
{
	const struct {
		u32 item;
		const char *name;
	} early[] = {{LOG_INSN, "insn"}};
	const char *bad;
	char items[256];
	u32 mask = 0;

	if (!console_word(c, "log items", items, sizeof(items)) || !console_end(c))
		return;
	if (strcmp(items, "none") != 0 && !log_parse(items, &mask, &bad)) {
		console_printf(c, "log: invalid log item '%s' (help log lists them)\n", bad);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(early); i++) {
		if ((mask & early[i].item) && !(c->vm->opt.log_mask & early[i].item)) {
			console_printf(c, "log: '%s' counts from the start only: -d %s\n", early[i].name, early[i].name);
			return;
		}
	}
	/* TUs are as they were made. */
	if ((mask ^ log_mask) & LOG_NOCHAIN)
		tc_flush(c->vm->vcpu);
	if (!(mask & LOG_PROFILE) == profile_is_on(c->vm))
		set_profile(c, mask & LOG_PROFILE);
	c->vm->opt.log_traces = strcmp(items, "none") == 0 ? 0 : log_parse_traces(items);
	log_mask = mask;
	c->vm->opt.log_mask = mask | (c->vm->opt.log_mask & LOG_INSN);
}

static void cmd_logfile(struct console_call *c)
{
	char path[FILE_MAX];

	if (console_word(c, "filename", path, sizeof(path)) && console_end(c) && !log_open(path))
		console_printf(c, "logfile: %s: %s\n", path, strerror(errno));
}

#define X(n, o, h) " " o
const struct console_cmd console_machine_commands[] = {
	{"quit|q", "", "end Ringer", 0, cmd_quit, NULL},
	{"stop|s", "", "stop the machine", 0, cmd_stop, NULL},
	{"cont|c", "", "let the machine go on", 0, cmd_cont, NULL},
	{"system_reset", "", "reset the machine", 0, cmd_reset, NULL},
	{"system_powerdown", "", "press the power button", 0, cmd_powerdown, NULL},
	{"nmi", "", "send the CPU an NMI", 0, cmd_nmi, NULL},
	{"mouse_move", "DX DY [DZ]", "move the mouse", 0, cmd_mouse_move, NULL},
	{"mouse_button", "STATE", "the mouse's buttons (1 left, 2 middle, 4 right)", 0, cmd_mouse_button, NULL},
	{"screendump", "FILE [-f FORMAT]", "write the screen to a file: png (if it is called .png) or ppm", 0, cmd_screendump, NULL},
	{"log", "ITEM[,ITEM]|none", "log these:" LOG_CATEGORIES(X), CONSOLE_ON_VCPU, cmd_log, NULL},
	{"logfile", "FILE", "log to this file", CONSOLE_ON_VCPU, cmd_logfile, NULL},
	{0},
};
#undef X
