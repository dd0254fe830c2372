/*
 * Mutation test of the verifier: corrupts TUs that the translator made, one place at a time, and counts how many of the mutants that break
 * a rule are refused.
 *
 *	mutate [--mutants N] [--seed N] [--verbose]
 *
 * The TUs come from the differential test's generator and from a list of code with what that does not make, in every mode. What a mutant
 * is, is known by how it was made (a prefix of a window access dropped, a branch sent out of its TU, a forbidden instruction put in) or
 * judged by oracle.c. The originals must all be accepted. Prints PASS and FAIL lines; fails below 99.9 %.
 */
#include <getopt.h>
#include <stdio.h>

#include "tests/diff/gen.h"
#include "tests/diff/rand.h"
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
#include "shadowpt/softmmu.h"
#include "tests/verify/oracle.h"
#include "translator/translate.h"
#include "translator/verify.h"

#define CODE	    0x20000u
#define MAX_SAMPLES 8000
#define MAX_INSNS   4000
#define GENERATED   900

static struct rand rnd;

/* ---- the corpus ---- */

struct sample {
	struct tu *tu;
	u32 first_emu;
};
static struct sample samples[MAX_SAMPLES];
static unsigned sample_count;

static struct verify_violation why;

static bool accepted(const struct sample *s)
{
	return verify_tu(v, s->tu, s->first_emu, &why);
}

/* The code at v->eip in a mode; what cannot be fetched is left out. */
static void add_sample(u32 mode)
{
	static struct tu *tu;
	struct sample s = {.first_emu = v->tc->emu_count};
	tu = NULL;
	v->mode = mode;
	if (sample_count == MAX_SAMPLES || CATCH(tu = translate(v, v->seg[SEG_CS].base + v->eip)) >= 0)
		return;
	s.tu = tu;
	samples[sample_count++] = s;
}

