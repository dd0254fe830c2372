/* The chipset: shadow RAM, routing of PCI interrupts, the PM block's place. A whole machine, seen through its ports and memory. */
#include <check.h>

#include "monitor/devices/i440fx.h"
#include "monitor/devices/pci.h"
#include "monitor/devices/pic.h"
#include "monitor/devices/piix3.h"
#include "monitor/devices/piix4_pm.h"
#include "monitor/devices/sysctl.h"
#include "monitor/machine.h"
#include "tests/unit/device_harness.h"

static struct rig *rig;

static struct rig *machine(void)
{
	struct rig *r = rig_create();

	r->vm->opt.kernel = "none";
	machine_init(r->vm);
	return r;
}

static void setup(void)
{
	rig = machine();
}

static void teardown(void)
{
	rig_free(rig);
}

static u32 config_in(u8 devfn, unsigned reg, unsigned size)
{
	io_write(rig->vm, 0xcf8, 0x80000000u | (u32)devfn << 8 | (reg & 0xfc), 4);
	return io_read(rig->vm, (u16)(0xcfc + (reg & 3)), size);
}

static void config_out(u8 devfn, unsigned reg, u32 value, unsigned size)
{
	pci_firmware_write(rig->vm, devfn, reg, value, size);
}

static u8 peek(u32 pa)
{
	u8 byte;

	phys_read(rig->vm, pa, &byte, 1);
	return byte;
}

static void poke(u32 pa, u8 byte)
{
	phys_write(rig->vm, pa, &byte, 1);
}

START_TEST(identities)
{
	static const struct {
		u8 devfn;
		u32 id, class;
	} expect[] = {{0x00, 0x12378086, 0x06000002}, {0x08, 0x70008086, 0x06010000}, {0x0b, 0x71138086, 0x06800003}};

	for (size_t i = 0; i < ARRAY_SIZE(expect); i++) {
		ck_assert_uint_eq(config_in(expect[i].devfn, 0, 4), expect[i].id);
		ck_assert_uint_eq(config_in(expect[i].devfn, 8, 4), expect[i].class);
	}
	ck_assert_uint_eq(config_in(0x08, 0x0e, 1), 0x80);
	/* SMM counts as set up: SeaBIOS waits for a system management interrupt otherwise. */
	ck_assert_uint_eq(config_in(0x0b, 0x5b, 1) & 2, 2);
}
END_TEST

/* Configuration spaces in full: values after a reset, and what can be written. All else is zero and stays so. */
START_TEST(configuration_spaces)
{
	static const struct {
		u8 devfn, reg;
		u32 value, writable;
	} expect[] = {
		{0x00, 0x00, 0x12378086, 0},
		{0x00, 0x04, 0x02000006, 0x547},
		{0x00, 0x08, 0x06000002, 0},
		{0x00, 0x0c, 0, 0xff},
		{0x00, 0x3c, 0, 0xff},
		{0x00, 0x58, 0, 0x33333000},
		{0x00, 0x5c, 0, 0x33333333},
		{0x00, 0x70, 0x00020000, 0}, /* SMRAM's bits have a lock: smram_lock */
		{0x08, 0x00, 0x70008086, 0},
		{0x08, 0x04, 0x02000007, 0x547},
		{0x08, 0x08, 0x06010000, 0},
		{0x08, 0x0c, 0x00800000, 0xff},
		{0x08, 0x3c, 0, 0xff},
		{0x08, 0x4c, 0x0003004d, 0x01ff00ff},
		{0x08, 0x60, 0x80808080, 0x8f8f8f8f},
		{0x08, 0x68, 0x00000200, 0xfffffe00},
		{0x08, 0x70, 0x00000080, 0xcf},
		{0x08, 0x74, 0x0c0c0000, 0x8f8f0000},
		{0x08, 0x78, 0x00000002, 0xffff},
		{0x08, 0x80, 0, 0x000f00ff},
		{0x08, 0xa0, 0x00000008, 0xffff001f},
		{0x08, 0xa4, 0, 0xffffffff},
		{0x08, 0xa8, 0x0000000f, 0xff},
		{0x09, 0x00, 0x70108086, 0},
		{0x09, 0x04, 0x02800000, 0x547},
		{0x09, 0x08, 0x01018000, 0},
		{0x09, 0x0c, 0, 0xff},
		{0x09, 0x20, 0x00000001, 0xfffffff0},
		{0x09, 0x3c, 0, 0xff},
		{0x09, 0x40, 0x80008000, 0xffffffff},
		{0x09, 0x44, 0, 0xff},
		{0x0b, 0x00, 0x71138086, 0},
		{0x0b, 0x04, 0x02800000, 0x547},
		{0x0b, 0x08, 0x06800003, 0},
		{0x0b, 0x0c, 0, 0xff},
		{0x0b, 0x3c, 0x00000109, 0xff},
		{0x0b, 0x40, 0x00000001, 0xffc0},
		{0x0b, 0x58, 0x02000000, 0},
		{0x0b, 0x80, 0, 1},
		{0x10, 0x00, 0x11111234, 0},
		{0x10, 0x04, 0, 0x547},
		{0x10, 0x08, 0x03000002, 0},
		{0x10, 0x0c, 0, 0xff},
		{0x10, 0x10, 0x00000008, 0xff000000},
		{0x10, 0x18, 0, 0xfffff000},
		{0x10, 0x2c, 0x11001af4, 0},
		{0x10, 0x30, 0, 0xffff0001},
		{0x10, 0x3c, 0, 0xff},
	};
	static const u8 functions[] = {0x00, 0x08, 0x09, 0x0b, 0x10};
	struct rig *was = rig;

	rig = rig_create();
	rig->vm->opt.kernel = "none";
	rig->vm->opt.vga = true;
	machine_init(rig->vm);
	for (unsigned f = 0; f < ARRAY_SIZE(functions); f++) {
		for (unsigned reg = 0; reg < 256; reg += 4) {
			u32 value = 0, writable = 0;

			for (unsigned k = 0; k < ARRAY_SIZE(expect); k++) {
				if (expect[k].devfn == functions[f] && expect[k].reg == reg) {
					value = expect[k].value;
					writable = expect[k].writable;
				}
			}
			ck_assert_msg(config_in(functions[f], reg, 4) == value, "%02x.%02x is %08x", functions[f], reg,
				      config_in(functions[f], reg, 4));
			config_out(functions[f], reg, 0xffffffff, 4);
			u32 ones = config_in(functions[f], reg, 4);

			config_out(functions[f], reg, 0, 4);
			u32 zeros = config_in(functions[f], reg, 4);

			/* The ROM is there if the host has its image. */
			if (functions[f] == 0x10 && reg == 0x30 && !ones)
				writable = 0;
			ck_assert_msg((ones ^ zeros) == writable, "%02x.%02x: %08x can be written", functions[f], reg, ones ^ zeros);
			config_out(functions[f], reg, value, 4);
		}
	}
	rig_free(rig);
	rig = was;
}
END_TEST

