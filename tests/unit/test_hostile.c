/*
 * A guest that attacks: what more than one device has a part in. Base addresses over one another, over RAM and over the APICs; DMA to where
 * no RAM is; base addresses and resets in the middle of a transfer. Nothing may crash, and what is seen afterwards must follow from the
 * registers alone.
 */
#include "monitor/devices/i8042.h"
#include "monitor/devices/vga.h"
#include "monitor/machine.h"
#include "tests/unit/disk_harness.h"

enum { IDE = 0x09, VGA = 0x10, BM = 0xc000, PRD = 0x1000, COMMAND_BLOCK = 0x1f0, CONTROL = 0x3f6 };
#define LFB	0xe0000000u
#define SECTORS 1024u
#define CHUNK	(210 * US) /* a request of 256 sectors, which ends by itself 200 us after it began */

static struct rig *rig;
static struct image image;

static struct rig *pc_create(void)
{
	struct rig *r = rig_create();
	struct drive_option *d = &r->vm->opt.drives[0];

	r->vm->opt.kernel = "none";
	r->vm->opt.vga = true;
	/* Requests are carried out at once, and end as time passes. */
	r->vm->opt.lockstep = 1;
	*d = (struct drive_option){.interface = DRIVE_IDE, .format_given = true, .readonly = true};
	memcpy(d->file, image.path, sizeof(image.path));
	r->vm->opt.drive_count = 1;
	machine_init(r->vm);
	return r;
}

static void setup(void)
{
	image = image_create(SECTORS);
	rig = pc_create();
}

static void teardown(void)
{
	rig_free(rig);
	close(image.fd);
}

static void config(u8 devfn, u8 reg, u32 value, unsigned size)
{
	io_write(rig->vm, 0xcf8, 0x80000000u | (u32)devfn << 8 | reg, 4);
	io_write(rig->vm, 0xcfc, value, size);
}

static const u8 *at(u64 pa)
{
	return ram_ptr(&rig->vm->mem, pa);
}

/* ---- base addresses ---- */

/* Which of two base addresses is seen does not depend on which came first: a loaded machine must find the same. */
START_TEST(bars_over_each_other)
{
	const u8 *screen, *rom;
	struct rig *first = rig, *other;
	struct state s;

	config(VGA, 0x04, 2, 2);
	config(VGA, 0x10, LFB, 4);
	config(VGA, 0x30, 0xf0000001, 4);
	screen = at(LFB);
	rom = at(0xf0000000);
	ck_assert(screen && rom && screen != rom);
	config(VGA, 0x30, LFB + 0x10001, 4);
	ck_assert_ptr_eq(at(LFB + 0x10000), screen + 0x10000);
	ck_assert_ptr_null(at(0xf0000000));
	/* The one goes, and the other is there. */
	config(VGA, 0x10, 0, 4);
	ck_assert_ptr_eq(at(LFB + 0x10000), rom);
	ck_assert_ptr_null(at(LFB));
	/* It comes back. */
	config(VGA, 0x10, LFB, 4);
	ck_assert_ptr_eq(at(LFB + 0x10000), screen + 0x10000);
	config(VGA, 0x30, 0, 4);
	config(VGA, 0x30, LFB + 1, 4);
	config(VGA, 0x10, 0, 4);
	config(VGA, 0x10, LFB, 4);
	ck_assert_ptr_eq(at(LFB), screen);
	ck_assert_uint_eq((u64)(at(LFB) - rig->vm->mem.ram) >= rig->vm->mem.ram_size, 1);

	rig_lock(rig);
	rig_save(rig, "pci", &s);
	rig_unlock(rig);
	other = pc_create();
	rig_lock(other);
	ck_assert(rig_load(other, "pci", &s));
	rig_unlock(other);
	for (u64 pa = LFB; pa < LFB + 0x1100000; pa += 0x8000) {
		const u8 *here = ram_ptr(&first->vm->mem, pa), *there = ram_ptr(&other->vm->mem, pa);

		ck_assert(!here == !there && (!here || here - first->vm->mem.ram == there - other->vm->mem.ram));
	}
	state_free(&s);
	rig_free(other);
}
END_TEST

