package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Exit codes.
const (
	ExitOK     = 0
	ExitFailed = 1 // a Deployment failed, a file was refused
	ExitUsage  = 2 // it could not run
)

// EnvPrefix begins the environment variable of every flag.
const EnvPrefix = "GITOPS_OPERATOR_"

// Flags are one command's flags. Define them with the methods of flag.FlagSet.
type Flags struct {
	*flag.FlagSet
	usage  string
	faults []string
}

// New returns the flags of a command. The usage line follows its name in the help.
func New(command, usage string) *Flags {
	f := &Flags{FlagSet: flag.NewFlagSet(command, flag.ContinueOnError), usage: usage}
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f
}

// List defines a flag that may be given several times. In its environment
// variable, commas separate the values. The values are there after Parse.
func (f *Flags) List(p *[]string, name, usage string) {
	f.Var(&list{values: p}, name, usage)
}

// Faultf adds a fault of a value, for the check given to Parse.
func (f *Flags) Faultf(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

// NoArguments adds a fault for each argument that is no flag.
func (f *Flags) NoArguments(rest []string) {
	for _, arg := range rest {
		f.Faultf("unexpected argument %q", arg)
	}
}

// CannotRun says on stderr why a command could not run, and returns the exit
// code for that.
func CannotRun(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "gitops-operator: %s\n", err)
	return ExitUsage
}

// Parse reads the environment, then args, and returns what is no flag. With
// faults, its own or those that check adds, it writes one line for each to
// stderr; with --help it writes the help to stdout. Then ok is false, and code
// is the exit code.
func (f *Flags) Parse(args []string, stdout, stderr io.Writer, check func(rest []string)) (rest []string, code int, ok bool) {
	f.readEnvironment()
	rest, help := f.readArguments(args)
	if help {
		f.help(stdout)
		return nil, ExitOK, false
	}
	if check(rest); len(f.faults) == 0 {
		return rest, ExitOK, true
	}
	for _, fault := range f.faults {
		fmt.Fprintf(stderr, "gitops-operator %s: %s\n", f.Name(), fault)
	}
	return nil, ExitUsage, false
}

func (f *Flags) readEnvironment() {
	f.VisitAll(func(fl *flag.Flag) {
		name := envName(fl.Name)
		value, set := os.LookupEnv(name)
		if !set || value == "" {
			return
		}
		if l, ok := fl.Value.(*list); ok {
			for v := range strings.SplitSeq(value, ",") {
				l.Set(strings.TrimSpace(v))
			}
			l.fromEnv = true
			return
		}
		if err := fl.Value.Set(value); err != nil {
			f.Faultf("%s is %q: use %s", name, value, wanted(fl))
			fl.Value.Set(fl.DefValue) // what was refused may have been stored
		}
	})
}

// readArguments goes on behind a fault, and behind an argument that is no flag.
func (f *Flags) readArguments(args []string) (rest []string, help bool) {
	var literal []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, literal = args[:i], args[i+1:]
	}
	for len(args) > 0 {
		before := args
		err := f.FlagSet.Parse(args)
		args = f.Args()
		switch {
		case err == nil && len(args) > 0:
			rest, args = append(rest, args[0]), args[1:]
		case errors.Is(err, flag.ErrHelp):
			return nil, true
		case err != nil:
			given := before[len(before)-len(args)-1] // the last that was looked at
			args = f.explain(err, given, args)
		}
	}
	return append(rest, literal...), false
}

// explain adds the fault that the flag package met, and returns the arguments to
// go on with.
func (f *Flags) explain(err error, given string, args []string) []string {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		f.Faultf("unknown flag --%s", name)
		// What follows an unknown flag is most likely its value.
		if !strings.Contains(given, "=") && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			args = args[1:]
		}
		return args
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		f.Faultf("--%s has no value: use %s", name, wanted(f.Lookup(name)))
		return args
	}
	for _, sep := range []string{"for flag -", "for -"} { // of booleans the package speaks otherwise
		if _, name, ok := strings.Cut(text, sep); ok {
			name, _, _ = strings.Cut(name, ":")
			if fl := f.Lookup(name); fl != nil {
				_, value, inOne := strings.Cut(given, "=")
				if !inOne {
					value = given
				}
				f.Faultf("--%s is %q: use %s", name, value, wanted(fl))
				fl.Value.Set(fl.DefValue) // what was refused may have been stored
				return args
			}
		}
	}
	f.Faultf("%s", text)
	return args
}

// wanted says what a flag's value looks like.
func wanted(fl *flag.Flag) string {
	if g, ok := fl.Value.(flag.Getter); ok {
		switch g.Get().(type) {
		case time.Duration:
			return "a duration such as 30s"
		case int:
			return "a whole number"
		case bool:
			return "true or false"
		case size:
			return "a size such as 500MiB or 2GiB, of 1MiB at least"
		}
	}
	return "a value"
}

func (f *Flags) help(w io.Writer) {
	fmt.Fprintf(w, "usage: gitops-operator %s %s\n\n", f.Name(), f.usage)
	f.SetOutput(w)
	f.PrintDefaults()
	fmt.Fprintf(w, "\nEvery flag also reads an environment variable: --git-timeout reads %sGIT_TIMEOUT.\n", EnvPrefix)
}

func envName(flagName string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// list is the value of a repeatable flag. The command line replaces what the
// environment gave.
type list struct {
	values  *[]string
	fromEnv bool // they are what the environment gave
}

func (l *list) String() string {
	if l.values == nil { // the flag package asks a zero value
		return ""
	}
	return strings.Join(*l.values, ",")
}

func (l *list) Set(v string) error {
	if l.fromEnv {
		*l.values, l.fromEnv = nil, false
	}
	*l.values = append(*l.values, v)
	return nil
}
