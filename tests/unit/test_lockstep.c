/*
 * Lockstep: instructions are counted once in either flavour, whatever is tried again; time is a function of the count; timers fire between
 * two given instructions; two runs leave the same records.
 */
#include "tests/unit/vm_harness.h"

#include <stdio.h>
#include <unistd.h>

#include "cache/tc.h"
#include "monitor/lockstep.h"
#include "monitor/log.h"

enum { CODE = 0x40000, DATA = 0x50000 };
static char path[] = "/tmp/test_lockstep.XXXXXX";

/* every: instructions between records; with many, whole TUs run. */
static void create(enum flavour flavour, u64 every)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert(log_open(path));
	harness_flavour = flavour;
	harness_lockstep = every;
	machine_create();
}

static void destroy(void)
{
	machine_destroy();
	unlink(path);
	strcpy(path + sizeof(path) - 7, "XXXXXX");
}

/* Runs the code at CODE; the instructions that it took up to and with its INT3. */
static u64 count(void)
{
	u64 before = v->insns;

	vm_run_ok(CODE);
	/* The handler's OUT. */
	return v->insns - before - 1;
}

static const enum flavour flavours[] = {FLAVOUR_CHECKED, FLAVOUR_DIRECT};

START_TEST(counts)
{
	create(flavours[_i], 1u << 20);
	/* mov ecx, 100 ; 1: inc eax ; dec ecx ; jnz 1b ; int3 */
	PUT(CODE, 0xb9, 100, 0, 0, 0, 0x40, 0x49, 0x75, 0xfc, 0xcc);
	ck_assert_uint_eq(count(), 1 + 3 * 100 + 1);
	ck_assert_uint_eq(v->regs[REG_EAX], 100);
	destroy();
}
END_TEST

/* 64 KiB are several visits to the string's handler, or several faults in a window. */
START_TEST(counts_repetition_once)
{
	create(flavours[_i], 1u << 20);
	/* mov ecx, 0x10000 ; mov edi, 0x100000 ; rep stosb ; nop ; int3 */
	PUT(CODE, 0xb9, 0, 0, 1, 0, 0xbf, 0, 0, 0x10, 0, 0xf3, 0xaa, 0x90, 0xcc);
	ck_assert_uint_eq(count(), 5);
	ck_assert_uint_eq(v->regs[REG_EDI], 0x110000);
	destroy();
}
END_TEST

/* An access to a device convicts its instruction in a window; one that writes to its own TU is tried alone. */
START_TEST(counts_retries_once)
{
	create(flavours[_i], 1u << 20);
	/* mov [MMIO], eax ; mov eax, [MMIO] ; mov byte [1f], 0x43 ; nop ; 1: inc ecx ; int3 */
	PUT(CODE, 0xa3, 0, 0, 0, 0xd0, 0xa1, 0, 0, 0, 0xd0, 0xc6, 0x05, 0x12, 0, 4, 0, 0x43, 0x90, 0x41, 0xcc);
	ck_assert_uint_eq(count(), 6);
	ck_assert_uint_eq(mmio_count, 2);
	ck_assert_uint_eq(v->regs[REG_EBX], 1);
	destroy();
}
END_TEST

static u64 fired_insns, fired_ns;

static void on_timer(void *opaque)
{
	(void)opaque;
	fired_insns = v->insns;
	fired_ns = clock_ns(&vm->clock);
}

/* Deadlines between instructions, and in the middle of what is one TU: the timer fires behind the instruction that reaches them. */
START_TEST(timer_fires_exactly)
{
	static const u64 after_ns[] = {1, 10, 11, 995, 1000, 2000};

	create(FLAVOUR_CHECKED, 1u << 20);
	for (unsigned k = 0; k < 300; k++)
		PUT(CODE + k, 0x90);
	PUT(CODE + 300, 0xcc);
	for (unsigned k = 0; k < ARRAY_SIZE(after_ns); k++) {
		struct timer t;
		u64 start = v->insns, ns = clock_ns(&vm->clock);

		timer_init(&t, vm, on_timer, NULL);
		timer_mod(&t, ns + after_ns[k]);
		ck_assert_uint_eq(event_next_due(vm), ns + after_ns[k]);
		fired_insns = 0;
		vm_run_ok(CODE);
		ck_assert_uint_eq(fired_insns - start, (after_ns[k] + LOCKSTEP_INSN_NS - 1) / LOCKSTEP_INSN_NS);
		ck_assert_uint_eq(event_next_due(vm), UINT64_MAX);
	}
	destroy();
}
END_TEST

/* A device that a port arms; its timer is due two instructions later. */
static void arm(void *opaque, u16 port, u32 value, unsigned size)
{
	(void)port, (void)value, (void)size;
	timer_mod(opaque, clock_ns(&vm->clock) + 2 * LOCKSTEP_INSN_NS);
}

START_TEST(timer_set_inside_tu)
{
	static struct timer t;
	u64 start;

	create(FLAVOUR_CHECKED, 1u << 20);
	timer_init(&t, vm, on_timer, NULL);
	pthread_mutex_lock(&vm->lock);
	io_register(vm, &(struct port_range){0x77, 0x77, 1, NULL, arm, &t});
	pthread_mutex_unlock(&vm->lock);
	start = v->insns;
	/* nop ; out 0x77, al ; 5 times nop ; int3 */
	PUT(CODE, 0x90, 0xe6, 0x77, 0x90, 0x90, 0x90, 0x90, 0x90, 0xcc);
	vm_run_ok(CODE);
	ck_assert_uint_eq(fired_insns - start, 4);
	destroy();
}
END_TEST

