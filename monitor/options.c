/*
 * The command line, spelled as QEMU's.
 *
 * Invariants: OPTIONS is the one list of options: the parser and the help come from it. A user's mistake ends in fatal(), before
 * anything is opened; so whoever reads struct options finds it valid. Its strings point into argv.
 */
#include "monitor/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "monitor/cpuid.h"
#include "monitor/log.h"
#include "monitor/options_device.h"
#include "monitor/options_display.h"
#include "monitor/options_drive.h"
#include "monitor/options_firmware.h"
#include "monitor/options_item.h"
#include "monitor/options_log.h"

#define KIB	     (1ull << 10)
#define MIB	     (1ull << 20)
#define RAM_DEFAULT  (128 * MIB)
#define RAM_MIN	     (1 * MIB)
#define RAM_MAX	     (65536 * MIB)
#define TC_DEFAULT   (64 * MIB)
#define TC_MIN_KIB   256 /* cache sizes below a MiB are for measurements: a TU may take 32 KiB */
#define TC_MIN_MIB   1
#define TC_MAX_MIB   1024
#define MAPS_MIN     300
#define MAPS_MAX     0x7fffffff
#define LOCKSTEP_MAX (1ull << 56)

/* X(name, handler, argument or NULL, help) */
#define OPTIONS(X)                                                                                                                         \
	X("bios", opt_bios, "FILE", "firmware image (default bios-256k.bin, where no kernel is given)")                                    \
	X("L", opt_firmware_dir, "DIR", "look for firmware and option ROMs here, too; may be repeated")                                    \
	X("boot", opt_boot, "[order=]ORDER",                                                                                               \
	  "boot devices: a floppy, c disk, d CD-ROM, n network; once=ORDER, menu=on|off, splash-time=MS, reboot-timeout=MS")               \
	X("fw_cfg", opt_fw_cfg, "[name=]N,file=F", "give the firmware this file, or string=S; may be repeated")                            \
	X("kernel", opt_kernel, "FILE", "boot a Linux bzImage or a Multiboot kernel")                                                      \
	X("hda", opt_drive_short, "FILE", "image of the first disk; -hdb, -hdc and -hdd likewise")                                         \
	X("hdb", opt_drive_short, "FILE", "the first channel's second disk")                                                               \
	X("hdc", opt_drive_short, "FILE", "the second channel's first disk, in place of the CD-ROM drive")                                 \
	X("hdd", opt_drive_short, "FILE", "the second channel's second disk")                                                              \
	X("cdrom", opt_drive_short, "FILE", "image of a CD-ROM")                                                                           \
	X("fda", opt_drive_short, "FILE", "image of a floppy disk, 160K to 2.88M")                                                         \
	X("fdb", opt_drive_short, "FILE", "the second one")                                                                                \
	X("drive", opt_drive, "PROP=V,...",                                                                                                \
	  "file=F,if=ide|floppy|none,index=N,bus=N,unit=N,media=disk|cdrom,format=raw,snapshot=on|off,readonly=on|off")                    \
	X("snapshot", opt_snapshot, NULL, "what the guest writes goes to temporary files; images stay as they are")                        \
	X("initrd", opt_initrd, "FILE", "its initial RAM disk; for Multiboot \"file args,file args\"")                                     \
	X("append", opt_append, "TEXT", "its command line")                                                                                \
	X("m", opt_memory, "[size=]N[K|M|G]", "guest memory, in MiB without a suffix (default 128)")                                       \
	X("cpu", opt_cpu, "MODEL[,+F][,-F]", "CPU model and features; -cpu help lists them")                                               \
	X("smp", opt_smp, "N", "number of CPUs: 1")                                                                                        \
	X("M", opt_machine, "pc[,hpet=on|off]", "machine type; whether it has high-precision event timers (it has)")                       \
	X("machine", opt_machine, "pc", "the same")                                                                                        \
	X("no-hpet", opt_no_hpet, NULL, "no high-precision event timers")                                                                  \
	X("accel", opt_accel, "bt[,PROP=V]",                                                                                               \
	  "binary translation; flavour=auto|direct|checked, tb-size=MiB of translated code, max-maps=N host mappings, "                    \
	  "verify=on to check every translation, lockstep=N: compare runs, see -accel help")                                               \
	X("nographic", opt_nographic, NULL, "serial port 0 on this terminal; Ctrl-A h for help, Ctrl-A x to quit")                         \
	X("display", opt_display, "TYPE", "none (default), curses, or vnc=HOST:N[,password-file=F]; see also -nographic")                  \
	X("curses", opt_curses, NULL, "the screen on this terminal; Ctrl-A h for help, Ctrl-A x to quit")                                  \
	X("vnc", opt_vnc, "HOST:N[,PROP=V]",                                                                                               \
	  "the screen by VNC on port 5900+N, on this host only unless HOST says otherwise; password-file=F: its first line is asked for")  \
	X("screenshot", opt_screenshot, "FILE[,at=S]",                                                                                     \
	  "write the screen to a PNG file S seconds after the start, or at=end; may be repeated")                                          \
	X("screentext", opt_screentext, "FILE[,at=S]", "the same for the text screen, as UTF-8")                                           \
	X("vga", opt_vga, "std|none", "the VGA; std has VBE modes in 16 MiB (default)")                                                    \
	X("monitor", opt_monitor, "DEV", "a console for commands about the machine: stdio, unix:F[,server=on][,wait=off], pty, none")      \
	X("serial", opt_serial, "DEV", "next serial port: stdio, mon:stdio, file:F, unix:F[,server=on][,wait=off], pty, none, null")       \
	X("debugcon", opt_debugcon, "DEV", "debug console on port 0xe9")                                                                   \
	X("chardev", opt_chardev, "KIND,id=ID[,path=F]", "a back end for -device: stdio, file, unix, pty, null")                           \
	X("global", opt_global, "DRIVER.PROP=V", "isa-debugcon.iobase=P: SeaBIOS writes its messages to port 0x402")                       \
	X("device", opt_device, "NAME[,PROP=V]", "ide-hd,drive=ID[,bus=ide.N][,unit=N] and more: -device help, -device NAME,help")         \
	X("rtc", opt_rtc, "base=B", "utc (default), localtime, or a date such as 2026-01-31T12:00:00")                                     \
	X("S", opt_start_stopped, NULL, "do not start the CPU: the monitor's cont or a debugger does")                                     \
	X("s", opt_gdb_default, NULL, "the same as -gdb tcp::1234")                                                                        \
	X("gdb", opt_gdb, "DEV", "wait for gdb on tcp:[HOST]:PORT (this host only, without HOST), unix:F, stdio or pty")                   \
	X("no-reboot", opt_no_reboot, NULL, "a reset ends the machine")                                                                    \
	X("no-shutdown", opt_no_shutdown, NULL, "a power-off stops the machine, and Ringer stays")                                         \
	X("action", opt_action, "EVENT=WHAT", "reboot=reset|shutdown, shutdown=poweroff|pause")                                            \
	X("name", opt_name, "TEXT", "a name for the machine; info name shows it")                                                          \
	X("d", opt_log, "ITEM[,ITEM]", "log these; -d help lists them")                                                                    \
	X("dfilter", opt_log_filter, "RANGE[,RANGE]", "in_asm, out_asm, exec and cpu of these addresses only: A..B, A+LENGTH, A-LENGTH")   \
	X("crash-report", opt_crash_report, "FILE|none", "where a report goes if Ringer fails; default ringer-crash-PID.txt")              \
	X("D", opt_log_file, "FILE", "log to a file instead of stderr")                                                                    \
	X("perfmap", opt_perfmap, NULL, "write /tmp/perf-PID.map, by which perf report names translated code")                             \
	X("jitdump", opt_jitdump, NULL, "write jit-PID.dump, for perf record -k mono and perf inject --jit")                               \
	X("kernel-symbols", opt_kernel_symbols, "FILE", "System.map, kallsyms or ELF file of the guest's kernel, for profiles")            \
	X("user-symbols", opt_user_symbols, "FILE", "the same of a program of the guest's")                                                \
	X("version", opt_version, NULL, "print the version")                                                                               \
	X("h", opt_help, NULL, "print this help")                                                                                          \
	X("help", opt_help, NULL, "the same")

