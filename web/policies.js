// The policies as they look everywhere: a colour, and a shape that says the same without it.

export const POLICIES = ["thompson", "egreedy", "ucb", "control"];

/** Marks of charts. */
export const SYMBOLS = {
  thompson: "circle",
  egreedy: "rect",
  ucb: "triangle",
  control: "diamond",
  none: "circle",
};

/** The names in their order, whatever order an answer has them in. */
export function ordered(names) {
  const place = (name) => (POLICIES.includes(name) ? POLICIES.indexOf(name) : POLICIES.length);
  return [...names].sort((one, other) => place(one) - place(other) || one.localeCompare(other));
}

/** The policies of an answer that has them by name, as pairs in their order. */
export const entries = (byName) => ordered(Object.keys(byName)).map((name) => [name, byName[name]]);
