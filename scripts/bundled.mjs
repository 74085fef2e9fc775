/**
 * The packages that are part of the bundled command line. Each is a chunk of its own, which begins with its licence.
 */
export const BUNDLED = ["commander"];