/* What a handler is told: its option's name, for messages, and the argument. */
typedef void option_fn(struct options *o, const char *name, const char *arg);
#define X(n, f, a, h) static option_fn f;
OPTIONS(X)
#undef X

static const struct option {
	const char *name;
	option_fn *fn;
	const char *arg, *help;
} options[] = {
#define X(n, f, a, h) {n, f, a, h},
	OPTIONS(X)
#undef X
};

static void opt_kernel(struct options *o, const char *name, const char *arg)
{
	(void)name;
	o->kernel = arg;
}

static void opt_initrd(struct options *o, const char *name, const char *arg)
{
	(void)name;
	o->initrd = arg;
}

static void opt_append(struct options *o, const char *name, const char *arg)
{
	(void)name;
	o->append = arg;
}

static void opt_memory(struct options *o, const char *name, const char *arg)
{
	static const char suffixes[] = "bBkKmMgGtT";
	const char *s = arg, *end, *suffix;
	unsigned shift = 20;
	u64 x;

	if (strncmp(s, "size=", 5) == 0)
		s += 5;
	if (!options_parse_number(s, &x, &end))
		fatal("-%s: '%s' is not a memory size", name, arg);
	if (*end) {
		suffix = strchr(suffixes, *end);
		if (!suffix || end[1])
			fatal("-%s: '%s' is not a memory size", name, arg);
		shift = 10 * (unsigned)((suffix - suffixes) / 2);
	}
	if (x > RAM_MAX >> shift || x << shift < RAM_MIN)
		fatal("-%s: guest memory must be between 1 MiB and 64 GiB", name);
	o->ram_size = ((x << shift) + PAGE_MASK) & ~(u64)PAGE_MASK;
}

