/*
 * Golden tests of translated code: the host code of some hundred guest instructions, pinned in text files.
 *
 *	golden [--rebase] [--dir DIR]
 *
 * DIR (tests/golden) holds `cases`: sections of guest instructions with the modes that they are translated in; and for each section a file
 * NAME.txt with what they become. --rebase writes those files, without it each is compared: a PASS or FAIL line for every case, and a
 * SUMMARY. totals.txt has the bytes of host code, so that growth shows in a diff.
 *
 * An instruction is translated alone, at the end of a page: the exit behind it is the same for all and is left out. Modes whose code is the
 * same are listed together. The guest's CPU has all features, whatever the host has.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/tc.h"
#include "monitor/cpuid.h"
#include "monitor/fpu.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"
#include "translator/disasm.h"
#include "translator/mode.h"
#include "translator/translate.h"
#include "translator/xlate.h"

#define CODE	 0x20000u
#define LINE_LEN 512
#define MAX_NAME 64
#define FLAT	 (MODE_FLAT(SEG_ES) | MODE_FLAT(SEG_CS) | MODE_FLAT(SEG_SS) | MODE_FLAT(SEG_DS))
#define WIDE	 (MODE_CS32 | MODE_SS32 | MODE_OSFXSR)

static const struct golden_mode {
	const char *key, *name;
	u32 mode;
} modes[] = {
	{"kc", "kernel checked", WIDE | FLAT},
	{"kd", "kernel direct", WIDE | FLAT | MODE_DIRECT},
	{"uc", "user checked", WIDE | FLAT | 3},
	{"ud", "user direct", WIDE | FLAT | MODE_DIRECT | 3},
	{"sc", "segmented checked", WIDE},
	{"sd", "segmented direct", WIDE | MODE_DIRECT},
	{"16", "16-bit checked", MODE_OSFXSR},
	{"1d", "16-bit direct", MODE_OSFXSR | MODE_DIRECT},
	{"re", "real checked", MODE_OSFXSR | MODE_REAL},
	{"rd", "real direct", MODE_OSFXSR | MODE_REAL | MODE_DIRECT},
	{"v8", "virtual-8086 checked", MODE_OSFXSR | MODE_V86 | 3},
	{"vi", "virtual-8086 checked, IOPL 3", MODE_OSFXSR | MODE_V86 | MODE_IOPL3 | 3},
	{"ts", "kernel checked, CR0.TS", WIDE | FLAT | MODE_TS | MODE_MP},
	{"ss", "kernel checked, single-step", WIDE | FLAT | MODE_SINGLE},
};

struct golden {
	struct vm *vm;
	struct vcpu *v;
	const char *dir;
	bool rebase;
	FILE *cases, *totals;
	FILE *out;  /* the section's text */
	char *text; /* ... that `out` goes to */
	size_t text_size;
	char section[MAX_NAME];
	unsigned passed, failed;
	unsigned forms, hot, cold; /* of the section */
	unsigned all_forms, all_hot, all_cold;
};

static _Noreturn void die(const char *what, const char *name)
{
	fprintf(stderr, "golden: %s: %s\n", what, name);
	exit(2);
}

static void create_machine(struct golden *g)
{
	g->vm = calloc(1, sizeof(*g->vm));
	if (!g->vm)
		die("out of memory", "machine");
	g->vm->opt.ram_size = 4 << 20;
	g->vm->opt.tc_size = 2 << 20;
	g->vm->opt.flavour = FLAVOUR_CHECKED;
	if (vm_init(g->vm, g->vm->opt.ram_size))
		die("cannot set up", "machine");
	g->v = vcpu_create(g->vm);
	/* A host with little address space has other jump caches. */
	g->v->tc->jc_entries = 1ull << 32;
	g->v->tsc.usable = true;
	g->v->features = (1ull << CPUF_COUNT) - 1;
	g->v->cr0 = CR0_PE | CR0_ET | CR0_NE;
	segment_set(g->v, SEG_CS, 8, 0, 0xffffffffu, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_R | SEG_TYPE_A | SEG_DB | SEG_G);
	fpu_save(g->v);
}

