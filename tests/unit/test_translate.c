/*
 * The translator: where translation units end, what ends in which exception,
 * what the mode holds, polls in loops; and that no code whatsoever makes a TU
 * outgrow the bounds that the cache counts on.
 */
#include "tests/unit/vm_harness.h"

#include "cache/jc.h"
#include "cache/smc.h"
#include "cache/tc.h"
#include "translator/translate.h"
#include "translator/xlate.h"

#define CODE 0x20000u

/* A TU for v->eip; linear = guest-physical. NULL if it raised; `raised` has the
 * vector. */
static int raised;
static struct tu *make_in_mode(u32 eip, u32 mode)
{
	static struct tu *tu;
	tu = NULL;
	v->eip = eip;
	v->mode = mode;
	raised = CATCH(tu = translate(v, v->seg[SEG_CS].base + v->eip));
	return tu;
}

static struct tu *make(u32 eip)
{
	return make_in_mode(eip, mode_compute(v));
}

static void nops(u32 at, u32 n)
{
	memset(ram_at(at), 0x90, n);
}

/* ---- ends ---- */

START_TEST(ends)
{
	static const struct {
		u8 code[16];
		unsigned insns, len;
	} cases[] = {
		{{0x90, 0xc3, 0x90}, 2, 2},	  /* ret */
		{{0x40, 0xeb, 0x10}, 2, 3},	  /* jmp */
		{{0x40, 0xe8, 1, 0, 0, 0}, 2, 6}, /* call */
		{{0xff, 0xe0}, 1, 2},		  /* jmp eax */
		{{0x40, 0xe2, 0xfd}, 2, 3},	  /* loop */
		{{0xe3, 0x10}, 1, 2},		  /* jecxz */
		{{0xcd, 0x80}, 1, 2},		  /* int */
		{{0xcf}, 1, 1},			  /* iret */
		{{0xf4}, 1, 1},			  /* hlt */
		{{0x0f, 0x01, 0x38}, 1, 3},	  /* invlpg */
		{{0x74, 0x02, 0x90, 0xc3}, 3, 4}, /* jz does not end it */
		{{0x0f, 0xa2, 0xfa, 0xc3}, 3, 4}, /* nor do cpuid, cli, wrmsr */
		{{0x0f, 0x30, 0xc3}, 2, 3},
		{{0xea, 0, 0, 0, 0, 8, 0}, 1, 7}, /* jmp far */
	};

	machine_create();
	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		nops(CODE + 0x40 * k, 0x40);
		memcpy(ram_at(CODE + 0x40 * k), cases[k].code, 16);
		struct tu *tu = make(CODE + 0x40 * k);
		ck_assert_ptr_nonnull(tu);
		ck_assert_msg(tu->insn_count == cases[k].insns && tu->guest_len == cases[k].len, "case %u: %u instructions, %u bytes", k,
			      tu->insn_count, tu->guest_len);
	}
	machine_destroy();
}
END_TEST

START_TEST(limits)
{
	machine_create();
	nops(CODE, 0x2000);
	/* The most instructions, the page's end, and one TU for one instruction */
	ck_assert_uint_eq(make(CODE)->insn_count, TU_MAX_INSNS - 1);
	ck_assert_uint_eq(make(CODE + 0xff5)->insn_count, 11);
	ck_assert_uint_eq(v->tc->tus[1].flags, 0);
	struct tu *tu = make_in_mode(CODE, mode_compute(v) | MODE_SINGLE);
	ck_assert_uint_eq(tu->insn_count, 1);
	ck_assert_uint_eq(tu->flags, TU_SINGLE);
	ck_assert_uint_eq(tu->exit_count, 0);
	/* An instruction across the page's end, not the first one, is left to the
	 * next TU. */
	PUT(CODE + 0xffd, 0x40, 0xb8, 1, 2, 3, 4);
	tu = make(CODE + 0xffc);
	ck_assert_uint_eq(tu->insn_count, 2);
	ck_assert_uint_eq(tu->guest_len, 2);
	tu = make(CODE + 0xffe);
	ck_assert_uint_eq(tu->insn_count, 1);
	ck_assert_uint_eq(tu->guest_len, 5);
	ck_assert_uint_eq(tu->flags, TU_STRADDLES);
	ck_assert_uint_eq(tu->exit_count, 0);
	/* Conditional branches until there is no room for exits. */
	for (u32 i = 0; i < 0x100; i += 2)
		PUT(CODE + 0x1000 + i, 0x74, 0x7e);
	tu = make(CODE + 0x1000);
	ck_assert_uint_gt(tu->insn_count, 4);
	ck_assert_uint_le(tu->exit_count, TU_MAX_EXITS);
	machine_destroy();
}
END_TEST

