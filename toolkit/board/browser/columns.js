// The heads of the columns: they sort, and their right edges are drawn, or moved by keys, to make room.

import {button, h} from "./dom.js";

/** @import {Column} from "./rows.js" */
/** @import {Board} from "./table.js" */

const LEAST = 40, MOST = 700, STEP = 20;

/** @param {Board} board */
export function makeHeads(board) {
  return board.columns.map(([key, words]) => {
    const sort = button(words, () => board.sortBy(key), {class: "md-sort", "data-key": `sort:${key}`,
      "aria-keyshortcuts": "Shift+ArrowLeft Shift+ArrowRight"});
    const head = h("div", {role: "columnheader", class: "md-head", "data-key": key}, sort);
    const grip = h("span", {class: "md-grip", "aria-hidden": "true",
      title: "Draw to resize; Shift+← and Shift+→ on the column's head do so too",
      onpointerdown: event => draw(board, key, head, event),
      ondblclick: () => board.root.style.removeProperty(name(key))});
    head.append(grip);
    return head;
  });
}

/** @param {Column} key */
function name(key) {
  return `--md-w-${key}`;
}

/**
 * @param {Board} board
 * @param {Column} key
 * @param {number} width
 */
function setWidth({root}, key, width) {
  root.style.setProperty(name(key), `${Math.round(Math.max(LEAST, Math.min(MOST, width)))}px`);
}

/**
 * Follows the pointer until it is let go.
 *
 * @param {Board} board
 * @param {Column} key
 * @param {HTMLElement} head
 * @param {PointerEvent} event
 */
function draw(board, key, head, event) {
  const {target, clientX, pointerId} = event;
  if (!(target instanceof HTMLElement)) return;
  event.preventDefault();
  const width = head.offsetWidth;
  target.setPointerCapture(pointerId);
  /** @param {PointerEvent} moved */
  const move = moved => setWidth(board, key, width + moved.clientX - clientX);
  target.addEventListener("pointermove", move);
  target.addEventListener("pointerup", () => target.removeEventListener("pointermove", move), {once: true});
}

/**
 * Whether the key meant the width of a column.
 *
 * @param {Board} board
 * @param {string} key
 * @param {Element} target
 */
export function resizeByKey(board, key, target) {
  const head = target.closest(".md-head"), way = {"Shift+ArrowLeft": -1, "Shift+ArrowRight": 1}[key];
  if (!(head instanceof HTMLElement) || !way) return false;
  setWidth(board, /** @type {Column} */ (head.dataset.key), head.offsetWidth + way * STEP);
  return true;
}
