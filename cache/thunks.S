/*
 * The border between translated code and C.
 *
 * In translated code: EAX ECX EDX EBX EBP ESI EDI are the guest's, r15d is the guest's ESP, RFLAGS holds the guest's arithmetic flags and DF,
 * r14 = struct vcpu *, r13 = flat table (read half), r12 = thunk_exit_jc, whose low six bits are 12 (a count for SHRX), r8..r11 scratch, RSP the monitor's, 16-byte aligned.
 * A `call` to a thunk therefore enters it as the ABI has it. x87 and SSE state stay in the registers throughout: C behind these thunks is built with
 * -mgeneral-regs-only. Offsets are those of struct vcpu, asserted in monitor/callout.c.
 */
#define V_REGS 0
#define V_EIP 32
#define V_HFLAGS 40
#define V_JC 56
#define V_TABLE 64
#define V_HOST_RSP 72
#define V_STEP 96
#define V_LINK 464
#define V_EXITS 472
/* sizeof(struct tu_exit), which begins with the target's EIP */
#define EXIT_SIZE 40

	.text

	.macro SAVE_REGS
	mov %eax, V_REGS+0(%r14)
	mov %ecx, V_REGS+4(%r14)
	mov %edx, V_REGS+8(%r14)
	mov %ebx, V_REGS+12(%r14)
	mov %r15d, V_REGS+16(%r14)
	mov %ebp, V_REGS+20(%r14)
	mov %esi, V_REGS+24(%r14)
	mov %edi, V_REGS+28(%r14)
	.endm

	.macro LOAD_REGS
	mov V_REGS+0(%r14), %eax
	mov V_REGS+4(%r14), %ecx
	mov V_REGS+8(%r14), %edx
	mov V_REGS+12(%r14), %ebx
	mov V_REGS+16(%r14), %r15d
	mov V_REGS+20(%r14), %ebp
	mov V_REGS+24(%r14), %esi
	mov V_REGS+28(%r14), %edi
	.endm

	/* Leaves flags clobbered for C, with DF clear as the ABI wants it. */
	.macro SAVE_FLAGS
	pushfq
	popq V_HFLAGS(%r14)
	cld
	.endm

	/*
	 * With DF clear, as it is here and most of the time in the guest too, POPFQ costs more than putting OF back by an addition that overflows, and the
	 * others by SAHF. Clobbers EAX and ECX. step: C may have changed DF.
	 */
	.macro LOAD_FLAGS step=0
	mov V_HFLAGS(%r14), %eax
	test $0x400, %eax
	jnz 8f
	mov %eax, %ecx
	mov %al, %ah
	shl $20, %ecx
	add %ecx, %ecx
	sahf
	.if \step
	movl $1, V_STEP(%r14)
	.endif
	.subsection 1
8:	.if \step
	movl $-1, V_STEP(%r14)
	.endif
	pushq V_HFLAGS(%r14)
	popfq
	jmp 9f
	.previous
9:
	.endm

/* u32 vcpu_enter(struct vcpu *v, u64 host) */
	.globl vcpu_enter
	.type vcpu_enter, @function
vcpu_enter:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	sub $8, %rsp
	mov %rdi, %r14
	mov %rsi, %r9
	mov %rsp, V_HOST_RSP(%r14)
	mov V_TABLE(%r14), %r13
	mov $thunk_exit_jc, %r12d
	mov V_EIP(%r14), %r8d
	LOAD_FLAGS step=1
	LOAD_REGS
	jmp *%r9

/* Translated code leaves: the jump cache knows no TU for r8d. */
	.p2align 6
	.skip 12, 0x90
	.globl thunk_exit_jc
thunk_exit_jc:
	SAVE_FLAGS
	SAVE_REGS
	mov %r8d, V_EIP(%r14)
	xor %eax, %eax
leave_tc:
	add $8, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

/*
 * Through the jump cache: an exit by its number, an EIP in r8d. The hashed ones are for jump caches that are not flat. Where the load faults, in
 * the all-miss cache, the signal handler goes on at thunk_exit_jc.
 */
	.macro EXIT_EIP
	lea (%r9,%r9,4), %r9
	mov V_EXITS(%r14), %r10
	mov -EXIT_SIZE(%r10,%r9,8), %r8d
	.endm

	.globl thunk_jump_exit, thunk_jump, thunk_jump_exit_hashed, thunk_jump_hashed, thunk_jump_end
thunk_jump_exit:
	EXIT_EIP
thunk_jump:
	mov V_JC(%r14), %r10
	mov (%r10,%r8,4), %r9d
	lea (%r9,%r12), %r9
	jmp *%r9
thunk_jump_exit_hashed:
	EXIT_EIP
thunk_jump_hashed:
	mov V_JC(%r14), %r10
	movzwl %r8w, %r9d
	mov (%r10,%r9,4), %r9d
	lea (%r9,%r12), %r9
	jmp *%r9
thunk_jump_end:

