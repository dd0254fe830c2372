/*
 * Breakpoints, watchpoints and steps. The guest runs on a thread of its own; the test's is the debugger's, and holds the lock.
 */
#include "monitor/debug.h"

#include "monitor/gdb_regs.h"
#include "tests/unit/vm_harness.h"

#define CODE 0x20000
#define DATA 0x30000
#define DONE 0x21000 /* INT3 */

static pthread_t guest;
static struct debug debug;

static void *run_guest(void *opaque)
{
	(void)opaque;
	vm_run();
	return NULL;
}

static void attach(void *opaque)
{
	(void)opaque;
	debug_attach(v, &debug);
}

static void leave(void *opaque)
{
	(void)opaque;
	debug_moved(v);
	v->eip = DONE;
	v->cpl = 0;
	debug_detach(v);
}

/* Stands at `at`, before its first instruction. v's state is what the test has made it. */
static void start(u32 at)
{
	PUT(DONE, 0xcc);
	v->eip = at;
	memset(&debug, 0, sizeof(debug));
	pthread_mutex_lock(&vm->lock);
	vm->run.state = RUNSTATE_PRELAUNCH;
	harness_run.events = EV_PAUSE;
	pthread_create(&guest, NULL, run_guest, NULL);
	while (!vm->run.vcpu_stopped)
		pthread_cond_wait(&vm->run.changed, &vm->lock);
	ck_assert(vm_call_vcpu(vm, attach, NULL));
}

static void end(void)
{
	cpu_flat(0);
	ck_assert(vm_call_vcpu(vm, leave, NULL));
	vm_cont(vm);
	pthread_mutex_unlock(&vm->lock);
	pthread_join(guest, NULL);
	machine_destroy();
}

static unsigned go_flags;

static void resume(void *opaque)
{
	(void)opaque;
	debug_resume(v, go_flags);
}

/* Runs to the next stop, whose EIP is returned. */
static u32 go(unsigned flags)
{
	go_flags = flags;
	ck_assert(vm_call_vcpu(vm, resume, NULL));
	ck_assert(vm_cont(vm));
	while (!vm->run.vcpu_stopped && !vm->run.vcpu_ended)
		pthread_cond_wait(&vm->run.changed, &vm->lock);
	ck_assert_msg(!vm->run.vcpu_ended, "the guest came to its end");
	ck_assert_int_eq(vm->run.state, RUNSTATE_DEBUG);
	return v->eip;
}

static u32 step(void)
{
	u32 eip = go(DEBUG_ONE | DEBUG_NOIRQ);

	ck_assert_int_eq(debug.cause, DEBUG_STEPPED);
	return eip;
}

static void stop_at(u32 eip)
{
	ck_assert_uint_eq(go(0), eip);
	ck_assert_int_eq(debug.cause, DEBUG_AT_BREAK);
	ck_assert_uint_eq(debug.at_break.linear, v->seg[SEG_CS].base + eip);
}

/* inc eax; inc ecx; inc edx; inc ebx; cmp $0, eax; jne CODE: a TU that is chained to itself. */
static void put_loop(void)
{
	PUT(CODE, 0x40, 0x41, 0x42, 0x43, 0x83, 0xf8, 0x00, 0x75, 0xf7, 0xcc);
}

static const enum flavour flavours[] = {FLAVOUR_CHECKED, FLAVOUR_DIRECT};

static void create(int i)
{
	harness_flavour = flavours[i];
	machine_create();
	v->regs[REG_EDX] = 0; /* the processor's signature, after a reset */
}

