/*
 * The registry of ports and devices.
 *
 * Invariants: vm->port_index[p] is 0 for an unclaimed port, else 1 + the index of the one range that holds p. A handler sees only
 * sizes up to its max_size and never a port outside its range. Ranges and devices are registered before the vCPU runs. Which range has a
 * port depends on where the ranges are now, not on the order in which they got there: a loaded machine finds the same.
 */
#include "monitor/io.h"

#include <string.h>

#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

static unsigned add_range(struct vm *vm, const struct port_range *r, bool nowhere)
{
	if (vm->port_count == MAX_PORT_RANGES)
		fatal("too many port ranges");
	if (r->last < r->first || (r->max_size != 1 && r->max_size != 2 && r->max_size != 4))
		fatal("bad port range %#x-%#x", r->first, r->last);
	vm->port_nowhere[vm->port_count] = nowhere;
	vm->ports[vm->port_count] = *r;
	vm->port_regs[vm->port_count] = REGS_NONE;
	return vm->port_count++;
}

static void claim(struct vm *vm, unsigned index)
{
	const struct port_range *r = &vm->ports[index];

	memset(&vm->port_index[r->first], (int)index + 1, (size_t)(r->last - r->first) + 1);
}

unsigned io_register(struct vm *vm, const struct port_range *r)
{
	unsigned index = add_range(vm, r, false);

	for (unsigned p = r->first; p <= r->last; p++)
		if (vm->port_index[p])
			fatal("port %#x is claimed twice", p);
	claim(vm, index);
	return index;
}

unsigned io_register_nowhere(struct vm *vm, const struct port_range *r)
{
	return add_range(vm, r, true);
}

void io_move(struct vm *vm, unsigned index, u32 base)
{
	struct port_range *r = &vm->ports[index];
	u32 last = base + (r->last - r->first);

	vm->port_nowhere[index] = base >= IO_NOWHERE || last >= IO_NOWHERE;
	if (!vm->port_nowhere[index]) {
		r->first = (u16)base;
		r->last = (u16)last;
	}
	memset(vm->port_index, 0, sizeof(vm->port_index));
	for (unsigned i = vm->port_count; i-- > 0;)
		if (!vm->port_nowhere[i])
			claim(vm, i);
}

/* The range that can take the whole access, or NULL. `port` may run past 0xffff when a wide access is split. */
static const struct port_range *find_range(const struct vm *vm, u32 port, unsigned size)
{
	const struct port_range *r;

	if (port > 0xffff || !vm->port_index[port])
		return NULL;
	r = &vm->ports[vm->port_index[port] - 1];
	return size <= r->max_size && port + size - 1 <= r->last ? r : NULL;
}

static bool unclaimed(const struct vm *vm, u32 port, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		if (port + i <= 0xffff && vm->port_index[port + i])
			return false;
	return true;
}

static u32 size_mask(unsigned size)
{
	return size >= 4 ? 0xffffffffu : BIT(8 * size) - 1;
}

static u32 read_locked(struct vm *vm, u32 port, unsigned size)
{
	const struct port_range *r = find_range(vm, port, size);

	if (r) {
		u32 value = (r->read ? r->read(r->opaque, (u16)port, size) : 0xffffffffu) & size_mask(size);

		if (log_on(LOG_IO | LOG_TRACE))
			trace_port(vm, (int)(r - vm->ports), (u16)port, value, size, false);
		return value;
	}
	if (size == 1)
		return 0xff;
	size /= 2;
	u32 low = read_locked(vm, port, size);
	return low | read_locked(vm, port + size, size) << (8 * size);
}

static void write_locked(struct vm *vm, u32 port, u32 value, unsigned size)
{
	const struct port_range *r = find_range(vm, port, size);

	if (r) {
		if (log_on(LOG_IO | LOG_TRACE))
			trace_port(vm, (int)(r - vm->ports), (u16)port, value & size_mask(size), size, true);
		if (r->write)
			r->write(r->opaque, (u16)port, value & size_mask(size), size);
		return;
	}
	if (size == 1)
		return;
	size /= 2;
	write_locked(vm, port, value, size);
	write_locked(vm, port + size, value >> (8 * size), size);
}

u32 io_read(struct vm *vm, u16 port, unsigned size)
{
	u32 value;

	if (unclaimed(vm, port, size)) {
		if (log_on(LOG_IO))
			trace_port(vm, -1, port, size_mask(size), size, false);
		return size_mask(size);
	}
	vm_lock_access(vm);
	value = read_locked(vm, port, size);
	pthread_mutex_unlock(&vm->lock);
	return value;
}

void io_write(struct vm *vm, u16 port, u32 value, unsigned size)
{
	if (unclaimed(vm, port, size)) {
		if (log_on(LOG_IO))
			trace_port(vm, -1, port, value & size_mask(size), size, true);
		return;
	}
	vm_lock_access(vm);
	write_locked(vm, port, value, size);
	pthread_mutex_unlock(&vm->lock);
}

void device_register(struct vm *vm, const struct device *d)
{
	if (vm->device_count == MAX_DEVICES)
		fatal("too many devices");
	for (unsigned i = 0; i < vm->device_count; i++)
		if (strcmp(vm->devices[i].name, d->name) == 0)
			fatal("device %s is registered twice", d->name);
	vm->devices[vm->device_count++] = *d;
}

void *device_find(const struct vm *vm, const char *name)
{
	for (unsigned i = 0; i < vm->device_count; i++)
		if (strcmp(vm->devices[i].name, name) == 0)
			return vm->devices[i].opaque;
	return NULL;
}
