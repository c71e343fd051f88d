// What Cassandra itself gives: a load by Apache's Go driver, with nothing around it and nothing decoded.
//
// It reads one order, a line of JSON, carries it out and prints one line of JSON, a report. It ends with 1, and says why
// on standard error, where it cannot begin; calls that fail once it has begun are counted.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

const (
	connections = 1 // to the node, as many as the Python driver makes

	// From so many calls in flight on it pays that the driver gathers them for a write. With fewer each waits, by default,
	// for a timer of 0.2 ms, which can take a whole millisecond: longer than Cassandra takes to answer.
	manyInFlight = 32
)

// order says what to do: CQL that is prepared, how many calls are in flight at once, and for how long.
type order struct {
	Host     string       `json:"host"`
	Port     int          `json:"port"`
	What     string       `json:"what"` // read (a row of Ids), scan (all pages of a table, again and again) or insert
	Cql      string       `json:"cql"`
	InFlight int          `json:"in_flight"`
	Seconds  float64      `json:"seconds"`
	PageSize int          `json:"page_size"`
	Ids      []gocql.UUID `json:"ids"`
}

// report is what was found: requests that succeeded, of a scan pages, and how many rows these gave.
type report struct {
	Requests   int     `json:"requests"`
	Rows       int     `json:"rows"`
	Seconds    float64 `json:"seconds"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	P999       float64 `json:"p999_ms"`
	Failures   int     `json:"failures"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ceiling:", err)
		os.Exit(1)
	}
}

func run() error {
	var wanted order
	if err := json.NewDecoder(os.Stdin).Decode(&wanted); err != nil {
		return fmt.Errorf("the order: %w", err)
	}
	session, err := open(wanted)
	if err != nil {
		return err
	}
	defer session.Close()
	found, err := carryOut(session, wanted)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func open(wanted order) (*gocql.Session, error) {
	cluster := gocql.NewCluster(wanted.Host)
	cluster.Port = wanted.Port
	cluster.ProtoVersion = 4
	cluster.NumConns = connections
	cluster.Consistency = gocql.LocalQuorum
	cluster.PageSize = wanted.PageSize
	if wanted.InFlight < manyInFlight {
		cluster.WriteCoalesceWaitTime = 0
	}
	return cluster.CreateSession()
}

// carryOut makes one call before it looks at the clock, so that the statement is prepared.
func carryOut(session *gocql.Session, wanted order) (report, error) {
	begin, err := caller(session, wanted)
	if err != nil {
		return report{}, err
	}
	if _, err := begin(0)(); err != nil {
		return report{}, fmt.Errorf("the first %s: %w", wanted.What, err)
	}
	used, began := cpuSeconds(), time.Now()
	found := load(begin, wanted.InFlight, began.Add(time.Duration(wanted.Seconds*float64(time.Second))))
	told := found.report()
	told.Seconds = found.ended.Sub(began).Seconds()
	told.CPUSeconds = found.cpuSeconds - used
	return told, nil
}

// cpuSeconds is the user and system time of this process so far.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