/* The TU of one instruction that ends with its page. */
static const struct tu *translate_one(struct golden *g, const u8 *code, u32 length, u32 mode)
{
	struct vcpu *v = g->v;
	u32 at = CODE + PAGE_SIZE - length;

	tc_flush(v);
	memcpy(ram_ptr(&g->vm->mem, at), code, length);
	v->eip = at;
	v->mode = mode;
	if (__builtin_setjmp(v->unwind))
		return NULL;
	return translate(v, at);
}

/* One mode's text into f. */
static void print_mode(struct golden *g, FILE *f, const u8 *code, u32 length, u32 mode, unsigned *hot, unsigned *cold)
{
	static const u8 nop = 0x90;
	const struct tu *tu = translate_one(g, &nop, 1, mode);
	u32 tail = tu->cold - tu->body;

	tu = translate_one(g, code, length, mode);
	if (!tu) {
		fprintf(f, "    raises in the translator\n");
		*hot = *cold = 0;
		return;
	}
	/* A transfer has no exit behind it; that behind STI is another one. */
	if (g->v->xlate->end || g->v->xlate->sti)
		tail = 0;
	*hot = tu->cold - tu->body - tail;
	*cold = tu->end - tu->cold;
	if (!*hot)
		fprintf(f, "    (nothing)\n");
	if (!disasm_host(f, g->v, tu, tu->body, tu->cold - tail))
		g->failed++;
	if (*cold)
		fprintf(f, "   cold:\n");
	if (!disasm_host(f, g->v, tu, tu->cold, tu->end))
		g->failed++;
}

static u32 parse_bytes(const char *hex, u8 *code)
{
	u32 n = 0;
	unsigned b;
	int used;

	while (n < 15 && sscanf(hex, " %2x%n", &b, &used) == 1) {
		code[n++] = (u8)b;
		hex += used;
	}
	return n;
}

static const struct golden_mode *find_mode(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (strcmp(modes[i].key, key) == 0)
			return &modes[i];
	die("no such mode", key);
}

/* The instruction as the first of the modes decodes it. */
static void print_title(struct golden *g, const u8 *code, u32 length, const char *keys)
{
	char guest[96];

	keys += strspn(keys, " \t");
	disasm_guest(guest, sizeof(guest), code, length, keys[0] != '1');
	fprintf(g->out, "\n%s   [", guest);
	for (u32 i = 0; i < length; i++)
		fprintf(g->out, "%s%02x", i ? " " : "", code[i]);
	fprintf(g->out, "]\n");
}

/* "hex bytes : modes": all of them, equal texts under one heading. */
static void do_case(struct golden *g, char *line)
{
	char *keys = strchr(line, ':'), *key, *save = NULL;
	struct variant {
		char *text;
		size_t size;
		unsigned hot, cold;
		char names[256];
	} variants[ARRAY_SIZE(modes)];
	unsigned count = 0;
	u8 code[16];
	u32 length;

	if (!keys)
		die("no modes", line);
	*keys++ = '\0';
	length = parse_bytes(line, code);
	print_title(g, code, length, keys);
	for (key = strtok_r(keys, " \t\n", &save); key; key = strtok_r(NULL, " \t\n", &save)) {
		const struct golden_mode *m = find_mode(key);
		struct variant x = {0};
		FILE *f = open_memstream(&x.text, &x.size);
		unsigned same;

		if (!f || count == ARRAY_SIZE(modes))
			die("out of memory", key);
		print_mode(g, f, code, length, m->mode, &x.hot, &x.cold);
		fclose(f);
		g->forms++;
		g->hot += x.hot;
		g->cold += x.cold;
		for (same = 0; same < count; same++)
			if (strcmp(variants[same].text, x.text) == 0)
				break;
		if (same < count) {
			size_t n = strlen(variants[same].names);
			snprintf(variants[same].names + n, sizeof(x.names) - n, "; %s", m->name);
			free(x.text);
			continue;
		}
		snprintf(x.names, sizeof(x.names), "%s", m->name);
		variants[count++] = x;
	}
	for (unsigned i = 0; i < count; i++) {
		fprintf(g->out, "  %s: %u bytes, %u cold\n%s", variants[i].names, variants[i].hot, variants[i].cold, variants[i].text);
		free(variants[i].text);
	}
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (f && getdelim(&text, &size, EOF, f) < 0 && !feof(f))
		die("cannot read", path);
	if (f)
		fclose(f);
	return text ? text : strdup("");
}

