/*
 * Exits across pages (cache/link.c) and to instructions that straddle pages: when they are linked, what cuts them, and that code runs as
 * its page tables say after each kind of flush. Guilt that ends (shadowpt/parole.c), and what is no churn of code (cache/smc.c).
 */
#include "tests/unit/vm_harness.h"

#include "cache/jc.h"
#include "cache/smc.h"
#include "cache/tc.h"
#include "shadowpt/parole.h"
#include "shadowpt/window.h"
#include "translator/translate.h"
#include "translator/verify.h"

#define CODE 0x20000u
#define FAR  (CODE + 0x1100)

static struct tu *make_in(u32 eip, u32 mode)
{
	v->eip = eip;
	v->mode = mode;
	return translate(v, eip);
}

static u32 rel32(u32 site)
{
	s32 rel;
	memcpy(&rel, (const void *)(u64)site, 4);
	return site + 4 + (u32)rel;
}

static struct tu *from, *to;
static struct tu_exit *x;

static bool linked(void)
{
	ck_assert_uint_eq(rel32(x->site), x->target ? to->body : x->stub);
	return x->target;
}

/* A jump to the next page, and a loop there. */
static void set_up(void)
{
	machine_create();
	PUT(CODE, 0xe9, 0xfb, 0x10, 0x00, 0x00);
	PUT(FAR, 0xeb, 0xfe);
	from = make_in(CODE, mode_compute(v) | MODE_DIRECT);
	to = make_in(FAR, v->mode);
	x = &v->tc->exits[from->exits];
	ck_assert_uint_eq(from->exit_count, 1);
	ck_assert_uint_eq(x->flags, EXIT_CROSS);
	ck_assert_uint_eq(x->target_eip, FAR);
	ck_assert(!linked());
}

static void tear_down(void)
{
	machine_destroy();
}

/* Two interrupts without a MOV CR3. */
static void be_quiet(void)
{
	link_tick(v);
	link_tick(v);
}

START_TEST(only_when_quiet)
{
	ck_assert(!link_make(v, x, to, false));
	ck_assert(!linked());
	ck_assert_uint_eq(rel32(x->stub + 7), (u32)(u64)thunk_link);
	ck_assert_int_eq(verify_chain(v, x), VERIFY_OK);
	link_tick(v);
	ck_assert(!link_make(v, x, to, false));
	link_tick(v);
	ck_assert_uint_eq(v->link, (u64)thunk_exit_chain);
	ck_assert(link_make(v, x, to, false));
	ck_assert(linked());
	ck_assert_int_eq(verify_chain(v, x), VERIFY_OK);
	jc_flush_nonglobal(v);
	ck_assert(!linked());
	link_tick(v);
	ck_assert(!link_make(v, x, to, false));
}
END_TEST

START_TEST(cut_by_page)
{
	for (int global = 0; global < 2; global++) {
		be_quiet();
		ck_assert(link_make(v, x, to, global));
		jc_flush_page(v, CODE >> PAGE_SHIFT);
		jc_flush_page(v, (FAR >> PAGE_SHIFT) + LINK_BUCKETS);
		ck_assert(linked());
		jc_flush_page(v, FAR >> PAGE_SHIFT);
		ck_assert(!linked());
	}
}
END_TEST

START_TEST(cut_by_the_rest)
{
	ck_assert(link_make(v, x, to, true));
	jc_flush_nonglobal(v);
	ck_assert(linked());
	jc_flush_all(v);
	ck_assert(!linked());
	/* What was global once need not be the next time. */
	be_quiet();
	ck_assert(link_make(v, x, to, false));
	jc_flush_nonglobal(v);
	ck_assert(!linked());
	/* Nor the other way round, whatever the log still says. */
	be_quiet();
	ck_assert(link_make(v, x, to, false));
	jc_flush_page(v, FAR >> PAGE_SHIFT);
	ck_assert(link_make(v, x, to, true));
	jc_flush_nonglobal(v);
	ck_assert(linked());
	/* TUs that go. */
	tu_drop(v, to);
	ck_assert(!linked());
	to = make_in(FAR, v->mode);
	ck_assert(link_make(v, x, to, true));
	tu_drop(v, from);
	ck_assert(!linked());
	ck_assert_uint_eq(to->incoming, 0);
	jc_flush_all(v);
	tc_flush(v);
	ck_assert_uint_eq(v->tc->link_bucket[FAR >> PAGE_SHIFT], 0);
}
END_TEST

