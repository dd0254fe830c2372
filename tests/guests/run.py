#!/usr/bin/env python3
"""Starts systems that others made, from Debian's packages, the way their users would: from a disk, a CD, a floppy or with -kernel.

  tests/guests/run.py [--runner COMMAND] [--full] [CASE...]

The cases are in the files guest_*.py beside this one. Some take too long for `make check`: they run with --full or by name. Prints PASS and FAIL lines and a SUMMARY; logs are in build/tests/guests/.
"""

import glob
import importlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import harness  # noqa: E402

suite = harness.Suite("guests", __doc__)
for path in sorted(glob.glob(os.path.join(HERE, "guest_*.py"))):
    importlib.import_module(os.path.basename(path)[:-3]).register(suite)
sys.exit(suite.main())
