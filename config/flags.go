package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// ParseFlags is the whole command line of a program that has nothing but
// configuration: --config and a flag for each key of its scope. Asked for help, it
// prints the flags to out and returns flag.ErrHelp.
func ParseFlags(program string, args, environ []string, scope Scope, out io.Writer) (*Loaded, error) {
	set := flag.NewFlagSet(program, flag.ContinueOnError)
	set.SetOutput(io.Discard) // errors are ours to word
	path := set.String("config", "", "YAML configuration `FILE` (GANNET_CONFIG)")
	flags := map[string]string{}
	for i := range keys {
		k := &keys[i]
		if k.Scope&scope == 0 {
			continue
		}
		set.Func(k.Name, k.Usage, func(v string) error {
			flags[k.Name] = v
			return nil
		})
	}
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, errors.Join(flag.ErrHelp, printUsage(program, scope, out))
	case err != nil:
		return nil, flagError(program, err, set)
	case set.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q: %s takes only flags, e.g. --memory=512MiB; see %s --help", set.Arg(0), program, program)
	}
	return Load(Input{File: *path, Environ: environ, Flags: flags})
}

// flagError puts the nearest flag into the flag package's message.
func flagError(program string, err error, set *flag.FlagSet) error {
	_, name, found := strings.Cut(err.Error(), "flag provided but not defined: -")
	if !found {
		return fmt.Errorf("%w; see %s --help", err, program)
	}
	known := []string{}
	set.VisitAll(func(f *flag.Flag) { known = append(known, f.Name) })
	e := &UnknownKeyError{Key: "--" + name, Source: Source{FromFlag, "--" + name}}
	if near := Nearest(name, known); near != "" {
		e.Nearest = "--" + near
	}
	return e
}

func printUsage(program string, scope Scope, out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s [flags]\n\nEach flag is also a key of the YAML file and a GANNET_ variable\n"+
		"(--data-dir, data-dir:, GANNET_DATA_DIR); flag beats variable beats file.\n\n"+
		"  --config FILE\n      YAML configuration file (GANNET_CONFIG)\n", program)
	for i := range keys {
		if k := &keys[i]; k.Scope&scope != 0 {
			fmt.Fprintf(&b, "  --%s VALUE\n      %s", k.Name, k.Usage)
			if k.Default != "" {
				fmt.Fprintf(&b, " (default %s)", k.Default)
			}
			b.WriteString("\n")
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
