"""A virtual machine under test: starts its process, on a pipe or on a pseudo-terminal, and talks to its serial console.

Ringer and QEMU share their options, so the same tests run under both; what QEMU does differently is asked of Machine.is_qemu.
"""

import ctypes
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

PROMPT = r"root@ringer:[^\r\n]*# "


PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failure(Exception):
    pass


def die_with_parent():
    """In a child before its exec: a test that is killed leaves no machine running, in a session of its own, for nobody."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    def __init__(self, argv, log, terminal=False):
        """Starts argv. Its output goes to the file named log as well. With terminal, its stdin, stdout and stderr are one terminal."""
        self.argv = argv
        self.is_qemu = "qemu" in os.path.basename(argv[0])
        self.log = open(log, "wb")
        self.log.write((" ".join(argv) + "\n").encode())
        self.text = ""  # output that expect() has not consumed
        self.started = time.monotonic()
        self.terminal = None
        if terminal:
            self.fd, self.terminal = pty.openpty()
            self.settings = termios.tcgetattr(self.terminal)
            out = self.terminal
        else:
            self.fd, out = os.pipe()
        self.process = subprocess.Popen(argv, stdin=self.terminal if terminal else subprocess.DEVNULL, stdout=out, stderr=out,
                                        start_new_session=True, preexec_fn=die_with_parent)
        if not terminal:
            os.close(out)

    def read(self, timeout):
        """Reads what is there, waiting up to timeout seconds. False at the end of the output."""
        ready, _, _ = select.select([self.fd], [], [], max(timeout, 0))
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.log.write(data)
        self.text += data.decode("latin-1")
        return bool(data)

    def expect(self, pattern, timeout):
        """Waits for a regular expression and consumes the output up to its end. Returns the match."""
        deadline = time.monotonic() + timeout
        regex = re.compile(pattern, re.M)
        while True:
            match = regex.search(self.text)
            if match:
                self.text = self.text[match.end():]
                return match
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"no {pattern!r} within {timeout:.0f} s")
            ended = self.terminal is not None and self.process.poll() is not None
            if not self.read(0 if ended else min(left, 0.5)) or (ended and not regex.search(self.text)):
                raise Failure(f"the machine ended without {pattern!r}")

    def send(self, text):
        os.write(self.fd, text.encode("latin-1"))

    def command(self, line, pattern, timeout=30):
        """Types a line at the shell, waits for pattern and the next prompt."""
        self.send(line + "\r")
        match = self.expect(pattern, timeout)
        self.expect(PROMPT, timeout)
        return match

    def wait(self, timeout):
        """Waits for the process to end; its exit status, negative for a signal."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise Failure(f"still running after {timeout:.0f} s")
            if not self.read(0.1):
                time.sleep(0.02)
        while self.terminal is None and self.read(0.1):
            pass
        return self.process.returncode

    def settings_restored(self):
        return termios.tcgetattr(self.terminal) == self.settings

    def cpu_seconds(self):
        """Processor time of all threads so far, in seconds."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        os.close(self.fd)
        if self.terminal is not None:
            os.close(self.terminal)
