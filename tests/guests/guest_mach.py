"""
GNU Mach by -kernel (Multiboot) and by GRUB. Without bootstrap modules it probes the machine, panics and reboots; that is its end under QEMU
as well.

LINES are the lines that it prints under QEMU, with patterns for what differs: the memory map and the counts of pages (each firmware keeps another
piece of the top for its tables), ports of the bus master, drive models, the type of an empty floppy drive (QEMU's is a 2.88M one), the
controller's own idea of what it is, and an IRQ 6 that nobody waits for: the FDC raises it at the end of its reset, at once in QEMU, after
100 us here, when Mach may have installed its handler.
"""

import gzip
import re
import time

from harness import BOOT, contents
from images import image, package

BEGIN = r"""GNU Mach 1\.8\S*
biosmem: physical memory map:
biosmem: 000000000000000000:00000000000009f000, available
biosmem: 00000000000009fc00:0000000000000a0000, reserved
biosmem: 0000000000000[ef]0000:000000000000100000, reserved
biosmem: 000000000000100000:00000000000[34]\w{6}, available
(?:biosmem: [0-9a-f]{18}:[0-9a-f]{18}, reserved
)*vm_page: page table size: 163\d\d entries \(896k\)
vm_page: DMA: pages: 4080 \(15M\), free: 0 \(0M\)
vm_page: DMA: min:500 low:600 high:1000
vm_page: DIRECTMAP: pages: 122\d\d \(4[78]M\), free: 115\d\d \(45M\)
vm_page: DIRECTMAP: min:61\d low:73\d high:12\d\d
"""
# Without firmware there is no PCI BIOS.
PROBED = r"""pcibios_init: Using configuration type 1
"""
PCI_BIOS = r"""pcibios_init : BIOS32 Service Directory structure at 0xf\w{4}
pcibios_init : BIOS32 Service Directory entry at 0xf\w{4}
pcibios_init : PCI BIOS revision 2\.10 entry at 0xf\w{4}
"""
END = r"""Probing PCI hardware\.
ide: Intel 82371 PIIX3 \(dual FIFO\) DMA Bus Mastering IDE
    Controller on PCI bus 0 function 9
ide: BM-DMA feature is not enabled \(BIOS\), enabling
    ide0: BM-DMA at 0xc0\w0-0xc0\w7
    ide1: BM-DMA at 0xc0\w8-0xc0\wf
intnull\(15\)
hd2: (?:RINGER CD|QEMU DVD)-ROM, ATAPI CDROM drive
ide1 at 0x170-0x177,0x376 on irq 15
Floppy drive\(s\): fd0 is (?:1\.44M|2\.88M AMI BIOS)
(?:intnull\(6\)
)?FDC 0 is a (?:post-1991 82077|S82078B)
.*probing scsi 15/16: ncr53c8xx - revision 2\.5f\.1 *
done
scsi : 0 hosts\.
scsi : detected total\.
Partition check \(DOS partitions\):
"""
SERIAL_END = r"""com 2 out of range
lpr0: at atbus0, port = 378x, spl = 6d, pic = 7\.
RTC time is \d{4}-\d\d-\d\d \d\d:\d\d:\d\d
panic \.\./kern/bootstrap\.c:181: bootstrap_create: No bootstrap code loaded with the kernel!
"""
# The screen is 80 columns wide, and COM1 is not the console's.
SCREEN_END = r"""com0: at atbus0, port = 3f8x, spl = 6u, pic = 4\. \(DOS COM1\)
com 2 out of range
lpr0: at atbus1, port = 378x, spl = 6d, pic = 7\.
RTC time is \d{4}-\d\d-\d\d \d\d:\d\d:\d\d
panic \.\./kern/bootstrap\.c:181: bootstrap_create: No bootstrap code loaded with t
he kernel!
"""


def kernel(run):
    path = run.path("gnumach")
    with gzip.open(package("gnumach-image-1.8-486", "boot/gnumach-1.8-486.gz")) as packed, open(path, "wb") as f:
        f.write(packed.read())
    return path


def compare(run, text, *patterns):
    """Line by line, so that a failure names the first that differs."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc", "", text)
    lines = [line.rstrip() for line in text.replace("\r", "").rstrip().splitlines()]
    at = next((i for i, line in enumerate(lines) if re.match(patterns[0].split("\n")[0], line)), len(lines))
    whole = "\n".join(lines[at:]) + "\n"
    pattern = "".join(patterns)
    if re.fullmatch(pattern, whole):
        run.check("the lines", True)
        return
    pieces = pattern.splitlines(True)
    matched = max((n for n in range(len(pieces)) if matches("".join(pieces[:n]), whole)), default=0)
    run.check(f"line {matched}, {pieces[min(matched, len(pieces) - 1)]!r}, in {whole[-1500:]!r}", False)


def matches(pattern, text):
    try:
        return re.match(pattern, text)
    except re.error:  # it ends within a group
        return False


def finish(run, machine):
    status = machine.wait(BOOT)
    run.check(f"exit status {status} after its reboot under -no-reboot, not 0", status == 0)


def register(suite):
    @suite.case
    def mach_kernel(run):
        machine = run.start(["-m", "64", "-nographic", "-no-reboot", "-kernel", kernel(run), "-append", "gnumach console=com0"])
        finish(run, machine)
        compare(run, machine.text, BEGIN, PCI_BIOS if run.is_qemu else PROBED, END, SERIAL_END)

    @suite.case
    def mach_screen(run):
        if run.is_qemu:
            run.skip("QEMU has no -screentext")
            return
        text = run.path("screen")
        machine = run.start(["-m", "64", "-display", "none", "-no-reboot", "-kernel", kernel(run), "-screentext", f"{text},at=end"])
        finish(run, machine)
        compare(run, contents(text), END, SCREEN_END)

    @suite.case
    def mach_grub(run):
        machine = run.start(["-m", "64", "-display", "none", "-serial", "stdio", "-no-reboot", "-cdrom", image("mach-cd", ".iso")])
        # Told so by GRUB, it halts at the end.
        deadline = time.monotonic() + BOOT
        while "loaded with the kernel!" not in machine.text and time.monotonic() < deadline:
            machine.read(0.5)
        compare(run, machine.text, BEGIN, PCI_BIOS, END, SERIAL_END)
