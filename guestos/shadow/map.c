/*
 * Single mappings: changed and flushed in every way, their rights, accessed and dirty bits, permitted and forbidden staleness.
 */
#include "guestos/shadow/shadow.h"

TEST_PG(remap, "shadow.remap with INVLPG and CR3 loads")
{
	mark_pages(16);
	FOR_EVERYBODY(w)
	{
		for (u32 i = 0; i < 300; i++) {
			u32 lin = TW + (i % 5 << 12);

			pte_set(lin, ADDR(page(i % 16)) | RW | w->u);
			flush(lin + i, i);
			reads(w, lin, MARK + i % 16, "a new page");
		}
		/* Writes go to the new page and to no other. */
		for (u32 i = 0; i < 64; i++) {
			pte_set(B, ADDR(page(i % 16)) | RW | w->u);
			flush(B, i / 2);
			writes(w, B + 8, i, "a new page");
			EQ(*(u32 *)(page(i % 16) + 8), i, "word written");
			if (i)
				EQ(*(u32 *)(page((i - 1) % 16) + 8), i - 1, "word of the page before");
		}
	}
}

TEST_PG(present, "shadow.present and absent")
{
	mark_pages(4);
	FOR_EVERYBODY(w)
	for (u32 i = 0; i < 100; i++) {
		pte_set(B, ADDR(page(i % 4)) | RW | w->u);
		reads(w, B, MARK + i % 4, "made present without a flush");
		pte_set(B, i & 2 ? 0 : ADDR(page(1)) | (RWU & ~P_P));
		flush(B, i);
		if (i & 4)
			read_faults(w, B, 0, "made absent");
		else
			write_faults(w, B + 0x20, 0, "made absent");
	}
}

TEST_PG(rights, "shadow.rights that shrink and grow")
{
	FOR_EVERYBODY(w)
	for (u32 i = 0; i < 60; i++) {
		map(B, page(0), RW | w->u);
		writes(w, B, i, "writable");
		pte_set(B, ADDR(page(0)) | P_P | w->u);
		flush(B, i);
		write_faults(w, B, 1, "made read-only");
		reads(w, B, i, "made read-only");
		pte_set(B, ADDR(page(0)) | RW | w->u);
		/* One fault from a stale entry is permitted, and it drops that entry. */
		struct state s = touch(w->ring, u_write, B, 99);

		if (s.vec == V_PF)
			writes(w, B, 99, "made writable, after a fault");
		EQ(*(u32 *)page(0), 99, "word written");
	}
}

TEST_PG(user_bit, "shadow.a user's page, the kernel's, and the user's again")
{
	const struct who *user = &everybody[0], *kernel = &everybody[1];

	mark_pages(1);
	for (u32 i = 0; i < 60; i++) {
		map(B, page(0), RWU);
		reads(user, B, MARK, "a user's page");
		reads(kernel, B, MARK, "a user's page");
		pte_set(B, ADDR(page(0)) | RW);
		flush(B, i);
		if (i & 2)
			reads(kernel, B, MARK, "a kernel's page");
		read_faults(user, B, 1, "a kernel's page");
		write_faults(user, B, 1, "a kernel's page");
		writes(kernel, B + 4, i, "a kernel's page");
		pte_set(B, ADDR(page(0)) | RWU);
		flush(B, i / 2);
		reads(user, B + 4, i, "a user's page again");
	}
}

static void bits(u32 lin, u32 want, const char *what)
{
	u32 got = (u32)pte_get(lin) & (P_A | P_D);

	if (got != want)
		fail("%s: accessed and dirty bits of %x are %x, want %x", what, lin, got, want);
}

TEST_PG(ad, "shadow.accessed and dirty bits of 128 pages, exactly")
{
	static u8 expect[128];
	u32 seed = 12345;

	FOR_EVERYBODY(w)
	for (u32 round = 0; round < 12; round++) {
		for (u32 i = 0; i < 128; i++) {
			pte_set(TW + (i << 12), ADDR(page(i)) | RW | w->u | (round & 1 ? 0 : pte_get(TW + (i << 12)) & (P_A | P_D)));
			expect[i] = (u8)pte_get(TW + (i << 12)) & (P_A | P_D);
		}
		write_cr3(read_cr3());
		for (u32 k = 0; k < 60; k++) {
			u32 i = next_random(&seed) % 128, write = next_random(&seed) & 1;

			if (write)
				writes(w, TW + (i << 12) + (k << 2), k, "random page");
			else
				touch(w->ring, u_read, TW + (i << 12), 0);
			expect[i] |= write ? P_A | P_D : P_A;
			bits(TW + (i << 12), expect[i], "just accessed");
		}
		for (u32 i = 0; i < 128; i++)
			bits(TW + (i << 12), expect[i], "after all");
	}
}

