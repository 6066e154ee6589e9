// SPDX-License-Identifier: Apache-2.0
// The page: what is drawn is sent to the server as it changes, which says what is wrong with it.

import { GraphView, edge, namesOf } from "./graph.js";
import { exchange, keepFocus, nextTo } from "./focus.js";
import { element, fill, mark } from "./form.js";
import { turn } from "./tabs.js";
import { Talk } from "./talk.js";

const at = (id) => document.getElementById(id);
const talk = new Talk(heard, lost);
let kinds = [];
let view;
let graph = { nodes: [], connections: [], others: {} };
let found = { problems: [], notes: [], meanings: {} };
let selected = null;
let text = ""; // the newest graph that a file can hold, as such
let saved = ""; // the graph as it is in its file
let past = [];
let future = [];
let lastChange = "";

// What the server has

async function begin() {
  const all = await talk.ask("begin");
  kinds = all.kinds;
  view = new GraphView(at("graph"), kinds, drawn);
  at("engine").value = all.settings.engine;
  at("samples").value = all.settings.samples ?? "";
  for (const title of new Set(kinds.map((kind) => kind.title))) {
    const group = element("optgroup", { label: title });
    kinds.forEach((kind, number) => {
      if (kind.title === title) group.append(element("option", { value: String(number) }, kind.name));
    });
    at("kind").append(group);
  }
  take(all, true);
  at("log").textContent = all.lines.map((line) => `${line}\n`).join("");
  running(all.runs, all.of);
  if (all.ending) ended(all.ending);
}

let opened = ""; // what the list of files shows

// Show a scenario that the server gave.
function take(all, isNew) {
  if (all.error) {
    at("open").value = opened;
    return say(all.error, true);
  }
  graph = all.graph;
  found = all;
  text = all.text ?? text;
  if (isNew) {
    selected = null;
    past = [];
    future = [];
    saved = JSON.stringify(graph);
    at("name").value = all.proposed ?? all.name ?? "scenario.json";
    format();
  }
  const files = all.files.map((name) => element("option", { value: name }, name));
  const others = all.others.map((name) => element("option", { value: name }, name));
  at("open").replaceChildren(element("option", { value: "" }, all.name ? "" : "not saved yet"), ...files,
    ...(others.length ? [element("optgroup", { label: "no scenarios, as they are" }, ...others)] : []));
  opened = all.files.includes(all.name) ? all.name : "";
  at("open").value = opened;
  show(isNew);
  return undefined;
}

let examined = 0;
async function examine() {
  const number = ++examined;
  const answer = await talk.ask("examine", { graph });
  if (number !== examined) return; // it has changed since
  text = answer.text ?? text;
  found = answer.error ? { problems: [{ node: "", parameter: "", sentence: answer.error }], notes: [], meanings: {} } : answer;
  show(false, false);
}

// What the page shows

function show(anew, withForm = true) {
  keepFocus("#form, #blocks, #panel-problems, .tools", at("kind"), () => draw(anew, withForm));
}

function draw(anew, withForm) {
  view.show(graph, found.problems, found.meanings, anew);
  at("empty").hidden = graph.nodes.length > 0;
  const node = graph.nodes.find((each) => each.id === selected);
  if (withForm) showForm(node);
  if (node) mark(at("form"), found.problems.filter((problem) => problem.node === node.id));
  showBlocks();
  showProblems();
  at("undo").disabled = !past.length;
  at("redo").disabled = !future.length;
  document.title = `${JSON.stringify(graph) === saved ? "" : "• "}${at("name").value} – Scenario studio`;
}

// Buttons stay while their blocks do: a key may be under way to one.
function showBlocks() {
  const there = new Map([...at("blocks").children].map((button) => [button.value, button]));
  const made = ({ id }) => element("button", { type: "button", value: id, onclick: () => choose(id) });
  const buttons = graph.nodes.map((node) => there.get(node.id) ?? made(node));
  if (buttons.length !== there.size || buttons.some((button, place) => button !== at("blocks").children[place])) {
    at("blocks").replaceChildren(...buttons);
  }
  const names = namesOf(graph.nodes, kinds);
  graph.nodes.forEach((node, number) => {
    const count = found.problems.filter((problem) => problem.node === node.id).length;
    const name = names.get(node.id);
    const text = count ? `${name} (${count})` : name;
    if (buttons[number].textContent !== text) buttons[number].textContent = text;
    buttons[number].classList.toggle("is-wrong", count > 0);
    buttons[number].setAttribute("aria-pressed", String(node.id === selected));
  });
}

