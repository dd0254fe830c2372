/* Decoding with a memo (see decode.h). */
#include "translator/decode.h"

#include <string.h>

#include "monitor/cpuid.h"

#define MAX_PREFIXES 3
/* The key's top byte: its length, and whether the code is 32-bit. So a key has seven bytes at most, and is not 0. */
#define KEY_BYTES 7
#define KEY_WIDE  0x80

static void init(ZydisDecoder *z, bool wide, u64 features)
{
	ZydisDecoderInit(z, wide ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
			 wide ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
	/* What is not offered decodes as it did before it existed. */
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_TZCNT, ZYAN_FALSE);
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
	if (!(features & CPUF_LZCNT))
		ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_LZCNT, ZYAN_FALSE);
}

void decoder_set_features(struct decoder *d, u64 features)
{
	u64 key = (features & CPUF_LZCNT) | 1;

	if (d->features == key)
		return;
	d->features = key;
	for (unsigned i = 0; i < DECODE_FORMS; i++)
		d->form[i].key = 0;
	init(&d->zydis[0], false, features);
	init(&d->zydis[1], true, features);
}

/* ---- keys ---- */

/* Whether an opcode is followed by ModRM: a row for each high nibble. One row too many costs an entry, one too few is refused by learn().
 */
static const u16 modrm_one[16] = {0x0f0f, 0x0f0f, 0x0f0f, 0x0f0f, 0, 0, 0x0a0c, 0, 0xffff, 0, 0, 0, 0x00f3, 0xff0f, 0, 0xc0c0};
static const u16 modrm_0f[16] = {0xa00f, 0xffff, 0xffff, 0,	 0xffff, 0xffff, 0xffff, 0xff7f,
				 0,	 0xffff, 0xf8f8, 0xffff, 0x00ff, 0xffff, 0xffff, 0xffff};

static const u16 prefixes[16] = {[2] = 0x4040, [3] = 0x4040, [6] = 0x00f0, [15] = 0x000d};

static bool in_map(const u16 map[16], u8 opcode)
{
	return map[opcode >> 4] >> (opcode & 15) & 1;
}

/* The key of the instruction at p, of which DECODE_BYTES bytes are there; 0: it has none. */
static u64 key_of(const u8 *p, bool wide)
{
	const u8 *q = p;
	bool narrow = !wide, modrm;
	u64 bytes;

	while (unlikely(in_map(prefixes, *q))) {
		if (q - p == MAX_PREFIXES)
			return 0;
		narrow = *q == 0x67 ? wide : narrow;
		q++;
	}
	if (*q == 0x0f) {
		q++;
		modrm = in_map(modrm_0f, *q);
		if (*q == 0x38 || *q == 0x3a) {
			q++;
			modrm = true;
		}
	} else {
		modrm = in_map(modrm_one, *q);
	}
	q++;
	if (modrm) {
		u8 m = *q++;
		if (!narrow && m < 0xc0 && (m & 7) == 4)
			q++;
	}
	u32 n = (u32)(q - p);
	if (n > KEY_BYTES)
		return 0;
	memcpy(&bytes, p, sizeof(bytes));
	return (bytes & (~0ull >> (64 - 8 * n))) | (u64)(n | (wide ? KEY_WIDE : 0)) << 56;
}

static u32 key_length(u64 key)
{
	return (u32)(key >> 56) & ~(u32)KEY_WIDE;
}

static u32 hash(u64 key)
{
	return (u32)((key * 0x9e3779b97f4a7c15ull) >> 40) & (DECODE_FORMS - 1);
}

/* ---- numbers ---- */

/* A number of 1, 2 or 4 bytes; the four from its first one on are there. */
static u64 read_number(const u8 *code, const struct decode_number *n)
{
	unsigned shift = 32 - 8 * n->size;
	u32 x;

	memcpy(&x, code + n->offset, sizeof(x));
	x <<= shift;
	return n->is_signed ? (u64)(s64)((s32)x >> shift) : x >> shift;
}

static void put_immediate(struct decode_form *f, ZydisDecodedInstruction *in, const u8 *code, unsigned k)
{
	u64 x = read_number(code, &f->imm[k]);

	in->raw.imm[k].value.u = x;
	if (f->imm[k].operand < DECODE_OPS)
		f->ops[f->imm[k].operand].imm.value.u = x;
}

