/*
 * Entry of the guest kernels, and the assembly half of the trap framework.
 *
 * Invariants: every vector enters trap_common, which leaves the whole register state of the interrupted code in trap_state (the layout is
 * struct state in lib.h) and calls trap_c on a stack of its own, so that a trap works whatever the interrupted code had in its segment
 * registers, SS included, provided that its stack could take the frame. Traps do not nest: all gates are interrupt gates.
 */
#define S_EAX 0
#define S_ECX 4
#define S_EDX 8
#define S_EBX 12
#define S_ESP 16
#define S_EBP 20
#define S_ESI 24
#define S_EDI 28
#define S_EIP 32
#define S_EFLAGS 36
#define S_CS 40
#define S_SS 44
#define S_DS 48
#define S_ES 52
#define S_FS 56
#define S_GS 60
#define S_VEC 64
#define S_ERR 68
#define S_CR2 72

#define KDS 0x10
#define FL_VM 0x20000

#define MB_MAGIC 0x1badb002
#define MB_FLAGS 3

	.section .multiboot, "a"
	.balign 4
	.long MB_MAGIC
	.long MB_FLAGS
	.long -(MB_MAGIC + MB_FLAGS)

	.text
	.globl _start
_start:
	cli
	mov $kernel_stack_top, %esp
	push $0
	popf
	mov %eax, boot_magic
	mov %ebx, boot_info
	mov $__bss_start, %edi
	mov $__bss_end, %ecx
	sub %edi, %ecx
	xor %eax, %eax
	cld
	rep stosb
	call kernel_entry
1:	cli
	hlt
	jmp 1b

/* 256 entry points of 16 bytes. Vectors 8, 10-14 and 17 push an error code themselves. */
	.balign 16
	.globl trap_stubs
trap_stubs:
	.set vec, 0
	.rept 256
	.balign 16
	.if !(vec == 8 || (vec >= 10 && vec <= 14) || vec == 17)
	push $0
	.endif
	push $vec
	jmp trap_common
	.set vec, vec + 1
	.endr

	.balign 16
trap_common:
	push %ds
	push %eax
	mov $KDS, %eax
	mov %eax, %ds
	popl trap_state + S_EAX
	popl trap_state + S_DS
	mov %ecx, trap_state + S_ECX
	mov %edx, trap_state + S_EDX
	mov %ebx, trap_state + S_EBX
	mov %ebp, trap_state + S_EBP
	mov %esi, trap_state + S_ESI
	mov %edi, trap_state + S_EDI
	mov %es, trap_state + S_ES
	mov %fs, trap_state + S_FS
	mov %gs, trap_state + S_GS
	popl trap_state + S_VEC
	popl trap_state + S_ERR
	popl trap_state + S_EIP
	popl trap_state + S_CS
	popl trap_state + S_EFLAGS
	testl $FL_VM, trap_state + S_EFLAGS
	jnz 3f
	testb $3, trap_state + S_CS
	jz 1f
	popl trap_state + S_ESP
	popl trap_state + S_SS
	jmp 2f
3:	popl trap_state + S_ESP
	popl trap_state + S_SS
	popl trap_state + S_ES
	popl trap_state + S_DS
	popl trap_state + S_FS
	popl trap_state + S_GS
	jmp 2f
1:	mov %esp, trap_state + S_ESP
	mov %ss, trap_state + S_SS
2:	mov %cr2, %eax
	mov %eax, trap_state + S_CR2
	mov $KDS, %eax
	mov %eax, %es
	mov %eax, %ss
	mov $trap_stack_top, %esp
	cld
	call trap_c
	mov $trap_state, %esi

/* Loads the state at ESI and goes there by IRET. The frame of a ring-0 target is built on the target's own stack. */
load_state:
	cli
	testl $FL_VM, S_EFLAGS(%esi)
	jnz 3f
	testb $3, S_CS(%esi)
	jnz 1f
	mov S_SS(%esi), %ss
	mov S_ESP(%esi), %esp
	jmp 2f
	/* Virtual-8086 mode takes its data segments from the frame. */
3:	pushl S_GS(%esi)
	pushl S_FS(%esi)
	pushl S_DS(%esi)
	pushl S_ES(%esi)
	pushl S_SS(%esi)
	pushl S_ESP(%esi)
	pushl S_EFLAGS(%esi)
	pushl S_CS(%esi)
	pushl S_EIP(%esi)
	pushl $KDS
	jmp 4f
1:	pushl S_SS(%esi)
	pushl S_ESP(%esi)
2:	pushl S_EFLAGS(%esi)
	pushl S_CS(%esi)
	pushl S_EIP(%esi)
	pushl S_DS(%esi)
	mov S_GS(%esi), %gs
	mov S_FS(%esi), %fs
	mov S_ES(%esi), %es
4:	pushl S_ESI(%esi)
	mov S_EAX(%esi), %eax
	mov S_ECX(%esi), %ecx
	mov S_EDX(%esi), %edx
	mov S_EBX(%esi), %ebx
	mov S_EBP(%esi), %ebp
	mov S_EDI(%esi), %edi
	pop %esi
	pop %ds
	.globl run_iret
run_iret:
	iret

/* void run(struct state *s): see lib.h. */
	.globl run
run:
	push %ebp
	push %ebx
	push %esi
	push %edi
	pushf
	mov 24(%esp), %esi
	mov %esp, run_esp
	mov %esi, run_state
	jmp load_state

/* Ends the run in progress: returns from run() to its caller. Called from trap_c on the trap stack. */
	.globl run_back
run_back:
	mov $KDS, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	mov run_esp, %esp
	popf
	pop %edi
	pop %esi
	pop %ebx
	pop %ebp
	ret

	.data
	.balign 16
	.globl boot_magic, boot_info, trap_state, run_state
boot_magic:
	.long 0
boot_info:
	.long 0
trap_state:
	.skip 76
run_state:
	.long 0
run_esp:
	.long 0

	.section .bss
	.balign 4096
	.skip 32768
kernel_stack_top:
	.skip 16384
trap_stack_top:
	.skip 8192
	.globl tss_stack_top
tss_stack_top:

	.section .note.GNU-stack, "", @progbits
