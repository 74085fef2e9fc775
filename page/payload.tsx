// The bytes of a call, as text and as hex. They become text nodes, so data of a peer is never interpreted as markup.

import type { JSX } from "preact";

import type { CallReport } from "../src/inspect/protocol.js";
import { byteCountText, fromBase64, hexDump, payloadText } from "./format.js";

export function Payload({ payload }: { readonly payload: NonNullable<CallReport["payload"]> }): JSX.Element {
  const data = fromBase64(payload.base64);
  const isPartial = payload.bytes > data.length;
  return (
    <details class="payload">
      <summary>
        Payload, {byteCountText(payload.bytes)}
        {isPartial && `, the first ${byteCountText(data.length)} recorded`}
      </summary>
      <div class="payload-views">
        <pre class="payload-text" tabIndex={0} role="group" aria-label="Payload as text">
          {payloadText(data).map((piece) => (piece.escaped ? <span class="escape">{piece.text}</span> : piece.text))}
        </pre>
        <pre class="payload-hex" tabIndex={0} role="group" aria-label="Payload as hex">
          {hexDump(data)}
        </pre>
      </div>
    </details>
  );
}
