#!/usr/bin/env python3
"""Shadow paging: what it costs to see the guest's pages, and how that grows with working set, page size, address spaces and the budget of host mappings.

  bench/shadow.py [--json FILE] [--runs N] [--quick] [--ringer CMD] [--qemu CMD]

- ws_N, map_KIND, spaces_N, churn: the guest kernel guestos/pages; cycles of the TSC for a page that is touched (for spaces: for a switch of address space
  that touches 16 pages): _first (the host has to find the page as well), _second (once a monitor has seen that the code is hot), _warm. user_ is ring 3,
  kernel_ ring 0;
- counters of -d stats, in units of one page or one switch of such a run, as rows NAME.COUNTER of Ringer's flavours: fills, pages, mappings and zaps of
  windows, software-TLB fills, signals. They are the run's, less those of a run that touches nothing;
- maps_N: a scattered working set of 32 MiB (and 64 address spaces) with -accel bt,max-maps=N;
- procs_N: Debian's 686 kernel; N processes in a ring of pipes, each touching 16 pages: nanoseconds for a switch, and on the host;
- work_NAME.COUNTER: the counters that rows of bench/run.py add under Debian (bench/run.py --stats), whole numbers for one run of the row.
"""

import json
import os
import re
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
sys.dont_write_bytecode = True
import benchlib  # noqa: E402
import linuxguest  # noqa: E402

COUNTERS = ("windows_made", "windows_evicted", "windows_demoted", "window_fills", "window_pages", "window_mappings", "window_upgrades", "window_zaps", "window_resets",
            "tlb_fills", "true_faults", "signals", "table_writes", "guilty")
PROGRAMS = os.path.join(benchlib.OUT, "programs/ringer-bench")
RING = os.path.join(benchlib.OUT, "micro/ring")
WORK = "fork_exec,shell_spawn,page_fault,copy_on_write,mprotect_flip,pipeline,sh_gzip"
QUICK_WORK = "fork_exec,page_fault"
LIMIT = 180


def cases(quick):
    """[(row, command line, divisor of the counters)]"""
    found = []
    for mib in (4, 64) if quick else (1, 4, 16, 64, 256):
        found.append((f"user_ws_{mib}", f"mib={mib}", mib * 256))
    for kind in ("scattered", "large"):
        found.append((f"user_map_{kind}", f"mib=16 map={kind}", 4096))
    for kind in () if quick else ("contiguous", "scattered", "large"):
        found.append((f"kernel_map_{kind}", f"mib=16 map={kind} ring=0", 4096))
    for spaces in (4, 64) if quick else (1, 4, 16, 64, 256):
        found.append((f"user_spaces_{spaces}", f"spaces={spaces}", None))
    for spaces in () if quick else (1, 16, 256):
        found.append((f"kernel_spaces_{spaces}", f"spaces={spaces} ring=0", None))
    found.append(("user_churn", "churn", None))
    if not quick:
        found.append(("kernel_churn", "churn ring=0", None))
    return found


def pages(system, append, label, options=()):
    """Runs guestos/pages. Returns ({row: cycles}, counters or {}). Raises RuntimeError."""
    log, stats = (os.path.join(benchlib.OUT, f"shadow-{system.name}.{end}") for end in ("log", "stats"))
    if system.ringer:
        more = ["-nographic", "-d", "stats", "-D", stats]
    else:
        more = ["-cpu", "max", "-display", "none", "-monitor", "none", "-serial", "stdio"]
    argv = system.argv + [*options, *more, "-m", "320", "-no-reboot", "-device", "isa-debug-exit,iobase=0x501,iosize=2", "-append", append,
                          "-kernel", benchlib.kernel_path("pages")]
    with open(log, "wb") as out:
        try:
            status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=LIMIT, check=False).returncode
        except (subprocess.TimeoutExpired, OSError) as e:
            raise RuntimeError(f"{label}: {e}") from e
    with open(log, encoding="utf-8", errors="replace") as f:
        text = f.read()
    if status != 1 or not re.search(r"^BENCH end", text, re.M):
        raise RuntimeError(f"{label}: status {status}, no end: see {log}")
    rows = {name: float(value) for name, value in re.findall(r"^BENCH (\S+) ([\d.]+)\r?$", text, re.M) if name != "end"}
    return rows, linuxguest.counters(stats) if system.ringer else {}


