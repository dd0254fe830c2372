/*
 * FPU images made and taken by guest code: the pointers in them are the guest's, in all four formats; what must not change does not; and
 * the registers survive everything that the monitor does in between.
 */
#include "tests/unit/vm_harness.h"

#define CODE  0x20000u
#define DATA  0x30000u
#define IMAGE 0x31000u

static void set_up(void)
{
	machine_create();
	v->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
	memset(vm->mem.ram + IMAGE, 0xee, 0x400);
	/* 1.5 as a single */
	poke(DATA, 0x3fc00000, 4);
}

/* fninit ; fld1 ; fld dword [DATA] (at CODE + 4: D9 /0, ModRM 05) */
#define LOADS	   0xdb, 0xe3, 0xd9, 0xe8, 0xd9, 0x05, 0x00, 0x00, 0x03, 0x00
#define LOADS_SIZE 10
#define ABS_IMAGE  0x00, 0x10, 0x03, 0x00

/* The registers of the three images that hold them: ST0 = 1.5, ST1 = 1. */
static void check_stack(u32 at, unsigned stride)
{
	ck_assert_uint_eq(peek(at, 8), 0xc000000000000000ull);
	ck_assert_uint_eq(peek(at + 8, 2), 0x3fff);
	ck_assert_uint_eq(peek(at + stride, 8), 0x8000000000000000ull);
	ck_assert_uint_eq(peek(at + stride + 8, 2), 0x3fff);
}

static void check_wide_environment(u32 fcw)
{
	ck_assert_uint_eq(peek(IMAGE, 4), 0xffff0000 | fcw);
	ck_assert_uint_eq(peek(IMAGE + 4, 4), 0xffff3000); /* TOP = 6 */
	ck_assert_uint_eq(peek(IMAGE + 8, 4), 0xffff0fff); /* 7 and 6 are valid */
	ck_assert_uint_eq(peek(IMAGE + 12, 4), CODE + 4);
	ck_assert_uint_eq(peek(IMAGE + 16, 2), 0); /* FCS */
	ck_assert_uint_eq(peek(IMAGE + 18, 2), 0x105);
	ck_assert_uint_eq(peek(IMAGE + 20, 4), DATA);
	ck_assert_uint_eq(peek(IMAGE + 24, 4), 0xffff0000u); /* FDS */
}

START_TEST(fnstenv)
{
	set_up();
	/* fnstenv [IMAGE] ; fnstcw [DATA + 8] */
	PUT(CODE, LOADS, 0xd9, 0x35, ABS_IMAGE, 0xd9, 0x3d, 0x08, 0x00, 0x03, 0x00, 0xcc);
	vm_run_ok(CODE);
	check_wide_environment(0x37f);
	ck_assert_uint_eq(peek(IMAGE + 28, 4), 0xeeeeeeee);
	machine_destroy();
}
END_TEST

START_TEST(fnsave)
{
	set_up();
	/* fnsave [IMAGE] ; fnstenv [IMAGE + 200] */
	PUT(CODE, LOADS, 0xdd, 0x35, ABS_IMAGE, 0xd9, 0x35, 0x00, 0x12, 0x03, 0x00, 0xcc);
	vm_run_ok(CODE);
	check_wide_environment(0x37f);
	check_stack(IMAGE + 28, 10);
	ck_assert_uint_eq(peek(IMAGE + 108, 4), 0xeeeeeeee);
	/* It initializes, pointers included. */
	ck_assert_uint_eq(peek(IMAGE + 0x200, 4), 0xffff037f);
	ck_assert_uint_eq(peek(IMAGE + 0x204, 4), 0xffff0000);
	ck_assert_uint_eq(peek(IMAGE + 0x208, 4), 0xffffffff);
	ck_assert_uint_eq(peek(IMAGE + 0x20c, 8), 0);
	ck_assert_uint_eq(peek(IMAGE + 0x214, 4), 0);
	machine_destroy();
}
END_TEST

