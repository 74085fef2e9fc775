/* pattern FILE BYTES: writes a file with the pattern of mix(), so that a byte at a wrong place is noticed. */
#include "common.h"

int main(int argc, char **argv) {
  if (argc != 3) die("usage: pattern FILE BYTES");
  FILE *file = fopen(argv[1], "wb");
  if (!file) die_errno(argv[1]);
  uint64_t words = number_arg(argv[2], "bytes") / 8;
  for (uint64_t i = 0; i < words; i++) {
    uint64_t word = mix(i);
    if (fwrite(&word, 8, 1, file) != 1) die_errno("fwrite");
  }
  if (fclose(file) != 0) die_errno("fclose");
  return 0;
}
