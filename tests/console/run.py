#!/usr/bin/env python3
"""The console from outside: on the terminal that it shares with the guest, on sockets and pseudo-terminals; what its commands do to a guest.

  tests/console/run.py [--runner COMMAND] [CASE...]

Prints PASS and FAIL lines and a SUMMARY. Logs are in build/tests/console/.
"""

import os
import re
import select
import socket
import subprocess
import sys
import time
import tty

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import harness  # noqa: E402
import rfb  # noqa: E402
from harness import BOOT, GUESTS, ROOT, contents, wait_until  # noqa: E402
from machine import PROMPT, Failure  # noqa: E402
from rfb import read_png  # noqa: E402

READY = r"\(ringer\) "


class Client:
    """A console on a Unix socket, or on anything else that is a pair of descriptors."""

    def __init__(self, path=None, fd=None, prompt="(ringer) "):
        self.prompt = prompt
        self.text = ""
        if fd is None:
            self.socket = socket.socket(socket.AF_UNIX)
            if not wait_until(lambda: self.socket.connect_ex(path) == 0, 20):
                raise Failure(f"nobody listens on {path}")
            fd = self.socket.fileno()
        self.fd = fd
        self.greeting = self.answer()

    def answer(self, limit=30):
        """What comes before the next prompt."""
        deadline = time.monotonic() + limit
        while self.prompt not in self.text:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.fd], [], [], max(left, 0))
            data = os.read(self.fd, 65536) if ready else b""
            if not data:
                raise Failure(f"no prompt but {self.text[-200:]!r}")
            self.text += data.decode("latin-1").replace("\r\n", "\n")
        answer, _, self.text = self.text.partition(self.prompt)
        return answer

    def send(self, text):
        os.write(self.fd, text.encode("latin-1"))

    def do(self, line):
        self.send(line + "\n")
        return self.answer()


class Run(harness.Run):
    def boot(self, *options, append="console=ttyS0", initrd=f"{GUESTS}/initramfs.cpio.gz", terminal=False):
        """Debian's kernel and a console on a socket."""
        argv = ["-m", "128", "-kernel", f"{GUESTS}/686/vmlinuz", "-initrd", initrd, "-append", append, *options]
        return self.start(argv, terminal)

    def socket_option(self, name="monitor"):
        return f"unix:{self.path(name)},server=on,wait=off"


suite = harness.Suite("console", __doc__, Run)


@suite.case
def shared_terminal(run):
    """Ctrl-A c there and back; editing, history, completion; quit's status and the terminal's settings."""
    os.environ["TERM"] = "xterm"
    machine = run.boot("-nographic", terminal=True)
    machine.expect(PROMPT, BOOT)
    machine.send("\x01h")
    machine.expect("Ctrl-A c +switch between console and monitor", 10)
    machine.send("\x01c")
    machine.expect("Ringer .* monitor - type 'help'", 10)
    machine.expect(READY, 10)
    machine.send("info sta\t")
    machine.expect("info sta\a?t", 10)
    machine.send("us\r")
    machine.expect("VM status: running", 10)
    machine.expect(READY, 10)
    # What is half typed is there again after a visit to the guest, and none of it is the guest's.
    machine.send("print 40+")
    machine.expect(r"print 40\+", 10)
    machine.send("\x01cecho guest-$((6*7))\r")
    machine.expect("guest-42", 10)
    machine.expect(PROMPT, 10)
    machine.send("\x01c")
    machine.expect(r"print 40\+", 10)
    machine.send("2\r")
    machine.expect("0x2a", 10)
    # Cursor up, then Ctrl-A (which is sent by itself twice) and a correction at the beginning of the line.
    machine.send("\x1b[A\x01\x01\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C/d\r")
    machine.expect("invalid char '/' in expression|extraneous|^42", 10)
    machine.send("\x03stop\r")
    machine.expect(READY, 10)
    machine.send("info status\r")
    machine.expect("VM status: paused", 10)
    machine.send("\x01ctyped while it stands\x15\x01c\rcont\r\x01c\recho again-$((1+1))\r")
    machine.expect("again-2", 20)
    machine.send("\x01c\x03quit\r")
    run.check("exit status", machine.wait(20) == 0)
    run.check("the terminal's settings", machine.settings_restored())


