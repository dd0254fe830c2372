/*
 * The translation cache: the TU index, chains and what takes them away, code that changes, jump caches and their flushes, the way back from
 * a host address, and a cache that is full. TUs are made by the real translator from code in guest RAM.
 */
#include "tests/unit/vm_harness.h"

#include "cache/jc.h"
#include "cache/smc.h"
#include "cache/tc.h"
#include "translator/translate.h"

#define CODE 0x20000u

/* The TU for eip, freshly made. Paging is off and CS flat: guest-physical and linear addresses are EIPs. */
static struct tu *make(u32 eip)
{
	v->eip = eip;
	cpu_set_mode();
	return translate(v, eip);
}

static struct tu *find(u32 eip)
{
	return tu_lookup(v->tc, eip, eip, mode_compute(v));
}

static struct tu_exit *exit_of(struct tu *tu, unsigned n)
{
	ck_assert_uint_lt(n, tu->exit_count);
	return &v->tc->exits[tu->exits + n];
}

/* Where the branch of an exit leads. */
static u32 branch(const struct tu_exit *x)
{
	s32 rel;
	memcpy(&rel, (const void *)(u64)x->site, 4);
	return x->site + 4 + (u32)rel;
}

static struct page_desc *page_of(u64 pa)
{
	return smc_page(v, ram_page(&vm->mem, ram_ptr(&vm->mem, pa)));
}

START_TEST(tu_index_keys)
{
	machine_create();
	PUT(CODE, 0x90, 0xc3);
	ck_assert_ptr_null(find(CODE));
	struct tu *tu = make(CODE);
	ck_assert_ptr_eq(find(CODE), tu);
	ck_assert_ptr_null(tu_lookup(v->tc, CODE, CODE, v->mode | MODE_SINGLE));
	ck_assert_ptr_null(tu_lookup(v->tc, CODE, CODE + 0x1000, v->mode));
	ck_assert_ptr_null(tu_lookup(v->tc, CODE + 0x1000, CODE, v->mode));
	/* The same code in another mode is another TU, and both go by themselves. */
	v->mode |= MODE_SINGLE;
	v->eip = CODE;
	struct tu *single = translate(v, CODE);
	ck_assert_ptr_ne(single, tu);
	ck_assert_uint_eq(single->insn_count, 1);
	ck_assert_uint_eq(tu->insn_count, 2);
	tu_drop(v, tu);
	ck_assert_ptr_null(find(CODE));
	ck_assert_ptr_eq(tu_lookup(v->tc, CODE, CODE, v->mode), single);
	/* Twice is as good as once. */
	tu_drop(v, tu);
	ck_assert_uint_eq(v->stats.tus_dropped, 1);
	ck_assert(smc_has_code(v, CODE >> PAGE_SHIFT));
	machine_destroy();
}
END_TEST

START_TEST(many)
{
	machine_create();
	for (u32 i = 0; i < 4096; i++)
		poke(CODE + i, 0xc3, 1);
	struct tu *tus[512];
	for (u32 i = 0; i < 512; i++)
		tus[i] = make(CODE + 7 * i);
	for (u32 i = 0; i < 512; i += 2)
		tu_drop(v, tus[i]);
	for (u32 i = 0; i < 512; i++)
		ck_assert_ptr_eq(find(CODE + 7 * i), i & 1 ? tus[i] : NULL);
	machine_destroy();
}
END_TEST

