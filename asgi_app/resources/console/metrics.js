// The metrics of the service, as Prometheus text has them, and what happened between two readings.

const LINE = /^(\w+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

// Requests of this page, and of whoever watches the service.
const WATCHING = ["/metrics", "/readyz", "/livez", "/health"];

const HISTOGRAMS = ["http_request_seconds_bucket", "event_loop_lag_seconds_bucket"];

// One reading: sums over all labels, buckets of histograms by their upper bounds, and the nodes.
export class Reading {
	constructor(text) {
		this.at = performance.now();
		this.sums = new Map();
		this.buckets = new Map(HISTOGRAMS.map((name) => [name, new Map()]));
		this.nodes = new Map();
		for (const line of text.split("\n")) if (line && line[0] !== "#") this.#add(LINE.exec(line));
	}

	#add([, name, labels = "", value]) {
		if (WATCHING.some((path) => labels.includes(`route="${path}"`))) return;
		const buckets = this.buckets.get(name);
		if (buckets) {
			const bound = Number(/le="([^"]*)"/.exec(labels)[1].replace("+Inf", "Infinity"));
			buckets.set(bound, (buckets.get(bound) ?? 0) + Number(value));
		} else if (name.startsWith("cassandra_node_")) {
			const { node, ...others } = Object.fromEntries([...labels.matchAll(LABEL)].map(([, label, text]) => [label, text]));
			this.nodes.set(node, { ...this.nodes.get(node), ...others, [name.slice("cassandra_node_".length)]: Number(value) });
		} else if (!name.endsWith("_bucket")) {
			this.sums.set(name, (this.sums.get(name) ?? 0) + Number(value));
		}
	}

	sum(name) {
		return this.sums.get(name) ?? 0;
	}
}

// Return what finds how many a second a counter grew between two readings; null if the service was started in between.
export const rate = (name) => (before, now) => {
	const grown = now.sum(name) - before.sum(name);
	return grown < 0 ? null : (grown * 1000) / (now.at - before.at);
};

// Return what finds a quantile of what a histogram got between two readings, in its unit; null if that was nothing.
export const quantile = (name, share) => (before, now) => {
	const old = before.buckets.get(name);
	const grown = [...now.buckets.get(name)].map(([bound, count]) => [bound, count - (old.get(bound) ?? 0)]);
	grown.sort(([one], [other]) => one - other);
	const total = grown.at(-1)?.[1] ?? 0;
	if (total <= 0) return null;
	const index = grown.findIndex(([, count]) => count >= share * total);
	const [bound, count] = grown[index];
	const [low, below] = grown[index - 1] ?? [0, 0];
	return bound === Infinity ? low : low + ((bound - low) * (share * total - below)) / (count - below);
};
