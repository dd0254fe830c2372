/*
 * Page faults: error codes for every combination of rights, CR2, and precise state: registers, EIP, memory, string progress.
 *
 * Layout used: TW is page A (mapped to scratch[0]), TW + 0x1000 page B (absent or restricted), TW + 0x2000 page C.
 */
#include "guestos/conformance/test.h"

enum { A = TW, B = TW + 0x1000, C = TW + 0x2000 };

static UDATA u8 udata[64];

static int has_nx(void)
{
	u32 r[4];

	cpuid(0x80000000, 0, r);
	if (r[0] < 0x80000001)
		return 0;
	cpuid(0x80000001, 0, r);
	return r[3] >> 20 & 1;
}

CODE(pf_read, "mov (%ebx), %eax");
CODE(pf_write, "mov %eax, (%ebx)");
CODE(pf_rmw, "incl (%ebx)");
CODE(pf_exec, "jmp *%ebx");

/* Every U, R/W, WP and CPL against a read (the first 128) and what `writing` does. */
static void matrix(const u8 *writing)
{
	u32 cr0 = read_cr0();

	for (u32 i = 0; i < 256; i++) {
		u32 p = i & 1, w = i >> 1 & 1, u = i >> 2 & 1, pde_w = i >> 3 & 1, pde_u = i >> 4 & 1, wp = i >> 5 & 1,
		    ring = i >> 6 & 1 ? 3 : 0;
		u32 writes = i >> 7, eff_w = w && pde_w, eff_u = u && pde_u, ok;
		u64 pde = pde_get(TW);
		struct state s = at_ring(writes ? writing : pf_read, (int)ring), in;

		ok = p && (ring ? eff_u && (!writes || eff_w) : !writes || eff_w || !wp);
		write_cr0(wp ? cr0 | CR0_WP : cr0 & ~(u32)CR0_WP);
		pde_set(TW, (pde & ~6ull) | (pde_w ? P_W : 0) | (pde_u ? P_U : 0));
		pte_set(B, ADDR(scratch[1]) | p | (w ? P_W : 0) | (u ? P_U : 0));
		write_cr3(read_cr3());
		*(volatile u32 *)scratch[1] = 0x1000;
		s.ebx = B;
		s.eax = 0x1001;
		in = s;
		run(&s);
		if (ok) {
			if (s.vec != V_END)
				fail("p%u w%u u%u pde w%u u%u wp%u ring %u write %u: trap %u error %x", p, w, u, pde_w, pde_u, wp, ring,
				     writes, s.vec, s.err);
		} else if (s.vec != V_PF || s.err != (p | (writes ? 2u : 0) | (ring ? 4u : 0)) || s.cr2 != B || s.eip != in.eip) {
			fail("p%u w%u u%u pde w%u u%u wp%u ring %u write %u: trap %u error %x cr2 %x", p, w, u, pde_w, pde_u, wp, ring,
			     writes, s.vec, s.err, s.cr2);
		}
		EQ(*(volatile u32 *)scratch[1], ok && writes ? 0x1001 : 0x1000, "memory");
		pde_set(TW, pde);
	}
	write_cr0(cr0);
}

TEST_PG(matrix, "pagefault.every U R/W WP CPL access combination")
{
	matrix(pf_write);
}

TEST_PG(matrix_rmw, "pagefault.every combination for a read-modify-write")
{
	if (qemu_skips("a read-modify-write of an absent page faults as a read"))
		return;
	matrix(pf_rmw);
}

TEST_PG(pde_absent, "pagefault.absent directory entry")
{
	u64 pde = pde_get(TW);
	struct state s = at_ring(pf_write, 3);

	pde_set(TW, 0);
	write_cr3(read_cr3());
	s.ebx = A + 0x123;
	run(&s);
	trapped(&s, V_PF, 6, pf_write, "write");
	EQ(s.cr2, A + 0x123, "cr2");
	pde_set(TW, pde);
}

