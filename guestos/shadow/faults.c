/*
 * Faults that must be exact: over page borders, in strings, in stack instructions, in read-modify-writes; wrap at 4 GiB; holes.
 */
#include "guestos/shadow/shadow.h"

CODE(s_mov4, "mov %eax, (%ebx)");
CODE(s_mov2, "mov %ax, (%ebx)");
CODE(s_xchg, "xchg %eax, (%ebx)");
CODE(s_lock_add, "lock addl $1, (%ebx)");
CODE(s_add, "addl $1, (%ebx)");
CODE(s_inc, "incl (%ebx)");
CODE(s_not, "notl (%ebx)");
CODE(s_bts, "btsl $31, (%ebx)");
CODE(s_shl, "shll $3, (%ebx)");
CODE(s_xadd, "xadd %eax, (%ebx)");
CODE(s_cmpxchg, "lock cmpxchg %ecx, (%ebx)");
CODE(s_cmpxchg8b, "lock cmpxchg8b (%edi)");
CODE(s_movq, "movq %mm0, (%ebx)");
CODE(s_fst4, "fsts (%ebx)");
CODE(s_fst8, "fstl (%ebx)");
CODE(s_fstp10, "fstpt (%ebx)");
CODE(s_fist8, "fistpll (%ebx)");
CODE(s_movups, "movups %xmm0, (%ebx)");
CODE(s_movdqu, "movdqu %xmm1, (%ebx)");
CODE(s_movlps, "movlps %xmm0, (%ebx)");
CODE(s_fnsave, "fnsave (%ebx)");
CODE(s_fnstenv, "fnstenv (%ebx)");

static const struct store {
	const char *name;
	const u8 *code;
	u32 bytes;
	u32 rmw; /* reads too */
} stores[] = {
	{"mov", s_mov4, 4, 0},		{"mov word", s_mov2, 2, 0},    {"xchg", s_xchg, 4, 1},	     {"lock add", s_lock_add, 4, 1},
	{"add", s_add, 4, 1},		{"inc", s_inc, 4, 1},	       {"not", s_not, 4, 1},	     {"bts", s_bts, 4, 1},
	{"shl", s_shl, 4, 1},		{"xadd", s_xadd, 4, 1},	       {"cmpxchg", s_cmpxchg, 4, 1}, {"cmpxchg8b", s_cmpxchg8b, 8, 1},
	{"movq", s_movq, 8, 0},		{"fst dword", s_fst4, 4, 0},   {"fst qword", s_fst8, 8, 0},  {"fstp tbyte", s_fstp10, 10, 0},
	{"fistp qword", s_fist8, 8, 0}, {"movups", s_movups, 16, 0},   {"movdqu", s_movdqu, 16, 0},  {"movlps", s_movlps, 8, 0},
	{"fnsave", s_fnsave, 108, 0},	{"fnstenv", s_fnstenv, 28, 0},
};
enum { STORES = sizeof(stores) / sizeof(stores[0]) };

static void prepare_fpu(void)
{
	static const u64 x[2] = {0x1122334455667788, 0x99aabbccddeeff00};

	asm volatile("fninit; fldpi; movups %0, %%xmm0; movups %0, %%xmm1" : : "m"(x));
}

static struct state go_store(const struct store *st, int ring, u32 lin)
{
	struct state s = at_ring(st->code, ring);

	prepare_fpu();
	s.ebx = s.edi = lin;
	run(&s);
	return s;
}

static void fill_pages(void)
{
	for (u32 i = 0; i < 4096; i++) {
		page(0)[i] = (u8)(i * 7);
		page(1)[i] = (u8)(i * 5 + 3);
	}
}

static int pages_intact(void)
{
	for (u32 i = 0; i < 4096; i++)
		if (page(0)[i] != (u8)(i * 7) || page(1)[i] != (u8)(i * 5 + 3))
			return 0;
	return 1;
}

