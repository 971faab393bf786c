// Signs, drawn here: a font that has them all is not on every machine.
import { html } from "./html.js";

const SHAPES = {
  pause: "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z",
  play: "M8 5l11 7-11 7z",
  stop: "M6.5 6.5h11v11h-11z",
  retry: "M12 5a7 7 0 1 0 6.7 9h-2.2A5 5 0 1 1 12 7c1.4 0 2.6.6 3.5 1.5L13 11h6V5l-2 2A7 7 0 0 0 12 5z",
  download: "M11 4h2v8l3-3 1.4 1.4L12 15.8l-5.4-5.4L8 9l3 3zM5 18h14v2H5z",
  remove: "M9 4h6l1 2h4v2H4V6h4zM6 9h12l-1 11H7zm4 2v7h1v-7zm3 0v7h1v-7z",
  drain: "M6 3h12v2h-1c0 3.500-1.500 5.500-3.500 7 2 1.500 3.500 3.500 3.500 7h1v2H6v-2h1c0-3.500 1.500-5.500 3.500-7C8.500 10.500 7 8.500 7 5H6zm3 2c0 2.500 1 4.300 3 5.700 2-1.400 3-3.200 3-5.700z",
  close: "M6.4 5L12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6l5.6-5.6L5 6.4z",
  move: "M8 5h3v3H8zm5 0h3v3h-3zm-5 5.5h3v3H8zm5 0h3v3h-3zM8 16h3v3H8zm5 0h3v3h-3z",
  rename: "M4 16.5V20h3.500L17.800 9.700l-3.500-3.500zM20.500 7a1 1 0 0 0 0-1.400l-2.100-2.100a1 1 0 0 0-1.400 0l-1.600 1.600 3.500 3.500z",
  back: "M6 5h2.500v14H6zM19 5v14l-10-7z",
  on: "M15.500 5H18v14h-2.500zM5 5v14l10-7z",
  bell: "M12 3a1.500 1.500 0 0 1 1.500 1.500v.7A5.500 5.500 0 0 1 17.500 10.500V15l1.500 2v1H5v-1l1.500-2v-4.500a5.500 5.500 0 0 1 4-5.300v-.7A1.500 1.500 0 0 1 12 3zM10 19h4a2 2 0 0 1-4 0z",
  sound: "M9 5l10-2v12.500a2.500 2.500 0 1 1-2-2.450V7.400L11 8.600v8.900a2.500 2.500 0 1 1-2-2.450z",
  file: "M5 3h9l5 5v13H5zm2 2v14h10V9h-4V5z",
  leave: "M4 4h9v2H6v12h7v2H4zm11 4l4.500 4-4.500 4v-3H9v-2h6z",
};

export const Icon = ({ of }) => html`<svg class="sign" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true"><path d=${SHAPES[of]} /></svg>`;

/** A button that shows a sign; `label` says in words what it does, `title` says it shorter. */
export const IconButton = ({ of, label, title = label, children, ...rest }) =>
  html`<button type="button" class="icon" title=${title} aria-label=${label} ...${rest}><${Icon} of=${of} />${children}</button>`;
