#!/usr/bin/env python3
"""Makes a file of symbols for gdb out of a 32-bit Linux kernel that has none.

  scripts/ksyms.py vmlinuz OUT.elf             out of the kernel's own table (CONFIG_KALLSYMS) and its exports, without its being run
  scripts/ksyms.py --proc kallsyms OUT.elf     out of what a guest's /proc/kallsyms says (read as root)

gdb takes it by `symbol-file OUT.elf`. A kernel that moves itself (CONFIG_RANDOMIZE_BASE) wants `nokaslr` on its command line, or --proc, or
gdb's `symbol-file -o OFFSET`.
"""

import argparse
import array
import bz2
import gzip
import lzma
import re
import struct
import sys
import zlib

SHN_ABS = 0xfff1


def fail(text):
    sys.exit(f"ksyms: {text}")


# --- the kernel out of its bzImage ---

def unlz4(data):
    """The legacy format that kernels use: a magic number, then blocks with their length in front."""
    out = bytearray()
    at = 4
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if not size or at + size > len(data):
            break
        end = at + size
        start = len(out)
        while at < end:
            token = data[at]
            at += 1
            n = token >> 4
            while n >= 15 and (n - 15) % 255 == 0 and data[at] == 255:
                n += 255
                at += 1
            if n >= 15:
                n += data[at]
                at += 1
            out += data[at:at + n]
            at += n
            if at >= end:
                break
            offset = data[at] | data[at + 1] << 8
            at += 2
            n = token & 15
            while n >= 15 and (n - 15) % 255 == 0 and data[at] == 255:
                n += 255
                at += 1
            if n >= 15:
                n += data[at]
                at += 1
            if not offset or offset > len(out) - start + 65536:
                fail("a broken lz4 stream")
            for _ in range(n + 4):
                out.append(out[-offset])
    return bytes(out)


def decompress(data):
    kinds = [
        (b"\xfd7zXZ\0", lambda d: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(d)),
        (b"\x1f\x8b", lambda d: zlib.decompressobj(31).decompress(d)),
        (b"BZh", lambda d: bz2.BZ2Decompressor().decompress(d)),
        (b"\x5d\0\0", lambda d: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(d)),
        (b"\x02\x21\x4c\x18", unlz4),
    ]
    for magic, function in kinds:
        if data.startswith(magic):
            return function(data)
    fail("the kernel is compressed in a way that is not known here (zstd, lzo?): take --proc")


def kernel_image(path):
    with open(path, "rb") as f:
        data = f.read()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if data[:4] == b"\x7fELF":
        return data
    if len(data) < 0x250 or data[0x202:0x206] != b"HdrS":
        fail(f"{path} is neither a bzImage nor an ELF file")
    (version,) = struct.unpack_from("<H", data, 0x206)
    if version < 0x208:
        fail(f"{path}: boot protocol {version >> 8}.{version & 255} does not tell where the kernel is")
    payload, length = struct.unpack_from("<II", data, 0x248)
    start = ((data[0x1f1] or 4) + 1) * 512 + payload
    return decompress(data[start:start + length])


# --- kallsyms, kernel/kallsyms.c and scripts/kallsyms.c of Linux ---

def token_table(image):
    """The 256 tokens and where the index behind them ends. Characters that occur stand for themselves: the digits are looked for."""
    index_of_zero = ord("0")
    for match in re.finditer(rb"\x000\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00", image):
        start = match.start() + 1
        for _ in range(index_of_zero):
            start = image.rfind(b"\0", max(start - 130, 0), start - 1) + 1
            if start <= 0:
                break
        else:
            tokens, offsets, at = [], [], start
            for _ in range(256):
                end = image.find(b"\0", at, at + 130)
                if end < 0:
                    break
                offsets.append(at - start)
                tokens.append(image[at:end])
                at = end + 1
            if len(tokens) < 256:
                continue
            index = struct.pack("<256H", *offsets)
            for pad in range(16):
                if image[at + pad:at + pad + 512] == index:
                    return tokens, at + pad + 512
            # The search for the start took an empty token for the end of another: try from where the index is.
    fail("there is no symbol table in the kernel (CONFIG_KALLSYMS)")


