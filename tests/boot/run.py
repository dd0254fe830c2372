#!/usr/bin/env python3
"""Boots Debian's kernels and checks what they say.

  tests/boot/run.py [--runner COMMAND] [--seconds N] [CASE...]

COMMAND is build/release/ringer, or for instance "qemu-system-i386 -accel tcg" to see whether the guests and the tests are right.
Prints PASS and FAIL lines and a SUMMARY; a guest's own checks count one by one. Logs are in build/tests/boot/.
"""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import harness  # noqa: E402
from harness import BOOT, GUESTS, ROOT  # noqa: E402
from machine import PROMPT, Failure  # noqa: E402

IDLE_SHARE = 0.03


class Run(harness.Run):
    def start(self, flavour, append="", options=(), terminal=False, memory=256, initrd=f"{GUESTS}/initramfs.cpio.gz", verify=True):
        argv = ["-nographic", "-m", str(memory), "-kernel", f"{GUESTS}/{flavour}/vmlinuz", "-initrd", initrd]
        argv += ["-append", f"console=ttyS0 {append} ringer.now={int(time.time())}", *options]
        return super().start(argv, terminal, verify)

    def guest_checks(self, text):
        """Counts a guest's PASS and FAIL lines, which must agree with its SUMMARY."""
        lines = re.findall(r"^(PASS|FAIL) (.*?)\r*$", text, re.M)
        passed = sum(kind == "PASS" for kind, _ in lines)
        for kind, name in lines:
            if kind == "FAIL":
                print(f"FAIL {self.name}: guest: {name}", flush=True)
        self.passed += passed
        self.failed += len(lines) - passed
        summary = re.search(r"^SUMMARY: (\d+) passed, (\d+) failed", text, re.M)
        self.check("the guest's summary", summary and summary.groups() == (str(passed), str(len(lines) - passed)) and passed > 0)

    def run_test(self, flavour, test, append="", limit=BOOT, **kwargs):
        """Boots to one of the initramfs's tests, named here or in append, which ends the machine."""
        machine = self.start(flavour, f"ringer.test={test} {append}" if test else append, **kwargs)
        status = machine.wait(limit)
        self.guest_checks(machine.text)
        self.check(f"exit status {status}, not 0", status == 0)
        return machine


suite = harness.Suite("boot", __doc__, Run)
suite.parser.add_argument("--seconds", type=int, default=60, help="how long each stress case lasts")
LOGS = suite.logs


@suite.case
def boot_686(run):
    run.run_test("686", "basic")


@suite.case
def boot_686_pae(run):
    run.run_test("686-pae", "basic")


@suite.case
def boot_rt_686_pae(run):
    run.run_test("rt-686-pae", "basic")


@suite.case
def small_cache(run):
    """A translation cache that holds a fraction of what the guest runs: slower, and otherwise the same."""
    accel = "tcg,tb-size=1" if run.is_qemu else "bt,tb-size=1"
    run.runner = re.sub(r" -accel \S+", "", run.runner)
    run.run_test("686", "basic", options=("-accel", accel), limit=2 * BOOT)


@suite.case
def forced_flavours(run):
    """Every kernel boots with each memory flavour forced."""
    if run.is_qemu:
        return
    run.runner = re.sub(r" -accel \S+", "", run.runner)
    for kernel in ("686", "686-pae", "rt-686-pae"):
        for flavour in ("checked", "direct"):
            run.run_test(kernel, "basic", options=("-accel", f"bt,flavour={flavour}"), limit=2 * BOOT)


@suite.case
def high_memory(run):
    """Memory above 4 GiB, where a PAE kernel puts its programs first."""
    if run.is_qemu:
        run.skip("TCG before QEMU 9 cuts physical addresses to 32 bits")
        return
    run.run_test("686-pae", "memory", "ringer.memory=5120", memory=5120)


@suite.case
def small_memory(run):
    run.run_test("686", "memory", "ringer.memory=64", memory=64)