/* SDM Vol. 1 figure 8-10: 16-bit operand size, protected mode. */
START_TEST(narrow)
{
	set_up();
	/* o16 fnstenv [IMAGE] ; o16 fnsave [IMAGE + 100] */
	PUT(CODE, LOADS, 0x66, 0xd9, 0x35, ABS_IMAGE, 0x66, 0xdd, 0x35, 0x00, 0x11, 0x03, 0x00, 0xcc);
	vm_run_ok(CODE);
	for (u32 at = IMAGE; at <= IMAGE + 0x100; at += 0x100) {
		ck_assert_uint_eq(peek(at, 2), 0x37f);
		ck_assert_uint_eq(peek(at + 2, 2), 0x3000);
		ck_assert_uint_eq(peek(at + 4, 2), 0x0fff);
		ck_assert_uint_eq(peek(at + 6, 2), (CODE + 4) & 0xffff);
		ck_assert_uint_eq(peek(at + 8, 2), 0);
		ck_assert_uint_eq(peek(at + 10, 2), DATA & 0xffff);
		ck_assert_uint_eq(peek(at + 12, 2), 0);
	}
	ck_assert_uint_eq(peek(IMAGE + 14, 2), 0xeeee);
	check_stack(IMAGE + 0x100 + 14, 10);
	ck_assert_uint_eq(peek(IMAGE + 0x100 + 94, 2), 0xeeee);
	machine_destroy();
}
END_TEST

START_TEST(fxsave)
{
	set_up();
	for (unsigned i = 0; i < 8; i++)
		memset(v->fx + 160 + 16 * i, (int)(0x11 * i + 1), 16);
	/* fxsave [IMAGE] */
	PUT(CODE, LOADS, 0x0f, 0xae, 0x05, ABS_IMAGE, 0xcc);
	vm_run_ok(CODE);
	ck_assert_uint_eq(peek(IMAGE, 2), 0x37f);
	ck_assert_uint_eq(peek(IMAGE + 2, 2), 0x3000);
	ck_assert_uint_eq(peek(IMAGE + 4, 2), 0xc0); /* abridged tags */
	ck_assert_uint_eq(peek(IMAGE + 6, 2), 0x105);
	ck_assert_uint_eq(peek(IMAGE + 8, 4), CODE + 4);
	ck_assert_uint_eq(peek(IMAGE + 12, 4), 0);
	ck_assert_uint_eq(peek(IMAGE + 16, 4), DATA);
	ck_assert_uint_eq(peek(IMAGE + 20, 4), 0);
	ck_assert_uint_eq(peek(IMAGE + 24, 4), 0x1f80);
	ck_assert_uint_eq(peek(IMAGE + 28, 4), 0xffff);
	check_stack(IMAGE + 32, 16);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_uint_eq(peek(IMAGE + 160 + 16 * i, 8), 0x0101010101010101ull * (0x11 * i + 1));
	/* What a 32-bit CPU does not write */
	for (u32 i = 288; i < 512; i++)
		ck_assert_uint_eq(peek(IMAGE + i, 1), 0xee);
	machine_destroy();
}
END_TEST

/* No image shows an address of the host's, whatever ran before it. */
START_TEST(no_host_addresses)
{
	set_up();
	/* From reset: nothing ran yet. fxsave [IMAGE] ; fld1 ; jmp +2 ; ... ; fxsave [IMAGE + 200] */
	PUT(CODE, 0x0f, 0xae, 0x05, ABS_IMAGE, 0xd9, 0xe8, 0xeb, 0x02, 0x90, 0x90, 0x0f, 0xae, 0x05, 0x00, 0x12, 0x03, 0x00, 0xcc);
	vm_run_ok(CODE);
	ck_assert_uint_eq(peek(IMAGE + 8, 8), 0);
	ck_assert_uint_eq(peek(IMAGE + 16, 8), 0);
	ck_assert_uint_eq(peek(IMAGE + 0x208, 4), CODE + 7);
	ck_assert_uint_eq(peek(IMAGE + 0x206, 2), 0x1e8);
	machine_destroy();
}
END_TEST

