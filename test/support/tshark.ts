// Runs tshark on captures.
import { spawnSync } from "node:child_process";

const CHECKS = ["tcp.check_checksum", "udp.check_checksum", "ip.check_checksum"].flatMap((name) => [
  "-o",
  `${name}:TRUE`,
]);

function tshark(file: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync("tshark", ["-n", "-r", file, ...CHECKS, ...args], {
    encoding: "utf8",
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new Error(`tshark ${args.join(" ")} failed: ${stderr}`);
  return stdout;
}

/**
 * The packets that are malformed, have a wrong checksum, or have a wrong sequence number in tshark's analysis of TCP.
 */
export function complaints(file: string): string {
  const wrong = [
    "_ws.malformed",
    ...["tcp", "udp", "ip"].map((name) => `${name}.checksum.status == "Bad"`),
    ...["lost_segment", "out_of_order", "retransmission", "ack_lost_segment", "window_full", "zero_window"].map(
      (name) => `tcp.analysis.${name}`,
    ),
  ];
  return tshark(file, ["-Y", wrong.join(" || ")]);
}

/**
 * The bytes of both directions of a TCP connection, from tshark's "follow". `stream` is the number of the connection.
 */
export function follow(file: string, stream: number = 0): { readonly client: Buffer; readonly server: Buffer } {
  const text = tshark(file, ["-q", "-z", `follow,tcp,raw,${stream}`]);
  const sides: Record<"client" | "server", Buffer[]> = { client: [], server: [] };
  for (const line of text.split("\n")) {
    // tshark indents the bytes of the server.
    if (/^\t[\da-f]+$/.test(line)) sides.server.push(Buffer.from(line.trim(), "hex"));
    else if (/^[\da-f]+$/.test(line)) sides.client.push(Buffer.from(line, "hex"));
  }
  return { client: Buffer.concat(sides.client), server: Buffer.concat(sides.server) };
}

/** The values of the fields `names` in each packet that matches `filter`. */
export function fields(file: string, names: readonly string[], filter: string = ""): string[][] {
  const which = filter === "" ? [] : ["-Y", filter];
  const text = tshark(file, [...which, "-T", "fields", ...names.flatMap((name) => ["-e", name])]);
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => line.split("\t"));
}
