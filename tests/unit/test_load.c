/*
 * The boot loaders: what they put into guest memory, byte by byte, and that no header makes them crash. Images are made here, by hand.
 * The messages for damaged files are tested through the command line (tests/cli).
 */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/acpi.h"
#include "monitor/devices/fw_cfg.h"
#include "monitor/load_image.h"

#define MIB	    (1u << 20)
#define SETUP_SECTS 4u
#define SETUP_SIZE  ((SETUP_SECTS + 1) * 512u)
#define KERNEL_SIZE 65536u

static struct vm vm;
static struct boot_entry entry;
static char paths[4][64];

static void start(u64 ram)
{
	memset(&vm, 0, sizeof(vm));
	memset(paths, 0, sizeof(paths));
	ck_assert_int_eq(memory_init(&vm.mem, ram), 0);
	vm.opt.ram_size = ram;
}

static void end(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++)
		if (*paths[i])
			unlink(paths[i]);
	memory_free(&vm.mem);
}

/* Makes file n of the test. */
static const char *file(unsigned n, const void *data, size_t size)
{
	int fd;

	snprintf(paths[n], sizeof(paths[n]), "/tmp/ringer-load-XXXXXX");
	fd = mkstemp(paths[n]);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
	close(fd);
	return paths[n];
}

static u8 *ram(u32 pa)
{
	u8 *p = ram_ptr(&vm.mem, pa);

	ck_assert_ptr_nonnull(p);
	return p;
}

static u32 ram32(u32 pa)
{
	return le32(ram(pa));
}

/* Both bzImage and Multiboot images below are filled with this, so that a misplaced byte shows. */
static u8 pattern(u32 i)
{
	return (u8)(i * 7 + (i >> 8));
}

static u8 *make_bzimage(void)
{
	static u8 b[SETUP_SIZE + KERNEL_SIZE];

	memset(b, 0, SETUP_SIZE);
	b[0x1f1] = SETUP_SECTS;
	put32(b + 0x1f4, KERNEL_SIZE / 16);
	put16(b + 0x1fa, 0xffff);
	put16(b + 0x1fe, 0xaa55);
	put16(b + 0x200, 0x66eb);
	memcpy(b + 0x202, "HdrS", 4);
	put16(b + 0x206, 0x020c);
	b[0x211] = 1;
	put32(b + 0x214, MIB);
	put32(b + 0x22c, 0x37ffffff);
	put32(b + 0x230, 0x1000);
	b[0x234] = 1;
	put32(b + 0x238, 2047);
	put64(b + 0x250, 0x1234); /* setup_data: stale */
	put64(b + 0x258, MIB);
	put32(b + 0x260, 2 * MIB);
	for (u32 i = 0; i < KERNEL_SIZE; i++)
		b[SETUP_SIZE + i] = pattern(i);
	return b;
}

static struct loader *boot(void)
{
	struct loader *l = loader_open(&vm);

	loader_load(l, &vm, &entry);
	return l;
}

static void check_gdt(u16 cs)
{
	ck_assert_uint_eq(entry.cs, cs);
	ck_assert_uint_eq(entry.ds, cs + 8);
	ck_assert_uint_ge(entry.gdt_limit, cs + 15u);
	ck_assert_uint_eq(le64(ram(entry.gdt_base)), 0);
	ck_assert_uint_eq(le64(ram(entry.gdt_base + cs)), 0x00cf9b000000ffff);
	ck_assert_uint_eq(le64(ram(entry.gdt_base + cs + 8)), 0x00cf93000000ffff);
}

