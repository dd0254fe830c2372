/*
 * The command line, spelled as QEMU's. One X-macro of options yields parser and help.
 */
#ifndef RINGER_OPTIONS_H
#define RINGER_OPTIONS_H

#include "monitor/log.h"
#include "monitor/types.h"

#define MAX_SERIALS	  4
#define MAX_MONITORS	  4
#define MAX_FIRMWARE_DIRS 8
#define BOOT_DEVICES	  3 /* that a PC has an order of */
#define MAX_CHARDEVS	  4
#define MAX_FW_CFG	  8
#define MAX_LOG_RANGES	  16

/* -vnc HOST:N */
struct vnc_option {
	bool on;
	char host[64]; /* empty: loopback */
	u16 port;
	char password_file[256]; /* empty: no password */
};

/* -screenshot FILE,at=SECONDS and -screentext: the file's name is the first path_len bytes of path. */
#define MAX_SHOTS 32
struct shot_option {
	const char *path;
	size_t path_len;
	bool text, at_end;
	u64 at_ns; /* vm time */
};

/* How memory operands of guest user code are translated: always checked, always direct, or direct where an address space is hot. */
enum flavour { FLAVOUR_CHECKED, FLAVOUR_DIRECT, FLAVOUR_AUTO };

#define MAX_DRIVES     16
#define MAX_DEVICE_OPT 24
#define DRIVE_FILE_MAX 4096

enum drive_interface { DRIVE_IDE, DRIVE_FLOPPY, DRIVE_NONE };

/* A drive and its image; "" is an empty drive. */
struct drive_option {
	char file[DRIVE_FILE_MAX];
	char id[32];   /* for -device, or empty */
	bool attached; /* to a -device */
	enum drive_interface interface;
	u8 bus, unit;
	bool cdrom, readonly, snapshot;
	bool format_given; /* as raw: it is not looked at what it might be */
};

struct options {
	const char *kernel, *initrd, *append; /* initrd: a file, or for Multiboot a comma-separated list "file args,file args" */
	u64 ram_size;			      /* bytes; default 128 MiB as in QEMU */
	bool nographic;
	const char *serial[MAX_SERIALS]; /* chardev specs; default: stdio under -nographic, else none... serial 0 defaults to stdio */
	unsigned serial_count;
	const char *monitor[MAX_MONITORS]; /* chardev specs of consoles */
	unsigned monitor_count;
	bool no_monitor;			      /* -monitor none: no console on the serial port's terminal either */
	const char *debugcon;			      /* chardev spec or NULL */
	u16 debugcon_iobase;			      /* default 0xe9; SeaBIOS talks on 0x402 */
	const char *bios;			      /* firmware image, or NULL: the default one, without -kernel */
	const char *firmware_dirs[MAX_FIRMWARE_DIRS]; /* -L */
	unsigned firmware_dir_count;
	char boot_order[BOOT_DEVICES + 1]; /* -boot order=: letters a b c d n; empty: the default */
	char boot_once[BOOT_DEVICES + 1];  /* -boot once=: the same for the first start; empty: none */
	bool boot_menu;
	int splash_time;    /* ms for which firmware offers its menu; -1: firmware's own time */
	int reboot_timeout; /* ms after which firmware that finds nothing to boot tries again; -1: never */
	/* -chardev KIND,id=ID,path=P as the spec KIND[:P] */
	struct {
		char id[32], spec[320];
	} chardevs[MAX_CHARDEVS];
	unsigned chardev_count;
	/* -fw_cfg name=N,file=F or string=S: files for the firmware */
	struct {
		char name[56], value[256];
		bool file;
	} fw_cfg[MAX_FW_CFG];
	unsigned fw_cfg_count;
	struct drive_option drives[MAX_DRIVES];
	unsigned drive_count;
	const char *devices[MAX_DEVICE_OPT]; /* -device as given: what options_device.c makes the rest of */
	unsigned device_count;
	bool no_cdrom, no_floppy; /* without the empty drives that there otherwise are */
	bool snapshot;		  /* -snapshot: of every drive that can be written to */
	bool vga;		  /* -vga std, or none */
	bool curses;		  /* -display curses */
	struct vnc_option vnc;
	struct shot_option shots[MAX_SHOTS];
	unsigned shot_count;
	bool hpet; /* -machine hpet=; without -no-hpet there is one */
	bool no_reboot, no_shutdown;
	bool start_stopped; /* -S */
	const char *gdb;    /* -gdb: chardev spec, or NULL */
	const char *name;   /* -name, or NULL */
	const char *log_file;
	const char *crash_report; /* FILE, "none", or NULL: the default one */
	u32 log_mask;
	u64 log_traces; /* -d trace:DEVICE, a bit for each enum trace_device */
	struct log_range log_ranges[MAX_LOG_RANGES];
	unsigned log_range_count;   /* -dfilter; 0: everything */
	bool perfmap, jitdump;	    /* monitor/perf.h */
	const char *kernel_symbols; /* files with symbols of the guest's kernel, and of its programs; NULL: none */
	const char *user_symbols;
	const char *cpu_model;
	u64 cpu_plus, cpu_minus; /* feature bits, see cpuid.h */
	enum flavour flavour;
	u32 max_maps; /* -accel bt,max-maps=N: taken for vm.max_map_count where that is larger; 0: the system's */
	/* -accel bt,lockstep=N and its like, in instructions; 0: off, or the default (monitor/lockstep.h) */
	u64 lockstep, lockstep_from, lockstep_to, lockstep_ram;
	bool lockstep_show;
	bool verify;	    /* -accel bt,verify=on: every TU is checked before it runs */
	u64 tc_size;	    /* bytes; -accel bt,tb-size=MiB; default 64 MiB */
	s64 rtc_offset_sec; /* -rtc base=: added to the host's time */
	bool debug_exit;
	u16 debug_exit_iobase, debug_exit_iosize; /* defaults 0x501, 2 as in QEMU */
};

/* Parses argv. Prints and exits for -h and -version; on an error prints one line and exits with 1. */
void options_parse(struct options *o, int argc, char **argv);

#endif
