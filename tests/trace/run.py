#!/usr/bin/env python3
"""What -d, -perfmap, -jitdump and -d profile say of whole machines, and that the guest does not notice.

  tests/trace/run.py [--runner RINGER] [CASE...]
"""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
sys.dont_write_bytecode = True

from harness import ROOT, Suite  # noqa: E402

suite = Suite("trace", __doc__)
KERNELS = os.path.join(ROOT, "build/guestos")
ITEMS = "in_asm,out_asm,exec,cpu,int,cpu_reset,guest_errors,unimp,mmu,page,smc,io,nochain,stats,profile,insn"


def kernel(name):
    return os.path.join(KERNELS, f"{name}.elf")


def run_kernel(run, name, *options, limit=100, prefix=(), symbols=True):
    """Runs a kernel that ends by itself: its output, and the log."""
    log = run.path("log")
    argv = [*prefix, os.path.abspath(run.runner), "-nographic", "-m", "64", "-no-reboot", "-device", "isa-debug-exit,iobase=0x501,iosize=2",
            "-kernel", kernel(name), "-D", log, *(["-kernel-symbols", kernel(name)] if symbols else []), *options]
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, cwd=run.directory)
    with open(log, errors="replace") as f:
        return p, f.read()


def has(run, name, pattern, text):
    found = re.search(pattern, text, re.M)
    run.check(f"{name}: no match of {pattern!r}", found)
    return found


@suite.case
def everything(run):
    """All items at once: the demo kernel does its work, and each item has its say."""
    log = run.path("log")
    m = run.start(["-nographic", "-m", "64", "-kernel", kernel("demo"), "-d", ITEMS, "-D", log, "-kernel-symbols", kernel("demo")],
                  terminal=True)
    m.expect(r"> $", 90)
    m.send("mem\r")
    m.expect("memory: [0-9]+ KiB", 90)
    m.send("\x01x")
    run.check("exit status", m.wait(30) == 0)
    with open(log, errors="replace") as f:
        text = f.read()
    for name, pattern in {
            "in_asm": r"^  0x[0-9a-f]{8}  9d +popfd$",
            "out_asm": r"^    [0-9a-f]{8}  \+[0-9a-f]+  popfq +; RFLAGS has",
            "exec": r"^exec 0008:00[0-9a-f]{6} host [0-9a-f]{8} mode ",
            "cpu": r"^EIP=[0-9a-f]{8} EFL=[0-9a-f]{8} \[[-DOSZAPC]{7}\] CPL=0",
            "int": r"^int [0-9a-f]{2} external interrupt\n  from 0008:",
            "cpu_reset": r"^CPU Reset \(CPU 0\)$",
            "mmu": r"^mmu: CR3 00000000 -> [0-9a-f]{8}",
            "page": r"^page: window \d+ \(supervisor, cr3 [0-9a-f]{8}\): fill of ",
            "smc": r"^smc: pa [0-9a-f]+ has code now",
            "io": r"^io: write port 0020, 1 bytes <- 0x20  pic: master command",
            "stats": r"^tus_made +[0-9]+",
            "profile": r"^profile: [0-9]+ samples",
    }.items():
        has(run, name, pattern, text)
    run.check("nochain: an exit was chained", re.search(r"^chains +0 ", text, re.M))
    run.check("a field of the vCPU has no name", "UNNAMED" not in text)
    run.check("host code that is none", "not an instruction" not in text)


@suite.case
def popf(run):
    """POPF beside what becomes of it, in this order and before the next guest instruction."""
    _, log = run_kernel(run, "nano", "-d", "in_asm,out_asm", "-accel", "bt,flavour=checked")
    found = has(run, "POPF", r"^  0x[0-9a-f]{8}  9d +popfd\n((?:    .*\n)+)  0x", log)
    body = found[1] if found else ""
    at = 0
    for part in ("flat table", "miss -> thunk_miss1", "[r14+sysflags]", "callout -> thunk_callout", "IF lives in sysflags", "popfq",
                 "[r14+events]", "cold: miss of a read", "cold: callout", "emu_popf", "cold: event behind POPF"):
        next_at = body.find(part, at)
        run.check(f"no {part!r} where it should be in:\n{body}", next_at >= 0)
        at = max(at, next_at)