/* Stores that begin in A and end in B, where one of the two forbids it. */
TEST_PG(straddle, "shadow.stores over a page border that fault")
{
	u32 cr4 = read_cr4();

	write_cr4(cr4 | CR4_OSFXSR);
	fill_pages();
	FOR_EVERYBODY(w)
	for (u32 k = 0; k < STORES; k++)
		for (u32 bad = 0; bad < 6; bad++) {
			const struct store *st = &stores[k];
			/* 0..2: the second page is absent, read-only, the kernel's; 3..5: the first. */
			u64 forbid = bad % 3 == 0 ? 0 : bad % 3 == 1 ? P_P | w->u : RW;
			u32 lin = B - (st->bytes > 2 ? st->bytes / 2 : 1), err = bad % 3 ? 3 : 2;
			struct state s;

			if (bad % 3 == 2 && !w->ring)
				continue;
			map(A, page(0), bad < 3 ? RW | w->u : forbid);
			map(B, page(1), bad < 3 ? forbid : RW | w->u);
			s = go_store(st, w->ring, lin);
			if (s.vec != V_PF) {
				fail("%s, %s, case %u: trap %u, want 14", st->name, w->name, bad, s.vec);
				continue;
			}
			EQ(s.eip, ADDR(st->code), st->name);
			EQ(s.cr2, bad < 3 ? B : lin, st->name);
			if (boot_qemu && (st->rmw || st->bytes > 8)) {
				fill_pages();
				continue;
			}
			EQ(s.err, err | (w->ring ? 4 : 0), st->name);
			EQ(s.ebx, lin, st->name);
			EQ(s.eax, 0xa1a1a1a1, st->name);
			/* How much of an environment is stored before a fault is the processor's own affair. */
			if (st->bytes > 16)
				fill_pages();
			else if (!pages_intact()) {
				fail("%s, %s, case %u: memory has changed", st->name, w->name, bad);
				fill_pages();
			}
		}
	write_cr4(cr4);
	unmap_window();
}

/* The same stores when both pages allow it, compared with the store to one page. */
TEST_PG(straddle_ok, "shadow.stores over a page border that succeed")
{
	u32 cr4 = read_cr4();

	write_cr4(cr4 | CR4_OSFXSR);
	FOR_EVERYBODY(w)
	for (u32 k = 0; k < STORES; k++) {
		const struct store *st = &stores[k];
		u32 first = st->bytes > 2 ? st->bytes / 2 : 1, from = 0x800;

		/* Pages that are not neighbours in memory. */
		map(A, page(0), RW | w->u);
		map(B, page(5), RW | w->u);
		memset(page(0), 0x5a, 4096);
		memset(page(5), 0x5a, 4096);
		struct state s = go_store(st, w->ring, A + from);

		if (!ended(&s, st->name))
			continue;
		s = go_store(st, w->ring, B - first);
		if (!ended(&s, st->name))
			continue;
		for (u32 i = 0; i < st->bytes; i++) {
			u8 got = i < first ? page(0)[4096 - first + i] : page(5)[i - first], want = page(0)[from + i];

			if (got != want) {
				fail("%s, %s: byte %u is %x, and %x when stored within a page", st->name, w->name, i, got, want);
				break;
			}
		}
		EQ(page(5)[st->bytes - first], 0x5a, st->name);
		EQ(pte_get(A) & (P_A | P_D), P_A | P_D, "A and D of the first page");
		EQ(pte_get(B) & (P_A | P_D), P_A | P_D, "A and D of the second page");
	}
	write_cr4(cr4);
	unmap_window();
}

TEST_PG(rmw_read_only, "shadow.read-modify-writes of read-only and absent pages")
{
	u32 cr4 = read_cr4();

	write_cr4(cr4 | CR4_OSFXSR);
	fill_pages();
	FOR_EVERYBODY(w)
	for (u32 k = 0; k < STORES; k++)
		for (u32 warm = 0; warm < 3; warm++) {
			const struct store *st = &stores[k];
			struct state s;

			map(B, page(1), P_P | w->u);
			if (warm)
				touch(w->ring, u_read, B, 0);
			s = go_store(st, w->ring, B + 0x40);
			if (s.vec != V_PF || s.cr2 != B + 0x40 || s.eip != ADDR(st->code))
				fail("%s, %s: trap %u eip %x cr2 %x", st->name, w->name, s.vec, s.eip, s.cr2);
			else
				EQ(s.err, 3 | (w->ring ? 4 : 0), st->name);
			EQ(pte_get(B) & P_D, 0, st->name);
			if (!pages_intact()) {
				fail("%s, %s: memory has changed", st->name, w->name);
				fill_pages();
			}
			map(B, page(1), 0);
			s = go_store(st, w->ring, B + 0x40);
			if (s.vec != V_PF || s.cr2 != B + 0x40)
				fail("%s, %s: absent page: trap %u cr2 %x", st->name, w->name, s.vec, s.cr2);
			else if (!boot_qemu || !st->rmw)
				EQ(s.err, 2 | (w->ring ? 4 : 0), st->name);
		}
	write_cr4(cr4);
}

