#!/usr/bin/env python3
"""Nanobenchmarks: cycles of single operations, under Ringer in each flavour and QEMU's TCG in alternation, with a native column where a process can do it.

  bench/nano.py [--json FILE] [--runs N] [--quick] [--ringer CMD] [--qemu CMD] [--rows PATTERN]

Runs the guest kernels guestos/nano (rows by name; those of ring 3 begin with user_) and guestos/nano16 (real_, v86_, vme_: 16-bit code in real mode,
virtual-8086 mode, and that with CR4.VME), and bench/micro/native.c on the host. All cycles are the host's TSC cycles: a machine whose TSC runs at
another rate, by its own 8254, is converted.

"paper" columns: K. Adams, O. Agesen, "A Comparison of Software and Hardware Techniques for x86 Virtualization", ASPLOS 2006, section 6.3: cycles on a 3.8 GHz
Pentium 4, native and under VMware's binary translator. Only figures that its text states are here ("~" where it gives them in words). Where the
operation cannot be the same the note says what stands for it.
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
sys.dont_write_bytecode = True
import benchlib  # noqa: E402

# Of the software VMM: "approximately 2000 more cycles than a native system call"; "fifteen times faster than native"; "35 cycles, about four times faster".
PAPER = {
    "syscall_sysenter": ("", "native+~2000"),
    "in_post_port": ("3209", "~native/15"),
    "write_cr0": ("~4*35", "35"),
    "call_ret": ("11", "51"),
    "page_fault": ("1093", "3927"),
    "divide_error": ("889", "3223"),
    "write_pte_in_use": ("1", "391"),
}
NAMES = {"syscall_sysenter": "syscall", "in_post_port": "in", "write_cr0": "cr8wr", "call_ret": "call/ret", "page_fault": "pgfault", "divide_error": "divzero",
         "write_pte_in_use": "ptemod"}
LIMIT = 180


def guest(system, kernel, quick):
    """The guest kernel's lines. Raises RuntimeError."""
    log = os.path.join(benchlib.OUT, f"nano-{system.name}.log")
    if system.ringer:
        console = ["-nographic"]
    else:
        console = ["-cpu", "max", "-display", "none", "-monitor", "none", "-serial", "stdio"]
    argv = system.argv + console + ["-m", "64", "-no-reboot", "-device", "isa-debug-exit,iobase=0x501,iosize=2", "-append", "quick" if quick else "",
                                    "-kernel", benchlib.kernel_path(kernel)]
    with open(log, "wb") as out:
        try:
            status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=LIMIT, check=False).returncode
        except (subprocess.TimeoutExpired, OSError) as e:
            raise RuntimeError(f"{kernel}: {e}") from e
    with open(log, encoding="utf-8", errors="replace") as f:
        text = f.read()
    if status != 1 or not re.search(r"^BENCH end", text, re.M):
        raise RuntimeError(f"{kernel}: status {status}, no end: see {log}")
    return text


def parse(text):
    """({row: cycles}, the TSC's kHz or None, notes)"""
    rows = {name: float(value) for name, value in re.findall(r"^BENCH (\S+) ([\d.]+)\r?$", text, re.M) if name != "end"}
    tsc = re.search(r"^TSC (\d+)", text, re.M)
    return rows, int(tsc[1]) if tsc else None, re.findall(r"^NOTE (.*?)\r?$", text, re.M)


def native(quick):
    out = subprocess.run([os.path.join(benchlib.OUT, "micro/native"), *(["quick"] if quick else [])], stdout=subprocess.PIPE, text=True, timeout=LIMIT,
                         check=True).stdout
    return parse(out)


def main():
    args = benchlib.arguments(__doc__, more=lambda p: p.add_argument("--rows", metavar="REGEX", default="", help="only rows whose names match"))
    os.makedirs(benchlib.OUT, exist_ok=True)
    benchlib.make("guestos", "build/bench/micro/native")
    report = benchlib.Report("nano", args, systems=benchlib.systems(args))
    wanted = re.compile(args.rows)
    figures, clocks, native_rows = [], {}, []
    for run, system in benchlib.alternate(report, args):
        if system is report.systems[0]:
            rows, clocks["native"], notes = native(args.quick)
            native_rows.append(rows)
            for note in notes:
                report.note(note)
        try:
            # nano16 has no measurement of the TSC of its own: it is that of the same machine.
            for kernel in ("nano", "nano16"):
                rows, tsc, notes = parse(guest(system, kernel, args.quick))
                clocks[system.name] = tsc or clocks.get(system.name)
                figures.append((system.name, rows, clocks[system.name]))
                # An operation that trapped, an interrupt that did not come, old code executed: under Ringer that is a bug.
                for note in notes:
                    if system.ringer:
                        report.fail(system.name, f"{kernel}: {note}")
                    else:
                        report.note(f"{system.name}: {note}")
        except RuntimeError as e:
            report.fail(system.name, e)
    for name, rows, tsc in figures:
        scale = clocks["native"] / tsc if tsc else 1
        # The measurement of a guest's clock is no better than this.
        scale = 1 if abs(scale - 1) < 0.05 else scale
        for row, cycles in rows.items():
            if wanted.search(row):
                bare, bt = PAPER.get(row, (None, None))
                paper = {"paper row": NAMES[row], "paper native": bare or "-", "paper bt": bt} if bt else None
                report.add(row, name, round(cycles * scale, 1), unit="cycles", paper=paper)
    known = set(report.rows)
    for rows in native_rows:
        for row, cycles in rows.items():
            for name in {row, f"user_{row}"} & known:
                report.add(name, "native", cycles, unit="cycles")
    for name, tsc in clocks.items():
        if tsc and abs(clocks["native"] / tsc - 1) >= 0.05:
            report.note(f"{name}: its TSC runs at {tsc / 1e3:.0f} MHz, the host's at {clocks['native'] / 1e3:.0f}: converted")
    report.note("paper: Adams & Agesen, ASPLOS 2006, section 6.3 (3.8 GHz Pentium 4). Its syscall is the 64-bit SYSCALL, here SYSENTER/SYSEXIT; its cr8wr "
                "has no counterpart in 32 bits, MOV to CR0 stands for it; its ptemod is write_pte_in_use.")
    report.note("native syscall rows are Linux's getpid; native sgdt to str are what the host's kernel makes of them under UMIP; native cpuid traps if the "
                "host is itself a virtual machine.")
    report.note("irq_timer_ rows are times from when the 8254 was due, which counts in steps of 838 ns; best and median of the shots of one run.")
    return report.finish(args)


sys.exit(main())
