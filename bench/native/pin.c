/*
 * pin CORE PARENT COMMAND ARGUMENT...: runs the command on one core, with all its threads. When the process PARENT
 * ends, for whatever reason, the kernel kills the command.
 */
#include "common.h"
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

int main(int argc, char **argv) {
  if (argc < 4) die("usage: pin CORE PARENT COMMAND [ARGUMENT...]");
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(number_arg(argv[1], "core"), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) die_errno("sched_setaffinity");
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) die_errno("prctl");
  /* If the parent ended before prctl(2), the kernel sends no signal. */
  if ((uint64_t)getppid() != number_arg(argv[2], "parent")) return 1;
  execvp(argv[3], argv + 3);
  die_errno(argv[3]);
}
