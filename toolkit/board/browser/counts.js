// What stands above and below the list: counts that filter, Apply, progress and the message.

import {button, enable, grouped, h, setText, when} from "./dom.js";

/** @import {Board, Filter} from "./table.js" */

/**
 * A count that filters; `change` is what a press makes of the filter.
 *
 * @typedef {{words: string, count: number, change: Partial<Filter>, on: boolean, of: string, key: string,
 *   what: string}} Chip
 */

const SNAPSHOT = "A snapshot: apply where the database is, with the decisions' file.";
const BEFORE = "After a backup. A running bot must reload the rows or restart.";

/** @param {Board} board */
export function fill(board) {
  const {state} = board, canApply = Boolean(state.apply) && !state.running;
  fillHeadline(board);
  fillAbout(board);
  fillChips(board);
  const quiet = Object.entries(state.quiet).filter(([, count]) => count);
  // Of a shadow run nothing was compared that could be in sync.
  board.switchLabel.hidden = !quiet.length || state.about.length > 0;
  setText(board.switchWords, `show ${quiet.map(([word, count]) => `${grouped(count)} ${word}`).join(", ")}`);
  setText(board.applyButton, state.apply ? `Apply ${state.apply}` : "Apply: nothing approved");
  board.applyButton.classList.toggle("md-primary", canApply);
  enable(board.applyButton, canApply);
  enable(board.cancel, state.running);
  setText(board.again, state.looked ? `Look again · ${when(state.looked)}` : "Look again");
  board.again.title = state.looked && `Last look at both sides: ${new Date(state.looked).toLocaleString()}`;
  enable(board.again, !state.running);
  offerBack(board, Boolean(state.undo) && !state.running);
  board.groupLabel.hidden = Object.values(state.statuses).reduce((sum, count) => sum + count, 0) < 2;
  board.bar.hidden = !state.running || !state.total;
  board.bar.max = state.total || 1;
  board.bar.value = state.done || 0;
  const note = state.offline ? SNAPSHOT : BEFORE;
  const {done, total, word} = state;
  const far = total ? `${grouped(done)} of ${grouped(total)} ${word}` : word || "reading…";
  setText(board.far, state.running ? far : state.apply ? note : state.besides);
  board.say(state.message, state.failed);
  fillAll(board);
}

/**
 * All that there is in one line, and as a bar.
 *
 * @param {Board} board
 */
function fillHeadline({state: {headline}, headWords, meter}) {
  const {words, right, decided, pending} = headline;
  setText(headWords, words);
  [right, decided, pending].forEach((count, at) => {
    /** @type {HTMLElement} */ (meter.children[at]).style.flexGrow = String(count);
  });
}

/**
 * What is hidden must not have the focus: keys would mean the notebook's cells.
 *
 * @param {Board} board
 * @param {boolean} yes
 */
function offerBack(board, yes) {
  if (!yes && board.active() === board.back) board.goTo();
  board.back.hidden = !yes;
}

/**
 * Of a shadow run: whose it was, what was refused, and how it ended.
 *
 * @param {Board} board
 */
function fillAbout({state: {about}, about: box, all}) {
  box.hidden = !about.length;
  all.hidden = !box.hidden; // each unit wants a yes of its own
  if (box.childElementCount !== about.length)
    box.replaceChildren(...about.map((line, at) => h(at ? "div" : "strong", {}, line)));
}

/** @param {Board} board */
function fillChips(board) {
  const {state, filter} = board;
  const statuses = {...state.statuses, ...(board.switch.checked ? state.quiet : {})};
  const total = Object.values(state.statuses).reduce((sum, count) => sum + count, 0);
  /** @type {Chip[]} */
  const chips = [{
    words: "all", count: total, change: {status: "", vote: "", result: "", text: ""}, of: "", key: ":all", what: "all",
    on: !filter.status && !filter.vote && !filter.result && !filter.text,
  }];
  /**
   * @param {"status" | "vote" | "result"} of
   * @param {Record<string, number>} counts
   */
  const add = (of, counts) => Object.entries(counts).forEach(([word, count]) => {
    const on = filter[of] === word;
    if (!count && !on && of !== "status") return;
    const words = of === "result" ? `last run${state.taken ? ", taken back" : ""}: ${word}` : word;
    chips.push({words, count, change: {[of]: on ? "" : word}, on, of, key: `${of}:${word}`,
      what: word.replace(" ", "-")});
  });
  add("status", statuses);
  add("vote", state.votes);
  add("result", state.results);
  reuse(board, chips);
}

/**
 * Chips are kept while they count: the focus may be on one.
 *
 * @param {Board} board
 * @param {Chip[]} chips
 */
function reuse(board, chips) {
  const {counts: bar} = board, old = board.chips;
  board.chips = new Map(chips.map(chip => [chip.key, {chip, node: old.get(chip.key)?.node ?? makeChip(board, chip)}]));
  const shown = [...board.chips.values()], nodes = shown.map(({node}) => node);
  for (const {chip, node} of shown) {
    node.setAttribute("aria-pressed", String(chip.on));
    setText(node, `${chip.words} ${grouped(chip.count)}`);
  }
  if (nodes.length !== old.size || nodes.some((node, at) => bar.children[at] !== node)) bar.replaceChildren(...nodes);
}

/**
 * @param {Board} board
 * @param {Chip} chip
 */
function makeChip(board, {key, what, of}) {
  const press = () => {
    const change = board.chips.get(key)?.chip.change ?? {};
    if ("text" in change) board.search.value = "";
    board.refilter(change);
  };
  return button("", () => board.keepFocus(press), {"data-key": key, class: `md-chip md-${what} md-of-${of}`});
}

/** @param {Board} board */
export function fillAll(board) {
  const {filter, list, state} = board;
  enable(board.all, false);
  if (list.isStale) return;
  const canAll = !filter.result && ["", "pending"].includes(filter.vote);
  const count = canAll ? list.ready : 0, units = Object.values(state.statuses).reduce((sum, n) => sum + n, 0);
  const all = count === 1 ? "Approve the only certain one…" : `Approve all ${grouped(count)} of these…`;
  setText(board.all, count ? all : "None to approve together");
  enable(board.all, count > 0);
  board.empty.hidden = list.total > 0 || !board.history.hidden;
  board.grid.classList.toggle("md-none", !list.total);
  setText(board.empty, units ? "Nothing matches this filter." : state.nothing);
}