TEST_PG(exec, "pagefault.instruction fetch")
{
	struct state s = at_ring(pf_exec, 3);

	map(A, scratch[0], P_P | P_W | P_U);
	s.ebx = B + 0x55;
	run(&s);
	trapped(&s, V_PF, 4, (void *)(B + 0x55), "fetch from an absent page");
	EQ(s.cr2, B + 0x55, "cr2");
	map(B, scratch[1], P_P | P_W);
	scratch[1][0x55] = 0xcd;
	scratch[1][0x56] = 0xf0;
	s = at_ring(pf_exec, 3);
	s.ebx = B + 0x55;
	run(&s);
	trapped(&s, V_PF, 5, (void *)(B + 0x55), "fetch from a supervisor page");
	/* An instruction across A and B: CR2 is B's first byte, EIP the instruction's start. */
	memset(scratch[0] + 0xff0, 0x90, 16);
	scratch[0][0xffe] = 0xb8;
	map(B, scratch[1], 0);
	s = at_ring(pf_exec, 3);
	s.ebx = A + 0xff8;
	run(&s);
	trapped(&s, V_PF, 4, (void *)(A + 0xffe), "instruction across pages");
	EQ(s.cr2, B, "cr2");
	EQ(s.eax, 0xa1a1a1a1, "eax");
}

TEST_IN(nx, "pagefault.no-execute", IN_PAE)
{
	struct state s;

	if (!has_nx()) {
		skip("no NX");
		return;
	}
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
	scratch[1][0] = 0xcd;
	scratch[1][1] = 0xf0;
	for (int ring = 0; ring <= 3; ring += 3) {
		map(B, scratch[1], P_P | P_W | P_U | P_NX);
		s = at_ring(pf_exec, ring);
		s.ebx = B;
		run(&s);
		trapped(&s, V_PF, ring ? 0x15 : 0x11, (void *)B, tag("fetch from an NX page", ring));
		EQ(s.cr2, B, "cr2");
		s = at_ring(pf_read, ring);
		s.ebx = B;
		run(&s);
		ended(&s, tag("read from an NX page", ring));
		map(B, scratch[1], 0);
		s = at_ring(pf_exec, ring);
		s.ebx = B;
		run(&s);
		trapped(&s, V_PF, ring ? 0x14 : 0x10, (void *)B, tag("fetch from an absent page, NXE", ring));
		map(B, scratch[1], P_P | P_W | P_U);
		s = at_ring(pf_exec, ring);
		s.ebx = B;
		run(&s);
		ended(&s, tag("fetch from a page without NX", ring));
	}
	u64 pde = pde_get(TW);

	pde_set(TW, pde | P_NX);
	write_cr3(read_cr3());
	s = at_ring(pf_exec, 3);
	s.ebx = B;
	run(&s);
	trapped(&s, V_PF, 0x15, (void *)B, "fetch below an NX directory entry");
	pde_set(TW, pde);
	write_cr3(read_cr3());
}

TEST_IN(reserved, "pagefault.reserved bits", IN_PAE)
{
	struct state s;

	if (qemu_skips("P is clear in the error code of a reserved bit"))
		return;
	wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x800ull);
	/* NX is reserved while EFER.NXE is clear; bits 62 to 52 always in PAE paging. */
	for (int i = 0; i < 2; i++) {
		map(B, scratch[1], P_P | P_W | P_U | (i ? 1ull << 62 : P_NX));
		s = at_ring(pf_read, 3);
		s.ebx = B + 8;
		run(&s);
		trapped(&s, V_PF, 0xd, pf_read, i ? "bit 62" : "NX without NXE");
		EQ(s.cr2, B + 8, "cr2");
		s = at_ring(pf_write, 0);
		s.ebx = B + 8;
		run(&s);
		trapped(&s, V_PF, 0xb, pf_write, i ? "bit 62" : "NX without NXE");
	}
}

