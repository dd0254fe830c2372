/* The memory map: board memory, ROM and shadow pages in the ISA hole, and that the vCPU drops what it knew of the old map. */
#include "tests/unit/vm_harness.h"

#include "monitor/vcpu.h"

#define LFB  0xe0000000u
#define CODE 0x10000u

START_TEST(board)
{
	machine_create();
	struct memory *m = &vm->mem;
	u64 a = memory_alloc(m, 0x1800), b = memory_alloc(m, 0x1000);
	ck_assert_uint_eq(a, m->ram_size);
	ck_assert_uint_eq(b, a + 0x2000);
	ck_assert_ptr_null(ram_ptr(m, LFB));
	ck_assert(memory_map(vm, LFB, 0x2000, a, true));
	ck_assert_ptr_eq(ram_ptr(m, LFB + 0x1234), m->ram + a + 0x1234);
	ck_assert_ptr_null(ram_ptr(m, LFB + 0x2000));
	ck_assert(memory_is_writable(m, LFB));
	/* Over RAM, unaligned, beyond the end of the address space: no. */
	ck_assert(!memory_map(vm, 0x1000, 0x1000, b, true));
	ck_assert(!memory_map(vm, LFB + 0x2800, 0x1000, b, true));
	ck_assert(!memory_map(vm, ~0xfffull, 0x2000, b, true));
	/* Over another map: seen where that is not, whichever came first. */
	for (int order = 0; order < 2; order++) {
		ck_assert(memory_map(vm, order ? LFB : LFB + 0x1000, order ? 0x2000 : 0x1000, order ? a : b, true));
		ck_assert(memory_map(vm, order ? LFB + 0x1000 : LFB, order ? 0x1000 : 0x2000, order ? b : a, true));
		ck_assert_ptr_eq(ram_ptr(m, LFB + 0x1000), m->ram + a + 0x1000);
		memory_unmap(vm, a);
		ck_assert_ptr_eq(ram_ptr(m, LFB + 0x1000), m->ram + b);
		ck_assert_ptr_null(ram_ptr(m, LFB));
		memory_unmap(vm, b);
	}
	/* There are so many, and a map that is there already can still move. */
	for (u64 i = 0; i < MAX_BOARD_MAPS; i++)
		ck_assert(memory_map(vm, LFB + 0x10000 * i, 0x1000, b + 0x1000 * i, true));
	ck_assert(!memory_map(vm, LFB + 0x100000, 0x1000, a, true));
	ck_assert(memory_map(vm, LFB + 0x100000, 0x1000, b + 0x3000, true));
	ck_assert_ptr_null(ram_ptr(m, LFB + 0x30000));
	for (u64 i = 0; i < MAX_BOARD_MAPS; i++) {
		ck_assert_ptr_eq(ram_ptr(m, i == 3 ? LFB + 0x100000 : LFB + 0x10000 * i), m->ram + b + 0x1000 * i);
		memory_unmap(vm, b + 0x1000 * i);
	}
	ck_assert_ptr_null(ram_ptr(m, LFB + 0x70000));
	ck_assert(memory_map(vm, LFB, 0x2000, a, true));
	ck_assert(memory_map(vm, LFB + 0x2000, 0x1000, b, false));
	ck_assert(!memory_is_writable(m, LFB + 0x2000));
	/* It moves. */
	ck_assert(memory_map(vm, LFB + 0x100000, 0x2000, a, true));
	ck_assert_ptr_null(ram_ptr(m, LFB));
	ck_assert_ptr_eq(ram_ptr(m, LFB + 0x100000), m->ram + a);
	memory_unmap(vm, a);
	ck_assert_ptr_null(ram_ptr(m, LFB + 0x100000));
	ck_assert_ptr_nonnull(ram_ptr(m, LFB + 0x2000));
	machine_destroy();
}
END_TEST

