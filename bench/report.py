#!/usr/bin/env python3
"""The figures of `make bench` (build/bench/bench.json) as one text table, and as docs/benchmarks.md with its plots.

  bench/report.py [--json FILE]          prints the table
  bench/report.py [--json FILE] --write  writes docs/benchmarks.md, docs/benchmarks/*.svg (by gnuplot) and the section "How fast" of README.md

A ratio above 1 always means that Ringer is better: TCG's median over Ringer's where less is better, Ringer's over TCG's where more is. Against native
execution the ratio is how many times as long Ringer takes. Medians come with the spread of the runs, half of (most - least) / median. Rows of processor
time are the same work as the row above them, and are not in the means, the worst and the best. --write refuses figures of --quick.
"""

import argparse
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench/lib"))
sys.dont_write_bytecode = True

import benchlib  # noqa: E402

DOCUMENT = os.path.join(ROOT, "docs/benchmarks.md")
PLOTS = os.path.join(ROOT, "docs/benchmarks")
README = os.path.join(ROOT, "README.md")
MARKS = ("<!-- from here to the end mark: written by `make bench-report` -->", "<!-- end mark -->")
SYSTEMS = ["ringer-auto", "ringer-checked", "ringer-direct", "tcg", "native"]
EXTREMES = 12
BARS = 24  # rows of a plot
ABOUT = {
    "programs": "Programs and operations in a Debian guest, the fastest repetition of each run",
    "boot": "exec to the shell's prompt",
    "first": "exec to the first guest instruction",
    "macro": "Everyday work, once, nothing warmed up",
    "where": "Where Ringer's time goes",
    "scaling": "What grows with memory, processes and code",
    "nano": "Single operations, in a kernel of their own",
    "tc": "The translation cache",
    "shadow": "Shadow paging",
    "guests": "Guests made by others, exec to their first screen",
    "memtest": "memtest86+",
    "disk": "An IDE disk",
    "display": "The screen",
}


# Plots of the suite scaling: file, title, axes, and what finds the number in a row's name.
CURVES = [
    ("scaling-boot", "Boot to the prompt", "guest memory, MiB", "s", r"^boot with\s+(\d+)"),
    ("scaling-memory", "Host memory of an idle guest", "guest memory, MiB", "MiB", r"^idle host memory,\s+(\d+)"),
    ("scaling-processes", "A token handed round", "processes", "us for a hop", r"^token round\s+(\d+)"),
    ("scaling-code", "Code called for the first time", "MiB of code", "us for each KiB", r"^([\d.]+) MiB of code, first"),
    ("scaling-code-again", "Code called again", "MiB of code", "us for each KiB", r"^([\d.]+) MiB of code, second"),
]


def median(row, system):
    return benchlib.median(row["values"].get(system, []))


def better_than_tcg(row, system="ringer-auto"):
    """How many times as good as TCG; None where that cannot be said."""
    ours, theirs = median(row, system), median(row, "tcg")
    if not ours or not theirs or row.get("better") not in ("lower", "higher"):
        return None
    return theirs / ours if row["better"] == "lower" else ours / theirs


def over_native(row, system="ringer-auto"):
    ours, theirs = median(row, system), median(row, "native")
    return ours / theirs if ours and theirs and row.get("better") == "lower" else None


def counts(row):
    return not row["name"].endswith(", processor time")


def means(rows, function):
    return benchlib.geometric_mean([function(r) for r in rows if counts(r)])


def cell(row, system):
    values = row["values"].get(system, [])
    wide = benchlib.spread(values)
    return benchlib.number(benchlib.median(values)) + (f" ±{50 * wide:.0f}%" if wide is not None and row.get("better") != "none" else "")


def times(value):
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def host_lines(figures):
    host = figures["host"]
    yield f"Host: {host['cpu']}, {host['cores']} CPUs, {host['memory_mib']} MiB, {host['kernel']}, load average {figures['load']}; {host['date']}."
    yield f"{host['ringer']}, built by {host['compiler']}; {host['qemu'] or 'no QEMU'}; guest kernel {host['guest'] or 'none'}."


