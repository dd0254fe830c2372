/*
 * The command line: an input is one, its arguments separated by newlines. The parser must end it with a message or leave options that
 * whoever reads them may rely on. Then the CPU that they describe answers CPUID.
 */
#include "tests/fuzz/catch.h"

#include "monitor/cpuid.h"
#include "monitor/options.h"

#define MAX_ARGS 64

static struct options o;

static bool in_args(const char *s, char **argv, int argc)
{
	for (int i = 0; i < argc; i++)
		if (s >= argv[i] && s <= argv[i] + strlen(argv[i]))
			return true;
	return false;
}

static void check_drives(void)
{
	REQUIRE(o.drive_count <= MAX_DRIVES, "%u drives", o.drive_count);
	for (unsigned i = 0; i < o.drive_count; i++) {
		const struct drive_option *d = &o.drives[i];

		REQUIRE(memchr(d->file, 0, sizeof(d->file)), "drive %u: a file name without end", i);
		REQUIRE(d->interface <= DRIVE_NONE && (d->interface != DRIVE_IDE || (d->bus < 2 && d->unit < 2)) &&
				(d->interface != DRIVE_FLOPPY || (!d->bus && d->unit < 2)),
			"drive %u is at %d,%u,%u", i, (int)d->interface, d->bus, d->unit);
		for (unsigned k = 0; k < i; k++)
			REQUIRE(o.drives[k].interface != d->interface || o.drives[k].bus != d->bus || o.drives[k].unit != d->unit,
				"drives %u and %u are at one place", i, k);
	}
}

static void check_options(char **argv, int argc)
{
	check_drives();
	REQUIRE(strnlen(o.boot_once, sizeof(o.boot_once)) < sizeof(o.boot_once), "a boot order without end");
	static const char *const fields[] = {"kernel", "initrd", "append", "bios", "log file", "gdb"};
	const char *const strings[] = {o.kernel, o.initrd, o.append, o.bios, o.log_file, o.gdb};

	REQUIRE(o.kernel || (!o.initrd && !o.append), "a kernel's arguments without one, and no message");
	REQUIRE(strnlen(o.boot_order, sizeof(o.boot_order)) < sizeof(o.boot_order), "a boot order without end");
	REQUIRE(o.firmware_dir_count <= MAX_FIRMWARE_DIRS && o.chardev_count <= MAX_CHARDEVS, "too many");
	for (unsigned i = 0; i < ARRAY_SIZE(strings); i++)
		REQUIRE(!strings[i] || in_args(strings[i], argv, argc) || strcmp(strings[i], "tcp::1234") == 0, "%s is not an argument",
			fields[i]);
	REQUIRE(o.ram_size >= 1 << 20 && o.ram_size <= 64ull << 30 && !(o.ram_size & PAGE_MASK), "%llu bytes of RAM",
		(unsigned long long)o.ram_size);
	REQUIRE(o.tc_size >= 256 << 10 && o.tc_size <= 1ull << 30, "%llu bytes of cache", (unsigned long long)o.tc_size);
	REQUIRE(o.serial_count >= 1 && o.serial_count <= MAX_SERIALS, "%u serial ports", o.serial_count);
	for (unsigned i = 0; i < o.serial_count; i++)
		REQUIRE(o.serial[i], "serial port %u is nothing", i);
	REQUIRE(o.shot_count <= MAX_SHOTS, "%u pictures", o.shot_count);
	for (unsigned i = 0; i < o.shot_count; i++)
		REQUIRE(in_args(o.shots[i].path, argv, argc) && o.shots[i].path_len && strlen(o.shots[i].path) >= o.shots[i].path_len,
			"picture %u", i);
	REQUIRE(!o.vnc.on || (o.vnc.port >= 5900 && memchr(o.vnc.host, 0, sizeof(o.vnc.host)) &&
			      memchr(o.vnc.password_file, 0, sizeof(o.vnc.password_file))),
		"VNC");
	REQUIRE(o.flavour <= FLAVOUR_AUTO, "flavour %d", (int)o.flavour);
	REQUIRE(!o.max_maps || o.max_maps >= 300, "max-maps %u", o.max_maps);
	REQUIRE(o.debug_exit_iosize >= 1 && o.debug_exit_iosize <= 4 && o.debug_exit_iobase + o.debug_exit_iosize <= 0x10000,
		"debug exit at %#x+%u", o.debug_exit_iobase, o.debug_exit_iosize);
	REQUIRE(o.log_mask < 1u << LOG_CATEGORY_COUNT, "log mask %#x", o.log_mask);
}

static void ask_cpu(void)
{
	static struct vm vm;
	static struct vcpu v;
	static const u32 leaves[] = {0, 1, 2, 4, 7, 0xb, 0x15, 0x40000000, 0x80000000, 0x80000001, 0x80000002, 0x80000008, 0xffffffff};
	u32 out[4];

	vm.clock.tsc_hz = NS_PER_SEC;
	v.vm = &vm;
	v.model = NULL;
	cpu_model_apply(&v, &o);
	REQUIRE(v.model && v.model->name, "no model");
	for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++)
		for (u32 sub = 0; sub < 3; sub++)
			cpuid(&v, leaves[i], sub, out);
	cpu_signature(v.model);
}

static void parse(int argc, char **argv)
{
	options_parse(&o, argc, argv);
	check_options(argv, argc);
	ask_cpu();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static bool quiet;
	static char text[4096];
	static char *argv[MAX_ARGS + 2];
	static int argc;

	if (!quiet)
		quiet = freopen("/dev/null", "w", stdout);
	size = MIN(size, sizeof(text) - 1);
	memcpy(text, data, size);
	text[size] = '\0';
	argc = 0;
	argv[argc++] = "ringer";
	for (char *s = text; *s && argc <= MAX_ARGS;) {
		size_t n = strcspn(s, "\n");
		char *next = s[n] ? s + n + 1 : s + n;

		s[n] = '\0';
		argv[argc++] = s;
		s = next;
	}
	argv[argc] = NULL;
	(void)RUNS(parse(argc, argv));
	return 0;
}
