/*
 * Boot images: Linux bzImage, Multiboot as ELF or with its own addresses, initial RAM disks and modules, from any bytes.
 *
 * The input says how much memory there is, where it is split between kernel and initial RAM disk, and the rest is those two files. The
 * loader must end in a message, or load: twice, as at a reset, with the same outcome; what it wrote and where the kernel starts lies in
 * RAM, segments, modules and tables do not overlap.
 */
#include "tests/fuzz/catch.h"

#include <sys/mman.h>
#include <unistd.h>

#include "monitor/load_image.h"

#define RAM (16ull << 20)

static struct vm *vm;
static int kernel_fd, initrd_fd;
static char kernel_path[32], initrd_path[32], modules[160];

static int open_file(char *path)
{
	int fd = memfd_create("ringer-fuzz", MFD_CLOEXEC);

	REQUIRE(fd >= 0, "no file");
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static void set_file(int fd, const u8 *data, size_t n)
{
	REQUIRE(ftruncate(fd, 0) == 0 && pwrite(fd, data, n, 0) == (ssize_t)n, "the file cannot be written");
}

static void set_up(void)
{
	vm = calloc(1, sizeof(*vm));
	vm->opt.ram_size = RAM;
	REQUIRE(vm_init(vm, RAM) == 0, "no machine");
	kernel_fd = open_file(kernel_path);
	initrd_fd = open_file(initrd_path);
	snprintf(modules, sizeof(modules), "%s one,%s,%s a,,b", initrd_path, initrd_path, initrd_path);
}

static void check_plan(const struct loader *l)
{
	u64 low = vm->mem.low_size;

	for (unsigned i = 0; i < l->segment_count; i++) {
		const struct load_segment *a = &l->segments[i];

		REQUIRE((u64)a->addr + a->mem_size <= low && a->file_size <= a->mem_size, "segment %u lies outside memory", i);
		REQUIRE((u64)a->file_offset + a->file_size <= l->kernel.size, "segment %u lies outside the file", i);
		for (unsigned k = 0; k < i; k++) {
			const struct load_segment *b = &l->segments[k];
			REQUIRE(a->addr >= (u64)b->addr + b->mem_size || b->addr >= (u64)a->addr + a->mem_size,
				"segments %u and %u overlap", i, k);
		}
	}
	for (unsigned i = 0; i < l->module_count; i++) {
		const struct image *m = &l->modules[i];

		REQUIRE((u64)m->addr + m->size <= low && m->addr >= HIGH_RAM, "module %u lies outside memory", i);
		for (unsigned k = 0; k < l->segment_count; k++)
			REQUIRE(m->addr >= (u64)l->segments[k].addr + l->segments[k].mem_size ||
					l->segments[k].addr >= (u64)m->addr + m->size,
				"module %u lies on segment %u", i, k);
		REQUIRE(!i || m->addr >= (u64)l->modules[i - 1].addr + l->modules[i - 1].size, "modules %u and %u overlap", i - 1, i);
	}
}

/* The parts of the images that nothing may have been written over. */
static void check_memory(const struct loader *l)
{
	for (unsigned i = 0; i < l->module_count; i++)
		REQUIRE(!memcmp(ram_ptr(&vm->mem, l->modules[i].addr), l->modules[i].data, l->modules[i].size), "module %u is damaged", i);
	for (unsigned i = 0; i < l->segment_count; i++) {
		const struct load_segment *s = &l->segments[i];

		if (s->addr >= HIGH_RAM)
			REQUIRE(!memcmp(ram_ptr(&vm->mem, s->addr), l->kernel.data + s->file_offset, s->file_size), "segment %u is damaged",
				i);
	}
}

static void boot(void)
{
	struct boot_entry first, second;
	struct loader *l = loader_open(vm);

	check_plan(l);
	loader_load(l, vm, &first);
	check_memory(l);
	loader_load(l, vm, &second);
	check_memory(l);
	REQUIRE(!memcmp(&first, &second, sizeof(first)), "the second boot differs");
	REQUIRE(first.eip < vm->mem.low_size && first.esp <= vm->mem.low_size, "starts at %#x with its stack at %#x", first.eip, first.esp);
	REQUIRE(first.gdt_base + first.gdt_limit < vm->mem.low_size && first.cs + 7u <= first.gdt_limit && first.ds + 7u <= first.gdt_limit,
		"GDT at %#x", first.gdt_base);
	loader_close(l);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const u64 sizes[] = {2ull << 20, 4ull << 20, 16ull << 20, 1ull << 20};
	struct input in = {data, size};

	if (!vm)
		set_up();
	u8 how = take8(&in);
	size_t split = take16(&in) * 4u;
	/* What lies beyond becomes memory above 4 GiB. */
	vm->mem.low_size = sizes[how & 3];
	split = MIN(split, in.n);
	set_file(kernel_fd, in.p, in.n - split);
	set_file(initrd_fd, in.p + in.n - split, split);
	vm->opt.kernel = kernel_path;
	vm->opt.initrd = !(how & 4) ? NULL : how & 8 ? modules : initrd_path;
	vm->opt.append = !(how & 16) ? NULL : how & 32 ? "console=ttyS0 a long command line" : "";
	(void)RUNS(boot());
	REQUIRE(!strstr(caught.message, "wrote outside memory"), "%s", caught.message);
	return 0;
}
