/*
 * Guest-physical memory: the memfd behind guest RAM, its linear view, physical access for devices and loaders, and memory-mapped devices.
 *
 * Invariants: the linear view is one MAP_SHARED mapping of the whole memfd at a 2 MiB-aligned address; it is never unmapped, moved or
 * protected while the machine lives. RAM below and above the PCI hole is contiguous in it. A write by phys_write is followed by
 * smc_phys_write, so no translation outlives the bytes that it was made from.
 */
#include "monitor/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/smc.h"
#include "monitor/log.h"
#include "monitor/vm.h"

#define HUGE_SIZE (2ull << 20)

int memory_init(struct memory *m, u64 size)
{
	u8 *area, *ram;
	int err;

	memset(m, 0, sizeof(*m));
	m->fd = -1;
	if (size == 0 || size % PAGE_SIZE || size > SIZE_MAX / 2)
		return -EINVAL;
	m->fd = memfd_create("ringer-ram", MFD_CLOEXEC);
	if (m->fd < 0)
		return -errno;
	if (ftruncate(m->fd, (off_t)size) < 0)
		goto fail;
	area = mmap(NULL, size + HUGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		goto fail;
	ram = (u8 *)(((uintptr_t)area + HUGE_SIZE - 1) & ~(uintptr_t)(HUGE_SIZE - 1));
	if (mmap(ram, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, m->fd, 0) == MAP_FAILED) {
		err = errno;
		munmap(area, size + HUGE_SIZE);
		errno = err;
		goto fail;
	}
	if (ram > area)
		munmap(area, (size_t)(ram - area));
	munmap(ram + size, (size_t)(area + HUGE_SIZE - ram));
	/* Where the host's shmem policy allows it; a refusal costs speed only. */
	madvise(ram, size, MADV_HUGEPAGE);
	m->ram = ram;
	m->ram_size = size;
	m->low_size = MIN(size, RAM_LOW_MAX);
	m->a20_open = true;
	return 0;
fail:
	err = errno;
	close(m->fd);
	m->fd = -1;
	return -err;
}

void memory_free(struct memory *m)
{
	if (m->ram)
		munmap(m->ram, m->ram_size);
	if (m->fd >= 0)
		close(m->fd);
	memset(m, 0, sizeof(*m));
	m->fd = -1;
}

void mmio_register(struct memory *m, const struct mmio_range *r)
{
	if (m->mmio_count == MAX_MMIO_RANGES)
		fatal("too many memory-mapped regions");
	if (r->size == 0 || r->base + r->size < r->base)
		fatal("bad memory-mapped region at %#llx", (unsigned long long)r->base);
	for (unsigned i = 0; i < m->mmio_count; i++) {
		const struct mmio_range *o = &m->mmio[i];

		if (r->base < o->base + o->size && o->base < r->base + r->size)
			fatal("memory at %#llx is claimed twice", (unsigned long long)r->base);
	}
	m->mmio[m->mmio_count++] = *r;
}

/* How much of [pa, pa + n) can be handled as one piece: up to the page's end. */
static size_t piece(u64 pa, size_t n)
{
	return MIN(n, (size_t)(PAGE_SIZE - (pa & PAGE_MASK)));
}

bool phys_read(struct vm *vm, u64 pa, void *buf, size_t n)
{
	bool whole = true;
	u8 *out = buf;

	while (n) {
		size_t k = piece(pa, n);
		const u8 *p = ram_ptr(&vm->mem, pa);

		if (p)
			memcpy(out, p, k);
		else
			memset(out, 0xff, k);
		whole = whole && p;
		pa += k;
		out += k;
		n -= k;
	}
	return whole;
}

bool phys_write(struct vm *vm, u64 pa, const void *buf, size_t n)
{
	bool whole = true;
	const u8 *in = buf;

	while (n) {
		size_t k = piece(pa, n);
		u8 *p = ram_ptr(&vm->mem, pa);

		if (p) {
			memcpy(p, in, k);
			if (vm->vcpu)
				smc_phys_write(vm, pa, k);
		}
		whole = whole && p;
		pa += k;
		in += k;
		n -= k;
	}
	return whole;
}

/* The region that holds the whole access, or NULL. */
static const struct mmio_range *find_mmio(const struct memory *m, u64 pa, unsigned size)
{
	for (unsigned i = 0; i < m->mmio_count; i++) {
		const struct mmio_range *r = &m->mmio[i];

		if (pa >= r->base && pa - r->base < r->size && r->size - (pa - r->base) >= size)
			return r;
	}
	return NULL;
}

static bool mmio_unclaimed(const struct memory *m, u64 pa, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		if (find_mmio(m, pa + i, 1))
			return false;
	return true;
}

static u32 size_mask(unsigned size)
{
	return size >= 4 ? 0xffffffffu : BIT(8 * size) - 1;
}

static u32 read_locked(const struct memory *m, u64 pa, unsigned size)
{
	const struct mmio_range *r = find_mmio(m, pa, size);

	if (r)
		return (r->read ? r->read(r->opaque, pa - r->base, size) : 0xffffffffu) & size_mask(size);
	if (size == 1)
		return 0xff;
	size /= 2;
	u32 low = read_locked(m, pa, size);
	return low | read_locked(m, pa + size, size) << (8 * size);
}

static void write_locked(const struct memory *m, u64 pa, u32 value, unsigned size)
{
	const struct mmio_range *r = find_mmio(m, pa, size);

	if (r) {
		if (r->write)
			r->write(r->opaque, pa - r->base, value & size_mask(size), size);
		return;
	}
	if (size == 1)
		return;
	size /= 2;
	write_locked(m, pa, value, size);
	write_locked(m, pa + size, value >> (8 * size), size);
}

u32 mmio_read(struct vm *vm, u64 pa, unsigned size)
{
	u32 value;

	if (mmio_unclaimed(&vm->mem, pa, size)) {
		log_to(LOG_IO, "io: read of unclaimed memory %#llx, %u bytes", (unsigned long long)pa, size);
		return size_mask(size);
	}
	pthread_mutex_lock(&vm->lock);
	value = read_locked(&vm->mem, pa, size);
	pthread_mutex_unlock(&vm->lock);
	return value;
}

void mmio_write(struct vm *vm, u64 pa, u32 value, unsigned size)
{
	if (mmio_unclaimed(&vm->mem, pa, size)) {
		log_to(LOG_IO, "io: write of %#x to unclaimed memory %#llx, %u bytes", value & size_mask(size), (unsigned long long)pa,
		       size);
		return;
	}
	pthread_mutex_lock(&vm->lock);
	write_locked(&vm->mem, pa, value, size);
	pthread_mutex_unlock(&vm->lock);
}