/* The second page may be another one in RAM, one without memory, or not mapped.
 */
START_TEST(straddling_pages)
{
	machine_create();
	paging_on();
	map_page(0x40000000, 0x305000, PTE_P);
	map_page(0x40001000, 0x301000, PTE_P);
	PUT(0x305ffe, 0xb8, 0x11);
	PUT(0x301000, 0x22, 0x33, 0x44, 0xcc);
	v->eip = 0x40000ffe;
	struct outcome o = vm_run();
	ck_assert_int_eq(o.vector, EXC_BP);
	ck_assert_uint_eq(v->regs[REG_EAX], 0x44332211);
	/* Mapped to other code: what was translated does not count. */
	PUT(0x302000, 0x55, 0x66, 0x77, 0xcc);
	cpu_flat(0);
	v->cr0 |= CR0_PG;
	v->cr3 = H_TABLES;
	map_page(0x40001000, 0x302000, PTE_P);
	v->eip = 0x40000ffe;
	o = vm_run();
	ck_assert_int_eq(o.vector, EXC_BP);
	ck_assert_uint_eq(v->regs[REG_EAX], 0x77665511);
	/* Not mapped: the fault is the second page's, the instruction the one that
	 * straddles. */
	cpu_flat(3);
	v->cr0 |= CR0_PG;
	v->cr3 = H_TABLES;
	map_page(0x40000000, 0x305000, PTE_P | PTE_U);
	map_page(0x40001000, 0x302000, PTE_P);
	v->eip = 0x40000ffe;
	o = vm_run();
	ck_assert_int_eq(o.vector, EXC_PF);
	ck_assert_uint_eq(o.error, PFERR_P | PFERR_U);
	ck_assert_uint_eq(v->cr2, 0x40001000);
	ck_assert_uint_eq(o.eip, 0x40000ffe);
	machine_destroy();

	/* The second page is where nothing answers. */
	machine_create();
	PUT(0x7ffffe, 0xb8, 0x11);
	v->eip = 0x7ffffe;
	o = vm_run();
	ck_assert_int_eq(o.vector, EXC_UD);
	ck_assert_uint_eq(o.eip, 0x7ffffe);
	machine_destroy();

	/* Undefined, and in both pages: a write to either makes it anew. */
	machine_create();
	PUT(CODE + 0xfff, 0x0f, 0x0b);
	struct tu *tu = make(CODE + 0xfff);
	ck_assert_uint_eq(tu->flags, TU_STRADDLES);
	ck_assert_uint_eq(tu->pa2, CODE + 0x1000);
	ck_assert(smc_overlaps(tu, CODE + 0x1000, 1));
	ck_assert(!smc_overlaps(tu, CODE + 0x1010, 0xff0));
	ck_assert_uint_eq(smc_page(v, ram_page(&vm->mem, ram_at(CODE + 0x1000)))->granules, 1);
	PUT(CODE + 0xfff, 0x0e, 0x0b);
	ck_assert(tu->flags & TU_DEAD);
	tu = make(CODE + 0xfff);
	ck_assert_ptr_nonnull(tu);
	machine_destroy();
}
END_TEST

