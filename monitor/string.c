/*
 * MOVS, STOS, LODS, CMPS, SCAS, with and without repetition (SDM Vol. 1 7.3.9).
 *
 * Elements that lie within a page of plain RAM on both sides are done by the host's own string instruction on host addresses, with the same
 * element size and direction, so that overlapping operands behave as on the machine; all others go one by one through seg_read and
 * seg_write.
 *
 * Invariants: registers are advanced over exactly the elements that are done whenever something can raise. The flags of CMPS and SCAS are
 * written at the end, so that a fault in the middle leaves those from before the instruction (SDM Vol. 2B, REP). A long run returns to the
 * dispatcher now and then with EIP unchanged, so that interrupts get in between elements as on the machine.
 */
#include "monitor/debug.h"
#include "monitor/emulate.h"
#include "shadowpt/softmmu.h"

/* Bytes per visit; an element that goes alone is charged as much as SINGLE_COST bytes, for it may be a device's. */
#define BUDGET	    16384u
#define SINGLE_COST 256u

struct string {
	u32 size;     /* of an element: 1, 2, 4 */
	u32 addrsize; /* 2 or 4 */
	bool repeated, down;
	u32 count;  /* elements left */
	s32 budget; /* bytes left in this visit */
};

static struct string begin(const struct vcpu *v, const struct emu_insn *i)
{
	struct string s = {
		.size = i->opsize,
		.addrsize = i->addrsize,
		.repeated = i->rep || i->repne,
		.down = (v->hflags & EFLAGS_DF) != 0,
		/* A single-step trap follows each iteration (SDM Vol. 3B 17.3.1.4). */
		.budget = (v->sysflags & EFLAGS_TF) || debug_steps(v) ? 0 : BUDGET,
	};

	s.count = s.repeated ? reg_get(v, REG_ECX, s.addrsize) : 1;
	return s;
}

/* n elements are done: moves an index register. */
static void advance(struct vcpu *v, const struct string *s, unsigned reg, u32 n)
{
	u32 bytes = n * s->size;

	reg_set(v, reg, s->addrsize, v->regs[reg] + (s->down ? 0u - bytes : bytes));
}

static void count_down(struct vcpu *v, struct string *s, u32 n, bool single)
{
	s->count -= n;
	if (s->repeated)
		reg_set(v, REG_ECX, s->addrsize, s->count);
	s->budget -= (s32)(single ? SINGLE_COST : n * s->size);
}

/* More to do in this visit? Asked after at least one element, so that every visit gets on. */
static bool go_on(const struct vcpu *v, const struct string *s)
{
	return s->count && s->budget > 0 && !v->pending_db && !emu_event_due(v);
}

static int finish(struct vcpu *v, const struct string *s)
{
	v->stats.string_callouts++;
	return s->count ? EMU_EXIT : EMU_NEXT;
}

/*
 * How many of at most `max` elements from seg:off on can be done at the host address *p, the first element's. 0: do one by
 * seg_read/seg_write. Raises what the first element's access raises; later elements are left out if they might.
 */
static u32 span(struct vcpu *v, const struct string *s, int seg, u32 off, int acc, u32 max, u8 **p)
{
	const struct segment *sg = &v->seg[seg];
	u64 offsets = s->down ? off / s->size + 1ull : ((s->addrsize == 2 ? 0x10000ull : 0x100000000ull) - off) / s->size;
	u32 linear, bytes, n = MIN(max, (u32)MIN(offsets, UINT32_MAX)), here;

	/* One element is not worth the host's start-up cost; one that passes the top of the segment is seg_linear's to judge. */
	if (n < 2 || off > 0u - s->size || s->budget <= 0)
		return 0;
	if (acc & ACC_WRITE ? sg->full_write : sg->full_read) {
		linear = sg->base + off;
	} else {
		linear = seg_linear(v, seg, off, s->size, acc);
		if ((sg->attr & (SEG_TYPE_CODE | SEG_TYPE_E)) == SEG_TYPE_E)
			return 0;
		if (!s->down)
			n = (u32)MIN(n, ((u64)sg->limit - off + 1) / s->size);
	}
	*p = softmmu_span(v, linear, acc | acc_cpl(v), &bytes);
	if (!*p || bytes < s->size)
		return 0;
	here = s->down ? (linear & PAGE_MASK) / s->size + 1 : bytes / s->size;
	return MIN(n, here);
}

/* --- the host's string instructions; `down` elements go towards lower addresses. They leave DF clear, as C wants it. --- */

