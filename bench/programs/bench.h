/*
 * What the benchmark programs share. They are one static i386 binary, which runs unchanged on the host, in Ringer and in QEMU.
 *
 * Invariants: a row's function does the same work and returns the same checksum each time it is called, wherever it runs; what it needs
 * once (data, mappings) it makes in its first call, which is never the fastest. Nothing here depends on the C library's choice of code by
 * CPUID except where the row measures the library or the kernel.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stddef.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

/* The rows, from rows.inc: one repetition, the checksum is returned. */
#define X(name, kind, ops) u32 row_##name(void);
#include "rows.inc"
#undef X

/* Where the rows may make files (a tmpfs), and the shell that they start. Set by main() before any row runs. */
struct bench_env {
	const char *dir;
	const char *busybox;
};
extern struct bench_env bench_env;

/* Ends the program with a message: a row that cannot run prints no figure. */
void bench_fail(const char *what) __attribute__((noreturn));

/* Fills n bytes with text that compresses like text: words of a small vocabulary by a fixed generator. */
void bench_text(u8 *p, u32 n);

/* Makes dir/name out of bench_text() with n bytes, unless it is there; the path is the caller's to keep, never freed. */
const char *bench_file(const char *name, u32 n);

/* Runs `busybox sh -c script` to its end, its output in dir/out, whose CRC-32 is returned. */
u32 bench_script(const char *script);

u32 bench_crc32(u32 crc, const void *data, u32 n);

/* Keeps the compiler from knowing a value. */
#define OPAQUE(x) asm volatile("" : "+g"(x))

static inline u32 bench_random(u32 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

#endif
