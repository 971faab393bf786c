// What came out: played in the page, beside its source with a wipe, and how good it is.
import { html, useChanges, useEffect, useRef, useState } from "./html.js";
import { jobPath } from "./api.js";
import { bytes, duration, number, SOUNDS } from "./format.js";
import { IconButton } from "./icons.js";
import { Saving } from "./job_view.js";
import { useDetail } from "./job_row.js";

const PICTURES = /\.(gif|jpe?g|png|webp|svg)$/i;
const CATCH_UP = 0.1; // seconds apart beyond which the follower jumps rather than hurries

export function ResultView({ job: id, variation: wanted }) {
  const detail = useDetail(id);
  return detail ? html`<${Followed} detail=${detail} wanted=${wanted} />` : null;
}

function Followed({ detail, wanted }) {
  useChanges(detail);
  const { job, problem } = detail;
  if (problem) return html`<div class="empty"><h1 tabindex="-1">No such job</h1><p>${problem.message}</p></div>`;
  if (!job) return html`<p class="muted center">Reading the job…</p>`;
  const source = job.sources.find((source) => source.variations.some((variation) => variation.id === wanted));
  const variation = source?.variations.find((variation) => variation.id === wanted);
  if (!variation) return html`<div class="empty"><h1 tabindex="-1">No such variation</h1></div>`;
  const base = `${jobPath(job.id)}/variations/${variation.id}`;
  const path = `${base}/download`;
  return html`
    <a class="back" href="#/jobs/${job.id}">← Job</a>
    <h1 tabindex="-1">${variation.name}</h1>
    ${variation.status === "completed"
      ? html`<${variation.folder ? Contents : Player} key=${variation.id} ...${{ base, path, name: variation.name, source, from: `${jobPath(job.id)}/sources/${source.id}/download` }} />`
      : html`<p class="muted">It is not finished: there is nothing to see yet.</p>`}
    <dl class="facts">
      <dt>Size</dt>
      <dd>${bytes(source.bytes)} → ${bytes(variation.bytes)} ${variation.bytes && html`<${Saving} from=${source.bytes} to=${variation.bytes} lasts=${variation.output_seconds} />`}</dd>
      ${variation.output_seconds != null && html`<dt>Lasts</dt><dd>${duration(variation.output_seconds)}</dd>`}
    </dl>
    <details>
      <summary>How it was made</summary>
      <dl class="facts">
        ${Object.entries(variation.parameters).filter(([, value]) => value !== null).map(([name, value]) => html`<dt>${name.replaceAll("_", " ")}</dt><dd>${String(value)}</dd>`)}
        <dt>SHA-256</dt>
        <dd><code class="break">${variation.sha256}</code></dd>
      </dl>
    </details>
    <${Losses} left=${variation.left_out} />
    <${Quality} quality=${variation.quality} plot="${base}/quality.svg" />
    <p><a class="button primary" href=${path} download>Download${variation.folder ? " as zip" : ""}</a></p>
  `;
}

/** What of its source it has not, and why. */
function Losses({ left }) {
  if (!left?.length) return null;
  const told = ({ what, track, detail }) => [what.replaceAll("_", " "), track != null && `track ${track}`, detail].filter(Boolean).join(", ");
  return html`
    <section aria-labelledby="losses">
      <h2 id="losses">Left out of its source</h2>
      <ul>${left.map((one) => html`<li><b>${told(one)}</b>: ${one.why}</li>`)}</ul>
    </section>
  `;
}

/** How close it comes to its source, where that was asked for, and each frame's figure in a plot. */
function Quality({ quality, plot }) {
  if (!quality) return null;
  const metric = quality.metric.toUpperCase();
  const figure = (value) => value.toFixed(quality.metric === "vmaf" ? 1 : 4);
  return html`
    <section aria-labelledby="quality">
      <h2 id="quality">Quality</h2>
      ${quality.error
        ? html`<p class="notice">${metric} is not known: ${quality.error}</p>`
        : html`
            <p>${metric} ${figure(quality.mean)} on average, ${figure(quality.percentile_5)} or less in the worst 5 % of ${number(quality.frames)} frames, ${figure(quality.lowest)} in the worst of all.</p>
            <p><a href=${plot}><img class="quality" src=${plot} alt="${metric} of each frame, from the first to the last" /></a></p>
          `}
    </section>
  `;
}

function Contents(shown) {
  const [Folder, setFolder] = useState(null);
  useEffect(() => void import("./folder_view.js").then((module) => setFolder(() => module.Folder)), []);
  return Folder && html`<${Folder} ...${shown} />`;
}

function Player({ path, name, source, from }) {
  if (SOUNDS.test(name)) return html`<audio controls src=${path} aria-label=${name}></audio>`;
  if (PICTURES.test(name)) return html`<img class="result" src=${path} alt="The result: ${name}" />`;
  if (!source.media?.video) return html`<${Video} path=${path} name=${name} />`;
  return html`<${Comparison} ...${{ path, name, from, rate: source.media.video.frame_rate ?? 25 }} />`;
}