/* MOV CR3 never has more than so many to cut. */
START_TEST(log_is_bounded)
{
	be_quiet();
	for (u32 i = 0; i < LINK_LOG; i++) {
		ck_assert(link_make(v, x, to, false));
		link_cut_page(v, FAR >> PAGE_SHIFT);
	}
	ck_assert(!link_make(v, x, to, false));
	be_quiet();
	ck_assert(!link_make(v, x, to, false));
	ck_assert(link_make(v, x, to, true));
	jc_flush_nonglobal(v);
	ck_assert(linked());
	link_cut_page(v, FAR >> PAGE_SHIFT);
	be_quiet();
	ck_assert(link_make(v, x, to, false));
}
END_TEST

START_TEST(verified)
{
	ck_assert(link_make(v, x, to, true));
	u8 *stub = v->tc->rw + (x->stub - (u32)(u64)v->tc->rx);
	ck_assert_int_eq(verify_chain(v, x), VERIFY_OK);
	/* Nobody would find it when its page goes. */
	v->tc->link_bucket[(FAR >> PAGE_SHIFT) % LINK_BUCKETS] = 0;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_EXIT);
	v->tc->link_bucket[(FAR >> PAGE_SHIFT) % LINK_BUCKETS] = (u32)(x - v->tc->exits) + 1;
	x->flags &= (u8)~EXIT_CROSS;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_EXIT);
	x->flags |= EXIT_CROSS;
	jc_flush_all(v);
	ck_assert_int_eq(verify_chain(v, x), VERIFY_OK);
	stub[2] ^= 1;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_TRANSFER);
	stub[2] ^= 1;
	tu_divert(v, x);
	ck_assert_int_eq(verify_chain(v, x), VERIFY_OK);
	ck_assert_uint_eq(stub[1], 0xb8);
	ck_assert_uint_eq(rel32(x->stub + 7), (u32)tu_jump_thunk(v->tc));
	stub[3] ^= 1;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_TRANSFER);
}
END_TEST

/* Segments, whose EIPs are no linear addresses, and the checked flavour have none. */
START_TEST(not_everywhere)
{
	struct tu *tu = make_in(CODE, mode_compute(v));
	ck_assert_uint_eq(tu->exit_count, 0);
	segment_set(v, SEG_CS, KCS, 0x1000, 0xffffffffu, v->seg[SEG_CS].attr);
	tu = make_in(CODE, mode_compute(v) | MODE_DIRECT);
	ck_assert_uint_eq(tu->exit_count, 0);
}
END_TEST

/*
 * Code that calls another page a thousand times, maps it anew and tells the TLB so, and calls it again. By a straddling jump, too: its
 * target's page is the one that changes.
 */
