// What stands above and below the list: counts that filter, Apply, progress and the message.
// Joined to table.js, whose helpers and class it uses.

Object.assign(Board.prototype, {
  fill() {
    const {state} = this;
    this.fillAbout();
    this.fillChips();
    const {"in sync": right = 0, skipped = 0} = state.quiet;
    setText(this.switchWords, `show ${right.toLocaleString("en")} in sync and ${skipped.toLocaleString("en")} skipped`);
    setText(this.applyButton, state.apply ? `Apply ${state.apply}` : "Apply: nothing approved");
    this.applyButton.classList.toggle("md-primary", Boolean(state.apply) && !state.running);
    enable(this.applyButton, state.apply && !state.running);
    enable(this.cancel, state.running);
    this.bar.hidden = !state.running;
    this.bar.max = state.total || 1;
    this.bar.value = state.done || 0;
    const note = state.offline ? "A snapshot: apply where the database is, with the decisions' file."
      : "After a backup. A running bot must reload the rows or restart.";
    setText(this.far, state.running ? `${state.done} of ${state.total} ${state.word}` : state.apply ? note : state.besides ?? "");
    this.say(state.message, state.failed);
    this.fillAll();
  },

  // Of a shadow run: whose it was, what was refused, and how it ended.
  fillAbout() {
    const {about} = this.state;
    this.about.hidden = !about?.length;
    // Each unit wants a yes of its own, and nothing was compared that could be in sync.
    this.all.hidden = this.switchWords.parentNode.hidden = !this.about.hidden;
    if (about && this.about.childElementCount !== about.length) {
      this.about.replaceChildren(...about.map((line, at) => h(at ? "div" : "strong", {}, line)));
    }
  },

  fillChips() {
    const {state, filter} = this;
    const statuses = {...state.statuses, ...(this.switch.checked ? state.quiet : {})};
    const clear = {status: "", vote: "", result: "", text: ""};
    const isAll = !filter.status && !filter.vote && !filter.result && !filter.text;
    const total = Object.values(state.statuses).reduce((sum, count) => sum + count, 0);
    const chips = [["all", total, clear, isAll, ""]];
    const group = (name, counts, keep) => Object.entries(counts).forEach(([word, count]) => {
      const on = filter[name] === word;
      if (count || on || keep) chips.push([word, count, {[name]: on ? "" : word}, on, name]);
    });
    group("status", statuses, true);
    group("vote", state.votes);
    group("result", state.results);
    this.reuse(this.counts, chips.map(([word, count, change, on, name]) => ({
      key: `${name}:${word}`, on: String(on), count: count.toLocaleString("en"), word: name === "result" ? `last run: ${word}` : word,
      name, what: word.replace(" ", "-"), change})));
  },

  // Chips are kept while they count: the focus may be on one.
  reuse(bar, chips) {
    const old = new Map([...bar.children].map(node => [node.dataset.key, node]));
    const nodes = chips.map(chip => {
      const node = old.get(chip.key) ?? button("", () => this.keepFocus(() => this.pressChip(node)), {"data-key": chip.key,
        class: `md-chip md-${chip.what} md-of-${chip.name}`});
      node.change = chip.change;
      node.setAttribute("aria-pressed", chip.on);
      setText(node, `${chip.word} ${chip.count}`);
      return node;
    });
    if (nodes.length !== old.size || nodes.some((node, at) => bar.children[at] !== node)) bar.replaceChildren(...nodes);
  },

  pressChip(chip) {
    if ("text" in chip.change) this.search.value = "";
    this.refilter(chip.change);
  },

  fillAll() {
    const {filter} = this;
    const count = !filter.result && ["", "pending"].includes(filter.vote)
      ? this.shown.filter(line => line.vote === "pending" && line.change && !line.human && !line.picked).length : 0;
    setText(this.all, count ? `Approve all ${count.toLocaleString("en")} of these…` : "None to approve together");
    enable(this.all, count);
    this.empty.hidden = this.shown.length > 0 || !this.history.hidden;
    this.grid.classList.toggle("md-none", !this.shown.length);
    setText(this.empty, this.lines.some(line => !line.finished) ? "Nothing matches this filter." : this.state.about?.length ? "Nothing is left of it to decide." : "Nothing to decide: everything is in sync.");
  },
});
