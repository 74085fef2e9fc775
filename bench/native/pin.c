/*
 * pin CORE PARENT COMMAND ARGUMENT...: runs the command on one core, so that every thread it will ever make is there too,
 * and ties its life to the harness: when that dies, however it dies, the kernel ends the command.
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
  /* A parent that died before prctl sends no signal any more. */
  if ((uint64_t)getppid() != number_arg(argv[2], "parent")) return 1;
  execvp(argv[3], argv + 3);
  die_errno(argv[3]);
}