@suite.case
def own_terminal(run):
    """-monitor stdio: Ctrl-A is the editor's; a guest that powers itself off leaves the terminal as it was."""
    os.environ["TERM"] = "xterm"
    serial = run.path("serial")
    machine = run.boot("-monitor", "stdio", "-serial", f"file:{serial}", terminal=True)
    machine.expect(READY, 30)
    machine.send("int 1\x01pr\r")
    machine.expect("0x1", 10)
    machine.send("\x04info name\r")
    machine.expect(READY, 10)
    machine.send("print/d 6*9\r")
    machine.expect("54", 10)
    machine.send("quit\r")
    run.check("exit status", machine.wait(20) == 0)
    run.check("the terminal's settings", machine.settings_restored())
    machine = run.boot("-nographic", "-serial", "stdio", "-monitor", "stdio")
    run.check("two that want the terminal", machine.wait(20) == 1 and re.search(r"-monitor stdio: .*in use", machine.text))


@suite.case
def socket_clients(run):
    """A client that leaves in the middle of a line, garbage, lines without end, more output than a socket holds."""
    machine = run.boot("-monitor", run.socket_option(), "-serial", f"file:{run.path('serial')}")
    first = Client(run.path("monitor"))
    run.check("the greeting", re.match(r"Ringer [0-9.]+ monitor - type 'help' for more information\n$", first.greeting))
    first.send("quit"[:3])
    first.socket.close()
    second = Client(run.path("monitor"))
    run.check("half a line is forgotten", second.do("it") == "unknown command: 'it'\n")
    run.check("CR LF is one end", second.do("print 1\r") == "0x1\n")
    second.send("print 2\nprint 3\n")
    run.check("two at once", (second.answer(), second.answer()) == ("0x2\n", "0x3\n"))
    garbage = "".join(chr((i * 197 + 41) % 256) for i in range(4000)).replace("\n", "").replace("\r", "")
    run.check("garbage", second.do("\x00" + garbage).startswith("unknown command"))
    run.check("a line without end", second.do("x" * 100000) == "the line is too long\n")
    run.check("backspace", second.do("prinz\b\x7ft 5") == "unknown command: 'prit'\n")
    run.check("all help", second.do("help").count("\n") > 20)
    for line in ("help", "help info"):
        run.check(f"{line} is of whole lines", all(" -- " in text for text in second.do(line).splitlines()))
    # Nobody reads, then somebody does: all is there.
    wait_until(lambda: "Run /init" in contents(run.path("serial")), BOOT)
    second.send("x/200000xb 0xc0000000\nprint 77\n")
    time.sleep(1)
    dump = second.answer(60)
    run.check(f"a long dump: {dump.count(chr(10))} lines", dump.count("\n") == 25000 and "cut off" not in dump)
    run.check("and what follows", second.answer() == "0x4d\n")
    second.send("x/200000xb 0xc0000000\n")
    second.socket.close()
    third = Client(run.path("monitor"))
    run.check("after one that left a dump unread", third.do("info status") == "VM status: running\n")
    third.send("quit\n")
    run.check("exit status", machine.wait(20) == 0)


@suite.case
def pseudo_terminal(run):
    """-monitor pty echoes; it is there while the machine has not been started."""
    machine = run.boot("-S", "-monitor", "pty", "-serial", "null")
    name = machine.expect(r"char device redirected to (\S+) \(label compat_monitor0\)", 20).group(1)
    fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd)
    client = Client(fd=fd)
    run.check("an echo", client.do("info statuz\x7fs") == "info statuz\b \bs\nVM status: paused (prelaunch)\n")
    run.check("back ends", "compat_monitor0: filename=pty:" + name in client.do("info chardev"))
    client.send("cont\n")
    client.answer()
    client.send("quit\n")
    run.check("exit status", machine.wait(20) == 0)
    os.close(fd)


