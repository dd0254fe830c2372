/*
 * Exceptions that instructions raise by themselves: #DE, #BP, #OF, #BR, #UD, #NM, #GP for privilege, #DF, and the images that they push.
 */
#include "guestos/conformance/test.h"

static UDATA s32 bounds[2] = {-5, 10};
static UDATA u8 buf[1024] __attribute__((aligned(64)));

struct one {
	const char *name;
	const u8 *code, *at; /* at: EIP that the frame must show */
	u32 vec, err;
	u32 eax, ecx, edx;
	u32 flags;
};

enum { RING0 = 1, RING3 = 2, RINGS = 3 };

/* Runs each in the given rings, with EBX at buf, ESI at bounds; a fault must leave every register alone. */
static void each(const struct one *c, u32 n, int rings)
{
	for (u32 i = 0; i < n; i++)
		for (int ring = 0; ring <= 3; ring += 3) {
			struct state s = at_ring(c[i].code, ring), in;

			if (!(rings & (ring ? RING3 : RING0)))
				continue;
			s.eax = c[i].eax;
			s.ecx = c[i].ecx;
			s.edx = c[i].edx;
			s.ebx = ADDR(buf);
			s.esi = ADDR(bounds);
			s.eflags |= c[i].flags;
			in = s;
			run(&s);
			if (!trapped(&s, c[i].vec, c[i].err, c[i].at, tag(c[i].name, ring)))
				continue;
			same_regs(&s, &in, tag(c[i].name, ring));
			if ((s.eflags ^ in.eflags) & (FL_IF | FL_TF | FL_IOPL | FL_DF | FL_NT | FL_AC))
				fail("%s: eflags image %x, were %x", tag(c[i].name, ring), s.eflags, in.eflags);
		}
}
#define EACH(table, rings) each(table, sizeof(table) / sizeof((table)[0]), rings)

CODE(div8, "div %cl");
CODE(div16, "div %cx");
CODE(div32, "div %ecx");
CODE(divmem, "divl (%ebx)");
CODE(idiv8, "idiv %cl");
CODE(idiv16, "idiv %cx");
CODE(idiv32, "idiv %ecx");
CODE(aam0, "aam $0");

TEST(de, "fault.#DE")
{
	static const struct one c[] = {
		{"div8 by 0", div8, div8, V_DE, 0, 1, 0, 0, 0},
		{"div8 overflow", div8, div8, V_DE, 0, 0x200, 2, 0, 0},
		{"div16 by 0", div16, div16, V_DE, 0, 1, 0, 0, 0},
		{"div16 overflow", div16, div16, V_DE, 0, 0, 7, 7, 0},
		{"div32 by 0", div32, div32, V_DE, 0, 1, 0, 0, 0},
		{"div32 overflow", div32, div32, V_DE, 0, 0, 7, 7, 0},
		{"div mem by 0", divmem, divmem, V_DE, 0, 5, 5, 5, 0},
		{"idiv8 by 0", idiv8, idiv8, V_DE, 0, 1, 0, 0, 0},
		{"idiv8 overflow", idiv8, idiv8, V_DE, 0, 0x80, 1, 0, 0},
		{"idiv8 min", idiv8, idiv8, V_DE, 0, 0xff80, 0xff, 0, 0},
		{"idiv16 min", idiv16, idiv16, V_DE, 0, 0x8000, 0xffff, 0xffff, 0},
		{"idiv32 min", idiv32, idiv32, V_DE, 0, 0x80000000, 0xffffffff, 0xffffffff, 0},
		{"idiv32 overflow", idiv32, idiv32, V_DE, 0, 0, 2, 1, 0},
		{"aam 0", aam0, aam0, V_DE, 0, 1, 0, 0, FL_CF},
	};

	memset(buf, 0, 8);
	EACH(c, RINGS);
}

