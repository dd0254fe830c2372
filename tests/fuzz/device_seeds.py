#!/usr/bin/env python3
"""Writes the seeds of the device target that mutations do not find by themselves: what drivers do, and what they should not.

  tests/fuzz/device_seeds.py [DIRECTORY]        default: tests/fuzz/corpus/device

Operations are those of tests/fuzz/device.c. Run it again when they have changed.
"""

import os
import struct
import sys

LOAD, RESET, LOOK, ACK, SAVE_CHECK = b"\x0c", b"\x0e", b"\x2b", b"\x0b", b"\x1d"
SOON, LATER = b"\x98\x00", b"\xa8\x04"  # 0.26 ms, 5 ms
HOST_BRIDGE, ISA, IDE, PM, VGA = range(5)
CD_COMMANDS = (0x00, 0x03, 0x12, 0x1B, 0x1E, 0x25, 0x28, 0x2B, 0x42, 0x43, 0x46, 0x4A, 0x51, 0x55, 0x5A, 0xA8, 0xBB, 0xBD, 0xBE, 0xFF)


def memory(at, data):
    out = b""
    for k in range(0, len(data), 32):
        piece = data[k:k + 32]
        out += struct.pack("<BHB", 0x1E, (at + k) >> 4, len(piece) - 1) + piece
    return out


def pci(function, reg, value, size=4):
    code = {1: 0, 2: 1, 4: 2}[size] << 6
    which = next(w for w in range(code, code + 64) if w % 5 == function)
    return struct.pack("<BBBI", 0x2E, which, reg, value & 0xFFFFFFFF)


def vga(kind, index, value):
    return struct.pack("<BBBH", 0x3E, ("seq", "gfx", "crtc", "attr", "vbe").index(kind), index, value)


def ide(command, lba=0, count=1, feature=0, channel=0, select=0xE0, ext=False):
    low = bytes((feature & 0xFF, count & 0xFF, lba & 0xFF, lba >> 8 & 0xFF, lba >> 16 & 0xFF))
    high = bytes((feature >> 8, count >> 8 & 0xFF, lba >> 24 & 0xFF, lba >> 32 & 0xFF, lba >> 40 & 0xFF)) if ext else b""
    return bytes((0x4E, channel | ext << 1 | select & 0xF0)) + high + low + bytes((command,))


def fdc(*parameters, dor=None, rate=None):
    first = bytes((dor | 0x0C,)) if dor else bytes((dor,)) if dor is not None else b""
    second = bytes((rate,)) if rate is not None else b""
    return bytes((0x5E, len(parameters) | 0x80 * len(first) | 0x40 * len(second))) + first + second + bytes(parameters)


def packet(*bytes_, limit=0x800, dma=False):
    return bytes((0x6E, len(bytes_) | dma << 7 | (limit >> 8 & 7) << 4, limit & 0xFF)) + bytes(bytes_)


def string(port, log4, write=False, size=2):
    return bytes((0x7E, (0x1F0, 0x170, 0x3F5, 0x60, 0x511, 0x3C9, 0x3F8, 0x1F7).index(port) | {1: 0, 2: 1, 4: 2}[size] << 3 | log4 << 5, write))


def lapic(offset, value):
    return struct.pack("<BBI", 0x8E, offset >> 4, value)


def ioapic(index, value):
    return struct.pack("<BBI", 0x9E, index, value)


def dma(mode, at, count):
    return struct.pack("<BBHH", 0xAE, mode, at >> 4, count)


def where(pa):
    return struct.pack("<BI", 0xBE, pa >> 4)


def master(at, channel=0, read=True, start=True):
    return struct.pack("<BBH", 0xCE, channel | start << 2 | read << 5, at >> 4)


def fw_cfg(control, length, to, at=0x800):
    return struct.pack("<BHIHH", 0xDE, at >> 4, control, length, to >> 4)


def out(port, value, size=1):
    return struct.pack("<BBHI", 0xEE, 4 | {1: 0, 2: 1, 4: 2}[size], port, value)


