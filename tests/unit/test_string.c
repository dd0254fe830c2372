/*
 * String instructions against a model that does one element at a time: random sizes, directions, overlaps, segment limits, wrapping
 * 16-bit registers, and pages that are absent, read-only, or reached only by single accesses. Registers, memory, flags and the fault must
 * agree.
 *
 * monitor/string.c is compiled into the test once more, so that it meets the fake memory here.
 */
#include <check.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define lin_read	string_fake_lin_read
#define lin_write	string_fake_lin_write
#define seg_linear	string_fake_seg_linear
#define softmmu_span	string_fake_softmmu_span
#define raise_exception string_fake_raise_exception
#define raise_error	string_fake_raise_error
#define emu_movs	string_emu_movs
#define emu_stos	string_emu_stos
#define emu_lods	string_emu_lods
#define emu_cmps	string_emu_cmps
#define emu_scas	string_emu_scas

#include "monitor/string.c"

#define MEMORY 0x18000u
#define ROUNDS 20000
#define EIP    0x1000u

enum page { PAGE_PLAIN, PAGE_SINGLE, PAGE_ABSENT, PAGE_READ_ONLY };
enum { MOVS, STOS, LODS, CMPS, SCAS };

static struct {
	jmp_buf env;
	int vector;
	u32 linear;
} raised;
static u8 *memory; /* the one in use: the model's, or that of the code under test */
static u8 pages[MEMORY / PAGE_SIZE];

_Noreturn void string_fake_raise_error(struct vcpu *v, int vector, u32 error)
{
	(void)v, (void)error;
	raised.vector = vector;
	longjmp(raised.env, 1);
}

static void touch(struct vcpu *v, u32 linear, u32 n, bool write)
{
	for (u32 at = linear; at != linear + n; at++) {
		if (at < MEMORY && pages[at / PAGE_SIZE] != PAGE_ABSENT && !(write && pages[at / PAGE_SIZE] == PAGE_READ_ONLY))
			continue;
		raised.linear = at;
		string_fake_raise_error(v, EXC_PF, 0);
	}
}

u64 string_fake_lin_read(struct vcpu *v, u32 linear, unsigned size, int acc)
{
	u64 x = 0;

	(void)acc;
	touch(v, linear, size, false);
	memcpy(&x, memory + linear, size);
	return x;
}

void string_fake_lin_write(struct vcpu *v, u32 linear, u64 value, unsigned size, int acc)
{
	(void)acc;
	touch(v, linear, size, true);
	memcpy(memory + linear, &value, size);
}

u8 *string_fake_softmmu_span(struct vcpu *v, u32 linear, int acc, u32 *bytes)
{
	touch(v, linear, 1, acc & ACC_WRITE);
	*bytes = PAGE_SIZE - (linear & PAGE_MASK);
	return pages[linear / PAGE_SIZE] == PAGE_SINGLE ? NULL : memory + linear;
}

u32 string_fake_seg_linear(struct vcpu *v, int n, u32 off, unsigned size, int acc)
{
	(void)acc;
	if ((u64)off + size - 1 > v->seg[n].limit)
		string_fake_raise_error(v, EXC_GP, 0);
	return v->seg[n].base + off;
}

/* --- the model --- */

static u32 compare_flags(u32 a, u32 b, u32 size)
{
	u32 top = 1u << (8 * size - 1), mask = top | (top - 1), x = (a - b) & mask, f = 0;

	a &= mask;
	b &= mask;
	f |= a < b ? EFLAGS_CF : 0;
	f |= __builtin_parity(x & 0xff) ? 0 : EFLAGS_PF;
	f |= (a ^ b ^ x) & 0x10 ? EFLAGS_AF : 0;
	f |= x ? 0 : EFLAGS_ZF;
	f |= x & top ? EFLAGS_SF : 0;
	f |= (a ^ b) & (a ^ x) & top ? EFLAGS_OF : 0;
	return f;
}

