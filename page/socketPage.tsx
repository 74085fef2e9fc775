// The page of a socket: its facts, plots, calls and options.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

import type { SocketDetail, SocketReport } from "../src/inspect/protocol.js";
import { ageText, byteCountText, clockTime, plural, shortLine, shortName, visible } from "./format.js";
import { Empty, FindingText, Notice, StatePill } from "./parts.js";
import { Plots } from "./plots.js";
import { Sequence } from "./sequence.js";
import type { State } from "./store.js";

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }): JSX.Element {
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const queueText = (value: number | null): string => (value === null ? "–" : byteCountText(value));

function Facts({ socket, other, now }: { socket: SocketReport; other: SocketReport | null; now: number }): JSX.Element {
  const { received, sent, acceptQueue } = socket;
  return (
    <dl class="facts">
      <Fact name="Descriptor">
        {socket.fd < 0 ? "closed" : socket.fd} {socket.thread === 0 ? "(main thread)" : `(worker ${socket.thread})`}
      </Fact>
      <Fact name="Local">{visible(socket.local ?? "–")}</Fact>
      <Fact name="Peer">{visible(socket.peer ?? "–")}</Fact>
      <Fact name="Other end">
        {other === null ? (
          "not in the table"
        ) : (
          <a href={`#/sockets/${encodeURIComponent(other.id)}`}>
            fd {other.fd}, {visible(other.state)}
          </a>
        )}
      </Fact>
      <Fact name="Age">{ageText(now - socket.since)}</Fact>
      <Fact name="Received">
        {byteCountText(received.bytes)} in {plural(received.calls, "call")}
      </Fact>
      <Fact name="Sent">
        {byteCountText(sent.bytes)} in {plural(sent.calls, "call")}
      </Fact>
      {acceptQueue === null ? (
        <Fact name="Queues">
          receive {queueText(socket.receiveQueue)}, send {queueText(socket.sendQueue)}
        </Fact>
      ) : (
        <Fact name="Accept queue">
          {acceptQueue.length} of {acceptQueue.limit}
        </Fact>
      )}
      <Fact name="Made at">
        {socket.line === null ? "unknown line" : <code title={visible(socket.line)}>{shortLine(socket.line)}</code>}
      </Fact>
      <Fact name="Waits in">
        {socket.pending.length === 0
          ? "no call"
          : socket.pending.map((pending, index) => (
              <span key={index} class="pending">
                <code>{visible(pending.call)}</code> for {ageText(pending.waited)}
                {pending.line !== null && ` at ${shortLine(pending.line)}`}
              </span>
            ))}
      </Fact>
    </dl>
  );
}

function Options({ options }: { readonly options: SocketDetail["options"] }): JSX.Element {
  if (options.length === 0) return <p class="faint">No option is known to differ from that of a new socket.</p>;
  return (
    <div class="table-box" tabIndex={0} role="group" aria-label="Options that differ">
      <table class="plain-table">
        <thead>
          <tr>
            <th scope="col">option</th>
            <th scope="col">value</th>
            <th scope="col">of a new socket</th>
          </tr>
        </thead>
        <tbody>
          {options.map(({ name, value, initial }) => (
            <tr key={name}>
              <th scope="row">
                <code>{visible(name)}</code>
              </th>
              <td>{visible(value)}</td>
              <td class="faint">{visible(initial)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function SocketPage(props: { readonly id: string; readonly state: State; readonly theme: string }): JSX.Element {
  const { id, state, theme } = props;
  const { detail } = state;
  const heading = useRef<HTMLHeadingElement>(null);
  // Until the first event of this socket, the detail may be that of another one.
  const isLoaded = detail !== null && detail.socket.id === id;
  useEffect(() => heading.current?.focus({ preventScroll: true }), [id, isLoaded]);
  if (!isLoaded) {
    return (
      <main class="page" id="main">
        <BackLink />
        {state.gone ? (
          <Empty title="There is no such socket">
            <p>It is closed. The inspector keeps no record of closed sockets.</p>
          </Empty>
        ) : (
          <Empty title="Waiting for the data of the socket" />
        )}
      </main>
    );
  }
  const { socket, other, samples, options } = detail;
  return (
    <main class="page" id="main">
      <BackLink />
      <header class="socket-head">
        <h1 ref={heading} tabIndex={-1}>
          <span class="kind">
            {shortName(socket.family)} {shortName(socket.type)}
          </span>{" "}
          {visible(socket.local ?? "no address")}
          {socket.peer !== null && (
            <>
              {" "}
              <span class="faint" aria-label="to">
                →
              </span>{" "}
              {visible(socket.peer)}
            </>
          )}
        </h1>
        <StatePill state={socket.state} />
      </header>
      {(state.gone || socket.state === "closed") && (
        <Notice tone="info" title="This socket is closed.">
          The page shows it as it was at {clockTime(samples.at(-1)?.time ?? state.time)}.
        </Notice>
      )}
      {socket.findings.map((finding) => (
        <div key={finding.kind} class="notice warn">
          <FindingText finding={finding} />
        </div>
      ))}
      <Facts socket={socket} other={other} now={state.time} />
      <section aria-labelledby="plots-title">
        <h2 id="plots-title">Over time</h2>
        <Plots samples={samples} theme={theme} />
      </section>
      <section aria-labelledby="calls-title">
        <h2 id="calls-title">Calls</h2>
        <Sequence key={id} detail={detail} dropped={state.dropped} />
      </section>
      <section aria-labelledby="options-title">
        <h2 id="options-title">Options that differ</h2>
        <Options options={options} />
      </section>
    </main>
  );
}

function BackLink(): JSX.Element {
  return (
    <p class="back">
      <a href="#/">← All sockets</a>
    </p>
  );
}
