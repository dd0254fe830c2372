#!/usr/bin/env python3
"""Sequential reads and writes of a disk from a Debian guest, Ringer and QEMU's TCG in alternation.

  bench/disk.py [--runs N] [--quick] [--json FILE] [--mib N] [--pio-mib N] [--ringer COMMAND] [--qemu COMMAND]

dd of 1 MiB blocks, O_DIRECT, writes with an fsync at the end, by DMA and by PIO, to the same raw image on both. The host's page cache holds it: what is
measured is the way between guest and host. Rows are MB/s, by the guest's clock and by the processor time of the whole process (a busy host changes
only the former).
"""

import os
import sys

sys.dont_write_bytecode = True
from guest import GUESTS, LOGS, Failure, Guest, initrd  # noqa: E402
import benchlib  # noqa: E402

# Each is done twice, and the second counts: the first translates.
SCRIPT = """#!/bin/sh
. /tests/lib.sh
dma=$(parameter ringer.dma) mib=$(parameter ringer.mib)
for module in $(cat /modules/list); do
	options=
	[ $module = libata ] && options=dma=$dma
	insmod /modules/$module.ko $options
done
until [ -e /dev/sda ]; do
	sleep 0.1
done
# timed NAME COMMAND...: when it began and ended, in seconds
timed() {
	local name=$1 begin end idle
	shift
	echo "$name BEGIN"
	read -r begin idle </proc/uptime
	"$@" 2>/dev/null || echo "FAILED $*"
	read -r end idle </proc/uptime
	echo "$name $begin $end"
}
for round in 1 2; do
	timed READ$round dd if=/dev/sda of=/dev/null bs=1M count=$mib iflag=direct
	timed WRITE$round dd if=/dev/zero of=/dev/sda bs=1M count=$mib oflag=direct conv=fsync
done
echo END
"""


def measure(command, ramdisk, image, dma, mib, name):
    """MB/s of reading and of writing, each by the clock and by processor time."""
    options = ["-display", "none", "-drive", f"file={image},format=raw"]
    rates = []
    with Guest(command, ramdisk, options, f"ringer.dma={7 if dma else 0} ringer.mib={mib}", name) as guest:
        for what in ("READ", "WRITE"):
            guest.expect(rf"^{what}2 BEGIN")
            cpu = guest.machine.cpu_seconds()
            match = guest.expect(rf"^(FAILED .*)|^{what}2 ([\d.]+) ([\d.]+)")
            if match.group(1):
                raise Failure(match.group(1))
            cpu = guest.machine.cpu_seconds() - cpu
            rates.append([(mib << 20) / 1e6 / max(seconds, 0.01) for seconds in (float(match.group(3)) - float(match.group(2)), cpu)])
    return rates


def options(parser):
    parser.add_argument("--mib", type=int, help="by DMA; 256, or 64 with --quick")
    parser.add_argument("--pio-mib", type=int, help="by PIO; 64, or 16 with --quick")


def main():
    args = benchlib.arguments(__doc__, more=options)
    sizes = {"DMA": args.mib or (64 if args.quick else 256), "PIO": args.pio_mib or (16 if args.quick else 64)}
    report = benchlib.Report("disk", args, benchlib.systems(args, ("auto",)))
    os.makedirs(LOGS, exist_ok=True)
    image = os.path.join(LOGS, "disk.img")
    try:
        ramdisk = initrd(os.path.join(LOGS, "disk.cpio"), SCRIPT, f"{GUESTS}/686/drivers.cpio.gz")
        with open(image, "wb") as f:
            for _ in range(max(sizes.values())):
                f.write(os.urandom(1 << 20))
        for mode, mib in sizes.items():
            for _, system in benchlib.alternate(report, args):
                try:
                    rates = measure(system.argv, ramdisk, image, mode == "DMA", mib, f"disk-{system.name}")
                except Failure as failure:
                    report.fail(system.name, f"{mode}: {failure}")
                    continue
                for what, (by_clock, by_work) in zip(("read", "write"), rates):
                    report.add(f"disk {what}, {mode}", system.name, by_clock, "MB/s", "higher")
                    report.add(f"disk {what}, {mode}, processor time", system.name, by_work, "MB/s", "higher")
    finally:
        if os.path.exists(image):
            os.unlink(image)
    return report.finish(args)


sys.exit(main())
