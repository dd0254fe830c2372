/*
 * Every device of a PC at once: ports and memory-mapped registers read and written in all sizes, time, input from the host, resets,
 * interrupt acknowledgement; and saved state.
 *
 * There are two machines. One of them, the first, gets every operation. At some point its state is saved and loaded into the second, which
 * has had a life of its own until then; from there on it gets the same operations, and must answer and end alike. Its own life is begun by
 * loading a damaged copy of a device's state, which must be refused or be harmless.
 *
 * The drives' images are files of each machine's own; the loaded machine gets a copy of the other's, and of its RAM. Memory is the input's,
 * too: descriptor tables, packets and what DMA takes from there. At the end memories and images are compared.
 *
 * Single accesses to any port come first; besides, whole sequences that a driver would make are one operation each (a task file and its
 * command, a packet, a bus master's or DMA channel's set-up...), for mutations would never find their way through all of their ports.
 *
 * Time is the input's: the host's clock does not count. monitor/clock.c and monitor/event.c are compiled in here once more for that
 * (so the library's are not linked), the latter for want of a way to run due timers without a thread.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int fuzz_clock_gettime(int which, struct timespec *ts);
#define clock_gettime fuzz_clock_gettime
#include "monitor/clock.c"
#undef clock_gettime

#include "monitor/event.c"

/* The linker has the library call these for the real ones (fuzz.mk), which may be there for others of their files. */
#include "cache/smc.h"
#include "monitor/vcpu.h"
#define vcpu_set_event	 __wrap_vcpu_set_event
#define vcpu_clear_event __wrap_vcpu_clear_event
#define vcpu_post	 __wrap_vcpu_post
#define vcpu_unpause	 __wrap_vcpu_unpause
#define fpu_save	 __wrap_fpu_save
#define smc_phys_write	 __wrap_smc_phys_write
#include "tests/unit/doubles.c"
#undef vcpu_set_event
#undef vcpu_clear_event
#undef vcpu_post
#undef vcpu_unpause
#undef fpu_save
#undef smc_phys_write

#include "monitor/block.h"
#include "monitor/chardev_backend.h"
#include "monitor/devices/acpi_pm.h"
#include "monitor/devices/lapic.h"
#include "monitor/devices/i8042.h"
#include "monitor/devices/pic.h"
#include "monitor/devices/vga.h"
#include "monitor/machine.h"
#include "monitor/state.h"
#include "tests/fuzz/fuzz.h"

#define MAX_STEPS 64 /* timers that one passage of time fires one by one */

static u64 now_ns;

static int fuzz_clock_gettime(int which, struct timespec *ts)
{
	/* The wall clock began in the year 2026. */
	u64 ns = now_ns + (which == CLOCK_REALTIME ? 1767225600ull * NS_PER_SEC : 0);

	*ts = (struct timespec){(time_t)(ns / NS_PER_SEC), (long)(ns % NS_PER_SEC)};
	return 0;
}

#define RAM_BYTES   (1u << 20)
#define IMAGE_BYTES (1u << 20)	/* the largest image */
#define FILLED	    (20u << 10) /* what of an image is not zero; all drives have more than one chunk of data or end in the middle of one */
#define MAX_LOOKS   4		/* pictures in a run: they take long */

/* The drives. The first floppy disk is cut off behind its 80th sector, the CD in the middle of its last. */
static const struct {
	enum drive_interface interface;
	u8 bus, unit;
	bool cdrom, readonly;
	u32 bytes;
} drives[] = {
	{DRIVE_IDE, 0, 0, false, false, IMAGE_BYTES},	  {DRIVE_IDE, 0, 1, false, true, 40 << 10},
	{DRIVE_IDE, 1, 0, true, true, (300 << 10) + 512}, {DRIVE_FLOPPY, 0, 0, false, false, 40 << 10},
	{DRIVE_FLOPPY, 0, 1, false, false, 360 << 10},
};

