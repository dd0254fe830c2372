#!/usr/bin/env python3
"""Runs guests in both memory flavours, in lockstep, and compares their state at the same instructions.

  tests/lockstep/run.py [--runner COMMAND] [--seconds N] [--every N] [--flavours F/F] [--full] [CASE...]

Each guest runs twice, deterministically (-accel bt,lockstep=N; monitor/lockstep.h). The records of both runs are compared as they come; at the
first one that differs the part before it is run again with more of them, down to the instruction. Prints PASS and FAIL lines; what the guests
say is in build/tests/lockstep/. --full runs Linux to its end, however long that takes; --seconds says how long it may take otherwise.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GUESTS = os.path.join(ROOT, "build/guests")
LOGS = os.path.join(ROOT, "build/tests/lockstep")
NEVER = 1 << 56  # instructions
PARTS = 64  # into which a range of instructions is divided to find a write to RAM
STUCK = 60  # seconds without a record

# Where the last x87 instruction was is not known in lockstep (monitor/fpu.c).
EXPECTED = r"FAIL (fault\.pointers in the environment after #MF: FIP is 0|x87\.instruction and operand pointers .*: FIP is 0|real\.x87 images have linear addresses: 16 bits: ip is 0)"

CASES = {}
# Run only if they are named: the first ten seconds of each are the same decompressor.
BY_NAME = ["linux-686-pae", "linux-rt-686-pae"]


def case(function):
    CASES[function.__name__.replace("_", "-")] = function
    return function


class Side:
    """One of the two runs: its command and, while it runs, its process and the stream of its records."""

    def __init__(self, name, runner, args, flavour, cwd=None):
        self.name, self.flavour, self.cwd = name, flavour, cwd
        runner, *options = shlex.split(runner)
        self.argv = [os.path.abspath(runner), *options, *args]
        self.console = os.path.join(LOGS, f"{name}.out")

    def start(self, properties):
        accel = ",".join(["bt,verify=on", f"flavour={self.flavour}"] + [f"{key}={value}" for key, value in properties.items()])
        read, write = os.pipe()
        self.process = subprocess.Popen(
            [*self.argv, "-accel", accel, "-nographic", "-serial", f"file:{self.console}", "-D", f"/dev/fd/{write}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=(write,), cwd=self.cwd)
        os.close(write)
        self.records = os.fdopen(read, "r", buffering=1 << 20)

    def stop(self):
        """Ends the run; what it said on stderr."""
        self.process.kill()
        self.records.close()
        said = self.process.stderr.read().decode(errors="replace").strip()
        self.process.stderr.close()
        self.process.wait()
        return said

    def text(self):
        with open(self.console, encoding="latin-1") as f:
            return f.read()


class Result:
    """How far two runs agreed. different: the two records that differ, or None; ended: the last record of runs that came to their end."""

    def __init__(self):
        self.count = 0  # instructions of the last record in common
        self.ram_count = 0  # and of the last one with an image of RAM in it
        self.last = None  # that record
        self.state = None  # the last one that shows a state
        self.different = self.ended = None
        self.said = []


def fields(record):
    """Kind, count and the rest of a record."""
    parts = record.split(" ", 2)
    return parts[0], int(parts[1]), parts[2] if len(parts) > 2 else ""


def disassemble(code):
    """The first instruction of `code`, in hexadecimal, as 32-bit code."""
    with tempfile.NamedTemporaryFile() as f:
        f.write(bytes.fromhex(code))
        f.flush()
        text = subprocess.run(["objdump", "-D", "-b", "binary", "-m", "i386", f.name], capture_output=True, text=True).stdout
    match = re.search(r"^ +0:\t[0-9a-f ]+\t(.*)$", text, re.M)
    return match.group(1).strip() if match else code


class Pair:
    """Two sides, and whether images of RAM are compared as well."""

    def __init__(self, sides, ram=True):
        self.sides, self.ram = sides, ram

    def comparable(self, record):
        if self.ram:
            return record
        # Without the hash of RAM, and without the bytes of code.
        return record.rsplit(" ", 1)[0] if record.startswith("lockstep ") else re.sub(r" code \w*$", "", record)

    def compare(self, seconds=None, **properties):
        """Runs both until they differ, end, or `seconds` are over."""
        result = Result()
        deadline = time.monotonic() + seconds if seconds else None
        properties = {("lockstep" if key == "every" else f"lockstep-{key}"): value for key, value in properties.items()}
        if not self.ram:
            properties["lockstep-ram"] = NEVER
        for side in self.sides:
            side.start(properties)
        alive = time.monotonic()

        def watch():
            # A side without records is killed, which ends its stream.
            while not done.wait(1):
                if time.monotonic() - alive > STUCK:
                    for side in self.sides:
                        side.process.kill()

        done = threading.Event()
        thread = threading.Thread(target=watch)
        thread.start()
        first, second = (side.records for side in self.sides)
        ram = None
        while True:
            a, b = first.readline().rstrip("\n"), second.readline().rstrip("\n")
            alive = time.monotonic()
            if self.comparable(a) != self.comparable(b):
                result.different = (a, b)
                break
            if not a:
                break
            result.last = a
            if a.startswith("state "):
                result.state = a
            if a.startswith("end "):
                result.ended = a
                break
            if a.startswith("lockstep "):
                result.count = fields(a)[1]
                if a.split()[4] != ram:
                    ram, result.ram_count = a.split()[4], result.count
            if deadline and alive > deadline:
                break
        done.set()
        thread.join()
        result.said = [said for said in (side.stop() for side in self.sides) if said]
        return result

    # ---- where they differ ----

    def locate(self, result, every):
        """Describes the first difference, as lines of text."""
        a, b = result.different
        lines = [f"they agree up to instruction {result.count}", f"{self.sides[0].name}: {a or 'no record'}",
                 f"{self.sides[1].name}: {b or 'no record'}"]
        if not (a and b):
            return lines
        (kind_a, count_a, rest_a), (kind_b, count_b, rest_b) = fields(a), fields(b)
        end = max(count_a, count_b)
        if kind_a == kind_b == "lockstep" and count_a == count_b and rest_a.split()[:2] == rest_b.split()[:2]:
            return lines + self.locate_ram(result.ram_count, end)
        # Between two states, then instruction by instruction.
        begin = result.count
        coarse = self.states(begin, end, every)
        if coarse.different:
            begin, end = coarse.count, max(fields(r)[1] for r in coarse.different if r)
        fine = self.states(begin, end, 1)
        if fine.different:
            return lines + self.describe(fine)
        lines.append(f"between instructions {begin} and {end}, and only while whole TUs run:")
        return lines + (self.describe(coarse) if coarse.different else [])

    def states(self, begin, end, every):
        ram, self.ram = self.ram, False
        result = self.compare(every=every, **{"from": begin, "to": end, "show": "on"})
        self.ram = ram
        # The pages at the end are not asked for.
        if result.different and not all(r.startswith(("state ", "lockstep ", "end ")) for r in result.different):
            result.different = None
        return result

    def describe(self, result):
        """The states before and after the step that differs; the instruction is that of the former."""
        lines = []
        before = re.search(r"^state (\d+) (\w+):(\w+) .* code (\w*)$", result.state or "")
        if before:
            count, _, eip, code = before.groups()
            lines += [f"both: {result.state}", f"they differ behind the instruction at {eip}, number {int(count) + 1}: {disassemble(code)}"]
        for name, record in zip((side.name for side in self.sides), result.different):
            lines.append(f"{name}: {record}")
        pairs = [dict(re.findall(r"(\w+) ([0-9a-f:]+)", record)) for record in result.different]
        changed = [f"{key} {pairs[0][key]} / {pairs[1].get(key)}" for key in pairs[0] if key != "hash" and pairs[0][key] != pairs[1].get(key)]
        lines.append("different: " + (", ".join(changed) or "state that is not shown"))
        return lines

    def locate_ram(self, begin, end):
        """The step that left different RAM behind, and the pages."""
        while end - begin > 1:
            step = max((end - begin) // PARTS, 1)
            finer = self.compare(every=step, **{"from": begin, "to": end, "ram": step})
            if not finer.different:
                return [f"RAM differs between instructions {begin} and {end}, but not when run in steps of {step}"]
            low, high = finer.count, max(fields(r)[1] for r in finer.different if r)
            if (low, high) == (begin, end):
                break
            begin, end = low, high
        return [f"RAM differs from instruction {end} on, not at {begin}"] + self.pages(begin, max(end, 1))

    def pages(self, begin, end):
        """What the instructions from begin to end are, and the numbers of the pages that differ at `end`."""
        seen = []
        for side in self.sides:
            side.start({"lockstep": 1, "lockstep-from": begin, "lockstep-to": end, "lockstep-show": "on", "lockstep-ram": NEVER})
            seen.append(side.records.read().splitlines())
            side.stop()
        lines = [line for line in seen[0] if line.startswith("state ")][:3]
        pages = [{line for line in records if line.startswith("page ")} for records in seen]
        differ = sorted({int(line.split()[1], 16) for line in pages[0] ^ pages[1]})
        return lines + ["pages: " + " ".join(f"{page:#x}" for page in differ[:32])]


class Run:
    def __init__(self, args, name):
        self.runner, self.seconds, self.every, self.full, self.name = args.runner, args.seconds, args.every, args.full, name
        self.flavours = args.flavours.split("/")
        self.failed = False

    def fail(self, why, lines=()):
        self.failed = True
        print(f"FAIL {self.name}: {why}")
        for line in lines:
            print("    " + line)
        sys.stdout.flush()

    def passed(self, what):
        print(f"PASS {self.name}: {what}", flush=True)

    def pair(self, args, other=None, cwds=(None, None), ram=True):
        """`other`: the arguments of the second side where they are not those of the first."""
        return Pair([Side(f"{self.name}-{n}-{flavour.split(',')[0]}", self.runner, argv, flavour, cwd)
                     for n, flavour, argv, cwd in zip("ab", self.flavours, (args, other or args), cwds)], ram)

    def same(self, pair, seconds=None):
        """Both must agree to the end, or for `seconds`."""
        result = pair.compare(seconds, every=self.every)
        if result.different:
            self.fail("the flavours differ", pair.locate(result, self.every) + result.said)
        elif not result.ended and not seconds:
            self.fail(f"no end after instruction {result.count}", result.said)
        return result


def guest_kernel(name, memory=64):
    return ["-m", str(memory), "-no-reboot", "-device", "isa-debug-exit,iobase=0x501,iosize=2", "-kernel", f"{ROOT}/build/guestos/{name}.elf"]


def guestos(run, name):
    pair = run.pair(guest_kernel(name))
    begin = time.monotonic()
    result = run.same(pair)
    if run.failed:
        return
    count = fields(result.ended)[1]
    text = pair.sides[0].text()
    failed = [line for line in re.findall(r"^FAIL .*$", text, re.M) if not re.match(EXPECTED, line)]
    if failed or "\nSUMMARY: " not in text or text != pair.sides[1].text():
        run.fail("the kernel's own checks failed", failed)
    else:
        run.passed(f"{count} instructions to the end ({result.ended.split()[2]}), {time.monotonic() - begin:.1f} s")


@case
def conformance(run):
    guestos(run, "conformance")


@case
def shadow(run):
    guestos(run, "shadow")


@case
def modes(run):
    guestos(run, "modes")


def linux(run, kernel):
    args = ["-m", "128", "-no-reboot", "-kernel", f"{GUESTS}/{kernel}/vmlinuz", "-initrd", f"{GUESTS}/initramfs.cpio.gz"]
    pair = run.pair(args + ["-append", "console=ttyS0 ringer.test=basic"])
    begin = time.monotonic()
    result = run.same(pair, None if run.full else run.seconds)
    if run.failed:
        return
    last = pair.sides[0].text().strip().splitlines()
    where = f"to the end ({result.ended.split()[2]})" if result.ended else "and no end yet"
    run.passed(f"{fields(result.last)[1]} instructions {where}, {time.monotonic() - begin:.1f} s; "
               f"{len(last)} lines on the console, the last: {last[-1] if last else ''}")


@case
def linux_686(run):
    linux(run, "686")


@case
def linux_686_pae(run):
    linux(run, "686-pae")


@case
def linux_rt_686_pae(run):
    linux(run, "rt-686-pae")


# ---- that a difference is found, and found where it is ----

@case
def finds_memory(run):
    """Machines of different size differ from the start."""
    result = run.pair(guest_kernel("nano"), guest_kernel("nano", 65)).compare(every=run.every)
    if not result.different or fields(result.different[0])[1] != 0:
        run.fail(f"64 and 65 MiB of RAM agree up to instruction {result.count}")
    else:
        run.passed("RAM of another size differs at instruction 0")


def broken_kernel(path):
    """
    Writes a copy of the shadow kernel with another constant in one instruction: the first `mov $constant, %register` of kernel_main. Its address,
    and the number of the page where it lies.
    """
    source = f"{ROOT}/build/guestos/shadow.elf"
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-M", "att", source], check=True, capture_output=True, text=True).stdout
    body = listing.split("<kernel_main>:", 1)[1]
    address = int(re.search(r"^ *([0-9a-f]+):\s+mov +\$0x[0-9a-f]+,%e[a-d]x$", body, re.M).group(1), 16)
    sections = subprocess.run(["objdump", "-h", source], check=True, capture_output=True, text=True).stdout
    for size, vma, offset in re.findall(r"^ +\d+ \S+ +([0-9a-f]{8}) +([0-9a-f]{8}) +[0-9a-f]{8} +([0-9a-f]{8})", sections, re.M):
        if int(vma, 16) <= address < int(vma, 16) + int(size, 16):
            at = int(offset, 16) + address - int(vma, 16)
    with open(source, "rb") as f:
        image = bytearray(f.read())
    image[at + 1] ^= 0x40
    with open(path, "wb") as f:
        f.write(image)
    return address, address >> 12


@case
def finds_instruction(run):
    """A kernel that differs in one constant: in RAM from the start, in its page; in the registers behind that instruction."""
    with tempfile.TemporaryDirectory() as directory:
        # Both under the same name: guests see it in their command line.
        address, page = broken_kernel(os.path.join(directory, "shadow.elf"))
        args, cwds = guest_kernel("shadow")[:-1] + ["shadow.elf"], (f"{ROOT}/build/guestos", directory)
        pair = run.pair(args, cwds=cwds)
        result = pair.compare(every=run.every)
        report = "\n".join(pair.locate(result, run.every)) if result.different else ""
        if f"pages: {page:#x}" not in report.splitlines():
            run.fail(f"page {page:#x} is not what was found", report.splitlines())
        pair = run.pair(args, cwds=cwds, ram=False)
        result = pair.compare(every=run.every)
        report = "\n".join(pair.locate(result, run.every)) if result.different else ""
        if f"behind the instruction at {address:08x}" not in report:
            run.fail(f"the instruction at {address:08x} is not what was found", report.splitlines())
    if not run.failed:
        run.passed(f"the broken instruction at {address:#x}, and its page")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runner", default=os.path.join(ROOT, "build/release/ringer"))
    parser.add_argument("--seconds", type=int, default=30, help="how long a Linux kernel runs")
    parser.add_argument("--every", type=int, default=1000, help="instructions between two states that are compared")
    parser.add_argument("--flavours", default="checked/direct",
                        help="what each side has as -accel bt,flavour=, such as checked/direct,max-maps=300")
    parser.add_argument("--full", action="store_true", help="run Linux to its end")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="of " + ", ".join(CASES) + "; those of PAE kernels run only by name")
    args = parser.parse_args()
    for name in args.cases:
        if name not in CASES:
            parser.error(f"there is no case {name!r}")
    os.makedirs(LOGS, exist_ok=True)
    failed = 0
    for name in args.cases or [name for name in CASES if name not in BY_NAME]:
        run = Run(args, name)
        try:
            CASES[name](run)
        except OSError as error:
            run.fail(error)
        failed += run.failed
    return 1 if failed else 0


sys.exit(main())
