// What goes between Python and the table: to_browser.py says it, from_browser.py reads it. A test compares
// these types with what both really say and read.

/** What would be written, as a diff on a line: a row with its sign, or without one a field's values. */
export type Mark = [sign: string, what: string, before: string, after: string];

/** Of a group's heading: how many it holds, could be approved together, and nobody has decided about. */
export interface Group {
  size: number;
  ready: number;
  undecided: number;
  shown: boolean;
}

export interface Line {
  unit: string;
  status: string;
  vote: string;
  label: string;
  id: string;
  owner: string;
  name: string;
  chat: string;
  cause: string;
  action: string;
  change: string;
  human?: boolean;
  picked?: string;
  again?: string;
  ignored?: string;
  returned?: string;
  barred?: boolean;
  result?: string;
  why?: string;
  finished?: boolean;
  quiet?: boolean;
  who?: string;
  marks?: Mark[];
  group?: Group;
}

/** Lines that have changed where they stand; the numbers are of the list that was asked for by this `number`. */
export interface Lines {
  number: number;
  lines: Line[];
  total: number;
  ready: number;
}

/**
 * Lines of the list from `start` on, and some that are wanted wherever they are, `at` -1 in no place of it. `changed`
 * are those that are others than before; `anew` there may be other units.
 */
export interface Window extends Lines {
  start: number;
  kept: {at: number; line: Line}[];
  changed: string[];
  anew: boolean;
  grouped: boolean;
}

export interface Progress {
  running: boolean;
  done: number;
  total: number;
  word: string;
}

export interface Said {
  message: string;
  failed: boolean;
}

export type Counts = Record<string, number>;

export interface State extends Progress, Said {
  statuses: Counts;
  votes: Counts;
  results: Counts;
  quiet: Counts;
  headline: {words: string; right: number; decided: number; pending: number};
  about: string[];
  besides: string;
  /** What it means that there is nothing in the list. */
  nothing: string;
  apply: string;
  plan: string;
  offline: boolean;
  runs: number;
  /** Whether the last run was taken back; and which it is, if it can be. */
  taken: boolean;
  undo: string;
  /** When both sides were read last. */
  looked: string;
}

export interface FieldDiff {
  name: string;
  before: string;
  after: string;
  changed: boolean;
}

export interface RowDiff {
  key: string;
  verb: string;
  fields: FieldDiff[];
}

export interface Fact {
  code: string;
  what: string;
  cause: string;
  evidence: string;
  events: string[];
}

export interface Moved {
  why: string;
  rows: RowDiff[];
  plan: RowDiff[];
}

export interface Choices {
  owner?: string;
  space_id?: string;
  chat_id?: string;
  overwrite?: boolean;
  lower_counter?: boolean;
}

/** One of the rooms that a conflict is between; all have the same labels. */
export interface Side {
  title: string;
  room_id: string;
  link: string;
  facts: [label: string, text: string][];
}

export interface Offer {
  label: string;
  picked: boolean;
  why: string;
  choices: Choices;
}

export interface Details {
  unit: string;
  line: Line;
  facts: Fact[];
  rows: RowDiff[];
  relies_on: string[];
  rooms: string[];
  space: string;
  sides: Side[];
  more_rooms: string;
  moved: Moved | null;
  offers: Offer[];
  free: boolean;
}

export interface Question {
  status: string;
  text: string;
  units: string;
  rows: string;
  what: string[];
  rest: string;
  others: string[];
  group: string;
  shown: {label: string; marks: Mark[]}[];
  plan: string;
}

/** Units between two lines, each with its change, and how many more there would be. */
export interface Selected {
  units: [unit: string, change: string][];
  more: number;
}

export interface Past {
  run: string;
  time: string;
  action: string;
  by: string;
  units: number;
  applied: number;
  rows: number;
  left: string;
  backup: string;
  undoes: string;
  undone_by: string;
  finished: boolean;
}

export interface PastUnit {
  id: string;
  label: string;
  state: string;
  why: string;
  rows: RowDiff[];
}

export interface Opened {
  run: string;
  units: PastUnit[];
  more: number;
  rows: number;
  plan: string;
  told: string;
}

/**
 * `words` and `accepted` are missing where what was asked for came by itself; `next` is where the next line stands
 * that nobody has decided about, -1 for none, in the list that was asked for by this number.
 */
export interface Answer {
  unit: string;
  about: string;
  next?: {at: number; number: number};
  words?: string;
  accepted?: boolean;
}

/** To the table; `to` names the one view that it is for, "" is all. */
export type Told = {to: string} & (
  | {kind: "window"} & Window
  | {kind: "lines"} & Lines
  | {kind: "again"; but: string[]}
  | {kind: "state"} & (State | Progress | Said)
  | {kind: "answer"} & Answer
  | {kind: "details"} & Details
  | {kind: "question"} & Question
  | {kind: "selected"} & Selected
  | {kind: "history"; runs: Past[]}
  | {kind: "run"} & Opened
  | {kind: "undo"} & Opened
);

export type Verb = "approve" | "reject" | "defer" | "ignore" | "withdraw";

/** From the table, by what is asked for; `view` is added to each. */
export interface Asked {
  ready: {};
  bye: {};
  window: {
    number: number;
    start: number;
    count: number;
    keep: string[];
    status: string;
    vote: string;
    result: string;
    text: string;
    quiet: boolean;
    sort: "" | "status" | "owner" | "chat" | "name" | "cause" | "action" | "vote";
    down: boolean;
    grouped: boolean;
    unfolded: string[];
  };
  next: {unit: string};
  select: {first: string; last: string};
  decide_many: {units: Record<string, string>; vote: Verb; reason?: string; until?: string};
  details: {unit: string};
  decide: {unit: string; vote: Verb; change: string; reason?: string; until?: string};
  pick: {unit: string; choices: Choices | null};
  count: {status: string; text: string; group?: string};
  approve_all: {plan: string; status: string; text: string; group?: string};
  apply: {plan: string};
  look_again: {};
  cancel: {};
  history: {};
  open_run: {run: string};
  plan_undo: {run: string};
  undo: {run: string; plan: string};
}

/** What things are called for this bot: heads of two columns, "" for one that isn't there; what is searched for, an id
 * and the parts of one, and what one looks like. */
export interface Words {
  owner: string;
  chat: string;
  search: string;
  id: string;
  parts: string[];
  example: string;
}

/** The part of anywidget's model that is used. */
export interface Model {
  get(name: "until"): string;
  get(name: "words"): Words;
  on(event: "msg:custom", heard: (told: Told) => void): void;
  off(event: "msg:custom", heard: (told: Told) => void): void;
  send(content: {do: keyof Asked; view: string}): void;
}