static struct machine {
	struct vm *vm;
	int image[ARRAY_SIZE(drives)];
	struct vcpu cpu; /* counts as one that never runs */
} machine[2];
static bool twins; /* the two are in the same state */
static unsigned looks;

static struct vm *vm_of(int which)
{
	return machine[which].vm;
}

/* ---- life ---- */

static void plug_drives(struct machine *m)
{
	for (unsigned i = 0; i < ARRAY_SIZE(drives); i++) {
		struct drive_option *d = &m->vm->opt.drives[i];

		m->image[i] = memfd_create("image", 0);
		REQUIRE(m->image[i] >= 0 && !ftruncate(m->image[i], drives[i].bytes), "no image");
		*d = (struct drive_option){.interface = drives[i].interface, .bus = drives[i].bus, .unit = drives[i].unit};
		d->cdrom = drives[i].cdrom;
		d->readonly = drives[i].readonly;
		d->format_given = true;
		snprintf(d->file, sizeof(d->file), "/proc/self/fd/%d", m->image[i]);
	}
	m->vm->opt.drive_count = ARRAY_SIZE(drives);
	/* Requests take as long as they always do. */
	m->vm->opt.lockstep = 1;
}

static void fill_images(struct machine *m)
{
	static u8 bytes[FILLED];

	for (unsigned i = 0; i < ARRAY_SIZE(drives); i++) {
		for (u32 k = 0; k < FILLED; k++)
			bytes[k] = (u8)(k / BLOCK_SECTOR + k + i);
		/* What was written before is gone. */
		REQUIRE(!ftruncate(m->image[i], 0) && !ftruncate(m->image[i], drives[i].bytes) &&
				pwrite(m->image[i], bytes, FILLED, 0) == (ssize_t)FILLED,
			"image");
	}
	memset(m->vm->mem.ram, 0, RAM_BYTES);
}

/* What of [at, end) of a file is not a hole, from *at on; false if nothing is. */
static bool next_data(int fd, off_t *at, off_t end, off_t *until)
{
	off_t data = *at < end ? lseek(fd, *at, SEEK_DATA) : -1;

	if (data < 0 || data >= end)
		return false;
	*at = data;
	*until = MIN(lseek(fd, data, SEEK_HOLE), end);
	return true;
}

static void copy_file(int from, int to, off_t start, off_t end)
{
	static u8 bytes[64 << 10];

	fallocate(to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, end - start);
	for (off_t at = start, until; next_data(from, &at, end, &until);)
		while (at < until) {
			ssize_t n = pread(from, bytes, MIN(sizeof(bytes), (size_t)(until - at)), at);

			REQUIRE(n > 0 && pwrite(to, bytes, (size_t)n, at) == n, "copy");
			at += n;
		}
}

static void compare_file(const char *what, int a, int b, off_t start, off_t end)
{
	static u8 of_a[64 << 10], of_b[64 << 10];

	for (off_t at = start, until; next_data(a, &at, end, &until);)
		while (at < until) {
			ssize_t n = pread(a, of_a, MIN(sizeof(of_a), (size_t)(until - at)), at);

			REQUIRE(n > 0 && pread(b, of_b, (size_t)n, at) == n, "read");
			REQUIRE(!memcmp(of_a, of_b, (size_t)n), "%s differs near byte %lld", what, (long long)at);
			at += n;
		}
}

static void create(struct machine *m)
{
	if (!m->vm) {
		m->vm = calloc(1, sizeof(*m->vm));
		REQUIRE(vm_init(m->vm, RAM_BYTES) == 0, "no machine");
		plug_drives(m);
		for (int i = 0; i < MAX_SERIALS; i++)
			m->vm->opt.serial[i] = i == 1 ? "none" : "null";
		m->vm->opt.serial_count = MAX_SERIALS;
		m->vm->opt.kernel = "none"; /* no firmware: its image is not the input's */
		m->vm->opt.debugcon = "null";
		m->vm->opt.debugcon_iobase = 0xe9;
		m->vm->opt.debug_exit = true;
		m->vm->opt.debug_exit_iobase = 0x501;
		m->vm->opt.debug_exit_iosize = 2;
		m->vm->opt.vga = true;
		m->vm->opt.hpet = true;
		m->vm->vcpu = &m->cpu;
	} else {
		REQUIRE(event_init(m->vm) == 0, "no event loop");
	}
	fill_images(m);
	m->vm->clock.offset_ns = -(s64)now_ns;
	m->vm->clock.rtc_offset_sec = 0;
	m->vm->mem.a20_open = true;
	m->cpu.events = 0;
	machine_init(m->vm);
}

