"""What the suites that start whole machines share: the cases of a suite, the checks of a case, its machines, the command line.

A suite makes one Suite, registers functions with @suite.case (a_b is run by the name a-b) and ends with sys.exit(suite.main()). Each case is
called with a Run; every check of it counts. A case's directory is its own, and gone afterwards; its machines' logs stay in build/tests/NAME/.
Cases registered with @suite.full_case take too long for `make check`: they run when they are named, or all with --full.
"""

import argparse
import os
import shlex
import socket
import tempfile
import time

from machine import Failure, Machine

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GUESTS = os.path.join(ROOT, "build/guests")
BOOT = 120  # seconds that a boot may take on a slow, busy host


class Run:
    def __init__(self, suite, args, name, directory):
        self.args, self.runner, self.name, self.directory = args, args.runner, name, directory
        self.logs = suite.logs
        self.passed = self.failed = 0
        self.machines = []

    @property
    def is_qemu(self):
        return "qemu" in self.runner

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, options, terminal=False, verify=True):
        """Starts a machine; under Ringer with the emitted code verified."""
        # Properties of several -accel add up.
        verifying = ["-accel", "bt,verify=on"] if verify and not self.is_qemu else []
        suffix = f"-{len(self.machines)}" if self.machines else ""
        log = os.path.join(self.logs, f"{self.name}{suffix}.log")
        machine = Machine(shlex.split(self.runner) + verifying + list(options), log, terminal)
        self.machines.append(machine)
        return machine

    def check(self, name, ok):
        self.passed += bool(ok)
        self.failed += not ok
        if not ok:
            print(f"FAIL {self.name}: {name}", flush=True)

    def skip(self, why):
        print(f"SKIP {self.name}: {why}", flush=True)


class Suite:
    def __init__(self, name, doc, run=Run):
        """run: a class made from Run, for a suite whose cases want more of it."""
        self.name, self.run_class = name, run
        self.cases, self.full = {}, set()
        self.logs = os.path.join(ROOT, "build/tests", name)
        self.parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.parser.add_argument("--runner", default=os.path.join(ROOT, "build/release/ringer"),
                                 help='for instance "qemu-system-i386 -accel tcg", to see whether guests and tests are right')

    def case(self, function):
        self.cases[function.__name__.replace("_", "-")] = function
        return function

    def full_case(self, function):
        """One that takes longer than `make check` has for it: it is run by name or with --full."""
        self.full.add(function.__name__.replace("_", "-"))
        return self.case(function)

    def run(self, args, name):
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            run = self.run_class(self, args, name, directory)
            try:
                self.cases[name](run)
            except (Failure, OSError, AssertionError) as error:
                run.check(f"{type(error).__name__}: {error}", False)
            finally:
                for machine in run.machines:
                    machine.close()
        if run.failed:
            for machine in run.machines:
                print("\n".join("    | " + line for line in machine.text.splitlines()[-15:]))
                print(f"    log: {machine.log.name}")
        verdict = "FAIL" if run.failed else "PASS"
        print(f"{verdict} {name}: {run.passed} checks passed, {run.failed} failed, {time.monotonic() - begin:.1f} s", flush=True)
        return run

    def main(self):
        self.parser.add_argument("cases", nargs="*", metavar="CASE", help="of " + ", ".join(self.cases))
        if self.full:
            self.parser.add_argument("--full", action="store_true", help="also the cases " + ", ".join(sorted(self.full)))
        args = self.parser.parse_args()
        for name in args.cases:
            if name not in self.cases:
                self.parser.error(f"there is no case {name!r}")
        os.makedirs(self.logs, exist_ok=True)
        left_out = set() if args.cases or not self.full or args.full else self.full
        runs = [self.run(args, name) for name in args.cases or self.cases if name not in left_out]
        failed = sum(run.failed for run in runs)
        print(f"SUMMARY: {sum(run.passed for run in runs)} passed, {failed} failed")
        return 1 if failed else 0


def free_port(first=5950, last=6400):
    """A TCP port of the loopback interface that nobody listens on."""
    for port in range(first, last):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failure("no free port")


def wait_until(condition, limit, pause=0.1):
    """Calls condition until it returns something true, which is returned; the last value after `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(pause)


def contents(path):
    """A text file's, or nothing as long as it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except FileNotFoundError:
        return ""
