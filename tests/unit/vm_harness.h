/*
 * A small machine with a real vCPU: translator, caches, tables and dispatcher are those of the library. No devices but a memory-mapped one
 * that records its accesses, and a port that stops the machine.
 *
 * vm_run() runs guest code from the state that the test has put into *v until an exception; INT3 is the regular end. The dispatcher starts
 * with a boot, which resets the CPU, so the state is put back from the loader at a second boot, inside vcpu_run's own setjmp.
 *
 * Invariant: the first 64 KiB of guest RAM belong to the harness (descriptor tables, handlers, stacks), and are mapped one to one where
 * paging is on.
 */
#ifndef RINGER_TEST_VM_HARNESS_H
#define RINGER_TEST_VM_HARNESS_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/exception.h"
#include "monitor/fpu.h"
#include "monitor/load_image.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"
#include "translator/mode.h"

enum {
	H_IDT = 0x1000,
	H_HANDLERS = 0x1800, /* 16 bytes for each vector */
	H_GDT = 0x2000,
	H_TSS = 0x2100,
	H_KSTACK = 0x4000,  /* top of the stack that CPL 0 runs on */
	H_TSTACK = 0x5000,  /* top of the one in the TSS */
	H_TABLES = 0x10000, /* page tables are taken from here upwards */
	H_STOP_PORT = 0xf4,
	KCS = 0x08,
	KDS = 0x10,
	UCS = 0x1b,
	UDS = 0x23,
	H_TSS_SEL = 0x28,
};
#define H_MMIO	    0xd0000000u
#define H_MMIO_SIZE 0x2000u

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100 };
#define PTE_NX (1ull << 63)

static struct vm *vm;
static struct vcpu *v;

/* Accesses to the memory-mapped device, oldest first; its bytes read as the low byte of their offset. */
static struct {
	bool write;
	u32 offset, size, value;
} mmio_seen[64] __attribute__((unused));
static unsigned mmio_count __attribute__((unused));
static u32 mmio_raises __attribute__((unused)); /* EV_* that an access to the device sets */

static u32 harness_mmio_read(void *opaque, u64 offset, unsigned size)
{
	u32 x = 0;
	(void)opaque;
	vcpu_set_event(v, mmio_raises);
	for (unsigned k = 0; k < size; k++)
		x |= (u32)((offset + k) & 0xff) << (8 * k);
	if (mmio_count < ARRAY_SIZE(mmio_seen)) {
		mmio_seen[mmio_count].write = false;
		mmio_seen[mmio_count].offset = (u32)offset;
		mmio_seen[mmio_count].size = size;
		mmio_seen[mmio_count++].value = x;
	}
	return x;
}

static void harness_mmio_write(void *opaque, u64 offset, u32 value, unsigned size)
{
	(void)opaque;
	vcpu_set_event(v, mmio_raises);
	if (mmio_count < ARRAY_SIZE(mmio_seen)) {
		mmio_seen[mmio_count].write = true;
		mmio_seen[mmio_count].offset = (u32)offset;
		mmio_seen[mmio_count].size = size;
		mmio_seen[mmio_count++].value = value;
	}
}

static void harness_stop(void *opaque, u16 port, u32 value, unsigned size)
{
	(void)opaque, (void)port, (void)value, (void)size;
	vcpu_set_event(v, EV_STOP);
}

/* ---- guest-physical memory ---- */

static inline u8 *ram_at(u64 pa)
{
	u8 *p = ram_ptr(&vm->mem, pa);
	/* Not ck_assert: it reports to the test runner even when all is well. */
	if (!p)
		ck_abort_msg("no RAM at %#llx", (unsigned long long)pa);
	return p;
}

static inline void poke(u64 pa, u64 x, unsigned size)
{
	memcpy(ram_at(pa), &x, size);
}

static inline u64 peek(u64 pa, unsigned size)
{
	u64 x = 0;
	memcpy(&x, ram_at(pa), size);
	return x;
}

/* Copies bytes to guest RAM as a device would: translated code there is dropped. */
static inline void put_bytes(u64 pa, const void *bytes, size_t n)
{
	ck_assert(phys_write(vm, pa, bytes, n));
}
#define PUT(pa, ...)                                                                                                                       \
	do {                                                                                                                               \
		static const u8 put_[] = {__VA_ARGS__};                                                                                    \
		put_bytes(pa, put_, sizeof(put_));                                                                                         \
	} while (0)

static inline void put_descriptor(u32 n, u32 base, u32 limit, u32 access, u32 flags)
{
	poke(H_GDT + n, (limit & 0xffff) | base << 16, 4);
	poke(H_GDT + n + 4, (base >> 16 & 0xff) | access << 8 | (limit & 0xf0000) | flags << 20 | (base & 0xff000000u), 4);
}

