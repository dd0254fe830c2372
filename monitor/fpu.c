/* The guest's FPU state moves between the host's registers and v->fx. Invariant: the FIP and FDP in v->fx are 0; v->fpu_ip and v->fpu_dp
 * hold the guest's. */
#include "monitor/fpu.h"

#include "cache/tc.h"
#include "monitor/segment.h"
#include "monitor/vm.h"
#include "shadowpt/window.h"

#define FCW_MASKS 0x3f
#define FSW_ES	  0x80

/* FOP of the guest's instruction at guest-physical pa: the low three bits of its first byte, and its ModRM byte. */
static u16 opcode_at(struct vcpu *v, u64 pa)
{
	const u8 *p = ram_ptr(&v->vm->mem, pa);
	u32 room = PAGE_SIZE - (u32)(pa & PAGE_MASK);
	for (u32 i = 0; p && i + 1 < MIN(room, 15); i++)
		if ((p[i] & 0xf8) == 0xd8)
			return (u16)((p[i] & 7) << 8 | p[i + 1]);
	return 0;
}

static void fpu_track(struct vcpu *v, u32 host_fip)
{
	struct tu *tu = tu_by_host(v->tc, host_fip);
	/* Hosts may lose FIP in signals and when they switch tasks: that is not to be compared. */
	if (!tu || v->lockstep)
		return;
	u32 off = tu_insn(v->tc, tu, tu_insn_by_host(v->tc, tu, host_fip))->guest_off;
	/* Images of real and virtual-8086 mode have linear addresses; code that looks at them has seldom left its segment since. */
	v->fpu_ip = (is_8086(v) ? v->seg[SEG_CS].base : 0) + tu->eip + off;
	v->fpu_op = opcode_at(v, tu->pa + off);
	v->fpu_cs = v->fpu_ds = 0;
}

#define FX_MXCSR 24
#define FX_ST	 32
#define FX_XMM	 160

static const u32 host_mxcsr = 0x1f80;

/* clang-format off */
#define EACH_XMM(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) /* a 32-bit guest has no more */
#define STORE(n)    "movups %%xmm" #n ", 16*" #n "(%0)\n\t"
#define LOAD(n)     "movups 16*" #n "(%0), %%xmm" #n "\n\t"
/* clang-format on */

void fpu_park(struct vcpu *v)
{
	if (!v->fpu_loaded)
		return;
	__asm__ volatile(EACH_XMM(STORE) : : "r"(v->fx + FX_XMM) : "memory");
	__asm__ volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(v->fx[FX_MXCSR]) : "m"(host_mxcsr));
	v->fpu_loaded = false;
	v->x87_loaded = true;
}

/* The x87's part of the image, the rest of which is there already. */
static void save_x87(struct vcpu *v)
{
	u8 image[512] __attribute__((aligned(64)));
	__asm__ volatile("fxsave64 %0" : "=m"(image));
	for (unsigned i = 0; i < FX_MXCSR; i += 8)
		*(u64 *)(v->fx + i) = *(u64 *)(image + i);
	for (unsigned i = FX_ST; i < FX_XMM; i += 8)
		*(volatile u64 *)(v->fx + i) = *(u64 *)(image + i);
}

void fpu_save(struct vcpu *v)
{
	if (!v->fpu_loaded && !v->x87_loaded)
		return;
	u32 env[7];
	if (v->fpu_loaded)
		__asm__ volatile("fxsave64 %0" : "=m"(v->fx));
	else
		save_x87(v);
	/* FXSAVE may leave FIP out (AMD, no exception pending); FNSTENV has it. */
	__asm__ volatile("fnstenv %0" : "=m"(env));
	/* The monitor's own code expects the ABI's control words and an empty x87 stack. */
	__asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(host_mxcsr));
	v->fpu_loaded = v->x87_loaded = false;
	fpu_track(v, env[3]);
	((u64 *)v->fx)[1] = 0;
	((u64 *)v->fx)[2] = 0;
}

void fpu_restore(struct vcpu *v)
{
	if (v->x87_loaded) {
		__asm__ volatile("ldmxcsr %0" : : "m"(v->fx[FX_MXCSR]));
		__asm__ volatile(EACH_XMM(LOAD) : : "r"(v->fx + FX_XMM) : "memory");
	} else {
		__asm__ volatile("fxrstor64 %0" : : "m"(v->fx));
	}
	v->fpu_loaded = true;
}

void fpu_track_live(struct vcpu *v)
{
	bool was_loaded = v->fpu_loaded;
	fpu_save(v);
	if (was_loaded)
		fpu_restore(v);
}

void fpu_hide_errors(struct vcpu *v)
{
	fpu_save(v);
	v->fpu_hidden = (u16)(v->fx[0] | v->fx[1] << 8);
	v->fx[0] |= FCW_MASKS;
	v->fx[2] &= (u8)~FSW_ES;
	v->fx[3] &= 0x7f; /* B, the same as ES */
}

void fpu_show_errors(struct vcpu *v)
{
	u16 fcw;

	if (!v->fpu_hidden)
		return;
	fpu_save(v);
	/* The instruction may have loaded a control word of its own. */
	fcw = (u16)(v->fx[0] | v->fx[1] << 8);
	if (fcw == (v->fpu_hidden | FCW_MASKS))
		v->fx[0] = (u8)v->fpu_hidden;
	v->fpu_hidden = 0;
	if (v->fx[2] & ~v->fx[0] & FCW_MASKS) {
		v->fx[2] |= FSW_ES;
		v->fx[3] |= 0x80;
	}
}

void fpu_reset(struct vcpu *v)
{
	fpu_save(v);
	for (unsigned i = 0; i < sizeof(v->fx); i++)
		v->fx[i] = 0;
	v->fx[0] = 0x7f; /* FCW 037Fh: as FNINIT leaves it, what every kernel expects of a BIOS */
	v->fx[1] = 0x03;
	v->fx[24] = 0x80; /* MXCSR 1F80h */
	v->fx[25] = 0x1f;
	v->fpu_ip = v->fpu_dp = 0;
	v->fpu_cs = v->fpu_ds = v->fpu_op = 0;
}
