#!/bin/bash
# `make demo`: an unmodified Debian kernel on Ringer, to a shell on this terminal. Runs after the build.
#   scripts/demo.sh [FLAVOUR]     686 (the default), 686-pae or rt-686-pae
# Environment: RINGER (the program), MEMORY (MiB), APPEND (more words for the kernel's command line).
set -u
cd "$(dirname "$0")/.." || exit 1

flavour=${1:-686}
ringer=${RINGER:-build/release/ringer}
memory=${MEMORY:-256}

# The shell in the guest gets this terminal's type and size.
words="console=ttyS0 loglevel=3 TERM=${TERM:-vt100}"
if size=$(stty size 2>/dev/null) && [ "$size" != "0 0" ]; then
	words+=" ROWS=${size% *} COLS=${size#* }"
fi

if scripts/fetch-guests.sh "$flavour" && scripts/mkinitramfs.sh; then
	echo
	echo "Booting Debian's $(cut -d' ' -f1 build/guests/"$flavour"/vmlinuz.version). Ctrl-A x quits."
	exec "$ringer" -nographic -m "$memory" -kernel build/guests/"$flavour"/vmlinuz -initrd build/guests/initramfs.cpio.gz \
		-append "$words ${APPEND:-}"
fi

echo
echo "Debian's packages cannot be had here; this boots the demo kernel of guestos/ instead. Ctrl-A x quits."
exec "$ringer" -nographic -m 64 -kernel build/guestos/demo.elf
