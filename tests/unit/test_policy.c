/*
 * Whether windows pay: accounts and waits by themselves; then windows of a machine under virtual time, whose faults the tests make: who
 * gets one, with what in it, who loses it, what is left out of the supervisor's, and that rights change without anything being mapped anew.
 */
#include <unistd.h>

#include "tests/unit/vm_harness.h"

#include "cache/smc.h"
#include "monitor/lockstep.h"
#include "monitor/log.h"
#include "shadowpt/access.h"
#include "shadowpt/softmmu.h"
#include "shadowpt/window_state.h"

#define A    0x40000000u
#define RAM  0x100000u
#define USED (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
#define MS   1000000ull

/* ---- accounts ---- */

START_TEST(account_balance)
{
	struct account a;

	account_open(&a, 5, 1000);
	ck_assert_int_eq(a.balance, 500);
	ck_assert_uint_eq(a.opened, 5);
	account_earn(&a, 400);
	ck_assert_int_eq(a.balance, 500 + 400 / ACCOUNT_SHARE);
	/* No more than it holds, however long the time. */
	account_earn(&a, 1000000);
	ck_assert_int_eq(a.balance, 1000);
	account_earn(&a, UINT64_MAX);
	ck_assert_int_eq(a.balance, 1000);
	/* Upkeep is paid, and its time earns nothing. */
	account_pay(&a, 600);
	account_earn(&a, 600);
	ck_assert_int_eq(a.balance, 400);
	account_pay(&a, 600);
	account_earn(&a, 1000);
	ck_assert_int_eq(a.balance, -200 + 400 / ACCOUNT_SHARE);
	account_earn(&a, 400);
	ck_assert_int_eq(a.balance, -200 + 800 / ACCOUNT_SHARE);
	/* What is owed has to be earned, too. */
	account_pay(&a, 5000);
	account_earn(&a, 5000 + ACCOUNT_SHARE * 3000);
	ck_assert_int_eq(a.balance, -2000);
	/* More than it holds, as a hand-over may bring with it, is not taken away. */
	a.balance = 1500;
	account_earn(&a, 400);
	ck_assert_int_eq(a.balance, 1500);
}
END_TEST

/* Whatever comes in whichever order: until it is broke an account has paid no more than its invariant says. */
START_TEST(account_invariant)
{
	u32 seed = 1;

	for (unsigned round = 0; round < 500; round++) {
		struct account a;
		u64 ran = 0, paid = 0, cost = 0;

		account_open(&a, 0, ACCOUNT_USER);
		for (unsigned n = 0; n < 100000 && a.balance >= 0; n++) {
			seed = seed * 1664525 + 1013904223;
			cost = seed >> 16 & 0x7fff;
			account_pay(&a, cost);
			paid += cost;
			seed = seed * 1664525 + 1013904223;
			if (!(seed >> 28)) {
				u64 ns = (seed >> 8 & 0xffff) * (round % 16 + 1);
				account_earn(&a, ns);
				ran += ns;
			}
		}
		ck_assert_uint_le(paid, ran / ACCOUNT_SHARE + ACCOUNT_USER + cost);
	}
}
END_TEST

START_TEST(retry_waits)
{
	struct retry r = {0};
	struct account a;
	u64 now = 1000, wait = RETRY_FIRST * ACCOUNT_USER;

	account_open(&a, now, ACCOUNT_USER);
	retry_later(&r, &a, now + 1);
	ck_assert_uint_eq(r.not_before, now + 1 + wait);
	/* Each failure that comes soon doubles the wait, up to a limit. */
	for (unsigned n = 0; n < 20; n++) {
		now = r.not_before;
		account_open(&a, now, ACCOUNT_USER);
		now += RETRY_LONG * wait;
		retry_later(&r, &a, now);
		wait = MIN(wait * 2, RETRY_MAX);
		ck_assert_uint_eq(r.not_before - now, wait);
	}
	ck_assert_uint_eq(wait, RETRY_MAX);
	/* One that does not begins anew. */
	now = r.not_before;
	account_open(&a, now, ACCOUNT_KERNEL);
	retry_later(&r, &a, now + RETRY_LONG * wait + 1);
	ck_assert_uint_eq(r.wait, RETRY_FIRST * ACCOUNT_KERNEL);
}
END_TEST

