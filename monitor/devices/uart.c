/*
 * 16550A UART with FIFOs.
 *
 * The line is infinitely fast towards the host: a byte written to THR has left at once, and the transmitter reads empty while there is room
 * for a FIFO's worth of bytes (txbuf.h). Only when the host has been slower than the guest for long does THRE read 0. From the host, bytes
 * come as fast as the guest empties the FIFO: what does not fit waits in the back end, so there are no overruns but in loopback.
 *
 * Interrupt sources are recomputed from the registers (`uart_update`), but for the two that are events: `thr_pending` (THRE has risen, or
 * its interrupt was enabled, and IIR has not been read since) and `timed_out` (bytes below the trigger level have waited for four character
 * times).
 *
 * OUT2 is an output like OUT1. IBM's adapter let the interrupt through by it, so drivers set it; but QEMU's serial ports have no such gate,
 * and there are kernels (xv6 is one) that leave it 0 and live by their interrupts.
 */
#include "monitor/devices/uart.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/chardev.h"
#include "monitor/devices/checked_state.h"
#include "monitor/devices/txbuf.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RDI	     0x01
#define IER_THRI     0x02
#define IER_RLSI     0x04
#define IER_MSI	     0x08
#define IIR_NONE     0x01
#define IIR_MSI	     0x00
#define IIR_THRI     0x02
#define IIR_RDI	     0x04
#define IIR_RLSI     0x06
#define IIR_TIMEOUT  0x0c
#define IIR_FIFO     0xc0
#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02
#define LCR_WLEN     0x03
#define LCR_STOP     0x04
#define LCR_PARITY   0x08
#define LCR_DLAB     0x80
#define MCR_DTR	     0x01
#define MCR_RTS	     0x02
#define MCR_OUT1     0x04
#define MCR_OUT2     0x08
#define MCR_LOOP     0x10
#define LSR_DR	     0x01
#define LSR_OE	     0x02
#define LSR_PE	     0x04
#define LSR_FE	     0x08
#define LSR_BI	     0x10
#define LSR_THRE     0x20
#define LSR_TEMT     0x40
#define LSR_FIFO_ERR 0x80
#define LSR_ERRORS   (LSR_OE | LSR_PE | LSR_FE | LSR_BI)
#define MSR_DCTS     0x01
#define MSR_DDSR     0x02
#define MSR_TERI     0x04
#define MSR_DDCD     0x08
#define MSR_CTS	     0x10
#define MSR_DSR	     0x20
#define MSR_RI	     0x40
#define MSR_DCD	     0x80

#define FIFO_SIZE      16u
#define BAUD_BASE      115200u
#define TIMEOUT_MAX_NS 20000000 /* slow divisors do not delay what is no real line */

struct uart {
	struct vm *vm;
	u16 iobase;
	struct irq irq;
	struct chardev *chr;
	struct txbuf tx;
	struct timer timeout;

	u8 ier, fcr, lcr, mcr, msr, scr;
	u16 divisor;
	u8 overrun;	  /* LSR_OE or 0 */
	u8 char_errors;	  /* PE, FE, BI of the byte on top, until LSR is read */
	bool thr_pending; /* see above */
	bool timed_out;

	u8 fifo[FIFO_SIZE], errors[FIFO_SIZE];
	u8 head, count;
};

