/*
 * ACPI fixed hardware: PM1a, PM timer, SMI command port.
 *
 * Invariants: the SCI is high exactly while SCI_EN is set and an enabled status bit is (ACPI 4.8.3.1). The timer's carry is found when
 * somebody looks: TMR_STS is set if the top bit has changed since `seen_carry`; a timer event runs only while TMR_EN is set and TMR_STS is
 * not.
 */
#include "monitor/devices/acpi_pm.h"

#include <stdlib.h>

#include "monitor/devices/checked_state.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define PM_TIMER_HZ   3579545ull
#define PM_TIMER_MASK 0xffffffu /* 24 bits */
#define PM_CARRY      (1u << 23)
#define PM_TIMER      8 /* its register in the block */

#define PM1_TMR	    0x0001 /* status and enable */
#define PM1_GBL	    0x0020
#define PM1_PWRBTN  0x0100
#define PM1_RTC	    0x0400
#define PM1_EN_MASK (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_RTC)

#define PM1_SCI_EN    0x0001
#define PM1_SLP_TYP   0x1c00
#define PM1_SLP_SHIFT 10
#define PM1_SLP_EN    0x2000
#define PM1_CNT_MASK  (PM1_SCI_EN | 0x0002 | PM1_SLP_TYP) /* SLP_EN and GBL_RLS read as 0 */

struct acpi_pm {
	struct vm *vm;
	struct irq sci;
	struct timer timer;
	u16 status, enable, control;
	u64 seen_carry; /* the number of half periods of the 24-bit timer that TMR_STS knows of */
	u8 smi[2];	/* command and data, latched */
	unsigned ports; /* index of the port block */
	u32 base;
};

static u64 pm_ticks(const struct acpi_pm *a)
{
	return muldiv64(clock_ns(&a->vm->clock), PM_TIMER_HZ, NS_PER_SEC);
}

/* Brings status, SCI and the timer up to date. */
static void pm_update(struct acpi_pm *a)
{
	u64 carry = pm_ticks(a) / PM_CARRY;

	if (carry != a->seen_carry)
		a->status |= PM1_TMR;
	a->seen_carry = carry;
	irq_set(&a->sci, (a->control & PM1_SCI_EN) && (a->status & a->enable & PM1_EN_MASK));
	if ((a->enable & PM1_TMR) && !(a->status & PM1_TMR))
		timer_mod(&a->timer, muldiv64((carry + 1) * PM_CARRY, NS_PER_SEC, PM_TIMER_HZ) + 1);
	else
		timer_del(&a->timer);
}

static void pm_timer(void *opaque)
{
	pm_update(opaque);
}

static void pm_write_control(struct acpi_pm *a, u16 value)
{
	a->control = value & PM1_CNT_MASK;
	if (!(value & PM1_SLP_EN))
		return;
	if ((value & PM1_SLP_TYP) >> PM1_SLP_SHIFT == ACPI_SLP_TYP_S5)
		vm_request_poweroff(a->vm);
	else
		log_to(LOG_GUEST_ERRORS, "acpi: sleep type %u is not offered", (value & PM1_SLP_TYP) >> PM1_SLP_SHIFT);
}

/*
 * The registers are 16 bits wide and are reached a byte at a time, but for the timer, whose bytes would not belong together. What else the
 * PIIX4 has in its 64 ports (throttling, general-purpose events of the docking station...) is not there.
 */
static u32 pm_read(void *opaque, u16 port, unsigned size)
{
	struct acpi_pm *a = opaque;
	const u16 regs[3] = {a->status, a->enable, a->control};
	unsigned i = port - a->base;

	if (i - PM_TIMER < 4)
		return (u32)(pm_ticks(a) & PM_TIMER_MASK) >> 8 * (i - PM_TIMER);
	if (size > 1)
		return pm_read(a, port, size / 2) | pm_read(a, port + size / 2, size / 2) << 4 * size;
	if (i >= 2 * ARRAY_SIZE(regs))
		return 0;
	if (i < 2) {
		pm_update(a);
		return a->status >> 8 * i & 0xff;
	}
	return regs[i / 2] >> 8 * (i & 1) & 0xff;
}

