#!/usr/bin/env python3
"""Where Ringer's time goes: the processor time of a boot and of some programs, split, with what happened how often.

  bench/where.py [--runs N] [--quick] [--json FILE] [--ringer COMMAND]

For the boot of Debian's 686 kernel and for rows of bench/programs, each in Ringer's flavours auto and checked: the share of processor time that the host's
kernel took (signals, mmap, page faults, timers), the share of translation, and the rest, which is translated code and the monitor's C code together; then
counters a second of processor time (-d stats). Counting costs time itself: compare these figures with each other only. Nothing is compared with QEMU here.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from guest import LOGS, Failure, Guest, initrd, make_programs  # noqa: E402
import benchlib  # noqa: E402

ROWS = {True: ["sh_loop", "fork_exec"], False: ["interpreter", "sh_loop", "int80", "pipe_pingpong", "fork_exec", "page_fault", "signal"]}
MILLISECONDS = {True: 500, False: 2000}
COUNTERS = ["dispatches", "callouts", "exceptions", "ring_crossings", "cr3_loads", "signals", "window_fills", "window_mappings", "tus_made"]
LIMIT = 120
SCRIPT = """#!/bin/sh
echo PHASE boot
mkdir -p /tmp/bench
for row in {rows}; do
	sleep 0.3
	echo PHASE begin
	/bench/ringer-bench run $row {budget} /tmp/bench /bin/busybox
	echo PHASE $row
done
echo PHASE end
"""


def processor_time(pid):
    """(in the program, in the host's kernel), seconds."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    tick = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / tick, int(fields[12]) / tick


class Counted:
    """A guest whose counters are asked for by SIGUSR1."""

    def __init__(self, guest, path):
        self.guest, self.path, self.dumps = guest, path, 0

    def snapshot(self):
        """All counters now, and the processor time."""
        self.dumps += 1
        self.guest.machine.kill(10)
        deadline = time.monotonic() + 10
        while True:
            with open(self.path, encoding="latin-1") as f:
                dumps = re.split(r"(?m)^(?=tus_made )", f.read())[1:]
            if len(dumps) >= self.dumps and re.search(r"(?m)^single_steps .*\n", dumps[self.dumps - 1]):
                break
            if time.monotonic() > deadline:
                raise Failure(f"no counters in {self.path}")
            time.sleep(0.01)
        counters = {m[1]: int(m[2]) for m in re.finditer(r"(?m)^(\w+)\s+(\d+)\b", dumps[self.dumps - 1])}
        return counters, processor_time(self.guest.machine.process.pid)


def add(report, system, phase, before, after):
    """The rows of a phase between two snapshots."""
    counters = {name: after[0][name] - before[0].get(name, 0) for name in after[0]}
    user, kernel = (b - a for a, b in zip(before[1], after[1]))
    total = user + kernel
    if total < 0.05:
        report.fail(system, f"{phase}: too little processor time to say anything: {total:.2f} s")
        return
    translating = counters["translate_ns"] / 1e9
    shares = {"in the host's kernel": kernel, "translating": translating, "in translated code and the monitor": user - translating}
    for name, seconds in shares.items():
        report.add(f"{phase}: {name}", system, 100 * seconds / total, "% of time", "none")
    for name in COUNTERS:
        report.add(f"{phase}: {name}", system, round(counters[name] / total), "a second", "none")


def measure(report, system, ramdisk):
    path = os.path.join(LOGS, f"where-{system.name}.stats")
    if os.path.exists(path):
        os.unlink(path)
    with Guest(system.argv + ["-d", "stats", "-D", path], ramdisk, ["-display", "none"], name=f"where-{system.name}") as guest:
        counted = Counted(guest, path)
        before = ({}, (0.0, 0.0))
        while True:
            phase = guest.expect(r"^PHASE (\w+)", LIMIT)[1]
            if phase == "end":
                return
            now = counted.snapshot()
            if phase != "begin":
                add(report, system.name, phase, before, now)
            before = now


def main():
    args = benchlib.arguments(__doc__)
    make_programs()
    report = benchlib.Report("where", args, benchlib.systems(args, ("auto", "checked"), tcg=False))
    report.missing.clear()  # QEMU is not asked for
    report.note("translation is timed by the clock, the rest is processor time: on a busy host the former looks larger than it is")
    os.makedirs(LOGS, exist_ok=True)
    with tempfile.TemporaryDirectory() as root:
        os.mkdir(f"{root}/bench")
        shutil.copy(os.path.join(LOGS, "programs/ringer-bench"), f"{root}/bench")
        archive = os.path.join(LOGS, "where-programs.cpio")
        with open(archive, "wb") as f:
            subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], input=b"bench\nbench/ringer-bench\n", cwd=root, stdout=f, check=True)
    script = SCRIPT.format(rows=" ".join(ROWS[args.quick]), budget=MILLISECONDS[args.quick])
    ramdisk = initrd(os.path.join(LOGS, "where.cpio"), script, archive)
    for _, system in benchlib.alternate(report, args):
        try:
            measure(report, system, ramdisk)
        except Failure as failure:
            report.fail(system.name, str(failure))
    return report.finish(args)


sys.exit(main())