@suite.case
def options(run):
    for argv, wanted in ((["-monitor", "carrier-pigeon"], "-monitor carrier-pigeon: .*not a character device"),
                         (["-monitor", "unix:/nonexistent/x,server=on"], "No such file")):
        machine = run.boot("-serial", "null", *argv)
        run.check(f"{argv}: {machine.text}", machine.wait(20) == 1 and re.search(wanted, machine.text))
    machine = run.boot("-nographic", "-monitor", "none", terminal=True)
    machine.expect(PROMPT, BOOT)
    machine.send("\x01cecho only-$((1+1))\r")
    machine.expect("only-2", 10)
    run.check("no console", "ringer)" not in machine.text)
    machine.send("\x01x")
    run.check("exit status", machine.wait(20) == 0)


STATE_COMMANDS = ["info registers", "info mem", "info tlb", "info status", "x/20xb 0xc0001000", "x/3dw 0xc0011000", "x/3uh 0xc0011000",
                  "x/5ob 0xc0011000", "x/4c 0xc0011000", "x/2xg 0x100000", "x/2xw 0xc0000000", "x/4xb 0x40000000", "x/3xw 0xc0001ffe",
                  "xp/4xw 0x100000", "xp/3dg 0x100000", "xp/7cb 0x100000", "print 3*(4+5)", "p/d -3", "p/o 0777", "p/c 65", "p/u 1-2", "print $cs",
                  "p $ebp & 0xff", "p 1+6&3", "foo", "info bar", "p/d 0x7fffffff*2"]


@suite.case
def same_as_qemu(run):
    """The state of a CPU that has halted, as QEMU's monitor shows it."""
    answers = {}
    for name, command in (("ringer", run.runner), ("qemu", "qemu-system-i386 -accel tcg -cpu max")):
        run.runner = command
        serial = run.path(f"serial-{name}")
        machine = run.start(["-m", "64", "-display", "none", "-serial", f"file:{serial}", "-kernel", f"{ROOT}/build/guestos/state.elf",
                             "-monitor", run.socket_option(f"monitor-{name}")])
        client = Client(run.path(f"monitor-{name}"), prompt=f"({name}) ")
        run.check(f"{name}: the state is reached", wait_until(lambda: "STATE" in contents(serial), BOOT))
        time.sleep(0.5)
        for line in STATE_COMMANDS:
            answers[name, line] = client.do(line)
        client.send("quit\n")
        run.check(f"{name}: exit status", machine.wait(20) == 0)
    for line in STATE_COMMANDS:
        theirs = answers["qemu", line]
        # What QEMU's editor echoes: the line again and again as it grows, the last one followed by the answer.
        theirs = theirs[theirs.index("\n") + 1:] if "\n" in theirs else theirs
        # The busy bit of a task's descriptor is set by LTR (SDM Vol. 2A, LTR); QEMU sets it in memory only.
        theirs = theirs.replace("00008900 DPL=0 TSS32-avl", "00008b00 DPL=0 TSS32-busy")
        run.check(f"{line}: {answers['ringer', line]!r}, not {theirs!r}", answers["ringer", line].strip() == theirs.strip())
    run.check("registers were compared", "EAX=a1a2a3a4" in answers["ringer", "info registers"])


def symbol(elf, name):
    for line in subprocess.run(["nm", elf], capture_output=True, text=True, check=True).stdout.splitlines():
        if line.split()[-1] == name:
            return int(line.split()[0], 16)
    raise Failure(f"{elf} has no {name}")


