// Makes the same lookups with Python's socket module and with ours, so that the results can be compared.
import { spawnSync } from "node:child_process";
import * as berkeley from "berkeley";
import * as blocking from "#berkeley/netdb/blockingNames.js";

/** The name of a function, the same in both, and its arguments in Python's order. `{ hex }` represents bytes. */
export type Question = readonly [name: string, ...args: unknown[]];

/** A result, or `{ refused: why }`: an EAI_ code, an errno's name, or "refused" where Python's error has no number. */
export type Answer = unknown;

const PYTHON = `
import errno, json, socket, sys
EAI = {getattr(socket, name): name for name in dir(socket) if name.startswith("EAI_")}
HERRNO = {1: "EAI_NONAME", 2: "EAI_AGAIN", 3: "EAI_FAIL", 4: "EAI_NODATA"}
def plain(value):
    if isinstance(value, bytes): return {"hex": value.hex()}
    if isinstance(value, (tuple, list)): return [plain(one) for one in value]
    return value
def given(value):
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
def ask(name, *args):
    try: return plain(getattr(socket, name)(*map(given, args)))
    except socket.gaierror as error: return {"refused": EAI[error.errno]}
    except socket.herror as error: return {"refused": HERRNO[error.errno]}
    except OSError as error: return {"refused": errno.errorcode[error.errno] if error.errno else "refused"}
    except (OverflowError, ValueError) as error: return {"refused": "refused"}
json.dump([ask(*question) for question in json.load(sys.stdin)], sys.stdout)
`;

export function askPython(questions: readonly Question[]): Answer[] {
  const { status, stdout, stderr } = spawnSync("python3", ["-c", PYTHON], {
    encoding: "utf8",
    input: JSON.stringify(questions),
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`python3 ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as Answer[];
}

function given(value: unknown): unknown {
  return typeof value === "object" && value !== null && "hex" in value ? Buffer.from(String(value.hex), "hex") : value;
}

/** Converts Python's arguments to ours: the optional ones become an object. */
function ours(name: string, args: readonly unknown[]): unknown[] {
  if (name !== "getaddrinfo") return args.map(given);
  const [host, service, family, type, protocol, flags] = args;
  return [host, service, { family, type, protocol, flags }];
}

function plain(name: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: Buffer.from(value).toString("hex") };
  if (name !== "getaddrinfo") return value;
  return (value as berkeley.AddrInfo[]).map(({ family, type, protocol, canonname, address }) => {
    const { host, port, flowinfo, scopeid } = address as berkeley.InetAddress & berkeley.Inet6Address;
    const sockaddr = family === berkeley.AF_INET ? [host, port] : [host, port, flowinfo, scopeid];
    return [family, type, protocol, canonname, sockaddr];
  });
}

/** A service or an interface that is not there, and text that is no address, have no number in Python. */
const unnumbered = new Set(["ENOENT", "ENODEV"]);

function refusal(error: unknown): Answer {
  if (!(error instanceof berkeley.SocketError)) {
    if (error instanceof TypeError || error instanceof RangeError) return { refused: "refused" };
    throw error;
  }
  return { refused: unnumbered.has(error.code) ? "refused" : error.code };
}

type Call = (...args: unknown[]) => unknown;

export async function askBerkeley(questions: readonly Question[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const [name, ...args] of questions) {
    try {
      const call = (berkeley as unknown as Record<string, Call>)[name]!;
      answers.push(plain(name, await call(...ours(name, args))));
    } catch (error) {
      answers.push(refusal(error));
    }
  }
  return answers;
}

/** The blocking forms of those that have one. */
export function askBlocking(questions: readonly Question[]): Answer[] {
  return questions.map(([name, ...args]) => {
    try {
      return plain(name, (blocking as unknown as Record<string, Call>)[name]!(...ours(name, args)));
    } catch (error) {
      return refusal(error);
    }
  });
}

export const hasBlocking = ([name]: Question): boolean => name in blocking;

/** What differs, and only that: lines of `actual` that are not those of `expected`. */
export function differences(actual: readonly string[], expected: readonly string[]): string[] {
  const count = Math.max(actual.length, expected.length);
  return Array.from({ length: count }, (_, i) => i)
    .filter((i) => actual[i] !== expected[i])
    .map((i) => `${actual[i]}, but Python: ${expected[i]}`);
}

/** Each question beside its answer, so that a difference names the question. */
export function paired(questions: readonly Question[], answers: readonly Answer[]): string[] {
  return questions.map((question, i) => `${JSON.stringify(question)} -> ${JSON.stringify(answers[i])}`);
}
