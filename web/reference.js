// The REST interface as its OpenAPI document describes it.

import { el } from "./dom.js";

export const REFERENCE = "/schema/openapi.json";

function body(operation) {
  const content = Object.entries(operation.requestBody?.content ?? {});
  return content.map(([type, { example }]) => [
    el("p", { class: "quiet" }, type),
    el("pre", {}, el("code", {}, typeof example === "string" ? example : JSON.stringify(example, null, 2))),
  ]);
}

function operation(path, method, told) {
  const parameters = (told.parameters ?? []).map(({ name, in: place, description }) =>
    el("li", {}, el("code", {}, name), ` (${place}) ${description ?? ""}`),
  );
  const answers = Object.entries(told.responses ?? {}).map(([status, { description }]) =>
    el("li", {}, el("code", {}, status), ` ${description ?? ""}`),
  );
  return el(
    "section",
    {},
    el("h2", {}, el("code", {}, `${method.toUpperCase()} ${path}`)),
    el("p", {}, told.description ?? told.summary ?? ""),
    parameters.length ? el("ul", {}, parameters) : null,
    ...body(told).flat(),
    el("ul", {}, answers),
  );
}

/** What the page shows for the document. */
export function referencePage(document_) {
  document.title = "REST interface · Pullarm";
  const operations = Object.entries(document_.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, told]) => operation(path, method, told)),
  );
  return [
    el("h1", {}, "REST interface"),
    el("p", {}, "Send ", el("code", {}, "Authorization: Bearer TOKEN"), ". The same as an ", el("a", { href: REFERENCE }, "OpenAPI document"), "."),
    ...operations,
  ];
}
