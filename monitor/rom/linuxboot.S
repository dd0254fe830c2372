/*
 * The option ROM that boots -kernel's Linux under -bios: loads the parts to where fw_cfg says and enters the kernel's own real-mode code
 * (Linux documentation, "The Linux/x86 Boot Protocol", 1.8).
 */
#include "monitor/rom/option_rom.inc"

	OPTION_ROM "Linux kernel of -kernel"
boot:
	cld
	LOAD_ITEM KERNEL
	LOAD_ITEM INITRD
	LOAD_ITEM CMDLINE
	LOAD_ITEM SETUP
	movw $FW_CFG_SETUP_ADDR, %ax
	call read_value
	movl %eax, %ebx
	movw $FW_CFG_CMDLINE_ADDR, %ax
	call read_value
	/* The stack ends below the command line; code begins one sector behind the segments. */
	subl %ebx, %eax
	subl $16, %eax
	shrl $4, %ebx
	cli
	movw %bx, %ss
	movl %eax, %esp
	movw %bx, %ds
	movw %bx, %es
	movw %bx, %fs
	movw %bx, %gs
	addw $0x20, %bx
	pushw %bx
	pushw $0
	lretw
	END_OPTION_ROM