@suite.case
def page_fault(run):
    """A user's fetch from a page that is not there (guestos/shadow): the record has the state before and after; FPU tests pass beside."""
    p, log = run_kernel(run, "shadow", "-d", "int,mmu,page,smc")
    run.check("the kernel's own tests", re.search(rb"^SUMMARY: \d+ passed, 0 failed", p.stdout, re.M))
    has(run, "int", r"^mmu: user fetch of 10001000 faults: error 0004 cr3 [0-9a-f]{8} pde [0-9a-f]{8} pte 00000000\n"
        r"int 0e exception #PF error 0004 cr2 10001000\n"
        r"  from 001b:10001000 ss:esp 0023:[0-9a-f]{8} efl [0-9a-f]{8} cpl 3\n"
        r"    to 0008:00[0-9a-f]{6} ss:esp 0010:[0-9a-f]{8} efl [0-9a-f]{8} cpl 0$", log)
    has(run, "INT n", r"^int 80 software interrupt\n  from 001b:", log)
    has(run, "page", r"^page: window \d+ \(supervisor, cr3 [0-9a-f]{8}\): zap of ", log)
    has(run, "smc", r"^smc: write to pa [0-9a-f]+\+4 drops TU [0-9a-f]{8} mode ", log)


@suite.case
def filter(run):
    """-dfilter: nothing outside of it in in_asm and exec."""
    _, log = run_kernel(run, "nano", "-d", "in_asm,exec,cpu,nochain", "-dfilter", "0x100010+0x10,0xfffffff0..0xffffffff")
    run.check("the entry", "TU 0x00100010" in log and "exec 0008:00100010" in log and "EIP=00100010" in log)
    run.check("others", all(0x100010 <= int(x, 16) < 0x100020 for x in re.findall(r"^(?:TU 0x|exec 0008:|EIP=)([0-9a-f]{8})", log, re.M)))


@suite.case
def devices(run):
    """SeaBIOS touches them all: each is named, with a register; trace:DEVICE has that device's accesses and no others."""
    log = run.path("log")
    for items in ("io", "trace:rtc,trace:acpi_pm"):
        m = run.start(["-nographic", "-m", "64", "-serial", "null", "-debugcon", "stdio", "-global", "isa-debugcon.iobase=0x402",
                       "-d", items, "-D", log])
        m.expect("No bootable device", 90)
        m.kill()
        m.wait(30)
        with open(log, errors="replace") as f:
            lines = [line for line in f if line.startswith("io: ")]
        seen = {match[1] for match in (re.search(r"  ([a-z0-9_]+): [A-Za-z0-9 /+]+  \(eip", line) for line in lines) if match}
        if items == "io":
            for name in ("pic", "pit", "rtc", "uart", "i8042", "ide", "fdc", "dma", "lapic", "pci", "vga", "fw_cfg", "acpi_pm", "sysctl", "lpt"):
                run.check(f"no access to {name}", name in seen)
            run.check("CMOS", any("write port 0070, 1 bytes <- 0x8f  rtc: index" in line for line in lines))
            run.check("nobody's port", any("no device answers" in line for line in lines))
        else:
            run.check(f"other devices: {seen}", seen == {"rtc", "acpi_pm"} and len(lines) > 10)


@suite.case
def profile(run):
    """The profile at exit has the kernel's functions by name, and the guest sees none of it."""
    p, log = run_kernel(run, "nano", "-d", "profile")
    run.check("the kernel's benchmarks", p.stdout.count(b"BENCH ") > 10)
    found = has(run, "samples", r"^profile: ([0-9]+) samples, one a millisecond: ([0-9.]+)% in translated code", log)
    run.check("time in translated code", found and int(found[1]) > 20 and float(found[2]) > 1)
    has(run, "units", r"^translation units by samples:\n +[0-9]+ +[0-9.]+%  [0-9a-f]{8}  cpl [03] (?:direct |checked)  [a-z_]+", log)


@suite.case
def perf(run):
    """perf report resolves translated code: by the map, and by the dump."""
    if not shutil.which("perf"):
        run.skip("perf is not installed")
        return
    env = {**os.environ, "HOME": run.directory}  # perf keeps what it has seen
    for option, inject in (("-perfmap", False), ("-jitdump", True)):
        data = run.path(f"perf{option}.data")
        try:
            # The map stays in /tmp, by its process's number.
            run_kernel(run, "nano", option, prefix=["perf", "record", "-q", "-k", "mono", "-o", data, "sh", "-c", 'echo $$ >pid; exec "$@"', "sh"])
        except FileNotFoundError:
            run.skip("perf cannot record here")
            return
        if not os.path.exists(data) or not os.path.getsize(data):
            run.skip("perf cannot record here")
            return
        if inject:
            subprocess.run(["perf", "inject", "--jit", "-i", data, "-o", data + ".jit"], cwd=run.directory, capture_output=True,
                           check=True, env=env)
            data += ".jit"
        p = subprocess.run(["perf", "report", "-i", data, "--stdio", "--sort", "dso,sym"], cwd=run.directory, capture_output=True,
                           text=True, env=env)
        if not inject:
            with open(run.path("pid")) as f:
                os.unlink(f"/tmp/perf-{f.read().strip()}.map")
        has(run, option, r"(?:\[JIT\] tid [0-9]+|jitted-[0-9-]+\.so) +\[\.\] [a-z_]+(?:\+0x|\s*$)", p.stdout)


if __name__ == "__main__":
    sys.exit(suite.main())
