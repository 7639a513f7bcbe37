// <pa-system>: the platform: what answers, its processes, what serving stored, what of it has come, and up to when all has.

import { LitElement, css, html, nothing } from "lit";
import { Feed } from "../feed.js";
import { bytes, capital, count, duration, plural } from "../format.js";
import { base, controls, tables } from "../styles.js";
import { ICONS } from "../parts/icons.js";
import { panelStyles, skeleton, trouble } from "../parts/panel.js";
import "../parts/moment.js";

const EVERY_MS = 5_000;
const LATE_S = 120;
const NAMES = { postgresql: "PostgreSQL" };
const MARKS = { ready: "pass", degraded: "warn" };
const IS_AWAY = "PostgreSQL does not answer, so nobody knows";

class System extends LitElement {
  static properties = { who: { attribute: false } };

  static styles = [
    base,
    controls,
    tables,
    panelStyles,
    css`
      h1 {
        margin-bottom: 16px;
      }
      .grid {
        display: grid;
        gap: 16px;
        grid-template-columns: repeat(auto-fit, minmax(280px, 1fr));
      }
      .big {
        font-size: 24px;
        font-weight: 650;
        font-variant-numeric: tabular-nums;
        line-height: 1.3;
      }
      .state span {
        display: inline-flex;
      }
      .state {
        display: flex;
        gap: 8px;
        align-items: center;
        padding: 4px 0;
      }
      .pass {
        color: var(--good);
      }
      .warn {
        color: var(--warn);
      }
      .fail {
        color: var(--bad);
      }
      .whole {
        margin-top: 16px;
      }
    `,
  ];

  constructor() {
    super();
    this.system = new Feed(this, () => "/api/system", { every: EVERY_MS });
    this.ready = new Feed(this, () => "/readyz", { every: EVERY_MS });
  }

  connectedCallback() {
    super.connectedCallback();
    document.title = "System · Pullarm";
  }

  render() {
    const { data, error } = this.system.state;
    return html`<h1>System</h1>
      ${error ? trouble(error, { kept: data !== null }) : nothing}
      <div class="grid">
        ${this.#parts()}${data ? this.#events(data.events) : skeleton(4)}${data
          ? html`${this.#stream(data.stream)}${this.#watermark(data.watermark)}`
          : nothing}
      </div>
      ${data ? this.#processes(data.instances) : nothing} ${data?.events ? this.#missing(data.events) : nothing}`;
  }

  #state(mark, text) {
    return html`<div class="state"><span class=${mark}>${ICONS[mark]}</span>${text}</div>`;
  }

