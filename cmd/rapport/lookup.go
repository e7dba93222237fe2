package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// openFor opens the project for what a verb asks of the people whose raw ids stand in a file, or on standard input, and writes that down in the
// access log; the caller closes it.
func (a *app) openFor(cmd *cobra.Command, ids string) (*project, []string, error) {
	p, err := a.open(cmd.Context(), true)
	if err != nil {
		return nil, nil, err
	}
	raw, err := a.readIDs(ids)
	if err == nil {
		err = a.logAccess(cmd, p, raw)
	}
	if err != nil {
		return nil, nil, errors.Join(err, p.Close())
	}
	return p, raw, nil
}

// readIDs reads raw ids, one a line, from a file or, as "-", from standard input: never from the command line, which histories and process
// lists keep.
func (a *app) readIDs(from string) ([]string, error) {
	if from == "" {
		return nil, usageError{errors.New("--ids is missing: a file with one id a line, or - for standard input")}
	}
	in := a.in
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return nil, usageError{fmt.Errorf("--ids: %w", err)}
		}
		defer f.Close()
		in = f
	}
	var out []string
	s := bufio.NewScanner(in)
	for n := 1; s.Scan(); n++ {
		text := strings.TrimSuffix(s.Text(), "\r")
		if text == "" {
			continue
		}
		id, err := event.Canonical(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--ids: line %d: %w", n, err)}
		}
		out = append(out, id)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("--ids: %w", err)
	}
	if len(out) == 0 {
		return nil, usageError{errors.New("--ids: no id given")}
	}
	return out, nil
}

// listLength is how many items the lists of the live model are meant to show.
func (p *project) listLength(ctx context.Context) int {
	var live struct{ Model string }
	if ptr, err := p.Online.Live(ctx); err == nil && json.Unmarshal(ptr.Meta, &live) == nil {
		if m, ok := p.Models[live.Model]; ok && m.Lists.K > 0 {
			return m.Lists.K
		}
	}
	return 10
}

// recommended is one subject's answer. Subject is the online key: raw ids are not repeated.
type recommended struct {
	Subject      string            `json:"subject"`
	Generation   uint64            `json:"generation"`
	Version      string            `json:"version"`
	List         string            `json:"list"`
	Variant      string            `json:"variant,omitempty"`
	Personalized bool              `json:"personalized"`
	Items        []online.ListItem `json:"items"`
}

func (a *app) recommendCmd() *cobra.Command {
	var ids, request, cart, language string
	var k int
	var explain bool
	c := &cobra.Command{
		Use:   "recommend --ids FILE|-|--cart ITEM,… [-k N] [--explain | --context COLUMN=LEVEL,…,at=TIME]",
		Short: "What serving systems would read for a subject, and why; or a list for the cart of a visitor who is not known",
		Args:  usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("cart") {
				if ids != "" || request != "" {
					return usageError{errors.New("recommend: --cart is for a visitor of whom nothing else is known: without --ids and --context")}
				}
				return a.cartList(cmd.Context(), cart, language, k, explain)
			}
			p, raw, err := a.openFor(cmd, ids)
			if err != nil {
				return err
			}
			defer p.Close()
			if !cmd.Flags().Changed("k") {
				k = p.listLength(cmd.Context())
			}
			if explain && request != "" {
				return usageError{errors.New("recommend: --explain and --context do not go together: the reasons are those of the published list, and a request has an order of its own")}
			}
			asked, err := parseRequest(request)
			if err != nil {
				return err
			}
			out := []recommended{}
			for _, id := range raw {
				key, err := p.names.Of(cmd.Context(), id)
				if err != nil {
					return err
				}
				l, ptr, err := a.listFor(cmd.Context(), p, key, k, asked)
				if errors.Is(err, online.ErrNoGeneration) {
					return notFoundError{fmt.Errorf("%w; rapport run JOB publishes one", err)}
				}
				if err != nil {
					return err
				}
				out = append(out, answered(key, l, ptr, explain))
			}
			said, err := a.sentences(cmd.Context(), p, language, out)
			if err != nil {
				return err
			}
			if longest := longestOf(out); cmd.Flags().Changed("k") && longest < k {
				fmt.Fprintf(a.err, "rapport: -k %d: the longest list published holds %s; 3 times lists.k are published, as far as items and list rules go\n", k, count(longest, "item"))
			}
			return a.print(out, func(w io.Writer) {
				for _, r := range out {
					kind := "personal list"
					if !r.Personalized {
						kind = "list not based on profiling"
					}
					row(w, "subject "+r.Subject[:12], fmt.Sprintf("%s, version %s, generation %d", kind, r.Version, r.Generation))
					for i, item := range r.Items {
						row(w, fmt.Sprintf("  %d", i+1), item.Item, fmt.Sprintf("%.4f", item.Score), said.why(item))
					}
				}
			})
		},
	}
	c.Flags().StringVar(&ids, "ids", "", "file of raw ids, one a line, or - for standard input")
	c.Flags().StringVar(&cart, "cart", "", "items, joined by commas, instead of --ids: the live model's list for a visitor who has these in the cart")
	c.Flags().IntVarP(&k, "k", "k", 0, "how many items (default: lists.k of the model that is live)")
	c.Flags().BoolVar(&explain, "explain", false, "say why")
	c.Flags().StringVar(&language, "language", "en", "in which --explain says why: "+strings.Join(configs.ReasonLanguages, " or "))
	c.Flags().StringVar(&request, "context", "", "rank again for a request, as device=phone,channel=app,at=2026-03-01T18:30:00Z")
	return c
}

// longestOf is the length of the longest list.
func longestOf(lists []recommended) (n int) {
	for _, l := range lists {
		n = max(n, len(l.Items))
	}
	return n
}

// spoken tells the reasons of lists in sentences.
type spoken struct {
	*configs.Sentences
	titles map[string]string
}

// sentences prepares what the reasons of lists need to be told: the sentences of a language, and the titles of the items that they speak of.
func (a *app) sentences(ctx context.Context, p *project, language string, lists []recommended) (*spoken, error) {
	s, err := configs.Reasons(language)
	if err != nil {
		return nil, usageError{fmt.Errorf("--language: %w", err)}
	}
	out := &spoken{s, map[string]string{}}
	now := table.Micros(p.runner.Now())
	for _, l := range lists {
		for _, item := range l.Items {
			for _, r := range item.Reasons {
				if r.Kind != "event" && r.Kind != "again" && r.Kind != "popularity" {
					continue
				}
				if _, known := out.titles[r.Ref]; known {
					continue
				}
				if out.titles[r.Ref], err = online.LookupTitle(ctx, p.Online, r.Ref, now); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// why says why an entry stands in a list, and how far that is to be trusted.
func (s *spoken) why(item online.ListItem) string {
	var parts []string
	for _, r := range item.Reasons {
		if text := s.Say(r, func(id string) string { return cmp.Or(s.titles[id], id) }); !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	if len(parts) > 0 {
		for _, d := range item.Doubts {
			parts = append(parts, s.Doubt(d))
		}
	}
	return strings.Join(parts, "; ")
}
