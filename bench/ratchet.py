#!/usr/bin/env python3
"""The ratchet: what translating a fixed corpus costs, in counts that are the same on every machine, against what bench/ratchet.json says.

  make ratchet            compares; a PASS or FAIL line for every figure (part of `make check`)
  make ratchet-accept     writes the figures to bench/ratchet.json, to be committed with the change that moved them

Two kinds of figures: host instructions that the translator executes for each guest instruction, counted by callgrind (no clock, no cache, no rights),
and host bytes of translated code, hot and cold, for each guest byte. Growth of more than 3 % fails and names the functions that grew. The first
kind depends on the compiler, its flags and the decoder's library: where one of those is another than in the file, its figures are printed and not
compared. libc's functions are left out: which of them run depends on the CPU.
"""

import argparse
import collections
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BASE = os.path.join(ROOT, "bench/ratchet.json")
CORPUS = os.path.join(ROOT, "bench/ratchet/corpus.bin")
LIMIT = 0.03
TIMEOUT = 120  # seconds; it takes five on a quiet machine
NAMED = 5  # functions in a message
KEPT = 0.5  # instructions for each guest instruction: functions below are not in the file


def expansion(output):
    """{mode: counts} from the program's own lines."""
    modes = {}
    for line in output.splitlines():
        if line.startswith("MODE "):
            _, name, *counts = line.split()
            modes[name] = dict(zip(("tus", "insns", "guest_bytes", "hot", "cold"), map(int, counts)))
    return modes


def self_costs(path):
    """{(object, function's file, function): instructions} of a callgrind file; its names are numbered, and written out the first time."""
    names, here, costs = {}, {}, collections.Counter()
    of_call = False
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            match = re.match(r"(c?)(ob|fl|fi|fe|fn)=(?:\((\d+)\))?\s*(.*)$", line)
            if match:
                called, what, number, text = match.groups()
                space = "fn" if what == "fn" else "ob" if what == "ob" else "fl"
                if number and text:
                    names[space, number] = text
                text = names.get((space, number), "?") if number else text
                if not called and what in ("ob", "fl", "fn"):
                    here[what] = text
            elif line.startswith("calls="):
                of_call = True
            elif re.match(r"[+*\d-]", line):
                if not of_call:  # the line behind calls= is what the callee took
                    costs[here.get("ob", "?"), here.get("fl", "?"), here["fn"]] += int(line.split()[1])
                of_call = False
    return costs


