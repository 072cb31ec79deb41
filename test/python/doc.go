// Package python runs the tests of the Python client: first those that need no
// node, the wire format's vectors among them, then those against a real node that
// is built and started here. Values then cross between that client and the
// command line, so that two codecs that share no code agree on what is stored.
package python