/* ---- CPU state ---- */

/* Flat 32-bit segments, no paging, interrupts off, DPL-3 gates and ports for everybody. */
static inline void cpu_flat(unsigned cpl)
{
	u32 dpl = cpl << SEG_DPL_SHIFT, data = SEG_P | SEG_S | SEG_TYPE_W | SEG_TYPE_A | SEG_DB | SEG_G | dpl;
	vcpu_reset(v);
	v->cpl = cpl;
	v->cr0 = CR0_PE | CR0_ET | CR0_NE;
	v->gdtr = (struct table_register){H_GDT, 0x2f};
	v->idtr = (struct table_register){H_IDT, 0xff};
	for (int n = SEG_ES; n <= SEG_GS; n++)
		segment_set(v, n, cpl ? UDS : KDS, 0, 0xffffffffu, data);
	segment_set(v, SEG_CS, cpl ? UCS : KCS, 0, 0xffffffffu, data | SEG_TYPE_CODE);
	segment_set(v, SEG_TR, H_TSS_SEL, H_TSS, 0x67, SEG_P | DESC_TSS32_BUSY);
	segment_set(v, SEG_LDTR, 0, 0, 0, SEG_UNUSABLE);
	v->regs[REG_ESP] = H_KSTACK;
	mmu_flush_all(v);
}

/* As the dispatcher does before it runs code. */
static inline void cpu_set_mode(void)
{
	v->mode = mode_compute(v);
}

/* ---- the machine ---- */

static u32 harness_next_table;
static enum flavour harness_flavour = FLAVOUR_CHECKED; /* of machines created from now on */
static u64 harness_lockstep;			       /* the same, options.lockstep */

static void machine_create_sized(u64 ram, u64 tc_size)
{
	vm = calloc(1, sizeof(*vm));
	ck_assert_ptr_nonnull(vm);
	vm->opt.ram_size = ram;
	vm->opt.tc_size = tc_size;
	vm->opt.flavour = harness_flavour;
	vm->opt.lockstep = harness_lockstep;
	vm->opt.no_reboot = true;
	vm->opt.verify = true;
	ck_assert_int_eq(vm_init(vm, ram), 0);
	mmio_register(&vm->mem, &(struct mmio_range){H_MMIO, H_MMIO_SIZE, harness_mmio_read, harness_mmio_write, NULL});
	io_register(vm, &(struct port_range){H_STOP_PORT, H_STOP_PORT, 1, NULL, harness_stop, NULL});
	mmio_count = 0;
	v = vcpu_create(vm);
	put_descriptor(KCS, 0, 0xfffff, 0x9b, 0xc);
	put_descriptor(KDS, 0, 0xfffff, 0x93, 0xc);
	put_descriptor(UCS & ~3u, 0, 0xfffff, 0xfb, 0xc);
	put_descriptor(UDS & ~3u, 0, 0xfffff, 0xf3, 0xc);
	put_descriptor(H_TSS_SEL, H_TSS, 0x67, 0x8b, 0);
	poke(H_TSS + 4, H_TSTACK, 4);
	poke(H_TSS + 8, KDS, 4);
	for (u32 n = 0; n < 32; n++) {
		u32 handler = H_HANDLERS + 16 * n;
		poke(H_IDT + 8 * n, (handler & 0xffff) | KCS << 16, 4);
		poke(H_IDT + 8 * n + 4, (handler & 0xffff0000u) | 0xee00, 4);
		/* out %al, $0xf4 ; hlt */
		PUT(handler, 0xe6, H_STOP_PORT, 0xf4);
	}
	harness_next_table = H_TABLES;
	cpu_flat(0);
}

static inline void machine_create(void)
{
	machine_create_sized(8 << 20, 4 << 20);
}

static inline void machine_destroy(void)
{
	vcpu_free(v);
	vm_free(vm);
	free(vm);
	v = NULL;
	vm = NULL;
}

/* ---- page tables, two-level ---- */

static inline u32 new_table(void)
{
	u32 pa = harness_next_table;
	harness_next_table += PAGE_SIZE;
	memset(ram_ptr(&vm->mem, pa), 0, PAGE_SIZE);
	return pa;
}

/* Enters a 4 KiB page; the directory entry allows everything. Returns the guest-physical address of its PTE. */
static inline u32 map_page(u32 linear, u64 pa, u32 flags)
{
	u32 pde = v->cr3 + (linear >> 22) * 4, pte;
	if (!(peek(pde, 4) & PTE_P))
		poke(pde, new_table() | PTE_P | PTE_W | PTE_U, 4);
	pte = ((u32)peek(pde, 4) & ~PAGE_MASK) + (linear >> 12 & 0x3ff) * 4;
	poke(pte, pa | flags, 4);
	return pte;
}