CODE(r_stosl, "rep stosl");
CODE(r_stosb_down, "std; r_stosb_down_at: rep stosb; cld");
CODE(r_movsl, "rep movsl");
CODE(r_movsb, "rep movsb");
CODE(r_lods, "rep lodsl");
CODE(r_scas, "repne scasb");
CODE(r_cmps, "repe cmpsb");

static void string_fault(const char *name, const void *code, const void *eip, int ring, u32 edi, u32 esi, u32 ecx, u32 left, u32 cr2,
			 u32 write)
{
	struct state s = at_ring(code, ring);

	s.edi = edi;
	s.esi = esi;
	s.ecx = ecx;
	s.eax = 0x11;
	run(&s);
	faults_at(&s, cr2, write | (ring ? 4 : 0), eip, name);
	EQ(s.ecx, left, name);
}

TEST_PG(strings, "shadow.string instructions that run into an absent page")
{
	FOR_EVERYBODY(w)
	for (u32 round = 0; round < 3; round++) {
		map(A, page(0), RW | w->u);
		map(B, page(1), RW | w->u);
		map(C, page(2), 0);
		map(D, page(3), RW | w->u);
		memset(page(0), 0, 4096 * 2);
		string_fault("rep stosl", r_stosl, r_stosl, w->ring, A + 0x10, 0, 4096, 4096 - (0x2000 - 0x10) / 4, C, 2);
		EQ(*(u32 *)(page(1) + 0xffc), 0x11, "last word stored");
		string_fault("rep movsl to an absent page", r_movsl, r_movsl, w->ring, B, A, 2048, 1024, C, 2);
		string_fault("rep movsl from an absent page", r_movsl, r_movsl, w->ring, A, B, 2048, 1024, C, 0);
		string_fault("rep movsb to an absent page", r_movsb, r_movsb, w->ring, B + 0xf00, A, 0x200, 0x100, C, 2);
		string_fault("rep lodsl", r_lods, r_lods, w->ring, 0, A, 4096, 2048, C, 0);
		memset(page(1), 0, 4096);
		string_fault("repne scasb", r_scas, r_scas, w->ring, B + 0x800, 0, 0x10000, 0x10000 - 0x800, C, 0);
		memset(page(0), 0, 4096);
		string_fault("repe cmpsb", r_cmps, r_cmps, w->ring, B, A, 0x3000, 0x2000, C, 0);
		string_fault("rep stosb downwards", r_stosb_down, r_stosb_down_at, w->ring, D + 0x0f, 0, 100, 100 - 16, D - 1, 2);
	}
	unmap_window();
}

static int map_on_demand(struct state *s)
{
	u32 lin = s->cr2 & ~0xfffu;

	if (lin - TW >= TW_PAGES << 12)
		return 0;
	pte_set(lin, ADDR(page((lin - TW) >> 12)) | RWU);
	return 1;
}

TEST_PG(string_demand, "shadow.rep movs and rep stos through demand-paged memory")
{
	trap_hook[V_PF] = map_on_demand;
	for (int ring = 3; ring >= 0; ring -= 3)
		for (u32 off = 0; off < 4; off++) {
			u32 bytes = 100 * 4096;
			struct state s;

			unmap_window();
			for (u32 i = 0; i < bytes / 4; i++)
				((u32 *)page(0))[i] = i * 0x9e3779b9;
			s = at_ring(off & 1 ? r_movsb : r_movsl, ring);
			s.esi = TW;
			s.edi = TW + 0x80000 + off;
			s.ecx = off & 1 ? bytes : bytes / 4;
			run(&s);
			if (ended(&s, tag("rep movs", ring))) {
				if (memcmp(page(0), page(128) + off, bytes) != 0)
					fail("%s", tag("the copy differs", ring));
				EQ(s.ecx, 0, "ecx");
				EQ(s.edi, TW + 0x80000 + off + bytes, "edi");
			}
			s = at_ring(r_stosl, ring);
			s.edi = TW + 0x10002;
			s.eax = 0x44332211;
			s.ecx = 4096;
			run(&s);
			ended(&s, tag("rep stosl", ring));
			EQ(*(u32 *)(page(16) + 2), 0x44332211, "first word stored");
			EQ(*(u32 *)(page(16) + 2 + 4095 * 4), 0x44332211, "last word stored");
		}
	trap_hook[V_PF] = NULL;
	unmap_window();
}

