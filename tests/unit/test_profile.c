/* Symbols, what perf is told of translated code, and the built-in profile. */
#include "tests/unit/vm_harness.h"

#include <elf.h>
#include <stdio.h>
#include <unistd.h>

#include "cache/tc.h"
#include "monitor/perf.h"
#include "monitor/profile.h"
#include "monitor/symbols.h"
#include "translator/translate.h"

#define CODE 0x20000u

/* ---- symbols ---- */

static char path[64];

static const char *write_file(const void *bytes, size_t n)
{
	snprintf(path, sizeof(path), "/tmp/ringer-test-profile.%d", (int)getpid());
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
	fclose(f);
	return path;
}

static struct symbols *load(const void *bytes, size_t n, char *err)
{
	struct symbols *s = symbols_load(write_file(bytes, n), err, 128);

	unlink(path);
	return s;
}

static void found(const struct symbols *s, u32 at, const char *name, u32 offset)
{
	u32 off = 0;
	const char *is = symbols_find(s, at, &off);

	if (!name) {
		ck_assert_msg(!is, "%#x: %s", at, is);
		return;
	}
	ck_assert_msg(is && strcmp(is, name) == 0 && off == offset, "%#x: %s+%#x, not %s+%#x", at, is ? is : "nothing", off, name, offset);
}

START_TEST(text)
{
	static const char map[] = "c1000000 T _text\n"
				  "c1000000 T startup_32\n"
				  "00000000 A absolute\n"
				  "not a line of symbols\n"
				  "c1002000 t later\n"
				  "c1001000 t earlier\t[module]\n"
				  "c1003000 D data\n"
				  "ffffffffc0000000 T beyond\n"
				  "c1004000 W weak";
	char err[128];
	struct symbols *s = load(map, sizeof(map) - 1, err);

	ck_assert_ptr_nonnull(s);
	found(s, 0xc0ffffff, NULL, 0);
	found(s, 0xc1000000, "_text", 0);
	found(s, 0xc1000fff, "_text", 0xfff);
	found(s, 0xc1001000, "earlier", 0);
	found(s, 0xc1002010, "later", 0x10);
	found(s, 0xc1003010, "later", 0x1010);
	found(s, 0xc1004000, "weak", 0);
	found(s, 0xc1013fff, "weak", 0xffff);
	found(s, 0xc1014000, NULL, 0); /* no symbol is so long */
	found(NULL, 0xc1000000, NULL, 0);
	symbols_free(s);
	ck_assert_ptr_null(load("c1000000 D data\n", 16, err));
	ck_assert_ptr_nonnull(strstr(err, "no symbols"));
	ck_assert_ptr_null(load("", 0, err));
	ck_assert_ptr_null(symbols_load("/nonexistent/file", err, sizeof(err)));
	ck_assert_ptr_nonnull(strstr(err, "No such file"));
}
END_TEST

/* An ELF file of one code section and a symbol table. */
struct elf {
	Elf32_Ehdr h;
	Elf32_Shdr sh[4];
	Elf32_Sym sym[4];
	char names[16];
};

static void make_elf(struct elf *e)
{
	memset(e, 0, sizeof(*e));
	memcpy(e->h.e_ident, ELFMAG, SELFMAG);
	e->h.e_ident[EI_CLASS] = ELFCLASS32;
	e->h.e_shoff = offsetof(struct elf, sh);
	e->h.e_shnum = 4;
	e->h.e_shentsize = sizeof(Elf32_Shdr);
	e->sh[1].sh_flags = SHF_EXECINSTR;
	e->sh[2] = (Elf32_Shdr){.sh_type = SHT_SYMTAB, .sh_offset = offsetof(struct elf, sym), .sh_size = sizeof(e->sym), .sh_link = 3};
	e->sh[3] = (Elf32_Shdr){.sh_type = SHT_STRTAB, .sh_offset = offsetof(struct elf, names), .sh_size = sizeof(e->names)};
	memcpy(e->names, "\0main\0data\0end", 15);
	e->sym[1] = (Elf32_Sym){.st_name = 1, .st_value = 0x8048000, .st_size = 16, .st_info = STT_FUNC, .st_shndx = 1};
	e->sym[2] = (Elf32_Sym){.st_name = 6, .st_value = 0x8048004, .st_size = 16, .st_info = STT_OBJECT, .st_shndx = 1};
	e->sym[3] = (Elf32_Sym){.st_name = 11, .st_value = 0x8048020, .st_info = STT_NOTYPE, .st_shndx = 1};
}