static void destroy(struct machine *m)
{
	machine_free(m->vm);
	REQUIRE(!m->vm->events->timers, "a timer outlives its device");
	event_free(m->vm);
}

/* ---- both machines at once ---- */

static void compare(const char *what, u64 a, u64 b)
{
	REQUIRE(a == b, "%s: %#llx, in the loaded machine %#llx", what, (unsigned long long)a, (unsigned long long)b);
}

static void check_alike(void)
{
	if (!twins)
		return;
	compare("events", machine[0].cpu.events, machine[1].cpu.events);
	compare("A20", vm_of(0)->mem.a20_open, vm_of(1)->mem.a20_open);
	compare("exit", (u64)vm_of(0)->exit_reason, (u64)vm_of(1)->exit_reason);
	compare("wall clock", (u64)vm_of(0)->clock.rtc_offset_sec, (u64)vm_of(1)->clock.rtc_offset_sec);
}

/* ---- accesses ---- */

static void out(u16 port, u32 value, unsigned size)
{
	for (int i = 0; i < 2; i++)
		io_write(vm_of(i), port, value, size);
}

static u32 in_both(u16 port, unsigned size)
{
	u32 got[2];

	for (int i = 0; i < 2; i++)
		got[i] = io_read(vm_of(i), port, size);
	REQUIRE(size == 4 || got[0] >> (8 * size) == 0, "%#x of %u bytes", got[0], size);
	if (twins && got[0] != got[1])
		fprintf(stderr, "port %#x\n", port);
	if (twins)
		compare("port", got[0], got[1]);
	return got[0];
}

static void access_ports(struct input *in, bool write)
{
	u8 range = take8(in), offset = take8(in);
	unsigned size = 1u << (range >> 6) % 3;
	u32 value = write ? take32(in) : 0;
	const struct port_range *r = &vm_of(0)->ports[(range & 0x3f) % vm_of(0)->port_count];
	/* One port beyond either end, too. */
	u16 port = (u16)(r->first + offset % (r->last - r->first + 3u) - 1);

	if (write)
		out(port, value, size);
	else
		in_both(port, size);
}

static void access_memory(struct input *in, bool write)
{
	u8 range = take8(in);
	unsigned size = 1u << (range >> 6) % 3;
	u32 offset = take16(in);
	u32 value = write ? take32(in) : 0, got[2] = {0};

	if (!vm_of(0)->mem.mmio_count)
		return;
	const struct mmio_range *r = &vm_of(0)->mem.mmio[(range & 0x3f) % vm_of(0)->mem.mmio_count];
	/* The VGA's window is larger than 16 bits reach. */
	if (r->size > 0x10000)
		offset = offset << 1 | (range & 1);
	for (int i = 0; i < 2; i++) {
		if (write)
			mmio_write(vm_of(i), r->base + offset % (r->size + 4), value, size);
		else
			got[i] = mmio_read(vm_of(i), r->base + offset % (r->size + 4), size);
	}
	if (twins)
		compare("memory", got[0], got[1]);
}

static void fire(void)
{
	for (int i = 0; i < 2; i++)
		run_timers(vm_of(i));
}

/* From one timer to the next, then the rest at once. */
static void pass_time(u64 ns)
{
	u64 end = now_ns + ns;

	for (int i = 0; i < MAX_STEPS; i++) {
		const struct timer *t = vm_of(0)->events->timers;
		u64 at = t ? t->due - (u64)vm_of(0)->clock.offset_ns : end;

		if (!t || at >= end)
			break;
		now_ns = MAX(at, now_ns);
		fire();
	}
	now_ns = end;
	fire();
}

