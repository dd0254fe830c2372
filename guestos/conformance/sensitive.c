/*
 * The seventeen sensitive instructions, and IRET, in ring 0 and ring 3: each must show the machine's own state, never the host's.
 */
#include "guestos/conformance/test.h"

static UDATA u8 buf[64];

static void fill(void)
{
	memset(buf, 0x5a, sizeof(buf));
}

static int cpl_of(int ring)
{
	return ring ? 3 : 0;
}

CODE(do_sgdt, "sgdt (%ebx)");
CODE(do_sidt, "sidt (%ebx)");
CODE(do_sgdt16, "data16 sgdt (%ebx)");

static void pseudo_test(const void *code, int ring, u16 limit, u32 base, const char *what)
{
	struct state s = at_ring(code, ring);

	fill();
	s.ebx = ADDR(buf);
	run(&s);
	if (!ended(&s, what))
		return;
	EQ(*(u16 *)buf, limit, tag(what, ring));
	EQ(*(u32 *)(buf + 2), base, tag(what, ring));
	EQ(buf[6], 0x5a, "byte beyond the operand");
}

TEST(sgdt, "sensitive.sgdt")
{
	pseudo_test(do_sgdt, 0, gdtr.limit, ADDR(gdt), "sgdt");
	pseudo_test(do_sgdt, 3, gdtr.limit, ADDR(gdt), "sgdt");
	pseudo_test(do_sgdt16, 3, gdtr.limit, ADDR(gdt), "sgdt with 66");
}

TEST(sidt, "sensitive.sidt")
{
	pseudo_test(do_sidt, 0, idtr.limit, ADDR(idt), "sidt");
	pseudo_test(do_sidt, 3, idtr.limit, ADDR(idt), "sidt");
}

CODE(sgdt_reg, ".byte 0x0f, 0x01, 0xc0"); /* vmcall's row: not SGDT */
CODE(lgdt_reg, ".byte 0x0f, 0x01, 0xd7"); /* modrm 11 010: no such instruction with a register but xgetbv and friends */

TEST(sgdt_register, "sensitive.sgdt with a register")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = go(sgdt_reg, ring);

		trapped(&s, V_UD, 0, sgdt_reg, tag("0f 01 c0", ring));
		s = go(lgdt_reg, ring);
		trapped(&s, V_UD, 0, lgdt_reg, tag("0f 01 d7", ring));
	}
}

CODE(do_sldt, "sldt %eax; sldt %cx; sldt (%ebx)");
CODE(do_str, "str %eax; str %cx; str (%ebx)");

static void sel_test(const void *code, int ring, u16 want, const char *what)
{
	struct state s = at_ring(code, ring);

	fill();
	s.ebx = ADDR(buf);
	run(&s);
	if (!ended(&s, what))
		return;
	EQ(s.eax, want, tag(what, ring));
	EQ(s.ecx, 0xc1c10000u | want, "16-bit register form");
	EQ(*(u16 *)buf, want, "memory form");
	EQ(buf[2], 0x5a, "byte beyond the operand");
}

TEST(sldt, "sensitive.sldt")
{
	sel_test(do_sldt, 0, SEL_LDT, "sldt");
	sel_test(do_sldt, 3, SEL_LDT, "sldt");
	asm volatile("lldt %w0" ::"r"(0));
	sel_test(do_sldt, 3, 0, "sldt of a null LDT");
	asm volatile("lldt %w0" ::"r"(SEL_LDT));
}

TEST(str, "sensitive.str")
{
	sel_test(do_str, 0, SEL_TSS, "str");
	sel_test(do_str, 3, SEL_TSS, "str");
}

CODE(do_smsw, "smsw %eax; smsw %cx; smsw (%ebx)");

