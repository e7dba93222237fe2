package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/cost"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

func (a *app) runsCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "runs", Short: "The ledger of runs"})
	c.AddCommand(a.runsListCmd(), a.runsShowCmd(), a.runsWhyCmd(), a.runsCancelCmd())
	return c
}

// statuses are what --status takes.
var statuses = []string{
	string(ledger.Running), string(ledger.Succeeded), string(ledger.Failed), string(ledger.Rejected), string(ledger.Interrupted),
}

func (a *app) runsListCmd() *cobra.Command {
	var days int
	var job string
	var only []string
	c := &cobra.Command{
		Use: "list [--job JOB] [--status STATUS,…] [--days N]", Short: "Runs, newest first", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, s := range only {
				if !slices.Contains(statuses, s) {
					return usageError{fmt.Errorf("--status %q: one of %s", s, strings.Join(statuses, ", "))}
				}
			}
			if days < 1 {
				return usageError{fmt.Errorf("--days %d: want at least 1", days)}
			}
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			to := p.runner.Now().Add(time.Second)
			if p.Pinned() {
				to = to.AddDate(100, 0, 0)
			}
			all, err := ledger.Ledger{Bucket: p.Bucket}.List(cmd.Context(), p.runner.Now().AddDate(0, 0, -days), to)
			if err != nil {
				return err
			}
			lines := []ledger.Line{}
			for _, l := range all {
				if job != "" && l.Job != job {
					continue
				}
				if err := p.runner.SayGone(cmd.Context(), &l); err != nil {
					return err
				}
				status := l.Status
				if l.Gone {
					status = ledger.Interrupted
				}
				if len(only) == 0 || slices.Contains(only, string(status)) {
					lines = append(lines, l)
				}
			}
			return a.print(lines, func(w io.Writer) {
				row(w, "RUN", "JOB", "INTERVAL", "STATUS", "STARTED", "TOOK", "CAUSE", "FLAGS")
				for _, l := range lines {
					row(w, l.ID, l.Job, l.Label, l.Stands(), clock(l.Started), took(l.Seconds), l.Cause, l.Flags)
				}
			})
		},
	}
	f := c.Flags()
	f.IntVar(&days, "days", 31, "how far back")
	f.StringVar(&job, "job", "", "only this job")
	f.StringSliceVar(&only, "status", nil, "only these: "+strings.Join(statuses, ", "))
	return c
}

// took prints a duration that was measured in seconds.
func took(seconds float64) string {
	if seconds <= 0 {
		return "-"
	}
	if seconds < 10 {
		return fmt.Sprintf("%.1f s", seconds)
	}
	return (time.Duration(seconds) * time.Second).String()
}

// findRun reads the run that an argument names: an id or its beginning, "latest", or a job, whose last run it is then.
func (p *project) findRun(ctx context.Context, arg string) (*ledger.Run, error) {
	runs := ledger.Ledger{Bucket: p.Bucket}
	if _, err := p.Job(arg); err == nil {
		lines, err := runs.List(ctx, time.Time{}, p.runner.Now().AddDate(100, 0, 0))
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(lines, func(l ledger.Line) bool { return l.Job == arg })
		if i < 0 {
			return nil, fmt.Errorf("job %s: %w: it has never run", arg, ledger.ErrNotFound)
		}
		arg = lines[i].ID
	}
	return runs.Get(ctx, arg)
}

func (a *app) runsShowCmd() *cobra.Command {
	var places bool
	c := &cobra.Command{
		Use: "show RUN [--quarantine]", Short: "One run: steps, what they were made of, cost, errors",
		Long: "Show one run. RUN is its id, the beginning of one, latest, or a job, whose last run it is then.\n\n" +
			"--quarantine lists instead where the rows stand that its sources had and that were left out because they are none: file, row group, row (both\n" +
			"from 0), column and reason, and never a value. The first 1,000 of a file and 10,000 of a day are listed; the counts are complete.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			r, err := p.findRun(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if r.Status == ledger.Running {
				if r.Gone, err = p.runner.Gone(cmd.Context(), r.Job, r.Label); err != nil {
					return err
				}
			}
			if !places {
				return a.print(r, func(w io.Writer) { printRun(w, p, r) })
			}
			all, err := jobs.Quarantined(cmd.Context(), p.Bucket, r)
			if err != nil {
				return err
			}
			if all == nil {
				all = []expect.Place{}
			}
			return a.print(all, func(w io.Writer) { printPlaces(w, all, r) })
		},
	}
	c.Flags().BoolVar(&places, "quarantine", false, "list where the rows stand that were left out")
	return c
}