/* Keys and movement, as a display hands them over. */
static void type_and_point(struct input *in)
{
	u16 code = take16(in);
	u8 what = take8(in);

	for (int i = 0; i < 2; i++) {
		if (what & 1)
			i8042_key(vm_of(i)->keyboard, code, what & 2);
		else
			i8042_mouse(vm_of(i)->keyboard, (s8)code, (s8)(code >> 8), (what & 6) - 3, what >> 3);
	}
}

/* Pictures of both screens, alike if the machines are. */
static void look(void)
{
	static struct frame frame[2];
	static struct text_screen text[2];

	if (looks++ >= MAX_LOOKS)
		return;
	for (int i = 0; i < 2; i++) {
		struct vga_view v;

		vga_snapshot(vm_of(i)->vga, &v);
		REQUIRE(vga_draw(&v, &frame[i]), "no picture");
		REQUIRE(frame[i].width <= VGA_MAX_WIDTH && frame[i].height <= VGA_MAX_HEIGHT, "%ux%u", frame[i].width, frame[i].height);
		vga_text(&v, &text[i]);
	}
	if (!twins)
		return;
	compare("width", frame[0].width, frame[1].width);
	compare("height", frame[0].height, frame[1].height);
	REQUIRE(!memcmp(frame[0].pixels, frame[1].pixels, 4ul * frame[0].width * frame[0].height), "the pictures differ");
}

static void host_input(struct input *in)
{
	u8 which = take8(in), n = take8(in) & 7, bytes[8];

	for (int k = 0; k < 8; k++)
		bytes[k] = k < n ? take8(in) : 0;
	for (int i = 0; i < 2; i++) {
		struct chardev *c = vm_of(i)->chardevs;
		const struct chardev_client *client;

		for (unsigned k = 0; c && k < which % MAX_SERIALS; k++)
			c = c->next;
		client = c ? &c->front[0].client : NULL;
		if (!client || !client->receive)
			continue;
		if ((which & 0x80) && client->event)
			client->event(client->opaque, CHARDEV_BREAK);
		size_t room = client->can_receive(client->opaque);
		if (room)
			client->receive(client->opaque, bytes, MIN(room, (size_t)n));
	}
}

static void acknowledge(void)
{
	int vector[2];

	for (int i = 0; i < 2; i++) {
		vector[i] = lapic_ack(vm_of(i)->lapic);
		REQUIRE(vector[i] >= -1 && vector[i] <= 0xff, "vector %d", vector[i]);
	}
	if (twins)
		compare("vector", (u64)vector[0], (u64)vector[1]);
}

/* ---- sequences ---- */

static void put_memory(u32 at, const u8 *bytes, size_t n)
{
	for (int i = 0; i < 2; i++) {
		pthread_mutex_lock(&vm_of(i)->lock);
		phys_write(vm_of(i), at, bytes, n);
		pthread_mutex_unlock(&vm_of(i)->lock);
	}
}

static u32 take_address(struct input *in)
{
	return (u32)take16(in) << 4;
}

static void fill_memory(struct input *in)
{
	u8 bytes[32];
	u32 at = take_address(in), n = (take8(in) & 31) + 1u;

	for (u32 k = 0; k < n; k++)
		bytes[k] = take8(in);
	put_memory(at, bytes, n);
}

static void configure(u8 devfn, u8 reg, u32 value, unsigned size)
{
	out(0xcf8, 0x80000000u | (u32)devfn << 8 | (reg & 0xfc), 4);
	out((u16)(0xcfc + (reg & 3 & ~(size - 1))), value, size);
}

static void write_pci(struct input *in)
{
	static const u8 functions[] = {0x00, 0x08, 0x09, 0x0b, 0x10};
	u8 which = take8(in), reg = take8(in);

	configure(functions[which % ARRAY_SIZE(functions)], reg, take32(in), 1u << (which >> 6) % 3);
}