/* ---- windows ---- */

static char path[] = "/tmp/test_policy.XXXXXX";

static void create(enum flavour flavour)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert(log_open(path));
	harness_flavour = flavour;
	harness_lockstep = 1u << 20;
	machine_create();
	paging_on();
}

static void destroy(void)
{
	machine_destroy();
	unlink(path);
	strcpy(path + sizeof(path) - 7, "XXXXXX");
}

/* Vm time, and under lockstep processor time, goes on. */
static void pass(u64 ns)
{
	v->insns += ns / LOCKSTEP_INSN_NS;
}

static void tick(u64 ns)
{
	pass(ns);
	window_tick(v);
}

/* The user's code reads `n` pages from `linear` on, checked. */
static void touch(u32 linear, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		u32 room;
		ck_assert_ptr_nonnull(softmmu_span(v, linear + i * PAGE_SIZE, ACC_USER, &room));
	}
}

static enum window_fault fault(u32 linear, bool write)
{
	u32 error;

	return window_fault(v, linear, write, &error);
}

static u32 seen(const struct window *w, u32 linear)
{
	return *(volatile u32 *)(w->base + linear);
}

/* A user's window for the current address space, as ticks give it. */
static struct window *hot_window(void)
{
	v->cpl = 3;
	for (int n = 0; n < 3; n++)
		tick(4 * MS);
	ck_assert_ptr_nonnull(v->user_window);
	ck_assert(window_enter(v));
	return v->user_window;
}

START_TEST(window_is_earned)
{
	create(FLAVOUR_AUTO);
	/* 64 pages side by side, and 16 in no order. */
	for (u32 i = 0; i < 64; i++)
		map_page(A + i * PAGE_SIZE, RAM + i * PAGE_SIZE, USED & ~PTE_A);
	for (u32 i = 0; i < 16; i++)
		map_page(A + 0x200000 + i * PAGE_SIZE, RAM + 0x200000 + i * 7 % 16 * PAGE_SIZE, USED);
	poke(RAM + 5 * PAGE_SIZE, 0x12345678, 4);
	poke(RAM + 0x200000 + 7 * PAGE_SIZE, 0x9abcdef0, 4);
	v->cpl = 3;
	tick(0);
	touch(A, 64);
	touch(A + 0x200000, 16);
	/* Pages touched for the first time: it has only just been started. */
	tick(100 * MS);
	ck_assert_ptr_null(v->user_window);
	/* 17 mappings and 80 pages want four times their price. */
	u64 price = 17 * COST_MAP + 80 * COST_PAGE;
	ck_assert_uint_eq(window_price(v), price);
	tick(ACCOUNT_SHARE * price / 2);
	ck_assert_ptr_null(v->user_window);
	tick(ACCOUNT_SHARE * price / 2 + 1000);
	ck_assert_ptr_nonnull(v->user_window);
	/* All that is there without a fault; and the account is as that of any new window. */
	ck_assert_uint_eq(v->stats.window_fills, 0);
	ck_assert_uint_eq(v->stats.window_mappings, 17);
	ck_assert_uint_eq(v->stats.window_pages, 80);
	ck_assert_int_eq(v->user_window->account.balance, ACCOUNT_USER / 2);
	ck_assert_uint_eq(seen(v->user_window, A + 5 * PAGE_SIZE), 0x12345678);
	ck_assert_uint_eq(seen(v->user_window, A + 0x200000 + PAGE_SIZE), 0x9abcdef0);
	/* The user's only, with the rights that the tables give. */
	ck_assert(!window_is_mapped(v, v->user_window, H_KSTACK >> PAGE_SHIFT));
	ck_assert(window_is_writable(v, (u32)(v->user_window - v->windows->window) << 20 | A >> PAGE_SHIFT));
	destroy();
}
END_TEST

