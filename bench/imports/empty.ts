// The empty program: a module, as the others are, that imports nothing.

export {};
