/* Ports by which a guest talks to whoever tests it: the debug console (E9h, or 402h where firmware looks for it) and the debug exit. */
#ifndef RINGER_DEBUG_H
#define RINGER_DEBUG_H

struct vm;
struct chardev;

/* Bytes written to port vm->opt.debugcon_iobase go to chr, which is taken over and closed in the end. Reads give E9h: "a console is here".
 */
void debugcon_create(struct vm *vm, struct chardev *chr);
/* A write of v to one of the ports vm->opt.debug_exit_iobase... ends Ringer with status (v << 1) | 1, as QEMU's isa-debug-exit. */
void debug_exit_create(struct vm *vm);

#endif