@suite.case
def pentium2(run):
    """A CPU with FXSAVE and without SSE: the kernel saves the x87 and MMX state with it."""
    run.run_test("686", "memory", "ringer.memory=64", memory=64, options=("-cpu", "pentium2"))


@suite.case
def hpet(run):
    """The HPET tells the time and, with no APIC in use, makes the ticks; without it nobody speaks of it."""
    run.runner = re.sub(r" -accel \S+", "", run.runner)
    for accel in ("tcg",) if "qemu" in run.runner else ("bt,flavour=auto", "bt,flavour=checked"):
        for append in ("", " nolapic noapic nohz=off"):
            machine = run.run_test("686", "memory", f"ringer.memory=64 clocksource=hpet{append}", memory=64, options=("-accel", accel))
            run.check("the kernel's clock is the HPET", "Switched to clocksource hpet" in machine.text)
    machine = run.run_test("686", "memory", "ringer.memory=64", memory=64, options=("-machine", "hpet=off"))
    run.check("no HPET where none is wanted", "hpet" not in machine.text.lower())


@suite.case
def mp_table(run):
    """Without ACPI the kernel finds the APICs by the MP table, and needs neither."""
    # With a TSC deadline the kernel takes no other timer, not even under nolapic_timer.
    no_deadline = ("-cpu", "max,-tsc-deadline")
    for append, found, cpu in (("", True, ()), (" nolapic_timer", True, no_deadline), (" noapic", False, ())):
        # A kernel without ACPI cannot switch the machine off.
        machine = run.run_test("686", "reboot", f"acpi=off{append}", options=("-no-reboot", *cpu))
        run.check("the table was found", "MPTABLE: Product ID: " in machine.text)
        run.check("the I/O APIC is found", "Using 1 I/O APICs" in machine.text or not found)
        run.check("no complaint", not re.search(r"MPTABLE.*(bad|invalid|error)|MP-BIOS bug|BIOS bug", machine.text, re.I))


@suite.case
def by_firmware(run):
    """-bios with -kernel: SeaBIOS runs, and an option ROM boots each of the kernels by its real-mode code."""
    run.runner = re.sub(r" -accel \S+", "", run.runner)
    bios = ("-bios", "bios-256k.bin")
    for kernel, accel in (("686", "bt,flavour=auto"), ("686-pae", "bt,flavour=checked"), ("rt-686-pae", "bt,flavour=direct")):
        accel = "tcg" if "qemu" in run.runner else accel
        machine = run.run_test(kernel, "basic", options=("-accel", accel, *bios), limit=2 * BOOT)
        run.check("SeaBIOS speaks", "SeaBIOS" in machine.text)
    machine = run.start("686", "ringer.test=reboot", options=bios)
    for _ in range(2):
        machine.expect(r"SeaBIOS[^~]*Linux version", BOOT)
        machine.expect(r"^SUMMARY: 1 passed, 0 failed", BOOT)
        run.check("booted", True)


@suite.case
def serial_file(run):
    path = os.path.join(LOGS, "serial-file.out")
    machine = run.start("686", "ringer.test=reboot", options=("-no-reboot", "-serial", f"file:{path}"))
    status = machine.wait(BOOT)
    with open(path, encoding="latin-1") as f:
        run.guest_checks(f.read())
    run.check("nothing of the guest's on stdout", "Linux version" not in machine.text)
    run.check(f"exit status {status} after a reboot under -no-reboot, not 0", status == 0)


@suite.case
def reset(run):
    """A reboot boots the same guest again, also when its files are gone by then."""
    machine = run.start("686", "ringer.test=reboot")
    for _ in range(2):
        machine.expect(r"Linux version", BOOT)
        machine.expect(r"^SUMMARY: 1 passed, 0 failed", BOOT)
        run.check("booted", True)
    machine.expect(r"Linux version", BOOT)
    machine.kill()
    machine.wait(10)


