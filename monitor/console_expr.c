/*
 * Expressions of the console, with QEMU's grammar and messages; + and - bind least, behind & | ^.
 *
 * Invariant: the depth of nested parentheses and unary operators is bounded, so no line can exhaust the stack; arithmetic is modulo 2^64.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/console_internal.h"
#include "monitor/vcpu.h"

#define MAX_DEPTH 100

struct parser {
	const char *p;
	const struct vcpu *v;
	struct text *err;
	unsigned depth;
};

static bool failed(struct parser *e, const char *message)
{
	text_printf(e->err, "%s\n", message);
	return false;
}

static void skip(struct parser *e)
{
	while (isspace((unsigned char)*e->p))
		e->p++;
}

static bool expr_sum(struct parser *e, u64 *value);

/* ---- registers ---- */

enum what { GENERAL, EIP, PC, EFLAGS, CR0, CR2, CR3, CR4, SELECTOR, BASE, LIMIT };

static const struct {
	const char *name;
	enum what what;
	int n;
} registers[] = {
	{"eax", GENERAL, REG_EAX},
	{"ecx", GENERAL, REG_ECX},
	{"edx", GENERAL, REG_EDX},
	{"ebx", GENERAL, REG_EBX},
	{"esp", GENERAL, REG_ESP},
	{"sp", GENERAL, REG_ESP},
	{"ebp", GENERAL, REG_EBP},
	{"fp", GENERAL, REG_EBP},
	{"esi", GENERAL, REG_ESI},
	{"edi", GENERAL, REG_EDI},
	{"eip", EIP, 0},
	{"pc", PC, 0},
	{"eflags", EFLAGS, 0},
	{"cr0", CR0, 0},
	{"cr2", CR2, 0},
	{"cr3", CR3, 0},
	{"cr4", CR4, 0},
	{"es", SELECTOR, SEG_ES},
	{"cs", SELECTOR, SEG_CS},
	{"ss", SELECTOR, SEG_SS},
	{"ds", SELECTOR, SEG_DS},
	{"fs", SELECTOR, SEG_FS},
	{"gs", SELECTOR, SEG_GS},
	{"es.base", BASE, SEG_ES},
	{"cs.base", BASE, SEG_CS},
	{"ss.base", BASE, SEG_SS},
	{"ds.base", BASE, SEG_DS},
	{"fs.base", BASE, SEG_FS},
	{"gs.base", BASE, SEG_GS},
	{"es.limit", LIMIT, SEG_ES},
	{"cs.limit", LIMIT, SEG_CS},
	{"ss.limit", LIMIT, SEG_SS},
	{"ds.limit", LIMIT, SEG_DS},
	{"fs.limit", LIMIT, SEG_FS},
	{"gs.limit", LIMIT, SEG_GS},
};

static u32 register_value(const struct vcpu *v, enum what what, int n)
{
	switch (what) {
	case GENERAL:
		return v->regs[n];
	case EIP:
		return v->eip;
	case PC: /* linear, as QEMU has it */
		return v->eip + v->seg[SEG_CS].base;
	case EFLAGS:
		return vcpu_eflags(v);
	case CR0:
		return v->cr0;
	case CR2:
		return v->cr2;
	case CR3:
		return v->cr3;
	case CR4:
		return v->cr4;
	case SELECTOR:
		return v->seg[n].sel;
	case BASE:
		return v->seg[n].base;
	default:
		return v->seg[n].limit;
	}
}

static bool expr_register(struct parser *e, u64 *value)
{
	size_t n = 0;

	while (isalnum((unsigned char)e->p[n]) || e->p[n] == '_' || e->p[n] == '.')
		n++;
	if (!e->v)
		return failed(e, "registers cannot be used here");
	for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
		if (strlen(registers[i].name) == n && memcmp(registers[i].name, e->p, n) == 0) {
			*value = register_value(e->v, registers[i].what, registers[i].n);
			e->p += n;
			return true;
		}
	}
	return failed(e, "unknown register");
}

