/*
 * The verifier's rules: for each, code that keeps it and code that breaks it, assembled by hand. The TU under test is laid where the
 * translator would lay it, with one instruction (an access of 4 bytes, read and written, in either slot) and whatever exits a case adds.
 */
#include "tests/unit/vm_harness.h"

#include "cache/tc.h"
#include "shadowpt/softmmu.h"
#include "translator/translate.h"
#include "translator/verify.h"

#define EIP    0x20010u
#define DIRECT (MODE_DIRECT | MODE_CS32 | MODE_SS32)

static struct tu *tu;
static u8 *at; /* next byte, writable view */
static u32 first_emu;

static u32 rx(void)
{
	return (u32)(u64)v->tc->rx + (u32)(at - v->tc->rw);
}

static void bytes(const u8 *p, size_t n)
{
	memcpy(at, p, n);
	at += n;
}
#define E(...)                                                                                                                             \
	do {                                                                                                                               \
		static const u8 e_[] = {__VA_ARGS__};                                                                                      \
		bytes(e_, sizeof(e_));                                                                                                     \
	} while (0)
static void d32(u64 x)
{
	u32 d = (u32)x;
	bytes((u8 *)&d, 4);
}
static void rel(u64 to)
{
	d32(to - (rx() + 4));
}
static void call(void (*thunk)(void))
{
	E(0xe8);
	rel((u64)thunk);
}
static void jmp(void (*thunk)(void))
{
	E(0xe9);
	rel((u64)thunk);
}
/* Bytes with a field's offset as disp32. */
#define V(field, ...)                                                                                                                      \
	do {                                                                                                                               \
		E(__VA_ARGS__);                                                                                                            \
		d32(offsetof(struct vcpu, field));                                                                                         \
	} while (0)
static u32 meta(void)
{
	return tu_index(v->tc, tu) << 8;
}

static void begin(u32 mode)
{
	struct tc *tc = v->tc;
	tu = &tc->tus[tc->tu_count];
	at = tc->rw + tc->used;
	tc->exit_count = 0;
	first_emu = tc->emu_count = 7;
	*tu = (struct tu){.pa = EIP, .eip = EIP, .mode = mode, .head = rx(), .body = rx(), .insn_count = 1};
	tc->insns[0] = (struct tu_insn){.access = {4 | ACCESS_READ | ACCESS_WRITE, 4 | ACCESS_READ | ACCESS_WRITE}};
}

static void leave(void)
{
	E(0x41, 0xb8, 0, 0, 2, 0); /* mov r8d, 0x20000 */
	jmp(thunk_exit_jc);
}

static struct verify_violation why;
static enum verify_rule verdict(void)
{
	tu->cold = tu->end = rx();
	why.rule = VERIFY_OK;
	ck_assert(verify_tu(v, tu, first_emu, &why) == (why.rule == VERIFY_OK));
	return why.rule;
}

/* `code` in a TU of its own, then the way out. */
#define EXPECT_IN(in_mode, expected, code)                                                                                                 \
	do {                                                                                                                               \
		begin(in_mode);                                                                                                            \
		code;                                                                                                                      \
		leave();                                                                                                                   \
		enum verify_rule rule_ = verdict();                                                                                        \
		ck_assert_msg(rule_ == VERIFY_##expected, "%s: %s at +%u (%s), not " #expected, #code, verify_rule_name(rule_),            \
			      why.host - tu->head, why.text);                                                                              \
	} while (0)
#define EXPECT(expected, ...)	    EXPECT_IN(DIRECT, expected, E(__VA_ARGS__))
#define EXPECT_CODE(expected, code) EXPECT_IN(DIRECT, expected, code)
#define EXPECT_USER(expected, code) EXPECT_IN(DIRECT | 3, expected, code)
#define EXPECT_CHECKED(exp, code)   EXPECT_IN(MODE_CS32 | MODE_SS32, exp, code)

static void set_up(void)
{
	machine_create();
	v->verifier = verifier_create();
	ck_assert_ptr_nonnull(v->verifier);
}

START_TEST(decoding)
{
	EXPECT(OK, 0x01, 0xd8); /* add eax, ebx */
	EXPECT(DECODE, 0x06);	/* push es does not exist */
	EXPECT(DECODE, 0x0f, 0xff);
	EXPECT(OK, 0x65, 0x67, 0x66, 0x01, 0x03); /* add [window ebx], ax */
	EXPECT(PREFIX, 0x65, 0x65, 0x67, 0x01, 0x03);
	EXPECT(PREFIX, 0x64, 0x67, 0x01, 0x03); /* fs */
	EXPECT(PREFIX, 0x65, 0x67, 0x3e, 0x01, 0x03);
	EXPECT(OK, 0xf3, 0x0f, 0xb8, 0xc0);	/* popcnt eax, eax */
	EXPECT(OK, 0xf3, 0x90);			/* pause */
	EXPECT(PREFIX, 0xf3, 0x01, 0xd8);	/* rep add */
	EXPECT(PREFIX, 0xf3, 0x0f, 0xc7, 0xf0); /* senduipi, which Capstone takes for rdrand */
	EXPECT(PREFIX, 0x67, 0x01, 0xd8);
	EXPECT(OK, 0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0); /* nop */
	EXPECT(UNLISTED, 0x0f, 0x1a, 0x04, 0x01);	/* nop, or bndldx */
	EXPECT(OK, 0x0f, 0xae, 0xeb);			/* lfence with another r/m */
}
END_TEST

