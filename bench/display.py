#!/usr/bin/env python3
"""What the screen costs: a Debian guest that prints on its VGA console, and one that does nothing, Ringer and QEMU's TCG in alternation.

  bench/display.py [--runs N] [--kib N] [--ringer COMMAND] [--qemu COMMAND] [DISPLAY...]

DISPLAY is none, curses (on a pseudo-terminal) or vnc (with one client that asks for changes all the time); with bochs- in front the console is
1024x768 pixels of 32 bits, drawn by the kernel's driver bochs. Prints, as medians: thousands of characters per second that `cat` of a text to
the console takes, by the clock and by the processor time of the whole process (a busy host changes only the former), and the share of a core that an
idle guest takes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from guest import GUESTS, LOGS, ROOT, Failure, Guest, initrd  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "tests/guests"))
from harness import free_port  # noqa: E402
from images import package  # noqa: E402
from rfb import Client, Refused  # noqa: E402

IDLE = 4  # seconds
SCRIPT = """#!/bin/sh
. /tests/lib.sh
if [ "$(parameter ringer.bochs)" = 1 ]; then
	for module in $(cat /modules/list); do
		insmod /modules/$module.ko
	done
	until [ -e /dev/fb0 ]; do
		sleep 0.1
	done
fi
seq 100000 1000000 | head -c 65536 >/tmp/text
while [ $(wc -c </tmp/all 2>/dev/null || echo 0) -lt $(($(parameter ringer.kib) * 1024)) ]; do
	cat /tmp/text >>/tmp/all
done
head -c 65536 /tmp/all >/dev/tty0
sleep 1
echo PRINT
read -r begin idle </proc/uptime
cat /tmp/all >/dev/tty0
read -r end idle </proc/uptime
echo "PRINTED $(wc -c </tmp/all) $begin $end"
sleep 1
echo IDLE
sleep 20
"""


class Viewer(threading.Thread):
    """A VNC client that asks for what has changed as soon as it has got the last changes."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.client = Client(port)
        self.updates = 0
        self.start()

    def run(self):
        try:
            while True:
                self.client.update(self.updates > 0)
                self.updates += 1
        except (OSError, Refused):
            pass  # the machine has ended


def bochs_drivers():
    """A cpio archive of the driver and what it needs, from the kernel's package."""
    path = os.path.join(LOGS, "bochs.cpio.gz")
    if not os.path.exists(path):
        with open(f"{GUESTS}/686/vmlinuz.version", encoding="ascii") as f:
            modules = package(f.read().split()[0], "lib/modules")
        subprocess.run([f"{ROOT}/scripts/guest-drivers.py", modules, path, "bochs"], check=True)
    return path


def measure(command, display, kib, ramdisk, name):
    """Characters per second, and per second of processor time; the share of a core when idle."""
    kind = display.split("-")[-1]
    port = free_port()
    options = {"none": ["-display", "none"], "curses": ["-display", "curses"], "vnc": ["-vnc", f"127.0.0.1:{port - 5900}"]}[kind]
    with Guest(command, ramdisk, options, f"ringer.kib={kib} ringer.bochs={int(display != kind)}", f"display-{name}") as guest:
        guest.expect(r"^PRINT$")
        if kind == "vnc":
            Viewer(port)
            time.sleep(0.3)
        cpu = guest.machine.cpu_seconds()
        match = guest.expect(r"^PRINTED (\d+) (\S+) (\S+)")
        cpu = guest.machine.cpu_seconds() - cpu
        seconds = max(float(match.group(3)) - float(match.group(2)), 0.01)
        guest.expect(r"^IDLE$")
        begin, used = time.monotonic(), guest.machine.cpu_seconds()
        time.sleep(IDLE)
        count = int(match.group(1))
        return count / seconds, count / max(cpu, 0.01), (guest.machine.cpu_seconds() - used) / (time.monotonic() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kib", type=int, default=1024, help="size of the text")
    parser.add_argument("--ringer", default=os.path.join(ROOT, "build/release/ringer"))
    parser.add_argument("--qemu", default="qemu-system-i386 -accel tcg")
    parser.add_argument("displays", nargs="*", metavar="DISPLAY", default=["none", "curses", "vnc", "bochs-none", "bochs-vnc"])
    args = parser.parse_args()
    os.environ["TERM"] = "xterm-256color"
    figures = {}
    for display in args.displays:
        if display.split("-")[-1] not in ("none", "curses", "vnc"):
            parser.error(f"there is no display {display!r}")
        figures[display] = {"ringer": [], "qemu": []}
        for run in range(args.runs):
            for name, done in figures[display].items():
                try:
                    drivers = [bochs_drivers()] if display.startswith("bochs-") else []
                    ramdisk = initrd(os.path.join(LOGS, "display.cpio"), SCRIPT, *drivers)
                    done.append(measure(getattr(args, name), display, args.kib, ramdisk, name))
                except Failure as failure:
                    print(f"{display} {name}: {failure}")
                    break
                rate, work, idle = done[-1]
                print(f"{display:10} {name:7} run {run + 1}: {rate / 1000:8.1f} kchar/s, {work / 1000:8.1f} kchar/s of processor time, "
                      f"{100 * idle:4.1f} % idle", flush=True)
    print(f"\n{'':10} {'kchar/s: ringer':>16} {'qemu':>8} {'ratio':>6} {'of processor time':>18} {'qemu':>8} {'ratio':>6} {'idle, %':>9} {'qemu':>6}")
    for display, row in figures.items():
        if all(row.values()):
            ours, theirs = ([statistics.median(column) for column in zip(*row[name])] for name in ("ringer", "qemu"))
            print(f"{display:10} {ours[0] / 1000:16.1f} {theirs[0] / 1000:8.1f} {ours[0] / theirs[0]:6.2f} {ours[1] / 1000:18.1f}"
                  f" {theirs[1] / 1000:8.1f} {ours[1] / theirs[1]:6.2f} {100 * ours[2]:9.1f} {100 * theirs[2]:6.1f}")
    return 0 if all(all(row.values()) for row in figures.values()) else 1


sys.exit(main())