/* Code that the generator does not make: privileged, stack, strings, segments, all kinds of exits. */
static const struct {
	u8 n, code[31];
} written[] = {
#define CODE_BYTES(...)                                                                                                                    \
	{                                                                                                                                  \
		sizeof((const u8[]){__VA_ARGS__}),                                                                                         \
		{                                                                                                                          \
			__VA_ARGS__                                                                                                        \
		}                                                                                                                          \
	}
	CODE_BYTES(0xfa, 0xfb, 0x9c, 0x58, 0x50, 0x9d, 0xc3),
	CODE_BYTES(0x55, 0x89, 0xe5, 0x57, 0x56, 0x53, 0x83, 0xec, 0x1c, 0x8b, 0x5d, 0x08, 0x83, 0xc4, 0x1c, 0x5b, 0x5e, 0x5f, 0xc9, 0xc3),
	CODE_BYTES(0xf3, 0xa5, 0xf3, 0x66, 0xab, 0xac, 0xae, 0xf2, 0xae, 0xf3, 0xa6, 0xa4, 0x66, 0xa7, 0xc3),
	CODE_BYTES(0x1e, 0x06, 0x0f, 0xa0, 0x0f, 0xa9, 0x1f, 0xc3),
	CODE_BYTES(0x64, 0x8b, 0x03, 0x65, 0x89, 0x43, 0x04, 0x64, 0xff, 0x30, 0x65, 0x8f, 0x00, 0x2e, 0x8b, 0x03, 0xff, 0xe0),
	CODE_BYTES(0xff, 0x10),
	CODE_BYTES(0xff, 0x63, 0x10),
	CODE_BYTES(0xff, 0xd1),
	CODE_BYTES(0xe8, 0, 0x10, 0, 0),
	CODE_BYTES(0x40, 0x75, 0xfd, 0x74, 0x02, 0x49, 0x48, 0xeb, 0xf7),
	CODE_BYTES(0xe2, 0xfe),
	CODE_BYTES(0xe0, 0x10),
	CODE_BYTES(0xe3, 0xfc),
	CODE_BYTES(0x67, 0xe3, 0x05),
	CODE_BYTES(0x67, 0xe2, 0xf5),
	CODE_BYTES(0x66, 0xe9, 0x10, 0x00),
	CODE_BYTES(0xc2, 0x08, 0x00),
	CODE_BYTES(0xcd, 0x80),
	CODE_BYTES(0xcf),
	CODE_BYTES(0xea, 0, 0, 0, 0, 8, 0),
	CODE_BYTES(0x0f, 0x0b),
	CODE_BYTES(0x0f, 0x01, 0x38, 0x90),
	CODE_BYTES(0x0f, 0x22, 0xd8),
	CODE_BYTES(0x0f, 0x20, 0xc0, 0x0f, 0xa2, 0x0f, 0x31, 0xec, 0xc3),
	CODE_BYTES(0x0f, 0xab, 0x0b, 0x66, 0x0f, 0xa3, 0x4b, 0x10, 0xf0, 0x0f, 0xb3, 0x03, 0xd7, 0x67, 0x8b, 0x07, 0xc3),
	CODE_BYTES(0xd8, 0x03, 0xdd, 0x1b, 0xd9, 0x3b, 0xdf, 0xe0, 0xdb, 0x2b, 0xdb, 0x3b, 0x9b, 0xdd, 0x3b, 0xc3),
	CODE_BYTES(0x0f, 0x28, 0x03, 0x0f, 0x29, 0x43, 0x10, 0x0f, 0x10, 0x03, 0xf2, 0x0f, 0x10, 0x03, 0x66, 0x0f, 0x7f, 0x03, 0xc3),
	CODE_BYTES(0x0f, 0xc7, 0x0b, 0xf0, 0x0f, 0xb1, 0x0b, 0x87, 0x03, 0x0f, 0xc0, 0x23, 0x86, 0x23, 0xc3),
	CODE_BYTES(0xa1, 0, 0, 1, 0, 0xa2, 0, 0, 1, 0, 0x8f, 0x04, 0x24, 0xff, 0x74, 0x24, 0x08, 0x8b, 0x44, 0xb5, 0x04, 0xc3),
	CODE_BYTES(0x66, 0x50, 0x66, 0x58, 0x66, 0x68, 1, 2, 0x6a, 0xff, 0x54, 0x5c, 0x60, 0x61, 0xc8, 8, 0, 0, 0xc3),
	CODE_BYTES(0x0f, 0xae, 0x3b, 0x0f, 0xae, 0xe8, 0xf3, 0x90, 0x0f, 0xae, 0x1b, 0x0f, 0x77, 0xc3),
#undef CODE_BYTES
};

/* Segments: all flat; DS with a base, DS and SS with limits; code and stack of 16 bits. */
static void shape_segments(unsigned shape, unsigned cpl)
{
	u32 data = SEG_P | SEG_S | SEG_TYPE_W | SEG_TYPE_A | SEG_DB | SEG_G | cpl << SEG_DPL_SHIFT;
	cpu_flat(cpl);
	v->cr4 |= CR4_OSFXSR;
	if (shape == 1)
		segment_set(v, SEG_DS, KDS, 0x1000, 0xffffffffu, data);
	if (shape == 2) {
		segment_set(v, SEG_DS, KDS, 0, 0xfffff, data);
		segment_set(v, SEG_SS, KDS, 0, 0xfffff, data);
	}
	if (shape == 3) {
		segment_set(v, SEG_CS, KCS, 0, 0xffffffffu, (data | SEG_TYPE_CODE) & ~SEG_DB);
		segment_set(v, SEG_SS, KDS, 0, 0xffffffffu, data & ~SEG_DB);
	}
}