CODE(k_push, "push %eax");
CODE(k_push_mem, "push (%ebx)");
CODE(k_pop, "pop %eax");
CODE(k_pop_mem, "pop (%ebx)");
CODE(k_pushf, "pushf");
CODE(k_popf, "popf");
CODE(k_pusha_at_b, "mov %ebx, %esp; k_pusha_at_b_at: pusha");
CODE(k_popa, "popa");
CODE(k_call, "call 1f; 1: nop");
CODE(k_call_reg, "call *%eax");
CODE(k_call_mem, "call *(%ebx)");
CODE(k_jmp_mem, "jmp *(%ebx)");
CODE(k_ret, "ret");
CODE(k_ret_n, "ret $8");
CODE(k_enter, "enter $16, $0");
CODE(k_enter_3, "enter $16, $3");
CODE(k_leave, "leave");
CODE(k_iret, "iret");
CODE(k_push_es, "push %es");
CODE(k_pop_es, "pop %es");
CODE(k_xchg_esp, "xchg %esp, (%ebx)");

static void stack_fault(const char *name, const u8 *code, const struct who *w, u32 esp, u32 ebp, u32 ebx, u32 cr2, u32 err)
{
	for (u32 i = 0; i < 3; i++) {
		struct state s = at_ring(code, w->ring), before;

		/* In ring 0 the trap frame itself would have no stack: the kernel's stack stays where it is. */
		s.esp = esp;
		s.ebp = ebp;
		s.ebx = ebx;
		before = s;
		run(&s);
		faults_at(&s, cr2, err | 4, code, name);
		same_regs(&s, &before, name);
		EQ(s.eflags & FL_ARITH, before.eflags & FL_ARITH, name);
	}
}

TEST_PG(stack, "shadow.faults of stack instructions in ring 3")
{
	const struct who *w = &everybody[0];

	for (u32 round = 0; round < 4; round++) {
		u32 no = round & 1 ? 3 : 2; /* A is absent, or read-only; B is writable, C absent */

		map(A, page(0), round & 1 ? RU : 0);
		map(B, page(1), RWU);
		map(C, page(2), 0);
		*at(B) = 0x1234;
		stack_fault("push", k_push, w, B, 0, 0, B - 4, no);
		stack_fault("push over the border", k_push, w, B + 2, 0, 0, B - 2, no);
		stack_fault("push of memory", k_push_mem, w, B, 0, B, B - 4, no);
		stack_fault("push of absent memory", k_push_mem, w, B + 0x100, 0, C, C, 0);
		stack_fault("pushf", k_pushf, w, B, 0, 0, B - 4, no);
		stack_fault("push es", k_push_es, w, B, 0, 0, B - 4, no);
		stack_fault("call", k_call, w, B, 0, 0, B - 4, no);
		stack_fault("call of a register", k_call_reg, w, B, 0, 0, B - 4, no);
		stack_fault("call through memory", k_call_mem, w, B, 0, B, B - 4, no);
		stack_fault("call through absent memory", k_call_mem, w, B + 0x100, 0, C, C, 0);
		stack_fault("jmp through absent memory", k_jmp_mem, w, B + 0x100, 0, C, C, 0);
		stack_fault("enter", k_enter, w, B, 0x99, 0, B - 4, no);
		stack_fault("pop", k_pop, w, C, 0, 0, C, 0);
		stack_fault("pop over the border", k_pop, w, C - 2, 0, 0, C, 0);
		stack_fault("pop to absent memory", k_pop_mem, w, B + 0x100, 0, C + 8, C + 8, 2);
		stack_fault("popf", k_popf, w, C, 0, 0, C, 0);
		stack_fault("pop es", k_pop_es, w, C, 0, 0, C, 0);
		stack_fault("ret", k_ret, w, C, 0, 0, C, 0);
		stack_fault("ret 8", k_ret_n, w, C, 0, 0, C, 0);
		stack_fault("leave", k_leave, w, B + 0x100, C, 0, C, 0);
		if (!boot_qemu) /* whose IRET reads as the kernel does */
			stack_fault("iret", k_iret, w, C, 0, 0, C, 0);
		stack_fault("xchg of esp", k_xchg_esp, w, B + 0x100, 0, C, C, boot_qemu ? 0 : 2);
		if (!(round & 1)) {
			/* Which of the eight words is stored first is the processor's own affair. */
			struct state s = touch(3, k_pusha_at_b, B, 0);

			if (trapped(&s, V_PF, 6, k_pusha_at_b_at, "pusha into an absent page")) {
				EQ(s.cr2 & ~0xfffu, A, "pusha into an absent page");
				EQ(s.esp, B, "esp after pusha into an absent page");
			}
			stack_fault("popa from an absent page", k_popa, w, C, 0, 0, C, 0);
		}
		if (!boot_qemu) {
			struct state s = at_ring(k_enter_3, 3), before;

			/* The display's second word is absent; the first push has been made by then. */
			s.esp = B + 0x800;
			s.ebp = C + 4;
			before = s;
			run(&s);
			faults_at(&s, C, 4, k_enter_3, "enter with levels");
			same_regs(&s, &before, "enter with levels");
		}
	}
	unmap_window();
}

