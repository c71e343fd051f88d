// Queries in CQL.

export const OPERATORS = { "": "=", gt: ">", gte: ">=", lt: "<", lte: "<=", in: "IN", contains: "CONTAINS", contains_key: "CONTAINS KEY" };

const quote = (name) => (/^[a-z][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);

// Return a statement with relations that are set, each a `column` and an `operator`.
export function filtered(cql, relations) {
	const near = relations.find(({ operator }) => operator === "near");
	const others = relations.filter((each) => each !== near && !cql.includes(" WHERE ")).map(({ column, operator }) => `${quote(column)} ${OPERATORS[operator]} ?`);
	const where = others.length > 0 && `WHERE ${others.join(" AND ")}`;
	return [cql, where, near && `ORDER BY ${quote(near.column)} ANN OF ? LIMIT ?`].filter(Boolean).join(" ");
}
