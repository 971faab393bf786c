// Templates, hooks, and the one way state is shared: an observable value.
import { h } from "preact";
import { useEffect, useReducer } from "preact/hooks";
import htm from "htm";

export const html = htm.bind(h);
export { Fragment, render } from "preact";
export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

/** Words in which `backticks` mark what is typed. */
export const prose = (text) => text.split("`").map((part, place) => (place % 2 ? html`<code>${part}</code>` : part));

/** A value that tells its subscribers, once for changes made together, that it changed. */
export class Observable {
  version = 0;

  #subscribers = new Set();
  #due = false;

  subscribe(tell) {
    this.#subscribers.add(tell);
    return () => this.#subscribers.delete(tell);
  }

  changed() {
    this.version++;
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      for (const tell of [...this.#subscribers]) tell();
    });
  }
}

/** Renders the component again whenever one of the observables changes. */
export function useChanges(...observables) {
  const [, again] = useReducer((count) => count + 1, 0);
  const rendered = observables.map((observable) => observable.version);
  useEffect(() => {
    const stops = observables.map((observable) => observable.subscribe(again));
    if (observables.some((observable, place) => observable.version !== rendered[place])) again(); // before we listened
    return () => stops.forEach((stop) => stop());
  }, observables);
}

/** What the user chose on this device; a browser that keeps nothing forgets it with the page. */
export const memory = {
  get(key) {
    try {
      return JSON.parse(localStorage.getItem(`ffspool.${key}`));
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`ffspool.${key}`, JSON.stringify(value));
    } catch {
      /* private mode, or full */
    }
  },
};
