/* The translation cache's memory (see tc.h). */
#include "cache/tc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/jc.h"
#include "cache/smc.h"
#include "monitor/perf.h"
#include "monitor/vm.h"

/* Where the executable view goes: above a non-PIE program's text and heap start, below 2 GiB less the largest cache. */
#define TC_RX_FIRST 0x10000000ull
#define TC_RX_LAST  0x60000000ull
#define TC_RX_STEP  0x01000000ull

static void *map_low(u64 size, int prot, int flags, int fd)
{
	for (u64 at = TC_RX_FIRST; at + size <= TC_RX_LAST; at += TC_RX_STEP) {
		void *p = mmap((void *)at, size, prot, flags | MAP_FIXED_NOREPLACE, fd, 0);
		if (p == (void *)at)
			return p;
		if (p != MAP_FAILED)
			munmap(p, size);
	}
	return NULL;
}

static void *arena(u64 bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static bool map_views(struct tc *tc, u64 size)
{
	tc->fd = memfd_create("ringer-tc", MFD_CLOEXEC);
	if (tc->fd < 0 || ftruncate(tc->fd, (off_t)size) < 0)
		return false;
	tc->rw = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, tc->fd, 0);
	if (tc->rw == MAP_FAILED)
		tc->rw = NULL;
	tc->rx = tc->rw ? map_low(size, PROT_READ | PROT_EXEC, MAP_SHARED, tc->fd) : NULL;
	return tc->rx;
}

/* The same of anonymous memory: for perf asks its map of no other. A length of 0 has mremap map the same pages once more. */
static bool map_anonymous_views(struct tc *tc, u64 size)
{
	tc->rw = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tc->rw == MAP_FAILED)
		tc->rw = NULL;
	tc->rx = tc->rw ? map_low(size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1) : NULL;
	return tc->rx && mremap(tc->rw, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, tc->rx) == tc->rx &&
	       mprotect(tc->rx, size, PROT_READ | PROT_EXEC) == 0;
}

int tc_init(struct vcpu *v, u64 size)
{
	struct tc *tc = calloc(1, sizeof(*tc));
	if (!tc)
		return -ENOMEM;
	v->tc = tc;
	tc->size = size;
	tc->fd = -1;
	if (!(v->vm->opt.perfmap ? map_anonymous_views(tc, size) : map_views(tc, size)))
		return -ENOMEM;
	/* A TU is rarely below 128 host bytes, its instructions rarely below 8 each. */
	tc->tu_max = (u32)(size / 96);
	tc->insn_max = (u32)(size / 8);
	tc->exit_max = tc->tu_max * 4;
	tc->emu_max = (u32)(size / 32);
	tc->tus = arena(tc->tu_max * sizeof(*tc->tus));
	tc->insns = arena(tc->insn_max * sizeof(*tc->insns));
	tc->exits = arena(tc->exit_max * sizeof(*tc->exits));
	tc->emus = arena(tc->emu_max * sizeof(*tc->emus));
	tc->page_count = memory_view_pages(&v->vm->mem);
	tc->pages = arena(tc->page_count * sizeof(*tc->pages));
	if (!tc->rx || !tc->tus || !tc->insns || !tc->exits || !tc->emus || !tc->pages)
		return -ENOMEM;
	int error = jc_init(v);
	if (!error)
		link_reset(v);
	return error;
}

void tc_free(struct vcpu *v)
{
	struct tc *tc = v->tc;
	if (!tc)
		return;
	jc_free(v);
	if (tc->rw)
		munmap(tc->rw, tc->size);
	if (tc->rx)
		munmap(tc->rx, tc->size);
	if (tc->tus)
		munmap(tc->tus, tc->tu_max * sizeof(*tc->tus));
	if (tc->insns)
		munmap(tc->insns, tc->insn_max * sizeof(*tc->insns));
	if (tc->exits)
		munmap(tc->exits, tc->exit_max * sizeof(*tc->exits));
	if (tc->emus)
		munmap(tc->emus, tc->emu_max * sizeof(*tc->emus));
	if (tc->pages)
		munmap(tc->pages, tc->page_count * sizeof(*tc->pages));
	if (tc->fd >= 0)
		close(tc->fd);
	free(tc);
	v->tc = NULL;
}

void tc_flush(struct vcpu *v)
{
	struct tc *tc = v->tc;
	/* The host's FIP means nothing without the TUs. */
	fpu_save(v);
	/* Pages that held code are those of the TUs; the rest of the array stays untouched, and unpopulated. */
	for (u32 i = 0; i < tc->tu_count; i++) {
		struct tu *tu = &tc->tus[i];
		for (int k = 0; k < (tu->flags & TU_STRADDLES ? 2 : 1); k++) {
			struct page_desc *d = smc_page(v, tu->page[k]);
			d->granules = 0;
			d->tus = 0;
			d->dropped = 0;
		}
	}
	memset(tc->hash, 0, sizeof(tc->hash));
	tc->used = tc->tu_count = tc->insn_count = tc->exit_count = tc->emu_count = 0;
	link_reset(v);
	jc_flush_all(v);
	if (unlikely(v->perf != NULL))
		perf_flush(v);
	v->stats.tc_flushes++;
}

void tc_make_room(struct vcpu *v)
{
	struct tc *tc = v->tc;
	if (tc->used + TU_MAX_HOST > tc->size || tc->tu_count == tc->tu_max || tc->insn_count + TU_MAX_INSNS > tc->insn_max ||
	    tc->exit_count + TU_MAX_EXITS > tc->exit_max || tc->emu_count + TU_MAX_INSNS > tc->emu_max)
		tc_flush(v);
}
