/* The command line: QEMU's spellings, defaults, and one clear line for every mistake. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "monitor/log.h"
#include "monitor/options.h"

#define MIB (1ull << 20)

/* Splits a command line at spaces and parses it. */
static void parse(struct options *o, char *line)
{
	char *argv[64];
	int argc = 0;

	argv[argc++] = "ringer";
	for (char *word = strtok(line, " "); word && argc < 63; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	options_parse(o, argc, argv);
}
#define PARSE(o, text)                                                                                                                     \
	char words_##o[] = text;                                                                                                           \
	struct options o;                                                                                                                  \
	parse(&o, words_##o)

START_TEST(defaults)
{
	PARSE(o, "-kernel k");

	ck_assert_str_eq(o.kernel, "k");
	ck_assert_ptr_null(o.initrd);
	ck_assert_uint_eq(o.ram_size, 128 * MIB);
	ck_assert_uint_eq(o.serial_count, 1);
	ck_assert_str_eq(o.serial[0], "mon:stdio");
	ck_assert_uint_eq(o.monitor_count, 0);
	ck_assert(!o.debug_exit && !o.no_reboot && !o.no_shutdown);
	ck_assert_uint_eq(o.debug_exit_iobase, 0x501);
	ck_assert_uint_eq(o.debug_exit_iosize, 2);
	ck_assert_uint_eq(o.tc_size, 64 * MIB);
	ck_assert(!o.verify);
	ck_assert_uint_eq(o.log_mask, 0);
}
END_TEST

static const struct drive_option *drive_at(const struct options *o, enum drive_interface interface, unsigned bus, unsigned unit)
{
	for (unsigned i = 0; i < o->drive_count; i++)
		if (o->drives[i].interface == interface && o->drives[i].bus == bus && o->drives[i].unit == unit)
			return &o->drives[i];
	ck_abort_msg("no drive at %u,%u", bus, unit);
	return NULL;
}

START_TEST(hpet)
{
	PARSE(a, "-kernel k");
	PARSE(b, "-no-hpet");
	PARSE(c, "-M pc,hpet=off");
	PARSE(d, "-no-hpet -machine type=pc,hpet=on");

	ck_assert(a.hpet && !b.hpet && !c.hpet && d.hpet);
}
END_TEST

/* What the terminal is for: the first serial port's, the first console's; "": there is none. */
static const struct {
	const char *options, *serial, *monitor;
} terminals[] = {
	{"", "mon:stdio", ""},
	{"-nographic", "mon:stdio", ""},
	{"-nographic -monitor none", "stdio", ""},
	{"-nographic -serial stdio", "stdio", ""},
	{"-nographic -serial mon:stdio", "mon:stdio", ""},
	{"-nographic -serial null", "null", "stdio"},
	{"-nographic -serial null -monitor none", "null", ""},
	{"-nographic -serial null -monitor pty", "null", "pty"},
	{"-serial null", "null", ""},
	{"-monitor stdio", "null", "stdio"},
	{"-monitor mon:stdio", "null", "stdio"},
	{"-nographic -monitor stdio", "stdio", "stdio"}, /* which is refused when they are opened */
	{"-monitor unix:f,server=on,wait=off", "stdio", "unix:f,server=on,wait=off"},
	{"-debugcon stdio", "null", ""},
	{"-display curses", "null", ""},
};

START_TEST(terminal)
{
	char words[128];
	struct options o;

	strcpy(words, terminals[_i].options);
	parse(&o, words);
	ck_assert_str_eq(o.serial[0], terminals[_i].serial);
	ck_assert_str_eq(o.monitor_count ? o.monitor[0] : "", terminals[_i].monitor);
}
END_TEST

START_TEST(boot_once)
{
	PARSE(o, "-boot once=d,order=ca");

	ck_assert_str_eq(o.boot_once, "d");
	ck_assert_str_eq(o.boot_order, "ca");
}
END_TEST

/* Their order on the command line does not matter, but among themselves. */
START_TEST(devices)
{
	PARSE(o, "-device ide-hd,drive=b,id=disk -drive if=none,file=f,id=b,snapshot=on -hda a -device ide-cd,drive=c,bus=ide.1,unit=1 "
		 "-drive id=c,file=d,,e.iso,if=none -device floppy,unit=1 -device ide-cd");

	const struct drive_option *b = drive_at(&o, DRIVE_IDE, 0, 1), *c = drive_at(&o, DRIVE_IDE, 1, 1);

	ck_assert_uint_eq(o.drive_count, 5);
	ck_assert_str_eq(b->file, "f");
	ck_assert(b->snapshot && !b->cdrom && !b->readonly);
	ck_assert_str_eq(c->file, "d,e.iso");
	ck_assert(c->cdrom && c->readonly);
	ck_assert_str_eq(drive_at(&o, DRIVE_IDE, 1, 0)->file, "");
	ck_assert_str_eq(drive_at(&o, DRIVE_FLOPPY, 0, 1)->file, "");
	ck_assert(o.no_cdrom && o.no_floppy);

	PARSE(p, "-hda a -hdb b -drive if=none,file=f,id=b -device ide-hd,drive=b,unit=1");
	ck_assert_str_eq(drive_at(&p, DRIVE_IDE, 1, 1)->file, "f");
	ck_assert(!p.no_floppy);

	PARSE(q, "-device isa-serial,chardev=x,index=2 -chardev file,path=f,id=x -serial null -device isa-debug-exit,iobase=0xf4");
	ck_assert_uint_eq(q.serial_count, 3);
	ck_assert_str_eq(q.serial[0], "null");
	ck_assert_str_eq(q.serial[1], "none");
	ck_assert_str_eq(q.serial[2], "file:f");
	ck_assert(q.debug_exit && q.debug_exit_iobase == 0xf4 && !q.no_cdrom);
}
END_TEST

START_TEST(drives)
{
	PARSE(o, "first -hdb b -drive file=x,,y=1,media=cdrom -drive file=s,bus=1,unit=1,snapshot=on,format=raw -fda f "
		 "-drive if=floppy,file=g,readonly=on -drive if=none,file=n,id=d0,cache=none");

	ck_assert_uint_eq(o.drive_count, 7);
	ck_assert_str_eq(drive_at(&o, DRIVE_IDE, 0, 0)->file, "first");
	ck_assert(!drive_at(&o, DRIVE_IDE, 0, 0)->format_given && !drive_at(&o, DRIVE_IDE, 0, 0)->readonly);
	ck_assert_str_eq(drive_at(&o, DRIVE_IDE, 0, 1)->file, "b");
	/* The first free place; a comma written twice. */
	const struct drive_option *cd = drive_at(&o, DRIVE_IDE, 1, 0), *s = drive_at(&o, DRIVE_IDE, 1, 1);
	ck_assert_str_eq(cd->file, "x,y=1");
	ck_assert(cd->cdrom && cd->readonly);
	ck_assert(s->snapshot && s->format_given && !s->cdrom);
	ck_assert_str_eq(drive_at(&o, DRIVE_FLOPPY, 0, 0)->file, "f");
	ck_assert(drive_at(&o, DRIVE_FLOPPY, 0, 1)->readonly);
	ck_assert_str_eq(drive_at(&o, DRIVE_NONE, 0, 0)->file, "n");
	ck_assert(!o.snapshot);

	PARSE(p, "-cdrom c,d.iso -drive media=cdrom,index=3 -snapshot");
	ck_assert_str_eq(drive_at(&p, DRIVE_IDE, 1, 0)->file, "c,d.iso");
	ck_assert_str_eq(drive_at(&p, DRIVE_IDE, 1, 1)->file, "");
	ck_assert(p.snapshot);
}
END_TEST

START_TEST(everything)
{
	PARSE(o, "-kernel k --initrd i -append a -m 1G -nographic -serial file:x -serial none -debugcon null -no-reboot --no-shutdown "
		 "-d int,exec -D log -accel bt,flavour=checked,tb-size=1,verify=on -M pc -smp 1 -device "
		 "isa-debug-exit,iobase=0xf4,iosize=0x04 "
		 "-monitor none");

	ck_assert_str_eq(o.initrd, "i");
	ck_assert_str_eq(o.append, "a");
	ck_assert_uint_eq(o.ram_size, 1024 * MIB);
	ck_assert(o.nographic);
	ck_assert_uint_eq(o.serial_count, 2);
	ck_assert_str_eq(o.serial[0], "file:x");
	ck_assert_str_eq(o.serial[1], "none");
	ck_assert_str_eq(o.debugcon, "null");
	ck_assert(o.no_reboot && o.no_shutdown && o.debug_exit);
	ck_assert_uint_eq(o.log_mask, LOG_INT | LOG_EXEC);
	ck_assert_str_eq(o.log_file, "log");
	ck_assert_uint_eq(o.tc_size, MIB);
	ck_assert(o.verify);
	ck_assert_uint_eq(o.debug_exit_iobase, 0xf4);
	ck_assert_uint_eq(o.debug_exit_iosize, 4);
}
END_TEST

START_TEST(firmware)
{
	PARSE(o, "-bios b -L d -L e -boot order=dc,menu=on,splash-time=500,reboot-timeout=7000 -debugcon stdio -global "
		 "isa-debugcon.iobase=0x402");
	PARSE(d, "-fw_cfg name=opt/x,file=f -fw_cfg opt/y,string=s -chardev file,path=f,id=x -device isa-debugcon,iobase=0x403,chardev=x "
		 "-boot c");

	ck_assert_ptr_null(o.kernel);
	ck_assert_str_eq(o.bios, "b");
	ck_assert_uint_eq(o.firmware_dir_count, 2);
	ck_assert_str_eq(o.firmware_dirs[1], "e");
	ck_assert_str_eq(o.boot_order, "dc");
	ck_assert(o.boot_menu);
	ck_assert_int_eq(o.splash_time, 500);
	ck_assert_int_eq(o.reboot_timeout, 7000);
	ck_assert(d.splash_time == -1 && d.reboot_timeout == -1);
	ck_assert_uint_eq(o.debugcon_iobase, 0x402);
	ck_assert_str_eq(d.debugcon, "file:f");
	ck_assert_uint_eq(d.debugcon_iobase, 0x403);
	ck_assert_str_eq(d.boot_order, "c");
	ck_assert_uint_eq(d.fw_cfg_count, 2);
	ck_assert(d.fw_cfg[0].file && !d.fw_cfg[1].file);
	ck_assert_str_eq(d.fw_cfg[0].name, "opt/x");
	ck_assert_str_eq(d.fw_cfg[1].name, "opt/y");
	ck_assert_str_eq(d.fw_cfg[1].value, "s");
}
END_TEST

START_TEST(lockstep)
{
	PARSE(o, "-kernel k -accel bt,lockstep=5,lockstep-from=0,lockstep-to=1234567890123,lockstep-ram=9,lockstep-show=on");
	PARSE(off, "-kernel k -accel bt,lockstep-show=on,lockstep-show=off,tb-size=1");

	ck_assert_uint_eq(o.lockstep, 5);
	ck_assert_uint_eq(o.lockstep_from, 0);
	ck_assert_uint_eq(o.lockstep_to, 1234567890123);
	ck_assert_uint_eq(o.lockstep_ram, 9);
	ck_assert(o.lockstep_show);
	ck_assert(!off.lockstep && !off.lockstep_show);
}
END_TEST

static const struct {
	const char *arg;
	u64 size;
} sizes[] = {
	{"64", 64 * MIB},   {"64M", 64 * MIB}, {"64m", 64 * MIB},    {"size=256M", 256 * MIB}, {"1048576K", 1024 * MIB},
	{"2G", 2048 * MIB}, {"1", MIB},	       {"64G", 65536 * MIB}, {"1025k", MIB + 4096},    {"1048577b", MIB + 4096},
};

START_TEST(memory_sizes)
{
	char line[64];
	struct options o;

	snprintf(line, sizeof(line), "-kernel k -m %s", sizes[_i].arg);
	parse(&o, line);
	ck_assert_uint_eq(o.ram_size, sizes[_i].size);
}
END_TEST

START_TEST(actions)
{
	PARSE(o, "-kernel k -action reboot=shutdown,shutdown=pause");

	ck_assert(o.no_reboot && o.no_shutdown);
}
END_TEST

START_TEST(rtc)
{
	PARSE(o, "-kernel k -rtc base=2000-02-29T12:00:00");
	PARSE(u, "-kernel k -rtc base=utc,clock=host");

	ck_assert_int_le(llabs(o.rtc_offset_sec + (s64)time(NULL) - 951825600), 2);
	ck_assert_int_eq(u.rtc_offset_sec, 0);
}
END_TEST

/* Runs the parser in a child; its exit status, and what it wrote to stdout (want_stdout) or stderr. */
static int run(const char *text, bool want_stdout, char *out, size_t size)
{
	int fds[2], status;
	ssize_t n;
	size_t len = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		char line[512];
		struct options o;

		dup2(fds[1], want_stdout ? STDOUT_FILENO : STDERR_FILENO);
		snprintf(line, sizeof(line), "%s", text);
		parse(&o, line);
		_exit(99);
	}
	close(fds[1]);
	while (len < size - 1 && (n = read(fds[0], out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	close(fds[0]);
	waitpid(pid, &status, 0);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static const struct {
	const char *line, *says;
} mistakes[] = {
	{"-foo", "-foo: invalid option"},
	{"--foo", "--foo: invalid option"},
	{"-initrd i", "only with -kernel"},
	{"-append a", "only with -kernel"},
	{"-boot order=x", "Invalid boot device 'x'"},
	{"-boot abcd", "Too many boot devices"},
	{"-boot caa", "Boot device 'a' was given twice"},
	{"-boot once=z", "Invalid boot device 'z'"},
	{"-boot order=", "no boot device"},
	{"-boot reboot-timeout=65536", "reboot-timeout"},
	{"-boot menu=maybe", "'on' or 'off'"},
	{"-boot foo=1", "invalid property 'foo'"},
	{"-global e1000.mac=1", "not supported"},
	{"-device isa-debugcon", "needs chardev"},
	{"-device isa-debugcon,chardev=x", "Property 'isa-debugcon.chardev' can't find value 'x'"},
	{"-device isa-serial", "needs chardev"},
	{"-chardev null,id=c -device isa-serial,chardev=c,index=4", "between 0 and 3"},
	{"-chardev null,id=c -serial null -device isa-serial,chardev=c,index=0", "serial port 0 is in use"},
	{"-serial null -serial null -serial null -serial null -chardev null,id=c -device isa-serial,chardev=c",
	 "number of ISA serial ports"},
	{"-device ide-hd", "No drive specified"},
	{"-device ide-hd,drive=x", "Property 'ide-hd.drive' can't find value 'x'"},
	{"-device ide-hd,drive=", "can't find value ''"},
	{"-device ide-hd,speed=9", "Property 'ide-hd.speed' not found"},
	{"-device ide-hd,drive", "not PROPERTY=VALUE"},
	{"-device ide-hd,drive=x -drive if=none,id=x", "drive is empty"},
	{"-device ide-hd,drive=x -drive file=f,id=x", "automatically connected"},
	{"-device ide-hd,drive=x -drive file=f,id=x,if=none -device ide-cd,drive=x", "already in use by another block device"},
	{"-device ide-cd,bus=ide.2", "Bus 'ide.2' not found"},
	{"-device ide-cd,unit=2", "unit must be between 0 and 1"},
	{"-device ide-cd,unit=x", "not a number"},
	{"-hda f -device ide-cd,unit=0", "IDE unit 0 is in use"},
	{"-device ide-cd,bus=ide.1 -device ide-cd,bus=ide.1 -device ide-cd,bus=ide.1", "Bus 'ide.1' is full"},
	{"-device ide-cd -device ide-cd -device ide-cd -device ide-cd -device ide-cd", "No 'IDE' bus found for device 'ide-cd'"},
	{"-device floppy,unit=1 -device floppy,unit=1", "Floppy unit 1 is in use"},
	{"-drive file=a,if=none,id=x -drive file=b,if=none,id=x", "Duplicate ID 'x' for drive"},
	{"-drive file=a,if=none,id=", "is not a name"},
	{"-fw_cfg opt/x", "file=F or string=S"},
	{"-fw_cfg opt/x,strong=y", "invalid property 'strong'"},
	{"-fw_cfg ,file=f", "not a name"},
	{"-chardev stdio", "id=ID is needed"},
	{"-chardev id=x", "kind of back end"},
	{"-L a -L a -L a -L a -L a -L a -L a -L a -L a", "at most 8"},
	{"-kernel", "-kernel: requires an argument"},
	{"a b", "already at if=ide,bus=0,unit=0"},
	{"-hda a -drive file=b,index=0", "already at if=ide,bus=0,unit=0"},
	{"-drive file=a -drive file=b -drive file=c -drive file=d -drive file=e", "no place is left"},
	{"-drive file=a,format=qcow2", "format=qcow2 is not supported: there is raw"},
	{"-drive file=a,if=virtio", "if=virtio is not supported: there is ide, floppy, none"},
	{"-drive file=a,media=tape", "media=tape"},
	{"-drive file=a,snapshot=maybe", "there is off, on"},
	{"-drive file=a,bus=2", "no such place"},
	{"-drive file=a,if=floppy,index=2", "no such place"},
	{"-drive file=a,index=1,unit=1", "index= goes without"},
	{"-drive file=a,index=x", "not the number"},
	{"-drive file=a,speed=9", "invalid property 'speed'"},
	{"-drive format=raw", "a disk needs a file="},
	{"-drive file=", "the file name is empty"},
	{"-drive a", "not PROPERTY=VALUE"},
	{"-hda", "requires an argument"},
	{"-kernel k -m", "-m: requires an argument"},
	{"-kernel k -m x", "not a memory size"},
	{"-kernel k -m -5", "not a memory size"},
	{"-kernel k -m 5X", "not a memory size"},
	{"-kernel k -m 5MB", "not a memory size"},
	{"-kernel k -m 0", "between 1 MiB and 64 GiB"},
	{"-kernel k -m 1023K", "between 1 MiB and 64 GiB"},
	{"-kernel k -m 65G", "between 1 MiB and 64 GiB"},
	{"-kernel k -m 99999999999999999999", "not a memory size"},
	{"-kernel k -m 18446744073709551615G", "between 1 MiB and 64 GiB"},
	{"-kernel k -smp 2", "only one CPU"},
	{"-kernel k -smp cpus=1,cores=4", "only one CPU"},
	{"-kernel k -M q35", "unsupported machine type 'q35'"},
	{"-kernel k -accel kvm", "'kvm' is not supported"},
	{"-kernel k -accel tcg", "'tcg' is not supported"},
	{"-kernel k -accel bt,flavour=fast", "invalid flavour 'fast'"},
	{"-kernel k -accel bt,tb-size=0", "between 1 and 1024"},
	{"-kernel k -accel bt,tb-size=255K", "between 256 and 1048576"},
	{"-kernel k -accel bt,tb-size=K", "not a number"},
	{"-kernel k -accel bt,tb-size=256k", "not a number"},
	{"-kernel k -accel bt,tb-size=x", "not a number"},
	{"-kernel k -accel bt,foo=1", "invalid property 'foo'"},
	{"-kernel k -accel bt,lockstep=0", "lockstep must be between 1 and"},
	{"-kernel k -accel bt,lockstep=x", "not a number"},
	{"-kernel k -accel bt,lockstep-to=7", "not asked for"},
	{"-kernel k -accel bt,lockstep", "invalid property 'lockstep'"},
	{"-kernel k -accel bt,lockstep-show=maybe", "invalid property 'lockstep-show'"},
	{"-kernel k -d nosuch", "invalid log item 'nosuch'"},
	{"-kernel k -d int,,exec", "invalid log item ''"},
	{"-kernel k -d trace:nosuch", "invalid log item 'trace:nosuch' (-d help and -d trace:help list them)"},
	{"-kernel k -d trace:DEVICE", "invalid log item 'trace:DEVICE'"},
	{"-kernel k -dfilter 5", "invalid range '5'"},
	{"-kernel k -dfilter 0x1000..0xfff", "invalid range '0x1000..0xfff'"},
	{"-kernel k -dfilter 1..2,", "invalid range ''"},
	{"-kernel k -dfilter 1..2,0x100000000..0x100000001", "of 32-bit addresses"},
	{"-kernel k -dfilter 0..0,1..1,2..2,3..3,4..4,5..5,6..6,7..7,8..8,9..9,1..1,1..1,1..1,1..1,1..1,1..1,1..1", "at most 16 ranges"},
	{"-kernel k -cpu nosuchcpu", "-cpu: "},
	{"-kernel k -device e1000", "'e1000' is not a valid device model name"},
	{"-kernel k -device ide-h,drive=x", "'ide-h' is not a valid device model name"},
	{"-kernel k -device isa-debug-exit,iobase=0x10000", "between 0 and 65535"},
	{"-kernel k -device isa-debug-exit,iobase=0xffff,iosize=2", "end beyond"},
	{"-kernel k -display gtk", "'gtk' is not supported"},
	{"-kernel k -display vnc=1", "is not HOST:N"},
	{"-kernel k -vnc :x", "not a number"},
	{"-kernel k -vnc :60000", "between 0 and 59635"},
	{"-kernel k -vnc :1,password=on", "password-file=FILE"},
	{"-kernel k -vnc :1,lossy=on", "invalid property 'lossy'"},
	{"-kernel k -nographic -curses", "cannot be used with -nographic"},
	{"-kernel k -curses -serial stdio", "needs the terminal"},
	{"-kernel k -vga cirrus", "'cirrus' is not supported"},
	{"-kernel k -vga none -vnc :1", "no screen"},
	{"-kernel k -screenshot f,at=soon", "at=soon"},
	{"-kernel k -screentext ,at=1", "needs a file's name"},
	{"-kernel k -rtc base=yesterday", "not a date"},
	{"-kernel k -action panic=none", "invalid action"},
	{"-kernel k -serial null -serial null -serial null -serial null -serial null", "only 4 serial ports"},
};

START_TEST(one_clear_line)
{
	char err[4096];

	ck_assert_int_eq(run(mistakes[_i].line, false, err, sizeof(err)), 1);
	ck_assert_msg(strncmp(err, "ringer: ", 8) == 0 && strstr(err, mistakes[_i].says), "'%s' says '%s'", mistakes[_i].line, err);
	ck_assert_ptr_eq(strchr(err, '\n'), err + strlen(err) - 1);
}
END_TEST

static const struct {
	const char *line, *says;
} questions[] = {
	{"-h", "-kernel FILE"},	  {"--help", "-append TEXT"},  {"-version", "ringer "},
	{"--version", "ringer "}, {"-d help", "guest_errors"}, {"-d trace:help", "trace:lapic"},
	{"-cpu help", "max"},	  {"-M help", "pc"},	       {"-accel help", "bt"},
};

START_TEST(help)
{
	char out[16384];

	ck_assert_int_eq(run(questions[_i].line, true, out, sizeof(out)), 0);
	ck_assert_msg(strstr(out, questions[_i].says), "'%s' says '%s'", questions[_i].line, out);
}
END_TEST

Suite *options_suite(void);
Suite *options_suite(void)
{
	Suite *s = suite_create("options");
	TCase *t = tcase_create("options");

	tcase_add_test(t, defaults);
	tcase_add_test(t, everything);
	tcase_add_test(t, devices);
	tcase_add_test(t, drives);
	tcase_add_test(t, hpet);
	tcase_add_loop_test(t, terminal, 0, ARRAY_SIZE(terminals));
	tcase_add_test(t, boot_once);
	tcase_add_test(t, firmware);
	tcase_add_test(t, lockstep);
	tcase_add_loop_test(t, memory_sizes, 0, (int)ARRAY_SIZE(sizes));
	tcase_add_test(t, actions);
	tcase_add_test(t, rtc);
	tcase_add_loop_test(t, one_clear_line, 0, (int)ARRAY_SIZE(mistakes));
	tcase_add_loop_test(t, help, 0, (int)ARRAY_SIZE(questions));
	suite_add_tcase(s, t);
	return s;
}