function showForm(node) {
  const form = at("form");
  if (!node) {
    const hint = "Choose a block, in the graph or above, to change it.";
    form.replaceChildren(element("p", { className: "hint" }, hint));
    return;
  }
  fill(form, node, graph, kinds, {
    changed(name, value, again) {
      const parameters = { ...node.parameters };
      if (value === undefined) delete parameters[name];
      else parameters[name] = value;
      node = changeNode(node.id, { parameters }, `${node.id}.${name}`, again);
    },
    retyped: (type) => changeNode(node.id, { type }, "", true),
    joined(input, source) {
      const rest = graph.connections.filter((each) => each.target !== node.id || each.input !== input);
      const joint = { source, output: input, target: node.id, input };
      change({ ...graph, connections: source ? [...rest, joint] : rest });
    },
    removed: () => remove([node.id]),
  });
}

function changeNode(id, values, what, withForm = false) {
  const nodes = graph.nodes.map((each) => (each.id === id ? { ...each, ...values } : each));
  change({ ...graph, nodes }, what, withForm);
  return graph.nodes.find((each) => each.id === id);
}

function showProblems() {
  const list = element("ul", { className: "problems" });
  for (const problem of found.problems) {
    const there = problem.node ? () => choose(problem.node, problem.parameter) : null;
    const text = problem.sentence;
    list.append(element("li", {}, there ? element("button", { type: "button", onclick: there }, text) : text));
  }
  const notes = element("ul", { className: "notes" }, ...found.notes.map((note) => element("li", {}, note)));
  const none = element("p", {}, graph.nodes.length ? "No problem: the scenario can be run." : "Nothing is drawn yet.");
  at("panel-problems").replaceChildren(found.problems.length ? list : none, notes);
  at("tab-problems").textContent = found.problems.length ? `Problems (${found.problems.length})` : "Problems";
}

function choose(id, parameter = "") {
  selected = id;
  view.select(graph, id);
  show(false);
  if (parameter) at(`field-${parameter}`)?.focus();
}

function say(text, isWrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("problem", isWrong);
}

// Changes

function change(next, what = "", withForm = true) {
  if (!what || what !== lastChange) past.push(graph); // typing on in one field is one change
  lastChange = what;
  future = [];
  graph = next;
  show(false, withForm);
  examine();
}

function step(from, to, isByKey = false) {
  if (!from.length) return;
  const before = idsOf(graph);
  to.push(graph);
  graph = from.pop();
  const [came] = idsOf(graph).filter((id) => !before.includes(id));
  moveOn(before, before.filter((id) => !idsOf(graph).includes(id)));
  lastChange = "";
  show(false);
  if (isByKey && came) view.focus(came);
  examine();
}

// Blocks, then connections.
const idsOf = (drawing) => [...drawing.nodes.map((node) => node.id), ...drawing.connections.map((each) => edge(each).id)];

// Who stands at what goes (`gone`, of `ids`), or removes it in the form, goes on to what is next to it.
function moveOn(ids, gone) {
  const stands = document.activeElement;
  const own = view.focused(stands);
  const isGone = own ? [...own.nodes, ...own.edges].some((id) => gone.includes(id)) : stands.id === "remove";
  if (!gone.length || !(isGone || stands === document.body)) return;
  const next = nextTo(ids, gone);
  if (next) view.focus(next);
  else at("kind").focus();
}

// The scenario's connections follow from its blocks, so they are drawn anew when one comes or goes.
async function changeBlocks(nodes, connections = graph.connections) {
  past.push(graph);
  lastChange = "";
  future = [];
  graph = { ...graph, nodes, connections };
  show(false);
  const asked = graph;
  const answer = await talk.ask("connect", { graph });
  const ids = (each) => each.nodes.map((node) => node.id).join();
  if (graph === asked || answer.error) take(answer, false);
  else if (ids(graph) === ids(asked)) {
    graph = { ...graph, connections: answer.graph.connections }; // it was changed meanwhile
    show(false);
    examine();
  }
}

