/*
 * The translation loop: fetch, decode, lower, until control leaves, the page ends or the TU is full; then the cold part.
 *
 *	head:	mov r10, rcx			; only if jump caches are not flat: is r8d, the EIP that one was asked for, this TU's?
 *		lea ecx, [r8 - eip]
 *		jrcxz 1f
 *		jmp thunk_head_miss
 *	1:	mov rcx, r10
 *	body:	...
 */
#include "translator/translate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache/smc.h"
#include "monitor/debug.h"
#include "monitor/exception.h"
#include "monitor/log.h"
#include "monitor/perf.h"
#include "monitor/vm.h"
#include "shadowpt/walk.h"
#include "shadowpt/window.h"
#include "translator/coverage.h"
#include "translator/emit.h"
#include "translator/listing.h"
#include "translator/verify.h"

_Static_assert(MODE_MP == CR0_MP << MODE_CR0_SHIFT && MODE_EM == CR0_EM << MODE_CR0_SHIFT && MODE_TS == CR0_TS << MODE_CR0_SHIFT &&
		       MODE_OSFXSR == CR4_OSFXSR << MODE_CR4_SHIFT && MODE_V86 == EFLAGS_VM >> MODE_V86_SHIFT,
	       "mode bits");

static void emit_head(struct xlate *x)
{
	if (!tc_is_flat(x->tc)) {
		EB(x, 0x49, 0x89, 0xca, 0x41, 0x8d, 0x88);
		e4(x, -x->tu->eip);
		EB(x, 0xe3, 0x05);
		emit_jmp(x, (u64)thunk_head_miss);
		EB(x, 0x4c, 0x89, 0xd1);
	}
	x->tu->body = here(x);
}

/*
 * Under lockstep each instruction begins by counting itself:
 *	mov r9, [r14 + insns] ; lea r9, [r9 + 1] ; mov [r14 + insns], r9
 */
static void emit_count(struct xlate *x)
{
	emit_op_mem(x, true, 0x8b, R9, R14, NO_REG, 1, offsetof(struct vcpu, insns));
	emit_op_mem(x, true, 0x8d, R9, R9, NO_REG, 1, 1);
	emit_op_mem(x, true, 0x89, R9, R14, NO_REG, 1, offsetof(struct vcpu, insns));
}

/* To read the clock takes as long as a few instructions: one TU of so many stands for the others. */
#define TIMED_TUS 16

/* Processor time of this thread: what else the host does meanwhile would count for all the TUs that are not timed. */
static u64 cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (u64)t.tv_sec * NS_PER_SEC + (u64)t.tv_nsec;
}

/* Begins or ends the timing of a TU; what reading the clock takes is not counted. */
static void time_tu(struct vcpu *v, u64 t[2])
{
	if (!t[0]) {
		t[0] = cpu_ns();
		t[1] = cpu_ns();
		return;
	}
	u64 reading = t[1] - t[0], took = cpu_ns() - t[1];
	v->stats.translate_ns += (took > reading ? took - reading : 0) * TIMED_TUS;
}

enum fetch { FETCH_OK, FETCH_PAGE_END, FETCH_UNDEFINED, FETCH_TOO_LONG };

