/*
 * Shadow page tables against a model of a TLB: the flat tables of the checked flavour, and windows.
 *
 * The input is a list of operations on one vCPU: table entries written, INVLPG, CR3 loads, paging modes switched, code translated, and
 * accesses by both privileges, through the flat tables and through windows. The model keeps, of a few linear pages, every translation that
 * a TLB might hold: all that the tables have said since the page was last invalidated (SDM Vol. 3A 4.10). An access that succeeds must
 * have gone to one of them, with its rights and with D set for a write; one that faults must do so with what a walk by the manual says now.
 * When the input is at its end, CR3 is loaded once more, and all host mappings (/proc/self/maps) must be what the tables say by then.
 *
 * The windows' bookkeeping (shadowpt/window_state.h) is checked, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/smc.h"
#include "cache/tc.h"
#include "monitor/cpuid.h"
#include "monitor/vm.h"
#include "shadowpt/softmmu.h"
#include "shadowpt/walk.h"
#include "shadowpt/window_state.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/refwalk.h"
#include "translator/mode.h"
#include "translator/translate.h"

#define RAM	    (4u << 20)
#define TABLES	    8u
#define TABLE_BASE  0x10000u
#define PAGES	    16u /* linear pages that are looked at */
#define MAX_ENTRIES 24u
#define MAX_MAPS    1000 /* so few that windows must be emptied for room */
#define TRIES	    3	 /* fills until an access must have got through */

/* A translation that a TLB might hold. */
struct entry {
	u64 pa;
	bool writable, global, large, user;
};

static struct vcpu *v;
static unsigned last_page; /* of the last access */
static int scratch;	   /* a file through which host addresses are probed */
static struct {
	unsigned count;
	struct entry entry[MAX_ENTRIES];
	bool any; /* too many to keep */
} tlb[PAGES][2];

static u32 table_at(unsigned n)
{
	return TABLE_BASE + n % TABLES * PAGE_SIZE;
}

static struct page_desc *page_desc_at(u64 pa)
{
	u8 *host = ram_ptr(&v->vm->mem, pa);

	return host ? smc_page(v, ram_page(&v->vm->mem, host)) : NULL;
}

static bool is_table(u64 pa)
{
	return pa - TABLE_BASE < TABLES * PAGE_SIZE;
}

static u32 page_at(unsigned n)
{
	static const u32 region[] = {0, 0x200000, 0x400000, 0xc0000000}, page[] = {0, 1, 15, 16};

	return region[n >> 2 & 3] + page[n & 3] * PAGE_SIZE;
}

/* What data frames hold: 8 bytes that name their place, and are no present entry of any table. */
static u64 tag(u64 pa)
{
	return (pa & ~7ull) << 32 | (pa & ~7ull);
}

static bool is_ram(u64 pa)
{
	return ram_ptr(&v->vm->mem, pa);
}

static u64 ram_at(u64 pa)
{
	u64 x;

	if (!is_ram(pa))
		return ~0ull;
	memcpy(&x, ram_ptr(&v->vm->mem, pa), 8);
	return x;
}

/* ---- the model ---- */

static void tlb_add(unsigned n, bool user, const struct ref_walk *r, bool writable)
{
	struct entry e = {r->pa & ~(u64)PAGE_MASK, writable, r->global, r->large, r->user};

	for (unsigned i = 0; i < tlb[n][user].count; i++)
		if (!memcmp(&tlb[n][user].entry[i], &e, sizeof(e)))
			return;
	if (tlb[n][user].count == MAX_ENTRIES)
		tlb[n][user].any = true;
	else
		tlb[n][user].entry[tlb[n][user].count++] = e;
}

static void tlb_learn(void)
{
	struct ref_machine m = ref_machine(v, v->features & CPUF_PSE36);

	for (unsigned n = 0; n < PAGES; n++) {
		for (int user = 0; user < 2; user++) {
			struct ref_walk r = ref_walk(&m, page_at(n), user ? ACC_USER : 0, false);

			if (r.error < 0 && r.accessed)
				tlb_add(n, user, &r, r.may_write && r.dirty);
		}
	}
}

/* The translation that an access is about to make; it may well overwrite the entries that it comes from. Returns the error, or -1. */
static int tlb_expect(unsigned n, u32 off, bool user, bool write)
{
	struct ref_machine m = ref_machine(v, v->features & CPUF_PSE36);
	struct ref_walk r = ref_walk(&m, page_at(n) + off, (user ? ACC_USER : 0) | (write ? ACC_WRITE : ACC_READ), false);

	if (r.error < 0)
		tlb_add(n, user, &r, r.may_write && (r.dirty || write));
	return r.error;
}

