// Sqlcache is a sample service: it looks articles up in a SQL database, with Gannet in
// front of it.
//
//	gannet dev                                  (in one shell)
//	go run ./client/examples/sqlcache           (in another)
//
// It generates a database of 100,000 articles in SQLite, reads them as visitors of a
// site would, few of them very often (Zipf), and changes one now and then. At the end
// it says how many of the reads the database had to answer, and how long they took.
//
// What there is to see: store.go is the database, as it would be without a cache.
// service.go is the cache in front of it, which takes ten lines: a read is
// [gannet/client.Client.GetOrLoad], and a write is the database's, followed by a
// Delete. The order matters: whoever loads the article between the two has its fill
// refused by the node, because the Delete has overtaken its lease. What the cache has
// is therefore never older than the database for longer than the write takes.
package main
