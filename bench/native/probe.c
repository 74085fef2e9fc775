/*
 * probe PID...: for each line on standard input, prints the CPU time of each process until then, as
 * [{"wallNs","cpuNs","userTicks","systemTicks"}, ...]. It is for workloads whose load generator is not a program of
 * this folder.
 */
#include "common.h"

int main(int argc, char **argv) {
  char line[64];
  if (argc < 2) die("usage: probe PID...");
  while (fgets(line, sizeof line, stdin)) {
    for (int i = 1; i < argc; i++) {
      pid_t pid = (pid_t)number_arg(argv[i], "pid");
      struct stamp s = take_stamp(pid, cpu_clock_of(pid));
      printf("%s{\"wallNs\":%llu,\"cpuNs\":%llu,\"userTicks\":%llu,\"systemTicks\":%llu}", i == 1 ? "[" : ",",
             (unsigned long long)s.wall, (unsigned long long)s.cpu, s.user_ticks, s.system_ticks);
    }
    puts("]");
    fflush(stdout);
  }
  return 0;
}
