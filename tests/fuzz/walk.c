/*
 * The guest page-table walk against the manual's (refwalk.h): two-level tables with and without PSE and PSE-36, PAE with and without NX;
 * tables that map each other and themselves, lie where there is no RAM, or beyond 4 GiB; with A20 closed as well.
 *
 * The input is a paging mode and a list of operations: write a table entry, access, change the mode. Ringer walks the machine's tables, the
 * reference a copy of them; after each access the two must say the same and have left the same A and D bits.
 */
#include "tests/fuzz/fuzz.h"

#include "monitor/cpuid.h"
#include "shadowpt/walk.h"
#include "tests/fuzz/refwalk.h"

#define LOW	   (2ull << 20)
#define HIGH	   (1ull << 20)
#define TABLES	   12u
#define LOW_TABLES 8u

static struct vcpu *v;
static u8 *copy; /* of the machine's RAM */

/* Where tables lie: low memory, on both sides of the bit that A20 clears, and from 4 GiB on. */
static u64 table_at(unsigned n)
{
	n %= TABLES;
	if (n >= LOW_TABLES)
		return 0x100000000ull + (n - LOW_TABLES) * PAGE_SIZE;
	return n & 1 ? 0x110000 + (n / 2) * PAGE_SIZE : 0x10000 + (n / 2) * PAGE_SIZE;
}

/* Where an entry points to: tables most of the time, data, nothing. */
static u64 frame_at(u8 select)
{
	static const u64 others[] = {0,		  0x1ff000,    0x200000,    0x400000,	 0x80000000,  0xfffff000,
				     0x100000000, 0x1000ff000, 0x100100000, 0xfffe00000, 0x300000000, 0xd0000000};

	return select < 0xc0 ? table_at(select) : others[(select & 0x3f) % ARRAY_SIZE(others)];
}

static void set_mode(u8 bits)
{
	v->cr0 = CR0_PE | (bits & 1 ? CR0_PG : 0) | (bits & 16 ? CR0_WP : 0);
	v->cr4 = (bits & 2 ? CR4_PAE : 0) | (bits & 4 ? CR4_PSE : 0) | (bits & 8 ? CR4_PGE : 0);
	v->efer = bits & 32 ? EFER_NXE : 0;
	v->features = bits & 64 ? v->features | CPUF_PSE36 : v->features & ~CPUF_PSE36;
	v->vm->mem.a20_open = !(bits & 128);
}

static void put(u64 pa, u64 value, unsigned size)
{
	u8 *p = ram_ptr(&v->vm->mem, pa);

	memcpy(p, &value, size);
	memcpy(copy + (p - v->vm->mem.ram), &value, size);
}

/* Few directory and table entries, so that accesses meet what was written. */
static u32 pick_linear(struct input *in)
{
	u8 where = take8(in), offset = take8(in);
	static const u16 low[] = {0, 1, 0x7ff, 0xfff};

	if (v->cr4 & CR4_PAE)
		return (where & 3u) << 30 | (where >> 2 & 3u) << 21 | (where & 0x80 ? 508u << 21 : 0) | (where >> 4 & 3u) << 12 |
		       (where & 0x40 ? 508u << 12 : 0) | low[offset & 3];
	return (where & 7u) << 22 | (where & 0x80 ? 1016u << 22 : 0) | (where >> 3 & 7u) << 12 | (where & 0x40 ? 1016u << 12 : 0) |
	       low[offset & 3];
}

static void write_entry(struct input *in)
{
	u8 table = take8(in), index = take8(in), frame = take8(in), odd = take8(in);
	u16 flags = take16(in);
	unsigned size = v->cr4 & CR4_PAE ? 8 : 4, entries = PAGE_SIZE / size;
	u64 value = frame_at(frame) | (flags & 0xfff);

	if (flags & 0x8000)
		value ^= 1ull << (12 + odd % 52);
	/* Half of them are directory entries. */
	u64 at = !(table & 0x80) ? table_at(table) : v->cr4 & CR4_PAE ? v->pdpte[table & 3] & ~(u64)PAGE_MASK : v->cr3;
	put(at + ((index & 7) + (index & 0x80 ? entries - 8 : 0)) * size, value, size);
}