static void on_wake(void *opaque)
{
	on_timer(opaque);
	vcpu_set_event(v, EV_NMI);
}

/* An instruction that was abandoned under MOV SS is still under it when it is tried again: an NMI waits for its end. */
START_TEST(retry_keeps_shadow)
{
	struct timer t;
	struct outcome o;

	create(flavours[_i], 1u << 20);
	timer_init(&t, vm, on_wake, NULL);
	timer_mod(&t, LOCKSTEP_INSN_NS);
	v->regs[REG_EAX] = KDS;
	/* mov ss, eax ; mov [MMIO], ecx ; nop ; int3 */
	PUT(CODE, 0x8e, 0xd0, 0x89, 0x0d, 0, 0, 0, 0xd0, 0x90, 0xcc);
	v->eip = CODE;
	o = vm_run();
	ck_assert_uint_eq(fired_insns, 1);
	ck_assert_int_eq(o.vector, EXC_NMI);
	ck_assert_uint_eq(o.eip, CODE + 8);
	destroy();
}
END_TEST

/* HLT takes no instructions until the timer that ends it: time jumps there. */
START_TEST(halt_jumps)
{
	struct timer t;
	struct outcome o;
	u64 start;

	create(FLAVOUR_CHECKED, 1u << 20);
	timer_init(&t, vm, on_wake, NULL);
	timer_mod(&t, 5 * NS_PER_SEC);
	start = v->insns;
	/* sti ; hlt */
	PUT(CODE, 0xfb, 0xf4);
	v->eip = CODE;
	o = vm_run();
	ck_assert_int_eq(o.vector, EXC_NMI);
	ck_assert_uint_eq(o.eip, CODE + 2);
	ck_assert_uint_eq(fired_insns - start, 2);
	ck_assert_uint_eq(fired_ns, 5 * NS_PER_SEC);
	destroy();
}
END_TEST

/* With interrupts off nothing ends it: the machine does. */
START_TEST(dead_halt_ends)
{
	static struct loader loader = {.load = harness_load};

	create(FLAVOUR_CHECKED, 1u << 20);
	PUT(CODE, 0xfa, 0xf4);
	v->eip = CODE;
	fpu_save(v);
	harness_run.state = *v;
	vm->loader = &loader;
	vcpu_run(v);
	ck_assert_int_eq(atomic_load(&vm->exit_reason), VM_QUIT);
	ck_assert_uint_eq(v->eip, CODE + 2);
	destroy();
}
END_TEST

/* The records of a run of the code at CODE, with `operand` as the constant in it. */
static void records(enum flavour flavour, u8 operand, char *out, size_t size)
{
	FILE *f;
	size_t n;

	create(flavour, 10);
	vm->opt.lockstep_show = true;
	lockstep_free(v);
	ck_assert_int_eq(lockstep_init(v), 0);
	/* mov ecx, 50 ; 1: mov byte [DATA + ecx], operand ; add eax, [DATA + ecx] ; dec ecx ; jnz 1b ; int3 */
	PUT(CODE, 0xb9, 50, 0, 0, 0, 0xc6, 0x81, 0, 0, 5, 0, 0, 0x03, 0x81, 0, 0, 5, 0, 0x49, 0x75, 0xf0, 0xcc);
	poke(CODE + 11, operand, 1);
	vm_run_ok(CODE);
	fflush(log_file());
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(out, 1, size - 1, f);
	out[n] = '\0';
	fclose(f);
	destroy();
}

START_TEST(records_agree)
{
	static char checked[1 << 20], direct[1 << 20], other[1 << 20];

	records(FLAVOUR_CHECKED, 7, checked, sizeof(checked));
	records(FLAVOUR_DIRECT, 7, direct, sizeof(direct));
	records(FLAVOUR_CHECKED, 8, other, sizeof(other));
	ck_assert_ptr_nonnull(strstr(checked, "state 200 "));
	ck_assert_ptr_nonnull(strstr(checked, "\npage 7ff "));
	ck_assert_ptr_nonnull(strstr(checked, "\nend "));
	ck_assert_str_eq(checked, direct);
	ck_assert_str_ne(checked, other);
}
END_TEST

Suite *lockstep_suite(void);
Suite *lockstep_suite(void)
{
	Suite *s = suite_create("lockstep");
	TCase *t = tcase_create("lockstep");

	tcase_add_loop_test(t, counts, 0, (int)ARRAY_SIZE(flavours));
	tcase_add_loop_test(t, counts_repetition_once, 0, (int)ARRAY_SIZE(flavours));
	tcase_add_loop_test(t, counts_retries_once, 0, (int)ARRAY_SIZE(flavours));
	tcase_add_loop_test(t, retry_keeps_shadow, 0, (int)ARRAY_SIZE(flavours));
	tcase_add_test(t, timer_fires_exactly);
	tcase_add_test(t, timer_set_inside_tu);
	tcase_add_test(t, halt_jumps);
	tcase_add_test(t, dead_halt_ends);
	tcase_add_test(t, records_agree);
	suite_add_tcase(s, t);
	return s;
}
