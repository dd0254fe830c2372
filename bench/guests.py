#!/usr/bin/env python3
"""How long guests made by others take from exec to their first screen, Ringer and QEMU's TCG in alternation.

  bench/guests.py [--runs N] [--quick] [--json FILE] [--ringer COMMAND] [--qemu COMMAND] [GUEST...]

Guests are in the table below; without names all of them run, with --quick the first. Every run is a new process. What comes before the clock
starts (making images) is not in the figures.
"""

import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, d) for d in ("bench/lib", "tests/lib", "tests/guests")]
sys.dont_write_bytecode = True

import benchlib  # noqa: E402
from harness import free_port  # noqa: E402
from images import image, package  # noqa: E402
from machine import PROMPT, Failure, Machine  # noqa: E402
from screen import Screen  # noqa: E402

LIMIT = 300
INSTALLER = "usr/lib/debian-installer/images/12/i386/text/debian-installer/i386/"


def installer(file):
    return package("debian-installer-12-netboot-i386", INSTALLER + file)


# One row a guest: its name; the options (a function, for files that must be made first); how it is seen, "serial" or "screen" (text, by VNC);
# the steps: what has to be seen, and what is typed then (names of keys or texts for a screen, a string for a serial port). The clock stops
# when the last step's pattern has been seen.
GUESTS = [
    ("installer-kernel", lambda: ["-m", "512", "-kernel", installer("linux"), "-initrd", installer("initrd.gz"), "-append", "console=ttyS0"],
     "serial", [("Select a language", "")]),
    ("installer-isolinux", lambda: ["-m", "512", "-cdrom", image("installer-isolinux", ".iso")],
     "serial", [("Serial console", "\r"), ("Select a language", "")]),
    ("installer-grub", lambda: ["-m", "512", "-cdrom", image("installer-grub", ".iso")],
     "serial", [("on the serial console", "\r"), ("Select a language", "")]),
    ("grub-disk", lambda: ["-m", "128", "-snapshot", "-hda", image("grub-disk", ".img")],
     "serial", [("Linux from the disk", "\r"), (PROMPT, "")]),
    ("syslinux-disk", lambda: ["-m", "128", "-snapshot", "-hda", image("syslinux-disk", ".img")],
     "serial", [("A disk", "\r"), (PROMPT, "")]),
    ("grub-rescue", lambda: ["-m", "64", "-cdrom", package("grub-rescue-pc", "usr/lib/grub-rescue/grub-rescue-cdrom.iso")],
     "screen", [("Use the . and . keys", "")]),
]


def serial(argv, steps, log):
    """Seconds from exec to the last step, and processor seconds."""
    # Not -nographic: it tells the firmware to copy the text screen to the serial port.
    machine = Machine(argv + ["-display", "none", "-serial", "stdio"], log, terminal=True)
    try:
        for pattern, keys in steps:
            machine.expect(pattern, LIMIT)
            machine.send(keys)
        return time.monotonic() - machine.started, machine.cpu_seconds()
    finally:
        machine.close()


def screen(argv, steps, log):
    port = free_port()
    machine = Machine(argv + ["-display", "none", "-serial", "null", "-vnc", f":{port - 5900}"], log)
    try:
        seen = Screen(port)
        for pattern, keys in steps:
            seen.expect(pattern, LIMIT)
            seen.type(*([keys] if isinstance(keys, str) else keys))
        return time.monotonic() - machine.started, machine.cpu_seconds()
    finally:
        machine.close()


def main():
    names = [row[0] for row in GUESTS]
    args = benchlib.arguments(__doc__, more=lambda p: p.add_argument("guests", nargs="*", metavar="GUEST", help="of " + ", ".join(names)))
    for name in args.guests:
        if name not in names:
            sys.exit(f"there is no guest {name!r}; there are {', '.join(names)}")
    os.makedirs(benchlib.OUT, exist_ok=True)
    report = benchlib.Report("guests", args, benchlib.systems(args, ("auto",) if args.quick else ("auto", "checked")))
    wanted = args.guests or (names[:1] if args.quick else names)
    for name, options, how, steps in GUESTS:
        if name not in wanted:
            continue
        try:
            argv = options()
        except Failure as failure:
            report.fail(name, str(failure))
            continue
        for _, system in benchlib.alternate(report, args):
            look = {"serial": serial, "screen": screen}[how]
            try:
                wall, cpu = look(system.argv + argv, steps, os.path.join(benchlib.OUT, f"guest-{name}-{system.name}.log"))
            except Failure as failure:
                report.fail(system.name, f"{name}: {failure}")
                continue
            report.add(name, system.name, wall, "s")
            report.add(f"{name}, processor time", system.name, cpu, "s")
    return report.finish(args)


sys.exit(main())
