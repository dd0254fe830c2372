#!/usr/bin/env python3
"""The translation cache: what translating costs, how much code comes of it, and what a small cache costs.

  bench/tc.py [--json FILE] [--runs N] [--quick] [--ringer CMD] [--qemu CMD]

- translate_NAME_*: the translator alone (bench/micro/tc.c), over the text of Debian's 686 kernel, of this repository's guest kernels and of the benchmark
  programs: throughput, its phases (lower contains emitting the hot code, for that is one pass; cold is the stubs behind it; verified is the whole with
  verify=on), code expansion, memory for each TU, and what dropping a TU, or flushing the cache, costs for each TU in it;
- boot_*: Debian's 686 kernel to power-off with a script that does a little of everything: counters of the cache (under -d stats, which counts
  jump-cache transfers and so costs a little), and the time;
- boot_tb_SIZE: the same with caches of 256 KiB to 64 MiB: seconds, TUs made, times that the cache was flushed;
- work_*: the same work three times in one boot: the first time it has to be translated.
"""

import gzip
import lzma
import os
import re
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
sys.dont_write_bytecode = True
import benchlib  # noqa: E402
import linuxguest  # noqa: E402

SIZES = ["256K", "512K", "1M", "2M", "4M", "8M", "16M", "32M", "64M"]
QUICK_SIZES = ["2M"]
PROGRAMS = os.path.join(benchlib.OUT, "programs/ringer-bench")

# Everything in it is a busybox applet; the results go nowhere.
SCRIPT = r"""
work() {
	seq 1 3000 | sed 's/7/seven/g' | sort -r | sha256sum >/dev/null
	seq 1 2000 | awk '{ s += $1 * 2; a[$1 % 17] = s } END { for (i in a) print a[i] }' | md5sum >/dev/null
	gzip -dc /tests/data.gz | head -c 100000 | gzip -c | wc -c >/dev/null
	find / -xdev -type d 2>/dev/null | head -100 | tr a-z A-Z | grep -c B >/dev/null
}
for pass in 1 2 3; do
	echo "BENCH-CLOCK $pass $(/bench/ringer-bench clock)"
	work
done
echo "BENCH-CLOCK 4 $(/bench/ringer-bench clock)"
echo BENCH-END
"""

# Of bench/micro/tc.c: unit and which way is better.
MICRO = {"mega_insns_per_s": ("M insns/s", "higher"), "tus_per_s": ("TUs/s", "higher"), "guest_mb_per_s": ("MB/s", "higher"), "insns_per_tu": ("insns", "none"),
         "expansion_hot": ("x", "lower"), "expansion_cold": ("x", "lower"), "bytes_per_tu_code": ("bytes", "lower"),
         "bytes_per_tu_tables": ("bytes", "lower"), "flush_ns_per_tu": ("ns", "lower"), "drop_ns_per_tu": ("ns", "lower"), "ns_per_insn": ("ns", "lower"),
         "phase_decode_ns_per_insn": ("ns", "lower"), "phase_lower_ns_per_insn": ("ns", "lower"), "phase_cold_ns_per_insn": ("ns", "lower"),
         "phase_publish_ns_per_insn": ("ns", "lower"), "phase_rest_ns_per_insn": ("ns", "lower"), "verified_ns_per_insn": ("ns", "lower")}


def vmlinux(path, out):
    """Unpacks the kernel in a bzImage: the first stream of xz or gzip in it that is an ELF file. False if there is none that Python can unpack."""
    with open(path, "rb") as f:
        image = f.read()
    for magic, unpack in ((b"\xfd7zXZ\x00", lambda d: lzma.LZMADecompressor().decompress(d)),
                          (b"\x1f\x8b\x08", lambda d: gzip.zlib.decompressobj(31).decompress(d))):
        at = image.find(magic)
        while at >= 0:
            try:
                data = unpack(image[at:])
            except (lzma.LZMAError, gzip.zlib.error):
                data = b""
            if data.startswith(b"\x7fELF"):
                with open(out, "wb") as f:
                    f.write(data)
                return True
            at = image.find(magic, at + 1)
    return False


