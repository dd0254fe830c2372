/*
 * Opcode forms, see opcodes.h.
 *
 * A key is prefix << 18 | map << 16 | opcode << 8 | ModRM.
 */
#include "translator/opcodes.h"

static const u8 prefixes[4] = {0, 0x66, 0xf2, 0xf3};

void opcode_decoder(ZydisDecoder *d)
{
	ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_TZCNT, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
}

unsigned opcode_put(u8 *p, const struct opcode_form *f)
{
	unsigned n = 0;

	if (f->map)
		p[n++] = 0x0f;
	if (f->map == 2)
		p[n++] = 0x38;
	if (f->map == 3)
		p[n++] = 0x3a;
	p[n++] = f->opcode;
	return n;
}

/* Register forms of x87 opcodes and of groups with fixed encodings differ by rm as well. */
static bool is_rm_significant(u8 map, u8 opcode)
{
	return (!map && opcode >= 0xd8 && opcode <= 0xdf) || (map == 1 && (opcode == 0x01 || opcode == 0xae));
}

static bool decode_form(const ZydisDecoder *d, const struct opcode_form *f, ZydisDecodedInstruction *in, ZydisDecodedOperand *ops)
{
	u8 bytes[16] = {0};
	unsigned n = 0;

	if (f->prefix)
		bytes[n++] = f->prefix;
	n += opcode_put(bytes + n, f);
	bytes[n] = f->modrm;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(d, bytes, 15, in, ops)) || in->opcode != f->opcode ||
	    in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	for (unsigned k = 0; k < in->raw.prefix_count; k++)
		if (in->raw.prefixes[k].type == ZYDIS_PREFIX_TYPE_IGNORED)
			return false;
	return true;
}

static void forms_of_opcode(const ZydisDecoder *d, u8 map, u8 prefix, u8 opcode, opcode_form_fn *fn, void *opaque)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	for (unsigned memory = 0; memory < 2; memory++) {
		for (unsigned reg = 0; reg < 8; reg++) {
			struct opcode_form f = {.map = map, .prefix = prefix, .opcode = opcode, .memory = memory};
			unsigned rms = !memory && is_rm_significant(map, opcode) ? 8 : 1;

			f.fixed_rm = rms == 8;
			for (unsigned rm = 0; rm < rms; rm++) {
				f.modrm = (u8)((memory ? 0 : 0xc0) | reg << 3 | (memory ? 3 : rm));
				if (!decode_form(d, &f, &in, ops))
					continue;
				f.has_modrm = in.attributes & ZYDIS_ATTRIB_HAS_MODRM;
				fn(opaque, &f, &in, ops);
				if (!f.has_modrm)
					return;
			}
		}
	}
}

static bool is_prefix_byte(unsigned b)
{
	return b == 0x0f || b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || (b >= 0x64 && b <= 0x67) || b == 0xf0 || b == 0xf2 ||
	       b == 0xf3;
}

void opcode_forms(const ZydisDecoder *d, opcode_form_fn *fn, void *opaque)
{
	for (unsigned map = 0; map < 4; map++)
		for (unsigned p = 0; p < sizeof(prefixes); p++)
			for (unsigned opcode = 0; opcode < 256; opcode++)
				if (map || !is_prefix_byte(opcode))
					forms_of_opcode(d, (u8)map, prefixes[p], (u8)opcode, fn, opaque);
}

static unsigned prefix_of(const ZydisDecodedInstruction *in, bool wide)
{
	bool p66 = false, mandatory = false;
	/* Before LOCK, F2 and F3 are hints of an extension that is not offered. */
	bool elided = in->attributes & (ZYDIS_ATTRIB_HAS_XACQUIRE | ZYDIS_ATTRIB_HAS_XRELEASE);

	for (unsigned k = 0; k < in->raw.prefix_count; k++) {
		if (in->raw.prefixes[k].type == ZYDIS_PREFIX_TYPE_IGNORED)
			continue;
		if (in->raw.prefixes[k].value == 0xf2 && !elided)
			return 2;
		if (in->raw.prefixes[k].value == 0xf3 && !elided)
			return 3;
		if (in->raw.prefixes[k].value == 0x66) {
			p66 = true;
			mandatory = in->raw.prefixes[k].type == ZYDIS_PREFIX_TYPE_MANDATORY;
		}
	}
	return wide || mandatory ? p66 : in->operand_width == 16;
}

/* Whether ModRM.reg only names a general, MMX or XMM register. */
static bool is_reg_free(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	for (unsigned k = 0; k < in->operand_count; k++) {
		if (ops[k].type != ZYDIS_OPERAND_TYPE_REGISTER || ops[k].encoding != ZYDIS_OPERAND_ENCODING_MODRM_REG)
			continue;
		switch (ZydisRegisterGetClass(ops[k].reg.value)) {
		case ZYDIS_REGCLASS_GPR8:
		case ZYDIS_REGCLASS_GPR16:
		case ZYDIS_REGCLASS_GPR32:
		case ZYDIS_REGCLASS_MMX:
		case ZYDIS_REGCLASS_XMM:
			return true;
		default:
			return false;
		}
	}
	return false;
}

u32 opcode_key(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops, bool wide)
{
	u8 map = in->opcode_map == ZYDIS_OPCODE_MAP_0F	   ? 1
		 : in->opcode_map == ZYDIS_OPCODE_MAP_0F38 ? 2
		 : in->opcode_map == ZYDIS_OPCODE_MAP_0F3A ? 3
							   : 0;
	u32 modrm = 0;

	if (in->attributes & ZYDIS_ATTRIB_HAS_MODRM) {
		u32 reg = is_reg_free(in, ops) ? 0 : in->raw.modrm.reg;
		u32 rm = is_rm_significant(map, in->opcode) ? in->raw.modrm.rm : 0;
		bool memory = in->raw.modrm.mod != 3;

		modrm = (memory ? 3 : 0xc0 | rm) | reg << 3;
	}
	return prefix_of(in, wide) << 18 | (u32)map << 16 | (u32)in->opcode << 8 | modrm;
}

unsigned opcode_of_key(u32 key, u8 *p)
{
	struct opcode_form f = {.map = (u8)(key >> 16 & 3), .opcode = (u8)(key >> 8)};
	unsigned n = 0;

	if (key >> 18)
		p[n++] = prefixes[key >> 18 & 3];
	n += opcode_put(p + n, &f);
	p[n++] = (u8)key;
	return n;
}

void opcode_print(FILE *f, const ZydisDecoder *d, u32 key, const char *who)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	u8 bytes[16] = {0};
	unsigned n = opcode_of_key(key, bytes);
	bool known = ZYAN_SUCCESS(ZydisDecoderDecodeFull(d, bytes, 15, &in, ops));

	fprintf(f, "insn ");
	for (unsigned k = 0; k < n; k++)
		fprintf(f, "%02x", bytes[k]);
	fprintf(f, " %s %s\n", who, known ? ZydisMnemonicGetString(in.mnemonic) : "?");
}