/* One element; true if the condition of a repetition ends it. */
static bool model_element(struct vcpu *v, const struct emu_insn *i, int op, u32 *flags)
{
	u32 size = i->opsize, step = v->hflags & EFLAGS_DF ? 0u - size : size;
	u32 from = reg_get(v, REG_ESI, i->addrsize), to = reg_get(v, REG_EDI, i->addrsize), x = reg_get(v, REG_EAX, size);
	bool uses_from = op == MOVS || op == LODS || op == CMPS;

	if (uses_from)
		x = (u32)seg_read(v, i->seg, from, size);
	if (op == MOVS || op == STOS)
		seg_write(v, SEG_ES, to, x, size);
	else if (op == LODS)
		reg_set(v, REG_EAX, size, x);
	else
		*flags = compare_flags(x, (u32)seg_read(v, SEG_ES, to, size), size);
	if (uses_from)
		reg_set(v, REG_ESI, i->addrsize, from + step);
	if (op != LODS)
		reg_set(v, REG_EDI, i->addrsize, to + step);
	return (op == CMPS || op == SCAS) && !(*flags & EFLAGS_ZF) == !i->repne;
}

static void model_run(struct vcpu *v, const struct emu_insn *i, int op)
{
	u32 flags = v->hflags & EFLAGS_ARITH, count;
	bool ended = false;

	if (!i->rep && !i->repne) {
		model_element(v, i, op, &flags);
	} else {
		while (!ended && (count = reg_get(v, REG_ECX, i->addrsize)) != 0) {
			ended = model_element(v, i, op, &flags);
			reg_set(v, REG_ECX, i->addrsize, count - 1);
		}
	}
	v->hflags = flags | (v->hflags & EFLAGS_DF);
}

/* --- the comparison --- */

static u64 seed;

static u32 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (u32)(seed >> 16);
}

static void random_machine(struct vcpu *v, struct emu_insn *i)
{
	static const u8 kinds[24] = {PAGE_SINGLE, PAGE_SINGLE, PAGE_ABSENT, PAGE_READ_ONLY};
	unsigned rep = rnd() % 4;
	u32 base = rnd() % (MEMORY - 64);

	for (unsigned k = 0; k < ARRAY_SIZE(pages); k++)
		pages[k] = kinds[rnd() % 24];
	*i = (struct emu_insn){.opsize = 1 << rnd() % 3, .addrsize = rnd() % 4 ? 4 : 2, .seg = rnd() % 2 ? SEG_DS : SEG_FS};
	i->rep = rep == 1 || rep == 2;
	i->repne = rep == 3;
	memset(v, 0, sizeof(*v));
	for (int s = 0; s < SEG_LDTR; s++)
		v->seg[s] = (struct segment){.base = s == SEG_FS ? rnd() % 0x3000 : 0,
					     .limit = 0xffffffff,
					     .attr = SEG_P | SEG_S | SEG_TYPE_W | SEG_TYPE_A,
					     .full_read = 1,
					     .full_write = 1};
	if (rnd() % 6 == 0) {
		struct segment *s = &v->seg[rnd() % 2 ? SEG_ES : i->seg];

		s->limit = rnd() % MEMORY;
		s->full_read = s->full_write = 0;
	}
	for (int r = 0; r < 8; r++)
		v->regs[r] = rnd();
	if (rnd() % 2)
		v->regs[REG_EAX] = 0x5a5a5a5a;
	v->regs[REG_ESI] = base;
	v->regs[REG_EDI] = rnd() % 3 ? rnd() % (MEMORY - 64) : base + rnd() % 17 - 8;
	v->regs[REG_ECX] = rnd() % 4 ? rnd() % 64 : rnd() % 40000;
	if (i->addrsize == 2) {
		v->regs[REG_ESI] |= rnd() << 16;
		v->regs[REG_EDI] |= rnd() << 16 | (rnd() % 3 ? 0 : 0xfff0);
		v->regs[REG_ECX] |= rnd() << 16;
	}
	v->hflags = (rnd() & EFLAGS_ARITH) | (rnd() % 2 ? EFLAGS_DF : 0);
	/* A line that is high while interrupts are off is no reason to come back. */
	v->events = rnd() % 2 ? EV_INTR : 0;
	v->eip = EIP;
}