/* Pages without D are handed over read-only; those whose entries have been taken away meanwhile not at all. */
START_TEST(hand_over_rights)
{
	create(FLAVOUR_AUTO);
	map_page(A, RAM, USED & ~PTE_D);
	map_page(A + PAGE_SIZE, RAM + PAGE_SIZE, USED & ~PTE_W);
	map_page(A + 2 * PAGE_SIZE, RAM + 2 * PAGE_SIZE, USED);
	map_page(A + 3 * PAGE_SIZE, RAM + 3 * PAGE_SIZE, USED);
	touch(A, 4);
	map_page(A + 3 * PAGE_SIZE, 0, 0);
	struct window *w = hot_window();
	u32 which = (u32)(w - v->windows->window) << 20 | A >> PAGE_SHIFT;
	for (u32 i = 0; i < 4; i++) {
		ck_assert_int_eq(window_is_mapped(v, w, (A >> PAGE_SHIFT) + i), i < 3);
		ck_assert_int_eq(window_is_writable(v, which + i), i == 2);
	}
	destroy();
}
END_TEST

START_TEST(user_window_is_given_up)
{
	enum flavour flavour = _i ? FLAVOUR_DIRECT : FLAVOUR_AUTO;

	create(flavour);
	for (u32 i = 0; i < 1024; i++)
		map_page(A + i * PAGE_SIZE, RAM + i * PAGE_SIZE, USED & ~PTE_A);
	struct window *w = hot_window();
	u32 n = 0;
	while (n < 1024 && !window_is_broke(v))
		ck_assert_int_eq(fault(A + n++ * PAGE_SIZE, false), WINDOW_FILLED);
	if (flavour == FLAVOUR_DIRECT) {
		ck_assert_uint_eq(n, 1024);
		ck_assert(window_enter(v));
		ck_assert_ptr_eq(v->window, w);
		destroy();
		return;
	}
	ck_assert_uint_lt(n, 1 + ACCOUNT_USER / (COST_SIGNAL + COST_MAP));
	/* With the time that it takes to earn its keep it may stay. */
	pass(ACCOUNT_SHARE * 50000 + (u64)w->account.paid);
	ck_assert(window_enter(v));
	while (!window_is_broke(v))
		ck_assert_int_eq(fault(A + n++ * PAGE_SIZE, false), WINDOW_FILLED);
	ck_assert(!window_enter(v));
	ck_assert_ptr_null(v->window);
	ck_assert_ptr_null(v->user_window);
	ck_assert_uint_eq(v->stats.windows_demoted, 1);
	ck_assert(!window_is_mapped(v, w, A >> PAGE_SHIFT));
	/* However much it runs it must wait. */
	tick(MS);
	tick(RETRY_FIRST * ACCOUNT_USER - 2 * MS);
	tick(MS / 2);
	ck_assert_ptr_null(v->user_window);
	tick(MS);
	ck_assert_ptr_nonnull(v->user_window);
	destroy();
}
END_TEST

/* The same for the supervisor's, with interrupts and without. */
START_TEST(kernel_window_is_given_up)
{
	create(FLAVOUR_AUTO);
	for (u32 i = 0; i < 1024; i++)
		map_page(A + i * PAGE_SIZE, RAM + i * PAGE_SIZE, (USED & ~PTE_A) & ~PTE_U);
	ck_assert(window_enter(v));
	struct window *w = v->window;
	ck_assert(w->kernel);
	for (u32 n = 0; !window_is_broke(v); n++) {
		ck_assert_uint_lt(n, 2000);
		ck_assert_int_eq(fault(A + n % 1024 * PAGE_SIZE, false), WINDOW_FILLED);
	}
	ck_assert(!window_enter(v));
	ck_assert_ptr_null(v->window);
	ck_assert_uint_eq(v->stats.windows_demoted, 1);
	tick(RETRY_FIRST * ACCOUNT_KERNEL - MS);
	ck_assert(!window_enter(v));
	pass(2 * MS);
	if (_i) {
		window_tick(v);
		ck_assert(window_enter(v));
	} else {
		u32 n = 0;
		while (!window_enter(v))
			ck_assert_uint_lt(++n, 2 * KERNEL_POLLS);
	}
	ck_assert_ptr_eq(v->window, w);
	ck_assert_int_eq(fault(A, false), WINDOW_FILLED);
	destroy();
}
END_TEST