START_TEST(break_in_a_loop)
{
	create(_i);
	put_loop();
	start(CODE);
	/* The loop is translated and chained before there is a breakpoint in its middle. */
	ck_assert(debug_set_break(&debug, CODE + 9, DEBUG_SW));
	go_flags = 0;
	ck_assert(vm_call_vcpu(vm, resume, NULL));
	ck_assert(vm_cont(vm));
	pthread_mutex_unlock(&vm->lock);
	while (!*(volatile u64 *)&v->stats.chains)
		;
	pthread_mutex_lock(&vm->lock);
	vm_stop_wait(vm, RUNSTATE_PAUSED);
	ck_assert(debug_set_break(&debug, CODE + 2, DEBUG_SW));
	stop_at(CODE + 2);
	u32 n = v->regs[REG_EAX];
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_eq(v->regs[REG_ECX], n);
	ck_assert_uint_eq(v->regs[REG_EDX], n - 1);
	ck_assert_int_eq(debug.at_break.kind, DEBUG_SW);
	/* Once around for each: the instruction under it is run. */
	for (u32 i = 1; i < 4; i++) {
		stop_at(CODE + 2);
		ck_assert_uint_eq(v->regs[REG_EAX], n + i);
	}
	/* A second one of the other kind; then the first goes. */
	ck_assert(debug_set_break(&debug, CODE + 4, DEBUG_HW));
	stop_at(CODE + 4);
	ck_assert_int_eq(debug.at_break.kind, DEBUG_HW);
	stop_at(CODE + 2);
	debug_clear_break(&debug, CODE + 2, DEBUG_SW);
	stop_at(CODE + 4);
	ck_assert_uint_eq(v->regs[REG_EAX], n + 4);
	/* The same address again and again, and one that begins the TU that all are chained to. */
	debug_clear_break(&debug, CODE + 4, DEBUG_HW);
	ck_assert(debug_set_break(&debug, CODE, DEBUG_SW));
	stop_at(CODE);
	stop_at(CODE);
	ck_assert_uint_eq(v->regs[REG_EBX], n + 5);
	end();
}
END_TEST

/* Moved to a breakpoint the vCPU stops there at once; left standing it goes on. */
static void move_to_code(void *opaque)
{
	u32 at = CODE;
	(void)opaque;
	ck_assert(gdb_reg_write(v, 8, (u8 *)&at));
}

START_TEST(moved_eip)
{
	create(_i);
	put_loop();
	start(CODE);
	ck_assert(debug_set_break(&debug, CODE, DEBUG_SW));
	ck_assert(debug_set_break(&debug, CODE + 3, DEBUG_SW));
	stop_at(CODE + 3);
	vm_call_vcpu(vm, move_to_code, NULL);
	stop_at(CODE);
	ck_assert_uint_eq(v->regs[REG_EAX], 1);
	stop_at(CODE + 3);
	ck_assert_uint_eq(v->regs[REG_EAX], 2);
	end();
}
END_TEST

/* 16-bit code in a segment with a base; its page offsets are those of a breakpoint elsewhere. */
START_TEST(break_in_16_bit_code)
{
	create(_i);
	PUT(CODE, 0x40, 0x41, 0x42, 0xeb, 0xfb); /* inc ax; inc cx; inc dx; jmp CODE */
	segment_set(v, SEG_CS, 0x2000, CODE - 0x100, 0xffff, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_R | SEG_TYPE_A);
	start(0x100);
	ck_assert(debug_set_break(&debug, CODE + 1, DEBUG_SW));
	ck_assert(debug_set_break(&debug, CODE + 0x1002, DEBUG_SW));
	stop_at(0x101);
	ck_assert_uint_eq(v->regs[REG_EAX], 1);
	stop_at(0x101);
	ck_assert_uint_eq(v->regs[REG_EAX], 2);
	ck_assert_uint_eq(v->regs[REG_EDX], 1);
	end();
}
END_TEST

/* A fault's handler, its return, and what an interrupt instruction leads to. */
START_TEST(break_behind_transfers)
{
	create(_i);
	/* inc eax ; ud2 ; inc ecx ; jmp CODE; the handler goes on behind the UD2 */
	PUT(CODE, 0x40, 0x0f, 0x0b, 0x41, 0xeb, 0xfa);
	PUT(H_HANDLERS + 16 * EXC_UD, 0x83, 0x04, 0x24, 0x02, 0xcf); /* addl $2, (%esp) ; iret */
	start(CODE);
	ck_assert(debug_set_break(&debug, H_HANDLERS + 16 * EXC_UD, DEBUG_SW));
	ck_assert(debug_set_break(&debug, CODE + 3, DEBUG_SW));
	for (u32 i = 1; i < 4; i++) {
		stop_at(H_HANDLERS + 16 * EXC_UD);
		ck_assert_uint_eq(peek(v->regs[REG_ESP], 4), CODE + 1);
		stop_at(CODE + 3);
		ck_assert_uint_eq(v->regs[REG_EAX], i);
		ck_assert_uint_eq(v->regs[REG_ECX], i - 1);
	}
	end();
}
END_TEST

