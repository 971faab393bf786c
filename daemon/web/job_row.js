// One job in the queue.
import { html, useChanges, useEffect, useState } from "./html.js";
import { jobPath } from "./api.js";
import { Icon, IconButton } from "./icons.js";
import { ago, bytes, clock, counts, ENDED, ending, exact, number, percent, plural, roughly, speed, STATES, title } from "./format.js";
import { outlook, queue, watch } from "./queue_state.js";
import * as verbs from "./verbs.js";

const CALM = 120; // ms a row must stay in view before its thumbnail is asked for

/** A job's detail while the component is there; null where there is nothing to follow. */
export function useDetail(id) {
  const [detail, setDetail] = useState(null);
  useEffect(() => {
    if (!id) return setDetail(null);
    const [found, leave] = watch(id);
    setDetail(found);
    return leave;
  }, [id]);
  return detail;
}

/** The picture of what has that address, or a sign where there is none: for `sound`, or for a file nobody could see. */
export function Thumbnail({ of, there = true, sound = !there }) {
  const path = `${of}/thumbnail?optional=true`; // a browser writes every 404 to its console
  const [calm, setCalm] = useState(false);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    setFailed(false);
    const timer = setTimeout(() => setCalm(true), CALM);
    return () => clearTimeout(timer);
  }, [path]);
  return html`
    <span class="thumbnail" aria-hidden="true">
      ${there && !failed ? calm && html`<img src=${path} alt="" onError=${() => setFailed(true)} />` : html`<${Icon} of=${sound ? "sound" : "file"} />`}
    </span>
  `;
}

/** Whether it stands still by request: by its own, or with the whole queue though it had begun. */
export const standsStill = (job) => !ENDED.has(job.status) && (job.paused || (queue.state === "paused" && job.status === "processing"));

/** Whether its cancel was asked for and is not done yet. */
export const isStopping = (job) => !ENDED.has(job.status) && Boolean(job.cancel_requested_at || queue.stopping.has(job.id));

export function State({ job }) {
  const words = isStopping(job) ? "stopping" : standsStill(job) ? "paused" : job.outside_hours && job.status === "queued" ? "waits for its hours" : STATES[job.status];
  const mixed = job.outcome === "some" && ENDED.has(job.status);
  const undelivered = (ENDED.has(job.status) && job.deliveries?.failed) || 0;
  const kind = undelivered ? "failed" : mixed ? (job.failed_variations ? "failed" : "cancelled") : words;
  const told = (mixed ? ending(job) : words) + (undelivered ? `, ${number(undelivered)} not delivered` : "");
  return html`<span class="state ${kind}" title=${told}>${told}</span>`;
}

export function Bar({ value, label }) {
  return html`<progress max="100" value=${value ?? undefined} aria-label=${label}></progress>`;
}

export const BAR = 26; // pixels of one variation's line
export const MOST_BARS = 4;

/** The row of one job. `order` is given where it can be moved: `{up, down, drag}`. */
export function Row({ job, selected, onSelect, order }) {
  const detail = useDetail(job.status === "processing" ? job.id : null);
  return detail ? html`<${LiveRow} ...${{ job, selected, onSelect, detail }} />` : html`<${Line} ...${{ job, selected, onSelect, order }} />`;
}

function LiveRow({ job, selected, onSelect, detail }) {
  useChanges(detail);
  const full = detail.job ?? { sources: [] };
  const running = full.sources.flatMap((source) => source.variations).filter((variation) => variation.status === "processing");
  const lines = Math.min(MOST_BARS, running.length);
  useEffect(() => void (job.lines !== lines && queue.patch(job.id, { lines })), [lines]); // the list makes room
  const { progress, eta_seconds: eta } = outlook(full);
  return html`
    <${Line} ...${{ job, selected, onSelect, progress, eta }}>
      ${running.slice(0, MOST_BARS).map((variation) => html`<${VariationLine} key=${variation.id} variation=${variation} />`)}
    <//>
  `;
}

/** How fast a variation is made; where one encoder makes several, that is the speed of them all. */
export const pacing = ({ speed: times, sharing }) => times && `${speed(times)}${sharing > 1 ? ` shared by ${sharing}` : ""}`;

function VariationLine({ variation }) {
  const { name, progress, eta_seconds: eta, pace } = variation;
  const how = isStopping(variation) ? "stopping" : standsStill(variation) ? "paused" : pace ?? (eta && `${roughly(eta)} left`);
  return html`
    <div class="variation-line" title=${variation.doing}>
      <${FileName} name=${name} />
      <${Bar} value=${progress} label="Progress of ${name}" />
      <span class="figures">${percent(progress)}<span class="speed">${pacing(variation) ? ` · ${pacing(variation)}` : ""}</span>${how ? ` · ${how}` : ""}</span>
    </div>
  `;
}

