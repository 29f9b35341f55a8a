// What opens in the review: details of a unit, the question before many are approved, help.

import {button, code, h, heading} from "./dom.js";
import {focusReason, ignorePart} from "./ignoring.js";
import {marksPart} from "./marks.js";

/** @import {Child} from "./elements.js" */
/** @import {Details, Fact, FieldDiff, Line, Moved, Question, RowDiff, Side} from "./messages.js" */
/** @import {Board} from "./table.js" */

const HELP = [["↑ ↓ PageUp PageDown Home End", "move in the list"], ["Enter", "open or close a unit or a group"],
  ["← →", "fold and unfold a group"], ["a", "approve; open what must be settled first; ask about a group"],
  ["r", "reject: leave its rows as they are"], ["d", "defer"],
  ["i", "ignore: say why, and it counts as no drift"], ["u", "take the decision back"],
  ["n", "go on to the next unit that nobody has decided about"],
  ["Shift+↑ Shift+↓ Space", "select several: a, r, d, u are for all of them, i for why to ignore them"],
  ["Shift+← Shift+→", "on a column's head: make it narrower, wider"], ["/", "filter by text"], ["?", "this help"],
  ["Escape", "close what is open, go back to the list"],
  ["Tab", "to the buttons of the unit, then to Apply and Cancel"]];
const NOTHING = "Nothing would be written yet";
const TO_SEE = "to see what would be written; nothing is decided by that.";

// -- rows before and after ------------------------------------------------------------------------

/**
 * A field before and after; what differs is marked by a sign as well as by colour.
 *
 * @param {FieldDiff} field
 */
function fieldLine({name, before, after, changed}) {
  const sign = !changed ? "" : !before ? "+" : !after ? "−" : "≠";
  /**
   * @param {"del" | "ins"} tag
   * @param {string} text
   */
  const mark = (tag, text) => h("td", {}, changed && text ? h(tag, {}, text) : text);
  return h("tr", {class: changed ? "md-changed" : "md-same"}, h("td", {class: "md-sign"}, sign),
    h("th", {scope: "row"}, name || "(whole row)"), mark("del", before), mark("ins", after));
}

/**
 * @param {RowDiff[]} rows
 * @param {string} before
 * @param {string} after
 */
export function tables(rows, before = "before", after = "after") {
  const heads = () => ["", "field", before, after].map(word => word ? h("th", {scope: "col"}, word) : h("td"));
  return h("div", {class: "md-tables"}, ...rows.map(({key, verb, fields}) => h("div", {class: "md-rowtable"},
    h("div", {}, h("strong", {}, `${verb} `), code(key)),
    h("table", {}, h("thead", {}, h("tr", {}, ...heads())), h("tbody", {}, ...fields.map(fieldLine))))));
}

// -- one unit -------------------------------------------------------------------------------------

/** @param {Board} board */
export function makePanel({columns}) {
  const width = String(columns.length + 1);
  const about = {role: "gridcell", class: "md-panel", "aria-label": "What opened", "aria-colspan": width};
  return h("div", about, "Loading…");
}

/** @param {Fact} fact */
function factLine({what, cause}) {
  return h("li", {}, h("strong", {}, what), `: ${cause}`);
}

/**
 * What proves it, and the ids: whoever wants to look them up unfolds them.
 *
 * @param {Board} board
 * @param {Details} details
 */
function proofPart(board, {line, facts, relies_on: relies, rooms, space}) {
  const ids = [["room", rooms[0] ?? line.id], ["earlier versions", rooms.slice(1).join(" ")], ["Space", space],
    ["relies on", relies.join(" ")]].filter(([, text]) => text);
  const proofs = facts.filter(({evidence, events}) => evidence !== "none" || events.length);
  const summary = h("summary", {"data-key": "proof"}, "Evidence and ids");
  const node = h("details", {class: "md-evidence", open: board.isProofOpen}, summary,
    ...proofs.map(({what, evidence, events}) => h("div", {class: "md-proof"}, `${what}: evidence: ${evidence}`,
      ...events.flatMap(id => [" ", code(id)]))),
    h("dl", {}, ...ids.flatMap(([word, text]) => [h("dt", {}, word), h("dd", {}, code(text))])));
  node.addEventListener("toggle", () => { board.isProofOpen = node.open; });
  return node;
}

