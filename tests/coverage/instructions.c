/*
 * Every form of instruction that 32-bit code can have, and what the translator does with it, asked of insn_info.
 *
 *	instructions --markdown		docs/instructions.md
 *	instructions --forms		one line a form, tab-separated, for tests/coverage/report.py:
 *					BYTES MNEMONIC CLASS HANDLER FEATURE SEVENTEEN TEXT
 *
 * Forms are those of translator/opcodes.h: by prefix, opcode and the parts of ModRM that select one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/cpuid.h"
#include "monitor/x86.h"
#include "translator/insn_info.h"
#include "translator/opcodes.h"

/* One line of the document: forms of a mnemonic of which the same is to be said. */
struct line {
	ZydisMnemonic mnemonic;
	struct insn_info info;
	unsigned forms;
};

#define MAX_LINES 4096

struct dump {
	ZydisDecoder decoder;
	u8 seen[OPCODE_KEYS];
	unsigned forms[INSN_CLASS_COUNT], form_count;
	struct line lines[MAX_LINES];
	unsigned line_count;
};

static const char *const seventeen[] = {
#define X(name, m, other, category, silent, ringer) name,
	SEVENTEEN(X)
#undef X
};

/* "SSE2", "FPU, CMOV", "never", "" */
static void feature_text(u64 feature, char *text, size_t n)
{
	static const char *const names[] = {
#define X(n, name, alias, word, bit, host) name,
		CPU_FEATURES(X)
#undef X
	};
	size_t at = 0;

	text[0] = '\0';
	if (feature == ~0ull) {
		snprintf(text, n, "never");
		return;
	}
	for (unsigned k = 0; k < CPUF_COUNT && at < n; k++)
		if (feature >> k & 1)
			at += (size_t)snprintf(text + at, n - at, "%s%s", at ? " " : "", names[k]);
}

static void flags_text(u32 flags, char *text, size_t n)
{
	static const struct {
		u32 bit;
		const char *name;
	} names[] = {
		{EFLAGS_CF, "CF"}, {EFLAGS_PF, "PF"}, {EFLAGS_AF, "AF"},   {EFLAGS_ZF, "ZF"},	{EFLAGS_SF, "SF"}, {EFLAGS_TF, "TF"},
		{EFLAGS_IF, "IF"}, {EFLAGS_DF, "DF"}, {EFLAGS_OF, "OF"},   {0x1000, "IOPL"},	{EFLAGS_NT, "NT"}, {EFLAGS_RF, "RF"},
		{EFLAGS_VM, "VM"}, {EFLAGS_AC, "AC"}, {EFLAGS_VIF, "VIF"}, {EFLAGS_VIP, "VIP"}, {EFLAGS_ID, "ID"},
	};
	size_t at = 0;

	text[0] = '\0';
	for (unsigned k = 0; k < ARRAY_SIZE(names) && at < n; k++)
		if (flags & names[k].bit)
			at += (size_t)snprintf(text + at, n - at, "%s%s", at ? " " : "", names[k].name);
}

static void add_line(struct dump *d, const ZydisDecodedInstruction *in, const struct insn_info *info)
{
	for (unsigned i = 0; i < d->line_count; i++) {
		const struct insn_info *o = &d->lines[i].info;

		/* With and without REP, flags differ in what is read. */
		if (d->lines[i].mnemonic != in->mnemonic || o->class != info->class || strcmp(o->handler, info->handler) ||
		    o->feature != info->feature || o->flags_written != info->flags_written || o->flags_undefined != info->flags_undefined)
			continue;
		d->lines[i].info.flags_read |= info->flags_read;
		d->lines[i].forms++;
		return;
	}
	if (d->line_count == MAX_LINES) {
		fprintf(stderr, "instructions: more lines than there is room for\n");
		exit(2);
	}
	d->lines[d->line_count++] = (struct line){in->mnemonic, *info, 1};
}

/* True for the first form of its key. */
static bool note_form(struct dump *d, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	u32 key = opcode_key(in, ops, true);
	struct insn_info info;

	if (d->seen[key])
		return false;
	d->seen[key] = 1;
	insn_info(in, ops, &info);
	d->forms[info.class]++;
	d->form_count++;
	add_line(d, in, &info);
	return true;
}

static void collect_form(void *opaque, const struct opcode_form *f, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	(void)f;
	note_form(opaque, in, ops);
}

