/** The view of one operation: what it does, its form, the request as text, and the answer. */

import { Answer, nextQuery, valueOf } from "./answer.js";
import { copyButton, el, prose } from "./dom.js";
import { Form } from "./form.js";
import { badge, resourceLink } from "./links.js";
import { curl, httpx } from "./snippets.js";

const LANGUAGES = { curl, "Python httpx": httpx };

export class OperationView {
  /** `open` shows another operation with values for its parameters; `askForKey` lets the user enter a key. */
  constructor(document, operation, { open, askForKey }) {
    Object.assign(this, { document, operation, open, askForKey });
    this.form = new Form(document, operation);
    this.answer = new Answer((response, text) => this.#actions(response, text));
    this.snippet = el("pre", { tabindex: 0, "aria-label": "The request as text" });
    this.language = "curl";
    this.element = el("article", {}, this.#head(), el("div", { class: "columns" }, this.#form(), this.#right()));
    this.#preview();
  }

  /** Fill in values of parameters by name. */
  fill(values) {
    this.form.fill(values);
    this.#preview();
  }

  #head() {
    const { method, path, raw, id, resource } = this.operation;
    const { summary, description, deprecated } = raw;
    const cql = raw["x-cassandra"]?.cql;
    return el(
      "header",
      {},
      el("h1", { tabindex: -1 }, summary ?? id),
      el("p", { class: "address" }, badge(method), el("code", {}, path)),
      deprecated && el("p", { class: "note" }, "Deprecated."),
      prose(description),
      cql && el("pre", { class: "cql", tabindex: 0, "aria-label": "CQL" }, cql),
      el("p", { class: "quiet" }, "Resource ", el("a", { href: resourceLink(resource) }, resource), ` · operation ${id}`),
    );
  }

  #form() {
    const button = (text, attributes) => el("button", { type: "button", ...attributes }, text);
    return el(
      "form",
      {
        "aria-label": "Request",
        novalidate: true,
        input: () => this.#preview(),
        change: () => this.#preview(),
        submit: (event) => this.#submit(event),
        keydown: (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.#submit(event),
      },
      this.form.fields.length ? this.form.element : el("p", { class: "quiet" }, "This operation takes nothing."),
      el(
        "div",
        { class: "bar" },
        el("button", { class: "primary" }, "Send"),
        this.form.fields.length > 0 && button("Fill in examples", { click: () => this.#fillExamples() }),
        this.form.credential && button("Key …", { click: () => this.askForKey(this.form.credential) }),
      ),
      this.#responses(),
    );
  }

  #right() {
    const choose = (name) =>
      el(
        "label",
        {},
        el("input", { type: "radio", name: `language-${this.operation.id}`, checked: name === this.language, change: () => this.#speak(name) }),
        name,
      );
    return el(
      "div",
      { class: "result" },
      el(
        "section",
        { "aria-label": "Request as text" },
        el(
          "div",
          { class: "bar" },
          el("h2", {}, "Request"),
          el("div", { class: "choices", role: "group", "aria-label": "Language" }, Object.keys(LANGUAGES).map(choose)),
          copyButton("Copy", () => this.snippet.textContent),
        ),
        this.snippet,
      ),
      this.answer.element,
    );
  }

  #responses() {
    const all = Object.entries(this.operation.raw.responses ?? {}).map(([status, raw]) => {
      return [el("dt", {}, status), el("dd", {}, this.document.resolve(raw).description ?? "")];
    });
    return el("details", { class: "group" }, el("summary", {}, "Answers by status"), el("dl", {}, all));
  }

  #speak(language) {
    this.language = language;
    this.#preview();
  }

  #preview(request = this.form.request()) {
    this.snippet.textContent = LANGUAGES[this.language](request, { stream: this.#streams });
  }

  get #streams() {
    return ["stream", "export"].includes(this.operation.raw["x-cassandra"]?.operation);
  }

  #fillExamples() {
    this.form.fillExamples();
    this.#preview();
  }

  async #submit(event) {
    event.preventDefault();
    if (this.form.check()) await this.#send(this.form.request());
  }

  async #send(request) {
    this.#preview(request);
    this.form.fields.forEach((field) => field.clear());
    const problem = await this.answer.ask(request);
    if (!problem) return;
    this.answer.list(this.form.fail(problem.errors ?? []));
    if (problem.status === 401 && this.form.credential) this.askForKey(this.form.credential);
  }

  /** Return the buttons below an answer: the next page, and the operations that the document links it to. */
  #actions(response, text) {
    const query = nextQuery(response);
    const button = (label, act) => el("button", { type: "button", class: "small", click: act }, label);
    const links = this.document.resolve(this.operation.raw.responses?.[response.status])?.links ?? {};
    return [
      query && button("Next page", () => this.#send(this.form.request(query))),
      Object.entries(links).map(([name, raw]) => this.#linkButton(name, this.document.resolve(raw), text)),
    ];
  }

  #linkButton(name, link, text) {
    const target = this.document.operations.get(link.operationId);
    const values = Object.entries(link.parameters ?? {}).map(([parameter, expression]) => [
      parameter.replace(/^(path|query)\./, ""),
      valueOf(expression, this.form.pathValues, text),
    ]);
    if (!target || values.some(([, value]) => value == null)) return null;
    const label = `${target.method} ${target.raw.summary ?? name}`;
    return el("button", { type: "button", class: "small", click: () => this.open(target, Object.fromEntries(values)) }, label);
  }
}
