/*
 * The translator without a guest: translates the code of a flat binary from end to end and tells what each phase took, how much code came
 *of it, what a TU takes in memory, and what dropping TUs and flushing the cache cost.
 *
 *	tc FILE ADDRESS [checked|direct] [user|kernel]	a flat 32-bit binary, loaded at ADDRESS of guest RAM (which is linear = physical)
 *
 * Prints `TC name value` lines. The phases are timed by functions that the linker puts in front of the library's (--wrap): nothing is added
 *to the normal build. "lower" contains emitting the hot code, for the translator lowers and emits in one pass; "cold" is the stubs behind
 *it.
 *
 * Invariants: a phase's figure has the cost of two RDTSC taken off for each call; the totals are of passes without the wrapped timing. The
 * sweep goes on where the TU before ended, so data between functions is translated as well, as undefined instructions often are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

/* The harness asserts with Check, which works in its own test cases only. */
#include <check.h>
#undef ck_assert
#undef ck_assert_msg
#undef ck_assert_int_eq
#undef ck_assert_ptr_nonnull
#define ck_assert(x)		 ((x) ? (void)0 : abort())
#define ck_assert_msg(x, ...)	 ck_assert(x)
#define ck_assert_int_eq(a, b)	 ck_assert((a) == (b))
#define ck_assert_ptr_nonnull(p) ck_assert((p) != NULL)
#include "tests/unit/vm_harness.h"

#include "cache/tc.h"
#include "translator/translate.h"
#include "translator/verify.h"
#include "translator/xlate.h"

enum { PASSES = 3, RAM = 64 << 20, CACHE = 512 << 20 };

/* What the wrapped functions add up while `timing` is set. */
static bool timing;
static struct phase {
	u64 cycles, calls;
} decoding, lowering, cold, publishing;

static u64 tsc_cost;

#define TIMED(phase, call)                                                                                                                 \
	do {                                                                                                                               \
		if (timing) {                                                                                                              \
			u64 t_ = __rdtsc();                                                                                                \
			call;                                                                                                              \
			(phase).cycles += __rdtsc() - t_;                                                                                  \
			(phase).calls++;                                                                                                   \
		} else {                                                                                                                   \
			call;                                                                                                              \
		}                                                                                                                          \
	} while (0)

ZyanStatus __real_decoder_decode(struct decoder *d, bool wide, const u8 *code, u32 avail, ZydisDecodedInstruction *in,
				 ZydisDecodedOperand **ops);
ZyanStatus __wrap_decoder_decode(struct decoder *d, bool wide, const u8 *code, u32 avail, ZydisDecodedInstruction *in,
				 ZydisDecodedOperand **ops);
ZyanStatus __wrap_decoder_decode(struct decoder *d, bool wide, const u8 *code, u32 avail, ZydisDecodedInstruction *in,
				 ZydisDecodedOperand **ops)
{
	ZyanStatus s;

	TIMED(decoding, s = __real_decoder_decode(d, wide, code, avail, in, ops));
	return s;
}

void __real_lower_insn(struct xlate *x);
void __wrap_lower_insn(struct xlate *x);
void __wrap_lower_insn(struct xlate *x)
{
	TIMED(lowering, __real_lower_insn(x));
}

void __real_emit_cold(struct xlate *x);
void __wrap_emit_cold(struct xlate *x);
void __wrap_emit_cold(struct xlate *x)
{
	TIMED(cold, __real_emit_cold(x));
}

void __real_tu_publish(struct vcpu *cpu, struct tu *tu);
void __wrap_tu_publish(struct vcpu *cpu, struct tu *tu);
void __wrap_tu_publish(struct vcpu *cpu, struct tu *tu)
{
	TIMED(publishing, __real_tu_publish(cpu, tu));
}

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static void put(const char *name, double value)
{
	printf("TC %s %.3f\n", name, value);
}

/* Translates [from, to), returns nanoseconds. What cannot be translated is passed over by the byte. */
static u64 sweep(u32 from, u32 to, u32 mode)
{
	static struct tu *tu;
	u64 t = now_ns();

	for (volatile u32 at = from; at < to;) {
		v->eip = at;
		v->mode = mode;
		if (CATCH(tu = translate(v, at)) >= 0 || !tu->guest_len)
			at++;
		else
			at += tu->guest_len;
	}
	return now_ns() - t;
}

/* Nanoseconds of all calls of a phase, without what timing them took. */
static double without_timing(const struct phase *p, double ns_per_cycle)
{
	double cycles = (double)p->cycles - (double)(p->calls * tsc_cost);

	return p->calls && cycles > 0 ? cycles * ns_per_cycle : 0;
}

/* Nanoseconds of one tu_drop, of every TU in the cache in the order in which they were made. */
static void drops(void)
{
	u32 n = v->tc->tu_count;
	u64 t = now_ns();

	for (u32 i = 0; i < n; i++)
		tu_drop(v, &v->tc->tus[i]);
	put("drop_ns_per_tu", (double)(now_ns() - t) / n);
}

