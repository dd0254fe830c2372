#!/usr/bin/env python3
"""Time from exec to the first guest instruction: a Multiboot kernel whose first instructions end the machine by the debug-exit port.

  bench/first.py [--runs N] [--ringer COMMAND]

Prints the median and the range of whole process times, which are a little more than what is asked for: they include the way out.
"""

import argparse
import shlex
import statistics
import struct
import subprocess
import tempfile
import time

LOAD = 0x100000
MAGIC, FLAGS = 0x1BADB002, 0x00010000
CODE = bytes([0x66, 0xBA, 0x01, 0x05, 0x30, 0xC0, 0xEE, 0xF4])  # mov dx, 0x501 ; xor al, al ; out dx, al ; hlt


def kernel():
    header = struct.pack("<3I5I", MAGIC, FLAGS, -(MAGIC + FLAGS) & 0xFFFFFFFF, LOAD, LOAD, LOAD + 32 + len(CODE), 0, LOAD + 32)
    return header + CODE


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--ringer", default="build/release/ringer")
    args = parser.parse_args()
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(kernel())
        file.flush()
        argv = shlex.split(args.ringer) + ["-kernel", file.name, "-m", "256", "-serial", "none", "-device", "isa-debug-exit"]
        times = []
        for _ in range(args.runs):
            start = time.monotonic()
            status = subprocess.run(argv, stdin=subprocess.DEVNULL).returncode
            times.append((time.monotonic() - start) * 1000)
            if status != 1:
                raise SystemExit(f"status {status}, not the 1 of the debug-exit port")
    print(f"exec to first guest instruction and exit: {statistics.median(times):.1f} ms ({min(times):.1f}-{max(times):.1f}), {args.runs} runs")


if __name__ == "__main__":
    main()
