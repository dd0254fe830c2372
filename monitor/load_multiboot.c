/*
 * Multiboot 1 kernels, as QEMU's -kernel boots them: 32-bit ELF, or any file whose header carries its own load addresses (a.out kludge).
 * Multiboot Specification 0.6.96.
 *
 * Invariants: no segment, module or table overlaps another one; all lie in RAM below the PCI hole, and none in [0xa0000, 0x100000).
 * Segments do not overlap, so that all of them together are bounded by RAM: a hostile header cannot make loading take for ever.
 */
#include "monitor/load_image.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/devices/fw_cfg.h"
#include "monitor/log.h"

#define HEADER_MAGIC  0x1badb002u
#define HEADER_SEARCH 8192u
#define SEGMENTS_MAX  1024u
#define BOOT_MAGIC    0x2badb002u

/* Header flags, 3.1.2. Bits 0 to 15 must be understood; page-aligned modules and memory information are always given, video never. */
#define FLAG_KNOWN   0x00000007u
#define FLAG_ADDRESS 0x00010000u

/* Information flags, 3.3. */
#define INFO_MEMORY	 0x001u
#define INFO_BOOT_DEVICE 0x002u
#define INFO_CMDLINE	 0x004u
#define INFO_MODS	 0x008u
#define INFO_MMAP	 0x040u
#define INFO_LOADER_NAME 0x200u

/* Tables are one blob: information, memory map, module list, GDT, strings. */
#define INFO_SIZE      120u
#define MMAP_ENTRY     24u
#define MOD_ENTRY      16u
#define GDT_SIZE       32u
#define TABLES_LOW     0x9000u
#define TABLES_LOW_END 0x80000u
#define MMAP_ROOM      32u /* entries: what monitor/rom/multiboot.S puts there */
/* Under -bios: what lies below is firmware's stack, and in use while the kernel is loaded. */
#define FIRMWARE_LOW 0x8000u

static const char loader_name[] = "ringer";

/* Offset of the header in the file, or -1. Twelve bytes of it, 32 with the address fields, are inside. */
static long find_header(const struct image *k)
{
	size_t end = MIN(k->size, (size_t)HEADER_SEARCH);

	for (size_t i = 0; i + 12 <= end; i += 4) {
		const u8 *h = k->data + i;

		if (le32(h) == HEADER_MAGIC && le32(h) + le32(h + 4) + le32(h + 8) == 0)
			return (long)i;
	}
	return -1;
}

bool multiboot_recognise(const struct image *k)
{
	return find_header(k) >= 0;
}

static u64 page_up(u64 a)
{
	return (a + PAGE_MASK) & ~(u64)PAGE_MASK;
}

/* Adds a segment after checking file and memory bounds. */
static void add_segment(struct loader *l, u64 low_size, u64 addr, u64 offset, u64 file_size, u64 mem_size)
{
	const struct image *k = &l->kernel;
	struct load_segment *s;

	if (file_size > mem_size)
		fatal("kernel %s: the segment at %#llx has more bytes in the file than in memory", k->path, (unsigned long long)addr);
	if (offset > k->size || file_size > k->size - offset)
		fatal("kernel %s: is truncated: the segment at %#llx ends behind the end of the file", k->path, (unsigned long long)addr);
	if (addr < HIGH_RAM && addr + mem_size > LOW_RAM_END)
		fatal("kernel %s: the segment at %#llx, %llu bytes, lies outside memory: there is none from %#x to 1 MiB", k->path,
		      (unsigned long long)addr, (unsigned long long)mem_size, LOW_RAM_END);
	if (addr + mem_size > low_size) {
		if (addr + mem_size > RAM_LOW_MAX)
			fatal("kernel %s: the segment at %#llx, %llu bytes, lies outside memory", k->path, (unsigned long long)addr,
			      (unsigned long long)mem_size);
		fatal("kernel %s: too little memory: the segment at %#llx needs at least -m %u", k->path, (unsigned long long)addr,
		      load_mebibytes(l, addr + mem_size));
	}
	for (unsigned i = 0; i < l->segment_count; i++) {
		s = &l->segments[i];
		if (addr < (u64)s->addr + s->mem_size && s->addr < addr + mem_size)
			fatal("kernel %s: the segments at %#x and %#llx overlap", k->path, s->addr, (unsigned long long)addr);
	}
	if (l->segment_count == SEGMENTS_MAX)
		fatal("kernel %s: has more than %u segments to load", k->path, SEGMENTS_MAX);
	s = realloc(l->segments, (l->segment_count + 1) * sizeof(*s));
	if (!s)
		fatal("out of memory");
	s[l->segment_count++] = (struct load_segment){(u32)addr, (u32)offset, (u32)file_size, (u32)mem_size};
	l->segments = s;
}

