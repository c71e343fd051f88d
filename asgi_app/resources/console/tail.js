// Counts the lines of a stream, and keeps the last of them.

const NEWLINE = 10;
const MOST_BYTES = 256 << 10;

export class Tail {
	constructor() {
		this.rows = 0;
		this.bytes = 0;
		this.chunks = [];
		this.kept = 0;
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
		const text = new TextDecoder().decode(joined(this.chunks, this.kept).subarray(-MOST_BYTES));
		const lines = text.split("\n").slice(0, -1); // what follows the last end of a line is not complete
		return (this.kept < this.bytes || this.kept > MOST_BYTES ? lines.slice(1) : lines).slice(-count);
	}
}

function joined(chunks, size) {
	const all = new Uint8Array(size);
	let at = 0;
	for (const chunk of chunks) {
		all.set(chunk, at);
		at += chunk.length;
	}
	return all;
}