/* The end of the block that begins at p: behind the next empty line. */
static const char *block_end(const char *p)
{
	const char *e = strstr(p, "\n\n");

	return e ? e + 2 : p + strlen(p);
}

/* Blocks of the text, one for each case, against those of the file: same order, same contents. */
static void compare(struct golden *g, const char *name, const char *want, const char *got)
{
	while (*got || *want) {
		const char *want_end = block_end(want), *got_end = block_end(got);
		size_t n = (size_t)(got_end - got);
		int title = (int)strcspn(*got ? got : want, "\n");

		if ((size_t)(want_end - want) == n && memcmp(want, got, n) == 0) {
			g->passed++;
			printf("PASS golden %s: %.*s\n", name, title, got);
		} else {
			g->failed++;
			printf("FAIL golden %s: %.*s\n", name, title, *got ? got : want);
			printf("--- expected\n%.*s+++ is\n%.*s", (int)(want_end - want), want, (int)n, got);
		}
		want = want_end;
		got = got_end;
	}
}

/* A finished text: into its file, or against it. */
static void finish(struct golden *g, const char *name, const char *text)
{
	char path[512], *want;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.txt", g->dir, name);
	if (!g->rebase) {
		want = read_file(path);
		compare(g, name, want, text);
		free(want);
		return;
	}
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f))
		die("cannot write", path);
}

static void end_section(struct golden *g)
{
	if (!g->out)
		return;
	fclose(g->out);
	finish(g, g->section, g->text);
	free(g->text);
	g->out = NULL;
	fprintf(g->totals, "%-14s %5u %8u %8u %8.1f\n", g->section, g->forms, g->hot, g->cold, (double)g->hot / g->forms);
	g->all_forms += g->forms;
	g->all_hot += g->hot;
	g->all_cold += g->cold;
	g->forms = g->hot = g->cold = 0;
}

static void begin_section(struct golden *g, const char *line)
{
	end_section(g);
	if (sscanf(line, "[%63[^]]]", g->section) != 1)
		die("bad section", line);
	g->out = open_memstream(&g->text, &g->text_size);
	if (!g->out)
		die("out of memory", line);
	fprintf(g->out, "Translated code; written by `make golden-rebase`.\n");
}

static void run(struct golden *g)
{
	char path[512], line[LINE_LEN], *totals;
	size_t size;

	snprintf(path, sizeof(path), "%s/cases", g->dir);
	g->cases = fopen(path, "r");
	g->totals = open_memstream(&totals, &size);
	if (!g->cases || !g->totals)
		die("cannot open", path);
	fprintf(g->totals, "section        forms bytes hot     cold  hot/form\n");
	while (fgets(line, sizeof(line), g->cases)) {
		line[strcspn(line, "#\n")] = '\0';
		if (line[0] == '[')
			begin_section(g, line);
		else if (line[strspn(line, " \t")])
			do_case(g, line);
	}
	end_section(g);
	fprintf(g->totals, "%-14s %5u %8u %8u %8.1f\n", "total", g->all_forms, g->all_hot, g->all_cold, (double)g->all_hot / g->all_forms);
	fclose(g->totals);
	fclose(g->cases);
	finish(g, "totals", totals);
	fputs(totals, stdout);
	free(totals);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"rebase", 0, NULL, 'r'}, {"dir", 1, NULL, 'd'}, {NULL, 0, NULL, 0}};
	struct golden g = {.dir = "tests/golden"};
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'r')
			g.rebase = true;
		else if (opt == 'd')
			g.dir = optarg;
		else
			return 2;
	}
	create_machine(&g);
	run(&g);
	if (!g.rebase)
		printf("SUMMARY: %u passed, %u failed\n", g.passed, g.failed);
	vcpu_free(g.v);
	vm_free(g.vm);
	free(g.vm);
	return g.failed != 0;
}