/* 3.1.3: the header says where the file goes. */
static void plan_kludge(struct loader *l, u64 low_size, u32 header)
{
	const struct image *k = &l->kernel;
	const u8 *h = k->data + header;
	u32 header_addr, load_addr, load_end, bss_end, offset;
	u64 file_size, mem_size;

	if (k->size - header < 32)
		fatal("kernel %s: is truncated within its Multiboot header", k->path);
	header_addr = le32(h + 12);
	load_addr = le32(h + 16);
	load_end = le32(h + 20);
	bss_end = le32(h + 24);
	l->entry = le32(h + 28);
	if (load_addr > header_addr || header_addr - load_addr > header)
		fatal("kernel %s: Multiboot header: load_addr %#x does not lie in the file (header_addr %#x)", k->path, load_addr,
		      header_addr);
	offset = header - (header_addr - load_addr);
	if (load_end && load_end < load_addr)
		fatal("kernel %s: Multiboot header: load_end_addr %#x lies below load_addr %#x", k->path, load_end, load_addr);
	file_size = load_end ? load_end - load_addr : k->size - offset;
	mem_size = file_size;
	if (bss_end) {
		if (bss_end < load_addr + file_size)
			fatal("kernel %s: Multiboot header: bss_end_addr %#x lies below the end of the data", k->path, bss_end);
		mem_size = bss_end - load_addr;
	}
	if (!mem_size)
		fatal("kernel %s: Multiboot header: there is nothing to load", k->path);
	add_segment(l, low_size, load_addr, offset, file_size, mem_size);
}

static void plan_elf(struct loader *l, u64 low_size)
{
	const struct image *k = &l->kernel;
	const u8 *e = k->data;
	u32 phoff, phnum, phentsize;

	if (k->size < sizeof(Elf32_Ehdr))
		fatal("kernel %s: is truncated within its ELF header", k->path);
	if (memcmp(e, ELFMAG, SELFMAG))
		fatal("kernel %s: has a Multiboot header without load addresses, but is not an ELF file", k->path);
	if (e[EI_CLASS] != ELFCLASS32 || le16(e + offsetof(Elf32_Ehdr, e_machine)) != EM_386 || e[EI_DATA] != ELFDATA2LSB)
		fatal("kernel %s: is a %d-bit ELF file for machine %u, not a 32-bit one for x86 (3)", k->path,
		      e[EI_CLASS] == ELFCLASS64 ? 64 : 32, le16(e + offsetof(Elf32_Ehdr, e_machine)));
	phoff = le32(e + offsetof(Elf32_Ehdr, e_phoff));
	phnum = le16(e + offsetof(Elf32_Ehdr, e_phnum));
	phentsize = le16(e + offsetof(Elf32_Ehdr, e_phentsize));
	if (phnum && phentsize < sizeof(Elf32_Phdr))
		fatal("kernel %s: ELF program headers of %u bytes are too short", k->path, phentsize);
	if ((u64)phoff + (u64)phnum * phentsize > k->size)
		fatal("kernel %s: is truncated: its ELF program headers end behind the end of the file", k->path);
	l->entry = le32(e + offsetof(Elf32_Ehdr, e_entry));
	for (u32 i = 0; i < phnum; i++) {
		const u8 *p = e + phoff + i * phentsize;
		u32 vaddr = le32(p + offsetof(Elf32_Phdr, p_vaddr)), paddr = le32(p + offsetof(Elf32_Phdr, p_paddr));
		u32 mem_size = le32(p + offsetof(Elf32_Phdr, p_memsz));
		u32 virtual_entry = le32(e + offsetof(Elf32_Ehdr, e_entry));

		if (le32(p + offsetof(Elf32_Phdr, p_type)) != PT_LOAD || !mem_size)
			continue;
		add_segment(l, low_size, paddr, le32(p + offsetof(Elf32_Phdr, p_offset)), le32(p + offsetof(Elf32_Phdr, p_filesz)),
			    mem_size);
		/* e_entry is a virtual address; paging is off at the entry. */
		if (virtual_entry - vaddr < mem_size && le32(p + offsetof(Elf32_Phdr, p_flags)) & PF_X)
			l->entry = virtual_entry - vaddr + paddr;
	}
	if (!l->segment_count)
		fatal("kernel %s: the ELF file has nothing to load", k->path);
}

