// The byte order of this machine.

/** Whether the lowest byte of a number comes first in memory. */
export const LITTLE: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