START_TEST(steps)
{
	create(_i);
	/*
	 *  0 mov $3, ecx ; 5 rep stosb ; 7 pushf ; 8 pop eax ; 9 mov ss, ebx ; b mov ebx, ss ; d nop ; e ud2 ; 10 sti ; 11 hlt ; 12 nop
	 * 13 call 20 ... 20 ret
	 */
	PUT(CODE, 0xb9, 3, 0, 0, 0, 0xf3, 0xaa, 0x9c, 0x58, 0x8c, 0xd3, 0x8e, 0xd3, 0x90, 0x0f, 0x0b, 0xfb, 0xf4, 0x90, 0xe8, 8, 0, 0, 0);
	PUT(CODE + 0x20, 0xc3);
	PUT(H_HANDLERS + 16 * EXC_UD, 0x83, 0x04, 0x24, 0x02, 0xcf);
	static const u32 at[] = {5, 5, 5, 7, 8, 9, 0xb, 0xd, 0xe};
	static const u32 rest[] = {0x10, 0x11, 0x12, 0x13, 0x20, 0x18};

	v->regs[REG_EDI] = DATA;
	start(CODE);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
		ck_assert_uint_eq(step(), CODE + at[i]);
	ck_assert_uint_eq(v->regs[REG_EDI], DATA + 3);
	ck_assert_uint_eq(v->regs[REG_EAX] & EFLAGS_TF, 0);
	ck_assert_uint_eq(v->sysflags & EFLAGS_TF, 0);
	/* A fault: its handler's first instruction. */
	ck_assert_uint_eq(step(), H_HANDLERS + 16 * EXC_UD);
	ck_assert_uint_eq(step(), H_HANDLERS + 16 * EXC_UD + 4);
	for (unsigned i = 0; i < ARRAY_SIZE(rest); i++)
		ck_assert_uint_eq(step(), CODE + rest[i]);
	end();
}
END_TEST

/* The guest's own TF: its trap is its own, and comes. */
START_TEST(step_with_tf)
{
	create(_i);
	PUT(CODE, 0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0x90); /* pushf ; orl $0x100, (%esp) ; popf ; nop ; nop */
	start(CODE);
	ck_assert_uint_eq(step(), CODE + 1);
	ck_assert_uint_eq(step(), CODE + 8);
	ck_assert_uint_eq(step(), CODE + 9);
	ck_assert_uint_eq(v->sysflags & EFLAGS_TF, EFLAGS_TF);
	ck_assert_uint_eq(step(), H_HANDLERS + 16 * EXC_DB);
	ck_assert_uint_eq(v->dr[6] & 0x4000, 0x4000);
	ck_assert_uint_eq(peek(v->regs[REG_ESP], 4), CODE + 10);
	end();
}
END_TEST

/* Instructions of which exactly one touches what is watched: where they stop. */
struct watch_case {
	const char *name;
	u8 code[24];
	u32 kind, linear, len;
	u32 stop; /* from CODE */
};

static const struct watch_case watch_cases[] = {
	{"mov", {0x90, 0xc7, 0x07, 1, 0, 0, 0, 0x90, 0x90}, DEBUG_WRITES, DATA, 4, 7},
	{"one byte of four", {0x90, 0xc7, 0x07, 1, 0, 0, 0, 0x90, 0x90}, DEBUG_WRITES, DATA + 3, 1, 7},
	{"not the neighbour", {0xc7, 0x07, 1, 0, 0, 0, 0x88, 0x47, 0x04, 0x90}, DEBUG_WRITES, DATA + 4, 1, 9},
	{"reads are not writes", {0x8b, 0x07, 0x89, 0x07, 0x90}, DEBUG_WRITES, DATA, 4, 4},
	{"writes are not reads", {0x89, 0x07, 0x8b, 0x07, 0x90}, DEBUG_READS, DATA, 4, 4},
	{"any access reads", {0x90, 0x8b, 0x07, 0x90}, DEBUG_ACCESSES, DATA, 4, 3},
	{"any access writes", {0x90, 0x89, 0x07, 0x90}, DEBUG_ACCESSES, DATA, 4, 3},
	{"read and write, as a read", {0x90, 0xff, 0x07, 0x90}, DEBUG_READS, DATA, 4, 3},
	{"read and write, as a write", {0x90, 0xff, 0x07, 0x90}, DEBUG_WRITES, DATA, 4, 3},
	{"push", {0x90, 0x89, 0xfc, 0x50, 0x90, 0x90}, DEBUG_WRITES, DATA - 4, 4, 4},
	{"call", {0x89, 0xfc, 0xe8, 1, 0, 0, 0, 0x90, 0x90}, DEBUG_WRITES, DATA - 1, 1, 8},
	{"pop", {0x89, 0xfc, 0x58, 0x90}, DEBUG_READS, DATA, 4, 3},
	{"across a page's end", {0x90, 0x89, 0x87, 0xfe, 0x0f, 0, 0, 0x90}, DEBUG_WRITES, DATA + 0x1000, 1, 7},
	{"across from below", {0x90, 0x89, 0x87, 0xfe, 0x0f, 0, 0, 0x90}, DEBUG_WRITES, DATA + 0xffe, 1, 7},
	{"stosb", {0xb9, 1, 0, 0, 0, 0xaa, 0x90}, DEBUG_WRITES, DATA, 1, 6},
	{"a repetition stops within", {0xb9, 9, 0, 0, 0, 0xf3, 0xab, 0x90}, DEBUG_WRITES, DATA + 8, 4, 5},
	{"movsb reads", {0x89, 0xfe, 0xa4, 0x90}, DEBUG_READS, DATA, 1, 3},
	{"a callout", {0x90, 0x0f, 0x01, 0x07, 0x90}, DEBUG_WRITES, DATA + 2, 1, 4}, /* sgdt */
	{"fxsave", {0x90, 0x0f, 0xae, 0x07, 0x90}, DEBUG_WRITES, DATA + 100, 4, 4},
	{"movups", {0x90, 0x0f, 0x11, 0x07, 0x90}, DEBUG_WRITES, DATA + 15, 1, 4},
	{"x87", {0xd9, 0xe8, 0xd9, 0x1f, 0x90}, DEBUG_WRITES, DATA, 4, 4},
	{"pushf", {0x89, 0xfc, 0x9c, 0x90}, DEBUG_WRITES, DATA - 2, 1, 3},
};

