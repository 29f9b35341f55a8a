// The review as a table. It shows what Python sends and asks Python for the rest: nothing about a room
// is decided here. Texts become text nodes, never markup. Counts and Apply are in counts.js, what opens is in
// opened.js; table.py joins the three to one module.

const STATUSES = ["conflict", "missing", "mismatched"];
const VOTES = ["pending", "approved", "rejected", "deferred"];
const VERBS = [["approve", "Approve", "approved"], ["reject", "Reject", "rejected"], ["defer", "Defer", "deferred"]];
const KEYS = {a: "approve", r: "reject", d: "defer", u: "withdraw"};
const COLUMNS = [["status", "Status"], ["owner", "Owner"], ["chat", "Chat"], ["name", "Name"],
  ["cause", "Cause"], ["action", "Proposed change"], ["vote", "Decision"]];
const NARROW = 760;
const MORE = 6; // rows beyond the edge, so that scrolling shows no gaps
const PATIENCE = 5000;
const SILENT = "No answer from the kernel yet. If it was restarted, run the cell again; if it is busy, wait.";
const natural = new Intl.Collator(undefined, {numeric: true, sensitivity: "base"});

function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  // With the focus on something without this, JupyterLab's own keys act on the cell: d d deletes it.
  if (/^(button|input|select|summary)$/.test(tag) || "tabindex" in attributes)
    node.setAttribute("data-lm-suppress-shortcuts", "true");
  node.append(...children.filter(child => child !== "" && child != null));
  return node;
}

// A button is never `disabled`: it would lose the focus, and the notebook's keys would act again.
function button(words, action, attributes = {}) {
  const act = event => {
    if (event.currentTarget.getAttribute("aria-disabled") !== "true") action(event);
  };
  return h("button", {type: "button", onclick: act, ...attributes}, words);
}

