// Has the browser decode a file, by itself and by WebCodecs, and tells what came of it.
import { ALL_FORMATS, AudioSampleSink, BlobSource, Input, VideoSampleSink } from "./mediabunny.mjs";

const PATIENCE = 60_000; // ms

// Each track, taken apart by mediabunny and decoded by WebCodecs.
export async function decode(url) {
  const input = new Input({ source: new BlobSource(await (await fetch(url)).blob()), formats: ALL_FORMATS });
  const told = [];
  for (const track of await input.getTracks()) {
    if (!["video", "audio"].includes(track.type)) continue;
    const sink = track.type === "video" ? new VideoSampleSink(track) : new AudioSampleSink(track);
    const one = { type: track.type, codec: track.codec, frames: 0, start: null, end: null, backwards: 0 };
    told.push(one);
    if (!(await track.canDecode())) continue;
    for await (const sample of sink.samples()) {
      one.backwards += one.end !== null && sample.timestamp < one.end - 0.002 ? 1 : 0;
      one.start ??= sample.timestamp;
      one.end = sample.timestamp + sample.duration;
      one.frames += 1;
      sample.close();
    }
  }
  return told;
}

// Played as a page does.
async function play(url) {
  const video = document.body.appendChild(document.createElement("video"));
  video.muted = true;
  const ended = new Promise((resolve) => {
    video.addEventListener("ended", () => resolve(null));
    video.addEventListener("error", () => resolve(video.error.message || `code ${video.error.code}`));
    setTimeout(() => resolve("it does not end"), PATIENCE);
  });
  let presented = 0;
  const count = () => video.requestVideoFrameCallback((_, { presentedFrames }) => {
    presented = presentedFrames;
    count();
  });
  count();
  video.src = url;
  video.play().catch(() => {});
  const error = await ended;
  const { totalVideoFrames } = video.getVideoPlaybackQuality();
  const told = { error, seconds: video.duration, frames: totalVideoFrames, presented, width: video.videoWidth, height: video.videoHeight };
  video.remove();
  return told;
}

const AT_ONCE = 16;

export async function playAll(urls) {
  const told = [];
  for (let first = 0; first < urls.length; first += AT_ONCE)
    told.push(...(await Promise.all(urls.slice(first, first + AT_ONCE).map(play))));
  return told;
}

// A picture, or an animation, frame by frame.
export async function look(url, type) {
  const decoder = new ImageDecoder({ data: (await fetch(url)).body, type });
  await decoder.tracks.ready;
  await decoder.completed;
  const { frameCount } = decoder.tracks.selectedTrack;
  let seconds = 0;
  let size = null;
  for (let frameIndex = 0; frameIndex < frameCount; frameIndex++) {
    const { image, complete } = await decoder.decode({ frameIndex });
    if (!complete) throw new Error(`frame ${frameIndex} is not complete`);
    seconds += (image.duration ?? 0) / 1e6;
    size = [image.displayWidth, image.displayHeight];
    image.close();
  }
  return { frames: frameCount, seconds, size };
}
