/*
 * Diagnostics and the errors that end the program.
 *
 * Invariants: a message reaches the stream in one fwrite, so lines of different threads never mix; the mask and the stream are changed
 * before there is a second thread, or while the vCPU's thread, who alone logs without vm->lock, holds it. These two are the only state
 * outside struct vm: fatal() must work where there is no machine.
 */
#include "monitor/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/crash.h"
#include "monitor/signal.h"
#include "monitor/terminal.h"
#include "monitor/trace.h"

u32 log_mask;
static FILE *log_stream; /* NULL: stderr */

static const char *const category_names[] = {
#define X(n, o, h) [LOG_##n##_BIT] = o,
	LOG_CATEGORIES(X)
#undef X
};

FILE *log_file(void)
{
	return log_stream ? log_stream : stderr;
}

/* Writes prefix + message + a newline if there is none, at once. */
static void print_line(FILE *f, const char *prefix, const char *fmt, va_list ap)
{
	char small[512], *buf = small;
	size_t prefix_len = strlen(prefix);
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return;
	if (prefix_len + (size_t)n + 2 > sizeof(small)) {
		buf = malloc(prefix_len + (size_t)n + 2);
		if (!buf)
			return;
	}
	memcpy(buf, prefix, prefix_len);
	vsnprintf(buf + prefix_len, (size_t)n + 1, fmt, ap);
	n += (int)prefix_len;
	if (n == 0 || buf[n - 1] != '\n')
		buf[n++] = '\n';
	fwrite(buf, 1, (size_t)n, f);
	if (buf != small)
		free(buf);
}

void log_print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line(log_file(), "", fmt, ap);
	va_end(ap);
}

void log_vprint(const char *fmt, va_list ap)
{
	print_line(log_file(), "", fmt, ap);
}

#define TRACE_PREFIX "trace:"

/* Whether the item of n bytes is trace:DEVICE. */
static bool is_trace(const char *item, size_t n, u64 *bit)
{
	size_t k = strlen(TRACE_PREFIX);

	return n > k && memcmp(item, TRACE_PREFIX, k) == 0 && trace_device_bit(item + k, n - k, bit);
}

bool log_parse(const char *list, u32 *mask, const char **bad)
{
	static char bad_name[64];
	u32 m = 0;

	for (;;) {
		size_t n = strcspn(list, ","), i;

		for (i = 0; i < ARRAY_SIZE(category_names); i++)
			if (strlen(category_names[i]) == n && memcmp(category_names[i], list, n) == 0)
				break;
		u64 bit;

		/* The table's "trace:DEVICE" is the help's. */
		if (i == LOG_TRACE_BIT)
			i = ARRAY_SIZE(category_names);
		if (is_trace(list, n, &bit))
			i = LOG_TRACE_BIT;
		if (i == ARRAY_SIZE(category_names)) {
			snprintf(bad_name, sizeof(bad_name), "%.*s", (int)MIN(n, sizeof(bad_name) - 1), list);
			*bad = bad_name;
			return false;
		}
		m |= BIT(i);
		if (!list[n])
			break;
		list += n + 1;
	}
	*mask = m;
	return true;
}

u64 log_parse_traces(const char *list)
{
	u64 traces = 0, bit;

	for (;;) {
		size_t n = strcspn(list, ",");

		if (is_trace(list, n, &bit))
			traces |= bit;
		if (!list[n])
			return traces;
		list += n + 1;
	}
}

/* A number in C's notation; NULL if there is none, else what follows it. */
static const char *parse_address(const char *s, u64 *x)
{
	char *end;

	if (*s < '0' || *s > '9')
		return NULL;
	errno = 0;
	*x = strtoull(s, &end, 0);
	return errno ? NULL : end;
}

bool log_parse_range(const char *s, struct log_range *r)
{
	u64 a, b, first, last;
	char kind;

	s = parse_address(s, &a);
	if (!s)
		return false;
	kind = *s;
	if (kind == '.' && s[1] != '.')
		return false;
	s = parse_address(s + (kind == '.' ? 2 : !!kind), &b);
	if (!s || *s)
		return false;
	switch (kind) {
	case '.':
		first = a;
		last = b;
		break;
	case '+':
		first = a;
		last = a + b - 1;
		break;
	case '-':
		first = a - (b - 1);
		last = a;
		break;
	default:
		return false;
	}
	if (!b && kind != '.')
		return false;
	if (first > last || last > 0xffffffffu || a > 0xffffffffu || b > 0x100000000ull)
		return false;
	*r = (struct log_range){(u32)first, (u32)last};
	return true;
}

bool log_open(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return false;
	/* By lines: what was logged just before a crash is what one wants to read. */
	setvbuf(f, NULL, _IOLBF, 64 * 1024);
	if (log_stream)
		fclose(log_stream);
	log_stream = f;
	return true;
}

_Noreturn static void die(int status, const char *prefix, const char *fmt, va_list ap)
{
	static atomic_flag dying = ATOMIC_FLAG_INIT;
	const char *file;
	char why[512];
	va_list again;

	/* A second thread that fails at the same time waits for the first one's exit. */
	while (atomic_flag_test_and_set(&dying))
		pause();
	terminal_restore();
	/* The message is why; it is cut where the report's line ends. */
	va_copy(again, ap);
	vsnprintf(why, sizeof(why), fmt, again);
	va_end(again);
	file = crash_report(why, signal_vcpu(), NULL, NULL);
	fflush(stdout);
	print_line(stderr, prefix, fmt, ap);
	if (log_stream)
		fflush(log_stream);
	crash_name(file);
	/* Not exit(): other threads still run, and what atexit handlers would free is in use. */
	_exit(status);
}

void fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	die(1, "ringer: ", fmt, ap);
}

void fatal_bug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	die(EXIT_BUG, "ringer: bug: ", fmt, ap);
}

void report(const char *fmt, ...)
{
	va_list ap;

	terminal_leave_screen();
	va_start(ap, fmt);
	print_line(stderr, "ringer: ", fmt, ap);
	va_end(ap);
}

void warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line(stderr, "ringer: warning: ", fmt, ap);
	va_end(ap);
}