START_TEST(linux_boot_params)
{
	static const char append[] = "console=ttyS0 quiet";
	static u8 initrd[10000];
	struct loader *l;
	u32 bp, at;

	start(64 * MIB);
	memset(initrd, 0x5a, sizeof(initrd));
	vm.opt.kernel = file(0, make_bzimage(), SETUP_SIZE + KERNEL_SIZE);
	vm.opt.initrd = file(1, initrd, sizeof(initrd));
	vm.opt.append = append;
	l = boot();
	bp = entry.esi;
	ck_assert_uint_eq(entry.eip, MIB);
	ck_assert_uint_eq(entry.ebx | entry.ebp | entry.edi, 0);
	check_gdt(0x10);
	for (u32 i = 0; i < KERNEL_SIZE; i++)
		ck_assert_uint_eq(*ram(MIB + i), pattern(i));
	ck_assert_mem_eq(ram(bp + 0x202), "HdrS", 4);
	ck_assert_uint_eq(*ram(bp + 0x1ef), 0); /* sentinel */
	ck_assert_uint_eq(*ram(bp + 0x210), 0xff);
	ck_assert_uint_eq(le64(ram(bp + 0x250)), 0);
	ck_assert_str_eq((char *)ram(ram32(bp + 0x228)), append);
	at = ram32(bp + 0x218);
	ck_assert_uint_eq(ram32(bp + 0x21c), sizeof(initrd));
	ck_assert_uint_eq(at % PAGE_SIZE, 0);
	ck_assert_uint_eq(at, (64 * MIB - sizeof(initrd)) & ~PAGE_MASK);
	ck_assert_mem_eq(ram(at), initrd, PAGE_SIZE);
	ck_assert_uint_eq(le64(ram(bp + 0x70)), ACPI_RSDP_ADDR);
	ck_assert_mem_eq(ram(ACPI_RSDP_ADDR), "RSD PTR ", 8);
	ck_assert_uint_eq(ram32(bp + 0x1e0), 63 * 1024);
	ck_assert_uint_eq(le16(ram(bp + 2)), 63 * 1024);
	/* No VGA: columns, lines, isVGA. */
	ck_assert_uint_eq(*ram(bp + 7) | *ram(bp + 0xe) | *ram(bp + 0xf), 0);
	loader_close(l);
	end();
}
END_TEST

/* Lowest first, no overlaps, ACPI tables and EBDA reserved, memory above 4 GiB listed. */
START_TEST(e820)
{
	struct e820_entry map[E820_MAX];
	unsigned n;
	u64 total = 0;

	start(4096ull * MIB);
	n = load_e820(&vm, map);
	ck_assert_uint_eq(n, 5);
	for (unsigned i = 0; i < n; i++) {
		if (i)
			ck_assert_uint_ge(map[i].addr, map[i - 1].addr + map[i - 1].size);
		if (map[i].type == E820_RAM) {
			total += map[i].size;
			ck_assert(map[i].addr + map[i].size <= ACPI_AREA_BASE || map[i].addr >= MIB);
		}
	}
	ck_assert_uint_eq(total, 4096ull * MIB - (MIB - LOW_RAM_END));
	ck_assert_uint_eq(map[n - 1].addr, RAM_HIGH_BASE);
	ck_assert_uint_eq(map[n - 1].size, vm.mem.ram_size - vm.mem.low_size);
	end();
	start(16 * MIB);
	ck_assert_uint_eq(load_e820(&vm, map), 4);
	ck_assert_uint_eq(map[3].addr + map[3].size, 16 * MIB);
	end();
}
END_TEST

START_TEST(initrd_obeys_the_kernel)
{
	u8 *b = make_bzimage();
	struct loader *l;

	start(64 * MIB);
	put32(b + 0x22c, 0x00ffffff);
	vm.opt.kernel = file(0, b, SETUP_SIZE + KERNEL_SIZE);
	vm.opt.initrd = file(1, "initrd", 6);
	l = boot();
	ck_assert_uint_eq(ram32(entry.esi + 0x218), 0x00fff000);
	ck_assert_mem_eq(ram(0x00fff000), "initrd", 6);
	loader_close(l);
	end();
}
END_TEST

START_TEST(old_protocol)
{
	u8 *b = make_bzimage();
	struct loader *l;

	start(64 * MIB);
	put16(b + 0x206, 0x0201);
	vm.opt.kernel = file(0, b, SETUP_SIZE + KERNEL_SIZE);
	vm.opt.append = "root=/dev/hda1";
	l = boot();
	ck_assert_uint_eq(entry.esi, 0x90000);
	ck_assert_uint_eq(le16(ram(0x90020)), 0xa33f);
	ck_assert_str_eq((char *)ram(0x90000u + le16(ram(0x90022))), "root=/dev/hda1");
	loader_close(l);
	end();
}
END_TEST

START_TEST(bios_data)
{
	struct loader *l;

	start(64 * MIB);
	vm.opt.serial_count = 2;
	vm.opt.kernel = file(0, make_bzimage(), SETUP_SIZE + KERNEL_SIZE);
	l = boot();
	ck_assert_uint_eq(le16(ram(0x400)), 0x3f8);
	ck_assert_uint_eq(le16(ram(0x402)), 0x2f8);
	ck_assert_uint_eq(le16(ram(0x404)), 0);
	ck_assert_uint_eq(le16(ram(0x40e)) << 4, LOW_RAM_END);
	ck_assert_uint_eq(le16(ram(0x413)), 639);
	loader_close(l);
	end();
}
END_TEST

