/*
 * Saved states of the vCPU: what is saved, loaded into another machine and saved again is the same; damaged ones are refused or harmless.
 */
#include <unistd.h>

#include "tests/unit/vm_harness.h"

#include "monitor/state.h"

static u64 counter;

/* Another value each time, with all bytes different from zero. */
static u64 next_value(void)
{
	counter += 0x0123456789abcdefull;
	return counter | 0x0101010101010101ull;
}

/* Every architectural field gets a value of its own. */
static void fill(void)
{
	counter = 0;
	for (int i = 0; i < 8; i++)
		v->regs[i] = (u32)next_value();
	v->eip = (u32)next_value();
	vcpu_set_eflags(v, (u32)next_value());
	v->cpl = 3;
	u32 *words[] = {&v->cr0,	 &v->cr2,	   &v->cr3,	     &v->cr4,	 &v->gdtr.base, &v->idtr.base,
			&v->sysenter_cs, &v->sysenter_esp, &v->sysenter_eip, &v->fpu_ip, &v->fpu_dp};
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		*words[i] = (u32)next_value();
	u64 *quads[] = {&v->efer, &v->pat, &v->apic_base, &v->misc_enable, &v->tsc_aux, &v->mtrr_def_type, &v->mcg_status};
	for (unsigned i = 0; i < ARRAY_SIZE(quads); i++)
		*quads[i] = next_value();
	v->gdtr.limit = 0x1234;
	v->idtr.limit = 0x5678;
	for (int i = 0; i < SEG_COUNT; i++)
		segment_set(v, i, (u32)next_value() & 0xffff, (u32)next_value(), i & 1 ? 0xffffffffu : (u32)next_value(),
			    SEG_P | SEG_S | SEG_TYPE_W | SEG_DB | (u32)(i & 3) << SEG_DPL_SHIFT);
	for (int i = 0; i < 4; i++)
		v->pdpte[i] = next_value();
	for (int i = 0; i < 8; i++)
		v->dr[i] = (u32)next_value();
	for (unsigned i = 0; i < ARRAY_SIZE(v->msr_store); i++)
		v->msr_store[i] = next_value();
	for (unsigned i = 0; i < ARRAY_SIZE(v->mtrr_fixed); i++)
		v->mtrr_fixed[i] = next_value();
	for (unsigned i = 0; i < ARRAY_SIZE(v->mtrr_base); i++) {
		v->mtrr_base[i] = next_value();
		v->mtrr_mask[i] = next_value();
	}
	v->shadow = SHADOW_MOV_SS;
	v->nmi_blocked = v->halted = true;
	vcpu_set_event(v, EV_NMI | EV_INTR);
	v->pending_db = 5;
	v->fpu_cs = (u16)next_value();
	v->fpu_ds = (u16)next_value();
	v->fpu_op = 0x5a5;
	for (unsigned i = 0; i < sizeof(v->fx); i++)
		v->fx[i] = (u8)(i * 13 + 1);
	/* Host addresses, and what MXCSR may hold */
	memset(v->fx + 8, 0, 16);
	memcpy(v->fx + 24, &(u32){0x3f80}, 4);
}

static void save(struct state *s)
{
	state_init(s);
	vcpu_save(v, s);
	ck_assert(!s->error);
}

START_TEST(round_trip)
{
	struct state a, b;

	machine_create();
	fill();
	save(&a);
	struct vcpu was = *v;
	machine_destroy();

	machine_create();
	vcpu_load(v, &a);
	ck_assert(!a.error);
	ck_assert_uint_eq(a.pos, a.len);
	save(&b);
	ck_assert_uint_eq(a.len, b.len);
	ck_assert_mem_eq(a.data, b.data, a.len);
	/* Field by field: something that neither function knows of would have gone unnoticed. */
	ck_assert_mem_eq(v->regs, was.regs, sizeof(was.regs));
	ck_assert_uint_eq(v->eip, was.eip);
	ck_assert_uint_eq(vcpu_eflags(v), vcpu_eflags(&was));
	ck_assert_mem_eq(v->seg, was.seg, sizeof(was.seg));
	ck_assert_mem_eq(&v->cpl, &was.cpl, offsetof(struct vcpu, shadow) - offsetof(struct vcpu, cpl));
	ck_assert_int_eq(v->shadow, was.shadow);
	ck_assert(v->nmi_blocked && v->halted && !v->shutdown);
	ck_assert_uint_eq(v->pending_db, was.pending_db);
	ck_assert_uint_eq(v->events, EV_NMI | EV_INTR);
	ck_assert_mem_eq(v->fx, was.fx, sizeof(was.fx));
	state_free(&a);
	state_free(&b);
	machine_destroy();
}
END_TEST

