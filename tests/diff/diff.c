/*
 * The differential test's driver: generates cases, has them run by the host's CPU and by Ringer, and reports where the two differ.
 *
 *	diff [--seed N] [--cases N | --case N | --code HEX ...] [--verbose] [--runner RINGER] [--accel OPTION] [--native FILE] [--guest
 *FILE]
 *	     [--dir DIR] [--coverage FILE]
 *
 * OPTION is Ringer's -accel: "bt,flavour=direct". The forms of all cases go to --coverage's FILE.
 *
 * --case runs one case of the seed, --code one that is given in full (replay.h).
 *
 * A failing case is reduced to the shortest part of it that still fails, with the plainest state and memory, and printed as the command
 * that runs it. The last line is "diff: N passed, N failed" (cases); the SUMMARY
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
#include "tests/diff/reduce.h"
#include "tests/diff/replay.h"
#include "tests/diff/report.h"
#include "tests/diff/run.h"

#define BATCH 16384u
/* Cases per batch that are reduced and kept for the report. */
#define KEEP 200u
/* Failures whose state is reduced as well, which takes a second or more each. */
#define EXAMPLES_REDUCED 24u

struct driver {
	struct paths paths;
	struct generator *gen;
	struct reducer reducer;
	bool verbose;
	u32 examples; /* whose state has been reduced */
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

static void run_batch(struct driver *d, u64 first, u32 n)
{
	struct failure *f = calloc(KEEP, sizeof(*f));
	struct outcome o;
	struct batch *b;
	u32 kept = 0;
	int fd;

	if (!f)
		exit(2);
	b = reduce_batch(&d->reducer, n, NULL, &fd);
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
		struct failure x = {batch_cases(b)[k], batch_results(b)[k], o.list[i].got, first + k, o.list[i].died, {0}};

		memset(x.keep, 0xff, sizeof(x.keep));
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
	reduce_code(&d->reducer, f, kept);
	for (u32 i = 0; i < kept; i++)
		tally_failure(&d->tally, d->gen, &f[i]);
	free(f);
}

/* Reduces an example of a failure as far as possible. */
static void reduce_example(void *p, struct failure *f)
{
	struct driver *d = p;

	if (d->examples++ < EXAMPLES_REDUCED)
		reduce_state(&d->reducer, f);
}

/* Shows the case f->c and both results, equal or not. */
static void show_case(struct driver *d, struct failure *f)
{
	struct outcome o;
	struct batch *b;
	int fd;

	b = reduce_batch(&d->reducer, 1, f->keep, &fd);
	*batch_cases(b) = f->c;
	o = batch_run(&d->paths, b, fd);
	/* Emptied if it does not end. */
	f->c = *batch_cases(b);
	f->want = *batch_results(b);
	f->got = o.count ? o.list[0].got : f->want;
	f->died = o.count && o.list[0].died;
	report_state(d->gen, f);
	d->cases = 1;
	d->failed = o.count && !failure_is_known(d->gen, f);
	if (o.count)
		report_failure(d->gen, f);
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
		{"accel", 1, NULL, 'a'},  {"code", 1, NULL, 'C'},     {"state", 1, NULL, 'S'}, {"fx", 1, NULL, 'F'},
		{"keep", 1, NULL, 'K'},	  {"coverage", 1, NULL, 'V'}, {NULL, 0, NULL, 0},
	};
	struct driver d = {.paths = {"build/release/ringer", "bt", "build/diff/native", "build/diff/guest.elf", "build/diff"}, .seed = 1};
	u64 cases = 200000;
	struct failure one;
	const char *coverage = NULL;
	unsigned wrong = 0;
	bool single = false, generated = false, good = true;
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
			one.number = to_number(optarg);
			single = generated = true;
			break;
		case 'C':
			good = replay_code(&one, optarg);
			single = true;
			break;
		case 'S':
			good = single && replay_state(&one, optarg);
			break;
		case 'F':
			good = single && replay_fx(&one, optarg);
			break;
		case 'K':
			good = single && replay_keep(&one, optarg);
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
		case 'V':
			coverage = optarg;
			break;
		case 'd':
			d.paths.dir = optarg;
			break;
		default:
			return 2;
		}
		if (!good) {
			fprintf(stderr, "diff: '%s' makes no case (--code comes first)\n", optarg);
			return 2;
		}
	}
	mkdir(d.paths.dir, 0777);
	d.reducer = (struct reducer){.paths = &d.paths, .low = low_memory_there()};
	d.gen = d.reducer.gen = gen_new(d.seed, d.reducer.low);
	d.cover = cover_new();
	if (generated) {
		memset(one.keep, 0xff, sizeof(one.keep));
		gen_case(d.gen, one.number, &one.c);
	}
	if (single) {
		show_case(&d, &one);
	} else {
		for (u64 n = 0; n < cases; n += BATCH)
			run_batch(&d, n, cases - n < BATCH ? (u32)(cases - n) : BATCH);
		wrong = cover_report(d.cover);
		tally_examples(&d.tally, reduce_example, &d);
		report_tally(&d.tally, d.gen, d.seed, d.paths.accel, d.verbose);
		printf("seed %llu, %u forms, 16-bit addresses %s; %llu known differences, x87 pointers differ in %llu cases\n",
		       (unsigned long long)d.seed, gen_forms(d.gen), d.reducer.low ? "included" : "left out (vm.mmap_min_addr)",
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