/** A variation's name: where room is short its beginning gives way, which it has from its source. */
export function FileName({ name }) {
  const end = name.lastIndexOf("_");
  return html`<span class="name split" title=${name}><span>${name.slice(0, end)}</span>${name.slice(end)}</span>`;
}

/** What is known of some figures, side by side. */
export const figures = (...known) => known.filter(Boolean).join(" · ");

function Line({ job, selected, onSelect, order, progress, eta, children }) {
  const name = title(job);
  const id = `job-${job.id}`;
  return html`
    <article class="row" aria-labelledby=${id} draggable=${!!order} onDragStart=${order?.drag} data-job=${job.id}>
      <input type="checkbox" aria-label="Select ${name}" checked=${selected} onClick=${onSelect} />
      <a class="main" href="#/jobs/${job.id}" draggable="false">
        <${Thumbnail} of=${jobPath(job.id)} there=${job.has_picture !== false} sound=${job.has_picture === false && !job.failed_variations} />
        <span class="words">
          <strong id=${id} title=${name}>${name}</strong>
          <span class="muted">${summary(job)}</span>
        </span>
      </a>
      <span class="standing"><${State} job=${job} /><${Standing} ...${{ job, progress, eta }} /></span>
      <span class="actions"><${Actions} job=${job} order=${order} /></span>
      ${children && html`<div class="variation-lines">${children}</div>`}
    </article>
  `;
}

/** Why it failed, in a line: without the name of its only file, which would leave no room for it on a phone. */
function reason({ error, first_source: name, total_sources: files }) {
  const [line] = error.split("\n");
  return files === 1 && line.startsWith(`${name}: `) ? line.slice(name.length + 2) : line;
}

function summary(job) {
  if (job.status === "failed" && job.error) return html`<span class="bad-text">${reason(job)}</span>`;
  const parts = job.failed_variations && !ENDED.has(job.status) ? [`${job.failed_variations} failed`] : []; // first, where it is not cut off
  parts.push(plural(job.total_variations, "variation") + (job.outcome === "some" ? "" : counts(job, "skipped")));
  if (job.lost_variations && job.outcome !== "some") parts.unshift(`${job.lost_variations} lost`);
  if (!ENDED.has(job.status) && job.completed_variations && job.completed_variations < job.total_variations) parts.push(`${job.completed_variations} done`);
  if (job.priority) parts.push(`priority ${job.priority}`);
  if (queue.order === "size") parts.push(bytes(job.source_bytes));
  return parts.join(" · ");
}

/** How far it is and when it will be done, or when it ended. */
function Standing({ job, progress = job.progress, eta = job.eta_seconds }) {
  if (ENDED.has(job.status)) return html`<time class="muted" dateTime=${job.finished_at} title=${exact(job.finished_at)}>${job.finished_at ? ago(job.finished_at) : ""}</time>`;
  if (isStopping(job)) return html`<span class="muted">keeping what is complete</span>`;
  if (job.status === "queued") return html`<time class="muted" dateTime=${job.created_at} title=${exact(job.created_at)}>added ${ago(job.created_at)}</time>`;
  if (standsStill(job)) return html`<span class="muted">${percent(progress)}</span>`;
  return html`
    <span class="whole"><${Bar} value=${progress} label="Progress of ${title(job)}" /> ${percent(progress)}</span>
    <span class="muted">${eta ? html`done ~${clock(eta)} (${roughly(eta)})` : "estimating…"}</span>
  `;
}

function Actions({ job, order }) {
  const name = title(job);
  const button = (label, of, act) => html`<${IconButton} of=${of} title=${label} label="${label} ${name}" onClick=${act} />`;
  return html`
    ${order && html`<${IconButton} of="move" title="Move: drag, or use the arrow keys" label="Move ${name}: press the arrow keys" onKeyDown=${order.key} />`}
    ${verbs.can.pause(job) && !isStopping(job) && button("Pause", "pause", () => verbs.pause(job))}
    ${verbs.can.resume(job) && !ENDED.has(job.status) && !isStopping(job) && button("Resume", "play", () => verbs.resume(job))}
    ${ENDED.has(job.status) && verbs.can.retry(job) && button("Retry", "retry", () => verbs.retry(job))}
    ${verbs.can.download(job) && button("Download", "download", () => verbs.download(`${jobPath(job.id)}/download`))}
    ${isStopping(job) ? null : verbs.can.cancel(job) ? button("Cancel", "stop", () => verbs.cancel(job)) : button("Delete", "remove", () => verbs.remove([job]))}
  `;
}
