#!/usr/bin/env python3
"""Time from exec to the shell's prompt, Ringer and QEMU's TCG in alternation.

  bench/boot.py [--runs N] [--json FILE] [--ringer COMMAND] [--qemu COMMAND] [FLAVOUR...]

Every run is a new process on a pipe-fed pseudo-terminal; the clock stops when the prompt has arrived. Prints each run, then medians, ranges and
the ratio of the medians.
"""

import argparse
import json
import os
import shlex
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests/lib"))
sys.dont_write_bytecode = True

from machine import PROMPT, Failure, Machine  # noqa: E402

GUESTS = os.path.join(ROOT, "build/guests")
LOGS = os.path.join(ROOT, "build/bench")
LIMIT = 300


def boot(command, flavour, log):
    """Seconds from exec to the prompt, and processor seconds."""
    argv = shlex.split(command) + ["-nographic", "-m", "256", "-kernel", f"{GUESTS}/{flavour}/vmlinuz"]
    argv += ["-initrd", f"{GUESTS}/initramfs.cpio.gz", "-append", "console=ttyS0"]
    machine = Machine(argv, log, terminal=True)
    try:
        machine.expect(PROMPT, LIMIT)
        return time.monotonic() - machine.started, machine.cpu_seconds()
    finally:
        machine.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--ringer", default=os.path.join(ROOT, "build/release/ringer"))
    parser.add_argument("--qemu", default="qemu-system-i386 -accel tcg")
    parser.add_argument("flavours", nargs="*", default=["686", "686-pae", "rt-686-pae"])
    args = parser.parse_args()
    os.makedirs(LOGS, exist_ok=True)
    figures = {}
    for flavour in args.flavours:
        times = {"ringer": [], "qemu": []}
        for run in range(args.runs):
            for name in times:
                try:
                    wall, cpu = boot(getattr(args, name), flavour, os.path.join(LOGS, f"boot-{flavour}-{name}.log"))
                except Failure as failure:
                    print(f"{flavour} {name}: {failure}")
                    return 1
                times[name].append(wall)
                print(f"{flavour:12} {name:7} run {run + 1}: {wall:6.2f} s, {cpu:6.2f} s of processor time", flush=True)
        figures[flavour] = times
    print(f"\n{'kernel':12} {'ringer, s':>22} {'qemu tcg, s':>22}  ratio")
    for flavour, times in figures.items():
        cells = [f"{statistics.median(t):6.2f} ({min(t):.2f}-{max(t):.2f})" for t in times.values()]
        ratio = statistics.median(times["ringer"]) / statistics.median(times["qemu"])
        print(f"{flavour:12} {cells[0]:>22} {cells[1]:>22}  {ratio:5.2f}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(figures, f, indent=1)
    return 0


sys.exit(main())