/* More often than a monitor likes to take a signal: it may do the instruction in another way from then on. */
TEST(de_often, "fault.#DE, time and again")
{
	static const struct one bad[] = {
		{"div8", div8, div8, V_DE, 0, 0x200, 2, 0, 0},
		{"div16", div16, div16, V_DE, 0, 0, 7, 7, 0},
		{"div32", div32, div32, V_DE, 0, 0, 7, 7, 0},
		{"div mem", divmem, divmem, V_DE, 0, 5, 5, 5, 0},
		{"idiv8", idiv8, idiv8, V_DE, 0, 0x80, 1, 0, 0},
		{"idiv16", idiv16, idiv16, V_DE, 0, 0x8000, 0xffff, 0xffff, 0},
		{"idiv32", idiv32, idiv32, V_DE, 0, 0x80000000, 0xffffffff, 0xffffffff, 0},
	};
	static const struct {
		const u8 *code;
		u32 eax, ecx, edx, quotient, remainder;
	} good[] = {
		{div8, 0x5555fe01, 0xff, 3, 0x555500ff, 3},
		{div16, 0x55550007, 7, 1, 0x55552493, 2},
		{div32, 7, 7, 1, 0x24924925, 4},
		{divmem, 7, 5, 1, 0x1c71c71d, 2},
		{idiv8, 0x5555fff9, 2, 3, 0x5555fffd, 3},
		{idiv16, 0x5555fff9, 2, 0x5555ffff, 0x5555fffd, 0x5555ffff},
		{idiv32, 0xfffffff9, 2, 0xffffffff, 0xfffffffd, 0xffffffff},
	};

	memset(buf, 0, 8);
	for (int i = 0; i < 200; i++)
		EACH(bad, RING0);
	*(u32 *)buf = 9;
	for (u32 i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct state s = at_ring(good[i].code, 0);

		s.eax = good[i].eax;
		s.ecx = good[i].ecx;
		s.edx = good[i].edx;
		s.ebx = ADDR(buf);
		run(&s);
		if (!ended(&s, bad[i].name))
			continue;
		EQ(s.eax, good[i].quotient, bad[i].name);
		EQ(s.edx, good[i].remainder, bad[i].name);
	}
}

CODE(int3, "int3; int3_at:");
CODE(into, "into; into_at:");
CODE(int4, "int $4; int4_at:");
CODE(bound32, "bound %eax, (%esi)");
CODE(bound16, "bound %ax, (%esi)");

TEST(bp_of_br, "fault.#BP #OF #BR")
{
	static const struct one c[] = {
		{"int3", int3, int3_at, V_BP, 0, 1, 2, 3, FL_ARITH},
		{"into", into, into_at, V_OF, 0, 1, 2, 3, FL_OF},
		{"into without OF", into, into_end + 2, V_END, 0, 1, 2, 3, FL_CF | FL_ZF},
		{"int 4", int4, int4_at, V_OF, 0, 1, 2, 3, 0},
		{"bound below", bound32, bound32, V_BR, 0, (u32)-6, 2, 3, 0},
		{"bound above", bound32, bound32, V_BR, 0, 11, 2, 3, 0},
		{"bound at the lower end", bound32, bound32_end + 2, V_END, 0, (u32)-5, 2, 3, FL_ARITH},
		{"bound at the upper end", bound32, bound32_end + 2, V_END, 0, 10, 2, 3, 0},
		{"bound16 below", bound16, bound16, V_BR, 0, 0xfff0, 2, 3, 0},
		{"bound16 inside", bound16, bound16_end + 2, V_END, 0, 0x5555fffb, 2, 3, 0},
	};

	EACH(c, RINGS);
}

