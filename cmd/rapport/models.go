package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
)

// object reads a whole object of the project's bucket.
func (p *project) object(ctx context.Context, key string) ([]byte, error) {
	r, _, err := p.Bucket.Get(ctx, key, storage.Range{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// version reads a version by model and number.
func (p *project) version(ctx context.Context, model, number string) (registry.Version, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(number, "v"))
	if err != nil {
		return registry.Version{}, usageError{fmt.Errorf("%q is no version: want a number", number)}
	}
	reg, err := registry.Open(p.Bucket, model)
	if err != nil {
		return registry.Version{}, usageError{err}
	}
	v, err := reg.Get(ctx, n)
	if errors.Is(err, storage.ErrNotFound) {
		err = notFoundError{fmt.Errorf("model %s has no version %d; rapport models list shows them", model, n)}
	}
	return v, err
}

// jobOf finds the job that trains a model.
func (p *project) jobOf(model string) (*jobs.Job, error) {
	js, err := p.allJobs()
	if err != nil {
		return nil, err
	}
	for _, j := range js {
		if j.Model.Name == model {
			return j, nil
		}
	}
	return nil, notFoundError{fmt.Errorf("no job of this project trains a model %q", model)}
}

// modelLine is a version as `models list` prints it.
type modelLine struct {
	Name    string             `json:"name"`
	Version int                `json:"version"`
	Aliases []string           `json:"aliases"`
	Created string             `json:"created"`
	Of      string             `json:"interval"`
	Digest  string             `json:"digest"`
	Metrics map[string]float64 `json:"metrics"`
	Gate    string             `json:"gate"`
	Reviews []registry.Change  `json:"reviews"` // approvals and rejections, oldest first: in which role, by whom and why
}

// approvers are the roles in which a version is approved or rejected: that of a token of serve, and those of people who answer for it.
var approvers = []string{"approver", "owner", "privacy", "legal"}

func (a *app) modelsCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "models", Short: "The registry of versions"})
	list := &cobra.Command{
		Use: "list [MODEL]", Short: "Versions, newest first", Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			lines, err := p.modelLines(cmd.Context(), args)
			if err != nil {
				return err
			}
			return a.print(lines, func(w io.Writer) {
				row(w, "MODEL", "VERSION", "ALIASES", "INTERVAL", "GATE", "ndcg@10", "DIGEST")
				for _, l := range lines {
					ndcg := "-"
					if v, ok := l.Metrics["ndcg@10"]; ok {
						ndcg = fmt.Sprintf("%.4f", v)
					}
					row(w, l.Name, l.Version, strings.Join(l.Aliases, ","), l.Of, l.Gate, ndcg, l.Digest[:12])
				}
			})
		},
	}
	show := &cobra.Command{
		Use: "show MODEL VERSION", Short: "One version", Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			v, err := p.version(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.print(v, func(w io.Writer) {
				row(w, "model", v.Name)
				row(w, "version", v.Number)
				row(w, "interval", v.Interval)
				row(w, "created", clock(v.Created))
				row(w, "gate", gate(v))
				for _, r := range v.Reasons {
					row(w, "reason", r)
				}
				row(w, "digest", v.Digest)
				row(w, "kernel class", v.KernelClass)
				for _, t := range v.Terms {
					row(w, "terms", t)
				}
				row(w, "encrypted", cmp.Or(v.Encrypted, "as the bucket does"))
				row(w, "inputs", count(len(v.Inputs), "day"))
				row(w, "report", p.Locate(v.Report.Link+".html"))
				for _, m := range slices.Sorted(maps.Keys(v.Metrics)) {
					row(w, "  "+m, fmt.Sprintf("%.4f", v.Metrics[m]))
				}
				for _, x := range v.Approvals {
					row(w, string(x.Action), fmt.Sprintf("%s (%s), %s: %s", x.By, x.Role, clock(x.At), x.Why))
				}
			})
		},
	}
	c.AddCommand(list, show, a.modelChange("promote", "Make a version live"), a.modelChange("rollback", "Make an earlier version live again, and pin it"),
		a.modelChange("unpin", "Let the alias follow new versions again"), a.modelChange("approve", "Allow a version that was rejected or waits"),
		a.modelChange("reject", "Forbid a version"), a.verifyCmd(), a.diffCmd())
	return c
}

// verdict says in a word or two what the gate said: what it let through while the rules were undecided did not pass them. Whether it was published then
// is another matter: the aliases say that.
func verdict(v registry.Verdict, decision string) string {
	if v == registry.Passed && decision != "" && decision != string(eval.Pass) {
		return "allowed, " + decision
	}
	return string(v)
}