#define HOST_REP(insn, ...)                                                                                                                \
	do {                                                                                                                               \
		if (down)                                                                                                                  \
			asm volatile("std\n\trep " insn "\n\tcld" __VA_ARGS__);                                                            \
		else                                                                                                                       \
			asm volatile("rep " insn __VA_ARGS__);                                                                             \
	} while (0)

static void host_movs(u8 *dst, const u8 *src, u64 n, u32 size, bool down)
{
#define OPERANDS : "+D"(dst), "+S"(src), "+c"(n) : : "memory", "cc"
	if (size == 1)
		HOST_REP("movsb", OPERANDS);
	else if (size == 2)
		HOST_REP("movsw", OPERANDS);
	else
		HOST_REP("movsl", OPERANDS);
#undef OPERANDS
}

static void host_stos(u8 *dst, u32 value, u64 n, u32 size, bool down)
{
#define OPERANDS : "+D"(dst), "+c"(n) : "a"(value) : "memory", "cc"
	if (size == 1)
		HOST_REP("stosb", OPERANDS);
	else if (size == 2)
		HOST_REP("stosw", OPERANDS);
	else
		HOST_REP("stosl", OPERANDS);
#undef OPERANDS
}

/*
 * Comparisons: run until `n` elements are done or the condition ends them; n becomes what is left. The flags are those of the last
 * comparison. PUSHFQ must not touch the red zone, hence the two LEAs.
 */
#define HOST_COMPARE(insn)                                                                                                                 \
	do {                                                                                                                               \
		if (down)                                                                                                                  \
			asm volatile("std\n\t" insn "\n\tcld\n\tlea -128(%%rsp), %%rsp\n\tpushfq\n\tpopq %[f]\n\t"                         \
				     "lea 128(%%rsp), %%rsp" OPERANDS);                                                                    \
		else                                                                                                                       \
			asm volatile(insn "\n\tlea -128(%%rsp), %%rsp\n\tpushfq\n\tpopq %[f]\n\t"                                          \
					  "lea 128(%%rsp), %%rsp" OPERANDS);                                                               \
	} while (0)

static u64 host_cmps(const u8 *dst, const u8 *src, u64 *n, u32 size, bool down, bool while_equal)
{
	u64 flags;

#define OPERANDS : "+D"(dst), "+S"(src), "+c"(*n), [f] "=&r"(flags) : : "memory", "cc"
	if (while_equal) {
		if (size == 1)
			HOST_COMPARE("repe cmpsb");
		else if (size == 2)
			HOST_COMPARE("repe cmpsw");
		else
			HOST_COMPARE("repe cmpsl");
	} else {
		if (size == 1)
			HOST_COMPARE("repne cmpsb");
		else if (size == 2)
			HOST_COMPARE("repne cmpsw");
		else
			HOST_COMPARE("repne cmpsl");
	}
#undef OPERANDS
	return flags;
}

static u64 host_scas(const u8 *dst, u32 value, u64 *n, u32 size, bool down, bool while_equal)
{
	u64 flags;

#define OPERANDS : "+D"(dst), "+c"(*n), [f] "=&r"(flags) : "a"(value) : "memory", "cc"
	if (while_equal) {
		if (size == 1)
			HOST_COMPARE("repe scasb");
		else if (size == 2)
			HOST_COMPARE("repe scasw");
		else
			HOST_COMPARE("repe scasl");
	} else {
		if (size == 1)
			HOST_COMPARE("repne scasb");
		else if (size == 2)
			HOST_COMPARE("repne scasw");
		else
			HOST_COMPARE("repne scasl");
	}
#undef OPERANDS
	return flags;
}

/* --- MOVS, STOS, LODS --- */

int emu_movs(struct vcpu *v, const struct emu_insn *i)
{
	struct string s = begin(v, i);

	if (!s.count)
		return EMU_NEXT;
	do {
		u32 from = reg_get(v, REG_ESI, s.addrsize), to = reg_get(v, REG_EDI, s.addrsize);
		u8 *src, *dst;
		u32 n = span(v, &s, i->seg, from, ACC_READ, s.count, &src);

		if (n)
			n = span(v, &s, SEG_ES, to, ACC_WRITE, n, &dst);
		if (n)
			host_movs(dst, src, n, s.size, s.down);
		else
			seg_write(v, SEG_ES, to, seg_read(v, i->seg, from, s.size), s.size);
		advance(v, &s, REG_ESI, MAX(n, 1u));
		advance(v, &s, REG_EDI, MAX(n, 1u));
		count_down(v, &s, MAX(n, 1u), !n);
	} while (go_on(v, &s));
	return finish(v, &s);
}