START_TEST(forbidden)
{
	EXPECT(FORBIDDEN, 0x0f, 0x05); /* syscall */
	EXPECT(FORBIDDEN, 0x0f, 0x34); /* sysenter */
	EXPECT(SENSITIVE, 0xcd, 0x80);
	EXPECT(FORBIDDEN, 0xcc);
	EXPECT(FORBIDDEN, 0xf1);
	EXPECT(FORBIDDEN, 0xe4, 0x60); /* in al, 0x60 */
	EXPECT(FORBIDDEN, 0xef);       /* out dx, eax */
	EXPECT(FORBIDDEN, 0x6c);       /* insb */
	EXPECT(FORBIDDEN, 0xf4);
	EXPECT(FORBIDDEN, 0xfa);
	EXPECT(FORBIDDEN, 0xfb);
	EXPECT(FORBIDDEN, 0x0f, 0x30);		   /* wrmsr */
	EXPECT(FORBIDDEN, 0xf3, 0x0f, 0xae, 0xd8); /* wrgsbase eax */
	EXPECT(FORBIDDEN, 0xf3, 0x0f, 0xae, 0xd0); /* wrfsbase eax */
	EXPECT(FORBIDDEN, 0xf3, 0x0f, 0xae, 0xc8); /* rdgsbase eax */
	EXPECT(FORBIDDEN, 0x0f, 0x01, 0xf8);	   /* swapgs */
	EXPECT(FORBIDDEN, 0xc3);
	EXPECT(FORBIDDEN, 0x0f, 0x31);			      /* rdtsc */
	EXPECT(FORBIDDEN, 0x0f, 0xa2);			      /* cpuid */
	EXPECT(FORBIDDEN, 0x0f, 0x0b);			      /* ud2 */
	EXPECT(UNLISTED, 0x0f, 0x01, 0xef);		      /* wrpkru */
	EXPECT(UNLISTED, 0xc9);				      /* leave */
	EXPECT(UNLISTED, 0xd7);				      /* xlat */
	EXPECT(UNLISTED, 0x65, 0x67, 0xd9, 0x23);	      /* fldenv */
	EXPECT(UNLISTED, 0x65, 0x67, 0x0f, 0xae, 0x03);	      /* fxsave */
	EXPECT(UNLISTED, 0x66, 0x0f, 0xf7, 0xc1);	      /* maskmovdqu [rdi] */
	EXPECT(UNLISTED, 0xc5, 0xf8, 0x58, 0xc1);	      /* vaddps */
	EXPECT(UNLISTED, 0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1); /* the same with EVEX */
}
END_TEST

START_TEST(the_seventeen)
{
	EXPECT(SENSITIVE, 0x0f, 0x01, 0x00);	   /* sgdt */
	EXPECT(SENSITIVE, 0x0f, 0x01, 0x08);	   /* sidt */
	EXPECT(SENSITIVE, 0x0f, 0x00, 0xc0);	   /* sldt */
	EXPECT(SENSITIVE, 0x0f, 0x01, 0xe0);	   /* smsw */
	EXPECT(SENSITIVE, 0x0f, 0x00, 0xc8);	   /* str */
	EXPECT(SENSITIVE, 0x0f, 0x00, 0xe0);	   /* verr */
	EXPECT(SENSITIVE, 0x0f, 0x00, 0xe8);	   /* verw */
	EXPECT(SENSITIVE, 0x0f, 0x02, 0xc0);	   /* lar */
	EXPECT(SENSITIVE, 0x0f, 0x03, 0xc0);	   /* lsl */
	EXPECT(SENSITIVE, 0x66, 0x9c);		   /* pushf */
	EXPECT(SENSITIVE, 0x66, 0x9d);		   /* popf */
	EXPECT(SENSITIVE, 0x0f, 0xa0);		   /* push fs */
	EXPECT(SENSITIVE, 0x0f, 0xa9);		   /* pop gs */
	EXPECT(SENSITIVE, 0x8c, 0xd8);		   /* mov eax, ds */
	EXPECT(SENSITIVE, 0x8e, 0xe8);		   /* mov gs, eax */
	EXPECT(SENSITIVE, 0x65, 0x67, 0xff, 0x1b); /* call far */
	EXPECT(SENSITIVE, 0x65, 0x67, 0xff, 0x2b); /* jmp far */
	EXPECT(SENSITIVE, 0xcb);		   /* ret far */
	EXPECT(SENSITIVE, 0xcf);		   /* iret */
	EXPECT(SENSITIVE, 0x48, 0xcf);
	EXPECT(REGISTER, 0x0f, 0x20, 0xc0); /* mov rax, cr0 */
	EXPECT(REGISTER, 0x0f, 0x21, 0xc0); /* mov rax, dr0 */
}
END_TEST

