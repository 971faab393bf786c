// One job: every source and variation, what may be done to it, what came of it.
import { html, useChanges, useEffect, useRef, useState } from "./html.js";
import { get, jobPath } from "./api.js";
import { ago, bytes, clock, counts, duration, ENDED, exact, hasPicture, number, percent, plural, roughly, SOUNDS, speed, title } from "./format.js";
import { IconButton } from "./icons.js";
import { outlook, queue } from "./queue_state.js";
import { overlays } from "./overlays.js";
import { Bar, figures, FileName, isStopping, pacing, standsStill, State, Thumbnail, useDetail } from "./job_row.js";
import * as verbs from "./verbs.js";

const FEW = 20; // sources that are shown open
const LOG_EVERY = 1000; // ms
const DAY = 86_400_000;

export function JobView({ id }) {
  const detail = useDetail(id);
  return detail ? html`<${Followed} detail=${detail} />` : null;
}

function Followed({ detail }) {
  useChanges(detail, queue);
  const { job, problem } = detail;
  if (problem) {
    return html`<div class="empty"><h1 tabindex="-1">No such job</h1><p>${problem.message}</p><p><a class="button" href="#/">To the queue</a></p></div>`;
  }
  if (!job) return html`<p class="muted center">Reading the job…</p>`;
  return html`
    <a class="back" href="#/">← Queue</a>
    <header class="job">
      <${Thumbnail} of=${jobPath(job.id)} there=${hasPicture(job.sources[0])} sound=${job.sources[0].media?.video === null} />
      <div>
        <div class="title"><${Name} job=${job} /></div>
        <p><${State} job=${job} /> <${Progress} job=${job} /></p>
      </div>
    </header>
    <${JobActions} job=${job} />
    ${job.advice.length > 0 && html`<${Advice} of=${job} />`}
    ${job.error && html`<div role="alert"><${Trouble} words=${job.error} /></div>`}
    <${Facts} job=${job} />
    <${Downloads} job=${job} />
    ${job.sources.map((source) => html`<${Source} key=${source.id} ...${{ job, source, open: job.sources.length <= FEW }} />`)}
  `;
}

function Name({ job }) {
  const rename = async () => {
    const input = { value: job.name ?? "" };
    const body = html`<label>Name <input id="new-name" maxlength="200" defaultValue=${input.value} onInput=${(event) => (input.value = event.target.value)} /></label>`;
    if (await overlays.ask({ title: "Rename this job", body, yes: "Rename" })) await verbs.patch(job, { name: input.value || null });
  };
  return html`<h1 tabindex="-1">${title(job)}</h1><${IconButton} of="rename" label="Rename" onClick=${rename} />`;
}

function Progress({ job }) {
  if (ENDED.has(job.status)) return html`<span class="muted" title=${exact(job.finished_at)}>${job.finished_at ? ago(job.finished_at) : ""}</span>`;
  const { progress, eta_seconds: eta, speed: times } = outlook(job);
  return html`
    <span class="whole"><${Bar} value=${progress} label="Progress of the job" /> ${percent(progress)}</span>
    <span class="muted">${figures(speed(times), eta && !standsStill(job) && !isStopping(job) && `done ~${clock(eta)} (${roughly(eta)} left)`)}</span>
  `;
}

/** What a retry would make: others of the job may be running. */
function retryOf({ failed_variations: failed, cancelled_variations: cancelled, deliveries }) {
  const what = [cancelled && "cancelled", failed && "failed"].filter(Boolean).join(" or ");
  return what ? `Retry ${number(failed + cancelled)} ${what}` : `Deliver ${number(deliveries.failed)} again`;
}

