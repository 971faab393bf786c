// The page: what is asked for by the address, the header that is always there, and files dropped anywhere.
import { html, render, useChanges, useEffect, useState } from "./html.js";
import { get, session, signIn, signOut, tokenFromAddress } from "./api.js";
import { events } from "./events.js";
import { clock } from "./format.js";
import { Icon, IconButton } from "./icons.js";
import { queue } from "./queue_state.js";
import { notifier } from "./notify.js";
import { fail, Overlay, overlays } from "./overlays.js";
import { QueueView } from "./queue_view.js";
import { filesIn, transfers } from "./transfers.js";
import { setQueue } from "./verbs.js";

const load = (path, name) => () => import(path).then((module) => module[name]);
const VIEWS = [
  [/^#\/add$/, "Add files", load("./add_view.js", "AddView")],
  [/^#\/folders$/, "Folders", load("./watched_view.js", "WatchedView")],
  [/^#\/machines$/, "Machines", load("./machines_view.js", "MachinesView")],
  [/^#\/stats$/, "Stats", load("./stats_view.js", "StatsView")],
  [/^#\/jobs\/(?<id>[^/]+)$/, "Job", load("./job_view.js", "JobView")],
  [/^#\/jobs\/(?<job>[^/]+)\/(?<variation>[^/]+)$/, "Result", load("./result_view.js", "ResultView")],
];
const HOME = { name: "Queue", View: Home, parameters: {} };

function useRoute() {
  const [route, setRoute] = useState(HOME);
  useEffect(() => {
    let first = true;
    const go = async () => {
      const asked = location.hash;
      const [found] = VIEWS.flatMap(([pattern, name, view]) => (pattern.test(asked) ? [{ pattern, name, view }] : []));
      const next = found ? { name: found.name, View: await found.view(), parameters: { ...asked.match(found.pattern).groups } } : HOME;
      if (location.hash !== asked) return; // clicked on meanwhile
      setRoute(next);
      document.title = next === HOME ? "ffspool" : `${next.name} – ffspool`;
      if (!first) requestAnimationFrame(() => (scrollTo(0, 0), focusHeading()));
      first = false;
    };
    addEventListener("hashchange", go);
    go();
    return () => removeEventListener("hashchange", go);
  }, []);
  return route;
}

/** Moves the focus to the view's heading, once it is there. */
function focusHeading(frames = 300) {
  const heading = document.querySelector("main h1");
  if (heading) heading.focus({ preventScroll: true });
  else if (frames) requestAnimationFrame(() => focusHeading(frames - 1));
}

function Home() {
  return html`<h1 class="hidden" tabindex="-1">Queue</h1><${QueueView} />`;
}

function App() {
  useChanges(session);
  const { name, View, parameters } = useRoute();
  const [dropping, setDropping] = useState(false);
  const [Tray, setTray] = useState(null);
  const [SignIn, setSignIn] = useState(null);
  useChanges(transfers);
  useEffect(() => takeFiles(setDropping), []);
  const ordered = transfers.items.some((item) => item.order !== null);
  useEffect(() => void (ordered && !Tray && load("./add_view.js", "Tray")().then((Tray) => setTray(() => Tray))), [ordered]);
  const out = session.open === false;
  useEffect(() => void (out && !SignIn && load("./signin.js", "SignIn")().then((SignIn) => setSignIn(() => SignIn))), [out]);

  if (out) return html`<main class="page">${SignIn && html`<${SignIn} />`}</main><${Overlay} />`;
  return html`
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), document.querySelector("#main").focus())}>Skip to the content</a>
    <${Header} current=${name} />
    <main class="page" id="main" tabindex="-1"><${View} key=${JSON.stringify(parameters)} ...${parameters} /></main>
    ${ordered && Tray && html`<${Tray} />`}
    ${dropping && html`<div class="drop" aria-hidden="true">Drop to add</div>`}
    <${Overlay} />
  `;
}

function Header({ current }) {
  useChanges(events, queue);
  const [watches, setWatches] = useState(false);
  const [machines, setMachines] = useState(false);
  const live = events.state === "live";
  const any = (path, set) => get(path).then(({ items }) => set(items.length > 0), (error) => error.code === "forbidden" || fail(error));
  useEffect(() => void (live && (any("api/folders", setWatches), any("api/machines", setMachines))), [live]);
  const link = (name, hash) => html`<a href=${hash} aria-current=${current === name ? "page" : undefined}>${name}</a>`;
  return html`
    <header class="top">
      <a class="brand" href="#/" aria-label="ffspool: queue"><${Icon} of="play" /> ffspool</a>
      <nav aria-label="Views">${link("Queue", "#/")}${watches && link("Folders", "#/folders")}${machines && link("Machines", "#/machines")}${link("Stats", "#/stats")}</nav>
      <span class="live ${events.state}" role="status">${{ live: "live", connecting: "connecting…", reconnecting: "reconnecting…" }[events.state]}</span>
      <${QueueSwitch} />
      <${Bell} />
      <${IconButton} of="leave" label="Sign out" onClick=${() => signOut().catch(fail)} />
      <a class="button primary" href="#/add">Add files</a>
    </header>
    <${Standstill} />
  `;
}

/** Says why nothing starts, if the whole queue is the reason, and how it does. */
function Standstill() {
  const { state, schedule } = queue;
  if (state === "running") return null;
  const scheduled = schedule?.state === state && schedule.because;
  const begins = scheduled && schedule.changes_at ? `, until ${clock((new Date(schedule.changes_at) - Date.now()) / 1000)}` : "";
  const what = state === "paused" ? "nothing runs" : "what runs is finished, nothing new starts";
  return html`
    <p class="banner" role="status">
      ${scheduled ? `The queue waits (${schedule.because}${begins}): ${what}.` : `The queue is ${state}: ${what}.`}
      <button onClick=${() => setQueue("resume")}>${scheduled ? "Run now" : "Resume the queue"}</button>
    </p>
  `;
}

/** Says until when the queue runs by its schedule, or that it runs in spite of it. */
function Hours() {
  const { schedule } = queue;
  if (!schedule?.changes_at) return null;
  const until = clock((new Date(schedule.changes_at) - Date.now()) / 1000);
  return html`<span class="muted">${schedule.overruled ? `runs though ${schedule.because}` : `runs until ${until}`}</span>`;
}

function QueueSwitch() {
  if (queue.state !== "running") return null;
  const drain = async () => {
    const body = html`<p>What runs is finished; nothing new is started until you resume the queue. Good before a reboot.</p>`;
    if (await overlays.ask({ title: "Drain the queue?", body, yes: "Drain" })) setQueue("drain");
  };
  return html`
    <${Hours} />
    <span class="switch">
      <${IconButton} of="pause" label="Pause the whole queue" onClick=${() => setQueue("pause")} />
      <${IconButton} of="drain" label="Drain the queue" title="Drain: finish what runs, start nothing" onClick=${drain} />
    </span>
  `;
}

function Bell() {
  useChanges(notifier);
  const label = "Notify me when a batch ends";
  return html`<${IconButton} of="bell" label=${label} aria-pressed=${notifier.on} onClick=${() => notifier.toggle()} />`;
}

/** Files dropped or pasted anywhere go to the view where one says what to make of them. */
function takeFiles(setDropping) {
  const holds = (event) => event.dataTransfer?.types.includes("Files");
  const take = async (items) => {
    const files = await filesIn(items);
    if (!files.length) return;
    transfers.add(files);
    location.hash = "#/add";
  };
  const listeners = {
    dragover: (event) => holds(event) && (event.preventDefault(), setDropping(true)),
    dragleave: (event) => event.relatedTarget === null && setDropping(false),
    drop: (event) => {
      setDropping(false);
      if (!holds(event)) return;
      event.preventDefault();
      take(event.dataTransfer.items);
    },
    paste: (event) => take(event.clipboardData.items),
  };
  for (const [type, listen] of Object.entries(listeners)) addEventListener(type, listen);
  return () => Object.entries(listeners).forEach(([type, listen]) => removeEventListener(type, listen));
}

/** Signs in by a token link, also one that is followed while the page is open. */
async function takeToken() {
  const token = tokenFromAddress();
  if (token === null) return;
  try {
    await signIn(token);
  } catch (error) {
    overlays.say(error.status === 401 ? "The link's token is wrong." : error.message, { kind: "bad" });
  }
}

async function begin() {
  await takeToken();
  addEventListener("hashchange", takeToken);
  queue.start();
  transfers.start();
  notifier.start();
  session.subscribe(() => session.open !== false && events.start());
  session.resume();
}

render(html`<${App} />`, document.querySelector("#app"));
begin();