static void write_indexed(struct input *in)
{
	u8 which = take8(in), index = take8(in);
	u16 value = take16(in);

	switch (which % 5) {
	case 0:
		out(0x3c4, (u32)value << 8 | index, 2);
		break;
	case 1:
		out(0x3ce, (u32)value << 8 | index, 2);
		break;
	case 2:
		out(0x3d4, (u32)value << 8 | index, 2);
		break;
	case 3:
		in_both(0x3da, 1);
		out(0x3c0, index, 1);
		out(0x3c0, value, 1);
		break;
	default:
		out(0x1ce, index, 2);
		out(0x1cf, value, 2);
	}
}

/* By number, so seeds need not know in which order devices register. */
static void access_port(struct input *in)
{
	u8 how = take8(in);
	u16 port = take16(in);
	unsigned size = 1u << (how & 3) % 3;

	if (how & 4)
		out(port, take32(in), size);
	else
		in_both(port, size);
}

static const u16 ide_base[2] = {0x1f0, 0x170};

/* A task file, twice over for 48-bit commands, and its command. */
static void ide_command(struct input *in)
{
	u8 which = take8(in);
	u16 base = ide_base[which & 1];

	for (int pass = which & 2 ? 2 : 1; pass; pass--)
		for (u16 reg = 1; reg < 6; reg++)
			out((u16)(base + reg), take8(in), 1);
	out((u16)(base + 6), which & 0xf0, 1);
	out((u16)(base + 7), take8(in), 1);
}

static void packet_command(struct input *in)
{
	u8 n = take8(in), packet[12] = {0};

	out(0x171, n >> 7, 1);
	out(0x174, take8(in), 1);
	out(0x175, n >> 4 & 7, 1);
	out(0x176, 0xa0, 1);
	out(0x177, 0xa0, 1);
	for (unsigned k = 0; k < MIN(n & 15u, 12u); k++)
		packet[k] = take8(in);
	for (unsigned k = 0; k < 12; k += 2)
		out(0x170, packet[k] | (u32)packet[k + 1] << 8, 2);
}

/* A channel's bus master at ports C000h, which may master. */
static void start_master(struct input *in)
{
	u8 which = take8(in);
	u16 base = 0xc000 + (which & 1) * 8;

	configure(0x09, 0x20, 0xc000, 4);
	configure(0x09, 0x04, 5, 2);
	out((u16)(base + 4), take_address(in), 4);
	out((u16)(base + 2), which & 0x66, 1);
	out(base, which >> 2 & 9, 1);
}

/* A disk controller's command, FIFO bytes; or the port that resets it and chooses a rate. */
static void floppy_command(struct input *in)
{
	u8 n = take8(in);

	if (n & 0x80)
		out(0x3f2, take8(in), 1);
	if (n & 0x40)
		out(0x3f7, take8(in), 1);
	for (n &= 15; n; n--)
		out(0x3f5, take8(in), 1);
}

static void program_dma(struct input *in)
{
	static const u16 pages[4] = {0x87, 0x83, 0x81, 0x82};
	u8 mode = take8(in);
	u32 address = take_address(in), count = take16(in);
	u16 channel = mode & 3;

	out(0x0c, 0, 1);
	out(0x0b, mode, 1);
	out((u16)(2 * channel), address & 0xff, 1);
	out((u16)(2 * channel), address >> 8 & 0xff, 1);
	out((u16)(2 * channel + 1), count & 0xff, 1);
	out((u16)(2 * channel + 1), count >> 8, 1);
	out(pages[channel], address >> 16, 1);
	out(0x0a, channel, 1);
}

