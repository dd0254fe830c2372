/*
 * The boot sector, as beginners write it, and the ways between the modes. The sector loads the rest, one sector at a time by INT 13h with
 * CHS addresses, to 7E00h; everything has segment 0, so that C compiled with -m16 and with -m32 share one image below 64 KiB.
 *
 * Invariant: in real mode ESP's upper half is 0, for compiled code addresses the stack by ESP.
 */
	.code16
	.section .boot, "ax"
	.globl	start
start:
	ljmp	$0, $1f
1:
	cli
	xorl	%esp, %esp
	movw	%sp, %ds
	movw	%sp, %es
	movw	%sp, %ss
	movw	$0x7c00, %sp
	sti
	cld
	movb	%dl, boot_drive
	movb	$8, %ah			/* geometry */
	xorw	%di, %di
	int	$0x13
	jc	failed
	xorw	%ax, %ax
	movw	%ax, %es
	andb	$63, %cl
	movb	%cl, sectors
	incb	%dh
	movb	%dh, heads
	movw	$1, %bp			/* the sector's number */
next:
	movw	%bp, %ax
	divb	sectors			/* AL = track, AH = sector - 1 */
	movb	%ah, %cl
	incb	%cl
	xorb	%ah, %ah
	divb	heads			/* AL = cylinder, AH = head */
	movb	%al, %ch
	movb	%ah, %dh
	movb	boot_drive, %dl
	movw	%bp, %bx
	shlw	$9, %bx
	addw	$0x7c00, %bx
	movw	$0x0201, %ax
	int	$0x13
	jc	failed
	incw	%bp
	cmpw	$image_sectors, %bp
	jbe	next
	calll	real_main
1:	hlt
	jmp	1b
failed:
	movw	$0x0e00 | '!', %ax
	int	$0x10
	jmp	1b

	.globl	boot_drive, sectors, heads
boot_drive: .byte 0
sectors: .byte 0
heads:	.byte 0
	.org	510
	.word	0xaa55

	.text
/* void bios(u8 number, struct bios_regs *r): the instruction's number is written into it. */
	.globl	bios
bios:
	pushal
	movb	36(%esp), %al
	movb	%al, 1f + 1
	movl	40(%esp), %ebp
	pushl	%ebp
	pushw	%ds
	pushw	%es
	movw	24(%bp), %es
	movl	0(%bp), %eax
	movl	4(%bp), %ebx
	movl	8(%bp), %ecx
	movl	12(%bp), %edx
	movl	16(%bp), %esi
	movl	20(%bp), %edi
	jmp	1f
1:	int	$0
	pushfw
	pushl	%eax
	movw	%sp, %bp
	movl	10(%bp), %ebp		/* EAX, FLAGS, ES, DS lie below it */
	movl	%ebx, %ss:4(%bp)
	movl	%ecx, %ss:8(%bp)
	movl	%edx, %ss:12(%bp)
	movl	%esi, %ss:16(%bp)
	movl	%edi, %ss:20(%bp)
	movw	%es, %ss:24(%bp)
	popl	%ss:0(%bp)
	popw	%ss:26(%bp)
	popw	%es
	popw	%ds
	popl	%ebp
	popal
	cld
	retl

/* u32 protected(u32 (*f)(void)): calls f in 32-bit protected mode, and comes back the long way, by 16-bit segments. */
	.globl	protected
protected:
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	pushl	%ebp
	movl	20(%esp), %ebx
	cli
	lgdtl	gdtr
	lidtl	no_idtr
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$0x08, $1f
	.code32
1:	movw	$0x10, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	call	*%ebx
	movl	%eax, %edi
	ljmp	$0x18, $2f
	.code16
2:	movw	$0x20, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	%cr0, %eax
	andb	$0xfe, %al
	movl	%eax, %cr0
	ljmp	$0, $3f
3:	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	lidtl	real_idtr
	sti
	movl	%edi, %eax
	popl	%ebp
	popl	%edi
	popl	%esi
	popl	%ebx
	retl

/* void unreal(void): FS gets a limit of 4 GiB and keeps it. */
	.globl	unreal
unreal:
	cli
	pushw	%fs
	lgdtl	gdtr
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	jmp	1f
1:	movw	$0x10, %cx
	movw	%cx, %fs
	andb	$0xfe, %al
	movl	%eax, %cr0
	popw	%fs
	sti
	retl

/* Interrupt handlers of real mode: they count. */
	.macro	counter name, next=0, clear=0
	.globl	on_\name, \name\()_count
on_\name:
	pushw	%ax
	incl	%cs:\name\()_count
	.if	\clear
	movb	$0x0c, %al
	outb	%al, $0x70
	inb	$0x71, %al
	.endif
	.if	\next
	movb	$0x20, %al
	.if	\next > 1
	outb	%al, $0xa0
	.endif
	outb	%al, $0x20
	.endif
	popw	%ax
	iretw
\name\()_count: .long 0
	.endm
	counter	tick
	counter	timer, 1
	counter	disk, 2
	counter	rtc, 2, 1
	counter	floppy, 1

/* Where the processor comes to life after a reset with shutdown code 0Ah, by the vector at 40:67. */
	.globl	resumed
resumed:
	xorl	%esp, %esp
	movw	%sp, %ds
	movw	%sp, %es
	movw	%sp, %ss
	movw	$0x7c00, %sp
	calll	real_resumed
1:	hlt
	jmp	1b

/* A triple fault: an exception without a descriptor table. */
	.globl	triple_fault
triple_fault:
	cli
	lidtl	no_idtr
	int3
	hlt

	.data
	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9a000000ffff	/* 08h: code, 32 bits, 4 GiB */
	.quad	0x00cf92000000ffff	/* 10h: data */
	.quad	0x00009a000000ffff	/* 18h: code, 16 bits, 64 KiB */
	.quad	0x000092000000ffff	/* 20h: data */
gdtr:	.word	. - gdt - 1
	.long	gdt
no_idtr: .word	0
	.long	0
real_idtr: .word 0x3ff
	.long	0
