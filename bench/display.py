#!/usr/bin/env python3
"""What the screen costs: a Debian guest that prints on its VGA console, and one that does nothing, Ringer and QEMU's TCG in alternation.

  bench/display.py [--runs N] [--quick] [--json FILE] [--kib N] [--ringer COMMAND] [--qemu COMMAND] [DISPLAY...]

DISPLAY is none, curses (on a pseudo-terminal) or vnc (with one client that asks for changes all the time); with bochs- in front the console is
1024x768 pixels of 32 bits, drawn by the kernel's driver bochs. Without names all of none, curses, vnc, bochs-none, bochs-vnc; with --quick only none. Rows are thousands of characters
per second that `cat` of a text to the console takes, by the clock and by the processor time of the whole process (a busy host changes only the
former), and the share of a core that an idle guest takes.
"""

import os
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from guest import GUESTS, LOGS, ROOT, Failure, Guest, initrd  # noqa: E402
import benchlib  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "tests/guests"))
from harness import free_port  # noqa: E402
from images import package  # noqa: E402
from rfb import Client, Refused  # noqa: E402

IDLE = 4  # seconds
FEWER = 8  # times less text where each line moves 3 MiB of pixels: under TCG a MiB took minutes
DISPLAYS = ["none", "curses", "vnc", "bochs-none", "bochs-vnc"]
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


def options(parser):
    parser.add_argument("--kib", type=int, help="size of the text; 1024, or 256 with --quick, and an eighth of that with bochs-")
    parser.add_argument("displays", nargs="*", metavar="DISPLAY")


def main():
    args = benchlib.arguments(__doc__, more=options)
    os.environ["TERM"] = "xterm-256color"
    displays = args.displays or (DISPLAYS[:1] if args.quick else DISPLAYS)
    for display in displays:
        if display not in DISPLAYS and display != "bochs-curses":
            sys.exit(f"there is no display {display!r}")
    report = benchlib.Report("display", args, benchlib.systems(args, ("auto",)))
    for display in displays:
        for _, system in benchlib.alternate(report, args):
            try:
                drivers = [bochs_drivers()] if display.startswith("bochs-") else []
                ramdisk = initrd(os.path.join(LOGS, "display.cpio"), SCRIPT, *drivers)
                kib = args.kib or (256 if args.quick else 1024) // (FEWER if display.startswith("bochs-") else 1)
                rate, work, idle = measure(system.argv, display, kib, ramdisk, system.name)
            except Failure as failure:
                report.fail(system.name, f"{display}: {failure}")
                continue
            report.add(f"text on {display}", system.name, rate / 1000, "kchar/s", "higher")
            report.add(f"text on {display}, processor time", system.name, work / 1000, "kchar/s", "higher")
            report.add(f"idle with {display}", system.name, 100 * idle, "% of a core")
    return report.finish(args)


sys.exit(main())
