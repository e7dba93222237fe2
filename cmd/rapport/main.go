package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/cmd/internal/frugal"
	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
)

func main() {
	frugal.SetUsual()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRejected    = 3
	exitHeld        = 4
	exitNotFound    = 5
	exitInterrupted = 130
)

// usageError is a fault of the command line or the project file.
type usageError struct{ error }

// notFoundError is a thing that was asked for and is not there.
type notFoundError struct{ error }

func (e usageError) Unwrap() error    { return e.error }
func (e notFoundError) Unwrap() error { return e.error }

func run(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{env: env, in: stdin, out: stdout, err: stderr, wall: time.Now}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitCode(ctx, err)
	if c, ok := jobs.CancelledBy(err); ok {
		fmt.Fprintf(stderr, "rapport: the run was cancelled %s; nothing is half-published, the same command resumes\n", c)
		return code
	}
	if code == exitInterrupted {
		fmt.Fprintln(stderr, "rapport: interrupted; nothing is half-published, the same command resumes")
		return code
	}
	fmt.Fprintf(stderr, "rapport: %s\n", strings.TrimPrefix(err.Error(), "rapport "))
	if code == exitHeld {
		fmt.Fprintln(stderr, "rapport: nothing was done; wait for the other run, or, if it is gone, for its lease to end")
	}
	return code
}

func exitCode(ctx context.Context, err error) int {
	var faults configs.Faults
	var usage usageError
	var missing notFoundError
	switch {
	case errors.As(err, &faults), errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, jobs.ErrOpenInterval), errors.Is(err, jobs.ErrBadRequest), errors.Is(err, jobs.ErrBadHold):
		return exitUsage
	case errors.Is(err, jobs.ErrRejected), errors.Is(err, registry.ErrRefused), errors.Is(err, jobs.ErrConsentHeld), errors.Is(err, jobs.ErrKeyNeeded):
		return exitRejected
	case errors.Is(err, storage.ErrHeld), errors.Is(err, storage.ErrLost):
		return exitHeld
	case errors.As(err, &missing), errors.Is(err, ledger.ErrNotFound), errors.Is(err, jobs.ErrEnded), errors.Is(err, jobs.ErrNothingToAcknowledge), errors.Is(err, jobs.ErrNoRequest), errors.Is(err, jobs.ErrNoHold), errors.Is(err, jobs.ErrNothingHeld):
		return exitNotFound
	case ctx.Err() != nil, errors.Is(err, jobs.ErrCancelled):
		return exitInterrupted
	}
	return exitFailed
}

// app is what the verbs share.
type app struct {
	env      func(string) string
	in       io.Reader
	out, err io.Writer
	wall     func() time.Time

	config  string // -c
	output  string // -o
	verbose bool
}

// formats is the annotation of a verb that prints in more formats than a table and JSON: it names all of them.
const formats = "formats"

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "rapport",
		Short:         "Turn a bucket of Parquet events into a recommender that people can trust",
		Version:       revision(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          subcommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if want := strings.Fields(cmp.Or(cmd.Annotations[formats], "table json")); !slices.Contains(want, a.output) {
				return usageError{fmt.Errorf("-o %s: want %s", a.output, strings.Join(want, " or "))}
			}
			if err := models.CheckKernels(); err != nil {
				return usageError{err}
			}
			return nil
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%s: %w (%s --help)", cmd.CommandPath(), err, cmd.CommandPath())}
	})
	f := root.PersistentFlags()
	f.StringVarP(&a.config, "config", "c", "", "project file (default: rapport.yaml here or in the nearest folder above)")
	f.StringVarP(&a.output, "output", "o", "table", "table or json")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log each step to stderr")
	root.AddCommand(
		a.initCmd(), a.synthCmd(), a.importCmd(), a.validateCmd(), a.planCmd(), a.runCmd(), a.backfillCmd(), a.statusCmd(),
		a.runsCmd(), a.alertsCmd(), a.modelsCmd(), a.demoCmd(), a.featuresCmd(), a.recommendCmd(), a.similarCmd(), a.subjectCmd(), a.keysCmd(), a.accessLogCmd(), a.reportCmd(),
		a.tuneCmd(), a.minimizeCmd(), a.mitigateCmd(), a.onlineCmd(), a.serveCmd(), a.jobsCmd(), a.driftCmd(), a.trustCmd(), a.purposesCmd(), a.consentCmd(), a.versionCmd(), a.schemaCmd(), a.duCmd(), a.gcCmd(), a.purgeCmd(), a.holdsCmd(), a.inspectCmd(),
	)
	a.completeArgs(root)
	return root
}

// group makes a command that only holds others: alone it prints its help, and a name that it does not hold is a fault.
func group(c *cobra.Command) *cobra.Command {
	c.Args = subcommand
	c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return c
}

func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	hint := cmd.CommandPath() + " --help lists them"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	name := "" // what follows a verb may be somebody's id, which is not repeated
	if !cmd.HasParent() {
		name = fmt.Sprintf(" %q", args[0])
	}
	return usageError{fmt.Errorf("%s: no such command%s (%s)", cmd.CommandPath(), name, hint)}
}

// noArgs refuses arguments without repeating them: they may be ids, which are given with --ids.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.Flags().Lookup("ids") != nil {
		return errors.New("takes no argument: ids come from a file or standard input, with --ids")
	}
	return errors.New("takes no argument")
}

// usage wraps the checks of positional arguments, so that they exit 2.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%s: %w (%s --help)", cmd.CommandPath(), err, cmd.CommandPath())}
		}
		return nil
	}
}
