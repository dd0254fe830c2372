/* A 16550A serial port. National Semiconductor PC16550D data sheet. */
#ifndef RINGER_UART_H
#define RINGER_UART_H

#include "monitor/io.h"

struct chardev;

/* Registers a port called `name` (static storage) at iobase..iobase+7 with vm, which owns it. Takes over chr and closes it in the end;
 * NULL: nothing connected. */
void uart_create(struct vm *vm, const char *name, u16 iobase, struct irq irq, struct chardev *chr);

#endif