/* FPU state that is in the host's registers at the time. */
START_TEST(live_fpu)
{
	struct state a;

	machine_create();
	memcpy(v->fx + 160, &(u64){0x1122334455667788ull}, 8);
	state_init(&a);
	/* No C in between that might use the registers. */
	fpu_load(v);
	vcpu_save(v, &a);
	ck_assert(!v->fpu_loaded);
	memset(v->fx, 0, sizeof(v->fx));
	fpu_load(v);
	vcpu_load(v, &a);
	ck_assert(!a.error);
	ck_assert(!v->fpu_loaded);
	u64 x;
	memcpy(&x, v->fx + 160, 8);
	ck_assert_uint_eq(x, 0x1122334455667788ull);
	state_free(&a);
	machine_destroy();
}
END_TEST

/* Where the loaded state goes when it is used: none of these may crash the monitor. */
static void use(void)
{
	fpu_load(v);
	fpu_save(v);
	ck_assert_uint_le(v->cpl, 3);
	ck_assert_int_le(v->shadow, SHADOW_MOV_SS);
	ck_assert_uint_le(v->mode = mode_compute(v), 0xfffff);
}

START_TEST(truncated)
{
	struct state a;

	machine_create();
	fill();
	save(&a);
	for (size_t n = 0; n < a.len; n++) {
		struct state cut = {.data = malloc(n ? n : 1), .len = n, .cap = n};
		memcpy(cut.data, a.data, n);
		vcpu_load(v, &cut);
		ck_assert_msg(cut.error, "cut at %zu of %zu", n, a.len);
		ck_assert_uint_le(cut.pos, n);
		use();
		state_free(&cut);
	}
	state_free(&a);
	machine_destroy();
}
END_TEST

START_TEST(flipped)
{
	struct state a, b;

	machine_create();
	fill();
	save(&a);
	for (size_t n = 0; n < a.len * 8; n++) {
		a.data[n / 8] ^= 1u << n % 8;
		a.pos = 0;
		a.error = false;
		vcpu_load(v, &a);
		/* The section's name and version */
		ck_assert(n / 8 >= 9 || a.error);
		use();
		/* What was taken without complaint is a state that can be saved and loaded. */
		if (!a.error) {
			save(&b);
			vcpu_load(v, &b);
			ck_assert(!b.error);
			state_free(&b);
		}
		a.data[n / 8] ^= 1u << n % 8;
	}
	state_free(&a);
	machine_destroy();
}
END_TEST

/* Impossible values are named as such. */
START_TEST(refused)
{
	machine_create();
	for (int k = 0; k < 4; k++) {
		struct state a;
		cpu_flat(0);
		if (k == 0)
			v->cpl = 4;
		else if (k == 1)
			v->gdtr.limit = 0x10000;
		else if (k == 2)
			v->seg[SEG_DS].attr |= 0x20000;
		else
			v->fx[26] = 1; /* MXCSR bit 16 */
		save(&a);
		vcpu_load(v, &a);
		ck_assert_msg(a.error, "case %d", k);
		use();
		state_free(&a);
	}
	machine_destroy();
}
END_TEST

