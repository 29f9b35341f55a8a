// The review as a table. It shows what Python sends and asks Python for the rest: nothing about a room
// is decided here. What stands around the list is in counts.js, a line of it in rows.js, what opens in opened.js,
// ignoring.js and history.js; esm.py joins the modules to the one that a widget may have.

import {makeHeads, resizeByKey} from "./columns.js";
import {fill, fillAll} from "./counts.js";
import {button, h, setText} from "./dom.js";
import {askGroup, Heading} from "./groups.js";
import {fillHistory, fillRun, offerUndo, toggleHistory} from "./history.js";
import {List} from "./list.js";
import {focusReason} from "./ignoring.js";
import {ask, fillPanel, makePanel, shutExtra, toggleHelp} from "./opened.js";
import {columnsOf, Row} from "./rows.js";
import {Selection} from "./selecting.js";

/** @import {Answer, Asked, Line, Lines, Model, Progress, Said, State, Told, Verb, Window} from "./messages.js" */
/** @import {Column} from "./rows.js" */

/** @typedef {{status: string, vote: string, result: string, text: string}} Filter */
/** @typedef {{key: Column | "", down: boolean}} Sort */

/** @type {{[key: string]: Verb}} */
const KEYS = {a: "approve", r: "reject", d: "defer", u: "withdraw"};
const NARROW = 760;
const MOST_GROUPS = 100; // that may be unfolded at once
const MORE = 6; // rows beyond the edge, so that scrolling shows no gaps
const AHEAD = 20; // lines beyond the edge that are asked for before they are needed
const PAGE = 100;
const HERE = -1; // wherever the current line comes to stand
const PATIENCE = 5000;
const UNTIL = 700; // milliseconds that a kernel may take to answer before it is said what was shown last
const NOBODY = "No kernel answers here. This is what stood there when the cell was run; run it again to decide.";
const NAME = "Review of units that are not in sync";
const SILENT = "No answer from the kernel yet. If it was restarted, run the cell again; if it is busy, wait.";

/** What is known before anything is drawn: what this bot's things are called, and so which columns there are. */
class Wording {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.words = model.get("words");
    this.columns = columnsOf(this.words);
  }
}

export class Board extends Wording {
  view = Math.random().toString(36).slice(2);
  list = new List();
  selection = new Selection(this);
  /** @type {Map<string | undefined, Row | Heading>} */
  rows = new Map();
  /** @type {Map<string, string>} */
  refusals = new Map();
  /** @type {Map<string, {chip: import("./counts.js").Chip, node: HTMLElement}>} */
  chips = new Map();
  /** @type {State} */
  state = {statuses: {}, votes: {}, results: {}, quiet: {}, about: [], besides: "", nothing: "", apply: "", plan: "",
    offline: false, headline: {words: "", right: 0, decided: 0, pending: 0}, runs: 0, taken: false, undo: "",
    looked: "", running: false, done: 0, total: 0, word: "", message: "", failed: false};
  /** @type {Filter} */
  filter = {status: "", vote: "", result: "", text: ""};
  /** @type {Sort} */
  sort = {key: "", down: false};
  /** @type {string | undefined} */
  current;
  lastPlace = 0;
  /** @type {number | null} Where keys have led that has no line here yet; what is pressed meanwhile is for there. */
  goal = null;
  /** @type {string[]} */
  pressed = [];
  /** @type {Set<string>} Groups whose lines are seen. */
  unfolded = new Set();
  /** @type {string | null} A unit whose decision is on its way: what is pressed meanwhile is for the next one. */
  deciding = null;
  isByMouse = false;
  /** @type {string | null} */
  open = null;
  isRevealing = false;
  isProofOpen = false;
  isGoingOn = false;
  /** @type {HTMLElement | null} */
  panel = null;
  /** Of the unit that is open: what was typed of why it may stay as it is, and whether the focus goes there. */
  draft = {reason: "", until: "", isWanted: false};
  /** @type {HTMLElement | null} */
  runBox = null;
  rowHeight = 36;
  panelHeight = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer;

  // -- above the list -----------------------------------------------------------------------------

