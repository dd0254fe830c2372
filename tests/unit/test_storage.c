/* The drives of a whole machine: where options put them, what the CMOS says of them, and that the machine with them can be saved. */
#include "monitor/devices/rtc.h"
#include "monitor/machine.h"
#include "tests/unit/disk_harness.h"

static struct image disk, floppy, cd;

static void add(struct rig *r, struct drive_option d, const struct image *i)
{
	if (i)
		snprintf(d.file, sizeof(d.file), "%s", i->path);
	r->vm->opt.drives[r->vm->opt.drive_count++] = d;
}

static struct rig *machine(bool with_drives)
{
	struct rig *r = rig_create();

	r->vm->opt.kernel = "none"; /* so there is no firmware to be found */
	disk = image_create(4 * 1024 * 1024 / 2);
	floppy = image_create(1440);
	cd = image_create(400);
	if (with_drives) {
		add(r, (struct drive_option){.interface = DRIVE_IDE, .format_given = true}, &disk);
		add(r, (struct drive_option){.interface = DRIVE_FLOPPY, .unit = 1, .format_given = true}, &floppy);
		add(r, (struct drive_option){.interface = DRIVE_IDE, .bus = 1, .unit = 1, .cdrom = true, .readonly = true}, &cd);
		r->vm->opt.snapshot = true;
	}
	machine_init(r->vm);
	return r;
}

static u8 cmos(struct rig *r, u8 reg)
{
	return rtc_get_cmos(r->vm->rtc, reg);
}

START_TEST(cmos_and_places)
{
	struct rig *r = machine(true);

	ck_assert_uint_eq(cmos(r, 0x10), 0x53); /* A, always there, takes 2.88M; B is a 720K drive */
	ck_assert_uint_eq(cmos(r, 0x12), 0xf0);
	ck_assert_uint_eq(cmos(r, 0x14) & 0xc1, 0x41);
	ck_assert_uint_eq(cmos(r, 0x19), 47);
	ck_assert_uint_eq(cmos(r, 0x1b) | cmos(r, 0x1c) << 8, 2097152 / (16 * 63));
	ck_assert_uint_eq(cmos(r, 0x1d), 16);
	ck_assert_uint_eq(cmos(r, 0x23), 63);
	ck_assert_uint_eq(cmos(r, 0x39) & 3, 1); /* more than 1024 cylinders: LBA */
	ck_assert_uint_eq(in8(r, 0x1f7), 0x50);
	/* The CD-ROM drive that somebody placed is the only one. */
	ck_assert_uint_eq(in8(r, 0x175), 0);
	out8(r, 0x176, 0xb0);
	ck_assert_uint_eq(in8(r, 0x175), 0xeb);
	rig_free(r);
	r = machine(false);
	ck_assert_uint_eq(cmos(r, 0x10), 0x50);
	ck_assert_uint_eq(cmos(r, 0x12), 0);
	ck_assert_uint_eq(in8(r, 0x175), 0xeb);
	rig_free(r);
}
END_TEST

/* -device takes the drives away that nobody asked for. */
START_TEST(no_drives)
{
	struct rig *r = rig_create();

	r->vm->opt.kernel = "none";
	r->vm->opt.no_cdrom = r->vm->opt.no_floppy = true;
	machine_init(r->vm);
	ck_assert_uint_eq(cmos(r, 0x10), 0);
	ck_assert_uint_eq(cmos(r, 0x14) & 0xc1, 0);
	ck_assert_uint_ne(in8(r, 0x175), 0xeb);
	rig_free(r);
}
END_TEST

START_TEST(saved_machine)
{
	struct rig *a = machine(true), *b = machine(true);
	static const char *const names[] = {"ide", "fdc", "dma8237", "lpt1"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		check_saved_state(a, b, names[i]);
	rig_free(b);
	/* A machine with other drives is not that machine. */
	struct rig *other = machine(false);
	struct state s;

	rig_lock(a);
	rig_save(a, "ide", &s);
	rig_unlock(a);
	rig_lock(other);
	ck_assert(!rig_load(other, "ide", &s));
	rig_unlock(other);
	state_free(&s);
	rig_free(other);
	rig_free(a);
}
END_TEST

START_TEST(boot_once)
{
	struct rig *r = rig_create();

	r->vm->opt.kernel = "none";
	strcpy(r->vm->opt.boot_once, "d");
	strcpy(r->vm->opt.boot_order, "ca");
	machine_init(r->vm);
	rig_lock(r);
	ck_assert_uint_eq(cmos(r, 0x3d), 0x03);
	vm_reset_devices(r->vm);
	ck_assert_uint_eq(cmos(r, 0x3d), 0x03);
	vm_reset_devices(r->vm);
	ck_assert_uint_eq(cmos(r, 0x3d), 0x12);
	rig_unlock(r);
	rig_free(r);
}
END_TEST

Suite *storage_suite(void)
{
	Suite *s = suite_create("storage");
	TCase *t = tcase_create("storage");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, cmos_and_places);
	tcase_add_test(t, no_drives);
	tcase_add_test(t, saved_machine);
	tcase_add_test(t, boot_once);
	suite_add_tcase(s, t);
	return s;
}
