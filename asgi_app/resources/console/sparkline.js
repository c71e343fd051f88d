// A small line chart of the last readings, with a word and a value. It has a gap where nothing was measured.

import { el } from "./dom.js";

const POINTS = 90;
const WIDTH = 180;
const HEIGHT = 36;

function svg(name, attributes, ...children) {
	const node = document.createElementNS("http://www.w3.org/2000/svg", name);
	for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
	node.append(...children);
	return node;
}

export class Sparkline {
	// `format` makes the text of a value. `lines` is how many values a reading has, such as p50 and p99.
	constructor(title, hint, format, lines = 1) {
		Object.assign(this, { title, format });
		this.readings = [];
		this.value = el("strong", "–");
		this.most = el("span", { class: "quiet" });
		this.paths = Array.from({ length: lines }, (_, index) => svg("path", { class: `line line-${index}` }));
		this.image = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none" }, ...this.paths);
		this.element = el("div", { class: "tile" }, el("h3", title), el("p", { class: "value" }, this.value, this.most), this.image, el("p", { class: "hint" }, hint));
		this.#draw();
	}

	// Add the values of a reading; null is not known.
	add(values) {
		this.readings = [...this.readings, values].slice(-POINTS);
		this.#draw();
	}

	#draw() {
		const latest = this.readings.at(-1) ?? [null];
		const text = latest.map((each) => (each === null ? "–" : this.format(each))).join(" / ");
		const most = Math.max(0, ...this.readings.flat().filter((each) => each !== null));
		this.value.textContent = text;
		this.most.textContent = most ? `peak ${this.format(most)}` : "";
		this.image.setAttribute("aria-label", `${this.title}: ${text} ${this.most.textContent}`);
		this.paths.forEach((path, index) => path.setAttribute("d", this.#line(index, most || 1)));
	}

	#line(index, most) {
		const first = POINTS - this.readings.length;
		let move = "M";
		return this.readings.map((values, number) => {
			if (values[index] === null) return (move = "M") && "";
			const x = ((first + number) * WIDTH) / (POINTS - 1);
			const y = HEIGHT - 2 - (values[index] / most) * (HEIGHT - 4);
			const part = `${move}${x.toFixed(1)} ${y.toFixed(1)}`;
			move = "L";
			return part;
		}).join("");
	}
}