/* The same code in both flavours, single-stepped, at both privileges and with all kinds of segments. */
static void add_everywhere(const u8 *code, unsigned n, unsigned shapes)
{
	for (unsigned shape = 0; shape < shapes; shape++) {
		for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
			shape_segments(shape, cpl);
			v->eip = CODE + rand_below(&rnd, 0xf00);
			memset(ram_at(v->eip), 0x90, 0x100);
			memcpy(ram_at(v->eip), code, n);
			u32 mode = mode_compute(v);
			add_sample(mode);
			add_sample(mode | MODE_DIRECT);
			if (shape == 0)
				add_sample(mode | MODE_SINGLE);
		}
	}
}

static void make_corpus(u64 seed)
{
	struct generator *g = gen_new(seed, true);
	struct test_case *c = calloc(1, sizeof(*c));
	for (unsigned i = 0; i < ARRAY_SIZE(written); i++)
		add_everywhere(written[i].code, written[i].n, 4);
	for (unsigned i = 0; i < GENERATED && c; i++) {
		gen_case(g, i, c);
		add_everywhere(c->code, c->length, 1);
	}
	free(c);
	gen_free(g);
}

/* ---- mutations ---- */

/* A change of the bytes at `off`; `n` of them at most, so that the rest of the TU stays where it is. */
struct mutant {
	const struct sample *s;
	const struct host_insn *at;
	u8 *rw;	   /* the instruction's bytes, writable */
	u32 avail; /* to the TU's end */
};

enum judgement { NOT_APPLICABLE, VIOLATES, ASK };

/* Takes one byte out of the instruction; what is missing at its end is a NOP. */
static void drop_byte(struct mutant *m, u8 prefix)
{
	unsigned n = m->at->length, i = 0;
	while (m->rw[i] != prefix)
		i++;
	memmove(m->rw + i, m->rw + i + 1, n - i - 1);
	m->rw[n - 1] = 0x90;
}

static enum judgement drop_gs(struct mutant *m)
{
	if (!m->at->window)
		return NOT_APPLICABLE;
	drop_byte(m, 0x65);
	return VIOLATES;
}

static enum judgement drop_address_size(struct mutant *m)
{
	if (!m->at->narrow)
		return NOT_APPLICABLE;
	drop_byte(m, 0x67);
	return VIOLATES;
}

static enum judgement window_to_fs(struct mutant *m)
{
	if (!m->at->window)
		return NOT_APPLICABLE;
	for (unsigned i = 0;; i++)
		if (m->rw[i] == 0x65) {
			m->rw[i] = 0x64;
			return VIOLATES;
		}
}

static void set_rel32(struct mutant *m, u64 to)
{
	u32 d = (u32)(to - (m->s->tu->head + m->at->off + m->at->length));
	memcpy(m->rw + m->at->rel_offset, &d, 4);
}

/* To the monitor's text beside the thunks, to other TUs, to nowhere. */
static enum judgement retarget(struct mutant *m)
{
	static void (*const thunks[])(void) = {thunk_exit_jc, thunk_callout, thunk_miss0, thunk_commit1, thunk_sti_exit, thunk_head_miss};
	const struct sample *other = &samples[rand_below(&rnd, sample_count)];
	if (!m->at->branch || m->at->rel_size != 32)
		return NOT_APPLICABLE;
	switch (rand_below(&rnd, 5)) {
	case 0: /* the shortest thunk has 5 bytes */
		set_rel32(m, (u64)thunks[rand_below(&rnd, ARRAY_SIZE(thunks))] + 1 + rand_below(&rnd, 4));
		return VIOLATES;
	case 1:
		set_rel32(m, (u64)translate);
		return VIOLATES;
	case 2:
		if (other == m->s)
			return NOT_APPLICABLE;
		set_rel32(m, other->tu->head + rand_below(&rnd, other->tu->end - other->tu->head));
		return VIOLATES;
	case 3:
		set_rel32(m, m->s->tu->end + 16 + rand_below(&rnd, 4096));
		return VIOLATES;
	default: /* a thunk of the other kind, or a conditional branch to one */
		set_rel32(m, m->at->call ? (u64)thunk_exit_jc : (u64)thunk_callout);
		return VIOLATES;
	}
}

