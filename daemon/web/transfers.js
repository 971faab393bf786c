// Files on their way to the daemon, and the jobs that are made of them as they arrive.
//
// What is written down survives a reload, but a browser keeps no file: one that was not all there by then has to be
// chosen again, and goes on where it was.
import { memory, Observable } from "./html.js";
import { call, foreign, Problem, session } from "./api.js";
import { events } from "./events.js";

const AT_ONCE = 2;
const RETRIES = [0, 1000, 3000]; // ms; after them an upload waits for the event stream to be back

const random = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const keyOf = (file) => [file.webkitRelativePath || file.name, file.size, file.lastModified].join("/");

class Transfers extends Observable {
  items = []; // {id, key, name, size, sent, speed, state, words, upload, order, file, found}
  orders = []; // {id, spec, together, problem}

  #uploads = new Map();
  #submitting = false;
  #looking = false;

  start() {
    const kept = memory.get("transfers") ?? { items: [], orders: [] };
    this.orders = kept.orders;
    this.items = kept.items.map((item) => (item.state === "done" ? item : { ...item, state: "missing", speed: 0 }));
    events.subscribe(() => events.state === "live" && this.#goOn());
    session.subscribe(() => session.open && this.#goOn());
    addEventListener("pagehide", () => this.#keep()); // how far each is
    addEventListener("beforeunload", (event) => this.items.some((item) => item.state === "sending") && event.preventDefault());
    this.#goOn();
  }

  /** Files chosen for the next job. They begin to go up at once. */
  get draft() {
    return this.items.filter((item) => item.order === null);
  }

  add(files) {
    for (const file of files) {
      const key = keyOf(file);
      const item = this.items.find((item) => item.key === key);
      if (item && item.state !== "missing") continue;
      if (item) this.#patch(item, { file, state: "waiting" });
      else this.items.push(fresh(file, key));
    }
    this.#pump();
  }

  /** Goes on with a file that a reload has taken from us. False where that is another file. */
  again(item, file) {
    const same = [item.name, item.size].join() === [file.name, file.size].join() && item.key.endsWith(`/${file.lastModified}`);
    if (same) this.#patch(item, { file, state: "waiting" });
    this.#pump();
    return same;
  }

  pause(item) {
    this.#uploads.get(item.id)?.abort();
    this.#patch(item, { state: "paused", speed: 0 });
    this.#pump();
  }

  resume(item) {
    this.#patch(item, { state: item.file ? "waiting" : "missing", words: "" });
    this.#pump();
  }

  /** Lets go of a file; what of it the daemon has is deleted. */
  drop(item) {
    const upload = this.#uploads.get(item.id);
    this.#uploads.delete(item.id);
    this.items = this.items.filter((other) => other !== item);
    if (upload?.url) upload.abort(true).catch(() => {}); // else the daemon forgets it within a day
    else if (item.upload) call("DELETE", `api/uploads/${item.upload}`, { headers: { "Tus-Resumable": "1.0.0" } }).catch(() => {});
    this.orders = this.orders.filter((order) => this.items.some((item) => item.order === order.id));
    this.#keep();
    this.#pump();
  }

  /** Orders jobs of these files of the draft: one of all, or one of each as it arrives. */
  order(spec, together, items) {
    const order = { id: random(), spec: { ...spec, metadata: { batch: random() } }, together, problem: null };
    this.orders.push(order);
    this.items = this.items.filter((item) => item.order !== null || item.state !== "failed");
    for (const item of items) item.order = order.id;
    this.#keep();
    this.#submit();
  }

  retry(order) {
    order.problem = null;
    this.#submit();
  }

  /** Whether jobs of this batch are still to be made. */
  expects(batch) {
    return this.orders.some((order) => order.spec.metadata.batch === batch);
  }

  #goOn() {
    for (const item of this.items) if (item.state === "lost") item.state = "waiting";
    this.#pump();
    this.#submit();
    this.#look();
  }

  #pump() {
    const sending = this.items.filter((item) => item.state === "sending").length;
    const next = this.items.filter((item) => item.state === "waiting").slice(0, Math.max(0, AT_ONCE - sending));
    for (const item of next) this.#send(item);
    this.#keep();
  }

  async #send(item) {
    item.state = "sending";
    const { Upload } = await import("./vendor/tus.mjs");
    let [at, from] = [performance.now(), item.sent];
    const upload = new Upload(item.file, {
      endpoint: new URL("api/uploads", document.baseURI).href,
      metadata: { filename: item.name },
      retryDelays: RETRIES,
      removeFingerprintOnSuccess: true,
      fingerprint: async () => `ffspool ${item.key}`,
      onProgress: (sent) => {
        const passed = (performance.now() - at) / 1000;
        if (passed < 0.25 && sent < item.size) return;
        const speed = Math.max(0, (sent - from) / Math.max(passed, 0.001));
        [at, from] = [performance.now(), sent];
        this.#patch(item, { sent, speed: item.speed ? 0.7 * item.speed + 0.3 * speed : speed });
      },
      onSuccess: () => {
        this.#uploads.delete(item.id);
        this.#patch(item, { state: "done", sent: item.size, speed: 0, upload: upload.url.split("/").pop(), file: null });
        this.#pump();
        this.#submit();
        this.#look();
      },
      onError: (error) => this.#failed(item, error),
    });
    this.#uploads.set(item.id, upload);
    const [previous] = (await upload.findPreviousUploads()).slice(-1);
    if (previous) upload.resumeFromPreviousUpload(previous);
    if (item.state === "sending") upload.start();
  }

