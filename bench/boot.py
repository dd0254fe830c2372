#!/usr/bin/env python3
"""Time from exec to the shell's prompt of Debian's kernels, Ringer and QEMU's TCG in alternation.

  bench/boot.py [--runs N] [--quick] [--json FILE] [--ringer COMMAND] [--qemu COMMAND] [KERNEL...]

KERNEL is 686, 686-pae or rt-686-pae; all three without names, 686 with --quick. Every run is a new process on a pipe-fed pseudo-terminal; the
clock stops when the prompt has arrived. Two rows a kernel: by the clock, and by the processor time of the whole process, which a busy host changes less.
"""

import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "bench/lib"), os.path.join(ROOT, "tests/lib")]
sys.dont_write_bytecode = True

import benchlib  # noqa: E402
from machine import PROMPT, Failure, Machine  # noqa: E402

KERNELS = ["686", "686-pae", "rt-686-pae"]
LIMIT = 300


def boot(command, kernel, log):
    """Seconds from exec to the prompt, and processor seconds."""
    argv = command + ["-nographic", "-m", "256", "-kernel", f"{benchlib.GUESTS}/{kernel}/vmlinuz"]
    argv += ["-initrd", f"{benchlib.GUESTS}/initramfs.cpio.gz", "-append", "console=ttyS0"]
    machine = Machine(argv, log, terminal=True)
    try:
        machine.expect(PROMPT, LIMIT)
        return time.monotonic() - machine.started, machine.cpu_seconds()
    finally:
        machine.close()


def main():
    args = benchlib.arguments(__doc__, runs=5, more=lambda p: p.add_argument("kernels", nargs="*", metavar="KERNEL"))
    os.makedirs(benchlib.OUT, exist_ok=True)
    report = benchlib.Report("boot", args, benchlib.systems(args, ("auto", "checked")))
    for kernel in args.kernels or (KERNELS[:1] if args.quick else KERNELS):
        for _, system in benchlib.alternate(report, args):
            try:
                wall, cpu = boot(system.argv, kernel, os.path.join(benchlib.OUT, f"boot-{kernel}-{system.name}.log"))
            except Failure as failure:
                report.fail(system.name, f"{kernel}: {failure}")
                continue
            report.add(f"boot {kernel}", system.name, wall, "s")
            report.add(f"boot {kernel}, processor time", system.name, cpu, "s")
    return report.finish(args)


sys.exit(main())