async function remove(ids) {
  if (ids.includes(selected)) selected = null;
  const connections = graph.connections.filter((each) => !ids.includes(each.source) && !ids.includes(each.target));
  moveOn(graph.nodes.map((node) => node.id), ids);
  await changeBlocks(graph.nodes.filter((each) => !ids.includes(each.id)), connections);
}

function drawn(event) {
  if (event.moved) changeNode(event.moved, { position: [event.position.x, event.position.y] }, `move ${event.moved}`);
  if ("selected" in event && event.selected !== selected) {
    selected = event.selected;
    show(false);
  }
  if (event.connected) {
    const { source, sourceHandle: output, target, targetHandle: input } = event.connected;
    change({ ...graph, connections: [...graph.connections, { source, output, target, input }] });
  }
  if (event.removed) {
    const ids = event.removed.nodes.filter((id) => graph.nodes.some((node) => node.id === id));
    const kept = graph.connections.filter((each) => !event.removed.edges.includes(edge(each).id));
    if (ids.length) remove(ids);
    else if (kept.length < graph.connections.length) {
      const edges = graph.connections.map((each) => edge(each).id);
      // Behind the last connection comes the first block.
      moveOn([...edges, ...graph.nodes.map((node) => node.id)], event.removed.edges);
      change({ ...graph, connections: kept });
    }
  }
}

async function add() {
  const kind = kinds[Number(at("kind").value)];
  let id = kind.block;
  for (let number = 2; graph.nodes.some((each) => each.id === id); number++) id = `${kind.block}-${number}`;
  const right = Math.max(-335, ...graph.nodes.map((each) => each.position[0]));
  const node = { id, key: kind.block, type: kind.types[0], parameters: {}, position: [right + 335, 0], rest: {} };
  selected = id;
  await changeBlocks([...graph.nodes, node]);
}

// Files

async function mayLeave() {
  return JSON.stringify(graph) === saved || ask("The scenario was changed and is not saved. Leave it all the same?");
}

function ask(question) {
  say(""); // what was said before is of something else
  at("question").textContent = question;
  at("ask").showModal();
  return new Promise((resolve) => {
    const answer = (value) => () => {
      at("ask").close();
      resolve(value);
    };
    at("yes").onclick = answer(true);
    at("no").onclick = answer(false);
    at("ask").oncancel = answer(false);
  });
}

async function open() {
  const name = at("open").value;
  if (!name) return;
  if (await mayLeave()) {
    const answer = await talk.ask("open", { name });
    if (!answer.error) say(`Opened ${name}.`);
    take(answer, true);
  } else at("open").value = "";
}

async function upload() {
  const [file] = at("file").files;
  at("file").value = "";
  if (!file || !(await mayLeave())) return;
  const answer = await talk.ask("read", { name: file.name, text: await file.text() });
  take(answer, true);
  if (!answer.error) {
    saved = ""; // of this folder it is no file
    say(`${file.name} is open here, and not saved yet.`);
  }
}

async function save(overwrite = false) {
  const name = at("name").value;
  const sent = JSON.stringify(graph);
  const answer = await talk.ask("save", { graph, name, overwrite });
  if (answer.ask) return (await ask(answer.ask)) ? save(true) : say("Not saved.");
  if (answer.error) return say(answer.error, true);
  if (!name.endsWith(".robot")) saved = sent;
  take(answer, false);
  return say(`Saved ${answer.saved}.`);
}

function format() {
  const suffix = at("name").value.match(/\.[a-z]+$/i)?.[0].toLowerCase();
  at("format").value = { ".yaml": ".yml" }[suffix] ?? suffix;
}

// The run

async function run() {
  const samples = at("samples").value === "" ? null : Number(at("samples").value);
  const answer = await talk.ask("run", { graph, samples, engine: at("engine").value });
  if (answer.error) say(answer.error, true);
}

// Whose run it is, where it is not this page's.
const others = (of) => (of.page === talk.page ? "" : `another page's run (${of.name ?? "of a drawing without a file"})`);
const begun = (sentence) => sentence[0].toUpperCase() + sentence.slice(1);

let whose = "";
function running(is, of = {}) {
  whose = is ? others(of) : "";
  if (is) exchange(at("stop"), at("run"));
  else exchange(at("run"), at("stop"));
  at("stop").textContent = whose ? "Stop the other page's run" : "Stop";
  at("progress").hidden = !is;
  at("progress").removeAttribute("value");
}