static void tlb_drop(unsigned n, bool globals, bool only_large)
{
	for (int user = 0; user < 2; user++) {
		unsigned kept = 0;

		for (unsigned i = 0; i < tlb[n][user].count; i++) {
			struct entry e = tlb[n][user].entry[i];

			if ((e.global && !globals) || (only_large && !e.large))
				tlb[n][user].entry[kept++] = e;
		}
		tlb[n][user].count = kept;
		if (globals && !only_large)
			tlb[n][user].any = false;
	}
}

static void tlb_flush(bool globals)
{
	for (unsigned n = 0; n < PAGES; n++)
		tlb_drop(n, globals, false);
	tlb_learn();
}

/* All of a large page goes with any address in it (4.10.4.1). */
static void tlb_invlpg(unsigned n)
{
	bool large = false;

	for (int user = 0; user < 2; user++)
		for (unsigned i = 0; i < tlb[n][user].count; i++)
			large |= tlb[n][user].entry[i].large;
	tlb_drop(n, true, false);
	for (unsigned k = 0; large && k < PAGES; k++)
		if (page_at(k) >> 21 == page_at(n) >> 21)
			tlb_drop(k, true, true);
	tlb_learn();
}

/*
 * An access of 8 bytes at offset `off` of page n has succeeded. Reads: it yielded `value`. Writes: `value` was written, and must be found.
 * in_window: NULL, or where.
 */
static void check_success(unsigned n, bool user, u32 off, bool write, u64 value, const struct window *in_window)
{
	bool found = false;

	tlb_learn();
	for (unsigned i = 0; i < tlb[n][user].count; i++) {
		const struct entry *e = &tlb[n][user].entry[i];
		u64 pa = e->pa + off;

		if ((write && !e->writable) || (in_window && e->user != !in_window->kernel))
			continue;
		if (write && !is_ram(pa)) {
			found |= !in_window;
			continue;
		}
		if (ram_at(pa) != value || (in_window && !is_ram(pa)))
			continue;
		if (write && in_window) {
			struct page_desc *d = page_desc_at(pa);
			REQUIRE(!d->granules && !d->traces, "page %#llx is writable in a window, with %s in it", (unsigned long long)pa,
				d->traces ? "tables" : "code");
		}
		found = true;
		/* What was data is again as it was. */
		if (write && !is_table(pa)) {
			u64 was = tag(pa);
			memcpy(ram_ptr(&v->vm->mem, pa), &was, 8);
		}
	}
	REQUIRE(found || tlb[n][user].any, "%s of %#x by %s %s%s: no translation allows it; value %#llx", write ? "write" : "read",
		page_at(n) + off, user ? "user" : "supervisor", in_window ? "in a window" : "by table",
		in_window && in_window->kernel ? " (the supervisor's)" : "", (unsigned long long)value);
	/* What was written may have been a table. */
	tlb_learn();
}

/* What is written must be found: nothing like it may be there already. The AVL bits of an entry make the difference. */
static u64 unlike(unsigned n, u32 off, u64 value)
{
	for (int user = 0; user < 2; user++) {
		for (unsigned i = 0; i < tlb[n][user].count; i++) {
			if (ram_at(tlb[n][user].entry[i].pa + off) == value)
				return unlike(n, off, value + 0x200);
		}
	}
	return value;
}

/* ---- operations ---- */

static u64 pick_entry(struct input *in)
{
	static const u32 others[] = {0x100000, 0x101000, 0x200000, 0x201000, 0x3ff000, 0x400000, 0xa0000, 0x80000000};
	u8 frame = take8(in);
	u16 flags = take16(in);
	u64 value = frame & 0x40 ? table_at(frame) : frame & 0x80 ? others[frame & 7] : 0x100000u + (frame & 0x3fu) * PAGE_SIZE;

	value |= flags & 0xfff;
	/* Mostly present. */
	if (!(flags & 0x3000))
		value &= ~1ull;
	else
		value |= 1;
	if ((flags & 0xc000) == 0xc000)
		value |= v->cr4 & CR4_PAE ? REF_XD : 0x2000;
	return value;
}

/* The leaf entry that maps a page, or the directory entry that does not. */
static u64 leaf_of(unsigned n)
{
	struct ref_machine m = ref_machine(v, v->features & CPUF_PSE36);
	struct ref_walk r = ref_walk(&m, page_at(n), 0, false);

	if (!r.table_pa)
		return r.pde_pa;
	return r.table_pa + (v->cr4 & CR4_PAE ? (page_at(n) >> 12 & 511) * 8 : (page_at(n) >> 12 & 1023) * 4);
}