TEST(smsw, "sensitive.smsw")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(do_smsw, ring);
		u16 want = (u16)read_cr0();

		fill();
		s.ebx = ADDR(buf);
		run(&s);
		if (!ended(&s, "smsw"))
			return;
		EQ((u16)s.eax, want, tag("smsw", ring));
		EQ(s.ecx, 0xc1c10000u | want, tag("smsw cx", ring));
		EQ(*(u16 *)buf, want, tag("smsw mem", ring));
		EQ(buf[2], 0x5a, "byte beyond the operand");
	}
}

CODE(do_pushf, "pushf; pop %eax; pushfw; pop %cx");

TEST(pushf, "sensitive.pushf")
{
	static const u32 flags[] = {FL_ONE, FL_ONE | FL_IF, FL_ONE | FL_IF | FL_IOPL,
				    FL_ONE | FL_IF | FL_AC | FL_ID | FL_NT | FL_CF | FL_OF, FL_ONE | FL_DF | FL_ARITH};

	for (int ring = 0; ring <= 3; ring += 3)
		for (u32 i = 0; i < 5; i++) {
			struct state s = at_ring(do_pushf, ring);

			s.eflags = flags[i];
			run(&s);
			if (!ended(&s, "pushf"))
				return;
			EQ(s.eax, flags[i], tag("pushf image", ring));
			EQ((u16)s.ecx, (u16)flags[i], tag("pushfw image", ring));
			EQ(s.eflags, flags[i], tag("eflags after pushf", ring));
		}
}

CODE(do_popf, "push %eax; popf; pushf; pop %ecx");
CODE(do_popf16, "push %ax; popfw; pushf; pop %ecx");

static void popf_case(const void *code, int ring, u32 before, u32 popped, u32 want, const char *what)
{
	struct state s = at_ring(code, ring);

	s.eflags = before;
	s.eax = popped;
	run(&s);
	if (!ended(&s, what))
		return;
	EQ(s.ecx, want, tag(what, ring));
	EQ(s.eflags, want, "eflags in the trap frame");
}

TEST(popf, "sensitive.popf")
{
	/* Ring 0 changes everything but VM, VIF, VIP and RF (SDM Vol. 2B, POPF). */
	popf_case(do_popf, 0, FL_ONE, FL_IF | FL_IOPL | FL_NT | FL_AC | FL_ID | FL_ARITH | FL_DF,
		  FL_ONE | FL_IF | FL_IOPL | FL_NT | FL_AC | FL_ID | FL_ARITH | FL_DF, "popf all");
	popf_case(do_popf, 0, FL_ONE | FL_IF | FL_IOPL | FL_NT | FL_ID, 0, FL_ONE, "popf none");
	popf_case(do_popf, 0, FL_ONE, FL_VM | FL_RF | 0x180000, FL_ONE, "popf vm, rf, vif, vip");
	popf_case(do_popf, 0, FL_ONE, 0xffc08028, FL_ONE, "popf reserved bits");
	popf_case(do_popf16, 0, FL_ONE | FL_AC | FL_ID, FL_IF | FL_IOPL, FL_ONE | FL_IF | FL_IOPL | FL_AC | FL_ID, "popfw");
}

TEST(popf3, "sensitive.popf keeps IF and IOPL in ring 3")
{
	popf_case(do_popf, 3, FL_ONE | FL_IF, 0, FL_ONE | FL_IF, "popf clears IF");
	popf_case(do_popf, 3, FL_ONE, FL_IF, FL_ONE, "popf sets IF");
	popf_case(do_popf, 3, FL_ONE | FL_IF, FL_IOPL | FL_ARITH, FL_ONE | FL_IF | FL_ARITH, "popf sets IOPL");
	popf_case(do_popf, 3, FL_ONE | FL_IF | 0x1000, 0, FL_ONE | FL_IF | 0x1000, "popf with IOPL 1");
	popf_case(do_popf, 3, FL_ONE | FL_IF | FL_IOPL, 0, FL_ONE | FL_IOPL, "popf with IOPL 3 clears IF, keeps IOPL");
	popf_case(do_popf, 3, FL_ONE | FL_IOPL, FL_IF, FL_ONE | FL_IOPL | FL_IF, "popf with IOPL 3 sets IF");
	popf_case(do_popf16, 3, FL_ONE | FL_IF | FL_AC, 0, FL_ONE | FL_IF | FL_AC, "popfw");
	popf_case(do_popf, 3, FL_ONE | FL_IF, FL_NT | FL_AC | FL_ID | FL_DF, FL_ONE | FL_IF | FL_NT | FL_AC | FL_ID | FL_DF, "popf others");
}

