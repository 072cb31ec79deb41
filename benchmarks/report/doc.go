// Package report shows what the suite found: a table in Markdown, and one HTML file
// with its plots inside, which needs nothing from the network.
package report
