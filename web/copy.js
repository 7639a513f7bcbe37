// Rows of a table as CSV, on the clipboard.

const quoted = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** Rows of values as RFC 4180 has them. */
export const csv = (rows) => rows.map((row) => row.map(quoted).join(",")).join("\r\n");

/** Put rows on the clipboard. */
export const copy = (rows) => navigator.clipboard.writeText(csv(rows));
