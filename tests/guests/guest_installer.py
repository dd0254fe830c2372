"""Debian's installer: by -kernel, from a CD with isolinux and from one with GRUB 2; on the serial console, on the text screen, on a framebuffer,
with Gtk. Each case comes to the first question, answers it by a key, and sees the second: so disk, screen and keyboard all work.
"""

import operator
import time

from harness import contents, free_port, wait_until
from images import image, package
from rfb import read_png
from screen import Screen

DIRECTORY = "usr/lib/debian-installer/images/12/i386/text/debian-installer/i386/"
LIMIT = 240  # seconds to the first screen, on a slow, busy host
BLUE, GRAY, RED, WHITE, BAR, PAPER = 0x0000aa, 0xaaaaaa, 0xaa0000, 0xffffff, 0x719bbf, 0xede9e3


def kernel():
    """The options that start it without a boot loader."""
    paths = [package("debian-installer-12-netboot-i386", DIRECTORY + file) for file in ("linux", "initrd.gz")]
    return ["-m", "512", "-kernel", paths[0], "-initrd", paths[1]]


def cd(loader):
    return ["-m", "512", "-cdrom", image(f"installer-{loader}", ".iso")]


def start_serial(run, options):
    # Not -nographic: it tells the firmware to copy the text screen to the serial port.
    return run.start([*options, "-display", "none", "-serial", "stdio"], terminal=True)


def start_screen(run, options):
    port = free_port()
    run.start([*options, "-display", "none", "-serial", "null", "-vnc", f":{port - 5900}"])
    return Screen(port)


def questions_serial(run, machine):
    machine.expect("Select a language", LIMIT)
    # A serial console is not known to show more than ASCII, so there is little to choose.
    run.check("languages", machine.expect("English", 10))
    machine.expect("activates buttons", 10)
    machine.send("\r")
    machine.expect("Select your location", 30)
    run.check("countries", machine.expect("United Kingdom", 10))


def questions_text(run, screen):
    screen.expect("Select a language", LIMIT)
    screen.expect("English +- +English", 10)
    # The text screen has no letters for most of the others.
    run.check("languages", screen.expect("French +- +Français", 10))
    screen.expect("activates buttons", 10)
    screen.type("enter")
    screen.expect("Select your location", 30)
    run.check("countries", screen.expect("United Kingdom", 10))


def is_dialog(screen):
    """A gray window on blue with a red bar as wide as the list, in a framebuffer: its font is the installer's own, so it is not read."""
    if screen.size[0] < 800:
        return None
    colors = screen.colors()
    area = screen.size[0] * screen.size[1]
    drawn = colors[GRAY] > area // 2 and colors[BLUE] > area // 40 and 1000 < colors[RED] < area // 20
    return colors if drawn else None


