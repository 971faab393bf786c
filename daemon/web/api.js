// The public API: one way to call it, and what is known of the session.
import { memory, Observable } from "./html.js";

/** What the daemon (or the network) refused, in words for a person. */
export class Problem extends Error {
  constructor(status, code, words) {
    super(words);
    this.status = status;
    this.code = code;
  }
}

const EXPIRED = "Your session has expired. Sign in to go on where you were.";

class Session extends Observable {
  open = null; // whether requests may be made; null until that is known
  ended = null; // why it is over, in words

  #timer = null;

  /** Goes on with a session of before, where this browser remembers one. */
  resume() {
    if (this.open) return this.changed();
    const ends = memory.get("session")?.expires_at;
    this.open = ends && new Date(ends) > Date.now() ? null : false;
    if (ends && this.open === false) this.ended = EXPIRED;
    this.watch();
    this.changed();
  }

  began(expiresAt) {
    memory.set("session", { expires_at: expiresAt });
    this.open = true;
    this.ended = null;
    this.watch();
    this.changed();
  }

  /** Tells the end of the session at the moment it comes, not at the next click. */
  watch() {
    const ends = memory.get("session")?.expires_at;
    clearTimeout(this.#timer);
    const left = ends ? new Date(ends) - Date.now() : NaN;
    if (left < 2 ** 31) this.#timer = setTimeout(() => this.over(), Math.max(0, left));
  }

  over() {
    if (this.open === false) return;
    const ends = memory.get("session")?.expires_at;
    this.ended = ends && new Date(ends) <= Date.now() + 1000 ? EXPIRED : null;
    if (!this.ended && this.open) this.ended = "The daemon does not know this session any more. Sign in to go on.";
    this.open = false;
    this.changed();
  }

  left() {
    memory.set("session", null);
    clearTimeout(this.#timer);
    this.open = false;
    this.ended = "You have signed out.";
    this.changed();
  }

  /** An answer that was under way when the session ended does not begin it again. */
  proven() {
    if (this.open !== null) return;
    this.open = true;
    this.watch();
    this.changed();
  }
}

export const session = new Session();

/** Calls the API; returns the decoded answer (text where it is no JSON, or `as` one says). Raises Problem. */
export async function call(method, path, { body, headers = {}, signal, as } = {}) {
  const options = { method, headers: { ...headers }, signal, keepalive: method === "DELETE" }; // it may be our last act
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "The daemon cannot be reached. Is it running, and are you online?");
  }
  if (answer.ok) {
    session.proven();
    if (as) return answer[as]();
    const kind = answer.headers.get("content-type") ?? "";
    return answer.status === 204 ? null : kind.includes("json") ? answer.json() : answer.text();
  }
  throw await problem(answer, path);
}

async function problem(answer, path) {
  let said = {};
  try {
    said = await answer.json();
  } catch {
    /* a proxy answered, not the daemon */
  }
  if (answer.status === 401 && path !== "api/login") session.over();
  return new Problem(answer.status, said.code ?? "error", said.detail ?? foreign(answer.status));
}

/** What to say of an answer that is not the daemon's own: something between gave it. */
export function foreign(status) {
  if (status === 413) return "A proxy before ffspool refused this (413): it takes nothing so large. Its limit is to be raised (nginx: client_max_body_size).";
  return `Something before ffspool answered ${status}, and not ffspool itself.`;
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, body, headers) => call("POST", path, { body, headers });

export async function signIn(password) {
  const answer = await call("POST", "api/login", { body: { password } });
  session.began(answer.expires_at);
}

/** Ends the session here and at the daemon. */
export async function signOut() {
  await call("POST", "api/logout");
  session.left();
}

/** Takes the token out of the address (`#token=…`) before anything else can see or keep it; null if there is none. */
export function tokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token !== null) history.replaceState(null, "", location.pathname);
  return token;
}

export const jobPath = (job) => `api/jobs/${encodeURIComponent(job)}`;