CODE(i_push, "push %eax");
CODE(i_pushm, "pushl (%ebx)");
CODE(i_pushm2, "pushl (%esi)");
CODE(i_pop, "pop %eax");
CODE(i_popm, "popl (%ebx)");
CODE(i_call, "call 1f; 1:");
CODE(i_callm, "call *(%ebx)");
CODE(i_ret, "ret");
CODE(i_retn, "ret $12");
CODE(i_lret, "lret");
CODE(i_iret, "iret");
CODE(i_enter, "enter $8, $0");
CODE(i_leave, "leave");
CODE(i_pusha, "pusha");
CODE(i_popa, "popa");
CODE(i_pushf, "pushf");
CODE(i_popf, "popf");
CODE(i_xchg, "xchg %eax, (%ebx)");
CODE(i_xadd, "lock xadd %eax, (%ebx)");
CODE(i_cmpxchg, "cmpxchg %ecx, (%ebx)");
CODE(i_cx8, "lock cmpxchg8b (%ebx)");
CODE(i_shl, "shll %cl, (%ebx)");
CODE(i_shld, "shld $3, %eax, (%ebx)");
CODE(i_adcl, "adcl $5, (%ebx)");
CODE(i_notb, "notb (%ebx)");
CODE(i_setc, "setc (%ebx)");
CODE(i_div, "divl (%ebx)");
CODE(i_imul, "imul (%ebx), %eax");
CODE(i_cmov, "cmovnc (%ebx), %eax");
CODE(i_movzx, "movzbl (%ebx), %ecx");
CODE(i_lds, "lds (%ebx), %eax");
CODE(i_bound, "bound %eax, (%ebx)");
CODE(i_sgdt, "sgdt (%ebx)");
CODE(i_smsw, "smsw (%ebx)");
CODE(i_movsreg, "mov %ds, (%ebx)");
CODE(i_ldsreg, "mov (%ebx), %es");
CODE(i_jmpm, "jmp *(%ebx)");
CODE(i_fld, "fldl (%ebx)");
CODE(i_fst, "fstps (%ebx)");
CODE(i_fstl, "fstpl (%ebx)");
CODE(i_fstt, "fstpt (%ebx)");
CODE(i_fist, "fistpl (%ebx)");
CODE(i_fsave, "fnsave (%ebx)");
CODE(i_fstenv, "fnstenv (%ebx)");
CODE(i_frstor, "frstor (%ebx)");
CODE(i_fstcw, "fnstcw (%ebx)");
CODE(i_fxsave, "fxsave (%ebx)");
CODE(i_movups, "movups %xmm0, (%ebx)");
CODE(i_xlat, "xlat");
CODE(i_lods, "lodsl");
CODE(i_stos, "stosl");
CODE(i_movs_s, "movsl");
CODE(i_cmps, "cmpsl");
CODE(i_scas, "scasl");
CODE(i_invl, "lar (%ebx), %eax");

struct insn {
	const char *name;
	const u8 *code;
	u32 err; /* error code in ring 3 with B absent */
	u32 cr2; /* offset in B */
	u32 flags;
	int kind;
};

/* How the instruction gets at B: through EBX, by pushing from its end, by popping from its start, through ESI, through EDI. */
enum { MEM, PUSHES, POPS, SOURCE, DEST };
/* LOOSE: several words, whose order the manual leaves open: CR2 may be anywhere in B. ODD: see odd_insns. */
enum { SSE = 1, LOOSE = 2, ODD = 4 };

