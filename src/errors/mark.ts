// Makes `instanceof` true for errors of another copy of the package.
//
// Each class of errors has a mark on its prototype, under a symbol that all copies share, and `instanceof` checks the
// mark. A subclass of a user has no mark of its own; for it `instanceof` works as usual.

const MARKS: Readonly<Record<string, symbol>> = Object.fromEntries(
  [
    "BerkeleyError",
    "SocketError",
    "TimeoutError",
    "ProxyError",
    "BusyError",
    "BufferedError",
    "LimitError",
    "OutboxFullError",
    "IncompleteReadError",
    "FrameError",
    "TlsError",
    "UpgradeError",
    "WorkerError",
    "AddonError",
  ].map((name) => [name, Symbol.for(`berkeley.${name}`)]),
);

// oxlint-disable-next-line typescript/unbound-method -- it is called with the class as `this`
const ordinaryHasInstance = Function.prototype[Symbol.hasInstance];

/** Gives a class its mark. */
export function mark(own: { readonly name: string; readonly prototype: object }): void {
  const symbol = MARKS[own.name]!;
  Object.defineProperty(own.prototype, symbol, { value: true });
  Object.defineProperty(own, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      if (this !== own) return ordinaryHasInstance.call(this, value);
      return typeof value === "object" && value !== null && symbol in value;
    },
  });
}