static void print_form(void *opaque, const struct opcode_form *f, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	struct dump *d = opaque;
	ZydisFormatter formatter;
	struct insn_info info;
	char text[96], feature[64];
	u8 bytes[16];
	unsigned n = opcode_of_key(opcode_key(in, ops, true), bytes);
	int row = insn_seventeen(in, ops);

	(void)f;
	if (!note_form(d, in, ops))
		return;
	insn_info(in, ops, &info);
	feature_text(info.feature, feature, sizeof(feature));
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterFormatInstruction(&formatter, in, ops, in->operand_count_visible, text, sizeof(text), 0, NULL);
	for (unsigned k = 0; k < n; k++)
		printf("%02x", bytes[k]);
	printf("\t%s\t%s\t%s\t%s\t%s\t%s\n", ZydisMnemonicGetString(in->mnemonic), insn_class_name(info.class), info.handler, feature,
	       row < 0 ? "" : seventeen[row], text);
}

static int by_name(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int order = strcmp(ZydisMnemonicGetString(x->mnemonic), ZydisMnemonicGetString(y->mnemonic));

	if (order)
		return order;
	if (x->info.class != y->info.class)
		return (int)x->info.class - (int)y->info.class;
	return strcmp(x->info.handler, y->info.handler);
}

static void print_seventeen(void)
{
	printf("## The seventeen\n\n"
	       "Instructions that are sensitive, and that a CPU does not trap when it runs them deprivileged (Robin and Irvine, USENIX "
	       "Security 2000),\n"
	       "so that a monitor which relied on traps would never see them. The paper counts seventeen; by mnemonic there are eighteen "
	       "lines.\n"
	       "None of them is ever re-emitted.\n\n"
	       "| instruction | category | what a deprivileged CPU would do without a word | what Ringer does |\n| --- | --- | --- | --- "
	       "|\n");
#define REGISTER				    "sensitive register"
#define PROTECTION				    "protection system"
#define X(name, m, other, category, silent, ringer) printf("| %s | %s | %s | %s |\n", name, category, silent, ringer);
	SEVENTEEN(X)
#undef X
#undef REGISTER
#undef PROTECTION
}

static void print_classes(const struct dump *d)
{
	printf("\n## Classes\n\n| class | forms | meaning |\n| --- | --- | --- |\n");
#define X(n, name, meaning) printf("| %s | %u | %s |\n", name, d->forms[INSN_##n], meaning);
	INSN_CLASSES(X)
#undef X
	printf("| all | %u | |\n", d->form_count);
}

static void print_markdown(struct dump *d)
{
	printf("# Instructions\n\n"
	       "Written by `make docs-instructions` from translator/insn_table.h, which the translator itself is made from; not to be "
	       "edited. `make check`\n"
	       "compares.\n\n"
	       "A form is an encoding without its registers, addresses and immediates: prefix, opcode, and what ModRM selects. Listed are "
	       "all forms that\n"
	       "32-bit code can have; what is encoded with VEX and the like is #UD without exception.\n\n");
	print_seventeen();
	print_classes(d);
	printf("\n## All mnemonics\n\n"
	       "Handler: `lower_*` emits code (translator/insn.c, lower_*.c, operand.c), `emu_*` is called by it (monitor/). Feature: without it in "
	       "CPUID the\n"
	       "instruction is #UD; `never`: it is not offered at all. Flags: *written* to a defined value, at least for some operands.\n\n"
	       "| mnemonic | forms | class | handler | feature | flags read | written | undefined |\n"
	       "| --- | --- | --- | --- | --- | --- | --- | --- |\n");
	qsort(d->lines, d->line_count, sizeof(d->lines[0]), by_name);
	for (unsigned i = 0; i < d->line_count; i++) {
		const struct line *l = &d->lines[i];
		char feature[64], read[96], written[96], undefined[96];

		feature_text(l->info.feature, feature, sizeof(feature));
		flags_text(l->info.flags_read, read, sizeof(read));
		flags_text(l->info.flags_written, written, sizeof(written));
		flags_text(l->info.flags_undefined, undefined, sizeof(undefined));
		printf("| %s | %u | %s | %s | %s | %s | %s | %s |\n", ZydisMnemonicGetString(l->mnemonic), l->forms,
		       insn_class_name(l->info.class), l->info.handler, feature, read, written, undefined);
	}
}

int main(int argc, char **argv)
{
	struct dump *d = calloc(1, sizeof(*d));
	bool markdown = argc == 2 && !strcmp(argv[1], "--markdown"), forms = argc == 2 && !strcmp(argv[1], "--forms");

	if (!d || (!markdown && !forms)) {
		fprintf(stderr, "usage: instructions --markdown | --forms\n");
		return 2;
	}
	opcode_decoder(&d->decoder);
	opcode_forms(&d->decoder, markdown ? collect_form : print_form, d);
	if (markdown)
		print_markdown(d);
	free(d);
	return fflush(stdout) != 0;
}
