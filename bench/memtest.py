#!/usr/bin/env python3
"""Time of memtest86+'s tests, Ringer and QEMU's TCG in alternation.

  bench/memtest.py [--runs N] [--quick] [--json FILE] [--memory MIB] [--ringer COMMAND] [--qemu COMMAND]

The clock runs from exec to the start of the last test, #10, on the serial console; that one waits for bits to fade by the machine's clock. The
console is drawn about once in two seconds, so nothing finer than the sum is measured.
"""

import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, d) for d in ("bench/lib", "tests/lib", "tests/guests")]
sys.dont_write_bytecode = True

import benchlib  # noqa: E402
from images import package  # noqa: E402
from machine import Failure, Machine  # noqa: E402

LOGS = os.path.join(ROOT, "build/bench")
LAST_TEST = r"#10 \["
LIMIT = 300


def measure(command, memory, log):
    """Seconds from exec to the last test; none before it may have found an error."""
    kernel = package("memtest86+", "boot/memtest86+ia32.bin")
    machine = Machine(command + ["-nographic", "-m", str(memory), "-kernel", kernel, "-append", "console=ttyS0,115200"], log,
                      terminal=True)
    try:
        machine.expect(LAST_TEST, LIMIT)
        seconds = time.monotonic() - machine.started
        machine.expect(r"Errors: 0 ", LIMIT)
        return seconds
    finally:
        machine.close()


def main():
    args = benchlib.arguments(__doc__, more=lambda p: p.add_argument("--memory", type=int, help="MiB; 64, or 16 with --quick"))
    memory = args.memory or (16 if args.quick else 64)
    os.makedirs(LOGS, exist_ok=True)
    report = benchlib.Report("memtest", args, benchlib.systems(args, ("auto",)))
    for _, system in benchlib.alternate(report, args):
        try:
            seconds = measure(system.argv, memory, os.path.join(LOGS, f"memtest-{system.name}.log"))
        except Failure as failure:
            report.fail(system.name, str(failure))
            continue
        report.add(f"memtest86+ to its last test, {memory} MiB", system.name, seconds, "s")
    return report.finish(args)


sys.exit(main())
