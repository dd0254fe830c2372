/*
 * A TU assembled by hand for the verifier, laid where the translator would lay it, with one instruction (an access of 4 bytes, read and
 * written, in either slot) and whatever exits a case adds.
 */
#ifndef RINGER_TEST_VERIFY_HARNESS_H
#define RINGER_TEST_VERIFY_HARNESS_H

#include "tests/unit/vm_harness.h"

#include "cache/tc.h"
#include "shadowpt/softmmu.h"
#include "translator/translate.h"
#include "translator/verify.h"

#define EIP    0x20010u
#define DIRECT (MODE_DIRECT | MODE_CS32 | MODE_SS32)

static struct tu *tu;
static u8 *at; /* next byte, writable view */
static u32 first_emu;

static inline u32 rx(void)
{
	return (u32)(u64)v->tc->rx + (u32)(at - v->tc->rw);
}

static inline void bytes(const u8 *p, size_t n)
{
	memcpy(at, p, n);
	at += n;
}
#define E(...)                                                                                                                             \
	do {                                                                                                                               \
		static const u8 e_[] = {__VA_ARGS__};                                                                                      \
		bytes(e_, sizeof(e_));                                                                                                     \
	} while (0)
static inline void d32(u64 x)
{
	u32 d = (u32)x;
	bytes((u8 *)&d, 4);
}
static inline void rel(u64 to)
{
	d32(to - (rx() + 4));
}
static inline void call(void (*thunk)(void))
{
	E(0xe8);
	rel((u64)thunk);
}
static inline void jmp(void (*thunk)(void))
{
	E(0xe9);
	rel((u64)thunk);
}
/* Bytes with a field's offset as disp32. */
#define V(field, ...)                                                                                                                      \
	do {                                                                                                                               \
		E(__VA_ARGS__);                                                                                                            \
		d32(offsetof(struct vcpu, field));                                                                                         \
	} while (0)
static inline u32 meta(void)
{
	return tu_index(v->tc, tu) << 8;
}

static inline void begin(u32 mode)
{
	struct tc *tc = v->tc;
	tu = &tc->tus[tc->tu_count];
	at = tc->rw + tc->used;
	tc->exit_count = 0;
	first_emu = tc->emu_count = 7;
	*tu = (struct tu){.pa = EIP, .eip = EIP, .mode = mode, .head = rx(), .body = rx(), .insn_count = 1};
	tc->insns[0] = (struct tu_insn){.access = {4 | ACCESS_READ | ACCESS_WRITE, 4 | ACCESS_READ | ACCESS_WRITE}};
}

static inline void leave(void)
{
	E(0x41, 0xb8, 0, 0, 2, 0); /* mov r8d, 0x20000 */
	jmp(thunk_exit_jc);
}

static struct verify_violation why;
static inline enum verify_rule verdict(void)
{
	tu->cold = tu->end = rx();
	why.rule = VERIFY_OK;
	ck_assert(verify_tu(v, tu, first_emu, &why) == (why.rule == VERIFY_OK));
	return why.rule;
}

/* The statements' code in a TU of its own, then the way out. */
#define EXPECT_IN(in_mode, expected, ...)                                                                                                  \
	do {                                                                                                                               \
		begin(in_mode);                                                                                                            \
		__VA_ARGS__;                                                                                                               \
		leave();                                                                                                                   \
		enum verify_rule rule_ = verdict();                                                                                        \
		ck_assert_msg(rule_ == VERIFY_##expected, "%s at +%u (%s), not " #expected, verify_rule_name(rule_),                       \
			      rule_ ? why.host - tu->head : 0, rule_ ? why.text : "");                                                     \
	} while (0)
#define EXPECT(expected, ...)	      EXPECT_IN(DIRECT, expected, E(__VA_ARGS__))
#define EXPECT_CODE(expected, ...)    EXPECT_IN(DIRECT, expected, __VA_ARGS__)
#define EXPECT_USER(expected, ...)    EXPECT_IN(DIRECT | 3, expected, __VA_ARGS__)
#define EXPECT_REAL(expected, ...)    EXPECT_IN(MODE_REAL, expected, __VA_ARGS__)
#define EXPECT_CHECKED(expected, ...) EXPECT_IN(MODE_CS32 | MODE_SS32, expected, __VA_ARGS__)

static inline void set_up(void)
{
	machine_create();
}

/* The look-up of operand.c for an access of `n` to [eax]; `last`: displacement of the last byte. rcx is in r10 behind it. */
static inline void look_up(u8 last, u32 half)
{
	E(0x44, 0x8d, 0x00); /* lea r8d, [rax] */
	E(0x4d, 0x8d, 0x48); /* lea r9, [r8 + last] */
	bytes(&last, 1);
	E(0xc4, 0x42, 0x9b, 0xf7, 0xc9, 0xc4, 0x42, 0x1b, 0xf7, 0xd0, 0x47, 0x8d, 0x0c, 0x11, 0x49, 0x89, 0xca, 0x4b, 0x8b, 0x8c, 0xcd);
	d32(half);
}
/* jrcxz over a way out ; mov r9, rcx ; mov rcx, r10 */
static inline void test_delta(void)
{
	E(0xe3, 0x02, 0xeb, 0x0e, 0x4c, 0x89, 0xd1); /* jrcxz +2 ; jmp +14 ; mov rcx, r10 */
	leave();
	E(0x49, 0x89, 0xc9, 0x4c, 0x89, 0xd1);
}

#endif
