/*
 * The vCPU's registers as a debugger numbers them, and the XML that tells it so. vCPU thread between two instructions, FPU saved, but
 * for gdb_xml.
 */
#ifndef RINGER_GDB_REGS_H
#define RINGER_GDB_REGS_H

#include "monitor/vcpu.h"

#define GDB_REG_MAX 16 /* bytes of the largest */

unsigned gdb_reg_count(void);
unsigned gdb_reg_size(unsigned n);
/* Into out, little-endian; its size, 0 if there is no such register. */
unsigned gdb_reg_read(struct vcpu *v, unsigned n, u8 *out);
/* False if the register cannot have this value, or is not the debugger's to write; nothing is changed then. */
bool gdb_reg_write(struct vcpu *v, unsigned n, const u8 *in);
/*
 * One of the documents that describe them ("target.xml" is the first): its length, and its bytes from `offset` on, at most n, in buf. -1 if
 * there is none of that name.
 */
long gdb_xml(const char *name, size_t offset, char *buf, size_t n);

#endif