START_TEST(elf)
{
	struct elf e;
	char err[128];
	struct symbols *s;

	make_elf(&e);
	s = load(&e, sizeof(e), err);
	ck_assert_ptr_nonnull(s);
	found(s, 0x8048000, "main", 0);
	found(s, 0x804800f, "main", 15);
	found(s, 0x8048010, NULL, 0);
	found(s, 0x8048021, "end", 1);
	symbols_free(s);
}
END_TEST

/* Nothing in a file leads out of it. */
START_TEST(broken_elf)
{
	char err[128];
	struct elf e;

	for (size_t at = 0; at < sizeof(e); at++) {
		for (int bad = 0; bad < 2; bad++) {
			make_elf(&e);
			((u8 *)&e)[at] = bad ? 0xff : 0x7f;
			symbols_free(load(&e, sizeof(e), err));
		}
		make_elf(&e);
		symbols_free(load(&e, at, err));
	}
	make_elf(&e);
	e.h.e_ident[EI_CLASS] = ELFCLASS64;
	ck_assert_ptr_null(load(&e, sizeof(e), err));
	make_elf(&e);
	e.names[15] = 'x';
	ck_assert_ptr_null(load(&e, sizeof(e), err));
}
END_TEST

/* ---- perf ---- */

static struct tu *make(u32 eip)
{
	static struct tu *tu;

	v->eip = eip;
	cpu_set_mode();
	ck_assert_int_eq(CATCH(tu = translate(v, eip)), -1);
	return tu;
}