static void pm_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct acpi_pm *a = opaque;
	unsigned i = port - a->base, shift = 8 * (i & 1);
	u16 keep = 0xff << (8 - shift);

	if (size > 1) {
		pm_write(a, port, value & (BIT(4 * size) - 1), size / 2);
		pm_write(a, port + size / 2, value >> 4 * size, size / 2);
		return;
	}
	if (i >= PM_TIMER)
		return;
	pm_update(a);
	switch (i / 2) {
	case 0:
		a->status &= ~(value << shift);
		break;
	case 1:
		a->enable = ((a->enable & keep) | value << shift) & PM1_EN_MASK;
		break;
	case 2:
		pm_write_control(a, (a->control & keep) | value << shift);
		break;
	}
	pm_update(a);
}

static u32 smi_read(void *opaque, u16 port, unsigned size)
{
	struct acpi_pm *a = opaque;

	(void)size;
	return a->smi[port - ACPI_SMI_COMMAND];
}

static void smi_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct acpi_pm *a = opaque;

	(void)size;
	a->smi[port - ACPI_SMI_COMMAND] = value;
	if (port != ACPI_SMI_COMMAND)
		return;
	if (value == ACPI_SMI_ENABLE)
		a->control |= PM1_SCI_EN;
	else if (value == ACPI_SMI_DISABLE)
		a->control &= ~PM1_SCI_EN;
	pm_update(a);
}

void acpi_pm_move(struct acpi_pm *a, u32 base)
{
	a->base = base;
	io_move(a->vm, a->ports, base);
}

u32 acpi_pm_base(const struct acpi_pm *a)
{
	return a->base;
}

void acpi_pm_power_button(struct acpi_pm *a)
{
	a->status |= PM1_PWRBTN;
	pm_update(a);
}

static void pm_reset(void *opaque)
{
	struct acpi_pm *a = opaque;

	a->status = a->enable = a->control = 0;
	a->smi[0] = a->smi[1] = 0;
	a->seen_carry = pm_ticks(a) / PM_CARRY;
	pm_update(a);
}

static void pm_save(void *opaque, struct state *s)
{
	struct acpi_pm *a = opaque;

	state_put_u16(s, a->status);
	state_put_u16(s, a->enable);
	state_put_u16(s, a->control);
	state_put_u64(s, a->seen_carry);
	state_put(s, a->smi, sizeof(a->smi));
}

static void pm_load(void *opaque, struct state *s)
{
	struct acpi_pm *a = opaque;
	struct acpi_pm n = {.vm = a->vm, .sci = a->sci};

	n.status = state_get_u16(s);
	n.enable = state_get_u16(s);
	n.control = state_get_u16(s);
	n.seen_carry = state_get_u64_max(s, 1ull << 40);
	state_get(s, n.smi, sizeof(n.smi));
	if ((n.enable & ~PM1_EN_MASK) || (n.control & ~PM1_CNT_MASK))
		s->error = true;
	if (s->error)
		return;
	a->status = n.status;
	a->enable = n.enable;
	a->control = n.control;
	a->seen_carry = n.seen_carry;
	a->smi[0] = n.smi[0];
	a->smi[1] = n.smi[1];
	/* At once, but not here: a load must not change what it has loaded. */
	if ((a->enable & PM1_TMR) && !(a->status & PM1_TMR))
		timer_mod(&a->timer, 0);
	else
		timer_del(&a->timer);
}

static void pm_free(void *opaque)
{
	struct acpi_pm *a = opaque;

	timer_del(&a->timer);
	free(a);
}

struct acpi_pm *acpi_pm_create(struct vm *vm, struct irq sci)
{
	struct acpi_pm *a = calloc(1, sizeof(*a));

	if (!a)
		fatal("out of memory");
	a->vm = vm;
	a->sci = sci;
	timer_init(&a->timer, vm, pm_timer, a);
	pm_reset(a);
	a->ports = io_register_nowhere(vm, &(struct port_range){0, ACPI_PM_PORTS - 1, 4, pm_read, pm_write, a});
	trace_ports(vm, a->ports, REGS_ACPI_PM);
	trace_ports(vm, io_register(vm, &(struct port_range){ACPI_SMI_COMMAND, ACPI_SMI_COMMAND + 1, 1, smi_read, smi_write, a}),
		    REGS_ACPI_SMI);
	device_register(vm, &(struct device){"acpi_pm", 1, a, pm_reset, pm_save, pm_load, pm_free});
	return a;
}
