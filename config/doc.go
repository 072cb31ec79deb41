// Package config is the one configuration shared by gannet and gannet-dataplane.
//
// # Life of a setting
//
// A setting is born in the table of keys.go: name, default, range, and the
// field of Config it fills. Load meets it up to four times: as the default, as a
// key of the YAML file, as a GANNET_ variable, and as a flag; the later one
// wins (flag beats variable beats file beats default). The winning text is
// parsed once, by the key's own parser, so that a wrong value gets the same
// error wherever it came from, and the error names that place. Then the whole is
// validated for what no key can see alone. Loaded keeps, for each key, the text
// and the place it came from: `gannet config` prints them.
//
// # Invariants
//
//   - One name everywhere: key data-dir, flag --data-dir, variable
//     GANNET_DATA_DIR. The YAML file is flat.
//   - An unknown key, variable or flag is an error which names the nearest known
//     one. Variables that container platforms inject for a service called
//     "gannet" or "gannet-control" (GANNET_PORT, GANNET_CONTROL_SERVICE_HOST and
//     the like) are not ours.
//   - All that is wrong is reported at once, not only the first.
//   - A Config that Load returned needs no further checking.
//   - The package reads no clock and starts nothing; environment and arguments
//     are passed in.
package config
