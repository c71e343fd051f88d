/** The answer to a request: its status, headers and body as far as a page can show it, with a button to stop. */

import { readBody } from "./body.js";
import { copyButton, el } from "./dom.js";
import { at, jsonError, parseExact, pretty } from "./json.js";
import { nextPage, send } from "./service.js";

const MOST_BYTES = 128 * 1024;

const ENDS = {
  complete: "",
  cut: `The answer is longer. The page stopped reading after ${MOST_BYTES / 1024} KiB.`,
  stopped: "Stopped. The answer may be longer.",
  broken: "The connection broke off, so the answer is incomplete.",
};

export class Answer {
  /** `actions` makes the buttons below an answer, from the answer's status, headers and text. */
  constructor(actions) {
    this.actions = actions;
    this.status = el("p", { class: "status", role: "status" });
    this.stop = el("button", { type: "button", class: "small", hidden: true, click: () => this.abort() }, "Stop");
    this.details = el("div", {});
    this.body = el("pre", { tabindex: 0, "aria-label": "Body of the answer", hidden: true });
    this.element = el(
      "section",
      { class: "answer", "aria-label": "Answer" },
      el("div", { class: "bar" }, el("h2", {}, "Answer"), this.stop),
      this.status,
      this.details,
      this.body,
    );
    this.#say("nothing was sent yet", "quiet");
  }

  /** End the request whose answer is read. */
  abort() {
    this.controller?.abort();
  }

  /** Send a request and show its answer. Returns the problem document if the answer is one, else null. */
  async ask(request) {
    this.abort();
    const { signal } = (this.controller = new AbortController());
    this.#begin();
    const begun = performance.now();
    try {
      const response = await send(request, signal);
      const head = performance.now() - begun;
      this.#say(statusText(response, `first byte after ${Math.round(head)} ms`), classOf(response));
      const read = await readBody(response, MOST_BYTES, signal, (text) => this.#show(response, text));
      if (this.controller.signal !== signal) return null; // another request took this one's place
      return this.#end(response, read, performance.now() - begun);
    } catch (error) {
      if (this.controller.signal === signal) this.#say(failureOf(error, signal), "failed");
      return null;
    } finally {
      if (this.controller.signal === signal) this.#idle();
    }
  }

  /** Show the errors of a problem document that no field stands for. */
  list(errors) {
    this.others.replaceChildren(...errors.map(({ field, message }) => el("li", {}, el("code", {}, field), ` ${message}`)));
  }

  #begin() {
    this.stop.hidden = false;
    this.element.setAttribute("aria-busy", "true");
    this.details.replaceChildren();
    this.body.hidden = true;
    this.#say("waiting for the answer …", "quiet");
  }

  #idle() {
    this.stop.hidden = true;
    this.element.removeAttribute("aria-busy");
  }

  #end(response, { text, bytes, ended }, took) {
    this.#say(statusText(response, `${Math.round(took)} ms`, `${bytes.toLocaleString("en")} bytes`), classOf(response));
    this.#show(response, text);
    const problem = problemOf(response, text);
    this.others = el("ul", { class: "errors" });
    this.details.replaceChildren(
      ...[
        problem && el("p", { class: "error" }, el("strong", {}, problem.title), ` ${problem.detail ?? ""}`),
        this.others,
        ENDS[ended] && el("p", { class: "note" }, ENDS[ended]),
        el("div", { class: "bar" }, this.actions(response, text), text && copyButton("Copy body", () => text)),
        headersOf(response),
      ].filter(Boolean),
    );
    return problem;
  }

  #show(response, text) {
    this.body.hidden = text === "";
    this.body.textContent = /json(;|$)/.test(typeOf(response)) && !/ndjson/.test(typeOf(response)) ? pretty(text) : text;
  }

  #say(text, name) {
    this.status.textContent = text;
    this.status.className = `status ${name}`;
  }
}

/** Return the value that an expression of OpenAPI's links has for a request and its answer, or undefined. */
export function valueOf(expression, pathValues, text) {
  const [, place, name] = /^\$(request\.path\.|response\.body#)(.*)$/s.exec(expression) ?? [];
  if (place === "request.path.") return pathValues[name];
  return place && !jsonError(text) ? at(parseExact(text), name) : undefined;
}

/** Return the query of the link to the next page, or null. */
export function nextQuery(response) {
  return nextPage(response.headers)?.split("?")[1] ?? null;
}

const typeOf = (response) => response.headers.get("content-type") ?? "";

const classOf = (response) => (response.ok ? "ok" : "failed");

const statusText = ({ status, statusText: reason }, ...facts) => [`${status} ${reason}`.trim(), ...facts].join(" · ");

function failureOf(error, signal) {
  return signal.aborted ? "Stopped before the answer began." : `No answer: ${error.message}`;
}

function problemOf(response, text) {
  if (!typeOf(response).startsWith("application/problem+json") || jsonError(text)) return null;
  return JSON.parse(text);
}

function headersOf(response) {
  const rows = [...response.headers].map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)));
  return el("details", {}, el("summary", {}, `Headers (${rows.length})`), el("table", { class: "headers" }, rows));
}
