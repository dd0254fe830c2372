/* The machine's firmware: its ROM image, and what it is told of the machine. */
#ifndef RINGER_FIRMWARE_H
#define RINGER_FIRMWARE_H

#include "monitor/types.h"

struct vm;

#define FIRMWARE_DEFAULT "bios-256k.bin"

/*
 * Reads a firmware file (malloc'd, the caller's): `name` as it is if it is there, else in the directories of -L, else where Debian's
 * packages put such files. fatal() if it is nowhere, `what` says whose it is; NULL instead if `optional`.
 */
u8 *firmware_read(const struct vm *vm, const char *what, const char *name, size_t *size, bool optional);
/*
 * Puts the BIOS image, if the machine has one, below 4 GiB, and makes what the 256 KiB below 1 MiB read as without shadow RAM: the image's
 * last 128 KiB at E0000h, all ones elsewhere. Returns that memory's offset in the linear view. Start-up.
 */
u64 firmware_install(struct vm *vm);
/* Fills vm->fw_cfg and the CMOS with what SeaBIOS asks for, as the options are. Start-up, behind all devices. */
void firmware_tell(struct vm *vm);

#endif
