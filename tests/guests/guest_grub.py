"""Boot loaders of disks, CD-ROMs and floppies: GRUB 2, legacy GRUB; the menu and the boot orders of SeaBIOS; other firmware."""

import re
import shutil
import subprocess

from harness import BOOT, free_port
from images import image, package
from machine import PROMPT
from screen import Screen

RESCUE = "usr/lib/grub-rescue/grub-rescue-"
MENU = "Linux from the disk"
COMMAND = "grub> "


def terminal(run, *options):
    """A machine whose serial port is its terminal, and the screen its own."""
    return run.start(["-display", "none", "-serial", "stdio", *options], terminal=True)


def with_screen(run, *options):
    """A machine with a screen and a keyboard, and its terminal as serial port."""
    port = free_port()
    machine = terminal(run, "-vnc", f":{port - 5900}", *options)
    return machine, Screen(port)


def grub_says(machine, line, pattern, limit=30):
    """Types a line at GRUB's prompt on the serial port; what it says up to the next one, without control sequences."""
    machine.send(line + "\r")
    text = machine.expect(rf"\r\n((?s:.*?)){COMMAND}", limit).group(1)
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", text)
    return re.search(pattern, "\n" + text)


def stop(machine):
    """Ends it and waits, so that another can have its disks."""
    machine.kill()
    machine.wait(20)


def to_shell(machine):
    """From GRUB's menu on the serial port to the shell of the system on the disk."""
    machine.expect(MENU, BOOT)
    machine.send("\r")
    machine.expect("Linux version", BOOT)
    machine.expect(PROMPT, BOOT)


