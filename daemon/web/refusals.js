// What cannot be made of the chosen files, as far as the daemon has looked at them, and what becomes of that.
import { html } from "./html.js";
import { plural } from "./format.js";

const UNSUITABLE = [
  ["skip", "leave it out: it counts neither as done nor as failed"],
  ["fail", "count it as failed"],
];

export const isCut = ({ found }) => !!found && !found.error && !found.whole;

/** Why nothing can be made of a file by a preset, null where nothing is known; of a picture or sound that is not there whatever is adjusted. */
function refusal({ found }, { name, parameters }, overrides) {
  if (!found) return null;
  if (found.error) return { kind: "unreadable", words: found.error.split("\n")[0] };
  const { on_truncated: ends = parameters.find((parameter) => parameter.name === "on_truncated")?.default, ...others } = overrides;
  if (!found.whole && ends !== "keep") return { kind: "cut", words: "it is cut off: its end is missing" };
  const lacks = !found.media.video || !found.media.audio.length;
  const words = (lacks || !Object.keys(others).length) && found.unsuitable?.[name];
  return words ? { kind: "unsuitable", words } : null;
}

/** All that cannot be made, and `going`: the files of which anything is, or is to count as failed. */
export function refusals(files, presets, chosen, unsuitable) {
  const against = (file) => presets.map((preset) => ({ file, preset, ...refusal(file, preset, chosen[preset.name]) })).filter(({ kind }) => kind);
  const told = files.map(against);
  const counts = ({ kind }) => kind === "unsuitable" && unsuitable === "fail";
  const going = files.filter((_, place) => told[place].length < presets.length || told[place].some(counts));
  return { refused: told.flat(), going };
}

/** What may be said about files that are cut off, and presets that do not suit one; nothing where there are none. */
export function Choices({ files, refused, details, setDetails }) {
  const cut = files.filter(isCut);
  const choose = (change) => () => setDetails({ ...details, ...change });
  return html`
    ${cut.length > 0 && html`
      <fieldset>
        <legend>Cut off</legend>
        <label><input type="checkbox" aria-describedby="about-cut" checked=${details.salvage} onChange=${choose({ salvage: !details.salvage })} /> make what there is of ${plural(cut.length, "file")} whose end is missing</label>
        <small id="about-cut" class="muted">The outputs end where ${cut.length === 1 ? cut[0].name : "the files"} does, and say what is missing. Without this nothing is made of ${cut.length === 1 ? "it" : "them"}; a whole copy is better.</small>
      </fieldset>
    `}
    ${(refused.some(({ kind }) => kind === "unsuitable") || details.unsuitable !== "skip") && html`
      <fieldset>
        <legend>Where a preset does not suit a file</legend>
        ${UNSUITABLE.map(([value, words]) => html`<label key=${value}><input type="radio" name="unsuitable" checked=${details.unsuitable === value} onChange=${choose({ unsuitable: value })} /> ${words}</label>`)}
      </fieldset>
    `}
  `;
}
