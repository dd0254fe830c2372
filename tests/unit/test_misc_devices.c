/* The small devices, and the machine as a whole: every device of a full PC saves and loads, and survives a guest that pokes at random. */
#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/debug.h"
#include "monitor/devices/ferr.h"
#include "monitor/devices/lpt.h"
#include "monitor/devices/pci.h"
#include "monitor/devices/pic.h"
#include "monitor/devices/sysctl.h"
#include "monitor/machine.h"
#include "tests/unit/device_harness.h"

static struct rig *rig;

static void setup(void)
{
	rig = rig_create();
}

static void teardown(void)
{
	rig_free(rig);
}

static struct rig *full_machine(void)
{
	struct rig *r = rig_create();

	for (int i = 0; i < MAX_SERIALS; i++)
		r->vm->opt.serial[i] = i == 1 ? "none" : "null";
	r->vm->opt.serial_count = MAX_SERIALS;
	r->vm->opt.kernel = "none"; /* so there is no firmware to be found */
	r->vm->opt.debugcon = "null";
	r->vm->opt.debugcon_iobase = 0xe9;
	r->vm->opt.debug_exit = true;
	r->vm->opt.debug_exit_iobase = 0x501;
	r->vm->opt.debug_exit_iosize = 2;
	machine_init(r->vm);
	return r;
}

START_TEST(port92)
{
	sysctl_create(rig->vm);
	ck_assert_uint_eq(in8(rig, 0x92), 0x02);
	out8(rig, 0x92, 0x00);
	ck_assert(!rig->vm->mem.a20_open);
	ck_assert_uint_eq(in8(rig, 0x92), 0);
	out8(rig, 0x92, 0x02);
	ck_assert(rig->vm->mem.a20_open);
	rig->vm->opt.no_reboot = true;
	out8(rig, 0x92, 0x03);
	ck_assert_int_eq(rig->vm->exit_reason, VM_REBOOT);
}
END_TEST

START_TEST(reset_register)
{
	pci_create(rig->vm, sysctl_create(rig->vm));
	rig->vm->opt.no_reboot = true;
	out8(rig, 0xcf9, 0x02);
	ck_assert_uint_eq(in8(rig, 0xcf9), 0x02);
	ck_assert_int_eq(rig->vm->exit_reason, VM_RUNNING);
	out8(rig, 0xcf9, 0x06);
	ck_assert_int_eq(rig->vm->exit_reason, VM_REBOOT);
}
END_TEST

START_TEST(system_control_state)
{
	struct rig *other = rig_create();

	sysctl_create(rig->vm);
	sysctl_create(other->vm);
	out8(rig, 0x92, 0);
	check_saved_state(rig, other, "sysctl");
	ck_assert(!other->vm->mem.a20_open);
	rig_free(other);
}
END_TEST

static void set_level(void *opaque, int line, int level)
{
	(void)line;
	*(int *)opaque = level;
}

/* FERR# holds IRQ13 up; port F0h alone lets it go. */
START_TEST(ferr)
{
	int level = 0, other_level = 0;
	struct ferr *f = ferr_create(rig->vm, (struct irq){set_level, &level, 0});
	struct rig *other = rig_create();

	ferr_create(other->vm, (struct irq){set_level, &other_level, 0});
	out8(rig, 0xf0, 0);
	ck_assert_int_eq(level, 0);
	rig_lock(rig);
	ferr_assert(f);
	rig_unlock(rig);
	ck_assert_int_eq(level, 1);
	check_saved_state(rig, other, "ferr");
	out8(rig, 0xf1, 0);
	ck_assert_int_eq(level, 1);
	out8(rig, 0xf0, 0);
	ck_assert_int_eq(level, 0);
	rig_lock(rig);
	ferr_assert(f);
	vm_reset_devices(rig->vm);
	rig_unlock(rig);
	ck_assert_int_eq(level, 0);
	rig_free(other);
}
END_TEST

START_TEST(parallel_port)
{
	struct rig *other = rig_create();
	const struct irq none = {0};

	lpt_create(rig->vm, 0x378, none);
	lpt_create(other->vm, 0x378, none);
	/* As probes do it: the data latch holds, the control register too, the status says nobody. */
	out8(rig, 0x378, 0xaa);
	ck_assert_uint_eq(in8(rig, 0x378), 0xaa);
	out8(rig, 0x37a, 0x0c);
	ck_assert_uint_eq(in8(rig, 0x37a), 0xcc);
	ck_assert_uint_eq(in8(rig, 0x379), 0x7f);
	for (unsigned bits = 0; bits < 0x100; bits++) {
		out8(rig, 0x37a, (u8)bits);
		ck_assert_uint_eq(in8(rig, 0x37a), 0xc0 | bits);
		ck_assert_uint_eq(in8(rig, 0x378), bits & 0x20 ? 0xff : 0xaa);
	}
	/* Bytes, whatever the access: data and status, status and control. */
	io_write(rig->vm, 0x378, 0x0033, 2);
	io_write(rig->vm, 0x379, 0x0500, 2);
	ck_assert_uint_eq(io_read(rig->vm, 0x378, 2), 0x7f33);
	ck_assert_uint_eq(in8(rig, 0x37a), 0xc5);
	out8(rig, 0x37a, 0x2c);
	ck_assert_uint_eq(in8(rig, 0x378), 0xff);
	check_saved_state(rig, other, "lpt1");
	rig_free(other);
}
END_TEST

