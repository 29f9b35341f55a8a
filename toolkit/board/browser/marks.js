// What would be written, on a line: signs and words as well as colour.

import {h} from "./dom.js";

/** @import {Line, Mark} from "./messages.js" */

const NONE = "absent";

/** @param {Mark} mark */
function markNodes([sign, what, before, after]) {
  if (sign === "+") return [h("ins", {}, `+ ${what}`)];
  if (sign === "−") return [h("del", {}, `− ${what}`)];
  if (sign) return [h("span", {class: "md-over"}, `${sign} ${what}`)];
  return [`${what} `, before ? h("del", {}, before) : NONE, " → ", after ? h("ins", {}, after) : NONE];
}

/** @param {Mark[]} marks */
export function marksPart(marks) {
  return h("span", {class: "md-marks"}, ...marks.flatMap((mark, at) => [at ? " · " : "", ...markNodes(mark)]));
}

/** @param {Mark[]} marks */
export function marksText(marks) {
  return marks.map(([sign, what, before, after]) => sign ? `${sign} ${what}`
    : `${what} ${before || NONE} → ${after || NONE}`).join(", ");
}

/**
 * What stands before it: what was picked for it, and that it waits for a person.
 *
 * @param {Line} line
 */
export function lead({picked, human, change}) {
  return (picked ? `${picked}: ` : "") + (human && change && !picked ? "needs your yes: " : "");
}
