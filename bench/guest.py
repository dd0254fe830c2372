"""What benchmarks of devices share: a guest made of the test initramfs, the disks' drivers and a script, in Ringer and QEMU in alternation.

The script prints to the first serial port, which is a file: so standard input and output are free for a display.
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "bench/lib"), os.path.join(ROOT, "tests/lib")]

import benchlib  # noqa: E402
from harness import GUESTS, contents  # noqa: E402
from machine import Failure, Machine  # noqa: E402

LOGS = os.path.join(ROOT, "build/bench")
BOOT = 120


def make_programs():
    """Builds the programs of 32 bits, or ends with a line that says why not."""
    try:
        benchlib.make("bench-programs")
    except subprocess.CalledProcessError:
        sys.exit("the benchmark programs cannot be built: they want a compiler of 32-bit programs (Debian's gcc-multilib)")


def initrd(path, script, *archives):
    """Writes an initramfs whose test `bench` is the script, with these cpio archives on top."""
    os.makedirs(LOGS, exist_ok=True)
    with tempfile.TemporaryDirectory() as root:
        os.mkdir(f"{root}/tests")
        with open(f"{root}/tests/bench", "w", encoding="ascii") as f:
            f.write(script)
        os.chmod(f"{root}/tests/bench", 0o755)
        own = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], input=b"tests/bench\n", cwd=root, check=True,
                             stdout=subprocess.PIPE).stdout
    with open(path, "wb") as out:
        for archive in (f"{GUESTS}/initramfs.cpio.gz", *archives):
            with open(archive, "rb") as f:
                data = f.read()
            out.write(data + bytes(-len(data) % 4))
        out.write(own)
    return path


class Guest:
    """Debian's 686 kernel with such an initramfs. What its machine prints on standard output is read and thrown away. command: a list."""

    def __init__(self, command, ramdisk, options, append="", name="device", memory=256):
        self.serial = os.path.join(LOGS, f"{name}.serial")
        if os.path.exists(self.serial):
            os.unlink(self.serial)
        argv = command + ["-m", str(memory), "-kernel", f"{GUESTS}/686/vmlinuz", "-initrd", ramdisk, "-serial", f"file:{self.serial}"]
        argv += ["-append", f"console=ttyS0 quiet ringer.test=bench {append}", *options]
        self.seen = 0
        self.machine = Machine(argv, os.path.join(LOGS, f"{name}.log"), terminal=True)
        self.closing = False
        self.reader = threading.Thread(target=self.drain)
        self.reader.start()

    def drain(self):
        while not self.closing and self.machine.read(0.1):
            self.machine.text = ""

    def expect(self, pattern, timeout=BOOT):
        """The next match in what the guest has said on its serial port."""
        deadline = time.monotonic() + timeout
        while True:
            match = re.compile(pattern, re.M).search(contents(self.serial), self.seen)
            if match:
                self.seen = match.end()
                return match
            if self.machine.process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"no {pattern!r} from the guest; see {self.serial} and {self.machine.log.name}")
            time.sleep(0.02)

    def close(self):
        self.closing = True
        self.reader.join()
        self.machine.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
