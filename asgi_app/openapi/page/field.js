/** One input of a form: a parameter, or a member of the body. It tells null, an empty text and "not sent" apart. */

import { el, inline } from "./dom.js";
import { jsonError, pretty } from "./json.js";
import { tokenOf } from "./schema.js";

let made = 0;

export class Field {
  /**
   * `place` is where the field is in the request as errors name it: `/age`, `query.limit`, `path.day`. `shape` is that
   * of its schema, `type` and `hint` are texts, `example` is what the button for examples fills in. `isList` is for
   * parameters of several values, one in each line.
   */
  constructor({ place, name, shape, type, hint, description, example, required = false, isList = false }) {
    Object.assign(this, { place, name, shape, example, required, isList });
    this.inBody = !/^(path|query|header)\./.test(place);
    this.mayBeEmpty = shape.kind === "text" && !isList && (this.inBody || place.startsWith("query."));
    const id = `field-${(made += 1)}`;
    this.input = this.#input({ id, "aria-describedby": `${id}-hint ${id}-error`, autocomplete: "off", spellcheck: "false" });
    this.sent = this.mayBeEmpty && this.#box(`send ${name}`, "send", required);
    this.null = shape.nullable && this.#box(`${name} is null`, "null", false);
    this.error = el("p", { id: `${id}-error`, class: "error", hidden: true });
    this.element = el(
      "div",
      { class: "field", input: (event) => this.#changed(event.target) },
      el(
        "div",
        { class: "name" },
        el("label", { for: id }, name),
        required && el("span", { class: "required" }, "required"),
        el("span", { class: "type" }, type),
      ),
      el(
        "div",
        { class: "value" },
        this.input,
        el("p", { id: `${id}-hint`, class: "hint" }, inline([description, hint].filter(Boolean).join(" · "))),
        this.error,
      ),
      el("div", { class: "states" }, this.#labelled(this.sent, "send"), this.#labelled(this.null, "null")),
    );
  }

  /** Return "null", "value" or "absent". An empty input is a value only where a text may be empty and `send` is on. */
  get state() {
    if (this.null?.checked) return "null";
    if (this.mayBeEmpty) return this.sent.checked ? "value" : "absent";
    return this.input.value === "" ? "absent" : "value";
  }

  /** Return the value as text, as paths, queries and headers have it. */
  get text() {
    return this.input.value;
  }

  /** Return the values of a parameter of several values. */
  get texts() {
    return this.text.split("\n").filter((line) => line !== "");
  }

  /** Return the value as a member of JSON. */
  get token() {
    return this.state === "null" ? "null" : tokenOf(this.shape, this.text);
  }

  /** Set the value from a member of JSON; undefined is "not sent". */
  fill(value) {
    if (this.null) this.null.checked = value === null;
    if (this.sent) this.sent.checked = value !== undefined;
    this.input.disabled = value === null;
    this.input.value = value == null ? "" : this.#textOf(value);
    this.clear();
  }

  /** Return why the value cannot be sent, or "". What can be sent is for the service to judge. */
  get problem() {
    if (this.state !== "value") return this.place.startsWith("path.") ? "is needed for the address" : "";
    if (this.place.startsWith("path.") && /^\.\.?$/.test(this.text)) {
      return "no path can spell this value; use the operation whose path ends in /-/row";
    }
    const error = this.inBody && this.shape.kind === "json" && jsonError(this.text);
    return error ? `is not JSON: ${error}` : "";
  }

  /** Show what is wrong with the value. */
  fail(message) {
    this.error.append(el("span", {}, message));
    this.error.hidden = false;
    this.input.setAttribute("aria-invalid", "true");
  }

  clear() {
    this.error.replaceChildren();
    this.error.hidden = true;
    this.input.removeAttribute("aria-invalid");
  }

  #textOf(value) {
    if (this.isList && Array.isArray(value)) return value.join("\n");
    return typeof value === "string" && this.shape.kind !== "json" ? value : pretty(JSON.stringify(value));
  }

  #input(attributes) {
    const { kind, choices } = this.shape;
    if (kind === "choice" && !this.isList) {
      return el("select", attributes, el("option", { value: "" }, "–"), choices.map((each) => el("option", {}, each)));
    }
    if (!this.isList && (kind === "exact" || this.place.startsWith("header."))) return el("input", { type: "text", ...attributes });
    return el("textarea", { rows: 1, ...attributes });
  }

  #box(label, name, checked) {
    return el("input", { type: "checkbox", class: name, "aria-label": label, checked, change: () => this.#toggled(name) });
  }

  #labelled(box, text) {
    return box && el("label", {}, box, text);
  }

  #changed(target) {
    if (this.sent && target === this.input) this.sent.checked = true;
    this.clear();
  }

  #toggled(name) {
    if (name === "send" && !this.sent.checked) {
      this.input.value = "";
      if (this.null) this.null.checked = false;
    }
    if (name === "null" && this.sent) this.sent.checked = this.null.checked;
    this.input.disabled = this.null?.checked ?? false;
  }
}