  headWords = h("strong");
  meter = h("div", {class: "md-meter", "aria-hidden": "true"}, ...["right", "decided", "pending"].map(part =>
    h("span", {class: `md-part md-is-${part}`})));
  about = h("div", {class: "md-about", hidden: true});
  counts = h("div", {class: "md-bar", role: "group", "aria-label": "Filters with counts"});
  search = h("input", {type: "search", class: "md-search", placeholder: this.words.search,
    "aria-label": "Filter by text", oninput: () => this.refilter({text: this.search.value})});
  all = button("", () => this.send("count", {status: this.filter.status, text: this.filter.text}),
    {class: "md-button"});
  switch = h("input", {type: "checkbox", onchange: () => this.showQuiet()});
  switchWords = h("span");
  switchLabel = h("label", {class: "md-switch"}, this.switch, this.switchWords);
  grouping = h("input", {type: "checkbox", onchange: () => this.seek()});
  groupLabel = h("label", {class: "md-switch"}, this.grouping, "group by what is the matter");
  sorting = this.makeSorting();
  again = button("Look again", () => this.send("look_again"), {class: "md-button md-again"});
  past = button("History", () => toggleHistory(this), {class: "md-button", "aria-pressed": "false"});
  helpButton = button("?", () => toggleHelp(this),
    {class: "md-button", "aria-label": "? Keyboard help", "aria-expanded": "false"});
  extra = h("div", {class: "md-extra"});

  // -- the list, and what may stand in its place --------------------------------------------------

  heads = makeHeads(this);
  sticky = h("div", {role: "rowgroup", class: "md-sticky"},
    h("div", {role: "row", class: "md-cells md-heads", "aria-rowindex": "1"},
      h("div", {role: "columnheader", class: "md-head"}, h("span", {class: "md-unseen"}, "Details")), ...this.heads));
  body = h("div", {role: "rowgroup", class: "md-body"});
  grid = h("div", {role: "grid", class: "md-grid", "aria-label": "Units",
    "aria-multiselectable": "true", onscroll: () => this.paint()},
    this.sticky, this.body);
  empty = h("div", {class: "md-empty", hidden: true});
  history = h("div", {class: "md-history", role: "region", "aria-label": "History of runs", tabindex: "-1",
    hidden: true});

  // -- below the list -----------------------------------------------------------------------------

  applyButton = button("Apply", () => this.send("apply", {plan: this.state.plan}), {class: "md-button md-apply"});
  cancel = button("Cancel", () => this.send("cancel"), {class: "md-button"});
  back = button("Undo this run…", () => offerUndo(this), {class: "md-button", "data-key": "undo-last"});
  bar = h("progress", {class: "md-progress", "aria-label": "Progress of the run", max: "1", value: "0", hidden: true});
  far = h("span", {class: "md-quiet"});
  message = h("div", {role: "status", class: "md-message"});

  root = h("div", {class: "md-board tex2jax_ignore mathjax_ignore", role: "region", tabindex: "-1",
    "aria-label": NAME, onkeydown: event => this.onKey(event)},
  h("div", {class: "md-headline"}, this.headWords, this.meter),
  this.about, this.counts,
  h("div", {class: "md-bar"}, this.search, this.all, this.groupLabel, this.switchLabel,
    h("label", {class: "md-switch md-sorting"}, "sort by", this.sorting),
    h("span", {class: "md-gap"}), h("div", {class: "md-ends"}, this.again, this.past, this.helpButton)),
  this.extra, this.selection.box, this.empty, this.grid, this.history,
  h("div", {class: "md-foot"},
    h("div", {class: "md-bar"}, this.applyButton, this.cancel, this.back, this.bar, this.far), this.message));

  sizes = new ResizeObserver(() => this.measure());
  receive = this.take.bind(this);

  /**
   * @param {Model} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    super(model);
    this.root.classList.toggle("md-own-ids", !this.words.example);
    this.root.classList.toggle("md-composite-ids", this.words.parts.length > 0);
    this.root.classList.toggle("md-ownerless", !this.words.owner);
    this.until = h("div", {class: "md-until tex2jax_ignore mathjax_ignore", hidden: true},
      h("p", {}, NOBODY), h("pre", {}, model.get("until")));
    el.append(this.until);
    this.waiting = setTimeout(() => { this.until.hidden = false; }, UNTIL);
    model.on("msg:custom", this.receive);
    this.sizes.observe(this.root);
    this.send("ready");
  }

  /** Somebody answers: from now on there is something that can be pressed. */
  begin() {
    clearTimeout(this.waiting);
    this.nameRegions();
    this.until.replaceWith(this.root);
  }

