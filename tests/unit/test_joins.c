/*
 * What makes code that runs once or a few times cheap: exits that lead into the middle of a TU, exits to instructions that straddle, TUs
 * that outlive a change of the memory map, windows for programs that bring much code.
 */
#include "tests/unit/vm_harness.h"

#include "cache/smc.h"
#include "cache/tc.h"
#include "shadowpt/window.h"
#include "translator/translate.h"
#include "translator/verify.h"

#define CODE 0x20000u

static struct tu *make(u32 eip, u32 more)
{
	v->eip = eip;
	cpu_set_mode();
	v->mode |= more;
	return translate(v, eip);
}

static struct tu_exit *exit_to(struct tu *tu, u32 eip)
{
	for (u32 i = 0; i < tu->exit_count; i++)
		if (v->tc->exits[tu->exits + i].target_eip == eip)
			return &v->tc->exits[tu->exits + i];
	return NULL;
}

static u32 branch(const struct tu_exit *x)
{
	s32 rel;
	memcpy(&rel, (const void *)(u64)x->site, 4);
	return x->site + 4 + (u32)rel;
}

/* A loop of ten, with a branch over one instruction each other time, and its head in the middle of the TU: it is translated once. */
START_TEST(a_loop_is_one_tu)
{
	machine_create();
	/* mov ecx, 10 ; xor ebx, ebx ; 7: test cl, 1 ; jz +1 (d) ; inc ebx ; d: add edx, 3 ; dec ecx ; jnz 7 ; int3 */
	PUT(CODE, 0xb9, 10, 0, 0, 0, 0x31, 0xdb, 0xf6, 0xc1, 1, 0x74, 1, 0x43, 0x83, 0xc2, 3, 0x49, 0x75, 0xf4, 0xcc);
	v->regs[REG_EDX] = 0;
	vm_run_ok(CODE);
	ck_assert_uint_eq(v->regs[REG_EBX], 5);
	ck_assert_uint_eq(v->regs[REG_EDX], 30);
	struct tu *tu = tu_lookup(v->tc, CODE, CODE, mode_compute(v));
	ck_assert_ptr_nonnull(tu);
	ck_assert_ptr_null(tu_lookup(v->tc, CODE + 7, CODE + 7, mode_compute(v)));
	ck_assert_ptr_null(tu_lookup(v->tc, CODE + 0xd, CODE + 0xd, mode_compute(v)));
	ck_assert_uint_eq(v->stats.joins, 2);
	for (u32 i = 0; i < 2; i++) {
		u32 eip = CODE + (i ? 7 : 0xd), entry = tu_entry(v->tc, tu, eip);
		struct tu_exit *x = exit_to(tu, eip);
		ck_assert_ptr_nonnull(x);
		ck_assert_uint_ne(entry, 0);
		ck_assert_uint_eq(branch(x), entry);
		ck_assert_uint_eq(x->target, tu_index(v->tc, tu) + 1);
		ck_assert_int_eq(verify_chain(v, x), VERIFY_OK);
	}
	/* Not into the middle of an instruction. */
	ck_assert_uint_eq(tu_entry(v->tc, tu, CODE + 8), 0);
	ck_assert_ptr_null(tu_holding(v, CODE + 8, CODE + 8, tu->mode));
	ck_assert_ptr_eq(tu_holding(v, CODE + 7, CODE + 7, tu->mode), tu);
	ck_assert_ptr_null(tu_holding(v, CODE + 7, CODE + 7, tu->mode | MODE_SINGLE));
	ck_assert_ptr_null(tu_holding(v, CODE + 7, CODE + 0x1007, tu->mode));
	/* A write to it takes all that leads in away. */
	smc_phys_write(vm, CODE + 0xd, 1);
	ck_assert(tu->flags & TU_DEAD);
	for (u32 i = 0; i < tu->exit_count; i++)
		ck_assert_uint_eq(branch(&v->tc->exits[tu->exits + i]), v->tc->exits[tu->exits + i].stub);
	ck_assert_ptr_null(tu_holding(v, CODE + 7, CODE + 7, tu->mode));
	machine_destroy();
}
END_TEST