extern u8 k_push_run_at[], k_pop_run_at[], k_esp_run_at[], k_call_run_at[], k_ret_run_at[], k_div_run_at[], k_add_run_at[];
CODE(k_push_run, "push %eax; push %edx; k_push_run_at: push %ecx; push %ebx");
CODE(k_pop_run, "pop %eax; pop %edx; k_pop_run_at: pop %ecx; pop %edx");
CODE(k_esp_run, "push %eax; mov %esp, %ebp; push %edx; lea 4(%esp), %esi; k_esp_run_at: mov 0x1008(%esp), %ecx; pop %eax");
CODE(k_call_run, "push %eax; k_call_run_at: call 1f; 1: nop");
CODE(k_ret_run, "pop %eax; k_ret_run_at: ret");
CODE(k_div_run, "push %eax; mov $0, %ecx; push %edx; k_div_run_at: div %ecx; pop %eax");
CODE(k_add_run, "push %eax; add %esp, %ebx; push %edx; add $4, %esp; k_add_run_at: mov %eax, 0x1000(%esp)");

/* A fault in the middle of a run that moves ESP finds the ESP of its own instruction. */
TEST_PG(stack_run, "shadow.faults in the middle of a run of stack instructions")
{
	static const struct {
		const char *name;
		u8 *code, *at;
		u32 esp, vec, err, cr2, after;
	} runs[] = {
		{"pushes", k_push_run, k_push_run_at, B + 8, V_PF, 6, B - 4, B},
		{"pops", k_pop_run, k_pop_run_at, C - 8, V_PF, 4, C, C},
		{"an address by esp", k_esp_run, k_esp_run_at, B + 16, V_PF, 4, C + 16, B + 8},
		{"push and call", k_call_run, k_call_run_at, B + 4, V_PF, 6, B - 4, B},
		{"pop and ret", k_ret_run, k_ret_run_at, C - 4, V_PF, 4, C, C},
		{"pushes and a division", k_div_run, k_div_run_at, B + 8, V_DE, 0, 0, B},
		{"arithmetic with esp", k_add_run, k_add_run_at, B + 8, V_PF, 6, C + 4, B + 4},
	};

	map(A, page(0), 0);
	map(B, page(1), RWU);
	map(C, page(2), 0);
	for (u32 round = 0; round < 30; round++) {
		for (u32 i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
			struct state s = at_ring(runs[i].code, 3);
			const char *name = runs[i].name;

			*at(C - 8) = 0x88;
			*at(C - 4) = 0x44;
			s.esp = runs[i].esp;
			s.eax = 0xaaaa;
			s.ebx = 1;
			s.edx = 0xdd;
			run(&s);
			if (!trapped(&s, runs[i].vec, runs[i].err, runs[i].at, name))
				continue;
			if (runs[i].vec == V_PF)
				EQ(s.cr2, runs[i].cr2, name);
			EQ(s.esp, runs[i].after, name);
			if (runs[i].code == k_push_run) {
				EQ(*at(B + 4), 0xaaaa, name);
				EQ(*at(B), 0xdd, name);
			} else if (runs[i].code == k_pop_run) {
				EQ(s.eax, 0x88, name);
				EQ(s.edx, 0x44, name);
			} else if (runs[i].code == k_esp_run) {
				EQ(s.ebp, B + 12, name);
				EQ(s.esi, B + 12, name);
			} else if (runs[i].code == k_add_run) {
				EQ(s.ebx, B + 5, name);
			}
		}
	}
	unmap_window();
}

