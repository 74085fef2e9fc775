/** Packages that the bundled command line has in it: each is a chunk of its own, which begins with its licence. */
export const BUNDLED = ["commander"];
