// Package tuningtest has hosts to tune that are not there: trees of /sys and /proc in memory, built from compact
// descriptions of real machines, with an interface behind them that answers as drivers do. Anything can be made to fail.
package tuningtest