static enum judgement forbid(struct mutant *m)
{
	static const struct {
		u8 n, code[4];
	} list[] = {
		{2, {0x0f, 0x05}},
		{2, {0xcd, 0x80}},
		{1, {0xf4}},
		{1, {0xfa}},
		{1, {0xfb}},
		{3, {0x0f, 0x01, 0xf8}},
		{4, {0xf3, 0x0f, 0xae, 0xd8}},
		{4, {0xf3, 0x0f, 0xae, 0xd1}},
		{4, {0xf3, 0x0f, 0xae, 0xc8}},
		{2, {0x8e, 0xe8}},
		{2, {0x8e, 0xd8}},
		{2, {0x8c, 0xd8}},
		{2, {0x0f, 0xa1}},
		{1, {0xc3}},
		{1, {0xcb}},
		{1, {0xcf}},
		{1, {0xcc}},
		{1, {0xf1}},
		{2, {0x0f, 0x34}},
		{2, {0x0f, 0x30}},
		{2, {0x0f, 0x32}},
		{2, {0xe4, 0x60}},
		{1, {0xef}},
		{1, {0x6c}},
		{2, {0x0f, 0xa2}},
		{3, {0x0f, 0x01, 0xf9}},
		{3, {0x0f, 0x00, 0xc0}},
		{3, {0x0f, 0x01, 0xe0}},
		{3, {0x0f, 0x02, 0xc0}},
		{3, {0x0f, 0x03, 0xc0}},
		{3, {0x0f, 0x00, 0xe0}},
		{3, {0x0f, 0x00, 0xe8}},
		{3, {0x0f, 0x00, 0xc8}},
		{2, {0x66, 0x9c}},
		{2, {0x66, 0x9d}},
		{3, {0x0f, 0x20, 0xd8}},
		{3, {0x0f, 0x22, 0xd8}},
		{3, {0x0f, 0x23, 0xf8}},
		{2, {0x0f, 0x06}},
		{2, {0x0f, 0x09}},
		{3, {0x0f, 0x01, 0xd0}},
		{2, {0x0f, 0x0b}},
		{1, {0xc9}},
		{1, {0xd7}},
		{2, {0xff, 0xe0}},
		{2, {0xff, 0xd0}},
		{4, {0xc5, 0xf8, 0x58, 0xc1}},
		{3, {0x41, 0xff, 0xc6}},
		{3, {0x48, 0xff, 0xc4}},
		{4, {0xff, 0x74, 0x24, 0x08}},
		{2, {0x8b, 0x03}},
		{2, {0x88, 0x07}},
	};
	unsigned k = rand_below(&rnd, ARRAY_SIZE(list));
	if (list[k].n > m->at->length)
		return NOT_APPLICABLE;
	memcpy(m->rw, list[k].code, list[k].n);
	memset(m->rw + list[k].n, 0x90, m->at->length - list[k].n);
	return VIOLATES;
}

/* Another field of the vCPU, of those that are nobody's business. */
static enum judgement other_field(struct mutant *m)
{
	static const u32 near[] = {offsetof(struct vcpu, regs), offsetof(struct vcpu, eip), offsetof(struct vcpu, hflags),
				   offsetof(struct vcpu, table), offsetof(struct vcpu, host_rsp)};
	static const u32 far[] = {offsetof(struct vcpu, cpl),
				  offsetof(struct vcpu, efer),
				  offsetof(struct vcpu, dr),
				  offsetof(struct vcpu, pat),
				  offsetof(struct vcpu, msr_store),
				  offsetof(struct vcpu, vm),
				  offsetof(struct vcpu, mmu),
				  offsetof(struct vcpu, tc),
				  offsetof(struct vcpu, unwind),
				  offsetof(struct vcpu, fx),
				  (u32)-8,
				  sizeof(struct vcpu)};
	if (!m->at->vcpu)
		return NOT_APPLICABLE;
	if (m->at->disp_size == 8)
		m->rw[m->at->disp_offset] = (u8)near[rand_below(&rnd, ARRAY_SIZE(near))];
	else if (m->at->disp_size == 32)
		memcpy(m->rw + m->at->disp_offset, &far[rand_below(&rnd, ARRAY_SIZE(far))], 4);
	else
		return NOT_APPLICABLE;
	return VIOLATES;
}

