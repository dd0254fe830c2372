/*
 * Included in front of every source of Ringer in a MODE=coverage build: _exit leaves without the counters being written, and so does every
 * message of fatal(). Invariant: what calls it behaves as before otherwise.
 */
#ifndef RINGER_COVERAGE_EXIT_H
#define RINGER_COVERAGE_EXIT_H

#ifndef __ASSEMBLER__
#include <unistd.h>

void __gcov_dump(void);
#define _exit(status) (__gcov_dump(), (_exit)(status))
#endif

#endif
