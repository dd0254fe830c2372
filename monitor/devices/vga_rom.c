/*
 * The VGA BIOS: SeaBIOS's image for QEMU's std VGA, looked for where distributions put it. A guest that is booted through firmware runs it;
 * for one that is not, its 8x16 font is the one thing of it that is needed.
 */
#include <stdlib.h>
#include <string.h>

#include "monitor/devices/vga_state.h"
#include "monitor/firmware.h"

#define ROM_NAME  "vgabios-stdvga.bin"
#define ROM_MAX	  (64u << 10)
#define FONT_SIZE (256u * 16)

/*
 * The font has no entry in a table; it is known by two characters: the empty one in front, and the full block (DBh), which is all ones.
 */
static const u8 *find_font(const u8 *rom, size_t size)
{
	static const u8 empty[16], letter_l[] = {0x00, 0x00, 0xf0, 0x60, 0x60, 0x60, 0x60, 0x60, 0x60, 0x62, 0x66, 0xfe, 0x00};
	u8 full[16];

	memset(full, 0xff, sizeof(full));
	for (size_t at = 0; at + FONT_SIZE <= size; at++)
		if (memcmp(rom + at + 'L' * 16, letter_l, sizeof(letter_l)) == 0 && memcmp(rom + at, empty, 16) == 0 &&
		    memcmp(rom + at + 0xdb * 16, full, 16) == 0)
			return rom + at;
	return NULL;
}

void vga_rom_open(struct vga *g)
{
	g->rom = firmware_read(g->vm, "VGA BIOS", ROM_NAME, &g->rom_size, true);
	if (g->rom && g->rom_size > ROM_MAX) {
		free(g->rom);
		g->rom = NULL;
		g->rom_size = 0;
	}
	if (g->rom)
		g->font = find_font(g->rom, g->rom_size);
}
