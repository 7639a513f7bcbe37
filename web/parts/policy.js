// <pa-policy name="thompson">: a policy's name behind its mark, in the colour and shape it has everywhere.

import { LitElement, css, svg, html, nothing } from "lit";
import { hues } from "../styles.js";

const SHAPES = {
  thompson: svg`<circle cx="5" cy="5" r="4.5"/>`,
  egreedy: svg`<rect x="1" y="1" width="8" height="8"/>`,
  ucb: svg`<path d="M5 .6L9.8 9H.2z"/>`,
  control: svg`<path d="M5 0l5 5-5 5-5-5z"/>`,
};

class PolicyName extends LitElement {
  static properties = { name: {}, bare: { type: Boolean } };

  static styles = [
    hues,
    css`
      :host {
        display: inline-flex;
        align-items: center;
        gap: 8px;
        white-space: nowrap;
      }
      svg {
        flex: none;
        fill: var(--hue, var(--none));
      }
    `,
  ];

  render() {
    return html`<svg class=${this.name} viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
        ${SHAPES[this.name] ?? svg`<circle cx="5" cy="5" r="4"/>`}</svg
      >${this.bare ? nothing : this.name}`;
  }
}

customElements.define("pa-policy", PolicyName);