/* Both sides of the top of the address space. */
TEST_PG(wrap, "shadow.accesses that wrap at 4 GiB")
{
	u32 top = 0xfffff000;
	u64 low = pte_get(0);

	for (int ring = 3; ring >= 0; ring -= 3) {
		u64 u = ring ? P_U : 0;

		install(top, page(100));
		set_entry(page(100), index_of(top), ADDR(page(0)) | RW | u);
		map(0, page(1), RW | u);
		for (u32 i = 0; i < 30; i++) {
			struct state s;

			*(u32 *)(page(0) + 0xffc) = 0xaabbccdd;
			*(u32 *)page(1) = 0x11223344;
			s = touch(ring, u_read, 0xfffffffe, 0);
			/* A limit of 4 GiB: a #GP is permitted, wrap is what processors do (SDM Vol. 3A 5.3). */
			if (s.vec == V_GP || s.vec == V_SS)
				continue;
			if (!ended(&s, tag("read that wraps", ring)))
				break;
			EQ(s.eax, 0x3344aabb, tag("word that wraps", ring));
			s = touch(ring, u_write, 0xfffffffd, 0x55667788);
			ended(&s, tag("write that wraps", ring));
			EQ(*(u32 *)(page(0) + 0xffc), 0x667788dd, tag("before the wrap", ring));
			EQ(*(u32 *)page(1) & 0xff, 0x55, tag("behind the wrap", ring));
			s = touch(ring, u_read, 0xfffffffc, 0);
			if (ended(&s, tag("last word", ring)))
				EQ(s.eax, 0x667788dd, tag("last word", ring));
			map(0, page(1), 0);
			s = touch(ring, u_write, 0xfffffffe, 0);
			faults_at(&s, 0, ring ? 6 : 2, u_write, tag("write that wraps into an absent page", ring));
			EQ(*(u32 *)(page(0) + 0xffc), 0x667788dd, tag("before the wrap, after a fault", ring));
			map(0, page(1), RW | u);
		}
	}
	pte_set(0, low);
	pde_set(top, 0);
	write_cr3(read_cr3());
}

TEST_PG(hole, "shadow.accesses to where there is no memory")
{
	FOR_EVERYBODY(w)
	{
		map(A, page(0), RW | w->u);
		pte_set(B, 0xd0000000 | RW | w->u);
		invlpg(B);
		map(C, page(1), RW | w->u);
		*(u32 *)(page(0) + 0xffc) = 0x01020304;
		for (u32 i = 0; i < 50; i++) {
			struct state s = touch(w->ring, u_read, B, 0);

			ended(&s, "read of a hole");
			s = touch(w->ring, u_write, B + 4 * i, i);
			ended(&s, "write of a hole");
			s = touch(w->ring, s_lock_add, B + 4 * i, i);
			ended(&s, "locked add to a hole");
			s = touch(w->ring, u_read, B - 2, 0);
			if (ended(&s, "read over the border of a hole"))
				EQ(s.eax & 0xffff, 0x0102, "the part in memory");
			s = touch(w->ring, u_write, C - 2, 0x77778888);
			ended(&s, "write over the border of a hole");
			EQ(*(u32 *)page(1) & 0xffff, 0x7777, "the part in memory");
			/* The same instructions on memory again. */
			writes(w, C, i, "memory");
			reads(w, C, i, "memory");
			*(u32 *)page(1) = 0;
		}
	}
	unmap_window();
}

TEST_PG(same_code, "shadow.one instruction on memory, holes and faults by turns")
{
	for (u32 i = 0; i < 300; i++)
		FOR_EVERYBODY(w)
		{
			switch ((i * 7 + w->ring) % 5) {
			case 0:
				map(B, page(0), RW | w->u);
				writes(w, B, i, "memory");
				EQ(*(u32 *)page(0), i, "word");
				break;
			case 1:
				pte_set(B, 0xd0000000 | RW | w->u);
				invlpg(B);
				touch(w->ring, u_write, B, i);
				break;
			case 2:
				map(B, page(0), P_P | w->u);
				write_faults(w, B, 1, "read-only");
				break;
			case 3:
				map(B, page(0), 0);
				write_faults(w, B, 0, "absent");
				break;
			default:
				map(B, page(2), RW | w->u);
				reads(w, B, *(u32 *)page(2), "another page");
			}
		}
	unmap_window();
}