function Video({ path, name }) {
  const [failed, setFailed] = useState(false);
  if (failed) return html`<p class="notice">This browser cannot play ${name}. Download it to see it.</p>`;
  return html`<video class="result" controls playsinline src=${path} aria-label=${name} onError=${() => setFailed(true)}></video>`;
}

/** Source and variation in one frame, the wipe between them; the source leads, the variation follows to the frame. */
function Comparison({ path, name, from, rate }) {
  const [broken, setBroken] = useState(null);
  const [wipe, setWipe] = useState(50);
  const [playing, setPlaying] = useState(false);
  const [at, setAt] = useState(0);
  const [length, setLength] = useState(0);
  const leader = useRef();
  const follower = useRef();
  useEffect(() => (broken ? undefined : follow(leader.current, follower.current)), [broken]);

  if (broken === "variation") return html`<p class="notice">This browser cannot play ${name}. Download it to see it.</p>`;
  if (broken === "source") return html`<p class="notice">This browser cannot play the source, so here is the result alone.</p><${Video} path=${path} name=${name} />`;

  const toggle = () => (leader.current.paused ? leader.current.play() : leader.current.pause());
  const seek = (seconds) => {
    leader.current.pause();
    leader.current.currentTime = Math.max(0, Math.min(length, seconds));
  };
  const step = (frames) => seek((Math.floor(leader.current.currentTime * rate + 0.001) + frames + 0.5) / rate); // mid-frame
  const slide = (event) => {
    if (event.buttons !== 1) return;
    const { left, width } = event.currentTarget.getBoundingClientRect();
    setWipe(Math.round(Math.max(0, Math.min(100, (100 * (event.clientX - left)) / width))));
  };
  return html`
    <div class="comparison">
      <div class="pictures" onPointerDown=${slide} onPointerMove=${slide}>
        <video ref=${leader} class="leader" src=${from} preload="auto" playsinline aria-label="Source"
          onError=${() => setBroken("source")} onPlay=${() => setPlaying(true)} onPause=${() => setPlaying(false)}
          onTimeUpdate=${(event) => setAt(event.target.currentTime)} onLoadedMetadata=${(event) => setLength(event.target.duration)}></video>
        <video ref=${follower} class="follower" src=${path} preload="auto" muted playsinline aria-label="Variation"
          style=${{ clipPath: `inset(0 0 0 ${wipe}%)` }} onError=${() => setBroken("variation")}></video>
        <span class="wipe" style=${{ left: `${wipe}%` }} aria-hidden="true"></span>
        <span class="tag left">source</span><span class="tag right">result</span>
      </div>
      <label class="line">Wipe <input type="range" min="0" max="100" value=${wipe} aria-label="Wipe between source and result" onInput=${(event) => setWipe(Number(event.target.value))} /></label>
      <div class="line">
        <button onClick=${toggle}>${playing ? "Pause" : "Play"}</button>
        <${IconButton} of="back" label="One frame back" onClick=${() => step(-1)} />
        <${IconButton} of="on" label="One frame on" onClick=${() => step(1)} />
        <input type="range" min="0" max=${length} step="any" value=${at} aria-label="Position" aria-valuetext="${duration(at)} of ${duration(length)}" onInput=${(event) => seek(Number(event.target.value))} />
        <span class="muted figures">${at.toFixed(2)} / ${length.toFixed(2)} s</span>
      </div>
    </div>
  `;
}

/** Keeps one video where another is: while it plays by a nudge of its rate, when it stands to the very frame. */
function follow(leader, follower) {
  let over = false;
  const meet = () => {
    follower.playbackRate = leader.playbackRate;
    if (Math.abs(follower.currentTime - leader.currentTime) > 0.001) follower.currentTime = leader.currentTime;
  };
  const keep = (_, frame) => {
    if (over) return;
    if (!leader.paused) {
      const behind = frame.mediaTime - follower.currentTime;
      if (Math.abs(behind) > CATCH_UP) follower.currentTime = leader.currentTime;
      else follower.playbackRate = leader.playbackRate * (1 + Math.max(-0.1, Math.min(0.1, behind * 2)));
    }
    leader.requestVideoFrameCallback?.(keep);
  };
  const act = {
    play: () => follower.play().catch(() => {}), // a pause may come first
    pause: () => (follower.pause(), meet()),
    seeked: meet,
    ended: () => follower.pause(),
  };
  for (const [type, handle] of Object.entries(act)) leader.addEventListener(type, handle);
  leader.requestVideoFrameCallback?.(keep);
  return () => {
    over = true;
    for (const [type, handle] of Object.entries(act)) leader.removeEventListener(type, handle);
  };
}
