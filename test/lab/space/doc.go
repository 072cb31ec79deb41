// Package space makes named network namespaces and runs things inside them: what
// every lab that needs more than one machine is made of. A namespace lives from New
// to Remove; everything that enters it does so on a thread of its own, which ends
// with what it did, so that nothing else ever runs there by accident.
package space
