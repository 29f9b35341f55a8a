// What opens in the review: details of a unit, the question before many are approved, help, past runs.
// Joined to table.js, whose helpers and class it uses.

const HELP = [["↑ ↓ PageUp PageDown Home End", "move in the list"], ["Enter", "open or close a unit"],
  ["a", "approve"], ["r", "reject: leave its rows as they are"], ["d", "defer"], ["u", "take the decision back"],
  ["/", "filter by text"], ["?", "this help"], ["Escape", "close what is open, go back to the list"],
  ["Tab", "to the buttons of the unit, then to Apply and Cancel"]];

function heading(words) {
  return h("div", {class: "md-title"}, words);
}

function code(text) {
  return h("code", {}, text);
}

// A row before and after; what differs is marked by a sign as well as by colour.
function rowTable({key, verb, fields}, before = "before", after = "after") {
  const line = field => {
    const sign = !field.changed ? "" : !field.before ? "+" : !field.after ? "−" : "≠";
    const mark = (tag, text) => h("td", {}, field.changed && text ? h(tag, {}, text) : text);
    return h("tr", {class: field.changed ? "md-changed" : "md-same"}, h("td", {class: "md-sign"}, sign),
      h("th", {scope: "row"}, field.name || "(whole row)"), mark("del", field.before), mark("ins", field.after));
  };
  const heads = ["", "field", before, after].map(word => word ? h("th", {scope: "col"}, word) : h("td"));
  return h("div", {class: "md-rowtable"}, h("div", {}, h("strong", {}, `${verb} `), code(key)),
    h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...fields.map(line))));
}

function tables(rows, ...heads) {
  return h("div", {class: "md-tables"}, ...rows.map(row => rowTable(row, ...heads)));
}

function fact({what, cause, evidence, events}) {
  const proof = evidence === "none" && !events.length ? null
    : h("div", {class: "md-proof"}, `evidence: ${evidence}`, ...events.flatMap(id => [" ", code(id)]));
  return h("li", {}, h("strong", {}, what), `: ${cause}`, proof);
}

function movedPart({why, rows, plan}) {
  return h("div", {class: "md-moved"}, heading(`Left alone by the last run: ${why}. What moved since you approved it:`),
    tables(rows.map(row => ({...row, verb: "row"})), "as approved", "now"),
    plan.length ? heading("What would be written, then and now") : "",
    tables(plan.map(row => ({...row, verb: "write"})), "as approved", "now"));
}