@suite.case
def interactive(run):
    machine = run.start("686", terminal=True)
    machine.expect(PROMPT, BOOT)
    steps = (
        ("the console is the terminal", "tty", r"^/dev/ttyS0\r*$"),
        ("backspace", "echo 1x\x7f2", r"^12\r*$"),
        ("cursor keys", "echo 13\x1b[D2", r"^123\r*$"),
        ("Ctrl-A and Ctrl-E move in the line", "cho 1\x01\x01e\x052", r"^12\r*$"),
        ("history", "\x1b[A", r"^12\r*$"),
        ("completion", "cat /etc/pas\t", r"^root:x:0"),
        ("a pipeline", "seq 1 100 | sort -n | tail -n 1", r"^100\r*$"),
        ("a long line", "echo " + "a" * 300 + " | wc -c", r"^301\r*$"),
    )
    for name, line, pattern in steps:
        try:
            machine.command(line, pattern)
            run.check(name, True)
        except Failure as failure:
            run.check(f"{name}: {failure}", False)
            return
    machine.send("sleep 1000\r")
    time.sleep(1)
    machine.send("\x03")
    machine.expect(PROMPT, 10)
    machine.command("echo status=$?", r"^status=130\r*$")
    run.check("Ctrl-C", True)
    machine.send("sleep 1000\r")
    time.sleep(1)
    machine.send("\x1a")
    machine.expect(r"Stopped", 10)
    machine.expect(PROMPT, 10)
    machine.command("bg; jobs", r"\[1\].*Running.*sleep 1000")
    machine.command("kill %1; wait; jobs; echo jobs=$?", r"^jobs=0\r*$")
    machine.send("sleep 2 &\r")
    machine.expect(PROMPT, 10)
    machine.command("fg; echo fg=$?", r"^fg=0\r*$")
    run.check("job control", True)
    run.check("the terminal is raw while it runs", not machine.settings_restored())
    machine.send("\x01x")
    status = machine.wait(10)
    run.check(f"exit status {status} after Ctrl-A x, not 0", status == 0)
    run.check("terminal restored after Ctrl-A x", machine.settings_restored())


class Disks:
    """Images with random contents for the guest's test `disks`, and what must be in them afterwards."""

    def __init__(self, run):
        self.dir = os.path.join(LOGS, f"{run.name}.images")
        os.makedirs(os.path.join(self.dir, "cd"), exist_ok=True)
        self.disk, self.floppy, self.iso = (os.path.join(self.dir, name) for name in ("disk.img", "floppy.img", "cd.iso"))
        self.sums, self.before = {}, {}
        for path, size in ((self.disk, 32 << 20), (self.floppy, 1440 << 10), (os.path.join(self.dir, "cd/data"), 3000000)):
            data = os.urandom(size)
            with open(path, "wb") as f:
                f.write(data)
            self.before[path] = data
            self.sums[path] = hashlib.sha256(data).hexdigest()
        subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", self.iso, os.path.join(self.dir, "cd")], check=True,
                       stderr=subprocess.DEVNULL)
        # The drivers' archive is unpacked on top of the other.
        self.initrd = os.path.join(self.dir, "initrd")
        with open(self.initrd, "wb") as out:
            for path in (f"{GUESTS}/initramfs.cpio.gz", f"{GUESTS}/686/drivers.cpio.gz"):
                with open(path, "rb") as f:
                    out.write(f.read())
        self.append = (f"ringer.test=disks ringer.disk={self.sums[self.disk]} ringer.floppy={self.sums[self.floppy]} "
                       f"ringer.cd={self.sums[os.path.join(self.dir, 'cd/data')]}")
        self.options = ("-drive", f"file={self.disk},format=raw", "-cdrom", self.iso,
                        "-drive", f"file={self.floppy},format=raw,if=floppy")

    def check_written(self, run):
        disk, floppy = bytearray(self.before[self.disk]), bytearray(self.before[self.floppy])
        disk[262144:262144 + 1048576] = b"Z" * 1048576
        floppy[51200:51712] = b"floppy\n".ljust(512, b"\0")
        for name, path, expect in (("disk", self.disk, disk), ("floppy", self.floppy, floppy)):
            with open(path, "rb") as f:
                run.check(f"what was written to the {name} is in its image", f.read() == expect)

    def check_untouched(self, run):
        for path in (self.disk, self.floppy):
            with open(path, "rb") as f:
                run.check(f"{path} is as it was", f.read() == self.before[path])


