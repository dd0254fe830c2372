#!/usr/bin/env python3
"""Makes damaged and foreign kernel images in a directory, for the command-line tests: images.py DIRECTORY"""

import os
import struct
import sys

out = sys.argv[1]


def write(name, data):
    with open(os.path.join(out, name), "wb") as f:
        f.write(data)


def bzimage(setup_sects=4, syssize=None, version=0x20C, loadflags=1, magic=b"HdrS", boot_flag=0xAA55, xloadflags=0, alignment=0x1000,
            pref=0x100000, init_size=0x100000, cmdline_size=255, initrd_max=0x37FFFFFF, entry=0x100000,
            kernel=64 * 1024):
    """A well-formed image around a kernel that is one HLT after the other; parameters damage it."""
    setup = bytearray((setup_sects + 1) * 512)
    struct.pack_into("<B", setup, 0x1F1, setup_sects)
    struct.pack_into("<I", setup, 0x1F4, kernel // 16 if syssize is None else syssize)
    struct.pack_into("<H", setup, 0x1FE, boot_flag)
    struct.pack_into("<BB", setup, 0x200, 0xEB, 0x66)
    setup[0x202:0x206] = magic
    struct.pack_into("<H", setup, 0x206, version)
    struct.pack_into("<B", setup, 0x211, loadflags)
    struct.pack_into("<I", setup, 0x214, entry)
    struct.pack_into("<I", setup, 0x22C, initrd_max)
    struct.pack_into("<IBBHI", setup, 0x230, alignment, 1, 12, xloadflags, cmdline_size)
    struct.pack_into("<QI", setup, 0x258, pref, init_size)
    return bytes(setup) + b"\xf4" * kernel


def elf(machine=3, bits=32, header=True, paddr=0x100000, filesz=None, memsz=0x1000, flags=0, count=1, phentsize=32, entry=0x100100):
    """A Multiboot kernel: HLT all over."""
    code = bytearray(b"\xf4" * 0x1000)
    if header:
        struct.pack_into("<III", code, 0, 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF)
    ident = b"\x7fELF" + bytes([1 if bits == 32 else 2, 1, 1]) + bytes(9)
    head = ident + struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, entry, 52, 0, 0, 52, phentsize, count, 40, 0, 0)
    program = struct.pack("<IIIIIIII", 1, 0x1000, paddr, paddr, len(code) if filesz is None else filesz, memsz, 5, 4096)
    return (head + program).ljust(0x1000, b"\0") + bytes(code)


def kludge(header_addr, load_addr, load_end, bss_end, entry):
    flags = 0x10000
    words = (0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF, header_addr, load_addr, load_end, bss_end, entry)
    return struct.pack("<8I", *words) + b"\xf4" * 4064


good = bzimage()
write("good", good)
write("empty", b"")
write("short", good[:300])
write("in-header", good[:0x210])
write("in-setup", good[:1024])
write("truncated", good[:-4096])
write("magic", bzimage(magic=b"HdrX"))
write("boot-flag", bzimage(boot_flag=0))
write("zimage", bzimage(loadflags=0))
write("old", bzimage(version=0x105))
write("amd64", bzimage(xloadflags=1))
write("real-mode", bzimage(entry=0))
write("alignment", bzimage(alignment=0x12345))
write("big", bzimage(init_size=200 << 20))
write("huge", bzimage(init_size=0xFFFFFFFF))
write("beyond", bzimage(pref=1 << 40))
write("syssize", bzimage(syssize=0xFFFFFFFF))
write("low-initrd", bzimage(initrd_max=0x1FFFFF))
write("text", b"#!/bin/sh\necho this is not a kernel\n" * 100)
write("zero", bytes(65536))
write("gzip", b"\x1f\x8b\x08\x00" + bytes(1000))
write("mb2", struct.pack("<IIII", 0xE85250D6, 0, 16, -(0xE85250D6 + 16) & 0xFFFFFFFF) + bytes(1000))
write("mb", elf())
write("mb-x86-64", elf(machine=62, bits=64))
write("mb-arm", elf(machine=40))
write("mb-flags", elf(flags=0x8))
write("mb-outside", elf(paddr=0xF0000000))
write("mb-more", elf(paddr=200 << 20))
write("mb-rom", elf(paddr=0xA0000))
write("mb-wrap", elf(paddr=0xFFFFF000, memsz=0x2000))
write("mb-filesz", elf(filesz=0x2000, memsz=0x1000))
write("mb-cut", elf(filesz=0x2000, memsz=0x2000))
write("mb-phnum", elf(count=65535))
write("mb-phentsize", elf(phentsize=1))
write("mb-nothing", elf(count=0))
write("mb-entry", elf(entry=0xF0000000))
write("elf", elf(header=False))
write("kludge-addr", kludge(0x100000, 0x200000, 0, 0, 0x100020))
write("kludge-end", kludge(0x100000, 0x100000, 0x0FFFFF, 0, 0x100020))
write("kludge-bss", kludge(0x100000, 0x100000, 0x101000, 0x100800, 0x100020))
write("kludge-cut", kludge(0x100000, 0x100000, 0x200000, 0, 0x100020))
write("initrd", b"x" * (40 << 20))