def red_bar(screen):
    """The first line of pixels, below the title, with a run of red."""
    width, height = screen.size
    pixels = screen.pixels()
    for y in range(height // 16 * 2, height):
        if pixels[y * width:(y + 1) * width].count(RED) > 100:
            return y
    return None


def questions_framebuffer(run, screen):
    screen.wait(is_dialog, LIMIT, "dialog")
    bar = screen.wait(red_bar, 10, "bar")
    screen.type("down")
    run.check("the bar moves by one line", screen.wait(lambda s: (red_bar(s) or 0) == bar + 16, 10, "bar one line below"))
    screen.type("up")
    screen.wait(lambda s: red_bar(s) == bar, 10, "bar where it was")
    first = screen.pixels()
    screen.type("enter")
    # The list of countries has another length, so its bar is elsewhere.
    screen.wait(lambda s: is_dialog(s) and red_bar(s) not in (None, bar), 30, "second dialog")
    run.check("the second question is another", screen.pixels() != first)


def is_vesamenu(screen):
    """Debian's picture with the bar, which is drawn last and blended with the picture."""
    if screen.size != (640, 480):
        return None
    colors = screen.colors()
    return colors if colors[BAR] > 4000 else None


def isolinux_entry(screen, number):
    screen.expect("Installer by isolinux", 30)
    screen.expect("Menu of Debian", 10)
    screen.type(*["down"] * number, "enter")


def register(suite):
    @suite.case
    def installer_kernel_serial(run):
        questions_serial(run, start_serial(run, [*kernel(), "-append", "console=ttyS0"]))

    @suite.full_case
    def installer_kernel_text(run):
        """-screentext, which asks the VGA for its characters, and the characters read off the pixels agree."""
        times = range(8, LIMIT, 8)
        files = [run.path(f"screen{at}") for at in times]
        pictures = [] if run.is_qemu else [o for at, file in zip(times, files) for o in ("-screentext", f"{file},at={at}")]
        screen = start_screen(run, [*kernel(), "-append", "vga=normal fb=false nomodeset", *pictures])
        screen.expect("Select a language", LIMIT)
        screen.expect("activates buttons", 10)
        shown = screen.text()
        if not run.is_qemu:
            asked = wait_until(lambda: next((text for text in map(contents, files) if "activates" in text), ""), 20)
            run.check(f"-screentext and the pixels agree\n{asked}\n{shown}", "Français" in asked and asked.split() == shown.split())
        questions_text(run, screen)

    @suite.full_case
    def installer_kernel_framebuffer(run):
        questions_framebuffer(run, start_screen(run, [*kernel(), "-append", "quiet"]))

    @suite.case
    def installer_isolinux_framebuffer(run):
        """isolinux's text menu, Debian's own graphical one (a VBE mode, with a picture), then its entry "Install", with vga=788."""
        screen = start_screen(run, cd("isolinux"))
        isolinux_entry(screen, 4)
        menu = screen.wait(is_vesamenu, 30, "graphical menu")
        # A photograph-like background; the bar and the letters have colours of their own.
        run.check(f"many colours: {len(menu)}", len(menu) > 1000)
        run.check("letters", menu[WHITE] > 300)
        screen.type("enter")
        questions_framebuffer(run, screen)

    @suite.full_case
    def installer_isolinux_serial(run):
        machine = start_serial(run, cd("isolinux"))
        machine.expect("Installer by isolinux", 30)
        machine.expect("Serial console", 10)
        machine.expect("Menu of Debian", 10)
        machine.send("\r")
        questions_serial(run, machine)

    @suite.full_case
    def installer_isolinux_text(run):
        screen = start_screen(run, cd("isolinux"))
        isolinux_entry(screen, 1)
        questions_text(run, screen)

    @suite.case
    def installer_grub_serial(run):
        machine = start_serial(run, cd("grub"))
        machine.expect("GNU GRUB", 30)
        machine.expect("on the serial console", 10)
        machine.expect("in text mode", 10)
        machine.send("\r")
        questions_serial(run, machine)

    @suite.full_case
    def installer_grub_text(run):
        screen = start_screen(run, cd("grub"))
        screen.expect("GNU GRUB", 30)
        screen.expect("Installer in text mode", 10)
        screen.type("down", "enter")
        questions_text(run, screen)

    @suite.full_case
    def installer_gtk(run):
        """The graphical installer, on X: a picture with Debian's banner, a list, buttons. With less memory it becomes the other one."""
        picture = run.path("end.png")
        options = [*cd("isolinux"), "-m", "1024"]
        screen = start_screen(run, options if run.is_qemu else [*options, "-screenshot", picture])
        isolinux_entry(screen, 3)
        drawn = screen.wait(is_gtk, LIMIT, "graphical installer")
        run.check(f"many colours: {len(drawn)}", len(drawn) > 5000)
        steady(screen)
        first = screen.pixels()
        screen.type("down")
        screen.wait(lambda s: different(first, s.pixels()) > 5000, 20, "bar one line below")
        steady(screen)
        run.check("the bar moves, and the list stays", different(first, screen.pixels()) < 50000)
        screen.type("enter")
        screen.wait(lambda s: different(first, s.pixels()) > 60000 and is_gtk(s), 30, "second question")
        if not run.is_qemu:
            steady(screen)
            shown, size = screen.client.rgb(), screen.size
            run.machines[0].kill()
            run.machines[0].wait(20)
            width, height, pixels = read_png(picture)
            run.check("-screenshot's size", (width, height) == size)
            run.check("-screenshot shows the same", pixels == shown)


def is_gtk(screen):
    """A white list and the window's paper around it."""
    if screen.size[0] < 1024:
        return None
    colors, area = screen.colors(), screen.size[0] * screen.size[1]
    return colors if colors[WHITE] > area * 0.4 and colors[PAPER] > area * 0.1 else None


def steady(screen):
    """Waits for a picture that does not change for a second."""
    deadline = time.monotonic() + 20
    while screen.look(1) and time.monotonic() < deadline:
        pass


def different(a, b):
    """The number of pixels that differ."""
    return sum(map(operator.ne, a, b)) if len(a) == len(b) else max(len(a), len(b))