static const struct insn insns[] = {
	{"push", i_push, 6, 0xffc, 0, PUSHES},
	{"push mem", i_pushm2, 6, 0xffc, 0, PUSHES},
	{"call", i_call, 6, 0xffc, 0, PUSHES},
	{"enter", i_enter, 6, 0xffc, 0, PUSHES},
	{"pushf", i_pushf, 6, 0xffc, 0, PUSHES},
	{"pusha", i_pusha, 6, 0xffc, LOOSE, PUSHES},
	{"pop", i_pop, 4, 0, 0, POPS},
	{"ret", i_ret, 4, 0, 0, POPS},
	{"ret n", i_retn, 4, 0, 0, POPS},
	{"lret", i_lret, 4, 0, LOOSE | ODD, POPS},
	{"iret", i_iret, 4, 0, LOOSE | ODD, POPS},
	{"popf", i_popf, 4, 0, 0, POPS},
	{"popa", i_popa, 4, 0, LOOSE, POPS},
	{"leave", i_leave, 4, 0, 0, POPS},
	{"push (absent)", i_pushm, 4, 0, 0, MEM},
	{"pop to mem", i_popm, 6, 0, 0, MEM},
	{"call *mem", i_callm, 4, 0, 0, MEM},
	{"jmp *mem", i_jmpm, 4, 0, 0, MEM},
	{"xchg", i_xchg, 6, 0, ODD, MEM},
	{"xadd", i_xadd, 6, 0, ODD, MEM},
	{"cmpxchg", i_cmpxchg, 6, 0, ODD, MEM},
	{"cmpxchg8b", i_cx8, 6, 0, ODD, MEM},
	{"shl", i_shl, 6, 0, ODD, MEM},
	{"shld", i_shld, 6, 0, ODD, MEM},
	{"adc", i_adcl, 6, 0, ODD, MEM},
	{"not", i_notb, 6, 0, ODD, MEM},
	{"setc", i_setc, 6, 0, 0, MEM},
	{"div", i_div, 4, 0, 0, MEM},
	{"imul", i_imul, 4, 0, 0, MEM},
	{"cmovnc, false", i_cmov, 4, 0, 0, MEM},
	{"movzx", i_movzx, 4, 0, 0, MEM},
	{"bound", i_bound, 4, 0, 0, MEM},
	{"sgdt", i_sgdt, 6, 0, 0, MEM},
	{"smsw", i_smsw, 6, 0, 0, MEM},
	{"mov ds, mem", i_movsreg, 6, 0, 0, MEM},
	{"mov mem, es", i_ldsreg, 4, 0, 0, MEM},
	{"fld", i_fld, 4, 0, 0, MEM},
	{"fstp 4", i_fst, 6, 0, 0, MEM},
	{"fstp 8", i_fstl, 6, 0, 0, MEM},
	{"fstp 10", i_fstt, 6, 0, 0, MEM},
	{"fistp", i_fist, 6, 0, 0, MEM},
	{"fnsave", i_fsave, 6, 0, LOOSE, MEM},
	{"fnstenv", i_fstenv, 6, 0, LOOSE, MEM},
	{"frstor", i_frstor, 4, 0, LOOSE, MEM},
	{"fnstcw", i_fstcw, 6, 0, 0, MEM},
	{"fxsave", i_fxsave, 6, 0, SSE | LOOSE, MEM},
	{"movups", i_movups, 6, 0, SSE, MEM},
	{"xlat", i_xlat, 4, 0xa1, 0, MEM},
	{"lods", i_lods, 4, 0, 0, SOURCE},
	{"stos", i_stos, 6, 0, 0, DEST},
	{"movs from", i_movs_s, 4, 0, 0, SOURCE},
	{"movs to", i_movs_s, 6, 0, 0, DEST},
	{"cmps", i_cmps, 4, 0, 0, SOURCE},
	{"scas", i_scas, 4, 0, 0, DEST},
	{"lds", i_lds, 4, 0, LOOSE, MEM},
	{"lar", i_invl, 4, 0, 0, MEM},
};

