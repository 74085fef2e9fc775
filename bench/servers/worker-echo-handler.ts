// The handler of worker-echo-berkeley.ts: it echoes, and burns CPU before each answer if the server says so.

import type { Stream } from "berkeley";

let turns = 0;

/** @param worker `data` is the number of turns of a loop for each message */
export function setup({ data }: { readonly data: unknown }): void {
  turns = data as number;
}

/** The result must be used, or the compiler would drop the loop. */
function burn(): number {
  let state = 1;
  for (let i = 0; i < turns; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
  }
  return state;
}

export default async function echo(stream: Stream): Promise<void> {
  const buffer = Buffer.allocUnsafe(4096);
  let data = buffer;
  for (;;) {
    const count = await stream.read(buffer);
    if (count === 0) return;
    if (burn() === 0) throw new Error("a xorshift generator never reaches 0");
    if (data.length !== count) data = buffer.subarray(0, count);
    const taken = stream.tryWrite(data);
    if (taken < count) await stream.write(data.subarray(taken));
  }
}
