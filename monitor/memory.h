/*
 * Guest-physical memory. Guest RAM is one memfd, mapped once, linearly, at `ram` (the "linear view"): guest-physical [0, low_size) at
 * ram[0..], guest-physical [4 GiB, ...) at ram[low_size..]. Behind RAM the view goes on with board memory: what ROMs and video memory are
 * made of. The chipset maps pieces of it above RAM, and decides page by page what the 384 KiB below 1 MiB are. Everything else is
 * memory-mapped I/O or nothing (reads as ones).
 *
 * Invariant: after a change of the map the vCPU drops every translation, table entry and mapping before its next instruction (EV_MAP).
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

/* Board memory is reserved, and costs nothing until it is written. */
#define BOARD_BYTES    (64ull << 20)
#define MAX_BOARD_MAPS 8
#define ISA_HOLE_BASE  0xa0000ull
#define ISA_HOLE_END   0x100000ull
#define ISA_HOLE_PAGES 96
#define MEMORY_NOTHING (~0ull) /* an offset: no memory, so MMIO or ones */

struct memory {
	int fd;
	u8 *ram;       /* linear view, read-write; 2 MiB aligned */
	u64 ram_size;  /* bytes, a multiple of 4 KiB */
	u64 low_size;  /* bytes below the PCI hole */
	bool a20_open; /* false: address bit 20 reads as 0 (used by the CPU's page walk and fetch) */
	u64 board_used;
	/* By offset; where two overlap, the one of lower offset is there. */
	struct board_map {
		u64 base, size, offset; /* offset in the linear view; size 0: free, as are all that follow */
		bool writable;
	} board[MAX_BOARD_MAPS];
	struct {
		u64 read, write; /* offsets in the linear view, or MEMORY_NOTHING */
	} isa[ISA_HOLE_PAGES];
	struct mmio_range mmio[MAX_MMIO_RANGES];
	u8 mmio_regs[MAX_MMIO_RANGES]; /* enum trace_regs: who they are, for -d io */
	unsigned mmio_count;
};

/* Creates guest RAM of `size` bytes (overcommitted, zero). Returns 0 or -errno. */
int memory_init(struct memory *m, u64 size);
void memory_free(struct memory *m);
/* The map as at the start: no board memory (what it held is gone), no regions. Before devices are made, or when they are gone. */
void memory_reset_map(struct memory *m);
/* Start-up only. Returns an index for mmio_move. */
unsigned mmio_register(struct memory *m, const struct mmio_range *r);
/* The region answers at another address, or nowhere (base MEMORY_NOTHING). vCPU thread with vm->lock, or before it runs. */
void mmio_move(struct vm *vm, unsigned index, u64 base);

/* ---- the memory map: vCPU thread with vm->lock (a device's handlers), or before it runs ---- */

/* `size` bytes (rounded up to pages) of fresh zero board memory; its offset in the linear view. Start-up; fatal() if there is no more. */
u64 memory_alloc(struct memory *m, u64 size);
/*
 * Maps board memory from `offset` on at guest-physical `base`, outside RAM; what was mapped from that offset moves. Unwritable memory
 * swallows writes. Where two maps overlap the one whose memory was allocated first is seen, until it moves away: so what is seen where
 * follows from where the maps are now. False if it would overlap RAM, or there are too many: then it is mapped nowhere.
 */
bool memory_map(struct vm *vm, u64 base, u64 size, u64 offset, bool writable);
void memory_unmap(struct vm *vm, u64 offset);
/*
 * What the pages of [base, base + size), within the ISA hole, read from and write to: offsets in the linear view, where RAM at
 * guest-physical x below 1 MiB has offset x, or MEMORY_NOTHING. At start all but the video memory's 128 KiB (which is MMIO) is RAM.
 */
void memory_map_isa(struct vm *vm, u64 base, u64 size, u64 read, u64 write);

/* Out of line parts of ram_ptr and memory_is_writable. */
u8 *memory_special_ptr(const struct memory *m, u64 pa);
bool memory_special_writable(const struct memory *m, u64 pa);

static inline bool memory_is_special(const struct memory *m, u64 pa)
{
	return pa - ISA_HOLE_BASE < ISA_HOLE_END - ISA_HOLE_BASE || pa >= m->low_size;
}
/*
 * The host address of what a guest-physical address reads as, if that is memory, or NULL; the rest of its 4 KiB page is memory as well.
 */
static inline u8 *ram_ptr(const struct memory *m, u64 pa)
{
	if (memory_is_special(m, pa))
		return memory_special_ptr(m, pa);
	return m->ram + pa;
}
/* Whether writes go to where reads come from, as they do but for ROM and shadowed pages. */
static inline bool memory_is_writable(const struct memory *m, u64 pa)
{
	return !memory_is_special(m, pa) || memory_special_writable(m, pa);
}
/* Pages of the linear view, for per-page arrays. */
static inline u32 memory_view_pages(const struct memory *m)
{
	return (u32)((m->ram_size + BOARD_BYTES) >> PAGE_SHIFT);
}
/* Index of a page in per-page arrays: (ram_ptr - ram) >> 12. */
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
/* Bytes within one page that is memory but not writable (memory_is_writable): to what lies beneath a shadowed ROM, or nowhere. */
void memory_write_special(struct vm *vm, u64 pa, const void *buf, size_t n);
/* One MMIO access of 1, 2 or 4 bytes outside RAM; takes vm->lock. vCPU thread. */
u32 mmio_read(struct vm *vm, u64 pa, unsigned size);
void mmio_write(struct vm *vm, u64 pa, u32 value, unsigned size);

#endif