CODE(ud_ud2, "ud2");
CODE(ud_ud1, ".byte 0x0f, 0xb9, 0xc0");
CODE(ud_0f04, ".byte 0x0f, 0x04");
CODE(ud_0f0a, ".byte 0x0f, 0x0a");
CODE(ud_0f24, ".byte 0x0f, 0x24, 0xc0");
CODE(ud_0f3f, ".byte 0x0f, 0x3f, 0xc0");
CODE(ud_0fa6, ".byte 0x0f, 0xa6, 0x00");
CODE(ud_lock_nop, ".byte 0xf0, 0x90");
CODE(ud_lock_mov, ".byte 0xf0, 0x89, 0x03");
CODE(ud_lock_addreg, ".byte 0xf0, 0x01, 0xc0");
CODE(ud_lock_cmp, ".byte 0xf0, 0x39, 0x03");
CODE(ud_lock_load, ".byte 0xf0, 0x03, 0x03");
CODE(ud_lock_btmem, ".byte 0xf0, 0x0f, 0xba, 0x23, 0x01");
CODE(ud_lock_mul, ".byte 0xf0, 0xf7, 0x23");
CODE(ud_lock_push, ".byte 0xf0, 0x50");
CODE(ud_fe7, ".byte 0xfe, 0xf8");
CODE(ud_fe2, ".byte 0xfe, 0x13");
CODE(ud_ff7, ".byte 0xff, 0xff");
CODE(ud_ff3reg, ".byte 0xff, 0xd8");
CODE(ud_ff5reg, ".byte 0xff, 0xe8");
CODE(ud_lea_reg, ".byte 0x8d, 0xc0");
CODE(ud_c6_1, ".byte 0xc6, 0xc8, 0x00");
CODE(ud_cx8_reg, ".byte 0x0f, 0xc7, 0xc8");
CODE(ud_ba0, ".byte 0x0f, 0xba, 0xc0, 0x01");
CODE(ud_cr1, ".byte 0x0f, 0x20, 0xc8");
CODE(ud_cr5, ".byte 0x0f, 0x22, 0xe8");
CODE(ud_rsm, ".byte 0x0f, 0xaa");
CODE(ud_vmcall, ".byte 0x0f, 0x01, 0xc1");
CODE(ud_lss_reg, ".byte 0x0f, 0xb2, 0xc0");
CODE(ud_d9_d1, ".byte 0xd9, 0xd1");
CODE(ud_movntps_reg, ".byte 0x0f, 0x2b, 0xc0");
CODE(ud_0f00_6, ".byte 0x0f, 0x00, 0xf0");
CODE(ud_f7_lock_not, ".byte 0xf0, 0xf7, 0xd0");
CODE(ud_lock_xchgreg, ".byte 0xf0, 0x87, 0xc8");

TEST(ud, "fault.#UD")
{
#define UD(id)                                                                                                                             \
	{                                                                                                                                  \
#id, ud_##id, ud_##id, V_UD, 0, 1, 2, 3, FL_ARITH                                                                          \
	}
	static const struct one c[] = {
		UD(ud2),	 UD(ud1),      UD(0f04),    UD(0f0a),  UD(0f24),   UD(0f3f),	    UD(0fa6),	     UD(lock_nop),
		UD(lock_addreg), UD(lock_cmp), UD(fe7),	    UD(fe2),   UD(ff7),	   UD(lea_reg),	    UD(cx8_reg),     UD(ba0),
		UD(rsm),	 UD(vmcall),   UD(lss_reg), UD(d9_d1), UD(0f00_6), UD(f7_lock_not), UD(movntps_reg),
	};

	EACH(c, RINGS);
}

TEST(ud_cr, "fault.#UD for control registers that do not exist")
{
	static const struct one c[] = {UD(cr1), UD(cr5)};

	EACH(c, RING0);
}

TEST(ud_c6, "fault.#UD for c6 /1")
{
	static const struct one c[] = {UD(c6_1)};

	if (qemu_skips("c6 /1 is taken for mov"))
		return;
	EACH(c, RINGS);
}

TEST(ud_lock, "fault.#UD for a lock prefix where it may not be")
{
	static const struct one c[] = {UD(lock_mov), UD(lock_btmem), UD(lock_mul), UD(lock_push), UD(lock_load), UD(lock_xchgreg)};

	if (qemu_skips("not every illegal lock prefix is refused"))
		return;
	EACH(c, RINGS);
}

TEST(ud_ff, "fault.#UD for far transfers through a register")
{
	static const struct one c[] = {UD(ff3reg), UD(ff5reg)};

	EACH(c, RINGS);
}
#undef UD