/* One instruction against the absent page B; A and C are there. */
static void one_insn(const struct insn *n)
{
	struct state s = at_ring(n->code, 3), in;
	static const u16 cw = 0x37f;

	asm volatile("fninit; fldcw %0; fld1; fldz" ::"m"(cw));
	s.ebx = B;
	s.ecx = 0;
	s.esi = n->kind == SOURCE ? B : ADDR(udata);
	s.edi = n->kind == DEST ? B : ADDR(udata);
	if (n->kind == PUSHES)
		s.esp = C;
	if (n->kind == POPS)
		s.esp = s.ebp = B;
	s.eflags |= FL_CF | FL_SF;
	in = s;
	run(&s);
	if (!trapped(&s, V_PF, n->err, n->code, n->name))
		return;
	if (n->flags & LOOSE)
		s.cr2 = s.cr2 >> 12 == B >> 12 ? B + n->cr2 : s.cr2;
	if (s.cr2 != B + n->cr2)
		fail("%s: cr2 is %x, want %x", n->name, s.cr2, B + n->cr2);
	same_regs(&s, &in, n->name);
	if ((s.eflags ^ in.eflags) & FL_ARITH)
		fail("%s: flags %x, were %x", n->name, s.eflags, in.eflags);
	/* Then with the page there: the same instruction must not have left its stores or pops behind in the FPU. */
	u16 sw;

	asm volatile("fnstsw %0" : "=m"(sw));
	if ((sw >> 11 & 7) != 6)
		fail("%s: x87 top is %u, want 6", n->name, sw >> 11 & 7);
}

static void all_insns(int odd)
{
	int sse = cpuid_edx1() >> 25 & 1;
	u32 cr4 = read_cr4();

	if (sse)
		write_cr4(cr4 | CR4_OSFXSR);
	map(A, scratch[0], P_P | P_W | P_U);
	map(B, scratch[1], 0);
	map(C, scratch[2], P_P | P_W | P_U);
	for (u32 i = 0; i < sizeof(insns) / sizeof(insns[0]); i++)
		if ((sse || !(insns[i].flags & SSE)) && !(insns[i].flags & ODD) == !odd)
			one_insn(&insns[i]);
	write_cr4(cr4);
}

TEST_PG(insns, "pagefault.precise state of every kind of instruction")
{
	all_insns(0);
}

TEST_PG(odd_insns, "pagefault.precise state of read-modify-write, lret, iret")
{
	if (qemu_skips("a read-modify-write of an absent page faults as a read; lret and iret read as ring 0"))
		return;
	all_insns(1);
}

struct straddle {
	const char *name;
	const u8 *code;
	u32 size, err;
	int kind;
};

static const struct straddle straddles[] = {
	{"mov store", pf_write, 4, 6, MEM}, {"mov load", pf_read, 4, 4, MEM},  {"xchg", i_xchg, 4, 6, MEM},
	{"xadd", i_xadd, 4, 6, MEM},	    {"adc", i_adcl, 4, 6, MEM},	       {"cmpxchg8b", i_cx8, 8, 6, MEM},
	{"fstp 8", i_fstl, 8, 6, MEM},	    {"fld 8", i_fld, 8, 4, MEM},       {"fstp 4", i_fst, 4, 6, MEM},
	{"stos", i_stos, 4, 6, DEST},	    {"movs to", i_movs_s, 4, 6, DEST}, {"movs from", i_movs_s, 4, 4, SOURCE},
	{"call *mem", i_callm, 4, 4, MEM},  {"pop to mem", i_popm, 4, 6, MEM}, {"sgdt", i_sgdt, 6, 6, MEM},
};

static void all_straddles(int rmw)
{
	map(A, scratch[0], P_P | P_W | P_U);
	map(B, scratch[1], 0);
	for (u32 i = 0; i < sizeof(straddles) / sizeof(straddles[0]); i++)
		for (u32 k = 1; k < straddles[i].size; k++) {
			const struct straddle *t = &straddles[i];
			struct state s = at_ring(t->code, 3), in;

			if ((t->code == i_xchg || t->code == i_xadd || t->code == i_adcl || t->code == i_cx8 || t->code == i_sgdt) != rmw)
				continue;
			asm volatile("fninit; fld1; fldz");
			memset(scratch[0] + 0xff0, 0x5a, 16);
			s.ebx = B - k;
			s.esi = t->kind == SOURCE ? B - k : ADDR(udata);
			s.edi = t->kind == DEST ? B - k : ADDR(udata);
			in = s;
			run(&s);
			if (!trapped(&s, V_PF, t->err, t->code, t->name))
				continue;
			EQ(s.cr2, B, "cr2");
			same_regs(&s, &in, t->name);
			for (u32 j = 0xff0; j < 0x1000; j++)
				if (scratch[0][j] != 0x5a)
					fail("%s at -%u: byte %x of the first page was written", t->name, k, j);
		}
}