/* Switches paging on (PSE, PGE, WP), with the harness's own pages mapped for the supervisor. */
static inline void paging_on(void)
{
	v->cr3 = new_table();
	v->cr0 |= CR0_PG | CR0_WP;
	v->cr4 |= CR4_PSE | CR4_PGE;
	for (u32 at = 0; at < H_TABLES; at += PAGE_SIZE)
		map_page(at, at, PTE_P | PTE_W | PTE_A | PTE_D);
	mmu_flush_all(v);
}

/* ---- exceptions raised by the code under test, called from C ---- */

/*
 * Runs a statement; yields the vector that it raised, or -1. The error code is in v->pending.error_code. Locals that the statement changes
 * must be static or volatile.
 */
#define CATCH(statement)                                                                                                                   \
	({                                                                                                                                 \
		v->pending.vector = -1;                                                                                                    \
		if (!__builtin_setjmp(v->unwind)) {                                                                                        \
			statement;                                                                                                         \
		}                                                                                                                          \
		int vector_ = v->pending.vector;                                                                                           \
		v->pending.vector = -1;                                                                                                    \
		vector_;                                                                                                                   \
	})

/* ---- running ---- */

struct outcome {
	int vector;
	u32 error; /* 0 if the vector has none */
	u32 eip, cs, eflags;
	u32 esp; /* of the interrupted code */
};

static struct {
	struct vcpu state; /* the architectural part is what counts */
	unsigned boots;
	u32 events; /* EV_* that are set when the test's code starts; for one run */
} harness_run;

static void harness_restore(const struct vcpu *from)
{
	memcpy(v->regs, from->regs, sizeof(v->regs));
	memcpy(v->seg, from->seg, sizeof(v->seg));
	memcpy(v->fx, from->fx, sizeof(v->fx));
	memcpy((u8 *)v + offsetof(struct vcpu, cpl), (const u8 *)from + offsetof(struct vcpu, cpl),
	       offsetof(struct vcpu, pending) - offsetof(struct vcpu, cpl));
	v->eip = from->eip;
	v->hflags = from->hflags;
	v->sysflags = from->sysflags;
	mmu_flush_all(v);
}

_Noreturn void tc_unwind(struct vcpu *cpu);

/* The first boot asks for a reset; the second is inside the dispatcher's setjmp and goes on with the test's state. */
static void harness_load(struct loader *l, struct vm *machine, struct boot_entry *entry)
{
	(void)l, (void)machine, (void)entry;
	if (harness_run.boots++ == 0) {
		vcpu_set_event(v, EV_RESET);
		return;
	}
	harness_restore(&harness_run.state);
	vcpu_set_event(v, harness_run.events);
	harness_run.events = 0;
	tc_unwind(v);
}

/* Runs from *v until an exception. Afterwards *v is as in the exception's handler: general registers, FPU (in v->fx) and system registers
 * are the test's. */
static inline struct outcome vm_run(void)
{
	static struct loader loader = {.load = harness_load};
	struct outcome o = {0};
	fpu_save(v);
	harness_run.state = *v;
	harness_run.boots = 0;
	vm->loader = &loader;
	vcpu_clear_event(v, ~0u);
	vcpu_run(v);
	vcpu_clear_event(v, ~0u);
	ck_assert_msg(!v->shutdown, "triple fault");
	ck_assert_msg(v->eip >= H_HANDLERS && v->eip < H_HANDLERS + 16 * 32, "stopped at %#x", v->eip);
	o.vector = (int)(v->eip - H_HANDLERS) / 16;
	u32 sp = v->regs[REG_ESP];
	if (exception_has_error_code(o.vector)) {
		o.error = (u32)peek(sp, 4);
		sp += 4;
	}
	o.eip = (u32)peek(sp, 4);
	o.cs = (u32)peek(sp + 4, 4) & 0xffff;
	o.eflags = (u32)peek(sp + 8, 4);
	o.esp = o.cs & 3 ? (u32)peek(sp + 12, 4) : sp + 12;
	v->halted = false;
	return o;
}

/* Runs the code at `eip` and expects its INT3. */
static inline struct outcome vm_run_ok(u32 eip)
{
	v->eip = eip;
	struct outcome o = vm_run();
	ck_assert_msg(o.vector == EXC_BP, "vector %d, error %#x, cr2 %#x at %#x", o.vector, o.error, v->cr2, o.eip);
	return o;
}

#endif
