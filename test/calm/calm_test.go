package main

import "testing"

func TestUpperBound(t *testing.T) {
	same := make([]round, 15)
	worse := make([]round, 15)
	for i := range same {
		same[i] = round{idle: 100 + float64(i%3), busy: 100 + float64((i+1)%3)}
		worse[i] = round{idle: 100, busy: 200}
	}
	if bound := upperBound(same); bound < 1 || bound > 1.02 {
		t.Errorf("equal halves: bound %.3f", bound)
	}
	if bound := upperBound(worse); bound < 1.9 {
		t.Errorf("twice as many under load: bound %.3f", bound)
	}
	if got := upperBound([]round{{}, {}}); got != 1 {
		t.Errorf("no late turn at all: bound %.3f", got)
	}
}
