#!/usr/bin/env python3
"""The same programs on the host, in Debian's kernel under Ringer, and in the same kernel under QEMU's TCG, in alternation: one table.

  bench/run.py [--quick] [--runs N] [--kernel 686] [--flavours auto,checked] [--rows NAME,...] [--json FILE] [--stats FILE]

The programs are bench/programs, one static i386 binary, which the guest gets in a second cpio archive behind the test initramfs. A figure is the
fastest repetition of all runs, in nanoseconds of the clock of the machine it ran on; how far the guests' clocks are off the host's is printed too.
Checksums of one row must agree everywhere. Progress is on stderr, the table on stdout. docs/bench.md says more.
"""

import argparse
import json
import math
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "bench/lib"), os.path.join(ROOT, "tests/lib")]
sys.dont_write_bytecode = True

import benchlib  # noqa: E402
from machine import Failure, Machine  # noqa: E402

GUESTS = os.path.join(ROOT, "build/guests")
OUT = os.path.join(ROOT, "build/bench")
PROGRAM = os.path.join(OUT, "programs/ringer-bench")
LINE = r"^(BENCH(?:-ROW|-FAIL|-END)? [^\r\n]*)\r*\n"
BUDGET = {True: 100, False: 400}  # milliseconds for the repetitions of a row, by --quick
BOOT_LIMIT = 120  # seconds
ROW_LIMIT = 45  # the program itself gives up after 30
QUICK_LIMIT = 90  # for all rows of one run
FULL_LIMIT = 300
SPREAD = 1.5  # runs, or median and fastest repetition, that differ by more are named

SCRIPT = """#!/bin/sh
cat /sys/devices/system/clocksource/clocksource0/current_clocksource | sed 's/^/BENCH-CLOCKSOURCE /'
mkdir -p /tmp/bench
echo "BENCH-BEGIN $(/bench/ringer-bench clock)"
for row in {rows}; do
	echo "BENCH-ROW $row"
	/bench/ringer-bench run $row {budget} /tmp/bench /bin/busybox || echo "BENCH-FAIL $row $?"
done
echo "BENCH-END $(/bench/ringer-bench clock)"
"""


def note(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


def parse(line):
    """(row, nanoseconds, checksum, median) of a result line, or None."""
    match = re.match(r"BENCH (\w+) (\w+) ([0-9.]+) ([0-9a-f]{8}) \d+ ([0-9.]+)\s*$", line)
    return (match[2], float(match[3]), match[4], float(match[5])) if match else None


def make_initrd(rows, budget):
    """The test initramfs and behind it an archive with the programs and the test that runs them."""
    tree = os.path.join(OUT, "initramfs")
    shutil.rmtree(tree, ignore_errors=True)
    for part in ("bench", "tests"):
        os.makedirs(os.path.join(tree, part))
    shutil.copy(PROGRAM, os.path.join(tree, "bench/ringer-bench"))
    test = os.path.join(tree, "tests/bench")
    with open(test, "w", encoding="utf-8") as f:
        f.write(SCRIPT.format(rows=" ".join(rows), budget=budget))
    os.chmod(test, 0o755)
    names = b"bench\nbench/ringer-bench\ntests/bench\n"
    archive = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, input=names, stdout=subprocess.PIPE, check=True)
    packed = subprocess.run(["gzip", "-9", "-n"], input=archive.stdout, stdout=subprocess.PIPE, check=True)
    path = os.path.join(OUT, "initramfs-bench.cpio.gz")
    with open(path, "wb") as out, open(os.path.join(GUESTS, "initramfs.cpio.gz"), "rb") as base:
        data = base.read()
        out.write(data + bytes(-len(data) % 4) + packed.stdout)
    return path


class Subject:
    """Something that runs the rows: its best figures, its checksums, and what its clock was off by."""

    def __init__(self, name):
        self.name = name
        self.best, self.all, self.medians, self.sums, self.failed = {}, {}, {}, {}, {}  # by row
        self.accidents = []  # runs that did not come to their end
        self.boots, self.clock_errors = [], []
        self.clocksource = None
        self.stats = {}

    def record(self, line):
        result = parse(line)
        if not result:
            return False
        row, ns, checksum, median = result
        self.best[row] = min(ns, self.best.get(row, math.inf))
        self.all.setdefault(row, []).append(ns)
        self.medians.setdefault(row, []).append(median)
        self.sums.setdefault(row, set()).add(checksum)
        return True