CODE(do_lar, "lar %cx, %eax");
CODE(do_lsl, "lsl %cx, %eax");
CODE(do_verr, "verr %cx");
CODE(do_verw, "verw %cx");
CODE(do_lar_mem, "lar (%ebx), %ax");

static void check_sel(const void *code, int ring, u16 sel, int zf, u32 value, const char *what)
{
	struct state s = at_ring(code, ring);

	s.ecx = 0xffff0000u | sel;
	s.eflags |= zf ? 0 : FL_ZF;
	run(&s);
	if (!ended(&s, what))
		return;
	if (!!(s.eflags & FL_ZF) != zf)
		fail("%s of %x in ring %d: ZF is %d", what, sel, ring, !zf);
	if (code == do_lar && zf)
		s.eax &= 0xfff0ffff; /* the limit's bits are undefined in LAR's result */
	if (s.eax != (zf ? value : 0xa1a1a1a1))
		fail("%s of %x in ring %d: eax is %x, want %x", what, sel, ring, s.eax, zf ? value : 0xa1a1a1a1);
}

enum { S_RO = 0x40, S_XO = 0x48, S_CONF = 0x50, S_SYS = 0x58, S_GATE = 0x60, S_NP = 0x68, S_U1 = 0x70, S_IG = 0x78, S_T16 = 0x80 };

static void set_selectors(void)
{
	gdt_set(S_RO, desc(0x1000, 0x12345, 0x90 | ACC_DPL(3), 4));
	gdt_set(S_XO, desc(0, 0xfffff, 0x98 | ACC_DPL(3), 0xc));
	gdt_set(S_CONF, desc(0, 0xfffff, 0x9e, 0xc));
	gdt_set(S_SYS, desc(0, 0x67, 0x89 | ACC_DPL(3), 0));
	gdt_set(S_GATE, gate(KCS, 0, 0xc, 3));
	gdt_set(S_NP, desc(0, 0xfffff, 0x12 | ACC_DPL(3), 0xc));
	gdt_set(S_U1, desc(0, 0xffff, ACC_DATA | ACC_DPL(1), 4));
	gdt_set(S_IG, gate(KCS, 0, 0xe, 3));
	gdt_set(S_T16, desc(0, 0x2b, 0x81 | ACC_DPL(3), 0));
}

TEST(lar, "sensitive.lar")
{
	set_selectors();
	check_sel(do_lar, 0, KCS, 1, 0xc09b00, "lar");
	check_sel(do_lar, 3, UCS, 1, 0xc0fb00, "lar");
	check_sel(do_lar, 3, KCS, 0, 0, "lar");
	check_sel(do_lar, 0, KCS | 3, 0, 0, "lar");
	check_sel(do_lar, 0, UDS, 1, 0xc0f300, "lar");
	check_sel(do_lar, 3, S_CONF, 1, 0xc09e00, "lar");
	check_sel(do_lar, 3, S_GATE, 1, 0xec00, "lar");
	check_sel(do_lar, 3, S_IG, 0, 0, "lar");
	check_sel(do_lar, 3, S_SYS, 1, 0xe900, "lar");
	check_sel(do_lar, 3, S_T16, 1, 0xe100, "lar");
	check_sel(do_lar, 0, SEL_TSS, 1, 0x8b00, "lar");
	check_sel(do_lar, 0, SEL_LDT, 1, 0x8200, "lar");
	check_sel(do_lar, 0, 0, 0, 0, "lar");
	check_sel(do_lar, 0, 0xfff8, 0, 0, "lar");
	check_sel(do_lar, 0, 4, 0, 0, "lar");
}