/* Any entry of any table, or the one behind the last access. */
static void write_table(struct input *in, bool last)
{
	static const u16 indexes[] = {0, 1, 2, 15, 16, 512, 513, 527, 528, 768, 3, 14, 17, 511, 1023, 769};
	u8 where = take8(in);
	unsigned size = v->cr4 & CR4_PAE ? 8 : 4;
	u64 value = pick_entry(in), at = table_at(where) + indexes[where >> 4] * size % PAGE_SIZE;

	if (last && is_table(leaf_of(last_page)))
		at = leaf_of(last_page);
	phys_write(v->vm, at, &value, size);
	tlb_learn();
}

static void load_cr3(u8 how)
{
	v->cr3 = table_at(how);
	/* MOV CR3 loads them with PAE; here they hang on CR3, all but one. */
	for (unsigned i = 0; i < 4; i++)
		v->pdpte[i] = (table_at(how + i) | 1) & ~(u64)(how >> (4 + i) & 1);
	mmu_flush_nonglobal(v);
	tlb_flush(false);
}

static void set_mode(u8 bits)
{
	v->cr0 = CR0_PE | (bits & 1 ? 0 : CR0_PG) | (bits & 2 ? CR0_WP : 0);
	v->cr4 = (bits & 4 ? CR4_PAE : 0) | (bits & 8 ? CR4_PSE : 0) | (bits & 16 ? CR4_PGE : 0);
	v->efer = bits & 32 ? EFER_NXE : 0;
	mmu_flush_all(v);
	tlb_flush(true);
}

static void access_checked(unsigned n, u32 off, bool user, bool write, u64 value)
{
	static u64 got;
	int acc = user ? ACC_USER : 0, expected = tlb_expect(n, off, user, write), raised;

	got = write ? unlike(n, off, value) : 0;
	if (write)
		raised = CATCH(v, lin_write(v, page_at(n) + off, got, 8, acc));
	else
		raised = CATCH(v, got = lin_read(v, page_at(n) + off, 8, acc));
	if (raised == EXC_PF) {
		REQUIRE(expected == (int)v->pending.error_code && v->cr2 == page_at(n) + off,
			"%#x faults with %#x at %#x, the tables say %d", page_at(n) + off, v->pending.error_code, v->cr2, expected);
		return;
	}
	REQUIRE(raised == -1, "raised %d", raised);
	check_success(n, user, off, write, got, NULL);
}

/* Whether the host lets 8 bytes there be read (into *value) or written (from it). */
static bool host_access(u8 *host, bool write, u64 *value)
{
	if (write)
		return pwrite(scratch, value, 8, 0) == 8 && pread(scratch, host, 8, 0) == 8;
	return pwrite(scratch, host, 8, 0) == 8 && pread(scratch, value, 8, 0) == 8;
}

/* What a translated instruction does at privilege v->cpl. */
static void access_window(unsigned n, u32 off, bool write, u64 value)
{
	u32 error;
	bool user = v->cpl == 3;

	if (!window_enter(v)) {
		access_checked(n, off, user, write, value);
		return;
	}
	tlb_learn();
	for (int i = 0; i < TRIES; i++) {
		int expected = tlb_expect(n, off, user, write);
		u64 got = write ? unlike(n, off, value) : 0;

		if (host_access(v->window->base + page_at(n) + off, write, &got)) {
			check_success(n, user, off, write, got, v->window);
			return;
		}
		switch (window_fault(v, page_at(n) + off, write, &error)) {
		case WINDOW_FILLED:
			REQUIRE(expected == -1, "%#x is filled, the tables say %d", page_at(n) + off, expected);
			break;
		case WINDOW_TRUE_FAULT:
			REQUIRE(expected == (int)error, "%#x faults with %#x, the tables say %d", page_at(n) + off, error, expected);
			return;
		case WINDOW_GUILTY:
			access_checked(n, off, user, write, value);
			return;
		}
		tlb_learn();
	}
	REQUIRE(false, "%s of %#x is filled again and again", write ? "write" : "read", page_at(n) + off);
}

static void access_any(struct input *in, bool window)
{
	static const u16 offsets[] = {0, 8, 0x78, 0x800, 0xff0, 0xff8, 0x80, 0x1000 - 16};
	u8 where = take8(in), how = take8(in);
	bool write = how & 1;
	u64 value = write && (how & 2) ? pick_entry(in) : (u64)how << 8 | 0xabcd0000;

	if (write && (how & 4) && !(v->cr4 & CR4_PAE))
		value |= value << 32;
	v->cpl = where & 0x80 ? 3 : 0;
	last_page = where & 15;
	if (window)
		access_window(where & 15, offsets[where >> 4 & 7], write, value);
	else
		access_checked(where & 15, offsets[where >> 4 & 7], v->cpl == 3, write, value);
}