TEST_PG(straddle, "pagefault.accesses across pages, second page absent")
{
	all_straddles(0);
}

TEST_PG(straddle_rmw, "pagefault.read-modify-writes and SGDT across pages, second page absent")
{
	if (qemu_skips("a read-modify-write of an absent page faults as a read, and SGDT is two stores"))
		return;
	all_straddles(1);
}

TEST_PG(straddle_ok, "pagefault.none for accesses across two pages that are not neighbours")
{
	struct state s;

	map(A, scratch[7], P_P | P_W | P_U);
	map(B, scratch[3], P_P | P_W | P_U);
	for (u32 k = 1; k < 4; k++) {
		memset(scratch[7] + 0xff0, 0, 16);
		memset(scratch[3], 0, 16);
		s = at_ring(pf_write, 3);
		s.eax = 0x44332211;
		s.ebx = B - k;
		run(&s);
		ended(&s, "write");
		for (u32 j = 0; j < 4; j++)
			EQ(j < k ? scratch[7][0x1000 - k + j] : scratch[3][j - k], 0x11 * (j + 1), "byte written across the pages");
		s = at_ring(pf_read, 3);
		s.ebx = B - k;
		run(&s);
		if (ended(&s, "read"))
			EQ(s.eax, 0x44332211, "word read across the pages");
		EQ(scratch[8][0], 0, "the next physical page");
	}
}

CODE(rep_movs1, "rep movsb");
CODE(rep_movs4, "rep movsl");
CODE(rep_stos4, "rep stosl");
CODE(rep_cmps, "repe cmpsb");
CODE(rep_scas, "repne scasb");
CODE(rep_lods, "rep lodsw");

static void rep_case(const char *name, const u8 *code, u32 unit, int df, u32 esi, u32 edi, u32 count, u32 done, u32 err, u32 cr2)
{
	struct state s = at_ring(code, 3);
	u32 step = df ? 0 - unit * done : unit * done;
	int uses_si = code != rep_stos4 && code != rep_scas, uses_di = code != rep_lods;

	s.eax = 0xeeeeeeee;
	s.esi = esi;
	s.edi = edi;
	s.ecx = count;
	s.eflags |= df ? FL_DF : 0;
	run(&s);
	if (!trapped(&s, V_PF, err, code, name))
		return;
	EQ(s.cr2, cr2, "cr2");
	EQ(s.ecx, count - done, "ecx");
	EQ(s.esi, uses_si ? esi + step : esi, "esi");
	EQ(s.edi, uses_di ? edi + step : edi, "edi");
}