static void opt_cpu(struct options *o, const char *name, const char *arg)
{
	char err[256];

	if (strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0) {
		cpu_help(stdout);
		exit(0);
	}
	if (!cpu_parse(arg, o, err, sizeof(err)))
		fatal("-%s: %s", name, err);
}

static void opt_smp(struct options *o, const char *name, const char *arg)
{
	struct option_item it;

	(void)o;
	while (options_next_item(name, &arg, &it)) {
		static const char *const counts[] = {"cpus", "maxcpus", "sockets", "dies", "cores", "threads"};
		const char *number = it.has_value ? it.value : it.key;
		bool known = !it.has_value;

		for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
			known = known || strcmp(it.key, counts[i]) == 0;
		if (!known)
			fatal("-%s: invalid property '%s'", name, it.key);
		if (options_number(name, "the number of CPUs", number, 0, 255) != 1)
			fatal("-%s: only one CPU is supported", name);
	}
}

static void opt_machine(struct options *o, const char *name, const char *arg)
{
	struct option_item it;

	if (strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0) {
		printf("Machines:\n  pc    a PC with one CPU (default)\n");
		exit(0);
	}
	while (options_next_item(name, &arg, &it)) {
		const char *type = it.has_value ? it.value : it.key;

		if (it.has_value && strcmp(it.key, "hpet") == 0) {
			o->hpet = options_on_off(name, &it);
			continue;
		}
		if (it.has_value && strcmp(it.key, "type") != 0)
			fatal("-%s: property '%s' is not supported", name, it.key);
		if (strcmp(type, "pc") != 0)
			fatal("-%s: unsupported machine type '%s': only 'pc' is there", name, type);
	}
}

