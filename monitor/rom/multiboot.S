/*
 * The option ROM that boots -kernel's Multiboot kernel under -bios. "Initrd" is the boot information (monitor/load_multiboot.c); what only
 * firmware knows, the memory map and sizes, is put into it here. Multiboot Specification 0.6.96, 3.2 and 3.3.
 */
#include "monitor/rom/option_rom.inc"

	.set MAP_ENTRY, 24
	.set MAP_MAX, 32 * MAP_ENTRY /* load_multiboot.c keeps this room */
	.set MAP_TYPE, 20
	.set INFO_MEM_LOWER, 4
	.set INFO_MEM_UPPER, 8
	.set INFO_MMAP_LENGTH, 44
	.set INFO_MMAP_ADDR, 48
	.set SMAP, 0x534d4150

	OPTION_ROM "Multiboot kernel of -kernel"
boot:
	cld
	/* The memory map, to the stack at %bp; %si is its length. */
	subw $MAP_MAX, %sp
	movw %sp, %bp
	pushw %ss
	popw %es
	xorl %esi, %esi
	xorl %ebx, %ebx
1:	leaw (%bp,%si), %di
	movl $MAP_ENTRY - 4, %es:(%di)
	addw $4, %di
	movl $0xe820, %eax
	movl $SMAP, %edx
	movl $MAP_ENTRY - 4, %ecx
	int $0x15
	jc 2f
	cmpl $SMAP, %eax
	jne 2f
	addw $MAP_ENTRY, %si
	cmpw $MAP_MAX, %si
	jae 2f
	testl %ebx, %ebx
	jnz 1b
2:	pushl %esi
	int $0x12
	movzwl %ax, %eax
	pushl %eax
	LOAD_ITEM KERNEL
	LOAD_ITEM INITRD
	movw $FW_CFG_KERNEL_ENTRY, %ax
	call read_value
	pushl %eax
	movw $FW_CFG_INITRD_ADDR, %ax
	call read_value
	movl %eax, %ebx
	/* %ebp, linear: the entry, kilobytes below 640K, the map's length, the map */
	xorl %ebp, %ebp
	movw %ss, %bp
	shll $4, %ebp
	movzwl %sp, %eax
	addl %eax, %ebp
	xorl %esi, %esi
	movw %cs, %si
	shll $4, %esi
	cli
	leal gdt(%esi), %eax
	pushl %eax
	pushw $gdt_end - gdt - 1
	movw %sp, %di
	lgdtl %ss:(%di)
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	leal protected(%esi), %eax
	pushl $8
	pushl %eax
	lretl

	.code32
protected:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %eax, %fs
	movl %eax, %gs
	movl %ebp, %esp
	popl %edx
	popl INFO_MEM_LOWER(%ebx)
	popl %ecx
	movl %ecx, INFO_MMAP_LENGTH(%ebx)
	movl INFO_MMAP_ADDR(%ebx), %edi
	leal (%edi,%ecx), %ebp
	movl %esp, %esi
	rep movsb
	/* The memory from 1 MiB on. */
	movl INFO_MMAP_ADDR(%ebx), %esi
	jmp 4f
3:	cmpl $0x100000, 4(%esi)
	jne 5f
	cmpl $0, 8(%esi)
	jne 5f
	cmpl $1, MAP_TYPE(%esi)
	jne 5f
	movl 12(%esi), %eax
	shrl $10, %eax
	movl %eax, INFO_MEM_UPPER(%ebx)
5:	addl $MAP_ENTRY, %esi
4:	cmpl %ebp, %esi
	jb 3b
	movl $0x2badb002, %eax
	jmp *%edx

	.balign 8
gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_end:
	END_OPTION_ROM