/* Three TUs jump to a fourth; host branches are looked at. */
START_TEST(chains)
{
	machine_create();
	PUT(CODE + 0x00, 0xe9, 0xfb, 0x00, 0x00, 0x00); /* jmp CODE+100 */
	PUT(CODE + 0x20, 0xe9, 0xdb, 0x00, 0x00, 0x00);
	PUT(CODE + 0x40, 0xe9, 0xbb, 0x00, 0x00, 0x00);
	PUT(CODE + 0x100, 0xeb, 0xfe);
	struct tu *from[3], *to = make(CODE + 0x100);
	struct tu_exit *x[3];
	for (u32 i = 0; i < 3; i++) {
		from[i] = make(CODE + 0x20 * i);
		ck_assert_uint_eq(from[i]->exit_count, 1);
		x[i] = exit_of(from[i], 0);
		ck_assert_uint_eq(x[i]->target_eip, CODE + 0x100);
		ck_assert_uint_eq(branch(x[i]), x[i]->stub);
		ck_assert_uint_ge(x[i]->stub, from[i]->cold);
		ck_assert_uint_lt(x[i]->stub, from[i]->end);
	}
	for (u32 i = 0; i < 3; i++)
		tu_chain(v, x[i], to);
	/* And to itself. */
	struct tu_exit *loop = exit_of(to, 0);
	tu_chain(v, loop, to);
	for (u32 i = 0; i < 3; i++)
		ck_assert_uint_eq(branch(x[i]), to->body);
	ck_assert_uint_eq(branch(loop), to->body);
	/* The origin of one goes: the others stay linked, and are still undone with the target. */
	tu_drop(v, from[1]);
	ck_assert_uint_eq(branch(x[1]), x[1]->stub);
	ck_assert_uint_eq(x[1]->target, 0);
	ck_assert_uint_eq(branch(x[0]), to->body);
	tu_drop(v, to);
	for (u32 i = 0; i < 3; i++) {
		ck_assert_uint_eq(branch(x[i]), x[i]->stub);
		ck_assert_uint_eq(x[i]->target, 0);
	}
	ck_assert_uint_eq(branch(loop), loop->stub);
	ck_assert_uint_eq(loop->target, 0);
	ck_assert_uint_eq(to->incoming, 0);
	machine_destroy();
}
END_TEST

START_TEST(straddling)
{
	machine_create();
	/* mov eax, 44332211 across the page's end: two bytes here, three there; then ret */
	PUT(CODE + 0xffe, 0xb8, 0x11, 0x22, 0x33, 0x44, 0xc3);
	static const struct {
		u32 at, size;
		bool drops;
	} writes[] = {
		{0xffd, 1, false}, {0xffd, 2, true},  {0xffe, 1, true},	  {0xfff, 1, true},
		{0x1000, 1, true}, {0x1002, 1, true}, {0x1003, 4, false}, {0x0, 0x2000, true},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(writes); i++) {
		struct tu *tu = make(CODE + 0xffe);
		ck_assert_uint_eq(tu->flags, TU_STRADDLES);
		ck_assert_uint_eq(tu->insn_count, 1);
		ck_assert_uint_eq(tu->guest_len, 5);
		ck_assert_uint_eq(tu->pa2, CODE + 0x1000);
		ck_assert_uint_eq(page_of(CODE)->granules, 1ull << 63);
		ck_assert_uint_eq(page_of(CODE + 0x1000)->granules, 1);
		ck_assert(smc_overlaps(tu, CODE + writes[i].at, writes[i].size) == writes[i].drops);
		smc_phys_write(vm, CODE + writes[i].at, writes[i].size);
		ck_assert_int_eq(!find(CODE + 0xffe), writes[i].drops);
		tu_drop(v, tu);
		/* A TU that has been dropped is on neither page's list. */
		ck_assert_uint_eq(page_of(CODE)->tus | page_of(CODE + 0x1000)->tus, 0);
	}
	machine_destroy();
}
END_TEST

