/* The PCI bus: configuration accesses as the specification has them, base addresses that take effect, pins that reach their lines. */
#include <check.h>

#include "monitor/devices/pci.h"
#include "monitor/devices/sysctl.h"
#include "tests/unit/device_harness.h"

/* A card with a BAR of each kind. */
struct card {
	struct pci_device dev;
	unsigned maps, writes;
	u64 base[PCI_BARS + 1];
};

static struct rig *rig;
static struct pci_bus *bus;
static struct card card;
static int lines[4];

static void on_map(struct pci_device *d, int bar, u64 base)
{
	struct card *c = d->opaque;

	c->maps++;
	c->base[bar] = base;
}

static void on_written(struct pci_device *d, unsigned reg, unsigned size)
{
	struct card *c = d->opaque;

	(void)reg;
	(void)size;
	c->writes++;
}

static void on_line(void *opaque, int line, int level)
{
	((int *)opaque)[line] = level;
}

static void plug(struct pci_bus *b, struct card *c, u8 devfn)
{
	*c = (struct card){.dev = {.name = "card", .opaque = c, .devfn = devfn, .written = on_written}};
	c->dev.config[0] = 0x34;
	c->dev.config[1] = 0x12;
	c->dev.config[0x3d] = 2;
	c->dev.config[0x40] = 0xf0;
	c->dev.writable[0x41] = 0x0f;
	c->dev.config[0x42] = 0xff;
	c->dev.write_clear[0x42] = 0xf0;
	c->dev.bar[0] = (struct pci_bar){.size = 0x20, .io = true, .map = on_map};
	c->dev.bar[1] = (struct pci_bar){.size = 0x1000000, .prefetchable = true, .map = on_map};
	c->dev.bar[PCI_ROM_BAR] = (struct pci_bar){.size = 0x10000, .map = on_map};
	pci_attach(b, &c->dev);
}

static void setup(void)
{
	rig = rig_create();
	memset(lines, 0, sizeof(lines));
	bus = pci_create(rig->vm, sysctl_create(rig->vm));
	pci_set_router(bus, on_line, lines);
	plug(bus, &card, PCI_DEVFN(3, 1));
}

static void teardown(void)
{
	rig_free(rig);
}

static u32 config_in(struct rig *r, u8 devfn, unsigned reg, unsigned size)
{
	io_write(r->vm, 0xcf8, 0x80000000u | (u32)devfn << 8 | (reg & 0xfc), 4);
	return io_read(r->vm, (u16)(0xcfc + (reg & 3)), size);
}

static void config_out(struct rig *r, u8 devfn, unsigned reg, u32 value, unsigned size)
{
	io_write(r->vm, 0xcf8, 0x80000000u | (u32)devfn << 8 | (reg & 0xfc), 4);
	io_write(r->vm, (u16)(0xcfc + (reg & 3)), value, size);
}

/* The probe of mechanism 1, and places where nobody is. */
START_TEST(mechanism)
{
	out8(rig, 0xcfb, 0x01);
	io_write(rig->vm, 0xcf8, 0x80000000, 4);
	ck_assert_uint_eq(io_read(rig->vm, 0xcf8, 4), 0x80000000);
	ck_assert_uint_eq(in8(rig, 0xcf9), 0);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0, 2), 0x1234);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 1, 1), 0x12);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0x40, 4), 0x00ff00f0);
	static const u32 nobody[] = {0x80000000, 0x80001800, 0x80011900, 0x8000ff00, 0x00001900};

	for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
		io_write(rig->vm, 0xcf8, nobody[i], 4);
		ck_assert_uint_eq(io_read(rig->vm, 0xcfc, 4), 0xffffffff);
		io_write(rig->vm, 0xcfc, 0x12345678, 4);
	}
	ck_assert_uint_eq(card.writes, 0);
}
END_TEST

START_TEST(masks)
{
	config_out(rig, card.dev.devfn, 0, 0, 4);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0, 2), 0x1234);
	config_out(rig, card.dev.devfn, 0x40, 0x00ff, 2);
	config_out(rig, card.dev.devfn, 0x41, 0xff, 1);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0x40, 2), 0x0ff0);
	config_out(rig, card.dev.devfn, 0x42, 0x30, 1);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0x42, 1), 0xcf);
	config_out(rig, card.dev.devfn, 0x3c, 0xff0b, 2);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0x3c, 2), 0x020b);
	ck_assert_uint_eq(card.writes, 5);
}
END_TEST

