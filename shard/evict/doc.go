// Package evict decides which item of a size class goes when a slot is needed.
package evict