START_TEST(registers)
{
	EXPECT(OK, 0x41, 0x01, 0xc7);		    /* add r15d, eax */
	EXPECT(REGISTER, 0x41, 0x01, 0xc6);	    /* add r14d, eax */
	EXPECT(REGISTER, 0x41, 0xbd, 0, 0, 0, 0);   /* mov r13d, 0 */
	EXPECT(REGISTER, 0x44, 0x89, 0xf0);	    /* mov eax, r14d: a host address */
	EXPECT(REGISTER, 0x01, 0xe0);		    /* add eax, esp */
	EXPECT(REGISTER, 0x41, 0xff, 0xc4);	    /* inc r12d */
	EXPECT(REGISTER, 0x41, 0x8d, 0x66, 0x08);   /* lea esp, [r14 + 8] */
	EXPECT(HOST_VALUE, 0x41, 0x8d, 0x46, 0x08); /* lea eax, [r14 + 8] */
	EXPECT(WIDTH, 0x48, 0x01, 0xd8);	    /* add rax, rbx */
	EXPECT(WIDTH, 0x48, 0x89, 0xd8);	    /* mov rax, rbx */
	EXPECT(OK, 0x49, 0x89, 0xca);		    /* mov r10, rcx */
	EXPECT(WIDTH, 0x49, 0x89, 0xc2);	    /* mov r10, rax */
	EXPECT(WIDTH, 0x48, 0x8d, 0x04, 0x18);	    /* lea rax, [rax + rbx] */
	EXPECT(OK, 0x8d, 0x04, 0x18);		    /* lea eax, [rax + rbx] */
	EXPECT(HOST_VALUE, 0x41, 0x01, 0xc3);	    /* add r11d, eax: nothing is known of r11 */
	EXPECT(HOST_VALUE, 0x43, 0x8d, 0x04, 0x0a);
	EXPECT(OK, 0x41, 0x89, 0xc3, 0x41, 0x01, 0xdb); /* mov r11d, eax ; add r11d, ebx */
}
END_TEST

START_TEST(windows)
{
	EXPECT(OK, 0x65, 0x67, 0x8b, 0x03);				  /* mov eax, [window ebx] */
	EXPECT(OK, 0x65, 0x67, 0xf0, 0x0f, 0xb1, 0x0b);			  /* lock cmpxchg */
	EXPECT(OK, 0x65, 0x67, 0x41, 0xff, 0x07, 0x65, 0x67, 0xd9, 0x03); /* inc [r15] ; fld */
	EXPECT(OK, 0x65, 0x67, 0x8b, 0x04, 0x25, 0, 0, 0, 0);
	EXPECT(MEMORY, 0x8b, 0x03);		/* mov eax, [rbx] */
	EXPECT(MEMORY, 0x67, 0x8b, 0x03);	/* no 65 */
	EXPECT(MEMORY, 0x65, 0x8b, 0x03);	/* no 67 */
	EXPECT(MEMORY, 0x8b, 0x05, 0, 0, 0, 0); /* rip-relative */
	EXPECT(HOST_VALUE, 0x65, 0x67, 0x8b, 0x05, 0, 0, 0, 0);
	EXPECT(HOST_VALUE, 0x65, 0x67, 0x41, 0x8b, 0x06);	/* [window r14d] */
	EXPECT(HOST_VALUE, 0x65, 0x67, 0x43, 0x8b, 0x04, 0x0b); /* [window r11d + r9d] */
	EXPECT_CHECKED(WINDOW, E(0x65, 0x67, 0x8b, 0x03));
	EXPECT_CHECKED(OK, E(0x8b, 0xc3));
}
END_TEST

START_TEST(vcpu_fields)
{
	EXPECT_CODE(OK, V(seg[SEG_FS].base, 0x45, 0x8b, 0x8e));	  /* mov r9d, [r14 + ...] */
	EXPECT_CODE(OK, V(events, 0x41, 0x8b, 0x8e));		  /* mov ecx */
	EXPECT_CODE(OK, V(fpu_dp, 0x41, 0x89, 0x86));		  /* mov [r14 + ...], eax */
	EXPECT_CODE(OK, V(mask15, 0xc4, 0xc2, 0x7a, 0xf5, 0x86)); /* pext eax, eax, [mask15] */
	EXPECT_CODE(VCPU, V(cr3, 0x41, 0x8b, 0x86));
	EXPECT_CODE(VCPU, V(cpl, 0x41, 0x89, 0x86));
	EXPECT_CODE(VCPU, V(events, 0x41, 0x89, 0x86));		  /* read-only */
	EXPECT_CODE(VCPU, V(window_base, 0x49, 0x89, 0x86));	  /* mov [window_base], rax */
	EXPECT_CODE(VCPU, V(window_base, 0x41, 0x8b, 0x86));	  /* half of it */
	EXPECT_CODE(VCPU, V(seg[SEG_FS].base, 0x4d, 0x8b, 0x8e)); /* base and limit */
	EXPECT_CODE(VCPU, V(fpu_dp, 0x41, 0x01, 0x86));		  /* add [fpu_dp], eax */
	EXPECT_CODE(VCPU, V(cr3, 0xc4, 0xc2, 0x7a, 0xf5, 0x86));  /* pext by CR3 */
	EXPECT_CODE(VCPU, V(fpu_dp, 0x41, 0x89, 0x84, 0x06));	  /* [r14 + rax + ...] */
	EXPECT(OK, 0x41, 0x0f, 0x28, 0x46, 0x01);		  /* movaps xmm0, [r14 + 1]: faults */
	EXPECT(VCPU, 0x41, 0x0f, 0x28, 0x46, 0x00);
	EXPECT(VCPU, 0x41, 0x0f, 0x10, 0x46, 0x01); /* movups does not */
	EXPECT(VCPU, 0x41, 0x0f, 0x29, 0x46, 0x01);
	EXPECT_CODE(OK, {
		E(0x44, 0x8b, 0x0c, 0x25);
		d32((u64)v->tc->poll);
	}); /* mov r9d, [poll] */
	EXPECT_CODE(MEMORY, {
		E(0x44, 0x8b, 0x0c, 0x25);
		d32((u64)v->tc->poll + 4096);
	});
	EXPECT_CODE(MEMORY, {
		E(0x44, 0x89, 0x0c, 0x25);
		d32((u64)v->tc->poll);
	});
}
END_TEST