def text_of(elf, name, most):
    """The .text section as a flat file, `most` bytes of it at most; None if objcopy cannot."""
    out = os.path.join(benchlib.OUT, f"{name}.text")
    done = subprocess.run(["objcopy", "-O", "binary", "-j", ".text", elf, out], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode or not os.path.getsize(out):
        return None
    os.truncate(out, min(most, os.path.getsize(out)))
    return out


def samples(report, quick):
    """[(name, flat file, ring)]"""
    # As much as a guest translates in a while: with more the index of TUs has long chains, and the verifier takes its time.
    most = (1 if quick else 4) * 256 * 1024
    found = [("user", text_of(PROGRAMS, "user", most), "user")]
    if not quick:
        found.append(("guestos", text_of(benchlib.kernel_path("conformance"), "guestos", most), "kernel"))
    elf = os.path.join(benchlib.OUT, "vmlinux-686")
    if os.path.exists(linuxguest.KERNEL) and (os.path.exists(elf) or vmlinux(linuxguest.KERNEL, elf)):
        found.append(("linux", text_of(elf, "linux", most), "kernel"))
    else:
        report.note("translate_linux: no kernel of Debian's that could be unpacked")
    return [s for s in found if s[1]]


def translate(report, args):
    micro = os.path.join(benchlib.ROOT, "build/release/bench/micro/tc")
    for _ in range(args.runs):
        for name, path, ring in samples(report, args.quick):
            for flavour in ("checked", "direct"):
                done = subprocess.run([micro, path, "0x100000", flavour, ring], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
                if done.returncode:
                    report.fail(f"ringer-{flavour}", f"translate_{name}: status {done.returncode}: {done.stdout[-200:]}")
                values = dict(re.findall(r"^TC (\S+) ([\d.]+)$", done.stdout, re.M))
                for key in (k for k in MICRO if k in values):
                    unit, better = MICRO[key]
                    report.add(f"translate_{name}_{key}", f"ringer-{flavour}", float(values[key]), unit=unit, better=better)


def boot(report, system, ramdisk, label, options=()):
    """Boots once; adds the label's row of seconds. Returns (times of the three passes, counters), or None."""
    try:
        text, stats, seconds = linuxguest.run(system, ramdisk, options, name=f"tc-{label}")
    except linuxguest.Failed as e:
        report.fail(system.name, f"{label}: {e}")
        return None
    report.add(f"{label}_seconds", system.name, round(seconds, 3), unit="s")
    clocks = [int(t) for t in re.findall(r"BENCH-CLOCK \d (\d+)", text)]
    return [(b - a) / 1e6 for a, b in zip(clocks, clocks[1:])], stats


def rates(report, system, stats):
    def add(name, value, unit, better="lower"):
        report.add(f"boot_{name}", system.name, round(value, 4), unit=unit, better=better)

    made = stats["tus_made"]
    for name in ("tus_made", "tus_dropped", "tc_flushes", "chains", "dispatches", "jc_transfers", "jc_fills", "jc_flushes", "smc_writes", "smc_drops"):
        add(name, stats[name], "", "none")
    add("jc_hit_rate", 100 * (1 - stats["jc_fills"] / stats["jc_transfers"]), "%", "higher")
    add("chains_per_tu", stats["chains"] / made, "", "none")
    add("insns_per_tu", stats["insns_translated"] / made, "insns", "none")
    add("expansion_hot", stats["host_bytes_hot"] / stats["guest_bytes"], "x")
    add("expansion_cold", stats["host_bytes_cold"] / stats["guest_bytes"], "x")
    add("translate_ms", stats["translate_ns"] / 1e6, "ms")
    add("translate_us_per_tu", stats["translate_ns"] / 1e3 / made, "us")


def main():
    args = benchlib.arguments(__doc__, runs=2)
    os.makedirs(benchlib.OUT, exist_ok=True)
    benchlib.make("guestos", "bench-programs", "build/release/bench/micro/tc")
    flavours = ("auto",) if args.quick else benchlib.FLAVOURS
    report = benchlib.Report("tc", args, systems=benchlib.systems(args, flavours, tcg=not args.quick))
    if args.quick:
        report.missing.pop("tcg", None)
        report.note("--quick: no TCG in this suite")
    translate(report, args)
    why = linuxguest.missing()
    if why:
        report.note(f"boot_, work_: {why}")
        return report.finish(args)
    ramdisk = linuxguest.initrd("tc", SCRIPT, [PROGRAMS])
    for _, system in benchlib.alternate(report, args):
        result = boot(report, system, ramdisk, "boot")
        if not result:
            continue
        passes, stats = result
        if len(passes) == 3:
            report.add("work_cold", system.name, round(passes[0], 1), unit="ms")
            report.add("work_warm", system.name, round(min(passes[1:]), 1), unit="ms")
            report.add("work_cold_per_warm", system.name, round(passes[0] / min(passes[1:]), 3), unit="x", better="none")
        if stats:
            rates(report, system, stats)
    sized = [benchlib.System("ringer-auto", shlex.split(args.ringer), "auto")]
    for _ in range(args.runs):
        for size in QUICK_SIZES if args.quick else SIZES:
            for system in sized:
                # Properties of several -accel add up; the MiB of this option have no suffix.
                result = boot(report, system, ramdisk, f"boot_tb_{size}", ["-accel", f"bt,tb-size={size.removesuffix('M')}"])
                if result:
                    report.add(f"boot_tb_{size}_flushes", system.name, result[1]["tc_flushes"], better="none")
                    report.add(f"boot_tb_{size}_tus", system.name, result[1]["tus_made"], better="none")
    return report.finish(args)


sys.exit(main())