  /** Two boards on a page are two landmarks, and want two names. */
  nameRegions() {
    const names = [...document.querySelectorAll(".md-board")].map(board => board.getAttribute("aria-label"));
    let number = 1, name = NAME;
    while (names.includes(name)) name = NAME.replace(" ", ` ${++number} `);
    this.root.setAttribute("aria-label", name);
    if (number > 1) this.history.setAttribute("aria-label", `History of runs, review ${number}`);
  }

  close() {
    clearTimeout(this.waiting);
    this.model.off("msg:custom", this.receive);
    this.sizes.disconnect();
    this.send("bye");
    clearTimeout(this.timer);
  }

  // Where there is no room for the columns' heads.
  makeSorting() {
    const node = h("select", {class: "md-button", onchange: () => {
      const [key, way] = node.value.split(" ");
      this.setSort({key: /** @type {Sort["key"]} */ (key), down: way === "down"});
    }}, h("option", {value: ""}, "as planned"));
    for (const [key, words] of this.columns) {
      node.append(h("option", {value: `${key} up`}, words),
        h("option", {value: `${key} down`}, `${words}, descending`));
    }
    return node;
  }

  measure() {
    const {clientWidth: width} = this.root, narrow = width > 0 && width < NARROW, before = this.active();
    this.root.classList.toggle("md-narrow", narrow);
    this.rowHeight = narrow ? 116 : 36;
    this.fit();
    this.paint();
    // What sorts has changed.
    if (width && before && this.root.contains(before) && !before.getClientRects().length) this.goTo();
  }

  /** The list is as high as what opens in it: nothing of that is cut off. */
  fit() {
    const {panel, grid, sticky} = this;
    this.panelHeight = panel?.offsetHeight ?? 0;
    const height = panel ? sticky.offsetHeight + this.rowHeight + this.panelHeight + 2 : 0;
    grid.style.setProperty("--md-opened", `${height}px`);
  }

  // -- talking ------------------------------------------------------------------------------------

