// Counts the lines of a stream, and keeps the last of them.

import { Problem } from "./ask.js";

const NEWLINE = 10;
const MOST_BYTES = 256 << 10;

export class Tail {
	constructor() {
		this.rows = 0;
		this.bytes = 0;
		this.chunks = [];
		this.kept = 0;
		this.isBroken = false; // then the last line is no row
	}

	add(chunk) {
		for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) this.rows += 1;
		this.bytes += chunk.length;
		this.chunks.push(chunk);
		this.kept += chunk.length;
		while (this.kept - this.chunks[0].length > MOST_BYTES) {
			const old = this.chunks.shift();
			this.kept -= old.length;
			old.buffer.transfer?.(0); // frees it at once
		}
	}

	// Return the last complete lines, at most `count`.
	lines(count) {
		const decoder = new TextDecoder();
		const text = this.chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("");
		const lines = text.split("\n").slice(0, this.isBroken ? -2 : -1); // what follows the last end of a line is not complete
		return (this.kept < this.bytes ? lines.slice(1) : lines).slice(-count);
	}

	// Return the Problem that a stream which broke off ends with, in a line `{"error": {…}}` that is no row; else undefined.
	takeProblem() {
		const [last = ""] = this.lines(1);
		const { error } = last.startsWith('{"error":{"') ? JSON.parse(last) : {};
		this.isBroken = Boolean(error?.code);
		this.rows -= Number(this.isBroken);
		return this.isBroken ? new Problem({}, error) : undefined;
	}
}