/* An environment that is loaded comes out again, in either format, pointers and all. */
START_TEST(fldenv)
{
	set_up();
	u32 image[7] = {0x27f, 0x4700, 0xffff, 0x11223344, 0x1234 | 0x5a5u << 16, 0x55667788, 0x9abc};
	put_bytes(DATA + 0x100, image, sizeof(image));
	u16 narrow[7] = {0x27f, 0x4700, 0xffff, 0x3344, 0x1234, 0x7788, 0x9abc};
	put_bytes(DATA + 0x200, narrow, sizeof(narrow));
	/* fldenv [DATA+100] ; fnstenv [IMAGE] ; o16 fnstenv [IMAGE+100] ; fninit ; o16 fldenv [DATA+200] ; o16 fnstenv [IMAGE+200] */
	PUT(CODE, 0xd9, 0x25, 0x00, 0x01, 0x03, 0x00, 0xd9, 0x35, ABS_IMAGE, 0x66, 0xd9, 0x35, 0x00, 0x11, 0x03, 0x00, 0xdb, 0xe3, 0x66,
	    0xd9, 0x25, 0x00, 0x02, 0x03, 0x00, 0x66, 0xd9, 0x35, 0x00, 0x12, 0x03, 0x00, 0xcc);
	vm_run_ok(CODE);
	ck_assert_uint_eq(peek(IMAGE, 2), 0x27f);
	ck_assert_uint_eq(peek(IMAGE + 4, 2), 0x4700);
	ck_assert_uint_eq(peek(IMAGE + 12, 4), 0x11223344);
	ck_assert_uint_eq(peek(IMAGE + 16, 4), 0x1234 | 0x5a5u << 16);
	ck_assert_uint_eq(peek(IMAGE + 20, 4), 0x55667788);
	ck_assert_uint_eq(peek(IMAGE + 24, 4), 0xffff9abcu);
	ck_assert_mem_eq(ram_ptr(&vm->mem, IMAGE + 0x100), narrow, sizeof(narrow));
	ck_assert_mem_eq(ram_ptr(&vm->mem, IMAGE + 0x200), narrow, sizeof(narrow));
	machine_destroy();
}
END_TEST

START_TEST(frstor)
{
	set_up();
	/* fnsave [IMAGE] ; frstor [IMAGE] ; fstp dword [DATA+10] ; fstp dword [DATA+14] ; and 16 bits: fld1 ; o16 fnsave ; o16 frstor ;
	 * fstp */
	PUT(CODE, LOADS, 0xdd, 0x35, ABS_IMAGE, 0xdd, 0x25, ABS_IMAGE, 0xd9, 0x1d, 0x10, 0x00, 0x03, 0x00, 0xd9, 0x1d, 0x14, 0x00, 0x03,
	    0x00, 0xd9, 0xe8, 0x66, 0xdd, 0x35, 0x00, 0x11, 0x03, 0x00, 0x66, 0xdd, 0x25, 0x00, 0x11, 0x03, 0x00, 0xd9, 0x1d, 0x18, 0x00,
	    0x03, 0x00, 0xcc);
	vm_run_ok(CODE);
	ck_assert_uint_eq(peek(DATA + 0x10, 4), 0x3fc00000);
	ck_assert_uint_eq(peek(DATA + 0x14, 4), 0x3f800000);
	ck_assert_uint_eq(peek(DATA + 0x18, 4), 0x3f800000);
	machine_destroy();
}
END_TEST

START_TEST(fxrstor)
{
	set_up();
	u8 image[512];
	for (unsigned i = 0; i < sizeof(image); i++)
		image[i] = (u8)(i * 3 + 7);
	poke(DATA + 0x200, 0, 8);
	memcpy(image, (u16[]){0x37f, 0x0000, 0x00ff, 0x321}, 8);
	memcpy(image + 8, (u32[]){0xdeadbeef, 0x4321, 0xcafe0000, 0x8765, 0x3f80, 0xffff}, 24);
	for (unsigned i = 0; i < 8; i++) {
		/* Registers of 80 bits in 128 */
		memset(image + 32 + 16 * i + 10, 0, 6);
	}
	put_bytes(DATA + 0x200, image, sizeof(image));
	/* fxrstor [DATA+200] ; fxsave [IMAGE] */
	PUT(CODE, 0x0f, 0xae, 0x0d, 0x00, 0x02, 0x03, 0x00, 0x0f, 0xae, 0x05, ABS_IMAGE, 0xcc);
	vm_run_ok(CODE);
	const u8 *out = ram_ptr(&vm->mem, IMAGE);
	ck_assert_mem_eq(out, image, 8);
	ck_assert_mem_eq(out + 8, image + 8, 24);
	ck_assert_mem_eq(out + 32, image + 32, 256);
	machine_destroy();
}
END_TEST

