#!/usr/bin/env python3
"""How long guests made by others take from exec to their first screen, Ringer and QEMU's TCG in alternation.

  bench/guests.py [--runs N] [--json FILE] [--ringer COMMAND] [--qemu COMMAND] [GUEST...]

Guests are in the table below; without names all of them run. Every run is a new process. Prints each run, then medians, ranges and the ratio of
the medians. What comes before the clock starts (making images) is not in the figures.
"""

import argparse
import json
import os
import shlex
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests/lib"), os.path.join(ROOT, "tests/guests")]
sys.dont_write_bytecode = True

from harness import free_port  # noqa: E402
from images import image, package  # noqa: E402
from machine import PROMPT, Failure, Machine  # noqa: E402
from screen import Screen  # noqa: E402

LOGS = os.path.join(ROOT, "build/bench")
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--ringer", default=os.path.join(ROOT, "build/release/ringer"))
    # Ringer has no network card; with one QEMU's firmware would look for a network to boot from.
    parser.add_argument("--qemu", default="qemu-system-i386 -accel tcg -nic none")
    parser.add_argument("guests", nargs="*", metavar="GUEST", help="of " + ", ".join(names))
    args = parser.parse_args()
    for name in args.guests:
        if name not in names:
            parser.error(f"there is no guest {name!r}")
    os.makedirs(LOGS, exist_ok=True)
    figures, failed = {}, 0
    for name, options, how, steps in GUESTS:
        if args.guests and name not in args.guests:
            continue
        times = {"ringer": [], "qemu": []}
        try:
            argv = options()
            for run in range(args.runs):
                for who, seconds in times.items():
                    look = {"serial": serial, "screen": screen}[how]
                    wall, cpu = look(shlex.split(getattr(args, who)) + argv, steps, os.path.join(LOGS, f"guest-{name}-{who}.log"))
                    seconds.append(wall)
                    print(f"{name:20} {who:7} run {run + 1}: {wall:6.2f} s, {cpu:6.2f} s of processor time", flush=True)
            figures[name] = times
        except Failure as failure:
            print(f"{name}: {failure}")
            failed = 1
    print(f"\n{'guest':20} {'ringer, s':>22} {'qemu tcg, s':>22}  ratio")
    for name, times in figures.items():
        cells = [f"{statistics.median(t):6.2f} ({min(t):.2f}-{max(t):.2f})" for t in times.values()]
        ratio = statistics.median(times["ringer"]) / statistics.median(times["qemu"])
        print(f"{name:20} {cells[0]:>22} {cells[1]:>22}  {ratio:5.2f}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(figures, f, indent=1)
    return failed


sys.exit(main())
