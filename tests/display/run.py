#!/usr/bin/env python3
"""The screen and the keyboard, from outside: Debian's kernel with its console on the VGA, seen and typed at by VNC and on a terminal.

  tests/display/run.py [--runner COMMAND] [CASE...]

Prints PASS and FAIL lines and a SUMMARY. Logs are in build/tests/display/.
"""

import fcntl
import glob
import hashlib
import os
import re
import signal
import socket
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import harness  # noqa: E402
from harness import BOOT, GUESTS, contents, free_port, wait_until  # noqa: E402
from rfb import Client, Refused, read_png  # noqa: E402

LEAVE = "\x1b[?1049l"  # what gives an xterm's screen back


class Run(harness.Run):
    def start(self, *options, terminal=False, append="console=ttyS0 console=tty0", verify=True):
        argv = ["-m", "128", "-kernel", f"{GUESTS}/686/vmlinuz", "-initrd", f"{GUESTS}/initramfs.cpio.gz"]
        return super().start([*argv, "-append", f"{append} consoleblank=0", *options], terminal, verify)


suite = harness.Suite("display", __doc__, Run)


def free_display():
    return free_port() - 5900


def connect(port, **how):
    """The server is there a moment after the program is."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return Client(port, **how)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def answer(type_line, serial, wanted, limit=BOOT):
    """Types a line until the guest has written what it wants to the serial port: at first there is no shell yet."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        type_line()
        again = time.monotonic() + 4
        while time.monotonic() < again:
            if re.search(wanted, contents(serial)):
                return True
            time.sleep(0.1)
    return False


@suite.case
def vnc(run):
    """Typed at and seen by VNC; the picture and the text at the end are what the client saw."""
    number = free_display()
    serial, png, text = run.path("serial"), run.path("end.png"), run.path("end.txt")
    machine = run.start("-nographic", "-serial", f"file:{serial}", "-vnc", f":{number}", "-screenshot", png, "-screentext", text,
                        "-screentext", run.path("early.txt") + ",at=1")
    client = connect(5900 + number)
    run.check("the screen's size", (client.width, client.height) == (720, 400))
    # Characters that need Shift come without one; their keys must get it.
    run.check("typed", answer(lambda: client.type("echo A-$((6*7))_{b}~ >/dev/ttyS0\n"), serial, r"A-42_\{b\}~"))
    client.update()
    before = client.rgb()
    client.key(0xffe1, 1)  # Shift held by the client: a symbol of its own layout that needs none here
    client.key(ord("1"))
    client.key(0xffe1, 0)
    client.type("\nprintf '\\033[?25l\\033[2J\\033[H\\033[1;33;44mRinger \\xe2\\x95\\x94\\xe2\\x95\\x90\\xe2\\x95\\x97\\033[0m done'; read x\n")
    seen, deadline = 0, time.monotonic() + 20
    while not seen and time.monotonic() < deadline:
        seen = client.update(incremental=True)
    run.check("incremental updates", seen and seen < 720 * 400 * 2)
    client.pointer(10, 10)
    client.pointer(200, 100, 1)
    time.sleep(1)
    client.update()
    after = client.rgb()
    run.check("the screen changed", before != after)
    machine.kill()
    run.check("exit status", machine.wait(20) == 128 + signal.SIGTERM)
    width, height, pixels = read_png(png)
    run.check("the picture's size", (width, height) == (720, 400))
    run.check("VNC and PNG show the same", hashlib.sha256(pixels).digest() == hashlib.sha256(after).digest())
    colors = {pixels[i:i + 3] for i in range(0, len(pixels), 3)}
    run.check(f"colours {colors}", b"\x00\x00\xaa" in colors and b"\xff\xff\x55" in colors)
    run.check(f"text: {contents(text)[:100]!r}", contents(text).startswith("Ringer ╔═╗ done\n"))
    run.check("lines", contents(text).count("\n") == 25)
    run.check("a picture at a given time", contents(run.path("early.txt")).count("\n") == 25)
    client.close()


@suite.case
def vnc_password(run):
    number = free_display()
    with open(run.path("password"), "w") as f:
        f.write("sesame\n")
    machine = run.start("-nographic", "-serial", "null", "-display", f"vnc=127.0.0.1:{number},password=on,password-file={run.path('password')}")
    for password, admitted in ((None, False), ("wrong", False), ("sesame", True)):
        try:
            client = connect(5900 + number, password=password)
            run.check(f"{password} is admitted", admitted)
            run.check("an update", client.update() >= 720 * 400)
            client.close()
        except Refused:
            run.check(f"{password} is refused", not admitted)
    other = run.start("-nographic", "-serial", "null", "-vnc", f":{number}")
    run.check("a port in use ends in status 1", other.wait(20) == 1)
    run.check(f"and one line: {other.text}", re.fullmatch(r"ringer: .*in use\s*", other.text))
    machine.kill()
    run.check("exit status", machine.wait(20) == 128 + signal.SIGTERM)


@suite.case
def vnc_slow_client(run):
    """A client that asks for updates and never reads them delays nobody."""
    number = free_display()
    serial = run.path("serial")
    machine = run.start("-nographic", "-serial", f"file:{serial}", "-vnc", f":{number}")
    slow = connect(5900 + number)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(2000):
        slow.socket.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, slow.width, slow.height)) if _ < 200 else None
    deadline = time.monotonic() + BOOT
    while "Run /init" not in contents(serial) and time.monotonic() < deadline:
        time.sleep(0.2)
    run.check("the guest boots", "Run /init" in contents(serial))
    slow.close()
    machine.kill()
    run.check("exit status", machine.wait(30) == 128 + signal.SIGTERM)


