/* The verifier's rules for what leaves a straight line: thunks and what they are told, branches, exits, chains. */
#include "cache/jc.h"
#include "monitor/log.h"
#include "tests/unit/verify_harness.h"

static void miss(void (*thunk)(void), u32 number)
{
	E(0x44, 0x8d, 0x00, 0x41, 0xb9); /* lea r8d, [rax] ; mov r9d, number */
	d32(number);
	call(thunk);
}

START_TEST(bounces)
{
	/* call miss ; jmp +9 ; add [r9 + r8], eax ; call commit ; jmp .. */
	EXPECT_CHECKED(OK, {
		miss(thunk_miss_write0, meta());
		E(0xe9, 9, 0, 0, 0, 0x43, 0x01, 0x04, 0x01);
		call(thunk_commit0);
	});
	EXPECT_CHECKED(COMMIT, {
		miss(thunk_miss_write0, meta());
		E(0xe9, 9, 0, 0, 0, 0x43, 0x01, 0x04, 0x01);
		call(thunk_commit1);
	});
	EXPECT_CHECKED(COMMIT, call(thunk_commit0));
	EXPECT_CHECKED(COMMIT, { /* never */
				 miss(thunk_miss_write0, meta());
				 E(0xe9, 4, 0, 0, 0, 0x43, 0x01, 0x04, 0x01);
	});
	EXPECT_CHECKED(LOOKUP, { /* movups: more than was asked for */
				 miss(thunk_miss_write0, meta());
				 E(0xe9, 10, 0, 0, 0, 0x43, 0x0f, 0x11, 0x04, 0x01);
				 call(thunk_commit0);
	});
	EXPECT_CHECKED(COMMIT, { /* another miss before the commit */
				 miss(thunk_miss_write0, meta());
				 E(0xe9, 29, 0, 0, 0);
				 miss(thunk_miss_write0, meta());
				 E(0xe9, 5, 0, 0, 0);
				 call(thunk_commit0);
				 call(thunk_commit0);
	});
}
END_TEST

START_TEST(thunks)
{
	struct tu_insn *in = &v->tc->insns[0];
	EXPECT_CODE(THUNK, miss(thunk_miss0, meta())); /* writes, so it may bounce */
	EXPECT_CODE(OK, {
		in->access[0] = 4 | ACCESS_READ;
		miss(thunk_miss0, meta());
		E(0x43, 0x8b, 0x04, 0x01);
	});
	EXPECT_CODE(LOOKUP, {
		in->access[0] = 2 | ACCESS_READ;
		miss(thunk_miss0, meta());
		E(0x43, 0x8b, 0x04, 0x01);
	});
	EXPECT_CODE(LOOKUP, {
		in->access[0] = 4 | ACCESS_READ;
		miss(thunk_miss0, meta());
		E(0x43, 0x89, 0x04, 0x01);
	});
	EXPECT_CODE(THUNK, {
		in->access[0] = 0;
		miss(thunk_miss0, meta());
	});
	EXPECT_CODE(THUNK, {
		in->access[0] = 4 | ACCESS_READ;
		miss(thunk_miss0, meta() + 1);
	});
	EXPECT_CODE(THUNK, {
		in->access[0] = 4 | ACCESS_READ;
		miss(thunk_miss0, meta() + 256);
	});
	EXPECT_CODE(OK, {
		v->tc->emu_count = 9;
		E(0x41, 0xb8, 8, 0, 0, 0, 0x41, 0xb9);
		d32(meta());
		call(thunk_callout);
	});
	EXPECT_CODE(THUNK, {
		v->tc->emu_count = 9;
		E(0x41, 0xb8, 6, 0, 0, 0, 0x41, 0xb9);
		d32(meta());
		call(thunk_callout);
	});
	EXPECT_CODE(THUNK, {
		v->tc->emu_count = 9;
		E(0x41, 0xb8, 9, 0, 0, 0, 0x41, 0xb9);
		d32(meta());
		call(thunk_callout);
	});
	EXPECT_CODE(THUNK, {
		E(0x41, 0x89, 0xc0, 0x41, 0xb9);
		d32(meta());
		call(thunk_callout);
	});
	EXPECT_CODE(OK, {
		E(0x41, 0x89, 0xc0, 0x41, 0xb9);
		d32(meta());
		call(thunk_seg1);
	});
	/* Scratch registers are gone afterwards; a call with the stack out of balance */
	EXPECT_CODE(HOST_VALUE, {
		E(0x41, 0x89, 0xc0, 0x41, 0xb9);
		d32(meta());
		call(thunk_seg1);
		E(0x44, 0x89, 0xc8);
	});
	EXPECT_CODE(STACK, {
		E(0x9c, 0x41, 0x89, 0xc0, 0x41, 0xb9);
		d32(meta());
		call(thunk_seg1);
		E(0x41, 0x5b);
	});
	/* Leaving without an EIP */
	EXPECT_CODE(THUNK, jmp(thunk_exit_jc));
	EXPECT_CODE(OK, {
		E(0x41, 0xb8, 0, 0, 0, 0);
		jmp(thunk_sti_exit);
	});
	EXPECT_CODE(THUNK, {
		E(0x41, 0xb8, 0, 0, 0, 0);
		jmp(thunk_head_miss);
	});
	EXPECT_CODE(OK, {
		E(0x41, 0xb8, 0, 0, 0, 0, 0x49, 0x89, 0xca);
		jmp(thunk_head_miss);
	});
	EXPECT_CODE(THUNK, {
		E(0x41, 0xb9, 1, 0, 0, 0);
		jmp(thunk_exit_chain);
	});
}
END_TEST