CODE(p_hlt, "hlt");
CODE(p_cli, "cli");
CODE(p_sti, "sti");
CODE(p_inb, "inb %dx, %al");
CODE(p_inl_imm, "in $0x80, %eax");
CODE(p_outb, "outb %al, %dx");
CODE(p_outw_imm, "out %ax, $0x80");
CODE(p_insb, "insb");
CODE(p_repinsd, "rep insl");
CODE(p_outsb, "outsb");
CODE(p_lgdt, "lgdt (%ebx)");
CODE(p_lidt, "lidt (%ebx)");
CODE(p_lldt, "lldt %ax");
CODE(p_ltr, "ltr %ax");
CODE(p_lmsw, "lmsw %ax");
CODE(p_clts, "clts");
CODE(p_rcr0, "mov %cr0, %eax");
CODE(p_wcr0, "mov %eax, %cr0");
CODE(p_rcr2, "mov %cr2, %eax");
CODE(p_wcr3, "mov %eax, %cr3");
CODE(p_rcr4, "mov %cr4, %eax");
CODE(p_wcr4, "mov %eax, %cr4");
CODE(p_rdr0, "mov %db0, %eax");
CODE(p_wdr7, "mov %eax, %db7");
CODE(p_invlpg, "invlpg (%ebx)");
CODE(p_invd, "invd");
CODE(p_wbinvd, "wbinvd");
CODE(p_rdmsr, "rdmsr");
CODE(p_wrmsr, "wrmsr");
CODE(p_rdpmc, "rdpmc");
CODE(p_sysexit, "sysexit");

TEST(priv, "fault.#GP of privileged instructions in ring 3")
{
#define P(id)                                                                                                                              \
	{                                                                                                                                  \
#id, p_##id, p_##id, V_GP, 0, 0x10, 0x10, 0x80, 0                                                                          \
	}
	static const struct one c[] = {P(hlt),	   P(cli),   P(sti),	P(inb),	  P(inl_imm), P(outb),	P(outw_imm), P(insb),
				       P(repinsd), P(outsb), P(lgdt),	P(lidt),  P(lldt),    P(ltr),	P(lmsw),     P(clts),
				       P(rcr0),	   P(wcr0),  P(rcr2),	P(wcr3),  P(rcr4),    P(wcr4),	P(rdr0),     P(wdr7),
				       P(invlpg),  P(invd),  P(wbinvd), P(rdmsr), P(wrmsr),   P(rdpmc), P(sysexit)};

#undef P
	EACH(c, RING3);
}

CODE(r_rdtsc, "rdtsc");
CODE(r_rdtsc_long, "mov $300000, %ecx; 1: rdtsc; loop 1b");

TEST(tsd, "fault.rdtsc with CR4.TSD")
{
	struct state s;

	s = go(r_rdtsc, 3);
	ended(&s, "rdtsc without TSD");
	s = go(r_rdtsc_long, 3);
	ended(&s, "rdtsc for a while");
	write_cr4(read_cr4() | CR4_TSD);
	s = go(r_rdtsc, 0);
	ended(&s, "rdtsc with TSD in ring 0");
	s = at_ring(r_rdtsc, 3);
	s.eax = 0x12345678;
	s.edx = 0x9abcdef0;
	run(&s);
	trapped(&s, V_GP, 0, r_rdtsc, "rdtsc with TSD in ring 3");
	EQ(s.eax, 0x12345678, "eax of a rdtsc that faults");
	EQ(s.edx, 0x9abcdef0, "edx of a rdtsc that faults");
	write_cr4(read_cr4() & ~(u32)CR4_TSD);
}

CODE(iopl_cli, "cli; pushf; pop %eax; sti; pushf; pop %ecx");
CODE(iopl_io, "mov $0x80, %dx; outb %al, %dx; inb $0x80, %al; outl %eax, $0x80");

TEST(iopl, "fault.none for cli, sti, in and out in ring 3 with IOPL 3")
{
	struct state s = at_ring(iopl_cli, 3);

	s.eflags |= FL_IOPL | FL_IF;
	run(&s);
	if (ended(&s, "cli, sti")) {
		EQ(s.eax & FL_IF, 0, "IF after cli");
		EQ(s.ecx & FL_IF, FL_IF, "IF after sti");
	}
	s = at_ring(iopl_io, 3);
	s.eflags |= FL_IOPL;
	run(&s);
	ended(&s, "in, out");
}