/**
 * The rooms of a conflict side by side.
 *
 * @param {Side[]} sides
 * @param {string} more
 */
function sidesPart(sides, more) {
  if (!sides.length) return "";
  /** @param {Side} side */
  const link = ({title, room_id: id, link: href}) => h("td", {}, h("a", {href, target: "_blank",
    rel: "noopener noreferrer", "aria-label": `Open ${title} in Matrix: ${id}`, "data-key": `link:${id}`}, "open"));
  const heads = [h("td"), ...sides.map(({title}) => h("th", {scope: "col"}, title))];
  const lines = [["room", ...sides.map(({room_id: id}) => id)],
    ...(sides[0]?.facts ?? []).map(([label], at) => [label, ...sides.map(({facts}) => facts[at]?.[1] ?? "")])];
  return h("div", {class: "md-sides"}, h("table", {},
    h("thead", {}, h("tr", {}, ...heads)),
    h("tbody", {}, ...lines.map(([label, ...texts]) => h("tr", {}, h("th", {scope: "row"}, label),
      ...texts.map(text => h("td", {}, text)))),
    h("tr", {}, h("th", {scope: "row"}, "in Matrix"), ...sides.map(link)))), more);
}

/** @param {Moved} moved */
function movedPart({why, rows, plan}) {
  return h("div", {class: "md-moved"},
    heading(`Left alone by the last run: ${why}. What moved since you approved it:`),
    tables(rows.map(row => ({...row, verb: "row"})), "as approved", "now"),
    plan.length ? heading("What would be written, then and now") : "",
    tables(plan.map(row => ({...row, verb: "write"})), "as approved", "now"));
}

/** @param {Line} line */
function isSettled(line) {
  return line.barred || line.finished;
}

/**
 * @param {Board} board
 * @param {Details} details
 */
export function fillPanel(board, details) {
  const {panel} = board;
  if (!panel) return;
  const {line, facts, rows, moved, sides, more_rooms: more} = details;
  const settled = line.finished ? "What the last run wrote" : "What would be written";
  panel.setAttribute("aria-label", `Details of ${line.label}`);
  panel.replaceChildren(
    heading(line.label),
    h("div", {class: "md-columns"},
      h("div", {class: "md-wide"},
        rows.length ? [heading(settled), tables(rows)]
          : h("div", {}, isSettled(line) ? `${line.action}.` : `${NOTHING}: ${line.action}.`),
        facts.length ? [heading("Why"), h("ul", {class: "md-facts"}, ...facts.map(factLine))] : "",
        sidesPart(sides, more)),
      choicePart(board, details)),
    moved ? movedPart(moved) : "",
    proofPart(board, details),
    ignorePart(board, line));
  focusReason(board);
  board.fit();
  board.paint();
  if (board.isRevealing) board.reveal();
  board.isRevealing = false;
}

/**
 * @param {Board} board
 * @param {Details} details
 */
function choicePart(board, {line, offers, free, unit}) {
  if (!offers.length && !free && !line.picked) return "";
  const options = offers.map(({label, picked, choices, why}) => h("span", {class: "md-offer"},
    button(label, () => board.send("pick", {unit, choices}), {
      class: "md-button", "aria-pressed": String(picked),
      "aria-label": `${label} for ${line.label}${why && `: ${why}`}`, "data-key": `pick:${label}`,
    }), why && h("span", {class: "md-why"}, why)));
  const box = {class: "md-choices", role: "group", "aria-label": `Choices for ${line.label}`};
  return h("div", box, heading("Your choice"),
    options.length || line.picked ? h("div", {class: "md-bar"}, ...options, backPart(board, unit, line)) : "",
    free ? freePart(board, unit, line) : "",
    h("div", {class: "md-bar"}, yesPart(board, unit, line, offers.length > 0), nextPart(board, unit)));
}

/**
 * @param {Board} board
 * @param {string} unit
 * @param {Line} line
 * @returns {Child}
 */
function backPart(board, unit, line) {
  return line.picked && button("Take the pick back", () => board.send("pick", {unit, choices: null}), {
    class: "md-button", "aria-label": `Take the pick back for ${line.label}`, "data-key": "pick:back",
  });
}

