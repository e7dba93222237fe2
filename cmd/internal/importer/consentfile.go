package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
)

// consentFile is a file of consent records that has been read and checked. It is written as it stands, in files of Parquet.
type consentFile struct {
	file   string
	rows   int64
	people *idSet
	sorter *sorter // of the rows, so that equal files give equal bytes in any order of rows
}

func (c *consentFile) close() error { return errors.Join(c.people.close(), c.sorter.close()) }

// readConsent reads a file of consent records: docs/contracts.md, Consent files. The subject's column may be called as it is in the events, and
// without a column of purposes a record is for both of the project.
func readConsent(ctx context.Context, file, subject string, c CSV) (_ *consentFile, err error) {
	in, err := openRecords(file, c.Format)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if slices.Contains(in.header, "subject") || !slices.Contains(in.header, subject) {
		subject = "subject"
	}
	at := map[string]int{}
	for _, name := range []string{subject, "state", "effective_at"} {
		if at[name], err = in.column("--consent, with the columns subject, purpose, state, effective_at", name); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"purpose", "recorded_at", "expires_at", "source", "record_id"} {
		if slices.Contains(in.header, name) {
			if at[name], err = in.column("--consent", name); err != nil {
				return nil, err
			}
		}
	}
	out := &consentFile{file: file, people: newIDSet(c.Scratch), sorter: newSorter(c.Scratch)}
	fail := func(err error) (*consentFile, error) { return nil, errors.Join(err, out.close()) }
	ids := idColumn{column: subject, trim: c.Format.Trim}
	times := map[string]*timeReader{}
	for _, name := range []string{"effective_at", "recorded_at", "expires_at"} {
		if times[name], err = newTimeReader("auto", c.Zone); err != nil {
			return fail(err)
		}
	}
	var buf []byte
	for {
		fields, err := in.read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fail(err)
		}
		out.rows++
		if out.rows%8192 == 0 && ctx.Err() != nil {
			return fail(ctx.Err())
		}
		here := place{file, in.line, out.rows}
		for i, f := range fields {
			if strings.ContainsAny(f, "\r\n") {
				return fail(in.fault(in.header[i], "a line break stands in it: a quote that is closed rows later hides the records between, and one of them may be a withdrawal"))
			}
		}
		field := func(name string) string {
			if i, ok := at[name]; ok && !missing(strings.TrimSpace(fields[i])) {
				return strings.TrimSpace(fields[i])
			}
			return ""
		}
		e := act{attrs: make([]string, 4)}
		if e.subject, err = ids.read(fields[at[subject]], here); err != nil {
			return fail(in.fault(subject, "%w", err))
		}
		if e.subject == "" {
			return fail(in.fault(subject, "the record has no subject: a lost record may be a lost withdrawal"))
		}
		if e.kind = field("state"); !policy.State(e.kind).Known() {
			return fail(in.fault("state", "no state of consent: write ConsentGiven, RenewedConsentGiven, Refused, Withdrawn, Revoked, Expired or another of W3C DPV 2.3"))
		}
		instants := [3]int64{}
		for i, name := range []string{"effective_at", "recorded_at", "expires_at"} {
			text := field(name)
			if text == "" {
				continue
			}
			if instants[i], err = times[name].read(text, here); err != nil {
				return fail(in.fault(name, "%w", err))
			}
		}
		if instants[0] == 0 {
			return fail(in.fault("effective_at", "missing: from when does the record hold?"))
		}
		if instants[1] == 0 {
			instants[1] = instants[0]
		}
		e.time = instants[0]
		e.attrs[0], e.attrs[1] = strconv.FormatInt(instants[1], 10), strconv.FormatInt(instants[2], 10)
		e.attrs[2], e.attrs[3] = field("source"), field("record_id")
		purposes := declaredPurposes
		if p := field("purpose"); p != "" {
			purposes = []string{p}
			if !slices.Contains(declaredPurposes, p) {
				return fail(in.fault("purpose", "the project that is made has the purposes %s: write one of them, or leave the column out for both", joined(declaredPurposes)))
			}
		}
		for _, e.item = range purposes {
			buf = e.appendTo(buf[:0])
			if err := out.sorter.add(buf); err != nil {
				return fail(err)
			}
		}
		if err := out.people.add(e.subject); err != nil {
			return fail(err)
		}
	}
	if out.rows == 0 {
		return fail(in.faultAt(1, "no rows below the header"))
	}
	for _, name := range []string{"effective_at", "recorded_at", "expires_at"} {
		if _, err := times[name].judge(name); err != nil {
			return fail(fmt.Errorf("%s: %w", file, err))
		}
	}
	if doubts := ids.doubts(); len(doubts) > 0 && !c.MixedIDs {
		return fail(fmt.Errorf("%s: %s; a withdrawal that meets nobody is lost: --mixed-ids takes each id as it is written", file, strings.Join(doubts, "; ")))
	}
	return out, nil
}

// write puts the records in the order of time. The project's clock stands still at now, and records of a later time do not exist for it: a
// denial that is known today is set to now, so that it holds, and grants are counted as late.
func (c *consentFile) write(ctx context.Context, out *output, now, today time.Time) (late, moved int64, err error) {
	page, part := newSheet(consentColumns), 0
	e := packed{attrs: make([][]byte, 4)}
	for record, err := range c.sorter.sorted() {
		if err != nil {
			return 0, 0, err
		}
		if err := e.decode(record); err != nil {
			return 0, 0, err
		}
		recorded, err1 := strconv.ParseInt(string(e.attrs[0]), 10, 64)
		expires, err2 := strconv.ParseInt(string(e.attrs[1]), 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return 0, 0, errRecord
		}
		if max(e.time, recorded) > now.UnixMicro() {
			switch {
			case policy.State(e.kind).Valid():
				late++
			case max(e.time, recorded) <= today.UnixMicro():
				e.time, recorded = min(e.time, now.UnixMicro()), min(recorded, now.UnixMicro())
				moved++
			}
		}
		page.bytes(0, e.subject)
		page.bytes(1, e.item)
		page.bytes(2, e.kind)
		page.time(3, e.time)
		page.time(4, recorded)
		page.time(5, expires)
		page.bytes(6, e.attrs[2])
		page.bytes(7, e.attrs[3])
		if err := page.end(); err != nil {
			return 0, 0, fmt.Errorf("encode consent: %w", err)
		}
		if page.rows == largest {
			if err := page.put(ctx, out, fmt.Sprintf("consent/records-%d.parquet", part)); err != nil {
				return 0, 0, err
			}
			page, part = newSheet(consentColumns), part+1
		}
	}
	if page.rows > 0 {
		err = page.put(ctx, out, fmt.Sprintf("consent/records-%d.parquet", part))
	}
	return late, moved, err
}
