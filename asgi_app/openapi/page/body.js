// The body of a response, as far as a page can show it.

// Read a body until it ends, has more than `most` bytes, or `signal` is aborted. `show` gets the text so far, at most four
// times a second. Returns the `text`, the number of `bytes` read, and how it `ended`: "complete", "cut" (more than `most`),
// "stopped" (aborted) or "broken" (the connection failed).
export async function readBody(response, most, signal, show) {
	const asText = /^text|json|csv/.test(response.headers.get("content-type") ?? "");
	const reader = response.body?.getReader();
	const decoder = new TextDecoder();
	const result = { text: "", bytes: 0, ended: "complete" };
	let shown = 0;
	try {
		for (;;) {
			const { done, value } = (await reader?.read()) ?? { done: true };
			if (done) break;
			const part = value.subarray(0, most - result.bytes);
			if (asText) result.text += decoder.decode(part, { stream: true });
			result.bytes += part.length;
			if (part.length < value.length) {
				result.ended = "cut";
				await reader.cancel();
				break;
			}
			if (performance.now() - shown > 250) {
				show(result.text);
				shown = performance.now();
			}
		}
	} catch {
		result.ended = signal.aborted ? "stopped" : "broken";
	}
	return result;
}
