#!/usr/bin/env python3
"""Runs every benchmark and puts all figures into one file and one table: `make bench` and `make bench-quick`.

  bench/all.py [--quick] [--only SUITE,...] [--runs N] [--ringer COMMAND] [--qemu COMMAND] [--json FILE]

Each suite is a script of its own (the table below), which alternates its systems. What it prints goes to build/bench/logs, its figures to build/bench/json,
all of them with the host's description to build/bench/bench.json (quick.json with --quick, or FILE). With --only, other suites' figures in that file
stay. A suite that fails says so in the table and in the status; the others go on. docs/bench.md says what the suites measure.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "bench"), os.path.join(ROOT, "bench/lib")]
sys.dont_write_bytecode = True

import benchlib  # noqa: E402
import report  # noqa: E402

# name: script; runs in the whole set and arguments with --quick, which is to take two minutes in all on a quiet machine; None: left out of it.
SUITES = {
    "programs": ("run.py", 3, ["--rows", "fib,qsort,matrix_sse2,interpreter,sh_loop,int80,pipe_pingpong,fork_exec,page_fault,signal"]),
    "boot": ("boot.py", 5, []),
    "first": ("first.py", 20, []),
    "macro": ("macro.py", 3, ["--rows", "tar_gzip,awk,ash,scripts,tcc_compile,tcc_run"]),
    "where": ("where.py", 3, []),
    "scaling": ("scaling.py", 3, []),
    "nano": ("nano.py", 3, []),
    "tc": ("tc.py", 3, []),
    "shadow": ("shadow.py", 3, []),
    "guests": ("guests.py", 3, None),
    "memtest": ("memtest.py", 3, None),
    "disk": ("disk.py", 3, []),
    "display": ("display.py", 3, None),
}
LIMIT = {True: 300, False: 7200}  # seconds for a suite, by --quick


def first_line(*argv):
    """The first line that a command prints, or None where there is no such command."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=30, check=False, cwd=ROOT)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0] if done.stdout else None


def guest_kernel():
    try:
        with open(os.path.join(benchlib.GUESTS, "686/vmlinuz.version"), encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return None


def describe_host(args):
    memory = None
    with open("/proc/meminfo", encoding="ascii") as f:
        memory = int(f.readline().split()[1]) // 1024
    commit = first_line("git", "describe", "--always", "--dirty")
    return {"cpu": benchlib.cpu_model(), "cores": os.cpu_count(), "memory_mib": memory, "kernel": f"{platform.system()} {platform.release()}",
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "ringer": " ".join(filter(None, (first_line(*shlex.split(args.ringer), "-version"), commit and f"({commit})"))),
            "qemu": first_line(*shlex.split(args.qemu)[:1], "-version") if benchlib.available(args.qemu) else None,
            "compiler": first_line("cc", "--version"), "guest": guest_kernel()}


def run_suite(name, args):
    """Runs a suite; its figures, with the time it took and what was wrong with it."""
    script, runs, quick = SUITES[name]
    out = os.path.join(benchlib.OUT, "json", f"{name}.json")
    log = os.path.join(benchlib.OUT, "logs", f"{name}.log")
    if os.path.exists(out):
        os.unlink(out)
    argv = [os.path.join(ROOT, "bench", script), "--json", out, "--ringer", args.ringer, "--qemu", args.qemu]
    argv += ["--quick", *(quick or [])] if args.quick else []
    if args.runs or not args.quick:
        argv += ["--runs", str(args.runs or runs)]
    begin = time.monotonic()
    why = None
    with open(log, "w", encoding="utf-8") as f:
        f.write(shlex.join(argv) + "\n")
        f.flush()
        try:
            with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, start_new_session=True) as process:
                try:
                    status = process.wait(LIMIT[args.quick])
                    why = f"status {status}, see {log}" if status else None
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    why = f"not done after {LIMIT[args.quick]} s, see {log}"
                except BaseException:
                    # Interrupted: the suite and its guests do not hear of it, being a session of their own.
                    os.killpg(process.pid, signal.SIGKILL)
                    raise
        except OSError as error:
            why = str(error)
    try:
        with open(out, encoding="utf-8") as f:
            figures = json.load(f)
    except (OSError, ValueError):
        figures = {"suite": name, "rows": [], "failures": [], "notes": [], "missing": {}}
    if why and not figures["failures"]:
        figures["failures"].append(why)
    figures["seconds"], figures["quick"] = round(time.monotonic() - begin, 1), args.quick
    figures["date"] = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return figures


def save(path, figures):
    figures["suites"] = {n: figures["suites"][n] for n in SUITES if n in figures["suites"]}
    figures["load"] = round(os.getloadavg()[1], 1)
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(figures, f, indent=1)
        f.write("\n")
    os.rename(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a look at everything, in about two minutes")
    parser.add_argument("--only", help="some suites, separated by commas, of " + ", ".join(SUITES))
    parser.add_argument("--runs", type=int, help="of each system in each suite, instead of the suite's own number")
    parser.add_argument("--json", metavar="FILE", help="instead of build/bench/bench.json or quick.json")
    parser.add_argument("--ringer", metavar="COMMAND", default=os.path.join(ROOT, "build/release/ringer"))
    parser.add_argument("--qemu", metavar="COMMAND", default="qemu-system-i386 -accel tcg -nic none")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else [n for n in SUITES if not (args.quick and SUITES[n][2] is None)]
    if set(names) - set(SUITES):
        parser.error(f"no suite is called {', '.join(sorted(set(names) - set(SUITES)))}; there are {', '.join(SUITES)}")
    args.ringer = shlex.join([os.path.abspath(p) if os.path.exists(p) else p for p in shlex.split(args.ringer)])
    if not benchlib.available(args.qemu):
        print(f"missing: {args.qemu!r} cannot be run, so nothing is compared with QEMU's TCG", file=sys.stderr)
    path = args.json or os.path.join(benchlib.OUT, "quick.json" if args.quick else "bench.json")
    for part in ("json", "logs"):
        os.makedirs(os.path.join(benchlib.OUT, part), exist_ok=True)
    figures = {"suites": {}}
    if args.only and os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            figures = json.load(f)
    figures["host"], figures["quick"] = describe_host(args), args.quick
    begin = time.monotonic()
    for number, name in enumerate(names):
        print(f"== {name} ({number + 1} of {len(names)}, {time.monotonic() - begin:.0f} s so far)", file=sys.stderr, flush=True)
        figures["suites"][name] = run_suite(name, args)
        # After each suite: a run that is broken off keeps what it has, and --only goes on.
        save(path, figures)
    report.print_table(figures)
    print(f"\nfigures: {path}, {time.monotonic() - begin:.0f} s" + ("" if args.quick else "; `make bench-report` writes docs/benchmarks.md from them"))
    return 1 if any(s["failures"] for n, s in figures["suites"].items() if n in names) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: the file of figures has the suites that were done")
