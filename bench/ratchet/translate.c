/*
 * The ratchet's workload: translates a fixed corpus in each of some modes, and does nothing else; bench/ratchet.py counts what that takes.
 *
 *	ratchet CORPUS
 *
 * CORPUS (corpus.bin) is 32-bit code that stays as it is, whatever compilers and this repository's programs become: the benchmark programs
 *and parts of three guest kernels, as gcc 12 made them once. It is walked from end to end: the next TU begins where the last one ends.
 *Prints a line for each mode: its name, TUs, guest instructions, guest bytes, and host bytes hot and cold. No figure depends on the host's
 *CPU.
 *
 * Invariant: nothing runs; so no signal handlers, no devices, and it works under an instruction counter that knows nothing of windows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/tc.h"
#include "monitor/cpuid.h"
#include "monitor/fpu.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"
#include "translator/mode.h"
#include "translator/translate.h"

#define CODE	 0x20000u
#define MAX_CODE (1u << 20)
#define FLAT	 (MODE_FLAT(SEG_ES) | MODE_FLAT(SEG_CS) | MODE_FLAT(SEG_SS) | MODE_FLAT(SEG_DS))
#define WIDE	 (MODE_CS32 | MODE_SS32 | MODE_OSFXSR)

static const struct {
	const char *name;
	u32 mode;
} modes[] = {
	{"kernel-checked", WIDE | FLAT},   {"kernel-direct", WIDE | FLAT | MODE_DIRECT},
	{"user-checked", WIDE | FLAT | 3}, {"user-direct", WIDE | FLAT | MODE_DIRECT | 3},
	{"segmented-checked", WIDE},
};

static _Noreturn void die(const char *what, const char *name)
{
	fprintf(stderr, "ratchet: %s: %s\n", what, name);
	exit(2);
}

/* A machine with a CPU of all features, and a cache that is larger than all the code will be. The caller owns it. */
static struct vm *create_machine(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		die("out of memory", "machine");
	vm->opt.ram_size = 4 << 20;
	vm->opt.tc_size = 32 << 20;
	vm->opt.flavour = FLAVOUR_CHECKED;
	if (vm_init(vm, vm->opt.ram_size))
		die("cannot set up", "machine");
	struct vcpu *v = vcpu_create(vm);
	/* A host with little address space has other jump caches, and its TUs other heads. */
	v->tc->jc_entries = 1ull << 32;
	v->tsc.usable = true;
	v->features = (1ull << CPUF_COUNT) - 1;
	v->cr0 = CR0_PE | CR0_ET | CR0_NE;
	segment_set(v, SEG_CS, 8, 0, 0xffffffffu, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_R | SEG_TYPE_A | SEG_DB | SEG_G);
	fpu_save(v);
	return vm;
}

static u32 load(struct vm *vm, const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t n = f ? fread(ram_ptr(&vm->mem, CODE), 1, MAX_CODE, f) : 0;

	if (!n || !feof(f))
		die("cannot read, or too large", path);
	fclose(f);
	return (u32)n;
}

static void walk(struct vcpu *v, u32 end, u32 mode)
{
	/* Against unwinding, which a raise would do; translation of code in flat RAM raises nothing. */
	if (__builtin_setjmp(v->unwind))
		die("raises in the translator", "corpus");
	v->mode = mode;
	v->eip = CODE;
	while (v->eip < end)
		v->eip += translate(v, v->eip)->guest_len;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		die("usage", "ratchet CORPUS");
	struct vm *vm = create_machine();
	struct vcpu *v = vm->vcpu;
	u32 end = CODE + load(vm, argv[1]);

	tc_flush(v);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct stats was = v->stats;

		walk(v, end, modes[i].mode);
#define SINCE(field) ((unsigned long long)(v->stats.field - was.field))
		printf("MODE %s %llu %llu %llu %llu %llu\n", modes[i].name, SINCE(tus_made), SINCE(insns_translated), SINCE(guest_bytes),
		       SINCE(host_bytes_hot), SINCE(host_bytes_cold));
		if (SINCE(tc_flushes))
			die("the cache is too small", modes[i].name);
#undef SINCE
	}
	vcpu_free(v);
	vm_free(vm);
	free(vm);
	return 0;
}