TEST_PG(rep, "pagefault.string instructions stop at the exact element")
{
	map(A, scratch[0], P_P | P_W | P_U);
	map(B, scratch[1], 0);
	map(C, scratch[2], P_P | P_W | P_U);
	memset(scratch[0], 0x33, 4096);
	memset(scratch[2], 0x33, 4096);
	rep_case("rep movsb, destination", rep_movs1, 1, 0, C, B - 100, 300, 100, 6, B);
	rep_case("rep movsb, source", rep_movs1, 1, 0, B - 77, C, 300, 77, 4, B);
	rep_case("rep movsb down, destination", rep_movs1, 1, 1, C + 400, C + 50, 300, 51, 6, C - 1);
	rep_case("rep movsl, destination", rep_movs4, 4, 0, C, B - 100, 300, 25, 6, B);
	rep_case("rep movsl, destination across", rep_movs4, 4, 0, C, B - 102, 300, 25, 6, B);
	rep_case("rep movsl, source across", rep_movs4, 4, 0, B - 21, C, 300, 5, 4, B);
	rep_case("rep movsl down, source", rep_movs4, 4, 1, C + 40, A + 2000, 300, 11, 4, C - 4);
	rep_case("rep stosl", rep_stos4, 4, 0, 1, B - 400, 300, 100, 6, B);
	rep_case("rep stosl down", rep_stos4, 4, 1, 1, C + 400, 300, 101, 6, C - 4);
	memset(scratch[0], 0x33, 4096);
	memset(scratch[2], 0x33, 4096);
	rep_case("repe cmpsb", rep_cmps, 1, 0, C + 1000, B - 60, 300, 60, 4, B);
	memset(scratch[0], 0x33, 4096);
	rep_case("repne scasb", rep_scas, 1, 0, 1, B - 60, 300, 60, 4, B);
	rep_case("rep lodsw", rep_lods, 2, 0, B - 60, 1, 300, 30, 4, B);
	rep_case("rep movsb, first element", rep_movs1, 1, 0, C, B, 5, 0, 6, B);
}

static int lazy_hook(struct state *s)
{
	if (s->cr2 >> 12 != B >> 12)
		return 0;
	map(B, scratch[1], P_P | P_W | P_U);
	return 1;
}

TEST_PG(restart, "pagefault.instructions restart after the page is supplied")
{
	struct state s;

	trap_hook[V_PF] = lazy_hook;
	map(A, scratch[0], P_P | P_W | P_U);
	map(C, scratch[2], P_P | P_W | P_U);
	memset(scratch[0], 0x33, 4096);
	memset(scratch[1], 0x44, 4096);
	memset(scratch[2], 0x55, 4096);
	map(B, scratch[1], 0);
	s = at_ring(rep_movs4, 3);
	s.esi = C;
	s.edi = A + 0x802;
	s.ecx = 1000;
	run(&s);
	if (ended(&s, "rep movsl")) {
		EQ(s.ecx, 0, "ecx");
		EQ(s.esi, C + 4000, "esi");
		EQ(memcmp(scratch[0] + 0x802, scratch[2], 0x7fe), 0, "first part");
		EQ(memcmp(scratch[1], scratch[2], 4000 - 0x7fe), 0, "second part");
		EQ(scratch[1][4000 - 0x7fe], 0x44, "byte behind");
	}
	map(B, scratch[1], 0);
	*(volatile u32 *)(scratch[1]) = 41;
	s = at_ring(pf_rmw, 3);
	s.ebx = B;
	run(&s);
	ended(&s, "inc");
	EQ(*(volatile u32 *)scratch[1], 42, "inc happens once");
	map(B, scratch[1], 0);
	s = at_ring(i_pusha, 3);
	s.esp = C;
	run(&s);
	if (ended(&s, "pusha"))
		EQ(*(volatile u32 *)(scratch[1] + 0xffc), 0xa1a1a1a1, "pusha");
	trap_hook[V_PF] = NULL;
}

CODE(many, "mov $0x1000, %ecx; 1: mov (%ebx), %eax; add %eax, %edx; mov %edx, 4(%ebx); add $4, %ebx; dec %ecx; jnz 1b");

TEST_PG(stack_switch, "pagefault.ring 3 fault while registers hold everything")
{
	struct state s = at_ring(many, 3);

	map(A, scratch[0], P_P | P_W | P_U);
	map(B, scratch[1], P_P | P_U);
	memset(scratch[0], 0, 4096);
	s.ebx = A;
	run(&s);
	trapped(&s, V_PF, 7, NULL, "write to a read-only page");
	EQ(s.cr2, B, "cr2");
	EQ(s.ebx, B - 4, "ebx");
	EQ(s.ecx, 0x1000 - 1023, "ecx");
}
