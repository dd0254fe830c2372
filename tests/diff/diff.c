/*
 * The differential test's driver: generates cases, has them run by the host's CPU and by Ringer, and reports where the two differ.
 *
 *	diff [--seed N] [--cases N] [--case N] [--verbose] [--runner RINGER] [--accel OPTION] [--native FILE] [--guest FILE] [--dir DIR]
 *	     [--coverage FILE]
 *
 * OPTION is Ringer's -accel: "bt,flavour=direct". The forms of all cases go to --coverage's FILE.
 *
 * A failing case is reduced to the shortest part of it that still fails. The last line is "diff: N passed, N failed" (cases); the SUMMARY
 * line counts mnemonics instead, for a suite that adds up with others.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/diff/cover.h"
#include "tests/diff/gen.h"
#include "tests/diff/known.h"
#include "tests/diff/report.h"
#include "tests/diff/run.h"

#define BATCH 16384u
/* Cases per batch that are reduced and kept for the report. */
#define KEEP 200u

struct driver {
	struct paths paths;
	struct generator *gen;
	bool low, verbose;
	u64 seed;
	u64 cases, failed, known, pointers;
	struct tally tally;
	struct cover *cover;
};

static bool low_memory_there(void)
{
	FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "r");
	unsigned long n = 65536;

	if (f) {
		if (fscanf(f, "%lu", &n) != 1)
			n = 65536;
		fclose(f);
	}
	return n <= LOW;
}

static struct batch *new_batch(struct driver *d, u32 n, int *fd)
{
	struct batch *b = batch_new(n, fd);

	b->low = d->low;
	gen_pages(d->gen, b->pristine);
	return b;
}

static unsigned instruction_length(struct driver *d, const u8 *p, unsigned left)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(d->gen), p, left, &in, ops)) ? in.length : 1;
}

static struct test_case without(const struct test_case *c, unsigned at, unsigned n)
{
	struct test_case r = *c;

	memmove(r.code + at, r.code + at + n, r.length - at - n);
	r.length -= n;
	memset(r.code + r.length, 0, CODE_MAX - r.length);
	return r;
}

/* Smaller versions of c: less one instruction, only the first ones, less one prefix. Returns their number. */
static u32 variants(struct driver *d, const struct test_case *c, struct test_case *v, u32 max)
{
	u32 n = 0;

	for (unsigned at = 0, len; at < c->length; at += len) {
		len = instruction_length(d, c->code + at, c->length - at);
		if (len > c->length - at)
			len = c->length - at;
		if (len == c->length)
			break;
		if (n < max)
			v[n++] = without(c, at, len);
		if (n < max && at)
			v[n++] = without(c, at, c->length - at);
	}
	for (unsigned at = 0; at < c->length && n < max && strchr("\x26\x2e\x36\x3e\x66\x67\xf0\xf2\xf3", c->code[at]) && c->code[at]; at++)
		v[n++] = without(c, at, 1);
	return n;
}

#define VARIANTS 40u

/* One round: every case in the list is replaced by its shortest failing variant. True if any got shorter. */
static bool reduce_round(struct driver *d, struct failure *f, u32 n)
{
	struct test_case *v = calloc(n * VARIANTS, sizeof(*v));
	u32 *owner = calloc(n * VARIANTS, sizeof(*owner)), total = 0;
	struct outcome o;
	struct batch *b;
	bool shorter = false;
	int fd;

	if (!v || !owner)
		exit(2);
	for (u32 i = 0; i < n; i++) {
		u32 k = variants(d, &f[i].c, v + total, VARIANTS);

		while (k--)
			owner[total++] = i;
	}
	if (total) {
		b = new_batch(d, total, &fd);
		memcpy(batch_cases(b), v, total * sizeof(*v));
		o = batch_run(&d->paths, b, fd);
		for (u32 i = 0; i < o.count; i++) {
			const struct mismatch *m = &o.list[i];
			struct failure *x = &f[owner[m->index]];
			struct failure y = {v[m->index], batch_results(b)[m->index], m->got, x->number, m->died};

			if (v[m->index].length >= x->c.length || failure_is_known(d->gen, &y))
				continue;
			*x = y;
			shorter = true;
		}
		free(o.list);
		batch_free(b, fd);
	}
	free(v);
	free(owner);
	return shorter;
}

