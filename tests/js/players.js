// Plays a stream by a player of others, changing its size each second, and tells what came of it.
const PATIENCE = 60_000; // ms

const players = {
  "hls.js": async (video, url, errors) => {
    const hls = new Hls({ enableWorker: false, startLevel: 0, maxBufferLength: 2, maxMaxBufferLength: 2 });
    // That the machine was too busy for a moment is not the stream's fault.
    hls.on(Hls.Events.ERROR, (_, { type, details }) => details === "bufferStalledError" || errors.push(`${type}: ${details}`));
    const known = new Promise((resolve) => hls.on(Hls.Events.MANIFEST_PARSED, resolve));
    hls.loadSource(url);
    hls.attachMedia(video);
    await known;
    return {
      rungs: hls.levels.length,
      rung: 0,
      sounds: hls.audioTracks.map((track) => track.lang),
      change: (rung) => (hls.loadLevel = rung),
      close: () => hls.destroy(),
    };
  },

  "dash.js": async (video, url, errors) => {
    const player = dashjs.MediaPlayer().create();
    player.updateSettings({
      debug: { logLevel: 0 },
      streaming: {
        buffer: { bufferTimeDefault: 2, bufferTimeAtTopQuality: 2, bufferTimeAtTopQualityLongForm: 2 },
        abr: { autoSwitchBitrate: { video: false } },
      },
    });
    for (const kind of ["error", "playbackError"])
      player.on(kind, ({ error }) => errors.push(`${kind}: ${error?.message ?? error?.code ?? error}`));
    // It looks at the time itself, and may pause a moment before the element would call it ended.
    player.on("playbackEnded", () => video.dispatchEvent(new Event("ended")));
    const known = new Promise((resolve) => player.on("streamInitialized", resolve));
    player.initialize(video, url, true);
    await known;
    const rungs = player.getRepresentationsByType("video");
    return {
      rungs: rungs.length,
      rung: rungs.findIndex(({ id }) => id === player.getCurrentRepresentationForType("video")?.id),
      sounds: player.getTracksFor("audio").map((track) => track.lang),
      change: (rung) => player.setRepresentationForTypeByIndex("video", rung),
      close: () => player.destroy(),
    };
  },

  shaka: async (video, url, errors) => {
    const player = new shaka.Player();
    const tell = ({ category, code, data }) => errors.push(`category ${category}, code ${code}: ${data?.[0]}`);
    player.addEventListener("error", ({ detail }) => tell(detail));
    await player.attach(video);
    player.configure({ abr: { enabled: false }, streaming: { bufferingGoal: 2, rebufferingGoal: 0.5 } });
    await player.load(url).catch(tell);
    const active = player.getVariantTracks().find((track) => track.active);
    const tracks = player.getVariantTracks().filter((track) => track.language === active?.language);
    return {
      rungs: tracks.length,
      rung: tracks.indexOf(active),
      sounds: [...new Set(player.getVariantTracks().map((track) => track.language))],
      change: (rung) => player.selectVariantTrack(tracks[rung], false),
      close: () => player.destroy(),
    };
  },
};

export async function play(name, url) {
  const video = document.body.appendChild(document.createElement("video"));
  const told = { errors: [], sizes: [] };
  let second = 0;
  video.muted = true;
  video.addEventListener("resize", () => told.sizes.push(video.videoHeight));
  video.addEventListener("error", () => told.errors.push(`media: ${video.error.message}`));
  const ended = new Promise((resolve) => video.addEventListener("ended", () => resolve(true)));
  const playable = new Promise((resolve) => video.addEventListener("canplay", resolve, { once: true }));
  const broken = new Promise((resolve) => {
    const look = setInterval(() => told.errors.length && resolve(clearInterval(look)), 100);
    setTimeout(() => resolve(clearInterval(look)), PATIENCE);
  });
  const player = await Promise.race([players[name](video, url, told.errors), broken]);
  if (player) {
    const next = () => player.change((player.rung + ++second) % player.rungs);
    // The first change comes before anything plays: a busy machine is late with those that follow.
    await Promise.race([playable, broken]);
    if (player.rungs > 1) next();
    video.addEventListener("timeupdate", () => {
      if (player.rungs > 1 && video.currentTime > second) next();
    });
    video.play().catch((error) => told.errors.push(`play: ${error.message}`));
    told.ended = (await Promise.race([ended, broken])) ?? false;
    told.sounds = player.sounds;
    told.rungs = player.rungs;
  }
  told.at = video.currentTime;
  told.seconds = video.duration;
  told.buffered = [...Array(video.buffered.length).keys()].map((n) => [video.buffered.start(n), video.buffered.end(n)]);
  told.frames = video.getVideoPlaybackQuality().totalVideoFrames;
  await player?.close();
  video.remove();
  return told;
}
