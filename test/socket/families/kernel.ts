// The result of a call on this kernel, from Python's socket module. Our call must have the same result.
import { execFileSync } from "node:child_process";

/**
 * The errno of a few lines of Python that work on sockets, or undefined when they succeed. What the kernel lacks is
 * different on each machine; that both get the same answer is not.
 */
export function errnoOf(lines: string): string | undefined {
  const program = `
import errno, socket
try:
${lines
  .trim()
  .split("\n")
  .map((line) => `    ${line}`)
  .join("\n")}
except OSError as error:
    print(errno.errorcode[error.errno])
`;
  const answer = execFileSync("python3", ["-c", program], { encoding: "utf8" }).trim();
  return answer === "" ? undefined : answer;
}

/** The errno of socket(2). */
export function errnoOfSocket(family: number, type: number, protocol: number): string | undefined {
  return errnoOf(`socket.socket(${family}, ${type}, ${protocol}).close()`);
}