static void load_sysflags(void)
{
	V(sysflags, 0x45, 0x8b, 0x86);		     /* mov r8d, [sysflags] */
	V(mask_no_if, 0xc4, 0x42, 0x3a, 0xf5, 0x86); /* pext r8d, r8d, [mask_no_if] */
	V(mask_no_if, 0xc4, 0x42, 0x3b, 0xf5, 0x86); /* pdep */
}
static void store_sysflags(void)
{
	V(sysflags, 0x45, 0x89, 0x86); /* mov [sysflags], r8d */
}

START_TEST(flags)
{
	EXPECT_CODE(OK, {
		load_sysflags();
		store_sysflags();
	});
	EXPECT_CODE(OK, {
		load_sysflags();
		E(0x45, 0x8d, 0x80, 0, 2, 0, 0);
		store_sysflags();
	}); /* + IF */
	EXPECT_CODE(FLAGS, {
		load_sysflags();
		E(0x45, 0x8d, 0x80, 0, 0x30, 0, 0);
		store_sysflags();
	}); /* + IOPL */
	EXPECT_CODE(FLAGS, {
		E(0x41, 0x89, 0xc0);
		store_sysflags();
	}); /* of EAX */
	EXPECT_USER(FLAGS, {
		load_sysflags();
		store_sysflags();
	});
	EXPECT_CODE(OK, {
		E(0x41, 0x89, 0xc2, 0x41, 0x81, 0xe2, 0, 2, 0, 0);
		V(sysflags, 0x45, 0x31, 0x96);
	});
	EXPECT_CODE(FLAGS, {
		E(0x41, 0x89, 0xc2, 0x41, 0x81, 0xe2, 0, 0x32, 0, 0);
		V(sysflags, 0x45, 0x31, 0x96);
	});
	EXPECT_USER(FLAGS, {
		E(0x41, 0x89, 0xc2, 0x41, 0x81, 0xe2, 0, 2, 0, 0);
		V(sysflags, 0x45, 0x31, 0x96);
	});
	/* mov r11d, eax ; and r11d, mask ; push r11 ; popfq */
	EXPECT_CODE(OK, {
		E(0x41, 0x89, 0xc3, 0x41, 0x81, 0xe3);
		d32(EFLAGS_HOST);
		E(0x41, 0x53, 0x9d);
	});
	EXPECT_CODE(FLAGS, {
		E(0x41, 0x89, 0xc3, 0x41, 0x81, 0xe3);
		d32(EFLAGS_HOST | EFLAGS_TF);
		E(0x41, 0x53, 0x9d);
	});
	EXPECT(FLAGS, 0x41, 0x89, 0xc3, 0x41, 0x53, 0x9d);
	/* pushfq ; pop r11: only the guest's own may be taken from it */
	EXPECT_CODE(OK, {
		E(0x9c, 0x41, 0x5b);
		V(mask_host, 0xc4, 0x42, 0x22, 0xf5, 0x9e);
		E(0x44, 0x89, 0xd8);
	});
	EXPECT(HOST_VALUE, 0x9c, 0x41, 0x5b, 0x44, 0x89, 0xd8);
	EXPECT_CODE(HOST_VALUE, {
		E(0x9c, 0x41, 0x5b);
		V(mask31, 0xc4, 0x42, 0x22, 0xf5, 0x9e);
	});
}
END_TEST

START_TEST(stack)
{
	EXPECT(OK, 0x9c, 0x41, 0x5b); /* pushfq ; pop r11 */
	EXPECT(STACK, 0x9c);
	EXPECT(STACK, 0x41, 0x5b);
	EXPECT(STACK, 0x50); /* push rax */
	EXPECT(STACK, 0x9c, 0x9c, 0x41, 0x5b, 0x41, 0x5b);
	EXPECT(STACK, 0x9c, 0x58);	    /* pop rax: the host's flags */
	EXPECT(STACK, 0x9c, 0x41, 0x5c);    /* pop r12 */
	EXPECT(REGISTER, 0x83, 0xec, 0x08); /* sub esp, 8 */
	EXPECT(REGISTER, 0x48, 0x83, 0xec, 0x08);
	EXPECT(STACK, 0xff, 0x34, 0x24); /* push [rsp] */
	/* A way with and one without: test eax, eax ; jz +1 ; pushfq */
	EXPECT(STACK, 0x85, 0xc0, 0x74, 0x01, 0x9c, 0x90, 0x41, 0x5b);
}
END_TEST

/* The look-up of operand.c for an access of `n` to [eax]; `last`: displacement of the last byte. rcx is in r10 behind it. */
static void look_up(u8 last, u32 half)
{
	E(0x44, 0x8d, 0x00); /* lea r8d, [rax] */
	E(0x4d, 0x8d, 0x48); /* lea r9, [r8 + last] */
	bytes(&last, 1);
	E(0xc4, 0x42, 0x9b, 0xf7, 0xc9, 0xc4, 0x42, 0x1b, 0xf7, 0xd0, 0x47, 0x8d, 0x0c, 0x11, 0x49, 0x89, 0xca, 0x4b, 0x8b, 0x8c, 0xcd);
	d32(half);
}
/* jrcxz over a way out ; mov r9, rcx ; mov rcx, r10 */
static void test_delta(void)
{
	E(0xe3, 0x02, 0xeb, 0x0e, 0x4c, 0x89, 0xd1); /* jrcxz +2 ; jmp +14 ; mov rcx, r10 */
	leave();
	E(0x49, 0x89, 0xc9, 0x4c, 0x89, 0xd1);
}

