package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"gannet/client"
)

// condition is the content of If-Match or If-None-Match (RFC 9110, 13.1).
type condition struct {
	given bool
	any   bool // *
	tags  []entityTag
}

type entityTag struct {
	weak   bool
	opaque string // between the quotes
}

// etag is a version as a strong entity tag.
func etag(v client.Version) string { return `"` + versionText(v) + `"` }

// versionText is the number that the command line and /v1/keys show, too.
func versionText(v client.Version) string { return strconv.FormatUint(uint64(v), 10) }

// strongly says whether an item of this version meets If-Match.
func (c *condition) strongly(v client.Version) bool {
	text := versionText(v)
	return c.any || slices.ContainsFunc(c.tags, func(t entityTag) bool { return !t.weak && t.opaque == text })
}

// weakly says whether an item of this version is named by If-None-Match.
func (c *condition) weakly(v client.Version) bool {
	text := versionText(v)
	return c.any || slices.ContainsFunc(c.tags, func(t entityTag) bool { return t.opaque == text })
}

// versions are those that an item could have to meet If-Match. Weak tags and tags
// that were never ours are not among them.
func (c *condition) versions() []client.Version {
	var list []client.Version
	for _, t := range c.tags {
		n, err := strconv.ParseUint(t.opaque, 10, 64)
		v := client.Version(n)
		if err == nil && n != 0 && !t.weak && versionText(v) == t.opaque && !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}

// conditions reads both headers.
func conditions(h http.Header) (match, none condition, err error) {
	if match, err = parseCondition("If-Match", h.Values("If-Match")); err == nil {
		none, err = parseCondition("If-None-Match", h.Values("If-None-Match"))
	}
	return match, none, err
}

func parseCondition(name string, fields []string) (c condition, err error) {
	if len(fields) == 0 {
		return c, nil
	}
	c.given = true
	text := strings.Trim(strings.Join(fields, ","), " \t")
	if text == "*" {
		c.any = true
		return c, nil
	}
	ok := true
	for text = skipCommas(text); ok && text != ""; {
		var tag entityTag
		if tag, text, ok = cutTag(text); ok {
			c.tags = append(c.tags, tag)
		}
	}
	if !ok || len(c.tags) == 0 {
		return c, problemBadRequest(name + ` is malformed; write "version" with its quotes, several with commas, or *`)
	}
	return c, nil
}

func skipCommas(s string) string { return strings.TrimLeft(s, ", \t") }

// cutTag takes one entity tag from a list's beginning and what separates it from
// the next.
func cutTag(s string) (tag entityTag, rest string, ok bool) {
	s, tag.weak = strings.CutPrefix(s, "W/")
	if s, ok = strings.CutPrefix(s, `"`); !ok {
		return tag, s, false
	}
	if tag.opaque, rest, ok = strings.Cut(s, `"`); !ok {
		return tag, s, false
	}
	if strings.ContainsFunc(tag.opaque, func(r rune) bool { return r <= ' ' || r == 0x7F }) {
		return tag, rest, false
	}
	next := strings.TrimLeft(rest, " \t")
	return tag, skipCommas(next), next == "" || next[0] == ','
}