  /**
   * @template {keyof Asked} What
   * @param {What} what
   * @param {{} extends Asked[What] ? [] : [Asked[What]]} rest
   */
  send(what, ...rest) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.say(SILENT, true), PATIENCE);
    try {
      this.model.send({do: what, view: this.view, ...rest[0]});
    } catch {
      this.say(SILENT, true); // the kernel that made this table is gone
    }
  }

  /** @param {Told} told */
  take(told) {
    if (told.to && told.to !== this.view) return;
    clearTimeout(this.timer);
    if (!this.root.parentNode) this.begin();
    this.keepFocus(() => this.show(told));
  }

  /** @param {Told} told */
  show(told) {
    switch (told.kind) {
      case "window": return this.showWindow(told);
      case "lines": return this.showLines(told);
      case "again": return told.but.includes(this.view) || this.askLines();
      case "state": return this.showState(told);
      case "answer": return this.showAnswer(told);
      case "details": return told.unit === this.open && fillPanel(this, told);
      case "question": return ask(this, told);
      case "selected": return this.selection.take(told);
      case "history": return fillHistory(this, told.runs);
      case "run": return fillRun(this, told, false);
      case "undo": return fillRun(this, told, true);
    }
  }

  /** @param {Window} told */
  showWindow(told) {
    const {open, list} = this, {anew, changed} = told;
    if (anew) {
      this.refusals.clear();
      this.selection.clear();
    }
    this.grouping.checked = told.number === list.number ? told.grouped : this.grouping.checked;
    for (const unit of changed) this.refusals.delete(unit);
    if (told.number === list.number && !list.isLate && list.take(told, this.held())) this.askLines();
    if (open !== null) {
      const line = list.line(open);
      if (!line || line.quiet) this.shut();
      else if (anew || changed.includes(open)) this.send("details", {unit: open});
    }
    if (anew) shutExtra(this);
    this.settle();
  }

  /** @param {Lines} told */
  showLines(told) {
    this.list.update(told);
    for (const {unit} of told.lines) {
      this.refusals.delete(unit);
      if (unit === this.open) this.send("details", {unit});
    }
    this.settle();
  }

  /** @param {State | Progress | Said} told */
  showState(told) {
    const {runs} = this.state;
    Object.assign(this.state, told);
    if (this.filter.result && !this.state.results[this.filter.result]) this.refilter({result: ""});
    if (!this.history.hidden && runs !== this.state.runs) this.send("history");
    fill(this);
  }

  /** @param {Answer} answer */
  showAnswer({unit, words, accepted, about, next}) {
    if (about === "window" || about === "ready") this.endAsking(accepted !== false);
    if (about === "decide" && unit === this.deciding) this.deciding = null;
    // A place is one of the list as it is looked for now, whatever part of it is on its way.
    if (next && next.number >= this.list.since && !this.list.isStale) this.advance(unit, next.at, about === "next");
    if (words === undefined) return;
    if (about === "decide_many" && accepted) this.selection.clear();
    if (about === "details") return unit === this.open && this.panel?.replaceChildren(words);
    if (accepted) this.refusals.delete(unit);
    else if (unit) this.refusals.set(unit, words);
    this.say(words, !accepted);
    this.paint();
    this.arrive();
  }

  /**
   * The next line that nobody has decided about is current, unless a person has moved on or reads what is open.
   *
   * @param {string} unit
   * @param {number} at
   * @param {boolean} isWanted
   */
  advance(unit, at, isWanted) {
    const active = this.active();
    if (at < 0) {
      if (isWanted) this.say("Nothing is left to decide here.", false);
      return;
    }
    if (isWanted) {
      const isReading = this.open !== null;
      this.shut();
      this.isGoingOn = isReading;
      return this.move(at);
    }
    if (this.open !== null || unit !== this.current || !active || !this.grid.contains(active)) return;
    if (this.isByMouse && this.wayTo(at)) return; // nothing scrolls away below the pointer
    const place = this.rows.get(unit)?.verbs.findIndex(verb => verb === active) ?? -1;
    this.move(at);
    if (this.goal === null) this.rows.get(this.current)?.verbs[place]?.focus({preventScroll: true});
  }

  /** @param {string} unit */
  goOn(unit) {
    this.send("next", {unit});
  }

  /**
   * @param {string} words
   * @param {boolean} failed
   */
  say(words, failed) {
    setText(this.message, words);
    this.message.classList.toggle("md-failed", failed);
  }

  // -- choosing what to show ----------------------------------------------------------------------

  /** @param {Partial<Filter>} change */
  refilter(change) {
    Object.assign(this.filter, change);
    this.selection.clear();
    this.grid.scrollTop = 0;
    shutExtra(this);
    this.seek();
    fill(this);
  }

  /** Something else is looked for: what is here is nothing of it. */
  seek() {
    this.list.forget();
    this.settle();
    this.askLines();
  }

  /** Asks for the lines around those on display, one question after the other. */
  askLines() {
    const {list, filter, sort} = this;
    list.isLate = list.isAsking;
    if (list.isAsking) return;
    list.isAsking = true;
    list.number += 1;
    const [first, last] = this.inSight(), keep = list.asked = this.held();
    const start = list.isStale ? 0 : Math.max(0, Math.round((first + last - PAGE) / 2));
    const what = {...filter, sort: sort.key, down: sort.down, quiet: this.switch.checked,
      grouped: this.grouping.checked, unfolded: [...this.unfolded].slice(-MOST_GROUPS)};
    list.lookFor(JSON.stringify(what));
    this.send("window", {...what, start, count: PAGE, keep, number: list.number});
  }

  /** Units that are held on to wherever they stand: they may have the focus. */
  held() {
    return [...new Set([this.current, this.open])].filter(unit => unit != null);
  }

  /** @param {boolean} accepted */
  endAsking(accepted) {
    this.list.isAsking = false;
    if (this.list.isLate) this.askLines();
    else if (accepted) this.paint(); // and asks for what has come into sight meanwhile
  }

  /** Shows what is here by now. */
  settle() {
    const {list, grid} = this;
    if (!list.isStale) {
      if (list.place(this.current) === undefined) {
        const near = list.at(Math.min(this.lastPlace, list.total - 1));
        this.current = (near ?? list.lines[0])?.unit;
      }
      grid.setAttribute("aria-rowcount", String(list.total + 1));
    }
    fillAll(this);
    this.paint();
    this.arrive();
  }

  isWaiting() {
    return this.goal !== null || this.list.isStale;
  }

  /** Once the line is here that keys have led to, what was pressed since then is for it. */
  arrive() {
    const {list, pressed} = this, active = this.active();
    if (list.isStale || this.deciding !== null || (this.goal === null && !pressed.length)) return;
    const here = list.place(this.current) ?? 0;
    const at = Math.min(this.goal === null || this.goal === HERE ? here : this.goal, list.total - 1);
    if (list.total && !list.at(at)) return;
    this.goal = null;
    this.pressed = [];
    if (!list.total || !active || (active !== this.root && !this.grid.contains(active))) return;
    this.move(at);
    while (pressed.length && !this.isWaiting() && this.deciding === null)
      this.onGridKey(pressed.shift() ?? "", this.active() ?? this.root);
    this.pressed.unshift(...pressed);
  }

  /** @param {Column} key */
  sortBy(key) {
    const {sort} = this;
    this.setSort(sort.key !== key ? {key, down: false} : sort.down ? {key: "", down: false} : {key, down: true});
  }

  /** @param {Sort} sort */
  setSort(sort) {
    this.sort = sort;
    this.sorting.value = sort.key ? `${sort.key} ${sort.down ? "down" : "up"}` : "";
    for (const head of this.heads) {
      const mine = head.dataset.key === sort.key;
      head.setAttribute("aria-sort", mine ? (sort.down ? "descending" : "ascending") : "none");
    }
    this.keepFocus(() => this.seek());
  }

  showQuiet() {
    if (!this.switch.checked && this.filter.status in this.state.quiet) this.filter.status = "";
    this.seek();
    fill(this);
  }

  // -- rows ---------------------------------------------------------------------------------------

  paint() {
    if (!this.root.isConnected) return;
    const {list} = this, [first, last] = this.inSight();
    const wanted = new Set([this.openAt(), list.place(this.current) ?? -1]); // kept: they may hold the focus
    for (let index = first; index <= last; index++) wanted.add(index);
    this.body.style.height = `${this.topOf(list.total)}px`;
    const rows = [...wanted].sort((one, other) => one - other).flatMap(index => {
      const line = list.at(index);
      if (!line) return [];
      const row = this.rowOf(line);
      row.node.style.top = `${this.topOf(index)}px`;
      row.node.setAttribute("aria-rowindex", String(index + 2));
      return row;
    });
    this.arrange(rows);
    if (!list.isAsking && !list.holds(Math.max(0, first - AHEAD), Math.min(list.total - 1, last + AHEAD)))
      this.askLines();
  }

  /** @returns {[first: number, last: number]} */
  inSight() {
    const {grid, list} = this;
    return [Math.max(0, this.indexAt(grid.scrollTop) - MORE),
      Math.min(list.total - 1, this.indexAt(grid.scrollTop + (grid.clientHeight || 600)) + MORE)];
  }

  openAt() {
    return this.list.place(this.open) ?? -1;
  }

  /** @param {number} index */
  topOf(index) {
    const openAt = this.openAt();
    return index * this.rowHeight + (openAt >= 0 && index > openAt ? this.panelHeight : 0);
  }

  /** @param {number} y */
  indexAt(y) {
    const openAt = this.openAt(), below = this.topOf(openAt + 1);
    if (openAt < 0 || y < below - this.panelHeight) return Math.floor(y / this.rowHeight);
    return y < below ? openAt : Math.floor((y - this.panelHeight) / this.rowHeight);
  }

  /**
   * Moves nothing that stands right: an element that is moved loses the focus.
   *
   * @param {(Row | Heading)[]} rows
   */
  arrange(rows) {
    const kept = new Set(rows);
    for (const [unit, row] of this.rows) {
      if (kept.has(row)) continue;
      row.node.remove();
      this.rows.delete(unit);
    }
    let next = this.body.firstChild;
    for (const {node} of rows) {
      if (node === next) next = next.nextSibling;
      else this.body.insertBefore(node, next);
    }
  }

  /** @param {Line} line */
  rowOf(line) {
    let row = this.rows.get(line.unit);
    if (!row) {
      row = line.group ? new Heading(this, line.unit) : new Row(this, line.unit);
      this.rows.set(line.unit, row);
    }
    row.fill(line);
    return row;
  }

  // -- deciding and moving ------------------------------------------------------------------------

  /**
   * @param {string} unit
   * @param {Verb} verb
   * @param {string} vote
   * @param {boolean} isByMouse
   */
  press(unit, verb, vote, isByMouse) {
    const line = this.list.line(unit);
    if (!line) return;
    this.isByMouse = isByMouse;
    this.settleOr(line.vote === vote ? "withdraw" : verb, unit);
  }

  /**
   * What must be settled first is opened instead of approved.
   *
   * @param {Verb} verb
   * @param {string} unit
   */
  settleOr(verb, unit) {
    const line = this.list.line(unit);
    if (!line) return;
    if (line.group) {
      if (verb === "approve" && line.group.ready) askGroup(this, unit);
    } else if (verb !== "approve" || line.change || line.barred || line.vote === "approved") this.decide(unit, verb);
    else if (this.open !== unit) this.toggle(unit);
  }

  /**
   * @param {string} unit
   * @param {Verb} vote
   */
  decide(unit, vote) {
    const line = this.list.line(unit);
    if (!line || line.finished || line.quiet) return;
    if (this.open === null) this.deciding = unit;
    this.send("decide", {unit, vote, change: line.change});
  }

  /**
   * Why it may stay as it is wants words: the field for them gets the focus.
   *
   * @param {string} unit
   */
  ignore(unit) {
    if (this.open !== unit) this.toggle(unit);
    if (this.open !== unit) return;
    this.draft.isWanted = true;
    focusReason(this);
  }

  /** @param {string} unit */
  enter(unit) {
    const before = this.rows.get(this.current);
    if (unit !== this.current) {
      this.goal = null;
      this.pressed = [];
      this.deciding = null;
    }
    this.current = unit;
    this.lastPlace = this.list.place(unit) ?? 0;
    for (const row of [before, this.rows.get(unit)]) if (row?.shows) row.fill(row.shows);
  }

  /**
   * @param {MouseEvent} event
   * @param {string} unit
   */
  clickRow({target, shiftKey, ctrlKey, metaKey}, unit) {
    const {selection} = this, isButton = target instanceof Element && target.closest("button");
    if (isButton) return;
    if (shiftKey) return selection.extend(unit);
    if (ctrlKey || metaKey) return selection.flip(unit);
    selection.anchor = unit;
    if (!getSelection()?.toString()) this.toggle(unit);
  }

  /** @param {string} unit */
  toggle(unit) {
    const line = this.list.line(unit);
    if (line?.group) return this.fold(unit, line.group.shown);
    if (!line || line.quiet) return;
    this.keepFocus(() => {
      const isOpening = this.isRevealing = this.open !== unit;
      this.shut();
      if (isOpening) {
        this.open = unit;
        this.panel = makePanel(this);
        this.send("details", {unit});
      }
      this.paint();
      if (this.panel) {
        this.sizes.observe(this.panel);
        this.measure();
      }
    });
  }

  /**
   * @param {string} group
   * @param {boolean} isShown
   */
  fold(group, isShown) {
    if (isShown) this.unfolded.delete(group);
    else this.unfolded.add(group);
    this.askLines();
  }

  /** The line that is open, and what opens below it. */
  reveal() {
    const at = this.openAt(), top = this.topOf(at), {grid, sticky} = this;
    if (at < 0) return;
    const room = grid.clientHeight - sticky.offsetHeight, bottom = top + this.rowHeight + this.panelHeight;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (bottom > grid.scrollTop + room) grid.scrollTop = Math.min(top, bottom - room);
  }

  shut() {
    if (this.panel) this.sizes.unobserve(this.panel);
    this.panel?.remove();
    this.open = this.panel = null;
    this.draft = {reason: "", until: "", isWanted: false};
    this.fit();
  }

  /**
   * How far a line is out of sight, to be scrolled by.
   *
   * @param {number} index
   */
  wayTo(index) {
    const {grid, sticky, rowHeight} = this, way = this.topOf(index) - grid.scrollTop;
    return way < 0 ? way : Math.max(0, way - (grid.clientHeight - sticky.offsetHeight - rowHeight));
  }

  /** @param {number} to */
  move(to) {
    const {list} = this, index = Math.max(0, Math.min(to, list.total - 1)), line = list.at(index);
    if (!list.total) return;
    this.grid.scrollTop += this.wayTo(index);
    if (!line) {
      this.goal = index;
      return this.paint();
    }
    this.goal = null;
    this.current = line.unit;
    this.lastPlace = index;
    this.paint();
    this.rows.get(line.unit)?.node.focus({preventScroll: true});
    if (this.isGoingOn && this.open === null && !line.group) this.toggle(line.unit);
    this.isGoingOn = false;
  }

  // -- keys ---------------------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.target instanceof Element)) return;
    const isNamed = event.shiftKey && event.key.startsWith("Arrow");
    if (!this.onKeyAt(isNamed ? `Shift+${event.key}` : event.key, event.target)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /**
   * Whether the key meant something here; else it is the notebook's.
   *
   * @param {string} key
   * @param {Element} target
   */
  onKeyAt(key, target) {
    if (key === "Escape") this.escape();
    else if (key === "ArrowDown" && target === this.search) this.goTo();
    else if (target.matches("input:not([type=checkbox]), select")) return false;
    else if (key === "?") toggleHelp(this);
    else if (key === "/") {
      this.search.select();
      this.search.focus();
    } else if (resizeByKey(this, key, target)) return true;
    else {
      const here = this.grid.contains(target) || (target === this.root && this.isWaiting());
      return here && this.onGridKey(key, target);
    }
    return true;
  }

  /**
   * @param {string} key
   * @param {Element} target
   */
  onGridKey(key, target) {
    const here = this.list.place(this.current) ?? 0;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / this.rowHeight) - 2);
    /** @type {{[key: string]: number}} */
    const steps = {ArrowDown: here + 1, ArrowUp: here - 1, PageDown: here + page, PageUp: here - page,
      Home: 0, End: this.list.total - 1};
    const isOnRow = target.matches(".md-row, .md-board"), isEnter = key === "Enter" && isOnRow;
    const {current, selection} = this, group = this.list.line(current)?.group;
    const isMeant = key in steps || key in KEYS || "in".includes(key) || isEnter;
    if ((this.isWaiting() || this.deciding !== null) && isMeant) this.pressed.push(key);
    else if (key in steps) this.move(steps[key]);
    else if (key === "Shift+ArrowDown" || key === "Shift+ArrowUp") this.stretch(here + (key.endsWith("Down") ? 1 : -1));
    else if (key in KEYS && selection.isThere) selection.decide(KEYS[key]);
    else if (key === "i" && selection.isThere) selection.reason.focus();
    else if (!current) return false;
    else if (key in KEYS) {
      this.isByMouse = false;
      this.settleOr(KEYS[key], current);
    } else if (key === "i") this.ignore(current);
    else if (key === "n") this.goOn(current);
    else if (isEnter) this.toggle(current);
    else if (key === " " && isOnRow) selection.flip(current);
    else if (group && isOnRow && key === (group.shown ? "ArrowLeft" : "ArrowRight")) this.fold(current, group.shown);
    else return false;
    return true;
  }

  /** @param {number} to */
  stretch(to) {
    const {selection} = this;
    selection.anchor ??= this.current;
    this.move(to);
    if (this.current) selection.extend(this.current);
  }

  escape() {
    const {open} = this;
    if (this.extra.firstChild) shutExtra(this);
    else if (this.selection.isThere) this.selection.clear();
    else if (!this.history.hidden) toggleHistory(this);
    else if (open !== null && this.grid.contains(this.active())) {
      this.toggle(open);
      const at = this.list.place(open);
      if (at !== undefined) this.move(at);
      return;
    }
    if (!this.grid.contains(this.active())) this.goTo();
  }

  goTo() {
    const {list} = this, there = this.history.hidden;
    if (there && list.isStale) this.goal ??= HERE;
    if (there && list.total && !this.isWaiting()) this.move(list.place(this.current) ?? 0);
    else this.root.focus({preventScroll: true});
  }

  active() {
    const within = /** @type {Document | ShadowRoot} */ (this.root.getRootNode());
    return /** @type {HTMLElement | null} */ (within.activeElement);
  }

  /**
   * Whatever is shown anew, the focus stays in the board: outside of it, keys mean the notebook's cells.
   *
   * @param {() => void} action
   */
  keepFocus(action) {
    const before = this.active(), key = before?.dataset.key;
    const was = before !== null && this.root.contains(before);
    action();
    if (!was || (this.root.contains(this.active()) && this.active() !== this.root)) return;
    const same = before.isConnected ? before : this.findKeyed(key);
    same?.focus({preventScroll: true});
    if (!this.root.contains(this.active()) || !same) this.goTo();
  }

  /**
   * @param {string | undefined} key
   * @returns {HTMLElement | undefined}
   */
  findKeyed(key) {
    /** @type {NodeListOf<HTMLElement>} */
    const keyed = this.root.querySelectorAll("[data-key]");
    return [...keyed].find(node => key && node.dataset.key === key && node.tabIndex >= 0);
  }
}

/** @param {{model: Model, el: HTMLElement}} widget */
function render({model, el}) {
  const board = new Board(model, el);
  return () => board.close();
}

export default {render};