START_TEST(look_ups)
{
	EXPECT_CHECKED(OK, {
		look_up(3, 0);
		test_delta();
		E(0x43, 0x8b, 0x04, 0x01);
	}); /* mov eax, [r9 + r8] */
	EXPECT_CHECKED(OK, {
		look_up(3, 0);
		test_delta();
		E(0x66, 0x43, 0x8b, 0x04, 0x01);
	}); /* less of it */
	EXPECT_CHECKED(OK, {
		look_up(3, MMU_WRITE_OFFSET);
		test_delta();
		E(0x43, 0x01, 0x04, 0x01);
	}); /* add [...], eax */
	EXPECT_CHECKED(LOOKUP, {
		look_up(3, 0);
		test_delta();
		E(0x43, 0x01, 0x04, 0x01);
	}); /* the read half */
	EXPECT_CHECKED(LOOKUP, {
		look_up(1, 0);
		test_delta();
		E(0x43, 0x8b, 0x04, 0x01);
	}); /* wider */
	EXPECT_CHECKED(LOOKUP, {
		look_up(3, 0);
		test_delta();
		E(0x43, 0x0f, 0x10, 0x04, 0x01);
	}); /* movups */
	EXPECT_CHECKED(MEMORY, {
		look_up(3, 0);
		test_delta();
		E(0x43, 0x8b, 0x44, 0x01, 0x01);
	}); /* displaced */
	EXPECT_CHECKED(MEMORY, {
		look_up(3, 0);
		test_delta();
		E(0x43, 0x8b, 0x04, 0x41);
	}); /* scaled */
	EXPECT_CHECKED(MEMORY, {
		look_up(3, 0);
		test_delta();
		E(0x41, 0x8b, 0x04, 0x01);
	}); /* [r9 + rax] */
	EXPECT_CHECKED(MEMORY, {
		look_up(3, 0);
		test_delta();
		E(0x41, 0x8b, 0x01);
	}); /* [r9] */
	EXPECT_CHECKED(LOOKUP, {
		look_up(3, 0);
		test_delta();
		E(0x44, 0x8d, 0x03, 0x43, 0x8b, 0x04, 0x01);
	}); /* another r8 */
	/* Without the test for a miss; with the test the wrong way round */
	EXPECT_CHECKED(MEMORY, {
		look_up(3, 0);
		E(0x49, 0x89, 0xc9, 0x4c, 0x89, 0xd1, 0x43, 0x8b, 0x04, 0x01);
	});
	EXPECT_CHECKED(MEMORY, {
		look_up(3, 0);
		E(0xe3, 0x0e, 0x4c, 0x89, 0xd1);
		leave();
		E(0x49, 0x89, 0xc9, 0x4c, 0x89, 0xd1, 0x43, 0x8b, 0x04, 0x01);
	});
	/* The table's own index */
	EXPECT_CHECKED(TABLE, look_up(3, 8));
	EXPECT_CHECKED(TABLE, E(0x4b, 0x8b, 0x4c, 0xcd, 0x00)); /* r9 is anything */
	EXPECT_CHECKED(TABLE, E(0x49, 0x8b, 0x4c, 0xc5, 0x00)); /* [r13 + rax*8] */
	EXPECT_CHECKED(TABLE, E(0x41, 0x89, 0xc1, 0x4b, 0x8b, 0x4c, 0xcd, 0x00));
	EXPECT_CHECKED(REGISTER, E(0xc4, 0xe2, 0x7b, 0xf7, 0xc3)); /* shrx by eax, into eax */
	/* Where the delta may not stay: in the guest's ECX */
	EXPECT_CHECKED(HOST_VALUE, look_up(3, 0));
	EXPECT_CHECKED(HOST_VALUE, {
		look_up(3, 0);
		E(0x89, 0xc8);
	}); /* mov eax, ecx */
}
END_TEST

static void miss(void (*thunk)(void), u32 number)
{
	E(0x44, 0x8d, 0x00, 0x41, 0xb9); /* lea r8d, [rax] ; mov r9d, number */
	d32(number);
	call(thunk);
}

START_TEST(bounces)
{
	/* call miss ; jmp +9 ; add [r9 + r8], eax ; call commit ; jmp .. */
	EXPECT_CHECKED(OK, {
		miss(thunk_miss_write0, meta());
		E(0xe9, 9, 0, 0, 0, 0x43, 0x01, 0x04, 0x01);
		call(thunk_commit0);
	});
	EXPECT_CHECKED(COMMIT, {
		miss(thunk_miss_write0, meta());
		E(0xe9, 9, 0, 0, 0, 0x43, 0x01, 0x04, 0x01);
		call(thunk_commit1);
	});
	EXPECT_CHECKED(COMMIT, call(thunk_commit0));
	EXPECT_CHECKED(COMMIT, { /* never */
				 miss(thunk_miss_write0, meta());
				 E(0xe9, 4, 0, 0, 0, 0x43, 0x01, 0x04, 0x01);
	});
	EXPECT_CHECKED(LOOKUP, { /* movups: more than was asked for */
				 miss(thunk_miss_write0, meta());
				 E(0xe9, 10, 0, 0, 0, 0x43, 0x0f, 0x11, 0x04, 0x01);
				 call(thunk_commit0);
	});
	EXPECT_CHECKED(COMMIT, { /* another miss before the commit */
				 miss(thunk_miss_write0, meta());
				 E(0xe9, 31, 0, 0, 0);
				 miss(thunk_miss_write0, meta());
				 E(0xe9, 5, 0, 0, 0);
				 call(thunk_commit0);
				 call(thunk_commit0);
	});
}
END_TEST

