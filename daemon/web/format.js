// Numbers and times in words.
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const whole = new Intl.NumberFormat("en");

export const number = (value) => whole.format(value);

/** A count with its noun: "1 file", "3 files". */
export const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

export function bytes(value) {
  if (value == null) return "–";
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  const scaled = value / 1000 ** power;
  return `${power && scaled < 100 ? scaled.toFixed(1) : Math.round(scaled)} ${UNITS[power]}`;
}

/** Seconds as a person would say them: "8 s", "3 min 20 s", "2 h 5 min", "3 days". */
export function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s % 60 ? ` ${s % 60} s` : ""}`;
  if (s < 172800) return `${Math.floor(s / 3600)} h${Math.floor(s / 60) % 60 ? ` ${Math.floor(s / 60) % 60} min` : ""}`;
  return `${Math.round(s / 86400)} days`;
}

/** A duration nobody knows to the second: from ten minutes on without them. */
export const roughly = (seconds) => duration(seconds >= 600 ? Math.round(seconds / 60) * 60 : seconds);

/** The time of day something `seconds` ahead happens, with the day when that is not today. */
export function clock(seconds, from = Date.now()) {
  const then = new Date(from + seconds * 1000);
  const today = then.toDateString() === new Date(from).toDateString();
  const style = today ? { timeStyle: "short" } : { weekday: "short", hour: "2-digit", minute: "2-digit" };
  return new Intl.DateTimeFormat(undefined, style).format(then);
}

/** How long ago a time was, roughly; the exact time belongs in a title. */
export function ago(time) {
  const seconds = (Date.now() - new Date(time)) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium" }).format(new Date(time));
}

export const exact = (time) => (time ? new Date(time).toLocaleString() : "");
export const percent = (value) => (value == null ? "" : `${Math.floor(value)} %`);
export const speed = (value) => (value == null ? "" : `${value < 10 ? value.toFixed(value < 1 ? 2 : 1) : Math.round(value)}×`);

/** A job's name, or its files'. */
export function title(job) {
  if (job.name) return job.name;
  const first = job.first_source ?? job.sources?.[0]?.name ?? "…";
  const more = (job.total_sources ?? job.sources?.length ?? 1) - 1;
  return more > 0 ? `${first} and ${number(more)} more` : first;
}

export const SOUNDS = /\.(mp3|m4a|mka|opus|ogg|flac|aac|wav)$/i;

/** Whether there is a thumbnail of a source; null when nobody has looked into the file yet. */
export function hasPicture(source) {
  if (source.error) return false;
  return source.media ? source.media.video !== null : null;
}

export const STATES = {
  queued: "waiting",
  processing: "running",
  completed: "done",
  failed: "failed",
  cancelled: "cancelled",
  skipped: "skipped",
};
export const ENDED = new Set(["completed", "failed", "cancelled", "skipped"]);

/** What came of a job of which not all came out: "28 of 36 done, 8 failed". */
export const ending = (job) => `${number(job.completed_variations)} of ${number(job.total_variations)} done${counts(job, "lost", "failed", "cancelled", "skipped")}`;

/** How many of a job's variations there are of each end: ", 3 failed, 1 skipped". */
export function counts(job, ...states) {
  return states.map((state) => (job[`${state}_variations`] ? `, ${number(job[`${state}_variations`])} ${state}` : "")).join("");
}