static void load_cr3(u32 cr3)
{
	v->cr3 = cr3;
	mmu_flush_nonglobal(v);
	ck_assert(window_enter(v));
}

/* Two address spaces with another page table each for a region of the supervisor's, and one for both of another; they take turns. */
static void take_turns(u32 dir[2], u32 n, u64 ns, enum window_fault expected)
{
	for (u32 i = 0; i < n; i++) {
		pass(ns);
		load_cr3(dir[i & 1]);
		ck_assert_int_eq(fault(A, false), expected);
		if (!window_is_mapped(v, v->window, (A + 0x400000) >> PAGE_SHIFT))
			ck_assert_int_eq(fault(A + 0x400000, false), WINDOW_FILLED);
	}
}

START_TEST(regions_that_differ)
{
	u32 dir[2];

	create(_i ? FLAVOUR_DIRECT : FLAVOUR_AUTO);
	map_page(A + 0x400000, RAM, USED & ~PTE_U);
	dir[0] = v->cr3;
	dir[1] = new_table();
	memcpy(ram_at(dir[1]), ram_at(dir[0]), PAGE_SIZE);
	for (u32 i = 0; i < 2; i++) {
		v->cr3 = dir[i];
		map_page(A, RAM + (i + 1) * PAGE_SIZE, USED & ~PTE_U);
		poke(RAM + (i + 1) * PAGE_SIZE, i + 1, 4);
	}
	load_cr3(dir[1]);
	/* A turn now and then is no habit. */
	take_turns(dir, 4 * CHURN_LIMIT, CHURN_NS + 1, WINDOW_FILLED);
	ck_assert_uint_eq(v->stats.regions_avoided, 0);
	ck_assert_uint_eq(seen(v->window, A), 2);
	pass(8 * CHURN_NS);
	load_cr3(dir[0]);
	for (u32 i = 0; !v->stats.regions_avoided; i++) {
		ck_assert_uint_lt(i, CHURN_LIMIT + 4);
		ck_assert_int_eq(fault(A, false), WINDOW_FILLED);
		load_cr3(dir[~i & 1]);
	}
	/* Who goes there is guilty; what is the same for both stays where it is. */
	u64 fills = v->stats.window_fills;
	take_turns(dir, 20, 1000, WINDOW_GUILTY);
	ck_assert_uint_eq(v->stats.window_fills, fills);
	ck_assert_uint_eq(v->stats.regions_avoided, 1);
	ck_assert(window_is_mapped(v, v->window, (A + 0x400000) >> PAGE_SHIFT));
	/* Another kind of paging, other regions. */
	windows_drop(v);
	ck_assert(window_enter(v));
	ck_assert_int_eq(fault(A, false), WINDOW_FILLED);
	destroy();
}
END_TEST

/* A window that cannot trace the new address space's directory is in use no longer. */
START_TEST(no_room_for_a_root)
{
	create(FLAVOUR_AUTO);
	map_page(A, RAM, USED & ~PTE_U);
	ck_assert(window_enter(v));
	ck_assert_int_eq(fault(A, false), WINDOW_FILLED);
	u32 home = v->cr3, first = v->windows->free_region;
	v->cr3 = new_table();
	memcpy(ram_at(v->cr3), ram_at(home), PAGE_SIZE);
	/* As if other windows had all the rest of the pool: what this one gives back is not enough for regions that stay. */
	struct window *w = v->window;
	v->windows->free_region = 0;
	window_release_roots(v, w);
	v->windows->free_region = 0;
	mmu_flush_nonglobal(v);
	ck_assert_ptr_null(v->window);
	ck_assert(!w->used);
	ck_assert(!window_is_mapped(v, w, A >> PAGE_SHIFT));
	v->windows->free_region = first;
	ck_assert(window_enter(v));
	ck_assert_int_eq(fault(A, false), WINDOW_FILLED);
	destroy();
}
END_TEST

