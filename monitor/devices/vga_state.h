/* What the files of the VGA share: the device, and names of register bits that more than one of them looks at. */
#ifndef RINGER_VGA_STATE_H
#define RINGER_VGA_STATE_H

#include "monitor/devices/pci.h"
#include "monitor/devices/vga.h"

#define SEQ_CLOCKING	 1
#define SEQ_MAP_MASK	 2
#define SEQ_FONT	 3
#define SEQ_MEMORY	 4
#define SEQ_DOTS8	 0x01
#define SEQ_HALF_CLOCK	 0x08
#define SEQ_SCREEN_OFF	 0x20
#define SEQ_CHAIN4	 0x08
#define GFX_SET_RESET	 0
#define GFX_SR_ENABLE	 1
#define GFX_COMPARE	 2
#define GFX_ROTATE	 3
#define GFX_READ_PLANE	 4
#define GFX_MODE	 5
#define GFX_MISC	 6
#define GFX_DONT_CARE	 7
#define GFX_BIT_MASK	 8
#define GFX_READ_COMPARE 0x08
#define GFX_ODD_EVEN	 0x10
#define GFX_GRAPHICS	 0x01
#define ATTR_MODE	 0x10
#define ATTR_PLANES	 0x12
#define ATTR_PAN	 0x13
#define ATTR_COLOR	 0x14
#define ATTR_ON		 0x20 /* in the index: the palette is the screen's */
#define MISC_COLOR	 0x01

enum {
	VBE_ID,
	VBE_XRES,
	VBE_YRES,
	VBE_BPP,
	VBE_ENABLE,
	VBE_BANK,
	VBE_VIRT_WIDTH,
	VBE_VIRT_HEIGHT,
	VBE_X_OFFSET,
	VBE_Y_OFFSET,
	VBE_MEMORY_64K,
};
#define VBE_ENABLED  0x01
#define VBE_GETCAPS  0x02
#define VBE_8BIT_DAC 0x20
#define VBE_LFB	     0x40
#define VBE_NO_CLEAR 0x80

struct vga {
	struct vm *vm;
	u8 *memory;    /* VGA_MEMORY bytes of board memory */
	u64 offset;    /* their place in the linear view */
	u64 mapped;    /* what the 64 KiB at A0000h are mapped to, or MEMORY_NOTHING: they are MMIO */
	u32 accesses;  /* to a window that could be mapped, since it could */
	u64 candidate; /* what it would be mapped to */
	struct vga_regs r;
	u8 *rom; /* the VGA BIOS's image, or NULL */
	size_t rom_size;
	const u8 *font; /* 256 characters of 16 bytes in it, or NULL */
	struct pci_device pci;
	u64 rom_offset;
	unsigned mmio; /* the registers in BAR 2 */
};

/* Ports 3B4h-3DAh, also seen through BAR 2. */
u32 vga_port_read(void *opaque, u16 port, unsigned size);
void vga_port_write(void *opaque, u16 port, u32 value, unsigned size);

/* vga_vbe.c. Indices beyond the last register read as 0 and ignore writes. */
u16 vbe_read(const struct vga *g, unsigned index);
void vbe_write(struct vga *g, unsigned index, u16 value);
void vbe_reset(struct vga *g);
/* Whether loaded registers are ones that vbe_write can leave. */
bool vbe_valid(const struct vga_regs *r);
void vbe_register(struct vga *g);
/* Bytes between the starts of two lines; for 4 bits per pixel, of the four planes together. */
static inline u32 vbe_pitch(const struct vga_regs *r)
{
	u32 bits = r->vbe[VBE_BPP] == 15 ? 16 : r->vbe[VBE_BPP];

	return r->vbe[VBE_VIRT_WIDTH] * bits / 8;
}
static inline bool vbe_on(const struct vga_regs *r)
{
	return r->vbe[VBE_ENABLE] & VBE_ENABLED;
}
/* The planes' addresses go round behind 64 KiB, but for VBE's modes, which have all of the memory. */
static inline u32 vga_plane_mask(const struct vga_regs *r)
{
	return vbe_on(r) ? VGA_MEMORY / 4 - 1 : 0xffff;
}

/* vga_pci.c: where the BAR of video memory is, PCI_NOWHERE while that is nowhere. */
u64 vga_frame_buffer(const struct vga *g);

/* vga_mem.c: the window at A0000h. */
void vga_memory_register(struct vga *g);
/* A register that the window depends on was written: it ceases to be mapped if it now reads otherwise. vCPU thread, lock held. */
void vga_memory_changed(struct vga *g);

/* vga_rom.c: finds the VGA BIOS; without it rom and font stay NULL. */
void vga_rom_open(struct vga *g);

#endif