START_TEST(thunks)
{
	struct tu_insn *in = &v->tc->insns[0];
	EXPECT_CODE(THUNK, miss(thunk_miss0, meta())); /* writes, so it may bounce */
	EXPECT_CODE(OK, {
		in->access[0] = 4 | ACCESS_READ;
		miss(thunk_miss0, meta());
		E(0x43, 0x8b, 0x04, 0x01);
	});
	EXPECT_CODE(LOOKUP, {
		in->access[0] = 2 | ACCESS_READ;
		miss(thunk_miss0, meta());
		E(0x43, 0x8b, 0x04, 0x01);
	});
	EXPECT_CODE(LOOKUP, {
		in->access[0] = 4 | ACCESS_READ;
		miss(thunk_miss0, meta());
		E(0x43, 0x89, 0x04, 0x01);
	});
	EXPECT_CODE(THUNK, {
		in->access[0] = 0;
		miss(thunk_miss0, meta());
	});
	EXPECT_CODE(THUNK, {
		in->access[0] = 4 | ACCESS_READ;
		miss(thunk_miss0, meta() + 1);
	});
	EXPECT_CODE(THUNK, {
		in->access[0] = 4 | ACCESS_READ;
		miss(thunk_miss0, meta() + 256);
	});
	EXPECT_CODE(OK, {
		v->tc->emu_count = 9;
		E(0x41, 0xb8, 8, 0, 0, 0, 0x41, 0xb9);
		d32(meta());
		call(thunk_callout);
	});
	EXPECT_CODE(THUNK, {
		v->tc->emu_count = 9;
		E(0x41, 0xb8, 6, 0, 0, 0, 0x41, 0xb9);
		d32(meta());
		call(thunk_callout);
	});
	EXPECT_CODE(THUNK, {
		v->tc->emu_count = 9;
		E(0x41, 0xb8, 9, 0, 0, 0, 0x41, 0xb9);
		d32(meta());
		call(thunk_callout);
	});
	EXPECT_CODE(THUNK, {
		E(0x41, 0x89, 0xc0, 0x41, 0xb9);
		d32(meta());
		call(thunk_callout);
	});
	EXPECT_CODE(OK, {
		E(0x41, 0x89, 0xc0, 0x41, 0xb9);
		d32(meta());
		call(thunk_seg1);
	});
	/* Scratch registers are gone afterwards; a call with the stack out of balance */
	EXPECT_CODE(HOST_VALUE, {
		E(0x41, 0x89, 0xc0, 0x41, 0xb9);
		d32(meta());
		call(thunk_seg1);
		E(0x44, 0x89, 0xc8);
	});
	EXPECT_CODE(STACK, {
		E(0x9c, 0x41, 0x89, 0xc0, 0x41, 0xb9);
		d32(meta());
		call(thunk_seg1);
		E(0x41, 0x5b);
	});
	/* Leaving without an EIP */
	EXPECT_CODE(THUNK, jmp(thunk_exit_jc));
	EXPECT_CODE(OK, {
		E(0x41, 0xb8, 0, 0, 0, 0);
		jmp(thunk_sti_exit);
	});
	EXPECT_CODE(THUNK, {
		E(0x41, 0xb8, 0, 0, 0, 0);
		jmp(thunk_head_miss);
	});
	EXPECT_CODE(OK, {
		E(0x41, 0xb8, 0, 0, 0, 0, 0x49, 0x89, 0xca);
		jmp(thunk_head_miss);
	});
	EXPECT_CODE(THUNK, {
		E(0x41, 0xb9, 1, 0, 0, 0);
		jmp(thunk_exit_chain);
	});
}
END_TEST

START_TEST(strings)
{
	EXPECT_CODE(OK, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x49, 0x8d, 0x34, 0x33, 0x49, 0x8d, 0x3c, 0x3b, 0xf3, 0xa5, 0x89, 0xf6, 0x89, 0xff);
	});
	EXPECT_CODE(OK, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x49, 0x8d, 0x3c, 0x3b, 0xf3, 0x66, 0xab, 0x89, 0xff);
	});
	EXPECT(STRING, 0xf3, 0xa5);
	EXPECT(STRING, 0xaa);
	EXPECT_CODE(STRING, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x49, 0x8d, 0x34, 0x33, 0xf3, 0xa5, 0x89, 0xf6);
	});
	/* Left biased; copied elsewhere while it is; used again */
	EXPECT_CODE(HOST_VALUE, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x49, 0x8d, 0x3c, 0x3b, 0xab);
	});
	EXPECT_CODE(HOST_VALUE, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x49, 0x8d, 0x3c, 0x3b, 0xab, 0x89, 0xf8, 0x89, 0xff);
	});
	EXPECT_CODE(STRING, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x49, 0x8d, 0x3c, 0x3b, 0xab, 0xab, 0x89, 0xff);
	});
	/* [window + 2*rdi], window + rax, window itself, 64-bit elements */
	EXPECT_CODE(WIDTH, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x49, 0x8d, 0x3c, 0x7b, 0xab, 0x89, 0xff);
	});
	EXPECT_CODE(WIDTH, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x49, 0x8d, 0x3c, 0x03, 0xab, 0x89, 0xff);
	});
	EXPECT_CODE(WIDTH, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x4c, 0x89, 0xdf, 0xab, 0x89, 0xff);
	});
	EXPECT_CODE(UNLISTED, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x49, 0x8d, 0x3c, 0x3b, 0x48, 0xab, 0x89, 0xff);
	});
	EXPECT_CODE(PREFIX, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x49, 0x8d, 0x3c, 0x3b, 0x67, 0xab, 0x89, 0xff);
	});
	EXPECT_CHECKED(WINDOW, {
		V(window_base, 0x4d, 0x8b, 0x9e);
		E(0x49, 0x8d, 0x3c, 0x3b, 0xab, 0x89, 0xff);
	});
}
END_TEST

