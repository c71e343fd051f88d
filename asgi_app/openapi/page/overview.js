/** The first view, what the service serves, and the view of one resource: its table and its operations. */

import { el, prose } from "./dom.js";
import { badge, operationLink, resourceLink } from "./links.js";
import { base } from "./service.js";

/** Return the first view. */
export function overview({ raw, resources, operations, tables }) {
  const served = [...resources.values()];
  const withTable = served.filter(({ table }) => table);
  const others = served.filter(({ table }) => !table);
  return el(
    "article",
    {},
    el("header", {}, el("h1", { tabindex: -1 }, raw.info.title), prose(raw.info.description)),
    el(
      "dl",
      { class: "facts" },
      fact("Version", raw.info.version),
      fact("Address", el("code", {}, base.href)),
      fact("Operations", String(operations.size)),
      fact("Tables", String(Object.keys(tables).length)),
      fact("Document", el("a", { href: new URL("openapi.json", base).href }, "openapi.json")),
    ),
    withTable.length > 0 && el("section", {}, el("h2", {}, "Tables"), tableOfTables(withTable)),
    others.length > 0 && el("section", {}, el("h2", {}, "Other operations"), others.map(operationsOf)),
  );
}

/** Return the view of one resource. */
export function resourceView({ name, description, table, operations }) {
  return el(
    "article",
    {},
    el("header", {}, el("h1", { tabindex: -1 }, name), prose(description)),
    table && tableView(table),
    el("section", {}, el("h2", {}, "Operations"), list(operations)),
  );
}

function tableOfTables(resources) {
  const head = ["Resource", "Table", "Primary key", "Columns", "Writes"];
  return scrolling(
    "Tables",
    head,
    resources.map(({ name, table }) => [
      el("a", { href: resourceLink(name) }, name),
      el("code", {}, `${table.keyspace}.${table.table}`),
      el("code", {}, keyOf(table)),
      String(table.columns.length),
      table.writes,
    ]),
  );
}

function tableView(table) {
  const indexes = new Map();
  for (const { column, name, kind } of table.indexes ?? []) {
    indexes.set(column, [...(indexes.get(column) ?? []), [name, kind].filter(Boolean).join(", ")]);
  }
  return el(
    "section",
    {},
    el("h2", {}, "Table"),
    el(
      "dl",
      { class: "facts" },
      fact("Name", el("code", {}, `${table.keyspace}.${table.table}`)),
      fact("Primary key", el("code", {}, keyOf(table))),
      fact("Writes", table.writes),
    ),
    scrolling(
      "Columns",
      ["Column", "CQL type", "Kind", "Index"],
      table.columns.map(({ name, type, kind }) => [
        el("code", {}, name),
        el("code", {}, type),
        kind,
        (indexes.get(name) ?? []).join("; "),
      ]),
    ),
  );
}

/** Return the primary key as in CQL, with the order of each clustering column that is not ascending. */
function keyOf({ partition_key: partition, clustering }) {
  const rest = clustering.map(({ name, order }) => `, ${name}${order === "desc" ? " DESC" : ""}`);
  return `((${partition.join(", ")})${rest.join("")})`;
}

function operationsOf({ name, description, operations }) {
  return el("section", {}, el("h3", {}, el("a", { href: resourceLink(name) }, name)), prose(description), list(operations));
}

function list(operations) {
  return el(
    "ul",
    { class: "operations" },
    operations.map(({ id, method, path, raw }) =>
      el("li", {}, el("a", { href: operationLink(id) }, badge(method), el("code", {}, path)), el("span", {}, raw.summary)),
    ),
  );
}

/** Return a table that scrolls sideways where it is wider than the page. */
function scrolling(label, head, rows) {
  const cells = (row) => row.map((cell, index) => (index ? el("td", {}, cell) : el("th", { scope: "row" }, cell)));
  return el(
    "div",
    { class: "scrolling", tabindex: 0, role: "region", "aria-label": label },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, cells(row)))),
    ),
  );
}

const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