TEST_PG(ad_clear, "shadow.accessed and dirty bits cleared and set again")
{
	FOR_EVERYBODY(w)
	for (u32 i = 0; i < 80; i++) {
		map(B, page(0), RW | w->u);
		writes(w, B, i, "page");
		bits(B, P_A | P_D, "written");
		pte_set(B, pte_get(B) & ~(u64)P_D);
		flush(B, i);
		touch(w->ring, u_read, B, 0);
		bits(B, P_A, "read after D was cleared");
		writes(w, B, i, "page");
		bits(B, P_A | P_D, "written after D was cleared");
		pte_set(B, pte_get(B) & ~(u64)(P_A | P_D));
		flush(B, i / 2);
		bits(B, 0, "not accessed after both were cleared");
		touch(w->ring, u_read, B, 0);
		bits(B, P_A, "read after both were cleared");
		pte_set(B, pte_get(B) & ~(u64)P_A);
		flush(B, i / 4);
		writes(w, B, i, "page");
		bits(B, P_A | P_D, "written after A was cleared");
		/* The directory's. */
		pde_set(B, pde_get(B) & ~(u64)P_A);
		write_cr3(read_cr3());
		touch(w->ring, u_read, B, 0);
		EQ(pde_get(B) & P_A, P_A, "A of the directory entry");
	}
}

TEST_PG(stale, "shadow.permitted and forbidden staleness")
{
	mark_pages(8);
	FOR_EVERYBODY(w)
	for (u32 i = 0; i < 120; i++) {
		u32 old = i % 8, new = (i + 3) % 8;
		struct state s;

		map(B, page(old), RW | w->u);
		reads(w, B, MARK + old, "the old page");
		pte_set(B, i & 1 ? ADDR(page(new)) | RW | w->u : 0);
		s = touch(w->ring, u_read, B, 0);
		if (s.vec == V_END && s.eax != MARK + old && (s.eax != MARK + new || !(i & 1)))
			fail("%s: neither the old nor the new page: %x", w->name, s.eax);
		else if (s.vec != V_END && (s.vec != V_PF || (i & 1)))
			fail("%s: trap %u after a change without a flush", w->name, s.vec);
		flush(B, i / 2);
		if (i & 1)
			reads(w, B, MARK + new, "the new page after a flush");
		else
			read_faults(w, B, 0, "no page after a flush");
	}
}

TEST_PG(flush_one_of_many, "shadow.many changes, flushed late and in another order")
{
	u32 seed = 99;

	mark_pages(256);
	FOR_EVERYBODY(w)
	for (u32 round = 0; round < 8; round++) {
		u32 shift = next_random(&seed) % 256, step = next_random(&seed) | 1;

		for (u32 i = 0; i < 200; i++)
			pte_set(TW + (i * step % 256 << 12), ADDR(page((i * step + shift) % 256)) | RW | w->u);
		if (round & 1)
			write_cr3(read_cr3());
		else
			for (u32 i = 200; i--;)
				invlpg(TW + (i * step % 256 << 12));
		for (u32 i = 0; i < 200; i += 7) {
			u32 n = i * step % 256;

			reads(w, TW + (n << 12), MARK + (n + shift) % 256, "one of many changed pages");
		}
	}
	unmap_window();
}

/* Sums the first words of n pages. */
static UTEXT u32 sum_pages(u32 lin, u32 n, u32 rounds)
{
	u32 sum = 0;

	while (rounds--)
		for (u32 i = 0; i < n; i++)
			sum += *at(lin + (i << 12));
	return sum;
}

