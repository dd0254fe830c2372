#!/bin/bash
# `make bench`: boots Debian's kernels under Ringer and QEMU's TCG in alternation. Arguments go to bench/boot.py. Runs after the build.
set -eu
cd "$(dirname "$0")/.."
scripts/fetch-guests.sh
scripts/mkinitramfs.sh
exec python3 bench/boot.py "$@"
