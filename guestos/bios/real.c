/*
 * A kernel that stays in real mode and lives by the BIOS, with excursions: what boot-sector programs and tutorials do. Prints PASS and FAIL
 * lines on COM1. It resets the machine in every way that it knows and goes on behind each, by a phase in CMOS, and ends with a power-off by
 * APM. Booted from a disk or from a floppy, whose controller it tries then.
 *
 * Invariant: nothing clears .bss, so what has no initial value is written before it is read.
 */
#include "guestos/bios/bios.h"

enum { PHASE = 0x3f, FAILURES = 0x3e };
enum { TESTS, BY_KEYBOARD, BY_PORT_92, BY_CF9, BY_FAULT, BY_VECTOR };

static u8 buffer[1024];

void say(const char *s)
{
	for (; *s; s++) {
		while (!(inb(0x3fd) & 0x20))
			;
		outb(0x3f8, (u8)*s);
	}
}

static void say_hex(u32 x)
{
	char text[] = "00000000";

	for (int i = 7; i >= 0; i--, x >>= 4)
		text[i] = "0123456789abcdef"[x & 15];
	say(text);
}

u8 cmos(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

void set_cmos(u8 reg, u8 value)
{
	outb(0x70, reg);
	outb(0x71, value);
}

void check(const char *name, u32 got, u32 want)
{
	say(got == want ? "PASS " : "FAIL ");
	say(name);
	if (got != want) {
		say(": ");
		say_hex(got);
		say(", not ");
		say_hex(want);
		set_cmos(FAILURES, (u8)(cmos(FAILURES) + 1));
	}
	say("\n");
}

/* The BIOS's count, 18.2 a second. */
u32 ticks(void)
{
	return *(volatile u32 *)0x46c;
}

void set_vector(u8 number, void (*handler)(void))
{
	((volatile u32 *)0)[number] = (u32)handler;
}

static struct bios_regs call(u8 number, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	struct bios_regs r = {.eax = eax, .ebx = ebx, .ecx = ecx, .edx = edx};

	bios(number, &r);
	return r;
}

static void test_memory(void)
{
	struct {
		u32 base, base_high, size, size_high, type;
	} entry;
	struct bios_regs r = {0};
	u32 ram = 0, count = 0, end = 0, sorted = 1, kib;

	do {
		r = (struct bios_regs){.eax = 0xe820, .ebx = r.ebx, .ecx = 20, .edx = 0x534d4150, .edi = (u32)&entry};
		bios(0x15, &r);
		if (r.eax != 0x534d4150)
			break;
		count++;
		sorted &= entry.base >= end;
		end = entry.base + entry.size;
		if (entry.type == 1)
			ram += entry.size;
	} while (r.ebx && count < 50);
	CHECK("INT 15h E820: several areas", count > 3 && count < 50);
	check("INT 15h E820: in order", sorted, 1);
	r = call(0x15, 0xe801, 0, 0, 0);
	kib = (r.eax & 0xffff) + ((r.ebx & 0xffff) << 6);
	CHECK("INT 15h E801: as much as E820 tells above 1 MiB", ram / 1024 - kib < 1024);
	check("INT 12h", call(0x12, 0, 0, 0, 0).eax & 0xffff, 639);
	check("protected mode, memory above 1 MiB", protected(high_memory), 0);
	unreal();
	__asm__ volatile("movw %w0, %%fs" : : "r"(0));
	*(volatile u8 *)0x600 = 0;
	__asm__ volatile("movl $0x12345678, %%fs:(%0)" : : "r"(0x400000) : "memory");
	__asm__ volatile("movl %%fs:(%1), %0" : "=r"(ram) : "r"(0x400000));
	check("big real mode", ram, 0x12345678);
}

/* Whether the byte at 1 MiB + 500h is another one than that at 500h. */
static int a20(void)
{
	u8 old = peek(0, 0x500), high = peek(0xffff, 0x510);
	int other;

	poke(0, 0x500, (u8)~high);
	other = peek(0xffff, 0x510) == high;
	poke(0, 0x500, old);
	return other;
}

static void keyboard_command(u8 command)
{
	while (inb(0x64) & 2)
		;
	outb(0x64, command);
	while (inb(0x64) & 2)
		;
}

static void test_a20(void)
{
	call(0x15, 0x2400, 0, 0, 0);
	check("A20 off by INT 15h", (u32)a20(), 0);
	keyboard_command(0xd1);
	outb(0x60, 0xdf);
	keyboard_command(0xff);
	check("A20 on by the keyboard controller", (u32)a20(), 1);
	keyboard_command(0xd1);
	outb(0x60, 0xdd);
	keyboard_command(0xff);
	check("A20 off by the keyboard controller", (u32)a20(), 0);
	outb(0x92, (inb(0x92) | 2) & 0xfe);
	check("A20 on by port 92h", (u32)a20(), 1);
	check("INT 15h 2402 knows", call(0x15, 0x2402, 0, 0, 0).eax & 0xff, 1);
}

static void test_disk(void)
{
	struct {
		u8 size, zero;
		u16 count, offset, segment;
		u32 lba, lba_high;
	} packet = {16, 0, 1, (u16)(u32)sector_b, 0, 3, 0};
	struct bios_regs r = {.eax = 0x4200, .edx = boot_drive, .esi = (u32)&packet};
	u32 same = 1;

	call(0x13, 0x0201, (u32)sector_a, (u32)(3 / sectors) << 8 | (3 % sectors + 1), boot_drive);
	for (u32 i = 0; i < 512; i++)
		same &= sector_a[i] == ((u8 *)0x7c00)[3 * 512 + i];
	check("INT 13h: a sector by CHS, as loaded", same, 1);
	if (boot_drive < 0x80)
		return;
	check("INT 13h 41h", call(0x13, 0x4100, 0x55aa, 0, boot_drive).ebx & 0xffff, 0xaa55);
	bios(0x13, &r);
	for (u32 i = 0; i < 512; i++)
		same &= sector_a[i] == sector_b[i];
	check("INT 13h: the same sector by LBA", same && !(r.flags & CF), 1);
}

static void test_screen(void)
{
	struct bios_regs r;
	u32 n = 640 * 480, position;
	u16 mode = 0, *modes;

	call(0x10, 0x0013, 0, 0, 0);
	for (u16 i = 0; i < 64000; i++)
		poke(0xa000, i, (u8)(i * 7 >> 3));
	check("mode 13h: a pixel by INT 10h", call(0x10, 0x0d00, 0, 123, 45).eax & 0xff, (u8)((45 * 320 + 123) * 7 >> 3));
	outb(0x3c8, 5);
	outb(0x3c9, 1);
	outb(0x3c9, 2);
	outb(0x3c9, 63);
	r = call(0x10, 0x1015, 5, 0, 0);
	check("a colour of the palette", (r.edx & 0xff00) | (r.ecx & 0xffff), 0x0100 | 0x023f);

	buffer[0] = 'V', buffer[1] = 'B', buffer[2] = 'E', buffer[3] = '2';
	r = (struct bios_regs){.eax = 0x4f00, .edi = (u32)buffer};
	bios(0x10, &r);
	check("VBE", (r.eax & 0xffff) << 16 | *(u16 *)(buffer + 4), 0x004f0300);
	modes = (u16 *)(*(u16 *)(buffer + 14) + *(u16 *)(buffer + 16) * 16u);
	if (*(u16 *)(buffer + 16) >= 0x1000) { /* the list is in ROM */
		static u16 copy[128];

		for (u32 i = 0; i < sizeof(copy); i++)
			((u8 *)copy)[i] = peek(*(u16 *)(buffer + 16), (u16)(*(u16 *)(buffer + 14) + i));
		modes = copy;
	}
	for (; *modes != 0xffff; modes++) {
		r = (struct bios_regs){.eax = 0x4f01, .ecx = *modes, .edi = (u32)buffer + 512};
		bios(0x10, &r);
		if (*(u16 *)(buffer + 512 + 18) == 640 && *(u16 *)(buffer + 512 + 20) == 480 && buffer[512 + 25] == 32) {
			mode = *modes;
			break;
		}
	}
	CHECK("VBE: a mode of 640 x 480 in 32 bits", mode);
	framebuffer = *(u32 *)(buffer + 512 + 40);
	check("VBE: set it", call(0x10, 0x4f02, 0x4000u | mode, 0, 0).eax & 0xffff, 0x004f);
	check("the linear framebuffer, in protected mode", protected(linear_framebuffer), 2654435761u * (n / 2 * (n - 1)));
	outw(0x1ce, 5); /* INT 10h 4F05 refuses where the mode is a linear one */
	outw(0x1cf, 7);
	check("the same by a bank, in real mode", peek(0xa000, 0x124 * 4 + 1), (u8)((7 * 0x4000 + 0x124) * 2654435761u >> 8));

	call(0x10, 0x0003, 0, 0, 0);
	check("the text screen, in protected mode", protected(text_screen), 0x1f31);
	call(0x10, 0x0200, 0, 0, 0x0705);
	call(0x10, 0x0e00 | 'T', 0, 0, 0);
	check("teletype", call(0x10, 0x0300, 0, 0, 0).edx & 0xffff, 0x0706);
	outb(0x3d4, 14);
	position = (u32)inb(0x3d5) << 8;
	outb(0x3d4, 15);
	check("the cursor's place, by the CRTC", position | inb(0x3d5), 7 * 80 + 6);
	call(0x10, 0x0200, 0, 0, 0x0705);
	check("the character there", call(0x10, 0x0800, 0, 0, 0).eax & 0xffff, 0x1f00 | 'T');
	for (u32 i = 0; i < 100; i++) {
		protected(high_memory);
		call(0x10, 0x0e00 | (i % 10 ? '.' : '\n'), 0, 0, 0);
	}
	CHECK("a hundred excursions", 1);
}

static void test_time(void)
{
	u32 begin, old = ((u32 *)0)[0x1c];
	struct bios_regs r;

	set_vector(0x1c, on_tick);
	begin = tick_count;
	while (tick_count < begin + 3)
		__asm__ volatile("hlt");
	((volatile u32 *)0)[0x1c] = old;
	CHECK("INT 1Ch", 1);
	begin = ticks();
	r = call(0x1a, 0, 0, 0, 0);
	CHECK("INT 1Ah counts", ((r.ecx << 16) + (r.edx & 0xffff)) - begin < 3);
	r = call(0x1a, 0x0400, 0, 0, 0);
	CHECK("INT 1Ah: the date", (r.ecx & 0xff00) == 0x2000 && !(r.flags & CF));
	r = call(0x1a, 0xb101, 0, 0, 0);
	check("PCI BIOS", r.edx, 0x20494350);
	r = call(0x1a, 0xb102, 0, 0x7010, 0x8086);
	check("PCI BIOS: where the IDE controller is", r.ebx & 0xffff, 0x0009);
}

static void start_serial(void)
{
	outb(0x3f9, 0);
	outb(0x3fb, 0x80);
	outb(0x3f8, 1); /* 115200 */
	outb(0x3f9, 0);
	outb(0x3fb, 3);
	outb(0x3fa, 0xc7);
	outb(0x3fc, 0x0b);
}

static void finish(void)
{
	set_cmos(PHASE, TESTS);
	say("SUMMARY: ");
	say_hex(cmos(FAILURES));
	say(" failed\n");
	set_cmos(FAILURES, 0);
	call(0x15, 0x5301, 0, 0, 0);
	call(0x15, 0x530e, 0, 0x0102, 0);
	call(0x15, 0x5307, 1, 3, 0);
	say("FAIL power-off\n");
}

/* Behind the last reset, if only the processor was reset. */
void real_resumed(void);
void real_resumed(void)
{
	check("resumed by the vector at 40:67", cmos(PHASE), BY_VECTOR);
	finish();
}

static void next_reset(u8 phase)
{
	set_cmos(PHASE, phase);
	__asm__ volatile("cli");
	switch (phase) {
	case BY_KEYBOARD:
		keyboard_command(0xfe);
		break;
	case BY_PORT_92:
		outb(0x92, inb(0x92) & 0xfe);
		outb(0x92, inb(0x92) | 1);
		break;
	case BY_CF9:
		outb(0xcf9, 0x02);
		outb(0xcf9, 0x06);
		break;
	case BY_FAULT:
		triple_fault();
	case BY_VECTOR:
		set_cmos(0x0f, 0x0a);
		*(volatile u32 *)0x467 = (u32)resumed;
		keyboard_command(0xfe);
	}
	for (;;)
		__asm__ volatile("hlt");
}

void real_main(void);
void real_main(void)
{
	u8 phase = cmos(PHASE);

	start_serial();
	if (phase == TESTS) {
		say(boot_drive < 0x80 ? "from a floppy\n" : "from a disk\n");
		test_memory();
		test_a20();
		test_disk();
		test_screen();
		test_time();
		test_devices();
	} else if (phase < BY_VECTOR) {
		say("PASS reset\n");
	} else {
		say("SKIP resumed by the vector at 40:67: the reset was one of the whole board, and firmware started anew\n");
		finish();
	}
	next_reset((u8)(phase + 1));
}