@suite.case
def state(run):
    """The code at EIP, ports, the tables of devices."""
    elf, serial = f"{ROOT}/build/guestos/state.elf", run.path("serial")
    machine = run.start(["-m", "64", "-serial", f"file:{serial}", "-kernel", elf, "-monitor", run.socket_option(), "-name", "Emma"])
    client = Client(run.path("monitor"))
    run.check("the state is reached", wait_until(lambda: "STATE" in contents(serial), BOOT))
    halt = symbol(elf, "state_halt")
    wait_until(lambda: "HLT=1" in client.do("info registers"), 10)
    run.check("x/i", client.do("x/2i $eip-1") == f"0x{halt:08x}:  f4                       hlt\n"
                                                 f"0x{halt + 1:08x}:  eb fd                    jmp 0x{halt:08x}\n")
    run.check("xp/i", client.do("xp/1i $pc-1") == f"0x{halt:08x}:  f4                       hlt\n")
    run.check("a port's register", client.do("i/b 0x70 0x0e") == "portb[0x0071] = 0x00\n")
    client.do("o/b 0x80 0x5a")
    run.check("o, i", client.do("i/b 0x80") == "portb[0x0080] = 0x5a\n")
    for line, wanted in (("info pic", r"^pic0: irr=.. imr=.. isr=.. hprio=0 irq_base=..[^\n]*\npic1: irr"), ("info irq", r"^ 0: \d+$"),
                         ("info pci", r"Bus  0, device   1, function 1:\n    IDE controller: PCI device 8086:7010\n"),
                         ("info pci", r"BAR0: 32 bit prefetchable memory at 0xe0000000 \[0xe0ffffff\]"),
                         ("info mtree", r"0000000000000000-000000000009ffff \(prio 0, ram\): pc.ram"),
                         ("info mtree", r"00000000fee00000-00000000fee00fff \(prio 0, i/o\): lapic"), ("info mtree", r"03f8-00000000000003ff .*com1"),
                         ("info qtree", r"dev: i8042, id"), ("info block", r"^ide1-cd0: \[not inserted\]"), ("info chardev", r"^serial0: filename=file:"),
                         ("info jit", r"^TU count +[1-9]"), ("info windows", r"windows made"), ("info stats", r"^tus_made +[1-9]"),
                         ("info cpus", r"^\* CPU #0: thread_id=\d+ \(halted\)$"), ("info name", r"^Emma$"), ("info version", r"^\d+\.\d+"),
                         ("info", r"^info registers -- ")):
        text = client.do(line)
        run.check(f"{line}: {text[:300]!r}", re.search(wanted, text, re.M))
    # A profile lasts from `log profile` to a log without it, and stays to be seen; it may be started again.
    for line, wanted in (("log profile,trace:pic", r"^$"), ("info jit", r"^profile: \d+ samples"), ("log nochain", r"^$"),
                         ("info jit", r"^TU count +0/"), ("log trace:toaster", r"invalid log item 'trace:toaster'")):
        text = client.do(line)
        run.check(f"{line}: {text[:300]!r}", re.search(wanted, text, re.M))
    log = run.path("log")
    client.do("log int,exec")
    client.do(f"logfile {log}")
    # The kernel expects none: it says so, and switches the machine off.
    client.send("nmi\n")
    run.check("exit status after the NMI", machine.wait(20) == 0)
    run.check("the guest has got it", "PANIC: vector 2" in contents(serial))
    run.check("it is in the log", "exec 0008:" in contents(log))