// Every page hears of the one run. That it began comes before its lines; the answer to who asked for it may come later.
function heard(event) {
  if (event.event === "began") {
    at("log").textContent = "";
    running(true, event.of);
    at("panel-report").replaceChildren(element("p", {}, `${begun(whose || "the run")} is under way.`));
    say(whose ? `${begun(whose)} …` : "Running …");
    turn("log");
  } else if (event.event === "line") {
    const panel = at("panel-log");
    const isAtEnd = panel.scrollTop + panel.clientHeight >= panel.scrollHeight - 40;
    at("log").append(`${event.text}\n`);
    if (isAtEnd) panel.scrollTop = panel.scrollHeight;
  } else if (event.event === "progress") {
    say(whose ? `${begun(whose)}: ${event.text}` : event.text);
    if (event.percent !== null) at("progress").value = event.percent;
  } else if (event.event === "ended") {
    running(false);
    ended(event);
    if (event.reports.includes("report.html")) turn("report");
  }
}

function ended(event) {
  const other = others(event.of);
  say(`${begun(other || "the run")} has ended: ${event.text}.`, event.status !== 0);
  const links = event.reports.map((name) =>
    element("a", { href: name, target: "_blank", rel: "noopener" }, { "report.html": "Report", "log.html": "Log" }[name]),
  );
  const frame = element("iframe", { title: "Report of the run", src: "report.html" });
  const none = "The run ended before there was something to report: its log says why.";
  at("panel-report").replaceChildren(
    ...(other ? [element("p", {}, `This is ${other}, and not of what is drawn here.`)] : []),
    element("p", {}, ...(links.length ? ["In a window of its own: ", ...links.flatMap((each) => [each, " "])] : [none])),
    ...(event.reports.includes("report.html") ? [frame] : []),
  );
}

function lost() {
  const isSaved = JSON.stringify(graph) === saved;
  at("progress").hidden = true;
  say(`The studio has ended. Start it again as before${isSaved ? "." : "; the drawing is not saved, and stays if you "}`, true);
  if (!isSaved) {
    const download = `${at("name").value.replace(/\.[a-z]+$/i, "") || "scenario"}.json`;
    const href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    const onclick = () => { saved = JSON.stringify(graph); };
    const link = element("a", { href, download, onclick }, `download ${download}`);
    at("status").append(link, " and open it there: From a file …");
  }
  for (const each of document.querySelectorAll("button, select, input, textarea")) each.disabled = true;
}

// Controls

at("open").addEventListener("change", open);
at("upload").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", upload);
at("new").addEventListener("click", async () => {
  if (await mayLeave()) take(await talk.ask("new"), true);
});
at("name").addEventListener("input", format);
at("format").addEventListener("change", () => {
  at("name").value = at("name").value.replace(/(\.(json|ya?ml|robot))?$/i, at("format").value);
});
at("save").addEventListener("click", () => save());
at("run").addEventListener("click", run);
at("stop").addEventListener("click", () => {
  talk.ask("stop");
  at("stop").textContent = "Stop at once";
  say("Stopping …");
});
at("add").addEventListener("click", add);
at("arrange").addEventListener("click", async () => {
  past.push(graph);
  lastChange = "";
  const asked = graph;
  const answer = await talk.ask("lay out", { graph });
  if (graph !== asked) return;
  take(answer, false);
  show(true);
});
at("undo").addEventListener("click", () => step(past, future));
at("redo").addEventListener("click", () => step(future, past));
at("form").addEventListener("submit", (event) => event.preventDefault());
addEventListener("keydown", (event) => {
  if ((!event.ctrlKey && !event.metaKey) || at("ask").open) return;
  const key = event.key.toLowerCase();
  if (key === "s") {
    event.preventDefault();
    save();
  } else if (key === "enter" && !at("run").hidden) run();
  else if (key === "z" && !event.target.closest("input, textarea")) {
    event.preventDefault();
    if (event.shiftKey) step(future, past, true);
    else step(past, future, true);
  }
});
addEventListener("beforeunload", (event) => {
  if (JSON.stringify(graph) !== saved) event.preventDefault();
});

begin();
