#!/usr/bin/env python3
"""What firmware leaves to be seen of the machine, on Ringer and on QEMU: CMOS, the directory of fw_cfg, PCI configuration space.

usage: tests/firmware/compare.py RINGER [QEMU]
Runs guestos/machine behind SeaBIOS on both and compares what it prints. INTENDED has the differences that are meant, each with its reason; any
other, and one that is there no more, is a failure. Prints PASS and FAIL lines; -v: the differences that are meant, too.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KERNEL = os.path.join(ROOT, "build/guestos/machine.elf")
COMMON = ["-m", "64", "-vga", "std", "-display", "none", "-serial", "stdio", "-no-reboot", "-bios", "bios-256k.bin", "-device",
          "isa-debug-exit,iobase=0x501,iosize=2", "-kernel", KERNEL]
QEMU = ["-M", "pc", "-accel", "tcg", "-nic", "none", "-monitor", "none"]
ABSENT = "absent"

# What runs on while the guest reads it.
VARIES = {f"cmos {n:02x}" for n in (0, 2, 4, 6, 7, 8, 9, 0x0c)}

SUBSYSTEM = "the data sheets of these Intel chips know no subsystem ID; QEMU gives every function one"
DATA_SHEET = "command and status at reset are the data sheet's (memory space and bus master on, medium DEVSEL#)"
SMM = "there is no system management mode: SeaBIOS does not set it up, nor open and lock SMRAM"
SMBUS = "there is no SMBus controller"
DECODE = "the PIIX4's device monitors are not modelled; QEMU's own ACPI tables look for ports there"
TABLES = "the tables are Ringer's own, and are not padded for migration"
LOADER = "Ringer's option ROM reads by ports, and has the name for it"

# name: (Ringer's value, QEMU's value, reason)
INTENDED = {
    "cmos 2e": (None, "00", "QEMU leaves the CMOS checksum out"),
    "cmos 2f": (None, "00", "QEMU leaves the CMOS checksum out"),
    "fw_cfg file:bios-geometry": (ABSENT, "0", "empty: nobody overrides a disk's geometry, which CMOS tells"),
    "fw_cfg file:bootorder": ("27", "31", LOADER),
    "fw_cfg file:etc/acpi/tables": (None, "131072", TABLES),
    "fw_cfg file:etc/smbios/smbios-tables": (None, None, TABLES),
    "fw_cfg file:etc/table-loader": ("2048", "4096", TABLES),
    "fw_cfg file:etc/tpm/log": (ABSENT, "0", "there is no TPM"),
    "fw_cfg file:genroms/kvmvapic.bin": (ABSENT, "9216", "a help for KVM and 32-bit Windows"),
    "fw_cfg file:genroms/multiboot.bin": ("1024", ABSENT, LOADER),
    "fw_cfg file:genroms/multiboot_dma.bin": (ABSENT, "1024", LOADER),
    "pci 00.0 04": ("02000107", "00000103", DATA_SHEET),
    "pci 00.0 2c": ("00000000", "11001af4", SUBSYSTEM),
    "pci 00.0 54": ("00000000", "08000000", "the DRAM controller's timing is not modelled"),
    "pci 00.0 70": ("00020000", "000a0000", SMM),
    "pci 01.0 04": ("02000107", "02000103", DATA_SHEET),
    "pci 01.0 2c": ("00000000", "11001af4", SUBSYSTEM),
    "pci 01.1 2c": ("00000000", "11001af4", SUBSYSTEM),
    "pci 01.3 2c": ("00000000", "11001af4", SUBSYSTEM),
    "pci 01.3 5c": ("00000000", "90000000", DECODE),
    "pci 01.3 60": ("00000000", "60000000", DECODE),
    "pci 01.3 64": ("00000000", "08000000", DECODE),
    "pci 01.3 90": ("00000000", "00000701", SMBUS),
    "pci 01.3 d0": ("00000000", "00090000", SMBUS),
}


def items(argv):
    """What the kernel printed, by name; None if it did not come to its end."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90)
    except subprocess.TimeoutExpired as timeout:
        print((timeout.stdout or b"").decode("latin-1")[-500:])
        return None
    text = done.stdout.decode("latin-1").replace("\r", "")
    found = dict(re.findall(r"^((?:cmos|fw_cfg|pci) .+) (\w+)$", text, re.M))
    if done.returncode != 1 or not text.endswith("end\n") or len(found) < 200:
        print(text[-500:])
        return None
    return found


def main():
    arguments = [a for a in sys.argv[1:] if a != "-v"]
    verbose = "-v" in sys.argv
    qemu = arguments[1] if len(arguments) > 1 else "qemu-system-i386"
    failed = 0

    def verdict(ok, name):
        nonlocal failed
        print("PASS" if ok else "FAIL", "compare", name, flush=True)
        failed += not ok

    if not os.path.exists(KERNEL):
        verdict(False, f"{KERNEL} is not there: make guestos builds it")
        return 1
    if not shutil.which(qemu):
        verdict(False, f"{qemu} is not there to be compared with: scripts/install-deps.sh installs it")
        return 1
    ours, theirs = items([arguments[0]] + COMMON), items([qemu] + QEMU + COMMON)
    verdict(ours is not None, "the kernel's report on Ringer")
    verdict(theirs is not None, "the kernel's report on QEMU")
    if failed:
        return 1
    unknown, seen = [], set()
    for name in sorted(set(ours) | set(theirs)):
        a, b = ours.get(name, ABSENT), theirs.get(name, ABSENT)
        if a == b or name in VARIES:
            continue
        want = INTENDED.get(name)
        if want and want[0] in (None, a) and want[1] in (None, b):
            seen.add(name)
            if verbose:
                print(f"     {name}: {a}, QEMU has {b}: {want[2]}")
        else:
            unknown.append(f"{name}: {a}, QEMU has {b}")
    for line in unknown:
        verdict(False, line)
    verdict(not unknown, f"{len(set(ours) | set(theirs)) - len(seen) - len(unknown)} items are the same or vary")
    for area in ("cmos", "fw_cfg", "pci"):
        gone = [name for name in INTENDED if name.startswith(area) and name not in seen]
        verdict(not gone, f"{area}: the differences that are meant are there" + "".join(f"; not {name}" for name in gone))
    return failed != 0


sys.exit(main())