TEST(lar16, "sensitive.lar with a 16-bit operand")
{
	struct state s = at_ring(do_lar_mem, 3);

	*(u16 *)buf = UDS;
	s.ebx = ADDR(buf);
	run(&s);
	if (ended(&s, "lar16"))
		EQ(s.eax, 0xa1a1f300, "lar (mem), ax");
}

TEST(lsl, "sensitive.lsl")
{
	set_selectors();
	check_sel(do_lsl, 0, KCS, 1, 0xffffffff, "lsl");
	check_sel(do_lsl, 3, UCS, 1, 0xffffffff, "lsl");
	check_sel(do_lsl, 3, KDS, 0, 0, "lsl");
	check_sel(do_lsl, 3, S_RO | 3, 1, 0x12345, "lsl");
	check_sel(do_lsl, 3, S_SYS, 1, 0x67, "lsl");
	check_sel(do_lsl, 3, S_GATE, 0, 0, "lsl");
	check_sel(do_lsl, 0, SEL_LDT, 1, sizeof(ldt) - 1, "lsl");
	check_sel(do_lsl, 0, SEL_TSS, 1, sizeof(tss) - 1, "lsl");
	check_sel(do_lsl, 3, S_U1, 0, 0, "lsl");
	check_sel(do_lsl, 0, 0, 0, 0, "lsl");
	check_sel(do_lsl, 0, sizeof(gdt), 0, 0, "lsl");
}

TEST(verr, "sensitive.verr")
{
	set_selectors();
	check_sel(do_verr, 0, KDS, 1, 0xa1a1a1a1, "verr");
	check_sel(do_verr, 3, KDS, 0, 0, "verr");
	check_sel(do_verr, 3, UDS, 1, 0xa1a1a1a1, "verr");
	check_sel(do_verr, 3, UCS, 1, 0xa1a1a1a1, "verr");
	check_sel(do_verr, 3, S_XO, 0, 0, "verr");
	check_sel(do_verr, 3, S_CONF, 1, 0xa1a1a1a1, "verr");
	check_sel(do_verr, 3, S_SYS, 0, 0, "verr");
	check_sel(do_verr, 3, S_NP, 1, 0xa1a1a1a1, "verr");
	check_sel(do_verr, 0, 0, 0, 0, "verr");
	check_sel(do_verr, 0, 0xfffb, 0, 0, "verr");
}

TEST(verw, "sensitive.verw")
{
	set_selectors();
	check_sel(do_verw, 0, KDS, 1, 0xa1a1a1a1, "verw");
	check_sel(do_verw, 3, KDS, 0, 0, "verw");
	check_sel(do_verw, 3, UDS, 1, 0xa1a1a1a1, "verw");
	check_sel(do_verw, 3, UCS, 0, 0, "verw");
	check_sel(do_verw, 3, S_RO, 0, 0, "verw");
	check_sel(do_verw, 3, S_SYS, 0, 0, "verw");
	check_sel(do_verw, 0, 0, 0, 0, "verw");
}

CODE(do_pushseg, "xor %eax, %eax; push %eax; pop %eax; push %cs; pop %eax; push %ds; pop %ebx; push %ss; pop %ecx; push %es; pop %edx;"
		 "push %fs; pop %esi; push %gs; pop %edi");
CODE(do_pushseg16, "pushw $0; pushw %ax; .byte 0x66; push %cs; pop %eax; pop %cx");

