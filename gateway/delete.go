package gateway

import "net/http"

// delete answers DELETE. The protocol has no delete of a given version: a condition
// that needs one is refused. If-Match: * adds nothing to what DELETE does.
func (g *Gateway) delete(w http.ResponseWriter, r *http.Request, key string) error {
	match, none, err := conditions(r.Header)
	if err != nil {
		return err
	}
	if none.given || match.given && !match.any {
		return problemCondition("a DELETE takes no versions: the protocol deletes whatever is there")
	}
	if err := g.cache.Delete(r.Context(), key); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}