/* A program stopped, moved to another machine, and run on there. */
START_TEST(goes_on)
{
	struct state a;

	machine_create();
	/* mov eax, 5 ; fld1 ; int3 ; add eax, 6 ; fld1 ; faddp ; fistp dword [30000] ; int3 */
	static const u8 code[] = {0xb8, 5, 0, 0, 0, 0xd9, 0xe8, 0xcc, 0x83, 0xc0, 6, 0xd9, 0xe8, 0xde, 0xc1, 0xdb, 0x1d, 0, 0, 3, 0, 0xcc};
	put_bytes(0x20000, code, sizeof(code));
	struct outcome o = vm_run_ok(0x20000);
	ck_assert_uint_eq(o.eip, 0x20008);
	v->eip = o.eip;
	save(&a);
	machine_destroy();

	machine_create();
	put_bytes(0x20000, code, sizeof(code));
	vcpu_load(v, &a);
	ck_assert(!a.error);
	vm_run_ok(0x20008);
	ck_assert_uint_eq(v->regs[REG_EAX], 11);
	ck_assert_uint_eq(peek(0x30000, 4), 2);
	state_free(&a);
	machine_destroy();
}
END_TEST

/* ---- the dispatcher ---- */

START_TEST(reset_state)
{
	machine_create();
	fill();
	vcpu_reset(v);
	ck_assert_uint_eq(v->eip, 0xfff0);
	ck_assert_uint_eq(v->seg[SEG_CS].sel, 0xf000);
	ck_assert_uint_eq(v->seg[SEG_CS].base, 0xffff0000u);
	ck_assert_uint_eq(vcpu_eflags(v), 2);
	ck_assert_uint_eq(v->cr0, 0x60000010);
	ck_assert_uint_eq(v->cr2 | v->cr3 | v->cr4, 0);
	ck_assert_uint_eq(v->dr[6], 0xffff0ff0u);
	ck_assert_uint_eq(v->dr[7], 0x400);
	ck_assert_uint_eq(v->gdtr.limit & v->idtr.limit, 0xffff);
	ck_assert_uint_eq(v->cpl, 0);
	ck_assert(!v->halted && !v->nmi_blocked && !v->shutdown && v->shadow == SHADOW_NONE);
	machine_destroy();
}
END_TEST

/* INIT keeps what a reset does not: SDM Vol. 3A table 9-1. */
START_TEST(init_state)
{
	static u8 fx[512];

	machine_create();
	fill();
	v->cr0 = CR0_PE | CR0_ET | CR0_PG | CR0_NW;
	v->efer = 0x800;
	v->pat = 0x0102030405060700ull & 0x0606060606060606ull;
	v->sysenter_eip = 0x1234;
	v->mtrr_def_type = 6;
	v->mtrr_base[3] = 0xa0000000;
	v->apic_base = 0xfed00900;
	v->tsc_aux = 5;
	v->msr_store[1] = 77;
	v->nmi_blocked = v->halted = v->shutdown = true;
	fpu_save(v);
	v->fx[40] = 0x55;
	v->fx[24] = 0xa0;
	memcpy(fx, v->fx, sizeof(fx));
	vcpu_init(v);
	ck_assert_uint_eq(v->eip, 0xfff0);
	ck_assert_uint_eq(v->seg[SEG_CS].base, 0xffff0000u);
	ck_assert_uint_eq(vcpu_eflags(v), 2);
	ck_assert_uint_eq(v->cr0, CR0_NW | CR0_ET);
	ck_assert_uint_eq(v->cr2 | v->cr3 | v->cr4 | v->efer, 0);
	ck_assert_uint_eq(v->dr[7], 0x400);
	ck_assert(!v->halted && !v->nmi_blocked && !v->shutdown);
	ck_assert_uint_eq(v->pat, 0x0002020404060600ull);
	ck_assert_uint_eq(v->sysenter_eip, 0x1234);
	ck_assert_uint_eq(v->mtrr_def_type, 6);
	ck_assert_uint_eq(v->mtrr_base[3], 0xa0000000);
	ck_assert_uint_eq(v->apic_base, 0xfed00900);
	ck_assert_uint_eq(v->tsc_aux, 5);
	ck_assert_uint_eq(v->msr_store[1], 77);
	ck_assert_mem_eq(v->fx, fx, sizeof(fx));
	vcpu_reset(v);
	ck_assert_uint_eq(v->cr0, 0x60000010);
	ck_assert_uint_eq(v->sysenter_eip, 0);
	ck_assert_uint_eq(v->apic_base, 0xfee00900);
	ck_assert_uint_eq(v->fx[40], 0);
	machine_destroy();
}
END_TEST

