/*
 * Guest-physical memory: the memfd behind guest RAM, its linear view, physical access for devices and loaders, and memory-mapped devices.
 *
 * Invariants: the linear view is one MAP_SHARED mapping of the whole memfd at a 2 MiB-aligned address; it is never unmapped, moved or
 * protected while the machine lives. RAM below and above the PCI hole is contiguous in it. A write by phys_write is followed by
 * smc_phys_write, so no translation outlives the bytes that it was made from.
 */
#include "monitor/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/smc.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"

#define HUGE_SIZE (2ull << 20)
/* The video memory's part of the ISA hole. */
#define VIDEO_END 0xc0000ull

void memory_reset_map(struct memory *m)
{
	/* A hole reads as zeros. Where the host cannot make one, contents stay, which only a machine made anew would see. */
	if (m->board_used)
		fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)m->ram_size, (off_t)m->board_used);
	m->board_used = 0;
	m->mmio_count = 0;
	memset(m->board, 0, sizeof(m->board));
	for (unsigned i = 0; i < ISA_HOLE_PAGES; i++) {
		u64 at = ISA_HOLE_BASE + i * PAGE_SIZE;

		m->isa[i].read = m->isa[i].write = at < VIDEO_END || at >= m->ram_size ? MEMORY_NOTHING : at;
	}
}