def inp(port, size=1):
    return struct.pack("<BBH", 0xEE, {1: 0, 2: 1, 4: 2}[size], port)


def mmio(region, offset, value=None, size=1):
    code = region | {1: 0, 2: 1, 4: 2}[size] << 6
    if value is None:
        return struct.pack("<BBH", 0x0F, code, offset)
    return struct.pack("<BBHI", 0x1F, code, offset, value)


def prd(*entries):
    return b"".join(struct.pack("<II", at, count | (0x80000000 if k == len(entries) - 1 else 0)) for k, (at, count) in enumerate(entries))


def disks():
    table = memory(0x1000, prd((0x10000, 0), (0x20000, 0), (0x30000, 0x5800)))
    yield "read-dma", table + ide(0x25, 1, 300, ext=True) + master(0x1000) + SOON * 3 + inp(0x1F7) + LOAD + inp(0xC002)
    yield "read-dma-load", table + ide(0x25, 1, 300, ext=True) + master(0x1000) + SOON + LOAD + SOON * 3 + inp(0x1F7)
    yield "write-dma", memory(0x10000, bytes(range(32))) + table + ide(0xCA, 5, 0) + master(0x1000, read=False) + SOON + LOAD + SOON * 2
    yield "dma-anywhere", memory(0x1000, prd((0xA0000, 0x200), (0xF0000, 0x200), (0xE0000000, 0x200), (0xFEE00000, 0x200), (0x1000, 0x200),
                                             (0xFFFFFFFE, 2), (0xFFFFFF00, 0x800))) + ide(0xC8, 0, 16) + master(0x1000) + SOON * 2 + LOAD
    yield "dma-slow", memory(0x1000, prd((0x2000, 2), (0x2002, 2))[:-4] + struct.pack("<I", 2)) + ide(0xC8, 0, 8) + master(0x1000) + SOON + RESET
    yield "dma-bar-moves", table + ide(0x25, 1, 300, ext=True) + pci(IDE, 0x20, 0xD000) + master(0x1000) + pci(IDE, 0x20, 0x1F0) + SOON + \
        pci(IDE, 0x20, 0xCF8) + pci(IDE, 0x04, 0, 2) + SOON * 3 + LOAD + inp(0x1F7)
    yield "dma-no-master", ide(0xC8, 0, 8) + master(0x1000) + pci(IDE, 0x04, 1, 2) + SOON + master(0x1000, start=False) + master(0x1000) + LOAD
    yield "pio-read", ide(0x20, 0, 3) + SOON + string(0x1F0, 4) + inp(0x1F7) + string(0x1F0, 3) + LOAD + string(0x1F0, 4) * 2
    yield "pio-write", ide(0x30, 2, 2) + string(0x1F0, 4, True) + SOON + inp(0x1F7) + string(0x1F0, 3, True, 4) + LOAD + string(0x1F0, 4, True) + SOON
    yield "pio-multiple", ide(0xC6, count=8) + ide(0xC4, 0, 12) + SOON + string(0x1F0, 6) + LOAD + ide(0x39, 9, 20, ext=True) + string(0x1F0, 6, True) + SOON
    yield "pio-all-chunks", ide(0x24, 0, 300, ext=True) + SOON + (string(0x1F0, 7, size=4) + SOON) * 3 + LOAD
    yield "chs", ide(0x91, count=17, select=0xA0) + ide(0x20, 0x010203, 1, select=0xA0) + SOON + ide(0xF8) + ide(0x27, ext=True) + LOAD
    yield "srst", ide(0x20, 0, 2) + SOON + out(0x3F6, 4) + ide(0xEC) + out(0x3F6, 0) + LOAD + inp(0x1F7) + ide(0xEC) + string(0x1F0, 4)
    yield "slave", ide(0xEC, select=0xB0) + string(0x1F0, 4) + ide(0x30, select=0xF0) + ide(0xC8, select=0xF0) + ide(0x90) + ide(0xEC, channel=1) + LOAD
    yield "verify-flush", ide(0x40, 0, 0) + SOON + ide(0xE7) + SOON + ide(0xEF, feature=0x82) + SOON + ide(0x30) + string(0x1F0, 4, True) + SOON * 2 + LOAD
    yield "beyond", ide(0x24, 2047, 2, ext=True) + ide(0xC8, 0xFFFFFF, 2) + ide(0x25, 1 << 47, 0, ext=True) + LOAD
    yield "all-commands", b"".join(ide(c) + SOON + string(0x1F0, 4) for c in (0, 0x10, 0x70, 0x91, 0x94, 0x95, 0x98, 0x99, 0xA1, 0xB0, 0xE0, 0xE1,
                                                                              0xE2, 0xE3, 0xE5, 0xE6, 0xEA, 0xEC, 0xEF, 0xF5)) + LOAD