/* An exit to another page that is not linked: to the dispatcher, which may link it, or through the jump cache. */
	.globl thunk_link
thunk_link:
	jmp *V_LINK(%r14)

	.globl thunk_exit_chain
thunk_exit_chain:
	SAVE_FLAGS
	SAVE_REGS
	mov %r9d, %eax
	jmp leave_tc

/* A TU's head found another EIP in r8d than its own; r10 holds the guest's ECX. */
	.globl thunk_head_miss
thunk_head_miss:
	mov %r10, %rcx
	jmp thunk_exit_jc

/* STI found an event pending: interrupts are inhibited for one more instruction. */
	.globl thunk_sti_exit
thunk_sti_exit:
	SAVE_FLAGS
	SAVE_REGS
	mov %r8d, V_EIP(%r14)
	mov %r14, %rdi
	call tc_sti_shadow
	xor %eax, %eax
	jmp leave_tc

/*
 * A table miss. In: r8 = linear address, r9d = meta. Out: r9 = delta. r8, r10, r11 survive. The write forms return 5 bytes further, behind a jmp, when the
 * access runs on a bounce buffer that has to be committed.
 */
	.macro MISS name, cfn, slot, write
	.globl \name
\name:
	SAVE_FLAGS
	SAVE_REGS
	push %r8
	push %r10
	push %r11
	sub $16, %rsp
	mov %r14, %rdi
	mov %r8d, %esi
	mov %r9d, %edx
	mov $\slot, %ecx
	lea 8(%rsp), %r8
	call \cfn
	mov %rax, %r9
	.if \write
	movzbl 8(%rsp), %eax
	lea (%rax,%rax,4), %rax
	add %rax, 40(%rsp)
	.endif
	add $16, %rsp
	pop %r11
	pop %r10
	pop %r8
	LOAD_FLAGS
	mov V_REGS+0(%r14), %eax
	mov V_REGS+4(%r14), %ecx
	mov V_REGS+8(%r14), %edx
	mov V_REGS+24(%r14), %esi
	mov V_REGS+28(%r14), %edi
	ret
	.endm
	MISS thunk_miss0, tc_miss, 0, 0
	MISS thunk_miss1, tc_miss, 1, 0
	MISS thunk_miss_write0, tc_miss, 0, 1
	MISS thunk_miss_write1, tc_miss, 1, 1

/* A segment that needs checking. In: r8d = offset, r9d = meta. Out: r8d = linear. r10, r11 survive. */
	.macro SEG name, slot
	.globl \name
\name:
	SAVE_FLAGS
	SAVE_REGS
	push %r10
	push %r11
	sub $8, %rsp
	mov %r14, %rdi
	mov %r8d, %esi
	mov %r9d, %edx
	mov $\slot, %ecx
	call tc_segment
	mov %eax, %r8d
	add $8, %rsp
	pop %r11
	pop %r10
	LOAD_FLAGS
	mov V_REGS+0(%r14), %eax
	mov V_REGS+4(%r14), %ecx
	mov V_REGS+8(%r14), %edx
	mov V_REGS+24(%r14), %esi
	mov V_REGS+28(%r14), %edi
	ret
	.endm
	SEG thunk_seg0, 0
	SEG thunk_seg1, 1

/*
 * An instruction ran on a bounce buffer: write it back. All registers survive, as the instruction left them. Leaves if an event has come of it.
 */
	.macro COMMIT name, slot
	.globl \name
\name:
	SAVE_FLAGS
	SAVE_REGS
	push %r8
	push %r10
	push %r11
	mov %r14, %rdi
	mov $\slot, %esi
	call tc_commit
	test %eax, %eax
	jnz leave_commit
	pop %r11
	pop %r10
	pop %r8
	LOAD_FLAGS
	LOAD_REGS
	ret
	.endm
	COMMIT thunk_commit0, 0
	COMMIT thunk_commit1, 1

leave_commit:
	add $32, %rsp
	mov $-1, %eax
	jmp leave_tc

/*
 * An emulated instruction. In: r8d = index of its emu_insn, r9d = meta. All guest registers come back from the vCPU. It goes on behind the call, leaves,
 * or goes on in another TU, as if the dispatcher had entered that.
 */
	.globl thunk_callout
thunk_callout:
	SAVE_FLAGS
	SAVE_REGS
	sub $8, %rsp
	mov %r14, %rdi
	mov %r8d, %esi
	mov %r9d, %edx
	call tc_callout
	cmp $1, %rax
	jae 1f
	add $8, %rsp
	LOAD_FLAGS step=1
	LOAD_REGS
	ret
1:	lea 16(%rsp), %rsp
	je 2f
	mov %rax, %r9
	mov V_TABLE(%r14), %r13
	mov V_EIP(%r14), %r8d
	LOAD_FLAGS step=1
	LOAD_REGS
	jmp *%r9
2:	mov $-1, %eax
	jmp leave_tc

	.section .note.GNU-stack,"",@progbits
