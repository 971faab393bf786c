// What may be done to jobs: asked first where something is lost, undoable where it can be, told with what came of it.
import { html } from "./html.js";
import { call, get, jobPath, post } from "./api.js";
import { bytes, duration, ENDED, plural, STATES, title } from "./format.js";
import { FAILED } from "./list_sections.js";
import { queue } from "./queue_state.js";
import { fail, overlays } from "./overlays.js";

const HOW = {
  quit: "ended by itself when asked to quit",
  terminate: "had to be terminated",
  kill: "had to be killed",
  exited: "was gone already",
  stuck: "waits for a disk that does not answer, and ends when that does",
};

/** Whether a verb makes sense for a job in its present state. */
export const can = {
  pause: (job) => !job.paused && !ENDED.has(job.status),
  resume: (job) => job.paused,
  cancel: (job) => !ENDED.has(job.status),
  fail: (job) => !ENDED.has(job.status),
  retry: (job) => job.failed_variations + job.cancelled_variations > 0 || (job.deliveries?.failed > 0 && can.download(job)),
  retryPart: ({ status, delivery, lost }) => status === "failed" || status === "cancelled" || (delivery?.status === "failed" && !lost),
  download: (job) => job.completed_variations > job.lost_variations,
};

export const pause = (job) => act(`${jobPath(job.id)}/pause`, { id: job.id, paused: true });
export const resume = (job) => act(`${jobPath(job.id)}/resume`, { id: job.id, paused: false });
export const retry = (job, part = {}) => act(`${jobPath(job.id)}${below(part)}/retry`, null);

/** What stands behind a job's path where only a part of it is meant. */
function below({ source = null, variation = null }) {
  return variation ? `/variations/${variation.id}` : source ? `/sources/${source.id}` : "";
}

async function act(path, change) {
  try {
    await post(path);
    if (change) queue.patch(change.id, { paused: change.paused });
  } catch (error) {
    fail(error);
  }
}

/** Cancels a job, or one source or variation of it, once a person agreed knowing what is kept. */
export async function cancel(job, { source = null, variation = null } = {}) {
  const { visit } = overlays;
  const whole = await detail({ id: job.id }); // as it is now: what can be kept comes with time
  if (!whole) return;
  const part = variation ?? source;
  const within = whole.sources.filter(({ id }) => !source || id === source.id).flatMap((one) => one.variations);
  const scope = variation ? within.filter(({ id }) => id === variation.id) : within;
  const others = beyond(whole, scope);
  let keep = false;
  const choice = keepPartial(scope, (event) => (keep = event.target.checked));
  const body = html`${kept(scope)}${choice}${variation && beside(variation)}${others > 0 && html`<p>The job goes on with ${plural(others, "other variation")}.</p>`}`;
  const agreed = await overlays.ask({ title: `Cancel ${part?.name ?? title(job)}?`, body, yes: "Cancel it", no: "Let it run", danger: true, visit });
  if (!agreed) return;
  const heading = part ? `Cancelled ${part.name}` : "Cancelled";
  await stop(`${jobPath(job.id)}${below({ source, variation })}/cancel${keep ? "?keep_partial=true" : ""}`, job, scope, heading, variation ? "Variation" : source ? "File" : null);
}

/** Ends a job as failed, so that what is left can be tried again later. */
export async function forceFail(job) {
  const { visit } = overlays;
  const all = (await detail(job))?.sources.flatMap((source) => source.variations);
  if (!all) return;
  const body = html`${kept(all)}<p>What is left is marked failed, as if its encoding had failed, and not cancelled: programs that wait for the job see a failure. It can be retried.</p>`;
  if (await overlays.ask({ title: `Fail ${title(job)}?`, body, yes: "Fail it", danger: true, visit })) await stop(`${jobPath(job.id)}/fail`, job, all, "Failed by request");
}

async function detail(job) {
  if (job.sources) return job;
  try {
    return await get(jobPath(job.id));
  } catch (error) {
    fail(error);
    return null;
  }
}