static void call_twice(u32 flags, bool by_cr3)
{
	enum { CALLED = 0x30000, OTHER = 0x31000 };
	harness_flavour = FLAVOUR_DIRECT;
	machine_create();
	paging_on();
	map_page(CODE, CODE, PTE_P | PTE_W | PTE_A | PTE_D);
	for (u32 at = H_TABLES; at < CODE; at += PAGE_SIZE)
		map_page(at, at, PTE_P | PTE_W | PTE_A | PTE_D);
	u32 pte = map_page(CALLED, CALLED, PTE_P | PTE_A | flags);
	PUT(CALLED, 0x40, 0xc3);			/* inc eax ; ret */
	PUT(OTHER, 0x05, 0x00, 0x00, 0x01, 0x00, 0xc3); /* add eax, 10000h ; ret */
	PUT(CODE, 0xb9, 0xe8, 0x03, 0x00, 0x00,		/* mov ecx, 1000 */
	    0xe8, 0xf6, 0xff, 0x00, 0x00,		/* call CALLED */
	    0x49, 0x75, 0xf8,				/* dec ecx ; jnz -8 */
	    0x4b, 0x74, 0x12,				/* dec ebx ; jz +18 */
	    0xc7, 0x05);				/* mov dword [pte], ... */
	poke(CODE + 18, pte, 4);
	poke(CODE + 22, OTHER | PTE_P | PTE_A | flags, 4);
	if (by_cr3)
		PUT(CODE + 26, 0x0f, 0x20, 0xda, 0x0f, 0x22, 0xda); /* mov edx, cr3 ; mov cr3, edx */
	else
		PUT(CODE + 26, 0x0f, 0x01, 0x3e, 0x90, 0x90, 0x90); /* invlpg [esi] */
	PUT(CODE + 32, 0xeb, 0xde);				    /* jmp CODE */
	PUT(CODE + 34, 0xcc);
	v->regs[REG_EAX] = 0;
	v->regs[REG_EBX] = 2;
	v->regs[REG_ESI] = CALLED;
	v->stats.links = 0;
	if (!(flags & PTE_G))
		be_quiet();
	vm_run_ok(CODE);
	ck_assert_uint_eq(v->regs[REG_EAX], 1000 + 1000 * 0x10000);
	if (flags & PTE_G)
		ck_assert_uint_ge(v->stats.links, 1);
	machine_destroy();
	harness_flavour = FLAVOUR_CHECKED;
}

START_TEST(remapped)
{
	call_twice(PTE_G, false);
	call_twice(0, false);
	call_twice(0, true);
}
END_TEST

/* A loop through an instruction that straddles pages, entered by a fall-through and by a branch, does without the dispatcher. */
START_TEST(straddling_loop)
{
	machine_create();
	PUT(CODE + 0xff0, 0xb9, 0x10, 0x27, 0x00, 0x00, /* mov ecx, 10000 */
	    0xf6, 0xc1, 0x01,				/* loop: test cl, 1 */
	    0x74, 0x03,					/* jz straddles */
	    0x40,					/* inc eax */
	    0x90, 0x90,					/* falls through */
	    0x81, 0xc3, 0x02, 0x00, 0x00, 0x00,		/* straddles: add ebx, 2 */
	    0x49,					/* dec ecx */
	    0x75, 0xef,					/* jnz loop */
	    0xcc);
	v->stats.dispatches = 0;
	vm_run_ok(CODE + 0xff0);
	ck_assert_uint_eq(v->regs[REG_EAX], 5000);
	ck_assert_uint_eq(v->regs[REG_EBX], 20000);
	ck_assert_uint_lt(v->stats.dispatches, 100);
	machine_destroy();
}
END_TEST

/* ---- jump caches of address spaces ---- */

enum { USER = 0x400000 };

static struct jump_cache *user_cache(void)
{
	v->cpl = 3;
	return jc_for_mode(v, 3 | MODE_CS32 | MODE_SS32 | MODE_FLAT(SEG_CS) | MODE_DIRECT);
}