  /** Asks what files hold that are here, one after the other, while somebody chooses what to make of them. */
  async #look() {
    if (this.#looking) return;
    this.#looking = true;
    try {
      for (let item; (item = this.draft.find(({ state, found }) => state === "done" && found === undefined)); ) {
        const found = await call("GET", `api/uploads/${item.upload}/media`).catch((error) => ({ problem: error.message }));
        this.#patch(item, { found: found.problem ? null : found });
      }
    } finally {
      this.#looking = false;
      this.#keep();
    }
  }

  #failed(item, error) {
    const status = error.originalResponse?.getStatus() ?? 0;
    const passes = [0, 401, 423, 429, 502, 503, 504].includes(status);
    const words = passes ? "" : said(error.originalResponse) ?? foreign(status);
    this.#patch(item, { state: passes ? "lost" : "failed", speed: 0, words });
    if (status === 401) session.over();
    this.#pump();
    if (passes && events.state === "live") setTimeout(() => this.#goOn(), 5000); // only this request failed
  }

  async #submit() {
    if (this.#submitting) return;
    this.#submitting = true;
    try {
      for (const order of [...this.orders]) if (!order.problem) await this.#submitOrder(order);
    } finally {
      this.#submitting = false;
      this.#keep();
    }
  }

  async #submitOrder(order) {
    const mine = () => this.items.filter((item) => item.order === order.id);
    const ready = mine().filter((item) => item.state === "done");
    const groups = order.together ? (ready.length === mine().length ? [ready] : []) : ready.map((item) => [item]);
    try {
      for (const items of groups) {
        const body = { ...order.spec, sources: items.map((item) => ({ upload: item.upload })) };
        await call("POST", "api/jobs", { body, headers: { "Idempotency-Key": `${order.id}-${items[0].id}` } });
        this.items = this.items.filter((item) => !items.includes(item));
      }
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status && error.status !== 401 && error.status !== 503) order.problem = error.message;
    }
    if (!mine().length) this.orders = this.orders.filter((other) => other !== order);
  }

  #patch(item, change) {
    Object.assign(item, change);
    this.changed();
  }

  #keep() {
    memory.set("transfers", { items: this.items.map(({ file, ...item }) => item), orders: this.orders });
    this.changed();
  }
}

function fresh(file, key) {
  const empty = file.size === 0;
  return {
    id: random(),
    key,
    name: file.name,
    size: file.size,
    sent: 0,
    speed: 0,
    state: empty ? "failed" : "waiting",
    words: empty ? "The file is empty." : "",
    upload: null,
    order: null,
    file,
  };
}

function said(answer) {
  try {
    return JSON.parse(answer.getBody()).detail;
  } catch {
    return null;
  }
}

export const transfers = new Transfers();

/** All files in what was dropped or pasted, those in folders too. */
export async function filesIn(items) {
  const entries = [...items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  return (await Promise.all(entries.filter(Boolean).map(filesOf))).flat();
}

async function filesOf(entry) {
  if (entry instanceof File) return [entry];
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    found.push(...some);
  }
  const files = (await Promise.all(found.map(filesOf))).flat();
  return files.filter((file) => !file.name.startsWith("."));
}
