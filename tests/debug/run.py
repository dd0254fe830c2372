#!/usr/bin/env python3
"""gdb debugs Debian's kernel and its user code through -gdb, with the symbols that scripts/ksyms.py finds.

  tests/debug/run.py [--runner COMMAND] [CASE...]

Each case is one or more sessions of the real gdb in batch mode. Prints PASS and FAIL lines and a SUMMARY; logs are in build/tests/debug/.
"""

import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import harness  # noqa: E402
from harness import BOOT, GUESTS, ROOT, contents, free_port, wait_until  # noqa: E402
from machine import PROMPT, Failure  # noqa: E402

KERNEL = f"{GUESTS}/686/vmlinuz"
LIMIT = 120  # seconds for a session on a slow, busy host


class Session:
    """gdb, told what to do by a file of commands."""

    def __init__(self, run, target, commands):
        self.run = run
        number = len([f for f in os.listdir(run.directory) if f.endswith(".gdb")])
        script = run.path(f"{number}.gdb")
        self.out = os.path.join(run.logs, f"{run.name}-gdb-{number}.log")
        with open(script, "w", encoding="utf-8") as f:
            f.write("set pagination off\nset confirm off\nset remotetimeout 60\nset tcp connect-timeout 30\n")
            f.write(f"symbol-file {run.symbols}\ntarget remote {target}\n{commands}\n")
        with open(self.out, "wb") as log:
            self.process = subprocess.Popen(["gdb", "-nx", "-batch", "-x", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        run.sessions.append(self)

    def text(self):
        return contents(self.out)

    def wait_for(self, pattern, limit=LIMIT):
        """Waits for a line of gdb's."""
        ended = []

        def found():
            done = self.process.poll() is not None
            match = re.search(pattern, self.text(), re.M)
            if done and not match:
                ended.append(True)
            return match or done
        match = wait_until(found, limit)
        if not match or match is True:
            raise Failure(f"gdb {'ended without' if ended else 'does not say'} {pattern!r}: see {self.out}")
        return match

    def end(self, limit=LIMIT):
        """Waits for its end; what it said."""
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failure(f"gdb does not end: see {self.out}") from None
        return self.text()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Run(harness.Run):
    def __init__(self, suite, args, name, directory):
        super().__init__(suite, args, name, directory)
        self.sessions = []
        self.symbols = os.path.join(suite.logs, "686.elf")
        if not os.path.exists(self.symbols) or os.path.getmtime(self.symbols) < os.path.getmtime(KERNEL):
            subprocess.run([f"{ROOT}/scripts/ksyms.py", KERNEL, self.symbols + ".new"], check=True, stdout=subprocess.DEVNULL)
            os.replace(self.symbols + ".new", self.symbols)

    def boot(self, flavour="auto", options=(), target=None, to_shell=True):
        """A kernel at its shell; where the debugger finds it."""
        target = target or f"127.0.0.1:{free_port(6500, 6900)}"
        device = f"unix:{target}" if target.startswith("/") else f"tcp:{target}"
        if self.is_qemu and target.startswith("/"):
            device += ",server=on,wait=off"
        argv = ["-nographic", "-m", "256", "-kernel", KERNEL, "-initrd", f"{GUESTS}/initramfs.cpio.gz", "-gdb", device]
        argv += ["-append", f"console=ttyS0 nokaslr ringer.now={int(time.time())}"]
        if not self.is_qemu:
            argv += ["-accel", f"bt,flavour={flavour}"]
        machine = self.start(argv + list(options), terminal=True)
        if to_shell:
            machine.expect(PROMPT, BOOT)
        return machine, target

    def gdb(self, target, commands):
        return Session(self, target, commands)

    def says(self, text, name, pattern):
        match = re.search(pattern, text, re.M)
        self.check(f"{name}: no {pattern!r}", match)
        return match

    def close_sessions(self):
        for session in self.sessions:
            session.close()


suite = harness.Suite("debug", __doc__, Run)


def case(function):
    """A case whose debuggers end with it."""
    def whole(run):
        try:
            function(run)
        finally:
            run.close_sessions()
    whole.__name__ = function.__name__
    return suite.case(whole)


# From a system call's first instruction to the user's code behind it, then to a breakpoint there, which the next process meets as well.
KERNEL_AND_USER = """
break *&__ia32_sys_getpid
echo READY\\n
continue
printf "STOP %#x\\n", $pc
printf "IS %#x\\n", &__ia32_sys_getpid
backtrace 2
info symbol *(unsigned *)$esp
printf "CPL %d\\n", $cs & 3
printf "CR0.PG %d\\n", ($cr0 & 0x80000000) != 0
x/2i $pc
delete
set $n = 0
while ($cs & 3) == 0 && $n < 3000
  stepi
  set $n = $n + 1
end
printf "USER CPL %d after %d\\n", $cs & 3, $n
printf "TF %d\\n", ($eflags >> 8) & 1
set $user = $pc
set $esp_user = $esp
stepi
stepi
printf "STEPPED %d\\n", $pc != $user
break *$user
continue
printf "AGAIN %d CPL %d\\n", $pc == $user, $cs & 3
continue
printf "AND AGAIN %d\\n", $pc == $user
delete
detach
"""


def interrupt_loop(machine):
    """Ctrl-C until the prompt is there: one is lost if it comes while the terminal still belongs to a child that is ending."""
    deadline = time.monotonic() + BOOT
    while True:
        machine.send("\x03")
        try:
            machine.expect(PROMPT, 2)
            return
        except Failure:
            if time.monotonic() > deadline:
                raise


def kernel_and_user(run, flavour):
    machine, target = run.boot(flavour)
    session = run.gdb(target, KERNEL_AND_USER)
    session.wait_for("^READY")
    time.sleep(0.5)
    machine.send("while :; do sh -c 'echo P$PPID' >/dev/null; done\r")
    text = session.end()
    stop = run.says(text, "it stops in the system call", r"^STOP (0x\w+)\nIS (0x\w+)$")
    run.check("at its first instruction", stop and stop[1] == stop[2])
    run.says(text, "in the kernel", r"^CPL 0$")
    run.says(text, "with paging", r"^CR0.PG 1$")
    run.says(text, "the return address has a name", r"^\w*sys\w* \+ \d+ in section")
    run.says(text, "there is a backtrace", r"^#0 .*__ia32_sys_getpid.*\n#1 ")
    run.says(text, "code can be read", r"^=> 0x\w+ <__ia32_sys_getpid>:")
    run.says(text, "steps lead to user mode", r"^USER CPL 3 after \d+$")
    run.says(text, "TF is clear", r"^TF 0$")
    run.says(text, "steps in user mode", r"^STEPPED 1$")
    run.says(text, "a breakpoint in user code", r"^AGAIN 1 CPL 3$")
    run.says(text, "met again", r"^AND AGAIN 1$")
    interrupt_loop(machine)
    machine.command("echo goes on $((40 + 2))", r"^goes on 42", BOOT)
    run.check("the guest goes on", True)


@case
def kernel_and_user_auto(run):
    kernel_and_user(run, "auto")


@case
def kernel_and_user_direct(run):
    kernel_and_user(run, "direct")


@case
def kernel_and_user_checked(run):
    kernel_and_user(run, "checked")


WATCH = """
watch *(unsigned *)&jiffies
continue
printf "FIRST %u\\n", *(unsigned *)&jiffies
info symbol $pc
continue
printf "SECOND %u\\n", *(unsigned *)&jiffies
continue
printf "THIRD %u\\n", *(unsigned *)&jiffies
delete
rwatch *(unsigned *)&jiffies
continue
echo READ\\n
delete
awatch *(unsigned *)&jiffies
continue
echo ACCESSED\\n
delete
detach
"""


def watch(run, flavour):
    machine, target = run.boot(flavour)
    text = run.gdb(target, WATCH).end()
    values = re.findall(r"^(?:FIRST|SECOND|THIRD) (\d+)$", text, re.M)
    run.check(f"three changes of jiffies: {values}", len(values) == 3)
    # Some ticks may have been taken together, but what the debugger saw before and after each stop must be what memory says.
    pairs = re.findall(r"^Old value = (\d+)\nNew value = (\d+)$", text, re.M)[:3]
    run.check(f"the values at the stops {pairs}", [new for _, new in pairs] == values and all(int(o) < int(n) for o, n in pairs))
    run.check("none is missed", len(pairs) == 3 and pairs[0][1] == pairs[1][0] and pairs[1][1] == pairs[2][0])
    run.says(text, "in the timer's code", r"^(do_timer|tick_\w+|update_\w+)[\w.]* (\+ \d+ )?in section")
    run.says(text, "a read stops", r"^Hardware read watchpoint \d+: .*\n\nValue = \d+(.*\n)+READ$")
    run.says(text, "any access stops", r"^Hardware access \(read/write\) watchpoint \d+: (.*\n)+ACCESSED$")
    machine.command("echo goes on $((40 + 2))", r"^goes on 42", BOOT)
    run.check("the guest goes on", True)


@case
def watch_auto(run):
    watch(run, "auto")


@case
def watch_direct(run):
    watch(run, "direct")


@case
def watch_checked(run):
    watch(run, "checked")


@case
def interrupt_detach_kill(run):
    """By a socket in the file system: Ctrl-C, detach, a debugger that dies, another one, kill."""
    machine, target = run.boot(target=run.path("gdb.sock"))
    session = run.gdb(target, "echo READY\\n\ncontinue\nprintf \"PC %#x\\n\", $pc\ndetach\n")
    session.wait_for("^READY")
    machine.command("echo runs $((40 + 2))", r"^runs 42", BOOT)
    session.process.send_signal(signal.SIGINT)
    text = session.end()
    run.says(text, "Ctrl-C", r"^Program received signal SIGINT")
    run.says(text, "state after it", r"^PC 0x\w+")
    machine.command("echo detached $((40 + 2))", r"^detached 42", BOOT)

    # QEMU keeps the breakpoints of a debugger that is no more.
    if not run.is_qemu:
        session = run.gdb(target, "break *&__ia32_sys_getpid\necho READY\\n\ncontinue\n")
        session.wait_for("^READY")
        time.sleep(0.5)
        session.process.kill()
        session.process.wait()
        machine.command("sh -c 'echo undisturbed $((40 + 2))'", r"^undisturbed 42", BOOT)

    text = run.gdb(target, "info threads\nmaintenance packet qqemu.sstepbits\nmaintenance packet qqemu.sstep\nmonitor help\nkill\n").end()
    run.says(text, "one thread", r"^\* 1 +Thread 1 .*CPU#0")
    run.says(text, "QEMU's bits", r'^received: "ENABLE=1,NOIRQ=2,NOTIMER=4"$')
    run.says(text, "QEMU's default", r'^received: "0x7"$')
    run.says(text, "the monitor's commands", r"^system_reset ")
    run.check("killed", machine.wait(30) == 0)
    run.check("the terminal is as it was", machine.settings_restored())


@case
def from_the_start(run):
    """-S: registers, memory and 16-bit code before the first instruction, a reset under the debugger, the end of the machine."""
    port = free_port(6500, 6900)
    machine = run.start(["-nographic", "-display", "none", "-serial", "null", "-S", "-gdb", f"tcp::{port}", "-no-reboot"], terminal=True)
    # INC AX; LIDT of six zeros; INT 80h, which is a triple fault then.
    code = "".join(f"set {{unsigned char}}{0x7000 + i:#x} = {byte:#x}\n" for i, byte in enumerate(bytes.fromhex("400f011e0060cd80")))
    text = run.gdb(f"127.0.0.1:{port}", f"""
printf "START %#x:%#x\\n", $cs, $pc
x/5xb 0xfffffff0
stepi
printf "STEPPED %#x:%#x\\n", $cs, $pc
{code}
printf "WRITTEN %#x\\n", *(unsigned short *)0x7000
set $cs = 0x700
set $pc = 0
set $eax = 41
printf "MOVED %#x:%#x\\n", $cs, $pc
set $xmm3.v4_int32[1] = 77
printf "XMM %d %d\\n", $xmm3.v4_int32[0], $xmm3.v4_int32[1]
set $st1 = 1.5
p $st1
break *0x7001
continue
printf "BROKE AT %d WITH %d\\n", (int)$pc, $eax
x/2i 0x7001
{"delete" if run.is_qemu else ""}
continue
""").end()
    run.says(text, "the reset's state", r"^START 0xf000:0xfff0$")
    run.says(text, "the firmware's first bytes", r"^0xfffffff0:\s+0xea\s")
    run.says(text, "a far jump", r"^STEPPED 0xf000:0xe05b$")
    run.says(text, "memory is written", r"^WRITTEN 0xf40$")
    run.says(text, "registers are written", r"^MOVED 0x700:0(x0)?$")
    run.says(text, "an XMM register", r"^XMM 0 77$")
    run.says(text, "an x87 register", r"^\$\d+ = 1.5$")
    run.says(text, "16-bit code stops at a linear address", r"^BROKE AT 1 WITH 42$")
    run.says(text, "the end is told", r"^\[Inferior 1 .* exited normally\]$")
    run.check("exit status", machine.wait(30) == 0)


def boot_seconds(run, breakpoints):
    """A kernel's way from a breakpoint in its start to its shell's end, by the host's processor time."""
    machine, target = run.boot(options=("-S",), to_shell=False)
    commands = "".join(f"hbreak *{address:#x}\n" for address in breakpoints)
    session = run.gdb(target, f"{commands}continue\n")
    machine.expect(PROMPT, BOOT)
    used = machine.cpu_seconds()
    machine.send("poweroff -f\r")
    machine.wait(BOOT)
    text = session.end()
    run.check("all are set", text.count("Hardware assisted breakpoint") == len(breakpoints))
    run.check("it ran through to its end", "exited normally" in text and "Breakpoint 1," not in text)
    return used


@case
def breakpoints_elsewhere(run):
    """Breakpoints among hot code, on what only a crash calls, cost nothing; measured in turns."""
    symbols = subprocess.run(["nm", "-n", run.symbols], capture_output=True, text=True, check=True).stdout
    names = [(int(line.split()[0], 16), line.split()[2]) for line in symbols.splitlines() if len(line.split()) == 3]
    never = [address for address, name in names if name in ("panic", "oops_enter", "die", "emergency_restart", "machine_kexec", "kernel_halt")]
    run.check(f"{len(never)} functions that are not called", len(never) >= 3)
    with_them, without = [], []
    for _ in range(2):
        with_them.append(boot_seconds(run, never))
        without.append(boot_seconds(run, []))
    ratio = min(with_them) / min(without)
    print(f"boot with breakpoints that are never met: {ratio:.2f} of the time without ({with_them}, {without})")
    run.check(f"ratio {ratio:.2f}", ratio < 1.25)


if __name__ == "__main__":
    sys.exit(suite.main())