def columns(suite):
    """The columns of a suite's table: (head, text of a row)."""
    names = [s for s in SYSTEMS if any(s in r["values"] for r in suite["rows"])]
    ringers = [s for s in names if s.startswith("ringer")]
    found = [("row", lambda r: r["name"])]
    for system in ringers:
        short = system.removeprefix("ringer-")
        if "tcg" in names:
            found.append((f"tcg:{short}", lambda r, s=system: times(better_than_tcg(r, s))))
    for system in ringers:
        short = system.removeprefix("ringer-")
        if "native" in names:
            found.append((f"{short}:native", lambda r, s=system: times(over_native(r, s))))
    found.append(("unit", lambda r: r["unit"]))
    found += [(system, lambda r, s=system: cell(r, s)) for system in names]
    keys = dict.fromkeys(k for r in suite["rows"] for k in r.get("paper", {}))
    found += [(key, lambda r, k=key: str(r.get("paper", {}).get(k, "-"))) for key in keys]
    return found


def suite_table(suite, rows):
    """Rows of a suite as a list of lines of cells, their head first."""
    found = columns(suite)
    return [[head for head, _ in found]] + [[text(row) for _, text in found] for row in rows]


def summary(suite):
    """The means of a suite, in words; empty if it has none."""
    parts = []
    for system in SYSTEMS[:3]:
        against, native = (means(suite["rows"], lambda r, f=f, s=system: f(r, s)) for f in (better_than_tcg, over_native))
        n = sum(1 for r in suite["rows"] if counts(r) and better_than_tcg(r, system))
        if against:
            parts.append(f"{system} is {times(against)} times as good as TCG ({n} {'row' if n == 1 else 'rows'})")
        if native:
            parts.append(f"{system} takes {times(native)} times as long as native")
    return "geometric means: " + ", ".join(parts) if parts else ""


def extremes(figures):
    """(the worst, the best, how many are below 1, of how many): the first two are lists of (ratio against TCG, suite, row)."""
    rows = [(better_than_tcg(r), name, r) for name, s in figures["suites"].items() for r in s["rows"] if counts(r)]
    rows = sorted((x for x in rows if x[0]), key=lambda x: x[0])
    slower = sum(1 for x in rows if x[0] < 1)
    worst = rows[:EXTREMES]
    return worst, rows[len(worst):][:-EXTREMES - 1:-1], slower, len(rows)


def farthest_from_native(figures):
    """The rows that take the most times as long as natively: a list of (ratio, suite, row)."""
    rows = [(over_native(r), name, r) for name, s in figures["suites"].items() for r in s["rows"] if counts(r)]
    return sorted((x for x in rows if x[0]), key=lambda x: -x[0])[:EXTREMES]


def problems(suite):
    yield from (f"note: {text}" for text in suite.get("notes", []))
    yield from (f"missing: {system}: {why}" for system, why in suite.get("missing", {}).items())
    yield from (f"FAILED: {text}" for text in suite.get("failures", []))


def print_table(figures, file=sys.stdout):
    for line in host_lines(figures):
        print(line, file=file)
    print("tcg:X above 1 means that Ringer's flavour X is that many times as good as QEMU's TCG; X:native is how many times as long it takes as natively; "
          "medians, ± half the spread of the runs", file=file)
    for name, suite in figures["suites"].items():
        print(f"\n== {name}: {ABOUT[name]} ({suite['seconds']:.0f} s{', quick' if suite['quick'] else ''})", file=file)
        lines = suite_table(suite, suite["rows"]) if suite["rows"] else []
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))] if lines else []
        for line in lines:
            print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip(), file=file)
        for text in filter(None, [summary(suite), *problems(suite)]):
            print(text, file=file)
    worst, best, slower, total = extremes(figures)
    if total:
        print(f"\nslower than TCG: {slower} of {total} rows", file=file)
        for title, rows in filter(lambda x: x[1], (("worst", worst), ("best", best))):
            print(f"{title}: " + ", ".join(f"{s}/{r['name']} {times(x)}" for x, s, r in rows), file=file)
    farthest = farthest_from_native(figures)
    if farthest:
        print("farthest from native: " + ", ".join(f"{s}/{r['name']} {times(x)}" for x, s, r in farthest), file=file)


# --- plots ---

def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', "'") + '"'


def gnuplot(name, script):
    """Writes docs/benchmarks/NAME.svg; returns the line of the document that shows it."""
    head = 'set terminal svg size 900,420 dynamic noenhanced font "sans,11" background "#ffffff"\n'
    head += f'set output {quote_path(os.path.join(PLOTS, name + ".svg"))}\n'
    head += 'set grid ytics lc rgb "#dddddd"\nset key outside top center horizontal\nset border 3\nset tics nomirror\n'
    subprocess.run(["gnuplot"], input=head + script, text=True, check=True)
    return f"![{name}](benchmarks/{name}.svg)"


def quote_path(path):
    return "'" + path.replace("'", "''") + "'"


