"""What Cassandra itself gives: a load by a native driver, Apache's for Go, with nothing of Python around it.

`main.go` and its neighbours are the program, `program` builds it once, `native` gives it orders. `node` looks at the
CPU time of Cassandra's own process meanwhile.
"""
