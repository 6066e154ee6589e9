// SPDX-License-Identifier: Apache-2.0
// The tabs below the graph: one panel is shown at a time.

const at = (id) => document.getElementById(id);

export function turn(name) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const is = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", String(is));
    tab.tabIndex = is ? 0 : -1;
    at(tab.getAttribute("aria-controls")).hidden = !is;
  }
}

const tabs = ["problems", "log", "report"];
tabs.forEach((name, number) => {
  at(`tab-${name}`).addEventListener("click", () => turn(name));
  at(`tab-${name}`).addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = tabs[(number + by + tabs.length) % tabs.length];
    turn(next);
    at(`tab-${next}`).focus();
  });
});