int emu_stos(struct vcpu *v, const struct emu_insn *i)
{
	struct string s = begin(v, i);

	if (!s.count)
		return EMU_NEXT;
	do {
		u32 to = reg_get(v, REG_EDI, s.addrsize);
		u8 *dst;
		u32 n = span(v, &s, SEG_ES, to, ACC_WRITE, s.count, &dst);

		if (n)
			host_stos(dst, v->regs[REG_EAX], n, s.size, s.down);
		else
			seg_write(v, SEG_ES, to, reg_get(v, REG_EAX, s.size), s.size);
		advance(v, &s, REG_EDI, MAX(n, 1u));
		count_down(v, &s, MAX(n, 1u), !n);
	} while (go_on(v, &s));
	return finish(v, &s);
}

/* A repeated LODS keeps only the last element: in RAM the others need not be loaded. */
int emu_lods(struct vcpu *v, const struct emu_insn *i)
{
	struct string s = begin(v, i);

	if (!s.count)
		return EMU_NEXT;
	do {
		u32 from = reg_get(v, REG_ESI, s.addrsize), x;
		u8 *src;
		u32 n = span(v, &s, i->seg, from, ACC_READ, s.count, &src);

		if (n) {
			src += (s64)(n - 1) * (s.down ? -(s64)s.size : (s64)s.size);
			x = s.size == 1 ? *src : s.size == 2 ? *(const u16 *)src : *(const u32 *)src;
		} else {
			x = (u32)seg_read(v, i->seg, from, s.size);
		}
		reg_set(v, REG_EAX, s.size, x);
		advance(v, &s, REG_ESI, MAX(n, 1u));
		count_down(v, &s, MAX(n, 1u), !n);
	} while (go_on(v, &s));
	return finish(v, &s);
}

/* --- CMPS, SCAS --- */

/* After n comparisons, the last of which gave `flags`: is the repetition over by its condition? */
static bool condition_ends(const struct string *s, const struct emu_insn *i, u64 flags)
{
	return s->repeated && !(flags & EFLAGS_ZF) == !i->repne;
}

/* Commits the flags of the last comparison. */
static int finish_compare(struct vcpu *v, const struct string *s, u64 flags, bool ended)
{
	v->stats.string_callouts++;
	v->hflags = (flags & EFLAGS_ARITH) | (v->hflags & EFLAGS_DF);
	return s->count && !ended ? EMU_EXIT : EMU_NEXT;
}

int emu_cmps(struct vcpu *v, const struct emu_insn *i)
{
	struct string s = begin(v, i);
	u64 flags;
	bool ended;

	if (!s.count)
		return EMU_NEXT;
	do {
		u32 from = reg_get(v, REG_ESI, s.addrsize), to = reg_get(v, REG_EDI, s.addrsize), a, b;
		const u8 *first = (const u8 *)&a, *second = (const u8 *)&b;
		u8 *src, *dst;
		u32 n = span(v, &s, i->seg, from, ACC_READ, s.count, &src);
		bool single;
		u64 left;

		if (n)
			n = span(v, &s, SEG_ES, to, ACC_READ, n, &dst);
		single = !n;
		if (single) {
			a = (u32)seg_read(v, i->seg, from, s.size);
			b = (u32)seg_read(v, SEG_ES, to, s.size);
			n = 1;
		} else {
			first = src;
			second = dst;
		}
		left = n;
		flags = host_cmps(second, first, &left, s.size, s.down, !i->repne);
		n -= (u32)left;
		ended = condition_ends(&s, i, flags);
		advance(v, &s, REG_ESI, n);
		advance(v, &s, REG_EDI, n);
		count_down(v, &s, n, single);
	} while (!ended && go_on(v, &s));
	return finish_compare(v, &s, flags, ended);
}

int emu_scas(struct vcpu *v, const struct emu_insn *i)
{
	struct string s = begin(v, i);
	u64 flags;
	bool ended;

	if (!s.count)
		return EMU_NEXT;
	do {
		u32 to = reg_get(v, REG_EDI, s.addrsize), b;
		const u8 *second = (const u8 *)&b;
		u8 *dst;
		u32 n = span(v, &s, SEG_ES, to, ACC_READ, s.count, &dst);
		bool single = !n;
		u64 left;

		if (single) {
			b = (u32)seg_read(v, SEG_ES, to, s.size);
			n = 1;
		} else {
			second = dst;
		}
		left = n;
		flags = host_scas(second, v->regs[REG_EAX], &left, s.size, s.down, !i->repne);
		n -= (u32)left;
		ended = condition_ends(&s, i, flags);
		advance(v, &s, REG_EDI, n);
		count_down(v, &s, n, single);
	} while (!ended && go_on(v, &s));
	return finish_compare(v, &s, flags, ended);
}