@suite.case
def stop_and_cont(run):
    """The guest's clock stands still while it is stopped; a reset starts it again."""
    machine = run.boot("-nographic", "-serial", "mon:stdio", "-monitor", run.socket_option(), terminal=True)
    client = Client(run.path("monitor"))
    machine.expect(PROMPT, BOOT)

    def uptime():
        return float(machine.command("cut -d' ' -f1 /proc/uptime", r"^(\d+\.\d+)\s").group(1))

    before, host = uptime(), time.monotonic()
    client.do("stop")
    run.check("paused", client.do("info status") == "VM status: paused\n")
    seen = [client.do("info registers") for _ in range(2)]
    run.check("the registers stand still", seen[0] == seen[1])
    run.check("the second console sees the same", re.search(r"EIP=[0-9a-f]{8}", seen[0]))
    time.sleep(4)
    machine.send("\r")
    machine.read(0.5)
    client.do("cont")
    machine.expect(PROMPT, 20)
    passed, real = uptime() - before, time.monotonic() - host
    run.check(f"{passed:.1f} s passed in the guest, {real:.1f} s outside", passed < real - 3)
    client.do("system_reset")
    machine.expect("Linux version", BOOT)
    machine.expect(PROMPT, BOOT)
    # Stopped, reset, still stopped; then it boots.
    client.do("stop")
    client.do("system_reset")
    time.sleep(0.5)
    run.check("paused after a reset", client.do("info status").startswith("VM status: paused"))
    client.do("c")
    machine.expect("Linux version", BOOT)
    client.send("q\n")
    run.check("exit status", machine.wait(20) == 0)


@suite.case
def hammering_guest(run):
    """A guest that does nothing but read a device's register, without end, keeps nobody else from his turn."""
    for how in ("port", "mmio"):
        for flavour in ("checked", "direct"):
            name = f"{how}, {flavour}"
            port = harness.free_port()
            options = ["-m", "64", "-kernel", f"{ROOT}/build/guestos/machine.elf", "-append", how, "-accel", f"bt,flavour={flavour}", "-vnc",
                       f":{port - 5900}", "-monitor", run.socket_option(how + flavour)]
            for end in ("Ctrl-A x", "SIGTERM"):
                machine = run.start(["-nographic"] + options, terminal=True)
                machine.expect("reading a ", 30)
                machine.expect(r"\.\.", 30)  # two seconds of the guest's
                client = Client(run.path(how + flavour))
                worst = 0
                for _ in range(200):
                    begin = time.monotonic()
                    client.do("info version")
                    worst = max(worst, time.monotonic() - begin)
                run.check(f"{name}: the console answers within 0.3 s, not {worst:.2f}", worst < 0.3)
                begin = time.monotonic()
                viewer = rfb.Client(port)
                viewer.request()
                run.check(f"{name}: VNC has a picture", viewer.receive() > 0)
                seconds = time.monotonic() - begin
                run.check(f"{name}: within 1 s, not {seconds:.2f}", seconds < 1)
                machine.expect(r"\.", 5)
                begin = time.monotonic()
                if end == "SIGTERM":
                    machine.kill()
                else:
                    machine.send("\x01x")
                status = machine.wait(10)
                seconds = time.monotonic() - begin
                run.check(f"{name}: {end} ends it with its status, not {status}", status == (143 if end == "SIGTERM" else 0))
                run.check(f"{name}: {end} ends it within 1 s, not {seconds:.2f}", seconds < 1)


