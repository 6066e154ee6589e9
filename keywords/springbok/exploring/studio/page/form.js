// SPDX-License-Identifier: Apache-2.0
// The form of a block, made of what the schema says of its parameters.

import { namesOf, typeOf } from "./graph.js";

export function element(tag, settings = {}, ...content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...content);
  return made;
}

const NOT_SET = "not set";

// A parameter's control, and how its content is read: undefined is not set.
function control(property, value, id) {
  if (property.kind === "boolean" || property.kind === "choice") {
    const choices = property.kind === "boolean" ? [true, false] : property.choices;
    const texts = choices.map((choice) => (typeof choice === "string" ? choice : JSON.stringify(choice)));
    const fits = choices.findIndex((choice) => JSON.stringify(choice) === JSON.stringify(value));
    const made = element("select", { id }, element("option", { value: "" }, NOT_SET));
    texts.forEach((text, number) => made.append(element("option", { value: String(number) }, text)));
    if (value !== undefined && fits < 0) made.append(element("option", { value: "as it is" }, JSON.stringify(value)));
    made.value = value === undefined ? "" : fits < 0 ? "as it is" : String(fits);
    const read = () => (made.value === "" ? undefined : made.value === "as it is" ? value : choices[Number(made.value)]);
    return [made, read];
  }
  if (property.kind === "list") {
    const lines = Array.isArray(value) ? value.map((each) => (typeof each === "string" ? each : JSON.stringify(each))) : [];
    const made = element("textarea", { id, value: lines.join("\n"), rows: Math.max(2, lines.length), spellcheck: false });
    made.placeholder = "one a line";
    const read = () => {
      const given = made.value.split("\n").map((line) => line.trim()).filter(Boolean);
      const meant = property.of_integers ? given.map((each) => number(each)) : given;
      return meant.length ? meant : undefined;
    };
    return [made, read];
  }
  const text = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
  const made = element("input", { id, type: "text", value: text, spellcheck: false });
  if (property.kind !== "text") made.inputMode = "numeric";
  made.placeholder = NOT_SET;
  const read = () => {
    const given = made.value.trim();
    if (!given) return undefined;
    return property.kind === "text" ? made.value : number(given);
  };
  return [made, read];
}

// A number as written; what is none, or none that JSON's can be told from its neighbours or from null, stays text, and
// the server says what is wrong with it.
function number(text) {
  if (!/^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(text)) return text;
  const read = Number(text);
  return Number.isFinite(read) && (!Number.isInteger(read) || Number.isSafeInteger(read)) ? read : text;
}

// Fill the form with a block. `changed` gets (name, value), `retyped` a type, `joined` (input, source or "").
export function fill(form, node, graph, kinds, { changed, retyped, joined, removed }) {
  const { block, kind } = typeOf(node, kinds);
  const names = namesOf(graph.nodes, kinds);
  const heading = element("h2", {}, names.get(node.id));
  const types = kinds.filter((each) => each.block === block).flatMap((each) => each.types);
  if (!types.includes(node.type)) types.unshift(node.type);
  const type = element("select", { id: "field-type", onchange: () => retyped(type.value) });
  type.append(...types.map((each) => element("option", { value: each, selected: each === node.type }, each)));
  const fields = [field("type", "Type", type, "")];
  const unused = [];
  for (const property of kind?.properties ?? []) {
    const [made, read] = control(property, node.parameters[property.name], `field-${property.name}`);
    made.addEventListener("input", () => changed(property.name, read()));
    made.required = property.is_required;
    const hint = property.note ? `No effect here: ${property.note}.` : property.description;
    const place = property.note && node.parameters[property.name] === undefined ? unused : fields;
    place.push(field(property.name, property.name, made, hint));
  }
  const known = new Set((kind?.properties ?? []).map((property) => property.name));
  for (const [name, value] of Object.entries(node.parameters).filter(([each]) => !known.has(each))) {
    const button = element("button", { type: "button", onclick: () => changed(name, undefined, true) }, `Remove ${name}`);
    fields.push(field(name, name, element("output", { id: `field-${name}` }, JSON.stringify(value)), "", button));
  }
  const inputs = (kinds.find((each) => each.block === block)?.inputs ?? []).map((input) => {
    const from = graph.connections.find((each) => each.target === node.id && each.input === input)?.source ?? "";
    const sources = graph.nodes.filter(
      (each) => each.id !== node.id && kinds.find((k) => k.block === typeOf(each, kinds).block)?.outputs.includes(input),
    );
    const made = element("select", { id: `input-${input}`, onchange: () => joined(input, made.value) });
    made.append(element("option", { value: "" }, "not connected"));
    made.append(...sources.map((each) => element("option", { value: each.id, selected: each.id === from }, names.get(each.id))));
    return field(`input-${input}`, `Input ${input}`, made, "", null, `input-${input}`);
  });
  const details = unused.length ? [element("details", {}, element("summary", {}, "Without effect here"), ...unused)] : [];
  const remove = element("button", { type: "button", id: "remove", onclick: removed }, "Remove block");
  form.replaceChildren(heading, ...fields, ...details, ...inputs, remove);
}

function field(name, label, made, hint, button = null, id = `field-${name}`) {
  const problem = element("p", { className: "problem", id: `problem-${name}`, hidden: true });
  made.setAttribute("aria-describedby", hint ? `hint-${name} problem-${name}` : `problem-${name}`);
  const parts = [element("label", { htmlFor: id }, label), made];
  if (hint) parts.push(element("p", { className: "hint", id: `hint-${name}` }, hint));
  if (button) parts.push(button);
  return element("div", { className: "field" }, ...parts, problem);
}

// Put problems at the fields that they are of.
export function mark(form, problems) {
  for (const shown of form.querySelectorAll(".field .problem")) {
    const name = shown.id.slice("problem-".length);
    const own = problems.filter((problem) => (problem.parameter || "type") === name);
    shown.textContent = own.map((problem) => problem.sentence).join(" ");
    shown.hidden = !own.length;
    shown.parentElement.querySelector("input, select, textarea")?.setAttribute("aria-invalid", String(own.length > 0));
  }
}