int memory_init(struct memory *m, u64 size)
{
	u8 *area, *ram;
	u64 view;
	int err;

	memset(m, 0, sizeof(*m));
	m->fd = -1;
	if (size == 0 || size % PAGE_SIZE || size > SIZE_MAX / 2)
		return -EINVAL;
	m->fd = memfd_create("ringer-ram", MFD_CLOEXEC);
	if (m->fd < 0)
		return -errno;
	view = size + BOARD_BYTES;
	if (ftruncate(m->fd, (off_t)view) < 0)
		goto fail;
	area = mmap(NULL, view + HUGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		goto fail;
	ram = (u8 *)(((uintptr_t)area + HUGE_SIZE - 1) & ~(uintptr_t)(HUGE_SIZE - 1));
	if (mmap(ram, view, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, m->fd, 0) == MAP_FAILED) {
		err = errno;
		munmap(area, view + HUGE_SIZE);
		errno = err;
		goto fail;
	}
	if (ram > area)
		munmap(area, (size_t)(ram - area));
	munmap(ram + view, (size_t)(area + HUGE_SIZE - ram));
	/* Where the host's shmem policy allows it; a refusal costs speed only. */
	madvise(ram, size, MADV_HUGEPAGE);
	m->ram = ram;
	m->ram_size = size;
	m->low_size = MIN(size, RAM_LOW_MAX);
	m->a20_open = true;
	memory_reset_map(m);
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
		munmap(m->ram, m->ram_size + BOARD_BYTES);
	if (m->fd >= 0)
		close(m->fd);
	memset(m, 0, sizeof(*m));
	m->fd = -1;
}

static bool overlaps(u64 a, u64 a_size, u64 b, u64 b_size)
{
	return a < b + b_size && b < a + a_size;
}

unsigned mmio_register(struct memory *m, const struct mmio_range *r)
{
	if (m->mmio_count == MAX_MMIO_RANGES)
		fatal("too many memory-mapped regions");
	if (r->size == 0 || (r->base != MEMORY_NOTHING && r->base + r->size < r->base))
		fatal("bad memory-mapped region at %#llx", (unsigned long long)r->base);
	for (unsigned i = 0; i < m->mmio_count; i++)
		if (r->base != MEMORY_NOTHING && m->mmio[i].base != MEMORY_NOTHING &&
		    overlaps(r->base, r->size, m->mmio[i].base, m->mmio[i].size))
			fatal("memory at %#llx is claimed twice", (unsigned long long)r->base);
	m->mmio_regs[m->mmio_count] = REGS_NONE;
	m->mmio[m->mmio_count] = *r;
	return m->mmio_count++;
}

void mmio_move(struct vm *vm, unsigned index, u64 base)
{
	/* Nothing is cached of a region: every access looks here. */
	vm->mem.mmio[index].base = base;
}

/* ---- the map ---- */

static void map_changed(struct vm *vm)
{
	if (vm->vcpu)
		vcpu_set_event(vm->vcpu, EV_MAP);
}

u64 memory_alloc(struct memory *m, u64 size)
{
	u64 offset = m->ram_size + m->board_used;

	size = (size + PAGE_MASK) & ~(u64)PAGE_MASK;
	if (size > BOARD_BYTES - m->board_used)
		fatal("no memory left for ROMs and video memory");
	m->board_used += size;
	return offset;
}

static bool overlaps_ram(const struct memory *m, u64 base, u64 size)
{
	return overlaps(base, size, 0, MAX(m->low_size, ISA_HOLE_END)) ||
	       overlaps(base, size, RAM_HIGH_BASE, m->ram_size - m->low_size + PAGE_SIZE);
}

bool memory_map(struct vm *vm, u64 base, u64 size, u64 offset, bool writable)
{
	struct memory *m = &vm->mem;
	unsigned i = MAX_BOARD_MAPS - 1;

	memory_unmap(vm, offset);
	if ((base | size | offset) & PAGE_MASK || !size || base + size < base || overlaps_ram(m, base, size) || m->board[i].size)
		return false;
	/* By offset: what was allocated first is found first, whichever was mapped first. */
	for (; i > 0 && (!m->board[i - 1].size || m->board[i - 1].offset > offset); i--)
		m->board[i] = m->board[i - 1];
	m->board[i] = (struct board_map){base, size, offset, writable};
	map_changed(vm);
	return true;
}

void memory_unmap(struct vm *vm, u64 offset)
{
	struct memory *m = &vm->mem;

	for (unsigned i = 0; i < MAX_BOARD_MAPS; i++) {
		if (!m->board[i].size || m->board[i].offset != offset)
			continue;
		memmove(&m->board[i], &m->board[i + 1], (MAX_BOARD_MAPS - 1 - i) * sizeof(m->board[0]));
		m->board[MAX_BOARD_MAPS - 1] = (struct board_map){0};
		map_changed(vm);
		return;
	}
}

void memory_map_isa(struct vm *vm, u64 base, u64 size, u64 read, u64 write)
{
	struct memory *m = &vm->mem;

	for (u64 at = 0; at < size; at += PAGE_SIZE) {
		u64 page = (base + at - ISA_HOLE_BASE) >> PAGE_SHIFT;

		if (page >= ISA_HOLE_PAGES)
			fatal("%#llx is not in the ISA hole", (unsigned long long)(base + at));
		m->isa[page].read = read == MEMORY_NOTHING ? MEMORY_NOTHING : read + at;
		m->isa[page].write = write == MEMORY_NOTHING ? MEMORY_NOTHING : write + at;
	}
	map_changed(vm);
}

static const struct board_map *find_board(const struct memory *m, u64 pa)
{
	for (unsigned i = 0; i < MAX_BOARD_MAPS; i++)
		if (pa - m->board[i].base < m->board[i].size)
			return &m->board[i];
	return NULL;
}

static bool in_isa_hole(u64 pa)
{
	return pa - ISA_HOLE_BASE < ISA_HOLE_END - ISA_HOLE_BASE;
}

u8 *memory_special_ptr(const struct memory *m, u64 pa)
{
	const struct board_map *b;

	if (in_isa_hole(pa)) {
		u64 page = m->isa[(pa - ISA_HOLE_BASE) >> PAGE_SHIFT].read;
		return page == MEMORY_NOTHING ? NULL : m->ram + page + (pa & PAGE_MASK);
	}
	if (pa >= RAM_HIGH_BASE && pa - RAM_HIGH_BASE < m->ram_size - m->low_size)
		return m->ram + m->low_size + (pa - RAM_HIGH_BASE);
	b = find_board(m, pa);
	return b ? m->ram + b->offset + (pa - b->base) : NULL;
}

bool memory_special_writable(const struct memory *m, u64 pa)
{
	const struct board_map *b;

	if (in_isa_hole(pa)) {
		u64 page = (pa - ISA_HOLE_BASE) >> PAGE_SHIFT;
		return m->isa[page].read == m->isa[page].write;
	}
	if (pa >= RAM_HIGH_BASE && pa - RAM_HIGH_BASE < m->ram_size - m->low_size)
		return true;
	b = find_board(m, pa);
	return !b || b->writable;
}

void memory_write_special(struct vm *vm, u64 pa, const void *buf, size_t n)
{
	struct memory *m = &vm->mem;
	u64 page = in_isa_hole(pa) ? m->isa[(pa - ISA_HOLE_BASE) >> PAGE_SHIFT].write : MEMORY_NOTHING;
	const u8 *in = buf;

	/* No translation was made from what cannot be read. Bytes one by one: the guest's FPU state may be in the registers. */
	for (size_t i = 0; page != MEMORY_NOTHING && i < n; i++)
		((volatile u8 *)m->ram)[page + (pa & PAGE_MASK) + i] = in[i];
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

		if (p && !memory_is_writable(&vm->mem, pa)) {
			memory_write_special(vm, pa, in, k);
		} else if (p) {
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

static u32 read_locked(struct vm *vm, u64 pa, unsigned size)
{
	const struct mmio_range *r = find_mmio(&vm->mem, pa, size);

	if (r) {
		u32 value = (r->read ? r->read(r->opaque, pa - r->base, size) : 0xffffffffu) & size_mask(size);

		if (log_on(LOG_IO | LOG_TRACE))
			trace_memory(vm, (int)(r - vm->mem.mmio), pa, value, size, false);
		return value;
	}
	if (size == 1)
		return 0xff;
	size /= 2;
	u32 low = read_locked(vm, pa, size);
	return low | read_locked(vm, pa + size, size) << (8 * size);
}

static void write_locked(struct vm *vm, u64 pa, u32 value, unsigned size)
{
	const struct mmio_range *r = find_mmio(&vm->mem, pa, size);

	if (r) {
		if (log_on(LOG_IO | LOG_TRACE))
			trace_memory(vm, (int)(r - vm->mem.mmio), pa, value & size_mask(size), size, true);
		if (r->write)
			r->write(r->opaque, pa - r->base, value & size_mask(size), size);
		return;
	}
	if (size == 1)
		return;
	size /= 2;
	write_locked(vm, pa, value, size);
	write_locked(vm, pa + size, value >> (8 * size), size);
}

u32 mmio_read(struct vm *vm, u64 pa, unsigned size)
{
	u32 value;

	if (!find_mmio(&vm->mem, pa, size) && mmio_unclaimed(&vm->mem, pa, size)) {
		if (log_on(LOG_IO))
			trace_memory(vm, -1, pa, size_mask(size), size, false);
		return size_mask(size);
	}
	vm_lock_access(vm);
	value = read_locked(vm, pa, size);
	pthread_mutex_unlock(&vm->lock);
	return value;
}

void mmio_write(struct vm *vm, u64 pa, u32 value, unsigned size)
{
	if (!find_mmio(&vm->mem, pa, size) && mmio_unclaimed(&vm->mem, pa, size)) {
		if (log_on(LOG_IO))
			trace_memory(vm, -1, pa, value & size_mask(size), size, true);
		return;
	}
	vm_lock_access(vm);
	write_locked(vm, pa, value, size);
	pthread_mutex_unlock(&vm->lock);
}