/* While r15d lags behind ESP nobody comes in, nor behind STI. */
START_TEST(where_nobody_joins)
{
	machine_create();
	/* push eax ; push ecx ; mov [esp], edx ; add esp, 8 ; nop ; sti ; inc eax ; inc ecx ; ret */
	PUT(CODE, 0x50, 0x51, 0x89, 0x14, 0x24, 0x83, 0xc4, 8, 0x90, 0xfb, 0x40, 0x41, 0xc3);
	static const struct {
		u8 off, checked, direct;
	} cases[] = {{1, 1, 0}, {2, 1, 0}, {5, 1, 1}, {8, 1, 1}, {9, 1, 1}, {10, 0, 0}, {11, 1, 1}, {12, 1, 1}};
	for (unsigned direct = 0; direct < 2; direct++) {
		struct tu *tu = make(CODE, direct ? MODE_DIRECT : 0);
		for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
			ck_assert_msg(!!tu_entry(v->tc, tu, CODE + cases[i].off) == (direct ? cases[i].direct : cases[i].checked),
				      "flavour %u, offset %u", direct, cases[i].off);
	}
	machine_destroy();
}
END_TEST

/* The verifier enters a TU wherever an exit may: what is half done there is found. */
START_TEST(verified)
{
	struct verify_violation why;
	machine_create();
	/* inc eax ; mov ecx, [ebx] ; inc edx ; ret */
	PUT(CODE, 0x40, 0x8b, 0x0b, 0x42, 0xc3);
	struct tu *tu = make(CODE, 0);
	if (!v->verifier)
		v->verifier = verifier_create();
	ck_assert(verify_tu(v, tu, v->tc->emu_count, &why));
	struct tu_insn *in = tu_insn(v->tc, tu, 1);
	u16 right = in->join_off;
	/* At each byte of the access but its first: the address is not known there, or it is no instruction. */
	u32 next = tu_insn(v->tc, tu, 2)->join_off;
	for (u32 off = right + 1u; off < next; off++) {
		in->join_off = (u16)off;
		ck_assert_msg(!verify_tu(v, tu, v->tc->emu_count, &why), "offset %u of %u to %u", off, right, next);
	}
	in->join_off = (u16)(tu->end - tu->head);
	ck_assert(!verify_tu(v, tu, v->tc->emu_count, &why));
	in->join_off = right;
	ck_assert(verify_tu(v, tu, v->tc->emu_count, &why));
	machine_destroy();
}
END_TEST

/* A branch to an instruction across the page's end goes through the jump cache from the first, and is not looked up each time. */
START_TEST(straddling_loop)
{
	machine_create();
	u32 head = CODE + 0xffd;
	/* head: mov eax, imm32 (across) ; dec ecx ; jnz back ; int3	back, in the first page: jmp head */
	PUT(head, 0xb8, 1, 2, 3, 4, 0x49, 0x0f, 0x85, 0, 0, 0, 0, 0xcc);
	poke(head + 8, CODE + 0xf00 - (head + 12), 4);
	PUT(CODE + 0xf00, 0xe9, 0, 0, 0, 0);
	poke(CODE + 0xf01, head - (CODE + 0xf05), 4);
	ck_assert_uint_eq(make(CODE + 0xf00, 0)->exit_count, 0);
	v->regs[REG_ECX] = 5000;
	vm_run_ok(CODE + 0xf00);
	ck_assert_uint_eq(v->regs[REG_EAX], 0x04030201);
	ck_assert_uint_eq(v->regs[REG_ECX], 0);
	ck_assert_uint_lt(v->stats.dispatches, 100);
	/* One that ends with the page is chained to as any other. */
	PUT(CODE + 0x1ff0, 0xeb, 0x09);
	PUT(CODE + 0x1ffb, 0xb8, 1, 2, 3, 4);
	ck_assert_uint_eq(make(CODE + 0x1ff0, 0)->exit_count, 1);
	machine_destroy();
}
END_TEST