@suite.case
def disks_dma(run):
    disks = Disks(run)
    run.run_test("686", None, f"{disks.append} ringer.dma=7", options=disks.options, initrd=disks.initrd)
    disks.check_written(run)


@suite.case
def disks_pio(run):
    disks = Disks(run)
    run.run_test("686", None, f"{disks.append} ringer.dma=0", options=disks.options, initrd=disks.initrd)
    disks.check_written(run)


@suite.case
def disks_devices(run):
    """The same drives by -device, elsewhere on the two channels."""
    disks = Disks(run)
    options = ("-drive", f"if=none,id=hd,file={disks.disk},format=raw", "-drive", f"if=none,id=cd,file={disks.iso}",
               "-drive", f"if=none,id=fd,file={disks.floppy},format=raw", "-device", "ide-hd,drive=hd,bus=ide.1,unit=1",
               "-device", "ide-cd,drive=cd", "-device", "floppy,drive=fd,unit=0")
    run.run_test("686", None, f"{disks.append} ringer.dma=7", options=options, initrd=disks.initrd)
    disks.check_written(run)


@suite.case
def disks_snapshot(run):
    disks = Disks(run)
    run.run_test("686", None, f"{disks.append} ringer.dma=7", options=(*disks.options, "-snapshot"), initrd=disks.initrd)
    disks.check_untouched(run)


@suite.case
def disks_killed(run):
    """What a guest has flushed is there when the program is killed."""
    disks = Disks(run)
    machine = run.start("686", f"{disks.append} ringer.dma=7 ringer.kill=1", options=disks.options, initrd=disks.initrd)
    machine.expect(r"^FLUSHED", BOOT)
    machine.kill(signal.SIGKILL)
    machine.wait(10)
    disks.check_written(run)


@suite.case
def leave_shell(run):
    machine = run.start("686", "quiet", terminal=True)
    machine.expect(PROMPT, BOOT)
    machine.send("poweroff\r")
    status = machine.wait(30)
    run.check(f"exit status {status} after poweroff, not 0", status == 0)
    run.check("terminal restored after poweroff", machine.settings_restored())


@suite.case
def signals(run):
    for number in (signal.SIGTERM, signal.SIGINT):
        machine = run.start("686", "quiet", terminal=True)
        machine.expect(PROMPT, BOOT)
        machine.kill(number)
        status = machine.wait(10)
        expected = 0 if machine.is_qemu else 128 + number
        run.check(f"exit status {status} after {number.name}, not {expected}", status == expected)
        run.check(f"terminal restored after {number.name}", machine.settings_restored())


@suite.case
def idle(run):
    """A guest that has nothing to do costs next to nothing."""
    machine = run.start("686", "ringer.test=idle", verify=False)
    machine.expect(r"^IDLE-BEGIN", BOOT)
    cpu, begin = machine.cpu_seconds(), time.monotonic()
    time.sleep(10)
    share = (machine.cpu_seconds() - cpu) / (time.monotonic() - begin)
    print(f"     idle: {100 * share:.1f} % of a core")
    run.check(f"idle costs {100 * share:.1f} % of a core, more than {100 * IDLE_SHARE:.0f} %", share <= IDLE_SHARE)
    machine.expect(r"^IDLE-END", 20)
    status = machine.wait(30)
    run.check(f"exit status {status}, not 0", status == 0)


def stress_initramfs():
    """The initramfs with a program of C appended, as a cpio archive of its own."""
    root = os.path.join(LOGS, "stress-root")
    os.makedirs(f"{root}/tests", exist_ok=True)
    subprocess.run(["gcc", "-m32", "-static", "-O2", "-msse2", "-D_GNU_SOURCE", "-s", "-o", f"{root}/tests/stress-work",
                    f"{ROOT}/tests/boot/guest/stress.c"], check=True)
    archive = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], input=b"tests/stress-work\n", cwd=root, check=True,
                             stdout=subprocess.PIPE).stdout
    path = os.path.join(LOGS, "stress.cpio.gz")
    with open(path, "wb") as out, open(f"{GUESTS}/initramfs.cpio.gz", "rb") as base:
        data = base.read()
        # The kernel wants archives aligned to four bytes.
        out.write(data + bytes(-len(data) % 4) + archive)
    return path