def name_at(image, at, tokens):
    n = image[at]
    at += 1
    if n & 0x80:
        n = n & 0x7f | image[at] << 7
        at += 1
    return b"".join(tokens[c] for c in image[at:at + n]), at + n


GOOD_NAME = re.compile(rb"^[A-Za-z?][A-Za-z_.$][\w.$]*$")


def ends_in_markers(image, start, n):
    """Behind n names there must be the table of where each 256th begins."""
    at = start
    for i in range(n):
        if i == 256:
            second = at - start
        if at + 1 >= len(image):
            return False
        size = image[at]
        at += 1
        if size & 0x80:
            size = size & 0x7f | image[at] << 7
            at += 1
        at += size
    at = (at + 3) & ~3
    return image[at:at + 8] == struct.pack("<II", 0, second)


def find_names(image, tokens, behind):
    """Where the number of symbols is: names follow it, and the tokens follow them, some megabytes behind at the most."""
    first = max(behind - (8 << 20), 0) & ~3
    words = array.array("I", image[first:behind & ~3])
    for i, n in enumerate(words):
        at = first + i * 4 + 4
        # A compressed name takes 3 bytes at least, and a dozen as a rule.
        if not 1000 <= n or not 3 * n <= behind - at <= 40 * n:
            continue
        if not 2 <= image[at] < 64:
            continue
        for _ in range(20):
            name, at = name_at(image, at, tokens)
            if not GOOD_NAME.match(name):
                break
        else:
            if ends_in_markers(image, first + i * 4 + 4, n):
                return first + i * 4, n
    fail("the kernel's symbol names cannot be found")


def offsets_at(image, at, n):
    if at < 0 or at + 4 * n > len(image):
        return None
    offsets = struct.unpack_from(f"<{n}I", image, at)
    sane = offsets[0] == 0 and all(a <= b for a, b in zip(offsets, offsets[1:]))
    return offsets if sane else None


def kallsyms(image):
    tokens, behind = token_table(image)
    at, n = find_names(image, tokens, behind)
    (base,) = struct.unpack_from("<I", image, at - 4)
    offsets = offsets_at(image, at - 4 - 4 * n, n)
    if offsets is None:
        # Since Linux 6.4 they lie behind the tokens.
        behind = (behind + 3) & ~3
        offsets = offsets_at(image, behind, n)
        if offsets is None:
            fail("the kernel's symbol addresses cannot be found")
        (base,) = struct.unpack_from("<I", image, behind + 4 * n)
    at += 4
    for offset in offsets:
        name, at = name_at(image, at, tokens)
        yield (base + offset) & 0xffffffff, chr(name[0]), name[1:].decode("latin-1")


# --- what the kernel exports to its modules: data too, which kallsyms has only with CONFIG_KALLSYMS_ALL ---

def segments(image):
    """(linear address, offset, bytes in the file) of what is loaded."""
    start, size, n = *struct.unpack_from("<I", image, 28), *struct.unpack_from("<HH", image, 42)
    for i in range(n):
        kind, offset, address, _, filled = struct.unpack_from("<5I", image, start + i * size)
        if kind == 1:
            yield address, offset, filled


EXPORTED = "jiffies"  # exported by every kernel


