// Package tuning tests what an operator installs: the Debian package, unpacked into a root of its own, its units, and
// the binaries started from there as systemd would start them.
package tuning