CODE(cr0_write, "mov %eax, %cr0");
CODE(cr4_write, "mov %eax, %cr4");
CODE(msr_write, "wrmsr");
CODE(msr_read, "rdmsr");

TEST(cr_reserved, "fault.#GP for illegal control register values")
{
	u32 cr0 = read_cr0(), cr4 = read_cr4();
	struct state s;

	if (qemu_skips("PG without PE is taken, and a reserved bit of CR4 stops the virtual CPU"))
		return;
	if (paging_mode() == PG_OFF) {
		s = at_ring(cr0_write, 0);
		s.eax = CR0_PG; /* PG without PE */
		run(&s);
		trapped(&s, V_GP, 0, cr0_write, "CR0.PG without PE");
	}
	s = at_ring(cr4_write, 0);
	s.eax = cr4 | 1u << 31;
	run(&s);
	trapped(&s, V_GP, 0, cr4_write, "reserved bit of CR4");
	EQ(read_cr0(), cr0, "cr0");
	EQ(read_cr4(), cr4, "cr4");
}

TEST(cr0_nw, "fault.#GP for CR0.NW without CD")
{
	struct state s = at_ring(cr0_write, 0);

	if (qemu_skips("CR0.NW without CD is taken"))
		return;
	s.eax = (read_cr0() | 1u << 29) & ~(1u << 30);
	run(&s);
	trapped(&s, V_GP, 0, cr0_write, "CR0.NW without CD");
}

TEST(bad_msr, "fault.#GP for an MSR that does not exist")
{
	struct state s = at_ring(msr_read, 0);

	if (qemu_skips("unknown MSRs read as zero"))
		return;
	s.ecx = 0x4000dead;
	run(&s);
	trapped(&s, V_GP, 0, msr_read, "rdmsr");
	s = at_ring(msr_write, 0);
	s.ecx = 0x4000dead;
	run(&s);
	trapped(&s, V_GP, 0, msr_write, "wrmsr");
}

CODE(f_fld, "fld1");
CODE(f_wait, "fwait");
CODE(f_mmx, "movd %eax, %mm0");
CODE(f_sse, "movaps %xmm0, %xmm1");
CODE(f_fxsave, "fxsave (%ebx)");
CODE(f_clts, "clts; mov %cr0, %eax");

TEST(nm, "fault.#NM")
{
	u32 cr0 = read_cr0();

	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s;

		write_cr0(cr0 | CR0_TS);
		s = go(f_fld, ring);
		trapped(&s, V_NM, 0, f_fld, tag("fld with TS", ring));
		s = go(f_wait, ring);
		trapped(&s, V_NM, 0, f_wait, tag("fwait with TS and MP", ring));
		s = go(f_mmx, ring);
		trapped(&s, V_NM, 0, f_mmx, tag("mmx with TS", ring));
		write_cr0((cr0 | CR0_TS) & ~(u32)CR0_MP);
		s = go(f_wait, ring);
		ended(&s, tag("fwait with TS, no MP", ring));
		write_cr0(cr0 | CR0_EM);
		s = go(f_fld, ring);
		trapped(&s, V_NM, 0, f_fld, tag("fld with EM", ring));
		s = go(f_mmx, ring);
		trapped(&s, V_UD, 0, f_mmx, tag("mmx with EM", ring));
		write_cr0(cr0);
		s = go(f_fld, ring);
		ended(&s, tag("fld", ring));
	}
	write_cr0(cr0 | CR0_TS);
	struct state s = go(f_clts, 0);

	if (ended(&s, "clts"))
		EQ(s.eax, cr0, "cr0 after clts");
	write_cr0(cr0);
}

TEST(nm_sse, "fault.#NM and #UD of SSE")
{
	u32 cr0 = read_cr0(), cr4 = read_cr4();
	struct state s;

	if (!(cpuid_edx1() & 1u << 25)) {
		skip("no SSE");
		return;
	}
	write_cr4(cr4 & ~(u32)CR4_OSFXSR);
	s = go(f_sse, 3);
	trapped(&s, V_UD, 0, f_sse, "movaps without OSFXSR");
	write_cr4(cr4 | CR4_OSFXSR);
	write_cr0(cr0 | CR0_TS);
	s = go(f_sse, 3);
	trapped(&s, V_NM, 0, f_sse, "movaps with TS");
	s = at_ring(f_fxsave, 3);
	s.ebx = ADDR(buf);
	run(&s);
	trapped(&s, V_NM, 0, f_fxsave, "fxsave with TS");
	write_cr0(cr0 | CR0_EM);
	s = go(f_sse, 3);
	trapped(&s, V_UD, 0, f_sse, "movaps with EM");
	write_cr0(cr0);
	s = go(f_sse, 3);
	ended(&s, "movaps");
	write_cr4(cr4);
}

