// Each class of errors has a mark by which `instanceof` recognises the errors of another copy of the package.

// An error of another copy of the package is one all the same: each class has a mark, under a symbol that all copies share, and
// `instanceof` looks for that. Subclasses of users have none of their own, and are looked for as always.
const MARKS: Readonly<Record<string, symbol>> = Object.fromEntries(
  ["SocketError", "TimeoutError", "BusyError", "LimitError", "IncompleteReadError", "FrameError", "TlsError"].map(
    (name) => [name, Symbol.for(`berkeley.${name}`)],
  ),
);

// oxlint-disable-next-line typescript/unbound-method -- it is called with the class that is asked
const ordinary = Function.prototype[Symbol.hasInstance];

/** Gives a class its mark. */
export function mark(own: { readonly name: string; readonly prototype: object }): void {
  const symbol = MARKS[own.name]!;
  Object.defineProperty(own.prototype, symbol, { value: true });
  Object.defineProperty(own, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      if (this !== own) return ordinary.call(this, value);
      return typeof value === "object" && value !== null && symbol in value;
    },
  });
}
