/* What the kernel that lives by the BIOS is made of: real.c and devices.c are compiled with -m16, protected.c with -m32. */
#ifndef GUESTOS_BIOS_H
#define GUESTOS_BIOS_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

/* Registers before and behind a BIOS call; FLAGS only behind it. */
struct bios_regs {
	u32 eax, ebx, ecx, edx, esi, edi;
	u16 es, flags;
};
#define CF 1

static inline void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outl(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u16 inw(u16 port)
{
	u16 value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u32 inl(u16 port)
{
	u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

/* Memory beyond segment 0 in real mode, by FS. */
static inline u8 peek(u16 segment, u16 offset)
{
	u8 value;

	__asm__ volatile("movw %w1, %%fs; movb %%fs:(%2), %0" : "=q"(value) : "r"(segment), "b"((u32)offset));
	return value;
}

static inline void poke(u16 segment, u16 offset, u8 value)
{
	__asm__ volatile("movw %w0, %%fs; movb %1, %%fs:(%2)" : : "r"(segment), "q"(value), "b"((u32)offset) : "memory");
}

/* boot.S */
void bios(u32 number, struct bios_regs *r);
u32 protected(u32 (*f)(void));
void unreal(void);
void triple_fault(void) __attribute__((noreturn));
void on_tick(void), on_timer(void), on_disk(void), on_rtc(void), on_floppy(void), resumed(void);
extern volatile u32 tick_count, timer_count, disk_count, rtc_count, floppy_count;
extern u8 boot_drive, sectors, heads;

/* protected.c, for protected(). */
u32 high_memory(void), linear_framebuffer(void), text_screen(void);
extern u32 framebuffer;

/* real.c */
void say(const char *s);
void check(const char *name, u32 got, u32 want);
#define CHECK(name, condition) check(name, !!(condition), 1)
u32 ticks(void);
void set_vector(u8 number, void (*handler)(void));
u8 cmos(u8 reg);
void set_cmos(u8 reg, u8 value);

/* devices.c */
void test_devices(void);
extern u8 sector_a[512], sector_b[512];

#endif
