"""What the benchmarks of bench/ share: their command line, runs in alternation, medians and spread, the JSON file and the text table.

A suite is a script that makes a Report, adds the number of each run to it, and ends with sys.exit(report.finish(args)):

    args = benchlib.arguments(__doc__)                     # --json FILE --runs N --quick --ringer CMD --qemu CMD
    report = benchlib.Report("nano", args, systems=benchlib.systems(args))
    for run, system in benchlib.alternate(report, args):   # the systems in turn within each run: noise of the host meets all alike
        report.add("cpuid", system.name, 123, unit="cycles")
    sys.exit(report.finish(args))

The JSON file is {"suite": NAME, "host": {...}, "notes": [...], "missing": {system: why}, "rows": [{"name":, "unit":, "better": "lower"|"higher"|"none",
"values": {system: [one number per run]}, "paper": {...}}]}. Systems are called ringer-auto, ringer-checked, ringer-direct, tcg and native. "better" says
which way a row improves; "none" is a plain fact (a count), of which no ratio is taken. "paper" holds published figures and is absent where there are none.

Nothing is made up: a system that is not there (no QEMU installed) is in "missing", a row that a system did not deliver has no values for it, and a run that
failed is a note and makes finish() return 1.
"""

import argparse
import collections
import json
import math
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GUESTS = os.path.join(ROOT, "build/guests")
OUT = os.path.join(ROOT, "build/bench")
FLAVOURS = ("auto", "checked", "direct")

# name: as in the JSON file; argv: the command to which a suite adds its options; ringer: the flavour, or None.
System = collections.namedtuple("System", "name argv ringer")


def arguments(doc, runs=3, more=None):
    """Parses the common command line. runs: without --quick, which makes it 1; more(parser) may add options of the suite's own."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file")
    parser.add_argument("--runs", type=int, metavar="N", help=f"runs of each system, in alternation; {runs}, or 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="fewer runs, shorter rows, for a look or for CI")
    parser.add_argument("--ringer", metavar="CMD", default=os.path.join(ROOT, "build/release/ringer"))
    parser.add_argument("--qemu", metavar="CMD", default="qemu-system-i386 -accel tcg -nic none", help="'' leaves QEMU out")
    if more:
        more(parser)
    args = parser.parse_args()
    args.runs = args.runs or (1 if args.quick else runs)
    return args


def available(command):
    """Whether the program of a command line can be found."""
    argv = shlex.split(command)
    return bool(argv) and shutil.which(argv[0]) is not None


def systems(args, flavours=FLAVOURS, tcg=True):
    """Ringer in each flavour, and QEMU's TCG if it is wanted and there. Properties of several -accel options of Ringer's add up."""
    found = [System(f"ringer-{f}", shlex.split(args.ringer) + ["-accel", f"bt,flavour={f}"], f) for f in flavours]
    if tcg and available(args.qemu):
        found.append(System("tcg", shlex.split(args.qemu), None))
    return found


def alternate(report, args):
    """Yields (number of the run, system): all systems in turn, args.runs times, every second round backwards. Tells stderr where it is."""
    for run in range(args.runs):
        for system in report.systems if run % 2 == 0 else reversed(report.systems):
            print(f"{report.suite}: run {run + 1} of {args.runs}, {system.name}", file=sys.stderr, flush=True)
            yield run, system


def make(*targets):
    """Builds what a suite needs; its messages go to stderr. Raises CalledProcessError."""
    subprocess.run(["make", "--no-print-directory", "-s", *targets], cwd=ROOT, stdout=sys.stderr, check=True)


def kernel_path(name):
    """Where the Makefile's target guestos puts a guest kernel of this repository."""
    return os.path.join(ROOT, f"build/guestos/{name}.elf")


def median(values):
    return statistics.median(values) if values else None


def spread(values):
    """(greatest - least) / median of the runs: how far to trust the median. None for fewer than two runs."""
    if len(values) < 2 or not median(values):
        return None
    return (max(values) - min(values)) / abs(median(values))


def geometric_mean(values):
    values = [v for v in values if v and v > 0]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def number(value):
    """A number as a table shows it."""
    if value is None:
        return "-"
    if value == 0 or (isinstance(value, int) and abs(value) < 10 ** 15) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"