START_TEST(debug_exit)
{
	rig->vm->opt.debug_exit_iobase = 0xf4;
	rig->vm->opt.debug_exit_iosize = 4;
	debug_exit_create(rig->vm);
	ck_assert_uint_eq(io_read(rig->vm, 0xf3, 4), 0x000000ff);
	ck_assert_uint_eq(io_read(rig->vm, 0xf7, 2), 0xff00);
	ck_assert_uint_eq(in8(rig, 0xf4), 0);
	io_write(rig->vm, 0xf4, 0x10, 4);
	ck_assert_int_eq(rig->vm->exit_reason, VM_DEBUG_EXIT);
	ck_assert_int_eq(rig->vm->exit_status, 0x21);
}
END_TEST

START_TEST(debug_console)
{
	char path[64], spec[80], got[32] = {0};
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/ringer-debugcon-%d", (int)getpid());
	snprintf(spec, sizeof(spec), "file:%s", path);
	rig->vm->opt.debugcon = spec;
	rig->vm->opt.debugcon_iobase = 0xe9;
	rig->vm->opt.kernel = "none";
	machine_init(rig->vm);
	ck_assert_uint_eq(in8(rig, 0xe9), 0xe9);
	for (const char *p = "hello\n"; *p; p++)
		out8(rig, 0xe9, (u8)*p);
	machine_free(rig->vm);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(got, sizeof(got), f));
	fclose(f);
	unlink(path);
	ck_assert_str_eq(got, "hello\n");
}
END_TEST

START_TEST(machine_saves_and_loads)
{
	struct rig *a = full_machine(), *b = full_machine();

	for (unsigned i = 0; i < a->vm->device_count; i++)
		check_saved_state(a, b, a->vm->devices[i].name);
	rig_free(b);
	rig_free(a);
}
END_TEST

START_TEST(machine_wiring)
{
	struct rig *r = full_machine();

	ck_assert(machine_has_serial(r->vm, 0) && !machine_has_serial(r->vm, 1) && machine_has_serial(r->vm, 3));
	ck_assert_uint_eq(in8(r, 0x2fd), 0xff);
	/* COM1 and COM3 share a line: it falls when both have let go. */
	out8(r, 0x20, 0x11);
	out8(r, 0x21, 0x20);
	out8(r, 0x21, 0x04);
	out8(r, 0x21, 0x01);
	out8(r, 0x21, 0x00);
	out8(r, 0x4d0, 0x10); /* as a level, so that IRR shows it */
	out8(r, 0x3fc, 0x08);
	out8(r, 0x3ec, 0x08);
	out8(r, 0x3f9, 0x02);
	out8(r, 0x3e9, 0x02);
	ck_assert(pic_irq_pending(r->vm->pic, 4));
	in8(r, 0x3fa);
	ck_assert(pic_irq_pending(r->vm->pic, 4));
	in8(r, 0x3ea);
	ck_assert(!pic_irq_pending(r->vm->pic, 4));
	out8(r, 0x2ec, 0x08);
	out8(r, 0x2e9, 0x02);
	ck_assert(pic_irq_pending(r->vm->pic, 3));
	rig_lock(r);
	vm_reset_devices(r->vm);
	ck_assert(!pic_irq_pending(r->vm->pic, 3));
	rig_unlock(r);
	rig_free(r);
}
END_TEST

START_TEST(machine_under_attack)
{
	struct rig *r = full_machine();

	r->vm->opt.no_shutdown = true;
	r->vm->exit_reason = VM_QUIT; /* requests to end change nothing any more */
	poke_ports(r, 0, 0xff, 20000);
	poke_ports(r, 0x2e0, 0x610, 20000);
	poke_ports(r, 0xffc0, 0xffff, 1000);
	poke_ports(r, 0xcf8, 0xcff, 50000);
	for (int i = 0; i < 3; i++) {
		rig_lock(r);
		vm_reset_devices(r->vm);
		rig_unlock(r);
		poke_ports(r, 0, 0xff, 2000);
	}
	rig_free(r);
}
END_TEST

START_TEST(checked_values)
{
	struct state s;

	state_init(&s);
	state_put_u8(&s, 2);
	state_put_u32(&s, 100);
	state_put_u64(&s, 100);
	ck_assert(!state_get_bool(&s) && s.error);
	s.error = false;
	ck_assert_uint_eq(state_get_u32_max(&s, 100), 100);
	ck_assert(!s.error);
	ck_assert_uint_eq(state_get_u64_max(&s, 99), 0);
	ck_assert(s.error);
	state_free(&s);
}
END_TEST

Suite *misc_devices_suite(void)
{
	Suite *s = suite_create("misc_devices");
	TCase *t = tcase_create("misc_devices");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, port92);
	tcase_add_test(t, reset_register);
	tcase_add_test(t, ferr);
	tcase_add_test(t, system_control_state);
	tcase_add_test(t, parallel_port);
	tcase_add_test(t, debug_exit);
	tcase_add_test(t, debug_console);
	tcase_add_test(t, machine_saves_and_loads);
	tcase_add_test(t, machine_wiring);
	tcase_add_test(t, machine_under_attack);
	tcase_add_test(t, checked_values);
	suite_add_tcase(s, t);
	return s;
}