def cd():
    ready = packet(0) + packet(3, 0, 0, 0, 18) + string(0x170, 3)
    for n in range(0, len(CD_COMMANDS), 5):
        yield f"cd-commands-{n // 5}", ready + b"".join(
            packet(c, 0, 0x3F if c == 0x5A else 0, 0, 18 if c in (3, 0x12) else 2, 0, 0, 0, 20, 0) + SOON + string(0x170, 4) for c in CD_COMMANDS[n:n + 5]) + LOAD
    yield "cd-read", ready + packet(0x28, 0, 0, 0, 0, 100, 0, 0, 60) + SOON + string(0x170, 5) + LOAD + string(0x170, 6) * 2 + SOON
    yield "cd-read-limit", ready + packet(0xA8, 0, 0, 0, 0, 0, 0, 0, 0, 3, limit=0x0FF) + SOON + string(0x170, 3) * 4 + LOAD + string(0x170, 5)
    yield "cd-read-dma", ready + memory(0x1000, prd((0x10000, 0), (0x20000, 0), (0x30000, 0x3000))) + packet(0x28, 0, 0, 0, 0, 90, 0, 0, 60, dma=True) + \
        master(0x1000, channel=1) + SOON * 3 + LOAD + inp(0x177)
    yield "cd-reply-dma", ready + memory(0x1000, prd((0x10000, 8), (0x20000, 64))) + packet(0x12, 0, 0, 0, 36, dma=True) + master(0x1000, channel=1) + LOAD
    yield "cd-raw", ready + packet(0xBE, 0, 0, 0, 0, 75, 0, 0, 3, 0xF8) + SOON + string(0x170, 5) + LOAD + packet(0xBE, 0, 0, 0, 0, 75, 0, 0, 3, 0x20) + SOON + \
        string(0x170, 2) + packet(0xBE, 0, 0, 0, 0, 140, 0, 0, 60, 0x58) + SOON + string(0x170, 6)
    yield "cd-last", ready + packet(0x28, 0, 0, 0, 0, 150, 0, 0, 1) + SOON + string(0x170, 5) + packet(0x28, 0, 0, 0, 0, 151, 0, 0, 1) + LOAD
    yield "cd-tray", ready + packet(0x1E, 0, 0, 0, 1) + packet(0x1B, 0, 0, 0, 2) + packet(0x1E) + packet(0x1B, 0, 0, 0, 2) + packet(0x28, 0, 0, 0, 0, 0, 0, 0, 1) + \
        LOAD + packet(0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8) + string(0x170, 2) + packet(0x1B, 0, 0, 0, 3) + packet(0)
    yield "cd-toc", ready + b"".join(packet(0x43, 2 * (f & 1), f, 0, 0, 0, 0xAA * (f == 3), 1, 0) + string(0x170, 3) for f in range(4)) + LOAD
    yield "cd-reset", ready + packet(0x28, 0, 0, 0, 0, 0, 0, 0, 9) + ide(0x08, channel=1, select=0xA0) + SOON + packet(0x28, 0, 0, 0, 0, 0, 0, 0, 9) + \
        out(0x376, 4) + SOON + out(0x376, 0) + LOAD + ide(0xA1, channel=1, select=0xA0) + string(0x170, 4) + ide(0xEC, channel=1, select=0xA0)


