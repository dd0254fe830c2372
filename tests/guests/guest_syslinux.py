"""SYSLINUX on a disk and on a floppy; MEMDISK, which hooks INT 13h and INT 15h and moves the disk with the latter's function 87h."""

from harness import BOOT
from images import image
from machine import PROMPT


def register(suite):
    def start(run, *options):
        return run.start(["-m", "128", "-snapshot", "-display", "none", "-serial", "stdio", *options], terminal=True)

    @suite.case
    def syslinux_memdisk(run):
        """SYSLINUX on a floppy; MEMDISK there, with a floppy of its own; on that legacy GRUB, which starts the disk; on that GRUB 2."""
        machine = start(run, "-fda", image("syslinux-floppy", ".img"), "-hda", image("grub-disk", ".img"), "-boot", "a")
        machine.expect("GRUB in memory", BOOT)
        machine.send("\r")
        machine.expect("Memory test", BOOT)
        machine.send("c")
        machine.expect("grub> ", 20)
        machine.send("geometry (fd0)\r")
        run.check("the floppy in memory", machine.expect(r"drive 0x0: C/H/S = 80/2/18, The number of sectors = 2880", 20))
        machine.send("geometry (fd1)\r")
        run.check("the floppy in the drive has moved", machine.expect(r"drive 0x1: C/H/S = 80/2/18, The number of sectors = 2880", 20))
        machine.send("cat (fd1)/syslinux.cfg\r")
        run.check("it can be read", machine.expect(r"MENU TITLE A floppy", 20))
        machine.send("displaymem\r")
        run.check("MEMDISK has taken memory", machine.expect(r"Lower memory: (\d+)K", 20).group(1) not in ("639", "640"))
        for line in ("rootnoverify (hd0)", "chainloader +1"):
            machine.send(line + "\r")
            machine.expect(r"grub> ", 20)
        machine.send("boot\r")
        run.check("GRUB 2", machine.expect("Linux from the disk", BOOT))

    @suite.case
    def syslinux_disk(run):
        """Linux off a FAT16, by SYSLINUX's menu."""
        machine = start(run, "-hda", image("syslinux-disk", ".img"))
        machine.expect("A disk", BOOT)
        machine.send("\r")
        machine.expect("Linux version", BOOT)
        machine.expect(PROMPT, BOOT)
        machine.send("poweroff\r")
        run.check("power-off", machine.wait(60) == 0)