static u8 uart_capacity(const struct uart *u)
{
	return u->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static u8 uart_trigger(const struct uart *u)
{
	static const u8 levels[4] = {1, 4, 8, 14};

	return u->fcr & FCR_ENABLE ? levels[u->fcr >> 6] : 1;
}

static bool uart_thr_empty(const struct uart *u)
{
	return txbuf_room(&u->tx) >= FIFO_SIZE;
}

static u8 uart_lsr(const struct uart *u)
{
	u8 lsr = u->overrun | u->char_errors;

	if (u->count)
		lsr |= LSR_DR;
	if (uart_thr_empty(u))
		lsr |= LSR_THRE | LSR_TEMT;
	if (u->fcr & FCR_ENABLE)
		for (unsigned i = 0; i < u->count; i++)
			if (u->errors[(u->head + i) % FIFO_SIZE])
				lsr |= LSR_FIFO_ERR;
	return lsr;
}

/* The pending interrupt of highest priority, as in IIR bits 3:0 (PC16550D table 5). */
static u8 uart_interrupt(const struct uart *u)
{
	if ((u->ier & IER_RLSI) && (u->overrun | u->char_errors))
		return IIR_RLSI;
	if (u->ier & IER_RDI) {
		if (u->count >= uart_trigger(u))
			return IIR_RDI;
		if (u->timed_out)
			return IIR_TIMEOUT;
	}
	if ((u->ier & IER_THRI) && u->thr_pending)
		return IIR_THRI;
	if ((u->ier & IER_MSI) && (u->msr & 0x0f))
		return IIR_MSI;
	return IIR_NONE;
}

static void uart_update(struct uart *u)
{
	irq_set(&u->irq, uart_interrupt(u) != IIR_NONE);
}

/* (Re)starts the character timeout: it runs while bytes wait that no trigger level announces. */
static void uart_start_timeout(struct uart *u)
{
	u64 bits = 2 + 5 + (u->lcr & LCR_WLEN) + (u->lcr & LCR_STOP ? 1 : 0) + (u->lcr & LCR_PARITY ? 1 : 0);
	u64 ns = 4 * bits * MAX(u->divisor, 1) * NS_PER_SEC / BAUD_BASE;

	u->timed_out = false;
	if ((u->fcr & FCR_ENABLE) && (u->ier & IER_RDI) && u->count && u->count < uart_trigger(u))
		timer_mod(&u->timeout, clock_ns(&u->vm->clock) + MIN(ns, TIMEOUT_MAX_NS));
	else
		timer_del(&u->timeout);
}

static void uart_timeout(void *opaque)
{
	struct uart *u = opaque;

	u->timed_out = u->count != 0;
	uart_update(u);
}

/* ---- the receiver ---- */

static void uart_top_changed(struct uart *u)
{
	if (u->count)
		u->char_errors |= u->errors[u->head];
}

static void uart_push(struct uart *u, u8 byte, u8 errors)
{
	if (u->count >= uart_capacity(u)) {
		u->overrun = LSR_OE;
		if (u->fcr & FCR_ENABLE)
			return;
		/* Without a FIFO, the new byte overwrites the old. */
		u->count = 0;
	}
	unsigned i = (u->head + u->count) % FIFO_SIZE;

	u->fifo[i] = byte;
	u->errors[i] = errors;
	if (u->count++ == 0)
		uart_top_changed(u);
}

static void uart_clear_rx(struct uart *u)
{
	u->head = u->count = 0;
	u->char_errors = u->overrun = 0;
	memset(u->errors, 0, sizeof(u->errors));
	uart_start_timeout(u);
}

static void uart_accept_input(struct uart *u)
{
	if (u->chr && !(u->mcr & MCR_LOOP))
		chardev_accept_input(u->chr);
}

static u8 uart_read_data(struct uart *u)
{
	u8 byte = u->fifo[u->head];

	if (!u->count)
		return 0;
	u->errors[u->head] = 0;
	u->head = (u->head + 1) % FIFO_SIZE;
	u->count--;
	uart_top_changed(u);
	uart_start_timeout(u);
	if (!u->count)
		uart_accept_input(u);
	uart_update(u);
	return byte;
}

static size_t uart_can_receive(void *opaque)
{
	struct uart *u = opaque;

	return u->mcr & MCR_LOOP || u->count >= uart_capacity(u) ? 0 : uart_capacity(u) - u->count;
}

static void uart_receive(void *opaque, const u8 *buf, size_t n)
{
	struct uart *u = opaque;

	for (size_t i = 0; i < n; i++)
		uart_push(u, buf[i], 0);
	uart_start_timeout(u);
	uart_update(u);
}

static void uart_event(void *opaque, enum chardev_event ev)
{
	struct uart *u = opaque;

	if (ev != CHARDEV_BREAK || (u->mcr & MCR_LOOP))
		return;
	uart_push(u, 0, LSR_BI);
	uart_start_timeout(u);
	uart_update(u);
}

/* ---- the transmitter ---- */

static void uart_drained(void *opaque)
{
	struct uart *u = opaque;

	if (!u->thr_pending && uart_thr_empty(u)) {
		u->thr_pending = true;
		uart_update(u);
	}
}

static void uart_write_data(struct uart *u, u8 byte)
{
	/* The request falls before it rises again: every byte has its edge. */
	u->thr_pending = false;
	uart_update(u);
	if (u->mcr & MCR_LOOP) {
		uart_push(u, byte, 0);
		uart_start_timeout(u);
	} else {
		txbuf_put(&u->tx, byte);
	}
	u->thr_pending = uart_thr_empty(u);
	uart_update(u);
}

/* ---- the modem lines ---- */

/* The lines' levels: a peer that is always there, or in loopback the outputs (PC16550D, "Modem Control Register" bit 4). */
static u8 uart_modem_lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) | (u->mcr & MCR_OUT1 ? MSR_RI : 0) |
	       (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void uart_write_mcr(struct uart *u, u8 value)
{
	bool was_loop = u->mcr & MCR_LOOP;
	u8 lines, changed;

	u->mcr = value & 0x1f;
	lines = uart_modem_lines(u);
	changed = (lines ^ u->msr) & 0xf0;
	u->msr |= (changed & MSR_CTS ? MSR_DCTS : 0) | (changed & MSR_DSR ? MSR_DDSR : 0) | (changed & MSR_DCD ? MSR_DDCD : 0);
	/* RI tells only of its trailing edge. */
	if ((changed & MSR_RI) && !(lines & MSR_RI))
		u->msr |= MSR_TERI;
	u->msr = lines | (u->msr & 0x0f);
	uart_update(u);
	if (was_loop && !(u->mcr & MCR_LOOP))
		uart_accept_input(u);
}

/* ---- ports ---- */

static void uart_write_ier(struct uart *u, u8 value)
{
	u8 enabled = value & ~u->ier;

	u->ier = value & 0x0f;
	/* Enabling the interrupt of an empty transmitter raises it. */
	if ((enabled & IER_THRI) && uart_thr_empty(u))
		u->thr_pending = true;
	if (enabled & IER_RDI)
		uart_start_timeout(u);
	uart_update(u);
}

static void uart_write_fcr(struct uart *u, u8 value)
{
	/* Other bits count only together with the enable; toggling it empties the FIFOs. What was transmitted has left already. */
	if (!(value & FCR_ENABLE))
		value = 0;
	if (((value ^ u->fcr) & FCR_ENABLE) || (value & FCR_CLEAR_RX)) {
		u->fcr = value & 0xc9;
		uart_clear_rx(u);
		uart_accept_input(u);
	}
	u->fcr = value & 0xc9;
	uart_start_timeout(u);
	uart_update(u);
}

static void uart_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct uart *u = opaque;
	bool dlab = u->lcr & LCR_DLAB;

	(void)size;
	switch (port - u->iobase) {
	case REG_DATA:
		if (dlab)
			u->divisor = (u->divisor & 0xff00) | value;
		else
			uart_write_data(u, value);
		return;
	case REG_IER:
		if (dlab)
			u->divisor = (u->divisor & 0xff) | value << 8;
		else
			uart_write_ier(u, value);
		return;
	case REG_IIR_FCR:
		uart_write_fcr(u, value);
		return;
	case REG_LCR:
		u->lcr = value;
		return;
	case REG_MCR:
		uart_write_mcr(u, value);
		return;
	case REG_SCR:
		u->scr = value;
		return;
	}
	/* LSR and MSR are written only by factory tests. */
}