/* Too long: #GP; not there, LOCK where it is not allowed, features that CPUID
 * does not show: #UD. Both at their turn. */
START_TEST(refused_code)
{
	static const struct {
		u8 code[20];
		int vector;
		u32 eip;
	} cases[] = {
		{{0x40, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x40}, EXC_GP, 1},
		{{0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x40}, EXC_GP, 0},
		{{0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x40, 0xcc}, EXC_BP, 16},
		{{0x40, 0x0f, 0x0b}, EXC_UD, 1},
		{{0x40, 0x0f, 0xff}, EXC_UD, 1},
		{{0xf0, 0x40}, EXC_UD, 0}, /* lock inc eax */
		{{0x40, 0xff, 0xff}, EXC_UD, 1},
		{{0x40, 0xc4, 0xe2, 0x79, 0x18, 0x00}, EXC_UD, 1}, /* AVX */
		{{0x40, 0x8e, 0xc8}, EXC_UD, 1},		   /* mov cs, ax */
		{{0x40, 0x0f, 0x05}, EXC_UD, 1},		   /* syscall */
		{{0x40, 0x0f, 0x01, 0xc1}, EXC_UD, 1},		   /* vmcall */
		{{0x40, 0x0f, 0xae, 0x20}, EXC_UD, 1},		   /* xsave */
		{{0xc5, 0xf8, 0x77}, EXC_UD, 0},		   /* vzeroupper */
		{{0x40, 0x0f, 0x24, 0xc0}, EXC_UD, 1},		   /* mov eax, tr0 */
	};

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		machine_create();
		put_bytes(CODE, cases[k].code, 20);
		v->eip = CODE;
		struct outcome o = vm_run();
		ck_assert_msg(o.vector == cases[k].vector && o.eip == CODE + cases[k].eip, "case %u: vector %d at %#x", k, o.vector, o.eip);
		machine_destroy();
	}
}
END_TEST

/* Beyond CS's limit: #GP at the instruction that goes there, also when its
 * first bytes are inside. */
START_TEST(cs_limit)
{
	machine_create();
	nops(CODE, 0x200);
	for (u32 limit = CODE + 0x100; limit < CODE + 0x104; limit++) {
		PUT(CODE + 0x100, 0x90, 0xb8, 0, 0, 0, 0);
		cpu_flat(0);
		segment_set(v, SEG_CS, KCS, 0, limit, v->seg[SEG_CS].attr & ~SEG_G);
		v->eip = CODE;
		struct outcome o = vm_run();
		ck_assert_int_eq(o.vector, EXC_GP);
		ck_assert_uint_eq(o.error, 0);
		ck_assert_uint_eq(o.eip, CODE + 0x101);
	}
	machine_destroy();
}
END_TEST

/* ---- modes ---- */