def usage(pid):
    """Mappings of a process, and its anonymous and its proportional memory in MiB."""
    with open(f"/proc/{pid}/maps") as f:
        maps = sum(1 for _ in f)
    with open(f"/proc/{pid}/smaps_rollup") as f:
        kib = dict(re.findall(r"^(\w+): +(\d+) kB", f.read(), re.M))
    return maps, int(kib["Anonymous"]) / 1024, int(kib["Pss"]) / 1024


def stress(run, flavour, accel, memory=128, limit=None):
    """
    Loads that wear out memory management, for run.args.seconds; meanwhile the process must stay within its budget of host mappings and must not grow:
    not from the second of four equal rounds to the last.
    """
    # A small translation cache is full after the first round: what still grows then is a leak.
    accel = "tcg" if run.is_qemu else f"{accel},tb-size=8"
    with open("/proc/sys/vm/max_map_count") as f:
        limit = limit or int(f.read()) // 2 + 2000
    run.runner = re.sub(r" -accel \S+", "", run.runner)
    machine = run.start(flavour, f"ringer.test=stress ringer.stress={run.args.seconds}", options=("-accel", accel), memory=memory,
                        initrd=stress_initramfs())
    most = 0
    rounds = []
    deadline = time.monotonic() + BOOT + 8 * run.args.seconds
    while machine.process.poll() is None and time.monotonic() < deadline:
        machine.read(1)
        try:
            now = usage(machine.process.pid)
        except (OSError, KeyError):
            break
        most = max(most, now[0])
        if len(re.findall(r"^STRESS-ROUND", machine.text, re.M)) > len(rounds):
            rounds.append(now)
            print(f"     round {len(rounds)}: {now[0]} mappings, {now[1]:.0f} MiB anonymous, {now[2]:.0f} MiB in all", flush=True)
    status = machine.wait(BOOT)
    run.guest_checks(machine.text)
    run.check(f"exit status {status}, not 0", status == 0)
    run.check(f"{len(rounds)} rounds were seen, not 4", len(rounds) == 4)
    if machine.is_qemu or len(rounds) < 4:
        return
    run.check(f"{most} host mappings, more than {limit}", most <= limit)
    growth = rounds[3][1] - rounds[1][1]
    run.check(f"anonymous memory grew by {growth:.1f} MiB from the second round to the last", growth <= max(4, rounds[1][1] / 10))
    growth = rounds[3][2] - rounds[1][2]
    run.check(f"memory in all grew by {growth:.1f} MiB from the second round to the last", growth <= memory / 4)
    run.check(f"{rounds[3][0]} mappings in the last round, {rounds[1][0]} in the second", rounds[3][0] <= 1.5 * rounds[1][0] + 2000)


@suite.case
def stress_auto(run):
    stress(run, "686", "bt,flavour=auto")


@suite.case
def stress_direct(run):
    stress(run, "686-pae", "bt,flavour=direct")


@suite.case
def stress_few_mappings(run):
    """As on a host with hardly any mappings to give: the machine may have 2,200 of them, and what the process has besides."""
    stress(run, "686", "bt,flavour=direct,max-maps=5000", limit=2200 + 1000)


@suite.case
def small_address_space(run):
    """ulimit -v leaves no room for windows: one line says so, and everything works."""
    if run.is_qemu:
        run.skip("QEMU has no windows")
        return
    run.runner = f"prlimit --as={3 << 30} " + re.sub(r" -accel \S+", "", run.runner)
    machine = run.run_test("686", "basic", options=("-accel", "bt,flavour=direct"))
    lines = len(re.findall(r"^ringer: warning: no address space", machine.text, re.M))
    run.check(f"{lines} lines warn of it, not 1", lines == 1)


sys.exit(suite.main())