static void access_both(struct input *in, bool peek)
{
	static const int kinds[] = {ACC_READ, ACC_WRITE, ACC_EXEC};
	u8 kind = take8(in);
	int acc = kinds[kind % 3] | (kind & 0x80 ? ACC_USER : 0);
	u32 linear = pick_linear(in);
	struct ref_machine m = ref_machine(v, v->features & CPUF_PSE36);
	struct walk w = {0};
	struct ref_walk r;
	u64 pa;

	m.ram = copy;
	if (peek) {
		r = ref_walk(&m, linear, ACC_READ, false);
		bool mapped = walk_peek(v, linear, &pa);
		REQUIRE(mapped == r.mapped && (!mapped || pa == r.pa), "%#x: peek %d %#llx, reference %d %#llx", linear, mapped,
			(unsigned long long)pa, r.mapped, (unsigned long long)r.pa);
		return;
	}
	int err = walk_translate(v, linear, acc, &w);
	r = ref_walk(&m, linear, acc, true);
	REQUIRE(err == r.error, "%#x, access %d: error code %d, reference %d", linear, acc, err, r.error);
	if (err >= 0)
		return;
	bool write = acc & ACC_WRITE;
	REQUIRE(w.pa == r.pa, "%#x: %#llx, reference %#llx", linear, (unsigned long long)w.pa, (unsigned long long)r.pa);
	REQUIRE(w.writable == (r.may_write && (r.dirty || write)), "%#x: writable %d", linear, w.writable);
	REQUIRE(w.global == r.global && w.large == r.large && w.paged == r.paged, "%#x: global %d large %d paged %d", linear, w.global,
		w.large, w.paged);
	REQUIRE(!w.paged || w.user == r.user, "%#x: user %d", linear, w.user);
	REQUIRE(!w.paged || (w.pde_pa == r.pde_pa && w.table_pa == r.table_pa && !((w.pde ^ r.pde) & ~(u64)REF_A)),
		"%#x: entry %#llx at %#llx, table %#llx", linear, (unsigned long long)w.pde, (unsigned long long)w.pde_pa,
		(unsigned long long)w.table_pa);
}

static void compare_tables(void)
{
	for (unsigned n = 0; n < TABLES; n++) {
		const u8 *p = ram_ptr(&v->vm->mem, table_at(n));

		REQUIRE(!memcmp(p, copy + (p - v->vm->mem.ram), PAGE_SIZE), "A and D bits differ in the table at %#llx",
			(unsigned long long)table_at(n));
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size};

	if (!v) {
		v = fuzz_machine(LOW, HIGH, 1 << 20, FLAVOUR_CHECKED);
		copy = calloc(1, LOW + HIGH);
	}
	for (unsigned n = 0; n < TABLES; n++) {
		u8 *p = ram_ptr(&v->vm->mem, table_at(n));

		memset(p, 0, PAGE_SIZE);
		memset(copy + (p - v->vm->mem.ram), 0, PAGE_SIZE);
	}
	set_mode(take8(&in));
	v->cr3 = (u32)table_at(take8(&in) % LOW_TABLES);
	for (unsigned i = 0; i < 4; i++) {
		u8 select = take8(&in);
		v->pdpte[i] = table_at(select & 0x7f) | !(select & 0x80);
	}
	while (in.n) {
		u8 op = take8(&in);

		switch (op & 7) {
		case 0:
		case 1:
		case 2:
			write_entry(&in);
			break;
		case 3:
			access_both(&in, true);
			break;
		case 4:
			set_mode(take8(&in));
			break;
		default:
			access_both(&in, false);
			compare_tables();
			break;
		}
	}
	return 0;
}