function kept(variations) {
  const count = (status) => variations.filter((variation) => variation.status === status).length;
  const [done, running, waiting] = [count("completed"), count("processing"), count("queued")];
  return html`
    <ul class="plain">
      ${done > 0 && html`<li>✓ ${plural(done, "finished variation")} ${done === 1 ? "is" : "are"} kept and can be downloaded.</li>`}
      ${running > 0 && html`<li>■ ${plural(running, "running encode")} will be stopped; what was written so far is deleted.</li>`}
      ${waiting > 0 && html`<li>– ${plural(waiting, "waiting variation")} will not be made.</li>`}
    </ul>
    <p class="muted">A retry makes what is missing, later.</p>
  `;
}

/** Asks what becomes of films that could be gone on with; of anything else nothing can be kept. */
function keepPartial(variations, onChange) {
  const films = variations.filter(({ status, resumable }) => resumable && !ENDED.has(status)).length;
  return films > 0 && html`<p><label class="choice"><input type="checkbox" onChange=${onChange} /> Keep what is encoded of ${plural(films, "film")}, so that a retry goes on there</label></p>`;
}

/** How many of the job's variations are outside the scope and have not ended. */
function beyond(job, scope) {
  const within = new Set(scope.map(({ id }) => id));
  return job.sources.flatMap((source) => source.variations).filter(({ id, status }) => !within.has(id) && !ENDED.has(status)).length;
}

/** Of those that are made in the same process, which ends with this one. */
function beside(variation) {
  const others = variation.status === "processing" ? variation.sharing - 1 : 0;
  return others > 0 && html`<p>It shares its encoder with ${plural(others, "other")}: what is not finished of them waits for its turn again.</p>`;
}

/** `part` says what of the job ends, null where it does as a whole. */
async function stop(path, job, variations, heading, part = null) {
  const end = overlays.say("Stopping…", { stay: 60_000 });
  const gone = queue.stops(part ? variations : [job, ...variations]);
  try {
    const told = await post(path);
    const rest = part && (await detail({ id: job.id })); // as it stands now: the question may have been open for long
    receipt(heading, told, new Map(variations.map((variation) => [variation.id, variation.name])), part, rest && goesOn(rest, variations));
  } catch (error) {
    fail(error);
  } finally {
    end();
    gone();
  }
}

function goesOn(job, scope) {
  const others = beyond(job, scope);
  return others ? `goes on with ${plural(others, "other variation")}` : STATES[job.status];
}

/** What a cancel did, in words: to a `part` of a job, and then where the rest of it stands. */
function receipt(heading, { status, changed, completed_variations: done, total_variations: all, bytes_freed: freed, stopped, kept: films }, names, part, rest) {
  if (!changed) return overlays.say(`There was nothing left to stop: it is ${STATES[status]}.`);
  if (!stopped.length && !films.length) return overlays.say(`${heading}: nothing of it ran. ${rest ? `The job ${rest}.` : `${done} of ${plural(all, "variation")} ${done === 1 ? "is" : "are"} kept.`}`);
  const body = html`
    <dl class="facts receipt">
      <dt>${part ?? "Job"}</dt><dd>${STATES[status]}</dd>
      ${rest && html`<dt>Job</dt><dd>${rest}</dd>`}
      ${(!part || all > 1) && html`<dt>Kept</dt><dd>${done} of ${part ? "the file's " : ""}${plural(all, "variation")}</dd>`}
      <dt>Freed</dt><dd>${bytes(freed)} of partial files</dd>
      ${films.map(({ variation, seconds, bytes: size }) => html`<dt>To go on with</dt><dd>${duration(seconds)} of ${names.get(variation)}, ${bytes(size)}</dd>`)}
    </dl>
    ${stopped.length
      ? html`<ul class="plain">${stopped.map(
          ({ variation, stage, seconds }) => html`<li><strong>${names.get(variation)}</strong> ${HOW[stage]}, in ${duration(seconds)}</li>`,
        )}</ul>`
      : html`<p>No encoder was running.</p>`}
  `;
  return overlays.tell(heading, body);
}

/** Deletes jobs after a grace in which it can be undone; they are out of sight at once. */
export async function remove(jobs) {
  const what = jobs.length === 1 ? title(jobs[0]) : plural(jobs.length, "job");
  const live = jobs.some((job) => !ENDED.has(job.status));
  hide(jobs, true);
  const words = `${what} will be ${live ? "cancelled and deleted" : "deleted"}, files and all.`;
  const done = await overlays.unlessUndone(words, () => each(jobs, (job) => call("DELETE", jobPath(job.id))));
  if (!done) hide(jobs, false);
}

