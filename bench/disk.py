#!/usr/bin/env python3
"""Sequential reads and writes of a disk from a Debian guest, Ringer and QEMU's TCG in alternation.

  bench/disk.py [--runs N] [--mib N] [--pio-mib N] [--ringer COMMAND] [--qemu COMMAND]

dd of 1 MiB blocks, O_DIRECT, writes with an fsync at the end, by DMA and by PIO, to the same raw image on both. The host's page cache holds it: what is
measured is the way between guest and host. Prints each run, then medians in MB/s, by the guest's clock and by the processor time of the whole
process (a busy host changes only the former), and their ratios (above 1: Ringer is faster).
"""

import argparse
import os
import statistics
import sys

sys.dont_write_bytecode = True
from guest import GUESTS, LOGS, ROOT, Failure, Guest, initrd  # noqa: E402

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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mib", type=int, default=256, help="by DMA")
    parser.add_argument("--pio-mib", type=int, default=64)
    parser.add_argument("--ringer", default=os.path.join(ROOT, "build/release/ringer"))
    parser.add_argument("--qemu", default="qemu-system-i386 -accel tcg")
    args = parser.parse_args()
    image = os.path.join(LOGS, "disk.img")
    try:
        ramdisk = initrd(os.path.join(LOGS, "disk.cpio"), SCRIPT, f"{GUESTS}/686/drivers.cpio.gz")
        with open(image, "wb") as f:
            for _ in range(max(args.mib, args.pio_mib)):
                f.write(os.urandom(1 << 20))
        rates = {}
        for mode, mib in (("DMA", args.mib), ("PIO", args.pio_mib)):
            for run in range(args.runs):
                for name in ("ringer", "qemu"):
                    read, write = measure(getattr(args, name), ramdisk, image, mode == "DMA", mib, f"disk-{name}")
                    rates.setdefault((mode, "read"), {}).setdefault(name, []).append(read)
                    rates.setdefault((mode, "write"), {}).setdefault(name, []).append(write)
                    print(f"{mode} {name:7} run {run + 1}: read {read[0]:7.1f} MB/s, write {write[0]:7.1f} MB/s; "
                          f"{read[1]:7.1f} and {write[1]:7.1f} MB/s of processor time", flush=True)
    except Failure as failure:
        print(failure)
        return 1
    finally:
        if os.path.exists(image):
            os.unlink(image)
    print(f"\n{'':10} {'MB/s: ringer':>13} {'qemu tcg':>9}  ratio {'of processor time':>18} {'qemu tcg':>9}  ratio")
    for (mode, what), row in rates.items():
        ours, theirs = ([statistics.median(column) for column in zip(*row[name])] for name in ("ringer", "qemu"))
        print(f"{mode} {what:6} {ours[0]:13.1f} {theirs[0]:9.1f}  {ours[0] / theirs[0]:5.2f} {ours[1]:18.1f} {theirs[1]:9.1f}  {ours[1] / theirs[1]:5.2f}")
    return 0


sys.exit(main())
