#!/usr/bin/env python3
"""Crash reports of a machine that runs: signals from outside, the file's sections, exit status, terminal, and flushed disk writes.

    tests/crash/run.py [RINGER]

The guest is a boot sector: it writes a sector of its disk and flushes, says K on the serial port, and then either spins (its vCPU is in
translated code) or halts. Prints PASS and FAIL lines.
"""
import ctypes
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time

SECTOR = """
.code16
.globl _start
_start:
	xor %ax, %ax
	mov %ax, %es
	mov $0x7c00, %bx
	mov $0x0301, %ax	# INT 13h: write this sector to sector 2
	mov $0x0002, %cx
	mov $0x0080, %dx
	int $0x13
	mov $0x1f7, %dx		# FLUSH CACHE
	mov $0xe7, %al
	out %al, %dx
1:	in %dx, %al
	test $0x80, %al
	jnz 1b
	mov $0x3f8, %dx
	mov $'K', %al
	out %al, %dx
	mov $0x12345678, %esi
2:	%s
	jmp 2b
	.org 510
	.word 0xaa55
"""

SECTIONS = ["host registers", "versions", "command line", "guest (", "guest code", "translation units entered last",
            "interrupts and exceptions delivered last", "counters", "end"]


def make_disk(path, loop):
    base = path + ".o"
    source = SECTOR.replace("%s", loop, 1)
    subprocess.run(["as", "--32", "-o", base, "-"], input=source.encode(), check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", path, base], check=True)
    with open(path, "r+b") as f:
        f.truncate(1 << 20)


def start(ringer, directory, args):
    """The process on a pty, once the guest has said K; its settings before it ran; where the pty's other end is."""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    p = subprocess.Popen([ringer, "-nographic", "-m", "16", *args], cwd=directory, stdin=slave, stdout=slave, stderr=subprocess.PIPE)
    seen, end = b"", time.monotonic() + 30
    while not seen.endswith(b"K"):
        if time.monotonic() > end or p.poll() is not None:
            p.kill()
            raise RuntimeError("the guest did not come up: %r" % seen[-200:])
        if select.select([master], [], [], 0.2)[0]:
            seen += os.read(master, 4096)
    time.sleep(0.1)
    return p, master, slave, before


def busiest_thread(pid):
    """The vCPU's, where the guest spins."""
    def ticks(tid):
        with open("/proc/%d/task/%s/stat" % (pid, tid)) as f:
            return int(f.read().rsplit(")", 1)[1].split()[11])
    time.sleep(0.3)
    return int(max(os.listdir("/proc/%d/task" % pid), key=ticks))


def tgkill(pid, tid, sig):
    if ctypes.CDLL(None, use_errno=True).syscall(234, pid, tid, int(sig)):
        raise OSError(ctypes.get_errno(), "tgkill")


def crash(ringer, sig, loop, option=None, in_guest=False):
    problems = []
    with tempfile.TemporaryDirectory() as d:
        disk = os.path.join(d, "disk.img")
        make_disk(disk, loop)
        args = ["-drive", "file=%s,format=raw" % disk] + (["-crash-report", option] if option else [])
        p, master, slave, before = start(ringer, d, args)
        if termios.tcgetattr(slave) == before:
            problems.append("the terminal was not raw: nothing to restore")
        if in_guest:
            tgkill(p.pid, busiest_thread(p.pid), sig)
        else:
            os.kill(p.pid, sig)
        err = p.communicate(timeout=20)[1].decode()
        if p.returncode != 70:
            problems.append("exit status %d" % p.returncode)
        if termios.tcgetattr(slave) != before:
            problems.append("the terminal's settings are not restored")
        os.close(master)
        os.close(slave)
        with open(disk, "rb") as f:
            data = f.read(1024)
        if data[:512] != data[512:]:
            problems.append("the flushed sector is not on the disk")
        last = err.rstrip("\n").split("\n")[-1]
        if option == "none":
            if "crash report" in err or [n for n in os.listdir(d) if "crash" in n]:
                problems.append("a report in spite of none")
            return problems
        name = option or "ringer-crash-%d.txt" % p.pid
        if last != "ringer: crash report: " + name:
            problems.append("the last line is %r" % last)
        with open(os.path.join(d, name)) as f:
            text = f.read()
        at = 0
        for section in SECTIONS:
            found = text.find("\n-- " + section, at)
            if found < 0:
                problems.append("no section '%s'" % section)
            at = max(at, found)
        wanted = (r"-- guest \(in translated code\)", r"ESI=12345678", r"\n-- host code --\nTU ")
        for pattern in (wanted if in_guest else ()) + (r"signal %d, sent by process %d\n" % (sig, os.getpid()), r"real mode", r"\n=> [0-9a-f]{8}  .*(jmp|hlt|nop)",
                        r"\ninterrupt (08|09|76) at ", r"-nographic -m 16 -drive"):
            if not re.search(pattern, text):
                problems.append("nothing matches %r" % pattern)
        if os.environ.get("SHOW"):
            print(text)
    return problems


def main():
    ringer = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build/release/ringer")
    signals = (signal.SIGSEGV, signal.SIGILL, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE)
    cases = [(s, "nop", None, False) for s in signals]
    cases += [(s, "nop", None, True) for s in signals if s != signal.SIGABRT]
    cases += [(signal.SIGSEGV, "hlt", "report.txt", False), (signal.SIGSEGV, "nop", "none", False)]
    failed = False
    for sig, loop, option, in_guest in cases:
        name = "%s to the %s, guest in %s, -crash-report %s" % (sig.name, "vCPU" if in_guest else "process", loop, option)
        try:
            problems = crash(ringer, sig, loop, option, in_guest)
        except (RuntimeError, OSError, subprocess.SubprocessError) as e:
            problems = [str(e)]
        failed |= bool(problems)
        print("%s %s%s" % ("FAIL" if problems else "PASS", name, "".join("\n\t" + p for p in problems)), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
