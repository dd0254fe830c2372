/* What -d in_asm,out_asm print of a translation unit that has just been made. vCPU thread, FPU parked. */
#ifndef RINGER_LISTING_H
#define RINGER_LISTING_H

struct xlate;

void listing_print(const struct xlate *x);

#endif