/* mov rcx, [r13 + r9*8 + disp]: another displacement, scale or index. */
static enum judgement other_entry(struct mutant *m)
{
	if (!m->at->table)
		return NOT_APPLICABLE;
	u8 *sib = m->rw + m->at->modrm_offset + 1;
	switch (rand_below(&rnd, 3)) {
	case 0:
		m->rw[m->at->disp_offset] += 8u * (1 + rand_below(&rnd, 15));
		return VIOLATES;
	case 1:
		*sib ^= (u8)(0x40 << rand_below(&rnd, 2));
		return VIOLATES;
	default:
		*sib ^= (u8)(8 << rand_below(&rnd, 3));
		return VIOLATES;
	}
}

/* op [r9 + r8]: another scale, index or base. */
static enum judgement other_delta(struct mutant *m)
{
	if (!m->at->direct)
		return NOT_APPLICABLE;
	m->rw[m->at->modrm_offset + 1] ^= (u8)(1 << rand_below(&rnd, 8));
	return VIOLATES;
}

/* One bit anywhere. */
static enum judgement flip(struct mutant *m)
{
	m->rw[rand_below(&rnd, m->at->length)] ^= (u8)(1 << rand_below(&rnd, 8));
	return ASK;
}

static enum judgement flip_two(struct mutant *m)
{
	flip(m);
	return flip(m);
}

/* Another register or address form. */
static enum judgement swap_registers(struct mutant *m)
{
	if (!m->at->modrm_offset)
		return NOT_APPLICABLE;
	m->rw[m->at->modrm_offset] = (u8)rand_u32(&rnd);
	return ASK;
}

static enum judgement replace_byte(struct mutant *m)
{
	m->rw[rand_below(&rnd, m->at->length)] = (u8)rand_u32(&rnd);
	return ASK;
}

static struct mutation {
	const char *name;
	enum judgement (*make)(struct mutant *m);
	u64 violating, caught, harmless, refused; /* the last two: of those that no one calls a violation */
} mutations[] = {
	{.name = "65 dropped from a window access", .make = drop_gs},
	{.name = "67 dropped from a window access", .make = drop_address_size},
	{.name = "64 for 65", .make = window_to_fs},
	{.name = "branch out of the TU", .make = retarget},
	{.name = "forbidden instruction", .make = forbid},
	{.name = "unlisted vCPU field", .make = other_field},
	{.name = "other entry of the flat table", .make = other_entry},
	{.name = "other address than was looked up", .make = other_delta},
	{.name = "one bit", .make = flip},
	{.name = "two bits", .make = flip_two},
	{.name = "other ModRM", .make = swap_registers},
	{.name = "other byte", .make = replace_byte},
};

/* ---- the test ---- */

static struct host_insn insns[MAX_INSNS];

static void show(const struct mutant *m, const struct mutation *kind, const u8 *old)
{
	printf("  missed: %s: TU %ld mode %x +%u:", kind->name, (long)(m->s - samples), m->s->tu->mode, m->at->off);
	for (unsigned i = 0; i < m->at->length; i++)
		printf(" %02x", old[i]);
	printf(" ->");
	for (unsigned i = 0; i < m->at->length; i++)
		printf(" %02x", m->rw[i]);
	printf("\n");
}

