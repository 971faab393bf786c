// How the daemon fares: a health strip, figures, and small plots.
import { html, useEffect, useState } from "./html.js";
import { get } from "./api.js";
import { bytes, duration, number, roughly, speed } from "./format.js";
import { fail } from "./overlays.js";
import { past, remember } from "./recent_stats.js";

const EVERY = 5000; // ms
const STAGES = { quit: "asked to quit", terminate: "terminated", kill: "killed", exited: "gone already", stuck: "not yet ended" };
const HOUR = 3_600_000;

export function StatsView() {
  const [stats, setStats] = useState(null);
  const [ready, setReady] = useState(null);
  useEffect(() => {
    const read = () => Promise.all([get("api/stats").then((stats) => (remember(stats), setStats(stats))), get("readyz").then(setReady)]).catch(fail);
    read();
    const timer = setInterval(read, EVERY);
    return () => clearInterval(timer);
  }, []);
  if (!stats) return html`<h1 tabindex="-1">Stats</h1><p class="muted">Reading…</p>`;
  return html`
    <h1 tabindex="-1">Stats</h1>
    <${Health} stats=${stats} ready=${ready} />
    <div class="tiles">
      <${Tile} name="Waiting" value=${number(stats.variations.queued)} note=${stats.queue.oldest_seconds == null ? "nothing waits" : `oldest for ${duration(stats.queue.oldest_seconds)}`} />
      <${Tile} name="Running" value=${number(stats.variations.processing)} note="encodes" />
      <${Tile} name="Done" value=${number(stats.variations.completed)} note="variations kept now" />
      <${Tile} name="Failed" value=${number(stats.variations.failed)} note="variations kept now" />
    </div>
    <div class="plots">
      <${Line} title="Age of the oldest that waits" points=${past.map(({ at, age }) => [at, age])} words=${duration} />
      ${stats.disk && html`
      <${Line} title="Disk reserved for what runs" points=${past.map(({ at, reserved }) => [at, reserved])} words=${bytes} />
      <${Plot} title="Variations done per hour, last 24 h" bars=${byHour(stats.hours)} empty="Nothing was finished in the last 24 hours." />
      <${Plot} title="Speed by preset, times real time, last 7 days" bars=${byPreset(stats.presets)} empty="No encode was finished yet." wide />
      <${Plot} title="Cancelled encodes, by what ended them" bars=${byStage(stats.cancellations)} empty="No encode was cancelled yet." wide />`}
    </div>
  `;
}

function Health({ stats, ready }) {
  const { total_bytes: total, free_bytes: free, reserved_bytes: reserved } = stats.disk ?? {}; // of the host, which not every token sees
  const used = 100 * (1 - free / total);
  return html`
    <section class="health" aria-label="Health">
      <${Check} ok=${ready?.status === "ready"} name="Daemon" value=${ready?.status ?? "not ready"} />
      <${Check} ok=${true} name="Encoder" value=${stats.encoder.replace(/^ffmpeg version /, "").split(" ")[0]} />
      ${ready?.sandbox && html`<${Check} ok=${ready.sandbox.active ?? !/none/.test(ready.sandbox)} name="Sandbox" value=${verdict(ready.sandbox)} />`}
      ${stats.disk && html`<${Check} ok=${used < 85} name="Disk" value=${`${bytes(free)} free of ${bytes(total)}${reserved ? `, ${bytes(reserved)} reserved` : ""}`} />`}
      <${Check} ok=${stats.queue.state === "running"} name="Queue" value=${stats.queue.state} />
    </section>
  `;
}

const verdict = (sandbox) => (typeof sandbox === "string" ? sandbox : [sandbox.by, sandbox.reason].filter(Boolean).join(": "));

function Check({ ok, name, value }) {
  return html`<div class="check"><span class="dot ${ok ? "good" : "bad"}" aria-hidden="true"></span> <strong>${name}</strong> <span>${value}</span></div>`;
}