/* Each kind of fault arrives with its error code, at its instruction, from both privileges. */
START_TEST(exceptions)
{
	static const struct {
		u8 code[8];
		int vector;
		u32 error, eip, cpls; /* eip: from the start; cpls: bit 0 for CPL 0, bit 1 for CPL 3 */
	} cases[] = {
		{{0x0f, 0x0b}, EXC_UD, 0, 0, 3},
		{{0x90, 0x31, 0xc9, 0xf7, 0xf1}, EXC_DE, 0, 3, 3}, /* nop ; xor ecx, ecx ; div ecx */
		{{0xd4, 0x00}, EXC_DE, 0, 0, 3},		   /* aam 0 */
		{{0xcd, 0x05}, EXC_BR, 0, 2, 3},		   /* int 5: behind it */
		{{0xf4}, EXC_GP, 0, 0, 2},			   /* hlt */
		{{0x90, 0xfa}, EXC_GP, 0, 1, 2},		   /* cli */
		{{0xcd, 0x40}, EXC_GP, 0x40 * 8 + 2, 0, 3},	   /* int 40, beyond the IDT */
		{{0xa1, 0, 0, 0, 0x90}, EXC_PF, 0, 0, 1},	   /* mov eax, [90000000] */
		{{0xa1, 0, 0, 0, 0x90}, EXC_PF, 4, 0, 2},
		{{0xa3, 0, 0, 0, 0}, EXC_PF, 7, 0, 2},			 /* mov [0], eax: the supervisor's */
		{{0xb8, 0xff, 0, 0, 0, 0x8e, 0xd8}, EXC_GP, 0xfc, 5, 3}, /* mov ds, 00ff: beyond the GDT */
		{{0xf1}, EXC_DB, 0, 1, 3},				 /* icebp */
	};

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
			if (!(cases[k].cpls & (cpl ? 2 : 1)))
				continue;
			machine_create();
			cpu_flat(cpl);
			paging_on();
			map_page(0x20000, 0x20000, PTE_P | PTE_W | PTE_U);
			put_bytes(0x20000, cases[k].code, sizeof(cases[k].code));
			v->eip = 0x20000;
			struct outcome o = vm_run();
			ck_assert_msg(o.vector == cases[k].vector && o.error == cases[k].error && o.eip == 0x20000 + cases[k].eip,
				      "case %u, CPL %u: vector %d, error %#x, EIP %#x", k, cpl, o.vector, o.error, o.eip);
			ck_assert_uint_eq(o.cs, cpl ? UCS : KCS);
			ck_assert_uint_eq(o.esp, H_KSTACK);
			/* Faults set RF in what they push; traps and software interrupts do not. */
			ck_assert_int_eq(!!(o.eflags & EFLAGS_RF), cases[k].vector != EXC_DB && cases[k].vector != EXC_BR);
			machine_destroy();
		}
	}
}
END_TEST

/* TF: one #DB behind each instruction, also behind one that jumps to itself. */
START_TEST(single_step)
{
	machine_create();
	PUT(0x20000, 0x40, 0x40, 0xeb, 0xfe);
	v->sysflags |= EFLAGS_TF;
	for (u32 k = 1; k < 5; k++) {
		struct outcome o;
		v->eip = k == 1 ? 0x20000 : v->eip;
		o = vm_run();
		ck_assert_int_eq(o.vector, EXC_DB);
		ck_assert_uint_eq(o.eip, 0x20000 + MIN(k, 2));
		ck_assert_uint_eq(v->regs[REG_EAX], MIN(k, 2));
		ck_assert_uint_eq(v->dr[6] & 0x4000, 0x4000);
		v->eip = o.eip;
		v->regs[REG_ESP] = H_KSTACK;
		v->sysflags |= EFLAGS_TF;
	}
	machine_destroy();
}
END_TEST

/* An event set by another thread ends a loop of chained backward branches. */
static void *stop_later(void *opaque)
{
	(void)opaque;
	while (!v->stats.chains)
		sched_yield();
	/* Let it go round. */
	usleep(20000);
	vcpu_set_event(v, EV_STOP);
	return NULL;
}