// gate is the verdict of a version, and what became of it afterwards.
func gate(v registry.Version) string {
	s := verdict(v.Verdict, v.Decision)
	if n := len(v.Approvals); n > 0 {
		s += ", then " + v.Approvals[n-1].Review()
	}
	return s
}

func (p *project) modelLines(ctx context.Context, args []string) ([]modelLine, error) {
	names := map[string]bool{}
	js, err := p.allJobs()
	if err != nil {
		return nil, err
	}
	for _, j := range js {
		names[j.Model.Name] = len(args) == 0 || args[0] == j.Model.Name
	}
	out := []modelLine{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !names[name] {
			continue
		}
		reg, err := registry.Open(p.Bucket, name)
		if err != nil {
			return nil, err
		}
		versions, err := reg.Versions(ctx)
		if err != nil {
			return nil, err
		}
		live, err := reg.Live(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range slices.Backward(versions) {
			l := modelLine{Name: name, Version: v.Number, Aliases: []string{}, Created: v.Created.UTC().Format("2006-01-02T15:04:05Z"), Of: v.Interval.String(), Digest: v.Digest, Metrics: v.Metrics, Gate: gate(v), Reviews: slices.Concat([]registry.Change{}, v.Approvals)}
			for alias, t := range live.Aliases {
				if t.Version == v.Number {
					l.Aliases = append(l.Aliases, alias)
				}
			}
			slices.Sort(l.Aliases)
			out = append(out, l)
		}
	}
	if len(args) > 0 && !names[args[0]] {
		return nil, notFoundError{fmt.Errorf("no job of this project trains a model %q", args[0])}
	}
	return out, nil
}

// modelChange is a verb that changes what is live or may be. Each says who and why.
func (a *app) modelChange(verb, short string) *cobra.Command {
	var why, role, by string
	use, args := verb+" MODEL VERSION --why TEXT", 2
	review := verb == "approve" || verb == "reject"
	switch {
	case verb == "unpin":
		use, args = "unpin MODEL --why TEXT", 1
	case review:
		use = verb + " MODEL VERSION --role ROLE --why TEXT"
	}
	c := &cobra.Command{
		Use: use, Short: short, Args: usage(cobra.ExactArgs(args)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(why) == "" {
				return usageError{fmt.Errorf("%s: say why, with --why", verb)}
			}
			if review && !slices.Contains(approvers, role) {
				return usageError{fmt.Errorf("%s: --role %q: want %s", verb, role, strings.Join(approvers, ", "))}
			}
			by = whoAsks(by)
			// Rolling back may rebuild lists, which reads policy and hence needs the key.
			p, err := a.open(cmd.Context(), verb == "rollback" || verb == "promote")
			if err != nil {
				return err
			}
			defer p.Close()
			j, err := p.jobOf(args[0])
			if err != nil {
				return err
			}
			n := 0
			if len(args) > 1 {
				v, err := p.version(cmd.Context(), args[0], args[1])
				if err != nil {
					return err
				}
				n = v.Number
			}
			live, err := p.change(cmd.Context(), verb, j, n, role, by, why)
			p.progress.done()
			if err != nil {
				return err
			}
			return a.print(live, func(w io.Writer) {
				for _, alias := range slices.Sorted(maps.Keys(live.Aliases)) {
					t := live.Aliases[alias]
					pin := ""
					if x, ok := live.Pinned[alias]; ok {
						pin = "pinned by " + x.By + ": " + x.Why
					}
					row(w, alias, fmt.Sprintf("version %d", t.Version), fmt.Sprintf("generation %d", t.Generation), pin)
				}
				row(w, "fence", live.Fence)
			})
		},
	}
	c.Flags().StringVar(&why, "why", "", "the reason, for the journal")
	c.Flags().StringVar(&by, "by", "", "who asks for it (default: the user)")
	if review {
		c.Flags().StringVar(&role, "role", "", "in which role: "+strings.Join(approvers, ", "))
	}
	return c
}

func (p *project) change(ctx context.Context, verb string, j *jobs.Job, n int, role, by, why string) (registry.Live, error) {
	reg, err := registry.Open(p.Bucket, j.Model.Name)
	if err != nil {
		return registry.Live{}, err
	}
	now := p.runner.Now()
	switch verb {
	case "rollback":
		return p.runner.Rollback(ctx, j, n, by, why)
	case "promote":
		return p.runner.Promote(ctx, j, n, by, why)
	case "unpin":
		return reg.Unpin(ctx, j.Alias, by, why, now)
	case "approve":
		return reg.Approve(ctx, n, role, by, why, now)
	}
	return reg.Reject(ctx, n, role, by, why, now)
}

func (a *app) verifyCmd() *cobra.Command {
	return &cobra.Command{
		Use: "verify MODEL VERSION", Short: "Train a version again from its recorded inputs and compare digests", Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			j, err := p.jobOf(args[0])
			if err != nil {
				return err
			}
			v, err := p.version(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			out, err := p.runner.Verify(cmd.Context(), j, v.Number)
			p.progress.done()
			if err != nil {
				return err
			}
			if err := a.print(out, func(w io.Writer) {
				row(w, "outcome", out.Outcome)
				row(w, "digest", out.Digest)
				row(w, "again", out.Again)
			}); err != nil {
				return err
			}
			if out.Outcome == registry.Differs {
				return fmt.Errorf("version %d of %s is not what its recorded inputs make", out.Version, out.Model)
			}
			return nil
		},
	}
}

// diffCmd compares two versions. It is the one verb that prints a page and Markdown as well: -o html and -o md.
func (a *app) diffCmd() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use: "diff MODEL A B [-o table|json|md|html] [--out FILE]", Short: "What differs between two versions, and which is better for whom",
		Long: "Put two versions of a model beside each other, from their reports: figures (paired, person by person, where one was live when the other was\n" +
			"judged, or where the evaluations of one test window kept figures to be pooled, as a budget with pool asks; else each on its own, and it says so), gaps\n" +
			"by cohort, budgets, verdicts, and what they were made of. With -o html one page that needs nothing else, with -o md Markdown for a pull request.",
		Args:        usage(cobra.ExactArgs(3)),
		Annotations: map[string]string{formats: "table json md html"},
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			var versions [2]registry.Version
			for i, number := range args[1:] {
				if versions[i], err = p.version(cmd.Context(), args[0], number); err != nil {
					return err
				}
			}
			d, err := p.runner.Compare(cmd.Context(), versions[0], versions[1], p.Locate)
			if errors.Is(err, jobs.ErrNoReport) {
				return notFoundError{err}
			}
			if err != nil {
				return err
			}
			var out bytes.Buffer
			if err := a.writeDiff(&out, d); err != nil {
				return err
			}
			if to == "" {
				_, err = out.WriteTo(a.out)
				return err
			}
			if err := os.WriteFile(to, out.Bytes(), 0o644); err != nil {
				return fmt.Errorf("--out: %w", err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&to, "out", "", "the file to write; empty: standard output")
	return c
}

// writeDiff writes a comparison in the format that was asked for.
func (a *app) writeDiff(out io.Writer, d *eval.Diff) error {
	switch a.output {
	case "json":
		return d.WriteJSON(out)
	case "md":
		return d.WriteMarkdown(out)
	case "html":
		return d.WriteHTML(out)
	}
	w := newTable(out)
	_, says := d.Better()
	row(w, says)
	row(w, d.Tells)
	row(w)
	row(w, "", fmt.Sprintf("VERSION %d", d.A.Version), fmt.Sprintf("VERSION %d", d.B.Version), strings.ToUpper(d.Difference()), "95 % INTERVAL", "P")
	row(w, "interval", d.A.Interval, d.B.Interval)
	row(w, "verdict", d.A.Says, d.B.Says)
	for _, f := range d.Figures {
		span := "not tested"
		if f.Difference.Low != nil {
			span = fmt.Sprintf("%+.4f to %+.4f", *f.Difference.Low, *f.Difference.High)
		}
		row(w, f.Metric, figure("%.4f", f.A.Value), figure("%.4f", f.B.Value), figure("%+.4f", f.Difference.Value), span, probability(f.P))
	}
	for _, c := range d.Cohorts {
		row(w, "gap by "+c.Cohort, share(c.A.Value), share(c.B.Value))
	}
	for _, b := range d.Budgets {
		row(w, b.Budget, b.Before(), b.After())
	}
	for _, c := range d.Changes {
		row(w, c.Of+": "+c.What, cmp.Or(c.A, "-"), cmp.Or(c.B, "-"))
	}
	return w.Flush()
}

// figure prints a figure, or a dash.
func figure(format string, x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf(format, *x)
}

// probability prints a p, or nothing.
func probability(p *float64) string {
	if p == nil {
		return ""
	}
	return eval.Probability(*p)
}

// share prints a share in percent, or a dash.
func share(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100**x)
}
