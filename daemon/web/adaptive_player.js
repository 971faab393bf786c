// A ladder (HLS or DASH) as a browser can play it: one of its sizes with its sound, fetched segment by segment.
const AHEAD = 20; // seconds fetched before they are seen
const BEHIND = 30; // seconds kept of what was seen, where the browser has no room
const CODEC = /^(avc|hvc|hev|av01|vp)/;

/** Reads the manifest. Tracks are `{kind, label, codecs, bandwidth, init, segments: [{name, from, to}]}`, best first. */
export async function tracksOf(read, names) {
  return names.includes("manifest.mpd") ? ofDash(await read("manifest.mpd")) : ofHls(read, await read("master.m3u8"));
}

async function ofHls(read, master) {
  const lines = master.split("\n");
  const codecs = (/CODECS="([^"]*)"/.exec(master)?.[1] ?? "").split(",");
  const found = lines.flatMap((line, at) => {
    const told = (name) => new RegExp(`[:,]${name}="?([^",]*)`).exec(line)?.[1];
    if (line.startsWith("#EXT-X-STREAM-INF")) {
      const own = (/CODECS="([^"]*)"/.exec(line)?.[1] ?? "").split(",");
      return { kind: "video", label: told("RESOLUTION")?.replace("x", "×"), bandwidth: Number(told("AVERAGE-BANDWIDTH")), codecs: own.find((one) => CODEC.test(one)), list: lines[at + 1] };
    }
    if (line.startsWith("#EXT-X-MEDIA")) return { kind: "audio", label: told("LANGUAGE") ?? "sound", codecs: codecs.find((one) => !CODEC.test(one)), list: told("URI") };
    return [];
  });
  return Promise.all(found.map(async ({ list, ...track }) => ({ ...track, ...playlist(await read(list), list.replace(/[^/]*$/, "")) })));
}

function playlist(text, folder) {
  let at = 0;
  const segments = [...text.matchAll(/#EXTINF:([\d.]+),.*\n([^#\n]+)/g)].map(([, seconds, name]) => ({ name: folder + name, from: at, to: (at += Number(seconds)) }));
  return { init: folder + /#EXT-X-MAP:URI="([^"]+)"/.exec(text)[1], segments };
}

function ofDash(text) {
  const document = new DOMParser().parseFromString(text, "text/xml");
  return [...document.querySelectorAll("Representation")].map((node) => {
    const told = (name) => node.getAttribute(name);
    const template = node.querySelector("SegmentTemplate");
    const filled = (name, number) =>
      template.getAttribute(name).replace("$RepresentationID$", told("id")).replace(/\$Number(?:%0(\d+)d)?\$/, (_, width) => String(number).padStart(width, "0"));
    const ticks = Number(template.getAttribute("timescale"));
    let at = 0;
    const lengths = [...template.querySelectorAll("S")].flatMap((one) => Array(1 + Number(one.getAttribute("r") ?? 0)).fill(Number(one.getAttribute("d")) / ticks));
    const first = Number(template.getAttribute("startNumber") ?? 1);
    const segments = lengths.map((seconds, place) => ({ name: filled("media", first + place), from: at, to: (at += seconds) }));
    const kind = told("mimeType").startsWith("video") ? "video" : "audio";
    const language = node.parentNode.getAttribute("lang");
    const label = kind === "video" ? `${told("width")}×${told("height")}` : language && language !== "und" ? language : "sound";
    return { kind, label, codecs: told("codecs"), bandwidth: Number(told("bandwidth")), init: filled("initialization"), segments };
  });
}

/** Whether this browser can put a track together. */
export const playable = ({ kind, codecs }) => Boolean(globalThis.MediaSource?.isTypeSupported(`${kind}/mp4; codecs="${codecs}"`));

/**
 * Has the video play those tracks, from where it stands. `load` gives a file's bytes; `fail` is told what goes wrong.
 * Returns how to end it.
 */
export function play(video, tracks, load, fail) {
  const abort = new AbortController();
  const media = new MediaSource();
  const address = URL.createObjectURL(media);
  const { currentTime, paused } = video;
  const opened = () => {
    media.duration = Math.max(...tracks.map((track) => track.segments.at(-1).to));
    const feeds = tracks.map((track) => new Feed(video, media.addSourceBuffer(`${track.kind}/mp4; codecs="${track.codecs}"`), track, load));
    const all = () => media.readyState === "open" && feeds.every((feed) => feed.complete) && media.endOfStream();
    Promise.all(feeds.map((feed) => feed.run(abort.signal, all))).catch((error) => abort.signal.aborted || fail(error));
    video.currentTime = currentTime;
  };
  media.addEventListener("sourceopen", opened, { once: true });
  video.src = address;
  if (!paused) video.play().catch(() => {}); // a pause may come first
  return () => {
    abort.abort();
    URL.revokeObjectURL(address);
  };
}

/** Fills one buffer with the segments around where the video stands. */
class Feed {
  #fed = new Set();

  constructor(video, buffer, track, load) {
    Object.assign(this, { video, buffer, track, load });
  }

  /** Whether nothing is to come after what is there. */
  get complete() {
    return this.#fed.has(this.track.segments.at(-1)) && !this.buffer.updating;
  }

  async run(signal, complete) {
    this.video.addEventListener("seeking", () => this.#forget(), { signal });
    await this.#append(this.track.init, signal);
    while (!signal.aborted) {
      const { currentTime: now } = this.video;
      const next = this.track.segments.find((segment) => segment.to > now && segment.from < now + AHEAD && !this.#fed.has(segment));
      if (next) {
        this.#fed.add(next);
        await this.#append(next.name, signal);
        complete();
      } else await happens(this.video, ["timeupdate", "seeking"], signal);
    }
  }

  /** What the browser has let go of has to come again. */
  #forget() {
    const { buffered } = this.buffer;
    const held = (time) => [...Array(buffered.length).keys()].some((part) => buffered.start(part) <= time && time < buffered.end(part));
    for (const segment of this.#fed) if (!held((segment.from + segment.to) / 2)) this.#fed.delete(segment);
  }

  async #append(name, signal) {
    const bytes = await this.load(name, signal);
    try {
      await this.#changed(() => this.buffer.appendBuffer(bytes));
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
      await this.#changed(() => this.buffer.remove(0, Math.max(0.1, this.video.currentTime - BEHIND)));
      await this.#changed(() => this.buffer.appendBuffer(bytes));
    }
  }

  async #changed(change) {
    change();
    await happens(this.buffer, ["updateend"]);
  }
}

function happens(target, types, signal) {
  const heard = new AbortController(); // then nobody listens any more
  return new Promise((resolve) => {
    const tell = () => (heard.abort(), resolve());
    for (const type of types) target.addEventListener(type, tell, { signal: heard.signal });
    signal?.addEventListener("abort", tell, { signal: heard.signal });
  });
}
