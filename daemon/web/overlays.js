// What lies above the page: questions in a <dialog>, and notices with an undo.
import { html, Observable, useChanges, useEffect, useRef } from "./html.js";
import { Problem } from "./api.js";
import { IconButton } from "./icons.js";

const NOTICE = 6000; // ms a notice stays, and an undo is possible

class Overlays extends Observable {
  dialog = null;
  notices = [];

  visit = 0; // counts views: one that is come back to is another

  #last = 0;

  constructor() {
    super();
    addEventListener("hashchange", () => this.visit++);
  }

  /** Asks; the promise holds whether the answer was yes. `body` is a template; whoever has left since `visit` is not asked. */
  ask({ title, body, yes = "OK", no = "Back", danger = false, visit = this.visit }) {
    if (visit !== this.visit) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (answer) => {
        removeEventListener("hashchange", leave);
        this.dialog = null;
        this.changed();
        resolve(answer);
      };
      const leave = () => settle(false);
      addEventListener("hashchange", leave); // here, since a view may be left before the dialog is drawn
      this.dialog = { title, body, yes, no, danger, settle };
      this.changed();
    });
  }

  /** Shows something to read, with one button. */
  tell(title, body) {
    return this.ask({ title, body, yes: "Close", no: null });
  }

  /** Says something in passing. `action` is `{label, act}`. Returns how to take it back. */
  say(words, { action = null, kind = "info", stay = NOTICE } = {}) {
    const notice = { id: ++this.#last, words, action, kind };
    const end = () => {
      this.notices = this.notices.filter((other) => other !== notice);
      this.changed();
    };
    notice.end = end;
    this.notices = [...this.notices.slice(-3), notice];
    setTimeout(end, stay);
    this.changed();
    return end;
  }

  /** Does something after a grace in which it can be undone; whoever leaves the page did not. Returns whether it was done. */
  unlessUndone(words, act) {
    return new Promise((resolve) => {
      const now = () => {
        decided();
        act().then(() => resolve(true), (error) => (fail(error), resolve(false)));
      };
      const timer = setTimeout(now, NOTICE);
      const decided = () => {
        clearTimeout(timer);
        removeEventListener("pagehide", now);
      };
      addEventListener("pagehide", now);
      const undo = () => {
        decided();
        end();
        resolve(false);
      };
      const end = this.say(words, { action: { label: "Undo", act: undo } });
    });
  }
}

export const overlays = new Overlays();

/** Tells a refusal of the daemon; anything else is a fault of ours, and goes on to the console. */
export function fail(error) {
  if (!(error instanceof Problem)) throw error;
  if (error.status !== 401) overlays.say(error.message, { kind: "bad", stay: 2 * NOTICE });
}

export function Overlay() {
  useChanges(overlays);
  const { dialog, notices } = overlays;
  return html`
    ${dialog && html`<${Question} key=${dialog.title} ...${dialog} />`}
    <div class="notices" role="status" aria-live="polite">
      ${notices.map(
        ({ id, words, action, kind, end }) => html`
          <div key=${id} class="notice ${kind}">
            <span>${words}</span>
            ${action && html`<button class="quiet" onClick=${action.act}>${action.label}</button>`}
            <${IconButton} of="close" label="Dismiss this notice" onClick=${end} />
          </div>
        `,
      )}
    </div>
  `;
}

function Question({ title, body, yes, no, danger, settle }) {
  const element = useRef();
  useEffect(() => {
    element.current.showModal();
  }, []);
  const answered = () => settle(element.current.returnValue === "yes");
  return html`
    <dialog ref=${element} aria-labelledby="question" onClose=${answered}>
      <form method="dialog">
        <h2 id="question">${title}</h2>
        <div class="body">${body}</div>
        <div class="buttons">
          ${no && html`<button value="no" autofocus=${danger}>${no}</button>`}
          <button value="yes" class=${danger ? "danger" : "primary"} autofocus=${!danger}>${yes}</button>
        </div>
      </form>
    </dialog>
  `;
}
