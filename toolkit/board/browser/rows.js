// A line of the list as a row of the grid, and what can be pressed in it.

import {button, h, setText} from "./dom.js";
import {lead, marksPart, marksText} from "./marks.js";

/** @import {Line, Verb, Words} from "./messages.js" */
/** @import {Board} from "./table.js" */

/** @typedef {"status" | "owner" | "chat" | "name" | "cause" | "action" | "vote"} Column */

/** @type {Column[]} */
const COLUMNS = ["status", "owner", "chat", "name", "cause", "action", "vote"];

/**
 * The columns and what stands above them: what isn't called anything, this bot doesn't have.
 *
 * @param {Words} words
 * @returns {[key: Column, words: string][]}
 */
export function columnsOf({owner, chat}) {
  /** @type {Record<Column, string>} */
  const heads = {status: "Status", owner, chat, name: "Name", cause: "Cause", action: "Proposed change",
    vote: "Decision"};
  return COLUMNS.flatMap(key => /** @type {[Column, string][]} */ (heads[key] ? [[key, heads[key]]] : []));
}

/** @type {{verb: Verb, words: string, vote: string}[]} */
const VERBS = [
  {verb: "approve", words: "Approve", vote: "approved"},
  {verb: "reject", words: "Reject", vote: "rejected"},
  {verb: "defer", words: "Defer", vote: "deferred"},
];

/** @param {string} key */
function cell(key) {
  return h("div", {role: "gridcell", class: `md-cell md-${key}`});
}

export class Row {
  /** @type {Line | null} */
  shows = null;
  refusal = "";

  /**
   * @param {Board} board
   * @param {string} unit
   */
  constructor(board, unit) {
    this.board = board;
    this.node = h("div", {role: "row", class: "md-row", tabindex: "-1", onfocusin: () => board.enter(unit)});
    this.opener = cell("open");
    this.cells = {status: cell("status"), owner: cell("owner"), chat: cell("chat"), name: cell("name"),
      cause: cell("cause"), action: cell("action"), vote: cell("vote")};
    this.chip = h("span", {class: "md-chip"});
    this.cells.status.append(this.chip);
    this.more = button("▸", () => board.toggle(unit), {class: "md-more", tabindex: "-1"});
    this.verbs = VERBS.map(({verb, vote}) => {
      const press = (/** @type {boolean} */ isByMouse) => board.press(unit, verb, vote, isByMouse);
      return button("", event => event.detail < 2 && press(event.detail > 0),
        {class: `md-verb md-${verb}`, tabindex: "-1"});
    });
    this.node.append(h("div", {class: "md-cells", onclick: event => board.clickRow(event, unit),
      onmousedown: event => { if (event.shiftKey) event.preventDefault(); }}, // it selects units, not words
      this.opener, ...board.columns.map(([key]) => this.cells[key])));
  }

  /** @param {Line} line */
  fill(line) {
    const {board, node} = this, isOpen = line.unit === board.open;
    node.tabIndex = line.unit === board.current ? 0 : -1;
    for (const inner of [this.more, ...this.verbs]) inner.tabIndex = node.tabIndex;
    node.classList.toggle("md-is-open", isOpen);
    node.setAttribute("aria-selected", String(board.selection.has(line.unit)));
    if (isOpen && board.panel && board.panel.parentNode !== node) node.append(board.panel);
    this.more.setAttribute("aria-expanded", String(isOpen));
    const refusal = board.refusals.get(line.unit) ?? "";
    if (this.shows === line && this.refusal === refusal) return;
    this.shows = line;
    this.refusal = refusal;
    const told = this.fillWords(line);
    node.dataset.vote = line.vote;
    const change = line.marks ? lead(line) + marksText(line.marks) : "";
    node.setAttribute("aria-label", [line.label, line.status, line.vote, told, change].filter(Boolean).join(", "));
    this.fillVerbs(line);
  }

  /** @param {Line} line */
  fillWords(line) {
    const {cells, chip} = this, told = this.refusal || whatIsSaid(line);
    const words = {
      owner: line.who || line.owner,
      chat: line.chat,
      name: line.name.trim() || (line.chat ? "" : line.id), // something must tell which room it is
      cause: told,
      action: lead(line) + (line.marks ? marksText(line.marks) : line.action),
    };
    for (const key of /** @type {(keyof typeof words)[]} */ (Object.keys(words))) {
      if (key !== "action" || !line.marks) setText(cells[key], words[key]);
      cells[key].title = words[key];
    }
    cells.owner.title = line.owner;
    if (line.marks) cells.action.replaceChildren(lead(line), marksPart(line.marks));
    const isLeft = line.result && line.result !== "applied" && line.why;
    cells.cause.classList.toggle("md-failed", Boolean(this.refusal || line.again || line.returned || isLeft));
    const status = (line.finished && line.result) || line.status;
    chip.className = `md-chip md-${status.replace(" ", "-")}`;
    setText(chip, status);
    return told;
  }

  /** @param {Line} line */
  fillVerbs(line) {
    const {vote} = this.cells, isClosed = line.quiet || line.finished;
    this.opener.replaceChildren(...(line.quiet ? [] : [this.more]));
    this.more.setAttribute("aria-label", `Details of ${line.label}`);
    if (isClosed) return vote.replaceChildren();
    this.verbs.forEach((node, at) => {
      const known = VERBS[at], settle = known.verb === "approve" && !line.change && line.vote !== known.vote;
      const words = settle ? "Settle" : known.words;
      node.hidden = Boolean(settle && line.barred);
      setText(node, words);
      node.setAttribute("aria-label", `${words} ${line.label}`);
      if (settle) node.removeAttribute("aria-pressed");
      else node.setAttribute("aria-pressed", String(line.vote === known.vote));
    });
    if (!vote.firstChild) vote.append(h("div", {class: "md-verbs"}, ...this.verbs));
  }
}

/** @param {Line} line */
function whatIsSaid(line) {
  if (line.returned) return `pending again: ${line.returned}`;
  if (line.ignored) return `ignored ${line.ignored}`;
  if (line.result === "stale") return `left alone: ${line.why ?? ""}`;
  if (line.again) return `to decide again: what would be written has changed since you ${line.again} it`;
  return (line.result && line.why) || line.cause;
}
