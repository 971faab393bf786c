// Figures of the daemon over the time this page has been open, as far back as an hour.
const HOUR = 3_600_000;
const STEP = 5000; // ms between two that are kept

/** `{at, age, reserved}`: seconds the oldest in the queue has waited, and bytes set aside for what runs. */
export const past = [];

export function remember({ queue, disk }) {
  const at = Date.now();
  if (at - (past.at(-2)?.at ?? 0) < STEP) past.pop(); // the newest one stands for now
  past.push({ at, age: queue.oldest_seconds ?? 0, reserved: disk?.reserved_bytes ?? 0 });
  while (past[0].at < at - HOUR) past.shift();
}