START_TEST(refusals)
{
	static const struct {
		u8 code[8];
		int vector;
		u32 mxcsr, cr0;
	} cases[] = {
		{{0x0f, 0xae, 0x05, 0x08, 0x10, 0x03, 0x00}, EXC_GP, 0, 0},	      /* fxsave, misaligned */
		{{0x0f, 0xae, 0x0d, 0x08, 0x10, 0x03, 0x00}, EXC_GP, 0, 0},	      /* fxrstor */
		{{0x0f, 0xae, 0x0d, ABS_IMAGE}, EXC_GP, 0x10000, 0},		      /* a reserved MXCSR bit */
		{{0x0f, 0xae, 0x15, 0x18, 0x10, 0x03, 0x00}, EXC_GP, 0x80000000u, 0}, /* ldmxcsr */
		{{0xd9, 0x35, ABS_IMAGE}, EXC_NM, 0, CR0_TS},
		{{0xd9, 0x35, ABS_IMAGE}, EXC_NM, 0, CR0_EM},
		{{0x0f, 0xae, 0x05, ABS_IMAGE}, EXC_NM, 0, CR0_TS},
	};

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		set_up();
		memset(v->fx + 160, 0x77, 16);
		poke(IMAGE + 24, cases[k].mxcsr, 4);
		v->cr0 |= cases[k].cr0;
		put_bytes(CODE, cases[k].code, sizeof(cases[k].code));
		v->eip = CODE;
		struct outcome o = vm_run();
		ck_assert_int_eq(o.vector, cases[k].vector);
		ck_assert_uint_eq(o.eip, CODE);
		ck_assert_uint_eq(v->fx[160], 0x77);
		ck_assert_uint_eq(peek(IMAGE, 1), 0xee);
		machine_destroy();
	}
}
END_TEST

/* A store that faults in its second page has neither written nor, FNSAVE's case, initialized. */
START_TEST(faulting_stores)
{
	static const u8 codes[][LOADS_SIZE + 7] = {
		{LOADS, 0xdd, 0x35, 0xf0, 0x0f, 0x00, 0x40},	   /* fnsave [40000ff0] */
		{LOADS, 0xd9, 0x35, 0xf0, 0x0f, 0x00, 0x40},	   /* fnstenv */
		{LOADS, 0x0f, 0xae, 0x05, 0xf0, 0x0f, 0x00, 0x40}, /* fxsave */
	};

	for (unsigned k = 0; k < ARRAY_SIZE(codes); k++) {
		set_up();
		paging_on();
		map_page(CODE, CODE, PTE_P | PTE_W);
		map_page(DATA, DATA, PTE_P | PTE_W);
		map_page(0x40000000, IMAGE, PTE_P | PTE_W);
		put_bytes(CODE, codes[k], sizeof(codes[k]));
		v->eip = CODE;
		struct outcome o = vm_run();
		ck_assert_int_eq(o.vector, EXC_PF);
		ck_assert_uint_eq(o.eip, CODE + LOADS_SIZE);
		ck_assert_uint_eq(v->cr2, 0x40001000);
		ck_assert_uint_eq(peek(IMAGE + 0xff0, 8), 0);
		/* FSW: TOP = 6 still */
		ck_assert_uint_eq(v->fx[3], 0x30);
		machine_destroy();
	}
}
END_TEST

START_TEST(maskmov)
{
	set_up();
	/* Data 00 11 22 ... ff; every third byte selected */
	for (unsigned i = 0; i < 16; i++) {
		v->fx[160 + i] = (u8)(0x11 * i);
		v->fx[176 + i] = i % 3 == 1 ? 0x80 : 0x7f;
	}
	v->regs[REG_EDI] = IMAGE;
	/* maskmovdqu xmm0, xmm1 */
	PUT(CODE, 0x66, 0x0f, 0xf7, 0xc1, 0xcc);
	vm_run_ok(CODE);
	for (unsigned i = 0; i < 16; i++)
		ck_assert_uint_eq(peek(IMAGE + i, 1), i % 3 == 1 ? 0x11 * i : 0xee);
	machine_destroy();

	set_up();
	u64 data = 0x8877665544332211ull, mask = 0x80ff00007f80ull;
	poke(DATA + 0x10, data, 8);
	poke(DATA + 0x18, mask, 8);
	v->regs[REG_EDI] = IMAGE;
	/* movq mm2, [DATA+10] ; movq mm3, [DATA+18] ; maskmovq mm2, mm3 */
	PUT(CODE, 0x0f, 0x6f, 0x15, 0x10, 0x00, 0x03, 0x00, 0x0f, 0x6f, 0x1d, 0x18, 0x00, 0x03, 0x00, 0x0f, 0xf7, 0xd3, 0xcc);
	vm_run_ok(CODE);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_uint_eq(peek(IMAGE + i, 1), mask >> (8 * i + 7) & 1 ? data >> (8 * i) & 0xff : 0xee);
	machine_destroy();
}
END_TEST

