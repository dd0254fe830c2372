/* Text that grows as it is printed, up to TEXT_MAX bytes; what is beyond is left out, and a last line says so. */
#ifndef RINGER_TEXT_H
#define RINGER_TEXT_H

#include <stdarg.h>

#include "monitor/types.h"

#define TEXT_MAX (16u << 20)

/* All zeros: empty. `p` ends in a zero byte, or is NULL. */
struct text {
	char *p;
	size_t len, size;
	bool cut;
};

void text_add(struct text *t, const char *s, size_t n);
void text_vprintf(struct text *t, const char *fmt, va_list ap);
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The first n bytes are not wanted any more. */
void text_drop(struct text *t, size_t n);
/* Empty again; its memory is given back. */
void text_free(struct text *t);

#endif