static void run_watch_case(const struct watch_case *w)
{
	put_bytes(CODE, w->code, sizeof(w->code));
	v->regs[REG_EDI] = DATA;
	v->cr4 |= CR4_OSFXSR;
	start(CODE);
	/* Run through once without it: window and tables have the pages, and the code is translated. */
	ck_assert(debug_set_break(&debug, CODE + sizeof(w->code), DEBUG_SW));
	stop_at(CODE + sizeof(w->code));
}

static u32 case_edi;
static void rewind_case(void *opaque)
{
	u32 at = CODE;

	(void)opaque;
	ck_assert(gdb_reg_write(v, 8, (u8 *)&at));
	v->regs[REG_EDI] = case_edi;
	v->regs[REG_ESP] = H_KSTACK;
}

START_TEST(watchpoints)
{
	for (unsigned i = 0; i < ARRAY_SIZE(watch_cases); i++) {
		const struct watch_case *w = &watch_cases[i];
		u8 code[sizeof(w->code)];
		u32 eip;

		create(_i);
		/* Zeros would be ADD [EAX], AL. */
		memcpy(code, w->code, sizeof(code));
		for (unsigned k = sizeof(code); k-- > 0 && !code[k];)
			code[k] = 0x90;
		struct watch_case filled = *w;
		memcpy(filled.code, code, sizeof(code));
		run_watch_case(&filled);
		case_edi = DATA;
		ck_assert(vm_call_vcpu(vm, rewind_case, NULL));
		ck_assert(debug_set_watch(&debug, w->linear, w->len, w->kind));
		eip = go(0);
		ck_assert_msg(eip == CODE + w->stop && debug.cause == DEBUG_AT_WATCH, "%s: stopped at %#x, not %#x (cause %d)", w->name,
			      eip, CODE + w->stop, debug.cause);
		ck_assert_uint_eq(debug.at_watch.linear, w->linear);
		ck_assert_uint_eq(debug.at_watch.kind, w->kind);
		/* Then on to the end. A repetition has more to do, none of which is watched. */
		stop_at(CODE + sizeof(w->code));
		/* Taken away it stops nothing. */
		ck_assert(vm_call_vcpu(vm, rewind_case, NULL));
		debug_clear_watch(&debug, w->linear, w->len, w->kind);
		stop_at(CODE + sizeof(w->code));
		end();
	}
}
END_TEST

/* A step onto a watched access says so. */
START_TEST(step_into_watch)
{
	create(_i);
	PUT(CODE, 0x90, 0x89, 0x07, 0x90);
	v->regs[REG_EDI] = DATA;
	start(CODE);
	ck_assert(debug_set_watch(&debug, DATA, 4, DEBUG_WRITES));
	ck_assert_uint_eq(step(), CODE + 1);
	ck_assert_uint_eq(go(DEBUG_ONE), CODE + 3);
	ck_assert_int_eq(debug.cause, DEBUG_AT_WATCH);
	ck_assert_uint_eq(step(), CODE + 4);
	end();
}
END_TEST

/* ---- memory ---- */

static u32 result;
static u8 bytes[16];

static void read_unmapped(void *opaque)
{
	(void)opaque;
	result = debug_read(v, 0x400ff8, false, bytes, 16);
}

