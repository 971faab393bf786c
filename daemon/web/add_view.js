// Add: files, what to make of them, and go. Files go up while the choice is made.
import { html, memory, prose, useChanges, useEffect, useState } from "./html.js";
import { get } from "./api.js";
import { IconButton } from "./icons.js";
import { bytes, duration, percent, plural } from "./format.js";
import { fail, overlays } from "./overlays.js";
import { Choices, isCut, refusals } from "./refusals.js";
import { transfers } from "./transfers.js";

const FIRST = { refresh: ["count", "seed"] }; // parameters shown at once; the rest behind "more"
const MANY = 15; // presets beyond which one wants to search
const KEPT = [
  ["", "as the daemon is set up"],
  ["3600", "1 hour"],
  ["86400", "1 day"],
  ["604800", "7 days"],
  ["2592000", "30 days"],
];

const CONFLICTS = [
  ["fail", "do not deliver"],
  ["number", "give it a number"],
  ["skip", "leave what is there"],
  ["overwrite", "replace what is there"],
];

export function AddView() {
  useChanges(transfers);
  const [{ items: presets, groups }, setPresets] = useState({ items: [], groups: {} });
  const [chosen, setChosen] = useState(memory.get("chosen") ?? {}); // preset name → overrides
  const [words, setWords] = useState("");
  const [details, setDetails] = useState({ name: "", priority: 0, expires_in: "", together: false, folder: memory.get("folder") ?? "", conflict: "fail", salvage: false, unsuitable: "skip" });
  useEffect(() => void get("api/presets").then(setPresets, fail), []);
  useEffect(() => memory.set("chosen", chosen), [chosen]);

  const files = transfers.draft.filter((item) => item.state !== "failed");
  const wanted = presets.filter((preset) => preset.name in chosen);
  const many = (preset) => (preset.kind === "refresh" ? Number(chosen[preset.name].count ?? 1) : 1);
  const each = wanted.reduce((sum, preset) => sum + many(preset), 0);
  const asked = details.salvage && files.some(isCut) ? mapped(chosen, (overrides) => ({ on_truncated: "keep", ...overrides })) : chosen;
  const { refused, going } = refusals(files, wanted, asked, details.unsuitable);
  const vain = refused.reduce((sum, { preset }) => sum + many(preset), 0);
  const count = files.length * each - vain;
  const why = vain > 0 && `${vain === 1 ? "1 cannot" : `${vain} cannot`} be made: ${refused[0].file.name}, ${refused[0].preset.name}: ${refused[0].words}${refused.length > 1 ? ` (and ${refused.length - 1} more)` : ""}`;
  const missing = !files.length ? "Add at least one file." : !each ? "Choose at least one preset." : count ? "" : why;

  const submit = (event) => {
    event.preventDefault();
    memory.set("folder", details.folder);
    transfers.order(spec(wanted, asked, details), details.together, going);
    const left = files.filter((item) => item.state !== "done").length;
    const behind = files.length - going.length;
    const words = [
      `${plural(count, "variation")} will be made.`,
      left > 0 && `Keep this page open: ${plural(left, "file")} still on the way.`,
      behind > 0 && `${plural(behind, "file")} of which nothing can be made ${behind === 1 ? "stays" : "stay"} in the form.`,
    ];
    overlays.say(words.filter(Boolean).join(" "));
    location.hash = "#/";
  };

  return html`
    <h1 class="hidden" tabindex="-1">Add files</h1>
    <form class="add" onSubmit=${submit}>
      <section aria-labelledby="files">
        <h2 id="files">1 · Files</h2>
        <${Picker} />
        <${TransferList} items=${transfers.draft} />
      </section>
      <section aria-labelledby="presets">
        <h2 id="presets">2 · What to make of each</h2>
        ${presets.length > MANY && html`<input type="search" placeholder="Search presets" aria-label="Search presets" value=${words} onInput=${(event) => setWords(event.target.value)} />`}
        ${grouped(presets, groups, words, chosen).map(
          ([name, some]) => html`
            <h3 key="heading of ${name}">${name}</h3>
            <div class="cards" key=${name}>
              ${some.map((preset) => html`<${Card} key=${preset.name} preset=${preset} overrides=${chosen[preset.name]} set=${(overrides) => setChosen(without(chosen, preset.name, overrides))} />`)}
            </div>
          `,
        )}
      </section>
      <section aria-labelledby="go">
        <h2 id="go">3 · Go</h2>
        <${Choices} ...${{ files, refused, details, setDetails }} />
        <${Details} ...${{ details, setDetails, several: files.length > 1 }} />
      </section>
      <div class="go">
        <button class="primary large" disabled=${!!missing}>
          ${missing ? "Start" : `Start: ${vain ? "" : `${plural(files.length, "file")} × ${each} = `}${plural(count, "variation")}`}
        </button>
        <span class="muted" role="status">${missing || why}</span>
      </div>
    </form>
  `;
}

