// Machines of the cluster: how each stands, what it makes, and how to let one rest.
import { html, useEffect, useState } from "./html.js";
import { get, post } from "./api.js";
import { ago, bytes, exact, percent, plural } from "./format.js";
import { fail, overlays } from "./overlays.js";

const EVERY = 2000; // ms

export function MachinesView() {
  const [machines, setMachines] = useState(null);
  const read = () => get("api/machines").then(({ items }) => setMachines(items)).catch(fail);
  useEffect(() => {
    read();
    const timer = setInterval(read, EVERY);
    return () => clearInterval(timer);
  }, []);
  if (!machines) return html`<h1 tabindex="-1">Machines</h1><p class="muted">Reading…</p>`;
  return html`
    <h1 tabindex="-1">Machines</h1>
    ${machines.length === 0 && html`<p class="muted">No machine is invited: <code>ffspool cluster invite NAME</code> does so.</p>`}
    ${machines.map((machine) => html`<${Machine} key=${machine.name} ...${{ machine, read }} />`)}
  `;
}

function Machine({ machine, read }) {
  const { name, state, drained, why, since, makes } = machine;
  const verb = (verb, said) => async () => {
    try {
      await post(`api/machines/${encodeURIComponent(name)}/${verb}`);
      overlays.say(said);
      await read();
    } catch (error) {
      fail(error);
    }
  };
  return html`
    <section class="watched" aria-label=${name}>
      <h2>${name} <span class="state ${STYLES[state]}" title=${since && exact(since)}>${since ? `${state} since ${ago(since)}` : state}</span></h2>
      ${why && html`<p class="notice" role="status">${since ? "It gets nothing" : "It was not taken"}: ${why}</p>`}
      ${since && html`<p>${told(machine)}</p>`}
      ${drained && !since && html`<p>It was drained: it gets nothing when it is back.</p>`}
      <ul class="plain">${makes.map((made) => html`<${Made} key=${made.variation} ...${made} />`)}</ul>
      ${state === "working" && !drained && html`<button onClick=${verb("drain", `${name} finishes what it has, and gets nothing more.`)}>Drain</button>`}
      ${drained && html`<button onClick=${verb("resume", `${name} gets work again.`)}>Resume</button>`}
    </section>
  `;
}

const STYLES = { draining: "paused", away: "failed", working: "" };

const told = ({ slots, slots_used: used, cores, free_bytes: free, sandbox }) =>
  `${used} of ${plural(slots, "slot")} in use · ${plural(cores, "core")} · ${bytes(free)} free · ${sandbox === "none" ? "no sandbox" : `sandbox: ${sandbox}`}`;

function Made({ job, variation, source, preset, progress }) {
  return html`<li><a href="#/jobs/${job}">${source}</a> <span class="muted">${[preset, percent(progress)].filter(Boolean).join(" · ")}</span></li>`;
}