/* The map's lines, and the file itself gone. */
static const char *map_text(void)
{
	static char all[4096];
	char name[64];
	FILE *f;
	size_t n;

	snprintf(name, sizeof(name), "/tmp/perf-%d.map", (int)getpid());
	f = fopen(name, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(all, 1, sizeof(all) - 1, f);
	all[n] = '\0';
	fclose(f);
	return all;
}

START_TEST(perf_map)
{
	static const char map[] = "00020000 T start\n";
	char want[256], name[64], err[128];
	const struct tu *a, *b;

	machine_create();
	vm->opt.perfmap = true;
	vm->symbols[0] = load(map, sizeof(map) - 1, err);
	perf_open(v);
	PUT(CODE, 0x90, 0xc3, 0x90, 0x90, 0xc3);
	a = make(CODE);
	b = make(CODE + 2);
	snprintf(want, sizeof(want), "%x %x start\n%x %x start+0x2\n", a->head, a->end - a->head, b->head, b->end - b->head);
	ck_assert_str_eq(map_text(), want);
	/* The space is used again: only what is there now is named. CPL 3 has symbols of its own. */
	tc_flush(v);
	ck_assert_str_eq(map_text(), "");
	cpu_flat(3);
	a = make(CODE);
	snprintf(want, sizeof(want), "%x %x guest 0x00020000 (cpl3)\n", a->head, a->end - a->head);
	ck_assert_str_eq(map_text(), want);
	snprintf(name, sizeof(name), "/tmp/perf-%d.map", (int)getpid());
	symbols_close(vm);
	machine_destroy();
	ck_assert_str_eq(map_text(), want);
	unlink(name);
}
END_TEST

START_TEST(jit_dump)
{
	char name[64];
	u8 all[4096];
	struct tu copy;

	ck_assert_int_eq(chdir("/tmp"), 0);
	machine_create();
	vm->opt.jitdump = true;
	perf_open(v);
	PUT(CODE, 0x90, 0xc3);
	copy = *make(CODE);
	u32 size = copy.end - copy.head;
	u8 code[1024];
	memcpy(code, (const void *)(u64)copy.head, size);
	machine_destroy();
	snprintf(name, sizeof(name), "jit-%d.dump", (int)getpid());
	FILE *f = fopen(name, "r");
	ck_assert_ptr_nonnull(f);
	size_t n = fread(all, 1, sizeof(all), f);
	fclose(f);
	unlink(name);
	const u32 *w = (const u32 *)all;
	static const char symbol[] = "guest 0x00020000 (cpl0)";
	/* Header of 40 bytes: magic, version, size, machine; one load of 56 bytes, name and code; the end. */
	ck_assert_uint_eq(w[0], 0x4a695444);
	ck_assert_uint_eq(w[1], 1);
	ck_assert_uint_eq(w[2], 40);
	ck_assert_uint_eq(w[3], EM_X86_64);
	ck_assert_uint_eq(w[5], (u32)getpid());
	ck_assert_uint_eq(w[10], 0);
	ck_assert_uint_eq(w[11], 56 + sizeof(symbol) + size);
	ck_assert_uint_eq(*(const u64 *)(all + 40 + 24), copy.head);
	ck_assert_uint_eq(*(const u64 *)(all + 40 + 40), size);
	ck_assert_str_eq((const char *)all + 96, symbol);
	ck_assert_mem_eq(all + 96 + sizeof(symbol), code, size);
	ck_assert_uint_eq(n, 96 + sizeof(symbol) + size + 16);
	ck_assert_uint_eq(*(const u32 *)(all + n - 16), 3);
}
END_TEST

/* ---- the profile ---- */

static char printed[65536];

static void collect(void *opaque, const char *part)
{
	(void)opaque;
	ck_assert_uint_lt(strlen(printed) + strlen(part), sizeof(printed));
	strcat(printed, part);
}

START_TEST(profile)
{
	unsigned long long samples;

	machine_create();
	profile_print(vm, collect, NULL);
	ck_assert_str_eq(printed, "profile: none has been started\n");
	/* mov ecx, 600000000 ; loop to itself ; ud2 */
	PUT(CODE, 0xb9, 0, 0x46, 0xc3, 0x23, 0x49, 0x75, 0xfd, 0x0f, 0x0b);
	ck_assert_int_eq(profile_start(vm), 0);
	ck_assert(profile_is_on(vm));
	v->eip = CODE;
	ck_assert_int_eq(vm_run().vector, EXC_UD);
	profile_stop(vm);
	ck_assert(!profile_is_on(vm));
	printed[0] = '\0';
	profile_print(vm, collect, NULL);
	ck_assert_int_eq(sscanf(printed, "profile: %llu samples", &samples), 1);
	ck_assert_msg(samples > 10, "%s", printed);
	/* The TU that the loop is in is the busiest of all, and the loop the busiest in it; the exception is at its end. */
	const char *tus = strstr(printed, "translation units by samples:\n"), *insns = strstr(printed, "guest addresses by samples:\n");
	const char *faults = strstr(printed, "guest addresses by faults");
	ck_assert_msg(tus && insns && faults, "%s", printed);
	const char *loop = strstr(tus, "00020000  cpl 0 checked");
	ck_assert_msg(loop && loop < strchr(strchr(tus, '\n') + 1, '\n'), "%s", printed);
	ck_assert_msg(strstr(faults, "         1  00020008  guest 0x00020008 (cpl0)"), "%s", printed);
	/* Stopped, it counts nothing; started again, it begins at 0. */
	ck_assert_int_eq(profile_start(vm), 0);
	profile_stop(vm);
	printed[0] = '\0';
	jit_info(vm, collect, NULL);
	ck_assert_msg(strstr(printed, "gen code size  ") && strstr(printed, "TU count            2/"), "%s", printed);
	ck_assert_msg(!strstr(printed, "00020008  guest"), "%s", printed);
	machine_destroy();
}
END_TEST

Suite *profile_suite(void);
Suite *profile_suite(void)
{
	Suite *s = suite_create("profile");
	TCase *t = tcase_create("profile");

	tcase_add_test(t, text);
	tcase_add_test(t, elf);
	tcase_add_test(t, broken_elf);
	tcase_add_test(t, perf_map);
	tcase_add_test(t, jit_dump);
	tcase_add_test(t, profile);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return s;
}