/* A reset finds what the start found, whatever became of the files and of memory. */
START_TEST(reset_loads_again)
{
	struct boot_entry first;
	struct loader *l;

	start(64 * MIB);
	vm.opt.kernel = file(0, make_bzimage(), SETUP_SIZE + KERNEL_SIZE);
	vm.opt.initrd = file(1, "initrd", 6);
	l = boot();
	first = entry;
	ck_assert_int_eq(truncate(paths[0], 0), 0);
	ck_assert_int_eq(unlink(paths[1]), 0);
	memset(vm.mem.ram, 0xcc, vm.mem.ram_size);
	loader_load(l, &vm, &entry);
	ck_assert_mem_eq(&first, &entry, sizeof(first));
	for (u32 i = 0; i < KERNEL_SIZE; i++)
		ck_assert_uint_eq(*ram(MIB + i), pattern(i));
	ck_assert_mem_eq(ram(ram32(entry.esi + 0x218)), "initrd", 6);
	check_gdt(0x10);
	loader_close(l);
	end();
}
END_TEST

/* An ELF kernel linked at 0xc0100000 and loaded at 1 MiB; the second segment is mostly bss. */
static size_t make_elf(u8 *b, u32 paddr)
{
	Elf32_Ehdr e = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_entry = 0xc0100040,
		.e_phoff = sizeof(e),
		.e_ehsize = sizeof(e),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2,
	};
	Elf32_Phdr p[2] = {
		{PT_LOAD, 0x1000, 0xc0100000, paddr, 0x1000, 0x1000, PF_R | PF_X, 0x1000},
		{PT_LOAD, 0x2000, 0xc0101000, paddr + 0x1000, 0x100, 0x3000, PF_R | PF_W, 0x1000},
	};

	memset(b, 0, 0x2100);
	memcpy(b, &e, sizeof(e));
	memcpy(b + sizeof(e), p, sizeof(p));
	for (u32 i = 0; i < 0x1100; i++)
		b[0x1000 + i] = pattern(i);
	put32(b + 0x1000, 0x1badb002);
	put32(b + 0x1004, 3);
	put32(b + 0x1008, -(0x1badb002u + 3));
	return 0x2100;
}

static void check_mmap(u32 info)
{
	u32 at = ram32(info + 48), limit = at + ram32(info + 44), n = 0;

	for (; at < limit; at += ram32(at) + 4) {
		ck_assert_uint_eq(ram32(at), 20);
		n++;
	}
	ck_assert_uint_eq(at, limit);
	ck_assert_uint_eq(n, 4);
}

START_TEST(multiboot_elf)
{
	static u8 b[0x3000];
	char list[256], cmdline[128];
	struct loader *l;
	u32 info, mods;

	start(32 * MIB);
	vm.opt.kernel = file(0, b, make_elf(b, MIB));
	file(1, "first", 5);
	file(2, "second!", 7);
	snprintf(list, sizeof(list), "%s one two,%s a,,b", paths[1], paths[2]);
	vm.opt.initrd = list;
	vm.opt.append = "hello world";
	memset(vm.mem.ram + MIB, 0xcc, MIB);
	l = boot();
	ck_assert_uint_eq(entry.eax, 0x2badb002);
	ck_assert_uint_eq(entry.eip, MIB + 0x40);
	check_gdt(0x08);
	for (u32 i = 4096 / 2; i < 0x1100; i++)
		ck_assert_uint_eq(*ram(MIB + i), pattern(i));
	for (u32 i = 0x1100; i < 0x4000; i++)
		ck_assert_uint_eq(*ram(MIB + i), 0);

	info = entry.ebx;
	ck_assert_uint_eq(ram32(info) & 0x4d, 0x4d);
	ck_assert_uint_eq(ram32(info + 4), 639);
	ck_assert_uint_eq(ram32(info + 8), 31 * 1024);
	snprintf(cmdline, sizeof(cmdline), "%s hello world", paths[0]);
	ck_assert_str_eq((char *)ram(ram32(info + 16)), cmdline);
	ck_assert_str_eq((char *)ram(ram32(info + 64)), "ringer");
	check_mmap(info);

	ck_assert_uint_eq(ram32(info + 20), 2);
	mods = ram32(info + 24);
	ck_assert_uint_eq(ram32(mods), MIB + 0x4000);
	ck_assert_uint_eq(ram32(mods + 4) - ram32(mods), 5);
	ck_assert_uint_eq(ram32(mods + 16), MIB + 0x5000);
	ck_assert_uint_eq(ram32(mods + 20) - ram32(mods + 16), 7);
	ck_assert_mem_eq(ram(MIB + 0x4000), "first", 5);
	ck_assert_mem_eq(ram(MIB + 0x5000), "second!", 7);
	snprintf(cmdline, sizeof(cmdline), "%s one two", paths[1]);
	ck_assert_str_eq((char *)ram(ram32(mods + 8)), cmdline);
	snprintf(cmdline, sizeof(cmdline), "%s a,b", paths[2]);
	ck_assert_str_eq((char *)ram(ram32(mods + 24)), cmdline);
	loader_close(l);
	end();
}
END_TEST

