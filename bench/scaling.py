#!/usr/bin/env python3
"""How cost grows with the guest's memory, with its processes, with its code: Ringer and QEMU's TCG in alternation.

  bench/scaling.py [--runs N] [--quick] [--only memory,processes,code] [--json FILE] [--ringer COMMAND] [--qemu COMMAND]

  memory     Debian's 686 kernel with 64 MiB to 3 GiB: seconds from exec to the shell's prompt, and the machine's memory on the host (PSS, the guest's
             own included) when it has been idle for a second
  processes  a token that 1 to 256 processes hand round by pipes: microseconds for a hop, which is a system call, a wake-up and a switch
  code       1 to 64 MiB of functions, each called once and then once more: microseconds for each KiB of code. The first calls are mostly translation

Processes and code run natively too (bench/scaling/scale.c). PAE kernels aside, a 32-bit guest has no use for more than 3 GiB.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from guest import GUESTS, LOGS, Failure, Guest, initrd, make_programs  # noqa: E402
import benchlib  # noqa: E402
from machine import PROMPT, Machine  # noqa: E402

KINDS = ["memory", "processes", "code"]
MEMORY = {True: [64, 1024], False: [64, 256, 1024, 3072]}  # MiB, by --quick
RINGS = {True: [1, 16, 128], False: [1, 2, 4, 8, 16, 32, 64, 128, 256]}
HOPS = {True: 2000, False: 20000}
CODE = {True: [256, 2048], False: [1024, 4096, 16384, 65536]}  # KiB
LIMIT = 300
PROGRAM = os.path.join(LOGS, "programs/scale")
SCRIPT = """#!/bin/sh
{commands}
echo SCALE-END
"""


def memory(system, mib):
    """Seconds to the prompt, MiB of the host's memory."""
    argv = system.argv + ["-nographic", "-m", str(mib), "-kernel", f"{GUESTS}/686/vmlinuz", "-initrd", f"{GUESTS}/initramfs.cpio.gz",
                          "-append", "console=ttyS0 quiet"]
    machine = Machine(argv, os.path.join(LOGS, f"scaling-{mib}-{system.name}.log"), terminal=True)
    try:
        machine.expect(PROMPT, LIMIT)
        seconds = time.monotonic() - machine.started
        time.sleep(1)
        # Not RSS: a page that is mapped at several addresses counts once.
        with open(f"/proc/{machine.process.pid}/smaps_rollup", encoding="ascii") as f:
            pss = int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])
        return seconds, pss / 1024
    finally:
        machine.close()


def available_mib():
    with open("/proc/meminfo", encoding="ascii") as f:
        return int(re.search(r"^MemAvailable:\s+(\d+)", f.read(), re.M)[1]) // 1024


def results(text):
    """Yields (row, unit, value, what must be the same everywhere)."""
    for match in re.finditer(r"SCALE ring (\d+) ([\d.]+) (\w+)", text):
        yield f"token round {int(match[1]):3} processes", "us/hop", float(match[2]) / 1000, match[3]
    for match in re.finditer(r"SCALE code (\d+) ([\d.]+) ([\d.]+) (\w+)", text):
        mib = f"{int(match[1]) / 1024:g} MiB"
        yield f"{mib} of code, first calls", "us/KiB", float(match[2]) / 1000, match[4]
        yield f"{mib} of code, second calls", "us/KiB", float(match[3]) / 1000, match[4]


def native(commands):
    done = [subprocess.run([PROGRAM, *c], stdout=subprocess.PIPE, text=True, timeout=LIMIT, check=True).stdout for c in commands]
    yield from results("".join(done))


def guest(system, commands, ramdisk):
    with Guest(system.argv, ramdisk, ["-display", "none"], name=f"scaling-{system.name}") as machine:
        for _ in commands:
            line = machine.expect(r"^SCALE[^\r\n]*(?=[\r\n])", LIMIT)[0]
            if line == "SCALE-END":
                raise Failure("a program of the guest gave no figure")
            yield from results(line)


def make_ramdisk(commands):
    with tempfile.TemporaryDirectory() as root:
        os.mkdir(f"{root}/bench")
        shutil.copy(PROGRAM, f"{root}/bench/scale")
        archive = os.path.join(LOGS, "scaling-programs.cpio")
        with open(archive, "wb") as f:
            subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], input=b"bench\nbench/scale\n", cwd=root, stdout=f, check=True)
    script = SCRIPT.format(commands="\n".join(f"/bench/scale {' '.join(c)}" for c in commands))
    return initrd(os.path.join(LOGS, "scaling.cpio"), script, archive)


def scale_memory(args, report):
    for mib in MEMORY[args.quick]:
        if available_mib() < mib + 512:
            report.note(f"no guest of {mib} MiB: the host has only {available_mib()} MiB free")
            continue
        for _, system in benchlib.alternate(report, args):
            try:
                seconds, pss = memory(system, mib)
            except Failure as failure:
                report.fail(system.name, f"-m {mib}: {failure}")
                continue
            report.add(f"boot with {mib:4} MiB", system.name, seconds, "s")
            report.add(f"idle host memory, {mib:4} MiB", system.name, pss, "MiB")


def scale_load(args, report, commands):
    report.systems.append(benchlib.System("native", [], None))
    ramdisk = make_ramdisk(commands)
    sums = {}
    for _, system in benchlib.alternate(report, args):
        try:
            for row, unit, value, text in native(commands) if system.name == "native" else guest(system, commands, ramdisk):
                if sums.setdefault(row, text) != text:
                    report.fail(system.name, f"{row}: the result is {text}, not {sums[row]}")
                    continue
                report.add(row, system.name, value, unit)
        except (Failure, OSError, subprocess.SubprocessError) as failure:
            report.fail(system.name, str(failure))


def main():
    args = benchlib.arguments(__doc__, more=lambda p: p.add_argument("--only", help="some of " + ", ".join(KINDS)))
    only = args.only.split(",") if args.only else KINDS
    if set(only) - set(KINDS):
        sys.exit(f"there is no {', '.join(set(only) - set(KINDS))}; there are {', '.join(KINDS)}")
    make_programs()
    os.makedirs(LOGS, exist_ok=True)
    report = benchlib.Report("scaling", args, benchlib.systems(args, ("auto",) if args.quick else ("auto", "checked")))
    if "memory" in only:
        scale_memory(args, report)
    commands = []
    if "processes" in only:
        commands += [("ring", str(n), str(HOPS[args.quick])) for n in RINGS[args.quick]]
    if "code" in only:
        commands += [("code", str(kib)) for kib in CODE[args.quick]]
    if commands:
        scale_load(args, report, commands)
    return report.finish(args)


sys.exit(main())