@suite.case
def keys_and_pictures(run):
    """sendkey types into the guest's shell on the VGA; screendump shows it."""
    serial = run.path("serial")
    machine = run.boot("-serial", f"file:{serial}", "-monitor", run.socket_option(), append="console=ttyS0 console=tty0 consoleblank=0")
    client = Client(run.path("monitor"))
    wait_until(lambda: "Run /init" in contents(serial), BOOT)
    names = {" ": "spc", "\n": "ret", "-": "minus", ">": "shift-dot", "/": "slash", "$": "shift-4", "(": "shift-9", ")": "shift-0",
             "*": "shift-8", "_": "shift-minus"}

    def type_line(text):
        for ch in text:
            name = names.get(ch, f"shift-{ch.lower()}" if ch.isupper() else ch)
            while "wait already" in client.do(f"sendkey {name} 5"):
                time.sleep(0.05)

    def answered():
        type_line("echo K_$((6*7))-x >/dev/ttyS0\n")
        return wait_until(lambda: "K_42-x" in contents(serial), 4)

    run.check("typed", wait_until(answered, BOOT))
    type_line("clear\n")
    time.sleep(1)
    dumps = [run.path("a.png"), run.path("b"), run.path("c")]
    for line in (f"screendump {dumps[0]}", f"screendump {dumps[1]}", f"screendump {dumps[2]} -f png"):
        run.check(line, client.do(line) == "")
    width, height, pixels = read_png(dumps[0])
    with open(dumps[1], "rb") as f:
        ppm = f.read()
    run.check("the size", (width, height) == (720, 400))
    run.check("a PPM", ppm.startswith(b"P6\n720 400\n255\n") and len(ppm) == 15 + 3 * width * height)
    run.check("a PNG by -f", read_png(dumps[2])[:2] == (720, 400))
    run.check("there is something to see", len({pixels[i:i + 3] for i in range(0, len(pixels), 3)}) > 1)
    run.check("a bad path", client.do("screendump /nonexistent/x.png") == "screendump: /nonexistent/x.png: No such file or directory\n")
    client.do("mouse_move 10 10")
    client.do("mouse_button 1")
    client.do("mouse_button 0")
    client.send("quit\n")
    run.check("exit status", machine.wait(20) == 0)


@suite.case
def power_button(run):
    """The power button's status bit, and the interrupt that Linux counts."""
    machine = run.boot("-nographic", "-monitor", run.socket_option(), "-serial", "stdio", terminal=True)
    client = Client(run.path("monitor"))
    machine.expect(PROMPT, BOOT)

    def count():
        return int(machine.command("echo n$(grep -w 9: /proc/interrupts | tr -s ' ' | cut -d' ' -f3)", r"^n(\d+)").group(1))

    port = int(machine.command("grep -i pm1a_evt /proc/ioports", r"([0-9a-f]{4})-[0-9a-f]{4} : ACPI PM1a_EVT").group(1), 16)
    before = count()
    # Linux enables the button's event with its driver only; here the test does.
    client.do(f"o/h {port + 2:#x} 0x120")
    client.do("system_powerdown")
    run.check("interrupts", wait_until(lambda: count() > before, 10, 0.5))
    # Its handler has cleared the status, or has disabled the event for good: pressed again without it the bit stays.
    client.do(f"o/h {port + 2:#x} 0")
    client.do("system_powerdown")
    status = int(client.do(f"i/h {port:#x}").split("= ")[1], 16)
    run.check(f"the status bit: {status:#x}", status & 0x100)
    machine.send("poweroff -f\r")
    run.check("exit status", machine.wait(30) == 0)


def with_drivers(path):
    with open(path, "wb") as out:
        for part in (f"{GUESTS}/initramfs.cpio.gz", f"{GUESTS}/686/drivers.cpio.gz"):
            with open(part, "rb") as f:
                out.write(f.read())
    return path


def load_drivers(machine, device):
    machine.command("for m in $(cat /modules/list); do insmod /modules/$m.ko; done; sleep 1; echo there-$(ls /dev | grep -x " + device + ")",
                    f"^there-{device}", 60)


def make_iso(run, name, text):
    os.makedirs(run.path(name))
    with open(os.path.join(run.path(name), "file"), "w") as f:
        f.write(text)
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", run.path(name + ".iso"), run.path(name)], check=True, capture_output=True)
    return run.path(name + ".iso")