/* Each PAM nibble: reads and writes of its area go to RAM or not, and the neighbours' do not change. */
START_TEST(shadow_ram)
{
	for (unsigned n = 1; n < 14; n++) {
		unsigned reg = I440FX_PAM + n / 2, shift = 4 * (n & 1);
		u32 base = n == 1 ? 0xf0000 : 0xc0000 + (n - 2) * 0x4000, last = base + (n == 1 ? 0xffff : 0x3fff);

		ck_assert_uint_eq(peek(base), 0xff);
		config_out(0, reg, 2u << shift, 1);
		poke(base, 0x11);
		poke(last, 0x22);
		if (n > 1)
			poke(last + 1, 0x99);
		ck_assert_uint_eq(peek(base), 0xff);
		config_out(0, reg, 1u << shift, 1);
		poke(base, 0x33);
		ck_assert_uint_eq(peek(base), 0x11);
		ck_assert_uint_eq(peek(last), 0x22);
		config_out(0, reg, 3u << shift, 1);
		poke(base, 0x44);
		ck_assert_uint_eq(peek(base), 0x44);
		ck_assert_uint_eq(config_in(0, reg, 1), 3u << shift);
		config_out(0, reg, 0, 1);
		ck_assert_uint_eq(peek(base), 0xff);
		ck_assert_uint_eq(peek(base - 1 < 0xc0000 ? base : base - 1), 0xff);
	}
	/* A write beside an area that was open went nowhere. */
	config_out(0, I440FX_PAM, 0x10, 1);
	ck_assert_uint_eq(peek(0xf0000), 0x11 + 0x33);
	config_out(0, I440FX_PAM, 0xff, 1);
	ck_assert_uint_eq(config_in(0, I440FX_PAM, 1), 0x30);
}
END_TEST

/* A processor's reset finds the shadowed BIOS, the board's the ROM. */
START_TEST(shadow_and_reset)
{
	config_out(0, I440FX_PAM, 0x30, 1);
	poke(0xf1234, 0x55);
	rig_lock(rig);
	vm_reset_devices(rig->vm);
	rig_unlock(rig);
	ck_assert_uint_eq(peek(0xf1234), 0x55);
	out8(rig, 0xcf9, 0x06);
	rig_lock(rig);
	vm_reset_devices(rig->vm);
	rig_unlock(rig);
	ck_assert_uint_eq(peek(0xf1234), 0xff);
	ck_assert_uint_eq(config_in(0, I440FX_PAM, 1), 0);
}
END_TEST

START_TEST(smram_lock)
{
	ck_assert_uint_eq(config_in(0, 0x72, 1), 0x02);
	config_out(0, 0x72, 0x4a, 1);
	ck_assert_uint_eq(config_in(0, 0x72, 1), 0x4a);
	config_out(0, 0x72, 0x5a, 1);
	ck_assert_uint_eq(config_in(0, 0x72, 1), 0x1a);
	config_out(0, 0x72, 0x42, 1);
	ck_assert_uint_eq(config_in(0, 0x72, 1), 0x1a);
	rig_lock(rig);
	vm_reset_devices(rig->vm);
	rig_unlock(rig);
	ck_assert_uint_eq(config_in(0, 0x72, 1), 0x02);
}
END_TEST