/* A kernel in conventional memory pushes the tables behind itself and the modules. */
START_TEST(multiboot_low_kernel)
{
	static u8 b[0x3000];
	struct loader *l;

	start(32 * MIB);
	vm.opt.kernel = file(0, b, make_elf(b, 0x8000));
	l = boot();
	ck_assert_uint_ge(entry.ebx, MIB);
	ck_assert_uint_eq(entry.eip, 0x8040);
	for (u32 i = 16; i < 0x1100; i++)
		ck_assert_uint_eq(*ram(0x8000 + i), pattern(i));
	check_gdt(0x08);
	check_mmap(entry.ebx);
	loader_close(l);
	end();
}
END_TEST

static size_t make_kludge(u8 *b)
{
	static const u32 header[] = {0x1badb002, 0x10000,	  -(0x1badb002u + 0x10000u), 2 * MIB + 0x10,
				     2 * MIB,	 2 * MIB + 0x800, 2 * MIB + 0x2000,	     2 * MIB + 0x30};

	/* The header is at 0x110, so that 0x100 bytes of the file come before the image. */
	for (u32 i = 0; i < 0x1000; i++)
		b[i] = pattern(i);
	for (unsigned i = 0; i < ARRAY_SIZE(header); i++)
		put32(b + 0x110 + 4 * i, header[i]);
	return 0x1000;
}

START_TEST(multiboot_kludge)
{
	static u8 b[0x1000];
	struct loader *l;

	start(32 * MIB);
	vm.opt.kernel = file(0, b, make_kludge(b));
	memset(vm.mem.ram + 2 * MIB, 0xcc, MIB);
	l = boot();
	ck_assert_uint_eq(entry.eip, 2 * MIB + 0x30);
	ck_assert_mem_eq(ram(2 * MIB), b + 0x100, 0x800);
	for (u32 i = 0x800; i < 0x2000; i++)
		ck_assert_uint_eq(*ram(2 * MIB + i), 0);
	ck_assert_uint_eq(*ram(2 * MIB + 0x2000), 0xcc);
	loader_close(l);
	end();
}
END_TEST

/* Opens and loads in a child: it may refuse with status 1, it may accept, it must not die of a signal or write outside memory. */
static void survives(const u8 *b, size_t size)
{
	int status;
	pid_t pid;

	vm.opt.kernel = file(0, b, size);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		alarm(20);
		if (!freopen("/dev/null", "w", stderr))
			_exit(99);
		boot();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) <= 1, "status %#x", status);
	unlink(paths[0]);
	paths[0][0] = 0;
}

/* Headers with one field set to a value that likes to break things, and images cut short. */
START_TEST(hostile_headers)
{
	static const u32 values[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffff000, 0x00100000, 0x02000000};
	static u8 good[3][SETUP_SIZE + KERNEL_SIZE], b[SETUP_SIZE + KERNEL_SIZE];
	static const struct {
		u32 from, to;
	} fields[] = {{0x1f0, 0x268}, {0x10, 0x74}, {0x110, 0x130}};
	size_t size[3] = {SETUP_SIZE + KERNEL_SIZE};
	unsigned k = (unsigned)_i;

	start(32 * MIB);
	memcpy(good[0], make_bzimage(), size[0]);
	size[1] = make_elf(good[1], MIB);
	size[2] = make_kludge(good[2]);
	for (u32 at = fields[k].from; at < fields[k].to; at += 4)
		for (unsigned v = 0; v < ARRAY_SIZE(values); v++) {
			memcpy(b, good[k], size[k]);
			put32(b + at, values[v]);
			survives(b, size[k]);
		}
	for (size_t cut = 1; cut < size[k]; cut += 1 + cut / 16)
		survives(good[k], cut);
	end();
}
END_TEST

