// Small components that several views use.

import type { ComponentChildren, JSX } from "preact";

import type { Finding } from "../src/inspect/protocol.js";
import { visible } from "./format.js";

/** The style class for the color of a state. */
function toneOf(state: string): string {
  if (state === "ESTABLISHED" || state === "connected") return "good";
  if (state === "LISTEN" || state === "listening") return "listen";
  if (state === "CLOSE" || state === "closed") return "off";
  if (state === "open" || state === "bound") return "plain";
  return "change";
}

export function StatePill({ state }: { readonly state: string }): JSX.Element {
  return <span class={`pill ${toneOf(state)}`}>{visible(state)}</span>;
}

const KIND_TITLES: Readonly<Record<Finding["kind"], string>> = {
  leak: "Leak",
  idle: "Idle",
  stalled: "Stalled",
  overflow: "Overflow",
  busy: "Busy",
};

export function FindingText({ finding }: { readonly finding: Finding }): JSX.Element {
  return (
    <span class="finding">
      <b>{KIND_TITLES[finding.kind] ?? finding.kind}</b> {visible(finding.text)}
    </span>
  );
}

export function Notice(props: {
  readonly tone: "info" | "warn" | "bad";
  readonly title: string;
  readonly children?: ComponentChildren;
}): JSX.Element {
  return (
    <div class={`notice ${props.tone}`}>
      <b>{props.title}</b> {props.children}
    </div>
  );
}

/** The text of a view that has nothing to show. */
export function Empty(props: { readonly title: string; readonly children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{props.title}</p>
      {props.children}
    </div>
  );
}
