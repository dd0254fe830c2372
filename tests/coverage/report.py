#!/usr/bin/env python3
"""Which forms of instructions the tests and the guests execute: `make coverage-insn`.

  tests/coverage/report.py [--build DIR] [--cases N] [--verbose]

Runs the differential test, the guest kernels and a Debian kernel with its tests, each with the list of the forms that it executed, and holds
that against all forms that 32-bit code can have. --verbose names the forms that nobody executed. Ends with 1 if Debian uses a form that is
undefined by policy, or one of the seventeen was executed by nobody.
"""

import argparse
import collections
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOGS = os.path.join(ROOT, "build/tests/coverage")
GUESTS = os.path.join(ROOT, "build/guests")

# UD2 is how Linux ends where it should not be, and where it warns.
MEANT_TO_FAULT = {"ud0", "ud1", "ud2"}

Form = collections.namedtuple("Form", "key mnemonic cls handler feature seventeen text")


def known_forms(build):
    out = subprocess.run([f"{build}/tests/coverage/instructions", "--forms"], check=True, stdout=subprocess.PIPE, text=True).stdout
    forms = [Form(*line.split("\t")) for line in out.splitlines()]
    return {form.key: form for form in forms}


def executed(path, known):
    """Executed forms of a log: key -> set of "kernel", "user", "native"; and lines that are no known form."""
    seen, unknown = collections.defaultdict(set), []
    with open(path, encoding="latin-1") as f:
        for line in f:
            if not line.startswith("insn "):
                continue
            _, key, who, mnemonic = line.split()
            # In 16-bit code the operand size shows as a prefix also where it means nothing.
            if key not in known and key.startswith("66"):
                key = key[2:]
            if key in known:
                seen[key].add(who)
            else:
                unknown.append(f"{key} {mnemonic}")
    return seen, unknown


def run(name, command, limit, status=0):
    """What did not end as it should did not execute what it should."""
    print(f"     {name}", flush=True)
    with open(f"{LOGS}/{name}.out", "wb") as out:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=limit, check=False)
    if result.returncode != status:
        sys.exit(f"FAIL {name}: ended with {result.returncode}, see {LOGS}/{name}.out")


def collect(build, cases):
    """Runs everything; a log file by name."""
    ringer = f"{build}/ringer"
    logs = {}
    logs["native"] = f"{LOGS}/native.log"
    run("native", ["build/diff/diff", "--runner", ringer, "--cases", str(cases), "--coverage", logs["native"]], 600)
    for kernel in ("conformance", "shadow", "modes"):
        for flavour in ("checked", "direct"):
            name = f"{kernel}-{flavour}"
            logs[name] = f"{LOGS}/{name}.log"
            run(name, [ringer, "-nographic", "-m", "64", "-no-reboot", "-device", "isa-debug-exit,iobase=0x501,iosize=2", "-accel",
                       f"bt,flavour={flavour}", "-kernel", f"build/guestos/{kernel}.elf", "-d", "insn", "-D", logs[name]], 120, status=1)
    logs["debian"] = f"{LOGS}/debian.log"
    run("debian", [ringer, "-nographic", "-m", "256", "-kernel", f"{GUESTS}/686/vmlinuz", "-initrd", f"{GUESTS}/initramfs.cpio.gz", "-append",
                   f"console=ttyS0 ringer.test=basic ringer.now={int(time.time())}", "-d", "insn", "-D", logs["debian"]], 300)
    return logs


def by_class(known, seen):
    print(f"\n{'class':18}{'forms':>7}{'native':>8}{'guestos':>9}{'debian':>8}{'nobody':>8}")
    totals = collections.Counter()
    for cls in list(dict.fromkeys(form.cls for form in known.values())) + ["all offered"]:
        keys = {k for k, form in known.items() if form.cls == cls or (cls == "all offered" and form.cls != "undefined")}
        row = {name: len(keys & group) for name, group in seen.items()}
        nobody = len(keys - set().union(*seen.values()))
        totals[cls] = nobody
        print(f"{cls:18}{len(keys):7}{row['native']:8}{row['guestos']:9}{row['debian']:8}{nobody:8}")


def the_seventeen(known, logs):
    """Lists where each was executed; returns those that nobody executed."""
    print("\nthe seventeen, and who executed them (k: kernel mode, u: user mode)")
    rows = list(dict.fromkeys(form.seventeen for form in known.values() if form.seventeen))
    missing = []
    for row in rows:
        where = []
        for name, (seen, _) in logs.items():
            modes = set().union(*(seen[k] for k, form in known.items() if form.seventeen == row and k in seen), set())
            if modes:
                where.append(f"{name} {'+'.join(sorted(mode[0] for mode in modes))}")
        print(f"  {row:14}{', '.join(where) or 'nobody'}")
        if not where:
            missing.append(row)
    return missing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--cases", type=int, default=200000, help="of the differential test")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    os.chdir(ROOT)
    os.makedirs(LOGS, exist_ok=True)
    known = known_forms(args.build)
    logs = {name: executed(path, known) for name, path in collect(args.build, args.cases).items()}
    seen = {"native": set(logs["native"][0]), "debian": set(logs["debian"][0])}
    seen["guestos"] = set().union(*(s for name, (s, _) in logs.items() if name not in seen))
    by_class(known, seen)
    missing = the_seventeen(known, logs)

    print("\nforms that end in #UD by policy, and who executed them")
    refused = []
    for name, (keys, unknown) in logs.items():
        used = sorted({known[k].mnemonic for k in keys if known[k].cls == "undefined"})
        if name == "debian":
            refused = [m for m in used if m not in MEANT_TO_FAULT]
        if used or unknown:
            print(f"  {name:20}{' '.join(used)}{' not known: ' + ', '.join(unknown) if unknown else ''}")

    everybody = set().union(*seen.values())
    nobody = [form for k, form in known.items() if k not in everybody and form.cls != "undefined"]
    names = sorted({form.mnemonic for form in nobody} - {known[k].mnemonic for k in everybody})
    print(f"\noffered mnemonics that nobody executed: {' '.join(names) or 'none'}")
    if args.verbose:
        print("offered forms that nobody executed:")
        for form in nobody:
            print(f"  {form.key:14}{form.cls:18}{form.text}")
    if missing:
        print(f"FAIL nobody executed {', '.join(missing)}")
    if refused:
        print(f"FAIL Debian executes what is undefined by policy: {' '.join(refused)}")
    if not seen["debian"] or not seen["guestos"] or not seen["native"]:
        print("FAIL a run executed nothing: see build/tests/coverage/*.out")
        return 1
    return 1 if missing or refused else 0


sys.exit(main())
