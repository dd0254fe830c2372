/*
 * A standard VGA with Bochs's VBE extensions, as QEMU's `-vga std`: ports 3B4h-3DAh and 1CEh-1D0h, the window at A0000h, 16 MiB of video
 * memory, and the PCI function 1234:1111 that shows them (vga_pci.c). Register names and numbers are those of the IBM VGA.
 *
 * Whoever shows the screen takes a snapshot of the registers with the lock held and draws from it without (vga_draw.c): video memory is
 * read while the guest writes it, as a monitor's beam does.
 */
#ifndef RINGER_VGA_H
#define RINGER_VGA_H

#include "monitor/types.h"

struct vm;
struct vga;
struct pci_bus;

#define VGA_MEMORY     (16u << 20)
#define VGA_MAX_WIDTH  4608u /* 256 characters of 9 dots, each shown twice */
#define VGA_MAX_HEIGHT 2048u

/* What vga_draw.c needs of the machine: registers, and where the beam reads. */
#define VGA_SEQ_REGS  8
#define VGA_GFX_REGS  9
#define VGA_CRTC_REGS 0x19
#define VGA_ATTR_REGS 0x15
#define VGA_VBE_REGS  11

struct vga_regs {
	u8 seq_index, seq[VGA_SEQ_REGS];
	u8 gfx_index, gfx[VGA_GFX_REGS];
	u8 crtc_index, crtc[VGA_CRTC_REGS];
	u8 attr_index, attr[VGA_ATTR_REGS];
	bool attr_data; /* the flip-flop: the next write to 3C0h is data */
	u8 misc, feature, enable;
	u8 dac_mask, dac_read, dac_write, dac_part; /* part: 0 red, 1 green, 2 blue is next */
	bool dac_reading;
	u8 dac_latch[2];
	u8 dac[768]; /* 6 bits each, 8 with VBE's 8-bit DAC */
	u32 latch;   /* the four planes' read latches, plane 0 lowest */
	u16 vbe_index, vbe[VGA_VBE_REGS];
};

struct vga_view {
	struct vga_regs r;
	const u8 *memory; /* dword i holds the four planes' bytes at address i; VGA_MEMORY bytes */
	u64 now;	  /* vm time in ns: cursor and characters blink by it */
};

/* A picture: width * height pixels 0x00RRGGBB, rows without gaps. Its owner frees pixels. */
struct frame {
	u32 width, height;
	u32 *pixels;
	size_t capacity; /* in pixels */
};

#define VGA_TEXT_MAX_COLS 256
#define VGA_TEXT_MAX_ROWS 128
/* A text screen: a character of code page 437 in the low byte, the attribute in the high one. */
struct text_screen {
	u32 cols, rows;
	bool cursor; /* it is shown, at: */
	u32 cursor_col, cursor_row;
	bool blink; /* attribute bit 7 blinks; else it is the background's intensity */
	u16 cells[VGA_TEXT_MAX_ROWS * VGA_TEXT_MAX_COLS];
};

/* Start-up, lock held; fatal() if memory runs out. The VGA BIOS's image is looked for (vga_rom.c); without it there is no font. */
struct vga *vga_create(struct vm *vm);
/* Puts its PCI function on the bus, 00:02.0. Start-up, lock held. */
void vga_attach_pci(struct vga *g, struct pci_bus *bus);
/* Text mode 3, 80x25, an empty screen, as a BIOS leaves it. vCPU thread or start-up, lock held. */
void vga_set_text_mode(struct vga *g);
/*
 * A VBE mode of `depth` bits a pixel, its frame buffer linear and clear. Returns the bytes from line to line, *base is the address of the
 * frame buffer; 0, and nothing is changed, while the VGA's BAR has none below 4 GiB. vCPU thread or start-up, lock held.
 */
u32 vga_set_linear_mode(struct vga *g, u16 width, u16 height, u16 depth, u64 *base);
/* Lock held. */
void vga_snapshot(const struct vga *g, struct vga_view *v);

/* ---- without the lock, any thread ---- */
bool vga_is_text(const struct vga_view *v);
/* Draws the screen; frame->pixels is grown as needed, and stays as it was (the return value is false) if memory runs out. */
bool vga_draw(const struct vga_view *v, struct frame *f);
/* The text screen; false in graphics modes, then cols and rows are the size in pixels. */
bool vga_text(const struct vga_view *v, struct text_screen *t);

#endif