/* Decodes the instruction at page offset `off` of the TU's page; `avail` bytes are there. */
static enum fetch decode(struct xlate *x, const u8 *code, u32 avail)
{
	ZyanStatus s = decoder_decode(&x->decoder, cs32(x), code, avail, &x->in, &x->ops);
	if (ZYAN_SUCCESS(s)) {
		/* A copy of fixed length is a load and a store. */
		if (likely(avail >= sizeof(x->bytes)))
			memcpy(x->bytes, code, sizeof(x->bytes));
		else
			memcpy(x->bytes, code, x->in.length);
		return FETCH_OK;
	}
	/* Too long is known only of 15 bytes that are there: until then the next page's #PF comes first. */
	if (s == ZYDIS_STATUS_NO_MORE_DATA || s == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
		return avail >= 15 ? FETCH_TOO_LONG : FETCH_PAGE_END;
	return FETCH_UNDEFINED;
}

/* The TU's first instruction goes on in the next page. Raises #PF if that cannot be fetched. */
static enum fetch decode_straddling(struct xlate *x, const u8 *code, u32 avail)
{
	struct vcpu *v = x->v;
	struct walk w;
	u8 bytes[16] = {0};
	u32 linear = v->seg[SEG_CS].base + x->eip + avail;
	int err = walk_translate(v, linear, ACC_EXEC | acc_cpl(v), &w);
	if (err >= 0)
		raise_pf(v, linear, (u32)err);
	const u8 *next = ram_ptr(&v->vm->mem, w.pa);
	/* As for code that lies wholly where there is no memory; and a TU's bytes are in RAM, or nobody could tell that they have changed.
	 */
	if (!next)
		raise_exception(v, EXC_UD);
	memcpy(bytes, code, avail);
	memcpy(bytes + avail, next, 15 - avail);
	x->tu->flags |= TU_STRADDLES;
	x->tu->pa2 = w.pa;
	return decode(x, bytes, 15);
}

/* True if the instruction's last byte lies beyond CS's limit, or EIP wraps in a way that it would. */
static bool beyond_limit(const struct xlate *x, u32 length)
{
	u32 limit = x->v->seg[SEG_CS].limit, last = x->eip + length - 1;
	return limit != 0xffffffffu && (x->eip > limit || last > limit || last < x->eip);
}

/*
 * The TU ends where the guest goes straight on. Behind STI no interrupt may come before the next instruction. One that straddles the page's
 * end is never chained to.
 */
static void emit_end(struct xlate *x, bool straddles)
{
	if (!x->sti && !straddles) {
		emit_exit(x, x->eip);
		return;
	}
	emit_mov_imm(x, R8, x->eip);
	if (x->sti)
		emit_jmp(x, (u64)thunk_sti_exit);
	else
		emit_exit_indirect(x);
}

/* Writes that end the instruction: what runs on a bounce buffer may leave behind it (tc_commit). */
static void mark_last(struct xlate *x, unsigned first_cold)
{
	for (unsigned i = first_cold; i < x->cold_count && !x->end; i++)
		if (x->cold[i].kind == COLD_WRITE && x->cold[i].op_end == here(x))
			cur_insn(x)->access[x->cold[i].slot] |= ACCESS_LAST;
}

static void translate_body(struct xlate *x)
{
	struct vcpu *v = x->v;
	struct tu *tu = x->tu;
	unsigned first_cold;
	u32 offset = (u32)tu->pa & PAGE_MASK, max = x->mode & MODE_SINGLE ? 1 : TU_MAX_INSNS - 1;

	while (!x->end) {
		if (unlikely(v->debug != NULL) && x->insn && debug_ends_tu(v, x->eip, x->mode & MODE_FLAT(SEG_CS))) {
			emit_end(x, false);
			break;
		}
		const u8 *code = x->page + offset;
		u32 avail = PAGE_SIZE - offset;
		enum fetch f = avail ? decode(x, code, avail) : FETCH_PAGE_END;
		if (f == FETCH_PAGE_END && x->insn == 0)
			f = decode_straddling(x, code, avail);
		if (f == FETCH_PAGE_END || x->insn == max || (f == FETCH_OK && x->insn && beyond_limit(x, x->in.length))) {
			emit_end(x, f == FETCH_PAGE_END && avail);
			break;
		}
		if (f == FETCH_TOO_LONG || (f == FETCH_OK && beyond_limit(x, x->in.length))) {
			/* Only at its turn: an earlier instruction may fault first. */
			if (x->insn == 0)
				raise_error(v, EXC_GP, 0);
			emit_end(x, false);
			break;
		}
		*cur_insn(x) = (struct tu_insn){.host_off = (u16)(here(x) - x->rx), .guest_off = (u16)(x->eip - tu->eip)};
		if (unlikely(v->lockstep))
			emit_count(x);
		if (f == FETCH_UNDEFINED) {
			memset(&x->in, 0, sizeof(x->in));
			x->in.length = 1;
			x->next_eip = x->eip + 1;
			emit_callout(x, emu_ud, true);
			tu->guest_len = (u16)(x->eip - tu->eip + (tu->flags & TU_STRADDLES ? 15 : MIN(15, avail)));
			x->insn++;
			break;
		}
		x->next_eip = x->eip + x->in.length;
		if (!(x->mode & MODE_CS32) && x->v->seg[SEG_CS].limit <= 0xffff)
			x->next_eip &= 0xffff;
		x->guilty = window_is_guilty(v, (tu->pa & ~(u64)PAGE_MASK) + offset);
		x->direct = (x->mode & MODE_DIRECT) && !x->guilty;
		if (unlikely(v->marks != NULL))
			emit_mark(x);
		first_cold = x->cold_count;
		lower_insn(x);
		mark_last(x, first_cold);
		x->insn++;
		tu->guest_len = (u16)(x->next_eip - tu->eip);
		offset += x->in.length;
		x->eip = x->next_eip;
		if ((tu->flags & TU_STRADDLES) && !x->end) {
			emit_end(x, false);
			break;
		}
	}
	tu->insn_count = (u16)x->insn;
}

int translator_init(struct vcpu *v)
{
	/* Zeroed memory that is touched as it is needed: most of it is the decoder's memo. */
	v->xlate = calloc(1, sizeof(*v->xlate));
	if (!v->xlate)
		return -ENOMEM;
	if (v->vm->opt.verify) {
		v->verifier = verifier_create();
		if (!v->verifier)
			return -ENOMEM;
	}
	return log_on(LOG_INSN) ? coverage_init(v) : 0;
}

void translator_free(struct vcpu *v)
{
	coverage_free(v);
	free(v->xlate);
	v->xlate = NULL;
	verifier_free(v->verifier);
	v->verifier = NULL;
}

/*
 * Where TUs may begin. In the direct flavour many are shorter than a cache line: one that lies in two takes a cycle more each time that it
 * is run, and an interpreter's dispatch half as long again.
 */
static u64 alignment(u32 mode)
{
	return mode & MODE_DIRECT ? 64 : 16;
}

struct tu *translate(struct vcpu *v, u64 pa)
{
	bool timed = v->stats.tus_made % TIMED_TUS == 0;
	u64 t[2] = {0};
	if (timed)
		time_tu(v, t);
	tc_make_room(v);
	struct tc *tc = v->tc;
	struct xlate *x = v->xlate;
	x->v = v;
	x->tc = tc;
	x->mode = v->mode;
	x->page = ram_ptr(&v->vm->mem, pa & ~(u64)PAGE_MASK);
	x->tu = &tc->tus[tc->tu_count];
	u64 at = (tc->used + alignment(v->mode) - 1) & ~(alignment(v->mode) - 1);
	x->start = x->p = tc->rw + at;
	x->rx = (u32)(u64)tc->rx + (u32)at;
	x->eip = v->eip;
	x->insn = 0;
	x->end = false;
	x->cold_count = 0;
	x->esp_off = 0;
	x->defers = x->sti = false;
	*x->tu = (struct tu){.pa = pa, .eip = v->eip, .mode = v->mode, .head = x->rx, .insns = tc->insn_count, .exits = tc->exit_count};
	if (v->mode & MODE_SINGLE)
		x->tu->flags |= TU_SINGLE;
	/* A fault of the fetch is raised only before the first instruction has been lowered: nothing has been taken from the arenas then.
	 */
	u32 first_emu = tc->emu_count;
	decoder_set_features(&x->decoder, v->features);
	emit_head(x);
	translate_body(x);
	x->tu->cold = here(x);
	emit_cold(x);
	x->tu->end = here(x);

	struct tu *tu = x->tu;
	if (log_on(LOG_IN_ASM | LOG_OUT_ASM))
		listing_print(x);
	if (v->verifier)
		verify_or_die(v, tu, first_emu);
	tc->used = (u64)(x->p - tc->rw);
	tc->insn_count += tu->insn_count;
	tc->tu_count++;
	tu_publish(v, tu);
	if (unlikely(v->perf != NULL))
		perf_tu(v, tu);
	v->stats.tus_made++;
	v->stats.insns_translated += tu->insn_count;
	v->stats.insns_decoded = x->decoder.misses;
	v->stats.guest_bytes += tu->guest_len;
	v->stats.host_bytes_hot += tu->cold - tu->head;
	v->stats.host_bytes_cold += tu->end - tu->cold;
	if (timed)
		time_tu(v, t);
	return tu;
}