/* REP INS and REP OUTS. */
static void move_string(struct input *in)
{
	static const u16 ports[] = {0x1f0, 0x170, 0x3f5, 0x60, 0x511, 0x3c9, 0x3f8, 0x1f7};
	u8 which = take8(in), value = take8(in);
	u16 port = ports[which & 7];
	unsigned size = port == 0x1f0 || port == 0x170 ? 1u << (which >> 3) % 3 : 1;

	for (u32 k = 0; k < 1u << (which >> 5) * 2; k++) {
		if (value & 1)
			out(port, (value + 2 * k) * 0x01010101u, size);
		else
			in_both(port, size);
	}
}

static void write_apic(struct input *in, bool io)
{
	u8 reg = take8(in);
	u32 value = take32(in);

	for (int i = 0; i < 2; i++) {
		mmio_write(vm_of(i), io ? 0xfec00000 : 0xfee00000 + ((u64)reg << 4 & 0xfff), io ? reg : value, 4);
		if (io)
			mmio_write(vm_of(i), 0xfec00010, value, 4);
	}
}

/* A descriptor for the firmware configuration device, and its start. */
static void firmware_dma(struct input *in)
{
	u32 at = take_address(in), control = take32(in), length = take16(in);
	u64 to = (u64)take_address(in) << (length & 1 ? 12 : 0);
	u8 d[16];

	for (int k = 0; k < 4; k++) {
		d[k] = (u8)(control >> (24 - 8 * k));
		d[4 + k] = (u8)(length >> (24 - 8 * k));
	}
	for (int k = 0; k < 8; k++)
		d[8 + k] = (u8)(to >> (56 - 8 * k));
	put_memory(at, d, sizeof(d));
	out(0x518, __builtin_bswap32(at), 4);
}

/* What is where. */
static void look_at_map(struct input *in)
{
	u64 pa = (u64)take32(in) << 4;
	const u8 *p[2];

	for (int i = 0; i < 2; i++)
		p[i] = ram_ptr(&vm_of(i)->mem, pa);
	if (!twins)
		return;
	REQUIRE(!p[0] == !p[1] && (!p[0] || p[0] - vm_of(0)->mem.ram == p[1] - vm_of(1)->mem.ram), "%#llx is not the same",
		(unsigned long long)pa);
	compare("writable", memory_is_writable(&vm_of(0)->mem, pa), memory_is_writable(&vm_of(1)->mem, pa));
}

static void sequence(u8 which, struct input *in)
{
	switch (which) {
	case 1:
		fill_memory(in);
		break;
	case 2:
		write_pci(in);
		break;
	case 3:
		write_indexed(in);
		break;
	case 4:
		ide_command(in);
		break;
	case 5:
		floppy_command(in);
		break;
	case 6:
		packet_command(in);
		break;
	case 7:
		move_string(in);
		break;
	case 8:
	case 9:
		write_apic(in, which == 9);
		break;
	case 10:
		program_dma(in);
		break;
	case 11:
		look_at_map(in);
		break;
	case 12:
		start_master(in);
		break;
	case 13:
		firmware_dma(in);
		break;
	case 14:
		access_port(in);
		break;
	default:
		break;
	}
}

/* ---- saved state ---- */

static void save(struct device *d, struct state *s)
{
	state_init(s);
	d->save(d->opaque, s);
	REQUIRE(!s->error, "%s cannot be saved", d->name);
}

static void check_same_state(struct device *d, const struct state *expect)
{
	struct state s;

	save(d, &s);
	if (s.len != expect->len || memcmp(s.data, expect->data, s.len)) {
		size_t k = 0;
		while (k < MIN(s.len, expect->len) && s.data[k] == expect->data[k])
			k++;
		REQUIRE(false, "%s: byte %zu of its state is another in the loaded machine", d->name, k);
	}
	state_free(&s);
}

/* Memory, video memory included, and images are saved as a whole; what there is of them, for most is holes. */
static off_t memory_end(const struct vm *vm)
{
	return (off_t)(vm->mem.ram_size + vm->mem.board_used);
}

static void copy_memory(void)
{
	copy_file(vm_of(0)->mem.fd, vm_of(1)->mem.fd, 0, memory_end(vm_of(0)));
	for (unsigned i = 0; i < ARRAY_SIZE(drives); i++)
		copy_file(machine[0].image[i], machine[1].image[i], 0, drives[i].bytes);
}