/* The policy's part: a window for the user, what the flat table has moved into it, and windows given up. */
static void change_windows(u8 op)
{
	v->cpl = 3;
	window_tick(v);
	if ((op & 0x10) && v->user_window) {
		tlb_learn();
		window_hand_over(v, v->user_window, INT64_MIN);
	}
	if (!(op & 0x20))
		return;
	v->cpl = op & 0x40 ? 3 : 0;
	v->vm->opt.flavour = FLAVOUR_AUTO;
	if (window_enter(v)) {
		v->window->account.balance = INT64_MIN / 2;
		REQUIRE(!window_enter(v), "a window that has nothing stays");
	}
	v->vm->opt.flavour = FLAVOUR_DIRECT;
	v->windows->kernel_waits = false;
}

/* Code is made of data frames' bytes, whatever they mean. */
static void translate_at(u8 where)
{
	v->cpl = 0;
	v->eip = 0x100000u + (where & 0x3fu) * PAGE_SIZE + (where & 0x40 ? 0xff8 : 0x70);
	v->mode = mode_compute(v);
	(void)CATCH(v, translate(v, v->eip));
	tlb_learn();
}

/* ---- at the end ---- */

static void check_bookkeeping(void)
{
	struct windows *ws = v->windows;
	u32 free = 0, held = 0, mappings = 0;

	for (u32 link = ws->free_region; link; link = ws->pool[link - 1].next_free)
		REQUIRE(++free <= POOL_REGIONS, "the free list is a ring");
	for (u32 i = 0; i <= WINDOW_COUNT; i++) {
		struct window *w = &ws->window[i];

		mappings += w->mappings;
		held += w->live_count;
		for (int k = 0; k < 4; k++)
			held += !!w->root[k];
		for (u32 k = 0; k < w->live_count; k++) {
			u32 link = w->region[w->live[k]], count = 0;

			REQUIRE(link, "region %#x lives and is not there", w->live[k]);
			struct region *r = region_at(v, link - 1);
			for (u32 j = 0; j < REGION_PAGES / 64; j++) {
				count += (u32)__builtin_popcountll(r->mapped[j]);
				REQUIRE(!(r->writable[j] & ~r->mapped[j]), "writable and not mapped");
			}
			REQUIRE(r->count == count && count && r->number == w->live[k] && r->window == i, "region %#x: %u pages, %u counted",
				r->number, count, r->count);
		}
	}
	REQUIRE(free + held == POOL_REGIONS, "of %u regions %u are free, %u in use", POOL_REGIONS, free, held);
	REQUIRE(mappings == ws->mappings, "%u mappings, %u counted", mappings, ws->mappings);
	REQUIRE(mappings <= ws->budget + 2 * ws->span, "%u mappings with a budget of %u", mappings, ws->budget);
}

/* A page that the host has mapped, in a window that has just been synchronized. */
static void check_host_page(const struct window *w, u32 linear, u64 offset, bool writable, const struct ref_machine *m)
{
	struct ref_walk r = ref_walk(m, linear, w->kernel ? 0 : ACC_USER, false);
	struct page_desc *d = smc_page(v, (u32)(offset >> PAGE_SHIFT));

	REQUIRE(r.error == -1 && r.pa == offset && r.user == !w->kernel && r.accessed,
		"%#x is mapped to %#llx in the %s window, the tables say %d, %#llx, U %d, A %d", linear, (unsigned long long)offset,
		w->kernel ? "supervisor's" : "user's", r.error, (unsigned long long)r.pa, r.user, r.accessed);
	REQUIRE(!writable || (r.may_write && r.dirty), "%#x is writable", linear);
	REQUIRE(!writable || (!d->granules && !d->traces), "%#x is writable and holds code or tables", linear);
}

