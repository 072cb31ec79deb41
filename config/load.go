package config

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

const variablePrefix = "GANNET_"

// SourceKind is the kind of place a value came from.
type SourceKind uint8

// The kinds, weakest first: a later one wins.
const (
	FromDefault SourceKind = iota
	FromFile
	FromVariable
	FromFlag
)

// Source is the place a value came from.
type Source struct {
	Kind  SourceKind
	Where string // the file, the variable or the flag; the owner of a Default
}

// String is what `gannet config` prints beside a value.
func (s Source) String() string {
	switch s.Kind {
	case FromFile:
		return "file " + s.Where
	case FromVariable:
		return "variable " + s.Where
	case FromFlag:
		return "flag " + s.Where
	default:
		return strings.TrimSpace("default " + s.Where)
	}
}

func (s Source) describe(key string) string {
	switch s.Kind {
	case FromFile:
		return s.Where + ": " + key
	case FromVariable, FromFlag:
		return s.Where
	default:
		return key
	}
}

// Input is all that Load looks at.
type Input struct {
	File    string            // YAML; empty: GANNET_CONFIG, else none
	Environ []string          // as os.Environ returns it
	Flags   map[string]string // key name → text, for the flags that were given

	// Defaults stand in for those of Keys, on behalf of Owner ("gannet dev").
	Defaults map[string]string
	Owner    string
}

// Setting is the effective text of a key and where it came from.
type Setting struct {
	Key    *Key
	Value  string
	Source Source
}

// Loaded is a valid configuration with the origin of each value.
type Loaded struct {
	Config

	// File is the YAML file that was read; empty: none.
	File     string
	Settings []Setting // one for each key, in the order of Keys
}

// Given tells whether a key was set anywhere: it has no default value.
func (l *Loaded) Given(name string) bool {
	for _, s := range l.Settings {
		if s.Key.Name == name {
			return s.Source.Kind != FromDefault
		}
	}
	return false
}

// FlagArgs repeats, for another process, what the file and the environment do not
// say: --config and the flags among the keys of that process.
func (l *Loaded) FlagArgs(scope Scope) []string {
	var args []string
	if l.File != "" {
		args = append(args, "--config="+l.File)
	}
	for _, s := range l.Settings {
		given := s.Source.Kind == FromFlag || s.Source.Kind == FromDefault && s.Source.Where != ""
		if given && s.Key.Scope&scope != 0 {
			args = append(args, s.Key.Flag()+"="+s.Value)
		}
	}
	return args
}

// layer is the texts one place gave, keyed by key name.
type layer struct {
	values *koanf.Koanf
	source func(key string) Source
	raw    func(key string) string // a key in the form this place writes it
}

// Load merges defaults, file, environment and flags, and validates the result. The
// error joins everything that is wrong.
func Load(in Input) (*Loaded, error) {
	path := in.File
	if path == "" {
		path = lookup(in.Environ, "GANNET_CONFIG")
	}
	layers, err := readLayers(path, in)
	if err != nil {
		return nil, err
	}
	loaded := &Loaded{File: path}
	problems := unknownKeys(layers)
	for i := range keys {
		setting := settle(&keys[i], in, layers)
		if err := apply(&loaded.Config, setting); err != nil {
			problems = append(problems, err)
		}
		loaded.Settings = append(loaded.Settings, setting)
	}
	if len(problems) == 0 {
		problems = validate(&loaded.Config)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	loaded.fillIn()
	return loaded, nil
}

func readLayers(path string, in Input) ([]layer, error) {
	fileLayer, err := readFile(path)
	if err != nil {
		return nil, err
	}
	environLayer, err := readEnviron(in.Environ)
	if err != nil {
		return nil, err
	}
	flagLayer, err := readFlags(in.Flags)
	if err != nil {
		return nil, err
	}
	return []layer{fileLayer, environLayer, flagLayer}, nil
}

func readFile(path string) (layer, error) {
	l := layer{
		values: koanf.New("."),
		source: func(string) Source { return Source{FromFile, path} },
		raw:    func(key string) string { return key },
	}
	if path == "" {
		return l, nil
	}
	if err := l.values.Load(file.Provider(path), yaml.Parser()); err != nil {
		return l, &FileError{File: path, Err: err}
	}
	return l, nil
}

func readEnviron(environ []string) (layer, error) {
	toVariable := func(key string) string {
		return variablePrefix + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
	}
	l := layer{
		values: koanf.New("."),
		source: func(key string) Source { return Source{FromVariable, toVariable(key)} },
		raw:    toVariable,
	}
	provider := env.Provider("", env.Opt{
		Prefix:      variablePrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if foreign(name, value) || value == "" { // empty is how many tools unset a variable
				return "", nil
			}
			name = strings.TrimPrefix(name, variablePrefix)
			return strings.ToLower(strings.ReplaceAll(name, "_", "-")), value
		},
	})
	if err := l.values.Load(provider, nil); err != nil {
		return l, fmt.Errorf("read %s variables: %w", variablePrefix, err)
	}
	return l, nil
}

