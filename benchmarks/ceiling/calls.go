package main

import (
	"fmt"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// call is made again and again by one goroutine, and gives the number of rows that it brought.
type call func() (int, error)

// caller gives, for what is wanted, a function that makes the call of the goroutine with a number.
func caller(session *gocql.Session, wanted order) (func(number int) call, error) {
	switch wanted.What {
	case "read":
		return func(number int) call { return reads(session, wanted, number) }, nil
	case "scan":
		return func(int) call { return pages(session, wanted) }, nil
	case "insert":
		return func(number int) call { return inserts(session, wanted.Cql, number) }, nil
	}
	return nil, fmt.Errorf("nobody knows how to %q", wanted.What)
}

// reads asks for the rows of all ids in turn, each goroutine from another one on. A row that is not there is an error.
func reads(session *gocql.Session, wanted order, number int) call {
	next := number * len(wanted.Ids) / wanted.InFlight
	return func() (int, error) {
		id := wanted.Ids[next%len(wanted.Ids)]
		next++
		page := session.Query(wanted.Cql, id).Iter()
		rows := page.NumRows()
		if err := page.Close(); err != nil || rows == 1 {
			return rows, err
		}
		return rows, fmt.Errorf("%d rows of %s", rows, id)
	}
}

// pages asks for one page after another, and after the last for the first again.
func pages(session *gocql.Session, wanted order) call {
	var state []byte
	return func() (int, error) {
		page := session.Query(wanted.Cql).PageState(state).Iter()
		rows := page.NumRows()
		state = page.PageState()
		return rows, page.Close()
	}
}

// inserts adds a user with a new id each time; the statement takes the columns of `users` in their order.
func inserts(session *gocql.Session, cql string, number int) call {
	count := 0
	return func() (int, error) {
		count++
		id, err := gocql.RandomUUID()
		if err != nil {
			return 0, err
		}
		now := time.Now()
		name := fmt.Sprintf("User %d of %d", count, number)
		email := fmt.Sprintf("user%d.%d@example.com", count, number)
		return 0, session.Query(cql, id, name, email, count%100, now, now).Exec()
	}
}
