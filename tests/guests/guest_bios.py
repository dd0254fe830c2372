"""Our own kernel that lives by the BIOS (guestos/bios), from a floppy and from a disk."""

import os
import shutil

from harness import BOOT, ROOT, contents
from machine import Failure

IMAGE = os.path.join(ROOT, "build/guestos/bios.img")


def boot(run, *options):
    image, debug = run.path("image"), run.path("debug")
    if not os.path.exists(IMAGE):
        raise Failure(f"{IMAGE} is not there; build it with: make guestos")
    shutil.copyfile(IMAGE, image)
    options = [option.format(image) for option in options]
    machine = run.start(["-m", "64", "-display", "none", "-serial", "stdio", "-debugcon", f"file:{debug}"] + options)
    lines = []
    while not lines or not lines[-1].startswith("SUMMARY"):
        lines.append(machine.expect(r"^(PASS|FAIL|SKIP|SUMMARY).*\n", BOOT).group().strip())
    for line in lines:
        if line.startswith(("PASS", "FAIL")):
            run.check(line, line.startswith("PASS"))
    run.check("four resets", lines.count("PASS reset") == 4)
    if not run.is_qemu:  # whose resets are always those of the whole board
        run.check("one resumption", "PASS resumed by the vector at 40:67" in lines)
    run.check("powered off", machine.wait(20) == 0)
    run.check("port E9h", contents(debug) == "E9")


def register(suite):
    @suite.case
    def bios_disk(run):
        """BIOS calls, modes, screens, devices, resets, from a hard disk."""
        boot(run, "-drive", "file={},format=raw,index=0,media=disk")

    @suite.case
    def bios_floppy(run):
        """The same from a floppy, and its controller by hand."""
        boot(run, "-drive", "file={},format=raw,if=floppy", "-boot", "a")