/* Writes near code drop what they hit and nothing else. */
START_TEST(code_writes)
{
	machine_create();
	for (u32 at = 0; at < 0x1000; at += 0x10)
		PUT(CODE + at, 0x90, 0x90, 0x90, 0xc3); /* 4 bytes in 16 */
	struct tu *tus[4];
	for (u32 i = 0; i < 4; i++)
		tus[i] = make(CODE + 0x30 + 0x10 * i); /* granules 0, 1, 1, 1 */
	ck_assert_uint_eq(page_of(CODE)->granules, 3);
	/* Data in the same granule */
	smc_phys_write(vm, CODE + 0x34, 12);
	ck_assert_uint_eq(v->stats.tus_dropped, 0);
	/* Another granule */
	smc_phys_write(vm, CODE + 0x80, 0x1000 - 0x80);
	ck_assert_uint_eq(v->stats.tus_dropped, 0);
	/* One byte */
	smc_phys_write(vm, CODE + 0x43, 1);
	ck_assert_ptr_null(find(CODE + 0x40));
	ck_assert_ptr_eq(find(CODE + 0x30), tus[0]);
	ck_assert_ptr_eq(find(CODE + 0x50), tus[2]);
	ck_assert_uint_eq(page_of(CODE)->granules, 3);
	/* The last one of its granule: what remains is known exactly. */
	smc_phys_write(vm, CODE + 0x30, 4);
	ck_assert_uint_eq(page_of(CODE)->granules, 2);
	smc_phys_write(vm, CODE + 0x4f, 0x20);
	ck_assert_uint_eq(v->stats.tus_dropped, 4);
	ck_assert_uint_eq(page_of(CODE)->granules, 0);
	ck_assert(!smc_has_code(v, CODE >> PAGE_SHIFT));
	/* Beyond RAM, and in a page without code: nothing. */
	smc_phys_write(vm, 0xe0000000u, 0x3000);
	smc_phys_write(vm, CODE + 0x5000, 0x3000);
	machine_destroy();
}
END_TEST

/* ---- the way back ---- */

START_TEST(by_host)
{
	static const u8 code[] = {
		0x8b, 0x03,	  /* mov eax, [ebx] */
		0x01, 0x41, 0x04, /* add [ecx+4], eax */
		0xff, 0x32,	  /* push [edx] */
		0x74, 0x10,	  /* jz +10 */
		0x0f, 0xa2,	  /* cpuid */
		0xc3,		  /* ret */
	};
	static const u16 guest_off[] = {0, 2, 5, 7, 9, 11};

	machine_create();
	struct tu *tus[8];
	for (u32 i = 0; i < 8; i++) {
		put_bytes(CODE + 0x40 * i, code, sizeof(code));
		tus[i] = make(CODE + 0x40 * i);
		ck_assert_uint_eq(tus[i]->insn_count, ARRAY_SIZE(guest_off));
	}
	u64 first = tus[0]->head, last = tus[7]->end;
	ck_assert_ptr_null(tu_by_host(v->tc, first - 1));
	ck_assert_ptr_null(tu_by_host(v->tc, last + 15));
	ck_assert_ptr_null(tu_by_host(v->tc, 0));
	ck_assert_ptr_null(tu_by_host(v->tc, (u64)v));
	for (u32 i = 0; i < 8; i++) {
		struct tu *tu = tus[i];
		u32 seen = 0;
		for (u64 pc = tu->head; pc < tu->end; pc++) {
			ck_assert_ptr_eq(tu_by_host(v->tc, pc), tu);
			u32 n = tu_insn_by_host(v->tc, tu, pc);
			ck_assert_uint_lt(n, ARRAY_SIZE(guest_off));
			if (pc < tu->cold) {
				/* Hot code is in the guest's order. */
				ck_assert_uint_ge(n, seen);
				seen = n;
			}
			const struct tu_insn *in = tu_insn(v->tc, tu, n);
			ck_assert_uint_eq(in->guest_off, guest_off[n]);
			ck_assert(pc >= tu->cold || pc == tu->head || pc < tu->body || pc >= tu->head + in->host_off);
		}
		ck_assert_uint_eq(seen, ARRAY_SIZE(guest_off) - 1);
		/* The cold stubs of the three memory accesses and of the branch */
		for (u32 n = 0; n < 4; n++) {
			const struct tu_insn *in = tu_insn(v->tc, tu, n);
			ck_assert_uint_ne(in->cold_off, 0);
			ck_assert_uint_eq(tu_insn_by_host(v->tc, tu, tu->head + in->cold_off), n);
		}
		if (tu->end < (i < 7 ? tus[i + 1]->head : last))
			ck_assert_ptr_null(tu_by_host(v->tc, tu->end));
	}
	machine_destroy();
}
END_TEST

