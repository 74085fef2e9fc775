/*
 * start_to_exit COMMAND ARGUMENT...: runs the command to its end, on any core. It prints the time from fork to exit,
 * the CPU time of all threads, and the maximum of memory (wait4(2), getrusage(2)).
 *
 * A C program does this, and not the benchmark itself, because a child inherits the memory of its parent until exec(2),
 * and the maximum of memory includes it.
 */
#include "common.h"
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static unsigned long long nanoseconds(struct timeval t) {
  return (unsigned long long)t.tv_sec * 1000000000u + (unsigned long long)t.tv_usec * 1000u;
}

int main(int argc, char **argv) {
  if (argc < 2) die("usage: start_to_exit COMMAND [ARGUMENT...]");
  /* pin.c has put this process on one core. The command may run on all cores. The kernel ignores bits of missing cores. */
  cpu_set_t all;
  memset(&all, 0xff, sizeof all);
  pid_t self = getpid();
  uint64_t start = now_ns();
  pid_t child = fork();
  if (child < 0) die_errno("fork");
  if (child == 0) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) die_errno("prctl");
    if (getppid() != self) _exit(1);
    if (sched_setaffinity(0, sizeof all, &all) != 0) die_errno("sched_setaffinity");
    /* Standard output is for the line of results. */
    if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0) die_errno("dup2");
    execvp(argv[1], argv + 1);
    die_errno(argv[1]);
  }
  int status;
  struct rusage usage;
  while (wait4(child, &status, 0, &usage) < 0) {
    if (errno != EINTR) die_errno("wait4");
  }
  uint64_t end = now_ns();
  if (WIFSIGNALED(status)) die("%s ended by signal %d", argv[1], WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) die("%s ended with status %d", argv[1], WEXITSTATUS(status));
  printf("{\"elapsedNs\":%llu,\"userNs\":%llu,\"systemNs\":%llu,\"maxRssBytes\":%llu}\n", (unsigned long long)(end - start),
         nanoseconds(usage.ru_utime), nanoseconds(usage.ru_stime), (unsigned long long)usage.ru_maxrss * 1024u);
  return 0;
}
