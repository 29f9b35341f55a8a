// Past runs: the list, one of them opened, and taking it back.

import {fillAll} from "./counts.js";
import {button, code, grouped, h, heading} from "./dom.js";
import {tables} from "./opened.js";

/** @import {Opened, Past, PastUnit} from "./messages.js" */
/** @import {Board} from "./table.js" */

const HEADS = ["When (UTC)", "What", "By", "Units written", "Rows", "Left", "Taken back"];

/** @param {Board} board */
export function toggleHistory(board) {
  const {history} = board, show = history.hidden;
  board.past.setAttribute("aria-pressed", String(show));
  board.grid.hidden = show;
  history.hidden = !show;
  fillAll(board);
  if (!show) return board.keepFocus(() => history.replaceChildren());
  history.replaceChildren("Loading…");
  history.focus({preventScroll: true});
  board.send("history");
}

/**
 * What taking the last run back would write, wherever one comes from.
 *
 * @param {Board} board
 */
export function offerUndo(board) {
  const run = board.state.undo;
  if (board.history.hidden) toggleHistory(board);
  board.send("plan_undo", {run});
}

/**
 * @param {Board} board
 * @param {Past[]} runs
 */
export function fillHistory(board, runs) {
  const {history} = board;
  if (history.hidden) return;
  board.runBox = h("div", {"aria-live": "polite"});
  const heads = HEADS.map(word => h("th", {scope: "col"}, word));
  // The roles are said as well: where there is no room, the table is shown as cards.
  const table = h("table", {class: "md-runs", role: "table"}, h("thead", {}, h("tr", {}, ...heads, h("td"))),
    h("tbody", {role: "rowgroup"}, ...runs.map((run, at) => runRow(board, run, runs.length - at))));
  history.replaceChildren(heading("What was written to this database, the latest run first"),
    ...(runs.length ? [table, board.runBox] : ["Nothing was written yet."]));
}

/** @param {string} moment */
function inUtc(moment) {
  const spoken = new Date(moment).toLocaleString("en-GB", {dateStyle: "medium", timeStyle: "short", timeZone: "UTC"});
  return `${spoken} UTC`;
}

/**
 * @param {Board} board
 * @param {Past} run
 * @param {number} number
 */
function runRow(board, run, number) {
  const named = `${run.action}, run ${number}, ${inUtc(run.time)}`;
  const note = run.undone_by ? "yes" : run.undoes ? "it took a run back" : run.finished ? "" : "interrupted";
  const show = button("Show", () => board.send("open_run", {run: run.run}),
    {class: "md-button", "aria-label": `Show ${named}`, "data-key": `show:${run.run}`});
  const undo = run.rows && !run.undone_by ? button("Undo…", () => board.send("plan_undo", {run: run.run}),
    {class: "md-button", "aria-label": `Undo… ${named}`, "data-key": `undo:${run.run}`}) : "";
  const cells = [run.time.slice(0, 19).replace("T", " "), run.action, run.by, `${run.applied} of ${run.units}`,
    String(run.rows), run.left, note];
  return h("tr", {role: "row"}, ...cells.map((text, at) => h("td", {role: "cell", "data-head": HEADS[at]}, text)),
    h("td", {role: "cell"}, h("div", {class: "md-verbs"}, show, undo)));
}

/**
 * @param {PastUnit} unit
 * @param {boolean} open
 */
function unitPart({id, label, state, why, rows}, open) {
  const words = h("summary", {}, label && `${label} `, code(id), ` ${state}`, why && `: ${why}`);
  return h("details", {open}, words, tables(rows));
}

/**
 * @param {Board} board
 * @param {Opened} opened
 * @param {boolean} isUndo
 */
export function fillRun(board, {run, units, more, told, plan}, isUndo) {
  const {runBox} = board;
  if (board.history.hidden || !runBox) return;
  const words = !isUndo ? `This run wrote ${told}.`
    : plan ? `Taking it back would write ${told}, after a backup; a running bot must reload them.`
      : "There is nothing left to take back.";
  const yes = isUndo && plan
    ? button(`Undo ${told}`, () => board.send("undo", {run, plan}), {class: "md-button md-primary"}) : "";
  const close = button("Close", () => board.keepFocus(() => board.runBox?.replaceChildren()), {class: "md-button"});
  const about = {class: "md-question", role: "group", tabindex: /** @type {const} */ ("-1"),
    "aria-label": isUndo ? "Undo this run?" : "What this run wrote"};
  const box = h("div", about, h("strong", {}, words), h("div", {class: "md-bar"}, yes, close),
    ...units.map(unit => unitPart(unit, units.length < 4)), more ? `… and ${grouped(more)} more units` : "");
  runBox.replaceChildren(box);
  box.focus({preventScroll: true});
}