/* Sweeps with the phases timed; the rest is the loop, the tables, and looking up guilt. The figures are the fastest pass's. */
static void phases(u32 from, u32 to, u32 mode, double insns)
{
	struct phase *const each[] = {&decoding, &lowering, &cold, &publishing};
	static const char *const names[] = {"phase_decode_ns_per_insn", "phase_lower_ns_per_insn", "phase_cold_ns_per_insn",
					    "phase_publish_ns_per_insn"};
	double ns[ARRAY_SIZE(each)] = {0}, rest = 0;
	u64 best = ~0ull;

	for (int i = 0; i < PASSES; i++) {
		u64 t, cycles, calls = 0;
		double ns_per_cycle;

		for (unsigned k = 0; k < ARRAY_SIZE(each); k++)
			*each[k] = (struct phase){0};
		tc_flush(v);
		timing = true;
		t = now_ns();
		cycles = __rdtsc();
		sweep(from, to, mode);
		cycles = __rdtsc() - cycles;
		t = now_ns() - t;
		timing = false;
		if (t >= best)
			continue;
		best = t;
		ns_per_cycle = (double)t / (double)cycles;
		rest = (double)t;
		for (unsigned k = 0; k < ARRAY_SIZE(each); k++) {
			ns[k] = without_timing(each[k], ns_per_cycle);
			rest -= ns[k];
			calls += each[k]->calls;
		}
		rest -= (double)(calls * tsc_cost) * ns_per_cycle;
	}
	for (unsigned k = 0; k < ARRAY_SIZE(each); k++)
		put(names[k], ns[k] / insns);
	put("phase_rest_ns_per_insn", rest > 0 ? rest / insns : 0);
}

static void measure(u32 from, u32 to, u32 mode)
{
	u64 best = ~0ull, best_verified, flush = ~0ull, t;
	struct stats a;
	struct tc *tc = v->tc;
	double insns, bookkeeping;

	sweep(from, to, mode); /* touches the cache's memory */
	for (int i = 0; i < PASSES; i++) {
		t = now_ns();
		tc_flush(v);
		t = now_ns() - t;
		flush = t < flush ? t : flush;
		memset(&v->stats, 0, sizeof(v->stats));
		t = sweep(from, to, mode);
		best = t < best ? t : best;
	}
	a = v->stats;
	insns = (double)a.insns_translated;
	put("insns", insns);
	put("tus", (double)a.tus_made);
	put("insns_per_tu", insns / (double)a.tus_made);
	put("guest_bytes", (double)a.guest_bytes);
	put("mega_insns_per_s", insns * 1e3 / (double)best);
	put("tus_per_s", (double)a.tus_made * 1e9 / (double)best);
	put("guest_mb_per_s", (double)a.guest_bytes * 1e3 / (double)best);
	put("ns_per_insn", (double)best / insns);
	put("expansion_hot", (double)a.host_bytes_hot / (double)a.guest_bytes);
	put("expansion_cold", (double)a.host_bytes_cold / (double)a.guest_bytes);
	put("flush_ns_per_tu", (double)flush / (double)a.tus_made);
	bookkeeping = (double)(tc->tu_count * sizeof(*tc->tus) + tc->insn_count * sizeof(*tc->insns) + tc->exit_count * sizeof(*tc->exits) +
			       tc->emu_count * sizeof(*tc->emus));
	put("bytes_per_tu_code", (double)tc->used / tc->tu_count);
	put("bytes_per_tu_tables", bookkeeping / tc->tu_count);
	drops();

	phases(from, to, mode, insns);

	/* And with the verifier. */
	if (!(v->verifier = verifier_create()))
		return;
	tc_flush(v);
	best_verified = sweep(from, to, mode);
	put("verified_ns_per_insn", (double)best_verified / insns);
	verifier_free(v->verifier);
	v->verifier = NULL;
}

int main(int argc, char **argv)
{
	u32 at;
	long size;
	FILE *f;
	bool direct = argc > 3 && !strcmp(argv[3], "direct"), user = argc > 4 && !strcmp(argv[4], "user");

	if (argc < 3 || !(f = fopen(argv[1], "rb"))) {
		fprintf(stderr, "usage: tc FILE ADDRESS [checked|direct] [user|kernel]\n");
		return 2;
	}
	at = (u32)strtoul(argv[2], NULL, 0);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	if (size <= 0 || at >= RAM || (u64)at + (u64)size + PAGE_SIZE > RAM) {
		fprintf(stderr, "tc: %s does not fit into %u MiB at %#x\n", argv[1], RAM >> 20, at);
		return 2;
	}
	machine_create_sized(RAM, CACHE);
	verifier_free(v->verifier);
	v->verifier = NULL;
	if (fread(ram_at(at), 1, (size_t)size, f) != (size_t)size) {
		fprintf(stderr, "tc: cannot read %s\n", argv[1]);
		return 2;
	}
	fclose(f);
	tsc_cost = ~0ull;
	for (int i = 0; i < 1000; i++) {
		u64 t = __rdtsc(), d = __rdtsc() - t;

		tsc_cost = d < tsc_cost ? d : tsc_cost;
	}
	cpu_flat(user ? 3 : 0);
	v->cr4 |= CR4_OSFXSR;
	measure(at, at + (u32)size, mode_compute(v) | (direct ? MODE_DIRECT : 0));
	machine_destroy();
	return 0;
}