function JobActions({ job }) {
  const button = (label, act, kind = "") => html`<button class=${kind} onClick=${act}>${label}</button>`;
  const leave = () => {
    location.hash = "#/";
    verbs.remove([job]);
  };
  return html`
    <div class="buttons" role="toolbar" aria-label="This job">
      ${verbs.can.pause(job) && button("Pause", () => verbs.pause(job))}
      ${verbs.can.resume(job) && button("Resume", () => verbs.resume(job))}
      ${verbs.can.retry(job) && button(retryOf(job), () => verbs.retry(job))}
      ${verbs.can.download(job) && html`<a class="button primary" href="${jobPath(job.id)}/download" download>Download all ${number(job.completed_variations - job.lost_variations)} as zip</a>`}
      ${verbs.can.cancel(job) && !isStopping(job) && button("Cancel", () => verbs.cancel(job))}
      ${verbs.can.fail(job) && !isStopping(job) && button("Force-fail", () => verbs.forceFail(job))}
      ${button(ENDED.has(job.status) ? "Delete" : "Cancel & delete", leave, "danger")}
    </div>
  `;
}

/** What helps what it is without: a retry is not for all of it. */
function Advice({ of: { advice } }) {
  const sentence = (words) => html`<li>${words[0].toUpperCase()}${words.slice(1)}.</li>`;
  return html`<ul class="advice">${advice.map(sentence)}</ul>`;
}

function Facts({ job }) {
  const sent = job.sources.reduce((sum, source) => sum + source.bytes, 0);
  const made = job.usage.output_bytes;
  const fair = job.sources.length === 1 && job.completed_variations === 1; // one file became one file
  return html`
    <dl class="facts">
      <dt>Variations</dt>
      <dd>${plural(job.total_variations, "variation")}: ${job.completed_variations} done${counts(job, "lost", "failed", "cancelled", "skipped")}</dd>
      <dt>Size</dt>
      <dd>${bytes(sent)} → ${bytes(made)}${fair && sent ? html` <${Saving} from=${sent} to=${made} lasts=${job.usage.output_seconds} />` : ""}</dd>
      <dt>Priority</dt>
      <dd><${Priority} job=${job} /></dd>
      <dt>CPU time</dt>
      <dd>${duration(job.usage.cpu_seconds)}${job.usage.discarded_cpu_seconds ? ` (and ${duration(job.usage.discarded_cpu_seconds)} that came to nothing)` : ""}</dd>
      ${job.expires_at && html`<dt>Kept for</dt><dd><${Expiry} job=${job} /></dd>`}
      <dt>Id</dt>
      <dd><code>${job.id}</code></dd>
    </dl>
  `;
}

/** How much smaller what came out is, where it plays as its source does: a picture of it is always smaller. */
export function Saving({ from, to, lasts }) {
  if (!lasts) return null;
  const share = Math.min(99, Math.round(100 * (1 - to / from)));
  return html`<span class=${share > 0 ? "good-text" : "muted"}>${share > 0 ? `${share} % smaller` : share < 0 ? `${-share} % larger` : "same size"}</span>`;
}

function Priority({ job }) {
  if (ENDED.has(job.status)) return job.priority;
  const set = (event) => verbs.patch(job, { priority: Number(event.target.value) });
  return html`<input type="number" aria-label="Priority" min="-1000" max="1000" value=${job.priority} onChange=${set} />`;
}

function Expiry({ job }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const left = (new Date(job.expires_at) - now) / 1000;
  const longer = (days) => () => verbs.patch(job, { expires_at: new Date(Math.max(now, new Date(job.expires_at)) + days * DAY).toISOString() });
  return html`
    <span title=${exact(job.expires_at)}>${left > 0 ? duration(left) : "about to be deleted"}</span>
    <button class="quiet" onClick=${longer(1)}>A day longer</button>
    <button class="quiet" onClick=${longer(30)}>30 days</button>
  `;
}