/* ---- a full cache ---- */

START_TEST(full)
{
	machine_create_sized(8 << 20, 1 << 20);
	memset(vm->mem.ram + 0x100000, 0x90, 0x400000);
	struct jump_cache *jc = NULL;
	u32 eip = 0x100000, made = 0;
	u64 flushes = v->stats.tc_flushes;
	while (v->stats.tc_flushes == flushes) {
		struct tu *tu = make(eip);
		eip += 64;
		jc = jc_for_mode(v, v->mode);
		if (v->stats.tc_flushes == flushes)
			jc_enter(v, jc, tu, true);
		ck_assert_uint_le(v->tc->used, v->tc->size);
		ck_assert_uint_lt(++made, 100000);
	}
	ck_assert_uint_gt(made, 1000);
	/* Only the last one, made after the flush, is there. */
	ck_assert_uint_eq(v->tc->tu_count, 1);
	ck_assert_ptr_eq(find(eip - 64), v->tc->tus);
	for (u32 old = 0x100000; old < eip - 64; old += 64) {
		ck_assert_ptr_null(find(old));
		ck_assert_uint_eq(jc_head(v, jc, old), 0);
		if ((old ^ (eip - 64)) & ~PAGE_MASK)
			ck_assert(!smc_has_code(v, old >> PAGE_SHIFT));
	}
	ck_assert(smc_has_code(v, (eip - 64) >> PAGE_SHIFT));
	machine_destroy();
}
END_TEST

/* The arenas are as bounded as the bytes: many tiny TUs. */
START_TEST(full_of_small_ones)
{
	machine_create_sized(8 << 20, 1 << 20);
	memset(vm->mem.ram + 0x100000, 0xc3, 0x400000);
	for (u32 eip = 0x100000; eip < 0x100000 + 50000; eip++) {
		make(eip);
		ck_assert_uint_le(v->tc->used, v->tc->size);
		ck_assert_uint_le(v->tc->tu_count, v->tc->tu_max);
		ck_assert_uint_le(v->tc->insn_count, v->tc->insn_max);
		ck_assert_uint_le(v->tc->exit_count, v->tc->exit_max);
		ck_assert_uint_le(v->tc->emu_count, v->tc->emu_max);
	}
	ck_assert_uint_gt(v->stats.tc_flushes, 1);
	machine_destroy();
}
END_TEST

/* A program that is larger than the cache runs on. */
START_TEST(run_through_full)
{
	machine_create_sized(8 << 20, 1 << 20);
	/* 0x4000 blocks of: inc eax ; jmp +27 (to the next one, 32 bytes on); then dec ecx ; jnz start ; int3 */
	u32 at = 0x100000;
	for (u32 i = 0; i < 0x4000; i++, at += 32)
		PUT(at, 0x40, 0xe9, 0x1a, 0, 0, 0);
	PUT(at, 0x49, 0x0f, 0x85, 0, 0, 0, 0, 0xcc);
	poke(at + 3, 0x100000 - (at + 7), 4);
	v->regs[REG_ECX] = 3;
	u64 flushes = v->stats.tc_flushes;
	vm_run_ok(0x100000);
	ck_assert_uint_eq(v->regs[REG_EAX], 3 * 0x4000);
	ck_assert_uint_gt(v->stats.tc_flushes, flushes + 3);
	machine_destroy();
}
END_TEST

/* ---- jump caches ---- */

static bool knows(struct jump_cache *jc, struct tu *tu)
{
	u64 head = jc_head(v, jc, tu->eip);
	ck_assert(!head || head == tu->head);
	return head;
}

