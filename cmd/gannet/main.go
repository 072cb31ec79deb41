package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"
)

// The exit codes.
const (
	exitDone  = 0
	exitMiss  = 1 // a miss, or a condition that did not hold
	exitError = 2
)

// Env is the world of one run.
type Env struct {
	Args    []string // without the program's name
	Program string   // as it was called
	Environ []string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Signals <-chan os.Signal // SIGINT, SIGTERM, SIGHUP
}

func main() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	os.Exit(run(&Env{
		Args: os.Args[1:], Program: os.Args[0], Environ: os.Environ(),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals,
	}))
}

// exitCode is what the grammar's help and version flags end with.
type exitCode int

// run is main over an injected world.
func run(env *Env) (code int) {
	defer func() {
		// The parser knows only one way to stop after --help: its exit function.
		if early := recover(); early != nil {
			exit, ok := early.(exitCode)
			if !ok {
				panic(early)
			}
			code = int(exit)
		}
	}()
	parser, err := newParser(env)
	if err != nil {
		return fail(env, err)
	}
	args := env.Args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return fail(env, usageError(err))
	}
	return fail(env, ctx.Run(env))
}

// errMiss ends a verb with exit code 1 and without a word.
var errMiss = errors.New("miss")

func fail(env *Env, err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errMiss):
		return exitMiss
	}
	fmt.Fprintf(env.Stderr, "gannet: %v\n", err)
	var unmet *unmetError
	if errors.As(err, &unmet) {
		return exitMiss
	}
	return exitError
}

// unmetError is a condition that did not hold: no error of anybody's, but worth a word.
type unmetError struct{ err error }

func (e *unmetError) Error() string { return e.err.Error() }
func (e *unmetError) Unwrap() error { return e.err }

// usageError adds where to read on to what the parser says.
func usageError(err error) error {
	verb := ""
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Command() != "" {
		if node := parse.Context.Selected(); node != nil {
			verb = " " + node.Path()
		}
	}
	return fmt.Errorf("%w; see gannet%s --help", err, verb)
}
