// A list of any length in the window's own scroll: only what is near the view is in the document.
import { html, useLayoutEffect, useRef, useState } from "./html.js";

const MARGIN = 600; // pixels beyond the view that are kept ready

/**
 * `rows` are `{key, height, render}`, heights in pixels. `onNearEnd` is called while the end is near the view.
 */
export function Rows({ rows, onNearEnd }) {
  const element = useRef();
  const [view, setView] = useState([0, globalThis.innerHeight ?? 1000]);
  const tops = offsets(rows);
  const total = tops[rows.length];

  useLayoutEffect(() => {
    let frame = null;
    const look = () => {
      frame = null;
      const top = -element.current.getBoundingClientRect().top;
      setView(([from, to]) => (from === top && to === top + innerHeight ? [from, to] : [top, top + innerHeight]));
    };
    const soon = () => (frame ??= requestAnimationFrame(look));
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    look();
    return () => {
      removeEventListener("scroll", soon);
      removeEventListener("resize", soon);
      cancelAnimationFrame(frame);
    };
  }, []);

  useLayoutEffect(() => {
    if (view[1] + MARGIN > total) onNearEnd();
  });

  const first = Math.max(0, indexAt(tops, view[0] - MARGIN));
  const last = Math.min(rows.length, indexAt(tops, view[1] + MARGIN) + 1);
  return html`
    <div class="rows" ref=${element} style=${{ height: `${total}px` }}>
      ${rows.slice(first, last).map(
        (row, number) => html`
          <div class="slot" key=${row.key} style=${{ top: `${tops[first + number]}px`, height: `${row.height}px` }}>${row.render()}</div>
        `,
      )}
    </div>
  `;
}

function offsets(rows) {
  const tops = new Float64Array(rows.length + 1);
  rows.forEach((row, number) => (tops[number + 1] = tops[number] + row.height));
  return tops;
}

/** The row at that height: the last that begins above it. */
function indexAt(tops, height) {
  let low = 0;
  let high = tops.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (tops[middle] <= height) low = middle;
    else high = middle - 1;
  }
  return low;
}