function Downloads({ job }) {
  const done = job.sources.flatMap((source) => source.variations).filter((variation) => variation.status === "completed");
  const [chosen, setChosen] = useState(new Set());
  if (done.length < 3) return null;
  const toggle = (id) => (event) => {
    const next = new Set(chosen);
    event.target.checked ? next.add(id) : next.delete(id);
    setChosen(next);
  };
  const some = () => [...chosen].forEach((id, number) => setTimeout(() => verbs.download(`${jobPath(job.id)}/variations/${id}/download`), 400 * number));
  return html`
    <details>
      <summary>Download some</summary>
      <fieldset class="some">
        <legend class="muted">Files to save one by one</legend>
        ${done.map((variation) => html`<label><input type="checkbox" checked=${chosen.has(variation.id)} onChange=${toggle(variation.id)} /> ${variation.name} <span class="muted">${bytes(variation.bytes)}</span></label>`)}
      </fieldset>
      <button disabled=${!chosen.size} onClick=${some}>Download ${plural(chosen.size, "file")}</button>
    </details>
  `;
}

function Source({ job, source, open }) {
  const { media } = source;
  const seen = media && [media.video && `${media.video.width}×${media.video.height}`, media.video?.codec, media.audio.length ? `${media.audio.length}× sound` : "silent", media.duration_seconds != null && duration(media.duration_seconds)];
  return html`
    <details class="source" open=${open}>
      <summary>
        <strong>${source.name}</strong>
        <span class="muted"> ${bytes(source.bytes)}${seen ? ` · ${seen.filter(Boolean).join(" · ")}` : ""}</span>
      </summary>
      ${source.status === "fetching" && html`<${Fetching} source=${source} />`}
      ${source.error && !(job.sources.length === 1 && job.error === source.error) && html`<${Trouble} words=${source.error} />`}
      ${job.sources.length > 1 && !ENDED.has(source.status) && html`<button onClick=${() => verbs.cancel(job, { source })}>Cancel this file</button>`}
      ${job.sources.length > 1 && source.variations.some(verbs.can.retryPart) && html`<button onClick=${() => verbs.retry(job, { source })}>Retry this file</button>`}
      <ul class="variations">
        ${source.variations.map((variation) => html`<${Variation} key=${variation.id} ...${{ job, source, variation }} />`)}
      </ul>
    </details>
  `;
}

/** How far a source that the daemon fetches is, and what keeps it. */
function Fetching({ source: { name, bytes: size, bytes_fetched: come, fetch_speed: speed, fetch_error: error } }) {
  const share = size > come ? (100 * come) / size : null;
  return html`
    <p><span class="whole"><${Bar} value=${share} label="Fetching of ${name}" /> fetching ${share === null ? bytes(come) : percent(share)}${speed ? `, ${bytes(speed)}/s` : ""}</span></p>
    ${error && html`<p class="muted">${error}</p>`}
  `;
}

function Variation({ job, source, variation }) {
  const { id, name, status, error } = variation;
  const toldAbove = error === source.error || (error === job.error && job.total_variations === 1);
  const shown = { ...variation, paused: job.paused, cancel_requested_at: job.cancel_requested_at };
  const [log, setLog] = useState(false);
  const path = `${jobPath(job.id)}/variations/${id}`;
  const done = status === "completed";
  const there = !variation.delivery?.dropped && !variation.lost;
  return html`
    <li class="variation">
      ${done ? html`<${Thumbnail} of=${path} there=${!SOUNDS.test(name) && there} />` : html`<span class="thumbnail" aria-hidden="true"></span>`}
      <div class="words">
        <strong><${FileName} name=${name} /></strong>
        <span class="muted">${variation.preset}${variation.attempts > 1 ? ` · attempt ${variation.attempts}` : ""}${variation.resumed_seconds ? ` · went on after ${duration(variation.resumed_seconds)}` : ""}${variation.machine ? ` · on ${variation.machine}` : ""}</span>
        ${variation.begun_anew && html`<span class="muted">began anew: ${variation.begun_anew.split("\n")[0]}</span>`}
      </div>
      <div class="standing"><${State} job=${shown} /><${VariationStanding} ...${{ source, variation: shown }} /></div>
      <div class="actions">
        ${done && there && html`<a class="button" href="#/jobs/${job.id}/${id}">View</a> <a class="button" href="${path}/download" download aria-label="Download ${name}">Download</a>`}
        ${!ENDED.has(status) && !isStopping(shown) && html`<button aria-label="Cancel ${name}" onClick=${() => verbs.cancel(job, { variation })}>Cancel</button>`}
        ${job.total_variations > 1 && verbs.can.retryPart(variation) && html`<button aria-label="Retry ${name}" onClick=${() => verbs.retry(job, { variation })}>Retry</button>`}
        ${(done || status === "processing" || variation.sandbox) && html`<button class="quiet" aria-expanded=${log} aria-label="Log of ${name}" onClick=${() => setLog(!log)}>Log</button>`}
      </div>
      ${error && !toldAbove && html`<div class="wide">${status === "skipped" ? html`<p class="muted">${error}</p>` : html`<${Trouble} words=${error} />`}</div>`}
      ${status === "processing" && !standsStill(shown) && variation.doing && html`<p class="wide muted">${variation.doing}</p>`}
      ${variation.delivery && html`<div class="wide"><${Delivery} delivery=${variation.delivery} /></div>`}
      ${log && html`<${Log} path="${path}/log" live=${status === "processing"} />`}
    </li>
  `;
}

