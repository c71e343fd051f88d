/** The form of an operation: its fields, and the request that they make. */

import { el } from "./dom.js";
import { Field } from "./field.js";
import { parseExact, segmentsOf } from "./json.js";
import { boundsOf, exampleOf, shapeOf, typeName } from "./schema.js";
import { base } from "./service.js";

const MANY = 12;

const encode = (text) => encodeURIComponent(text.toWellFormed?.() ?? text);

export class Form {
  constructor(document, operation) {
    this.document = document;
    this.operation = operation;
    this.credential = document.credentialOf(operation);
    this.columns = new Map((document.tableOf(operation)?.columns ?? []).map((column) => [column.name, column.type]));
    this.parameters = document.parametersOf(operation).map((parameter) => ({ parameter, field: this.#ofParameter(parameter) }));
    this.accept = this.#accept();
    this.contents = Object.entries(document.resolve(operation.raw.requestBody)?.content ?? {});
    this.contentType = this.#contentType();
    this.body = this.#body();
    this.element = el("div", { class: "fields" }, this.#groups());
  }

  /** All fields, in the order of the page. */
  get fields() {
    const single = [this.contentType, this.accept].filter(Boolean);
    return [...this.parameters.map(({ field }) => field), ...single, ...(this.raw?.checked ? [this.whole] : this.body)];
  }

  /** The values of the path's parameters, by name. */
  get pathValues() {
    return Object.fromEntries(this.#values("path").map(({ parameter, field }) => [parameter.name, field.text]));
  }

  /** Return the request that the form describes. `query` replaces that of the form, as a link to the next page does. */
  request(query = this.#query()) {
    const { path, method } = this.operation;
    const filled = path.replace(/\{([^}]*)\}/g, (_, name) => encode(this.pathValues[name] ?? ""));
    return {
      method,
      url: base.href + filled.slice(1) + (query ? `?${query}` : ""),
      headers: this.#headers(),
      body: this.#bodyText(),
      credential: this.credential,
    };
  }

  /** Show at their fields why values cannot be sent. Returns whether all can be. */
  check() {
    const wrong = this.fields.filter((field) => field.problem);
    this.fields.forEach((field) => field.clear());
    wrong.forEach((field) => field.fail(field.problem));
    this.#show(wrong[0]);
    return !wrong.length;
  }

  /** Show errors of the service at their fields. Returns those that no field stands for. */
  fail(errors) {
    const others = [];
    const failed = [];
    for (const error of errors) {
      const field = this.#at(error.field);
      const within = field && field.inBody && error.field !== field.place ? `${error.field}: ` : "";
      if (field) failed.push(field), field.fail(within + error.message);
      else others.push(error);
    }
    this.#show(failed[0]);
    return others;
  }

  /** Fill in examples: for what is required, and for all members of the body. */
  fillExamples() {
    for (const field of this.fields) {
      if (field.example !== undefined && (field.required || field.inBody)) field.fill(field.example);
    }
  }

  /** Fill in values by the names of the parameters. */
  fill(values) {
    for (const { parameter, field } of this.parameters) {
      if (parameter.name in values) field.fill(values[parameter.name]);
    }
  }

  #ofParameter(parameter) {
    const { name, required, description } = parameter;
    const schema = parameter.schema ?? Object.values(parameter.content ?? {})[0]?.schema ?? {};
    const shape = shapeOf(this.document, schema);
    const isList = shape.types.has("array") && !parameter.content;
    const example = parameter.example ?? Object.values(parameter.examples ?? {})[0]?.value ?? exampleOf(this.document, schema);
    const hint = [boundsOf(shape), isList && "one value in each line"].filter(Boolean).join(" · ");
    const type = this.columns.get(name.replace(/\.\w+$/, "")) ?? this.columns.get(name) ?? typeName(this.document, shape);
    return new Field({ place: `${parameter.in}.${name}`, name, shape, type, hint, description, example, required, isList });
  }

  /** Return the choice between the formats of a successful answer, if there are several. */
  #accept() {
    const ok = Object.entries(this.operation.raw.responses ?? {}).find(([status]) => status.startsWith("2"));
    return this.#choice("Accept", Object.keys(this.document.resolve(ok?.[1])?.content ?? {}));
  }

  #contentType() {
    return this.#choice("Content-Type", this.contents.map(([type]) => type));
  }

  #choice(name, choices) {
    if (choices.length < 2) return null;
    const shape = { kind: "choice", choices, types: new Set(["string"]), schema: {}, nullable: false };
    return new Field({ place: `header.${name}`, name, shape, type: "media type", hint: `without a choice ${choices[0]}` });
  }

