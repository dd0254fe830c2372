"""memtest86+, by -kernel."""

import re

from harness import contents, wait_until
from images import package


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
