// The API's description as a page: what /openapi.json says, in the order it says it.

const METHODS = ["get", "head", "options", "post", "patch", "put", "delete"];
const content = document.getElementById("content");

/** An element; strings among its children are text, so nothing of the description is taken for markup. */
function h(tag, attributes, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text in which `…` is code and *…* is emphasis. */
function prose(text) {
  return text.split(/(`[^`]+`|\*[^*]+\*)/).map((part) => {
    if (part.startsWith("`")) return h("code", {}, part.slice(1, -1));
    return part.length > 2 && part.startsWith("*") ? h("em", {}, part.slice(1, -1)) : part;
  });
}

function paragraphs(text) {
  return (text ?? "").split(/\n\n+/).filter(Boolean).map((words) => h("p", {}, prose(words)));
}

const nameOf = (ref) => ref.split("/").at(-1);
const link = (ref) => h("a", { href: `#schema-${nameOf(ref)}` }, nameOf(ref));

/** What a schema allows, in a few words. */
function type(schema) {
  if (schema.$ref) return link(schema.$ref);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.map((choice, index) => [index ? " | " : "", choice.title ?? type(choice)]);
  if (schema.type === "array") return ["list of ", type(schema.items ?? {})];
  return [schema.format ?? schema.type ?? "anything", bounds(schema)];
}

function bounds(schema) {
  const least = schema.minimum ?? schema.exclusiveMinimum ?? schema.minLength;
  const most = schema.maximum ?? schema.exclusiveMaximum ?? schema.maxLength;
  const unit = schema.type === "string" ? " characters" : "";
  if (least === undefined && most === undefined) return "";
  if (most === undefined) return `, at least ${least}${unit}`;
  return least === undefined ? `, at most ${most}${unit}` : `, ${least} to ${most}${unit}`;
}

function table(titles, rows) {
  const line = (tag, cells) => h("tr", {}, cells.map((cell) => h(tag, {}, cell)));
  return rows.length ? h("table", {}, line("th", titles), rows.map((cells) => line("td", cells))) : null;
}

function fields(schema) {
  const required = new Set(schema.required);
  return table(["Field", "Type", ""], Object.entries(schema.properties ?? {}).map(([name, field]) => [
    h("code", {}, name), type(field), [remark(required.has(name), field), " ", prose(field.description ?? "")],
  ]));
}

function remark(required, schema) {
  if (required) return h("span", { className: "note" }, "required");
  const known = schema.default !== undefined && schema.default !== null;
  return known ? h("span", { className: "note" }, `default ${JSON.stringify(schema.default)}`) : "";
}

function section(title, ...children) {
  const filled = children.flat().filter(Boolean);
  return filled.length ? [h("h3", {}, title), ...filled] : [];
}

function parameters(operation) {
  return table(["Parameter", "In", "Type", ""], operation.parameters.map((parameter) => [
    h("code", {}, parameter.name), parameter.in, type(parameter.schema),
    [remark(parameter.required, parameter.schema), " ", prose(parameter.description ?? parameter.schema.description ?? "")],
  ]));
}

function media(contents) {
  return Object.entries(contents ?? {}).map(([kind, { schema }]) => [
    h("p", {}, h("code", {}, kind), schema.$ref ? [": ", link(schema.$ref)] : ""), paragraphs(schema.description),
  ]).flat(2);
}

function answers(operation) {
  return table(["Status", "Is", "Headers"], Object.entries(operation.responses).map(([status, response]) => [
    h("span", { className: status >= "400" ? "bad" : "" }, status),
    [prose(response.description), status < "300" ? media(response.content) : ""],
    Object.keys(response.headers ?? {}).join(", "),
  ]));
}

/** A line for a shell; what is in capitals is to be replaced. */
function curl(path, method, operation) {
  const words = ["curl -sS"];
  if (!operation.security) words.push('-H "Authorization: Bearer $TOKEN"');
  if (method === "head") words.push("--head");
  else if (method !== "get") words.push(`-X ${method.toUpperCase()}`);
  for (const parameter of operation.parameters)
    if (parameter.in === "header" && parameter.required)
      words.push(`-H "${parameter.name}: ${parameter.schema.const ?? parameter.schema.enum?.[0] ?? "N"}"`);
  const kinds = Object.keys(operation.requestBody?.content ?? {});
  if (kinds.includes("multipart/form-data")) words.push("-F files=@a.mp4 -F preset=h264-720p");
  else if (kinds.length && kinds[0] !== "application/json") words.push(`-H "Content-Type: ${kinds[0]}" --data-binary @FILE`);
  else if (kinds.length) words.push(`-d '{…}'`);
  const place = path.replace(/{(\w+)}/g, (_, name) => name.toUpperCase());
  return `${words.join(" ")} "${new URL(`.${place}`, document.baseURI)}"`;
}

function route(path, method, operation) {
  const title = [h("span", { className: "method" }, method.toUpperCase()), h("code", {}, path)];
  const element = h("details", { className: "route", id: operation.operationId },
    h("summary", {}, title, " ", h("span", { className: "note" }, operation.summary)),
    operation.security ? h("p", { className: "note" }, "Needs no token.") : null,
    section("Parameters", parameters(operation)),
    section("Body", media(operation.requestBody?.content)),
    section("Answers", answers(operation)),
    section("Example", h("pre", {}, curl(path, method, operation))),
  );
  element.dataset.words = `${method} ${path} ${operation.summary}`.toLowerCase();
  return element;
}

function schema(name, described) {
  const variants = (described.oneOf ?? []).map((one) => [h("h3", {}, one.title ?? ""), paragraphs(one.description), fields(one)]);
  return h("details", { id: `schema-${name}` }, h("summary", {}, h("code", {}, name)), paragraphs(described.description),
    variants.length ? variants : fields(described) ?? h("p", {}, type(described)));
}

function show(api) {
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths))
    for (const method of METHODS.filter((name) => item[name])) {
      const group = item[method].tags[0];
      groups.set(group, [...(groups.get(group) ?? []), route(path, method, item[method])]);
    }
  groups.set("types", Object.entries(api.components.schemas).map(([name, described]) => schema(name, described)));
  content.replaceChildren(
    h("p", { className: "note" }, `Version ${api.info.version} · `, h("a", { href: "openapi.json" }, "openapi.json")),
    ...paragraphs(api.info.description),
    ...[...groups].flatMap(([name, routes]) => h("section", { id: name }, h("h2", {}, name), routes)),
  );
  document.getElementById("groups").append(...[...groups.keys()].map((name) => h("a", { href: `#${name}` }, name)));
}

function filter(event) {
  const wanted = event.target.value.toLowerCase().split(/\s+/);
  for (const element of content.querySelectorAll(".route"))
    element.hidden = !wanted.every((word) => element.dataset.words.includes(word));
}

/** Opens what the address points at: a closed type could not be looked at. */
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") target.open = true;
  target?.scrollIntoView();
}

try {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error((await answer.json()).detail);
  show(await answer.json());
  document.getElementById("filter").addEventListener("input", filter);
  addEventListener("hashchange", reveal);
  reveal();
} catch (error) {
  content.replaceChildren(h("p", { className: "bad" }, `The description cannot be shown: ${error.message}`));
}