START_TEST(modes)
{
	machine_create();
	u32 flat = MODE_FLAT(SEG_ES) | MODE_FLAT(SEG_CS) | MODE_FLAT(SEG_SS) | MODE_FLAT(SEG_DS);
	ck_assert_uint_eq(mode_compute(v), MODE_CS32 | MODE_SS32 | flat);
	cpu_flat(3);
	ck_assert_uint_eq(mode_compute(v) & ~(MODE_CPL | MODE_DIRECT), MODE_CS32 | MODE_SS32 | flat);
	ck_assert_uint_eq(mode_compute(v) & MODE_CPL, 3);
	cpu_flat(0);
	u32 full = mode_compute(v);
	static const struct {
		u32 bit, cr0, cr4;
	} bits[] = {{MODE_TS, CR0_TS, 0}, {MODE_EM, CR0_EM, 0}, {MODE_MP, CR0_MP, 0}, {MODE_OSFXSR, 0, CR4_OSFXSR}};
	for (unsigned k = 0; k < ARRAY_SIZE(bits); k++) {
		v->cr0 |= bits[k].cr0;
		v->cr4 |= bits[k].cr4;
		ck_assert_uint_eq(mode_compute(v), full | bits[k].bit);
		v->cr0 &= ~bits[k].cr0;
		v->cr4 &= ~bits[k].cr4;
	}
	for (int n = SEG_ES; n <= SEG_DS; n++) {
		struct segment was = v->seg[n];
		/* A base, a limit, a segment that is read-only (CS is by nature) */
		segment_set(v, n, was.sel, 0x1000, was.limit, was.attr);
		ck_assert_uint_eq(mode_compute(v), full & ~MODE_FLAT(n));
		segment_set(v, n, was.sel, 0, 0x7fffffff, was.attr);
		ck_assert_uint_eq(mode_compute(v), (full & ~MODE_FLAT(n)) | (n == SEG_CS ? MODE_CS_LIMIT : 0));
		segment_set(v, n, was.sel, 0, was.limit, was.attr & ~SEG_TYPE_W);
		ck_assert_uint_eq(mode_compute(v), full & ~MODE_FLAT(n));
		segment_set(v, n, was.sel, 0, was.limit, was.attr & ~SEG_DB);
		ck_assert_uint_eq(mode_compute(v), n == SEG_CS ? full & ~MODE_CS32 : n == SEG_SS ? full & ~MODE_SS32 : full);
		v->seg[n] = was;
	}
	/* FS and GS are never flat, so they do not matter. */
	segment_set(v, SEG_FS, 0, 0x1234, 0x10, SEG_UNUSABLE);
	ck_assert_uint_eq(mode_compute(v), full);
	machine_destroy();
}
END_TEST

/* ---- polls ---- */

/* Backward exits within the page have a poll in front of the branch, forward
 * ones have none. */
START_TEST(polls)
{
	machine_create();
	nops(CODE, 0x100);
	PUT(CODE + 0x40, 0x74, 0x10, 0x75, 0xbc, 0xeb, 0xfe); /* jz +10 ; jnz CODE ; jmp self */
	struct tu *tu = make(CODE + 0x40);
	ck_assert_uint_eq(tu->exit_count, 3);
	unsigned backward = 0;
	for (unsigned i = 0; i < 3; i++) {
		struct tu_exit *x = &v->tc->exits[tu->exits + i];
		bool back = x->target_eip <= CODE + 0x44;
		ck_assert_int_eq(x->poll != 0, back);
		if (!back)
			continue;
		backward++;
		/* mov r9, [r14 + jc] ; mov r9d, [r9], then the branch */
		static const u8 load[] = {0x4d, 0x8b, 0x4e, offsetof(struct vcpu, jc), 0x45, 0x8b, 0x09};
		ck_assert_mem_eq((const void *)(u64)(x->poll - 4), load, sizeof(load));
		bool conditional = x->target_eip == CODE;
		ck_assert_uint_eq(x->poll + (conditional ? 5 : 4), x->site);
		/* A conditional branch is taken again, or not. */
		ck_assert_uint_eq(x->poll_eip, conditional ? CODE + 0x42 : x->target_eip);
		ck_assert_ptr_eq(tu_by_host(v->tc, x->poll), tu);
	}
	ck_assert_uint_eq(backward, 2);
	machine_destroy();
}
END_TEST

/* ---- STI ---- */

/* Where a TU ends behind STI, the next instruction still comes before any interrupt. */
START_TEST(sti_at_the_end)
{
	machine_create();
	for (int i = 0; i < 2; i++) {
		u32 at = CODE + 0x1000 - TU_MAX_INSNS * (u32)i - 20, last = i ? at + TU_MAX_INSNS - 2 : CODE + 0xfff;
		nops(CODE, 0x2000);
		PUT(last, 0xfb);
		struct tu *tu = make(at);
		ck_assert_uint_eq(tu->eip + tu->guest_len, last + 1);
		v->eip = at;
		v->shadow = SHADOW_NONE;
		v->sysflags &= ~EFLAGS_IF;
		atomic_store(&v->jc, jc_all_miss(v));
		vcpu_enter(v, tu->head);
		ck_assert_uint_eq(v->eip, last + 1);
		ck_assert_int_eq(v->shadow, SHADOW_STI);
		ck_assert_uint_ne(v->sysflags & EFLAGS_IF, 0);
		tu_drop(v, tu);
	}
	machine_destroy();
}
END_TEST