/** Presets below their group's heading: those that match the words or are chosen already. */
function grouped(presets, groups, words, chosen) {
  const found = presets.filter(({ name, description }) => name in chosen || `${name} ${description}`.toLowerCase().includes(words.trim().toLowerCase()));
  return Object.entries(groups).map(([group, heading]) => [heading, found.filter((preset) => preset.group === group)]).filter(([, some]) => some.length);
}

function without(chosen, name, overrides) {
  const { [name]: _, ...rest } = chosen;
  return overrides ? { ...rest, [name]: overrides } : rest;
}

const mapped = (object, change) => Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));

function spec(wanted, chosen, { name, priority, expires_in: keep, folder, conflict, unsuitable }) {
  const variations = wanted.map((preset) => ({ preset: preset.name, ...chosen[preset.name] }));
  const deliver = folder.trim() && { deliver: { folder: folder.trim(), conflict } };
  return { variations, priority: Number(priority), on_unsuitable: unsuitable, ...(name && { name }), ...(keep && { expires_in: Number(keep) }), ...deliver };
}

/** Opens the browser's own dialog; `take` is given what was chosen in it. */
function pickFiles(how, take) {
  const input = document.createElement("input");
  Object.assign(input, { type: "file", ...how });
  input.onchange = () => take([...input.files]);
  input.click();
}

function Picker() {
  const pick = (folder) => pickFiles({ multiple: true, webkitdirectory: folder }, (files) => transfers.add(files.filter((file) => !file.name.startsWith("."))));
  return html`
    <div class="picker">
      <p>Drop files or folders anywhere on this page, paste them, or</p>
      <button type="button" onClick=${() => pick(false)}>Choose files</button>
      <button type="button" onClick=${() => pick(true)}>Choose a folder</button>
    </div>
  `;
}

function Card({ preset, overrides, set }) {
  const on = overrides !== undefined;
  const first = FIRST[preset.name] ?? [];
  const shown = (parameter) => first.includes(parameter.name);
  const field = (parameter) => html`<${Field} key=${parameter.name} id="${preset.name}-${parameter.name}" parameter=${parameter} value=${overrides?.[parameter.name]} set=${(value) => set(changed(overrides, parameter, value))} />`;
  return html`
    <div class="card ${on ? "on" : ""}">
      <label class="choice">
        <input type="checkbox" aria-label=${preset.name} aria-describedby="about-${preset.name}" checked=${on} onChange=${(event) => set(event.target.checked ? {} : undefined)} />
        <span><strong>${preset.name}</strong> <span class="muted">${preset.folder ? "folder" : `.${preset.extension}`}</span><br /><span id="about-${preset.name}">${prose(preset.description)}</span></span>
      </label>
      ${on && html`
        <div class="fields">${preset.parameters.filter(shown).map(field)}</div>
        <details>
          <summary>${first.length ? "More" : "Adjust"}</summary>
          <div class="fields">${preset.parameters.filter((parameter) => !shown(parameter)).map(field)}</div>
        </details>
      `}
    </div>
  `;
}