def floppy():
    begin = fdc(dor=0x10, rate=0) + fdc(0x03, 0xAF, 0x02) + fdc(0x07, 0) + LATER + fdc(0x08) + string(0x3F5, 1, size=1)
    result = string(0x3F5, 2, size=1) + string(0x3F5, 1, size=1)
    read = fdc(0xE6, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
    yield "fdc-read", begin + dma(0x46, 0x8000, 0x3FFF) + read + SOON + LOAD + result
    yield "fdc-read-all", begin + dma(0x46, 0x8000, 0xFFFF) + read + SOON + result
    yield "fdc-read-late", begin + read + SOON + LOAD + dma(0x46, 0x8000, 0x3FF) + result
    yield "fdc-read-loop", begin + dma(0x56, 0xFF00, 0xFF) + read + SOON + result + dma(0x66, 0x8000, 0x1FF) + read + SOON + result
    yield "fdc-write", begin + memory(0x8000, bytes(range(32))) + dma(0x4A, 0x8000, 0x2FF) + fdc(0xC5, 0, 0, 0, 3, 2, 18, 0x1B, 0xFF) + SOON + LOAD + result
    yield "fdc-write-cut", begin + dma(0x4A, 0x8000, 0xFFF) + fdc(0x0F, 4, 1) + LATER + fdc(0x08) + result + fdc(0xC5, 4, 1, 1, 16, 2, 18, 0x1B, 0xFF) + SOON + result
    yield "fdc-verify-scan", begin + fdc(0x16, 0x80, 0, 0, 1, 2, 18, 0x1B, 4) + SOON + result + dma(0x4A, 0x8000, 0xFFF) + \
        b"".join(fdc(c, 0, 0, 0, 1, 2, 5, 0x1B, 1) + SOON + result for c in (0xD1, 0xD9, 0xDD)) + LOAD
    yield "fdc-format", begin + memory(0x8000, b"".join(bytes((0, 0, s, 2)) for s in range(1, 19))) + dma(0x4A, 0x8000, 71) + fdc(0x4D, 0, 2, 18, 0x54, 0xF6) + \
        SOON + LOAD + result + dma(0x4A, 0x8000, 1) + fdc(0x4D, 0, 2, 18, 0x54, 0xF6) + result
    yield "fdc-pio", fdc(dor=0x10, rate=0) + fdc(0x03, 0xAF, 0x03) + read + SOON + string(0x3F5, 4, size=1) + LOAD + string(0x3F5, 7, size=1) + result + \
        fdc(0xC5, 0, 0, 0, 1, 2, 1, 0x1B, 0xFF) + string(0x3F5, 4, True, 1) * 2 + SOON + result
    yield "fdc-track-id", begin + fdc(0x4A, 0) + LATER + result + dma(0x46, 0x8000, 0x3FFF) + fdc(0x42, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF) + SOON + LOAD + result
    yield "fdc-second", fdc(dor=0x21, rate=2) + fdc(0x13, 0, 0x57, 0) + dma(0x46, 0x8000, 0x3FFF) + fdc(0x66, 1, 3, 0, 1, 2, 9, 0x1B, 0xFF) + SOON + result + \
        fdc(0x8F, 1, 2) + LATER + fdc(0x08) + result + fdc(0x0E) + result + result + LOAD
    yield "fdc-short", begin + fdc(0xE6, 0, 0) + fdc(dor=0) + fdc(0x0F, 1) + out(0x3F4, 0x80) + fdc(0x94) + LATER + LOAD + b"".join(fdc(0x08) + result for _ in range(4))
    yield "fdc-reset-moving", begin + read + SOON + out(0x3F2, 0) + dma(0x46, 0x8000, 0x3FF) + out(0x3F2, 0x1C) + LATER + LOAD + fdc(0x12, 0x9C) + fdc(0x14) + result


def screens():
    unlock = vga("crtc", 0x11, 0x0E)
    text = b"".join(vga("crtc", i, v) for i, v in ((1, 79), (7, 0x1F), (9, 0x4F), (10, 0x0D), (11, 0x0E), (0x12, 0x8F), (0x13, 0x28), (0x17, 0xA3), (0x18, 0xFF))) + \
        vga("seq", 2, 3) + vga("seq", 4, 2) + vga("gfx", 5, 0x10) + vga("gfx", 6, 0x0E) + vga("attr", 0x10, 0x0C) + out(0x3C2, 0x67) + out(0x3C0, 0x20)
    chained = text + vga("seq", 1, 1) + vga("seq", 2, 15) + vga("seq", 4, 0x0E) + vga("gfx", 5, 0x40) + vga("gfx", 6, 5) + vga("crtc", 9, 0x41)
    planar = text + vga("seq", 1, 1) + vga("seq", 2, 15) + vga("seq", 4, 6) + vga("gfx", 5, 0) + vga("gfx", 6, 5) + vga("crtc", 9, 0x40) + vga("crtc", 0x17, 0xE3)
    write = b"".join(mmio(2, k, 0x12345678 + k, 4) for k in (0, 0x100, 0x5000, 0x5C00)) + mmio(2, 0x5C01) + mmio(2, 0x101, size=4)
    yield "vga-text", unlock + text + write + LOOK + LOAD + LATER + LOOK
    yield "vga-wide", unlock + text + vga("crtc", 1, 0xFF) + vga("seq", 1, 8) + vga("crtc", 0x12, 0xFF) + vga("crtc", 7, 0x42) + LOOK + LOAD
    yield "vga-one-line", unlock + text + vga("crtc", 1, 0) + vga("crtc", 0x12, 0) + vga("crtc", 7, 0) + vga("crtc", 9, 0x9F) + vga("crtc", 8, 0x7F) + LOOK + LOAD
    yield "vga-13h", unlock + chained + write + LOOK + LOAD + string(0x3C9, 5, True, 1) + LOOK
    yield "vga-x", unlock + chained + vga("seq", 4, 6) + write + vga("crtc", 0x0C, 0xFF) + vga("crtc", 0x0D, 0xFF) + LOOK + LOAD
    yield "vga-12h", unlock + planar + write + LOOK + LOAD + vga("attr", 0x13, 5) + vga("crtc", 0x18, 7) + LOOK
    yield "vga-write-modes", planar + b"".join(vga("gfx", 5, m) + vga("gfx", 3, m * 8 + 3) + vga("gfx", 8, 0x5A) + vga("gfx", 1, 6) + write for m in range(4)) + \
        vga("gfx", 5, 8) + vga("gfx", 2, 5) + vga("gfx", 7, 7) + write + LOAD + LOOK
    yield "vga-cga", unlock + planar + vga("gfx", 5, 0x30) + vga("gfx", 6, 0x0F) + vga("crtc", 0x17, 0xA2) + vga("crtc", 9, 0xC1) + write + LOOK + LOAD
    for bpp in (4, 8, 15, 16, 24, 32):
        yield f"vbe-{bpp}", vga("vbe", 1, 2560) + vga("vbe", 2, 40) + vga("vbe", 3, bpp) + vga("vbe", 4, 0x41) + vga("vbe", 5, 3) + write + \
            vga("vbe", 6, 4096) + vga("vbe", 8, 1000) + vga("vbe", 9, 0xFFFF) + LOOK + LOAD + vga("vbe", 4, 0x61) + LOOK + vga("vbe", 4, 0)
    yield "vbe-whole", vga("vbe", 1, 0xFFFF) + vga("vbe", 2, 0xFFFF) + vga("vbe", 3, 32) + vga("vbe", 4, 0xC1) + LOOK + LOAD
    yield "vga-bar-registers", pci(VGA, 0x18, 0xF0000000) + pci(VGA, 0x04, 2, 2) + mmio(3, 0x502, 0x280, 2) + mmio(3, 0x500, size=4) + mmio(3, 0x40E, 0x1234, 2) + \
        mmio(3, 0x41A) + LOAD + mmio(3, 0x504, 0x1E0, 2) + mmio(3, 0x508, 0x41, 2) + LOOK


def board():
    yield "bar-moves", pci(VGA, 0x04, 2, 2) + pci(VGA, 0x10, 0xE0000000) + pci(VGA, 0x30, 0xE0000001) + where(0xE0000000) + LOAD + where(0xE0000000) + \
        pci(VGA, 0x30, 0xE0010001) + where(0xE0010000) + pci(VGA, 0x10, 0xFE000000) + where(0xFEE00000) + mmio(0, 0x30, size=4)
    yield "bar-takes-turns", pci(VGA, 0x04, 2, 2) + pci(VGA, 0x30, 0xE0000001) + pci(VGA, 0x10, 0xE0000000) + pci(VGA, 0x30, 0) + LOAD + where(0xE0000000) + \
        pci(VGA, 0x10, 0) + pci(VGA, 0x10, 0xFF000000) + where(0xFFFF0000)
    yield "bar-over-apic", pci(VGA, 0x04, 2, 2) + pci(VGA, 0x18, 0xFEE00000) + lapic(0xF0, 0x1FF) + pci(VGA, 0x18, 0xFEC00000) + ioapic(0x10, 0x20) + LOAD
    yield "bar-dma", pci(VGA, 0x04, 2, 2) + pci(VGA, 0x10, 0xE0000000) + memory(0x1000, prd((0xE0000000, 0x1000))) + ide(0xC8, 0, 8) + master(0x1000) + SOON + \
        where(0xE0000000) + LOAD + LOOK
    yield "pam", b"".join(pci(HOST_BRIDGE, 0x58, v * 0x01010101) + where(0xF0000) + memory(0xF0000, b"abcdefgh") for v in (0x11, 0x22, 0x33, 0x00)) + LOAD + where(0xF0000)
    yield "smram", pci(HOST_BRIDGE, 0x70, 0x4A0000) + pci(HOST_BRIDGE, 0x72, 0x5A, 1) + pci(HOST_BRIDGE, 0x72, 0x4A, 1) + RESET + LOAD
    yield "pm-base", pci(PM, 0x40, 0x600) + pci(PM, 0x80, 1, 1) + inp(0x608, 4) + out(0x602, 1, 2) + out(0x604, 1, 2) + pci(PM, 0x40, 0x40) + inp(0x48, 4) + LATER + LOAD
    yield "pirq", pci(ISA, 0x60, 0x0B0A0905) + pci(IDE, 0x3C, 0x0B) + LOAD + pci(ISA, 0x60, 0x80808080)
    yield "fw-cfg", fw_cfg(0x00190000 | 0x0A, 0x200, 0x9000) + fw_cfg(0x00190000 | 0x0E, 0x40, 0xA0000) + fw_cfg(2, 0xFFFF, 0xFFFF0) + fw_cfg(4, 0xFFFF, 0) + \
        fw_cfg(0x0A, 0x800, 0x7F0) + fw_cfg(0x10, 1, 0) + out(0x510, 0, 2) + string(0x511, 3, size=1) + LOAD


def interrupts():
    on = lapic(0xF0, 0x1FF) + lapic(0x80, 0)
    yield "lapic-storm", on + lapic(0x3E0, 0xB) + lapic(0x320, 0x20031) + lapic(0x380, 1) + (SOON + ACK + lapic(0xB0, 0)) * 3 + LOAD + LATER * 3 + ACK
    yield "lapic-timer", on + lapic(0x3E0, 2) + lapic(0x320, 0x31) + lapic(0x380, 0xFFFFFFFF) + lapic(0x3E0, 9) + SOON + LOAD + mmio(0, 0x390, size=4) + lapic(0x320, 0x40031)
    yield "lapic-ipi", on + lapic(0x310, 0) + b"".join(lapic(0x300, x) for x in (0x40031, 0x80032, 0x44033, 0xC0034, 0x5, 0x45, 0x400, 0x8500, 0xC500, 0x10831)) + LOAD + ACK * 4
    yield "lapic-error", on + lapic(0x370, 0x33) + lapic(0x300, 0x40005) + lapic(0x320, 5) + lapic(0x380, 100) + SOON + lapic(0x280, 0) + mmio(0, 0x280, size=4) + LOAD + ACK
    yield "lapic-logical", on + lapic(0xD0, 0x21000000) + lapic(0xE0, 0x0FFFFFFF) + lapic(0x310, 0x21000000) + lapic(0x300, 0x831) + lapic(0x310, 0xFF000000) + lapic(0x300, 0x832) + LOAD + ACK
    yield "ioapic-edge", on + b"".join(ioapic(0x10 + 2 * n, 0x40 + n) for n in range(24)) + out(0x43, 0x34) + out(0x40, 1) + out(0x40, 0) + LATER + LOAD + ACK
    yield "ioapic-level", on + ioapic(0x12, 0x8031) + ioapic(0x2C, 0x8041) + ioapic(0x2D, 0) + out(0x60, 0xF2) + ACK + lapic(0xB0, 0) + LOAD + ACK + lapic(0xB0, 0) + string(0x60, 1, size=1)
    yield "pit-storm", b"".join(out(0x43, 0x34 + 2 * m) + out(0x40, 1) + out(0x40, 0) + LATER + ACK + out(0x20, 0x20) for m in range(4)) + LOAD + LATER
    yield "rtc-storm", out(0x70, 0x0A) + out(0x71, 0x23) + out(0x70, 0x0B) + out(0x71, 0x72) + b"".join(LATER + out(0x70, 0x0C) + inp(0x71) for _ in range(3)) + LOAD + LATER * 2
    yield "rtc-alarm", b"".join(out(0x70, r) + out(0x71, v) for r, v in ((1, 0x7F), (3, 0xC0), (5, 0xC0), (0x0B, 0x22), (1, 0xC0), (5, 0x99))) + LATER + LOAD + inp(0x71)
    yield "ps2-commands", b"".join(out(0x60, c) + inp(0x60) * 2 for c in (0xFF, 0xF2, 0xF0, 2, 0xF3, 0x20, 0xED, 7, 0xF4, 0xF5, 0xF6, 0xEE, 0xFE, 0xF0, 0, 0xAB)) + LOAD
    mouse = (0xFF, 0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF2, 0xE8, 3, 0xE7, 0xE9, 0xEB, 0xEE, 0x12, 0xEC, 0xF0, 0xEA, 0xF4)
    yield "ps2-mouse", b"".join(out(0x64, 0xD4) + out(0x60, c) + inp(0x60) * 2 for c in mouse) + b"\x1b\x7f\x80\xfe" * 4 + LOAD + string(0x60, 2, size=1)
    yield "ps2-flood", b"".join(b"\x1b" + bytes((k, 0, k & 3 | 1)) for k in range(120)) + LOAD + LATER + string(0x60, 3, size=1)
    yield "i8042-answers", b"".join(out(0x64, c) for c in (0x20, 0x20, 0xAA, 0xAB, 0xC0, 0xD0, 0xA9)) + out(0x64, 0xD2) + out(0x60, 0x55) + out(0x64, 0xD3) + \
        out(0x60, 0x66) + LOAD + string(0x60, 2, size=1) + out(0x64, 0x60) + out(0x60, 0x03) + string(0x60, 1, size=1)


def main():
    to = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus/device")
    os.makedirs(to, exist_ok=True)
    for group in (disks, cd, floppy, screens, board, interrupts):
        for name, data in group():
            with open(os.path.join(to, f"seed-{name}"), "wb") as f:
                f.write(data)


if __name__ == "__main__":
    main()
