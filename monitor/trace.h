/*
 * What -d says of the machine at work: interrupts, registers, page walks, device accesses. Every caller asks log_on() first, so that all of
 * this costs a test of log_mask that is always predicted.
 *
 * Devices are traced where io.c and memory.c hand an access over; a device only says which table of trace_io.c names its registers.
 */
#ifndef RINGER_TRACE_H
#define RINGER_TRACE_H

#include "monitor/log.h"

struct vm;
struct vcpu;
struct tu;
struct options;

/*
 * As log_print, from anywhere on the vCPU's thread: with the guest's FPU state in the registers, in a handler of a signal that translated
 * code raised. The state is put aside and comes back as it was, FIP and FDP included.
 */
void trace_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define trace_to(cat, ...)                                                                                                                 \
	do {                                                                                                                               \
		if (log_on(cat))                                                                                                           \
			trace_print(__VA_ARGS__);                                                                                          \
	} while (0)

/* ---- vCPU thread ---- */

/* -d int: a vector is about to be delivered (kind: enum intr_kind), and where that has led. */
void trace_interrupt(const struct vcpu *v, int vector, int kind, bool has_error, u32 error);
void trace_interrupted(const struct vcpu *v);
/* -d exec, cpu: the dispatcher enters the TU whose head is `host`. */
void trace_enter(const struct vcpu *v, u64 host);
/* All registers but the FPU's, in QEMU's words. */
void trace_registers(const struct vcpu *v);
/* -d mmu: a walk for `acc` (ACC_*) at `linear` ended with #PF error code `error`. */
void trace_walk(const struct vcpu *v, u32 linear, int acc, u32 error);
/* Whether -dfilter lets a TU at EIP `eip` of the current CS through. */
bool trace_wants(const struct vcpu *v, u32 eip);

/* ---- devices: trace_io.c ---- */

/* X(NAME, "device") */
/* clang-format off */
#define TRACE_DEVICES(X)                                                                                  \
	X(ACPI_PM, "acpi_pm") X(DMA, "dma") X(FDC, "fdc") X(FW_CFG, "fw_cfg") X(HPET, "hpet") X(I8042, "i8042")           \
	X(IDE, "ide") X(IOAPIC, "ioapic") X(LAPIC, "lapic") X(LPT, "lpt") X(PCI, "pci") X(PIC, "pic")     \
	X(PIT, "pit") X(RTC, "rtc") X(SYSCTL, "sysctl") X(UART, "uart") X(VGA, "vga")
/* clang-format on */
enum trace_device {
#define X(n, name) TRACE_##n,
	TRACE_DEVICES(X)
#undef X
		TRACE_DEVICE_COUNT
};

/* Tables of registers, one or more to a device; REGS_NONE: not named. */
enum trace_regs {
	REGS_NONE,
	REGS_ACPI_PM,
	REGS_ACPI_SMI,
	REGS_DMA,
	REGS_FDC,
	REGS_FW_CFG,
	REGS_HPET,
	REGS_I8042,
	REGS_IDE,
	REGS_IDE_BM,
	REGS_IOAPIC,
	REGS_LAPIC,
	REGS_LPT,
	REGS_PCI,
	REGS_PIC,
	REGS_PIT,
	REGS_RTC,
	REGS_SYSCTL,
	REGS_UART,
	REGS_VGA,
	REGS_VGA_MEMORY,
	REGS_VGA_MMIO,
	REGS_COUNT
};

/* A range made by io_register or mmio_register has the registers of a table. Start-up. */
void trace_ports(struct vm *vm, unsigned range, enum trace_regs regs);
void trace_mmio(struct vm *vm, unsigned region, enum trace_regs regs);
/* -d io, trace:DEVICE. An access of port `port`, or of device memory at `offset` of region `region` (its number, or -1: nobody's). */
void trace_port(struct vm *vm, int range, u16 port, u32 value, unsigned size, bool write);
void trace_memory(struct vm *vm, int region, u64 pa, u32 value, unsigned size, bool write);
/* The bit of a device, by the n bytes of its name, in options.log_traces; false: there is none of that name. */
bool trace_device_bit(const char *name, size_t n, u64 *bit);
const char *trace_device_name(enum trace_device device);
/* The device of a table, and the name that it has for an offset (of a port: its number unless the table is of a range that can move);
 * "+n" is written behind the name of the register before it. For tests as well. */
enum trace_device trace_regs_device(enum trace_regs regs);
void trace_register_name(enum trace_regs regs, u32 key, char *text, size_t size);

#endif