/**
 * @param {Board} board
 * @param {string} unit
 * @param {Line} line
 * @param {boolean} isOffered
 */
function yesPart(board, unit, line, isOffered) {
  if (!line.picked) return `${isOffered ? "Pick one" : `Type an ${board.words.id}`} ${TO_SEE}`;
  if (!line.change) return `Still open: ${line.action}.`;
  const isGiven = line.vote === "approved", words = `${isGiven ? "Approved" : "Approve"} with ${line.picked}`;
  return button(words, () => board.decide(unit, "approve"), {
    class: `md-button ${isGiven ? "" : "md-primary"}`, "aria-label": `${words}: ${line.label}`, "data-key": "pick:yes",
    "aria-disabled": String(isGiven),
  });
}

/**
 * Whoever settles one conflict after the other goes on from here.
 *
 * @param {Board} board
 * @param {string} unit
 */
function nextPart(board, unit) {
  return button("Next to decide", () => board.goOn(unit), {class: "md-button", "data-key": "pick:next"});
}

/**
 * @param {Board} board
 * @param {string} unit
 * @param {Line} line
 */
function freePart(board, unit, line) {
  const {id, parts, example} = board.words, words = `Use this ${id}`;
  const fields = (parts.length ? parts : [""]).map((part, at) => h("input", {type: "text",
    size: example ? "6" : "12", placeholder: part || example,
    "aria-label": `Another ${id}${part && `, ${part},`} for ${line.label}`, "data-key": `pick:id${at}`}));
  const take = () => {
    const typed = fields.map(field => field.value.trim());
    board.send("pick", {unit, choices: {chat_id: parts.length ? JSON.stringify(typed) : typed[0]}});
  };
  for (const field of fields) field.addEventListener("keydown", event => { if (event.key === "Enter") take(); });
  return h("div", {class: "md-bar"}, ...fields, button(words, take,
    {class: "md-button", "aria-label": `${words} for ${line.label}`, "data-key": "pick:take"}));
}

/** @param {string[]} texts */
function listed(texts) {
  return h("ul", {}, ...texts.map(words => h("li", {}, words)));
}

// -- question and help ----------------------------------------------------------------------------

/**
 * @param {Board} board
 * @param {Question} question
 */
export function ask(board, {units, rows, what, rest, others, shown, plan, status, text, group}) {
  board.helpButton.setAttribute("aria-expanded", "false");
  const yes = () => {
    board.send("approve_all", {plan, status, text, group});
    shutExtra(board);
  };
  const about = {class: "md-question", role: "group", tabindex: /** @type {const} */ ("-1"),
    "aria-label": group ? "Approve all of this group?" : "Approve all of this filter?"};
  const eachWords = plan && shown.length < 100 ? "Each of them" : "The first 100 of them";
  const each = shown.map(({label, marks}) => h("li", {}, `${label}: `, marksPart(marks)));
  const box = h("div", about,
    h("strong", {}, plan ? `Approve ${units}, ${rows}?` : "There is nothing here to approve together."),
    listed(what), rest ? h("details", {}, h("summary", {}, rest), listed(others)) : "",
    shown.length ? h("details", {open: group !== "", class: "md-each"}, h("summary", {}, eachWords),
      h("ul", {tabindex: "0", "aria-label": eachWords}, ...each)) : "",
    h("div", {class: "md-bar"}, plan ? button(`Approve ${units}`, yes, {class: "md-button md-primary"}) : "",
      button("Back", () => shutExtra(board), {class: "md-button"})));
  board.extra.replaceChildren(box);
  box.focus({preventScroll: true});
}

/**
 * Question or help.
 *
 * @param {Board} board
 */
export function shutExtra(board) {
  if (!board.extra.firstChild) return;
  board.helpButton.setAttribute("aria-expanded", "false");
  board.keepFocus(() => board.extra.replaceChildren());
}

/** @param {Board} board */
export function toggleHelp(board) {
  if (board.extra.querySelector(".md-help")) return shutExtra(board);
  board.extra.replaceChildren(h("dl", {class: "md-help"},
    ...HELP.flatMap(([keys, words]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, words)])));
  board.helpButton.setAttribute("aria-expanded", "true");
}
