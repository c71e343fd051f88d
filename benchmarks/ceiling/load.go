package main

import (
	"sort"
	"sync"
	"time"
)

// tally is what one goroutine, or all of them, saw.
type tally struct {
	times      []time.Duration
	rows       int
	failures   int
	ended      time.Time
	cpuSeconds float64
}

// load runs so many calls at once, each made again as soon as it is answered, until it is time.
func load(begin func(number int) call, inFlight int, until time.Time) tally {
	tallies := make([]tally, inFlight)
	var group sync.WaitGroup
	for number := range tallies {
		group.Add(1)
		go func() {
			defer group.Done()
			tallies[number].again(begin(number), until)
		}()
	}
	group.Wait()
	return together(tallies)
}

func (seen *tally) again(one call, until time.Time) {
	for began := time.Now(); began.Before(until); began = time.Now() {
		rows, err := one()
		if err != nil {
			seen.failures++
			continue
		}
		seen.times = append(seen.times, time.Since(began))
		seen.rows += rows
	}
}

// together is what all saw; the clocks are looked at before it adds up.
func together(tallies []tally) tally {
	all := tally{ended: time.Now(), cpuSeconds: cpuSeconds()}
	for _, each := range tallies {
		all.times = append(all.times, each.times...)
		all.rows += each.rows
		all.failures += each.failures
	}
	return all
}

func (seen tally) report() report {
	sort.Slice(seen.times, func(i, j int) bool { return seen.times[i] < seen.times[j] })
	return report{
		Requests: len(seen.times),
		Rows:     seen.rows,
		P50:      seen.millisecondsAt(0.5),
		P99:      seen.millisecondsAt(0.99),
		P999:     seen.millisecondsAt(0.999),
		Failures: seen.failures,
	}
}

// millisecondsAt is the time below which that share of all lies; 0 where there are none.
func (seen tally) millisecondsAt(share float64) float64 {
	if len(seen.times) == 0 {
		return 0
	}
	place := min(len(seen.times)-1, int(share*float64(len(seen.times))))
	return seen.times[place].Seconds() * 1000
}