// foreign tells variables that begin like ours but are not configuration: those of
// the command line and of tests, and those Kubernetes and Docker inject for a
// service called gannet, or gannet-control and the like.
func foreign(name, value string) bool {
	switch name {
	case "GANNET_CONFIG", "GANNET_SERVER", "GANNET_TRACES", "GANNET_PORT", "GANNET_NAME":
		return true
	}
	for _, prefix := range []string{"GANNET_TEST_", "GANNET_SERVICE_", "GANNET_PORT_", "GANNET_ENV_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return injected.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

// injected are variables of a service whose name only begins like ours.
var injected = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_|$)|_PORT_[0-9]+_(TCP|UDP)(_|$)`)

func readFlags(flags map[string]string) (layer, error) {
	l := layer{
		values: koanf.New("."),
		source: func(key string) Source { return Source{FromFlag, "--" + key} },
		raw:    func(key string) string { return "--" + key },
	}
	flat := make(map[string]any, len(flags))
	for k, v := range flags {
		flat[k] = v
	}
	if err := l.values.Load(confmap.Provider(flat, ""), nil); err != nil {
		return l, fmt.Errorf("read flags: %w", err)
	}
	return l, nil
}

func unknownKeys(layers []layer) []error {
	known := names()
	var problems []error
	for _, l := range layers {
		for _, key := range slices.Sorted(maps.Keys(l.values.All())) {
			if slices.Contains(known, key) {
				continue
			}
			e := &UnknownKeyError{Key: l.raw(key), Source: l.source(key)}
			if near := Nearest(key, known); near != "" {
				e.Nearest = l.raw(near)
			}
			problems = append(problems, e)
		}
	}
	return problems
}

func names() []string {
	list := make([]string, len(keys))
	for i := range keys {
		list[i] = keys[i].Name
	}
	return list
}

func settle(k *Key, in Input, layers []layer) Setting {
	s := Setting{Key: k, Value: k.Default}
	if v, ok := in.Defaults[k.Name]; ok {
		s.Value, s.Source = v, Source{FromDefault, in.Owner}
	}
	for _, l := range layers {
		if l.values.Exists(k.Name) {
			s.Value, s.Source = flatten(l.values.Get(k.Name)), l.source(k.Name)
		}
	}
	return s
}

// flatten gives what YAML made of a value back its text; lists become
// comma-separated.
func flatten(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return strings.TrimSpace(v)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = flatten(v[i])
		}
		return strings.Join(parts, ",")
	default:
		return fmt.Sprint(v)
	}
}

func apply(c *Config, s Setting) error {
	err := s.Key.set(c, s.Value)
	if err == nil {
		return nil
	}
	return &ValueError{Key: s.Key.Name, Value: s.Value, Source: s.Source, Problem: err.Error()}
}

// fillIn replaces what "not set" stands for, in the values and in what is printed.
func (l *Loaded) fillIn() {
	if l.NodeID == 0 {
		l.NodeID = nodeID(l.NodeName)
	}
	if l.DataDir == "" {
		l.DataDir = filepath.Join("/dev/shm", "gannet-"+l.NodeName)
	}
	if l.EtcdDir == "" {
		l.EtcdDir = filepath.Join(l.DataDir, "etcd")
	}
	for i := range l.Settings {
		l.Settings[i].Value = l.Settings[i].Key.get(&l.Config)
	}
}

func nodeID(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name)) // a hash's Write never fails
	return max(1, h.Sum64())
}

func lookup(environ []string, name string) string {
	for _, entry := range slices.Backward(environ) {
		if k, v, ok := strings.Cut(entry, "="); ok && k == name {
			return v
		}
	}
	return ""
}