/* Splits "file args,file args" (a doubled comma is a comma) and reads the files. */
static void read_modules(struct loader *l, const char *list)
{
	while (*list) {
		struct image *m = realloc(l->modules, (l->module_count + 1) * sizeof(*m));
		char *s = malloc(strlen(list) + 1), *path;
		size_t n = 0;

		if (!m || !s)
			fatal("out of memory");
		l->modules = m;
		m += l->module_count++;
		while (*list && (*list != ',' || list[1] == ',')) {
			if (*list == ',')
				list++;
			s[n++] = *list++;
		}
		s[n] = 0;
		if (*list == ',')
			list++;
		path = strndup(s, strcspn(s, " "));
		if (!path)
			fatal("out of memory");
		*m = (struct image){.string = s};
		image_read(m, path, "module");
		free(path);
	}
}

/* Modules follow the kernel, page-aligned, above 1 MiB. Returns the end of the last one. */
static u64 plan_modules(struct loader *l, u64 low_size)
{
	u64 end = HIGH_RAM;

	for (unsigned i = 0; i < l->segment_count; i++)
		end = MAX(end, (u64)l->segments[i].addr + l->segments[i].mem_size);
	for (unsigned i = 0; i < l->module_count; i++) {
		struct image *m = &l->modules[i];

		end = page_up(end);
		if (end + m->size > RAM_LOW_MAX)
			fatal("module %s: %zu bytes are more than fits into a 32-bit PC's memory", m->path, m->size);
		if (end + m->size > low_size)
			fatal("module %s: too little memory: kernel and modules need at least -m %u", m->path,
			      load_mebibytes(l, end + m->size));
		m->addr = (u32)end;
		end += m->size;
	}
	return page_up(end);
}

static u32 strings_offset(const struct loader *l)
{
	return INFO_SIZE + MMAP_ROOM * MMAP_ENTRY + l->module_count * MOD_ENTRY + GDT_SIZE;
}

static u64 tables_size(const struct loader *l)
{
	u64 size = strings_offset(l) + strlen(l->cmdline) + 1 + sizeof(loader_name);

	for (unsigned i = 0; i < l->module_count; i++)
		size += strlen(l->modules[i].string) + 1;
	return size;
}

/* In conventional memory, where every kernel's first page tables reach, unless the kernel lies there itself. */
static void plan_tables(struct loader *l, u64 low_size, u64 end)
{
	u64 size = tables_size(l);
	bool low = TABLES_LOW + size <= TABLES_LOW_END;

	for (unsigned i = 0; i < l->segment_count; i++)
		if (l->segments[i].addr < TABLES_LOW_END && l->segments[i].addr + l->segments[i].mem_size > PAGE_SIZE)
			low = false;
	if (!low && end + size > low_size)
		fatal("kernel %s: too little memory: with its boot information it needs at least -m %u", l->kernel.path,
		      load_mebibytes(l, end + size));
	l->tables = low ? TABLES_LOW : (u32)end;
}

/* Puts a string into the blob and returns its guest address. */
static u32 put_string(const struct loader *l, u8 *blob, u32 *at, const char *s)
{
	u32 pa = l->tables + *at;

	memcpy(blob + *at, s, strlen(s) + 1);
	*at += (u32)strlen(s) + 1;
	return pa;
}

/* The tables, with a memory map of `count` entries: free() it. */
static u8 *build_tables(const struct loader *l, const struct e820_entry *map, unsigned count, u64 low_size)
{
	u32 mmap = INFO_SIZE, mods = mmap + MMAP_ROOM * MMAP_ENTRY, strings = strings_offset(l);
	u8 *blob = calloc(1, tables_size(l));

	if (!blob)
		fatal("out of memory");
	put32(blob + 0, INFO_MEMORY | INFO_BOOT_DEVICE | INFO_CMDLINE | INFO_MODS | INFO_MMAP | INFO_LOADER_NAME);
	put32(blob + 4, LOW_RAM_END >> 10);
	put32(blob + 8, (u32)((low_size - HIGH_RAM) >> 10));
	put32(blob + 12, 0x8000ffff); /* first disk, no partition */
	put32(blob + 16, put_string(l, blob, &strings, l->cmdline));
	put32(blob + 20, l->module_count);
	put32(blob + 24, l->tables + mods);
	put32(blob + 44, count * MMAP_ENTRY);
	put32(blob + 48, l->tables + mmap);
	put32(blob + 64, put_string(l, blob, &strings, loader_name));
	for (unsigned i = 0; i < count; i++) {
		put32(blob + mmap + i * MMAP_ENTRY, MMAP_ENTRY - 4); /* size: without this field */
		memcpy(blob + mmap + i * MMAP_ENTRY + 4, &map[i], sizeof(map[i]));
	}
	for (unsigned i = 0; i < l->module_count; i++) {
		u8 *m = blob + mods + i * MOD_ENTRY;

		put32(m, l->modules[i].addr);
		put32(m + 4, l->modules[i].addr + (u32)l->modules[i].size);
		put32(m + 8, put_string(l, blob, &strings, l->modules[i].string));
	}
	return blob;
}

