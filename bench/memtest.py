#!/usr/bin/env python3
"""Time of memtest86+'s tests, Ringer and QEMU's TCG in alternation.

  bench/memtest.py [--runs N] [--memory MIB] [--ringer COMMAND] [--qemu COMMAND]

The clock runs from exec to the start of the last test, #10, on the serial console; that one waits for bits to fade by the machine's clock. The
console is drawn about once in two seconds, so nothing finer than the sum is measured. Prints each run, medians and their ratio.
"""

import argparse
import os
import shlex
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests/lib"), os.path.join(ROOT, "tests/guests")]
sys.dont_write_bytecode = True

from images import package  # noqa: E402
from machine import Failure, Machine  # noqa: E402

LOGS = os.path.join(ROOT, "build/bench")
LAST_TEST = r"#10 \["
LIMIT = 300


def measure(command, memory, log):
    """Seconds from exec to the last test; none before it may have found an error."""
    kernel = package("memtest86+", "boot/memtest86+ia32.bin")
    machine = Machine(shlex.split(command) + ["-nographic", "-m", str(memory), "-kernel", kernel, "-append", "console=ttyS0,115200"], log,
                      terminal=True)
    try:
        machine.expect(LAST_TEST, LIMIT)
        seconds = time.monotonic() - machine.started
        machine.expect(r"Errors: 0 ", LIMIT)
        return seconds
    finally:
        machine.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory", type=int, default=64)
    parser.add_argument("--ringer", default=os.path.join(ROOT, "build/release/ringer"))
    parser.add_argument("--qemu", default="qemu-system-i386 -accel tcg")
    args = parser.parse_args()
    os.makedirs(LOGS, exist_ok=True)
    runs = {"ringer": [], "qemu": []}
    for run in range(args.runs):
        for name, done in runs.items():
            try:
                done.append(measure(getattr(args, name), args.memory, os.path.join(LOGS, f"memtest-{name}.log")))
            except Failure as failure:
                print(f"{name}: {failure}")
                return 1
            print(f"{name:7} run {run + 1}: {done[-1]:6.2f} s", flush=True)
    ours, theirs = (statistics.median(done) for done in runs.values())
    print(f"memtest86+ to its last test, {args.memory} MiB: ringer {ours:.2f} s, qemu tcg {theirs:.2f} s, ratio {ours / theirs:.2f}")
    return 0


sys.exit(main())
