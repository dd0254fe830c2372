#!/usr/bin/env python3
"""Line coverage of Ringer's sources: `make coverage`.

  tests/coverage/lines.py [--build build/coverage] [--verbose]

BUILD is a build with MODE=coverage. Runs the unit tests, the golden tests, the guest kernels in all three flavours, the command line's tests and
a Debian kernel with its tests, then prints the share of lines that were executed, in all and for each directory; --verbose for each file. Fails
if a part failed: what is not run to its end is not measured.
"""

import argparse
import collections
import glob
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOGS = os.path.join(ROOT, "build/tests/coverage")
SOURCES = ("cache", "monitor", "shadowpt", "translator")


def parts(build):
    ringer = f"{build}/ringer"
    yield "unit", [f"{build}/tests/unit/unit"]
    yield "golden", [f"{build}/tests/golden/golden"]
    for flavour in ("checked", "direct", "auto"):
        yield f"guestos-{flavour}", ["guestos/run.sh", ringer, "-accel", f"bt,flavour={flavour},verify=on"]
    yield "cli", ["tests/cli/run.sh", ringer]
    yield "boot", ["tests/boot/run.py", "--runner", ringer, "boot-686"]


def run(build):
    failed = []
    for name, command in parts(build):
        print(f"     {name}", flush=True)
        with open(f"{LOGS}/lines-{name}.out", "wb") as out:
            result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False,
                                    env={**os.environ, "TIMEOUT": "300"})
        if result.returncode:
            failed.append(name)
            print(f"FAIL {name}: ended with {result.returncode}, see {LOGS}/lines-{name}.out")
    return failed


def measure(build):
    """Executions by line: {file: {line: count}}."""
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    for data in sorted(glob.glob(f"{build}/**/*.gcno", recursive=True)):
        out = subprocess.run(["gcov", "--json-format", "--stdout", data], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        for entry in json.loads(out)["files"]:
            name = entry["file"]
            if name.startswith(SOURCES):
                for line in entry["lines"]:
                    lines[name][line["line_number"]] += line["count"]
    return lines


def percent(hit, total):
    return 100 * hit / total if total else 100.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/coverage")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    os.chdir(ROOT)
    os.makedirs(LOGS, exist_ok=True)
    for old in glob.glob(f"{args.build}/**/*.gcda", recursive=True):
        os.unlink(old)
    failed = run(args.build)
    lines = measure(args.build)
    rows = collections.defaultdict(lambda: [0, 0])
    for name, counts in lines.items():
        hit, total = sum(n > 0 for n in counts.values()), len(counts)
        for row in [os.path.dirname(name), "total"] + ([name] if args.verbose else []):
            rows[row][0] += hit
            rows[row][1] += total
    print(f"\n{'':32}{'lines':>8}{'executed':>10}{'%':>8}")
    for name in sorted(rows, key=lambda n: (n == "total", n)):
        hit, total = rows[name]
        print(f"{name:32}{total:8}{hit:10}{percent(hit, total):8.1f}")
    return 1 if failed or not lines else 0


sys.exit(main())