def block(name, lines):
    return f"${name} << EOD\n" + "\n".join(lines) + "\nEOD\n"


def bars(name, title, rows, series):
    """Plots with a bar for each row and series (title, function of a row) on a logarithmic scale, with a line at 1; so many as the rows need."""
    series = [(t, f) for t, f in series if any(f(r) for r in rows)]
    rows = [r for r in rows if any(f(r) for _, f in series)]
    lowest = min([0.8] + [0.8 * f(r) for r in rows for _, f in series if f(r)])
    made = []
    for first in range(0, len(rows), BARS):
        lines = [" ".join([quote(r["name"]), *(str(f(r) or "NaN") for _, f in series)]) for r in rows[first:first + BARS]]
        script = block("data", lines)
        script += f"set title {quote(title)}\nset logscale y\nset style data histogram\nset style histogram clustered gap 1\n"
        script += f"set style fill solid 0.85 noborder\nset xtics rotate by 40 right scale 0 font ',9'\nset yrange [{lowest:.3g}:*]\n"
        script += "set arrow from graph 0, first 1 to graph 1, first 1 nohead lc rgb '#444444' front\nset bmargin 8\n"
        script += "plot " + ", ".join(f"$data using {i + 2}:xtic(1) title {quote(t)}" for i, (t, _) in enumerate(series)) + "\n"
        made.append(gnuplot(f"{name}-{first // BARS + 1}" if len(rows) > BARS else name, script))
    return made


def curves(name, title, x_label, y_label, rows, pattern):
    """A plot with a line for each system over the number that the pattern finds in the rows' names, both axes logarithmic."""
    script, plots = "", []
    for system in SYSTEMS:
        points = [(float(m[1]), median(r, system)) for r in rows if (m := re.search(pattern, r["name"])) and median(r, system)]
        if points:
            label = system.replace("-", "_")
            script += block(label, [f"{x} {y}" for x, y in sorted(points)])
            plots.append(f"${label} using 1:2 with linespoints pt 7 ps 0.5 lw 2 title {quote(system)}")
    if not plots:
        return []
    script += f"set title {quote(title)}\nset logscale xy\nset xlabel {quote(x_label)}\nset ylabel {quote(y_label)}\n"
    return [gnuplot(name, script + "plot " + ", ".join(plots) + "\n")]


def plots(figures):
    """{suite: lines of the document with its plots}."""
    rows = {name: s["rows"] for name, s in figures["suites"].items()}
    ours = [("auto", better_than_tcg), ("checked", lambda r: better_than_tcg(r, "ringer-checked"))]
    natives = [("auto", over_native), ("checked", lambda r: over_native(r, "ringer-checked")),
               ("tcg", lambda r: over_native(r, "tcg"))]
    made = {}
    for name in ("programs", "macro", "boot", "nano", "shadow", "tc", "guests", "disk", "display"):
        if name in rows:
            made[name] = bars(f"{name}-tcg", f"{name}: times as good as QEMU TCG", [r for r in rows[name] if counts(r)], ours)
    for name in ("programs", "macro"):
        made[name] = made.get(name, []) + bars(f"{name}-native", f"{name}: times as long as natively", rows.get(name, []), natives)
    for name, title, x_label, y_label, pattern in CURVES:
        made.setdefault("scaling", []).extend(curves(name, title, x_label, y_label, rows.get("scaling", []), pattern))
    return made


# --- documents ---

def markdown(lines):
    yield "| " + " | ".join(lines[0]) + " |"
    yield "| " + " | ".join("---" if i == 0 else "---:" for i in range(len(lines[0]))) + " |"
    for line in lines[1:]:
        yield "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |"


