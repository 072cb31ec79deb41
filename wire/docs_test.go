package wire

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestProtocolTextIsComplete: what the codec knows by name or number, docs/protocol.md tells.
func TestProtocolTextIsComplete(t *testing.T) {
	b, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	expect := func(what string) {
		t.Helper()
		if !strings.Contains(text, what) {
			t.Errorf("docs/protocol.md lacks %q", what)
		}
	}
	for reason := ReasonShort; reason < ReasonCount; reason++ {
		expect("`" + reason.String() + "`")
	}
	for status := range Status(StatusCount) {
		expect(fmt.Sprintf("| %d | %v |", status, status))
	}
	for code := Get; code < OpcodeCount; code++ {
		expect(fmt.Sprintf("| %d | %v |", code, code))
	}
	for _, limit := range []string{"0x6E47", "31,104,000", "1168", "65,507", "1 to 250", "9800"} {
		expect(limit)
	}
	for _, row := range []string{
		fmt.Sprintf("| %d | 8 | cookie |", OffsetCookie), fmt.Sprintf("| %d | 8 | minimum version |", OffsetMinVersion),
		fmt.Sprintf("| %d | 2 | reply room |", OffsetMaxReplyBytes), fmt.Sprintf("| %d | 4 | epoch |", OffsetEpoch),
		fmt.Sprintf("| %d | 16 | tag |", OffsetTag), fmt.Sprintf("| %d | 8 | argument |", OpOffsetArg),
		fmt.Sprintf("| %d | 8 | transfer |", OpOffsetTransfer), fmt.Sprintf("| %d | 4 | CRC32C |", ReplyOpOffsetCRC),
		fmt.Sprintf("| %d | 8 | token |", ReplyOpOffsetToken), fmt.Sprintf("| %d | 4 | offset |", ReplyOpOffsetOffsetBytes),
	} {
		expect(row)
	}
}

// TestProtocolTextLinks: the table of contents leads to headings that exist.
func TestProtocolTextLinks(t *testing.T) {
	b, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(b), -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors[strings.ReplaceAll(anchor, " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(string(b), -1)
	if len(links) == 0 {
		t.Fatal("no table of contents")
	}
	for _, link := range links {
		if !anchors[link[1]] {
			t.Errorf("no heading for #%s", link[1])
		}
	}
}
