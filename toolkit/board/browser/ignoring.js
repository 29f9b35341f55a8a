// Leaving a unit as it is on purpose: why, and until when. It takes words, so it stands where a unit opens.

import {button, h} from "./dom.js";

/** @import {Line} from "./messages.js" */
/** @import {Board} from "./table.js" */

const KEY = "ignore:why";

/**
 * @param {Board} board
 * @param {Line} line
 */
export function ignorePart(board, line) {
  const {draft} = board, {unit, label} = line;
  const about = {class: "md-bar md-ignore", role: "group", "aria-label": `Ignore ${label}`};
  if (line.ignored)
    return h("div", about, h("span", {}, `Ignored ${line.ignored}.`), button("Ignore no longer",
      () => board.decide(unit, "withdraw"), {class: "md-button", "data-key": "ignore:back"}));
  const why = h("input", {type: "text", value: draft.reason, placeholder: "why it may stay as it is  ( i )",
    maxlength: "500", "aria-label": `Why ${label} may stay as it is`, "data-key": KEY});
  const until = h("input", {type: "date", value: draft.until, "aria-label": `Last day of ignoring ${label}`,
    "data-key": "ignore:until"});
  const ignore = () => board.send("decide", {unit, vote: "ignore", change: line.change, reason: why.value,
    until: until.value});
  why.addEventListener("input", () => { draft.reason = why.value; });
  until.addEventListener("input", () => { draft.until = until.value; });
  why.addEventListener("keydown", event => { if (event.key === "Enter") ignore(); });
  return h("div", about, why, h("label", {class: "md-switch"}, "until", until),
    button("Ignore", ignore, {class: "md-button", "aria-label": `Ignore ${label}`, "data-key": "ignore:yes"}));
}

/**
 * The field gets the focus once it is there.
 *
 * @param {Board} board
 */
export function focusReason({draft, panel}) {
  /** @type {HTMLElement | null | undefined} */
  const field = draft.isWanted ? panel?.querySelector(`[data-key="${KEY}"]`) : null;
  if (!field) return;
  draft.isWanted = false;
  field.focus();
}