static void opt_no_hpet(struct options *o, const char *name, const char *arg)
{
	(void)name;
	(void)arg;
	o->hpet = false;
}

/* lockstep=N, lockstep-from=N... True if the item is one of them. */
static bool accel_lockstep(struct options *o, const char *name, const struct option_item *it)
{
	static const struct {
		const char *key;
		size_t offset;
		u64 low;
	} counts[] = {
		{"lockstep", offsetof(struct options, lockstep), 1},
		{"lockstep-from", offsetof(struct options, lockstep_from), 0},
		{"lockstep-to", offsetof(struct options, lockstep_to), 1},
		{"lockstep-ram", offsetof(struct options, lockstep_ram), 1},
	};

	if (!it->has_value)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		if (strcmp(it->key, counts[i].key) == 0) {
			*(u64 *)((char *)o + counts[i].offset) = options_number(name, it->key, it->value, counts[i].low, LOCKSTEP_MAX);
			return true;
		}
	}
	if (strcmp(it->key, "lockstep-show") != 0 || (strcmp(it->value, "on") != 0 && strcmp(it->value, "off") != 0))
		return false;
	o->lockstep_show = strcmp(it->value, "on") == 0;
	return true;
}

/* MiB, or KiB with the suffix K. */
static u64 cache_size(const char *name, char *value)
{
	size_t n = strlen(value);

	if (n == 0 || value[n - 1] != 'K')
		return options_number(name, "tb-size", value, TC_MIN_MIB, TC_MAX_MIB) * MIB;
	value[n - 1] = '\0';
	return options_number(name, "tb-size in KiB", value, TC_MIN_KIB, TC_MAX_MIB << 10) * KIB;
}

static void opt_accel(struct options *o, const char *name, const char *arg)
{
	struct option_item it;
	bool first = true;

	if (strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0) {
		printf("Accelerators:\n  bt    binary translation: flavour=auto|direct|checked, tb-size=MiB (%d to %d) or KiB (from %dK), "
		       "max-maps=N (from %d), verify=on|off: check every translation\n"
		       "        lockstep=N: deterministic; hashes of the guest's state every N instructions in the log (-D FILE)\n"
		       "        lockstep-from=COUNT, lockstep-to=COUNT: only of these instructions; lockstep-show=on: states in full\n"
		       "        lockstep-ram=N: instructions between hashes of RAM\n",
		       TC_MIN_MIB, TC_MAX_MIB, TC_MIN_KIB, MAPS_MIN);
		exit(0);
	}
	while (options_next_item(name, &arg, &it)) {
		if (first) {
			const char *type = it.has_value && strcmp(it.key, "accel") == 0 ? it.value : it.key;

			if (strcmp(type, "bt") != 0)
				fatal("-%s: '%s' is not supported: only 'bt', binary translation, is there", name, type);
			first = false;
		} else if (strcmp(it.key, "flavour") == 0 && it.has_value) {
			if (strcmp(it.value, "checked") == 0)
				o->flavour = FLAVOUR_CHECKED;
			else if (strcmp(it.value, "direct") == 0)
				o->flavour = FLAVOUR_DIRECT;
			else if (strcmp(it.value, "auto") == 0)
				o->flavour = FLAVOUR_AUTO;
			else
				fatal("-%s: invalid flavour '%s': 'auto', 'direct' and 'checked' are there", name, it.value);
		} else if (strcmp(it.key, "tb-size") == 0 && it.has_value) {
			o->tc_size = cache_size(name, it.value);
		} else if (strcmp(it.key, "max-maps") == 0 && it.has_value) {
			o->max_maps = (u32)options_number(name, "max-maps", it.value, MAPS_MIN, MAPS_MAX);
		} else if (strcmp(it.key, "verify") == 0 && it.has_value) {
			if (strcmp(it.value, "on") != 0 && strcmp(it.value, "off") != 0)
				fatal("-%s: verify=%s: 'on' or 'off'", name, it.value);
			o->verify = strcmp(it.value, "on") == 0;
		} else if (!accel_lockstep(o, name, &it)) {
			fatal("-%s: invalid property '%s'", name, it.key);
		}
	}
}

