package lineage

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/rapport-ml/rapport/jobs/alert"
)

// sink is where events go.
type sink interface {
	name() string // in records
	send(ctx context.Context, line []byte) error
}

// errRefused says that a sink will not take this event, now or later.
var errRefused = errors.New("the event was refused")

// fileSink appends a line an event. The file is opened anew for each, so that it may be rotated.
type fileSink struct{ path string }

func (f *fileSink) name() string { return "file" }

// send appends the line and syncs it. A line that a crash has left unfinished is ended first, so that it spoils no other.
func (f *fileSink) send(_ context.Context, line []byte) (err error) {
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return f.failed("open", err)
	}
	defer func() {
		if cerr := file.Close(); err == nil {
			err = f.failed("close", cerr)
		}
	}()
	out := append(bytes.Clone(line), '\n')
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := file.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			out = append([]byte{'\n'}, out...)
		}
	}
	if _, err := file.Write(out); err != nil { // one write: lines of two processes do not mix
		return f.failed("write", err)
	}
	return f.failed("sync", file.Sync())
}

func (f *fileSink) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("%s lineage.file %s: %w", what, f.path, err)
}

// httpSink posts an event a request.
type httpSink struct {
	url, token string
	revision   string
	client     *http.Client
}

func (h *httpSink) name() string { return "http" }

// requestTime bounds one request.
const requestTime = 5 * time.Second

func newHTTPSink(o Options) (*httpSink, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("lineage.url: no address that a request can go to: want https://host/path")
	}
	if o.Token != "" {
		if err := alert.CheckAddress(o.URL); err != nil {
			return nil, fmt.Errorf("lineage.url with a token: %w", err)
		}
	}
	if o.Client == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		t.MaxResponseHeaderBytes = 64 << 10
		o.Client = &http.Client{Transport: t}
	}
	client := *o.Client
	client.Timeout = requestTime
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // a token goes nowhere else
	if o.Timeout > 0 {
		client.Timeout = o.Timeout
	}
	return &httpSink{url: o.URL, token: o.Token, revision: o.Revision, client: &client}, nil
}

func (h *httpSink) send(ctx context.Context, line []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(line))
	if err != nil {
		return errors.New("lineage.url: no address that a request can go to")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "rapport/"+h.revision)
	if h.token != "" {
		req.Header.Set("Authorization", "Bearer "+h.token)
	}
	res, err := h.client.Do(req)
	if err != nil {
		var timeout net.Error
		if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
			return fmt.Errorf("lineage.url: no answer within %s", h.client.Timeout)
		}
		return errors.New("lineage.url: the endpoint can't be reached") // what net/http says repeats the address
	}
	res.Body.Close() // the status says all
	switch s := res.StatusCode; {
	case s >= 200 && s < 300:
		return nil
	case s == http.StatusBadRequest, s == http.StatusRequestEntityTooLarge, s == http.StatusUnprocessableEntity:
		return fmt.Errorf("lineage.url answered %d %s: %w", s, http.StatusText(s), errRefused)
	default:
		return fmt.Errorf("lineage.url answered %d %s", s, http.StatusText(s))
	}
}