  #parts() {
    const { data, error } = this.ready.state;
    const checks = Object.entries(data?.checks ?? {});
    return html`<section aria-labelledby="parts">
      <h2 id="parts">What the control plane reaches</h2>
      ${error
        ? this.#state("fail", capital(error.message))
        : checks.map(([name, told]) =>
            this.#state(
              told === "ok" ? "pass" : "fail",
              html`${NAMES[name] ?? capital(name)}${told === "ok" ? "" : `: ${told}`}`,
            ),
          )}
    </section>`;
  }

  #processes(instances) {
    return html`<section class="whole" aria-labelledby="processes">
      <h2 id="processes">Processes</h2>
      ${instances === null
        ? this.#state("warn", "Redis does not answer, so nobody knows which live")
        : instances.length
          ? html`<div class="scroll" tabindex="0" role="group" aria-label="Processes, scrollable">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Process</th>
                    <th scope="col">State</th>
                    <th scope="col">Machine</th>
                    <th scope="col">Listens on</th>
                    <th scope="col">Since</th>
                    <th scope="col" class="number">Snapshot's age</th>
                    <th scope="col">Version</th>
                  </tr>
                </thead>
                <tbody>
                  ${instances.map((each) => this.#process(each))}
                </tbody>
              </table>
            </div>`
          : html`<p class="empty">No process has said yet that it lives; each does every five seconds.</p>`}
    </section>`;
  }

  #process({ part, name, host, pid, version, address, since, status, reasons, snapshot_age_s: age, silent_s: silent }) {
    const told = status === "silent" ? `not heard of for ${duration(silent)}` : [status, ...reasons].join("; ");
    return html`<tr>
      <th scope="row">${name}${name.startsWith(part) ? nothing : html` <span class="quiet">${part}</span>`}</th>
      <td>${this.#state(MARKS[status] ?? "fail", told)}</td>
      <td>${host}, pid ${pid}</td>
      <td>${address || "–"}</td>
      <td><pa-moment at=${since}></pa-moment></td>
      <td class="number">${age === null ? "–" : duration(age)}</td>
      <td>${version}</td>
    </tr>`;
  }

  #events(told) {
    if (!told) return this.#unknown("events", "Events of serving");
    const { numbered, missing, lost } = told;
    return html`<section aria-labelledby="events">
      <h2 id="events">Events of serving</h2>
      <div class="big">${count(numbered)}</div>
      <p class="quiet small">numbered by the serving processes that are known</p>
      ${this.#state(
        missing ? "warn" : "pass",
        missing
          ? `${plural(missing, "event has", "events have")} not come: on their way, in a spool, or lost`
          : "all have come to the ledger",
      )}
      ${this.#state(
        lost ? "fail" : "pass",
        lost ? `${plural(lost, "event is", "events are")} lost and not waited for any more` : "none is lost",
      )}
    </section>`;
  }

  /** Redis' queue between serving and workers. */
  #stream(stream) {
    const late = !stream || stream.oldest_s > LATE_S;
    return html`<section aria-labelledby="stream">
      <h2 id="stream">Waiting to be folded</h2>
      <div class="big">
        ${!stream ? "nobody knows" : stream.entries ? plural(stream.entries, "entry", "entries") : "nothing"}
      </div>
      <p class="quiet small">
        ${stream
          ? `in the event stream, which takes ${bytes(stream.used_bytes)} of Redis' memory`
          : "Redis does not answer; serving keeps its events in its spool."}
      </p>
      ${stream
        ? this.#state(
            late ? "warn" : "pass",
            stream.entries
              ? `the oldest has waited for ${duration(stream.oldest_s)}${late ? ": does a worker run?" : ""}`
              : "workers have folded all that came",
          )
        : nothing}
    </section>`;
  }

  #unknown(id, heading) {
    return html`<section aria-labelledby=${id}>
      <h2 id=${id}>${heading}</h2>
      ${this.#state("fail", IS_AWAY)}
    </section>`;
  }

  #watermark(told) {
    if (!told) return this.#unknown("watermark", "All events have come up to");
    const { at, age_s: age, process } = told;
    const late = age === null || age > LATE_S;
    return html`<section aria-labelledby="watermark">
      <h2 id="watermark">All events have come up to</h2>
      <div class="big">${at ? html`<pa-moment at=${at}></pa-moment>` : "nobody knows"}</div>
      <p class="quiet small">
        ${age === null
          ? "No serving process has said so yet."
          : `${duration(age)} ago; some twenty seconds where all is well`}
      </p>
      ${this.#state(
        late ? "warn" : "pass",
        late && process
          ? html`held back most by ${process}`
          : late
            ? "it is behind: verdicts wait for it"
            : "verdicts can be made of what has come",
      )}
    </section>`;
  }

  #missing({ missing_by_process: found }) {
    const processes = Object.entries(found);
    if (!processes.length) return nothing;
    return html`<section class="whole" aria-labelledby="missing">
      <h2 id="missing">Processes whose events have not all come</h2>
      <div class="scroll" tabindex="0" role="group" aria-label="Processes, scrollable">
        <table>
          <thead>
            <tr>
              <th scope="col">Process</th>
              <th scope="col" class="number">Missing</th>
            </tr>
          </thead>
          <tbody>
            ${processes.map(
              ([process, number]) =>
                html`<tr>
                  <td><code>${process}</code></td>
                  <td class="number">${count(number)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
      <p class="note">
        A killed process's events follow when its spool is adopted. If it is gone with its disk,
        <code>pullarm give-up</code> waits no longer.
      </p>
    </section>`;
  }
}

customElements.define("pa-system", System);
