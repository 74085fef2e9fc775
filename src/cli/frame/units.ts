// Formats sizes, rates and times.

const SIZES = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** A number of bytes in units of 1000: `999 B`, `1.50 kB`, `104 MB`. */
export function formatBytes(count: number): string {
  let value = count;
  let unit = 0;
  // 999.5 B would be printed as 1000 B, so it is printed as 1.00 kB.
  while (value >= 999.5 && unit < SIZES.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : threeDigits(value)} ${SIZES[unit]}`;
}

/** Bytes per second. */
export function formatRate(bytes: number, milliseconds: number): string {
  return milliseconds <= 0 ? "-" : `${formatBytes((bytes * 1000) / milliseconds)}/s`;
}

/**
 * A time: `850 µs`, `12.3 ms`, `4.20 s`, `2:05`, `1:00:00`. Each limit below is the shortest time that would be rounded
 * to the next unit.
 */
export function formatTime(milliseconds: number): string {
  if (milliseconds < 0.9995) return `${Math.round(milliseconds * 1000)} µs`;
  if (milliseconds < 999.5) return `${threeDigits(milliseconds)} ms`;
  if (milliseconds < 59_950) return `${threeDigits(milliseconds / 1000)} s`;
  return formatClock(milliseconds);
}

/** A time as minutes and seconds; from an hour on, with hours. */
export function formatClock(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60] as const;
  const twoDigits = (number: number): string => String(number).padStart(2, "0");
  return h > 0 ? `${h}:${twoDigits(m)}:${twoDigits(s)}` : `${m}:${twoDigits(s)}`;
}

/** A number and its noun: `1 byte`, `2 bytes`. */
export function plural(count: number, one: string, many: string = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A number below 999.5 with three digits. 99.95 would be rounded to 100.0, and 9.995 to 10.00. */
function threeDigits(value: number): string {
  if (value >= 99.95) return value.toFixed(0);
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}
