"""memtest86+, by -kernel, from its own CD, and by GRUB through its 16-bit entry."""

import re

from harness import BOOT, contents, wait_until
from images import image, package


def register(suite):
    @suite.case
    def memtest_kernel(run):
        """It finds the machine's memory and tests it without an error."""
        text = run.path("screen")
        kernel = package("memtest86+", "boot/memtest86+ia32.bin")
        run.start(["-m", "64", "-nographic", "-kernel", kernel, "-append", "console=ttyS0,115200", "-screentext", f"{text},at=20"])
        screen = wait_until(lambda: contents(text), 40)
        run.check(f"the screen: {screen[:200]!r}", "Memtest86+" in screen)
        run.check("no errors", re.search(r"Errors: *0", screen))

    def until(run, options, tests, limit):
        """Runs it until it says that one of `tests`, a pattern, runs; up to there it may have found no error."""
        machine = run.start(["-m", "64", "-nographic", *options], terminal=True)
        machine.expect(r"Memtest86\+ v\d", BOOT)
        machine.expect(rf"#{tests} +\[", limit)
        run.check("no errors", machine.expect(r"Errors: (\d+) ", 30).group(1) == "0")
        return machine

    @suite.case
    def memtest_linux16(run):
        """What real mode finds out, memtest86+ uses: the memory map by INT 15h."""
        until(run, ["-cdrom", image("memtest-cd", ".iso")], r"[3-9]", 60)

    @suite.full_case
    def memtest_cd(run):
        """Its own image, a menu of GRUB's on the screen; its entry is chosen after a while."""
        if run.is_qemu:
            run.skip("QEMU has no -screentext")
            return
        text = run.path("screen")
        cd = package("memtest86+", "usr/lib/memtest86+/memtest86+ia32.iso")
        run.start(["-m", "64", "-display", "none", "-cdrom", cd, "-screentext", f"{text},at=13"])
        screen = wait_until(lambda: contents(text), 60)
        run.check(f"the screen: {screen[:200]!r}", "Memtest86+" in screen and "Status: Testing" in screen)
        run.check("no errors", re.search(r"Errors: *0", screen))

    @suite.full_case
    def memtest_pass(run):
        """A whole pass; most of it is the test of fading bits, which waits."""
        machine = until(run, ["-kernel", package("memtest86+", "boot/memtest86+ia32.bin"), "-append", "console=ttyS0,115200"], 10, 120)
        match = machine.expect(r"Pass: +(\d+) +Errors: (\d+)", 300)
        while match.group(1) == "0" and match.group(2) == "0":
            match = machine.expect(r"Pass: +(\d+) +Errors: (\d+)", 300)
        run.check(f"a pass without errors: {match.group(0)!r}", match.group(1) == "1" and match.group(2) == "0")
