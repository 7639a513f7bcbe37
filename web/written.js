// How values are written in the form: what is read of the API's answer, and the JSON that is made of it.

import { EXISTENCE } from "./vocabulary.js";

export const empty = (value) => value === null || value === undefined || value === "";

/** Values with commas between them; in quotes where commas, quotes or blanks are a part of one. */
const join = (values) =>
  values.map((value) => (/[",]|^\s|\s$|^$/.test(value) ? JSON.stringify(value) : value)).join(", ");
const split = (text) =>
  (text.match(/\s*"(?:[^"\\]|\\.)*"\s*(?=,|$)|[^,]+/g) ?? [])
    .map((each) => each.trim())
    .filter(Boolean)
    .map(unquoted);
function unquoted(text) {
  try {
    return text.startsWith('"') ? JSON.parse(text) : text;
  } catch {
    return text; // a quote that is a part of it
  }
}

export const AS_LINES = {
  write: (text) =>
    text
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean),
};
export const AS_LIST = {
  read: (values) => join(values ?? []),
  write: (text) => (split(text).length ? split(text) : null),
};

/** What a condition is called beside the others of its attribute. */
const called = (operator) => (Object.values(EXISTENCE).includes(operator) ? "exists" : operator);

/** Conditions by attribute and operator, as one row each. */
export const AS_CONDITIONS = {
  read: (targeting) =>
    Object.entries(targeting ?? {}).flatMap(([attribute, conditions]) =>
      Object.entries(conditions).map(([operator, value]) => ({
        attribute,
        operator: operator === "exists" ? EXISTENCE[value] : operator,
        value: operator === "exists" ? "" : Array.isArray(value) ? join(value) : String(value),
      })),
    ),
  write(rows) {
    const found = {};
    for (const { attribute, operator, value } of rows) {
      const conditions = (found[attribute.trim()] ??= {});
      if (called(operator) === "exists") conditions.exists = operator === EXISTENCE.true;
      else if (operator === "in" || operator === "not_in") conditions[operator] = split(value);
      else conditions[operator] = empty(value.trim()) || Number.isNaN(Number(value)) ? value : Number(value);
    }
    return found;
  },
  /** What there is no JSON for: an attribute has each condition once. */
  wrong(rows) {
    const named = rows.map(({ attribute, operator }) => attribute.trim() && `${called(operator)} ${attribute.trim()}`);
    return named.flatMap((name, place) => {
      const first = named.indexOf(name);
      return name && first < place ? [`row ${place + 1} repeats the condition of row ${first + 1}: write one row`] : [];
    });
  },
};

/** Objects as they are, without what is empty. */
export const AS_ROWS = {
  read: (rows) => rows ?? [],
  write: (rows) => rows.map((row) => Object.fromEntries(Object.entries(row).filter(([, value]) => !empty(value)))),
};
