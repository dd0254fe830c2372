/* Host signals that translated code raises, turned into guest exceptions. */
#ifndef RINGER_SIGNAL_H
#define RINGER_SIGNAL_H

struct vcpu;

/* Installs the handlers; v is found through thread-local storage. vCPU thread, once, before it runs translated code. */
void signal_init(struct vcpu *v);

/* The vCPU that the calling thread runs, or NULL. Any thread, in a signal handler too. */
struct vcpu *signal_vcpu(void);

#endif