static void load(struct loader *l, struct vm *vm, struct boot_entry *entry)
{
	struct e820_entry map[E820_MAX];
	unsigned count = load_e820(vm, map);
	u8 *blob = build_tables(l, map, count, vm->mem.low_size);

	load_segments(l, vm);
	load_write(vm, l->tables, blob, tables_size(l));
	load_gdt(vm, l->tables + strings_offset(l) - GDT_SIZE, 0x08, entry);
	free(blob);
	entry->eip = l->entry;
	entry->esp = l->tables == TABLES_LOW ? TABLES_LOW : LOW_RAM_END;
	entry->eax = BOOT_MAGIC;
	entry->ebx = l->tables;
}

/* Kernel and modules are one piece under -bios; its first address, and its end in *end. */
static u64 extent(const struct loader *l, u64 *end)
{
	u64 start = UINT64_MAX;

	*end = 0;
	for (unsigned i = 0; i < l->segment_count; i++) {
		start = MIN(start, (u64)l->segments[i].addr);
		*end = MAX(*end, (u64)l->segments[i].addr + l->segments[i].mem_size);
	}
	for (unsigned i = 0; i < l->module_count; i++)
		*end = MAX(*end, (u64)l->modules[i].addr + l->modules[i].size);
	return start;
}

static void check_extent(const struct loader *l)
{
	u64 end, start = extent(l, &end);

	if (start < FIRMWARE_LOW || (start < HIGH_RAM && end > LOW_RAM_END))
		fatal("kernel %s: with -bios, kernel and modules must lie between %#x and %#x, or above 1 MiB", l->kernel.path,
		      FIRMWARE_LOW, LOW_RAM_END);
}

/* The memory map and its sizes are left to the option ROM. */
static void publish(struct loader *l, struct vm *vm)
{
	u64 end, start = extent(l, &end);
	u8 *tables = build_tables(l, NULL, 0, HIGH_RAM), *image = calloc(1, end - start), entry[4];

	if (!image)
		fatal("out of memory");
	for (unsigned i = 0; i < l->segment_count; i++)
		memcpy(image + (l->segments[i].addr - start), l->kernel.data + l->segments[i].file_offset, l->segments[i].file_size);
	for (unsigned i = 0; i < l->module_count; i++)
		memcpy(image + (l->modules[i].addr - start), l->modules[i].data, l->modules[i].size);
	put32(entry, l->entry);
	load_publish_item(vm, ITEM_KERNEL, (u32)start, image, end - start);
	load_publish_item(vm, ITEM_INITRD, l->tables, tables, tables_size(l));
	fw_cfg_add_item(vm->fw_cfg, FW_CFG_KERNEL_ENTRY, entry, sizeof(entry));
	load_publish_rom(vm, "multiboot");
	free(tables);
	free(image);
}

void multiboot_open(struct loader *l, struct vm *vm)
{
	const struct image *k = &l->kernel;
	const char *append = vm->opt.append;
	u64 low_size = load_low_size(l, vm);
	long header = find_header(k);
	u32 flags = le32(k->data + header + 4);

	if (flags & 0xffff & ~FLAG_KNOWN)
		fatal("kernel %s: its Multiboot header demands features that Ringer does not have: flags %#x", k->path,
		      flags & 0xffff & ~FLAG_KNOWN);
	if (flags & FLAG_ADDRESS)
		plan_kludge(l, low_size, (u32)header);
	else
		plan_elf(l, low_size);
	if (l->entry >= low_size)
		fatal("kernel %s: its entry point %#x lies outside memory", k->path, l->entry);
	if (asprintf(&l->cmdline, "%s%s%s", k->path, append && *append ? " " : "", append ? append : "") < 0)
		fatal("out of memory");
	if (vm->opt.initrd)
		read_modules(l, vm->opt.initrd);
	plan_tables(l, low_size, plan_modules(l, low_size));
	if (vm->opt.bios)
		check_extent(l);
	l->load = load;
	l->publish = publish;
}
