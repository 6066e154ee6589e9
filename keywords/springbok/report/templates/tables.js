// Tables that are sorted, filtered and copied; the dark theme. Without scripts a page shows all of it, in its first order.
(() => {
  "use strict";
  const root = document.documentElement;
  const setTheme = (dark) => { root.dataset.theme = dark ? "dark" : "light"; };
  const preference = window.matchMedia("(prefers-color-scheme: dark)");
  setTheme(preference.matches);
  preference.addEventListener("change", (event) => setTheme(event.matches));
  document.getElementById("theme").addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));

  const key = (row, column) => {
    const cell = row.cells[column];
    if (!("value" in cell.dataset)) return cell.textContent;
    return cell.dataset.value === "" ? -Infinity : Number(cell.dataset.value);
  };
  const compare = (a, b) => (typeof a === "number" ? (a < b ? -1 : a > b ? 1 : 0) : a.localeCompare(b));
  const sort = (table, header, wanted = "") => {
    const direction = wanted || (header.getAttribute("aria-sort") === "descending" ? "ascending" : "descending");
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => sign * compare(key(a, header.cellIndex), key(b, header.cellIndex)));
    table.tBodies[0].append(...rows);
  };
  // Where a page is narrow, tables are lists without heads: their order is chosen here.
  const addSort = (table) => {
    const label = document.createElement("label");
    const select = document.createElement("select");
    label.className = "sb-sort";
    label.append("Order", select);
    select.setAttribute("aria-label", `Order of ${nameOfTable(table)}`);
    select.append(new Option("as it is", ""));
    for (const header of table.tHead.rows[0].cells) {
      const isNumber = "value" in (table.tBodies[0].rows[0]?.cells[header.cellIndex]?.dataset ?? {});
      const words = isNumber ? ["largest first", "smallest first"] : ["Z to A", "A to Z"];
      ["descending", "ascending"].forEach((direction, i) => {
        select.append(new Option(`${header.textContent}: ${words[i]}`, `${header.cellIndex} ${direction}`));
      });
    }
    const first = [...table.tBodies[0].rows];
    select.addEventListener("change", () => {
      const [column, direction] = select.value.split(" ");
      if (direction) return sort(table, table.tHead.rows[0].cells[column], direction);
      for (const header of table.tHead.rows[0].cells) header.removeAttribute("aria-sort");
      return table.tBodies[0].append(...first);
    });
    table.parentNode.before(label);
  };
  const nameOfTable = (table) => table.getAttribute("aria-label") ?? "the table";
  const asText = (table) => [...table.rows].filter((row) => !row.hidden).map(
    (row) => [...row.cells].map((cell) => cell.dataset.value ?? cell.textContent.trim()).join("\t")).join("\n");
  const copy = async (table, button) => {
    try {
      await navigator.clipboard.writeText(asText(table));
      button.textContent = "Copied";
      button.removeAttribute("aria-label");
    } catch {
      getSelection().selectAllChildren(table);
      button.textContent = "Selected: copy with Ctrl+C";
      button.removeAttribute("aria-label");
    }
  };
  // What a mark of a plot that is drawn already says of itself, for who points at it; and by its name, a row's marks.
  for (const mark of document.querySelectorAll("svg [aria-roledescription=point], svg [aria-roledescription=bar]")) {
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = mark.getAttribute("aria-label");
    mark.append(title);
  }
  const nameOf = (mark) => mark.getAttribute("aria-label").replace(/: [^:]*$/, "");
  const marksOf = (table) => {
    const found = new Map();
    for (const mark of table.closest("section").querySelectorAll("svg [aria-roledescription=point]")) {
      found.set(nameOf(mark), [...(found.get(nameOf(mark)) ?? []), mark]);
    }
    return (row) => found.get(row.dataset.mark) ?? [];
  };
  const link = (table, marks) => {
    for (const row of table.tBodies[0].rows) {
      for (const mark of marks(row)) {
        const both = [row, mark];
        for (const each of both) {
          each.addEventListener("mouseenter", () => both.forEach((one) => one.classList.add("sb-seen")));
          each.addEventListener("mouseleave", () => both.forEach((one) => one.classList.remove("sb-seen")));
        }
        mark.addEventListener("click", () => row.scrollIntoView({block: "center"}));
      }
    }
  };
  const manyRows = 12;
  const addFilter = (table, marks) => {
    const input = document.createElement("input");
    const count = document.createElement("output");
    input.className = "sb-filter";
    input.type = "search";
    input.placeholder = "Filter: words that a row must hold";
    input.setAttribute("aria-label", `Filter ${nameOfTable(table)}: words that a row must hold`);
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
    const filter = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, i) => {
        const holds = words.every((word) => texts[i].includes(word));
        row.hidden = !holds;
        for (const mark of marks(row)) mark.classList.toggle("sb-hidden", !holds);
        shown += holds;
      });
      count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
      const left = rows.filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
      table.closest("section")?.dispatchEvent(new CustomEvent("sb-filter", {detail: words.length ? new Set(left) : null}));
    };
    input.addEventListener("input", filter);
    table.parentNode.before(input, count);
  };
  for (const table of document.querySelectorAll("table.sb-table")) {
    const marks = marksOf(table);
    if (table.querySelector("tr[data-mark]")) link(table, marks);
    if (table.tBodies[0].rows.length > manyRows) {
      addFilter(table, marks);
      table.parentNode.classList.add("sb-tall");
    }
    for (const header of table.tHead.rows[0].cells) {
      header.title = "Sort";
      header.tabIndex = 0;
      header.addEventListener("click", () => sort(table, header));
      header.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        sort(table, header);
      });
    }
    if (table.matches(".sb-wide, .sb-listed") && table.tBodies[0].rows.length > 1) addSort(table);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy table";
    button.setAttribute("aria-label", `Copy table: ${nameOfTable(table)}`);
    button.addEventListener("click", () => copy(table, button));
    table.parentNode.after(button);
  }
})();
