// The lines that are on this side: a window of the list, which Python keeps, filters and sorts, and those that
// are held on to wherever they stand in it.

/** @import {Line, Lines, Window} from "./messages.js" */

export class List {
  start = 0;
  /** @type {Line[]} */
  lines = [];
  total = 0;
  ready = 0;
  number = 0; // of what was asked last
  since = 0; // of what first asked for this list, filtered and sorted as it is
  wanted = ""; // how it is
  /** @type {string[]} */
  asked = []; // units that were held on to then
  isAsking = true;
  isLate = false; // something else is wanted by now than what was asked for
  isStale = true; // nothing has come yet of what is looked for
  /** @type {Map<string, Line>} */
  known = new Map();
  /** @type {Map<string, number>} */
  places = new Map();
  /** @type {Map<number, Line>} */
  kept = new Map();

  /** Of what was shown nothing is looked for. */
  forget() {
    this.isStale = true;
    this.lines = [];
    this.start = this.total = this.ready = 0;
    this.places.clear();
    this.kept.clear();
  }

  /** @param {string} wanted */
  lookFor(wanted) {
    if (wanted !== this.wanted) this.since = this.number;
    this.wanted = wanted;
  }

  /** @param {number | undefined} index */
  at(index) {
    return index === undefined ? undefined : this.lines[index - this.start] ?? this.kept.get(index);
  }

  /**
   * @param {string | undefined} unit
   * @returns {Line | undefined}
   */
  line(unit) {
    return unit === undefined ? undefined : this.known.get(unit);
  }

  /** @param {string | null | undefined} unit */
  place(unit) {
    return unit == null ? undefined : this.places.get(unit);
  }

  /**
   * Whether all of these are here.
   *
   * @param {number} first
   * @param {number} last
   */
  holds(first, last) {
    return first > last || (first >= this.start && last < this.start + this.lines.length);
  }

  /**
   * What has come to be held on to since it was asked for stays where it was, until the next answer: whether it
   * did is returned.
   *
   * @param {Window} told
   * @param {string[]} held
   */
  take({start, total, ready, lines, kept, anew}, held) {
    const isTold = new Set([...this.asked, ...lines.map(line => line.unit), ...kept.map(({line}) => line.unit)]);
    for (const unit of anew ? [] : held) {
      const line = this.known.get(unit), at = this.places.get(unit) ?? -1;
      if (line && !isTold.has(unit)) kept = [...kept, {at, line}];
    }
    const isLate = kept.some(({line}) => !isTold.has(line.unit));
    Object.assign(this, {start, total, ready, lines, isStale: false});
    const placed = kept.filter(({at}) => at >= 0);
    this.kept = new Map(placed.map(({at, line}) => [at, line]));
    this.places = new Map([...placed.map(({at, line}) => /** @type {const} */ ([line.unit, at])),
      ...lines.map((line, at) => /** @type {const} */ ([line.unit, start + at]))]);
    this.known = new Map([...kept.map(({line}) => line), ...lines].map(line => [line.unit, line]));
    return isLate;
  }

  /** @param {Lines} told */
  update({lines, number, total, ready}) {
    if (number === this.number && !this.isStale) Object.assign(this, {total, ready});
    for (const line of lines) {
      if (!this.known.has(line.unit)) continue;
      this.known.set(line.unit, line);
      const at = this.places.get(line.unit);
      if (at === undefined) continue;
      if (this.kept.has(at)) this.kept.set(at, line);
      if (this.lines[at - this.start]) this.lines[at - this.start] = line;
    }
  }
}