def exports(image):
    """Entries of three words, the symbol, its name, its name space, each an address or relative to itself."""
    loaded = list(segments(image))

    def address_of(offset):
        for address, start, n in loaded:
            if start <= offset < start + n:
                return address + offset - start
        return 0

    def name_of(address):
        for start, offset, n in loaded:
            if start <= address < start + n:
                at = offset + address - start
                return image[at:image.find(b"\0", at, at + 130)]
        return b""

    def entry(offset, relative):
        words = struct.unpack_from("<2I", image, offset)
        if relative:
            words = [(word + address_of(offset + 4 * i)) & 0xffffffff for i, word in enumerate(words)]
        name = name_of(words[1])
        return (words[0], name) if re.fullmatch(rb"[A-Za-z_]\w{2,}", name) and words[0] >= 0xc0000000 else None

    # It may be the end of a longer string.
    places = {address_of(match.start()) for match in re.finditer(EXPORTED.encode() + rb"\0", image)} - {0}
    for address, offset, n in loaded:
        words = array.array("I", image[offset:offset + (n & ~3)])
        for i, word in enumerate(words):
            relative = (word + address + 4 * i) & 0xffffffff in places
            at = offset + 4 * i - 4
            if not relative and word not in places or not entry(at, relative) or not entry(at + 12, relative):
                continue
            for step in (-12, 12):
                here = at if step > 0 else at - 12
                while True:
                    found = entry(here, relative)
                    if not found:
                        break
                    yield found[0], "?", found[1].decode()
                    here += step
            return


def all_symbols(image):
    found = list(kallsyms(image))
    have = {name for _, _, name in found}
    return found + [s for s in exports(image) if s[2] not in have]


def proc_kallsyms(path):
    with open(path, encoding="latin-1") as f:
        for line in f:
            match = re.match(r"([0-9a-f]+) (\S) (\S+)(?:\s+\[(\S+)\])?", line)
            if match:
                yield int(match[1], 16), match[2], match[3]


# --- the file for gdb ---

def write_elf(path, symbols):
    """An ELF file of two sections without contents, code and the rest, and the symbols in them."""
    symbols = sorted(set(s for s in symbols if s[0]))
    if not symbols:
        fail("there are no symbols (a guest shows them to root only)")
    addresses = sorted({s[0] for s in symbols})
    following = dict(zip(addresses, addresses[1:]))
    low = min(addresses)
    strings, entries = bytearray(b"\0"), [bytes(16)]
    for address, kind, name in symbols:
        code = kind in "tTwW"
        size = min(following.get(address, address) - address, 0xffff)
        info = (1 << 4 if kind.isupper() else 0) | (2 if code else 1)
        section = SHN_ABS if kind in "aA" else 1 if code else 2
        entries.append(struct.pack("<IIIBBH", len(strings), address, size, info, 0, section))
        strings += name.encode("latin-1") + b"\0"
    # Local symbols come first.
    entries.sort(key=lambda e: e[12] >> 4)
    local = sum(e[12] >> 4 == 0 for e in entries)
    table = b"".join(entries)
    names = b"\0.text\0.data\0.symtab\0.strtab\0.shstrtab\0"
    at_table = 52
    at_strings = at_table + len(table)
    at_names = at_strings + len(strings)
    at_sections = (at_names + len(names) + 3) & ~3
    header = b"\x7fELF\1\1\1" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, low, 0, at_sections, 0, 52, 32, 0, 40, 6, 5)
    span = 0xffffffff - low

    def section(name, kind, flags, address, offset, size, link=0, info=0, entry=0):
        return struct.pack("<10I", names.index(name) if name else 0, kind, flags, address, offset, size, link, info, 4, entry)

    sections = section(b"", 0, 0, 0, 0, 0) + section(b".text", 8, 6, low, 52, span) + section(b".data", 8, 3, low, 52, span)
    sections += section(b".symtab", 2, 0, 0, at_table, len(table), 4, local, 16)
    sections += section(b".strtab", 3, 0, 0, at_strings, len(strings)) + section(b".shstrtab", 3, 0, 0, at_names, len(names))
    with open(path, "wb") as f:
        f.write(header + table + strings + names)
        f.write(bytes(at_sections - f.tell()) + sections)
    return len(entries) - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proc", action="store_true", help="the input is a guest's /proc/kallsyms")
    parser.add_argument("input")
    parser.add_argument("output")
    args = parser.parse_args()
    try:
        symbols = list(proc_kallsyms(args.input) if args.proc else all_symbols(kernel_image(args.input)))
        n = write_elf(args.output, symbols)
    except (OSError, lzma.LZMAError, zlib.error, EOFError, IndexError, struct.error) as error:
        fail(f"{args.input}: {error}")
    print(f"{args.output}: {n} symbols")


if __name__ == "__main__":
    main()
