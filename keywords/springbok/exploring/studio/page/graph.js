// SPDX-License-Identifier: Apache-2.0
// The graph, drawn by React Flow. The module flow.js is that of the Python package panel-reactflow: it has React and a
// component that is made for Panel's models; `Model` is what it needs of one.

import parts from "./flow.js";

const { React, createRoot, ReactFlow } = parts;
const make = React.createElement;
const NONE = [];

// The component looks for views of Bokeh's, which it has not here.
window.Bokeh ??= { index: { find_by_id: () => NONE } };

class Model {
  constructor(values, heard) {
    this.values = values;
    this.heard = heard;
    this.views = NONE;
    this.stylesheets = NONE;
    this.watchers = new Set();
    this.listeners = new Set();
    this.watch = (watcher) => {
      this.watchers.add(watcher);
      return () => this.watchers.delete(watcher);
    };
  }

  set(values) {
    Object.assign(this.values, values);
    for (const watcher of this.watchers) watcher();
  }

  useState(name) {
    const value = React.useSyncExternalStore(this.watch, () => this.values[name]);
    return [value, () => {}];
  }

  get_child(name) {
    if (name === "_views") return this.views;
    return name === "_node_editor_views" ? NONE : null;
  }

  on(event, listener) {
    if (event === "msg:custom") this.listeners.add(listener);
  }

  off(_event, listener) {
    this.listeners.delete(listener);
  }

  send_msg(message) {
    this.heard(message);
  }

  tell(message) {
    for (const listener of this.listeners) listener(message);
  }
}

const VIEW = { _mounted: new Map(), get_child_view: () => null, model: { data: { _views: NONE } } };

const SETTINGS = {
  connection_validation: { direction: true, cycles: true, duplicates: true, capacity: true, types: true },
  debounce_ms: 0,
  default_edge_options: {},
  drop_types: NONE,
  editable: true,
  editor_mode: "side",
  enable_connect: true,
  enable_delete: false,
  enable_multiselect: false,
  error_recovery: "auto",
  has_connection_validators: false,
  max_zoom: 2,
  min_zoom: 0.2,
  popup_hover_delay: 0,
  popup_trigger: "none",
  selection: { nodes: NONE, edges: NONE },
  show_minimap: false,
  sync_mode: "event",
  viewport: null,
};

const ports = (names, most) => names.map((name) => ({ id: name, type: name, ...(most && { maxConnections: most }) }));

export function typeOf(node, kinds) {
  const block = node.key === "runtime_protocol" ? "protocol" : node.key;
  const kind = kinds.find((each) => each.block === block && each.name === node.type.split(".").pop());
  return { block, kind, title: kinds.find((each) => each.block === block)?.title ?? block };
}

// What people call each block, by id: those of one kind have numbers.
export function namesOf(nodes, kinds) {
  const titles = nodes.map((node) => typeOf(node, kinds).title);
  const seen = new Map();
  return new Map(
    nodes.map(({ id }, place) => {
      const title = titles[place];
      seen.set(title, (seen.get(title) ?? 0) + 1);
      return [id, titles.indexOf(title) === titles.lastIndexOf(title) ? title : `${title} ${seen.get(title)}`];
    }),
  );
}

export class GraphView {
  // `heard` gets {moved: id, position}, {selected: id or null}, {connected: connection}, {removed: {nodes, edges}}.
  constructor(element, kinds, heard) {
    this.element = element;
    this.kinds = kinds;
    this.chosen = { nodes: NONE, edges: NONE };
    this.root = createRoot(element);
    const types = {};
    for (const kind of kinds) {
      types[`${kind.block}/${kind.name}`] = types[`${kind.block}/`] = {
        inputs: ports(kind.inputs, 1),
        outputs: ports(kind.outputs),
      };
    }
    this.model = new Model({ ...SETTINGS, nodes: NONE, edges: NONE, node_types: types }, (message) => {
      if (message.type === "node_moved") heard({ moved: message.node_id, position: message.position });
      if (message.type === "selection_changed") {
        this.chosen = message;
        heard({ selected: message.nodes[0] ?? null });
      }
      if (message.type === "edge_added") heard({ connected: message.edge });
    });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const colour = () => this.model.set({ color_mode: dark.matches ? "dark" : "light" });
    dark.addEventListener("change", colour);
    colour();
    this.mounted = 0;
    // As its button does it, when React Flow knows the canvas's new size too.
    let waiting = 0;
    const fit = (isNeeded) => {
      clearTimeout(waiting);
      waiting = setTimeout(() => isNeeded() && element.querySelector(".react-flow__controls-fitview")?.click(), 150);
    };
    addEventListener("resize", () => fit(() => true));
    // What stands below takes room from the canvas.
    new ResizeObserver(() => fit(() => this.isCut())).observe(element);
    this.wanted = null; // what is to have the focus, and what had it when that was said
    this.stood = null;
    const attributes = { attributes: true, attributeFilter: ["style", "class"] };
    new MutationObserver(() => this.settle()).observe(element, { subtree: true, childList: true, ...attributes });
    // React Flow looks for a pressed key as it draws, and misses one that was let go before: removing is done here.
    addEventListener("keydown", (event) => {
      const isTyped = event.target.closest?.("input, textarea, select, dialog");
      if (!["Delete", "Backspace"].includes(event.key) || isTyped || event.ctrlKey || event.metaKey || event.altKey) return;
      const { nodes, edges } = this.focused(event.target) ?? this.chosen;
      if (nodes.length + edges.length) heard({ removed: { nodes, edges } });
    });
  }

