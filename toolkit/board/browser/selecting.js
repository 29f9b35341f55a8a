// Several units at once: a range by shift, single ones by Ctrl or the space bar, and what is decided about them alike.

import {button, grouped, h} from "./dom.js";

/** @import {Selected, Verb} from "./messages.js" */
/** @import {Board} from "./table.js" */

/** @type {[verb: Verb, words: string][]} */
const VERBS = [["approve", "Approve"], ["reject", "Reject"], ["defer", "Defer"], ["withdraw", "Take back"]];

export class Selection {
  /** @type {Map<string, string>} Each unit with the change that was on display. */
  units = new Map();
  /** @type {string | undefined} Where a range begins. */
  anchor;
  box = h("div", {class: "md-bar md-selection", role: "group", "aria-label": "Selected units", hidden: true});
  reason = h("input", {type: "text", placeholder: "why they may stay as they are", maxlength: "500",
    "aria-label": "Why the selected units may stay as they are", "data-key": "selected:why"});
  words = h("strong", {role: "status"});

  /** @param {Board} board */
  constructor(board) {
    this.board = board;
    this.reason.addEventListener("keydown", event => { if (event.key === "Enter") this.decide("ignore"); });
    this.box.append(this.words, ...VERBS.map(([verb, words]) => button(words, () => this.decide(verb),
      {class: "md-button", "aria-label": `${words} the selected units`, "data-key": `selected:${verb}`})),
    this.reason, button("Ignore", () => this.decide("ignore"),
      {class: "md-button", "aria-label": "Ignore the selected units", "data-key": "selected:ignore"}),
    button("Select none", () => this.clear(), {class: "md-button", "data-key": "selected:none"}));
  }

  /** @param {string} unit */
  has(unit) {
    return this.units.has(unit);
  }

  get isThere() {
    return this.units.size > 0;
  }

  /** @param {string} to */
  extend(to) {
    const {board} = this;
    this.anchor ??= board.current;
    if (this.anchor) board.send("select", {first: this.anchor, last: to});
  }

  /** @param {string} unit */
  flip(unit) {
    const line = this.board.list.line(unit);
    if (!line || line.quiet || line.finished) return;
    if (!this.units.delete(unit)) this.units.set(unit, line.change);
    this.anchor = unit;
    this.show();
  }

  /** @param {Selected} told */
  take({units, more}) {
    this.units = new Map(units);
    this.show();
    if (more) this.board.say(`${grouped(more)} more units were not selected: use a filter or a group.`, true);
  }

  clear() {
    if (!this.isThere) return;
    this.units.clear();
    this.anchor = undefined;
    this.reason.value = "";
    this.board.keepFocus(() => this.show());
  }

  show() {
    const {board, box, units} = this;
    box.hidden = !units.size;
    this.words.textContent = `${grouped(units.size)} selected`;
    if (box.hidden && box.contains(board.active())) board.goTo();
    for (const row of board.rows.values()) if (row.shows) row.fill(row.shows);
  }

  /** @param {Verb} vote */
  decide(vote) {
    this.board.send("decide_many", {units: Object.fromEntries(this.units), vote, reason: this.reason.value});
  }
}