CODE(m_movaps, "movaps (%ebx), %xmm0");
CODE(m_movups, "movups (%ebx), %xmm0; movups %xmm0, 16(%ebx)");
CODE(m_addps, "addps (%ebx), %xmm0");
CODE(m_fxrstor, "fxrstor (%ebx)");

TEST(sse_align_mov, "fault.#GP for misaligned movaps and addps")
{
	static const u8 *const c[] = {m_movaps, m_addps};
	u32 cr4 = read_cr4();

	if (!(cpuid_edx1() & 1u << 25)) {
		skip("no SSE");
		return;
	}
	if (qemu_skips("alignment is not checked"))
		return;
	write_cr4(cr4 | CR4_OSFXSR);
	for (u32 i = 0; i < 2; i++) {
		struct state s = at_ring(c[i], 3);

		s.ebx = ADDR(buf) + 8;
		run(&s);
		trapped(&s, V_GP, 0, c[i], i ? "addps" : "movaps");
	}
	write_cr4(cr4);
}

TEST(sse_align, "fault.#GP for misaligned fxsave, none for movups")
{
	static const struct one c[] = {
		{"fxsave", f_fxsave, f_fxsave, V_GP, 0, 1, 2, 3, 0},
		{"fxrstor", m_fxrstor, m_fxrstor, V_GP, 0, 1, 2, 3, 0},
		{"movups", m_movups, m_movups_end + 2, V_END, 0, 1, 2, 3, 0},
	};
	u32 cr4 = read_cr4();

	if (!(cpuid_edx1() & 1u << 25)) {
		skip("no SSE");
		return;
	}
	write_cr4(cr4 | CR4_OSFXSR);
	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct state s = at_ring(c[i].code, 3);

		s.ebx = ADDR(buf) + 8;
		run(&s);
		trapped(&s, c[i].vec, c[i].err, c[i].at, c[i].name);
	}
	write_cr4(cr4);
}

CODE(df_gp, "int $0x21");
CODE(df_ud, "ud2");

TEST(df, "fault.#DF")
{
	u64 good = idt[V_GP];
	struct state s;

	idt[V_GP] = good & ~(0x80ull << 40);
	s = go(df_gp, 3);
	trapped(&s, V_DF, 0, NULL, "#NP while #GP is delivered");
	idt[V_GP] = gate(KDS, ADDR(trap_stubs[V_GP]), 0xe, 0);
	s = go(df_gp, 3);
	trapped(&s, V_DF, 0, NULL, "#GP while #GP is delivered");
	idt[V_GP] = good;
}

TEST(df_benign, "fault.#NP, not #DF, while a benign exception is delivered")
{
	u64 good = idt[V_UD];
	struct state s;

	if (qemu_skips("EXT stays clear in the error code"))
		return;
	idt[V_UD] = good & ~(0x80ull << 40);
	s = go(df_ud, 3);
	trapped(&s, V_NP, V_UD * 8 + 3, df_ud, "ud2");
	idt[V_UD] = good;
}

CODE(rf_fault, "ud2");
CODE(rf_trap, "int3; rf_trap_at:");

TEST(rf, "fault.RF in the image of a fault")
{
	struct state s;

	s = go(rf_trap, 3);
	trapped(&s, V_BP, 0, rf_trap_at, "int3");
	EQ(s.eflags & FL_RF, 0, "RF in the image of #BP");
	if (qemu_skips("faults push RF clear"))
		return;
	s = go(rf_fault, 3);
	trapped(&s, V_UD, 0, rf_fault, "ud2");
	EQ(s.eflags & FL_RF, FL_RF, "RF in the image of #UD");
}

