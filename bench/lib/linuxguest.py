"""Debian's 686 kernel running one script to its end, for benchmarks that look at what a whole guest costs the monitor.

The script is the test `bench` of the test initramfs; what it prints is the answer. Under Ringer the counters of -d stats come along.
"""

import os
import re
import shutil
import subprocess
import time

import benchlib

KERNEL = os.path.join(benchlib.GUESTS, "686/vmlinuz")
BASE = os.path.join(benchlib.GUESTS, "initramfs.cpio.gz")


class Failed(Exception):
    pass


def missing():
    """Why there is no such guest, or None."""
    for path in (KERNEL, BASE):
        if not os.path.exists(path):
            return f"{os.path.relpath(path, benchlib.ROOT)} is not there: scripts/fetch-guests.sh && scripts/mkinitramfs.sh"
    return None if shutil.which("cpio") else "cpio is not installed"


def initrd(name, script, programs=()):
    """Writes build/bench/NAME.cpio: the test initramfs, the script as its test `bench`, host files `programs` in /bench. Returns the path."""
    tree, path = os.path.join(benchlib.OUT, name), os.path.join(benchlib.OUT, f"{name}.cpio")
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(os.path.join(tree, "bench"))
    os.makedirs(os.path.join(tree, "tests"))
    names = ["bench", "tests/bench"]
    with open(os.path.join(tree, "tests/bench"), "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + script)
    os.chmod(os.path.join(tree, "tests/bench"), 0o755)
    for program in programs:
        shutil.copy(program, os.path.join(tree, "bench"))
        names.append("bench/" + os.path.basename(program))
    own = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, input="".join(n + "\n" for n in names).encode(),
                         stdout=subprocess.PIPE, check=True).stdout
    with open(path, "wb") as out, open(BASE, "rb") as f:
        data = f.read()
        out.write(data + bytes(-len(data) % 4) + own)
    return path


def counters(path):
    """The last dump of -d stats in a file, by name."""
    with open(path, encoding="latin-1") as f:
        return {name: int(value) for name, value in re.findall(r"^(callout \S+|\w+)\s+(\d+)\b", f.read(), re.M)}


def run(system, ramdisk, options=(), memory=256, limit=180, name="linux"):
    """Boots to the script's end and power-off. Returns (console text, counters or {}, seconds). Raises Failed."""
    log = os.path.join(benchlib.OUT, f"{name}-{system.name}.log")
    stats = os.path.join(benchlib.OUT, f"{name}-{system.name}.stats")
    argv = system.argv + ["-m", str(memory), "-kernel", KERNEL, "-initrd", ramdisk, "-append", "console=ttyS0 quiet ringer.test=bench"]
    argv += ["-nographic", "-no-reboot", *options]
    if system.ringer:
        argv += ["-d", "stats", "-D", stats]
    start = time.monotonic()
    with open(log, "wb") as out:
        try:
            status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=limit, check=False).returncode
        except (subprocess.TimeoutExpired, OSError) as e:
            raise Failed(f"{e}; see {log}") from e
    seconds = time.monotonic() - start
    with open(log, encoding="latin-1") as f:
        text = f.read()
    if status or "BENCH-END" not in text:
        raise Failed(f"status {status}, {'no ' if 'BENCH-END' not in text else ''}end; see {log}")
    return text, counters(stats) if system.ringer else {}, seconds