function changed(overrides, { name, type, default: standard }, text) {
  const { [name]: _, ...rest } = overrides;
  const value = type === "integer" || type === "number" ? Number(text) : text; // of a boolean it is one already
  return text === "" || value === standard ? rest : { ...rest, [name]: value };
}

function Field({ id, parameter, value, set }) {
  const { name, type, minimum, maximum, choices, description, default: standard } = parameter;
  const label = name.replace("kbps", "(kbit/s)").replaceAll("_", " ");
  const number = type === "integer" || type === "number";
  const range = minimum != null && `${minimum}–${maximum}`;
  const usual = type !== "boolean" && standard != null && `usually ${standard}`;
  const hint = [range, usual].filter(Boolean).join(", ");
  return html`
    <label for=${id} title=${description}>${label}</label>
    ${type === "boolean"
      ? html`<input id=${id} type="checkbox" aria-describedby="${id}-hint" checked=${value ?? standard} onChange=${(event) => set(event.target.checked)} />`
      : choices
      ? html`<select id=${id} aria-describedby="${id}-hint" onChange=${(event) => set(event.target.value)}>${choices.map((choice) => html`<option selected=${choice === (value ?? standard)}>${choice}</option>`)}</select>`
      : html`<input
          id=${id}
          aria-describedby="${id}-hint"
          type=${number ? "number" : "text"}
          min=${minimum}
          max=${maximum}
          step=${type === "number" ? "any" : 1}
          value=${value ?? ""}
          placeholder=${standard ?? "any text"}
          onInput=${(event) => set(event.target.value)}
        />`}
    <small id="${id}-hint">${prose(description)}${hint && ` (${hint})`}</small>
  `;
}

function Details({ details, setDetails, several }) {
  const bind = (name) => ({ value: details[name], onInput: (event) => setDetails({ ...details, [name]: event.target.value }) });
  const choose = (together) => () => setDetails({ ...details, together });
  return html`
    ${several && html`
      <fieldset>
        <legend>Begin</legend>
        <label><input type="radio" name="together" checked=${!details.together} onChange=${choose(false)} /> each file as soon as it is here, as a job of its own</label>
        <label><input type="radio" name="together" checked=${details.together} onChange=${choose(true)} /> when all files are here, as one job with one download</label>
      </fieldset>
    `}
    <details>
      <summary>Name, priority, how long to keep, where to deliver</summary>
      <div class="fields">
        <label for="job-name">name</label><input id="job-name" maxlength="200" placeholder="the file's" ...${bind("name")} />
        <label for="job-priority">priority</label><input id="job-priority" type="number" min="-1000" max="1000" ...${bind("priority")} />
        <label for="job-keep">keep results</label>
        <select id="job-keep" ...${bind("expires_in")}>${KEPT.map(([seconds, words]) => html`<option value=${seconds}>${words}</option>`)}</select>
        <label for="job-folder">deliver to</label><input id="job-folder" maxlength="4096" placeholder="nowhere" aria-describedby="job-folder-hint" ...${bind("folder")} />
        <small id="job-folder-hint">a folder on the daemon's host, below an output root</small>
        <label for="job-conflict">if it is there</label>
        <select id="job-conflict" ...${bind("conflict")}>${CONFLICTS.map(([value, words]) => html`<option value=${value}>${words}</option>`)}</select>
      </div>
    </details>
  `;
}

/** What a file holds, in a line: kind, length, tracks, and whether it is whole. */
export function contents({ media, whole, error }) {
  if (error) return error.split("\n")[0];
  const { video, audio, subtitles, duration_seconds: lasts } = media;
  return [
    video ? `${video.width}×${video.height} ${video.codec}` : audio.length ? `sound alone, ${audio[0].codec}` : "no picture and no sound",
    lasts != null && duration(lasts),
    video && (audio.length === 1 ? `sound ${audio[0].codec}` : audio.length ? plural(audio.length, "sound track") : "no sound"),
    subtitles.length > 0 && plural(subtitles.length, "subtitle track"),
    !whole && "cut off: its end is missing",
  ].filter(Boolean).join(" · ");
}