/* ---- bounds ---- */

static unsigned largest, most_cold;
static u8 largest_code[16];

/* A TU full of one instruction. */
static void fill_with(const u8 *code, u32 size, u32 mode)
{
	u32 at = CODE;
	for (unsigned i = 0; i < TU_MAX_INSNS; i++, at += size)
		memcpy(ram_at(at), code, size);
	/* Through a full TU the cache's pages are written without their writer
	 * knowing: drop it again. */
	struct tu *tu = make_in_mode(CODE, mode);
	if (!tu)
		return;
	unsigned bytes = tu->end - tu->head;
	if (bytes > largest) {
		largest = bytes;
		memcpy(largest_code, code, size);
	}
	most_cold = MAX(most_cold, v->xlate->cold_count);
	ck_assert_msg(bytes <= TU_MAX_HOST && v->xlate->cold_count <= MAX_COLD && tu->exit_count <= TU_MAX_EXITS &&
			      tu->insn_count <= TU_MAX_INSNS && tu->guest_len <= 0x2000,
		      "%02x %02x %02x %02x in mode %x: %u bytes, %u stubs, %u exits", code[0], code[1], code[2], code[3], mode, bytes,
		      v->xlate->cold_count, tu->exit_count);
	for (unsigned n = 1; n < tu->insn_count; n++)
		if (tu_insn(v->tc, tu, n)->host_off <= tu_insn(v->tc, tu, n - 1)->host_off && code[0] != 0x90)
			ck_assert_msg(tu_insn(v->tc, tu, n)->host_off == tu_insn(v->tc, tu, n - 1)->host_off, "offsets wrap");
	tu_drop(v, tu);
}

/* Every opcode with every ModRM reg field, memory and register forms, under
 * prefixes that make it expand. */
static void all_opcodes(u32 mode)
{
	static const u8 prefixes[][3] = {{0}, {0x64}, {0x66}, {0xf0}, {0xf2}, {0xf3}, {0x67}, {0x64, 0xf0}, {0x64, 0x66}, {0x64, 0x67}};

	for (unsigned p = 0; p < ARRAY_SIZE(prefixes); p++) {
		for (unsigned op = 0; op < 512; op++) {
			for (unsigned reg = 0; reg < 8; reg++) {
				for (unsigned form = 0; form < 2; form++) {
					u8 code[16] = {0};
					u32 n = 0;
					for (; prefixes[p][n]; n++)
						code[n] = prefixes[p][n];
					if (op >= 256)
						code[n++] = 0x0f;
					code[n++] = (u8)op;
					/* [ebx + ecx * 8 + disp32], or AH or ESP */
					code[n++] = (u8)(form ? 0xc4 | reg << 3 : 0x84 | reg << 3);
					if (!form)
						code[n++] = 0xcb;
					memcpy(code + n, (u8[]){0x44, 0x33, 0x22, 0x11}, 4);
					/* As long as the decoder says; undefined ones end the TU at once. */
					ZydisDecoder d;
					ZydisDecodedInstruction in;
					ZydisDecoderInit(&d, mode & MODE_CS32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
							 mode & MODE_CS32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
					if (ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&d, NULL, code, 16, &in)))
						fill_with(code, in.length, mode);
				}
			}
		}
	}
}

