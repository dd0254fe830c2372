/* Where things of real and virtual-8086 mode lie below 1 MiB; for C and assembly. */
#ifndef GUESTOS_LOW_H
#define GUESTOS_LOW_H

#define LOW	   0x8000
#define LOW_STATE  0x7000
#define LOW_IVT	   0x6000
#define LOW_CODE   0x10000 /* the code of a test, CS = 1000h */
#define LOW_AREA   0x20000 /* its data, 64 KiB */
#define LOW_STACK  0x30000 /* its stack, 64 KiB */
#define SEL_CODE16 0x1a0   /* base LOW */
#define SEL_DATA16 0x1a8   /* base 0, 64 KiB */
#define SEL_BIG	   0x1b0   /* base 0, 4 GiB, 16 bits */

#endif
