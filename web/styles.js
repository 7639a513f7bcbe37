// What every component's shadow root starts from: text, links, buttons, fields, tables.

import { css } from "lit";

export const base = css`
  :host {
    display: block;
  }
  [hidden] {
    display: none !important;
  }
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  h1,
  h2,
  h3,
  p {
    margin: 0;
  }
  h1 {
    font-size: 22px;
    line-height: 1.3;
    font-weight: 650;
    overflow-wrap: anywhere;
  }
  h2 {
    font-size: 15px;
    line-height: 1.4;
    font-weight: 650;
  }
  h3 {
    font-size: 13px;
    line-height: 1.5;
    font-weight: 650;
  }
  a {
    color: var(--accent);
    text-underline-offset: 2px;
  }
  code,
  pre {
    font:
      12.5px/1.6 ui-monospace,
      "SF Mono",
      Menlo,
      Consolas,
      monospace;
  }
  pre {
    margin: 8px 0;
    padding: 12px 16px;
    background: var(--sunken);
    border-radius: 6px;
    white-space: pre-wrap;
    overflow-wrap: anywhere;
  }
  .quiet {
    color: var(--quiet);
  }
  .small {
    font-size: 12.5px;
  }
  .number {
    text-align: right;
    white-space: nowrap;
  }
  .nowrap {
    white-space: nowrap;
  }
  .hidden-text {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
    border-radius: 3px;
  }
`;

export const controls = css`
  button,
  select,
  input:not([type="checkbox"]),
  textarea,
  .button {
    font: inherit;
    color: inherit;
    background: var(--panel);
    border: 1px solid var(--line-strong);
    border-radius: 6px;
    min-height: 32px;
    padding: 4px 12px;
  }
  input:not([type="checkbox"]),
  select,
  textarea {
    padding: 4px 8px;
  }
  input[type="checkbox"] {
    width: 16px;
    height: 16px;
    margin: 0;
    accent-color: var(--accent);
  }
  button {
    cursor: pointer;
    white-space: nowrap;
    border-color: var(--line);
  }
  button:hover:not(:disabled) {
    background: var(--sunken);
  }
  button:disabled {
    color: var(--quiet);
    cursor: default;
  }
  .button {
    display: inline-flex;
    align-items: center;
    text-decoration: none;
  }
  button.primary,
  .button {
    color: var(--accent-text);
    background: var(--accent);
    border-color: var(--accent);
    font-weight: 600;
  }
  button.primary:hover:not(:disabled) {
    background: var(--accent);
    filter: brightness(1.1);
  }
  button.danger {
    color: var(--bad);
    border-color: currentColor;
  }
  button.danger.primary {
    color: var(--panel);
    background: var(--bad);
    border-color: var(--bad);
  }
  button.plain {
    border: 0;
    background: none;
    padding: 4px 8px;
    color: var(--accent);
  }
  button.plain:hover {
    text-decoration: underline;
    background: none;
  }
  .choice {
    display: inline-flex;
    border: 1px solid var(--line);
    border-radius: 6px;
    overflow: hidden;
  }
  .choice button {
    border: 0;
    border-radius: 0;
    min-height: 28px;
    padding: 2px 10px;
    font-size: 12.5px;
    color: var(--quiet);
  }
  .choice button[aria-pressed="true"] {
    color: var(--text);
    background: var(--sunken);
    font-weight: 600;
  }
  .choice button:focus-visible {
    outline-offset: -2px;
  }
  .row {
    display: flex;
    flex-wrap: wrap;
    gap: 8px;
    align-items: center;
  }
  .tools {
    display: flex;
    flex-wrap: wrap;
    gap: 8px 16px;
    align-items: center;
    margin-bottom: 8px;
  }
`;

export const tables = css`
  .scroll {
    position: relative;
    overflow-x: auto;
  }
  table {
    width: 100%;
    border-collapse: collapse;
    font-variant-numeric: tabular-nums;
  }
  th,
  td {
    padding: 8px 12px;
    text-align: left;
    font-weight: normal;
    border-bottom: 1px solid var(--line);
    vertical-align: middle;
  }
  th:first-child,
  td:first-child {
    padding-left: 0;
  }
  th:last-child,
  td:last-child {
    padding-right: 0;
  }
  tbody tr:last-child > * {
    border-bottom: 0;
  }
  thead th {
    font-size: 12px;
    line-height: 1.4;
    color: var(--quiet);
    vertical-align: bottom;
  }
  th.number,
  td.number {
    text-align: right;
    white-space: nowrap;
  }
`;

/** Whatever has a policy's name for its class has its colour as --hue. */
export const hues = css`
  .thompson {
    --hue: var(--thompson);
  }
  .egreedy {
    --hue: var(--egreedy);
  }
  .ucb {
    --hue: var(--ucb);
  }
  .control {
    --hue: var(--control);
  }
`;