/* A card in a bus with a PIIX3 of its own, its outputs counted. */
START_TEST(interrupt_routing)
{
	struct rig *r = rig_create(), *was = rig;
	struct wire wire[16] = {0};
	struct irq out[16], isa;
	struct pci_bus *bus;
	struct piix3 *p;
	static struct pci_device card;

	rig = r;
	bus = pci_create(r->vm, sysctl_create(r->vm));
	for (int i = 0; i < 16; i++)
		out[i] = wire_irq(&wire[i]);
	p = piix3_create(r->vm, bus, out);
	isa = piix3_irq(p, 11);
	card = (struct pci_device){.name = "card", .devfn = PCI_DEVFN(1, 3), .config[0x3d] = 4};
	pci_attach(bus, &card);
	rig_lock(r);
	pci_set_irq(&card, 1); /* PIRQD, which goes nowhere after a reset */
	rig_unlock(r);
	for (int i = 0; i < 16; i++)
		ck_assert_int_eq(wire[i].level, 0);
	config_out(8, PIIX3_PIRQ + 3, 10, 1);
	ck_assert_int_eq(wire[10].level, 1);
	config_out(8, PIIX3_PIRQ + 3, 11, 1);
	ck_assert_int_eq(wire[10].level, 0);
	ck_assert_int_eq(wire[11].level, 1);
	rig_lock(r);
	irq_set(&isa, 1);
	pci_set_irq(&card, 0);
	ck_assert_int_eq(wire[11].level, 1);
	irq_set(&isa, 0);
	ck_assert_int_eq(wire[11].level, 0);
	pci_set_irq(&card, 1);
	rig_unlock(r);
	ck_assert_uint_eq(wire[11].rises, 2);
	/* Not where ISA has no such input. */
	static const u8 none[] = {0, 1, 2, 8, 13, 0x80 | 5};

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		config_out(8, PIIX3_PIRQ + 3, none[i], 1);
		for (int k = 0; k < 16; k++)
			ck_assert_int_eq(wire[k].level, 0);
	}
	rig = was;
	rig_free(r);
}
END_TEST

START_TEST(pm_block)
{
	ck_assert_uint_eq(io_read(rig->vm, 0x608, 4), 0xffffffff);
	config_out(PIIX4_PM_DEVFN, PIIX4_PM_BASE, 0xb001, 4);
	ck_assert_uint_eq(io_read(rig->vm, 0xb004, 2), 0xffff);
	config_out(PIIX4_PM_DEVFN, PIIX4_PM_ENABLE, 1, 1);
	ck_assert_uint_eq(io_read(rig->vm, 0xb004, 2), 0);
	rig_advance(rig, 100 * MS);
	ck_assert_uint_ge(io_read(rig->vm, 0xb008, 4), 350000);
	config_out(PIIX4_PM_DEVFN, PIIX4_PM_BASE, 0x601, 4);
	ck_assert_uint_eq(io_read(rig->vm, 0xb004, 2), 0xffff);
	out8(rig, 0xb2, 0xf1);
	ck_assert_uint_eq(io_read(rig->vm, 0x604, 2), 1);
	/* Over the interrupt controller, which was there first. */
	config_out(PIIX4_PM_DEVFN, PIIX4_PM_BASE, 0x01, 4);
	ck_assert_uint_eq(in8(rig, 0x21), 0xf8);
	rig_lock(rig);
	vm_reset_devices(rig->vm);
	rig_unlock(rig);
	ck_assert_uint_eq(io_read(rig->vm, 0x604, 2), 0xffff);
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = machine(), *was = rig;

	config_out(0, I440FX_PAM, 0x10, 1);
	config_out(8, PIIX3_PIRQ, 11, 1);
	config_out(PIIX4_PM_DEVFN, PIIX4_PM_BASE, 0x601, 4);
	config_out(PIIX4_PM_DEVFN, PIIX4_PM_ENABLE, 1, 1);
	check_saved_state(rig, other, "pci");
	check_saved_state(rig, other, "piix3");
	rig = other;
	poke(0xf0000, 1);
	ck_assert_uint_eq(peek(0xf0000), 0);
	ck_assert_uint_eq(io_read(rig->vm, 0x604, 2), 0);
	rig = was;
	rig_free(other);
}
END_TEST

Suite *i440fx_suite(void)
{
	Suite *s = suite_create("i440fx");
	TCase *t = tcase_create("i440fx");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, identities);
	tcase_add_test(t, configuration_spaces);
	tcase_add_test(t, shadow_ram);
	tcase_add_test(t, shadow_and_reset);
	tcase_add_test(t, smram_lock);
	tcase_add_test(t, interrupt_routing);
	tcase_add_test(t, pm_block);
	tcase_add_test(t, saved_state);
	suite_add_tcase(s, t);
	return s;
}
