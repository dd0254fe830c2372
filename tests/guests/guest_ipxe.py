"""iPXE to its shell, from the ISO image as a CD and as a disk. The machine has no network adapter, and it says so."""

import re
import time

from harness import BOOT
from images import package

ISO = "usr/lib/ipxe/ipxe.iso"
PROMPT = r"iPXE> "


def command(machine, line, pattern):
    """The BIOS has room for fifteen keys, and reads them from the serial port by its timer."""
    machine.send(line[:8])
    for at in range(8, len(line), 8):
        machine.expect(re.escape(line[at - 8:at]), 10)
        machine.send(line[at:at + 8])
    machine.send("\r")
    machine.expect(pattern, 10)


def shell(run, options):
    machine = run.start(["-m", "64", "-nographic", *(["-nic", "none"] if run.is_qemu else []), *options], terminal=True)
    machine.expect(r"Press Ctrl-B", BOOT)
    machine.send("\x02")
    machine.expect(PROMPT, 20)
    return machine


def session(run, machine):
    for line, pattern in (("show version", r"builtin/version:string = 1\.0\.0\S*"), ("show platform", r"builtin/platform:string = pcbios"),
                          ("show smbios/manufacturer", r"smbios/manufacturer:string = (Ringer|QEMU)"),
                          ("cpuid 4 && echo it has a TSC", r"^it has a TSC"), ("cpuid --ext 29 || echo 32 bits", r"^32 bits"),
                          ("set x 5", ""), ("echo x is ${x}", r"^x is 5"), ("iseq a b || echo they differ", r"^they differ")):
        command(machine, line, pattern)
        machine.expect(PROMPT, 10)
        run.check(line, True)
    # The clock is the RTC's.
    command(machine, "show unixtime", r"builtin/unixtime:uint32 = 0x")
    now = int(machine.expect(r"[0-9a-f]{8}", 5).group(0), 16)
    run.check(f"the time is {now - time.time():.0f} s ahead", abs(now - time.time()) < 30)
    machine.expect(PROMPT, 10)
    # A screen of its own, left by Ctrl-X.
    command(machine, "config", r"iPXE configuration settings")
    machine.expect(r"Ctrl-X - exit configuration utility", 10)
    machine.send("\x18")
    machine.expect(PROMPT, 10)
    run.check("the configuration screen", True)


def register(suite):
    @suite.case
    def ipxe_cd(run):
        machine = shell(run, ["-cdrom", package("ipxe", ISO)])
        session(run, machine)
        # It hands the machine back to the firmware.
        command(machine, "exit", r"No bootable device")
        run.check("exit", True)

    @suite.case
    def ipxe_disk(run):
        disk = package("ipxe", ISO)
        machine = shell(run, ["-drive", f"file={disk},format=raw,snapshot=on"])
        command(machine, "reboot", r"SeaBIOS")
        machine.expect(r"Press Ctrl-B", BOOT)
        machine.expect(r"No more network devices", 20)
        run.check("no network", True)