START_TEST(isa_hole)
{
	machine_create();
	struct memory *m = &vm->mem;
	u64 rom = memory_alloc(m, 0x10000);
	u32 x;
	ck_assert_ptr_null(ram_ptr(m, 0xa0000));
	ck_assert_ptr_null(ram_ptr(m, 0xbffff));
	ck_assert_ptr_eq(ram_ptr(m, 0xc0000), m->ram + 0xc0000);
	ck_assert(memory_is_writable(m, 0xfffff));
	memset(m->ram + rom, 0x11, 0x10000);
	memset(m->ram + 0xf0000, 0x22, 0x10000);

	/* ROM: reads as ROM, swallows writes. */
	memory_map_isa(vm, 0xf0000, 0x10000, rom, MEMORY_NOTHING);
	phys_read(vm, 0xf0010, &x, 4);
	ck_assert_uint_eq(x, 0x11111111);
	phys_write(vm, 0xf0010, &(u32){0x33333333}, 4);
	phys_read(vm, 0xf0010, &x, 4);
	ck_assert_uint_eq(x, 0x11111111);
	ck_assert_uint_eq(*(u32 *)(m->ram + 0xf0010), 0x22222222);
	/* Shadowing under way: reads as ROM, writes to RAM. */
	memory_map_isa(vm, 0xf0000, 0x10000, rom, 0xf0000);
	ck_assert(!memory_is_writable(m, 0xf0010));
	lin_write(v, 0xf0010, 0x44444444, 4, 0);
	ck_assert_uint_eq(lin_read(v, 0xf0010, 4, 0), 0x11111111);
	/* Shadowed. */
	memory_map_isa(vm, 0xf0000, 0x10000, 0xf0000, 0xf0000);
	ck_assert(memory_is_writable(m, 0xf0010));
	phys_read(vm, 0xf0010, &x, 4);
	ck_assert_uint_eq(x, 0x44444444);
	machine_destroy();
}
END_TEST

static u64 next_read;

/* OUT to port 80h, the PIC's neighbour, changes what F0000h is. */
static void switch_map(void *opaque, u16 port, u32 value, unsigned size)
{
	(void)opaque;
	(void)port;
	(void)value;
	(void)size;
	memory_map_isa(vm, 0xf0000, 0x1000, next_read, MEMORY_NOTHING);
}

/* Code in a page that the map changes, called before and after; and data read from it. */
START_TEST(code_follows)
{
	machine_create();
	struct memory *m = &vm->mem;
	u64 rom = memory_alloc(m, 0x1000);
	static const u8 returns_1[] = {0xb8, 1, 0, 0, 0, 0xc3}, returns_2[] = {0xb8, 2, 0, 0, 0, 0xc3};
	memcpy(m->ram + 0xf0000, returns_1, 6);
	memcpy(m->ram + rom, returns_2, 6);
	m->ram[0xf0100] = 0x10;
	m->ram[rom + 0x100] = 0x20;
	next_read = rom;
	io_register(vm, &(struct port_range){.first = 0x1234, .last = 0x1234, .max_size = 1, .write = switch_map});
	/* call f ; mov ebx, eax ; mov cl, [f0100] ; mov dx, 1234 ; out dx, al ; call f ; mov ch, [f0100] ; int3 */
	PUT(CODE, 0xe8, 0, 0, 0, 0, 0x89, 0xc3, 0x8a, 0x0d, 0, 1, 0x0f, 0, 0x66, 0xba, 0x34, 0x12, 0xee, 0xe8, 0, 0, 0, 0, 0x8a, 0x2d, 0, 1,
	    0x0f, 0, 0xcc);
	poke(CODE + 1, 0xf0000 - (CODE + 5), 4);
	poke(CODE + 19, 0xf0000 - (CODE + 23), 4);
	vm_run_ok(CODE);
	ck_assert_uint_eq(v->regs[REG_EBX], 1);
	ck_assert_uint_eq(v->regs[REG_EAX], 2);
	ck_assert_uint_eq(v->regs[REG_ECX] & 0xffff, 0x2010);
	machine_destroy();
}
END_TEST

static void count(void *opaque)
{
	++*(int *)opaque;
}

/* Posted from another thread's point of view: done once, in order, and again when posted again. */
START_TEST(work)
{
	machine_create();
	int a = 0, b = 0;
	struct vcpu_work first = {.fn = count, .opaque = &a}, second = {.fn = count, .opaque = &b};
	vcpu_post(v, &first);
	vcpu_post(v, &second);
	vcpu_post(v, &first);
	ck_assert_int_eq(a + b, 0);
	PUT(CODE, 0x90, 0xcc);
	/* The harness forgets events that were set before it runs. */
	ck_assert_uint_ne(atomic_load(&v->events) & EV_WORK, 0);
	harness_run.events = EV_WORK;
	vm_run_ok(CODE);
	ck_assert_int_eq(a, 1);
	ck_assert_int_eq(b, 1);
	vcpu_post(v, &first);
	harness_run.events = EV_WORK;
	vm_run_ok(CODE);
	ck_assert_int_eq(a, 2);
	ck_assert_int_eq(b, 1);
	ck_assert_uint_eq(atomic_load(&v->events) & EV_WORK, 0);
	machine_destroy();
}
END_TEST

Suite *memory_map_suite(void)
{
	Suite *s = suite_create("memory_map");
	TCase *c = tcase_create("memory_map");

	tcase_add_test(c, board);
	tcase_add_test(c, isa_hole);
	tcase_add_test(c, code_follows);
	tcase_add_test(c, work);
	suite_add_tcase(s, c);
	return s;
}
