// The daemon's Server-Sent Events, read with fetch: it shows silence, which EventSource hides.
import { Observable } from "./html.js";
import { session } from "./api.js";

const SILENCE = 35_000; // ms; the daemon says something every 15 s
const NAP = 5_000; // ms by which a timer is late when the machine slept
const DELAYS = [250, 1000, 2000, 5000]; // ms before another try

class Events extends Observable {
  state = "connecting"; // connecting, live, reconnecting
  lastId = null;

  #listeners = new Map();
  #started = false;
  #abort = null;
  #heard = 0;
  #tries = 0;
  #retry = null;
  #ticked = Date.now();

  on(type, tell) {
    const all = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, all.add(tell));
    return () => all.delete(tell);
  }

  start() {
    if (this.#started) return;
    this.#started = true;
    setInterval(() => this.#tick(), 1000);
    addEventListener("online", () => this.#again());
    addEventListener("offline", () => this.#lost());
    session.subscribe(() => {
      if (session.open === false) this.#rest();
      else if (session.open && this.state !== "live") this.#again();
    });
    this.#connect();
  }

  /** After a sleep the connection looks alive and is not. */
  #tick() {
    const late = Date.now() - this.#ticked > 1000 + NAP;
    this.#ticked = Date.now();
    if (late || (this.state === "live" && Date.now() - this.#heard > SILENCE)) this.#again();
  }

  #again() {
    clearTimeout(this.#retry);
    this.#tries = 0;
    this.#lost();
    this.#connect();
  }

  /** Until somebody signs in there is nothing to be heard. */
  #rest() {
    clearTimeout(this.#retry);
    this.#lost();
    this.#abort = null;
  }

  #lost() {
    this.#abort?.abort();
    if (this.state === "live") this.#become("reconnecting");
  }

  #become(state) {
    this.state = state;
    this.changed();
  }

  async #connect() {
    const abort = (this.#abort = new AbortController());
    try {
      const headers = this.lastId === null ? {} : { "Last-Event-ID": this.lastId };
      const answer = await fetch("api/events", { headers, signal: abort.signal, cache: "no-store" });
      if (answer.status === 401) return session.over();
      if (!answer.ok) throw new Error(`events answered ${answer.status}`);
      session.proven();
      await this.#read(answer.body.getReader());
    } catch {
      /* told below, and tried again */
    }
    if (abort !== this.#abort) return; // somebody began anew meanwhile
    this.#become("reconnecting");
    this.#retry = setTimeout(() => this.#connect(), DELAYS[Math.min(this.#tries++, DELAYS.length - 1)]);
  }

  async #read(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    for (let first = true; ; first = false) {
      const { value, done } = await reader.read();
      if (done) return;
      this.#heard = Date.now();
      this.#tries = 0;
      if (first) {
        this.#become("live");
        this.#tell("open", { resumed: this.lastId !== null });
      }
      const blocks = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = blocks.pop();
      blocks.forEach((block) => this.#event(block));
    }
  }

  #event(block) {
    const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s, 2)));
    if (fields.id) this.lastId = fields.id;
    if (fields.data) this.#tell(fields.event ?? "message", JSON.parse(fields.data));
  }

  #tell(type, data) {
    for (const tell of this.#listeners.get(type) ?? []) tell(data);
  }
}

export const events = new Events();
