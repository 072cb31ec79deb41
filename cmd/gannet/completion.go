package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is the text below the flags' summary.
func (completionCmd) Help() string {
	return `Examples:
  source <(gannet completion bash)
  gannet completion zsh > "${fpath[1]}/_gannet"
  gannet completion fish > ~/.config/fish/completions/gannet.fish`
}

// Run prints a completion script.
func (c *completionCmd) Run(env *Env, parser *kong.Kong) error {
	verbs := completions(parser.Model.Node, nil)
	write := map[string]func(io.Writer, []completion) error{"bash": writeBash, "zsh": writeZsh, "fish": writeFish}[c.Shell]
	return write(env.Stdout, verbs)
}

// completion is what may follow a path of verbs.
type completion struct {
	path  []string
	verbs []word
	flags []word
}

type word struct{ text, help string }

// completions walks the grammar.
func completions(node *kong.Node, path []string) []completion {
	c := completion{path: path}
	for _, flag := range node.Flags {
		if !flag.Hidden {
			c.flags = append(c.flags, word{"--" + flag.Name, firstSentence(flag.Help)})
		}
	}
	list := []completion{}
	for _, child := range node.Children {
		if child.Hidden {
			continue
		}
		c.verbs = append(c.verbs, word{child.Name, firstSentence(child.Help)})
		below := completions(child, append(path[:len(path):len(path)], child.Name))
		if child == node.DefaultCmd {
			c.flags = append(c.flags, below[0].flags...) // its flags go without its name
		}
		list = append(list, below...)
	}
	return append([]completion{c}, list...)
}

// firstSentence is short, and free of what shells would read.
func firstSentence(help string) string {
	help, _, _ = strings.Cut(help, ";")
	help, _, _ = strings.Cut(help, ". ")
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("'\"\\`$[]:", r) {
			return ' '
		}
		return r
	}, strings.TrimSuffix(help, "."))
}

func texts(words ...[]word) string {
	var all []string
	for _, list := range words {
		for _, w := range list {
			all = append(all, w.text)
		}
	}
	return strings.Join(all, " ")
}

func writeBash(w io.Writer, list []completion) error {
	var b strings.Builder
	b.WriteString("# bash completion for gannet\n_gannet() {\n\tlocal word=${COMP_WORDS[COMP_CWORD]} path= w words\n" +
		"\tfor w in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\t\tcase \"$path $w\" in\n")
	for _, c := range list[1:] {
		fmt.Fprintf(&b, "\t\t\" %s\") path=\" %[1]s\" ;;\n", strings.Join(c.path, " "))
	}
	b.WriteString("\t\tesac\n\tdone\n\tcase \"$path\" in\n")
	for _, c := range list[1:] {
		fmt.Fprintf(&b, "\t\" %s\") words=%q ;;\n", strings.Join(c.path, " "), texts(c.verbs, c.flags))
	}
	fmt.Fprintf(&b, "\t*) words=%q ;;\n\tesac\n", texts(list[0].verbs, list[0].flags))
	b.WriteString("\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\ncomplete -o default -F _gannet gannet\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func writeZsh(w io.Writer, list []completion) error {
	var b strings.Builder
	b.WriteString("#compdef gannet\n_gannet() {\n\tlocal -a words_here\n\tlocal path_here= w\n\tfor w in ${words[2,CURRENT-1]}; do\n\t\tcase \"$path_here $w\" in\n")
	for _, c := range list[1:] {
		fmt.Fprintf(&b, "\t\t\" %s\") path_here=\" %[1]s\" ;;\n", strings.Join(c.path, " "))
	}
	b.WriteString("\t\tesac\n\tdone\n\tcase \"$path_here\" in\n")
	for i, c := range list {
		pattern := fmt.Sprintf("%q", " "+strings.Join(c.path, " "))
		if i == 0 {
			pattern = "''"
		}
		fmt.Fprintf(&b, "\t%s) words_here=(", pattern)
		for _, w := range append(c.verbs[:len(c.verbs):len(c.verbs)], c.flags...) {
			fmt.Fprintf(&b, " '%s:%s'", w.text, w.help)
		}
		b.WriteString(" ) ;;\n")
	}
	b.WriteString("\tesac\n\t_describe gannet words_here || _files\n}\nif [ \"$funcstack[1]\" = _gannet ]; then _gannet; else compdef _gannet gannet; fi\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func writeFish(w io.Writer, list []completion) error {
	var b strings.Builder
	b.WriteString("# fish completion for gannet\n")
	for _, c := range list {
		condition := "__fish_use_subcommand"
		if len(c.path) > 0 {
			condition = "__fish_seen_subcommand_from " + c.path[len(c.path)-1]
		}
		for _, v := range c.verbs {
			fmt.Fprintf(&b, "complete -c gannet -f -n '%s' -a %s -d '%s'\n", condition, v.text, v.help)
		}
		for _, f := range c.flags {
			fmt.Fprintf(&b, "complete -c gannet -n '%s' -l %s -d '%s'\n", condition, strings.TrimPrefix(f.text, "--"), f.help)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
