package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// exported is what the export of a person's records came to.
type exported struct {
	To     string `json:"to"`
	Bytes  int64  `json:"bytes"`
	Rows   int64  `json:"rows"`
	Known  bool   `json:"known"`
	Closed []int  `json:"requests_closed"`
}

func (a *app) subjectExportCmd() *cobra.Command {
	var ids, to string
	c := &cobra.Command{
		Use: "export --ids FILE|- --to FILE.zip", Short: "All that is held of one person, with a README in plain words", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return usageError{errors.New("subject export: --to FILE.zip is missing: an export stands in no bucket")}
			}
			p, raw, err := a.openFor(cmd, ids)
			if err != nil {
				return err
			}
			defer p.Close()
			if len(raw) != 1 {
				return usageError{fmt.Errorf("subject export: %d ids: one person at a time, since what is exported is handed to them", len(raw))}
			}
			j, err := p.onlineJob(nil)
			if err != nil {
				return err
			}
			out := exported{To: to}
			f, err := os.CreateTemp(filepath.Dir(to), ".export-*") // of mode 0600
			if err != nil {
				return usageError{fmt.Errorf("--to: %w", err)}
			}
			defer os.Remove(f.Name()) // of what did not come to its end
			d, err := p.runner.Export(cmd.Context(), j, raw[0], f)
			if err == nil {
				out.Bytes, err = f.Seek(0, io.SeekCurrent)
			}
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			switch err := os.Link(f.Name(), to); {
			case errors.Is(err, fs.ErrExist):
				return usageError{fmt.Errorf("--to: %s is there already, and nothing is written over", to)}
			case err != nil:
				return usageError{fmt.Errorf("--to: %w", err)}
			}
			for _, h := range d.Holdings {
				out.Rows += h.Rows
			}
			out.Known = d.Known
			if out.Closed, err = p.runner.Exported(cmd.Context(), raw[0]); err != nil {
				return err
			}
			return a.print(out, func(w io.Writer) {
				row(w, "exported", count(out.Rows, "row")+", "+bytesOf(out.Bytes), out.To)
				if !out.Known {
					row(w, "known", "no: nothing is held of this id")
				}
				for _, n := range out.Closed {
					row(w, "request", fmt.Sprintf("%d is closed", n))
				}
			})
		},
	}
	c.Flags().StringVar(&ids, "ids", "", "file with one raw id, or - for standard input")
	c.Flags().StringVar(&to, "to", "", "the zip to write, which only you can read")
	return c
}