/* MOV CR3 leaves what is mapped as it was, and nothing else. */
START_TEST(spaces)
{
	static const struct {
		u32 flags;
		u64 pa;
		bool stays;
	} now[] = {
		{PTE_P | PTE_U | PTE_A, CODE, true}, {PTE_P | PTE_U | PTE_A | PTE_W | PTE_D, CODE, true},
		{PTE_P | PTE_U, CODE, false},	     /* nobody has been there */
		{PTE_P | PTE_A, CODE, false},	     /* the supervisor's */
		{PTE_U | PTE_A, CODE, false},	     /* not present */
		{PTE_P | PTE_U | PTE_A, FAR, false}, /* another page */
	};
	machine_create();
	PUT(CODE, 0xc3);
	struct tu tu = *make_in(CODE, mode_compute(v));
	paging_on();
	map_page(USER, CODE, now[0].flags);
	map_page(USER + PAGE_SIZE, FAR & ~PAGE_MASK, now[0].flags);
	u32 other = v->cr3 + 0x100000, pde = v->cr3 + (USER >> 22) * 4;
	poke(pde, peek(pde, 4) | PTE_A, 4);
	tu.eip = USER + 5;
	for (unsigned i = 0; i < ARRAY_SIZE(now); i++) {
		struct jump_cache *jc = user_cache();
		jc_enter(v, jc, &tu, false);
		ck_assert_uint_eq(jc_head(v, jc, tu.eip), tu.head);
		/* Another address space has another one, and does not come upon this one by chance. */
		v->cr3 ^= other;
		jc_flush_nonglobal(v);
		ck_assert_ptr_null(v->tc->jc_near[jc_near_index(jc->mode, 0)].entry);
		ck_assert_ptr_ne(user_cache(), jc);
		v->cr3 ^= other;
		map_page(USER, now[i].pa & ~PAGE_MASK, now[i].flags);
		jc_flush_nonglobal(v);
		ck_assert_ptr_eq(user_cache(), jc);
		ck_assert_uint_eq(jc_head(v, jc, tu.eip), now[i].stays ? tu.head : 0);
		map_page(USER, CODE, now[0].flags);
		ck_assert_ptr_eq(user_cache(), jc);
	}
	/* INVLPG takes what it takes of all others. */
	struct jump_cache *jc = user_cache();
	jc_enter(v, jc, &tu, false);
	jc_flush_page(v, USER >> PAGE_SHIFT);
	ck_assert_uint_eq(jc_head(v, jc, tu.eip), 0);
	/* The second page of one that straddles counts. */
	tu.eip = USER + 0xffe;
	tu.flags |= TU_STRADDLES;
	tu.pa2 = FAR & ~PAGE_MASK;
	jc_enter(v, jc, &tu, false);
	jc_flush_nonglobal(v);
	ck_assert_uint_eq(jc_head(v, user_cache(), tu.eip), tu.head);
	map_page(USER + PAGE_SIZE, CODE, now[0].flags);
	jc_flush_nonglobal(v);
	ck_assert_uint_eq(jc_head(v, user_cache(), tu.eip), 0);
	/* More pages than are remembered: all go. */
	tu.flags &= (u8)~TU_STRADDLES;
	for (u32 i = 0; i <= JC_PAGES; i++) {
		map_page(USER + i * PAGE_SIZE, CODE, now[0].flags);
		tu.eip = USER + i * PAGE_SIZE;
		jc_enter(v, jc, &tu, false);
		ck_assert_uint_eq(jc_head(v, jc, tu.eip), tu.head);
	}
	jc_flush_nonglobal(v);
	for (u32 i = 0; i <= JC_PAGES; i++)
		ck_assert_uint_eq(jc_head(v, user_cache(), USER + i * PAGE_SIZE), 0);
	ck_assert_uint_eq(jc->page_count, 0);
	machine_destroy();
}
END_TEST

/* ---- guilt ---- */

START_TEST(terms)
{
	harness_flavour = FLAVOUR_DIRECT;
	machine_create();
	PUT(CODE, 0x8b, 0x03, 0xc3);
	u32 term = PAROLE_TERM;
	for (unsigned round = 0; round < 20; round++) {
		struct tu *tu = make_in(CODE, mode_compute(v));
		window_convict(v, CODE);
		ck_assert(window_is_guilty(v, CODE));
		v->stats.interrupts += term - 1;
		parole_tick(v);
		ck_assert(window_is_guilty(v, CODE));
		ck_assert_uint_eq(tu->flags & TU_DEAD, 0);
		v->stats.interrupts++;
		parole_tick(v);
		ck_assert(!window_is_guilty(v, CODE));
		ck_assert(tu->flags & TU_DEAD);
		term = MIN(2 * term, PAROLE_MOST);
	}
	ck_assert_uint_eq(v->stats.acquitted, 20);
	/* Two at a time, and a slot that another instruction takes. */
	window_convict(v, CODE);
	window_convict(v, CODE + 3);
	v->stats.interrupts += PAROLE_TERM;
	parole_tick(v);
	ck_assert(window_is_guilty(v, CODE) && !window_is_guilty(v, CODE + 3));
	v->stats.interrupts += PAROLE_MOST;
	parole_tick(v);
	ck_assert(!window_is_guilty(v, CODE));
	machine_destroy();
	harness_flavour = FLAVOUR_CHECKED;
}
END_TEST