static void jump_cache(u8 scale_index, u8 displacement)
{
	V(jc, 0x4d, 0x8b, 0x96); /* mov r10, [jc] */
	E(0x47, 0x8b, 0x0c);	 /* mov r9d, [r10 + r8*4] */
	bytes(&scale_index, 1);
	E(0x4f, 0x8d, 0x4c, 0x21); /* lea r9, [r9 + r12 + displacement] */
	bytes(&displacement, 1);
}

START_TEST(transfers)
{
	EXPECT_CODE(OK, {
		E(0x41, 0x89, 0xc0);
		jump_cache(0x82, 0);
		E(0x41, 0xff, 0xe1);
	});
	EXPECT_CODE(TABLE, {
		E(0x41, 0x89, 0xc0);
		jump_cache(0xc2, 0);
		E(0x41, 0xff, 0xe1);
	}); /* scale 8 */
	EXPECT_CODE(WIDTH, {
		E(0x41, 0x89, 0xc0);
		jump_cache(0x82, 1);
		E(0x41, 0xff, 0xe1);
	});
	EXPECT_CODE(TRANSFER, {
		E(0x41, 0x89, 0xc0);
		jump_cache(0x82, 0);
		E(0x41, 0xff, 0xe0);
	});					 /* jmp r8 */
	EXPECT_CODE(TABLE, jump_cache(0x82, 0)); /* r8 is nothing */
	/* r8 has become another since; the entry is another register's */
	EXPECT_CODE(THUNK, {
		E(0x41, 0x89, 0xc0);
		jump_cache(0x82, 0);
		E(0x41, 0x89, 0xd8, 0x41, 0xff, 0xe1);
	});
	EXPECT_CODE(TABLE, {
		E(0x41, 0x89, 0xc0);
		V(jc, 0x4d, 0x8b, 0x96);
		E(0x45, 0x8b, 0x0c, 0x82);
	});
	EXPECT(TRANSFER, 0xff, 0xe0);		/* jmp rax */
	EXPECT(TRANSFER, 0xff, 0xd0);		/* call rax */
	EXPECT(PREFIX, 0x65, 0x67, 0xff, 0x23); /* jmp [window ebx] */
	EXPECT(OK, 0xeb, 0x01, 0x90, 0x90);	/* jmp +1 */
	EXPECT(OK, 0x0f, 0x84, 1, 0, 0, 0, 0x90, 0x90);
	EXPECT(TRANSFER, 0xe9, 0, 0x10, 0, 0); /* out of the TU */
	EXPECT(TRANSFER, 0x0f, 0x84, 0, 0xf0, 0xff, 0xff);
	EXPECT_CODE(TRANSFER, call(thunk_exit_jc));
	EXPECT_CODE(TRANSFER, jmp(thunk_miss0));
	EXPECT_CODE(TRANSFER, {
		E(0xe8);
		rel((u64)translate);
	});
	EXPECT_CODE(TRANSFER, {
		E(0xe8);
		rel((u64)thunk_callout + 1);
	});
	EXPECT(TRANSFER, 0xe8, 0, 0, 0, 0);
	EXPECT_CODE(TRANSFER, {
		E(0x41, 0xb8, 0, 0, 0, 0, 0x0f, 0x84);
		rel((u64)thunk_exit_jc);
	});							   /* jz thunk */
	EXPECT(PREFIX, 0x66, 0xe9, 0, 0, 0, 0);			   /* 16 bits on some CPUs */
	EXPECT(OVERLAP, 0x74, 0x01, 0xb8, 0x90, 0x90, 0x90, 0x90); /* jz into the mov */
	EXPECT(LOOP, 0x75, 0xfe);
	EXPECT(LOOP, 0x90, 0x85, 0xc0, 0x75, 0xfb);
	EXPECT(OK, 0x67, 0xe3, 0x00);
	EXPECT(OK, 0x67, 0xe2, 0x00);
	EXPECT(WIDTH, 0xe2, 0x00); /* loop in rcx */
	/* jrcxz into the NOP whose end is a jump; into any other NOP */
	EXPECT(OK, 0xe3, 0x03, 0x0f, 0x1f, 0x84, 0xe9, 0, 0, 0, 0);
	EXPECT(OVERLAP, 0xe3, 0x03, 0x0f, 0x1f, 0x84, 0x90, 0, 0, 0, 0);
	begin(DIRECT);
	E(0x90);
	ck_assert_int_eq(verdict(), VERIFY_END);
	begin(DIRECT);
	leave();
	tu->end = tu->head + TU_MAX_HOST + 1;
	ck_assert(!verify_tu(v, tu, first_emu, &why));
	ck_assert_int_eq(why.rule, VERIFY_LIMIT);
	begin(DIRECT);
	E(0x0f, 0x84, 0xfa, 0xff, 0xff, 0xff);
	ck_assert_int_eq(verdict(), VERIFY_END);
}
END_TEST