START_TEST(base_addresses)
{
	config_out(rig, card.dev.devfn, 0x10, 0xffffffff, 4);
	config_out(rig, card.dev.devfn, 0x14, 0xffffffff, 4);
	config_out(rig, card.dev.devfn, 0x18, 0xffffffff, 4);
	config_out(rig, card.dev.devfn, 0x30, 0xffffffff, 4);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0x10, 4), 0xffffffe1);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0x14, 4), 0xff000008);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0x18, 4), 0);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0x30, 4), 0xffff0001);
	/* While sizes are asked for nothing is mapped, decoding or not. */
	config_out(rig, card.dev.devfn, 4, 3, 2);
	ck_assert_uint_eq(card.maps, 0);
	config_out(rig, card.dev.devfn, 0x10, 0xc041, 4);
	ck_assert_uint_eq(card.base[0], 0xc040);
	config_out(rig, card.dev.devfn, 0x10, 0x1c040, 4);
	ck_assert_uint_eq(card.base[0], PCI_NOWHERE);
	config_out(rig, card.dev.devfn, 0x14, 0xe0000000, 4);
	ck_assert_uint_eq(card.base[1], 0xe0000000);
	/* The last byte of a base moves it as well as all four. */
	config_out(rig, card.dev.devfn, 0x17, 0xe1, 1);
	ck_assert_uint_eq(card.base[1], 0xe1000000);
	config_out(rig, card.dev.devfn, 0x30, 0xf0000000, 4);
	ck_assert_uint_eq(card.maps, 4);
	config_out(rig, card.dev.devfn, 0x30, 0xf0000001, 4);
	ck_assert_uint_eq(card.base[PCI_ROM_BAR], 0xf0000000);
	config_out(rig, card.dev.devfn, 4, 1, 2);
	ck_assert_uint_eq(card.base[1], PCI_NOWHERE);
	ck_assert_uint_eq(card.base[PCI_ROM_BAR], PCI_NOWHERE);
	config_out(rig, card.dev.devfn, 4, 2, 2);
	ck_assert_uint_eq(card.base[1], 0xe1000000);
	rig_lock(rig);
	vm_reset_devices(rig->vm);
	rig_unlock(rig);
	ck_assert_uint_eq(card.base[1], PCI_NOWHERE);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0x14, 4), 8);
}
END_TEST

START_TEST(interrupt_pins)
{
	struct card other;

	plug(bus, &other, PCI_DEVFN(7, 0)); /* four slots on: the same line */
	rig_lock(rig);
	pci_set_irq(&card.dev, 1);
	ck_assert_int_eq(lines[3], 1); /* INTB# of slot 3 */
	pci_set_irq(&other.dev, 1);
	pci_set_irq(&card.dev, 0);
	ck_assert_int_eq(lines[3], 1);
	rig_unlock(rig);
	ck_assert_uint_eq(config_in(rig, other.dev.devfn, 6, 1) & 8, 8);
	config_out(rig, other.dev.devfn, 5, 4, 1);
	ck_assert_int_eq(lines[3], 0);
	ck_assert_uint_eq(config_in(rig, other.dev.devfn, 6, 1) & 8, 8);
	config_out(rig, other.dev.devfn, 5, 0, 1);
	ck_assert_int_eq(lines[3], 1);
	ck_assert(!lines[0] && !lines[1] && !lines[2]);
}
END_TEST

START_TEST(assignment)
{
	static const u8 irqs[4] = {1, 2, 3, 4};

	pci_assign(bus, irqs);
	ck_assert_uint_eq(card.base[0], 0xc000);
	ck_assert_uint_eq(card.base[1], 0xe0000000);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0x3c, 1), 4);
}
END_TEST

/* Ports that move over others': the one registered first has them, and the other gets them when it leaves. */
static u32 answer(void *opaque, u16 port, unsigned size)
{
	(void)port;
	(void)size;
	return (u32)(uintptr_t)opaque;
}

START_TEST(moving_ports)
{
	unsigned a = io_register_nowhere(rig->vm, &(struct port_range){0, 7, 1, answer, NULL, (void *)0xaa});
	unsigned b = io_register_nowhere(rig->vm, &(struct port_range){0, 7, 1, answer, NULL, (void *)0xbb});

	io_move(rig->vm, b, 0x1000);
	io_move(rig->vm, a, 0x1004);
	ck_assert_uint_eq(in8(rig, 0x1003), 0xbb);
	ck_assert_uint_eq(in8(rig, 0x1004), 0xaa);
	ck_assert_uint_eq(io_read(rig->vm, 0x1002, 4), 0xaaaabbbb);
	io_move(rig->vm, a, 0xfffc);
	ck_assert_uint_eq(in8(rig, 0xfffd), 0xff);
	ck_assert_uint_eq(in8(rig, 0x1004), 0xbb);
	io_move(rig->vm, a, 0xcf8);
	io_write(rig->vm, 0xcf8, 0x80000000, 4);
	ck_assert_uint_eq(io_read(rig->vm, 0xcf8, 4), 0x80000000);
	io_move(rig->vm, b, IO_NOWHERE);
	ck_assert_uint_eq(in8(rig, 0x1001), 0xff);
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();
	struct card there;

	plug(pci_create(other->vm, sysctl_create(other->vm)), &there, card.dev.devfn);
	config_out(rig, card.dev.devfn, 0x14, 0xe0000000, 4);
	config_out(rig, card.dev.devfn, 4, 2, 2);
	rig_lock(rig);
	pci_set_irq(&card.dev, 1);
	rig_unlock(rig);
	check_saved_state(rig, other, "pci");
	ck_assert_uint_eq(there.base[1], 0xe0000000);
	ck_assert_uint_eq(config_in(other, card.dev.devfn, 6, 1) & 8, 8);
	rig_free(other);
}
END_TEST

START_TEST(hostile)
{
	poke_ports(rig, 0xcf8, 0xcff, 50000);
	srandom(3);
	for (int i = 0; i < 50000; i++)
		config_out(rig, card.dev.devfn, (unsigned)random() & 0xff, (u32)random(), 1u << random() % 3);
	ck_assert_uint_eq(config_in(rig, card.dev.devfn, 0, 2), 0x1234);
}
END_TEST

Suite *pci_suite(void)
{
	Suite *s = suite_create("pci");
	TCase *t = tcase_create("pci");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, mechanism);
	tcase_add_test(t, masks);
	tcase_add_test(t, base_addresses);
	tcase_add_test(t, interrupt_pins);
	tcase_add_test(t, assignment);
	tcase_add_test(t, moving_ports);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, hostile);
	suite_add_tcase(s, t);
	return s;
}