/* One start of code at 0x20000 with an NMI pending and IF clear. */
static struct outcome with_nmi(void)
{
	PUT(0x20000, 0x40, 0xcc, 0xcc); /* inc eax ; int3 ; int3 */
	v->eip = 0x20000;
	v->regs[REG_EAX] = 0;
	v->regs[REG_ESP] = H_KSTACK;
	v->sysflags &= ~EFLAGS_IF;
	harness_run.events = EV_NMI;
	return vm_run();
}

/* SDM Vol. 3A 6.7: whatever IF says; not behind a MOV SS; not before the IRET of the last. */
START_TEST(nmi)
{
	struct outcome o;

	machine_create();
	o = with_nmi();
	ck_assert_int_eq(o.vector, EXC_NMI);
	ck_assert_uint_eq(o.eip, 0x20000);
	ck_assert(v->nmi_blocked);
	o = with_nmi();
	ck_assert_int_eq(o.vector, EXC_BP);
	v->nmi_blocked = false;
	v->shadow = SHADOW_MOV_SS;
	o = with_nmi();
	ck_assert_int_eq(o.vector, EXC_NMI);
	ck_assert_uint_eq(o.eip, 0x20001);
	ck_assert_uint_eq(v->regs[REG_EAX], 1);
	machine_destroy();
}
END_TEST

#define MMIO_AT(n) (u8)(H_MMIO + (n)), (u8)(H_MMIO >> 8), (u8)(H_MMIO >> 16), (u8)(H_MMIO >> 24)

/* The code at 0x20000, whose accesses to the device raise `events`. */
static struct outcome with_device(u32 events)
{
	struct outcome o;

	v->eip = 0x20000;
	v->regs[REG_EAX] = 0xe0;
	v->regs[REG_ECX] = 0;
	v->regs[REG_ESP] = H_KSTACK;
	v->hflags = 0;
	v->sysflags &= ~EFLAGS_IF;
	v->nmi_blocked = false;
	mmio_count = 0;
	mmio_raises = events;
	o = vm_run();
	mmio_raises = 0;
	return o;
}

/* An event that a device raises when the guest writes to it comes behind that very instruction, and without a signal. */
START_TEST(event_of_a_write)
{
	struct outcome o;
	u64 exits;

	machine_create();
	PUT(0x20000, 0x01, 0x05, MMIO_AT(0x20), 0x41, 0x41, 0xcc); /* add [mmio], eax ; inc ecx ; inc ecx ; int3 */
	exits = v->stats.event_exits;
	o = with_device(EV_NMI);
	ck_assert_int_eq(o.vector, EXC_NMI);
	ck_assert_uint_eq(o.eip, 0x20006);
	ck_assert_uint_eq(v->regs[REG_ECX], 0);
	/* The flags of the addition: 23222120h + e0h. */
	ck_assert_uint_eq(o.eflags & EFLAGS_ARITH, EFLAGS_PF);
	ck_assert_uint_eq(mmio_count, 2);
	ck_assert_uint_eq(mmio_seen[1].value, 0x23222200);
	/* At the end of a page, and of the TU: */
	PUT(0x20ffa, 0x89, 0x05, MMIO_AT(0x20));
	PUT(0x21000, 0x41, 0xcc);
	PUT(0x20000, 0xe9, 0xf5, 0x0f, 0, 0); /* jmp 20ffa */
	o = with_device(EV_NMI);
	ck_assert_int_eq(o.vector, EXC_NMI);
	ck_assert_uint_eq(o.eip, 0x21000);
	ck_assert_uint_eq(v->stats.event_exits, exits + 2);
	ck_assert_uint_eq(v->stats.event_faults, 0);
	machine_destroy();
}
END_TEST

