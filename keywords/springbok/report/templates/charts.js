// Charts of a page: drawn when they come into sight, with exact values for who points at a mark, series to switch off,
// a logarithmic axis, an order, and a search that all charts and tables of a model follow.
(() => {
  "use strict";
  const config = JSON.parse(document.getElementById("sb-config").textContent);
  const narrow = 700;
  const charts = [];
  const rowsOf = (part) => [
    ...(part.data?.values ?? []), ...[...(part.layer ?? []), ...(part.vconcat ?? [])].flatMap(rowsOf)];

  const control = (text, input, before = "") => {
    const label = document.createElement("label");
    if (before) {
      const sample = document.createElement("i");
      sample.style.background = before;
      label.append(input, sample, text);
    } else {
      label.append(input, text);
    }
    return label;
  };
  const checkbox = (checked, changed) => {
    const input = document.createElement("input");
    input.type = "checkbox";
    input.checked = checked;
    input.addEventListener("change", () => changed(input.checked));
    return input;
  };

  class Chart {
    constructor(plot) {
      this.plot = plot;
      this.specification = JSON.parse(plot.nextElementSibling.textContent);
      this.meta = this.specification.usermeta ?? {};
      this.isDrawn = false;
      this.hidden = new Set();
      this.words = [];
      this.isLogarithmic = Boolean(this.meta.logarithmic);
      this.order = "";
      this.only = null;  // names that the filter of the table left
      this.title = plot.closest("section").querySelector("h2, h3, h4").textContent;
      plot.closest("section").addEventListener("sb-filter", (event) => {
        this.only = event.detail;
        if (this.isDrawn) this.draw();
      });
      this.addControls();
    }

    // Layers that colour by a series tell its names and colours.
    colours() {
      const encodings = [this.specification, ...(this.specification.layer ?? [])].map((each) => each.encoding?.color);
      const scale = encodings.find((each) => each?.field === this.meta.series && each?.scale?.domain)?.scale;
      return scale ? new Map(scale.domain.map((name, i) => [name, scale.range[i % scale.range.length]])) : new Map();
    }

    addControls() {
      const controls = document.createElement("div");
      controls.className = "sb-controls";
      controls.setAttribute("role", "group");
      controls.setAttribute("aria-label", `What the chart shows: ${this.title}`);
      const colours = this.meta.series ? this.colours() : new Map();
      if (colours.size > 1) {
        for (const [name, colour] of colours) {
          controls.append(control(name, checkbox(true, (on) => {
            this.hidden[on ? "delete" : "add"](name);
            this.draw();
          }), colour));
        }
      }
      if (typeof this.meta.logarithmic === "boolean") {
        controls.append(control("logarithmic axis", checkbox(this.isLogarithmic, (on) => {
          this.isLogarithmic = on;
          this.draw();
        })));
      }
      if (this.meta.category && this.meta.value && this.specification.height?.step) {
        controls.append(control("largest first", checkbox(false, (on) => {
          this.order = on ? "value" : "";
          this.draw();
        })));
      }
      if (this.specification.vconcat) this.addZoom(controls);
      if (controls.children.length) this.plot.before(controls);
    }

    // What the mouse does with the wheel and by dragging, by keyboard.
    addZoom(controls) {
      this.span = [0, 1];  // the part of the axes that is shown
      const steps = {
        "Closer": ([a, b]) => [a + (b - a) / 4, b - (b - a) / 4],
        "Wider": ([a, b]) => [a - (b - a) / 2, b + (b - a) / 2],
        "Earlier": ([a, b]) => [a - (b - a) / 2, b - (b - a) / 2],
        "Later": ([a, b]) => [a + (b - a) / 2, b + (b - a) / 2],
        "All": () => [0, 1],
      };
      for (const [name, move] of Object.entries(steps)) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = name;
        button.addEventListener("click", () => {
          const [a, b] = move(this.span);
          const length = Math.min(b - a, 1);
          const begin = Math.min(Math.max(a, 0), 1 - length);
          this.span = [begin, begin + length];
          this.draw();
        });
        controls.append(button);
      }
    }

    values(rows) {
      const {category, value, series} = this.meta;
      let shown = rows.filter((row) => !(series && this.hidden.has(row[series])));
      if (category && this.words.length) {
        shown = shown.filter((row) => {
          const text = String(row[category] ?? "").toLowerCase();
          return row[category] === undefined || this.words.every((word) => text.includes(word));
        });
      }
      if (category && this.only) shown = shown.filter((row) => row[category] === undefined || this.only.has(String(row[category])));
      if (this.isLogarithmic) shown = shown.filter((row) => row[value] > 0);
      if (this.order) {
        const sums = new Map();
        for (const row of shown) sums.set(row[category], (sums.get(row[category]) ?? 0) + Math.abs(row[value]));
        shown = [...shown].sort((a, b) => sums.get(b[category]) - sums.get(a[category]));
      }
      return shown;
    }

    // The specification as the controls want it.
    wanted() {
      const wanted = structuredClone(this.specification);
      const width = this.plot.clientWidth;
      const fill = (part) => {
        if (part.data?.values) part.data.values = this.values(part.data.values);
        if (typeof part.width === "number") part.width = part.vconcat ? undefined : "container";
        for (const each of [...(part.layer ?? []), ...(part.vconcat ?? [])]) fill(each);
        const mark = part.encoding?.description;
        if (mark) part.encoding.tooltip = mark;
      };
      fill(wanted);
      wanted.description = this.title;
      for (const each of wanted.vconcat ?? []) {
        const x = each.layer[0].encoding.x;
        x.scale = {...x.scale, domain: this.span.map((part) => part * x.scale.domain[1])};
        each.width = Math.max(200, width - 90);
        const select = {type: "interval", encodings: ["x"], zoom: "wheel![event.shiftKey]"};
        each.layer[0].params = [{name: `zoom_${each.name}`, select, bind: "scales"}];
        for (const layer of each.layer) layer.mark.clip = true;
      }
      if (this.isLogarithmic) this.makeLogarithmic(wanted);
      const looks = structuredClone(config);
      if (wanted.usermeta?.series && !wanted.vconcat) looks.legend.disable = this.colours().size > 1;
      const most = Math.round(width * 0.38);
      looks.axisY.labelLimit = looks.axisYBand = {labelLimit: most};
      looks.axisY = {...looks.axisY, labelLimit: most};
      if (width < narrow) looks.legend.columns = 1;
      if (wanted.width === "container") {
        wanted.autosize = {type: "fit-x", contains: "padding"};
        if (wanted.height?.step) wanted.height = this.height(wanted);
        wanted.padding = {left: 2, top: 14, bottom: 4, right: wanted.layer ? 60 : 12};  // values stand beside the bars
      }
      return {...wanted, config: looks};
    }

    // Pixels of all lines. With a step for each, Vega-Lite warns of every chart whose width fits that its height can't;
    // groups of lines have its own room between them, a fifth of theirs.
    height(wanted) {
      const count = (field) => new Set(wanted.data.values.map((row) => row[field])).size;
      const {category, series} = this.meta;
      const {step, for: of} = wanted.height;
      return of ? (count(category) + 0.2) * count(series) * step / 0.8 : count(category) * step;
    }

    // A bar's length means nothing on a logarithmic axis: there its end is marked.
    makeLogarithmic(wanted) {
      wanted.encoding.x.scale = {type: "log"};
      wanted.encoding.x.axis = {...wanted.encoding.x.axis, format: "~s"};
      const {series} = this.meta;
      if (series && !wanted.height.for) {  // parts of a stacked bar have no sum there: each has a line of its own
        wanted.encoding.yOffset = {field: series, type: "nominal", sort: [...this.colours().keys()]};
        wanted.height = {step: 14, for: "offset"};
      }
      for (const layer of wanted.layer) {
        delete layer.transform;
        if (layer.mark?.type === "bar") layer.mark = {...layer.mark, type: "point", filled: true, size: 80, opacity: 1};
        if (layer.mark?.type === "text") layer.mark = {...layer.mark, dx: 9};
      }
    }

    // Whether nothing is left of what has names; roofs and axes alone are no chart.
    isEmpty(wanted) {
      const {category} = this.meta;
      const [before, left] = [this.specification, wanted].map(rowsOf).map(
        (rows) => (category ? rows.filter((row) => row[category] !== undefined) : rows).length);
      return before > 0 && left === 0;
    }

    async draw() {
      this.isDrawn = true;
      delete this.plot.dataset.drawn;
      const options = {renderer: "svg", actions: false, ast: true, defaultStyle: false, mode: "vega-lite", logLevel: 1,
        tooltip: {theme: "custom", disableDefaultStyle: true}};
      this.view?.finalize();
      const wanted = this.wanted();
      if (this.isEmpty(wanted)) {
        this.view = null;
        this.plot.textContent = "Nothing is left to show: all is switched off, or nothing has these words.";
        this.plot.dataset.drawn = "";
        return;
      }
      const {view} = await vegaEmbed(this.plot, wanted, options);
      this.view = view;
      this.plot.dataset.drawn = "";
    }

    search(words) {
      if (words.join(" ") === this.words.join(" ")) return;
      this.words = words;
      if (this.isDrawn) this.draw();
    }
  }

  const plots = [...document.querySelectorAll(".sb-plot")];
  for (const plot of plots) charts.push(new Chart(plot));
  const chartOf = new Map(charts.map((chart) => [chart.plot, chart]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      const chart = chartOf.get(entry.target);
      if (!chart.isDrawn) chart.draw();
    }
  }, {rootMargin: "600px"});
  for (const plot of plots) seen.observe(plot);
  addEventListener("beforeprint", () => charts.filter((chart) => !chart.isDrawn).forEach((chart) => chart.draw()));
  let resized = 0;
  addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(() => charts.filter((chart) => chart.isDrawn).forEach((chart) => chart.draw()), 150);
  });

  // One model at a time, by its place in the address; and the search over its layers.
  const picker = document.getElementById("sb-model");
  const models = [...document.querySelectorAll(".sb-model")];
  const pick = (id) => {
    const chosen = models.find((model) => model.id === id) ?? models[0];
    if (!chosen) return;
    for (const model of models) model.hidden = model !== chosen;
    if (picker) picker.value = chosen.id;
  };
  if (picker) {
    picker.addEventListener("change", () => {
      history.replaceState(null, "", `#${picker.value}`);
      pick(picker.value);
    });
    addEventListener("hashchange", () => {
      pick(location.hash.slice(1));
      document.getElementById(location.hash.slice(1))?.scrollIntoView();  // it was hidden when the browser looked for it
    });
    pick(location.hash.slice(1));
  }
  const bar = document.querySelector(".sb-picker");
  if (bar) {
    const root = document.documentElement;
    new ResizeObserver(() => root.style.setProperty("--sb-bar", `${bar.offsetHeight}px`)).observe(bar);
    root.style.setProperty("--sb-bar", `${bar.offsetHeight}px`);
    // What is above must not grow any more when the address's model is put below the bar.
    const target = models.find((model) => model.id === location.hash.slice(1));
    if (target) {
      const above = charts.filter((chart) => !chart.isDrawn && !models.some((model) => model.contains(chart.plot)));
      Promise.all(above.map((chart) => chart.draw())).then(() => target.scrollIntoView());
    }
  }
  const search = document.getElementById("sb-search");
  if (search) {
    const found = document.getElementById("sb-found");
    search.addEventListener("input", () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const chart of charts) if (chart.meta.category === "dispatch") chart.search(words);
      let rows = 0, shown = 0;
      for (const row of document.querySelectorAll('.sb-model tr[data-of="dispatch"]')) {
        const text = row.cells[0].textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        if (row.closest("[data-figure=dispatches]") && !row.closest(".sb-model").hidden) {
          rows += 1;
          shown += !row.hidden;
        }
      }
      found.textContent = words.length ? `${shown} of ${rows} dispatches` : "";
      for (const note of document.querySelectorAll("[data-figure=dispatches] > p")) note.hidden = words.length > 0;
    });
  }
})();