@suite.case
def change_cdrom(run):
    """Another disc in a running guest; one that the guest has locked; none."""
    first, second = make_iso(run, "first", "disc-one\n"), make_iso(run, "second", "disc-two-" + "x" * 5000 + "\n")
    machine = run.boot("-nographic", "-monitor", run.socket_option(), "-serial", "stdio", "-cdrom", first, terminal=True,
                       initrd=with_drivers(run.path("initrd")))
    client = Client(run.path("monitor"))
    machine.expect(PROMPT, BOOT)
    load_drivers(machine, "sr0")
    machine.command("mkdir -p /cd; mount -t iso9660 -o ro /dev/sr0 /cd && cut -c1-12 /cd/file", "^disc-one")
    run.check("it is shown", f"ide1-cd0: {first} (raw, read-only)" in client.do("info block"))
    run.check("and locked", "Removable device: locked, tray closed" in client.do("info block"))
    for line in (f"change ide1-cd0 {second}", "eject ide1-cd0"):
        run.check(f"{line} of a locked one", "is locked and force was not specified" in client.do(line))
    machine.command("umount /cd; echo done", "^done")
    run.check("no such file", client.do("change ide1-cd0 /nonexistent/iso") == "/nonexistent/iso: No such file or directory\n")
    run.check("changed", client.do(f"change ide1-cd0 {second}") == "")
    run.check("it is shown", f"ide1-cd0: {second} (raw, read-only)" in client.do("info block"))
    machine.command("mount -t iso9660 -o ro /dev/sr0 /cd && cut -c1-12 /cd/file && wc -c </cd/file", r"^disc-two-xxx\s+5010\s")
    machine.command("umount /cd; echo done", "^done")
    run.check("ejected", client.do("eject ide1-cd0") == "")
    run.check("it is shown", re.search(r"ide1-cd0: \[not inserted\]\n.*\n.*tray open", client.do("info block")))
    machine.command("mount -t iso9660 -o ro /dev/sr0 /cd || echo none", "^none")
    client.do(f"change ide1-cd0 {first}")
    machine.command("mount -t iso9660 -o ro /dev/sr0 /cd && cut -c1-12 /cd/file", "^disc-one")
    # Torn out of a drive that is being read.
    machine.send("(while :; do dd if=/dev/sr0 of=/dev/null bs=64k 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches; done) &\r")
    for _ in range(20):
        client.do("eject -f ide1-cd0")
        client.do(f"change ide1-cd0 {second}")
    machine.send("kill $!\r")
    machine.command("umount /cd; echo alive-$((1+1))", "^alive-2", 60)
    run.check("not removable", client.do("eject ide0-hd0") == "Device 'ide0-hd0' not found\n")
    client.send("quit\n")
    run.check("exit status", machine.wait(20) == 0)


@suite.case
def change_floppy(run):
    """Another disk: Linux sees by the change line that what it knows is void, and says so to the first who reads."""
    for name, size, text in (("first", 1440, b"floppy-one"), ("second", 720, b"floppy-two")):
        with open(run.path(name), "wb") as f:
            f.write(text.ljust(size * 1024, b"\0"))
    machine = run.boot("-nographic", "-monitor", run.socket_option(), "-serial", "stdio", "-fda", run.path("first"), terminal=True,
                       initrd=with_drivers(run.path("initrd")))
    client = Client(run.path("monitor"))
    read = "head -c 10 /dev/fd0 || head -c 10 /dev/fd0 || head -c 10 /dev/fd0; echo"
    machine.expect(PROMPT, BOOT)
    load_drivers(machine, "fd0")
    machine.command(read, "^floppy-one", 60)
    run.check("changed", client.do(f"change floppy0 {run.path('second')}") == "")
    run.check("Linux is told", machine.command(read, r"disk absent or changed[^$]*?\nfloppy-two", 60))
    run.check("ejected", client.do("eject floppy0") == "")
    machine.command("head -c 10 /dev/fd0 || echo none", "^none", 90)
    client.do(f"change floppy0 {run.path('first')} raw read-only")
    run.check("read-only", "(raw, read-only)" in client.do("info block"))
    machine.command(read, "^floppy-one", 60)
    client.send("quit\n")
    run.check("exit status", machine.wait(20) == 0)


sys.exit(suite.main())