/* A TU that is one direct exit: [poll ;] jmp stub ; stub: mov r9d, exit + 1 ; jmp thunk_exit_chain */
static struct tu_exit *exit_tu(u32 target_eip, bool poll)
{
	begin(DIRECT);
	struct tu_exit *x = &v->tc->exits[v->tc->exit_count++];
	*x = (struct tu_exit){.target_eip = target_eip, .tu = tu_index(v->tc, tu)};
	tu->exit_count = 1;
	if (poll) {
		E(0x4d, 0x8b, 0x4e, offsetof(struct vcpu, jc));
		x->poll = rx();
		E(0x45, 0x8b, 0x09);
	}
	E(0xe9);
	x->site = rx();
	d32(0);
	x->stub = rx();
	E(0x41, 0xb9, 1, 0, 0, 0);
	jmp(thunk_exit_chain);
	return x;
}

START_TEST(exits)
{
	struct tu_exit *x;
	exit_tu(EIP + 5, false);
	ck_assert_int_eq(verdict(), VERIFY_OK);
	exit_tu(EIP, true);
	ck_assert_int_eq(verdict(), VERIFY_OK);
	exit_tu(EIP, false);
	ck_assert_int_eq(verdict(), VERIFY_POLL);
	x = exit_tu(EIP, true);
	x->poll++;
	ck_assert_int_eq(verdict(), VERIFY_POLL);
	x = exit_tu(EIP + 5, false);
	x->site++;
	ck_assert_int_eq(verdict(), VERIFY_EXIT);
	x = exit_tu(EIP + 5, false);
	x->stub++;
	ck_assert_int_eq(verdict(), VERIFY_EXIT);
	x = exit_tu(EIP + 5, false);
	tu->exit_count = 0;
	ck_assert_int_eq(verdict(), VERIFY_THUNK);
	x = exit_tu(EIP + 5, false);
	x->tu++;
	ck_assert_int_eq(verdict(), VERIFY_EXIT);
}
END_TEST

/* Two ways meet: what is not true of both is not known behind. */
START_TEST(joins)
{
	/* mov r11d, eax on one of the ways only, on both */
	EXPECT(HOST_VALUE, 0x74, 0x03, 0x41, 0x89, 0xc3, 0x90, 0x44, 0x89, 0xd8);
	EXPECT(OK, 0x74, 0x05, 0x41, 0x89, 0xc3, 0xeb, 0x03, 0x41, 0x89, 0xdb, 0x44, 0x89, 0xd8);
	/* r8 is another value on one way, and the look-up was for the first */
	EXPECT_CHECKED(LOOKUP, {
		look_up(3, 0);
		test_delta();
		E(0x74, 0x03, 0x44, 0x8d, 0x03, 0x43, 0x8b, 0x04, 0x01);
	});
	EXPECT_CHECKED(OK, {
		look_up(3, 0);
		test_delta();
		E(0x74, 0x03, 0x0f, 0x1f, 0x00, 0x43, 0x8b, 0x04, 0x01);
	});
}
END_TEST