/* Registers across the monitor's own C: devices, exceptions that are not seen, fresh translation, callouts. */
START_TEST(survival)
{
	set_up();
	paging_on();
	for (u32 at = CODE; at < CODE + 0x2000; at += PAGE_SIZE)
		map_page(at, at, PTE_P | PTE_W);
	map_page(0x40000000, H_MMIO, PTE_P | PTE_W);
	for (unsigned i = 0; i < 8; i++)
		memset(v->fx + 160 + 16 * i, (int)(0x21 * i + 3), 16);
	/*
	 * fldpi ; mov eax, [device] ; pxor xmm6, xmm6 ; mov [device], eax ; pxor xmm7, xmm7 ; cpuid ; jmp to the next page,
	 * there: in al, 80 ; mov byte [self + 8], cc ; nop ; nop
	 */
	PUT(CODE, 0xd9, 0xeb, 0xa1, 0x00, 0x00, 0x00, 0x40, 0x66, 0x0f, 0xef, 0xf6, 0xa3, 0x00, 0x00, 0x00, 0x40, 0x66, 0x0f, 0xef, 0xff,
	    0x0f, 0xa2, 0xe9, 0xe5, 0x0f, 0x00, 0x00);
	PUT(CODE + 0x1000, 0xe4, 0x80, 0xc6, 0x05, 0x0a, 0x10, 0x02, 0x00, 0xcc, 0x90, 0x90);
	vm_run_ok(CODE);
	for (unsigned i = 0; i < 8; i++)
		for (unsigned k = 0; k < 16; k++)
			ck_assert_uint_eq(v->fx[160 + 16 * i + k], i < 6 ? (u8)(0x21 * i + 3) : 0);
	u64 mantissa;
	memcpy(&mantissa, v->fx + 32, 8);
	ck_assert_uint_eq(mantissa, 0xc90fdaa22168c235ull);
	ck_assert_uint_eq(v->fx[24] | v->fx[25] << 8, 0x1f80);
	machine_destroy();
}
END_TEST

/* Unmasked exceptions: x87 at the next waiting instruction, SSE at once. */
START_TEST(exceptions)
{
	set_up();
	poke(DATA + 0x20, 0x37b, 2); /* zero divide unmasked */
	/* fninit ; fldcw [DATA+20] ; fldz ; fld1 ; fdivrp ; nop ; fwait ; int3 */
	PUT(CODE, 0xdb, 0xe3, 0xd9, 0x2d, 0x20, 0x00, 0x03, 0x00, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0x90, 0x9b, 0xcc);
	v->eip = CODE;
	struct outcome o = vm_run();
	ck_assert_int_eq(o.vector, EXC_MF);
	ck_assert_uint_eq(o.eip, CODE + 15);
	machine_destroy();

	set_up();
	poke(DATA + 0x20, 0x1d80, 4); /* zero divide unmasked */
	memcpy(v->fx + 160, &(u32){0x3f800000}, 4);
	memset(v->fx + 176, 0, 16);
	/* ldmxcsr [DATA+20] ; nop ; divss xmm0, xmm1 */
	PUT(CODE, 0x0f, 0xae, 0x15, 0x20, 0x00, 0x03, 0x00, 0x90, 0xf3, 0x0f, 0x5e, 0xc1, 0xcc);
	v->eip = CODE;
	o = vm_run();
	ck_assert_int_eq(o.vector, EXC_XM);
	ck_assert_uint_eq(o.eip, CODE + 8);
	ck_assert_uint_eq(v->fx[163], 0x3f);
	machine_destroy();
}
END_TEST

Suite *fpu_suite(void)
{
	Suite *s = suite_create("fpu");
	TCase *c = tcase_create("fpu");

	tcase_set_timeout(c, 20);
	tcase_add_test(c, fnstenv);
	tcase_add_test(c, fnsave);
	tcase_add_test(c, narrow);
	tcase_add_test(c, fxsave);
	tcase_add_test(c, no_host_addresses);
	tcase_add_test(c, fldenv);
	tcase_add_test(c, frstor);
	tcase_add_test(c, fxrstor);
	tcase_add_test(c, refusals);
	tcase_add_test(c, faulting_stores);
	tcase_add_test(c, maskmov);
	tcase_add_test(c, survival);
	tcase_add_test(c, exceptions);
	suite_add_tcase(s, c);
	return s;
}
