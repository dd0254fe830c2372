/*
 * What the console shows of memory and ports: x, xp, print, i, o; formats and the disassembler.
 *
 * Invariants: memory is read through the guest's page tables as they are, without touching A and D, and only where it is memory: a device's
 * registers do not notice. A dump ends at the first line that is not all memory.
 */
#include <Zydis/Zydis.h>
#include <ctype.h>
#include <string.h>

#include "monitor/console_internal.h"
#include "monitor/io.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"
#include "shadowpt/walk.h"

#define MAX_COUNT      0x100000u
#define INSN_MAX       15
#define CANNOT_READ    "Cannot access memory\n"
#define LINE_MAX_BYTES 16

/* ---- formats ---- */

bool console_parse_format(const char **p, struct console_format *last, struct console_format *f, struct text *err)
{
	const char *s = *p;

	*f = (struct console_format){1, 0, -1};
	if (*s != '/') {
		*f = (struct console_format){1, last->format, last->format == 'i' ? -1 : last->size};
		return true;
	}
	s++;
	if (isdigit((unsigned char)*s))
		for (f->count = 0; isdigit((unsigned char)*s); s++)
			f->count = MIN(f->count * 10 + (u32)(*s - '0'), MAX_COUNT + 1);
	for (; *s && !isspace((unsigned char)*s); s++) {
		static const char sizes[] = "bhwgL";
		const char *size = strchr(sizes, *s);

		if (strchr("odxuic", *s)) {
			f->format = *s;
		} else if (size) {
			f->size = *size == 'L' ? 8 : 1 << (size - sizes);
		} else {
			text_printf(err, "invalid char in format: '%c'\n", *s);
			return false;
		}
	}
	*p = s;
	if (f->count > MAX_COUNT) {
		text_printf(err, "the count is larger than %u\n", MAX_COUNT);
		return false;
	}
	if (!f->format)
		f->format = last->format;
	if (f->format != 'i') {
		if (f->size < 0)
			f->size = last->size;
		last->size = f->size;
	}
	last->format = f->format;
	return true;
}

static void print_char(struct text *out, int c)
{
	switch (c) {
	case '\'':
	case '\\':
		text_printf(out, "'\\%c'", c);
		break;
	case '\n':
		text_printf(out, "'\\n'");
		break;
	case '\r':
		text_printf(out, "'\\r'");
		break;
	default:
		text_printf(out, c >= 32 && c <= 126 ? "'%c'" : "'\\x%02x'", c);
		break;
	}
}

void console_print_value(struct text *out, char format, s64 value)
{
	switch (format) {
	case 'o':
		text_printf(out, "%#llo", (unsigned long long)value);
		break;
	case 'u':
		text_printf(out, "%llu", (unsigned long long)value);
		break;
	case 'd':
		text_printf(out, "%lld", (long long)value);
		break;
	case 'c':
		print_char(out, (u8)value);
		break;
	default:
		text_printf(out, "%#llx", (unsigned long long)value);
		break;
	}
	text_add(out, "\n", 1);
}

/* ---- memory ---- */

bool console_read(const struct vcpu *v, bool physical, u64 address, void *buf, size_t n)
{
	u8 *to = buf;

	while (n) {
		size_t k = MIN(n, PAGE_SIZE - (address & PAGE_MASK));
		u64 pa = address;
		const u8 *from;

		/* walk_peek changes nothing; it takes what it may not change in other uses. */
		if (!physical && !walk_peek((struct vcpu *)v, (u32)address, &pa))
			return false;
		from = ram_ptr(&v->vm->mem, pa);
		if (!from)
			return false;
		memcpy(to, from, k);
		to += k;
		address += k;
		n -= k;
	}
	return true;
}

/* A linear address wraps at 4 GiB. */
static u64 advance(bool physical, u64 address, u64 n)
{
	return physical ? address + n : (u32)(address + n);
}

static void disassemble(const struct vcpu *v, bool physical, u64 address, u32 count, struct text *out)
{
	bool wide = v->seg[SEG_CS].attr & SEG_DB && !(v->sysflags & EFLAGS_VM);
	ZydisDecoder decoder;
	ZydisFormatter formatter;

	ZydisDecoderInit(&decoder, wide ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
			 wide ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
	ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
	while (count--) {
		ZydisDecodedInstruction insn;
		ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
		char line[160] = "(bad)";
		u8 bytes[INSN_MAX];
		size_t n = 0, used = 1;

		while (n < sizeof(bytes) && console_read(v, physical, advance(physical, address, n), bytes + n, 1))
			n++;
		if (!n) {
			text_printf(out, CANNOT_READ);
			return;
		}
		if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, &insn, operands))) {
			used = insn.length;
			ZydisFormatterFormatInstruction(&formatter, &insn, operands, insn.operand_count_visible, line, sizeof(line),
							address, NULL);
		}
		text_printf(out, "0x%08llx:  ", (unsigned long long)address);
		for (size_t i = 0; i < MAX(used, 8); i++)
			text_printf(out, i < used ? "%02x " : "   ", bytes[MIN(i, used - 1)]);
		text_printf(out, " %s\n", line);
		address = advance(physical, address, used);
	}
}

/* The width that the largest value of so many bytes has in the format. */
static int digits(char format, int size)
{
	switch (format) {
	case 'o':
		return (size * 8 + 2) / 3;
	case 'x':
		return size * 2;
	case 'c':
		return 0;
	default:
		return (size * 8 * 10 + 32) / 33;
	}
}