def clean(disk):
    """Does e2fsck find the file system clean, and nothing to mend in it?"""
    done = subprocess.run(["e2fsck", "-fn", f"{disk}?offset=1048576"], capture_output=True, text=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin"})
    return done.returncode == 0


def disks(suite):
    @suite.case
    def grub_disk(run):
        """An installed system: kernel and initramfs by GRUB off the ext4; what it writes is there after a reset, and for the next process."""
        disk = run.path("disk")
        shutil.copyfile(image("grub-disk", ".img"), disk)
        options = ["-m", "128", "-hda", disk]
        machine = terminal(run, *options)
        to_shell(machine)
        run.check("the root", machine.command("mount | grep ' / '", r"/dev/(root|sda1) on / type ext4 \(rw"))
        machine.command("seq 1 100000 >numbers; md5sum <numbers | cut -c1-32 >sum; sync; echo do''ne", "^done")
        machine.send("reboot -f\r")
        to_shell(machine)
        found = r"^same\s"
        same = "[ $(md5sum <numbers | cut -c1-32) = $(cat sum) ] && [ -s sum ] && echo sa''me || echo other"
        run.check("found after a reset", machine.command(same, found))
        machine.command("rm -r /boot/grub/i386-pc/zfs*; cp -r /boot/grub /boot/again; echo do''ne", "^done")
        machine.send("poweroff\r")
        run.check("power-off", machine.wait(60) == 0)
        run.check("a clean file system", clean(disk))
        machine = terminal(run, *options)
        to_shell(machine)
        run.check("found by another process", machine.command(same, found))
        run.check("so is a copy", machine.command("cmp /boot/grub/grub.cfg /boot/again/grub.cfg && echo sa''me", found))
        machine.send("poweroff\r")
        run.check("power-off", machine.wait(60) == 0)
        run.check("a clean file system", clean(disk))

    @suite.case
    def grub_commands(run):
        """What GRUB's modules find out of the machine, by BIOS calls and from the hardware, is what QEMU's machine tells them."""
        machine = terminal(run, "-m", "64", "-snapshot", "-hda", image("grub-disk", ".img"))
        machine.expect(MENU, BOOT)
        machine.send("c")
        machine.expect(COMMAND, 20)
        grub_says(machine, "set pager=0; insmod all_video", "")
        for line, pattern in (
                ("ls -l", r"hd0,msdos1: Filesystem type ext\* - Label `disk'"),
                ("ls -l", r"Device fd0"),
                ("lsmmap", r"0x0, length = 0x9fc00, available RAM\nbase_addr = 0x9fc00, length = 0x400, reserved"),
                ("lsmmap", r"0x100000, length = 0x3e\w+, available RAM\n"),
                ("lspci", r"00:00.0 8086:1237 \[0600\].*\n00:01.0 8086:7000 \[0601\].*\n00:01.1 8086:7010 \[0101\].*\n00:01.3 8086:7113 \[0680\]"),
                ("lspci", r"\n00:02.0 1234:1111 \[0300\] VGA"),
                ("if cpuid -l; then echo long; else echo none; fi", r"\nnone"),
                ("if cpuid -p; then echo pae; fi", r"\npae"),
                ("hdparm -i (hd0)", r"not an ATA device"),  # a BIOS drive, until nativedisk
                ("videoinfo", r"0x118 1024 x  768 x 24 \(3072\)  Direct color, mask: 8/8/8/0  pos: 16/8/0/0"),
                ("videoinfo", r"version: 3.0 .*\n *total memory: 16384 KiB"),
                ("lsacpi", r"RSDPv1 signature:RSD PTR  chksum:\w\w \(valid\)"),
                ("lsacpi", r"IOAPIC ID=00 address=fec00000 GSI=00000000\n  Int Override bus=0 src=0 GSI=00000002"),
                ("lsapm", r"Version 1.2\n"),
                ("smbios --type 0 --get-string 4", r"SeaBIOS"),
                ("smbios --type 17 --get-word 12", r"\n64\n"),
                ("rdmsr 0x1b", r"0xfee00900"),
                ("read_word 0x413", r"0x27f"),
                ("date", r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d "),
                ("nativedisk", r""),
                ("hdparm -i (ata0)", r"Model: *\"?(RINGER|QEMU) HARDDISK"),
                ("ls (ata0,msdos1)/boot/", r"vmlinuz")):
            said = grub_says(machine, line, pattern)
            run.check(f"{line}: {pattern}", said)
        machine.send("reboot\r")
        machine.expect(MENU, BOOT)

    @suite.case
    def grub_legacy(run):
        """GRUB 0.97 on a floppy: its menu, its shell, and memtest86+, which it loads from there."""
        machine = terminal(run, "-m", "64", "-snapshot", "-fda", image("grub-legacy-floppy", ".img"))
        machine.expect("Memory test", BOOT)
        machine.send("c")
        machine.expect("grub> ", 20)
        machine.send("displaymem\r")
        run.check("memory", machine.expect(r"Lower memory: 639K, Upper memory \(to first chipset hole\): 6\d{4}K", 20))
        machine.send("geometry (fd0)\r")
        run.check("the floppy", machine.expect(r"drive 0x0: C/H/S = 80/2/18, The number of sectors = 2880", 20))
        machine.send("\x1b")
        machine.expect("Memory test", 20)
        machine.send("\r")
        run.check("memtest86+", machine.expect(r"Memtest86\+ v", BOOT))
        run.check("it tests", machine.expect(r"#[1-9] +\[", BOOT))


def rescue(suite):
    def prompt(run, medium, drive):
        """To GRUB's menu on the screen, to its prompt, and from there to one on the serial port."""
        options = [f"-{drive}", package("grub-rescue-pc", f"{RESCUE}{medium}")]
        machine, screen = with_screen(run, "-m", "64", "-snapshot", *options)
        screen.expect("GNU GRUB +version 2", BOOT)
        run.check("a menu", screen.expect(r"Use the . and . keys", 20))
        screen.type("down", "down", "c")
        screen.expect("^grub>", 20)
        line = "serial; terminal_input serial console; terminal_output serial"
        for i in range(0, len(line), 8):
            # A BIOS keeps 15 keys that nobody has read.
            screen.type(line[i:i + 8])
            screen.expect("^grub> " + re.escape(line[:i + 8].rstrip()), 20)
        screen.type("enter")
        machine.expect(COMMAND, 20)
        run.check("ls", grub_says(machine, "ls", r"\((cd|fd0|hd0)"))
        run.check("its files", grub_says(machine, "ls /boot/grub/", r"grub\.cfg"))
        screen.close()

    @suite.case
    def grub_rescue_cd(run):
        prompt(run, "cdrom.iso", "cdrom")

    @suite.full_case
    def grub_rescue_floppy(run):
        prompt(run, "floppy.img", "fda")

    @suite.full_case
    def grub_rescue_usb(run):
        """The image for a USB stick, as a disk."""
        prompt(run, "usb.img", "hda")


# Says "boots X" on COM1, X being in the sector; then waits for ever, or resets the machine.
SPEAKER = bytes.fromhex("fa31c08ed8"  # cli; ds = 0
                        "baf803be1b7c"  # dx = COM1; si = the text
                        "ac84c07403eeebf8")  # print up to the zero
HALT, RESET = bytes.fromhex("f4ebfd0000000000"), bytes.fromhex("b006baf90ceef4eb")


def speaker(path, name, size, reset=False):
    sector = SPEAKER + (RESET if reset else HALT) + f"boots {name}\r\n\0".encode()
    with open(path, "wb") as f:
        f.write(sector.ljust(510, b"\0") + b"\x55\xaa")
        f.truncate(size)
    return path


def drives(run, reset=""):
    """A floppy, a disk and a CD that say who they are; those whose letters are in `reset` reset the machine then."""
    floppy = speaker(run.path("a"), "floppy", 1440 << 10, "a" in reset)
    disk = speaker(run.path("c"), "disk", 1 << 20, "c" in reset)
    speaker(run.path("d"), "CD", 2048, "d" in reset)
    cd = run.path("cd.iso")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-b", "d", "-no-emul-boot", "-boot-load-size", "4", "-o", cd, "-graft-points",
                    f"d={run.path('d')}"], check=True, capture_output=True)
    return ["-m", "32", "-drive", f"file={floppy},if=floppy,format=raw", "-drive", f"file={disk},format=raw", "-cdrom", cd]