static u8 uart_read_iir(struct uart *u)
{
	u8 iir = uart_interrupt(u);

	if (iir == IIR_THRI) {
		u->thr_pending = false;
		uart_update(u);
	}
	return iir | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static u8 uart_read_lsr(struct uart *u)
{
	u8 lsr = uart_lsr(u);

	if (lsr & LSR_ERRORS) {
		u->overrun = u->char_errors = 0;
		u->errors[u->head] = 0;
		uart_update(u);
	}
	return lsr;
}

static u8 uart_read_msr(struct uart *u)
{
	u8 msr = u->msr;

	if (msr & 0x0f) {
		u->msr &= 0xf0;
		uart_update(u);
	}
	return msr;
}

static u32 uart_read(void *opaque, u16 port, unsigned size)
{
	struct uart *u = opaque;
	bool dlab = u->lcr & LCR_DLAB;

	(void)size;
	switch (port - u->iobase) {
	case REG_DATA:
		return dlab ? u->divisor & 0xff : uart_read_data(u);
	case REG_IER:
		return dlab ? u->divisor >> 8 : u->ier;
	case REG_IIR_FCR:
		return uart_read_iir(u);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		return uart_read_lsr(u);
	case REG_MSR:
		return uart_read_msr(u);
	default:
		return u->scr;
	}
}

/* ---- life cycle ---- */

static void uart_reset(void *opaque)
{
	struct uart *u = opaque;

	u->ier = u->fcr = u->lcr = u->mcr = u->scr = 0;
	u->divisor = 12; /* 9600 */
	u->msr = uart_modem_lines(u);
	u->thr_pending = false;
	uart_clear_rx(u);
	uart_update(u);
	uart_accept_input(u);
}

static void uart_save(void *opaque, struct state *s)
{
	struct uart *u = opaque;

	state_put_u8(s, u->ier);
	state_put_u8(s, u->fcr);
	state_put_u8(s, u->lcr);
	state_put_u8(s, u->mcr);
	state_put_u8(s, u->msr);
	state_put_u8(s, u->scr);
	state_put_u16(s, u->divisor);
	state_put_u8(s, u->overrun);
	state_put_u8(s, u->char_errors);
	state_put_u8(s, u->thr_pending);
	state_put_u8(s, u->timed_out);
	state_put_u64(s, u->timeout.armed ? u->timeout.deadline : 0);
	state_put(s, u->fifo, sizeof(u->fifo));
	state_put(s, u->errors, sizeof(u->errors));
	state_put_u8(s, u->head);
	state_put_u8(s, u->count);
	txbuf_save(&u->tx, s);
}

static void uart_load(void *opaque, struct state *s)
{
	struct uart *u = opaque;
	struct uart n = {0};
	u64 deadline;

	n.ier = state_get_u8_max(s, 0x0f);
	n.fcr = state_get_u8(s);
	n.lcr = state_get_u8(s);
	n.mcr = state_get_u8_max(s, 0x1f);
	n.msr = state_get_u8(s);
	n.scr = state_get_u8(s);
	n.divisor = state_get_u16(s);
	n.overrun = state_get_u8(s);
	n.char_errors = state_get_u8(s);
	n.thr_pending = state_get_bool(s);
	n.timed_out = state_get_bool(s);
	deadline = state_get_u64(s);
	state_get(s, n.fifo, sizeof(n.fifo));
	state_get(s, n.errors, sizeof(n.errors));
	n.head = state_get_u8_max(s, FIFO_SIZE - 1);
	n.count = state_get_u8_max(s, FIFO_SIZE);
	if ((n.fcr & ~0xc9) || (n.overrun & ~LSR_OE) || (n.char_errors & ~LSR_ERRORS) || n.count > uart_capacity(&n))
		s->error = true;
	/* Last in the stream, but first to be taken: until then nothing has changed that an error would leave behind. */
	txbuf_load(&u->tx, s);
	if (s->error)
		return;
	u->ier = n.ier;
	u->fcr = n.fcr;
	u->lcr = n.lcr;
	u->mcr = n.mcr;
	u->msr = n.msr;
	u->scr = n.scr;
	u->divisor = n.divisor;
	u->overrun = n.overrun;
	u->char_errors = n.char_errors;
	u->thr_pending = n.thr_pending;
	memcpy(u->fifo, n.fifo, sizeof(u->fifo));
	memcpy(u->errors, n.errors, sizeof(u->errors));
	u->head = n.head;
	u->count = n.count;
	u->timed_out = n.timed_out;
	if (deadline)
		timer_mod(&u->timeout, deadline);
	else
		timer_del(&u->timeout);
	uart_update(u);
}

static void uart_free(void *opaque)
{
	struct uart *u = opaque;

	timer_del(&u->timeout);
	txbuf_fini(&u->tx);
	if (u->chr)
		chardev_close(u->chr);
	free(u);
}

void uart_create(struct vm *vm, const char *name, u16 iobase, struct irq irq, struct chardev *chr)
{
	struct uart *u = calloc(1, sizeof(*u));

	if (!u)
		fatal("out of memory");
	u->vm = vm;
	u->iobase = iobase;
	u->irq = irq;
	u->chr = chr;
	txbuf_init(&u->tx, vm, chr, uart_drained, u);
	timer_init(&u->timeout, vm, uart_timeout, u);
	if (chr)
		chardev_attach(chr, &(struct chardev_client){u, uart_can_receive, uart_receive, uart_event});
	uart_reset(u);
	trace_ports(vm, io_register(vm, &(struct port_range){iobase, iobase + 7, 1, uart_read, uart_write, u}), REGS_UART);
	device_register(vm, &(struct device){name, 2, u, uart_reset, uart_save, uart_load, uart_free});
}
