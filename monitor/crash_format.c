/*
 * The formatter of crash reports: async-signal-safe, as snprintf is not.
 *
 * Invariant: never more than size bytes are touched, the last of them a zero byte.
 */
#include <string.h>

#include "monitor/crash.h"

struct target {
	char *p;
	size_t n, room; /* room: without the zero byte */
};

static void put(struct target *t, char c)
{
	if (t->n < t->room)
		t->p[t->n++] = c;
}

static void put_padded(struct target *t, const char *s, size_t n, unsigned width, bool left, char fill)
{
	size_t pad = width > n ? width - n : 0;

	for (size_t i = 0; !left && i < pad; i++)
		put(t, fill);
	for (size_t i = 0; i < n; i++)
		put(t, s[i]);
	for (size_t i = 0; left && i < pad; i++)
		put(t, ' ');
}

static void put_number(struct target *t, u64 value, bool negative, unsigned base, unsigned width, bool left, bool zeros)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (negative)
		digits[--at] = '-';
	put_padded(t, digits + at, sizeof(digits) - at, width, left, zeros && !left && !negative ? '0' : ' ');
}

static unsigned take_number(const char **fmt)
{
	unsigned n = 0;

	while (**fmt >= '0' && **fmt <= '9' && n < 1000)
		n = n * 10 + (unsigned)(*(*fmt)++ - '0');
	return n;
}

static void convert(struct target *t, const char **fmt, va_list *ap)
{
	bool left = false, zeros = false, wide = false, precise = false;
	unsigned width, precision = 0;
	const char *s;
	s64 d;

	for (; **fmt == '-' || **fmt == '0'; (*fmt)++)
		*(**fmt == '-' ? &left : &zeros) = true;
	width = take_number(fmt);
	if (**fmt == '.') {
		(*fmt)++;
		precise = true;
		precision = take_number(fmt);
	}
	for (; **fmt == 'l'; (*fmt)++)
		wide = true;
	switch (**fmt) {
	case 0:
		return;
	case 'c':
		put(t, (char)va_arg(*ap, int));
		break;
	case 's':
		s = va_arg(*ap, const char *);
		put_padded(t, s, precise ? strnlen(s, precision) : strlen(s), width, left, ' ');
		break;
	case 'd':
		d = wide ? va_arg(*ap, s64) : va_arg(*ap, int);
		put_number(t, d < 0 ? -(u64)d : (u64)d, d < 0, 10, width, left, zeros);
		break;
	case 'u':
	case 'x':
		put_number(t, wide ? va_arg(*ap, u64) : va_arg(*ap, unsigned), false, **fmt == 'x' ? 16 : 10, width, left, zeros);
		break;
	default:
		put(t, **fmt);
		break;
	}
	(*fmt)++;
}

size_t crash_vformat(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct target t = {buf, 0, size - 1};
	va_list copy;

	va_copy(copy, ap);
	while (*fmt) {
		if (*fmt != '%') {
			put(&t, *fmt++);
			continue;
		}
		fmt++;
		convert(&t, &fmt, &copy);
	}
	va_end(copy);
	buf[t.n] = 0;
	return t.n;
}

size_t crash_format(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	n = crash_vformat(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
