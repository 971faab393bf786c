// Signing in, by password or by the token.
import { html, useChanges, useState } from "./html.js";
import { session, signIn } from "./api.js";

export function SignIn() {
  useChanges(session);
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await signIn(password);
    } catch (error) {
      setProblem(error.status === 401 ? "That is not the password." : error.message);
    }
    setBusy(false);
  };
  return html`
    <form class="signin" onSubmit=${submit}>
      <h1 tabindex="-1">Sign in to ffspool</h1>
      ${session.ended && html`<p class="notice" role="alert">${session.ended}</p>`}
      <input type="text" name="username" autocomplete="username" value="ffspool" hidden />
      <label for="password">Password or token</label>
      <input id="password" type="password" autocomplete="current-password" required autofocus value=${password} onInput=${(event) => setPassword(event.target.value)} aria-invalid=${!!problem} aria-describedby="signin-problem" />
      <p id="signin-problem" class="bad-text" role="alert">${problem}</p>
      <button class="primary large" disabled=${busy}>${busy ? "Signing in…" : "Sign in"}</button>
      <details>
        <summary>Where do I find it?</summary>
        <p>Unless a password is set, it is the token in the file <code>token</code> in the daemon's state dir, made at its first start:</p>
        <p><code>cat ~/.local/state/ffspool/token</code></p>
        <p>A link that signs in by itself, which <code>ffspool serve</code> prints at a terminal: <code>${location.origin}${location.pathname}#token=TOKEN</code></p>
      </details>
    </form>
  `;
}
