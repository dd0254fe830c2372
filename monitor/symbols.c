/*
 * Symbol files (see symbols.h).
 *
 * Invariants: entries ascend by address, names lie in the file's own text, which is kept; of several names of an address the first in the
 * file stays. What an ELF file says of offsets and sizes is checked before it is followed.
 */
#include "monitor/symbols.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"
#include "monitor/vm.h"

/* A symbol without a size is taken to end here at the latest. */
#define MAX_SPAN 0x10000u

struct symbol {
	u32 address, size; /* size 0: unknown */
	const char *name;
	u32 order;
};

struct symbols {
	char *text; /* the file, and a zero byte */
	size_t size;
	struct symbol *entry;
	size_t count, room;
};

static bool add(struct symbols *s, u32 address, u32 size, const char *name)
{
	if (s->count == s->room) {
		size_t room = s->room ? s->room * 2 : 1024;
		struct symbol *p = realloc(s->entry, room * sizeof(*p));

		if (!p)
			return false;
		s->entry = p;
		s->room = room;
	}
	s->entry[s->count] = (struct symbol){address, size, name, (u32)s->count};
	s->count++;
	return true;
}

static bool read_file(struct symbols *s, const char *path)
{
	FILE *f = fopen(path, "re");
	size_t room = 0, n;

	if (!f)
		return false;
	do {
		if (s->size + 1 >= room) {
			char *p = realloc(s->text, room = room ? room * 2 : 1 << 20);

			if (!p) {
				errno = ENOMEM;
				break;
			}
			s->text = p;
		}
		n = fread(s->text + s->size, 1, room - s->size - 1, f);
		s->size += n;
	} while (n);
	n = s->text && feof(f);
	fclose(f);
	if (!n)
		return false;
	s->text[s->size] = '\0';
	return true;
}

/* Lines "c1000000 T name [module]"; others are none of ours. Words are cut out in place. */
static bool parse_text(struct symbols *s)
{
	for (char *line = s->text, *next; *line; line = next) {
		unsigned long long address;
		size_t n = strcspn(line, "\n");
		char type, *name;
		int used = 0;

		next = line + n + (line[n] == '\n');
		line[n] = '\0';
		if (sscanf(line, "%16llx %c %n", &address, &type, &used) < 2 || !used || !strchr("tTwW", type) || address > 0xffffffffu)
			continue;
		name = line + used;
		name[strcspn(name, " \t\r")] = '\0';
		if (*name && address && !add(s, (u32)address, 0, name))
			return false;
	}
	return true;
}

/* Whether `count` records of `each` bytes lie in the file at `offset`. */
static bool in_file(const struct symbols *s, u64 offset, u64 count, u64 each)
{
	return offset <= s->size && count * each <= s->size - offset;
}

static bool add_elf(struct symbols *s, const Elf32_Ehdr *h, const Elf32_Shdr *sh, const Elf32_Shdr *table)
{
	const Elf32_Shdr *strings;

	if (table->sh_link >= h->e_shnum || !in_file(s, table->sh_offset, table->sh_size, 1))
		return true;
	strings = &sh[table->sh_link];
	if (!in_file(s, strings->sh_offset, strings->sh_size, 1) || !strings->sh_size)
		return true;
	/* The last name ends with its section. */
	if (s->text[strings->sh_offset + strings->sh_size - 1])
		return true;
	for (u32 i = 0; i < table->sh_size / sizeof(Elf32_Sym); i++) {
		Elf32_Sym y;
		unsigned type;

		memcpy(&y, s->text + table->sh_offset + i * sizeof(y), sizeof(y));
		type = ELF32_ST_TYPE(y.st_info);
		if ((type != STT_FUNC && type != STT_NOTYPE) || !y.st_shndx || y.st_shndx >= h->e_shnum ||
		    !(sh[y.st_shndx].sh_flags & SHF_EXECINSTR) || y.st_name >= strings->sh_size || !s->text[strings->sh_offset + y.st_name])
			continue;
		if (!add(s, y.st_value, y.st_size, s->text + strings->sh_offset + y.st_name))
			return false;
	}
	return true;
}

static bool parse_elf(struct symbols *s)
{
	Elf32_Shdr *sh;
	Elf32_Ehdr h;
	bool good = true;

	if (s->size < sizeof(h))
		return true;
	memcpy(&h, s->text, sizeof(h));
	if (h.e_ident[EI_CLASS] != ELFCLASS32 || h.e_shentsize != sizeof(*sh) || !in_file(s, h.e_shoff, h.e_shnum, sizeof(*sh)))
		return true;
	sh = malloc((size_t)h.e_shnum * sizeof(*sh) + 1);
	if (!sh)
		return false;
	memcpy(sh, s->text + h.e_shoff, (size_t)h.e_shnum * sizeof(*sh));
	for (u32 i = 0; good && i < h.e_shnum; i++)
		if (sh[i].sh_type == SHT_SYMTAB || sh[i].sh_type == SHT_DYNSYM)
			good = add_elf(s, &h, sh, &sh[i]);
	free(sh);
	return good;
}

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

struct symbols *symbols_load(const char *path, char *err, size_t n)
{
	struct symbols *s = calloc(1, sizeof(*s));
	size_t kept = 0;
	bool good;

	if (!s || !read_file(s, path)) {
		snprintf(err, n, "%s", strerror(errno));
		symbols_free(s);
		return NULL;
	}
	good = s->size >= SELFMAG && memcmp(s->text, ELFMAG, SELFMAG) == 0 ? parse_elf(s) : parse_text(s);
	if (!good || !s->count) {
		snprintf(err, n, good ? "has no symbols of code: System.map, kallsyms or a 32-bit ELF file is wanted" : "out of memory");
		symbols_free(s);
		return NULL;
	}
	qsort(s->entry, s->count, sizeof(*s->entry), by_address);
	for (size_t i = 0; i < s->count; i++)
		if (!i || s->entry[i].address != s->entry[kept - 1].address)
			s->entry[kept++] = s->entry[i];
	s->count = kept;
	return s;
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	free(s->entry);
	free(s->text);
	free(s);
}

const char *symbols_find(const struct symbols *s, u32 linear, u32 *offset)
{
	size_t lo = 0, hi = s ? s->count : 0;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->entry[mid].address <= linear)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return NULL;
	*offset = linear - s->entry[lo - 1].address;
	return *offset < (s->entry[lo - 1].size ? s->entry[lo - 1].size : MAX_SPAN) ? s->entry[lo - 1].name : NULL;
}

static struct symbols *open_one(const char *path)
{
	struct symbols *s;
	char err[128];

	if (!path)
		return NULL;
	s = symbols_load(path, err, sizeof(err));
	if (!s)
		fatal("%s: %s", path, err);
	return s;
}

void symbols_open(struct vm *vm)
{
	vm->symbols[0] = open_one(vm->opt.kernel_symbols);
	vm->symbols[1] = open_one(vm->opt.user_symbols);
}

void symbols_close(struct vm *vm)
{
	symbols_free(vm->symbols[0]);
	symbols_free(vm->symbols[1]);
	vm->symbols[0] = vm->symbols[1] = NULL;
}

void symbols_name(const struct vm *vm, u32 linear, unsigned cpl, char *text, size_t n)
{
	u32 offset;
	const char *name = symbols_find(vm->symbols[cpl == 3], linear, &offset);

	if (!name)
		snprintf(text, n, "guest 0x%08x (cpl%u)", linear, cpl);
	else if (offset)
		snprintf(text, n, "%s+%#x", name, offset);
	else
		snprintf(text, n, "%s", name);
}
