// The queue: everything that runs, waits and ended, live.
import { html, useChanges, useEffect, useState } from "./html.js";
import { number, plural, title } from "./format.js";
import { queue } from "./queue_state.js";
import { fail, overlays } from "./overlays.js";
import { BAR, Row } from "./job_row.js";
import { Rows } from "./virtual_list.js";
import { FILTERS, orderable, ORDERS } from "./list_sections.js";
import * as verbs from "./verbs.js";

const HEADING = 44;
const FARTHEST = 50; // jobs that one move may change
const WIDE = matchMedia("(min-width: 720px)");
const rowHeight = () => (WIDE.matches ? 68 : 104);

export function QueueView() {
  useChanges(queue);
  const [selected, setSelected] = useState(new Set());
  const jobs = queue.parts.flatMap((part) => part.items);
  const chosen = jobs.filter((job) => selected.has(job.id) && !job.hidden);
  const rows = queue.parts.flatMap((part) => rowsOf(part, selected, setSelected, jobs));
  const empty = rows.length === 0 && queue.counts;
  return html`
    <${Filters} />
    ${chosen.length > 0 && html`<${Selection} jobs=${chosen} clear=${() => setSelected(new Set())} />`}
    ${empty ? html`<${Nothing} />` : html`<${Rows} rows=${rows} onNearEnd=${() => queue.more()} />`}
    ${!queue.counts && html`<p class="muted center">Reading the queue…</p>`}
  `;
}

function rowsOf(part, selected, setSelected, all) {
  const items = part.items.filter((job) => !job.hidden);
  const shown = items.slice(0, part.preview);
  const rows = shown.map((job) => ({
    key: `${part.id} ${job.id}`,
    height: rowHeight() + (job.status === "processing" ? BAR * (job.lines ?? 1) : 0),
    render: () => html`
      <${Row}
        job=${job}
        selected=${selected.has(job.id)}
        onSelect=${(event) => setSelected(selection(selected, job, event, all))}
        order=${part.id === "waiting" && !queue.search ? movable(items, job) : undefined}
      />
    `,
  }));
  if (part.problem) rows.push({ key: `${part.id} problem`, height: 88, render: () => html`<${Unread} problem=${part.problem} />` });
  if (!rows.length) return [];
  const more = items.length > shown.length || (!part.complete && part.items.length >= part.preview);
  return [{ key: part.id, height: HEADING, render: () => html`<${Heading} part=${part} more=${more} />` }, ...rows];
}

function Heading({ part, more }) {
  return html`
    <div class="heading">
      <h2>${part.id === "running" && queue.state === "paused" ? "Paused with the queue" : part.heading}</h2>
      ${more && html`<button class="quiet" onClick=${() => queue.show(part.id)}>Show all ${number(queue.counts?.queued ?? 0)}</button>`}
    </div>
  `;
}

function Unread({ problem }) {
  return html`<div class="notice bad" role="alert"><span>${problem.message}</span><button onClick=${() => queue.retry()}>Try again</button></div>`;
}

/** The selection after a click; with shift, all between the last and this one too. */
let lastClicked = null;
function selection(selected, job, event, all) {
  const next = new Set(selected);
  const [from, to] = [all.findIndex((other) => other.id === lastClicked), all.indexOf(job)].sort((a, b) => a - b);
  const range = event.shiftKey && from >= 0 ? all.slice(from, to + 1) : [job];
  for (const { id } of range) event.target.checked ? next.add(id) : next.delete(id);
  lastClicked = job.id;
  return next;
}

function Selection({ jobs, clear }) {
  const some = (verb) => jobs.filter(verb);
  const button = (label, verb, which) =>
    which.length > 0 && html`<button onClick=${() => verbs.each(which, verb).catch(fail)}>${label}</button>`;
  return html`
    <div class="selection" role="toolbar" aria-label="Selected jobs">
      <strong>${plural(jobs.length, "job")} selected</strong>
      ${button("Pause", verbs.pause, some(verbs.can.pause))}
      ${button("Resume", verbs.resume, some(verbs.can.resume))}
      ${button("Retry", verbs.retry, some(verbs.can.retry))}
      ${some(verbs.can.cancel).length > 0 && html`<button onClick=${() => verbs.cancelMany(some(verbs.can.cancel))}>Cancel</button>`}
      <button class="danger" onClick=${() => (clear(), verbs.remove(jobs))}>Delete</button>
      <button class="quiet" onClick=${clear}>Clear</button>
    </div>
  `;
}

