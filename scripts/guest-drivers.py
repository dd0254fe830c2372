#!/usr/bin/env python3
"""Packs kernel modules into an initramfs of their own: /modules/*.ko and /modules/list, which names them in the order of loading.

  scripts/guest-drivers.py DIRECTORY OUT.cpio.gz MODULE...

DIRECTORY is searched for the modules and for what they depend on.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile


def main(directory, out, *wanted):
    files = {}
    for path, _, names in os.walk(directory):
        for name in names:
            if name.endswith(".ko"):
                files[name[:-3].replace("-", "_")] = os.path.join(path, name)
    order = []

    def add(module, needed=True):
        module = module.replace("-", "_")
        if module in order:
            return
        if module not in files:
            if needed:
                sys.exit(f"guest-drivers: there is no module {module}")
            return
        with open(files[module], "rb") as f:
            data = f.read()
        for name in re.findall(rb"\0depends=([^\0]*)\0", data):
            for other in filter(None, name.decode().split(",")):
                add(other)
        # A soft dependency may be built into the kernel.
        for names in re.findall(rb"\0softdep=pre: ([^\0]*)\0", data):
            for other in names.decode().split():
                add(other, False)
        order.append(module)

    for module in wanted:
        add(module)
    with tempfile.TemporaryDirectory() as root:
        modules = os.path.join(root, "modules")
        os.mkdir(modules)
        for module in order:
            shutil.copy(files[module], os.path.join(modules, module + ".ko"))
        with open(os.path.join(modules, "list"), "w", encoding="ascii") as f:
            f.writelines(module + "\n" for module in order)
        pack = "find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | gzip -9 -n"
        with open(out, "wb") as f:
            subprocess.run(pack, shell=True, cwd=root, stdout=f, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
