// The empty program: a module, as the others are, that imports nothing.

// oxlint-disable-next-line unicorn/require-module-specifiers -- it exports nothing, too
export {};