TEST(pushseg, "sensitive.push seg")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(do_pushseg, ring), in = s;

		gdt_set(SEL_FREE, desc(0, 0xfffff, ACC_DATA | ACC_DPL(3), 0xc));
		s.es = SEL_FREE | cpl_of(ring);
		s.fs = SEL_FREE | 1;
		s.gs = ring ? UDS : 3;
		if (ring == 3)
			s.fs = SEL_FREE | 3;
		in = s;
		run(&s);
		if (!ended(&s, "push seg"))
			return;
		EQ((u16)s.eax, in.cs, tag("push cs", ring));
		EQ((u16)s.ebx, in.ds, tag("push ds", ring));
		EQ((u16)s.ecx, in.ss, tag("push ss", ring));
		EQ((u16)s.edx, in.es, tag("push es", ring));
		EQ((u16)s.esi, in.fs, tag("push fs", ring));
		EQ((u16)s.edi, in.gs, tag("push gs", ring));
		EQ(s.esp, in.esp, tag("esp", ring));
		s = at_ring(do_pushseg16, ring);
		in = s;
		run(&s);
		if (!ended(&s, "push seg 16"))
			return;
		EQ(s.eax >> 16, 0xa1a1, tag("what lies above push cs (16 bit)", ring));
		EQ((u16)s.eax, in.cs, tag("push cs (16 bit)", ring));
		EQ(s.esp, in.esp, tag("esp of push cs (16 bit)", ring));
	}
}

CODE(do_popseg, "push %eax; pop %es; push %eax; pop %fs; push %eax; pop %gs; push %eax; pop %ds");
CODE(do_popss, "push %eax; pop %ss; mov %ss, %ecx");
CODE(do_popes, "push %eax\n do_popes_at: pop %es");
CODE(do_popss_bad, "push %eax\n do_popss_bad_at: pop %ss");

TEST(popseg, "sensitive.pop seg")
{
	set_selectors();
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(do_popseg, ring);

		s.eax = 0xffff0000u | S_RO | 3;
		run(&s);
		if (!ended(&s, "pop seg"))
			return;
		EQ(s.es, S_RO | 3, tag("es", ring));
		EQ(s.fs, S_RO | 3, tag("fs", ring));
		EQ(s.gs, S_RO | 3, tag("gs", ring));
		EQ(s.ds, S_RO | 3, tag("ds", ring));
		s = at_ring(do_popss, ring);
		s.eax = s.ss;
		run(&s);
		if (ended(&s, "pop ss"))
			EQ(s.ecx, ring ? UDS : KDS, tag("ss", ring));
	}
}

static void bad_pop(const void *code, const void *at, int ring, u32 sel, u32 vec, u32 err, const char *what)
{
	struct state s = at_ring(code, ring), in;

	s.eax = sel;
	in = s;
	run(&s);
	trapped(&s, vec, err, at, tag(what, ring));
	EQ(s.esp, in.esp - 4, tag("esp at the fault", ring));
	EQ(s.es, in.es, tag("es at the fault", ring));
}

TEST(popseg_faults, "sensitive.pop seg faults")
{
	set_selectors();
	bad_pop(do_popes, do_popes_at, 0, 0xfff8, V_GP, 0xfff8, "pop es beyond the limit");
	bad_pop(do_popes, do_popes_at, 3, 0xfffb, V_GP, 0xfff8, "pop es beyond the limit");
	bad_pop(do_popes, do_popes_at, 3, KDS, V_GP, KDS, "pop es of ring 0's");
	bad_pop(do_popes, do_popes_at, 0, KDS | 3, V_GP, KDS, "pop es with RPL 3");
	bad_pop(do_popes, do_popes_at, 3, S_XO | 3, V_GP, S_XO, "pop es of execute-only code");
	bad_pop(do_popes, do_popes_at, 3, S_SYS | 3, V_GP, S_SYS, "pop es of a TSS");
	bad_pop(do_popes, do_popes_at, 3, S_NP | 3, V_NP, S_NP, "pop es of a segment not present");
	bad_pop(do_popes, do_popes_at, 3, 0xff | 4, V_GP, 0xfc, "pop es beyond the LDT");
	bad_pop(do_popss_bad, do_popss_bad_at, 0, 0, V_GP, 0, "pop ss of null");
	bad_pop(do_popss_bad, do_popss_bad_at, 3, 3, V_GP, 0, "pop ss of null");
	bad_pop(do_popss_bad, do_popss_bad_at, 3, KDS, V_GP, KDS, "pop ss of ring 0's");
	bad_pop(do_popss_bad, do_popss_bad_at, 0, UDS, V_GP, UDS & ~3, "pop ss of ring 3's");
	bad_pop(do_popss_bad, do_popss_bad_at, 3, S_RO | 3, V_GP, S_RO, "pop ss of read-only");
	bad_pop(do_popss_bad, do_popss_bad_at, 3, S_NP | 3, V_SS, S_NP, "pop ss of a segment not present");
	bad_pop(do_popss_bad, do_popss_bad_at, 3, UCS, V_GP, UCS & ~3, "pop ss of code");
}