static void dump_line(const u8 *bytes, u32 n, const struct console_format *f, int size, struct text *out)
{
	int width = digits(f->format, size), shift = 64 - 8 * size;

	for (u32 i = 0; i < n; i += (u32)size) {
		u64 value = 0;

		memcpy(&value, bytes + i, (size_t)size);
		text_add(out, " ", 1);
		if (f->format == 'o')
			text_printf(out, "%#*llo", width, (unsigned long long)value);
		else if (f->format == 'x')
			text_printf(out, "0x%0*llx", width, (unsigned long long)value);
		else if (f->format == 'u')
			text_printf(out, "%*llu", width, (unsigned long long)value);
		else if (f->format == 'd')
			text_printf(out, "%*lld", width, (long long)((s64)(value << shift) >> shift));
		else
			print_char(out, (u8)value);
	}
	text_add(out, "\n", 1);
}

void console_dump(const struct vcpu *v, bool physical, u64 address, const struct console_format *f, struct text *out)
{
	int size = f->format == 'c' ? 1 : f->size;
	u64 left = (u64)f->count * (u64)MAX(size, 1);
	u32 per_line = size == 1 ? 8 : LINE_MAX_BYTES;
	u8 bytes[LINE_MAX_BYTES];

	if (!physical)
		address = (u32)address;
	if (f->format == 'i') {
		disassemble(v, physical, address, f->count, out);
		return;
	}
	while (left) {
		u32 n = (u32)MIN(left, per_line);

		text_printf(out, physical ? "%016llx:" : "%08llx:", (unsigned long long)address);
		for (u32 i = 0; i < n; i++) {
			if (!console_read(v, physical, advance(physical, address, i), bytes + i, 1)) {
				text_printf(out, " " CANNOT_READ);
				return;
			}
		}
		dump_line(bytes, n, f, size, out);
		address = advance(physical, address, n);
		left -= n;
	}
}

/* ---- commands ---- */

static void dump(struct console_call *c, bool physical)
{
	struct console_format f;
	s64 address;

	if (console_parse_format(&c->p, &console_of(c->vm)->last, &f, &c->out) && console_number(c, "address", &address) && console_end(c))
		console_dump(c->vm->vcpu, physical, (u64)address, &f, &c->out);
}

static void cmd_x(struct console_call *c)
{
	dump(c, false);
}

static void cmd_xp(struct console_call *c)
{
	dump(c, true);
}

static void cmd_print(struct console_call *c)
{
	struct console_format f;
	s64 value;

	if (!console_parse_format(&c->p, &console_of(c->vm)->last, &f, &c->out) || !console_number(c, "expression", &value) ||
	    !console_end(c))
		return;
	console_print_value(&c->out, f.format, value);
}

/* The size and the port of i and o. */
static bool port_of(struct console_call *c, unsigned *size, u16 *port)
{
	struct console_format last = {1, 'x', 1}, f;
	s64 value;

	if (!console_parse_format(&c->p, &last, &f, &c->out) || !console_number(c, "address", &value))
		return false;
	if (f.size == 8 || f.size < 1) {
		console_printf(c, "%s: a port is read or written by 1, 2 or 4 bytes\n", c->cmd->name);
		return false;
	}
	*size = (unsigned)f.size;
	*port = (u16)value;
	return true;
}

static void cmd_in(struct console_call *c)
{
	s64 index;
	unsigned size;
	u32 value;
	u16 port;

	if (!port_of(c, &size, &port))
		return;
	/* A register behind an index register, as QEMU has it. */
	if (console_more(c)) {
		if (!console_number(c, "index", &index) || !console_end(c))
			return;
		pthread_mutex_unlock(&c->vm->lock);
		io_write(c->vm, port++, (u8)index, 1);
	} else {
		pthread_mutex_unlock(&c->vm->lock);
	}
	value = io_read(c->vm, port, size);
	pthread_mutex_lock(&c->vm->lock);
	console_printf(c, "port%c[0x%04x] = 0x%0*x\n", size == 1 ? 'b' : size == 2 ? 'w' : 'l', port, (int)size * 2, value);
}

static void cmd_out(struct console_call *c)
{
	unsigned size;
	s64 value;
	u16 port;

	if (!port_of(c, &size, &port) || !console_number(c, "value", &value) || !console_end(c))
		return;
	pthread_mutex_unlock(&c->vm->lock);
	io_write(c->vm, port, (u32)value, size);
	pthread_mutex_lock(&c->vm->lock);
}

const struct console_cmd console_memory_commands[] = {
	{"x", "/FMT ADDRESS", "linear memory dump starting at ADDRESS; FMT: count, x d u o c i, b h w g", CONSOLE_ON_VCPU, cmd_x, NULL},
	{"xp", "/FMT ADDRESS", "physical memory dump starting at ADDRESS", CONSOLE_ON_VCPU, cmd_xp, NULL},
	{"print|p", "/FMT EXPR", "print the value of an expression; $REG stands for a CPU register", CONSOLE_ON_VCPU, cmd_print, NULL},
	{"i", "/FMT ADDRESS [INDEX]", "read an I/O port; FMT: b h w", CONSOLE_ON_VCPU, cmd_in, NULL},
	{"o", "/FMT ADDRESS VALUE", "write an I/O port", CONSOLE_ON_VCPU, cmd_out, NULL},
	{0},
};
