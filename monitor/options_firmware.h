/* The options for firmware and back ends. Handlers of options.c; a user's mistake ends in fatal(). */
#ifndef RINGER_OPTIONS_FIRMWARE_H
#define RINGER_OPTIONS_FIRMWARE_H

#include "monitor/options.h"

/* -fw_cfg [name=]N,file=F or string=S. */
void options_fw_cfg(struct options *o, const char *name, const char *arg);
/* -boot [order=]ORDER,once=ORDER,menu=on|off,splash-time=MS,reboot-timeout=MS,strict=on|off. */
void options_boot(struct options *o, const char *name, const char *arg);
/* -chardev KIND,id=ID[,path=P]. */
void options_chardev(struct options *o, const char *name, const char *arg);
/* -global isa-debugcon.iobase=P. */
void options_global(struct options *o, const char *name, const char *arg);

#endif
