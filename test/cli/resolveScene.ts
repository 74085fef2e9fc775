// The attempts of connect() to a name whose addresses all refuse, and the output of the command `resolve` for the same
// name.
import { spawnSync } from "node:child_process";
import { connect, type SocketError } from "berkeley";

const [main = ""] = process.argv.slice(2);

async function attempts(name: string): Promise<(string | undefined)[]> {
  try {
    await connect({ scheme: "tcp", host: name, port: 9 });
    return [];
  } catch (error) {
    const cause = (error as SocketError).cause as AggregateError | undefined;
    return (cause?.errors ?? [error]).map((one: SocketError) => one.address);
  }
}

const result: Record<string, unknown> = {};
for (const name of ["many", "six", "one"]) {
  const { stdout } = spawnSync(process.execPath, [main, "resolve", name, "--json"], { encoding: "utf8" });
  const answers = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
  result[name] = { attempts: await attempts(name), answers };
}
console.log(JSON.stringify(result));