/* Another map: only what it changes goes. */
START_TEST(remap)
{
	machine_create();
	struct memory *m = &vm->mem;
	u64 rom = memory_alloc(m, 0x2000);
	PUT(CODE, 0x90, 0xc3);
	PUT(0xf0000, 0x90, 0xc3);
	PUT(0xf1fff, 0xb8, 1, 0, 0, 0);
	struct tu *other = make(CODE, 0), *gone = make(0xf0000, 0), *across = make(0xf1fff, 0);
	ck_assert(across->flags & TU_STRADDLES);
	tc_remap(v);
	ck_assert_uint_eq(v->stats.tus_dropped, 0);
	memory_map_isa(vm, 0xf0000, 0x1000, rom, MEMORY_NOTHING);
	tc_remap(v);
	ck_assert(!(other->flags & TU_DEAD));
	ck_assert(gone->flags & TU_DEAD);
	ck_assert(!(across->flags & TU_DEAD));
	ck_assert_ptr_null(tu_lookup(v->tc, 0xf0000, 0xf0000, v->mode));
	/* The page that it was made from is data again, when it can be written. */
	ck_assert(!smc_has_code(v, 0xf0));
	/* The second page counts. */
	memory_map_isa(vm, 0xf2000, 0x1000, rom + 0x1000, MEMORY_NOTHING);
	tc_remap(v);
	ck_assert(across->flags & TU_DEAD);
	ck_assert(smc_has_code(v, CODE >> PAGE_SHIFT));
	/* A page of nothing. */
	memory_map_isa(vm, 0xf0000, 0x1000, 0xf0000, 0xf0000);
	gone = make(0xf0000, 0);
	memory_map_isa(vm, 0xf0000, 0x1000, MEMORY_NOTHING, MEMORY_NOTHING);
	tc_remap(v);
	ck_assert(gone->flags & TU_DEAD);
	machine_destroy();
}
END_TEST

/* User code that brings thousands of instructions between two timer interrupts has a window at once; the kernel's, and less of it, do not.
 */
START_TEST(early_window)
{
	harness_flavour = FLAVOUR_AUTO;
	machine_create();
	cpu_flat(3);
	paging_on();
	ck_assert_ptr_null(v->user_window);
	window_translated(v, 3000);
	ck_assert_ptr_null(v->user_window);
	/* A tick, at which the program is not hot for itself, begins the count anew. */
	v->stats.exceptions += 1000;
	window_tick(v);
	ck_assert_ptr_null(v->user_window);
	window_translated(v, 3000);
	ck_assert_uint_eq(v->stats.windows_early, 0);
	v->cpl = 0;
	window_translated(v, 60000);
	ck_assert_uint_eq(v->stats.windows_early, 0);
	v->cpl = 3;
	window_translated(v, 3000);
	ck_assert_uint_eq(v->stats.windows_early, 1);
	ck_assert_ptr_nonnull(v->user_window);
	window_translated(v, 60000);
	ck_assert_uint_eq(v->stats.windows_early, 1);
	machine_destroy();
	harness_flavour = FLAVOUR_CHECKED;
}
END_TEST

Suite *joins_suite(void);
Suite *joins_suite(void)
{
	Suite *s = suite_create("joins");
	TCase *c = tcase_create("joins");

	tcase_set_timeout(c, 30);
	tcase_add_test(c, a_loop_is_one_tu);
	tcase_add_test(c, where_nobody_joins);
	tcase_add_test(c, verified);
	tcase_add_test(c, straddling_loop);
	tcase_add_test(c, remap);
	tcase_add_test(c, early_window);
	suite_add_tcase(s, c);
	return s;
}