def count(program):
    """The program's output, and what it executed in translate() and below."""
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "callgrind.out")
        argv = ["valgrind", "--tool=callgrind", "--toggle-collect=translate", f"--callgrind-out-file={path}", program, CORPUS]
        try:
            done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False)
        except FileNotFoundError:
            sys.exit("FAIL ratchet: valgrind is not here; scripts/install-deps.sh installs it")
        except subprocess.TimeoutExpired:
            sys.exit(f"FAIL ratchet: not done within {TIMEOUT} s")
        if done.returncode:
            sys.exit(f"FAIL ratchet: {' '.join(argv)} ended with status {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout, self_costs(path)


def group_of(program, obj, file):
    """What a function belongs to, or None if it is not compared."""
    if os.path.basename(obj).startswith("libZydis"):
        return "decoder"
    if os.path.realpath(obj) != os.path.realpath(program):
        return None
    match = re.search(r"(translator|cache|monitor|shadowpt)/", file)
    return match[1] if match else "other"


def instructions(program, costs, insns):
    """(per group, per function) instructions for each guest instruction translated; the decoder's library."""
    groups, functions, decoder = collections.Counter(), collections.Counter(), None
    for (obj, file, name), n in costs.items():
        group = group_of(program, obj, file)
        if not group:
            continue
        groups[group] += n / insns
        functions[f"{group} {name.split(chr(39))[0]}"] += n / insns
        if group == "decoder" and not decoder:
            with open(obj, "rb") as f:
                decoder = f"{os.path.basename(obj)} {hashlib.sha256(f.read()).hexdigest()[:12]}"
    return groups, functions, decoder


def compiler_of(cc, flags):
    done = subprocess.run([*cc.split(), "--version"], stdout=subprocess.PIPE, text=True, check=True)
    return f"{done.stdout.splitlines()[0]}, {flags}"


def measure(args):
    """The figures of this tree, as they go to the file."""
    now = {"compiler": compiler_of(args.cc, args.flags)}
    if "-fsanitize" in args.flags or "--coverage" in args.flags:
        output = subprocess.run([args.program, CORPUS], stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, check=True).stdout
        modes = expansion(output)
    else:
        output, costs = count(args.program)
        modes = expansion(output)
        groups, functions, decoder = instructions(args.program, costs, sum(m["insns"] for m in modes.values()))
        now["decoder"] = decoder
        now["instructions"] = {k: round(v, 2) for k, v in sorted(groups.items()) if v >= KEPT}
        now["functions"] = {k: round(v, 2) for k, v in functions.most_common() if v >= KEPT}
    if not modes or not all(m["insns"] for m in modes.values()):
        sys.exit("FAIL ratchet: the program translated nothing")
    now["expansion"] = {f"{name} {part}": round(m[part] / m["guest_bytes"], 4) for name, m in modes.items() for part in ("hot", "cold")}
    with open(CORPUS, "rb") as f:
        now["corpus"] = hashlib.sha256(f.read()).hexdigest()[:12]
    return now


def grown_functions(was, now):
    """The functions that account for most of the growth, as text."""
    change = {name: now.get(name, 0) - was.get(name, 0) for name in now}
    most = sorted(change, key=change.get, reverse=True)[:NAMED]
    return ", ".join(f"{name} {was.get(name, 0):.1f} -> {now[name]:.1f}" for name in most if change[name] > 0.05)


class Verdict:
    def __init__(self):
        self.passed = self.failed = self.shrunk = 0

    def compare(self, what, unit, was, now, why=""):
        """One figure. One that is new, or gone, fails: somebody has to accept it."""
        if was is None or now is None:
            self.failed += 1
            print(f"FAIL ratchet {what}: {'new, ' + str(now) if was is None else 'gone'}; `make ratchet-accept` if that is meant")
            return
        change = now / was - 1
        text = f"{what}: {was:g} -> {now:g} {unit} ({100 * change:+.1f} %)"
        if change > LIMIT:
            self.failed += 1
            print(f"FAIL ratchet {text}: grew by more than {100 * LIMIT:.0f} %{why}; `make ratchet-accept` if it is worth it")
            return
        self.passed += 1
        print(f"PASS ratchet {text}")
        self.shrunk += change < -LIMIT


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="build/MODE/bench/ratchet/translate")
    parser.add_argument("--cc", default="cc", help="the compiler that made it")
    parser.add_argument("--flags", default="", help="... with these flags")
    parser.add_argument("--accept", action="store_true", help="write bench/ratchet.json")
    args = parser.parse_args()
    now = measure(args)
    if args.accept:
        if "instructions" not in now:
            parser.error("this build has no instruction counts: accept with MODE=release")
        with open(BASE, "w", encoding="utf-8") as f:
            json.dump(now, f, indent=1)
            f.write("\n")
        print(f"ratchet: wrote {BASE}: {sum(now['instructions'].values()):.0f} instructions for each guest instruction")
        return 0
    with open(BASE, encoding="utf-8") as f:
        was = json.load(f)
    verdict = Verdict()
    if was["corpus"] != now["corpus"]:
        print("FAIL ratchet corpus: bench/ratchet/corpus.bin is not the one that the figures are of")
        return 1
    for name in dict.fromkeys((*was["expansion"], *now["expansion"])):
        verdict.compare(f"code of {name}", "host bytes for each guest byte", was["expansion"].get(name), now["expansion"].get(name))
    if "instructions" not in now:
        print("ratchet: instructions not counted, this build is instrumented; only the code's size was compared")
    else:
        for name in dict.fromkeys((*was["instructions"], *now["instructions"])):
            key, other = ("decoder", "decoder") if name == "decoder" else ("compiler", "compiler")
            if was[key] != now[key]:
                print(f"ratchet: {name}: {was['instructions'].get(name)} -> {now['instructions'].get(name)} instructions, not compared: the {other} is "
                      f"{now[key]}, and was {was[key]}")
                continue
            why = ""
            if name in was["instructions"] and name in now["instructions"]:
                mine = [{k: v for k, v in each["functions"].items() if k.startswith(name + " ")} for each in (was, now)]
                why = f" ({grown_functions(*mine)})"
            verdict.compare(f"instructions in {name}", "for each guest instruction", was["instructions"].get(name), now["instructions"].get(name), why)
    if verdict.shrunk:
        print(f"ratchet: {verdict.shrunk} figures shrank by more than {100 * LIMIT:.0f} %: `make ratchet-accept` keeps what was won")
    print(f"SUMMARY: {verdict.passed} passed, {verdict.failed} failed")
    return 1 if verdict.failed else 0


sys.exit(main())
