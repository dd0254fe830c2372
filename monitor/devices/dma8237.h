/*
 * The pair of 8237A DMA controllers of a PC with their page registers (Intel 8237A data sheet 231466; the AT's 74LS612): channels 0 to 3
 * move bytes, 5 to 7 words, 4 is the cascade. vm->lock held, vCPU thread.
 */
#ifndef RINGER_DMA8237_H
#define RINGER_DMA8237_H

#include "monitor/io.h"

struct dma8237;

/* Registers both with vm, which owns them. */
struct dma8237 *dma8237_create(struct vm *vm);
/* ready is called when the guest has changed something that lets a channel go on whose DREQ is high. Start-up only. */
void dma8237_attach(struct dma8237 *d, unsigned channel, void (*ready)(void *opaque), void *opaque);
/* The device's DREQ line. */
void dma8237_request(struct dma8237 *d, unsigned channel, bool dreq);
/*
 * Moves up to n bytes (words: n even) between the device's buf and memory, in the direction that the guest has programmed: from the
 * device, to it, or nowhere (verify). Returns how many bytes the channel took: 0 while it is masked, fewer than n at terminal count, which
 * *tc tells. Of a buffer that is to be filled, what is not taken from memory stays as it is.
 */
u32 dma8237_transfer(struct dma8237 *d, unsigned channel, u8 *buf, u32 n, bool *tc);

#endif
