package gateway

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const docPath = "../docs/rest.md"

// example is a command of the documentation and what it says that it prints.
type example struct{ command, output string }

// examples reads the console blocks: commands behind "$ ", output up to the next.
func examples(text string) (list []example) {
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for part := range strings.SplitSeq("\n"+block[1], "\n$ ") {
			if command, output, ok := strings.Cut(part, "\n"); ok && command != "" {
				list = append(list, example{command, output})
			}
		}
	}
	return list
}

// TestDocumentedExamples runs what the documentation shows.
func TestDocumentedExamples(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skipf("curl is missing: %v", err)
	}
	text, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	list := examples(string(text))
	if len(list) < 10 {
		t.Fatalf("%d examples found", len(list))
	}
	w := newWorld(t)
	date := regexp.MustCompile(`(?m)^Date: .*\n`)
	for _, e := range list {
		command := exec.Command("bash", "-c", strings.ReplaceAll(e.command, DefaultListen, w.g.Addr()))
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%s: %v", e.command, err)
		}
		got := strings.ReplaceAll(string(out), "\r\n", "\n")
		got = date.ReplaceAllString(got, "")
		if strings.TrimSpace(got) != strings.TrimSpace(e.output) {
			t.Errorf("$ %s\nprints\n%s\nand is documented to print\n%s", e.command, got, e.output)
		}
	}
}

// TestDocumentedCodes: the documentation names each problem code that the source
// has, and no other.
func TestDocumentedCodes(t *testing.T) {
	text, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## Problems")
	section, _, _ = strings.Cut(section, "\n## ")
	var documented []string
	for _, row := range regexp.MustCompile(`(?m)^\| \d{3} \| ([^|]*) \|`).FindAllStringSubmatch(section, -1) {
		for _, code := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row[1], -1) {
			documented = append(documented, code[1])
		}
	}
	inSource := append(sourceCodes(t), "client-gone")
	documented = append(documented, "client-gone") // of the metrics' table
	slices.Sort(inSource)
	slices.Sort(documented)
	if inSource = slices.Compact(inSource); !slices.Equal(inSource, slices.Compact(documented)) {
		t.Errorf("documented: %v\nin the source: %v", documented, inSource)
	}
}

// sourceCodes collects the strings of the source that look like codes and stand
// where codes do.
func sourceCodes(t *testing.T) (codes []string) {
	t.Helper()
	shape := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	take := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && shape.MatchString(text) {
				codes = append(codes, text)
			}
		}
	}
	for _, name := range []string{"route.go", "problem.go", "condition.go", "get.go", "put.go", "delete.go", "multi.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr: // newProblem(status, code, detail)
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "newProblem" {
					take(n.Args[1])
				}
			case *ast.KeyValueExpr: // problem{code: …}
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "code" {
					take(n.Value)
				}
			case *ast.CompositeLit: // a row of fromCache
				if len(n.Elts) == 5 {
					take(n.Elts[2])
				}
			}
			return true
		})
	}
	return codes
}