func printRun(w io.Writer, p *project, r *ledger.Run) {
	row(w, "run", r.ID)
	row(w, "job", r.Job)
	row(w, "interval", r.Interval)
	row(w, "status", r.Stands())
	row(w, "cause", r.Cause)
	row(w, "started", clock(r.Started))
	row(w, "ended", clock(r.Ended))
	if r.Cancelled != nil {
		row(w, "cancelled", r.Cancelled)
	}
	printReasons(w, r.Reasons, r.Flags)
	if r.Error != "" {
		row(w, "error", r.Error)
	}
	if r.Hint != "" {
		row(w, "hint", r.Hint)
	}
	if r.Waiting != "" {
		row(w, "waiting", r.Waiting)
	}
	if r.Report != "" {
		row(w, "report", p.Locate(r.Report+".html"))
	}
	printFunnel(w, "funnel", r.Funnel, r.FunnelAt, r.Learned)
	if c := r.Cost; c.Seconds > 0 {
		row(w, "cost", fmt.Sprintf("%s, %.1f s of processor, %s of memory at most%s", took(c.Seconds), c.CPUSeconds, bytesOf(c.PeakMemory), costNote(c)))
		row(w, "storage", fmt.Sprintf("%s read in %s, %s written in %d, %s", bytesOf(c.BytesRead), count(c.Gets, "request"), bytesOf(c.BytesWritten), c.Puts, count(c.Lists, "listing")))
	}
	var again []jobs.Reopened
	if len(r.Reopened) > 0 && json.Unmarshal(r.Reopened, &again) == nil {
		printReopened(w, again)
	}
	printViews(w, r.Steps)
	printQuality(w, r)
	row(w)
	row(w, "STEP", "LABEL", "STATUS", "SECONDS", "CPU", "MEMORY", "ROWS IN", "ROWS OUT", "READ", "WRITTEN")
	rest := r.Cost
	for _, group := range alike(r.Steps) {
		s, label := group[0], group[0].Label
		if len(group) > 1 {
			label = fmt.Sprintf("%s … %s, %d of them", label, group[len(group)-1].Label, len(group))
		}
		for _, x := range group {
			rest.Seconds, rest.CPUSeconds = rest.Seconds-x.Seconds, rest.CPUSeconds-x.CPUSeconds
			rest.BytesRead, rest.BytesWritten = rest.BytesRead-x.BytesRead, rest.BytesWritten-x.BytesWritten
		}
		row(w, s.Name, label, s.Status, fmt.Sprintf("%.2f", s.Seconds), fmt.Sprintf("%.2f", s.CPUSeconds), bytesOf(s.PeakMemory), s.RowsIn, s.RowsOut,
			bytesOf(s.BytesRead), bytesOf(s.BytesWritten))
	}
	if r.Cost.Seconds > 0 {
		row(w, "between them", "", "", fmt.Sprintf("%.2f", max(0, rest.Seconds)), fmt.Sprintf("%.2f", max(0, rest.CPUSeconds)), "", "", "",
			bytesOf(max(0, rest.BytesRead)), bytesOf(max(0, rest.BytesWritten)))
	}
	printLineage(w, r)
}

// printReasons prints why a run was refused, and what else it has to say: what is a reason already is said once.
func printReasons(w io.Writer, reasons, flags []string) {
	for _, x := range reasons {
		row(w, "reason", x)
	}
	for _, x := range flags {
		if kind, says := flagKind(x); !slices.Contains(reasons, x) && !slices.Contains(reasons, says) {
			row(w, kind, says)
		}
	}
}

// alike groups the steps so that those of one name that were done before, of which there are many, stand together.
func alike(steps []ledger.Step) [][]ledger.Step {
	var out [][]ledger.Step
	for _, s := range steps {
		if n := len(out) - 1; n >= 0 && s.Status == "skipped" && len(s.Inputs) == 0 {
			if last := out[n][0]; last.Status == "skipped" && last.Name == s.Name && len(last.Inputs) == 0 {
				out[n] = append(out[n], s)
				continue
			}
		}
		out = append(out, []ledger.Step{s})
	}
	return out
}

// printLineage prints what each step was made of and what it made.
func printLineage(w io.Writer, r *ledger.Run) {
	var any bool
	days, listed := 0, 0
	for _, s := range r.Steps {
		if s.Name == "ingest" && len(s.Inputs) > 0 {
			days++
		}
	}
	for _, s := range r.Steps {
		if len(s.Inputs) == 0 && len(s.Outputs) == 0 {
			continue
		}
		if s.Name == "ingest" && days > 3 {
			if listed++; listed == 2 {
				row(w, fmt.Sprintf("… %d days of ingest", days-2), "", "-o json has them all")
			}
			if listed > 1 && listed < days {
				continue
			}
		}
		if !any {
			row(w)
			row(w, "LINEAGE")
			any = true
		}
		row(w, s.Name+" "+s.Label, "is", s.Key)
		if s.Why != "" {
			row(w, "", "because", s.Why)
		}
		for _, in := range s.Inputs {
			row(w, "", "from", inputLine(in))
		}
		for _, o := range s.Outputs {
			row(w, "", "made", fmt.Sprintf("%s: %s, %s in %s, digest %.12s", o.Name, count(o.Rows, "row"), bytesOf(o.Bytes), count(o.Files, "file"), o.Digest))
		}
	}
}

