/*
 * 16-bit protected mode as on an 80286: code, stacks, gates and a TSS of 16 bits, in all four rings' machinery; and the ways from real mode
 * into it and back by LMSW and MOV CR0. Plain 16-bit code and limits are guestos/conformance's.
 */
#include "guestos/modes/modes.h"

enum { CS0 = 0x60, SS0 = 0x68, CS3 = 0x70, SS3 = 0x78, GATE16 = 0x80, TSS16 = 0x88, LDT16 = 0x90 };

static struct {
	u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
} tss16;
static UDATA u8 kstack[0x1000] __attribute__((aligned(16)));
static UDATA u8 ustack[0x1000] __attribute__((aligned(16)));

/* A machine whose ring 0 is at `kernel`, and its ring 3 at `user`. */
static struct state at286(const u8 *kernel, const u8 *user)
{
	struct state s = at_ring(user, 3);

	gdt_set(CS0, desc(ADDR(kernel), 0xffff, ACC_CODE, 0));
	gdt_set(SS0, desc(ADDR(kstack), sizeof(kstack) - 1, ACC_DATA, 0));
	gdt_set(CS3, desc(ADDR(user), 0xffff, ACC_CODE | ACC_DPL(3), 0));
	gdt_set(SS3, desc(ADDR(ustack), sizeof(ustack) - 1, ACC_DATA | ACC_DPL(3), 0));
	gdt_set(TSS16, desc(ADDR(&tss16), sizeof(tss16) - 1, 0x81, 0));
	tss16.ss0 = SS0;
	tss16.sp0 = sizeof(kstack);
	asm volatile("ltr %w0" ::"r"(TSS16));
	memset(kstack, 0, sizeof(kstack));
	memset(ustack, 0, sizeof(ustack));
	s.cs = CS3 | 3;
	s.ss = s.ds = s.es = SS3 | 3;
	s.eip = 0;
	s.esp = sizeof(ustack);
	s.eflags = FL_ONE;
	return s;
}

/* V_END is handled by the 32-bit gate: it needs a 32-bit TSS, so ring 3 ends in ring 0. */
static void settle(void)
{
	gdt_set(SEL_TSS, desc(ADDR(&tss), sizeof(tss) - 1, 0x89, 0));
	asm volatile("ltr %w0" ::"r"(SEL_TSS));
	idt_reset();
}

static u32 word(const u8 *stack, u32 at)
{
	return stack[at] | (u32)stack[at + 1] << 8;
}

CODE16(user_int, "mov $0x1111, %ax; int $0x50; mov $0x2222, %bx; int $0x51");
CODE16(kernel_int, "mov %sp, %cx; mov %ss, %dx; iret; .skip 0x20 - (. - kernel_int); mov %sp, %bp");

TEST_IN(int16, "prot16.interrupts through 16-bit gates and a 16-bit TSS", IN_OFF | IN_32)
{
	struct state s = at286(kernel_int, user_int);

	idt[0x50] = gate(CS0, 0, 6, 3);
	idt[0x51] = gate(CS0, 0x20, 7, 3);
	run(&s);
	if (ended(&s, "ring 0")) {
		EQ(s.eax & 0xffff, 0x1111, "ax");
		EQ(s.ecx & 0xffff, sizeof(kstack) - 10, "sp in the handler");
		EQ(s.edx & 0xffff, SS0, "ss in the handler");
		EQ(s.ebx & 0xffff, 0x2222, "back in ring 3, and on");
		EQ(s.ebp & 0xffff, sizeof(kstack) - 10, "sp in the second handler");
		EQ(s.cs, CS0, "cs");
		EQ(word(kstack, sizeof(kstack) - 2), SS3 | 3, "ss of the frame");
		EQ(word(kstack, sizeof(kstack) - 4), sizeof(ustack), "sp of the frame");
		EQ(word(kstack, sizeof(kstack) - 8), CS3 | 3, "cs of the frame");
		EQ(word(kstack, sizeof(kstack) - 10), (u32)(user_int_end - user_int), "ip of the frame");
	}
	settle();
}

CODE16(user_gate, "push $0x1234; push $0x5678; lcall $0x83, $0; mov %sp, %si; mov %ax, %di; int $0x51");
CODE16(kernel_gate, "mov %sp, %bp; mov 4(%bp), %ax; mov 6(%bp), %bx; mov 10(%bp), %cx; lret $4; .skip 0x20 - (. - kernel_gate); nop");

TEST(gate16, "prot16.a 16-bit call gate copies parameters, RET releases them")
{
	struct state s = at286(kernel_gate, user_gate);

	gdt_set(GATE16, gate(CS0, 0, 4, 3) | (u64)2 << 32);
	idt[0x51] = gate(CS0, 0x20, 7, 3);
	run(&s);
	if (ended(&s, "ring 0")) {
		EQ(s.edi & 0xffff, 0x5678, "first parameter");
		EQ(s.ebx & 0xffff, 0x1234, "second parameter");
		EQ(s.ecx & 0xffff, SS3 | 3, "ss of the frame");
		EQ(s.esi & 0xffff, sizeof(ustack), "sp behind it");
	}
	settle();
}

CODE16(user_fault, "hlt");
CODE16(kernel_fault, "pop %ax; pop %bx; pop %cx");

TEST(fault16, "prot16.an exception pushes its error code as a word")
{
	struct state s = at286(kernel_fault, user_fault);

	idt[V_GP] = gate(CS0, 0, 6, 0);
	run(&s);
	if (ended(&s, "ring 0")) {
		EQ(s.eax & 0xffff, 0, "error code");
		EQ(s.ebx & 0xffff, 0, "ip");
		EQ(s.ecx & 0xffff, CS3 | 3, "cs");
	}
	settle();
}

/* Real mode to 16-bit protected mode by LMSW, and back by MOV CR0. Interrupts are off all the way. */
CODE16(visit, "mov $0x40, %bx; mov %bx, %gs; smsw %ax; or $1, %ax; lmsw %ax; ljmp $0x60, $1f - visit; 1: mov $0x1a8, %ax; mov %ax, %ds; "
	      "movw $0x5aa5, 0x5010; mov %cs, %dx;"
	      "mov $0x1a8, %ax; mov %ax, %ss; mov %gs, %si; mov %cr0, %eax; and $0xfffffffe, %eax; mov %eax, %cr0; ljmp $0x1000, $2f - "
	      "visit; 2: mov %cs, %cx;"
	      "mov 0x5010, %di; mov $0x3000, %ax; mov %ax, %ss; mov $0x2000, %ax; mov %ax, %ds; mov 0, %bp");

TEST(visit286, "prot16.from real mode by LMSW and back")
{
	struct state s = AT_REAL(visit);
	u32 kept = low16(0x5010);

	gdt_set(CS0, desc(LOW_CODE, 0xffff, ACC_CODE, 0));
	*(volatile u16 *)low(LOW_AREA) = 0x3aa3;
	real_run(&s);
	EQ(s.vec, V_END, "end");
	EQ(s.eip, END(visit), "ip");
	EQ(s.edx & 0xffff, CS0, "cs in protected mode");
	EQ(s.esi & 0xffff, 0x40, "gs keeps its selector");
	EQ(s.ecx & 0xffff, 0x1000, "cs in real mode");
	EQ(s.edi & 0xffff, 0x5aa5, "ds keeps its base into real mode");
	EQ(s.ebp & 0xffff, 0x3aa3, "ds loaded in real mode");
	*(volatile u16 *)low(0x5010) = (u16)kept;
}
