// Makes `instanceof` true for errors of another copy of the package.
//
// Each class of errors has a mark on its prototype: a property whose key is a symbol that all copies share.
// `instanceof` checks the mark. A subclass that a user writes has no mark of its own, and its `instanceof` works as
// usual.

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

/** Sets the mark of a class, and makes its `instanceof` check the mark. */
export function mark(errorClass: { readonly name: string; readonly prototype: object }): void {
  const symbol = MARKS[errorClass.name]!;
  Object.defineProperty(errorClass.prototype, symbol, { value: true });
  Object.defineProperty(errorClass, Symbol.hasInstance, {
    value(this: unknown, error: unknown): boolean {
      // A subclass inherits this function.
      if (this !== errorClass) return ordinaryHasInstance.call(this, error);
      return typeof error === "object" && error !== null && symbol in error;
    },
  });
}
