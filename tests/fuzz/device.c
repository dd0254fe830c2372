/*
 * Every device of a PC at once: ports and memory-mapped registers read and written in all sizes, time, input from the host, resets,
 * interrupt acknowledgement; and saved state.
 *
 * There are two machines. One of them, the first, gets every operation. At some point its state is saved and loaded into the second, which
 * has had a life of its own until then; from there on it gets the same operations, and must answer and end alike. Its own life is begun by
 * loading a damaged copy of a device's state, which must be refused or be harmless.
 *
 * The drives' images are files of each machine's own; the loaded machine gets a copy of the other's, and of its RAM.
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

#include "tests/unit/doubles.c"

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

#define RAM_BYTES (1u << 20)

/* The drives; the last one can only be read. */
static const struct {
	enum drive_interface interface;
	u8 bus, unit;
	bool cdrom;
	u32 bytes;
} drives[] = {{DRIVE_IDE, 0, 0, false, 96 << 10}, {DRIVE_FLOPPY, 0, 0, false, 40 << 10}, {DRIVE_IDE, 1, 1, true, 17 << 10}};

static struct machine {
	struct vm *vm;
	int image[ARRAY_SIZE(drives)];
	struct vcpu cpu; /* counts as one that never runs */
} machine[2];
static bool twins; /* the two are in the same state */

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
		d->cdrom = d->readonly = drives[i].cdrom;
		d->format_given = true;
		snprintf(d->file, sizeof(d->file), "/proc/self/fd/%d", m->image[i]);
	}
	m->vm->opt.drive_count = ARRAY_SIZE(drives);
	/* Requests take as long as they always do. */
	m->vm->opt.lockstep = 1;
}

static void fill_images(struct machine *m)
{
	static u8 bytes[96 << 10];

	for (unsigned i = 0; i < ARRAY_SIZE(drives); i++) {
		memset(bytes, (int)i + 1, sizeof(bytes));
		REQUIRE(pwrite(m->image[i], bytes, drives[i].bytes, 0) == (ssize_t)drives[i].bytes, "image");
	}
	memset(m->vm->mem.ram, 0, RAM_BYTES);
}

static void copy_images(void)
{
	static u8 bytes[96 << 10];

	for (unsigned i = 0; i < ARRAY_SIZE(drives); i++) {
		ssize_t n = (ssize_t)drives[i].bytes;

		REQUIRE(pread(machine[0].image[i], bytes, (size_t)n, 0) == n && pwrite(machine[1].image[i], bytes, (size_t)n, 0) == n,
			"image");
	}
	memcpy(machine[1].vm->mem.ram, machine[0].vm->mem.ram, RAM_BYTES);
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

static void access_ports(struct input *in, bool write)
{
	u8 range = take8(in), offset = take8(in);
	unsigned size = 1u << (range >> 6) % 3;
	u32 value = write ? take32(in) : 0, got[2] = {0};
	const struct port_range *r = &vm_of(0)->ports[(range & 0x3f) % vm_of(0)->port_count];
	/* One port beyond either end, too. */
	u16 port = (u16)(r->first + offset % (r->last - r->first + 3u) - 1);

	for (int i = 0; i < 2; i++) {
		if (write)
			io_write(vm_of(i), port, value, size);
		else
			got[i] = io_read(vm_of(i), port, size);
	}
	REQUIRE(size == 4 || got[0] >> (8 * size) == 0, "%#x of %u bytes", got[0], size);
	if (twins && got[0] != got[1])
		fprintf(stderr, "port %#x\n", port);
	if (twins)
		compare("port", got[0], got[1]);
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

		for (unsigned k = 0; c && k < which % MAX_SERIALS; k++)
			c = c->next;
		if (!c || !c->client.receive)
			continue;
		if ((which & 0x80) && c->client.event)
			c->client.event(c->client.opaque, CHARDEV_BREAK);
		size_t room = c->client.can_receive(c->client.opaque);
		if (room)
			c->client.receive(c->client.opaque, bytes, MIN(room, (size_t)n));
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

/* Video memory belongs to the memory, which is saved as a whole: what there is of it, for most is holes. */
static void copy_board_memory(struct vm *from, struct vm *to)
{
	off_t start = (off_t)from->mem.ram_size, end = start + (off_t)from->mem.board_used;

	fallocate(to->mem.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, end - start);
	for (off_t at = start; at < end;) {
		off_t data = lseek(from->mem.fd, at, SEEK_DATA), hole;

		if (data < 0 || data >= end)
			break;
		hole = lseek(from->mem.fd, data, SEEK_HOLE);
		at = MIN(hole, end);
		memcpy(to->mem.ram + data, from->mem.ram + data, (size_t)(at - data));
	}
}

static void load_all(void)
{
	struct vm *from = vm_of(0), *to = vm_of(1);

	to->clock = from->clock;
	copy_board_memory(from, to);
	for (unsigned i = 0; i < from->device_count; i++) {
		struct device *d = &to->devices[i];
		struct state s;

		save(&from->devices[i], &s);
		s.pos = 0;
		d->load(d->opaque, &s);
		REQUIRE(!s.error && s.pos == s.len, "%s does not take its own state", d->name);
		state_free(&s);
	}
	copy_images();
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
		check_alike();
		for (int i = 0; i < 2; i++)
			vm_of(i)->exit_reason = VM_RUNNING;
	}
	pthread_mutex_lock(&vm_of(0)->lock);
	compare_states();
	pthread_mutex_unlock(&vm_of(0)->lock);
	destroy(&machine[0]);
	destroy(&machine[1]);
	return 0;
}