static void try_one(const struct sample *s, unsigned count)
{
	struct mutation *kind = &mutations[rand_below(&rnd, ARRAY_SIZE(mutations))];
	struct mutant m = {.s = s, .at = &insns[rand_below(&rnd, count)]};
	static u64 shown;
	u8 old[16], changed[16];
	m.avail = s->tu->end - s->tu->head - m.at->off;
	m.rw = v->tc->rw + (s->tu->head + m.at->off - (u32)(u64)v->tc->rx);
	memcpy(old, m.rw, m.at->length);
	enum judgement j = kind->make(&m);
	if (j == NOT_APPLICABLE || memcmp(old, m.rw, m.at->length) == 0) {
		memcpy(m.rw, old, m.at->length);
		return;
	}
	if (j == ASK) {
		/* The oracle looks at what it was as well. */
		u8 after[32];
		unsigned n = MIN(m.avail, 15);
		memcpy(after, m.rw, n);
		memcpy(changed, m.rw, m.at->length);
		memcpy(m.rw, old, m.at->length);
		j = oracle_violates(v, s->tu, m.at, after, n) ? VIOLATES : ASK;
		memcpy(m.rw, changed, m.at->length);
	}
	bool ok = accepted(s);
	if (j == VIOLATES) {
		kind->violating++;
		kind->caught += !ok;
		if (ok && shown++ < 40)
			show(&m, kind, old);
	} else {
		kind->harmless += ok;
		kind->refused += !ok;
	}
	memcpy(m.rw, old, m.at->length);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"mutants", 1, NULL, 'm'}, {"seed", 1, NULL, 's'}, {NULL, 0, NULL, 0}};
	u64 mutants = 3000000, seed = 1, failed = 0, violating = 0, caught = 0, harmless = 0, refused = 0;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
		if (o == '?')
			return 2;
		*(o == 'm' ? &mutants : &seed) = strtoull(optarg, NULL, 0);
	}
	rand_seed(&rnd, seed);
	machine_create_sized(8 << 20, 16 << 20);
	make_corpus(seed);
	for (unsigned i = 0; i < sample_count; i++) {
		if (accepted(&samples[i]))
			continue;
		failed++;
		printf("FAIL verify: TU %u, mode %x, is refused: %s at +%u: %s\n", i, samples[i].tu->mode, verify_rule_name(why.rule),
		       why.host - samples[i].tu->head, why.text);
	}
	printf("%s verify: %u TUs as the translator made them are accepted\n", failed ? "FAIL" : "PASS", sample_count);
	for (u64 done = 0; done < mutants && sample_count;) {
		const struct sample *s = &samples[rand_below(&rnd, sample_count)];
		unsigned count = oracle_reach(v, s->tu, insns, MAX_INSNS);
		for (unsigned i = 0; i < 64 && count; i++, done++)
			try_one(s, count);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(mutations); i++) {
		const struct mutation *k = &mutations[i];
		bool good = k->violating >= 100 && k->caught * 1000 >= k->violating * 999;
		printf("%s verify: %s: %llu of %llu violating mutants caught; of the others %llu accepted, %llu refused\n",
		       good ? "PASS" : "FAIL", k->name, (unsigned long long)k->caught, (unsigned long long)k->violating,
		       (unsigned long long)k->harmless, (unsigned long long)k->refused);
		failed += !good;
		violating += k->violating;
		caught += k->caught;
		harmless += k->harmless;
		refused += k->refused;
	}
	/* A verifier that refuses everything catches everything. */
	bool lets_pass = harmless * 10 > harmless + refused;
	printf("%s verify: at least a tenth of the mutants that nobody objects to is accepted\n", lets_pass ? "PASS" : "FAIL");
	printf("score %.4f %%: %llu of %llu mutants that violate a rule are caught (%llu missed); %llu others accepted, %llu refused\n",
	       violating ? 100.0 * (double)caught / (double)violating : 0, (unsigned long long)caught, (unsigned long long)violating,
	       (unsigned long long)(violating - caught), (unsigned long long)harmless, (unsigned long long)refused);
	machine_destroy();
	return failed || !lets_pass;
}
