// The base of everything on a page that shows data of its own: heading, skeleton, empty, error, and the data.

import { LitElement, css, html, nothing } from "lit";
import { base, controls, tables } from "../styles.js";
import { ICONS } from "./icons.js";

/** What went wrong, what still works, and what happens next. */
export function trouble(error, { kept = false } = {}) {
  if (error.status === 403)
    return html`<p class="trouble" role="status">${ICONS.off} Your token may not see this: ${error.message}.</p>`;
  const next = [0, 429, 500, 502, 503, 504].includes(error.status)
    ? " It is tried again by itself; serving is not affected by this page."
    : "";
  return html`<p class="trouble" role="status">
    ${ICONS.warn}
    <span>${kept ? "These figures are not the newest. " : ""}${error.message}${next}</span>
  </p>`;
}

/** The grey shape of what is to come. */
export const skeleton = (lines = 4) =>
  html`<div class="skeleton" aria-busy="true">
    ${Array.from({ length: lines }, () => html`<i></i>`)}<span class="hidden-text">Loading</span>
  </div>`;

export const panelStyles = css`
  section {
    background: var(--panel);
    border: 1px solid var(--line);
    border-radius: 10px;
    padding: 16px 20px;
    height: 100%;
  }
  header {
    display: flex;
    flex-wrap: wrap;
    gap: 4px 16px;
    align-items: center;
    min-height: 32px;
    margin-bottom: 8px;
  }
  header .aside {
    margin-left: auto;
  }
  .note {
    font-size: 12.5px;
    color: var(--quiet);
    margin-top: 8px;
  }
  .empty {
    padding: 16px 0;
    color: var(--quiet);
  }
  .trouble {
    display: flex;
    gap: 8px;
    align-items: flex-start;
    padding: 8px 12px;
    margin-bottom: 8px;
    color: var(--warn);
    background: var(--warn-back);
    border-radius: 6px;
  }
  .trouble svg {
    flex: none;
    margin-top: 3px;
  }
  .stale {
    opacity: 0.55;
  }
  .skeleton i {
    display: block;
    height: 20px;
    margin: 14px 0;
    background: var(--sunken);
    border-radius: 4px;
  }
  .skeleton i:first-child {
    width: 60%;
  }
`;

/** A panel shows `state` of a feed. What extends it says `heading`, `body(data)`, and perhaps `aside`, `empty`, `note`. */
export class Panel extends LitElement {
  static properties = { state: { attribute: false } };
  static styles = [base, controls, tables, panelStyles];

  constructor() {
    super();
    this.state = { data: null, error: null, stale: false };
  }

  /** Beside the heading. */
  aside() {
    return nothing;
  }

  /** What will be here and how to make it happen, where there is nothing to show; null where there is. */
  empty() {
    return null;
  }

  /** What the figures rest on. */
  note() {
    return nothing;
  }

  loading() {
    return skeleton();
  }

  render() {
    const { data, error, stale } = this.state;
    const empty = data && this.empty(data);
    const note = data && !empty ? this.note(data) : nothing;
    return html`<section aria-labelledby="heading" aria-busy=${data || error ? "false" : "true"}>
      <header>
        <h2 id="heading">${this.heading}</h2>
        ${data && !empty ? html`<div class="aside row">${this.aside(data)}</div>` : nothing}
      </header>
      ${error ? trouble(error, { kept: data !== null }) : nothing}
      ${data
        ? empty
          ? html`<div class="empty">${empty}</div>`
          : html`<div class=${stale ? "stale" : ""}>${this.body(data)}</div>`
        : error
          ? nothing
          : this.loading()}
      ${note === nothing ? nothing : html`<p class="note">${note}</p>`}
    </section>`;
  }
}
