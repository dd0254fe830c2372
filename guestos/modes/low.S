/*
 * The way into real mode and back. The part between low_start and low_end is copied to LOW; interrupts and exceptions in real mode go
 * through a vector table of ours to its stubs, which leave the whole state at LOW_STATE (the layout is struct state of lib.h) and return to
 * protected mode.
 *
 * Invariant: real mode code and its stubs touch nothing above 1 MiB, so A20 may be closed while they run.
 */
#include "guestos/modes/low.h"

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
#define KCS 0x08
#define KDS 0x10

/* void low_go(void): runs the state at LOW_STATE to the first interrupt or exception; data segments begin with those of low_data. */
	.text
	.globl low_go
low_go:
	push %ebp
	push %ebx
	push %esi
	push %edi
	pushf
	cli
	mov %esp, low_esp
	lidt low_idt
	mov low_data, %eax
	mov $SEL_DATA16, %ecx
	mov %ecx, %ss
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ds
	ljmp $SEL_CODE16, $0
low_back:
	mov $KDS, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	mov low_esp, %esp
	lidt idtr
	popf
	pop %edi
	pop %esi
	pop %ebx
	pop %ebp
	ret

	.data
	.balign 4
	.globl low_data, low_idt
low_data:
	.long SEL_DATA16
low_esp:
	.long 0
low_idt:
	.word 0x3ff
	.long LOW_IVT

	.balign 16
	.code16
	.globl low_start, low_stubs, low_end
low_start:
	movl %cr0, %eax
	andl $0xfffffffe, %eax
	movl %eax, %cr0
	ljmp $LOW >> 4, $(1f - low_start)
1:	xorw %ax, %ax
	movw %ax, %ds
	movw LOW_STATE + S_SS, %ss
	movl LOW_STATE + S_ESP, %esp
	pushl LOW_STATE + S_EFLAGS
	pushl LOW_STATE + S_CS
	pushl LOW_STATE + S_EIP
	movw LOW_STATE + S_ES, %es
	movw LOW_STATE + S_FS, %fs
	movw LOW_STATE + S_GS, %gs
	movl LOW_STATE + S_EAX, %eax
	movl LOW_STATE + S_ECX, %ecx
	movl LOW_STATE + S_EDX, %edx
	movl LOW_STATE + S_EBX, %ebx
	movl LOW_STATE + S_EBP, %ebp
	movl LOW_STATE + S_ESI, %esi
	movl LOW_STATE + S_EDI, %edi
	movw LOW_STATE + S_DS, %ds
	iretl

	.balign 8
low_stubs:
	.set vec, 0
	.rept 256
	.balign 8
	.byte 0x68
	.word vec
	jmp real_trap
	.set vec, vec + 1
	.endr

real_trap:
	pushw %ds
	pushl %eax
	xorw %ax, %ax
	movw %ax, %ds
	popl LOW_STATE + S_EAX
	popw LOW_STATE + S_DS
	movl %ecx, LOW_STATE + S_ECX
	movl %edx, LOW_STATE + S_EDX
	movl %ebx, LOW_STATE + S_EBX
	movl %ebp, LOW_STATE + S_EBP
	movl %esi, LOW_STATE + S_ESI
	movl %edi, LOW_STATE + S_EDI
	movw %es, LOW_STATE + S_ES
	movw %fs, LOW_STATE + S_FS
	movw %gs, LOW_STATE + S_GS
	popw LOW_STATE + S_VEC
	popw LOW_STATE + S_EIP
	popw LOW_STATE + S_CS
	pushfl
	popl %eax
	popw %ax
	movl %eax, LOW_STATE + S_EFLAGS
	movl %esp, LOW_STATE + S_ESP
	movw %ss, LOW_STATE + S_SS
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $KCS, $low_back
low_end:

	.section .note.GNU-stack, "", @progbits
