/*
 * Failures, as text and by mnemonic, see report.h.
 */
#include "tests/diff/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/diff/replay.h"

static const char *const reg_names[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};

static ZydisMnemonic first_mnemonic(const struct generator *g, const struct test_case *c)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(g), c->code, c->length, &in, ops)))
		return ZYDIS_MNEMONIC_INVALID;
	return in.mnemonic;
}

void tally_case(struct tally *t, const struct generator *g, const struct test_case *c)
{
	t->tested[first_mnemonic(g, c)]++;
}

void tally_failure(struct tally *t, const struct generator *g, const struct failure *f)
{
	ZydisMnemonic m = first_mnemonic(g, &f->c);

	if (t->failed[m] < EXAMPLES) {
		struct failure *copy = malloc(sizeof(*copy));

		if (copy)
			*copy = *f;
		t->example[m][t->failed[m]] = copy;
	}
	t->failed[m]++;
}

static void print_code(const struct generator *g, const struct test_case *c)
{
	ZydisFormatter formatter;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	char text[128];

	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	for (unsigned at = 0, n; at < c->length; at += n) {
		strcpy(text, "(undefined)");
		n = 1;
		if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(g), c->code + at, c->length - at, &in, ops))) {
			n = in.length;
			ZydisFormatterFormatInstruction(&formatter, &in, ops, in.operand_count_visible, text, sizeof(text), c->in.eip + at,
							NULL);
		}
		printf("  %08x ", c->in.eip + at);
		for (unsigned i = 0; i < n; i++)
			printf(" %02x", c->code[at + i]);
		printf("%*s%s\n", n < 10 ? (int)(32 - 3 * n) : 2, "", text);
	}
}

static void print_bytes(const u8 *p, unsigned n)
{
	while (n--)
		printf("%02x", p[n]);
}

static void differ(const char *name, u32 before, u32 want, u32 got)
{
	if (want != got)
		printf("    %-8s before %08x  host %08x  ringer %08x\n", name, before, want, got);
}

static void differ_fpu(const struct failure *f)
{
	const u8 *in = f->c.in.fx, *want = f->want.out.fx, *got = f->got.out.fx;
	static const struct {
		const char *name;
		unsigned at, size;
	} fields[] = {{"fcw", 0, 2}, {"fsw", 2, 2}, {"ftw", 4, 1}, {"mxcsr", 24, 4}};

	for (unsigned i = 0; i < 4 + 16; i++) {
		char name[8];
		unsigned at, size;

		if (i < 4) {
			snprintf(name, sizeof(name), "%s", fields[i].name);
			at = fields[i].at;
			size = fields[i].size;
		} else {
			snprintf(name, sizeof(name), i < 12 ? "st%u" : "xmm%u", (i - 4) & 7);
			at = 32 + 16 * (i - 4);
			size = i < 12 ? 10 : 16;
		}
		if (!memcmp(want + at, got + at, size))
			continue;
		printf("    %-8s before ", name);
		print_bytes(in + at, size);
		printf("  host ");
		print_bytes(want + at, size);
		printf("  ringer ");
		print_bytes(got + at, size);
		printf("\n");
	}
}

static void print_changes(const char *who, const struct result *r)
{
	printf("    memory   %s changed %u bytes:", who, r->changed);
	for (u32 i = 0; i < r->changed && i < BYTES_MAX; i++) {
		if (!i || r->bytes[i].address != r->bytes[i - 1].address + 1)
			printf(" %08x:", r->bytes[i].address);
		printf(" %02x", r->bytes[i].value);
	}
	printf("\n");
}

void report_failure(const struct generator *g, const struct failure *f)
{
	print_code(g, &f->c);
	if (f->died) {
		printf("    the runner ended or hung in it\n");
		return;
	}
	for (unsigned i = 0; i < 8; i++)
		differ(reg_names[i], f->c.in.regs[i], f->want.out.regs[i], f->got.out.regs[i]);
	differ("eip", f->c.in.eip, f->want.out.eip, f->got.out.eip);
	differ("eflags", f->c.in.eflags, f->want.out.eflags, f->got.out.eflags);
	differ("vector", 0, f->want.vector, f->got.vector);
	differ("error", 0, f->want.error, f->got.error);
	differ("cr2", 0, f->want.cr2, f->got.cr2);
	differ_fpu(f);
	if (f->want.changed != f->got.changed || f->want.hash != f->got.hash) {
		print_changes("host", &f->want);
		print_changes("ringer", &f->got);
	}
}

void report_state(const struct generator *g, const struct failure *f)
{
	print_code(g, &f->c);
	for (unsigned i = 0; i < 8; i++)
		printf("  %s %08x%s", reg_names[i], f->c.in.regs[i], i == 3 ? "\n" : "");
	printf("\n  eflags %08x fcw ", f->c.in.eflags);
	print_bytes(f->c.in.fx, 2);
	printf(" fsw ");
	print_bytes(f->c.in.fx + 2, 2);
	printf(" ftw %02x mxcsr ", f->c.in.fx[4]);
	print_bytes(f->c.in.fx + 24, 4);
	printf("\n  host: vector %u error %x cr2 %08x eip %08x\n", f->want.vector, f->want.error, f->want.cr2, f->want.out.eip);
}

void tally_examples(struct tally *t, void (*f)(void *p, struct failure *x), void *p)
{
	for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
		for (unsigned i = 0; i < EXAMPLES && t->example[m][i]; i++)
			f(p, t->example[m][i]);
}

void report_tally(struct tally *t, const struct generator *g, u64 seed, const char *accel, bool verbose)
{
	unsigned passed = 0, failed = 0;

	for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
		const char *name = m ? ZydisMnemonicGetString((ZydisMnemonic)m) : "(undefined)";

		if (!t->failed[m]) {
			passed += t->tested[m] != 0;
			if (verbose && t->tested[m])
				printf("%s: %llu cases\n", name, (unsigned long long)t->tested[m]);
			continue;
		}
		failed++;
		printf("FAILED %s: %llu cases\n", name, (unsigned long long)t->failed[m]);
		for (unsigned i = 0; i < EXAMPLES && t->example[m][i]; i++) {
			printf("  reduced from: --seed %llu --case %llu\n", (unsigned long long)seed,
			       (unsigned long long)t->example[m][i]->number);
			report_failure(g, t->example[m][i]);
			replay_print(t->example[m][i], seed, accel);
			free(t->example[m][i]);
		}
	}
	printf("SUMMARY: %u passed, %u failed (mnemonics)\n", passed, failed);
}
