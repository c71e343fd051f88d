// Counts the lines of a stream, and keeps the last of them.

import { Problem } from "./ask.js";

const NEWLINE = 10;

export class Tail {
	// `most` is how many bytes are kept.
	constructor(most = 256 << 10) {
		this.most = most;
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
		while (this.kept - this.chunks[0].length > this.most) {
			const old = this.chunks.shift();
			this.kept -= old.length;
			old.buffer.transfer?.(0); // frees it at once
		}
	}

	// Read a response to its end, or until `goesOn` says no after a chunk. Throws why it broke off.
	async read(response, goesOn) {
		const reader = response.body.getReader();
		for (;;) {
			const { done, value } = await reader.read();
			if (done) break;
			this.add(value);
			if (await goesOn()) continue;
			await reader.cancel();
			break;
		}
		const problem = this.takeProblem(); // some proxies hide that the connection was cut
		if (problem) throw problem;
	}

	// Return what to show of the error that a stream broke off with.
	failure(error) {
		const { code, title, detail, errors = [] } = error instanceof Problem ? error : (this.takeProblem() ?? {});
		const reason = code ? `${code}: ${title}. ${detail}` : `The connection was cut, without a reason: ${error.message}.`;
		return { title: `The stream broke off after ${this.rows.toLocaleString("en")} rows.`, detail: reason, errors };
	}

	// Return the last complete lines, at most `count`.
	lines(count) {
		const decoder = new TextDecoder();
		const text = this.chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("");
		const lines = text.split("\n").slice(0, this.isBroken ? -2 : -1); // what follows the last end of a line is not complete
		return (this.kept < this.bytes ? lines.slice(1) : lines).slice(-count);
	}

	// Return the Problem in the last line of a stream that broke off, `{"error": {…}}`, which is no row; else undefined.
	takeProblem() {
		const [last = ""] = this.lines(1);
		const { error } = last.startsWith('{"error":{"') ? JSON.parse(last) : {};
		this.isBroken = Boolean(error?.code);
		this.rows -= Number(this.isBroken);
		return this.isBroken ? new Problem({}, error) : undefined;
	}
}
