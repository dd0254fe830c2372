#!/usr/bin/env python3
"""SeaBIOS on Ringer: it comes to its end without a drive, and boots a floppy.

usage: tests/firmware/run.py RINGER
The boot sector loads the second one by INT 13h, prints it to COM1 and resets the machine by port CF9h.
Prints PASS and FAIL lines.
"""
import os
import subprocess
import sys
import tempfile

TEXT = b"the second sector speaks"
SECTOR = bytes.fromhex(
    "fa31c08ed8"  # cli; ds = 0
    "31c08ec0bb007eb80102b90200b600cd13"  # es = 0; read sector 2 of the boot drive's first track to 7e00h
    "be007eac84c07406baf803eeebf5"  # print up to the zero
    "b006baf90ceef4"  # out cf9h, 06h; hlt
)


def run(ringer, seconds, want, times, *options):
    """Runs until `want` was printed so often, or for so long; what was printed, and the exit status or None."""
    with tempfile.NamedTemporaryFile() as serial:
        p = subprocess.Popen([ringer, "-m", "32", "-nographic", "-monitor", "none", "-serial", f"file:{serial.name}", *options],
                             stdin=subprocess.DEVNULL)
        out = b""
        for _ in range(seconds * 20):
            try:
                p.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
            out = open(serial.name, "rb").read()
            if p.returncode is not None or out.count(want) >= times:
                break
        status = p.returncode
        p.kill()
        p.wait()
        return out, status


def main():
    ringer = sys.argv[1]
    failed = 0

    def verdict(ok, name):
        nonlocal failed
        print("PASS" if ok else "FAIL", "firmware", name, flush=True)
        failed += not ok

    out, _ = run(ringer, 30, b"No bootable device", 1)
    verdict(b"No bootable device" in out, "SeaBIOS without a drive")
    with tempfile.TemporaryDirectory() as d:
        image = os.path.join(d, "f")
        with open(image, "wb") as f:
            f.write((SECTOR.ljust(510, b"\0") + b"\x55\xaa" + TEXT + b"\r\n\0").ljust(1474560, b"\0"))
        floppy = ("-fda", image, "-snapshot")
        for flavour in ("auto", "direct", "checked"):
            accel = ("-accel", f"bt,flavour={flavour},verify=on")
            out, status = run(ringer, 30, b"never", 1, *floppy, *accel, "-no-reboot")
            verdict(TEXT in out and status == 0, f"floppy, {flavour}")
        out, _ = run(ringer, 30, TEXT, 20, *floppy)
        verdict(out.count(TEXT) >= 20, "twenty resets")
    return failed != 0


sys.exit(main())
