// How objects of the package are shown: by console.log(), as a string and as JSON.
//
// Each kind of object has one function that describes it: plain fields, without data of peers and without secrets. The
// three forms are made from these fields, in this file only. A function describes an object in any state, also a closed
// one. If it throws all the same, the description has only the kind: looking at an object must not fail.
//
// The mark is on the prototype and not in the object, so it costs nothing when an object is made.

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

interface Mark {
  readonly kind: string;
  readonly fieldsOf: (object: object) => object;
}

const MARK: unique symbol = Symbol("berkeley.description");

/** Sets how the instances of a class are described. */
export function describable<T extends object, D extends Description>(
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

/** The description of an object; undefined if it has no mark. Never throws. */
export function describe(object: unknown): Description | undefined {
  let mark: Mark | undefined;
  try {
    mark = markOf(object);
    if (mark === undefined) return undefined;
    const { kind } = mark;
    // The fields may come from the description of another object, with its kind.
    return Object.assign({ kind }, mark.fieldsOf(object as object), { kind });
  } catch {
    // A prototype, an object around ours, or a failure of a system call.
    return mark === undefined ? undefined : { kind: mark.kind };
  }
}

/** A description as one line. */
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

/** Control characters, and those that change the direction of text. */
const UNSAFE = /[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu;

/** A peer chooses the name of its UNIX socket, so control characters must not reach a terminal. */
function escape(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`);
}

/**
 * An object that can be looked at. `console.log()`, `util.inspect()` and `String()` give one line, `JSON.stringify()` the
 * same fields as JSON: descriptor, family, type, state, addresses, buffered bytes and pending calls, as far as the object
 * has them. A closed object gives its last state. No field has data that was sent or received, or a secret. None of these
 * calls changes the object, waits or throws.
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

// Declarations of single files allow this name in an interface, and not in a class. So the interface declares the method
// of the class.
// oxlint-disable-next-line no-unused-vars, typescript/no-unsafe-declaration-merging -- both have the same parameters
export interface Inspectable<D extends Description> {
  /** The line of `toString()`, for `console.log()` and `util.inspect()`. */
  [INSPECT](): string;
}

Object.defineProperty(Inspectable.prototype, INSPECT, {
  value(this: object): string {
    return lineOf(describe(this) ?? { kind: "Object" });
  },
});