TEST_PG(budget, "shadow.more pages than the host has mappings")
{
	enum { N = 40960 };
	u32 tables = N / entries(), want = 0, base = 0x40000000;

	mark_pages(POOL_PAGES);
	/* Neighbours in linear memory are none in physical memory: every page is a mapping. */
	for (u32 t = 0; t < tables; t++) {
		u32 lin = base + t * entries() * 4096;
		u8 *pt = page(1900 + t);

		pde_set(lin, ADDR(pt) | RWU);
		for (u32 i = 0; i < entries(); i++)
			set_entry(pt, i, ADDR(page((t * entries() + i) * 3 % 1900)) | (i & 1 ? RWU : RU));
	}
	write_cr3(read_cr3());
	for (u32 i = 0; i < N; i++)
		want += MARK + i * 3 % 1900;
	for (int ring = 3; ring >= 0; ring -= 3)
		for (int k = 0; k < 2; k++)
			EQ(call_in(ring, sum_pages, base, N, 1), want, tag("sum of all pages", ring));
}

/* Random reads and writes over a window in which every page maps one of few: what is read is what was last written. */
static UTEXT u32 churn(u32 lin, u32 n, u32 seed)
{
	u32 bad = 0;

	for (u32 i = 0; i < 2000; i++) {
		seed = seed * 1664525 + 1013904223;
		volatile u32 *p = at(lin + ((seed >> 8) % n << 12)), *q = at(lin + (((seed >> 8) % n + n) << 12));
		u32 k = seed >> 4 & 1023;

		p[k] = seed;
		bad += q[k] != seed;
		q[k ^ 1] = ~seed;
		bad += p[k ^ 1] != ~seed;
	}
	return bad;
}

TEST_PG(aliases, "shadow.every page mapped twice, at random")
{
	for (u32 round = 0; round < 6; round++) {
		for (u32 i = 0; i < 64; i++) {
			u32 n = i * 37 + round * 11;

			pte_set(TW + (i << 12), ADDR(page(n)) | RWU);
			pte_set(TW + ((i + 64) << 12), ADDR(page(n)) | RWU);
		}
		write_cr3(read_cr3());
		EQ(call_in(3, churn, TW, 64, round + 1), 0, "words that differ between aliases, user");
		EQ(call_in(0, churn, TW, 64, round + 100), 0, "words that differ between aliases, kernel");
	}
	unmap_window();
}

static u32 demand_faults;

static int demand(struct state *s)
{
	u32 lin = s->cr2 & ~0xfffu;

	if (lin - TW >= TW_PAGES << 12)
		return 0;
	demand_faults++;
	if (!(s->err & 1)) {
		pte_set(lin, ADDR(page((lin - TW) >> 12)) | RU);
	} else {
		/* Copy on write. */
		memcpy(page(512 + ((lin - TW) >> 12)), page((lin - TW) >> 12), 4096);
		pte_set(lin, ADDR(page(512 + ((lin - TW) >> 12))) | RWU);
		invlpg(lin);
	}
	return 1;
}

static UTEXT u32 read_then_write(u32 lin, u32 n, u32 add)
{
	u32 sum = 0;

	for (u32 i = 0; i < n; i++)
		sum += *at(lin + (i << 12));
	for (u32 i = 0; i < n; i++)
		*at(lin + (i * 7 % n << 12)) += add;
	for (u32 i = 0; i < n; i++)
		sum += *at(lin + (i << 12));
	return sum;
}

TEST_PG(demand_paging, "shadow.demand paging and copy on write")
{
	u32 want = 0;

	trap_hook[V_PF] = demand;
	for (u32 i = 0; i < TW_PAGES; i++)
		want += 2 * (MARK + i) + 5;
	for (int ring = 3; ring >= 0; ring -= 3)
		for (u32 round = 0; round < 4; round++) {
			unmap_window();
			mark_pages(TW_PAGES);
			demand_faults = 0;
			EQ(call_in(ring, read_then_write, TW, TW_PAGES, 5), want, tag("sum", ring));
			EQ(demand_faults, 2 * TW_PAGES, tag("faults", ring));
			EQ(*(u32 *)page(3), MARK + 3, "the original");
			EQ(*(u32 *)page(515), MARK + 8, "the copy");
		}
	trap_hook[V_PF] = NULL;
	unmap_window();
}
