// SPDX-License-Identifier: Apache-2.0
// Where the focus goes when what had it is made anew, switched off or removed: who works by keys stays where they are.

const focusable = (part) =>
  [...part.querySelectorAll("button, input, select, textarea, summary")].filter(
    (each) => !each.disabled && each.checkVisibility(),
  );

// Redraw controls in the parts that `parts` selects: what stands in the place of the one that had the focus gets it.
export function keepFocus(parts, otherwise, redraw) {
  const had = document.activeElement;
  const part = had?.closest(parts);
  const place = part ? focusable(part).indexOf(had) : -1;
  redraw();
  if (!part || (part.contains(had) && !had.disabled)) return;
  const there = focusable(part);
  const same = there.find((each) => had.id && each.id === had.id);
  const next = there[Math.min(Math.max(place, 0), there.length - 1)];
  (same ?? next ?? part.closest("[tabindex]") ?? otherwise).focus();
}

// Of `ids` what is next to the first that goes; undefined where nothing stays.
export function nextTo(ids, gone) {
  const rest = ids.filter((id) => !gone.includes(id));
  return rest[Math.min(ids.indexOf(gone[0]), rest.length - 1)];
}

// Show one control in place of another, which leaves it the focus.
export function exchange(shown, hidden) {
  const hadFocus = document.activeElement === hidden;
  shown.hidden = false;
  if (hadFocus) shown.focus();
  hidden.hidden = true;
}
