/* The devices by hand, from real mode: polled where beginners poll, with interrupts where they use them. */
#include "guestos/bios/bios.h"

u8 sector_a[512], sector_b[512];

/* Waits until the byte at a port has `bits` under `mask`, for two seconds. */
static int wait_for(u16 port, u8 mask, u8 bits)
{
	u32 begin = ticks();

	while ((inb(port) & mask) != bits)
		if (ticks() - begin > 36)
			return 0;
	return 1;
}

static u32 keyboard_byte(void)
{
	return wait_for(0x64, 1, 1) ? inb(0x60) : 0x100;
}

static u32 keyboard(u8 byte)
{
	wait_for(0x64, 2, 0);
	outb(0x60, byte);
	return keyboard_byte();
}

static u32 mouse(u8 byte)
{
	wait_for(0x64, 2, 0);
	outb(0x64, 0xd4);
	wait_for(0x64, 2, 0);
	outb(0x60, byte);
	return keyboard_byte();
}

static void controller(u8 command)
{
	wait_for(0x64, 2, 0);
	outb(0x64, command);
}

static void test_keyboard(void)
{
	u8 mask = inb(0x21), mode;
	u32 old = ((u32 *)0)[0x74];
	struct bios_regs r = {.eax = 0x0000};

	outb(0x21, mask | 0x02); /* polled: the BIOS must not take the answers */
	outb(0xa1, inb(0xa1) | 0x10);
	controller(0x20);
	mode = (u8)keyboard_byte();
	controller(0xaa);
	check("8042: self-test", keyboard_byte(), 0x55);
	controller(0x60);
	wait_for(0x64, 2, 0);
	outb(0x60, mode);
	check("keyboard: echo", keyboard(0xee), 0xee);
	check("keyboard: LEDs", keyboard(0xed) << 8 | keyboard(0x02), 0xfafa);
	keyboard(0xf2);
	check("keyboard: identity, translated", keyboard_byte() << 8 | keyboard_byte(), 0xab41);
	check("keyboard: which scan codes", keyboard(0xf0) << 8 | keyboard(0x00), 0xfafa);
	check("keyboard: set 2, translated", keyboard_byte(), 0x41);
	check("keyboard: on", keyboard(0xf4), 0xfa);
	controller(0xa8);
	check("mouse: reset", mouse(0xff), 0xfa);
	check("mouse: passed, identity", keyboard_byte() << 8 | keyboard_byte(), 0xaa00);
	check("mouse: reports on", mouse(0xf4), 0xfa);
	check("mouse: status", mouse(0xe9), 0xfa);
	check("mouse: as told", keyboard_byte() << 16 | keyboard_byte() << 8 | keyboard_byte(), 0x200264);
	mouse(0xf5);
	controller(0xd3);
	wait_for(0x64, 2, 0);
	outb(0x60, 0x5a);
	CHECK("8042: a byte as if from the mouse", wait_for(0x64, 0x21, 0x21));
	check("8042: that byte", keyboard_byte(), 0x5a);
	controller(0xa7);
	((volatile u32 *)0)[0x74] = old;
	outb(0x21, mask & 0xfd);
	controller(0xd2);
	wait_for(0x64, 2, 0);
	outb(0x60, 0x1e);
	bios(0x16, &r);
	check("INT 16h: a key by the controller and IRQ 1", r.eax & 0xffff, 0x1e61);
	outb(0x21, mask);
}

static void ata_read(u32 lba, u8 *to)
{
	wait_for(0x1f7, 0x80, 0);
	outb(0x1f6, (u8)(0xe0 | lba >> 24));
	outb(0x1f2, 1);
	outb(0x1f3, (u8)lba);
	outb(0x1f4, (u8)(lba >> 8));
	outb(0x1f5, (u8)(lba >> 16));
	outb(0x1f7, 0x20);
	wait_for(0x1f7, 0x88, 0x08);
	for (u32 i = 0; i < 256; i++)
		((u16 *)to)[i] = inw(0x1f0);
}

static void test_ata(void)
{
	u32 old = ((u32 *)0)[0x76], same = 1, before;
	u8 mask = inb(0xa1);

	outb(0x3f6, 2); /* no interrupts */
	outb(0x1f6, 0xa0);
	outb(0x1f7, 0xec);
	CHECK("ATA: IDENTIFY", wait_for(0x1f7, 0x89, 0x08));
	for (u32 i = 0; i < 256; i++)
		((u16 *)sector_b)[i] = inw(0x1f0);
	check("ATA: sectors by LBA28", *(u32 *)(sector_b + 120), 2880);
	outb(0x1f6, 0xb0);
	check("ATA: no slave", inb(0x1f7), 0);
	ata_read(3, sector_b);
	for (u32 i = 0; i < 512; i++)
		same &= sector_a[i] == sector_b[i];
	check("ATA: the sector that the BIOS read", same, 1);
	set_vector(0x76, on_disk);
	outb(0xa1, mask & 0xbf);
	outb(0x3f6, 0);
	before = disk_count;
	ata_read(4, sector_b);
	check("ATA: an interrupt", disk_count - before, 1);
	outb(0x3f6, 4);
	outb(0x3f6, 0);
	wait_for(0x1f7, 0x80, 0);
	outb(0x1f6, 0xa0);
	check("ATA: signature behind a reset", inb(0x1f2) | inb(0x1f3) << 8 | inb(0x1f4) << 16 | (u32)inb(0x1f5) << 24, 0x00000101);
	outb(0xa1, mask);
	((volatile u32 *)0)[0x76] = old;
}