Object.assign(Board.prototype, {
  // -- one unit -----------------------------------------------------------------------------------

  makePanel() {
    this.details = null;
    return h("div", {role: "gridcell", class: "md-panel", "aria-colspan": COLUMNS.length + 1}, "Loading…");
  },

  fillPanel() {
    const {details, panel} = this;
    if (!panel) return;
    const {line, facts, rows, relies_on: relies, rooms, space, moved} = details;
    const ids = [["room", rooms[0] ?? line.id], ["earlier versions", rooms.slice(1).join(" ")], ["Space", space],
      ["relies on", relies.join(" ")]].filter(([, text]) => text);
    panel.replaceChildren(
      h("div", {class: "md-columns"},
        h("div", {}, heading(line.label), h("ul", {class: "md-facts"}, ...facts.map(fact)),
          h("dl", {}, ...ids.flatMap(([word, text]) => [h("dt", {}, word), h("dd", {}, code(text))]))),
        this.choicePart(details)),
      moved ? movedPart(moved) : "",
      rows.length ? tables(rows) : h("div", {}, `${line.barred ? "" : "Nothing would be written yet: "}${line.action}.`));
    this.panelHeight = panel.offsetHeight;
    this.paint();
  },

  choicePart({line, offers, free, unit}) {
    if (!offers.length && !free && !line.picked) return "";
    const picked = (line.picked ?? "").split(", ");
    const options = offers.map(({label, choices}) => button(label, () => this.send("pick", {unit, choices}), {class: "md-button",
      "aria-pressed": String(picked.includes(label)), "aria-label": `${label} for ${line.label}`, "data-key": `pick:${label}`}));
    const back = line.picked && button("Take the pick back", () => this.send("pick", {unit, choices: null}),
      {class: "md-button", "aria-label": `Take the pick back for ${line.label}`, "data-key": "pick:back"});
    const yes = line.picked && line.change && button(`Approve with ${line.picked}`, () => this.decide(unit, "approve"),
      {class: "md-button md-primary", "aria-label": `Approve with ${line.picked}: ${line.label}`, "data-key": "pick:yes"});
    return h("div", {class: "md-choices", role: "group", "aria-label": `Choices for ${line.label}`}, heading("Your choice"),
      h("div", {class: "md-bar"}, ...options, back), free ? this.freePart(unit, line) : "",
      h("div", {class: "md-bar"}, yes || (line.picked ? `Still open: ${line.action}.` : "Pick one to see what would be written; nothing is decided by that.")));
  },

  freePart(unit, line) {
    const field = h("input", {type: "text", size: "6", placeholder: "C12", "aria-label": `Another chat id for ${line.label}`, "data-key": "pick:id"});
    const take = () => this.send("pick", {unit, choices: {chat_id: field.value.trim()}});
    field.addEventListener("keydown", event => { if (event.key === "Enter") take(); });
    return h("div", {class: "md-bar"}, field, button("Use this chat id", take,
      {class: "md-button", "aria-label": `Use this chat id for ${line.label}`, "data-key": "pick:take"}));
  },

  // -- question and help --------------------------------------------------------------------------

  ask(question) {
    if (!question && !this.extra.firstChild) return;
    this.helpButton.setAttribute("aria-expanded", "false");
    if (!question) return this.keepFocus(() => this.extra.replaceChildren());
    const {units, rows, what, plan, status, text} = question;
    const yes = () => { this.send("approve_all", {plan, status, text}); this.ask(null); };
    const box = h("div", {class: "md-question", role: "group", tabindex: "-1", "aria-label": "Approve all of this filter?"},
      h("strong", {}, plan ? `Approve ${units}, ${rows}?` : "There is nothing here to approve together."),
      h("ul", {}, ...what.map(words => h("li", {}, words))),
      h("div", {class: "md-bar"}, plan ? button(`Approve ${units}`, yes, {class: "md-button md-primary"}) : "",
        button("Back", () => this.ask(null), {class: "md-button"})));
    this.extra.replaceChildren(box);
    box.focus({preventScroll: true});
  },

  toggleHelp() {
    if (this.extra.querySelector(".md-help")) return this.ask(null);
    this.extra.replaceChildren(h("dl", {class: "md-help"},
      ...HELP.flatMap(([keys, words]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, words)])));
    this.helpButton.setAttribute("aria-expanded", "true");
  },

  // -- history ------------------------------------------------------------------------------------

  toggleHistory() {
    const show = this.history.hidden;
    this.past.setAttribute("aria-pressed", String(show));
    this.grid.hidden = show;
    this.history.hidden = !show;
    this.fillAll();
    if (!show) return this.keepFocus(() => this.history.replaceChildren());
    this.history.replaceChildren("Loading…");
    this.history.focus({preventScroll: true});
    this.send("history");
  },

  fillHistory(runs) {
    if (this.history.hidden) return;
    this.runBox = h("div", {"aria-live": "polite"});
    const heads = ["When (UTC)", "What", "By", "Units written", "Rows", "Left", "Taken back"].map(word => h("th", {scope: "col"}, word));
    const table = h("table", {class: "md-runs"}, h("thead", {}, h("tr", {}, ...heads, h("td"))), h("tbody", {}, ...runs.map(run => this.runRow(run))));
    this.history.replaceChildren(heading("What was written to this database, the latest run first"),
      ...(runs.length ? [table, this.runBox] : ["Nothing was written yet."]));
  },

  runRow(run) {
    const named = `${run.action} of ${run.time}`;
    const note = run.undone_by ? "yes" : run.undoes ? "it took a run back" : run.finished ? "" : "interrupted";
    const show = button("Show", () => this.send("open_run", {run: run.run}), {class: "md-button", "aria-label": `Show ${named}`, "data-key": `show:${run.run}`});
    const undo = run.rows && !run.undone_by ? button("Undo…", () => this.send("plan_undo", {run: run.run}),
      {class: "md-button", "aria-label": `Undo… ${named}`, "data-key": `undo:${run.run}`}) : "";
    const cells = [run.time.slice(0, 19).replace("T", " "), run.action, run.by, `${run.applied} of ${run.units}`, String(run.rows), run.left, note];
    return h("tr", {}, ...cells.map(text => h("td", {}, text)), h("td", {}, h("div", {class: "md-verbs"}, show, undo)));
  },

  fillRun({run, units, more, told, plan}, isUndo) {
    if (this.history.hidden || !this.runBox) return;
    const unitPart = unit => h("details", units.length < 4 ? {open: true} : {}, h("summary", {}, code(unit.id), ` ${unit.state}`, unit.why ? `: ${unit.why}` : ""), tables(unit.rows));
    const words = !isUndo ? `This run wrote ${told}.` : plan ? `Taking it back would write ${told}, after a backup; a running bot must reload them.`
      : "There is nothing left to take back.";
    const yes = isUndo && plan ? button(`Undo ${told}`, () => this.send("undo", {run, plan}), {class: "md-button md-primary"}) : "";
    const box = h("div", {class: "md-question", role: "group", tabindex: "-1", "aria-label": isUndo ? "Undo this run?" : "What this run wrote"},
      h("strong", {}, words), h("div", {class: "md-bar"}, yes, button("Close", () => this.keepFocus(() => this.runBox.replaceChildren()), {class: "md-button"})),
      ...units.map(unitPart), more ? `… and ${more.toLocaleString("en")} more units` : "");
    this.runBox.replaceChildren(box);
    box.focus({preventScroll: true});
  },
});