func inputLine(in ledger.Input) string {
	digest := fmt.Sprintf("%.12s", in.Digest)
	switch in.Kind {
	case "files":
		return fmt.Sprintf("%s of %s, %s, fingerprint %s", count(int(in.N), "file"), in.Name, bytesOf(in.Bytes), digest)
	case "policy":
		return fmt.Sprintf("whose data may be used for %s, %s", in.Name, digest)
	case "model":
		return fmt.Sprintf("%s, version %d, %s", in.Name, in.N, digest)
	}
	if in.N > 1 {
		return fmt.Sprintf("%s %s … %s, %d of them, %s", in.Name, in.From, in.To, in.N, digest)
	}
	return fmt.Sprintf("%s %s, %s", in.Name, in.From, digest)
}

// costNote says of what processor time and memory are known.
func costNote(c cost.Cost) string {
	var notes []string
	if c.Shared {
		notes = append(notes, "of the process, which did other runs as well")
	}
	if c.Sampled {
		notes = append(notes, "the memory is the largest of a few samples")
	}
	if len(notes) == 0 {
		return ""
	}
	return " (" + strings.Join(notes, "; ") + ")"
}

func (a *app) runsWhyCmd() *cobra.Command {
	return &cobra.Command{
		Use: "why [RUN]", Short: "What happened in a run, what differs since it last worked, and what to try",
		Long: "Explain a run in plain words. RUN is its id, the beginning of one, a job, whose last run it is then, or latest, which is the default.",
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			r, err := p.findRun(cmd.Context(), append(args, ledger.Latest)[0])
			if err != nil {
				return err
			}
			js, err := p.allJobs()
			if err != nil {
				return err
			}
			why, err := p.runner.Why(cmd.Context(), js, r.ID)
			if err != nil {
				return err
			}
			return a.print(why, func(w io.Writer) { printWhy(w, why) })
		},
	}
}

func printWhy(w io.Writer, y *jobs.Why) {
	row(w, "run", y.Run)
	row(w, "job", y.Job)
	row(w, "interval", y.Interval)
	row(w, "status", y.Status)
	row(w, "what", y.Says)
	if y.Step != "" && y.Status != ledger.Succeeded {
		row(w, "where", y.Step)
	}
	if y.Object != "" {
		row(w, "object", y.Object)
	}
	if y.Error != "" {
		row(w, "error", y.Error)
	}
	for _, r := range y.Rules {
		owner := ""
		if r.Owner != "" {
			owner = fmt.Sprintf(" (the budget is %s's: %s)", r.Owner, r.Why)
		}
		row(w, "rule", r.Says+owner)
	}
	if y.Since != nil {
		row(w, "last worked", fmt.Sprintf("run %s of %s, %s", y.Since.ID, y.Since.Label, clock(y.Since.Ended)))
	} else if y.Status != ledger.Succeeded {
		row(w, "last worked", "never before")
	}
	for _, d := range y.Differs {
		to := " → "
		if strings.Contains(d.Was+d.Now, "→") { // a funnel has arrows of its own
			to = "; now "
		}
		row(w, "  differs", d.What+": "+d.Was+to+d.Now)
	}
	if y.Since != nil && len(y.Differs) == 0 {
		row(w, "  differs", "nothing that is recorded")
	}
	if y.Hint != "" {
		row(w, "hint", y.Hint)
	}
	for _, t := range y.Try {
		row(w, "try", t)
	}
}

// whoAsks is whom the records name: who was given with --by, or the user of this machine.
func whoAsks(by string) string {
	if by != "" {
		return by
	}
	u, err := user.Current()
	if err != nil {
		return "unknown"
	}
	return u.Username
}

func (a *app) runsCancelCmd() *cobra.Command {
	var why, by string
	var wait time.Duration
	c := &cobra.Command{
		Use: "cancel RUN --why TEXT", Short: "Ask the process that does a run, wherever it is, to end it; what is done stays done",
		Long: "Ask the process that does a run, on this machine or another, to end it. It looks every few seconds. What is done stays done, nothing is\n" +
			"half-published, and the same command goes on from there. A run whose process has died is recorded as interrupted.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(why) == "" {
				return usageError{errors.New("cancel: say why, with --why")}
			}
			if wait < 0 {
				return usageError{fmt.Errorf("--wait %s: want no less than 0", wait)}
			}
			by = whoAsks(by)
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			r, err := p.findRun(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			job, err := p.Job(r.Job)
			if err != nil {
				job = nil // the project has no such job any more; its runs can be cancelled all the same
			}
			out, err := p.runner.Cancel(cmd.Context(), job, r.ID, ledger.Cancel{By: by, Why: why}, int(wait/time.Second))
			if err != nil {
				return err
			}
			return a.print(out, func(w io.Writer) {
				row(w, "run", out.Run.ID)
				row(w, "asked", out.Request)
				switch out.Outcome {
				case "ended":
					row(w, "outcome", fmt.Sprintf("it has ended: %s", out.Run.Status))
				case "buried":
					row(w, "outcome", "its process had died before; the ledger says so now")
				default:
					row(w, "outcome", "its process has not answered yet; if its machine is gone, cancel again when its lease has ended")
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&why, "why", "", "the reason, for the ledger")
	f.StringVar(&by, "by", "", "who asks for it (default: the user of this machine)")
	f.DurationVar(&wait, "wait", 30*time.Second, "how long to wait for the answer")
	return c
}
