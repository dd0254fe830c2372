/* -device. A user's mistake ends in fatal(), in QEMU's words where it has some. */
#ifndef RINGER_OPTIONS_DEVICE_H
#define RINGER_OPTIONS_DEVICE_H

#include "monitor/options.h"

/* Handler of options.c: remembers the device, or prints help and exits. `arg` must live as long as o. */
void options_device(struct options *o, const char *name, const char *arg);
/* Makes drives, serial ports and what else there is of the remembered devices: when all options have been read, for what they name may
 * follow them. */
void options_devices_place(struct options *o);

#endif
