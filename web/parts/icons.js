// Small pictures that repeat a word beside them; hidden from screen readers for that reason.

import { svg } from "lit";

const icon = (drawing) =>
  svg`<svg part="icon" viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${drawing}</svg>`;

export const ICONS = {
  pass: icon(svg`<circle cx="8" cy="8" r="6.25"/><path d="M5.2 8.2l2 2 3.6-4"/>`),
  warn: icon(svg`<path d="M8 2.2L14.4 13.4H1.6z"/><path d="M8 6.4v3M8 11.4v.1"/>`),
  fail: icon(
    svg`<path d="M5.4 1.75h5.2l3.65 3.65v5.2l-3.65 3.65H5.4L1.75 10.6V5.4z"/><path d="M5.9 5.9l4.2 4.2M10.1 5.9l-4.2 4.2"/>`,
  ),
  unknown: icon(
    svg`<circle cx="8" cy="8" r="6.25" stroke-dasharray="2.4 2.2"/><path d="M6.3 6.3a1.8 1.8 0 1 1 2.4 1.9c-.5.2-.7.5-.7 1M8 11.5v.1"/>`,
  ),
  off: icon(svg`<circle cx="8" cy="8" r="6.25"/><path d="M5 8h6"/>`),
  experiments: icon(svg`<path d="M2 13V9.5M6 13V6M10 13V8M14 13V3"/>`),
  replays: icon(svg`<path d="M3 8a5.2 5.2 0 1 0 1.7-3.9M3 2.5v3h3"/><path d="M8 5.5V8l2 1.2"/>`),
  system: icon(
    svg`<rect x="2" y="2.5" width="12" height="4.5" rx="1"/><rect x="2" y="9" width="12" height="4.5" rx="1"/><path d="M4.8 4.75h.1M4.8 11.25h.1"/>`,
  ),
  access: icon(svg`<circle cx="5.2" cy="10.8" r="3"/><path d="M7.4 8.6L13.5 2.5M11 5l2 2"/>`),
  reference: icon(svg`<path d="M5.5 4L1.8 8l3.7 4M10.5 4l3.7 4-3.7 4"/>`),
  menu: icon(svg`<path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11"/>`),
  close: icon(svg`<path d="M4 4l8 8M12 4l-8 8"/>`),
  search: icon(svg`<circle cx="7" cy="7" r="4.5"/><path d="M10.4 10.4L14 14"/>`),
  more: icon(svg`<path d="M3.5 8h.1M8 8h.1M12.5 8h.1" stroke-width="2.6"/>`),
  up: icon(svg`<path d="M4 10l4-4 4 4"/>`),
  down: icon(svg`<path d="M4 6l4 4 4-4"/>`),
};