/* ---- the grammar ---- */

static bool expr_number(struct parser *e, u64 *value)
{
	char *end;

	errno = 0;
	*value = strtoull(e->p, &end, 0);
	if (errno == ERANGE)
		return failed(e, "number too large");
	if (end == e->p || !isdigit((unsigned char)*e->p)) {
		if (isprint((unsigned char)*e->p))
			text_printf(e->err, "invalid char '%c' in expression\n", *e->p);
		else
			text_printf(e->err, "invalid char '\\x%02x' in expression\n", (unsigned char)*e->p);
		return false;
	}
	e->p = end;
	return true;
}

static bool expr_primary(struct parser *e, u64 *value)
{
	switch (*e->p) {
	case '\0':
		return failed(e, "unexpected end of expression");
	case '(':
		e->p++;
		skip(e);
		if (!expr_sum(e, value))
			return false;
		if (*e->p != ')')
			return failed(e, "')' expected");
		e->p++;
		return true;
	case '\'':
		if (!e->p[1])
			return failed(e, "character constant expected");
		*value = (u8)e->p[1];
		if (e->p[2] != '\'')
			return failed(e, "missing terminating ' character");
		e->p += 3;
		return true;
	case '$':
		e->p++;
		return expr_register(e, value);
	default:
		return expr_number(e, value);
	}
}

static bool expr_unary(struct parser *e, u64 *value)
{
	char op = *e->p;
	bool ok;

	if (e->depth == MAX_DEPTH)
		return failed(e, "the expression is nested too deeply");
	e->depth++;
	if (op == '-' || op == '~') {
		e->p++;
		skip(e);
		ok = expr_unary(e, value);
		*value = op == '-' ? 0 - *value : ~*value;
	} else if (op == '+') {
		e->p++;
		skip(e);
		ok = expr_unary(e, value);
	} else {
		ok = expr_primary(e, value);
	}
	e->depth--;
	skip(e);
	return ok;
}

static bool expr_product(struct parser *e, u64 *value)
{
	if (!expr_unary(e, value))
		return false;
	for (;;) {
		char op = *e->p;
		u64 right;

		if (!op || !strchr("*/%", op))
			return true;
		e->p++;
		skip(e);
		if (!expr_unary(e, &right))
			return false;
		if (op == '*') {
			*value *= right;
			continue;
		}
		if (!right)
			return failed(e, "division by zero");
		/* Of signed numbers; the one quotient that does not fit is what it is modulo 2^64. */
		if (right == ~0ull)
			*value = op == '/' ? 0 - *value : 0;
		else
			*value = op == '/' ? (u64)((s64)*value / (s64)right) : (u64)((s64)*value % (s64)right);
	}
}

static bool expr_logic(struct parser *e, u64 *value)
{
	if (!expr_product(e, value))
		return false;
	for (;;) {
		char op = *e->p;
		u64 right;

		if (!op || !strchr("&|^", op))
			return true;
		e->p++;
		skip(e);
		if (!expr_product(e, &right))
			return false;
		*value = op == '&' ? *value & right : op == '|' ? *value | right : *value ^ right;
	}
}

static bool expr_sum(struct parser *e, u64 *value)
{
	if (!expr_logic(e, value))
		return false;
	for (;;) {
		char op = *e->p;
		u64 right;

		if (op != '+' && op != '-')
			return true;
		e->p++;
		skip(e);
		if (!expr_logic(e, &right))
			return false;
		*value = op == '+' ? *value + right : *value - right;
	}
}

bool console_expr(const char **p, const struct vcpu *v, s64 *value, struct text *err)
{
	struct parser e = {*p, v, err, 0};
	u64 x = 0;
	bool ok;

	skip(&e);
	ok = expr_sum(&e, &x);
	*p = e.p;
	*value = (s64)x;
	return ok;
}