START_TEST(jc_flushes)
{
	machine_create();
	memset(vm->mem.ram + CODE, 0xc3, 0x4000);
	struct tu *a = make(CODE), *b = make(CODE + 0x1001), *single;
	struct jump_cache *jc = jc_for_mode(v, v->mode), *other;
	v->mode |= MODE_SINGLE;
	v->eip = CODE;
	single = translate(v, CODE);
	other = jc_for_mode(v, v->mode);
	ck_assert_ptr_ne(jc, other);
	ck_assert_ptr_eq(jc, jc_for_mode(v, mode_compute(v)));

	/* MOV CR3: TUs of non-global pages go, others stay. */
	jc_enter(v, jc, a, true);
	jc_enter(v, other, single, true);
	jc_flush_nonglobal(v);
	ck_assert(knows(jc, a) && knows(other, single));
	jc_enter(v, jc, b, false);
	jc_flush_nonglobal(v);
	ck_assert(knows(jc, a) && !knows(jc, b) && knows(other, single));

	jc_flush_page(v, (CODE >> PAGE_SHIFT) + 2);
	ck_assert(knows(jc, a) && knows(other, single));
	jc_flush_page(v, CODE >> PAGE_SHIFT);
	ck_assert(!knows(jc, a) && !knows(other, single));

	jc_enter(v, jc, a, true);
	jc_enter(v, jc, b, true);
	jc_enter(v, other, single, true);
	tu_drop(v, a);
	ck_assert(!knows(jc, a) && knows(jc, b) && knows(other, single));
	jc_flush_all(v);
	ck_assert(!knows(jc, b) && !knows(other, single));
	machine_destroy();
}
END_TEST

/* By the mmu_ functions, as the CPU's instructions call them; the linear page counts, not EIP. */
START_TEST(jc_by_linear_page)
{
	machine_create();
	segment_set(v, SEG_CS, KCS, 0x10000, 0xffffffffu, v->seg[SEG_CS].attr);
	v->eip = CODE;
	cpu_set_mode();
	memset(vm->mem.ram + CODE + 0x10000, 0xc3, 0x1000);
	struct tu *tu = translate(v, CODE + 0x10000);
	struct jump_cache *jc = jc_for_mode(v, v->mode);
	jc_enter(v, jc, tu, true);
	mmu_invlpg(v, CODE);
	ck_assert(knows(jc, tu));
	mmu_flush_nonglobal(v);
	ck_assert(knows(jc, tu));
	mmu_invlpg(v, CODE + 0x10fff);
	ck_assert(!knows(jc, tu));
	jc_enter(v, jc, tu, true);
	mmu_flush_all(v);
	ck_assert(!knows(jc, tu));
	machine_destroy();
}
END_TEST

/* The second page of a straddling TU is one of its pages. */
START_TEST(jc_straddling)
{
	machine_create();
	PUT(CODE + 0xffe, 0xb8, 1, 2, 3, 4);
	struct tu *tu = make(CODE + 0xffe);
	struct jump_cache *jc = jc_for_mode(v, v->mode);
	jc_enter(v, jc, tu, true);
	jc_flush_page(v, (CODE >> PAGE_SHIFT) + 1);
	ck_assert(!knows(jc, tu));
	machine_destroy();
}
END_TEST

/* INVLPG drops what begins in its page, and nothing else. */
START_TEST(jc_flush_of_one_page)
{
	machine_create();
	memset(vm->mem.ram + CODE, 0xc3, 0x4000);
	struct tu *tu[6] = {make(CODE),		 make(CODE + 0xff0),  make(CODE + 0x1000),
			    make(CODE + 0x1fff), make(CODE + 0x2000), make(CODE + 0x12000)};
	struct jump_cache *jc = jc_for_mode(v, v->mode);
	for (int i = 0; i < 6; i++)
		jc_enter(v, jc, tu[i], true);
	jc_flush_page(v, (CODE >> PAGE_SHIFT) + 1);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(knows(jc, tu[i]), i != 2 && i != 3);
	machine_destroy();
}
END_TEST