/* Where jump caches are not flat, heads verify EIP, and an entry is that of EIP's low 16 bits. */
START_TEST(hashed_jump_caches)
{
	static const u8 jump[] = {0xff, 0xe0};
	u64 flat = v->tc->jc_entries;
	v->tc->jc_entries = JC_HASHED_ENTRIES;
	put_bytes(EIP, jump, sizeof(jump));
	v->eip = EIP;
	v->mode = mode_compute(v);
	struct tu *made = translate(v, EIP);
	ck_assert_uint_ne(made->head, made->body);
	ck_assert_msg(verify_tu(v, made, v->tc->emu_count, &why), "%s: %s", verify_rule_name(why.rule), why.text);
	EXPECT_CODE(TABLE, {
		E(0x41, 0x89, 0xc0);
		jump_cache(0x82, 0);
		E(0x41, 0xff, 0xe1);
	});
	v->tc->jc_entries = flat;
	ck_assert(!verify_tu(v, made, v->tc->emu_count, &why));
	ck_assert_int_eq(why.rule, VERIFY_TABLE);
}
END_TEST

/* A translated TU is right; its chains are checked as they are made. */
START_TEST(chains)
{
	static const u8 loop[] = {0x40, 0x75, 0xfd, 0xeb, 0x00, 0x40, 0xeb, 0xfe};
	put_bytes(EIP, loop, sizeof(loop));
	struct tu *made[2];
	for (unsigned i = 0; i < 2; i++) {
		v->eip = EIP + 5 * i;
		v->mode = mode_compute(v);
		made[i] = translate(v, v->eip);
		ck_assert(verify_tu(v, made[i], v->tc->emu_count, &why));
	}
	struct tu_exit *x = NULL;
	for (u32 i = 0; i < made[0]->exit_count; i++)
		if (v->tc->exits[made[0]->exits + i].target_eip == EIP + 5)
			x = &v->tc->exits[made[0]->exits + i];
	ck_assert_ptr_nonnull(x);
	tu_chain(v, x, made[1]);
	ck_assert_int_eq(verify_chain(v, x), VERIFY_OK);
	u32 *site = (u32 *)(v->tc->rw + (x->site - (u32)(u64)v->tc->rx));
	*site += 1;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_TRANSFER);
	*site -= 1;
	made[1]->mode ^= MODE_DIRECT;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_EXIT);
	made[1]->mode ^= MODE_DIRECT;
	made[1]->pa += PAGE_SIZE;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_EXIT);
	made[1]->pa -= PAGE_SIZE;
	made[1]->flags |= TU_DEAD;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_EXIT);
	made[1]->flags &= ~TU_DEAD;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_OK);
}
END_TEST

/* What breaks a rule ends the program with a status of its own, and is not run. */
START_TEST(violation_ends)
{
	begin(DIRECT);
	E(0x0f, 0x05);
	leave();
	tu->cold = tu->end = rx();
	verify_or_die(v, tu, first_emu);
}
END_TEST

START_TEST(wrong_chain_ends)
{
	struct tu_exit *x = exit_tu(EIP + 5, false);
	tu->cold = tu->end = rx();
	v->tc->tu_count = 1;
	x->target = 1;
	verify_chain_or_die(v, x);
}
END_TEST

Suite *verify_flow_suite(void)
{
	Suite *s = suite_create("verify_flow");
	TCase *t = tcase_create("rules");
	tcase_add_checked_fixture(t, set_up, machine_destroy);
	tcase_add_test(t, bounces);
	tcase_add_test(t, thunks);
	tcase_add_test(t, transfers);
	tcase_add_test(t, exits);
	tcase_add_test(t, joins);
	tcase_add_test(t, chains);
	tcase_add_test(t, hashed_jump_caches);
	tcase_add_exit_test(t, violation_ends, EXIT_BUG);
	tcase_add_exit_test(t, wrong_chain_ends, EXIT_BUG);
	suite_add_tcase(s, t);
	return s;
}