START_TEST(bars_anywhere)
{
	static const u32 places[] = {0x00000000, 0x00100000, 0x000a0000, 0x03ff0000, 0x04000000, 0xfec00000, 0xfee00000,
				     0xff000000, 0xfffc0000, 0xfffff000, 0xffffffff, 0xcf8,	 0x60,	     0x1f0};
	u32 bios = 0;

	phys_read(rig->vm, 0xfffffff0, &bios, 4);
	config(VGA, 0x04, 7, 2);
	config(IDE, 0x04, 7, 2);
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		config(VGA, 0x10, places[i], 4);
		config(VGA, 0x18, places[(i + 3) % ARRAY_SIZE(places)], 4);
		config(VGA, 0x30, places[(i + 5) % ARRAY_SIZE(places)] | 1, 4);
		config(IDE, 0x20, places[i], 4);
		for (unsigned k = 0; k < ARRAY_SIZE(places); k++) {
			mmio_read(rig->vm, places[k], 4);
			mmio_write(rig->vm, places[k] + 2, 0x12345678, 4);
		}
		/* RAM, the PCI mechanism and the disk are where they were. */
		ck_assert_ptr_eq(at(0x100000), rig->vm->mem.ram + 0x100000);
		ck_assert_ptr_eq(at(0x3fff000), rig->vm->mem.ram + 0x3fff000);
		io_write(rig->vm, 0xcf8, 0x80000800, 4);
		ck_assert_uint_eq(io_read(rig->vm, 0xcfc, 4), 0x70008086);
		ck_assert_uint_eq(in8(rig, COMMAND_BLOCK + 7), 0x50);
	}
	config(VGA, 0x10, 0, 4);
	config(VGA, 0x18, 0, 4);
	config(VGA, 0x30, 0, 4);
	ck_assert_uint_eq(mmio_read(rig->vm, 0xfee00030, 4) & 0xff, 0x14);
	mmio_write(rig->vm, 0xfec00000, 1, 4);
	ck_assert_uint_eq(mmio_read(rig->vm, 0xfec00010, 4) & 0xff, 0x11);
}
END_TEST

/* ---- DMA ---- */

static void descriptor(unsigned n, u32 addr, u32 count)
{
	u32 d[2] = {addr, count};

	rig_lock(rig);
	phys_write(rig->vm, PRD + 8 * n, d, 8);
	rig_unlock(rig);
}

/* READ DMA (EXT), up to where the guest waits for its interrupt. */
static void begin_read(u32 lba, u16 count)
{
	config(IDE, 0x20, BM, 4);
	config(IDE, 0x04, 5, 2);
	out8(rig, BM, 0);
	io_write(rig->vm, BM + 4, PRD, 4);
	out8(rig, BM + 2, 6);
	for (int pass = 1; pass >= 0; pass--) {
		out8(rig, COMMAND_BLOCK + 2, (u8)(count >> 8 * pass));
		out8(rig, COMMAND_BLOCK + 3, pass ? 0 : (u8)lba);
		out8(rig, COMMAND_BLOCK + 4, pass ? 0 : (u8)(lba >> 8));
		out8(rig, COMMAND_BLOCK + 5, 0);
	}
	out8(rig, COMMAND_BLOCK + 6, 0xe0);
	out8(rig, COMMAND_BLOCK + 7, 0x25);
	out8(rig, BM, 9);
}

START_TEST(dma_to_no_ram)
{
	u8 before[512], after[512];
	u8 *screen;

	config(VGA, 0x04, 2, 2);
	config(VGA, 0x10, LFB, 4);
	screen = (u8 *)at(LFB);
	/* ROM, the VGA's window, the APIC's registers, nothing, video memory. */
	phys_read(rig->vm, 0xf0000, before, sizeof(before));
	descriptor(0, 0xf0000, 512);
	descriptor(1, 0xa0000, 512);
	descriptor(2, 0xfee00000, 512);
	descriptor(3, 0xd0000000, 512);
	descriptor(4, LFB + 0x800, 512 | 0x80000000);
	begin_read(9, 5);
	rig_advance(rig, MS);
	ck_assert_uint_eq(in8(rig, COMMAND_BLOCK + 7), 0x50);
	phys_read(rig->vm, 0xf0000, after, sizeof(after));
	ck_assert_mem_eq(before, after, sizeof(before));
	ck_assert_uint_eq(mmio_read(rig->vm, 0xfee00030, 4) & 0xff, 0x14);
	ck_assert(is_sector(screen + 0x800, 13));
}
END_TEST