static void floppy_out(u8 byte)
{
	wait_for(0x3f4, 0xc0, 0x80);
	outb(0x3f5, byte);
}

static u8 floppy_in(void)
{
	wait_for(0x3f4, 0xc0, 0xc0);
	return inb(0x3f5);
}

/* Waits for the next interrupt, halted. */
static void floppy_wait(u32 before)
{
	u32 begin = ticks();

	while (floppy_count == before && ticks() - begin < 40)
		__asm__ volatile("hlt");
}

static void test_floppy(void)
{
	static const u8 read[] = {0xe6, 0, 0, 0, 4, 2, 18, 27, 0xff};
	u32 old = ((u32 *)0)[0x0e], same = 1, n, address = (u32)sector_b;
	u8 mask = inb(0x21), status;

	set_vector(0x0e, on_floppy);
	outb(0x21, mask & 0xbf);
	n = floppy_count;
	outb(0x3f2, 0x08);
	outb(0x3f2, 0x0c);
	floppy_wait(n);
	for (u32 i = 0; i < 4; i++) {
		floppy_out(8);
		status = floppy_in();
		floppy_in();
		if (!i)
			check("floppy: an interrupt behind the reset", status & 0xf8, 0xc0);
	}
	floppy_out(3);
	floppy_out(0xdf);
	floppy_out(2);
	outb(0x3f7, 0);
	outb(0x3f2, 0x1c); /* motor */
	for (n = ticks(); ticks() - n < 6;)
		__asm__ volatile("hlt");
	n = floppy_count;
	floppy_out(7);
	floppy_out(0);
	floppy_wait(n);
	floppy_out(8);
	status = floppy_in();
	check("floppy: recalibrated", (u32)status << 8 | floppy_in(), 0x2000);
	outb(0x0a, 6);
	outb(0x0c, 0);
	outb(0x0b, 0x46);
	outb(0x04, (u8)address);
	outb(0x04, (u8)(address >> 8));
	outb(0x81, 0);
	outb(0x05, 0xff);
	outb(0x05, 0x01);
	outb(0x0a, 2);
	n = floppy_count;
	for (u32 i = 0; i < sizeof(read); i++)
		floppy_out(read[i]);
	floppy_wait(n);
	check("floppy: read", floppy_in() & 0xc0, 0);
	for (u32 i = 0; i < 6; i++)
		floppy_in();
	for (u32 i = 0; i < 512; i++)
		same &= sector_a[i] == sector_b[i];
	check("floppy: the sector that the BIOS read", same, 1);
	outb(0x21, mask);
	((volatile u32 *)0)[0x0e] = old;
}

static void test_timers(void)
{
	u32 old = ((u32 *)0)[8], old_rtc = ((u32 *)0)[0x70], begin, edges = 0;
	u8 mask = inb(0xa1), b = cmos(0x0b), last = 0, speaker = inb(0x61);

	set_vector(8, on_timer);
	outb(0x43, 0x36);
	outb(0x40, 11932 & 255);
	outb(0x40, 11932 >> 8);
	for (begin = timer_count; timer_count - begin < 20;)
		__asm__ volatile("hlt");
	CHECK("8254: 100 Hz", 1);
	set_vector(0x70, on_rtc);
	outb(0xa1, mask & 0xfe);
	set_cmos(0x8a, 0x26);
	set_cmos(0x8b, b | 0x40);
	cmos(0x0c);
	for (begin = rtc_count; rtc_count - begin < 50;)
		__asm__ volatile("hlt");
	CHECK("RTC: 1024 Hz", 1);
	set_cmos(0x0b, b);
	outb(0xa1, mask);
	outb(0x43, 0x36);
	outb(0x40, 0);
	outb(0x40, 0);
	((volatile u32 *)0)[8] = old;
	((volatile u32 *)0)[0x70] = old_rtc;
	outb(0x43, 0xb6); /* a tone of 440 Hz */
	outb(0x42, 2711 & 255);
	outb(0x42, 2711 >> 8);
	outb(0x61, speaker | 3);
	for (begin = ticks(); edges < 40 && ticks() - begin < 36;) {
		u8 now = inb(0x61) & 0x20;

		edges += now != last;
		last = now;
	}
	outb(0x61, speaker);
	check("the speaker's counter, seen by port 61h", edges, 40);
}

static void test_ports(void)
{
	u32 found = 0, echo;

	outl(0xcf8, 0x80000000);
	check("PCI: the host bridge", inl(0xcfc), 0x12378086);
	for (u32 slot = 0; slot < 32; slot++) {
		outl(0xcf8, 0x80000000 | slot << 11);
		found += inw(0xcfc) != 0xffff;
	}
	CHECK("PCI: more than the bridges", found > 2 && found < 32);
	outb(0x3fc, 0x1e);
	outb(0x3f8, 0xae);
	echo = inb(0x3f8);
	outb(0x3fc, 0x0f);
	check("UART: loopback", echo, 0xae);
	check("UART: a 16550A", inb(0x3fa) & 0xc0, 0xc0);
	check("port E9h", inb(0xe9), 0xe9);
	outb(0xe9, 'E');
	outb(0xe9, '9');
}

void test_devices(void)
{
	test_ports();
	test_timers();
	test_keyboard();
	if (boot_drive < 0x80)
		test_floppy();
	else
		test_ata();
}