static void opt_nographic(struct options *o, const char *name, const char *arg)
{
	(void)name;
	(void)arg;
	o->nographic = true;
}

static void opt_curses(struct options *o, const char *name, const char *arg)
{
	(void)name;
	(void)arg;
	o->curses = true;
}

static void opt_vga(struct options *o, const char *name, const char *arg)
{
	if (strcmp(arg, "std") != 0 && strcmp(arg, "none") != 0)
		fatal("-%s: '%s' is not supported: 'std' and 'none' are there", name, arg);
	o->vga = strcmp(arg, "std") == 0;
}

static void opt_monitor(struct options *o, const char *name, const char *arg)
{
	if (strcmp(arg, "none") == 0) {
		o->no_monitor = true;
		o->monitor_count = 0;
		return;
	}
	arg += strncmp(arg, "mon:", 4) == 0 ? 4 : 0;
	if (o->monitor_count == MAX_MONITORS)
		fatal("-%s: at most %d", name, MAX_MONITORS);
	o->monitor[o->monitor_count++] = arg;
}

static void opt_serial(struct options *o, const char *name, const char *arg)
{
	if (o->serial_count == MAX_SERIALS)
		fatal("-%s: there are only %d serial ports", name, MAX_SERIALS);
	o->serial[o->serial_count++] = arg;
}

static void opt_debugcon(struct options *o, const char *name, const char *arg)
{
	(void)name;
	o->debugcon = arg;
}

static void opt_bios(struct options *o, const char *name, const char *arg)
{
	(void)name;
	o->bios = arg;
}

static void opt_firmware_dir(struct options *o, const char *name, const char *arg)
{
	if (o->firmware_dir_count == MAX_FIRMWARE_DIRS)
		fatal("-%s: at most %d directories", name, MAX_FIRMWARE_DIRS);
	o->firmware_dirs[o->firmware_dir_count++] = arg;
}

static void opt_drive(struct options *o, const char *name, const char *arg)
{
	options_drive(o, name, arg);
}

static void opt_drive_short(struct options *o, const char *name, const char *arg)
{
	options_drive_short(o, name, arg);
}

static void opt_vnc(struct options *o, const char *name, const char *arg)
{
	options_vnc(o, name, arg);
}

static void opt_display(struct options *o, const char *name, const char *arg)
{
	options_display(o, name, arg);
}

static void opt_screenshot(struct options *o, const char *name, const char *arg)
{
	options_shot(o, name, arg, false);
}

static void opt_screentext(struct options *o, const char *name, const char *arg)
{
	options_shot(o, name, arg, true);
}

static void opt_fw_cfg(struct options *o, const char *name, const char *arg)
{
	options_fw_cfg(o, name, arg);
}

static void opt_boot(struct options *o, const char *name, const char *arg)
{
	options_boot(o, name, arg);
}

static void opt_chardev(struct options *o, const char *name, const char *arg)
{
	options_chardev(o, name, arg);
}

static void opt_global(struct options *o, const char *name, const char *arg)
{
	options_global(o, name, arg);
}

static void opt_device(struct options *o, const char *name, const char *arg)
{
	options_device(o, name, arg);
}

static void opt_snapshot(struct options *o, const char *name, const char *arg)
{
	(void)name;
	(void)arg;
	o->snapshot = true;
}

/* A date in UTC, with or without a time. */
static bool parse_date(const char *s, s64 *seconds)
{
	static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"};

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tm tm = {0};
		const char *end = strptime(s, formats[i], &tm);

		if (end && !*end) {
			*seconds = (s64)timegm(&tm);
			return true;
		}
	}
	return false;
}