/** Where an output is brought, and how far that is. */
function Delivery({ delivery: { status, to, kept, error, delivered_at: at } }) {
  if (status === "delivered") return html`<p class="muted" title=${exact(at)}>${kept ? "Was there already, and is left: " : "Delivered to "}${to}</p>`;
  if (status === "failed") return html`<p class="bad-text">Not delivered: ${error}</p>`;
  return html`<p class="muted">${error ? `Not delivered yet: ${error}` : `To be delivered to ${to || "the output root"}`}</p>`;
}

/** An error: what it means in a line, the encoder's own words on request. */
function Trouble({ words }) {
  const [first, ...rest] = words.split("\n");
  return html`
    <p class="bad-text">${first}</p>
    ${rest.length > 0 && html`<details><summary>More of it</summary><p class="bad-text">${rest.join("\n")}</p></details>`}
  `;
}

function VariationStanding({ source, variation, variation: { status, progress, eta_seconds: eta, bytes: size, pace, name, output_seconds: lasts } }) {
  if (status === "completed") return html`<span class="muted">${bytes(size)} <${Saving} from=${source.bytes} to=${size} lasts=${lasts} /></span>`;
  if (status !== "processing") return null;
  return html`
    <span class="whole"><${Bar} value=${progress} label="Progress of ${name}" /> ${percent(progress)}</span>
    <span class="muted">${!isStopping(variation) && !standsStill(variation) && figures(pacing(variation), pace ?? (eta && `${roughly(eta)} left`))}</span>
  `;
}

/** The encoder's command and words; followed while it runs. */
function Log({ path, live }) {
  const [text, setText] = useState(null);
  const [problem, setProblem] = useState("");
  const element = useRef();
  useEffect(() => {
    let timer = null;
    let over = false;
    const read = async () => {
      try {
        const now = await get(path);
        const { scrollTop = 0, scrollHeight = 0, clientHeight = 0 } = element.current ?? {};
        if (over) return;
        setText(now);
        setProblem("");
        if (scrollTop + clientHeight >= scrollHeight - 4) requestAnimationFrame(() => element.current?.scrollTo(0, 1e9));
      } catch (error) {
        setProblem(error.message);
      }
      if (live && !over) timer = setTimeout(read, LOG_EVERY);
    };
    read();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [path, live]);
  const commands = text?.match(/^\$ .*/gm) ?? [];
  const command = commands.at(-1)?.slice(2);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(command);
      overlays.say("The command is on the clipboard.");
    } catch {
      overlays.say("The browser does not let this page use the clipboard: select the command's line and copy it.", { kind: "bad" });
    }
  };
  return html`
    <div class="log wide">
      ${problem && html`<p class="muted">${problem}</p>`}
      ${text != null && html`<pre ref=${element} tabindex="0" aria-label="The encoder's log">${text}</pre>`}
      ${command && html`<button onClick=${copy}>Copy the command</button>`}
    </div>
  `;
}
