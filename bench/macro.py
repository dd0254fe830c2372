#!/usr/bin/env python3
"""Everyday work in a Debian guest, Ringer and QEMU's TCG in alternation, and natively: tar, gzip, shell scripts, text tools, compilers.

  bench/macro.py [--runs N] [--quick] [--rows NAME,...] [--json FILE] [--ringer COMMAND] [--qemu COMMAND]

The rows are bench/macro/work.sh, run by the same 32-bit busybox on the host and in the guest, on the same files: the C library's headers, tcc, and
gcc's cc1, all from Debian's i386 packages. A row is run once and timed by the machine's own CLOCK_MONOTONIC, program starts and first translations
included: nothing is warmed up. What each row prints must be the same everywhere, and what tcc's program prints is known beforehand.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from guest import GUESTS, LOGS, ROOT, Failure, Guest, initrd, make_programs  # noqa: E402
import benchlib  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "tests/guests"))
from images import package  # noqa: E402

WORK = os.path.join(ROOT, "bench/macro/work.sh")
TREE = os.path.join(LOGS, "macro")
ROWS = ["tar_gzip", "untar", "find_grep", "awk", "sort", "sed", "ash", "scripts", "tcc_compile", "tcc_run", "cc1"]
NEEDS = {"untar": "tar_gzip", "tcc_run": "tcc_compile"}
LIB = "lib/i386-linux-gnu"
# libraries in the guest: the package, and where in it
LIBRARIES = {"libc6": (LIB, ["ld-linux.so.2", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0"]),
             "libgmp10": ("usr/" + LIB, ["libgmp.so.10"]), "libisl23": ("usr/" + LIB, ["libisl.so.23"]), "libmpc3": ("usr/" + LIB, ["libmpc.so.3"]),
             "libmpfr6": ("usr/" + LIB, ["libmpfr.so.6"]), "libzstd1": ("usr/" + LIB, ["libzstd.so.1"]), "zlib1g": (LIB, ["libz.so.1"])}
SOURCES = ["lz.c", "sha256.c", "interpreter.c", "mix.c", "bench.h", "rows.inc"]
LIMIT = 300  # seconds for a row, in any system
MEMORY = 512  # MiB
FUNCTIONS = {True: 300, False: 20000}  # of the program that tcc compiles, by --quick
SCALE = {True: 1, False: 4}
SCRIPT = """#!/bin/sh
exec /macro/busybox sh /macro/work.sh /macro /tmp/macro {scale} {rows}
"""


def program(functions):
    """A C program of so many functions, each different, and what it prints."""
    text = ["#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>"]
    x = 1
    for i in range(functions):
        mul, add, turn = 2 * (i * 7919 % 32749) + 1, i * 104729 % 65521, 1 + i % 31
        text.append(f"static unsigned f{i}(unsigned x)\n{{\n\tunsigned a[4] = {{x, {add}u, x >> {turn}, x << {32 - turn}}};\n\tint i;\n"
                    f"\tfor (i = 0; i < 4; i++)\n\t\ta[i] = a[i] * {mul}u + (unsigned)i;\n"
                    f"\tswitch (x & 3) {{\n\tcase 0:\n\t\treturn a[0] ^ a[1];\n\tcase 1:\n\t\treturn a[2] | a[3];\n"
                    f"\tcase 2:\n\t\treturn a[0] + a[3];\n\tdefault:\n\t\treturn a[1] - a[2];\n\t}}\n}}")
    text.append("int main(void)\n{\n\tunsigned x = 1, round;\n\tfor (round = 0; round < 20; round++) {")
    text += [f"\t\tx = f{i}(x);" for i in range(functions)]
    text.append('\t}\n\tprintf("%u\\n", x);\n\treturn 0;\n}\n')
    mask = 0xFFFFFFFF
    for _ in range(20):
        for i in range(functions):
            mul, add, turn = 2 * (i * 7919 % 32749) + 1, i * 104729 % 65521, 1 + i % 31
            a = [(v * mul + k) & mask for k, v in enumerate((x, add, x >> turn, x << (32 - turn) & mask))]
            x = (a[0] ^ a[1], a[2] | a[3], a[0] + a[3] & mask, a[1] - a[2] & mask)[x & 3]
    return "\n".join(text), f"{x}\n"


def make_tree(quick, rows):
    """What the rows work with, in TREE, and as an archive. Returns (the archive's path, what tcc's program prints)."""
    shutil.rmtree(TREE, ignore_errors=True)
    for part in ("lib", "start", "tcc/bin", "cc1"):
        os.makedirs(os.path.join(TREE, part))

    def put(name, path, to, follow=True):
        source = package(name, path)
        if os.path.isdir(source):
            shutil.copytree(source, os.path.join(TREE, to), symlinks=not follow, dirs_exist_ok=True)
        else:
            shutil.copy(source, os.path.join(TREE, to))

    with_cc1 = "cc1" in rows
    put("libc6-dev", "usr/include", "include")
    for file in ("crt1.o", "crti.o", "crtn.o", "libc_nonshared.a"):
        put("libc6-dev", f"usr/{LIB}/{file}", "start")
    put("tcc", "usr/bin/tcc", "tcc/bin")
    put("tcc", f"usr/{LIB}/tcc", "tcc")
    for name, (where, files) in LIBRARIES.items():
        if name == "libc6" or with_cc1:
            for file in files:
                put(name, f"{where}/{file}", "lib")
    if with_cc1:
        put("cpp-12", "usr/lib/gcc/i686-linux-gnu/12/cc1", "cc1")
        for file in SOURCES[-3:] if quick else SOURCES:
            shutil.copy(os.path.join(ROOT, "bench/programs", file), os.path.join(TREE, "cc1"))
    shutil.copy(os.path.join(GUESTS, "busybox"), TREE)
    shutil.copy(os.path.join(LOGS, "programs/ringer-bench"), TREE)
    shutil.copy(WORK, TREE)
    text, answer = program(FUNCTIONS[quick])
    with open(os.path.join(TREE, "prog.c"), "w", encoding="ascii") as f:
        f.write(text)
    archive = os.path.join(LOGS, "macro-tree.cpio")
    with open(archive, "wb") as f:
        subprocess.run("find macro | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0", shell=True, cwd=LOGS, stdout=f, check=True)
    return archive, answer


def results(lines):
    """Yields (row, seconds, checksum), or (row, None, what it complained of)."""
    for line in lines:
        match = re.match(r"MACRO (\w+) (\d+) ([0-9a-f]{32})", line)
        if match:
            yield match[1], int(match[2]) / 1e9, match[3]
        match = re.match(r"MACRO-ERROR (\w+) (.*)", line)
        if match:
            yield match[1], None, match[2].strip()


def native(rows, scale):
    with tempfile.TemporaryDirectory(prefix="ringer-bench-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as scratch:
        argv = [f"{TREE}/busybox", "sh", WORK, TREE, f"{scratch}/work", str(scale), *rows]
        try:
            done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT * len(rows), check=False)
        except subprocess.TimeoutExpired as error:
            raise Failure("too slow") from error
        if "MACRO-END" not in done.stdout:
            raise Failure(f"status {done.returncode}: {done.stderr.strip()[-300:]}")
        yield from results(done.stdout.splitlines())


def guest(system, rows, ramdisk):
    with Guest(system.argv, ramdisk, ["-display", "none"], name=f"macro-{system.name}", memory=MEMORY) as machine:
        while True:
            line = machine.expect(r"^MACRO[^\r\n]*(?=[\r\n])", LIMIT)[0]
            if line == "MACRO-END":
                return
            yield from results([line])


def main():
    args = benchlib.arguments(__doc__, more=lambda p: p.add_argument("--rows", help="only these, separated by commas, of " + ", ".join(ROWS)))
    rows = args.rows.split(",") if args.rows else [r for r in ROWS if not (args.quick and r == "cc1")]
    if set(rows) - set(ROWS):
        sys.exit(f"no row is called {', '.join(set(rows) - set(ROWS))}; the rows are {' '.join(ROWS)}")
    rows = [r for r in ROWS if r in rows or any(NEEDS.get(other) == r for other in rows)]
    make_programs()
    report = benchlib.Report("macro", args, benchlib.systems(args, ("auto", "checked")) + [benchlib.System("native", [], None)])
    os.makedirs(LOGS, exist_ok=True)
    try:
        archive, answer = make_tree(args.quick, rows)
    except Failure as failure:
        report.fail("packages", str(failure))
        return report.finish(args)
    scale = SCALE[args.quick]
    sums = {"tcc_run": (hashlib.md5(answer.encode()).hexdigest(), "the known answer")} if "tcc_run" in rows else {}
    ramdisk = initrd(os.path.join(LOGS, "macro.cpio"), SCRIPT.format(scale=scale, rows=" ".join(rows)), archive)
    for _, system in benchlib.alternate(report, args):
        try:
            for row, seconds, text in native(rows, scale) if system.name == "native" else guest(system, rows, ramdisk):
                if seconds is None:
                    report.fail(system.name, f"{row}: {text}")
                    continue
                was, whose = sums.setdefault(row, (text, system.name))
                if was != text:
                    report.fail(system.name, f"{row}: it printed something else than {whose}")
                    continue
                report.add(row, system.name, seconds, "s")
        except (Failure, OSError) as failure:
            report.fail(system.name, str(failure))
    os.unlink(ramdisk)
    os.unlink(archive)
    return report.finish(args)


sys.exit(main())
