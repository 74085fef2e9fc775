// The empty program: a module without imports.

// oxlint-disable-next-line unicorn/require-module-specifiers -- it exports nothing, too
export {};