def guest_kernel(report, args):
    wanted = cases(args.quick)
    for _, system in benchlib.alternate(report, args):
        try:
            _, idle = pages(system, "nothing", "nothing")
        except RuntimeError as e:
            report.fail(system.name, e)
            continue
        for label, append, divisor in wanted:
            try:
                rows, stats = pages(system, append, label)
            except RuntimeError as e:
                report.fail(system.name, e)
                continue
            for row, cycles in rows.items():
                report.add(f"{label}_{row}", system.name, cycles, unit="cycles")
            if divisor is None:
                continue
            for name in COUNTERS:
                delta = stats.get(name, 0) - idle.get(name, 0)
                if delta > 0:
                    report.add(f"{label}.{name}", system.name, round(delta / divisor, 5), unit="per page", better="none")


def budgets(report, args):
    for _ in range(args.runs):
        for maps in (300, 60000) if args.quick else (300, 1000, 3000, 10000, 30000, 60000):
            for flavour in ("direct",) if args.quick else ("auto", "direct"):
                system = benchlib.System(f"ringer-{flavour}", shlex.split(args.ringer) + ["-accel", f"bt,flavour={flavour},max-maps={maps}"], flavour)
                for label, append in (("scattered_32", "mib=32 map=scattered"), ("spaces_64", "spaces=64")):
                    try:
                        rows, stats = pages(system, append, f"maps_{maps}_{label}")
                    except RuntimeError as e:
                        report.fail(system.name, e)
                        continue
                    report.add(f"maps_{maps}_{label}_warm", system.name, rows["warm"], unit="cycles")
                    for name in ("window_fills", "windows_evicted", "window_resets"):
                        report.add(f"maps_{maps}_{label}.{name}", system.name, stats[name], better="none")


def processes(report, args):
    counts = (2, 64) if args.quick else (2, 4, 8, 16, 32, 64, 128, 256)
    budget = 100 if args.quick else 300
    script = "".join(f"/bench/ring {n} {budget}\n" for n in counts) + "echo BENCH-END\n"

    def record(name, text):
        for n, ns in re.findall(r"^RING (\d+) ([\d.]+)\r?$", text, re.M):
            report.add(f"procs_{n}", name, float(ns), unit="ns")

    ramdisk = linuxguest.initrd("shadow", script, [RING])
    for _, system in benchlib.alternate(report, args):
        if system is report.systems[0]:
            record("native", "".join(subprocess.run([RING, str(n), str(budget)], stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT).stdout
                                     for n in counts))
        try:
            text, stats, _ = linuxguest.run(system, ramdisk, name="procs")
        except linuxguest.Failed as e:
            report.fail(system.name, f"procs: {e}")
            continue
        record(system.name, text)
        for name in COUNTERS:
            if stats.get(name):
                report.add(f"procs_all.{name}", system.name, stats[name], better="none")


def workloads(report, args):
    """The counters of rows of the macro benchmarks, by its own --stats."""
    out = os.path.join(benchlib.OUT, "shadow-work.json")
    if os.path.exists(out):
        os.unlink(out)
    done = subprocess.run([os.path.join(benchlib.ROOT, "bench/run.py"), "--quick", "--runs", "1", "--rows", QUICK_WORK if args.quick else WORK, "--flavours",
                           "auto" if args.quick else "auto,checked,direct", "--no-tcg", "--no-native", "--stats", out, "--ringer", args.ringer],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode or not os.path.exists(out):
        report.fail("ringer", f"bench/run.py --stats: status {done.returncode}: {done.stdout[-300:]}")
        return
    with open(out, encoding="utf-8") as f:
        for flavour, rows in json.load(f).items():
            for row, stats in rows.items():
                for name in COUNTERS:
                    if stats.get(name):
                        report.add(f"work_{row}.{name}", f"ringer-{flavour}", stats[name], better="none")


def main():
    args = benchlib.arguments(__doc__, runs=2)
    os.makedirs(benchlib.OUT, exist_ok=True)
    benchlib.make("guestos", "bench-programs", "build/bench/micro/ring")
    report = benchlib.Report("shadow", args, systems=benchlib.systems(args, ("auto", "direct") if args.quick else benchlib.FLAVOURS))
    report.note("_first rows contain what the host's kernel takes to give the process a zeroed page of memory; the other rows do not.")
    guest_kernel(report, args)
    budgets(report, args)
    why = linuxguest.missing()
    if why:
        report.note(f"procs_, work_: {why}")
        return report.finish(args)
    processes(report, args)
    workloads(report, args)
    return report.finish(args)


sys.exit(main())