static void put_numbers(struct decode_form *f, ZydisDecodedInstruction *in, const u8 *code)
{
	if (f->disp.size) {
		u64 x = read_number(code, &f->disp);
		in->raw.disp.value = (s64)x;
		if (f->disp.operand < DECODE_OPS)
			f->ops[f->disp.operand].mem.disp.value = (s64)x;
	}
	if (f->imm[0].size)
		put_immediate(f, in, code, 0);
	if (f->imm[1].size)
		put_immediate(f, in, code, 1);
}

/* ---- learning ---- */

static bool is_number(unsigned size)
{
	return size == 0 || size == 1 || size == 2 || size == 4;
}

/* Finds whose the numbers are. False if an operand's value is none of them as it stands. */
static bool find_operands(struct decode_form *f, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	unsigned imms = 0;

	for (u8 i = 0; i < in->operand_count; i++) {
		const ZydisDecodedOperand *op = &ops[i];
		switch (op->type) {
		case ZYDIS_OPERAND_TYPE_POINTER:
			return false;
		case ZYDIS_OPERAND_TYPE_MEMORY:
			if (!op->mem.disp.has_displacement)
				break;
			if (!f->disp.size || f->disp.operand != DECODE_OPS || op->mem.disp.value != in->raw.disp.value)
				return false;
			f->disp.operand = i;
			break;
		case ZYDIS_OPERAND_TYPE_IMMEDIATE:
			/* The 1 of a shift by one is nowhere in its bytes. */
			if (op->encoding == ZYDIS_OPERAND_ENCODING_NONE)
				break;
			if (imms == 2 || !f->imm[imms].size || op->imm.value.u != in->raw.imm[imms].value.u)
				return false;
			f->imm[imms++].operand = i;
			break;
		default:
			break;
		}
	}
	return true;
}

/* Keeps what Zydis said, if it is all in key and numbers. */
static void learn(struct decode_form *f, u64 key, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	u32 length = key_length(key);

	if (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || in->operand_count > DECODE_OPS)
		return;
	f->key = 0;
	f->disp = (struct decode_number){in->raw.disp.offset, (u8)(in->raw.disp.size / 8), DECODE_OPS, true};
	for (unsigned k = 0; k < 2; k++)
		f->imm[k] =
			(struct decode_number){in->raw.imm[k].offset, (u8)(in->raw.imm[k].size / 8), DECODE_OPS, in->raw.imm[k].is_signed};
	if (!is_number(f->disp.size) || !is_number(f->imm[0].size) || !is_number(f->imm[1].size) ||
	    length + f->disp.size + f->imm[0].size + f->imm[1].size != in->length || !find_operands(f, in, ops))
		return;
	f->key = key;
	f->in = *in;
	memcpy(f->ops, ops, in->operand_count * sizeof(*ops));
}

ZyanStatus decoder_decode(struct decoder *d, bool wide, const u8 *code, u32 avail, ZydisDecodedInstruction *in, ZydisDecodedOperand **ops)
{
	u64 key = avail >= DECODE_BYTES ? key_of(code, wide) : 0;
	struct decode_form *f = &d->form[hash(key)];

	if (likely(key && f->key == key)) {
		*in = f->in;
		*ops = f->ops;
		put_numbers(f, in, code);
		return ZYAN_STATUS_SUCCESS;
	}
	*ops = d->ops;
	d->misses++;
	ZyanStatus s = ZydisDecoderDecodeFull(&d->zydis[wide], code, MIN(avail, DECODE_BYTES), in, d->ops);
	if (key && ZYAN_SUCCESS(s))
		learn(f, key, in, d->ops);
	return s;
}

bool decoder_fits(const struct decoder *d, bool wide, const u8 *code, u32 avail)
{
	ZydisDecodedInstruction in;

	return avail >= DECODE_BYTES || ZydisDecoderDecodeInstruction(&d->zydis[wide], NULL, code, avail, &in) != ZYDIS_STATUS_NO_MORE_DATA;
}