static void compare_memory(void)
{
	for (int i = 0; twins && i < 2; i++) {
		compare_file("memory", vm_of(i)->mem.fd, vm_of(!i)->mem.fd, 0, memory_end(vm_of(0)));
		for (unsigned k = 0; k < ARRAY_SIZE(drives); k++)
			compare_file("an image", machine[i].image[k], machine[!i].image[k], 0, drives[k].bytes);
	}
}

static void load_all(void)
{
	struct vm *from = vm_of(0), *to = vm_of(1);

	to->clock = from->clock;
	copy_memory();
	for (unsigned i = 0; i < from->device_count; i++) {
		struct device *d = &to->devices[i];
		struct state s;

		save(&from->devices[i], &s);
		s.pos = 0;
		d->load(d->opaque, &s);
		REQUIRE(!s.error && s.pos == s.len, "%s does not take its own state", d->name);
		state_free(&s);
	}
	/* What vcpu_save and whoever saves the machine as a whole keep. */
	to->exit_reason = from->exit_reason;
	machine[1].cpu.events = machine[0].cpu.events;
	twins = true;
}

static void compare_states(void)
{
	for (unsigned i = 0; twins && i < vm_of(0)->device_count; i++) {
		struct state s;

		save(&vm_of(0)->devices[i], &s);
		check_same_state(&vm_of(1)->devices[i], &s);
		state_free(&s);
	}
}

static void load_damaged(struct input *in)
{
	u8 which = take8(in), flips = take8(in);
	struct device *d = &vm_of(1)->devices[which % vm_of(1)->device_count];
	struct state s, before;

	save(d, &s);
	save(d, &before);
	for (int k = 0; s.len && k < 1 + flips % 4; k++) {
		u8 at = take8(in);
		s.data[at % s.len] = take8(in);
	}
	if (flips & 0x80)
		s.len = s.len * (flips & 0x70) / 0x80;
	s.pos = 0;
	d->load(d->opaque, &s);
	if (s.error)
		check_same_state(d, &before);
	state_free(&s);
	state_free(&before);
	twins = false;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size};

	now_ns = 1000 * NS_PER_SEC;
	twins = false;
	looks = 0;
	create(&machine[0]);
	create(&machine[1]);
	while (in.n) {
		u8 op = take8(&in);

		for (int i = 0; i < 2; i++)
			pthread_mutex_lock(&vm_of(i)->lock);
		switch (op & 15) {
		case 8:
		case 9:
			pass_time((u64)(take8(&in) + 1u) << (op >> 4) * 2);
			break;
		case 10:
			host_input(&in);
			break;
		case 11:
			if (op >> 4 == 1)
				type_and_point(&in);
			else if (op >> 4 == 2)
				look();
			else
				acknowledge();
			break;
		case 12:
			load_all();
			compare_states();
			break;
		case 13:
			if (op >> 4 == 0)
				load_damaged(&in);
			else
				compare_states();
			break;
		case 14:
			if (op >> 4 == 0)
				for (int i = 0; i < 2; i++)
					vm_reset_devices(vm_of(i));
			break;
		default:
			break;
		}
		for (int i = 0; i < 2; i++)
			pthread_mutex_unlock(&vm_of(i)->lock);
		if ((op & 15) < 8)
			access_ports(&in, op & 1);
		else if ((op & 15) == 15)
			access_memory(&in, op & 0x10);
		else if ((op & 15) == 14)
			sequence(op >> 4, &in);
		check_alike();
		for (int i = 0; i < 2; i++)
			vm_of(i)->exit_reason = VM_RUNNING;
	}
	pthread_mutex_lock(&vm_of(0)->lock);
	compare_states();
	compare_memory();
	pthread_mutex_unlock(&vm_of(0)->lock);
	destroy(&machine[0]);
	destroy(&machine[1]);
	return 0;
}
