// What the page knows of the queue: the lists on show, jobs in detail, counts; kept true by the event stream.
import { Observable } from "./html.js";
import { get, jobPath, Problem } from "./api.js";
import { events } from "./events.js";
import { ENDED, hasPicture } from "./format.js";
import { remember } from "./recent_stats.js";
import { segments } from "./list_sections.js";

const SETTLE = 250; // ms in which changes gather before something is asked anew
const MANY = 20; // unknown jobs in that time, after which the list is read anew

class Queue extends Observable {
  filter = "all";
  search = "";
  order = "usual";
  parts = segments("all", "");
  state = "running"; // of the whole queue
  schedule = null; // what its schedule says, if it has one
  slots = null; // encodes that may run at once
  counts = null; // jobs by status, and `paused` ones
  stopping = new Set(); // ids of what was asked to end and has not yet

  #known = new Map();
  #strange = new Set();
  #settling = null;
  #generation = 0;

  start() {
    events.on("open", ({ resumed }) => (resumed ? this.#recount() : this.reload()));
    events.on("reset", () => this.reload());
    events.on("job", (change) => this.#change(change));
    events.on("variation", ({ job, status }) => status === "failed" && this.#reread(job));
    events.on("delivery", ({ job, status }) => (status === "failed" || this.get(job)?.deliveries?.failed) && this.#reread(job));
    events.on("deleted", ({ id }) => this.#drop(id));
    events.on("queue", ({ state }) => (this.#set({ state }), this.#recount())); // slots changed, perhaps
  }

  show(filter, search = "", order = this.order) {
    if (filter === this.filter && search === this.search && order === this.order) return;
    this.#set({ filter, search, order });
    this.reload();
  }

  /** Reads the lists anew; what is on show stays until the answer is here. */
  async reload() {
    const generation = ++this.#generation;
    const parts = segments(this.filter, this.search, this.order);
    this.#recount();
    await Promise.all(parts.map((part) => part.read(this.#known)));
    if (generation === this.#generation) this.#set({ parts });
  }

  /** Reads on in the first part that is not all here. */
  async more() {
    const part = this.parts.find((part) => part.wantsMore);
    if (part && (await part.read(this.#known))) this.changed();
  }

  retry() {
    this.parts.forEach((part) => (part.problem = null));
    this.more();
    this.changed();
  }

  get(id) {
    return this.#known.get(id);
  }

  /** Changes a job before the daemon has said so, or after it did. */
  patch(id, change) {
    const job = this.#known.get(id);
    if (!job) return;
    Object.assign(job, change);
    this.parts.forEach((part) => part.place(job));
    this.changed();
  }

  /** Notes that these are being stopped; call the answer once that is over. */
  stops(items) {
    const note = (how) => {
      for (const { id } of items) this.stopping[how](id);
      this.changed();
    };
    note("add");
    return () => note("delete");
  }

  #set(change) {
    Object.assign(this, change);
    this.changed();
  }

  #change(change) {
    if (this.#known.has(change.id)) {
      const job = this.#known.get(change.id);
      const turned = ENDED.has(job.status) !== ENDED.has(change.status);
      this.patch(change.id, change);
      if (turned || change.status === "processing") this.#strange.add(change.id); // times, counters and usage changed too
    } else this.#strange.add(change.id);
    this.#settle();
  }

  #drop(id) {
    this.#known.delete(id);
    this.#strange.delete(id);
    this.parts.forEach((part) => part.drop(id));
    this.changed();
    this.#settle();
  }

  #reread(id) {
    this.#strange.add(id);
    this.#settle();
  }

  #settle() {
    this.#settling ??= setTimeout(async () => {
      const strange = [...this.#strange];
      this.#strange.clear();
      if (strange.length > MANY) await this.reload();
      else await Promise.all([this.#recount(), ...strange.map((id) => this.refresh(id))]);
      this.#settling = null;
      if (this.#strange.size) this.#settle();
    }, SETTLE);
  }

  /** Reads one job anew. */
  async refresh(id) {
    try {
      const { sources, ...job } = await get(jobPath(id));
      Object.assign(job, { first_source: sources[0].name, total_sources: sources.length, source_bytes: sources.reduce((sum, { bytes }) => sum + bytes, 0), has_picture: hasPicture(sources[0]) });
      const known = this.#known.get(id);
      this.#known.set(id, known ? Object.assign(known, job) : job);
      this.parts.forEach((part) => part.place(this.#known.get(id)));
      this.changed();
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // gone, or the stream will tell when the daemon is back
    }
  }

  async #recount() {
    try {
      const [stats, { state, slots, schedule }] = await Promise.all([get("api/stats"), get("api/queue")]);
      remember(stats);
      this.#set({ counts: { ...stats.jobs, paused: stats.queue.paused_jobs, failed: stats.queue.jobs_with_failures }, state, slots, schedule });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }
}

export const queue = new Queue();

/** One job in detail, followed while somebody looks at it. */
export class Detail extends Observable {
  job = null;
  problem = null;

  #stops = [];
  #variations = new Map();
  #timer = null;

  constructor(id) {
    super();
    this.id = id;
  }

  follow() {
    const mine = (handle) => (data) => (data.job ?? data.id) === this.id && handle(data);
    this.#stops = [
      events.on("variation", mine((change) => this.#change(change))),
      events.on("progress", mine((change) => this.#progress(change))),
      events.on("job", mine((change) => this.#changeJob(change))),
      events.on("delivery", mine(() => this.#readSoon())),
      events.on("source", mine(() => this.#readSoon())),
      events.on("fetching", mine((change) => this.#fetching(change))),
      events.on("deleted", mine(() => this.#fail(new Problem(404, "not_found", "This job was deleted.")))),
      events.on("open", () => this.read()),
      events.on("reset", () => this.read()),
    ];
    this.read();
  }

  leave() {
    this.#stops.forEach((stop) => stop());
    clearTimeout(this.#timer);
  }

  async read() {
    clearTimeout(this.#timer);
    this.#timer = null;
    try {
      this.job = await get(jobPath(this.id));
      this.problem = null;
      const all = this.job.sources.flatMap((source) => source.variations);
      this.#variations = new Map(all.map((variation) => [variation.id, variation]));
      this.changed();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status) this.#fail(error);
    }
  }

  #fail(problem) {
    this.problem = problem;
    clearTimeout(this.#timer); // there is nothing to be read any more
    this.changed();
  }

  #patch(id, { job: _, id: __, source: ___, ...change }) {
    const variation = this.#variations.get(id);
    if (!variation) return;
    Object.assign(variation, change);
    this.changed();
  }

  #progress(change) {
    this.#patch(change.id, change);
    const unread = ({ media, error, status }) => !media && !error && status !== "fetching";
    if (this.job?.sources.some(unread)) this.#readSoon(); // it has been probed since
  }

  #fetching({ id, bytes, bytes_fetched, speed: fetch_speed }) {
    const source = this.job?.sources.find((one) => one.id === id);
    if (!source) return;
    Object.assign(source, { bytes, bytes_fetched, fetch_speed });
    this.changed();
  }

  #change(change) {
    const ended = ENDED.has(change.status);
    const progress = change.status === "completed" ? 100 : 0;
    this.#patch(change.id, { ...change, progress, eta_seconds: ended ? 0 : null, speed: null });
    this.#readSoon();
  }

  #changeJob({ type: _, ...change }) {
    if (this.job) Object.assign(this.job, change);
    this.changed();
    this.#readSoon();
  }

  /** The larger the job, the longer changes gather before all of it is read again. */
  #readSoon() {
    this.#timer ??= setTimeout(() => this.read(), SETTLE + 4 * this.#variations.size);
  }
}

const followed = new Map(); // id → {detail, watchers}

/** The job's detail, shared by all who look at it; call the second to let go. */
export function watch(id) {
  const entry = followed.get(id) ?? { detail: new Detail(id), watchers: 0 };
  if (!entry.watchers++) entry.detail.follow();
  followed.set(id, entry);
  return [entry.detail, () => unwatch(id, entry)];
}

function unwatch(id, entry) {
  if (--entry.watchers) return;
  entry.detail.leave();
  followed.delete(id);
}

/** Live progress of a job from its variations: percent, speed and seconds left, as the daemon reckons them. */
export function outlook(job) {
  let weight = 0;
  let done = 0;
  let left = 0;
  let speed = 0;
  let longest = 0;
  let live = false;
  for (const source of job.sources) {
    const lasts = source.media?.duration_seconds;
    for (const variation of source.variations) {
      if (variation.status === "processing") {
        speed += variation.speed ?? 0;
        longest = Math.max(longest, variation.eta_seconds ?? 0);
      }
      if (variation.status === "failed" || variation.status === "skipped") continue;
      if (variation.progress == null && lasts == null) weight = done = NaN; // of a sheet alone nobody knows how far it is
      const work = variation.work ?? lasts ?? 1;
      weight += work;
      done += (work * (variation.progress ?? 0)) / 100;
      live ||= !ENDED.has(variation.status);
      if (!ENDED.has(variation.status)) left += (lasts ?? NaN) * (1 - (variation.progress ?? 0) / 100);
    }
  }
  const seconds = Math.max(left / speed, longest); // what runs slowly ends last, however fast the others are
  return {
    progress: weight ? Math.min((100 * done) / weight, live ? 99.9 : 100) : weight === 0 ? 0 : null,
    speed: speed || null,
    eta_seconds: Number.isFinite(seconds) ? seconds : null,
  };
}