/* ---- code that is rewritten ---- */

START_TEST(churn)
{
	machine_create();
	struct page_desc *d = smc_page(v, ram_page(&vm->mem, ram_ptr(&vm->mem, CODE)));
	for (u32 at = 0; at < 0x1000; at += 0x40)
		PUT(CODE + at, 0xc3);
	/* All of it is cleared, granule by granule. */
	for (u32 at = 0; at < 0x1000; at += 0x40)
		make_in(CODE + at, mode_compute(v));
	for (u32 at = 0; at < 0x1000; at += 0x40)
		smc_phys_write(vm, CODE + at, 0x40);
	ck_assert_uint_eq(d->granules, 0);
	ck_assert_uint_eq(v->stats.smc_drops, 64);
	ck_assert_uint_le(d->code_churn, 1);
	ck_assert(!smc_is_churned(v, d));
	/* Written and run in turns. */
	for (unsigned i = 0; i < CODE_CHURN_LIMIT; i++) {
		make_in(CODE, mode_compute(v));
		smc_phys_write(vm, CODE, 1);
	}
	ck_assert(smc_is_churned(v, d));
	for (u32 i = 0; i < 3000; i++) {
		v->stats.interrupts++;
		ck_assert_int_eq(smc_is_churned(v, d), i + 1 < CODE_CHURN_TICKS);
	}
	machine_destroy();
}
END_TEST

/* More address spaces than may have caches: those that have one keep it, the others share one, until somebody's turn does not come. */
START_TEST(more_spaces)
{
	struct jump_cache *jc[JC_SPACES + 2];
	machine_create();
	paging_on();
	u32 first = v->cr3;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(jc); i++) {
			v->cr3 = first + i * PAGE_SIZE;
			jc_flush_nonglobal(v);
			struct jump_cache *now = user_cache();
			ck_assert(!round || now == jc[i]);
			ck_assert_uint_eq(now->space, i < JC_SPACES ? v->cr3 | 1 : 0);
			jc[i] = now;
		}
	}
	ck_assert_ptr_eq(jc[JC_SPACES], jc[JC_SPACES + 1]);
	/* All but the first go on. */
	for (unsigned round = 0; round <= JC_SPACE_IDLE / JC_SPACES; round++) {
		for (unsigned i = 1; i <= JC_SPACES; i++) {
			v->cr3 = first + i * PAGE_SIZE;
			jc_flush_nonglobal(v);
			user_cache();
		}
	}
	ck_assert_ptr_eq(user_cache(), jc[0]);
	ck_assert_uint_eq(jc[0]->space, v->cr3 | 1);
	v->cr3 = first;
	jc_flush_nonglobal(v);
	ck_assert_uint_eq(user_cache()->space, 0);
	machine_destroy();
}
END_TEST

Suite *link_suite(void)
{
	Suite *s = suite_create("link");
	TCase *l = tcase_create("links"), *r = tcase_create("running");

	tcase_add_checked_fixture(l, set_up, tear_down);
	tcase_add_test(l, only_when_quiet);
	tcase_add_test(l, cut_by_page);
	tcase_add_test(l, cut_by_the_rest);
	tcase_add_test(l, log_is_bounded);
	tcase_add_test(l, verified);
	tcase_add_test(l, not_everywhere);
	suite_add_tcase(s, l);
	tcase_set_timeout(r, 20);
	tcase_add_test(r, remapped);
	tcase_add_test(r, straddling_loop);
	tcase_add_test(r, spaces);
	tcase_add_test(r, more_spaces);
	tcase_add_test(r, terms);
	tcase_add_test(r, churn);
	suite_add_tcase(s, r);
	return s;
}