/* A 32-bit address goes round behind its end: it does not reach RAM beyond 4 GiB. */
START_TEST(dma_goes_round)
{
	struct memory *m = &rig->vm->mem;

	rig_lock(rig);
	m->low_size = m->ram_size / 2;
	memset(m->ram + m->low_size, 0xee, 4096);
	rig_unlock(rig);
	descriptor(0, 0xfffffe00, 0x80000400);
	begin_read(3, 2);
	rig_advance(rig, MS);
	ck_assert_uint_eq(in8(rig, COMMAND_BLOCK + 7), 0x50);
	ck_assert_uint_eq(m->ram[m->low_size], 0xee);
	ck_assert(is_sector(m->ram, 4));
}
END_TEST

/* The bus master's ports move away, or over others, while a transfer of several chunks is under way. */
START_TEST(bar_moves_in_transfer)
{
	static const u32 to[] = {0xd000, 0x1f0, 0xcf8, 0xfff0, 0};

	for (unsigned i = 0; i < ARRAY_SIZE(to); i++) {
		descriptor(0, 0x10000, 0);
		descriptor(1, 0x20000, 0);
		descriptor(2, 0x30000, 0x80000000 | 0x5800);
		memset(rig->vm->mem.ram + 0x10000, 0, 0x30000);
		begin_read(100, 300);
		rig_advance(rig, CHUNK);
		config(IDE, 0x20, to[i], 4);
		rig_advance(rig, 2 * MS);
		ck_assert_uint_eq(in8(rig, COMMAND_BLOCK + 7), 0x50);
		for (u32 k = 0; k < 300; k++)
			ck_assert(is_sector(rig->vm->mem.ram + 0x10000 + k * 512, 100 + k));
	}
}
END_TEST

/* Every kind of reset between two chunks: nothing more is moved, and the next command works. */
START_TEST(reset_in_transfer)
{
	for (int how = 0; how < 4; how++) {
		memset(rig->vm->mem.ram + 0x10000, 0, 0x30000);
		descriptor(0, 0x10000, 0);
		descriptor(1, 0x20000, 0);
		descriptor(2, 0x30000, 0x80000000 | 0x5800);
		begin_read(100, 300);
		rig_advance(rig, CHUNK);
		switch (how) {
		case 0:
			out8(rig, CONTROL, 4);
			rig_advance(rig, MS);
			out8(rig, CONTROL, 0);
			break;
		case 1:
			out8(rig, BM, 0);
			rig_advance(rig, MS);
			ck_assert(in8(rig, CONTROL) & 8);
			out8(rig, COMMAND_BLOCK + 7, 0x90);
			break;
		case 2:
			rig_lock(rig);
			vm_reset_devices(rig->vm);
			rig_unlock(rig);
			break;
		case 3: /* another command, which a busy drive does not take */
			out8(rig, COMMAND_BLOCK + 7, 0xec);
			break;
		}
		rig_advance(rig, 2 * MS);
		ck_assert_uint_eq(in8(rig, COMMAND_BLOCK + 7) & 0x89, 0);
		descriptor(0, 0x50000, 0x80000200);
		begin_read(7, 1);
		rig_advance(rig, MS);
		ck_assert_uint_eq(in8(rig, COMMAND_BLOCK + 7), 0x50);
		ck_assert(is_sector(rig->vm->mem.ram + 0x50000, 7));
		ck_assert((how == 3) == is_sector(rig->vm->mem.ram + 0x30000 + 0x5600, 399));
	}
}
END_TEST

/* What the BIOS area reads from and writes to changes under a transfer into it. */
START_TEST(shadow_ram_in_transfer)
{
	struct memory *m = &rig->vm->mem;

	for (unsigned pam = 0; pam < 4; pam++) {
		memset(m->ram + 0xc0000, 0, 0x40000);
		descriptor(0, 0xc0000, 0);
		descriptor(1, 0xd0000, 0);
		descriptor(2, 0xe0000, 0x80000000 | 0x5800);
		config(0, 0x58, 0x30, 4);
		config(0, 0x5c, 0, 4);
		begin_read(0, 300);
		rig_advance(rig, CHUNK);
		for (u8 reg = 0x58; reg <= 0x5c; reg += 4)
			config(0, reg, pam * 0x11111111u, 4);
		rig_advance(rig, 2 * MS);
		ck_assert_uint_eq(in8(rig, COMMAND_BLOCK + 7), 0x50);
		/* The second chunk came when the area at E0000h could be written, or not. */
		ck_assert(is_sector(m->ram + 0xe0000, 256) == !!(pam & 2));
		ck_assert_uint_eq(m->ram[0xc0000], 0);
	}
}
END_TEST