static void bounds(u32 mode)
{
	machine_create();
	largest = most_cold = 0;
	all_opcodes(mode);
	/* The search has found expansion: a segment check, two look-ups and their
	 * stubs make more than 100 bytes of an instruction. */
	ck_assert_uint_gt(largest, 100 * (TU_MAX_INSNS - 1));
	ck_assert_uint_ge(most_cold, 2 * (TU_MAX_INSNS - 1));
	machine_destroy();
}

START_TEST(bounds_flat)
{
	bounds(MODE_CS32 | MODE_SS32 | MODE_FLAT(SEG_ES) | MODE_FLAT(SEG_CS) | MODE_FLAT(SEG_SS) | MODE_FLAT(SEG_DS) | MODE_OSFXSR);
}
END_TEST

START_TEST(bounds_segmented)
{
	bounds(MODE_CS32 | MODE_OSFXSR);
}
END_TEST

START_TEST(bounds_segmented_user)
{
	bounds(MODE_CS32 | MODE_OSFXSR | 3);
}
END_TEST

/* The direct flavour makes less of an instruction than the other one does. */
START_TEST(bounds_direct)
{
	harness_flavour = FLAVOUR_DIRECT;
	machine_create();
	largest = most_cold = 0;
	all_opcodes(MODE_CS32 | MODE_SS32 | MODE_FLAT(SEG_ES) | MODE_FLAT(SEG_CS) | MODE_FLAT(SEG_SS) | MODE_FLAT(SEG_DS) | MODE_OSFXSR |
		    MODE_DIRECT | 3);
	ck_assert_uint_gt(largest, 20 * (TU_MAX_INSNS - 1));
	machine_destroy();
	harness_flavour = FLAVOUR_CHECKED;
}
END_TEST

START_TEST(bounds_16)
{
	bounds(MODE_OSFXSR);
}
END_TEST

/* Bytes at random: nothing makes the translator crash or exceed its bounds, in
 * any mode. */
START_TEST(noise)
{
	machine_create();
	srand(3);
	for (unsigned round = 0; round < 4000; round++) {
		for (u32 i = 0; i < 0x200; i += 2)
			poke(CODE + 0xf00 + i, (u32)rand(), 2);
		u32 mode =
			(u32)rand() & (MODE_CPL | MODE_CS32 | MODE_SS32 | 0xf0 | MODE_TS | MODE_EM | MODE_MP | MODE_OSFXSR | MODE_SINGLE);
		u64 used = v->tc->used;
		struct tu *tu = make_in_mode(CODE + 0xf00 + (u32)(rand() & 0xff), mode);
		if (!tu) {
			/* Whoever raises has taken nothing. */
			ck_assert_int_eq(raised, EXC_GP);
			ck_assert(v->tc->used == used || v->tc->used == 0);
			continue;
		}
		if (tu->end - tu->head > TU_MAX_HOST || v->xlate->cold_count > MAX_COLD || tu->exit_count > TU_MAX_EXITS)
			ck_abort_msg("round %u: too large", round);
		tu_drop(v, tu);
	}
	machine_destroy();
}
END_TEST

Suite *translate_suite(void)
{
	Suite *s = suite_create("translate");
	TCase *c = tcase_create("units"), *b = tcase_create("bounds");

	tcase_set_timeout(c, 20);
	tcase_add_test(c, ends);
	tcase_add_test(c, limits);
	tcase_add_test(c, straddling_pages);
	tcase_add_test(c, refused_code);
	tcase_add_test(c, cs_limit);
	tcase_add_test(c, modes);
	tcase_add_test(c, polls);
	tcase_add_test(c, sti_at_the_end);
	suite_add_tcase(s, c);
	tcase_set_timeout(b, 120);
	tcase_add_test(b, bounds_flat);
	tcase_add_test(b, bounds_segmented);
	tcase_add_test(b, bounds_segmented_user);
	tcase_add_test(b, bounds_16);
	tcase_add_test(b, bounds_direct);
	tcase_add_test(b, noise);
	suite_add_tcase(s, b);
	return s;
}