CODE(long_insn, ".byte 0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x90");
CODE(too_long, ".byte 0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x2e,0x90");

TEST(insn_length, "fault.#GP for an instruction of 16 bytes")
{
	struct state s;

	s = go(long_insn, 3);
	ended(&s, "15 bytes");
	s = go(too_long, 3);
	trapped(&s, V_GP, 0, too_long, "16 bytes");
}

CODE(ac_mov4, "mov (%ebx), %eax");
CODE(ac_mov2, "mov %ax, (%ebx)");
CODE(ac_push, "mov %ebx, %esp; push %eax");
CODE(ac_fldl, "fldl (%ebx)");

TEST(ac, "fault.#AC")
{
	u32 cr0 = read_cr0();
	static const struct {
		const char *name;
		const u8 *code;
		u32 off;
		int faults;
	} c[] = {{"mov 4 at 2", ac_mov4, 2, 1},
		 {"mov 4 at 4", ac_mov4, 4, 0},
		 {"mov 2 at 1", ac_mov2, 1, 1},
		 {"mov 2 at 2", ac_mov2, 2, 0},
		 {"fld 8 at 4", ac_fldl, 4, 1}};

	if (qemu_skips("alignment is not checked"))
		return;
	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++)
		for (int k = 0; k < 4; k++) {
			int ring = k & 2 ? 0 : 3, active = !(k & 3);
			struct state s = at_ring(c[i].code, ring);

			write_cr0(cr0 | (k & 1 ? 0 : CR0_AM));
			s.ebx = ADDR(buf) + c[i].off;
			s.eflags |= FL_AC;
			run(&s);
			if (active && c[i].faults)
				trapped(&s, V_AC, 0, c[i].code, tag(c[i].name, ring));
			else
				ended(&s, tag(c[i].name, ring));
		}
	write_cr0(cr0);
}

TEST_PG(insn_length_end, "fault.#PF, not #GP, for a too long instruction that is not all there")
{
	static const u8 start[12] = {0x26, 0x3e, 0x2e, 0x3e, 0x36, 0x2e, 0x3e, 0x36, 0x2e, 0x0f, 0x4b, 0xba};
	struct state s;

	/* 16 bytes with the displacement; the limit is found at the 16th, the page's absence at the 13th. */
	map(TW, scratch[0], P_P | P_W | P_U);
	memcpy((void *)(TW + 0x1000 - sizeof(start)), start, sizeof(start));
	s = go((const void *)(TW + 0x1000 - sizeof(start)), 3);
	if (s.vec != V_PF || s.cr2 != TW + 0x1000)
		fail("trap %u error %x cr2 %x", s.vec, s.err, s.cr2);
	unmap_window();
}

CODE(ac_lret, "push %cs; push $1f; lret; 1: lcall $0x1b, $2f; 2: add $8, %esp; pushf; push %cs; push $3f; iret; 3:");
CODE(ac_iret, "pushf; push %cs; push $1f; dec %esp; ac_iret_at: iret; 1:");
CODE(ac_far, "push %cs; push $1f; inc %esp; ac_far_at: lret; 1:");

TEST(ac_frames, "fault.#AC of far transfers' frames")
{
	u32 cr0 = read_cr0();

	if (qemu_skips("alignment is not checked"))
		return;
	write_cr0(cr0 | CR0_AM);
	/* Every item is aligned to its own size, not the frame to its. */
	for (u32 off = 0; off < 8; off += 4) {
		struct state s = at_ring(ac_lret, 3);

		s.esp -= off;
		s.eflags |= FL_AC;
		run(&s);
		ended(&s, "aligned lret, lcall and iret");
	}
	for (int i = 0; i < 2; i++) {
		struct state s = at_ring(i ? ac_far : ac_iret, 3);

		s.eflags |= FL_AC;
		run(&s);
		trapped(&s, V_AC, 0, i ? ac_far_at : ac_iret_at, i ? "misaligned lret" : "misaligned iret");
	}
	write_cr0(cr0);
}

