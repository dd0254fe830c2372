/*
 * Many address spaces: round robin, shared tables, tables changed while another space runs, directories that are recycled.
 */
#include "guestos/shadow/shadow.h"

/* Space i: directory in pages 3i + 200 and the next, its page table in the one after. */
enum { MAX = 96 };
static struct space space[MAX];

static u8 *table_of(u32 i)
{
	return page(200 + 3 * i + 2);
}

static void make_spaces(u32 n, u64 u)
{
	for (u32 i = 0; i < n; i++) {
		space[i] = make_space(200 + 3 * i);
		memset(table_of(i), 0, 4096);
		for (u32 k = 0; k < 8; k++)
			set_entry(table_of(i), k, ADDR(page((i + k) % 128)) | RW | u);
		set_space_pde(&space[i], SPACE, ADDR(table_of(i)) | RWU);
	}
}

TEST_PG(many, "shadow.96 address spaces in turn")
{
	u32 cr3 = read_cr3();

	mark_pages(128);
	FOR_EVERYBODY(w)
	{
		make_spaces(MAX, w->u);
		for (u32 round = 0; round < 6; round++)
			for (u32 i = 0; i < MAX; i++) {
				u32 other = (i * 7 + round) % MAX, k = round % 8;

				write_cr3(space[i].cr3);
				reads(w, SPACE + (k << 12), MARK + (i + k) % 128, "own page");
				writes(w, SPACE + (k << 12) + 64, i + round, "own page");
				EQ(*(u32 *)(page((i + k) % 128) + 64), i + round, "word written");
				/* Another space's entry, through the identity map. */
				set_entry(table_of(other), 9, ADDR(page((i + round) % 128)) | RW | w->u);
				if (other == i)
					invlpg(SPACE + 0x9000);
				write_cr3(space[other].cr3);
				reads(w, SPACE + 0x9000, MARK + (i + round) % 128, "page mapped from another space");
			}
		write_cr3(cr3);
	}
}

TEST_PG(fork, "shadow.fork: shared, then copied page tables")
{
	u32 cr3 = read_cr3();

	FOR_EVERYBODY(w)
	for (u32 round = 0; round < 12; round++) {
		struct space *parent = &space[0], *child = &space[1];

		mark_pages(128);
		make_spaces(2, w->u);
		write_cr3(parent->cr3);
		for (u32 k = 0; k < 8; k++)
			writes(w, SPACE + (k << 12) + 4, 100 + k, "before the fork");
		/* Both share one page table. */
		set_space_pde(child, SPACE, ADDR(table_of(0)) | RWU);
		write_cr3(child->cr3);
		reads(w, SPACE + 0x2004, 102, "shared table");
		set_entry(table_of(0), 2, ADDR(page(50)) | RW | w->u);
		invlpg(SPACE + 0x2000);
		reads(w, SPACE + 0x2000, MARK + 50, "changed shared table, child");
		write_cr3(parent->cr3);
		reads(w, SPACE + 0x2000, MARK + 50, "changed shared table, parent");
		/* A copy, both read-only: copy on write. */
		for (u32 k = 0; k < 8; k++) {
			set_entry(table_of(0), k, entry(table_of(0), k) & ~(u64)P_W);
			set_entry(table_of(1), k, entry(table_of(0), k));
		}
		set_space_pde(child, SPACE, ADDR(table_of(1)) | RWU);
		write_cr3(parent->cr3);
		write_faults(w, SPACE + 0x1000, 1, "parent, copy on write");
		memcpy(page(130), page(1), 4096);
		set_entry(table_of(0), 1, ADDR(page(130)) | RW | w->u);
		invlpg(SPACE + 0x1000);
		writes(w, SPACE + 0x1004, 777, "parent's copy");
		write_cr3(child->cr3);
		reads(w, SPACE + 0x1004, 101, "child's original");
		write_faults(w, SPACE + 0x1004, 1, "child, copy on write");
		set_entry(table_of(1), 1, ADDR(page(1)) | RW | w->u);
		writes(w, SPACE + 0x1004, 888, "child's own");
		write_cr3(parent->cr3);
		reads(w, SPACE + 0x1004, 777, "parent's copy, again");
		write_cr3(cr3);
	}
}

/*
 * As in kernels that give every address space tables of its own for what all have in common. Accesses by instructions of the test's own:
 * those of reads() and writes() go to all kinds of pages.
 */
