// Watched folders: what was found in them, what came of it, and their verbs.
import { html, useEffect, useState } from "./html.js";
import { get, jobPath, post } from "./api.js";
import { ago, bytes, clock, exact, number, plural } from "./format.js";
import { fail, overlays } from "./overlays.js";

const EVERY = 3000; // ms
const LISTED = 100; // at once

export function WatchedView() {
  const [folders, setFolders] = useState(null);
  const read = () => get("api/folders").then(({ items }) => setFolders(items)).catch(fail);
  useEffect(() => {
    read();
    const timer = setInterval(read, EVERY);
    return () => clearInterval(timer);
  }, []);
  if (!folders) return html`<h1 tabindex="-1">Folders</h1><p class="muted">Reading…</p>`;
  return html`
    <h1 tabindex="-1">Folders</h1>
    ${folders.length === 0 && html`<p class="muted">No folder is watched: <code>[[folders]]</code> in ffspool.toml names them.</p>`}
    ${folders.map((folder) => html`<${Watched} key=${folder.name} ...${{ folder, read }} />`)}
  `;
}

function Watched({ folder, read }) {
  const verb = (name, said) => async () => {
    try {
      await post(`${path(folder)}/${name}`);
      overlays.say(said);
      await read();
    } catch (error) {
      fail(error);
    }
  };
  const button = (label, name, said) => html`<button onClick=${verb(name, said)}>${label}</button>`;
  return html`
    <section class="watched" aria-label=${folder.name}>
      <h2>${folder.name} <${Standing} folder=${folder} /></h2>
      ${folder.error && html`<p class="notice" role="status">${folder.error}</p>`}
      <${Hours} of=${folder.schedule} />
      <p>${told(folder)}</p>
      <div class="buttons" role="toolbar" aria-label="Folder ${folder.name}">
        ${button("Scan now", "scan", `${folder.name} is scanned.`)}
        ${keeps(folder.schedule) && !folder.paused && button("Run now", "resume", `${folder.name} runs whatever the hour.`)}
        ${folder.paused ? button("Resume", "resume", `${folder.name} is scanned again.`) : button("Pause", "pause", `${folder.name} is left alone until you resume it.`)}
        ${folder.refused + folder.failed + folder.not_replaced + folder.not_delivered > 0 && button("Retry what was not made", "retry", "What was refused or failed is looked at anew; what did not arrive is delivered again.")}
      </div>
      <${History} folder=${folder} read=${read} />
    </section>
  `;
}

/** Whether it keeps jobs from running now. */
const keeps = (schedule) => Boolean(schedule?.because && !schedule.overruled);

function Hours({ of: schedule }) {
  if (!schedule) return null;
  const until = schedule.changes_at && `until ${clock((new Date(schedule.changes_at) - Date.now()) / 1000)}`;
  if (keeps(schedule)) return html`<p class="notice" role="status">Its jobs wait (${[schedule.because, until].filter(Boolean).join(", ")}).</p>`;
  return html`<p class="muted">${schedule.overruled ? `Its jobs run though ${schedule.because}.` : `Its jobs run ${until || "at any time"}.`}</p>`;
}

const path = ({ name }) => `api/folders/${encodeURIComponent(name)}`;

function Standing({ folder: { paused, error, scanned_at: at } }) {
  if (paused) return html`<span class="state paused">paused</span>`;
  if (error) return html`<span class="state failed">not all is known</span>`;
  return html`<span class="state" title=${at && exact(at)}>${at ? `scanned ${ago(at)}` : "not scanned yet"}</span>`;
}

/** The figures that are not nought, in words. */
function told({ found, left_out: other, waiting, working, made, not_delivered: left, not_replaced: same, failed, refused, replaced, saved_bytes: saved }) {
  const parts = [
    plural(found, "file"),
    other && `${number(other)} of other names`,
    waiting && `${number(waiting)} to settle`,
    working && `${number(working)} at work`,
    made && `${number(made)} made`,
    left && `${number(left)} not delivered`,
    same && `${number(same)} not replaced`,
    failed && `${number(failed)} failed`,
    refused && `${number(refused)} refused`,
    replaced && `${bytes(saved)} saved`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** What became of its files, once it is opened. */
function History({ folder, read }) {
  const [open, setOpen] = useState(false);
  const [{ items, next_cursor: next }, setPage] = useState({});
  const { taken, working, refused, replaced, not_delivered: left } = folder;
  const page = (cursor = "") => get(`${path(folder)}/history?limit=${LISTED}${cursor && `&cursor=${cursor}`}`);
  const list = () => page().then(setPage, fail);
  const more = () => page(next).then((older) => setPage({ ...older, items: [...items, ...older.items] }), fail);
  useEffect(() => void (open && list()), [open, taken, working, refused, replaced, left]);
  const undo = async (name) => {
    const body = html`<p>The original of ${name} comes back to its place; what took that is removed.</p>`;
    if (!(await overlays.ask({ title: `Put back ${name}?`, body, yes: "Put it back", danger: true }))) return;
    try {
      await post("api/folders/undo", { folder: folder.name, name });
      await Promise.all([read(), list()]);
    } catch (error) {
      fail(error);
    }
  };
  return html`
    <details open=${open} onToggle=${(event) => setOpen(event.target.open)}>
      <summary>What became of its files</summary>
      ${items?.length === 0 && html`<p class="muted">Nothing was taken yet.</p>`}
      <ul class="plain fates">${items?.map((item) => html`<${Fate} key=${`${item.name} ${item.at}`} ...${{ item, undo }} />`)}</ul>
      ${next && html`<button class="quiet" onClick=${more}>What is older</button>`}
    </details>
  `;
}

function Fate({ item: { name, verdict, error, job, bytes: size, at }, undo }) {
  return html`
    <li>
      <strong>${name}</strong> <span class="muted">${bytes(size)}</span>
      <span class="state ${/refused|failed|not delivered/.test(verdict) ? "failed" : ""}" title=${at && exact(at)}>${verdict}</span>
      ${job && html`<a href="#/jobs/${job}">Job</a>`}
      ${verdict === "replaced" && html`<button class="quiet" onClick=${() => undo(name)} aria-label="Put back ${name}">Put back</button>`}
      ${error && html`<p class="muted">${error}</p>`}
    </li>
  `;
}
