/*
 * Guest-physical memory. Guest RAM is one memfd, mapped once, linearly, at `ram` (the "linear view"): guest-physical [0, low_size) at
 * ram[0..], guest-physical [4 GiB, ...) at ram[low_size..]. Everything else is memory-mapped I/O or nothing (reads as ones).
 */
#ifndef RINGER_MEMORY_H
#define RINGER_MEMORY_H

#include "monitor/types.h"

struct vm;

#define RAM_LOW_MAX   0xc0000000ull /* the PCI hole starts here at the latest */
#define RAM_HIGH_BASE 0x100000000ull

/* Memory-mapped device regions; handlers run with vm->lock held. size is 1, 2, 4 (others are split). */
struct mmio_range {
	u64 base, size;
	u32 (*read)(void *opaque, u64 offset, unsigned size);
	void (*write)(void *opaque, u64 offset, u32 value, unsigned size);
	void *opaque;
};
#define MAX_MMIO_RANGES 16

struct memory {
	int fd;
	u8 *ram;       /* linear view, read-write; 2 MiB aligned */
	u64 ram_size;  /* bytes, a multiple of 4 KiB */
	u64 low_size;  /* bytes below the PCI hole */
	bool a20_open; /* false: address bit 20 reads as 0 (used by the CPU's page walk and fetch) */
	struct mmio_range mmio[MAX_MMIO_RANGES];
	unsigned mmio_count;
};

/* Creates guest RAM of `size` bytes (overcommitted, zero). Returns 0 or -errno. */
int memory_init(struct memory *m, u64 size);
void memory_free(struct memory *m);
void mmio_register(struct memory *m, const struct mmio_range *r);

/* The host address of a guest-physical address that lies in RAM, or NULL; the rest of its 4 KiB page is RAM as well. */
static inline u8 *ram_ptr(const struct memory *m, u64 pa)
{
	if (pa < m->low_size)
		return m->ram + pa;
	if (pa >= RAM_HIGH_BASE && pa - RAM_HIGH_BASE < m->ram_size - m->low_size)
		return m->ram + m->low_size + (pa - RAM_HIGH_BASE);
	return NULL;
}
/* Index of a RAM page in per-page arrays: (ram_ptr - ram) >> 12. */
static inline u32 ram_page(const struct memory *m, const u8 *p)
{
	return (u32)((u64)(p - m->ram) >> PAGE_SHIFT);
}

/*
 * Physical access for devices (DMA) and loaders: any range, any length; bytes outside RAM read as ones / are dropped, and the return
 * value is false. phys_write drops translations of code that it overwrites. Any thread with vm->lock, or before the vCPU runs.
 */
bool phys_read(struct vm *vm, u64 pa, void *buf, size_t n);
bool phys_write(struct vm *vm, u64 pa, const void *buf, size_t n);
/* One MMIO access of 1, 2 or 4 bytes outside RAM; takes vm->lock. vCPU thread. */
u32 mmio_read(struct vm *vm, u64 pa, unsigned size);
void mmio_write(struct vm *vm, u64 pa, u32 value, unsigned size);

#endif