/* ---- fills ---- */

/* A page of a large one, that was read-only for a while, is not mapped anew, nor is anything else. */
START_TEST(upgrade)
{
	u32 pde;

	create(FLAVOUR_DIRECT);
	pde = v->cr3 + (A >> 22) * 4;
	poke(pde, 0x400000 | PTE_PS | ((USED & ~PTE_U) & ~PTE_D), 4);
	ck_assert(window_enter(v));
	struct window *w = v->window;
	u32 which = KERNEL_WINDOW << 20 | A >> PAGE_SHIFT;
	poke(0x400000 + 5 * PAGE_SIZE, 77, 4);
	ck_assert_int_eq(fault(A, false), WINDOW_FILLED);
	ck_assert(!window_is_writable(v, which));
	ck_assert_uint_eq(v->stats.window_mappings, 1);
	ck_assert_int_eq(fault(A + 0x1000, true), WINDOW_FILLED);
	ck_assert_uint_eq(v->stats.window_mappings, 1);
	ck_assert_uint_eq(v->stats.window_upgrades, 1);
	for (u32 i = 0; i < REGION_PAGES; i++)
		ck_assert(window_is_writable(v, which + i));
	*(volatile u32 *)(w->base + A + 9 * PAGE_SIZE) = 99;
	ck_assert_uint_eq(peek(0x400000 + 9 * PAGE_SIZE, 4), 99);
	ck_assert_uint_eq(seen(w, A + 5 * PAGE_SIZE), 77);
	/* Protected and back, so often that counts would run out. */
	v->windows->budget = 2 * v->windows->span;
	u8 *host = ram_at(0x400000 + 5 * PAGE_SIZE);
	for (u32 i = 0; i < 2000; i++) {
		softmmu_protect_page(v, ram_page(&vm->mem, host));
		ck_assert(!window_is_writable(v, which + 5));
		ck_assert_int_eq(fault(A + 5 * PAGE_SIZE, true), WINDOW_FILLED);
		*(volatile u32 *)(w->base + A + 5 * PAGE_SIZE) = i;
	}
	ck_assert_uint_eq(peek(0x400000 + 5 * PAGE_SIZE, 4), 1999);
	ck_assert_uint_eq(v->stats.window_resets, 0);
	ck_assert_uint_eq(v->stats.window_mappings, 1);
	ck_assert_uint_eq(v->stats.window_upgrades, 2001);
	destroy();
}
END_TEST

/* An entry that names another page now, and allows writing: what is mapped must not get the right. */
START_TEST(no_upgrade_of_another_page)
{
	create(FLAVOUR_DIRECT);
	u32 pte = map_page(A, RAM, (USED & ~PTE_U) & ~PTE_W);
	poke(RAM, 1, 4);
	poke(RAM + PAGE_SIZE, 2, 4);
	ck_assert(window_enter(v));
	ck_assert_int_eq(fault(A, false), WINDOW_FILLED);
	ck_assert_uint_eq(seen(v->window, A), 1);
	/* As the guest's kernel does it, without an INVLPG yet. */
	poke(pte, (RAM + PAGE_SIZE) | (USED & ~PTE_U), 4);
	window_table_write(v, pte, 4);
	ck_assert_int_eq(fault(A, true), WINDOW_FILLED);
	ck_assert_uint_eq(seen(v->window, A), 2);
	*(volatile u32 *)(v->window->base + A) = 3;
	ck_assert_uint_eq(peek(RAM, 4), 1);
	ck_assert_uint_eq(peek(RAM + PAGE_SIZE, 4), 3);
	destroy();
}
END_TEST

