/*
 * For code that ends the program when a user has got something wrong: fatal() and exit() end the input instead, and what was allocated
 * until then is freed, so that a fuzzer may run for days.
 *
 * The linker sends Ringer's calls of the functions below here (--wrap, tests/fuzz/fuzz.mk). Invariants: every fatal() message is one line
 * that says something; an input that ends without one has freed what it allocated. One thread.
 */
#ifndef RINGER_FUZZ_CATCH_H
#define RINGER_FUZZ_CATCH_H

#include <setjmp.h>
#include <stdarg.h>

#include "monitor/log.h"
#include "tests/fuzz/fuzz.h"

static struct {
	jmp_buf env;
	bool active;
	char message[8192]; /* of fatal(), or empty */
	void **blocks;
	size_t count, room;
} caught;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
_Noreturn void __real_exit(int status);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
int __wrap_asprintf(char **s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void __wrap_exit(int status);
_Noreturn void __wrap_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void __wrap_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- memory ---- */

static void *caught_add(void *p)
{
	if (!p || !caught.active)
		return p;
	if (caught.count == caught.room) {
		caught.room = caught.room ? caught.room * 2 : 64;
		caught.blocks = __real_realloc(caught.blocks, caught.room * sizeof(*caught.blocks));
	}
	caught.blocks[caught.count++] = p;
	return p;
}

static void caught_remove(void *p)
{
	for (size_t i = caught.count; i-- > 0;) {
		if (caught.blocks[i] == p) {
			caught.blocks[i] = caught.blocks[--caught.count];
			return;
		}
	}
}

void *__wrap_malloc(size_t n)
{
	return caught_add(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return caught_add(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
	caught_remove(p);
	return caught_add(__real_realloc(p, n));
}

void __wrap_free(void *p)
{
	caught_remove(p);
	__real_free(p);
}

char *__wrap_strdup(const char *s)
{
	return caught_add(__real_strdup(s));
}

char *__wrap_strndup(const char *s, size_t n)
{
	return caught_add(__real_strndup(s, n));
}

int __wrap_asprintf(char **s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(s, fmt, ap);
	va_end(ap);
	if (n >= 0)
		caught_add(*s);
	return n;
}

/* ---- the end ---- */

static void caught_format(const char *fmt, va_list ap)
{
	int n = vsnprintf(caught.message, sizeof(caught.message), fmt, ap);

	REQUIRE(n > 0 && !strpbrk(caught.message, "\n"), "a message of no or many lines: '%s'", caught.message);
}

void __wrap_fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	caught_format(fmt, ap);
	va_end(ap);
	if (!caught.active) {
		fprintf(stderr, "%s\n", caught.message);
		abort();
	}
	longjmp(caught.env, 1);
}

void __wrap_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	caught_format(fmt, ap);
	va_end(ap);
	caught.message[0] = '\0';
}

void __wrap_exit(int status)
{
	if (!caught.active)
		__real_exit(status);
	REQUIRE(status == 0, "exit status %d", status);
	longjmp(caught.env, 1);
}

static void caught_end(void)
{
	caught.active = false;
	while (caught.count)
		__real_free(caught.blocks[--caught.count]);
}

/*
 * Runs a statement; true if it came to its end, false if it ended in exit() or, with a message, in fatal(). Locals that it changes must be
 * static or volatile.
 */
#define RUNS(statement)                                                                                                                    \
	({                                                                                                                                 \
		bool done_ = false;                                                                                                        \
		caught.message[0] = '\0';                                                                                                  \
		caught.active = true;                                                                                                      \
		if (!setjmp(caught.env)) {                                                                                                 \
			statement;                                                                                                         \
			done_ = true;                                                                                                      \
			REQUIRE(!caught.count, "%zu blocks of memory are left", caught.count);                                             \
		}                                                                                                                          \
		caught_end();                                                                                                              \
		done_;                                                                                                                     \
	})

#endif