def window_size(machine, rows, cols):
    fcntl.ioctl(machine.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


@suite.case
def curses(run):
    """The text screen on a terminal: what is shown, keys, a change of its size, and how it is left."""
    os.environ["TERM"] = "xterm-256color"
    serial, text = run.path("serial"), run.path("end.txt")
    machine = run.start("-display", "curses", "-serial", f"file:{serial}", "-screentext", text, terminal=True)
    window_size(machine, 30, 100)

    def type_line(line="echo C-$((6*7))_{d} >/dev/ttyS0\r"):
        machine.send(line)
        machine.read(0)

    run.check("typed", answer(type_line, serial, r"C-42_\{d\}"))
    run.check("the screen is taken", "\x1b[?1049h" in machine.text or machine.read(1) and "\x1b[?1049h" in machine.text)
    # Cursor up brings the line back, Ctrl-U removes it.
    machine.send("\x1bOA\x15echo up-$((1+1)) >/dev/ttyS0\r")
    time.sleep(1)
    machine.send("\x1bOA\r")
    deadline = time.monotonic() + 20
    while contents(serial).count("up-2") < 2 and time.monotonic() < deadline:
        machine.read(0.1)
    run.check("cursor keys", contents(serial).count("up-2") == 2)
    while machine.read(0.3) and machine.text:
        machine.text = ""
    window_size(machine, 20, 60)
    machine.expect(r"root@ringer", 20)
    machine.text = ""
    machine.send("\x01h")
    machine.expect("quits", 20)
    machine.send("\x01x")
    run.check("exit status", machine.wait(20) == 0)
    machine.read(0.2)
    run.check("the screen is given back", LEAVE in machine.text)
    run.check("the terminal's settings", machine.settings_restored())
    run.check("the prompt", "root@ringer:~# " in contents(text) + " ")


@suite.case
def curses_screenshot(run):
    """Ctrl-A s writes a picture into the current directory."""
    os.environ["TERM"] = "xterm-256color"
    here, run.runner = os.getcwd(), os.path.abspath(run.runner)
    os.chdir(run.directory)
    machine = run.start("-curses", terminal=True)
    os.chdir(here)
    machine.expect(r"1049h", 30)
    time.sleep(2)  # until the screen has been set up
    machine.send("\x01s")
    pictures = wait_until(lambda: machine.read(0.1) and glob.glob(run.path("ringer-*.png")), 20)
    run.check("one picture", pictures and len(pictures) == 1)
    time.sleep(0.5)
    size = read_png(pictures[0])[:2]
    run.check(f"of the screen: {size}", size in ((640, 400), (720, 400)))
    machine.send("\x01x")
    run.check("exit status", machine.wait(20) == 0)


@suite.case
def graphics_mode(run):
    """vga= of the command line: the kernel's own driver finds a frame buffer, and writes on it."""
    serial, png = run.path("serial"), run.path("end.png")
    machine = run.start("-display", "none", "-monitor", "none", "-serial", f"file:{serial}", "-screenshot", png,
                        append="console=ttyS0 console=tty0 vga=0x317")
    said = wait_until(lambda: re.search(r"vesafb: mode is (\S+), linelength=(\d+)", contents(serial)), BOOT)
    run.check(f"the driver's mode: {said and said[0]}", said and said.groups() == ("1024x768x16", "2048"))
    run.check("its console", wait_until(lambda: "frame buffer device 128x48" in contents(serial), BOOT))
    time.sleep(1)
    machine.kill()
    run.check("exit status", machine.wait(20) == 128 + signal.SIGTERM)
    width, height, pixels = read_png(png)
    lit = sum(1 for i in range(0, len(pixels), 3) if pixels[i:i + 3] != bytes(3))
    run.check(f"{lit} pixels of {width}x{height}", (width, height) == (1024, 768) and 5000 < lit < width * height // 2)


@suite.case
def curses_ends(run):
    """Killed, failed or stopped: the terminal is as it was."""
    os.environ["TERM"] = "xterm-256color"
    machine = run.start("-curses", terminal=True)
    machine.expect(r"1049h", 30)
    machine.kill(signal.SIGTERM)
    run.check("SIGTERM", machine.wait(20) == 128 + signal.SIGTERM)
    machine.read(0.2)
    run.check("the screen is given back", LEAVE in machine.text)
    run.check("the settings", machine.settings_restored())
    machine = run.start("-curses", terminal=True, append="console=tty0 panic=-1 init=/none rdinit=/none")
    machine.expect(r"1049h", 30)
    machine.kill(signal.SIGSTOP)
    time.sleep(0.2)
    machine.kill(signal.SIGCONT)
    time.sleep(0.5)
    machine.send("\x01x")
    run.check("Ctrl-A x after a stop", machine.wait(20) == 0)
    os.environ["TERM"] = "no-such-terminal"
    machine = run.start("-curses", terminal=True)
    run.check("an unknown terminal", machine.wait(20) == 1 and "no-such-terminal" in machine.text)
    run.check("its settings", machine.settings_restored())


sys.exit(suite.main())