/* From one end to the other each fill maps twice as much; elsewhere it begins anew. */
START_TEST(fills_grow)
{
	u64 faults = 0;

	create(FLAVOUR_DIRECT);
	for (u32 i = 0; i < 1024; i++)
		map_page(A + i * PAGE_SIZE, RAM + i * PAGE_SIZE, USED);
	v->cpl = 3;
	window_tick(v);
	ck_assert(window_enter(v));
	for (u32 i = 0; i < 1024; i++) {
		if (window_is_mapped(v, v->window, (A >> PAGE_SHIFT) + i))
			continue;
		ck_assert_int_eq(fault(A + i * PAGE_SIZE, true), WINDOW_FILLED);
		faults++;
	}
	/* 16 16 32 64 128 256 256 256 */
	ck_assert_uint_eq(faults, 8);
	ck_assert_uint_eq(v->stats.window_pages, 1024);
	windows_drop(v);
	window_tick(v);
	ck_assert(window_enter(v));
	for (u32 i = 1024; i > 0; i -= 16)
		ck_assert_int_eq(fault(A + (i - 1) * PAGE_SIZE, true), WINDOW_FILLED);
	ck_assert_uint_eq(v->stats.window_pages, 2048);
	destroy();
}
END_TEST

/* More address spaces than windows used to be. */
START_TEST(many_spaces)
{
	u32 dir[60], home;

	create(FLAVOUR_DIRECT);
	home = v->cr3;
	v->cpl = 3;
	for (u32 i = 0; i < ARRAY_SIZE(dir); i++) {
		dir[i] = new_table();
		memcpy(ram_at(dir[i]), ram_at(home), PAGE_SIZE);
		v->cr3 = dir[i];
		map_page(A, RAM + i * PAGE_SIZE, USED);
		poke(RAM + i * PAGE_SIZE, i, 4);
	}
	for (u32 round = 0; round < 3; round++) {
		for (u32 i = 0; i < ARRAY_SIZE(dir); i++) {
			v->cr3 = dir[i];
			mmu_flush_nonglobal(v);
			if (!v->user_window)
				window_tick(v);
			ck_assert(window_enter(v));
			if (!round)
				ck_assert_int_eq(fault(A, false), WINDOW_FILLED);
			ck_assert_uint_eq(seen(v->window, A), i);
		}
	}
	ck_assert_uint_eq(v->stats.windows_made, ARRAY_SIZE(dir));
	ck_assert_uint_eq(v->stats.window_fills, ARRAY_SIZE(dir));
	ck_assert_uint_eq(v->stats.windows_evicted, 0);
	destroy();
}
END_TEST

Suite *policy_suite(void)
{
	Suite *s = suite_create("policy");
	TCase *a = tcase_create("accounts"), *w = tcase_create("windows"), *f = tcase_create("fills");

	tcase_add_test(a, account_balance);
	tcase_add_test(a, account_invariant);
	tcase_add_test(a, retry_waits);
	suite_add_tcase(s, a);
	tcase_set_timeout(w, 20);
	tcase_add_test(w, window_is_earned);
	tcase_add_test(w, hand_over_rights);
	tcase_add_loop_test(w, user_window_is_given_up, 0, 2);
	tcase_add_loop_test(w, kernel_window_is_given_up, 0, 2);
	tcase_add_loop_test(w, regions_that_differ, 0, 2);
	tcase_add_test(w, no_room_for_a_root);
	suite_add_tcase(s, w);
	tcase_set_timeout(f, 20);
	tcase_add_test(f, upgrade);
	tcase_add_test(f, no_upgrade_of_another_page);
	tcase_add_test(f, fills_grow);
	tcase_add_test(f, many_spaces);
	suite_add_tcase(s, f);
	return s;
}
