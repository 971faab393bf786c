// A desktop notification when a batch has ended, for those who asked for it.
import { memory, Observable } from "./html.js";
import { get, jobPath, Problem } from "./api.js";
import { events } from "./events.js";
import { ENDED, ending, plural, title } from "./format.js";
import { overlays } from "./overlays.js";
import { transfers } from "./transfers.js";

class Notifier extends Observable {
  wanted = Boolean(memory.get("notify"));

  #batches = new Map(); // batch → {open: ids, ended: jobs}

  get on() {
    return this.wanted && globalThis.Notification?.permission === "granted";
  }

  start() {
    events.on("job", ({ id, status }) => this.on && this.#change(id, status));
  }

  async toggle() {
    if (this.on) this.wanted = false;
    else if (!globalThis.Notification) overlays.say("This browser has no notifications, or allows them over HTTPS only.", { kind: "bad" });
    else if ((await Notification.requestPermission()) === "granted") this.wanted = true;
    else overlays.say("The browser does not let this page notify you: allow it in the site's settings.", { kind: "bad" });
    memory.set("notify", this.wanted);
    this.changed();
  }

  async #change(id, status) {
    try {
      const job = await get(jobPath(id));
      const key = job.metadata.batch ?? id;
      const batch = this.#batches.get(key) ?? { open: new Set(), ended: new Map() };
      this.#batches.set(key, batch);
      if (!ENDED.has(status) || !ENDED.has(job.status)) return void batch.open.add(id);
      batch.open.delete(id);
      batch.ended.set(id, job);
      if (!batch.open.size && !transfers.expects(key)) this.#tell(key, [...batch.ended.values()]);
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // deleted meanwhile
    }
  }

  #tell(key, jobs) {
    this.#batches.delete(key);
    const all = ["total", "completed", "failed", "cancelled", "skipped"].map((what) => `${what}_variations`);
    const whole = Object.fromEntries(all.map((what) => [what, jobs.reduce((sum, job) => sum + job[what], 0)]));
    const what = jobs.length === 1 ? title(jobs[0]) : plural(jobs.length, "job");
    const shown = new Notification(`${what} ended`, { body: ending(whole), tag: key });
    shown.onclick = () => {
      focus();
      location.hash = jobs.length === 1 ? `#/jobs/${jobs[0].id}` : "#/";
    };
  }
}

export const notifier = new Notifier();