class Native(Subject):
    def run(self, rows, options):
        with tempfile.TemporaryDirectory(prefix="ringer-bench-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as scratch:
            for row in rows:
                argv = [PROGRAM, "run", row, str(options.budget), scratch, os.path.join(GUESTS, "busybox")]
                try:
                    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=ROW_LIMIT, check=False)
                    if not self.record(done.stdout):
                        self.failed[row] = done.stderr.strip() or f"status {done.returncode}"
                except subprocess.TimeoutExpired:
                    self.failed[row] = "too slow"
                note(".", end="")


class Guest(Subject):
    def __init__(self, name, command, stats):
        super().__init__(name)
        self.command = shlex.split(command)
        self.counted = stats

    def run(self, rows, options):
        argv = self.command + ["-nographic", "-m", "256", "-kernel", f"{GUESTS}/{options.kernel}/vmlinuz", "-initrd", options.initrd]
        argv += ["-append", "console=ttyS0 quiet ringer.test=bench"]
        counters = os.path.join(OUT, f"counters-{self.name}.log")
        if self.counted:
            argv += ["-d", "stats", "-D", counters]
        machine = Machine(argv, os.path.join(OUT, f"run-{self.name}.log"))
        order = []
        try:
            begin = machine.expect(r"BENCH-BEGIN (\d+)\r*\n", BOOT_LIMIT)
            self.boots.append(time.monotonic() - machine.started)
            self.clocksource = self.clocksource or clocksource(os.path.join(OUT, f"run-{self.name}.log"), machine)
            host_begin = time.monotonic()
            deadline = host_begin + options.limit
            while True:
                left = min(ROW_LIMIT, deadline - time.monotonic())
                line = machine.expect(LINE, left)[1]
                if line.startswith("BENCH-ROW"):
                    order.append(line.split()[1])
                elif line.startswith("BENCH-FAIL"):
                    self.failed[line.split()[1]] = "failed, see the log"
                elif line.startswith("BENCH-END"):
                    host = time.monotonic() - host_begin
                    self.clock_errors.append((int(line.split()[1]) - int(begin[1])) / 1e9 / host - 1)
                    break
                else:
                    self.record(line)
                    note(".", end="")
                if self.counted and not line.startswith("BENCH-FAIL"):
                    machine.kill(10)  # SIGUSR1: the counters, before and after each row
                    time.sleep(0.05)
            machine.wait(30)
        except Failure as failure:
            time.sleep(0.2)
            status = machine.process.poll()
            ended = "" if status is None else f", status {status}"
            self.accidents.append(f"{failure}{ended}" + (f", in row {order[-1]}" if order else ""))
            note(f" {self.accidents[-1]}", end="")
            with open(os.path.join(OUT, f"run-{self.name}.log"), "rb") as log, open(os.path.join(OUT, f"failed-{self.name}.log"), "wb") as kept:
                machine.log.flush()
                kept.write(log.read())
            for row in rows:
                if row not in self.best:
                    self.failed.setdefault(row, "not reached")
        finally:
            machine.close()
        if self.counted:
            self.stats = counter_differences(counters, order)


def clocksource(log, machine):
    machine.log.flush()
    with open(log, encoding="latin-1") as f:
        match = re.search(r"BENCH-CLOCKSOURCE (\S+)", f.read())
    return match[1] if match else "?"


def counter_differences(path, order):
    """What each row added to the counters; a dump was asked for at its start and at its end."""
    dumps = []
    first = None
    with open(path, encoding="latin-1") as f:
        for line in f:
            match = re.match(r"(callout \S+|\w+)\s+(\d+)\b", line)
            if not match:
                continue
            first = first or match[1]
            if match[1] == first:
                dumps.append({})
            if dumps:
                dumps[-1][match[1]] = int(match[2])
    stats = {}
    for i, row in enumerate(order):
        if 2 * i + 1 < len(dumps):
            before, after = dumps[2 * i], dumps[2 * i + 1]
            stats[row] = {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}
    return stats


def geometric_mean(values):
    values = [v for v in values if v]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def ratio(a, b):
    return a / b if a and b else None


def nanoseconds(ns):
    if ns is None:
        return "-"
    return f"{ns:,.1f}" if ns < 1000 else f"{ns:,.0f}"


def times(value):
    return "-" if value is None else f"{value:.2f}"


