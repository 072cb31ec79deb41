package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"gannet/config"
)

type configCmd struct {
	Show  configShowCmd  `cmd:"" default:"withargs" help:"Print every key with its effective value and where that came from (the default)."`
	Check configCheckCmd `cmd:"" help:"Check a configuration file without starting anything."`
}

// Help is the text below the flags' summary.
func (configCmd) Help() string {
	return `A flag beats a variable, a variable beats the file, the file beats the default. What is printed is
itself a valid configuration file.

Examples:
  gannet config
  gannet config --config gannet.yaml --memory 2GiB
  gannet config > gannet.yaml
  gannet config check gannet.yaml`
}

type configShowCmd struct {
	settings
	Output outputFormat `short:"o" default:"text" help:"text or json."`
}

// Run prints the effective configuration.
func (c *configShowCmd) Run(env *Env) error {
	loaded, err := c.load(env, "", nil)
	if err != nil {
		return err
	}
	if c.Output == outputJSON {
		return writeSettingsJSON(env, loaded)
	}
	for _, s := range loaded.Settings {
		if _, err := fmt.Fprintf(env.Stdout, "%-40s # %s\n", s.Key.Name+": "+yamlText(s.Value), s.Source); err != nil {
			return err
		}
	}
	return nil
}

func writeSettingsJSON(env *Env, loaded *config.Loaded) error {
	type line struct {
		Key    string `json:"key"`
		Value  string `json:"value"`
		Source string `json:"source"`
	}
	lines := make([]line, len(loaded.Settings))
	for i, s := range loaded.Settings {
		lines[i] = line{s.Key.Name, s.Value, s.Source.String()}
	}
	return json.NewEncoder(env.Stdout).Encode(lines)
}

// yamlText quotes what YAML would read as something else than this text.
func yamlText(v string) string {
	if v == "" || strings.ContainsAny(v, ":#{}[]&*!|>'\"%@`, ") || strings.HasPrefix(v, "-") {
		return strconv.Quote(v)
	}
	return v
}

type configCheckCmd struct {
	File string `arg:"" help:"YAML configuration file."`
}

// Help is the text below the flags' summary.
func (configCheckCmd) Help() string {
	return `Reports everything that is wrong, not only the first; exit code 2 if anything is.

Examples:
  gannet config check /etc/gannet/gannet.yaml`
}

// Run checks a file by itself: neither environment nor flags count.
func (c *configCheckCmd) Run(env *Env) error {
	if _, err := config.Load(config.Input{File: c.File}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(env.Stdout, "%s is good\n", c.File)
	return err
}