function Tile({ name, value, note }) {
  return html`<div class="tile"><span class="muted">${name}</span><strong>${value}</strong><span class="muted">${note}</span></div>`;
}

function byHour(hours) {
  const begin = Math.floor(Date.now() / HOUR) - 23;
  const counts = new Map(hours.map(({ at, completed }) => [Math.floor(new Date(at) / HOUR), completed]));
  return Array.from({ length: 24 }, (_, step) => {
    const hour = new Date((begin + step) * HOUR).getHours();
    const count = counts.get(begin + step) ?? 0;
    return { name: `${String(hour).padStart(2, "0")}:00`, value: count, label: number(count) };
  });
}

const byPreset = (presets) =>
  Object.entries(presets)
    .filter(([, { speed: value }]) => value)
    .map(([name, { speed: value, completed }]) => ({ name, value, label: `${speed(value)} (${number(completed)})` }));

const byStage = (stops) =>
  Object.entries(stops)
    .filter(([, { count }]) => count)
    .map(([stage, { count, seconds }]) => ({ name: STAGES[stage] ?? stage, value: count, label: `${number(count)}, ${duration(seconds / count)} each` }));

/** A figure over the time that this page has been open. */
function Line({ title, points, words }) {
  const values = points.map(([, value]) => value);
  const most = Math.max(...values);
  const [from, to] = [points[0][0], points.at(-1)[0]];
  const spot = ([at, value]) => `${to > from ? (240 * (at - from)) / (to - from) : 240},${72 - (68 * value) / (most || 1)}`;
  const told = `now ${words(values.at(-1))}, at most ${words(most)}`;
  return html`
    <figure class="plot">
      <figcaption>${title}</figcaption>
      <svg viewBox="0 0 240 90" role="img" aria-label="${title}: ${told}">
        <polyline points="0,${spot(points[0]).split(",")[1]} ${points.map(spot).join(" ")}" />
        <text x="0" y="86">${to - from < 1000 ? "" : `${roughly((to - from) / 1000)} ago`}</text>
        <text x="240" y="86" text-anchor="end">now</text>
      </svg>
      <p class="muted">${told}</p>
    </figure>
  `;
}

/** Bars: upright ones for times, lying ones with their words for categories. */
function Plot({ title, bars, empty, wide = false }) {
  const most = Math.max(...bars.map((bar) => bar.value), 0);
  return html`
    <figure class="plot">
      <figcaption>${title}</figcaption>
      ${!most ? html`<p class="muted">${empty}</p>` : wide ? html`<${Lying} ...${{ bars, most }} />` : html`<${Upright} ...${{ bars, most, title }} />`}
    </figure>
  `;
}

function Upright({ bars, most, title }) {
  const total = bars.reduce((sum, bar) => sum + bar.value, 0);
  const step = 240 / bars.length;
  return html`
    <svg viewBox="0 0 240 90" role="img" aria-label="${title}: ${number(total)} in all, ${number(most)} at most">
      ${bars.map((bar, place) => {
        const height = (70 * bar.value) / most;
        return html`<rect x=${place * step + 1} y=${72 - height} width=${step - 2} height=${Math.max(height, 0.5)} rx="1.5"><title>${bar.name}: ${bar.label}</title></rect>`;
      })}
      <text x="0" y="86">${bars[0].name}</text>
      <text x="240" y="86" text-anchor="end">${bars.at(-1).name}</text>
    </svg>
    <p class="muted">${number(total)} in all, ${number(most)} in the best hour</p>
  `;
}

function Lying({ bars, most }) {
  return html`
    <ul class="lying">
      ${bars.map(
        (bar) => html`<li><span>${bar.name}</span><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect width=${(100 * bar.value) / most} height="10" rx="1" /></svg><span class="muted">${bar.label}</span></li>`,
      )}
    </ul>
  `;
}