CODE(mf_cause, "fninit; push $0x37a; fldcw (%esp); fldz; fld1; mf_insn: fdivp; mf_cause_at: fwait; pop %eax");
CODE(mf_masked, "fninit; fldz; fld1; fdivp; fnstsw %ax; fwait");
CODE(mf_fnclex, "fninit; push $0x37a; fldcw (%esp); fldz; fld1; fdivp; fnstsw %ax; fnclex; fwait; pop %ecx");

extern const u8 mf_insn[];
CODE(mf_mem, "fninit; push $0x37a; fldcw (%esp); fld1; mf_mem_insn: fidivl (%ebx); mf_mem_at: fwait; pop %eax");
extern const u8 mf_mem_insn[];

/* What a handler finds in the environment: the instruction that caused it, not the one that reported it. */
TEST(mf_pointers, "fault.pointers in the environment after #MF")
{
	struct state s;
	u32 env[7], cr0 = read_cr0();

	write_cr0(cr0 | CR0_NE);
	s = go(mf_cause, 3);
	asm volatile("fnstenv %0" : "=m"(env));
	if (trapped(&s, V_MF, 0, mf_cause_at, "fdivp")) {
		EQ(env[3], ADDR(mf_insn), "FIP");
		EQ(env[1] & 0x84, 0x84, "status");
	}
	*(u32 *)buf = 0;
	s = at_ring(mf_mem, 3);
	s.ebx = ADDR(buf);
	run(&s);
	asm volatile("fnstenv %0" : "=m"(env));
	if (trapped(&s, V_MF, 0, mf_mem_at, "fidivl")) {
		EQ(env[3], ADDR(mf_mem_insn), "FIP");
		EQ(env[5], ADDR(buf), "FDP");
		if (!boot_qemu)
			EQ(env[4] >> 16 & 0x7ff, 0x233, "FOP");
	}
	asm volatile("fninit");
	write_cr0(cr0);
}

TEST(mf, "fault.#MF")
{
	u32 cr0 = read_cr0();

	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(mf_cause, ring);

		write_cr0(cr0 | CR0_NE);
		run(&s);
		trapped(&s, V_MF, 0, mf_cause_at, tag("1/0 with ZM clear", ring));
		s = go(mf_masked, ring);
		if (ended(&s, tag("1/0 masked", ring)))
			EQ(s.eax & 0x80ff, 4, "status");
		s = go(mf_fnclex, ring);
		if (ended(&s, tag("1/0, fnclex", ring)))
			EQ(s.eax & 0x80ff, 0x8084, "status");
	}
	asm volatile("fninit");
	write_cr0(cr0);
}

CODE(xm_cause, "ldmxcsr (%ebx); xorps %xmm0, %xmm0; movups 16(%ebx), %xmm1; xm_cause_at: divps %xmm0, %xmm1; stmxcsr 4(%ebx)");

TEST(xm, "fault.#XM")
{
	u32 cr4 = read_cr4();
	struct state s;

	if (!(cpuid_edx1() & 1u << 25)) {
		skip("no SSE");
		return;
	}
	for (int i = 0; i < 4; i++)
		((u32 *)buf)[4 + i] = 0x3f800000;
	write_cr4(cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT);
	*(u32 *)buf = 0x1f80;
	s = at_ring(xm_cause, 3);
	s.ebx = ADDR(buf);
	run(&s);
	if (ended(&s, "masked"))
		EQ(((u32 *)buf)[1], 0x1f84, "mxcsr");
	if (!qemu_skips("SSE exceptions are never raised")) {
		*(u32 *)buf = 0x1f80 & ~0x200u;
		s = at_ring(xm_cause, 3);
		s.ebx = ADDR(buf);
		run(&s);
		trapped(&s, V_XM, 0, xm_cause_at, "unmasked");
		write_cr4((cr4 | CR4_OSFXSR) & ~(u32)CR4_OSXMMEXCPT);
		s = at_ring(xm_cause, 3);
		s.ebx = ADDR(buf);
		run(&s);
		trapped(&s, V_UD, 0, xm_cause_at, "unmasked without OSXMMEXCPT");
	}
	asm volatile("ldmxcsr %0" ::"m"((u32){0x1f80}));
	write_cr4(cr4);
}