static void opt_rtc(struct options *o, const char *name, const char *arg)
{
	struct option_item it;

	while (options_next_item(name, &arg, &it)) {
		time_t now = time(NULL);
		struct tm tm;
		s64 seconds;

		if (strcmp(it.key, "clock") == 0 && strcmp(it.value, "host") == 0)
			continue;
		if (strcmp(it.key, "base") != 0 || !it.has_value)
			fatal("-%s: invalid property '%s%s%s'", name, it.key, it.has_value ? "=" : "", it.value);
		if (strcmp(it.value, "utc") == 0)
			o->rtc_offset_sec = 0;
		else if (strcmp(it.value, "localtime") == 0)
			o->rtc_offset_sec = localtime_r(&now, &tm) ? tm.tm_gmtoff : 0;
		else if (parse_date(it.value, &seconds))
			o->rtc_offset_sec = seconds - (s64)now;
		else
			fatal("-%s: '%s' is not a date: use utc, localtime, 2026-01-31 or 2026-01-31T12:00:00", name, it.value);
	}
}

static void opt_start_stopped(struct options *o, const char *name, const char *arg)
{
	(void)name;
	(void)arg;
	o->start_stopped = true;
}

static void opt_gdb(struct options *o, const char *name, const char *arg)
{
	(void)name;
	o->gdb = strcmp(arg, "none") == 0 ? NULL : arg;
}

static void opt_gdb_default(struct options *o, const char *name, const char *arg)
{
	(void)arg;
	opt_gdb(o, name, "tcp::1234");
}

static void opt_no_reboot(struct options *o, const char *name, const char *arg)
{
	(void)name;
	(void)arg;
	o->no_reboot = true;
}

static void opt_no_shutdown(struct options *o, const char *name, const char *arg)
{
	(void)name;
	(void)arg;
	o->no_shutdown = true;
}

static void opt_action(struct options *o, const char *name, const char *arg)
{
	static const struct {
		const char *event, *action;
		size_t offset;
		bool value;
	} actions[] = {
		{"reboot", "shutdown", offsetof(struct options, no_reboot), true},
		{"reboot", "reset", offsetof(struct options, no_reboot), false},
		{"shutdown", "pause", offsetof(struct options, no_shutdown), true},
		{"shutdown", "poweroff", offsetof(struct options, no_shutdown), false},
	};
	struct option_item it;

	while (options_next_item(name, &arg, &it)) {
		size_t i;

		for (i = 0; i < ARRAY_SIZE(actions); i++)
			if (strcmp(it.key, actions[i].event) == 0 && strcmp(it.value, actions[i].action) == 0)
				break;
		if (i == ARRAY_SIZE(actions))
			fatal("-%s: invalid action '%s=%s'", name, it.key, it.value);
		*(bool *)((char *)o + actions[i].offset) = actions[i].value;
	}
}

static void opt_name(struct options *o, const char *name, const char *arg)
{
	(void)name;
	o->name = arg;
}

static void opt_log(struct options *o, const char *name, const char *arg)
{
	options_log(o, name, arg);
}

static void opt_log_filter(struct options *o, const char *name, const char *arg)
{
	options_log_filter(o, name, arg);
}

static void opt_perfmap(struct options *o, const char *name, const char *arg)
{
	(void)name;
	(void)arg;
	o->perfmap = true;
}

static void opt_jitdump(struct options *o, const char *name, const char *arg)
{
	(void)name;
	(void)arg;
	o->jitdump = true;
}

static void opt_kernel_symbols(struct options *o, const char *name, const char *arg)
{
	(void)name;
	o->kernel_symbols = arg;
}

static void opt_user_symbols(struct options *o, const char *name, const char *arg)
{
	(void)name;
	o->user_symbols = arg;
}

static void opt_crash_report(struct options *o, const char *name, const char *arg)
{
	(void)name;
	o->crash_report = arg;
}

static void opt_log_file(struct options *o, const char *name, const char *arg)
{
	(void)name;
	o->log_file = arg;
}