function Filters() {
  const [words, setWords] = useState(queue.search);
  useEffect(() => {
    const timer = setTimeout(() => queue.show(queue.filter, words.trim()), 200);
    return () => clearTimeout(timer);
  }, [words]);
  const status = FILTERS[queue.filter].status;
  const count = status && queue.counts?.[status];
  const ended = ["failed", "completed", "cancelled"].includes(status);
  return html`
    <div class="filters">
      <nav aria-label="Filter by state">
        ${Object.entries(FILTERS).map(
          ([id, filter]) => html`
            <button aria-pressed=${queue.filter === id} title=${filter.hint} onClick=${() => queue.show(id, queue.search)}>
              ${called(id, filter.name)}${filter.count && queue.counts ? html` <span class="count">${number(queue.counts[filter.count])}</span>` : ""}
            </button>
          `,
        )}
      </nav>
      ${orderable(queue.filter, queue.search) && html`
        <select aria-label="Order" onChange=${(event) => queue.show(queue.filter, queue.search, event.target.value)}>
          ${Object.entries(ORDERS).map(([id, { name }]) => html`<option value=${id} selected=${queue.order === id}>${name}</option>`)}
        </select>
      `}
      ${queue.slots && html`<${Slots} />`}
      <input type="search" placeholder="Search names" aria-label="Search jobs by name" value=${words} onInput=${(event) => setWords(event.target.value)} />
      ${status === "failed" && count > 0 && html`<button class="quiet" onClick=${verbs.retryAll}>Retry all…</button>`}
      ${count > 0 && !queue.search && html`<button class="quiet" onClick=${() => verbs.bulk(ended ? "delete" : "cancel", status, count)}>${ended ? "Delete" : "Cancel"} all ${status === "failed" ? "that ended" : number(count)}</button>`}
    </div>
  `;
}

/** How many encodes run at once; a number that the daemon refuses gives way to the one that holds. */
function Slots() {
  const set = (event) => (event.target.reportValidity() ? verbs.setSlots(Number(event.target.value)) : (event.target.value = queue.slots));
  return html`
    <label class="slots" title="What runs beyond that goes on to its end">
      at once <input type="number" aria-label="Encodes at once" required min="1" max="1000" value=${queue.slots} onChange=${set} />
    </label>
  `;
}

/** While the queue is paused, what had begun stands still: it is not to be called running. */
function called(id, name) {
  if (queue.state !== "paused") return name;
  return { running: "Paused with the queue", paused: "Paused alone" }[id] ?? name;
}

function Nothing() {
  const first = Object.values(queue.counts).every((count) => count === 0);
  if (!first) {
    return html`
      <div class="empty">
        <h2>${queue.search ? `Nothing is called “${queue.search}”` : "Nothing here"}</h2>
        <p>${queue.search ? "Search looks at the names of jobs and of their files." : `There are no ${FILTERS[queue.filter].name.toLowerCase()} jobs.`}</p>
      </div>
    `;
  }
  return html`
    <div class="empty">
      <h2>Nothing to do yet</h2>
      <ol>
        <li>Drop video or sound files anywhere on this page, or paste them.</li>
        <li>Choose what to make of them: sizes, formats, variations.</li>
        <li>Watch them here, compare them with the source, download them.</li>
      </ol>
      <p><a class="button primary" href="#/add">Add files</a></p>
      <p class="muted">From a shell: <code>ffspool submit FILE -p h264-720p</code></p>
    </div>
  `;
}

// Order: a job goes before another by a higher priority, or by its age

function movable(items, job) {
  return {
    drag: (event) => event.dataTransfer.setData("application/x-ffspool-job", job.id),
    key: (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity }[event.key];
      if (!step) return;
      event.preventDefault();
      const at = items.indexOf(job);
      move(items, job, Math.max(0, Math.min(items.length - 1, at + step)));
    },
  };
}

/** Puts the job at that place among those that wait, with as few changes of priority as that takes. */
async function move(items, job, place) {
  const others = items.filter((other) => other !== job);
  const changes = priorities(others.slice(0, place), job, others[place]);
  if (changes.size > FARTHEST) return overlays.say("That is too far for one move. Set the job's priority instead.");
  const done = await Promise.all([...changes].map(([changed, priority]) => verbs.patch(changed, { priority })));
  if (done.every(Boolean)) overlays.say(`${title(job)} is now number ${place + 1} of those that wait.`);
}

/** What must change so that `job` comes right before `next` (undefined: last) and after all of `above`. */
export function priorities(above, job, next) {
  const older = (one, other) => one.created_at < other.created_at;
  const changes = new Map();
  const last = above.at(-1);
  let below = { ...job };
  if (next) below.priority = next.priority + (older(job, next) ? 0 : 1);
  else if (last) below.priority = last.priority - (older(last, job) ? 0 : 1);
  if (below.priority !== job.priority) changes.set(job, below.priority);
  for (const other of [...above].reverse()) {
    const least = below.priority + (older(other, below) ? 0 : 1);
    if (other.priority >= least) break;
    changes.set(other, least);
    below = { ...other, priority: least };
  }
  return changes;
}

addEventListener("dragover", (event) => {
  if (event.dataTransfer?.types.includes("application/x-ffspool-job") && event.target.closest?.("[data-job]")) event.preventDefault();
});
addEventListener("drop", (event) => {
  const id = event.dataTransfer?.getData("application/x-ffspool-job");
  const target = event.target.closest?.("[data-job]")?.dataset.job;
  if (!id || !target || id === target) return;
  event.preventDefault();
  const items = queue.parts.find((part) => part.id === "waiting")?.items ?? [];
  const place = items.findIndex((job) => job.id === target);
  if (place >= 0) move(items, queue.get(id), place);
});
