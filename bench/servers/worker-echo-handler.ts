// The handler of worker-echo-berkeley.ts. It burns CPU for each message before it echoes.

import type { Stream } from "berkeley";

import { BUFFER_SIZE } from "../lib/serving.js";

let iterations = 0;

/** `data` is the number of iterations of the loop in `burn()`. */
export function setup({ data }: { readonly data: unknown }): void {
  iterations = data as number;
}

/** Burns CPU. The caller must use the result, or the compiler could remove the loop. */
function burn(): number {
  let state = 1;
  for (let i = 0; i < iterations; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
  }
  return state;
}

export default async function echo(stream: Stream): Promise<void> {
  const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
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