static void run_batch(struct driver *d, u64 first, u32 n)
{
	struct failure *f = calloc(KEEP, sizeof(*f));
	struct outcome o;
	struct batch *b;
	u32 kept = 0;
	int fd;

	if (!f)
		exit(2);
	b = new_batch(d, n, &fd);
	for (u32 i = 0; i < n; i++) {
		gen_case(d->gen, first + i, &batch_cases(b)[i]);
		tally_case(&d->tally, d->gen, &batch_cases(b)[i]);
	}
	o = batch_run(&d->paths, b, fd);
	for (u32 i = 0; i < n; i++)
		cover_case(d->cover, d->gen, &batch_cases(b)[i], &batch_results(b)[i]);
	d->cases += n;
	d->pointers += o.pointer_mismatches;
	d->failed += o.uncounted;
	for (u32 i = 0; i < o.count; i++) {
		u32 k = o.list[i].index;
		struct failure x = {batch_cases(b)[k], batch_results(b)[k], o.list[i].got, first + k, o.list[i].died};

		if (failure_is_known(d->gen, &x)) {
			d->known++;
			continue;
		}
		d->failed++;
		if (kept < KEEP)
			f[kept++] = x;
	}
	free(o.list);
	batch_free(b, fd);
	for (unsigned round = 0; kept && round < 12; round++)
		if (!reduce_round(d, f, kept))
			break;
	for (u32 i = 0; i < kept; i++)
		tally_failure(&d->tally, d->gen, &f[i]);
	free(f);
}

/* Shows one case and both results, equal or not. */
static void show_case(struct driver *d, u64 number)
{
	struct failure f = {.number = number};
	struct outcome o;
	struct batch *b;
	int fd;

	b = new_batch(d, 1, &fd);
	gen_case(d->gen, number, batch_cases(b));
	o = batch_run(&d->paths, b, fd);
	f.c = *batch_cases(b);
	f.want = *batch_results(b);
	f.got = o.count ? o.list[0].got : f.want;
	f.died = o.count && o.list[0].died;
	report_state(d->gen, &f);
	d->cases = 1;
	d->failed = o.count && !failure_is_known(d->gen, &f);
	if (o.count)
		report_failure(d->gen, &f);
	free(o.list);
	batch_free(b, fd);
}

static u64 to_number(const char *s)
{
	char *end;
	u64 n = strtoull(s, &end, 0);

	if (*s && !*end)
		return n;
	fprintf(stderr, "diff: '%s' is not a number\n", s);
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", 1, NULL, 's'},	  {"cases", 1, NULL, 'n'},    {"case", 1, NULL, 'c'},  {"verbose", 0, NULL, 'v'},
		{"runner", 1, NULL, 'r'}, {"native", 1, NULL, 'N'},   {"guest", 1, NULL, 'g'}, {"dir", 1, NULL, 'd'},
		{"accel", 1, NULL, 'a'},  {"coverage", 1, NULL, 'C'}, {NULL, 0, NULL, 0},
	};
	struct driver d = {.paths = {"build/release/ringer", "bt", "build/diff/native", "build/diff/guest.elf", "build/diff"}, .seed = 1};
	u64 cases = 200000, number = 0;
	const char *coverage = NULL;
	bool single = false;
	unsigned wrong = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			d.seed = to_number(optarg);
			break;
		case 'n':
			cases = to_number(optarg);
			break;
		case 'c':
			number = to_number(optarg);
			single = true;
			break;
		case 'v':
			d.verbose = true;
			break;
		case 'r':
			d.paths.runner = optarg;
			break;
		case 'a':
			d.paths.accel = optarg;
			break;
		case 'N':
			d.paths.native = optarg;
			break;
		case 'g':
			d.paths.guest = optarg;
			break;
		case 'C':
			coverage = optarg;
			break;
		case 'd':
			d.paths.dir = optarg;
			break;
		default:
			return 2;
		}
	}
	mkdir(d.paths.dir, 0777);
	d.low = low_memory_there();
	d.gen = gen_new(d.seed, d.low);
	d.cover = cover_new();
	if (single) {
		show_case(&d, number);
	} else {
		for (u64 n = 0; n < cases; n += BATCH)
			run_batch(&d, n, cases - n < BATCH ? (u32)(cases - n) : BATCH);
		wrong = cover_report(d.cover);
		report_tally(&d.tally, d.gen, d.seed, d.verbose);
		printf("seed %llu, %u forms, 16-bit addresses %s; %llu known differences, x87 pointers differ in %llu cases\n",
		       (unsigned long long)d.seed, gen_forms(d.gen), d.low ? "included" : "left out (vm.mmap_min_addr)",
		       (unsigned long long)d.known, (unsigned long long)d.pointers);
	}
	if (coverage && !cover_write(d.cover, coverage)) {
		perror(coverage);
		return 2;
	}
	cover_free(d.cover);
	gen_free(d.gen);
	printf("diff: %llu passed, %llu failed\n", (unsigned long long)(d.cases - d.failed), (unsigned long long)d.failed);
	return d.failed || wrong;
}
