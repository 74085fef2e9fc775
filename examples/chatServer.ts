import type { Stream } from "berkeley";
import { serve } from "berkeley/server";

const members = new Map<string, Stream>();

/** Sends a line to all members but one. A member that does not read is disconnected when its outbox is full. */
function tell(line: string, sender?: string): void {
  for (const [name, member] of members) {
    if (name !== sender) member.write(`${line}\n`).catch(() => member.abort());
  }
}

const server = await serve(
  `tcp://0.0.0.0:${process.argv[2] ?? 8888}`,
  async (stream, { draining }) => {
    let nickname = "";
    try {
      await stream.write("Your nickname?\n");
      nickname = (await stream.readLine({ signal: draining, max: 20, timeout: 30_000 })) ?? "";
      if (!/^\w+$/.test(nickname)) await stream.write("Letters and digits only\n");
      else if (members.has(nickname)) await stream.write("This nickname is taken\n");
      else {
        members.set(nickname, stream);
        tell(`* ${nickname} is here`);
        for await (const line of stream.lines({ signal: draining, max: 1000 })) tell(`${nickname}: ${line}`, nickname);
      }
    } catch (error) {
      if (!draining.aborted) throw error;
      await stream.write("* The server stops\n");
    } finally {
      if (members.get(nickname) === stream) {
        members.delete(nickname);
        tell(`* ${nickname} is gone`);
      }
    }
  },
  { maxConnections: 100, maxConnectionsPerAddress: 5, idleTimeout: 600_000, onError: () => undefined },
);
server.shutdownOn(["SIGTERM", "SIGINT"], { timeout: 5_000 });
console.log(`The chat is at ${server.address}`);