function enable(node, yes) {
  node.setAttribute("aria-disabled", String(!yes));
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

class Board {
  constructor(model, el) {
    this.model = model;
    this.view = Math.random().toString(36).slice(2);
    this.lines = [];
    this.quiet = [];
    this.shown = [];
    this.byUnit = new Map();
    this.rows = new Map();
    this.refusals = new Map();
    this.state = {statuses: {}, votes: {}, results: {}, quiet: {}, message: ""};
    this.filter = {status: "", vote: "", result: "", text: ""};
    this.sort = {key: "", down: false};
    this.rowHeight = 36;
    this.panelHeight = 0;
    this.build();
    el.append(this.root);
    this.receive = this.receive.bind(this);
    model.on("msg:custom", this.receive);
    this.watch();
    this.send("ready");
  }

  close() {
    this.model.off("msg:custom", this.receive);
    this.sizes.disconnect();
    clearTimeout(this.timer);
  }

  // -- building -----------------------------------------------------------------------------------

  build() {
    this.about = h("div", {class: "md-about", hidden: true});
    this.counts = h("div", {class: "md-bar", role: "group", "aria-label": "Filters with counts"});
    this.search = h("input", {type: "search", class: "md-search", placeholder: "room, user, words  ( / )",
      "aria-label": "Filter by text", oninput: () => this.refilter({text: this.search.value})});
    this.all = button("", () => this.send("count", this.asked()), {class: "md-button"});
    this.switch = h("input", {type: "checkbox", onchange: () => this.showQuiet()});
    this.switchWords = h("span");
    this.past = button("History", () => this.toggleHistory(), {class: "md-button", "aria-pressed": "false"});
    this.helpButton = button("?", () => this.toggleHelp(), {class: "md-button", "aria-label": "? Keyboard help",
      "aria-expanded": "false"});
    this.extra = h("div", {class: "md-extra"});
    this.buildGrid();
    this.history = h("div", {class: "md-history", role: "region", "aria-label": "History of runs", tabindex: "-1", hidden: true});
    this.root = h("div", {class: "md-board tex2jax_ignore mathjax_ignore", role: "region", tabindex: "-1",
      "aria-label": "Review of units that are not in sync", onkeydown: event => this.onKey(event)},
    this.about, this.counts,
    h("div", {class: "md-bar"}, this.search, this.all,
      h("label", {class: "md-switch"}, this.switch, this.switchWords), this.buildSorting(),
      h("span", {class: "md-gap"}), this.past, this.helpButton),
    this.extra, this.empty, this.grid, this.history, this.buildFoot());
  }

  // Where there is no room for the columns' heads.
  buildSorting() {
    const options = COLUMNS.flatMap(([key, words]) => [h("option", {value: `${key} up`}, words), h("option", {value: `${key} down`}, `${words}, descending`)]);
    this.sorting = h("select", {class: "md-button", onchange: () => {
      const [key, way] = this.sorting.value.split(" ");
      this.setSort({key, down: way === "down"});
    }}, h("option", {value: ""}, "as planned"), ...options);
    return h("label", {class: "md-switch md-sorting"}, "sort by", this.sorting);
  }

  buildGrid() {
    const heads = COLUMNS.map(([key, words]) => h("div", {role: "columnheader", class: "md-head", "data-key": key},
      button(words, () => this.sortBy(key), {class: "md-sort"})));
    this.head = h("div", {role: "row", class: "md-cells md-heads", "aria-rowindex": "1"},
      h("div", {role: "columnheader", class: "md-head"}, h("span", {class: "md-unseen"}, "Details")), ...heads);
    this.body = h("div", {role: "rowgroup", class: "md-body"});
    this.grid = h("div", {role: "grid", class: "md-grid", "aria-label": "Units", onscroll: () => this.paint()},
      h("div", {role: "rowgroup", class: "md-sticky"}, this.head), this.body);
    this.empty = h("div", {class: "md-empty", hidden: true});
  }

  buildFoot() {
    this.applyButton = button("Apply", () => this.send("apply", {plan: this.state.plan}), {class: "md-button md-apply"});
    this.cancel = button("Cancel", () => this.send("cancel"), {class: "md-button"});
    this.bar = h("progress", {class: "md-progress", "aria-label": "Progress of the run", max: "1", value: "0", hidden: true});
    this.far = h("span", {class: "md-quiet"});
    this.message = h("div", {role: "status", class: "md-message"});
    return h("div", {class: "md-foot"},
      h("div", {class: "md-bar"}, this.applyButton, this.cancel, this.bar, this.far), this.message);
  }

  watch() {
    this.sizes = new ResizeObserver(() => this.measure());
    this.sizes.observe(this.root);
  }

  measure() {
    const {clientWidth: width} = this.root, narrow = width > 0 && width < NARROW, before = this.active();
    this.root.classList.toggle("md-narrow", narrow);
    this.rowHeight = narrow ? 92 : 36;
    if (this.panel) this.panelHeight = this.panel.offsetHeight;
    this.paint();
    if (width && this.root.contains(before) && !before.getClientRects().length) this.goTo(); // what sorts has changed
  }

  // -- talking ------------------------------------------------------------------------------------

  send(what, rest = {}) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.say(SILENT, true), PATIENCE);
    try {
      this.model.send({do: what, view: this.view, ...rest});
    } catch {
      this.say(SILENT, true); // the kernel that made this table is gone
    }
  }

  receive(told) {
    if (told.to && told.to !== this.view) return;
    clearTimeout(this.timer);
    this.keepFocus(() => this[`take_${told.kind}`]?.(told));
  }

  take_lines({whole, lines}) {
    if (whole) this.lines = lines;
    else {
      const fresh = new Map(lines.map(line => [line.unit, line]));
      this.lines = this.lines.map(line => fresh.get(line.unit) ?? line);
    }
    this.byUnit = new Map(this.lines.map(line => [line.unit, line]));
    for (const {unit} of lines) this.refusals.delete(unit);
    const {finished: isGone} = this.byUnit.get(this.open) ?? {finished: true};
    if (this.open && isGone) this.shut();
    else if (this.open && lines.some(line => line.unit === this.open)) this.send("details", {unit: this.open});
    if (whole && this.switch.checked) this.send("quiet");
    if (whole) this.ask(null);
    this.choose();
  }

  take_quiet({lines}) {
    this.quiet = lines.map(line => ({...line, vote: "", action: "", isQuiet: true}));
    this.choose();
  }

  take_state(told) {
    const {runs} = this.state;
    Object.assign(this.state, told);
    if (this.filter.result && !this.state.results[this.filter.result]) this.refilter({result: ""});
    if (!this.history.hidden && runs !== this.state.runs) this.send("history");
    this.fill();
  }

  take_answer({unit, words, accepted, about}) {
    if (words === undefined) return;
    if (about === "details") return unit === this.open && this.panel.replaceChildren(words);
    if (accepted) this.refusals.delete(unit);
    else if (unit) this.refusals.set(unit, words);
    this.say(words, !accepted);
    this.paint();
  }

  take_details(told) {
    if (told.unit !== this.open) return;
    this.details = told;
    this.fillPanel();
  }

  take_question(told) { this.ask(told); }
  take_history(told) { this.fillHistory(told.runs); }
  take_run(told) { this.fillRun(told, false); }
  take_undo(told) { this.fillRun(told, true); }

  say(words, failed) {
    setText(this.message, words);
    this.message.classList.toggle("md-failed", Boolean(failed));
  }

  // -- choosing what to show ----------------------------------------------------------------------

  asked() {
    return {status: this.filter.status, text: this.filter.text};
  }

  refilter(change) {
    Object.assign(this.filter, change);
    this.grid.scrollTop = 0;
    this.ask(null);
    this.choose();
    this.fill();
  }

  choose() {
    const {status, vote, result, text} = this.filter;
    const pool = this.switch.checked && !result ? [...this.lines, ...this.quiet] : this.lines;
    this.shown = pool.filter(line => (result ? line.result === result : !line.finished)
      && (!status || line.status === status) && (!vote || line.vote === vote)
      && (!text || this.textOf(line).includes(text.toLowerCase())));
    const {key, down} = this.sort;
    if (key) this.shown.sort((one, other) => (down ? -1 : 1) * natural.compare(one[key], other[key]));
    this.place = new Map(this.shown.map((line, index) => [line.unit, index]));
    if (!this.place.has(this.current)) {
      this.current = this.shown[Math.min(this.lastPlace ?? 0, this.shown.length - 1)]?.unit;
    }
    this.grid.setAttribute("aria-rowcount", this.shown.length + 1);
    this.fillAll();
    this.paint();
  }

  textOf(line) {
    line.text ??= [line.label, line.id, line.owner, line.name, line.chat, line.cause, line.action].join("\n").toLowerCase();
    return line.text;
  }

  sortBy(key) {
    const {sort} = this;
    this.setSort(sort.key !== key ? {key, down: false} : sort.down ? {key: "", down: false} : {key, down: true});
  }

  setSort(sort) {
    this.sort = sort;
    this.sorting.value = sort.key ? `${sort.key} ${sort.down ? "down" : "up"}` : "";
    for (const head of this.head.querySelectorAll("[data-key]")) {
      const mine = head.dataset.key === this.sort.key;
      head.setAttribute("aria-sort", mine ? (this.sort.down ? "descending" : "ascending") : "none");
    }
    this.keepFocus(() => this.choose());
  }

  showQuiet() {
    if (this.switch.checked) this.send("quiet");
    else if (["in sync", "skipped"].includes(this.filter.status)) this.filter.status = "";
    this.choose();
    this.fill();
  }

  // -- rows ---------------------------------------------------------------------------------------

  paint() {
    if (this.root.isConnected === false) return;
    const {shown, grid} = this, openAt = this.openAt();
    const first = Math.max(0, this.indexAt(grid.scrollTop) - MORE);
    const last = Math.min(shown.length - 1, this.indexAt(grid.scrollTop + (grid.clientHeight || 600)) + MORE);
    const wanted = new Set([openAt, this.place?.get(this.current) ?? -1]); // kept: they may hold the focus
    for (let index = first; index <= last; index++) wanted.add(index);
    wanted.delete(-1);
    this.body.style.height = `${this.topOf(shown.length)}px`;
    const rows = [...wanted].sort((one, other) => one - other).map(index => {
      const row = this.rowOf(shown[index]);
      row.style.top = `${this.topOf(index)}px`;
      row.setAttribute("aria-rowindex", index + 2);
      return row;
    });
    this.arrange(rows);
  }

  openAt() {
    return this.open ? this.place?.get(this.open) ?? -1 : -1;
  }

  topOf(index) {
    const openAt = this.openAt();
    return index * this.rowHeight + (openAt >= 0 && index > openAt ? this.panelHeight : 0);
  }

  indexAt(y) {
    const openAt = this.openAt(), below = this.topOf(openAt + 1);
    if (openAt < 0 || y < below - this.panelHeight) return Math.floor(y / this.rowHeight);
    return y < below ? openAt : Math.floor((y - this.panelHeight) / this.rowHeight);
  }

  // Moves nothing that stands right: an element that is moved loses the focus.
  arrange(rows) {
    const kept = new Set(rows);
    for (const [unit, row] of this.rows) if (!kept.has(row)) { row.remove(); this.rows.delete(unit); }
    let next = this.body.firstChild;
    for (const row of rows) {
      if (row === next) next = next.nextSibling;
      else this.body.insertBefore(row, next);
    }
  }

  rowOf(line) {
    let row = this.rows.get(line.unit);
    if (!row) {
      row = this.makeRow(line);
      this.rows.set(line.unit, row);
    }
    this.fillRow(row, line);
    return row;
  }

  makeRow({unit}) {
    const row = h("div", {role: "row", class: "md-row", tabindex: "-1", onfocusin: () => this.enter(unit)});
    row.cells = Object.fromEntries(["open", ...COLUMNS.map(([key]) => key)].map(key => [key, h("div", {role: "gridcell", class: `md-cell md-${key}`})]));
    row.chip = h("span", {class: "md-chip"});
    row.cells.status.append(row.chip);
    row.more = button("▸", () => this.toggle(unit), {class: "md-more", tabindex: "-1"});
    row.verbs = VERBS.map(([verb]) => button("", event => event.detail < 2 && this.press(unit, verb), {class: `md-verb md-${verb}`, tabindex: "-1"}));
    row.line = h("div", {class: "md-cells", onclick: event => this.clickRow(event, unit)}, ...Object.values(row.cells));
    row.append(row.line);
    return row;
  }

  fillRow(row, line) {
    const {cells} = row, isCurrent = line.unit === this.current, isOpen = line.unit === this.open;
    row.tabIndex = isCurrent ? 0 : -1;
    row.more.tabIndex = row.tabIndex;
    for (const node of row.verbs) node.tabIndex = row.tabIndex;
    row.classList.toggle("md-is-open", isOpen);
    if (isOpen && this.panel && this.panel.parentNode !== row) row.append(this.panel);
    row.more.setAttribute("aria-expanded", String(isOpen));
    const refusal = this.refusals.get(line.unit) ?? "";
    if (row.shows === line && row.refusal === refusal) return;
    Object.assign(row, {shows: line, refusal});
    const told = refusal || (line.again && `pending again: you ${line.again} another change`) || (line.result === "stale" && `left alone: ${line.why}`)
      || (line.result && line.why) || line.cause;
    const name = line.name.trim() || (line.chat ? "" : line.id); // something must tell which room it is
    const words = {owner: line.owner, chat: line.chat, name, cause: told, action: line.picked ? `${line.picked}: ${line.action}` : line.action};
    for (const [key, text] of Object.entries(words)) { setText(cells[key], text); cells[key].title = text; }
    cells.cause.classList.toggle("md-failed", Boolean(refusal || line.again || (line.result && line.result !== "applied" && line.why)));
    row.chip.className = `md-chip md-${(line.finished ? line.result : line.status).replace(" ", "-")}`;
    setText(row.chip, line.finished ? line.result : line.status);
    row.dataset.vote = line.vote;
    row.setAttribute("aria-label", [line.label, line.status, line.vote, told].filter(Boolean).join(", "));
    this.fillVerbs(row, line);
  }

  fillVerbs(row, line) {
    const {cells} = row, closed = line.isQuiet || line.finished;
    cells.open.replaceChildren(...(closed ? [] : [row.more]));
    row.more.setAttribute("aria-label", `Details of ${line.label}`);
    if (closed) return cells.vote.replaceChildren();
    VERBS.forEach(([verb, words, vote], at) => {
      const node = row.verbs[at], settle = verb === "approve" && !line.change && line.vote !== vote;
      node.hidden = Boolean(settle && line.barred);
      setText(node, settle ? "Settle" : words);
      node.setAttribute("aria-label", `${settle ? "Settle" : words} ${line.label}`);
      if (settle) node.removeAttribute("aria-pressed");
      else node.setAttribute("aria-pressed", String(line.vote === vote));
    });
    if (!cells.vote.firstChild) cells.vote.append(h("div", {class: "md-verbs"}, ...row.verbs));
  }

  // -- deciding and moving ------------------------------------------------------------------------

  press(unit, verb) {
    const line = this.byUnit.get(unit);
    if (verb === "approve" && !line.change && line.vote !== "approved") return this.open === unit || this.toggle(unit);
    const isPressed = line.vote === VERBS.find(([name]) => name === verb)[2];
    this.decide(unit, isPressed ? "withdraw" : verb);
  }

  decide(unit, vote) {
    const line = this.byUnit.get(unit);
    if (line && !line.finished) this.send("decide", {unit, vote, change: line.change});
  }

  enter(unit) {
    const before = this.rows.get(this.current);
    this.current = unit;
    this.lastPlace = this.place.get(unit);
    for (const row of [before, this.rows.get(unit)]) if (row?.shows) this.fillRow(row, row.shows);
  }

  clickRow(event, unit) {
    if (!event.target.closest("button") && !getSelection().toString() && this.byUnit.has(unit)) this.toggle(unit);
  }

  toggle(unit) {
    if (!this.byUnit.has(unit) || this.byUnit.get(unit).finished) return;
    this.keepFocus(() => {
      const isOpening = this.open !== unit;
      this.shut();
      if (isOpening) {
        this.open = unit;
        this.panel = this.makePanel();
        this.send("details", {unit});
      }
      this.paint();
      if (this.panel) { this.sizes.observe(this.panel); this.measure(); }
    });
  }

  shut() {
    if (this.panel) this.sizes.unobserve(this.panel);
    this.panel?.remove();
    Object.assign(this, {open: null, panel: null, panelHeight: 0});
  }

  move(to) {
    const index = Math.max(0, Math.min(to, this.shown.length - 1)), line = this.shown[index];
    if (!line) return;
    const top = this.topOf(index);
    const room = this.grid.clientHeight - this.head.parentNode.offsetHeight - this.rowHeight;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top > this.grid.scrollTop + room) this.grid.scrollTop = top - room;
    this.current = line.unit;
    this.lastPlace = index;
    this.paint();
    this.rows.get(line.unit)?.focus({preventScroll: true});
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const {target, key} = event, isTyping = target.matches("input:not([type=checkbox]), select");
    const done = key === "Escape" ? this.escape() : key === "ArrowDown" && target === this.search ? this.goTo()
      : isTyping ? false : key === "?" ? this.toggleHelp() : key === "/" ? this.search.select() || this.search.focus()
        : this.grid.contains(target) && this.onGridKey(event);
    if (done === false) return;
    event.preventDefault();
    event.stopPropagation();
  }

  onGridKey({key, target}) {
    const here = this.place?.get(this.current) ?? 0, page = Math.max(1, Math.floor(this.grid.clientHeight / this.rowHeight) - 2);
    const steps = {ArrowDown: here + 1, ArrowUp: here - 1, PageDown: here + page, PageUp: here - page, Home: 0, End: this.shown.length - 1};
    if (key in steps) return this.move(steps[key]);
    if (key in KEYS && this.current) return this.decide(this.current, KEYS[key]);
    if (key === "Enter" && target.matches(".md-row")) return this.toggle(this.current);
    return false;
  }

  escape() {
    if (this.extra.firstChild) this.ask(null);
    else if (!this.history.hidden) this.toggleHistory();
    else if (this.open && this.grid.contains(this.active())) { const unit = this.open; this.toggle(unit); this.move(this.place.get(unit)); return; }
    if (!this.grid.contains(this.active())) this.goTo();
  }

  goTo() {
    if (this.shown.length && this.history.hidden) this.move(this.place.get(this.current) ?? 0);
    else this.root.focus({preventScroll: true});
  }

  active() { return this.root.getRootNode().activeElement; }

  // Whatever is shown anew, the focus stays in the board: outside of it, keys mean the notebook's cells.
  keepFocus(action) {
    const before = this.active(), was = this.root.contains(before), key = was && before.dataset.key;
    action();
    if (!was || (this.root.contains(this.active()) && this.active() !== this.root)) return;
    const same = before.isConnected ? before : key && [...this.root.querySelectorAll("[data-key]")].find(node => node.dataset.key === key && node.tabIndex >= 0);
    if (same) same.focus({preventScroll: true});
    if (!this.root.contains(this.active()) || !same) this.goTo();
  }
}

function render({model, el}) {
  const board = new Board(model, el);
  return () => board.close();
}

export default {render};
