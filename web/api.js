// The REST API. The session's cookie goes along by itself.

/** A request that was answered with a problem document, or not at all. */
export class Failed extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The JSON at a path; throws Failed with a sentence that can be shown. */
export function read(path, signal) {
  return ask(path, { signal, headers: { Accept: "application/json" } });
}

/** What a change is answered with, null for nothing; throws Failed likewise. */
export function send(method, path, content) {
  const body = content === undefined ? undefined : JSON.stringify(content);
  return ask(path, { method, body, headers: { Accept: "application/json", "Content-Type": "application/json" } });
}

async function ask(path, options) {
  let answer, body;
  try {
    answer = await fetch(path, options);
    body = answer.status === 204 ? null : await answer.json();
  } catch {
    throw new Failed(answer ? `The control plane answered ${answer.status}, not with JSON.` : "The control plane does not answer.", 0);
  }
  if (!answer.ok) throw new Failed(body.detail, answer.status);
  return body;
}
