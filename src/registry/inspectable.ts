// How objects of the package are shown: by console.log(), as a string and as JSON.
//
// For each class, makeDescribable() registers a function that returns the fields of an instance: plain values, without
// data of peers and without secrets. This file makes all three forms from these fields. The function must work in every
// state of the object, even after close(). If the function throws all the same, the description has only the kind,
// because showing an object must not fail.
//
// The function is stored in a property of the prototype (`Mark`). So making an object costs nothing extra.

/** The key of the method that `util.inspect()` and `console.log()` call; see {@link Inspectable}. */
export const INSPECT: unique symbol = Symbol.for("nodejs.util.inspect.custom");

/** A value of a description. */
export type DescribedValue =
  | string
  | number
  | boolean
  | null
  | readonly string[]
  | { readonly [name: string]: DescribedValue | undefined };

/** The fields that describe an object. Their names and types are documented in docs/looking.md. */
export interface Description {
  /** The name of the class. */
  readonly kind: string;
}

/** The fields of a description without its kind. */
export type Fields<D extends Description> = Omit<D, "kind">;

/** The value at the key MARK of a prototype. */
interface Mark {
  readonly kind: string;
  /** Returns the fields of an instance. */
  readonly fieldsOf: (object: object) => object;
}

const MARK: unique symbol = Symbol("berkeley.description");

/**
 * Registers how the instances of a class are described.
 *
 * @param kind the name of the class
 */
export function makeDescribable<T extends object, D extends Description>(
  prototype: T,
  kind: D["kind"],
  fieldsOf: (object: T) => Fields<D>,
): void {
  Object.defineProperty(prototype, MARK, { value: { kind, fieldsOf } });
}

function markOf(object: unknown): Mark | undefined {
  if (typeof object !== "object" || object === null) return undefined;
  return (object as { readonly [MARK]?: Mark })[MARK];
}

/** Whether an object has a description. Makes no system call. */
export const isDescribable = (object: unknown): boolean => markOf(object) !== undefined;

/** The description of an object; undefined if its class is not describable. Never throws. */
export function describe(object: unknown): Description | undefined {
  let mark: Mark | undefined;
  try {
    mark = markOf(object);
    if (mark === undefined) return undefined;
    const { kind } = mark;
    // The first `kind` puts that key before the others. The last `kind` replaces that of the fields: a class may return
    // the description of another object as its fields.
    return Object.assign({ kind }, mark.fieldsOf(object as object), { kind });
  } catch {
    // fieldsOf() throws for a prototype, for a Proxy, and if a system call fails.
    return mark === undefined ? undefined : { kind: mark.kind };
  }
}

/** A description as one line: `Socket { fd: 5, … }`. */
export function lineOf(description: Description): string {
  const { kind, ...fields } = description;
  return `${kind} ${textOfFields(fields)}`;
}

function textOfFields(fields: object): string {
  const parts = Object.entries(fields as Readonly<Record<string, DescribedValue | undefined>>)
    .filter(([, value]) => value !== null && value !== undefined && !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => `${name}: ${textOf(value as DescribedValue)}`);
  return parts.length === 0 ? "{}" : `{ ${parts.join(", ")} }`;
}

function textOf(value: DescribedValue): string {
  if (Array.isArray(value)) return value.map(escape).join(" + ");
  if (typeof value === "object" && value !== null) {
    const { kind, ...fields } = value as { readonly [name: string]: DescribedValue };
    return typeof kind === "string" ? `${kind} ${textOfFields(fields)}` : textOfFields(value);
  }
  return escape(String(value));
}

/** Control characters, line separators, and characters that change the direction of text. */
const UNSAFE = /[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu;

/**
 * Replaces unsafe characters by `\uNNNN`. The line may be printed on a terminal, and a peer chooses some of its text:
 * the name of a UNIX socket.
 */
function escape(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`);
}

/**
 * An object that describes itself. `console.log()`, `util.inspect()` and `String()` give one line, `JSON.stringify()`
 * the same fields as JSON: descriptor, family, type, state, addresses, buffered bytes and pending calls, as far as the
 * object has them. A closed object has a description too. No field has data that was sent or received, or a secret.
 * None of these calls changes the object, waits or throws.
 *
 * @example
 * ```ts
 * import { Socket } from "berkeley";
 *
 * const socket = new Socket();
 * socket.close();
 * console.log(String(socket));
 * // prints: Socket { fd: -1, family: AF_INET, type: SOCK_STREAM, protocol: 0, state: closed, buffered: 0 }
 * console.log(socket.toJSON().state); // prints: closed
 * ```
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters, typescript/no-unsafe-declaration-merging -- see below
export abstract class Inspectable<D extends Description> {
  /** One line, for people. Its form may change; programs use `toJSON()`. */
  toString(): string {
    return lineOf(describe(this) ?? { kind: "Object" });
  }

  /** The fields, for programs and for `JSON.stringify()`. */
  toJSON(): D {
    return (describe(this) ?? { kind: "Object" }) as D;
  }
}

// TypeScript with `isolatedDeclarations` does not allow the key [INSPECT] in a class, but allows it in an interface. So
// the interface declares the method of the class.
// oxlint-disable-next-line no-unused-vars, typescript/no-unsafe-declaration-merging -- the class has this parameter
export interface Inspectable<D extends Description> {
  /** The line of `toString()`, for `console.log()` and `util.inspect()`. */
  [INSPECT](): string;
}

Object.defineProperty(Inspectable.prototype, INSPECT, {
  value(this: object): string {
    return lineOf(describe(this) ?? { kind: "Object" });
  },
});