  #body() {
    if (!this.contents.length) return [];
    const schema = this.contents[0][1].schema;
    const shape = shapeOf(this.document, schema);
    const example = this.contents[0][1].example ?? exampleOf(this.document, schema);
    const whole = { schema, types: new Set(), kind: "json", nullable: false };
    const type = typeName(this.document, shape);
    this.whole = new Field({ place: "", name: "body", shape: whole, type, hint: "", example, required: true });
    this.whole.input.rows = 8;
    if (!shape.schema.properties) return [this.whole];
    const required = new Set(shape.schema.required);
    this.raw = el("input", { type: "checkbox", change: () => this.#switch() });
    return Object.entries(shape.schema.properties).map(([name, member]) => {
      const inner = shapeOf(this.document, member);
      return new Field({
        place: `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`,
        name,
        shape: inner,
        type: this.columns.get(name) ?? typeName(this.document, inner),
        hint: [boundsOf(inner), inner.kind === "json" && "JSON"].filter(Boolean).join(" · "),
        description: inner.schema.description,
        example: example?.[name],
        required: required.has(name),
      });
    });
  }

  #groups() {
    const of = (place) => this.parameters.filter(({ parameter }) => parameter.in === place).map(({ field }) => field);
    const headers = [...of("header"), this.contentType, this.accept].filter(Boolean);
    const query = of("query");
    return [
      this.#group("Path", of("path")),
      this.#group("Query", query, query.length > MANY && query.every(({ required }) => !required)),
      this.#bodyGroup(),
      this.#group("Headers", headers, headers.every(({ required }) => !required)),
    ];
  }

  #group(name, fields, folded = false) {
    if (!fields.length) return null;
    const group = el("fieldset", {}, el("legend", {}, name), fields.map(({ element }) => element));
    return folded ? el("details", { class: "group" }, el("summary", {}, `${name} (${fields.length})`), group) : group;
  }

  #bodyGroup() {
    if (!this.body.length) return null;
    const choice = this.raw && el("label", { class: "raw" }, this.raw, "edit as JSON");
    this.members = el("div", {}, this.body.map(({ element }) => element));
    return el("fieldset", {}, el("legend", {}, "Body"), choice, this.members);
  }

  /** Change between one field for each member of the body, and one for all of it. */
  #switch() {
    if (this.raw.checked) {
      this.whole.fill(parseExact(this.#members()));
      this.members.replaceChildren(this.whole.element);
      return;
    }
    const problem = this.whole.problem || this.#fillMembers(parseExact(this.whole.text));
    if (problem) {
      this.raw.checked = true;
      this.whole.clear();
      this.whole.fail(problem);
    } else {
      this.members.replaceChildren(...this.body.map(({ element }) => element));
    }
  }

  /** Fill the fields of the body from an object. Returns why that is not possible, or "". */
  #fillMembers(value) {
    const others = Object.keys(value ?? {}).filter((name) => !this.body.some((field) => field.name === name));
    if (value === null || typeof value !== "object" || others.length) {
      return `has what the form cannot show: ${others.join(", ") || "it is no object"}`;
    }
    this.body.forEach((field) => field.fill(value[field.name]));
    return "";
  }

  #query() {
    const pairs = this.#values("query").flatMap(({ parameter, field }) => {
      if (!field.isList) return [[parameter.name, field.text]];
      const joined = parameter.explode === false ? [field.texts.join(",")] : field.texts;
      return joined.map((text) => [parameter.name, text]);
    });
    return pairs.map((pair) => pair.map(encode).join("=")).join("&");
  }

  #headers() {
    const pairs = this.#values("header").map(({ parameter, field }) => [parameter.name, field.text]);
    if (this.accept?.state === "value") pairs.push(["Accept", this.accept.text]);
    if (this.contents.length) pairs.push(["Content-Type", this.contentType?.text || this.contents[0][0]]);
    return pairs;
  }

  #bodyText() {
    if (!this.contents.length) return undefined;
    return this.raw && !this.raw.checked ? this.#members() : this.whole.text;
  }

  #members() {
    const sent = this.body.filter(({ state }) => state !== "absent");
    return `{${sent.map((field) => `${JSON.stringify(field.name)}: ${field.token}`).join(", ")}}`;
  }

  #values(place) {
    return this.parameters.filter(({ parameter, field }) => parameter.in === place && field.state === "value");
  }

  /** Return the field that an error names: that of the member for a place within it. */
  #at(place) {
    if (!place.startsWith("/") && place !== "") {
      return this.fields.find((field) => field.place.toLowerCase() === place.toLowerCase());
    }
    const [name] = segmentsOf(place);
    return this.fields.find((field) => field.inBody && (field === this.whole || field.name === name));
  }

  #show(field) {
    field?.input.closest("details")?.setAttribute("open", "");
    field?.input.focus();
  }
}
