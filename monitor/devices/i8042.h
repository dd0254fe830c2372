/*
 * The 8042 keyboard controller of a PC/AT (ports 60h and 64h), with an AT keyboard and a PS/2 mouse behind it. All functions: vm->lock
 * held, any thread, but for i8042_create.
 */
#ifndef RINGER_I8042_H
#define RINGER_I8042_H

#include "monitor/io.h"

struct i8042;

/* Registers the controller with vm, which owns it. irq_kbd is IRQ1, irq_aux IRQ12. Start-up. */
struct i8042 *i8042_create(struct vm *vm, struct irq irq_kbd, struct irq irq_aux);
/* A key goes down (again, where it repeats) or up; codes as in ps2.h. What there is no room for is lost. */
void i8042_key(struct i8042 *c, u16 code, bool down);
/* Whether the guest has taken all keys, so that one with all its modifiers has room. */
bool i8042_key_ready(const struct i8042 *c);
/* The mouse moved: dx to the right, dy upwards, dz towards the user; buttons: bit 0 left, 1 right, 2 middle. */
void i8042_mouse(struct i8042 *c, int dx, int dy, int dz, u8 buttons);

#endif
