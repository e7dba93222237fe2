package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/storage"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	switch args := os.Args[1:]; {
	case len(args) > 0 && args[0] == "protocols":
		err = protocols(ctx, args[1:], os.Stdout)
	case len(args) > 0 && args[0] == "warm":
		err = warm(ctx, args[1:], os.Stdout)
	case len(args) == 2:
		err = pool(ctx, args[0], args[1], os.Stdout)
	default:
		err = errors.New("usage: quality BUCKET-URL JOB, or quality protocols|warm [flags] PROJECT-FILE JOB")
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quality:", err)
		os.Exit(1)
	}
}

// pooled sums n·value and n²·se² over reports.
type pooled struct {
	n         int
	sum, var2 float64
}

func (p *pooled) add(n int, value, se float64) {
	p.n += n
	p.sum += float64(n) * value
	p.var2 += float64(n) * float64(n) * se * se
}

func (p *pooled) String() string {
	if p == nil || p.n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.4f ± %.4f", p.sum/float64(p.n), math.Sqrt(p.var2)/float64(p.n))
}

type column struct {
	metric string
	split  eval.Split
}

var columns = []column{{"ndcg@10", eval.All}, {"ndcg@10", eval.Repeat}, {"ndcg@10", eval.Explore}, {"recall@10", eval.All}, {"coverage@10", eval.All}}

// pool prints the tables of a job's reports.
func pool(ctx context.Context, url, job string, out io.Writer) error {
	b, err := storage.Open(ctx, url, storage.Options{})
	if err != nil {
		return err
	}
	figures := map[string]map[column]*pooled{}
	against := map[string]*pooled{}
	roles := map[string]eval.Role{}
	var reports []string
	for info, err := range b.List(ctx, "reports/"+job+"/", storage.ListOpt{}) {
		if err != nil {
			return err
		}
		if strings.HasSuffix(info.Key, ".json") {
			reports = append(reports, info.Key)
		}
	}
	if len(reports) == 0 {
		return fmt.Errorf("no report of job %s in %s", job, url)
	}
	fmt.Fprintf(out, "| interval | subjects | verdict | parts and weights |\n|---|---|---|---|\n")
	for _, key := range reports {
		r, err := read(ctx, b, key)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		var parts []string
		for _, p := range r.Model.Parts {
			parts = append(parts, fmt.Sprintf("%s %.2f", p.Name, p.Weight))
		}
		fmt.Fprintf(out, "| %s – %s | %d | %s | %s |\n", r.Run.Interval.Start.Format("2006-01-02"), r.Run.Interval.End.Format("2006-01-02"),
			r.Quality.Evaluated, r.Decision.Verdict, strings.Join(parts, ", "))
		for _, c := range r.Quality.Contenders {
			if c.Role == eval.Live {
				continue
			}
			if figures[c.Name] == nil {
				figures[c.Name], roles[c.Name] = map[column]*pooled{}, c.Role
			}
			for _, col := range columns {
				if e := c.Estimate(col.metric, col.split); e != nil && e.Value != nil && e.StandardError != nil {
					if figures[c.Name][col] == nil {
						figures[c.Name][col] = &pooled{}
					}
					figures[c.Name][col].add(e.N, *e.Value, *e.StandardError)
				}
			}
			if x := r.Quality.Comparison("ndcg@10", eval.All, c.Name); x != nil && x.Difference != nil {
				if against[c.Name] == nil {
					against[c.Name] = &pooled{}
				}
				against[c.Name].add(x.N, *x.Difference, (*x.High-*x.Low)/(2*1.96))
			}
		}
	}
	fmt.Fprintf(out, "\n| recommender | role | n | nDCG@10 | of repeats | of new items | recall@10 | coverage@10 | blend minus it, nDCG@10 |\n|---|---|---|---|---|---|---|---|---|\n")
	head := columns[0]
	names := slices.SortedFunc(maps.Keys(figures), func(a, b string) int {
		return cmp.Compare(figures[b][head].sum, figures[a][head].sum)
	})
	for _, name := range names {
		f := figures[name]
		fmt.Fprintf(out, "| %s | %s | %d |", name, roles[name], f[head].n)
		for _, c := range columns {
			fmt.Fprintf(out, " %s |", f[c])
		}
		fmt.Fprintf(out, " %s |\n", against[name])
	}
	return nil
}

func read(ctx context.Context, b storage.Bucket, key string) (*eval.Report, error) {
	body, _, err := storage.ReadAll(ctx, b, key)
	if err != nil {
		return nil, err
	}
	var r eval.Report
	return &r, json.Unmarshal(body, &r)
}
