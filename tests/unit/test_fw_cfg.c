/* The firmware configuration device, read as SeaBIOS reads it: byte by byte and by DMA; and what the machine says in it. */
#include <check.h>

#include "monitor/devices/fw_cfg.h"
#include "monitor/devices/rtc.h"
#include "monitor/machine.h"
#include "tests/unit/device_harness.h"

enum { AT = 0x1000, TO = 0x2000 };

static struct rig *rig;
static struct fw_cfg *cfg;

static void setup(void)
{
	rig = rig_create();
	cfg = fw_cfg_create(rig->vm);
}

static void teardown(void)
{
	rig_free(rig);
}

static void read_item(u16 key, void *buf, size_t n)
{
	io_write(rig->vm, 0x510, key, 2);
	for (u8 *p = buf; n--;)
		*p++ = in8(rig, 0x511);
}

static u32 be32(const u8 *p)
{
	return (u32)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

/* Runs a descriptor; returns what is left in its control field. */
static u32 dma(u32 control, u32 length, u64 address)
{
	u32 d[4] = {__builtin_bswap32(control), __builtin_bswap32(length), __builtin_bswap32((u32)(address >> 32)),
		    __builtin_bswap32((u32)address)};

	phys_write(rig->vm, AT, d, sizeof(d));
	io_write(rig->vm, 0x514, 0, 4);
	io_write(rig->vm, 0x518, __builtin_bswap32(AT), 4);
	phys_read(rig->vm, AT, d, 4);
	return __builtin_bswap32(d[0]);
}

START_TEST(signature)
{
	char text[9] = "";
	u8 id[4];

	read_item(FW_CFG_SIGNATURE, text, 4);
	ck_assert_str_eq(text, "QEMU");
	ck_assert_uint_eq(in8(rig, 0x511), 0); /* beyond its end */
	read_item(FW_CFG_ID, id, 4);
	ck_assert_uint_eq(id[0], 3);
	for (u16 i = 0; i < 8; i++)
		text[i] = (char)in8(rig, 0x514 + i);
	ck_assert_str_eq(text, "QEMU CFG");
	read_item(0x4321, id, 4); /* there is no such item */
	ck_assert_uint_eq(be32(id), 0);
}
END_TEST

START_TEST(directory)
{
	u8 dir[4 + 3 * 64], got[4] = "";

	fw_cfg_add_file(cfg, "etc/m", "two", 3);
	fw_cfg_add_file(cfg, "etc/z", "three", 5);
	fw_cfg_add_file(cfg, "etc/a", "one!", 4);
	read_item(FW_CFG_FILE_DIR, dir, sizeof(dir));
	ck_assert_uint_eq(be32(dir), 3);
	static const char *const names[] = {"etc/a", "etc/m", "etc/z"};

	for (int i = 0; i < 3; i++)
		ck_assert_str_eq((char *)dir + 4 + 64 * i + 8, names[i]);
	ck_assert_uint_eq(be32(dir + 4), 4);
	ck_assert_uint_eq(be32(dir + 4 + 64), 3);
	read_item((u16)(dir[8] << 8 | dir[9]), got, 4);
	ck_assert_mem_eq(got, "one!", 4);
	read_item((u16)(dir[8 + 64] << 8 | dir[9 + 64]), got, 4);
	ck_assert_mem_eq(got, "two", 4);
}
END_TEST

START_TEST(dma_transfers)
{
	u8 got[8];

	fw_cfg_add_item(cfg, 0x100, "0123456789", 10);
	ck_assert_uint_eq(dma(0x100 << 16 | 0x0a, 4, TO), 0); /* select, read */
	phys_read(rig->vm, TO, got, 4);
	ck_assert_mem_eq(got, "0123", 4);
	ck_assert_uint_eq(dma(0x04, 2, 0), 0); /* skip */
	memset(got, 0xcc, sizeof(got));
	phys_write(rig->vm, TO, got, sizeof(got));
	ck_assert_uint_eq(dma(0x02, 6, TO), 0); /* and beyond the end */
	phys_read(rig->vm, TO, got, 8);
	ck_assert_mem_eq(got, "6789\0\0\xcc\xcc", 8);
	ck_assert_uint_eq(dma(0x100 << 16 | 0x18, 4, TO), 1); /* no writing */
	read_item(0x100, got, 1);
	ck_assert_uint_eq(got[0], '0');
}
END_TEST

START_TEST(hostile)
{
	fw_cfg_add_item(cfg, 0x100, "0123456789", 10);
	ck_assert_uint_eq(dma(0x100 << 16 | 0x0a, 0xffffffff, TO), 1);
	ck_assert_uint_eq(dma(0x100 << 16 | 0x0a, 4, 0xfffffffffffffffeull), 1);
	ck_assert_uint_eq(dma(0x100 << 16 | 0x0a, 8 << 20, (64 << 20) - 4096), 1); /* out of memory half-way */
	ck_assert_uint_eq(dma(0x100 << 16 | 0x04, 0xffffffff, 0), 0);
	ck_assert_uint_eq(in8(rig, 0x511), 0);
	/* A descriptor that reads over itself, and one where no memory is. */
	dma(0x100 << 16 | 0x0a, 10, AT);
	io_write(rig->vm, 0x514, 0xffffffff, 4);
	io_write(rig->vm, 0x518, 0xffffffff, 4);
	poke_ports(rig, 0x510, 0x51b, 50000);
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();

	fw_cfg_create(other->vm);
	io_write(rig->vm, 0x510, FW_CFG_SIGNATURE, 2);
	in8(rig, 0x511);
	io_write(rig->vm, 0x514, 0x12345678, 4);
	check_saved_state(rig, other, "fw_cfg");
	ck_assert_uint_eq(in8(other, 0x511), 'E');
	rig_free(other);
}
END_TEST

START_TEST(what_the_machine_says)
{
	struct rig *r = rig_create();
	size_t n;

	r->vm->opt.kernel = "none";
	strcpy(r->vm->opt.boot_order, "dc");
	r->vm->opt.nographic = true;
	r->vm->opt.boot_menu = true;
	r->vm->opt.splash_time = 0x1234;
	r->vm->opt.reboot_timeout = -1;
	machine_init(r->vm);
	const u8 *e820 = fw_cfg_file(r->vm->fw_cfg, "etc/e820", &n), *p;

	ck_assert_uint_eq(n, 20);
	ck_assert_uint_eq(e820[11], 64 << 20 >> 24);
	ck_assert_uint_eq(e820[16], 1);
	ck_assert_ptr_nonnull(fw_cfg_file(r->vm->fw_cfg, "etc/acpi/rsdp", NULL));
	p = fw_cfg_file(r->vm->fw_cfg, "etc/boot-menu-wait", &n);
	ck_assert_uint_eq(p[0] | p[1] << 8, 0x1234);
	p = fw_cfg_file(r->vm->fw_cfg, "etc/boot-fail-wait", &n);
	ck_assert(n == 4 && memcmp(p, "\377\377\377\377", 4) == 0);
	io_write(r->vm, 0x510, FW_CFG_NOGRAPHIC, 2);
	ck_assert_uint_eq(in8(r, 0x511), 1);
	ck_assert_uint_eq(rtc_get_cmos(r->vm->rtc, 0x3d), 0x23); /* CD-ROM, then disk */
	/* SMBIOS: as many structures as the anchor says, the last an end of table. */
	const u8 *anchor = fw_cfg_file(r->vm->fw_cfg, "etc/smbios/smbios-anchor", NULL);
	const u8 *s = fw_cfg_file(r->vm->fw_cfg, "etc/smbios/smbios-tables", &n), *end = s + n;
	unsigned count = 0, type = 0;

	ck_assert_uint_eq(anchor[22] | anchor[23] << 8, n);
	while (s < end) {
		type = s[0];
		for (s += s[1]; s[0] || s[1]; s++)
			ck_assert(s + 2 < end);
		s += 2;
		count++;
	}
	ck_assert(s == end);
	ck_assert_uint_eq(type, 127);
	ck_assert_uint_eq(count, anchor[28]);
	rig_free(r);
}
END_TEST

Suite *fw_cfg_suite(void)
{
	Suite *s = suite_create("fw_cfg");
	TCase *t = tcase_create("fw_cfg");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, signature);
	tcase_add_test(t, directory);
	tcase_add_test(t, dma_transfers);
	tcase_add_test(t, hostile);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, what_the_machine_says);
	suite_add_tcase(s, t);
	return s;
}
