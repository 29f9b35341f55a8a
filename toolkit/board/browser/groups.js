// A group's heading as a row of the grid: what is the matter, with how many, and one approval for what is certain.

import {button, grouped, h, setText} from "./dom.js";

/** @import {Line} from "./messages.js" */
/** @import {Board} from "./table.js" */

/** @param {string} key */
function cell(key) {
  return h("div", {role: "gridcell", class: `md-cell md-${key}`});
}

export class Heading {
  /** @type {Line | null} */
  shows = null;
  /** @type {HTMLElement[]} None: a group is asked about before it is approved. */
  verbs = [];

  /**
   * @param {Board} board
   * @param {string} unit
   */
  constructor(board, unit) {
    this.board = board;
    this.node = h("div", {role: "row", class: "md-row md-group", tabindex: "-1", onfocusin: () => board.enter(unit)});
    this.more = button("▸", () => board.toggle(unit), {class: "md-more", tabindex: "-1"});
    this.chip = h("span", {class: "md-chip"});
    this.words = h("strong");
    this.numbers = h("span", {class: "md-numbers"});
    this.all = button("", () => askGroup(board, unit), {class: "md-button", tabindex: "-1"});
    const opener = cell("open"), status = cell("status"), what = cell("what"), vote = cell("vote");
    opener.append(this.more);
    status.append(this.chip);
    what.append(this.words, this.numbers);
    what.setAttribute("aria-colspan", "5");
    vote.append(this.all);
    this.node.append(h("div", {class: "md-cells", onclick: event => board.clickRow(event, unit)},
      opener, status, what, vote));
  }

  /** @param {Line} line */
  fill(line) {
    const {board, node, more, all} = this, {group} = line;
    node.tabIndex = line.unit === board.current ? 0 : -1;
    more.tabIndex = all.tabIndex = node.tabIndex;
    if (this.shows === line || !group) return;
    this.shows = line;
    const {size, ready, undecided, shown} = group;
    const open = line.status === "in sync" || line.status === "skipped" || line.status === "orphaned" ? ""
      : !undecided ? "all decided" : undecided < size ? `${grouped(undecided)} to decide` : "";
    const numbers = ` · ${grouped(size)}${open && ` · ${open}`}`;
    this.chip.className = `md-chip md-${line.status.replace(" ", "-")}`;
    setText(this.chip, line.status);
    setText(this.words, line.label);
    setText(this.numbers, numbers);
    const units = `${grouped(size)} unit${size === 1 ? "" : "s"}`;
    node.setAttribute("aria-label", `Group: ${line.label}, ${line.status}, ${units}${open && `, ${open}`}`);
    more.setAttribute("aria-expanded", String(shown));
    more.setAttribute("aria-label", `Units of the group: ${line.label}`);
    all.hidden = !ready;
    setText(all, `Approve ${grouped(ready)}…`);
    all.setAttribute("aria-label", `Approve ${grouped(ready)}… of the group: ${line.label}, ${line.status}`);
  }
}

/**
 * What it holds is shown before anything is approved.
 *
 * @param {Board} board
 * @param {string} group
 */
export function askGroup(board, group) {
  board.send("count", {status: "", text: "", group});
}