/* ---- ports and registers of all sizes ---- */

/* Accesses that begin in one range and end in the next, and unaligned ones of memory-mapped registers. */
START_TEST(crossing_accesses)
{
	srandom(4);
	for (int i = 0; i < 200000; i++) {
		unsigned size = 1u << random() % 3;
		u16 port = (u16)random();

		/* Not the port that ends it. */
		if (port - 0xcf0u < 16 || port + size > 0x10000)
			continue;
		if (random() & 1)
			io_read(rig->vm, port, size);
		else
			io_write(rig->vm, port, (u32)random(), size);
		if (i % 10000 == 0)
			rig_advance(rig, 3 * MS);
	}
	for (int i = 0; i < 100000; i++) {
		static const u32 bases[] = {0xa0000, 0xbfff0, 0xfec00000, 0xfec00ff0, 0xfee00000, 0xfee00ff0};
		u32 pa = bases[random() % ARRAY_SIZE(bases)] + (u32)random() % 0x400;

		if (random() & 1)
			mmio_read(rig->vm, pa, 1u << random() % 3);
		else
			mmio_write(rig->vm, pa, (u32)random(), 1u << random() % 3);
		if (i % 10000 == 0)
			rig_advance(rig, 3 * MS);
	}
	rig->vm->exit_reason = VM_RUNNING;
}
END_TEST

/*
 * Whatever a guest has done, a reset of the board leaves every device as one behind a new machine's. Time does not pass here. The clock has
 * a battery.
 */
START_TEST(reset_forgets)
{
	struct state fresh[MAX_DEVICES];
	struct vm *vm = rig->vm;

	vm->opt.no_shutdown = true;
	rig_lock(rig);
	vm->hard_reset = true;
	vm_reset_devices(vm);
	for (unsigned k = 0; k < vm->device_count; k++)
		rig_save(rig, vm->devices[k].name, &fresh[k]);
	rig_unlock(rig);
	srandom(6);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 20000; i++) {
			const struct port_range *r = &vm->ports[(unsigned)random() % vm->port_count];
			u16 port = (u16)(r->first + random() % (r->last - r->first + 1));

			if (random() & 3)
				io_write(vm, port, (u32)random(), 1u << random() % 3);
			else
				io_read(vm, port, 1u << random() % 3);
			if (i % 4 == 0)
				mmio_write(vm, 0xfec00000 + (u64)(random() & 1) * 0x200000 + (u64)(random() & 0x3f) * 16, (u32)random(), 4);
		}
		rig_lock(rig);
		i8042_key(vm->keyboard, 0x1e, true);
		i8042_mouse(vm->keyboard, 5, 6, 7, 1);
		vm->hard_reset = true;
		vm_reset_devices(vm);
		rig_unlock(rig);
		for (unsigned k = 0; k < vm->device_count; k++) {
			struct state now;

			if (strcmp(vm->devices[k].name, "rtc") == 0)
				continue;
			rig_lock(rig);
			rig_save(rig, vm->devices[k].name, &now);
			rig_unlock(rig);
			for (size_t at = 0; at < MIN(now.len, fresh[k].len); at++)
				ck_assert_msg(now.data[at] == fresh[k].data[at], "%s: byte %zu is %02x, not %02x", vm->devices[k].name, at,
					      now.data[at], fresh[k].data[at]);
			ck_assert_uint_eq(now.len, fresh[k].len);
			state_free(&now);
		}
	}
	for (unsigned k = 0; k < vm->device_count; k++)
		state_free(&fresh[k]);
}
END_TEST

Suite *hostile_suite(void);
Suite *hostile_suite(void)
{
	const TTest *const tests[] = {bars_over_each_other,   bars_anywhere,	     dma_to_no_ram,
				      dma_goes_round,	      bar_moves_in_transfer, reset_in_transfer,
				      shadow_ram_in_transfer, crossing_accesses,     reset_forgets};
	Suite *s = suite_create("hostile");
	TCase *t = tcase_create("hostile");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	return s;
}
