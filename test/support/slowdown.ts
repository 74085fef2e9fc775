/**
 * How many times longer than usual a program may take before the support of the tests ends it. scripts/arm64.mjs sets
 * the variable for the emulator.
 */
export const SLOWDOWN: number = Number(process.env["BERKELEY_TEST_SLOWDOWN"] ?? 1);
