package main

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"gannet/config"
)

// settingFlags makes a flag of each configuration key: a struct built from the table,
// so that a key is described in one place only. owner and defaults: see config.Input.
func settingFlags(owner string, defaults map[string]string) kong.Plugins {
	keys := config.Keys()
	fields := make([]reflect.StructField, len(keys))
	for i := range keys {
		k := &keys[i]
		help := k.Usage
		if def := effectiveDefault(k, defaults); def != "" {
			help += fmt.Sprintf(" (default: %s)", def)
		}
		fields[i] = reflect.StructField{
			Name: fieldName(k.Name),
			Type: reflect.TypeFor[*string](),
			Tag: reflect.StructTag(fmt.Sprintf(`name:%q help:%q placeholder:%q group:"settings"`,
				k.Name, kongText(help), placeholder(k.Name))),
		}
	}
	flags := reflect.New(reflect.StructOf(fields))
	return kong.Plugins{flags.Interface()}
}

func effectiveDefault(k *config.Key, defaults map[string]string) string {
	if def, ok := defaults[k.Name]; ok {
		return def
	}
	return k.Default
}

// kongText keeps the parser from reading ${…} into a text.
func kongText(s string) string { return strings.ReplaceAll(s, "$", "$$") }

func fieldName(key string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(key, "-") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

func placeholder(key string) string {
	parts := strings.Split(key, "-")
	return strings.ToUpper(parts[len(parts)-1])
}

// givenFlags collects the settings that were given as flags.
func givenFlags(plugins kong.Plugins) map[string]string {
	given := map[string]string{}
	if len(plugins) == 0 {
		return given
	}
	keys, values := config.Keys(), reflect.ValueOf(plugins[0]).Elem()
	for i := range keys {
		if text := values.Field(i).Interface().(*string); text != nil {
			given[keys[i].Name] = *text
		}
	}
	return given
}

// settings are the flags of the verbs that run or show a node.
type settings struct {
	ConfigFile string `name:"config" placeholder:"FILE" help:"YAML configuration file (GANNET_CONFIG)."`
	kong.Plugins
}

func (s *settings) load(env *Env, owner string, defaults map[string]string) (*config.Loaded, error) {
	return config.Load(config.Input{
		File: s.ConfigFile, Environ: env.Environ, Flags: givenFlags(s.Plugins), Owner: owner, Defaults: defaults,
	})
}