class Report:
    """The rows of a suite, in the order in which they came up."""

    def __init__(self, suite, args, systems):
        self.suite, self.systems = suite, list(systems)
        self.rows, self.notes, self.missing, self.failures = {}, [], {}, []
        if not available(args.qemu):
            self.missing["tcg"] = f"not run: {args.qemu!r}" if args.qemu else "left out"
        self.load = os.getloadavg()[0]

    def add(self, name, system, value, unit="", better="lower", paper=None):
        """One run's number. Unit, direction and published figures are those of the row's first number. Not for None: leave the number out."""
        row = self.rows.setdefault(name, {"name": name, "unit": unit, "better": better, "values": {}})
        if paper:
            row["paper"] = paper
        row["values"].setdefault(system, []).append(value)

    def note(self, text):
        """Something that a reader of the figures must know."""
        if text not in self.notes:
            self.notes.append(text)

    def fail(self, system, why):
        """A run that did not deliver: finish() says so and returns 1."""
        self.failures.append(f"{system}: {why}")
        print(f"{self.suite}: {system}: FAILED: {why}", file=sys.stderr, flush=True)

    def ratio(self, row, over, under):
        """How many times as good a row is under `under` as under `over`, by their medians, whichever way round is better; or None."""
        a, b = (median(row["values"].get(s, [])) for s in (over, under))
        if not a or not b or row["better"] == "none":
            return None
        return a / b if row["better"] == "lower" else b / a

    def names(self):
        """The systems that have values, Ringer's first."""
        order = [f"ringer-{f}" for f in FLAVOURS] + ["tcg", "native"]
        seen = {s for row in self.rows.values() for s in row["values"]}
        return [s for s in order if s in seen] + sorted(seen - set(order))

    def as_json(self):
        host = {"kernel": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count(), "cpu": cpu_model(),
                "load": [round(self.load, 2), round(os.getloadavg()[0], 2)]}
        return {"suite": self.suite, "host": host, "notes": self.notes, "missing": self.missing, "failures": self.failures,
                "rows": list(self.rows.values())}

    def table(self, file=sys.stdout):
        """Ratios first (of medians, whichever way round is better: tcg/ringer above 1 means that Ringer is that many times as fast), then
        medians with the spread of the runs, then published figures."""
        names = self.names()
        ringers = [n for n in names if n.startswith("ringer")]
        pairs = [("tcg", r) for r in ringers if "tcg" in names] + [(r, "native") for r in ringers if "native" in names]
        heads = [f"{a.replace('ringer-', '')}/{b.replace('ringer-', '')}" for a, b in pairs]
        keys = list(dict.fromkeys(k for row in self.rows.values() for k in row.get("paper", {})))
        columns = [["row", *self.rows], ["unit", *(r["unit"] for r in self.rows.values())]]
        for pair, head in zip(pairs, heads):
            columns.append([head, *(number(self.ratio(r, *pair)) for r in self.rows.values())])
        for name in names:
            cells = []
            for row in self.rows.values():
                values = row["values"].get(name, [])
                wide = spread(values)
                cells.append(number(median(values)) + ("" if wide is None else f" ±{50 * wide:.0f}%"))
            columns.append([name, *cells])
        for key in keys:
            columns.append([key, *(str(r.get("paper", {}).get(key, "-")) for r in self.rows.values())])
        widths = [max(map(len, c)) for c in columns]
        for line in zip(*columns):
            print("  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip(), file=file)
        for pair, head in zip(pairs, heads):
            mean = geometric_mean([self.ratio(r, *pair) for r in self.rows.values()])
            if mean:
                print(f"geometric mean of {head}: {mean:.3g}", file=file)
        for text in self.notes:
            print(f"note: {text}", file=file)
        for system, why in self.missing.items():
            print(f"missing: {system}: {why}", file=file)
        for text in self.failures:
            print(f"FAILED: {text}", file=file)

    def finish(self, args):
        """Prints the table, writes the JSON file; returns the script's exit status: 1 if a run failed or there is nothing to show."""
        print(f"{self.suite}: {args.runs} run(s) of each, {cpu_model()}, {os.cpu_count()} CPUs, load average {self.load:.1f} before and "
              f"{os.getloadavg()[0]:.1f} after")
        self.table()
        if args.json:
            with open(args.json, "w", encoding="utf-8") as f:
                json.dump(self.as_json(), f, indent=1)
                f.write("\n")
        return 1 if self.failures or not self.rows else 0


def cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "unknown CPU")
    except OSError:
        return "unknown CPU"