const WORDS = {
  waiting: "waits for its turn",
  paused: "paused",
  done: "uploaded",
  lost: "connection lost; goes on by itself",
  missing: "stopped by the reload: choose the same file again, and it goes on from",
};

/** Files on their way, each with what can be done to it. */
export function TransferList({ items }) {
  if (!items.length) return null;
  return html`
    <ul class="transfers">
      ${items.map((item) => html`<${Transfer} key=${item.id} item=${item} />`)}
    </ul>
  `;
}

function Transfer({ item }) {
  const { name, size, sent, speed, state, words, found } = item;
  const share = size ? (100 * sent) / size : 0;
  const left = state === "sending" && speed > 0 ? duration((size - sent) / speed) : "";
  const said = state === "sending" ? `${percent(share)} · ${speed ? `${bytes(speed)}/s` : "starting"} ${left && `· ${left} left`}` : words || `${WORDS[state]}${state === "missing" ? ` ${percent(share)}` : ""}`;
  const again = () =>
    pickFiles({}, ([file]) => transfers.again(item, file) || overlays.say(`${file.name} is another file: ${name} of ${bytes(size)} is what was on its way.`, { kind: "bad" }));
  return html`
    <li class=${state}>
      <span class="name" title=${name}>${name}</span>
      <span class="muted size">${bytes(size)}</span>
      <progress max="100" value=${share} aria-label="Upload of ${name}"></progress>
      <span class="said">${said}${found && html` · <span class=${found.whole ? "" : "bad-text"}>${contents(found)}</span>`}</span>
      <span class="actions">
        ${state === "missing" && html`<button type="button" aria-label="Choose ${name} again" onClick=${again}>Choose again</button>`}
        ${(state === "sending" || state === "waiting") && html`<${IconButton} of="pause" title="Pause" label="Pause the upload of ${name}" onClick=${() => transfers.pause(item)} />`}
        ${(state === "paused" || state === "lost") && html`<${IconButton} of="play" title="Resume" label="Resume the upload of ${name}" onClick=${() => transfers.resume(item)} />`}
        <${IconButton} of="close" title="Remove" label="Remove ${name}" onClick=${() => transfers.drop(item)} />
      </span>
    </li>
  `;
}

/** What goes up after its jobs were ordered, below every view. */
export function Tray() {
  useChanges(transfers);
  const ordered = transfers.items.filter((item) => item.order !== null);
  if (!ordered.length) return null;
  return html`
    <details class="tray" open>
      <summary>${headline(ordered)}</summary>
      ${transfers.orders.filter((order) => order.problem).map(
        (order) => html`<p class="bad-text" role="alert">${order.problem} <button onClick=${() => transfers.retry(order)}>Try again</button></p>`,
      )}
      <${TransferList} items=${ordered} />
    </details>
  `;
}

/** What moves, and what somebody has to do something about. */
function headline(items) {
  const some = (...states) => items.filter((item) => states.includes(item.state));
  const moving = some("sending", "waiting");
  const sum = (figure) => moving.reduce((total, item) => total + item[figure], 0);
  const told = (count, words) => count > 0 && `${plural(count, "file")} ${words}`;
  return [
    told(moving.length, `on the way · ${percent((100 * sum("sent")) / sum("size"))} · keep this page open`),
    told(some("missing").length, "to be chosen again"),
    told(some("lost").length, "waiting for the connection"),
    told(some("paused").length, "paused"),
    told(some("failed").length, "refused"),
    told(some("done").length, "uploaded"),
  ].filter(Boolean).join(" · ");
}