static void jump_cache(u8 scale_index, s32 displacement)
{
	V(jc, 0x4d, 0x8b, 0x96); /* mov r10, [jc] */
	E(0x47, 0x8b, 0x0c);	 /* mov r9d, [r10 + r8*4] */
	bytes(&scale_index, 1);
	E(0x4d, 0x8d, 0x89); /* lea r9, [r9 + thunk_exit_jc] */
	d32((u64)thunk_exit_jc + (u64)displacement);
}

START_TEST(transfers)
{
	EXPECT_CODE(OK, {
		E(0x41, 0x89, 0xc0);
		jump_cache(0x82, 0);
		E(0x41, 0xff, 0xe1);
	});
	EXPECT_CODE(TABLE, {
		E(0x41, 0x89, 0xc0);
		jump_cache(0xc2, 0);
		E(0x41, 0xff, 0xe1);
	}); /* scale 8 */
	EXPECT_CODE(WIDTH, {
		E(0x41, 0x89, 0xc0);
		jump_cache(0x82, 1);
		E(0x41, 0xff, 0xe1);
	});
	EXPECT_CODE(TRANSFER, {
		E(0x41, 0x89, 0xc0);
		jump_cache(0x82, 0);
		E(0x41, 0xff, 0xe0);
	});					 /* jmp r8 */
	EXPECT_CODE(TABLE, jump_cache(0x82, 0)); /* r8 is nothing */
	EXPECT(TRANSFER, 0xff, 0xe0);		 /* jmp rax */
	EXPECT(TRANSFER, 0xff, 0xd0);		 /* call rax */
	EXPECT(PREFIX, 0x65, 0x67, 0xff, 0x23);	 /* jmp [window ebx] */
	EXPECT(OK, 0xeb, 0x01, 0x90, 0x90);	 /* jmp +1 */
	EXPECT(OK, 0x0f, 0x84, 1, 0, 0, 0, 0x90, 0x90);
	EXPECT(TRANSFER, 0xe9, 0, 0x10, 0, 0); /* out of the TU */
	EXPECT(TRANSFER, 0x0f, 0x84, 0, 0xf0, 0xff, 0xff);
	EXPECT_CODE(TRANSFER, call(thunk_exit_jc));
	EXPECT_CODE(TRANSFER, jmp(thunk_miss0));
	EXPECT_CODE(TRANSFER, {
		E(0xe8);
		rel((u64)translate);
	});
	EXPECT_CODE(TRANSFER, {
		E(0xe8);
		rel((u64)thunk_callout + 1);
	});
	EXPECT(TRANSFER, 0xe8, 0, 0, 0, 0);
	EXPECT_CODE(TRANSFER, {
		E(0x41, 0xb8, 0, 0, 0, 0, 0x0f, 0x84);
		rel((u64)thunk_exit_jc);
	});							   /* jz thunk */
	EXPECT(PREFIX, 0x66, 0xe9, 0, 0, 0, 0);			   /* 16 bits on some CPUs */
	EXPECT(OVERLAP, 0x74, 0x01, 0xb8, 0x90, 0x90, 0x90, 0x90); /* jz into the mov */
	EXPECT(LOOP, 0x75, 0xfe);
	EXPECT(LOOP, 0x90, 0x85, 0xc0, 0x75, 0xfb);
	EXPECT(OK, 0x67, 0xe3, 0x00);
	EXPECT(OK, 0x67, 0xe2, 0x00);
	EXPECT(WIDTH, 0xe2, 0x00); /* loop in rcx */
	/* jrcxz into the NOP whose end is a jump; into any other NOP */
	EXPECT(OK, 0xe3, 0x03, 0x0f, 0x1f, 0x84, 0xe9, 0, 0, 0, 0);
	EXPECT(OVERLAP, 0xe3, 0x03, 0x0f, 0x1f, 0x84, 0x90, 0, 0, 0, 0);
	begin(DIRECT);
	E(0x90);
	ck_assert_int_eq(verdict(), VERIFY_END);
	begin(DIRECT);
	E(0x0f, 0x84, 0, 0, 0, 0);
	ck_assert_int_eq(verdict(), VERIFY_END);
}
END_TEST

/* A TU that is one direct exit: [poll] jmp stub ; stub: mov r9d, exit + 1 ; jmp thunk_exit_chain */
static struct tu_exit *exit_tu(u32 target_eip, bool poll)
{
	begin(DIRECT);
	struct tu_exit *x = &v->tc->exits[v->tc->exit_count++];
	*x = (struct tu_exit){.target_eip = target_eip, .tu = tu_index(v->tc, tu)};
	tu->exit_count = 1;
	if (poll) {
		x->poll = rx();
		E(0x44, 0x8b, 0x0c, 0x25);
		d32((u64)v->tc->poll);
	}
	E(0xe9);
	x->site = rx();
	d32(0);
	x->stub = rx();
	E(0x41, 0xb9, 1, 0, 0, 0);
	jmp(thunk_exit_chain);
	return x;
}