TEST_PG(own_kernel_tables, "shadow.two spaces with equal kernel tables of their own")
{
	const struct who *w = &everybody[1];
	enum { PAGES = 24 };
	u32 cr3 = read_cr3();
	u8 *first = table_of(0), *second = table_of(1);

	mark_pages(128);
	make_spaces(2, 0);
	for (u32 k = 0; k < PAGES; k++) {
		set_entry(first, k, ADDR(page(k)) | RW);
		set_entry(second, k, ADDR(page(k)) | RW);
	}
	write_cr3(space[0].cr3);
	for (u32 k = 0; k < PAGES; k++)
		*at(SPACE + (k << 12) + 8) = k;
	/* Nothing of it counts for the other table's A and D. */
	write_cr3(space[1].cr3);
	EQ(entry(second, 3) & (P_A | P_D), 0, "A and D of an entry that nobody has used");
	EQ(*at(SPACE + 0x3008), 3, "second space");
	EQ(entry(second, 3) & (P_A | P_D), P_A, "A and D after a read");
	for (u32 k = 0; k < PAGES; k++)
		EQ(*at(SPACE + (k << 12) + 8), k, "second space");
	write_cr3(space[0].cr3);
	*at(SPACE + 0x4008) = 104;
	write_cr3(space[1].cr3);
	EQ(entry(second, 4) & P_D, 0, "D before a write");
	EQ(*at(SPACE + 0x4008), 104, "second space");
	*at(SPACE + 0x4008) = 204;
	EQ(entry(second, 4) & P_D, P_D, "D after a write");
	for (u32 k = 0; k < PAGES; k++)
		*at(SPACE + (k << 12) + 8) = k + 300;
	for (u32 round = 0; round < 20; round++) {
		write_cr3(space[round & 1].cr3);
		for (u32 k = 0; k < PAGES; k++) {
			EQ(*at(SPACE + (k << 12) + 8), k + 300, "either space");
			*at(SPACE + (k << 12) + 12) = k + round;
			EQ(*(u32 *)(page(k) + 12), k + round, "word written");
		}
	}
	/* Changed while the other space runs: another page, one that cannot be written, none, a user's. */
	write_cr3(space[0].cr3);
	set_entry(second, 5, ADDR(page(60)) | RW);
	set_entry(second, 7, ADDR(page(7)) | P_P);
	set_entry(second, 9, 0);
	set_entry(second, 11, ADDR(page(11)) | RWU);
	for (u32 round = 0; round < 30; round++) {
		write_cr3(space[1].cr3);
		EQ(*at(SPACE + 0x5000), MARK + 60, "second space, another page");
		EQ(*at(SPACE + 0x7008), 307, "second space, read-only page");
		write_faults(w, SPACE + 0x7008, 1, "second space, read-only page");
		read_faults(w, SPACE + 0x9008, 0, "second space, no page");
		EQ(*at(SPACE + 0xb008), 311, "second space, a user's page");
		*at(SPACE + 0xc010) = round;
		write_cr3(space[0].cr3);
		EQ(*at(SPACE + 0x5000), MARK + 5, "first space");
		*at(SPACE + 0x7008) = 307;
		EQ(*at(SPACE + 0x9008), 309, "first space");
		EQ(*at(SPACE + 0xc010), round, "first space");
	}
	/* The table in use is written, and the one that was in use before. */
	set_entry(first, 14, ADDR(page(61)) | RW);
	invlpg(SPACE + 0xe000);
	EQ(*at(SPACE + 0xe000), MARK + 61, "first space, changed");
	set_entry(second, 15, ADDR(page(62)) | RW);
	EQ(*at(SPACE + 0xf000), MARK + 15, "first space, the other's change");
	write_cr3(space[1].cr3);
	EQ(*at(SPACE + 0xe000), MARK + 14, "second space");
	EQ(*at(SPACE + 0xf000), MARK + 62, "second space, changed");
	write_cr3(cr3);
}

TEST_PG(recycle, "shadow.directories and tables recycled as data")
{
	u32 cr3 = read_cr3();

	mark_pages(128);
	FOR_EVERYBODY(w)
	for (u32 round = 0; round < 20; round++) {
		make_spaces(3, w->u);
		for (u32 i = 0; i < 3; i++) {
			write_cr3(space[i].cr3);
			reads(w, SPACE + 0x3000, MARK + i + 3, "page of a fresh space");
		}
		/* Space 2's table becomes a page of space 0's, which overwrites it. */
		set_entry(table_of(0), 20, ADDR(table_of(2)) | RW | w->u);
		set_entry(table_of(0), 21, ADDR(space[2].dir) | RW | w->u);
		write_cr3(space[0].cr3);
		writes(w, SPACE + 0x14000 + 3 * entry_size(), ADDR(page(99)) | RW | (u32)w->u, "a former table");
		reads(w, SPACE + 0x14000 + 3 * entry_size(), ADDR(page(99)) | RW | (u32)w->u, "a former table");
		write_cr3(space[2].cr3);
		reads(w, SPACE + 0x3000, MARK + 99, "through the table that was written as data");
		write_cr3(space[0].cr3);
		/* And its directory: no table any more. */
		writes(w, SPACE + 0x15000 + (SPACE >> (pae() ? 21 : 22)) * entry_size(), 0, "a former directory");
		write_cr3(space[2].cr3);
		read_faults(w, SPACE + 0x3000, 0, "a table that is gone");
		write_cr3(cr3);
		/* The same directory page with other contents, without a CR3 load of another between. */
		make_spaces(1, w->u);
		write_cr3(space[0].cr3);
		reads(w, SPACE + 0x3000, MARK + 3, "page");
		set_space_pde(&space[0], SPACE, ADDR(table_of(1)) | RWU);
		write_cr3(space[0].cr3);
		reads(w, SPACE + 0x3000, MARK + 4, "page of another table");
		write_cr3(cr3);
	}
}

CODE(ret_1, "mov $1, %eax");
CODE(ret_2, "mov $2, %eax");

TEST_PG(code_in_spaces, "shadow.different code at one address in many spaces")
{
	u32 cr3 = read_cr3();

	make_spaces(MAX, P_U);
	memcpy(page(0), ret_1, (u32)(ret_1_end - ret_1) + 2);
	memcpy(page(1), ret_2, (u32)(ret_2_end - ret_2) + 2);
	for (u32 i = 0; i < MAX; i++)
		set_entry(table_of(i), 4, ADDR(page(i % 2)) | RWU);
	for (int ring = 3; ring >= 0; ring -= 3)
		for (u32 round = 0; round < 4; round++)
			for (u32 i = 0; i < MAX; i++) {
				struct state s = at_ring((void *)(uintptr_t)(SPACE + 0x4000), ring);

				write_cr3(space[(i * 5 + round) % MAX].cr3);
				run(&s);
				if (ended(&s, tag("code", ring)))
					EQ(s.eax, 1 + (i * 5 + round) % MAX % 2, tag("the space's own code", ring));
			}
	write_cr3(cr3);
}
