/*
 * The whole machine: one `struct vm` owns all state of a virtual PC; nothing of it is global.
 *
 * Threads: the vCPU thread runs translated code and everything that it calls; the I/O thread (the process's main thread) runs event_run.
 * Device state is guarded by vm->lock. The vCPU thread holds the lock only inside io_read/io_write, interrupt acknowledgement and MMIO.
 */
#ifndef RINGER_VM_H
#define RINGER_VM_H

#include <pthread.h>
#include <stdatomic.h>

#include "monitor/clock.h"
#include "monitor/event.h"
#include "monitor/io.h"
#include "monitor/memory.h"
#include "monitor/options.h"
#include "monitor/runstate.h"
#include "monitor/types.h"

struct vcpu;
struct event_loop;
struct ferr;
struct pic;
struct lapic;
struct pci_bus;
struct piix3;
struct rtc;
struct fw_cfg;
struct acpi_pm;
struct loader;
struct chardev;
struct vga;
struct i8042;
struct display;
struct gdb;
struct console;
struct symbols;

/* Why the machine ends. */
enum vm_exit {
	VM_RUNNING,
	VM_POWEROFF,   /* the guest switched itself off: status 0 */
	VM_REBOOT,     /* the guest reset itself under -no-reboot: status 0 */
	VM_QUIT,       /* Ctrl-A x, SIGTERM, SIGINT: status 0 for Ctrl-A x, 128+signal otherwise */
	VM_DEBUG_EXIT, /* isa-debug-exit: status (value << 1) | 1 */
	VM_FAILED,     /* something that Ringer does not support: status 1, already reported */
};

struct vm {
	struct options opt;
	struct clock clock;
	struct memory mem;
	struct vcpu *vcpu; /* later: several */
	struct event_loop *events;
	struct run run;

	pthread_mutex_t lock; /* devices, timers, fd watches, ports */
	pthread_mutex_t turn; /* held by who waits for the lock as vm_lock does; never waited for with the lock held */
	_Atomic bool wanted;  /* somebody does */
	struct port_range ports[MAX_PORT_RANGES];
	unsigned port_count;
	bool port_nowhere[MAX_PORT_RANGES]; /* ranges that claim no port now */
	u8 port_regs[MAX_PORT_RANGES];	    /* enum trace_regs: who they are, for -d io */
	u8 port_index[65536];		    /* by port: 0 if unclaimed, else 1 + index into ports; io.c's */
	struct device devices[MAX_DEVICES];
	unsigned device_count;
	struct chardev *chardevs; /* the open ones, linked; chardev.c's */
	struct loader *loader;	  /* vcpu_run loads from it at start and at every reset */
	struct ferr *ferr;	  /* where the vCPU reports x87 errors with CR0.NE clear */
	struct lapic *lapic;	  /* the vCPU acknowledges interrupts here: lapic_ack() */
	struct pic *pic;	  /* NULL lapic: here, pic_ack() */
	struct pci_bus *pci;
	struct piix3 *piix3;	    /* ISA devices' interrupt lines: piix3_irq() */
	struct rtc *rtc;	    /* CMOS: rtc_set_cmos() */
	struct fw_cfg *fw_cfg;	    /* what firmware is told: fw_cfg_add_file() */
	struct acpi_pm *acpi_pm;    /* power management: acpi_pm_base() */
	bool hard_reset;	    /* the reset asked for is the whole board's, not only the processor's; lock held */
	struct vga *vga;	    /* NULL under -vga none */
	struct i8042 *keyboard;	    /* keys and movement go there */
	struct display *display;    /* those who show its screen; display.c's */
	struct gdb *gdb;	    /* the debugger's stub, or NULL; gdbstub.c's */
	struct console *console;    /* console.c's */
	struct symbols *symbols[2]; /* of the guest's kernel and of its programs, for profiles; or NULL */

	_Atomic int exit_reason; /* enum vm_exit */
	int exit_status;
};

/*
 * Lock, clock, guest RAM and event loop of a zeroed machine whose options are set; devices, loader and vCPU come after it (main.c). Returns
 * 0 or -errno, with nothing left behind. vm_free is its inverse: vCPU and devices are gone by then.
 */
int vm_init(struct vm *vm, u64 ram_size);
void vm_free(struct vm *vm);

/*
 * Takes the lock for another thread than the vCPU's: before that may take it again for its next access to a device. A guest that accesses
 * one without end would else have it back each time before a thread that waits is awake.
 */
void vm_lock(struct vm *vm);
/* Waits for those to have had their turn. */
void vm_let_pass(struct vm *vm);
/* Takes the lock for one access to a device. vCPU thread. */
static inline void vm_lock_access(struct vm *vm)
{
	if (unlikely(atomic_load_explicit(&vm->wanted, memory_order_relaxed)))
		vm_let_pass(vm);
	pthread_mutex_lock(&vm->lock);
}

/* Asks for the machine to end; the first caller wins. Any thread, with or without the lock, async-signal-safe. */
void vm_request_exit(struct vm *vm, enum vm_exit why, int status);
/*
 * A system reset asked for by a device (port 92, 0xCF9, i8042, triple fault, ACPI). Under -no-reboot ends the machine instead. The vCPU
 * does it at the next instruction boundary, memory contents kept as on a PC: vm_reset_devices, boot loader run again. With firmware and
 * without hard_reset only the processor is reset. Any thread.
 */
void vm_request_reset(struct vm *vm);
/* A power-off asked for by a device. Under -no-shutdown the machine stops, and the process stays. Lock held. */
void vm_request_poweroff(struct vm *vm);
/* Runs every device's reset, in order of registration. Lock held. */
void vm_reset_devices(struct vm *vm);
/* Raises the A20 gate's state (port 92, i8042). A closed gate is kept as a bit; see memory.h. Lock held. */
void vm_set_a20(struct vm *vm, bool open);

#endif