/* Two code segments of one mode: an EIP means different code in each. */
START_TEST(jc_by_base)
{
	machine_create();
	u32 attr = v->seg[SEG_CS].attr;
	segment_set(v, SEG_CS, KCS, 0x10000, 0xffffffffu, attr);
	struct jump_cache *a = jc_for_mode(v, mode_compute(v));
	segment_set(v, SEG_CS, KCS, 0x20000, 0xffffffffu, attr);
	ck_assert_ptr_ne(a, jc_for_mode(v, mode_compute(v)));
	segment_set(v, SEG_CS, KCS, 0x10000, 0xffffffffu, attr);
	ck_assert_ptr_eq(a, jc_for_mode(v, mode_compute(v)));
	machine_destroy();
}
END_TEST

/* More guest pages than a cache may hold entries of: it begins anew. */
START_TEST(jc_max_pages)
{
	machine_create();
	PUT(CODE, 0xc3);
	struct tu fake = *make(CODE);
	struct jump_cache *jc = jc_for_mode(v, v->mode);
	for (u32 i = 0; i < JC_MAX_PAGES + 1; i++) {
		fake.eip = i << PAGE_SHIFT;
		jc_enter(v, jc, &fake, true);
		ck_assert_uint_eq(jc_head(v, jc, fake.eip), fake.head);
	}
	ck_assert_uint_eq(jc_head(v, jc, 0), tc_is_flat(v->tc) ? 0 : fake.head);
	machine_destroy();
}
END_TEST

/* More entries than the log holds, and more modes than there are caches. */
START_TEST(jc_limits)
{
	machine_create();
	PUT(CODE, 0xc3);
	struct tu *tu = make(CODE);
	struct jump_cache *jc = jc_for_mode(v, v->mode);
	for (u32 round = 0; round < 2; round++) {
		for (u32 i = 0; i < JC_LOG + 500; i++) {
			struct tu fake = *tu;
			fake.eip = i * 5;
			jc_enter(v, jc, &fake, false);
		}
		jc_flush_nonglobal(v);
		for (u32 i = 0; i < JC_LOG + 500; i++)
			ck_assert_uint_eq(jc_head(v, jc, i * 5), 0);
	}
	for (u32 mode = 0; mode < 3 * JC_COUNT; mode++) {
		struct jump_cache *c = jc_for_mode(v, 0x10000 | mode);
		ck_assert_ptr_nonnull(c);
		ck_assert_uint_eq(c->mode, 0x10000 | mode);
		ck_assert_ptr_ne(c->entry, jc_all_miss(v));
		/* Nothing is left of the mode that it belonged to. */
		ck_assert_uint_eq(jc_head(v, c, CODE), 0);
		jc_enter(v, c, tu, true);
	}
	machine_destroy();
}
END_TEST

Suite *cache_suite(void)
{
	Suite *s = suite_create("cache");
	TCase *c = tcase_create("tu"), *j = tcase_create("jump caches");

	tcase_set_timeout(c, 30);
	tcase_add_test(c, tu_index_keys);
	tcase_add_test(c, many);
	tcase_add_test(c, chains);
	tcase_add_test(c, straddling);
	tcase_add_test(c, code_writes);
	tcase_add_test(c, by_host);
	tcase_add_test(c, full);
	tcase_add_test(c, full_of_small_ones);
	tcase_add_test(c, run_through_full);
	suite_add_tcase(s, c);
	tcase_set_timeout(j, 20);
	tcase_add_test(j, jc_flushes);
	tcase_add_test(j, jc_by_linear_page);
	tcase_add_test(j, jc_straddling);
	tcase_add_test(j, jc_flush_of_one_page);
	tcase_add_test(j, jc_by_base);
	tcase_add_test(j, jc_max_pages);
	tcase_add_test(j, jc_limits);
	suite_add_tcase(s, j);
	return s;
}