def boot_orders(suite):
    @suite.case
    def boot_menu(run):
        """SeaBIOS's own menu, by the keyboard: each number boots what stands behind it."""
        media = drives(run)
        for name, pattern, key in (("disk", r"^(\d)\. .*HARDDISK", "escape"), ("floppy", r"^(\d)\. Floppy", "escape"), ("CD", r"^(\d)\. DVD", "escape")):
            machine, screen = with_screen(run, *media, "-boot", "menu=on,splash-time=60000")
            screen.expect("Press ESC for boot menu", BOOT)
            screen.type(key)
            screen.expect("Select boot device:", 20)
            number = screen.expect(pattern, 20).group(1)
            screen.type(number)
            run.check(f"{number} boots the {name}", machine.expect(r"boots (\w+)\r", 20).group(1) == name)
            screen.close()
            stop(machine)

    @suite.case
    def boot_order(run):
        """-boot order=, once=, menu= and strict= as with QEMU."""
        for boot, reset, names in (("c", "", "disk"), ("order=a", "", "floppy"), ("d", "", "CD"), ("order=dca", "", "CD"), ("order=n", "", "floppy"),
                                   ("once=d", "d", "CD disk"), ("order=a,once=c", "c", "disk floppy"), ("order=c,strict=on", "", "disk"),
                                   ("menu=on,splash-time=300,order=a", "", "floppy"), ("menu=off,order=d", "", "CD")):
            machine = terminal(run, *drives(run, reset), "-boot", boot)
            for name in names.split():
                run.check(f"-boot {boot}: {name}", machine.expect(r"boots (\w+)\r", BOOT).group(1) == name)
            stop(machine)
        machine, screen = with_screen(run, "-m", "32", "-boot", "reboot-timeout=300")
        run.check("nothing boots", screen.expect("No bootable device.  Retrying in 0 seconds", BOOT))
        screen.close()


def firmware(suite):
    @suite.full_case
    def u_boot(run):
        """U-Boot loads Linux off the ext4 of a disk; it puts the power management ports elsewhere than SeaBIOS."""
        # Without a VGA: U-Boot runs its BIOS in real mode with segments of 64 KiB, and that reads above them.
        rom = package("u-boot-qemu", "usr/lib/u-boot/qemu-x86/u-boot.rom")
        machine = terminal(run, "-m", "256", "-vga", "none", "-bios", rom, "-snapshot", "-hda", image("grub-disk", ".img"))
        machine.expect("stop autoboot", BOOT)
        machine.send(" ")
        machine.expect("=> ", 20)
        for line, pattern in (("ide reset", "Capacity: 64.0 MB"), ("ls ide 0:1 /boot", "vmlinuz"), ("pci", "00.01.03 +0x8086 +0x7113"),
                              ("load ide 0:1 1000000 /boot/vmlinuz", "bytes read"), ("load ide 0:1 4000000 /boot/initrd.gz", "bytes read"),
                              ("setenv bootargs root=/dev/sda1 console=ttyS0", "")):
            machine.send(line + "\r")
            run.check(line, machine.expect(rf"{pattern}(?s:.*?)\n=> ", 30))
        machine.send("zboot 1000000 - 4000000 ${filesize}\r")
        run.check("the ports of power management", machine.expect(r"PM-Timer IO Port: (0x\w+)", BOOT).group(1) == "0xe408")
        machine.expect(PROMPT, BOOT)
        machine.send("poweroff\r")
        run.check("power-off", machine.wait(60) == 0)


def register(suite):
    disks(suite)
    rescue(suite)
    boot_orders(suite)
    firmware(suite)