static void write_code(void *opaque)
{
	static const u8 two_incs[] = {0x40, 0x40};

	(void)opaque;
	result = debug_write(v, CODE, false, two_incs, 2);
}

static void touch_device(void *opaque)
{
	(void)opaque;
	result = debug_read(v, H_MMIO, true, bytes, 4) + debug_write(v, H_MMIO, true, bytes, 4);
}

START_TEST(memory)
{
	create(_i);
	PUT(CODE, 0x41, 0x90, 0xeb, 0xfc); /* inc ecx ; nop ; jmp CODE */
	paging_on();
	for (u32 at = CODE & ~PAGE_MASK; at <= DONE; at += PAGE_SIZE)
		map_page(at, at, PTE_P | PTE_W | PTE_A | PTE_D);
	u32 pte = map_page(0x400000, 0x50000, PTE_P);
	mmu_flush_all(v);
	poke(0x50ff8, 0x1122334455667788, 8);
	start(CODE);
	vm_call_vcpu(vm, read_unmapped, NULL);
	ck_assert_uint_eq(result, 8);
	ck_assert_uint_eq(bytes[0], 0x88);
	ck_assert_uint_eq(peek(pte, 4) & (PTE_A | PTE_D), 0);
	vm_call_vcpu(vm, touch_device, NULL);
	ck_assert_uint_eq(result, 0);
	ck_assert_uint_eq(mmio_count, 0);
	/* Code that was translated is not what is there now. */
	ck_assert(debug_set_break(&debug, CODE + 2, DEBUG_SW));
	stop_at(CODE + 2);
	stop_at(CODE + 2);
	ck_assert_uint_eq(v->regs[REG_ECX], 2);
	vm_call_vcpu(vm, write_code, NULL);
	ck_assert_uint_eq(result, 2);
	stop_at(CODE + 2);
	ck_assert_uint_eq(v->regs[REG_ECX], 2);
	ck_assert_uint_eq(v->regs[REG_EAX], 2);
	end();
}
END_TEST

/* ---- the sets ---- */

START_TEST(sets)
{
	memset(&debug, 0, sizeof(debug));
	for (u32 i = 0; i < DEBUG_MAX_BREAKS; i++)
		ck_assert(debug_set_break(&debug, i * 7919 % 4096, DEBUG_SW));
	ck_assert(!debug_set_break(&debug, 5000, DEBUG_SW));
	ck_assert(debug_set_break(&debug, 0, DEBUG_SW));
	for (u32 i = 1; i < debug.wanted.break_count; i++)
		ck_assert_uint_lt(debug.wanted.breaks[i - 1].linear, debug.wanted.breaks[i].linear);
	debug_clear_break(&debug, 0, DEBUG_HW);
	ck_assert_uint_eq(debug.wanted.break_count, DEBUG_MAX_BREAKS);
	for (u32 i = 0; i < DEBUG_MAX_BREAKS; i++)
		debug_clear_break(&debug, i * 7919 % 4096, DEBUG_SW);
	ck_assert_uint_eq(debug.wanted.break_count, 0);
	for (u32 i = 0; i < DEBUG_MAX_WATCHES; i++)
		ck_assert(debug_set_watch(&debug, i, 4, DEBUG_WRITES));
	ck_assert(!debug_set_watch(&debug, 0, 4, DEBUG_READS));
	ck_assert(!debug_set_watch(&debug, 0, 0, DEBUG_WRITES));
	debug_clear_watch(&debug, 3, 4, DEBUG_WRITES);
	ck_assert(!debug_set_watch(&debug, 0, DEBUG_MAX_LEN + 1, DEBUG_READS));
	ck_assert(debug_set_watch(&debug, 0, 4, DEBUG_READS));
}
END_TEST

Suite *debug_suite(void)
{
	Suite *s = suite_create("debug");
	TCase *t = tcase_create("debug");
	int n = ARRAY_SIZE(flavours);

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, break_in_a_loop, 0, n);
	tcase_add_loop_test(t, moved_eip, 0, n);
	tcase_add_loop_test(t, break_in_16_bit_code, 0, n);
	tcase_add_loop_test(t, break_behind_transfers, 0, n);
	tcase_add_loop_test(t, steps, 0, n);
	tcase_add_loop_test(t, step_with_tf, 0, n);
	tcase_add_loop_test(t, watchpoints, 0, n);
	tcase_add_loop_test(t, step_into_watch, 0, n);
	tcase_add_loop_test(t, memory, 0, n);
	tcase_add_test(t, sets);
	suite_add_tcase(s, t);
	return s;
}