function hide(jobs, hidden) {
  for (const job of jobs) queue.patch(job.id, { hidden });
}

/** The same for all; the first refusal is told, the others go on. */
export async function each(jobs, verb) {
  const results = await Promise.allSettled(jobs.map(verb));
  const refused = results.find((result) => result.status === "rejected");
  if (refused) throw refused.reason;
}

export async function cancelMany(jobs) {
  const body = html`<p>What is finished is kept. Running encodes are stopped, waiting ones are not made.</p>`;
  if (!(await overlays.ask({ title: `Cancel ${plural(jobs.length, "job")}?`, body, yes: "Cancel them", danger: true }))) return;
  const gone = queue.stops(jobs);
  await each(jobs, (job) => post(`${jobPath(job.id)}/cancel`)).then(() => overlays.say(`${plural(jobs.length, "job")} cancelled.`), fail);
  gone();
}

/** A verb for every job of one status, or that ended with something that failed, however many there are. */
export async function bulk(verb, status, count) {
  const failed = status === "failed";
  const which = new URLSearchParams(failed ? [...FAILED, ["ended", "true"]] : { status });
  const what = failed ? "all jobs that ended with something that failed" : `all ${plural(count, `${STATES[status]} job`)}`;
  const body = html`<p>${verb === "delete" ? "Their files go with them, those that are done too. This cannot be undone." : "What is finished is kept."}</p>`;
  const ask = { title: verb === "delete" ? `Delete ${what}?` : `Cancel ${what}?`, body, yes: verb === "delete" ? "Delete them" : "Cancel them", danger: true };
  if (!(await overlays.ask(ask))) return;
  try {
    const { changed } = verb === "delete" ? await call("DELETE", `api/jobs?${which}`) : await post(`api/jobs/cancel?${which}`);
    overlays.say(`${plural(changed, "job")} ${verb === "delete" ? "deleted" : "cancelled"}.`);
  } catch (error) {
    fail(error);
  }
}

/** Why something failed, as the daemon's figures tell it, in words. */
const REASONS = {
  "": "whatever the reason was",
  encoder: "the encoder could not",
  proof: "what was made was not as planned",
  host: "the host lacks something: memory, room, rights",
  crash: "the daemon died of it",
  fault: "ffspool was at fault",
  unfetched: "the file could not be fetched",
  unreadable: "the file cannot be read",
  unsuitable: "the preset does not suit the file",
  request: "somebody asked for it",
};

/** Queues again what failed of all jobs, or of one reason. */
export async function retryAll() {
  let because = "";
  const choose = (event) => (because = event.target.value);
  const body = html`
    <label>What failed because <select onChange=${choose}>${Object.entries(REASONS).map(([name, words]) => html`<option value=${name}>${words}</option>`)}</select></label>
    <p class="muted">It waits in the queue again. What is finished stays, and what was cancelled is not made.</p>
  `;
  if (!(await overlays.ask({ title: "Retry what failed?", body, yes: "Retry" }))) return;
  try {
    const { variations, changed } = await post(`api/jobs/retry${because && `?because=${because}`}`);
    overlays.say(variations ? `${plural(variations, "variation")} of ${plural(changed, "job")} ${variations === 1 ? "waits" : "wait"} again.` : "Nothing failed for that.");
  } catch (error) {
    fail(error);
  }
}

export async function patch(job, change) {
  try {
    const { sources, ...now } = await call("PATCH", jobPath(job.id), { body: change });
    queue.patch(job.id, now);
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
}

export async function setQueue(verb) {
  try {
    queue.state = (await post(`api/queue/${verb}`)).state;
    queue.changed();
  } catch (error) {
    fail(error);
  }
}

/** Has so many encodes run at once. */
export async function setSlots(slots) {
  try {
    queue.slots = (await call("PATCH", "api/queue", { body: { slots } })).slots;
    overlays.say(`${plural(queue.slots, "encode")} may run at once.`);
  } catch (error) {
    fail(error);
  }
  queue.changed();
}

/** Saves what is behind an address of the API as a file. */
export function download(path) {
  const link = document.createElement("a");
  link.href = path;
  link.download = "";
  link.click();
}