/* Without a kernel the processor starts where firmware is, and low memory is as it was. */
START_TEST(firmware_boots)
{
	struct boot_entry e = {.eip = 1};
	struct loader *l;

	start(32 * MIB);
	l = loader_open(&vm);
	loader_load(l, &vm, &e);
	ck_assert(e.firmware);
	ck_assert_uint_eq(*ram(0x413), 0);
	loader_close(l);
}
END_TEST

/* ---- under -bios ---- */

/* The first n bytes of a fw_cfg item, as the guest reads them. */
static const u8 *item(u16 key, u32 n)
{
	static u8 b[SETUP_SIZE + KERNEL_SIZE];

	io_write(&vm, 0x510, key, 2);
	for (u32 i = 0; i < n; i++)
		b[i] = (u8)io_read(&vm, 0x511, 1);
	return b;
}

static u32 value(u16 key)
{
	return le32(item(key, 4));
}

static struct loader *publish(void)
{
	struct loader *l;

	vm.opt.bios = "firmware";
	l = loader_open(&vm);
	vm.fw_cfg = fw_cfg_create(&vm);
	loader_publish(l, &vm);
	loader_load(l, &vm, &entry);
	ck_assert(entry.firmware);
	ck_assert_uint_eq(*ram(0x413), 0);
	return l;
}

static void end_published(struct loader *l)
{
	loader_close(l);
	vm.devices[0].free(vm.devices[0].opaque);
	end();
}

/* An option ROM that sums up to zero, with a boot entry vector inside, and first of the boot devices. */
static void check_rom(const char *file)
{
	size_t n, size;
	const u8 *rom = fw_cfg_file(vm.fw_cfg, file, &size), *order = fw_cfg_file(vm.fw_cfg, "bootorder", &n), *pnp;
	u8 sum = 0;

	ck_assert(rom && order);
	ck_assert_uint_eq(rom[0] | rom[1] << 8, 0xaa55);
	ck_assert_uint_eq(rom[2] * 512u, size);
	for (size_t i = 0; i < size; i++)
		sum += rom[i];
	ck_assert_uint_eq(sum, 0);
	pnp = rom + le16(rom + 0x1a);
	ck_assert_mem_eq(pnp, "$PnP", 4);
	ck_assert_uint_eq(le16(pnp + 0x16), 0);
	ck_assert_uint_lt(le16(pnp + 0x1a), size);
	ck_assert_uint_gt(le16(pnp + 0x1a), 0x40);
	ck_assert_uint_eq(n, strlen((const char *)order) + 1);
	ck_assert_str_eq((const char *)order + 5, file);
}

START_TEST(linux_by_firmware)
{
	static u8 initrd[10000];
	const u8 *setup, *kernel;
	struct loader *l;
	u32 at;

	start(64 * MIB);
	memset(initrd, 0x5a, sizeof(initrd));
	vm.opt.kernel = file(0, make_bzimage(), SETUP_SIZE + KERNEL_SIZE);
	vm.opt.initrd = file(1, initrd, sizeof(initrd));
	vm.opt.append = "a b";
	l = publish();
	ck_assert_uint_eq(value(FW_CFG_KERNEL_ADDR), MIB);
	ck_assert_uint_eq(value(FW_CFG_KERNEL_SIZE), KERNEL_SIZE);
	kernel = item(FW_CFG_KERNEL_DATA, KERNEL_SIZE);
	for (u32 i = 0; i < KERNEL_SIZE; i++)
		ck_assert_uint_eq(kernel[i], pattern(i));
	at = value(FW_CFG_INITRD_ADDR);
	/* Firmware has the last mebibyte for itself. */
	ck_assert_uint_eq(at, (63 * MIB - sizeof(initrd)) & ~PAGE_MASK);
	ck_assert_uint_eq(value(FW_CFG_INITRD_SIZE), sizeof(initrd));
	ck_assert_mem_eq(item(FW_CFG_INITRD_DATA, sizeof(initrd)), initrd, sizeof(initrd));
	ck_assert_uint_eq(value(FW_CFG_CMDLINE_SIZE), 4);
	ck_assert_str_eq((const char *)item(FW_CFG_CMDLINE_DATA, 4), "a b");
	ck_assert_uint_eq(value(FW_CFG_SETUP_ADDR), 0x10000);
	ck_assert_uint_eq(value(FW_CFG_CMDLINE_ADDR), 0x20000);
	ck_assert_uint_eq(value(FW_CFG_SETUP_SIZE), SETUP_SIZE);
	setup = item(FW_CFG_SETUP_DATA, SETUP_SIZE);
	ck_assert_mem_eq(setup + 0x202, "HdrS", 4);
	ck_assert_uint_eq(setup[0x210], 0xff);
	ck_assert_uint_eq(setup[0x211], 0x81);
	ck_assert_uint_eq(le16(setup + 0x224), 0xfe00);
	ck_assert_uint_eq(le32(setup + 0x228), 0x20000);
	ck_assert_uint_eq(le32(setup + 0x218), at);
	ck_assert_uint_eq(le32(setup + 0x21c), sizeof(initrd));
	check_rom("genroms/linuxboot.bin");
	end_published(l);
}
END_TEST