/* Where there is more to do, and behind a read, it comes at the next transfer. */
START_TEST(event_at_a_safepoint)
{
	struct outcome o;

	machine_create();
	PUT(0x20000, 0x8f, 0x05, MMIO_AT(0x20), 0x41, 0xeb, 0xfe); /* pop [mmio] ; inc ecx ; jmp self */
	o = with_device(EV_NMI);
	ck_assert_int_eq(o.vector, EXC_NMI);
	ck_assert_uint_eq(o.eip, 0x20007);
	ck_assert_uint_eq(o.esp, H_KSTACK + 4);
	ck_assert_uint_eq(v->regs[REG_ECX], 1);
	PUT(0x20000, 0x8b, 0x05, MMIO_AT(0x20), 0x41, 0x74, 0xfd, 0xeb, 0xfe); /* mov eax, [mmio] ; inc ecx ; jz 20006 ; jmp self */
	o = with_device(EV_NMI);
	ck_assert_int_eq(o.vector, EXC_NMI);
	ck_assert_uint_eq(v->regs[REG_EAX], 0x23222120);
	ck_assert_uint_eq(v->regs[REG_ECX], 1);
	/* A transfer by jump cache: ret, to 20010. */
	PUT(0x20000, 0x8b, 0x05, MMIO_AT(0x20), 0xc3);
	PUT(0x20010, 0x41, 0xcc);
	poke(H_KSTACK, 0x20010, 4);
	o = with_device(EV_NMI);
	ck_assert_int_eq(o.vector, EXC_NMI);
	ck_assert_uint_eq(o.eip, 0x20010);
	ck_assert_uint_eq(v->stats.event_faults, 3);
	machine_destroy();
}
END_TEST

/* What IF holds back disturbs nothing. */
START_TEST(event_held_back)
{
	struct outcome o;
	u64 dispatches;

	machine_create();
	/* mov [mmio], eax ; mov edx, [mmio] ; 1: inc ecx ; cmp ecx, 1000 ; jnz 1b ; int3 */
	PUT(0x20000, 0x89, 0x05, MMIO_AT(0x20), 0x8b, 0x15, MMIO_AT(0x24), 0x41, 0x81, 0xf9, 0xe8, 3, 0, 0, 0x75, 0xf7, 0xcc);
	dispatches = v->stats.dispatches;
	o = with_device(EV_INTR);
	ck_assert_int_eq(o.vector, EXC_BP);
	ck_assert_uint_eq(v->regs[REG_ECX], 1000);
	ck_assert_uint_eq(v->stats.event_faults + v->stats.event_exits, 0);
	ck_assert_uint_lt(v->stats.dispatches - dispatches, 10);
	machine_destroy();
}
END_TEST

START_TEST(stops_a_loop)
{
	pthread_t t;
	static struct loader loader = {.load = harness_load};

	machine_create();
	/* inc eax ; jmp -3 */
	PUT(0x20000, 0x40, 0xeb, 0xfd);
	v->eip = 0x20000;
	harness_run.state = *v;
	harness_run.boots = 0;
	vm->loader = &loader;
	v->stats.chains = 0;
	ck_assert_int_eq(pthread_create(&t, NULL, stop_later, NULL), 0);
	vcpu_run(v);
	pthread_join(t, NULL);
	ck_assert(v->eip == 0x20000 || v->eip == 0x20001);
	ck_assert_uint_gt(v->regs[REG_EAX], 1);
	machine_destroy();
}
END_TEST

Suite *vcpu_suite(void)
{
	Suite *s = suite_create("vcpu");
	TCase *c = tcase_create("state"), *d = tcase_create("dispatch");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, round_trip);
	tcase_add_test(c, live_fpu);
	tcase_add_test(c, truncated);
	tcase_add_test(c, flipped);
	tcase_add_test(c, refused);
	tcase_add_test(c, goes_on);
	suite_add_tcase(s, c);
	tcase_set_timeout(d, 20);
	tcase_add_test(d, reset_state);
	tcase_add_test(d, init_state);
	tcase_add_test(d, exceptions);
	tcase_add_test(d, single_step);
	tcase_add_test(d, nmi);
	tcase_add_test(d, event_of_a_write);
	tcase_add_test(d, event_at_a_safepoint);
	tcase_add_test(d, event_held_back);
	tcase_add_test(d, stops_a_loop);
	suite_add_tcase(s, d);
	return s;
}
