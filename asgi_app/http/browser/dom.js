/** Elements of the page. All text becomes text nodes: nothing that a service says is ever read as markup. */

/**
 * Make an element. An attribute that is a function is a listener of that event; `true` is an attribute without a value;
 * null, undefined and false leave it out. Children are nodes, texts, or arrays of them.
 */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key, value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return node;
}

/** Return a text as paragraphs, with what stands between backticks as code. */
export function prose(text, attributes = {}) {
  return (text ?? "")
    .split(/\n\s*\n/)
    .filter((paragraph) => paragraph.trim())
    .map((paragraph) => el("p", attributes, inline(paragraph)));
}

/** Return a text as nodes, with what stands between backticks as code. */
export function inline(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

/** Return a button that copies the text that `source` returns, and says so. */
export function copyButton(label, source) {
  const button = el("button", { type: "button", class: "small", click: copy }, label);
  async function copy() {
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(source());
    } catch {
      said = "Copying is not allowed here"; // the clipboard needs https or localhost, and the user's permission
    }
    button.textContent = said;
    setTimeout(() => (button.textContent = label), 1500);
  }
  return button;
}