START_TEST(old_linux_by_firmware)
{
	u8 *b = make_bzimage();
	const u8 *setup;
	struct loader *l;
	u32 cmdline;

	start(64 * MIB);
	put16(b + 0x206, 0x0201);
	vm.opt.kernel = file(0, b, SETUP_SIZE + KERNEL_SIZE);
	vm.opt.append = "root=/dev/hda1";
	l = publish();
	ck_assert_uint_eq(value(FW_CFG_INITRD_SIZE), 0);
	ck_assert_uint_eq(value(FW_CFG_SETUP_ADDR), 0x90000);
	cmdline = value(FW_CFG_CMDLINE_ADDR);
	ck_assert_uint_le(cmdline + value(FW_CFG_CMDLINE_SIZE), 0x9a000);
	setup = item(FW_CFG_SETUP_DATA, SETUP_SIZE);
	ck_assert_uint_eq(le16(setup + 0x20), 0xa33f);
	ck_assert_uint_eq(le16(setup + 0x22), cmdline - 0x90000);
	end_published(l);
}
END_TEST

START_TEST(multiboot_by_firmware)
{
	static u8 b[0x3000];
	const u8 *image, *info;
	struct loader *l;
	u32 tables;

	start(32 * MIB);
	vm.opt.kernel = file(0, b, make_elf(b, MIB));
	vm.opt.initrd = file(1, "first", 5);
	l = publish();
	ck_assert_uint_eq(value(FW_CFG_KERNEL_ADDR), MIB);
	ck_assert_uint_eq(value(FW_CFG_KERNEL_ENTRY), MIB + 0x40);
	ck_assert_uint_eq(value(FW_CFG_KERNEL_SIZE), 0x4005);
	image = item(FW_CFG_KERNEL_DATA, 0x4005);
	for (u32 i = 4096 / 2; i < 0x4000; i++)
		ck_assert_uint_eq(image[i], i < 0x1100 ? pattern(i) : 0);
	ck_assert_mem_eq(image + 0x4000, "first", 5);
	tables = value(FW_CFG_INITRD_ADDR);
	info = item(FW_CFG_INITRD_DATA, value(FW_CFG_INITRD_SIZE));
	ck_assert_uint_eq(le32(info) & 0x4d, 0x4d);
	ck_assert_uint_eq(le32(info + 20), 1);
	ck_assert_uint_eq(le32(info + 44), 0); /* the map is the ROM's to fill, up to the modules */
	ck_assert_uint_eq(le32(info + 24) - le32(info + 48), 32 * 24);
	ck_assert_uint_eq(le32(info + le32(info + 24) - tables), MIB + 0x4000);
	check_rom("genroms/multiboot.bin");
	end_published(l);
}
END_TEST

Suite *load_suite(void);
Suite *load_suite(void)
{
	Suite *s = suite_create("load");
	TCase *t = tcase_create("load");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, linux_boot_params);
	tcase_add_test(t, e820);
	tcase_add_test(t, initrd_obeys_the_kernel);
	tcase_add_test(t, old_protocol);
	tcase_add_test(t, bios_data);
	tcase_add_test(t, reset_loads_again);
	tcase_add_test(t, multiboot_elf);
	tcase_add_test(t, multiboot_low_kernel);
	tcase_add_test(t, multiboot_kludge);
	tcase_add_loop_test(t, hostile_headers, 0, 3);
	tcase_add_test(t, firmware_boots);
	tcase_add_test(t, linux_by_firmware);
	tcase_add_test(t, old_linux_by_firmware);
	tcase_add_test(t, multiboot_by_firmware);
	suite_add_tcase(s, t);
	return s;
}