START_TEST(like_the_model)
{
	static emu_fn *const handlers[] = {emu_movs, emu_stos, emu_lods, emu_cmps, emu_scas};
	static struct vcpu v, w;
	static u8 ours[MEMORY], model[MEMORY];
	struct emu_insn i;

	seed = 0x1234567 + (u64)_i * 0x9e3779b97f4a7c15ull;
	for (volatile int round = 0; round < ROUNDS; round++) {
		volatile int fault = 0, visits = 0;
		u32 linear = 0;

		if (round % 100 == 0) {
			u32 alphabet = rnd() % 3 ? 2 : 256;

			for (u32 k = 0; k < MEMORY; k++)
				ours[k] = rnd() % alphabet ? 0x5a : (u8)rnd();
		}
		memcpy(model, ours, MEMORY);
		random_machine(&v, &i);
		w = v;

		memory = model;
		raised.vector = -1;
		raised.linear = 0;
		if (!setjmp(raised.env))
			model_run(&w, &i, _i);
		fault = raised.vector;
		linear = raised.linear;

		memory = ours;
		raised.vector = -1;
		raised.linear = 0;
		if (!setjmp(raised.env))
			while (handlers[_i](&v, &i) == EMU_EXIT && visits < 100000)
				visits++;

		if (v.eip != EIP || raised.vector != fault || raised.linear != linear || memcmp(v.regs, w.regs, sizeof(v.regs)) ||
		    (fault < 0 && (v.hflags & EFLAGS_HOST) != (w.hflags & EFLAGS_HOST)) || memcmp(ours, model, MEMORY))
			ck_abort_msg("round %d: size %u, addresses %u, rep %d repne %d: fault %d/%d at %x/%x, ECX %x/%x ESI %x/%x EDI "
				     "%x/%x flags "
				     "%x/%x",
				     round, i.opsize, i.addrsize, i.rep, i.repne, raised.vector, fault, raised.linear, linear,
				     v.regs[REG_ECX], w.regs[REG_ECX], v.regs[REG_ESI], w.regs[REG_ESI], v.regs[REG_EDI], w.regs[REG_EDI],
				     (u32)v.hflags, (u32)w.hflags);
	}
}
END_TEST

/* A long run comes back, with EIP unchanged, when an interrupt can be taken, and after each BUDGET bytes in any case. */
START_TEST(interruptible)
{
	static struct vcpu v;
	static u8 bytes[MEMORY];
	struct emu_insn i = {.opsize = 1, .addrsize = 4, .seg = SEG_DS, .rep = true};

	memory = bytes;
	memset(pages, PAGE_PLAIN, sizeof(pages));
	memset(&v, 0, sizeof(v));
	for (int s = 0; s < SEG_LDTR; s++)
		v.seg[s] = (struct segment){.limit = 0xffffffff, .full_read = 1, .full_write = 1};
	v.eip = EIP;
	v.regs[REG_ECX] = 60000;
	ck_assert_int_eq(emu_stos(&v, &i), EMU_EXIT);
	ck_assert_uint_eq(v.regs[REG_ECX], 60000 - 16384);
	v.events = EV_INTR;
	v.sysflags = EFLAGS_IF;
	ck_assert_int_eq(emu_stos(&v, &i), EMU_EXIT);
	ck_assert_uint_eq(v.regs[REG_ECX], 60000 - 16384 - 4096);
	ck_assert_uint_eq(v.eip, EIP);
}
END_TEST

Suite *string_suite(void);
Suite *string_suite(void)
{
	Suite *s = suite_create("string");
	TCase *t = tcase_create("string");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, like_the_model, 0, 5);
	tcase_add_test(t, interruptible);
	suite_add_tcase(s, t);
	return s;
}
