// Parts of the list of jobs: each is one query of the API in one order, read page by page and kept in step by events.
import { get, Problem } from "./api.js";

const PAGE = 100;

const newest = (one, other) => (one.created_at < other.created_at ? 1 : one.created_at > other.created_at ? -1 : 0);
const upcoming = (one, other) => other.priority - one.priority || -newest(one, other);

export class Segment {
  items = [];
  problem = null;

  #cursor; // undefined: nothing read yet; null: all of it is read
  #reading = null;

  /** `query` are the API's filters, `holds` says whether a job belongs here. `preview` shows only so many. */
  constructor({ id, heading, query, holds, order = newest, preview = Infinity }) {
    Object.assign(this, { id, heading, query, holds, order, preview });
  }

  get complete() {
    return this.#cursor === null;
  }

  get wantsMore() {
    return typeof this.#cursor === "string" && !this.#reading && !this.problem && this.items.length < this.preview;
  }

  /** Reads one more page; true when that changed anything. */
  async read(known) {
    this.#reading ??= this.#readPage(known).finally(() => (this.#reading = null));
    return this.#reading;
  }

  async #readPage(known) {
    const query = new URLSearchParams(this.query);
    query.set("limit", Math.min(PAGE, this.preview + 1)); // the one after the last shown tells where a move ends
    if (this.#cursor) query.set("cursor", this.#cursor);
    try {
      const page = await get(`api/jobs?${query}`);
      const here = new Set(this.items.map((job) => job.id));
      for (const job of page.items) {
        if (here.has(job.id)) continue;
        Object.assign(job, known.get(job.id)?.pending);
        known.set(job.id, job);
        this.items.push(job);
      }
      this.#cursor = page.next_cursor;
      this.problem = null;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.problem = error;
    }
    return true;
  }

  /** Puts a job where it belongs now, or takes it out. Beyond what is read it is left for the page it is on. */
  place(job) {
    this.drop(job.id);
    if (!this.holds(job) || this.#cursor === undefined) return;
    const at = this.items.findIndex((other) => this.order(job, other) < 0);
    if (at >= 0) this.items.splice(at, 0, job);
    else if (this.complete) this.items.push(job);
  }

  drop(id) {
    const at = this.items.findIndex((job) => job.id === id);
    if (at >= 0) this.items.splice(at, 1);
  }
}

const query = (status) => [["status", status]];
const is = (...statuses) => (job) => statuses.includes(job.status);

const RUNNING = { id: "running", heading: "Running", query: query("processing"), holds: is("processing") };
const WAITING = {
  id: "waiting",
  heading: "Waiting, in the order they will start",
  query: [...query("queued"), ["order", "upcoming"]],
  holds: is("queued"),
  order: upcoming,
};
const ENDED = {
  id: "ended",
  heading: "Ended, newest first",
  query: [["ended", "true"]],
  holds: is("completed", "failed", "cancelled"),
};
const one = (id, heading, status) => [{ id, heading, query: query(status), holds: is(status) }];

/** Jobs of which something failed, whatever becomes of the rest. */
export const FAILED = [["has", "failed"]];

/** What each filter of the queue shows. */
export const FILTERS = {
  all: { name: "All", parts: [RUNNING, { ...WAITING, preview: 5 }, ENDED] },
  running: { name: "Running", status: "processing", count: "processing", parts: [RUNNING] },
  waiting: { name: "Waiting", status: "queued", count: "queued", parts: [WAITING] },
  paused: {
    name: "Paused",
    count: "paused",
    parts: [
      {
        id: "paused",
        heading: "Paused",
        query: [["paused", "true"]],
        holds: (job) => job.paused && (job.status === "queued" || job.status === "processing"),
      },
    ],
  },
  failed: {
    name: "Failed",
    hint: "Jobs of which something failed; what is done for the rest is counted there, too",
    status: "failed",
    count: "failed",
    parts: [
      {
        id: "failed",
        heading: "With something that failed",
        query: FAILED,
        holds: (job) => job.failed_variations > 0,
      },
    ],
  },
  done: { name: "Done", status: "completed", count: "completed", parts: one("done", "Done", "completed") },
  cancelled: { name: "Cancelled", status: "cancelled", count: "cancelled", parts: one("cancelled", "Cancelled", "cancelled") },
};

const named = (job) => (job.name ?? job.first_source ?? "").replace(/[A-Z]/g, (letter) => letter.toLowerCase()); // as the daemon folds it
const RANKS = ["processing", "queued", "failed", "cancelled", "completed"];
const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

/** In what order jobs may be listed, and how that is said. */
export const ORDERS = {
  usual: { name: "as they run" },
  name: { name: "by name", order: (one, other) => compare(named(one), named(other)) || -newest(one, other) },
  size: { name: "by size", order: (one, other) => other.source_bytes - one.source_bytes || newest(one, other) },
  state: { name: "by state", order: (one, other) => RANKS.indexOf(one.status) - RANKS.indexOf(other.status) || newest(one, other) },
  newest: { name: "newest first", order: newest },
};

/** Whether a filter's jobs may be listed in an order of one's choice. */
export const orderable = (filter, search) => filter !== "paused" && !search;

/** All that the filter shows, as one list. */
function inOrder(filter, order) {
  const { name, parts } = FILTERS[filter];
  const query = parts.length > 1 ? [] : parts[0].query.filter(([key]) => key !== "order");
  const holds = (job) => parts.some((part) => part.holds(job));
  return new Segment({ id: "ordered", heading: `${name}, ${ORDERS[order].name}`, query: [...query, ["order", order]], holds, order: ORDERS[order].order });
}

/** The parts a filter shows; with a search, newest first and whole. */
export function segments(filter, search, order = "usual") {
  if (order !== "usual" && orderable(filter, search)) return [inOrder(filter, order)];
  return FILTERS[filter].parts.map((part) => {
    if (!search) return new Segment(part);
    const found = [...part.query.filter(([name]) => name !== "order"), ["q", search]];
    const here = (job) => part.holds(job) && matches(job, search);
    return new Segment({ ...part, query: found, holds: here, order: newest, preview: Infinity });
  });
}

function matches(job, search) {
  const words = search.toLowerCase();
  return [job.name, job.first_source].some((name) => name?.toLowerCase().includes(words));
}
