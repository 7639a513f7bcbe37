// The values of the form, of what the API answers, and the JSON that is made of them.

import { PARTS } from "./fields.js";
import { AS_LIST, AS_ROWS, empty } from "./written.js";

const FIELDS = PARTS.flatMap((part) => part.fields);
const at = (object, path) => path.split(".").reduce((found, name) => found?.[name], object);

/** The form's values of an experiment as the API answers it, and of those who are given something, by path. */
export function valuesOf(experiment, forced = []) {
  const answered = { ...experiment, forced, arms: "" };
  const found = FIELDS.map(({ path, read = (value) => value ?? null }) => [path, read(at(answered, path))]);
  const policies = experiment.policies.map(({ name, weight, params }) => ({ name, weight, params }));
  return { ...Object.fromEntries(found), policies, default_policy: experiment.default_policy };
}

/** What is taken whole or not at all: a change of one of its fields has to name the others. */
const WHOLE = {
  cohorts(values) {
    const [attribute, listed, most] = ["attribute", "values", "max_values"].map((name) => values[`cohorts.${name}`]);
    if (empty(attribute?.trim())) return { cohorts: null };
    const told = AS_LIST.write(listed);
    return {
      cohorts: { attribute: attribute.trim(), ...(told ? { values: told } : empty(most) ? {} : { max_values: most }) },
    };
  },
  group: ({ group, group_share }) => ({ group, group_share }),
};

/** What was written and cannot be sent, told as the server tells what is wrong. */
class Unsendable extends Error {
  constructor(problems) {
    super("what was written cannot be sent");
    this.problems = problems;
  }
}

/** What has to be sent so that an experiment with the values `before` gets the values `after`; throws Unsendable. */
export function bodyOf(before, after) {
  const wrong = FIELDS.flatMap(({ path: field, wrong: told }) =>
    (told?.(after[field]) ?? []).map((detail) => ({ field, detail })),
  );
  if (wrong.length) throw new Unsendable(wrong);
  const body = {};
  for (const path of changed(before, after)) {
    const field = FIELDS.find((each) => each.path === path);
    if (field?.apart) continue;
    const names = path.split(".");
    const whole = WHOLE[names[0]];
    if (whole) {
      Object.assign(body, whole(after));
      continue;
    }
    const last = names.pop();
    const inside = names.reduce((found, name) => (found[name] ??= {}), body);
    inside[last] = field?.write ? field.write(after[path]) : after[path];
  }
  return body;
}

/** Everybody who is to be given something; null where they are as before. */
export const forcedOf = (before, after) =>
  changed(before, after).includes("forced") ? AS_ROWS.write(after.forced) : null;

const changed = (before, after) =>
  Object.keys(after).filter((path) => JSON.stringify(after[path]) !== JSON.stringify(before[path]));

/** Whether a problem with a field of the JSON is one with this field of the form. */
export const concerns = (problem, path) =>
  problem === path ||
  path.startsWith(`${problem}.`) ||
  problem.startsWith(`${path}.`) ||
  problem.startsWith(`${path}[`);

/** What a problem is called within a field that has rows: "row 2 threshold"; empty where it is about the field itself. */
export const within = (problem, path) =>
  problem
    .slice(path.length)
    .replace(/^\[(\d+)\]/, (_, place) => `row ${Number(place) + 1} `)
    .replaceAll(".", " ")
    .trim();
