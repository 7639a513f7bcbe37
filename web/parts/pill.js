// <pa-pill word="rolled_back">: a state, verdict or role in a word; the colour repeats the word.

import { LitElement, css, html, nothing } from "lit";
import { words } from "../format.js";
import { ICONS } from "./icons.js";

const TONES = {
  running: "accent",
  shipped: "good",
  rolled_back: "bad",
  pass: "good",
  warn: "warn",
  fail: "bad",
  unknown: "warn",
  ship: "good",
  kill: "bad",
  iterate: "accent",
  invalid: "warn",
  continue: "quiet",
};

class Pill extends LitElement {
  static properties = { word: {} };

  static styles = css`
    :host {
      display: inline-flex;
    }
    span {
      display: inline-flex;
      align-items: center;
      gap: 4px;
      padding: 0 10px;
      font-size: 12px;
      font-weight: 600;
      line-height: 22px;
      color: var(--quiet);
      background: var(--sunken);
      border-radius: 11px;
      white-space: nowrap;
    }
    .accent {
      color: var(--accent);
    }
    .good {
      color: var(--good);
      background: var(--good-back);
    }
    .warn {
      color: var(--warn);
      background: var(--warn-back);
    }
    .bad {
      color: var(--bad);
      background: var(--bad-back);
    }
    svg {
      width: 12px;
      height: 12px;
      margin-left: -3px;
    }
  `;

  render() {
    const icon = ["pass", "warn", "fail", "unknown", "off"].includes(this.word) ? ICONS[this.word] : nothing;
    return html`<span class=${TONES[this.word] ?? "quiet"}>${icon}${words(this.word ?? "")}</span>`;
  }
}

customElements.define("pa-pill", Pill);
