/*
 * Names of guest addresses, out of files that the user gives: System.map, a copy of /proc/kallsyms, or a 32-bit ELF file. For profiles.
 * Loaded at start-up, never changed: any thread may look up.
 */
#ifndef RINGER_SYMBOLS_H
#define RINGER_SYMBOLS_H

#include "monitor/types.h"

struct vm;
struct symbols;

/* NULL, with a message of at most n bytes in err: the file cannot be read, or has no symbols of code. */
struct symbols *symbols_load(const char *path, char *err, size_t n);
void symbols_free(struct symbols *s);
/* The symbol that `linear` belongs to and how far behind it, or NULL. s may be NULL. */
const char *symbols_find(const struct symbols *s, u32 linear, u32 *offset);

/* -kernel-symbols and -user-symbols: vm->symbols. A mistake ends in fatal(). */
void symbols_open(struct vm *vm);
void symbols_close(struct vm *vm);
/* "schedule+0x1c", or without a symbol "guest 0xc0101234 (cpl0)". The kernel's symbols count below CPL 3, the user's at CPL 3. */
void symbols_name(const struct vm *vm, u32 linear, unsigned cpl, char *text, size_t n);

#endif