  // Whether a block reaches out of the canvas that the graph is fitted into.
  isCut() {
    const canvas = this.element.querySelector(".react-flow")?.getBoundingClientRect();
    return [...this.element.querySelectorAll(".react-flow__node")].some((node) => {
      const box = node.getBoundingClientRect();
      return box.left < canvas.left || box.right > canvas.right || box.top < canvas.top || box.bottom > canvas.bottom;
    });
  }

  // The block or connection that has the focus, or null.
  focused(element) {
    const id = (kind) => [element.closest?.(`.react-flow__${kind}`)?.dataset.id].filter(Boolean);
    const found = { nodes: id("node"), edges: id("edge") };
    return found.nodes.length + found.edges.length ? found : null;
  }

  // Give a block or a connection the focus, as soon as it takes it: what is just drawn is hidden until it is measured.
  focus(id) {
    [this.wanted, this.stood] = [id, document.activeElement];
    this.settle();
  }

  settle() {
    if (!this.wanted) return;
    const found = this.element.querySelector(`:is(.react-flow__node, .react-flow__edge)[data-id="${CSS.escape(this.wanted)}"]`);
    const isElsewhere = ![this.stood, document.body].includes(document.activeElement);
    if (!isElsewhere) found?.focus();
    if (isElsewhere || document.activeElement === found) this.wanted = null;
  }

  // Draw the graph; `anew` fits it into the canvas.
  show(graph, problems, meanings, anew) {
    this.model.views = graph.nodes.map((node) => this.body(node, problems, meanings));
    const names = namesOf(graph.nodes, this.kinds);
    this.model.set({
      nodes: graph.nodes.map((node, number) => this.node(node, number, problems, names.get(node.id))),
      edges: graph.connections.map((connection) => edge(connection, names, leadsBack(graph, connection))),
      _node_update_count: ++this.mounted,
    });
    if (anew) this.root.render(make(ReactFlow.render, { key: this.mounted, model: this.model, view: VIEW }));
  }

  // Select a block as if it had been clicked.
  select(graph, id) {
    for (const node of graph.nodes) {
      this.model.tell({ type: "patch_node_props", node_id: node.id, patch: { selected: node.id === id } });
    }
  }

  node(node, number, problems, name) {
    const { block, kind } = typeOf(node, this.kinds);
    const count = problems.filter((problem) => problem.node === node.id).length;
    const drawn = this.element.querySelector(`.react-flow__node[data-id="${CSS.escape(node.id)}"]`);
    return {
      id: node.id,
      // A block without a size is hidden until it is measured, and what is hidden loses the focus.
      ...(drawn && { measured: { width: drawn.offsetWidth, height: drawn.offsetHeight } }),
      type: `${block}/${kind?.name ?? ""}`,
      label: name,
      position: { x: node.position[0], y: node.position[1] },
      className: `block block-${block}${count ? " is-wrong" : ""}`,
      ariaLabel: `${name}: ${node.type.split(".").pop()}${count ? `, ${count} problem${count === 1 ? "" : "s"}` : ""}`,
      data: { view_idx: number },
    };
  }

  body(node, problems, meanings) {
    const shown = Object.entries(node.parameters).slice(0, 4);
    const more = Object.keys(node.parameters).length - shown.length;
    const own = problems.filter((problem) => problem.node === node.id);
    return make(
      "div",
      { key: node.id, className: "block-body" },
      make("code", { className: "block-type" }, node.type.split(".").pop()),
      meanings[node.key] ? make("p", { className: "block-meaning" }, meanings[node.key]) : null,
      make(
        "dl",
        null,
        shown.flatMap(([name, value]) => [
          make("dt", { key: name }, name),
          make("dd", { key: `${name}=` }, shortened(value)),
        ]),
      ),
      more > 0 ? make("p", { className: "block-more" }, `and ${more} more`) : null,
      // A block keeps its place among the others: the list below the graph has every problem, and the whole of it.
      own.length ? make("p", { className: "problem", title: own[0].sentence }, own[0].sentence) : null,
      own.length > 1 ? make("p", { className: "block-more" }, `and ${own.length - 1} more problem${own.length === 2 ? "" : "s"}`) : null,
    );
  }
}

function shortened(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 58)}…` : text;
}

// A curve to a block that isn't further right would lead behind both blocks.
function leadsBack({ nodes }, { source, target }) {
  const [from, to] = [source, target].map((id) => nodes.find((node) => node.id === id)?.position[0]);
  return to <= from;
}

export function edge(connection, names = new Map(), isBack = false) {
  const { source, output, target, input } = connection;
  return {
    id: `${source}.${output}-${target}.${input}`,
    source,
    sourceHandle: output,
    target,
    targetHandle: input,
    type: isBack ? "smoothstep" : "default",
    className: `port-${output}`,
    ariaLabel: `${output} from ${names.get(source) ?? source} to ${names.get(target) ?? target}`,
  };
}
