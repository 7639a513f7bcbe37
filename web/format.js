// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en");
const moment = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

export const count = (number) => whole.format(number);
export const percent = (share, digits = 1) => `${(share * 100).toFixed(digits)} %`;
export const days = (number) => `${number.toFixed(number < 10 ? 1 : 0)}`;
export const time = (text) => (text ? moment.format(new Date(text)) : "–");
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
export const stateName = (state) => state.replaceAll("_", " ");
