// An output that is a folder of files: its pictures, its film in any of its sizes, and what is in it.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { call, get } from "./api.js";
import { bytes, number, plural } from "./format.js";
import { play, playable, tracksOf } from "./adaptive_player.js";
import { fail } from "./overlays.js";

const PICTURES = /\.jpg$/;
const HLS = "application/vnd.apple.mpegurl";
const PAGE = 1000; // files asked for at once
const LISTED = 200;

export function Folder({ base, name }) {
  const [files, setFiles] = useState(null);
  useEffect(() => void everyFile(base).then(setFiles, fail), [base]);
  if (!files) return html`<p class="muted">Reading the folder…</p>`;
  const names = files.map((file) => file.name);
  const pictures = names.filter((name) => PICTURES.test(name));
  const address = (name) => `${base}/files/${name.split("/").map(encodeURIComponent).join("/")}`;
  return html`
    ${names.some((name) => /^(master\.m3u8|manifest\.mpd)$/.test(name)) && html`<${Film} ...${{ files, names, address, name }} />`}
    ${pictures.map(
      (picture, place) => html`<a href=${address(picture)} target="_blank"><img class="sheet" loading="lazy" src=${address(picture)} alt="Sheet ${place + 1} of ${pictures.length}" /></a>`,
    )}
    <details>
      <summary>${plural(files.length, "file")}, ${bytes(sum(files))}</summary>
      <ul class="plain files">
        ${files.slice(0, LISTED).map((file) => html`<li><a href=${address(file.name)} download>${file.name}</a> <span class="muted">${bytes(file.bytes)}</span></li>`)}
      </ul>
      ${files.length > LISTED && html`<p class="muted">and ${number(files.length - LISTED)} more. The zip has them all.</p>`}
    </details>
  `;
}

async function everyFile(base) {
  const files = [];
  for (let cursor = ""; cursor !== null; ) {
    const page = await get(`${base}/files?limit=${PAGE}${cursor && `&cursor=${cursor}`}`);
    files.push(...page.items);
    cursor = page.next_cursor;
  }
  return files;
}

const sum = (files) => files.reduce((total, file) => total + file.bytes, 0);

/** The smallest track that fills what the video has on this screen, or else the largest. */
function fitting(tracks) {
  const room = Math.min(document.querySelector("main").clientWidth, innerWidth) * devicePixelRatio;
  const tall = 0.7 * innerHeight * devicePixelRatio; // as the style sheet has it
  const fills = ({ label }) => label.split("×").some((pixels, side) => Number(pixels) >= (side ? tall : room));
  return tracks.filter(fills).at(-1) ?? tracks[0];
}

/** The film in the size one chooses; at first in the one that fits the screen. */
function Film({ files, names, address, name }) {
  const [tracks, setTracks] = useState([]);
  const [chosen, setChosen] = useState(null);
  const [broken, setBroken] = useState(false);
  const video = useRef();
  const kind = (wanted) => tracks.filter((track) => track.kind === wanted);
  const sizes = useMemo(() => new Map(files.map((file) => [file.name, file.bytes])), [files]);
  useEffect(() => {
    tracksOf((name) => get(address(name)), names).then((found) => {
      setTracks(found);
      setChosen(fitting(found.filter((track) => track.kind === "video" && playable(track))));
    }, fail);
  }, []);
  const sound = kind("audio").find(playable);
  useEffect(() => {
    if (!chosen) return undefined;
    setBroken(false);
    const load = (name, signal) => call("GET", address(name), { signal, as: "arrayBuffer" });
    return play(video.current, sound ? [chosen, sound] : [chosen], load, () => setBroken(true));
  }, [chosen]);

  const heavy = (track) => bytes([track.init, ...track.segments.map((segment) => segment.name)].reduce((total, name) => total + (sizes.get(name) ?? 0), 0));
  const told = ({ label, bandwidth, ...track }) => [label, bandwidth && `${number(Math.round(bandwidth / 1000))} kbit/s`, heavy(track)].filter(Boolean).join(" · ");
  const native = tracks.length > 0 && !chosen && names.includes("master.m3u8") && document.createElement("video").canPlayType(HLS);
  const can = (chosen || native) && !broken;
  return html`
    ${can && html`<video ref=${video} class="result" controls playsinline src=${native ? address("master.m3u8") : undefined} aria-label=${name} onError=${() => setBroken(true)}></video>`}
    ${tracks.length > 0 && !can && html`<p class="notice">This browser cannot play ${name}. Download it to see it.</p>`}
    <fieldset>
      <legend>Sizes</legend>
      ${kind("video").map((track) => html`<label><input type="radio" name="size" checked=${track === chosen} disabled=${!playable(track)} onChange=${() => setChosen(track)} /> ${told(track)}</label>`)}
      ${kind("audio").map((track) => html`<p class="muted">with ${told(track)}</p>`)}
    </fieldset>
  `;
}