START_TEST(exits)
{
	struct tu_exit *x;
	exit_tu(EIP + 5, false);
	ck_assert_int_eq(verdict(), VERIFY_OK);
	exit_tu(EIP, true);
	ck_assert_int_eq(verdict(), VERIFY_OK);
	exit_tu(EIP, false);
	ck_assert_int_eq(verdict(), VERIFY_POLL);
	x = exit_tu(EIP, true);
	x->poll++;
	ck_assert_int_eq(verdict(), VERIFY_POLL);
	x = exit_tu(EIP + 5, false);
	x->site++;
	ck_assert_int_eq(verdict(), VERIFY_EXIT);
	x = exit_tu(EIP + 5, false);
	x->stub++;
	ck_assert_int_eq(verdict(), VERIFY_EXIT);
	x = exit_tu(EIP + 5, false);
	tu->exit_count = 0;
	ck_assert_int_eq(verdict(), VERIFY_THUNK);
	x = exit_tu(EIP + 5, false);
	x->tu++;
	ck_assert_int_eq(verdict(), VERIFY_EXIT);
}
END_TEST

/* Two ways meet: what is not true of both is not known behind. */
START_TEST(joins)
{
	/* mov r11d, eax on one of the ways only, on both */
	EXPECT(HOST_VALUE, 0x74, 0x03, 0x41, 0x89, 0xc3, 0x90, 0x44, 0x89, 0xd8);
	EXPECT(OK, 0x74, 0x05, 0x41, 0x89, 0xc3, 0xeb, 0x03, 0x41, 0x89, 0xdb, 0x44, 0x89, 0xd8);
	/* r8 is another value on one way, and the look-up was for the first */
	EXPECT_CHECKED(LOOKUP, {
		look_up(3, 0);
		test_delta();
		E(0x74, 0x03, 0x44, 0x8d, 0x03, 0x43, 0x8b, 0x04, 0x01);
	});
	EXPECT_CHECKED(OK, {
		look_up(3, 0);
		test_delta();
		E(0x74, 0x03, 0x0f, 0x1f, 0x00, 0x43, 0x8b, 0x04, 0x01);
	});
}
END_TEST

/* A translated TU is right; its chains are checked as they are made. */
START_TEST(chains)
{
	static const u8 loop[] = {0x40, 0x75, 0xfd, 0xeb, 0x00, 0x40, 0xeb, 0xfe};
	put_bytes(EIP, loop, sizeof(loop));
	struct tu *made[2];
	for (unsigned i = 0; i < 2; i++) {
		v->eip = EIP + 5 * i;
		v->mode = mode_compute(v);
		made[i] = translate(v, v->eip);
		ck_assert(verify_tu(v, made[i], v->tc->emu_count, &why));
	}
	struct tu_exit *x = NULL;
	for (u32 i = 0; i < made[0]->exit_count; i++)
		if (v->tc->exits[made[0]->exits + i].target_eip == EIP + 5)
			x = &v->tc->exits[made[0]->exits + i];
	ck_assert_ptr_nonnull(x);
	tu_chain(v, x, made[1]);
	ck_assert_int_eq(verify_chain(v, x), VERIFY_OK);
	u32 *site = (u32 *)(v->tc->rw + (x->site - (u32)(u64)v->tc->rx));
	*site += 1;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_TRANSFER);
	*site -= 1;
	made[1]->mode ^= MODE_DIRECT;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_EXIT);
	made[1]->mode ^= MODE_DIRECT;
	made[1]->pa += PAGE_SIZE;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_EXIT);
	made[1]->pa -= PAGE_SIZE;
	made[1]->flags |= TU_DEAD;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_EXIT);
	made[1]->flags &= ~TU_DEAD;
	ck_assert_int_eq(verify_chain(v, x), VERIFY_OK);
}
END_TEST

/* Every rule has a name and words. */
START_TEST(names)
{
	for (int r = VERIFY_OK + 1; r < VERIFY_RULE_COUNT; r++) {
		ck_assert_ptr_nonnull(verify_rule_name(r));
		ck_assert_uint_gt(strlen(verify_rule_text(r)), 10);
	}
}
END_TEST

Suite *verify_suite(void)
{
	Suite *s = suite_create("verify");
	TCase *t = tcase_create("rules");
	tcase_add_checked_fixture(t, set_up, machine_destroy);
	tcase_add_test(t, decoding);
	tcase_add_test(t, forbidden);
	tcase_add_test(t, the_seventeen);
	tcase_add_test(t, registers);
	tcase_add_test(t, windows);
	tcase_add_test(t, vcpu_fields);
	tcase_add_test(t, flags);
	tcase_add_test(t, stack);
	tcase_add_test(t, look_ups);
	tcase_add_test(t, bounces);
	tcase_add_test(t, thunks);
	tcase_add_test(t, strings);
	tcase_add_test(t, transfers);
	tcase_add_test(t, exits);
	tcase_add_test(t, joins);
	tcase_add_test(t, chains);
	tcase_add_test(t, names);
	suite_add_tcase(s, t);
	return s;
}