_Noreturn static void opt_version(struct options *o, const char *name, const char *arg)
{
	(void)o;
	(void)name;
	(void)arg;
	printf("ringer %s\n", RINGER_VERSION);
	exit(0);
}

_Noreturn static void opt_help(struct options *o, const char *name, const char *arg)
{
	(void)o;
	(void)name;
	(void)arg;
	printf("Usage: ringer [-kernel FILE] [options]\n"
	       "Runs an unmodified 32-bit x86 system by binary translation: a kernel, or what its firmware boots. Options (-x or "
	       "--x):\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		char left[64];

		snprintf(left, sizeof(left), "-%s %s", options[i].name, options[i].arg ? options[i].arg : "");
		printf("%-26s %s\n", left, options[i].help);
	}
	exit(0);
}

static const struct option *find_option(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

static bool is_stdio(const char *spec)
{
	return spec && (strcmp(spec, "stdio") == 0 || strcmp(spec, "mon:stdio") == 0);
}

/* Whether some device has the terminal. */
static bool stdio_taken(const struct options *o)
{
	bool taken = is_stdio(o->debugcon) || is_stdio(o->gdb);

	for (unsigned i = 0; i < o->serial_count; i++)
		taken = taken || is_stdio(o->serial[i]);
	for (unsigned i = 0; i < o->monitor_count; i++)
		taken = taken || is_stdio(o->monitor[i]);
	return taken;
}

/* What the terminal is for, where the user has not said it: as QEMU has it with -nographic. */
static void default_devices(struct options *o)
{
	bool monitor = o->monitor_count || o->no_monitor;

	if (!o->serial_count) {
		const char *spec = o->curses ? "null" : monitor ? "stdio" : "mon:stdio";

		o->serial[o->serial_count++] = stdio_taken(o) && !o->nographic ? "null" : spec;
	} else if (o->nographic && !monitor && !stdio_taken(o)) {
		o->monitor[o->monitor_count++] = "stdio";
	}
}

static void check_displays(const struct options *o)
{
	if (o->curses && o->nographic)
		fatal("-display: curses cannot be used with -nographic");
	if (o->curses && stdio_taken(o))
		fatal("-display: curses needs the terminal, which is another device's: stdio");
	if (!o->vga && (o->curses || o->vnc.on || o->shot_count))
		fatal("-vga: with 'none' there is no screen to show");
}

void options_parse(struct options *o, int argc, char **argv)
{
	*o = (struct options){
		.ram_size = RAM_DEFAULT,
		.splash_time = -1,
		.reboot_timeout = -1,
		.flavour = FLAVOUR_AUTO,
		.vga = true,
		.hpet = true,
		.tc_size = TC_DEFAULT,
		.debugcon_iobase = 0xe9,
		.debug_exit_iobase = 0x501,
		.debug_exit_iosize = 2,
	};
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i];
		const struct option *option;

		if (name[0] != '-' || !name[1]) {
			options_drive_short(o, "hda", name);
			continue;
		}
		name += name[1] == '-' ? 2 : 1;
		option = find_option(name);
		if (!option)
			fatal("%s: invalid option", argv[i]);
		if (option->arg && i + 1 == argc)
			fatal("-%s: requires an argument", name);
		option->fn(o, name, option->arg ? argv[++i] : NULL);
	}
	if (!o->lockstep && (o->lockstep_from || o->lockstep_to || o->lockstep_ram || o->lockstep_show))
		fatal("-accel: lockstep-from, -to, -ram and -show say how lockstep=N is done, which is not asked for");
	if (!o->kernel && (o->initrd || o->append))
		fatal("-%s: only with -kernel", o->initrd ? "initrd" : "append");
	options_devices_place(o);
	if (o->lockstep && o->gdb)
		fatal("-gdb: not under lockstep, whose runs depend on nothing from outside");
	check_displays(o);
	default_devices(o);
}
