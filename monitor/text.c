/* Text that grows. Invariants: len < size unless p is NULL; len stays below TEXT_MAX and the line that says that text was left out. */
#include "monitor/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char cut_off[] = "\n(cut off)\n";

static bool reserve(struct text *t, size_t n)
{
	size_t size = MAX(t->size, 256);
	char *p;

	if (t->len + n < t->size)
		return true;
	while (size <= t->len + n)
		size *= 2;
	p = realloc(t->p, size);
	if (!p)
		return false;
	t->p = p;
	t->size = size;
	return true;
}

static void append(struct text *t, const char *s, size_t n)
{
	memcpy(t->p + t->len, s, n);
	t->len += n;
	t->p[t->len] = '\0';
}

void text_add(struct text *t, const char *s, size_t n)
{
	if (t->cut || !n)
		return;
	if (n >= TEXT_MAX || t->len + n > TEXT_MAX || !reserve(t, n)) {
		t->cut = true;
		if (reserve(t, sizeof(cut_off)))
			append(t, cut_off, sizeof(cut_off) - 1);
		return;
	}
	append(t, s, n);
}

void text_vprintf(struct text *t, const char *fmt, va_list ap)
{
	char small[256], *big;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, again);
	va_end(again);
	if (n < 0)
		return;
	if ((size_t)n < sizeof(small)) {
		text_add(t, small, (size_t)n);
		return;
	}
	big = malloc((size_t)n + 1);
	if (!big)
		return;
	vsnprintf(big, (size_t)n + 1, fmt, ap);
	text_add(t, big, (size_t)n);
	free(big);
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_vprintf(t, fmt, ap);
	va_end(ap);
}

void text_drop(struct text *t, size_t n)
{
	if (n >= t->len) {
		text_free(t);
		return;
	}
	memmove(t->p, t->p + n, t->len - n + 1);
	t->len -= n;
}

void text_free(struct text *t)
{
	free(t->p);
	*t = (struct text){0};
}