def table(kinds, subjects):
    """Prints the table; returns its rows, means and verdicts for --json."""
    native, tcg = subjects.get("native"), subjects.get("tcg")
    ringers = [s for s in subjects.values() if s not in (native, tcg)]
    heads = [f"{s.name}/native" for s in ringers] + [f"tcg/{s.name}" for s in ringers]
    print(f"{'row (ns)':16}" + "".join(f"{s.name:>14}" for s in subjects.values()) + "".join(f"{h:>16}" for h in heads))
    report = {"rows": {}, "means": {}, "slower_than_tcg": {}, "disagreements": []}
    for kind in dict.fromkeys(kinds.values()):
        print(f"-- {kind}")
        columns = [[] for _ in heads]
        for row in (r for r, k in kinds.items() if k == kind):
            ns = {s.name: s.best.get(row) for s in subjects.values()}
            ratios = [ratio(ns[s.name], ns.get("native")) for s in ringers] + [ratio(ns.get("tcg"), ns[s.name]) for s in ringers]
            for column, value in zip(columns, ratios):
                column.append(value)
            sums = set().union(*(s.sums.get(row, set()) for s in subjects.values()))
            mark = "" if len(sums) <= 1 else "  CHECKSUMS DIFFER"
            if mark:
                report["disagreements"].append(row)
            print(f"{row:16}" + "".join(f"{nanoseconds(v):>14}" for v in ns.values()) + "".join(f"{times(r):>16}" for r in ratios) + mark)
            report["rows"][row] = {"kind": kind, "ns": ns, "runs": {s.name: s.all.get(row, []) for s in subjects.values()},
                                   "medians": {s.name: s.medians.get(row, []) for s in subjects.values()},
                                    "ratios": dict(zip(heads, ratios)), "checksums": sorted(sums)}
            for s, r in zip(ringers, ratios[len(ringers):]):
                if r is not None and r < 1:
                    report["slower_than_tcg"].setdefault(s.name, []).append(row)
        for name, function in (("geometric mean", geometric_mean), ("least", lambda v: min(filter(None, v), default=None)),
                               ("most", lambda v: max(filter(None, v), default=None))):
            values = [function(c) for c in columns]
            print(f"{name:16}" + " " * 14 * len(subjects) + "".join(f"{times(v):>16}" for v in values))
            report["means"].setdefault(kind, {})[name] = dict(zip(heads, values))
    print()
    for s in ringers:
        print(f"{s.name}: slower than TCG: {', '.join(report['slower_than_tcg'].get(s.name, [])) or 'no row'}")
    for s in subjects.values():
        if s.boots:
            off = max(s.clock_errors, key=abs, default=None)
            print(f"{s.name}: {min(s.boots):.2f} s to the first row, clock source {s.clocksource}, guest's clock off by "
                  + ("-" if off is None else f"{100 * off:+.2f} %"))
        slow = [f"{row} {nanoseconds(s.best[row])}/{nanoseconds(min(m))}" for row, m in s.medians.items() if min(m) > SPREAD * s.best[row]]
        if slow:
            print(f"{s.name}: the median repetition is not the fastest: {', '.join(slow)}")
        uneven = [f"{row} {nanoseconds(min(all))}-{nanoseconds(max(all))}" for row, all in s.all.items() if max(all) > SPREAD * min(all)]
        if uneven:
            print(f"{s.name}: runs differ by more than {SPREAD}: {', '.join(uneven)}")
        for accident in s.accidents:
            print(f"{s.name}: A RUN FAILED: {accident}")
        for row, why in s.failed.items():
            if row not in s.best:
                print(f"{s.name}: no figure for {row}: {why}")
    return report


