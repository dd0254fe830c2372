#!/usr/bin/env python3
"""Time from exec to the first guest instruction: a Multiboot kernel whose first instructions end the machine by the debug-exit port.

  bench/first.py [--runs N] [--quick] [--json FILE] [--ringer COMMAND] [--qemu COMMAND]

The figures are whole process times, which are a little more than what is asked for: they include the way out, and QEMU's its firmware.
"""

import os
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
sys.dont_write_bytecode = True

import benchlib  # noqa: E402

LIMIT = 30  # seconds
LOAD = 0x100000
MAGIC, FLAGS = 0x1BADB002, 0x00010000
CODE = bytes([0x66, 0xBA, 0x01, 0x05, 0x30, 0xC0, 0xEE, 0xF4])  # mov dx, 0x501 ; xor al, al ; out dx, al ; hlt


def kernel():
    header = struct.pack("<3I5I", MAGIC, FLAGS, -(MAGIC + FLAGS) & 0xFFFFFFFF, LOAD, LOAD, LOAD + 32 + len(CODE), 0, LOAD + 32)
    return header + CODE


def main():
    args = benchlib.arguments(__doc__, runs=20)
    report = benchlib.Report("first", args, benchlib.systems(args, ("auto",)))
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(kernel())
        file.flush()
        for _, system in benchlib.alternate(report, args):
            argv = system.argv + ["-kernel", file.name, "-m", "256", "-display", "none", "-serial", "none", "-device", "isa-debug-exit"]
            start = time.monotonic()
            try:
                status = subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=LIMIT, check=False).returncode
            except subprocess.TimeoutExpired:
                status = None
            if status != 1:
                report.fail(system.name, f"status {status}, not the 1 of the debug-exit port")
                continue
            report.add("exec to first guest instruction and exit", system.name, (time.monotonic() - start) * 1000, "ms")
    return report.finish(args)


sys.exit(main())