def document(figures, images):
    yield "# Benchmarks: the figures"
    yield ""
    yield "Written by `make bench-report` from what `make bench` measured; do not edit. [bench.md](bench.md) says what is measured, and how to read it."
    yield ""
    yield from host_lines(figures)
    yield ""
    yield ("Ratios come first. *tcg:X* above 1 means that Ringer's flavour X is that many times as good as QEMU's TCG; *X:native* is how many times as "
           "long it takes as natively. Figures are medians of runs in alternation, ± half their spread (most - least, of the median).")
    yield ""
    worst, best, slower, total = extremes(figures)
    if total:
        yield f"**{slower} of {total} rows are slower than under TCG.**"
        yield ""
        for title, rows in filter(lambda x: x[1], (("Worst", worst), ("Best", best))):
            yield f"{title}, `auto` against TCG: " + ", ".join(f"{s}/{r['name']} {times(x)}" for x, s, r in rows) + "."
            yield ""
    farthest = farthest_from_native(figures)
    if farthest:
        yield "Farthest from native, `auto`: " + ", ".join(f"{s}/{r['name']} {times(x)}" for x, s, r in farthest) + "."
        yield ""
    for name, suite in figures["suites"].items():
        yield f"## {name}: {ABOUT[name]}"
        yield ""
        if summary(suite):
            yield f"G{summary(suite)[1:]}."
            yield ""
        for line in images.get(name, []):
            yield line
            yield ""
        facts = [r for r in suite["rows"] if r.get("better") == "none"]
        others = [r for r in suite["rows"] if r.get("better") != "none"]
        if others:
            yield from markdown(suite_table(suite, others))
            yield ""
        if facts:
            yield f"<details{'' if others else ' open'}><summary>{len(facts)} counters and shares</summary>"
            yield ""
            yield from markdown(suite_table({"rows": facts}, facts))
            yield ""
            yield "</details>"
            yield ""
        for text in problems(suite):
            yield f"- {text}"
        if list(problems(suite)):
            yield ""


def of_kind(suite, kind):
    return [r for r in suite["rows"] if r.get("kind") == kind]


def readme_lines(figures):
    """What the README quotes: nothing but these figures."""
    suites, host = figures["suites"], figures["host"]
    qemu = (host["qemu"] or "no QEMU").split("(")[0].strip()
    yield (f"{host['cpu']}, {host['cores']} CPUs, {host['kernel']}, {host['date'].split()[0]}, in alternation with {qemu} "
           "([all figures](docs/benchmarks.md), `make bench` repeats them):")
    yield ""

    def claim(what, rows):
        against, native = means(rows, better_than_tcg), means(rows, over_native)
        ratios = [r for r in (better_than_tcg(r) for r in rows if counts(r)) if r]
        if not against:
            return None
        least = f"; geometric mean of {len(ratios)}, the least is {times(min(ratios))}" if len(ratios) > 1 else ""
        return f"- {what}: {times(against)} times as fast as TCG" + (f", {times(native)} times native time" if native else "") + f"{least};"

    programs = suites.get("programs", {"rows": []})
    yield from filter(None, [
        claim("exec to the shell's prompt of Debian's kernels", suites.get("boot", {"rows": []})["rows"]),
        claim("compute inside the guest", of_kind(programs, "compute")),
        claim("system calls, faults, forks, pipes", [dict(r, values={k: v for k, v in r["values"].items() if k != "native"})
                                                     for r in of_kind(programs, "system")]),
        claim("tar, gzip, scripts, compilers, once and not warmed up", suites.get("macro", {"rows": []})["rows"]),
    ])
    idle = [median(r, "ringer-auto") for r in suites.get("display", {"rows": []})["rows"] if r["name"] == "idle with none"]
    if idle and idle[0] is not None:
        yield f"- an idle guest: {idle[0]:.1f} % of a core;"
    _, _, slower, total = extremes(figures)
    yield f"- slower than TCG: {slower} of {total} rows."


def write_readme(figures):
    with open(README, encoding="utf-8") as f:
        text = f.read()
    before, mark, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not mark or not end:
        sys.exit(f"{README} has no place for the figures, between {MARKS[0]!r} and {MARKS[1]!r}")
    with open(README, "w", encoding="utf-8") as f:
        f.write(before + MARKS[0] + "\n\n" + "\n".join(readme_lines(figures)) + "\n\n" + MARKS[1] + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", default=os.path.join(benchlib.OUT, "bench.json"))
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    try:
        with open(args.json, encoding="utf-8") as f:
            figures = json.load(f)
    except OSError as error:
        sys.exit(f"{error}: `make bench` makes it")
    if not args.write:
        print_table(figures)
        return 0
    if figures["quick"] or any(s["quick"] for s in figures["suites"].values()):
        sys.exit(f"{args.json} has figures of --quick, which are for a look only: `make bench` makes others")
    os.makedirs(PLOTS, exist_ok=True)
    for name in os.listdir(PLOTS):
        os.unlink(os.path.join(PLOTS, name))
    images = plots(figures)
    with open(DOCUMENT, "w", encoding="utf-8") as f:
        f.write("\n".join(document(figures, images)).rstrip() + "\n")
    write_readme(figures)
    print(f"wrote {DOCUMENT}, {len(os.listdir(PLOTS))} plots, and the section \"How fast\" of {README}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