def contract(options, runs, kinds, subjects, report, load):
    """The figures as all suites write them (bench/lib/benchlib.py); with more for each row, and all means."""
    names = {s.name: s.name if s.name in ("native", "tcg") else f"ringer-{s.name}" for s in subjects.values()}
    rows = []
    for row, kind in kinds.items():
        rows.append({"name": row, "unit": "ns", "better": "lower", "kind": kind,
                     "values": {names[s.name]: s.all[row] for s in subjects.values() if row in s.all},
                     "medians": {names[s.name]: s.medians[row] for s in subjects.values() if row in s.medians},
                     "checksums": report["rows"][row]["checksums"]})
    failures = [f"{names[s.name]}: {accident}" for s in subjects.values() for accident in s.accidents]
    failures += [f"{names[s.name]}: no figure for {row}: {why}" for s in subjects.values() for row, why in s.failed.items() if row not in s.best]
    failures += [f"checksums differ in {row}" for row in report["disagreements"]]
    missing = {} if "tcg" in subjects else {"tcg": options.why_no_tcg}
    notes = [f"kernel {options.kernel}; the fastest repetition of each run"]
    if "native" not in subjects:
        missing["native"] = "left out"
    host = {"kernel": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count(), "cpu": benchlib.cpu_model(),
            "load": [round(load, 2), round(os.getloadavg()[0], 2)]}
    return {"suite": "programs", "host": host, "notes": notes, "missing": missing, "failures": failures, "rows": rows, "runs": runs,
            "means": report["means"], "boots": {names[s.name]: s.boots for s in subjects.values() if s.boots}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one run of each, fewer repetitions")
    parser.add_argument("--runs", type=int, help="runs of each, 2 without --quick")
    parser.add_argument("--kernel", default="686", help="686, 686-pae or rt-686-pae")
    parser.add_argument("--flavours", default="auto,checked", help="of Ringer, separated by commas")
    parser.add_argument("--rows", help="only these, separated by commas")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--stats", help="write what each row added to Ringer's counters to this file; its figures are then not for comparison")
    parser.add_argument("--ringer", default=os.path.join(ROOT, "build/release/ringer"))
    parser.add_argument("--qemu", default="qemu-system-i386 -accel tcg")
    parser.add_argument("--no-tcg", action="store_true")
    parser.add_argument("--no-native", action="store_true")
    options = parser.parse_args()
    made = subprocess.run(["make", "--no-print-directory", "-s", "bench-programs"], cwd=ROOT, stdout=sys.stderr, check=False)
    if made.returncode:
        sys.exit("bench/run.py: the programs could not be built; they want a compiler of 32-bit programs (gcc-multilib)")
    options.why_no_tcg = "left out"
    if not options.no_tcg and not benchlib.available(options.qemu):
        options.no_tcg, options.why_no_tcg = True, f"not run: {options.qemu!r}"
        print(f"missing: tcg: {options.qemu.split()[0] if options.qemu else 'QEMU'} is not here")
    try:
        listed = subprocess.run([PROGRAM, "list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    except OSError as error:
        sys.exit(f"bench/run.py: this host runs no 32-bit programs: {error}")
    kinds = {row: kind for kind, row in (line.split() for line in listed.splitlines())}
    if options.rows:
        unknown = set(options.rows.split(",")) - set(kinds)
        if unknown:
            parser.error(f"no row is called {', '.join(sorted(unknown))}; the rows are {' '.join(kinds)}")
        kinds = {row: kind for row, kind in kinds.items() if row in options.rows.split(",")}
    runs = options.runs or (1 if options.quick else 2)
    options.budget = BUDGET[options.quick]
    options.limit = QUICK_LIMIT if options.quick else FULL_LIMIT
    options.initrd = make_initrd(list(kinds), options.budget)

    subjects = {}
    if not options.no_native:
        subjects["native"] = Native("native")
    for flavour in filter(None, options.flavours.split(",")):
        subjects[flavour] = Guest(flavour, f"{options.ringer} -accel bt,flavour={flavour}", bool(options.stats))
    if not options.no_tcg:
        subjects["tcg"] = Guest("tcg", options.qemu, False)
    load = os.getloadavg()[0]
    for number in range(runs):
        for subject in subjects.values():
            note(f"run {number + 1} of {runs}, {subject.name:8} ", end="")
            start = time.monotonic()
            subject.run(list(kinds), options)
            note(f" {time.monotonic() - start:.0f} s")
    print(f"kernel {options.kernel}, {runs} run(s) of each, host {platform.release()}, {os.cpu_count()} CPUs, load average "
          f"{load:.1f} before and {os.getloadavg()[0]:.1f} after")
    report = table(kinds, subjects)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(contract(options, runs, kinds, subjects, report, load), f, indent=1)
            f.write("\n")
    if options.stats:
        with open(options.stats, "w", encoding="utf-8") as f:
            json.dump({s.name: s.stats for s in subjects.values() if s.stats}, f, indent=1)
    incomplete = any(s.accidents or row not in s.best for s in subjects.values() for row in kinds)
    return 1 if incomplete or report["disagreements"] else 0


sys.exit(main())