CODE(do_movseg,
     "mov %eax, %es; mov %es, %ecx; mov %es, %dx; mov %es, (%ebx); mov (%ebx), %fs; mov %fs, %esi; mov %cs, %eax; mov %cs, 4(%ebx);"
     "mov %ss, %edi");
CODE(do_ljmp_free, "ljmp $0x40, $1f\n1:");
CODE(do_mov_cs, ".byte 0x8e, 0xc8");
CODE(do_mov_seg6, ".byte 0x8e, 0xf0");
CODE(do_mov_seg7, ".byte 0x8c, 0xf8");

TEST(movseg, "sensitive.mov seg")
{
	set_selectors();
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(do_movseg, ring);

		fill();
		s.ebx = ADDR(buf);
		s.eax = 0x12340000u | S_RO | 1;
		if (ring)
			s.eax = 0x12340000u | S_RO | 3;
		run(&s);
		if (!ended(&s, "mov seg"))
			return;
		EQ(s.ecx, S_RO | (ring ? 3 : 1), tag("mov es, ecx", ring));
		EQ(s.edx, 0xd1d10000u | S_RO | (ring ? 3 : 1), tag("mov es, dx", ring));
		EQ(*(u16 *)buf, S_RO | (ring ? 3 : 1), tag("mov es, mem", ring));
		EQ(buf[2], 0x5a, "byte beyond the operand");
		EQ(s.esi, S_RO | (ring ? 3 : 1), tag("mov mem, fs", ring));
		EQ(s.eax, ring ? UCS : KCS, tag("mov cs, eax", ring));
		EQ(*(u16 *)(buf + 4), ring ? UCS : KCS, tag("mov cs, mem", ring));
		EQ(buf[6], 0x5a, "byte beyond the operand");
		EQ(s.edi, ring ? UDS : KDS, tag("mov ss, edi", ring));
		s = go(do_mov_cs, ring);
		trapped(&s, V_UD, 0, do_mov_cs, tag("mov eax, cs", ring));
		s = go(do_mov_seg6, ring);
		trapped(&s, V_UD, 0, do_mov_seg6, tag("mov eax, seg6", ring));
		s = go(do_mov_seg7, ring);
		trapped(&s, V_UD, 0, do_mov_seg7, tag("mov seg7, eax", ring));
	}
}

TEST(accessed, "sensitive.mov seg sets the accessed bit")
{
	struct state s = at_ring(do_movseg, 3);

	set_selectors();
	s.ebx = ADDR(buf);
	s.eax = S_RO | 3;
	run(&s);
	ended(&s, "mov seg");
	EQ((u32)(gdt[S_RO >> 3] >> 40) & 0xff, 0xf1, "access byte");
}

TEST(accessed_cs, "sensitive.ljmp sets the accessed bit")
{
	struct state s;

	if (qemu_skips("far transfers leave the accessed bit alone"))
		return;
	gdt_set(SEL_FREE, desc(0, 0xfffff, ACC_CODE, 0xc));
	s = go(do_ljmp_free, 0);
	if (ended(&s, "ljmp"))
		EQ((u32)(gdt[SEL_FREE >> 3] >> 40) & 0xff, 0x9b, "access byte");
}
