/** Addresses within the page, and the word for a method. */

import { el } from "./dom.js";

export const operationLink = (id) => `#/operation/${encodeURIComponent(id)}`;

export const resourceLink = (name) => `#/resource/${encodeURIComponent(name)}`;

/** Return the two parts of an address within the page: "operation" or "resource", and its name; none for the overview. */
export function partsOf(hash) {
  const [, kind, name] = /^#\/(operation|resource)\/(.+)$/.exec(hash) ?? [];
  try {
    return kind ? [kind, decodeURIComponent(name)] : [];
  } catch {
    return [kind, name]; // no address of this page; it leads to nothing
  }
}

/** Return a method as a coloured word. */
export const badge = (method) => el("span", { class: `method ${method.toLowerCase()}` }, method);
