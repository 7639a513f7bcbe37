// <pa-replays>: reports of what policies earned, or would have earned, on data that was already there.

import { LitElement, css, html, nothing } from "lit";
import { address } from "../api.js";
import { Feed } from "../feed.js";
import { plural } from "../format.js";
import { base, tables } from "../styles.js";
import { panelStyles, skeleton, trouble } from "../parts/panel.js";
import "../parts/moment.js";
import "../parts/policy.js";

const REPLAYS = "/api/replays";
const EVERY_MS = 30_000;
const STEPS = [
  [
    "What would another policy have earned?",
    "From a log with exact propensities, such as this platform's own, with intervals; where the log cannot tell, with the reasons.",
    "pullarm export front-page --format parquet --out front-page.parquet\npullarm replay load --log front-page.parquet --out data/front-page\npullarm replay evaluate data/front-page --policy thompson --posterior posterior.json",
  ],
  [
    "How do policies do where the truth is known?",
    "Each is run many times over ratings, learns as it would in serving, and is compared with the best there could be. Its report is listed here.",
    "pullarm replay load --movielens PATH/ml-1m --out data/ml-1m\npullarm replay run data/ml-1m --out .pullarm/replays/truth\npullarm replay report .pullarm/replays/truth",
  ],
];

class Replays extends LitElement {
  static styles = [
    base,
    tables,
    panelStyles,
    css`
      .all {
        display: grid;
        gap: 16px;
        margin-top: 16px;
      }
      td .policies {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 12px;
      }
      td a {
        font-weight: 600;
      }
    `,
  ];

  constructor() {
    super();
    this.replays = new Feed(this, () => REPLAYS, { every: EVERY_MS });
  }

  connectedCallback() {
    super.connectedCallback();
    document.title = "Replays · Pullarm";
  }

  render() {
    const { data, error } = this.replays.state;
    return html`<h1>Replays</h1>
      <div class="all">
        <section aria-label="Reports">
          ${error ? trouble(error, { kept: data !== null }) : nothing}
          ${data
            ? data.replays.length
              ? this.#table(data.replays)
              : html`<p class="empty">
                  There is no report yet. What lies in the folder <code>PULLARM_REPLAYS</code>,
                  <code>.pullarm/replays</code> unless told otherwise, is listed here.
                </p>`
            : error
              ? nothing
              : skeleton(3)}
        </section>
        ${STEPS.map(
          ([heading, text, command]) =>
            html`<section aria-label=${heading}>
              <h2>${heading}</h2>
              <p>${text}</p>
              <pre tabindex="0">${command}</pre>
            </section>`,
        )}
      </div>`;
  }

  #table(replays) {
    return html`<div class="scroll" tabindex="0" role="group" aria-label="Reports, scrollable">
      <table>
        <thead>
          <tr>
            <th scope="col">Report</th>
            <th scope="col">Way</th>
            <th scope="col">Policies</th>
            <th scope="col" class="number">Runs</th>
            <th scope="col">Made</th>
          </tr>
        </thead>
        <tbody>
          ${replays.map(
            (each) =>
              html`<tr>
                <td>
                  <a href=${address(`${REPLAYS}/${encodeURIComponent(each.id)}`)} target="_blank" rel="noopener"
                    >${each.title}<span class="hidden-text"> (in a new window)</span></a
                  >
                  <div class="quiet small">${each.id}</div>
                </td>
                <td>${each.way}</td>
                <td>
                  <span class="policies"
                    >${each.policies.map((name) => html`<pa-policy name=${name}></pa-policy>`)}</span
                  >
                </td>
                <td class="number">${plural(each.runs, "run")}</td>
                <td><pa-moment at=${each.made_at}></pa-moment></td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }
}

customElements.define("pa-replays", Replays);
