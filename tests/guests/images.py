"""Images to boot from, made by scripts/images/NAME.sh from Debian's packages: made once, and again when their script has changed."""

import os
import subprocess

from harness import GUESTS, ROOT
from machine import Failure

IMAGES = os.path.join(GUESTS, "images")


def package(name, path):
    """A file of a Debian package, which is fetched if it is not there."""
    done = subprocess.run([f"{ROOT}/scripts/fetch-package.sh", name], capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"no package {name}: {done.stderr.strip()}")
    return os.path.join(GUESTS, "packages", name, path)


def image(name, suffix=""):
    """build/guests/images/NAME+suffix; the script gets the path it is to make, and makes it by renaming a whole file."""
    script = f"{ROOT}/scripts/images/{name}.sh"
    path = os.path.join(IMAGES, name + suffix)
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(script):
        os.makedirs(IMAGES, exist_ok=True)
        done = subprocess.run([script, path], capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise Failure(f"{script}: {done.stderr.strip()[-500:]}")
    return path