static void check_host_mappings(bool strict)
{
	static char text[1 << 20];
	struct ref_machine m = ref_machine(v, v->features & CPUF_PSE36);
	struct windows *ws = v->windows;
	u32 seen[WINDOW_COUNT + 1] = {0}, pages[WINDOW_COUNT + 1] = {0};
	size_t n = 0;
	ssize_t got;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	while ((got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	text[n] = '\0';
	for (char *s = text; *s; s = strchr(s, '\n') + 1) {
		char *at, *perms;
		u64 from = strtoull(s, &at, 16), to = strtoull(at + 1, &at, 16), offset;
		perms = at + 1;
		offset = strtoull(perms + 5, NULL, 16);
		for (u32 i = 0; i <= WINDOW_COUNT; i++) {
			struct window *w = &ws->window[i];

			if (!w->base || from < (u64)w->base || from >= (u64)w->base + WINDOW_SIZE)
				continue;
			seen[i]++;
			if (perms[0] != 'r')
				continue;
			for (u64 a = from; a < to; a += PAGE_SIZE, offset += PAGE_SIZE) {
				u32 page = (u32)((a - (u64)w->base) >> PAGE_SHIFT);

				pages[i]++;
				REQUIRE(window_is_mapped(v, w, page), "window %u: page %#x is mapped, unknown to its owner", i, page);
				REQUIRE((perms[1] == 'w') == window_is_writable(v, i << 20 | page), "window %u: page %#x: %.4s", i, page,
					perms);
				if (strict && (w->kernel || w == v->user_window))
					check_host_page(w, page << PAGE_SHIFT, offset, perms[1] == 'w', &m);
			}
		}
	}
	for (u32 i = 0; i <= WINDOW_COUNT; i++) {
		struct window *w = &ws->window[i];
		u32 known = 0;

		for (u32 k = 0; k < w->live_count; k++)
			known += region_at(v, w->region[w->live[k]] - 1u)->count;
		REQUIRE(known == pages[i], "window %u: %u pages are mapped, %u known", i, pages[i], known);
		REQUIRE(seen[i] <= w->mappings + 2, "window %u: %u mappings, %u counted", i, seen[i], w->mappings);
	}
}

static void check_end(void)
{
	bool used = false;

	for (u32 i = 0; i <= WINDOW_COUNT; i++)
		used |= v->windows->window[i].used;
	check_bookkeeping();
	if (!used)
		return;
	check_host_mappings(false);
	mmu_flush_nonglobal(v);
	v->cpl = 3;
	window_enter(v);
	v->cpl = 0;
	window_enter(v);
	check_host_mappings(true);
	check_bookkeeping();
}

/* ---- life ---- */

static void set_up(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	vm->opt = (struct options){.ram_size = RAM, .tc_size = 1 << 20, .flavour = FLAVOUR_DIRECT, .max_maps = MAX_MAPS};
	REQUIRE(vm_init(vm, RAM) == 0, "no machine");
	v = vcpu_create(vm);
	scratch = memfd_create("ringer-fuzz", MFD_CLOEXEC);
	REQUIRE(scratch >= 0, "no file");
	for (u64 pa = 0; pa < RAM; pa += 8) {
		u64 x = tag(pa);
		memcpy(vm->mem.ram + pa, &x, 8);
	}
}

static void start_over(void)
{
	struct windows *ws = v->windows;

	fuzz_cpu_flat(v, 0);
	windows_drop(v);
	tc_flush(v);
	for (u32 i = 0; i < v->tc->page_count; i++)
		REQUIRE(!v->tc->pages[i].traces, "page %#x is traced by nobody", i);
	memset(v->tc->pages, 0, v->tc->page_count * sizeof(*v->tc->pages));
	memset(ws->guilty, 0, sizeof(ws->guilty));
	memset(ws->churn, 0, sizeof(ws->churn));
	memset(ws->heat, 0, sizeof(ws->heat));
	memset(v->vm->mem.ram + TABLE_BASE, 0, TABLES * PAGE_SIZE);
	memset(tlb, 0, sizeof(tlb));
	last_page = 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size};

	if (!v)
		set_up();
	start_over();
	set_mode(take8(&in));
	load_cr3(take8(&in));
	while (in.n) {
		u8 op = take8(&in);

		switch (op & 15) {
		case 0:
		case 1:
		case 2:
		case 3:
			write_table(&in, op & 0x80);
			break;
		case 4: {
			unsigned n = op & 0x80 ? last_page : op >> 4 | 8u * (last_page & 1);
			mmu_invlpg(v, page_at(n) + 4);
			tlb_invlpg(n);
			break;
		}
		case 5:
			load_cr3(op & 0x10 ? take8(&in) : (u8)(v->cr3 >> PAGE_SHIFT));
			break;
		case 6:
			if (op & 0x10)
				set_mode(take8(&in));
			break;
		case 7:
			change_windows(op);
			break;
		case 8:
		case 9:
		case 10:
			access_any(&in, false);
			break;
		case 11:
			if (op & 0x10)
				translate_at(take8(&in));
			break;
		default:
			access_any(&in, true);
			break;
		}
	}
	check_end();
	return 0;
}
