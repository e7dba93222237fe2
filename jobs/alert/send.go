package alert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Destination is one place that is told.
type Destination struct {
	Where   string // names it in logs, as alerts[0]: its address is a secret
	Address string
	Format  string // json or slack
	Secret  []byte // bodies are signed with it; none: they are not
	On      []Kind
	Link    string // where people can open reports: what stands before reports/…; "": their place in storage is told
	Fault   error  // why nothing can be sent there, as that a secret can't be read; deliveries fail with it
}

func (d *Destination) on(k Kind) bool { return k == test || slices.Contains(d.On, k) }

// id names the destination in objects.
func (d *Destination) id() string {
	sum := sha256.Sum256([]byte("rapport alert destination\n" + d.Format + "\n" + d.Address))
	return hex.EncodeToString(sum[:6])
}

// CheckAddress reports why requests can't go to an address: it must be https, or http to this machine. The address is not repeated.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return errors.New("no address that a request can go to: want https://host/path")
	}
	switch {
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return errors.New("http would carry it in the clear through a network: use https (http goes to this machine only)")
	}
	return errors.New("no address that a request can go to: want https://host/path")
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// limits bound what sending may take. Tests shorten them.
type limits struct {
	request time.Duration // one request, from name look-up to the answer's header
	tries   int           // of one message to one destination, within one pass
	backoff time.Duration // before the second try; twice as long before the next
	pause   time.Duration // that a server may ask for: with a longer one, the next pass tries again
	pass    time.Duration // all sending of one pass
	store   time.Duration // reading and writing conditions, besides
}

var usual = limits{request: 5 * time.Second, tries: 3, backoff: 500 * time.Millisecond, pause: 5 * time.Second, pass: 20 * time.Second, store: 10 * time.Second}

// newClient returns the client of all webhooks: redirects are not followed (whoever answers could send a signed body elsewhere), and no
// connection is kept over hours.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	t.MaxIdleConns, t.MaxResponseHeaderBytes = 4, 64<<10
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	after  time.Duration // Retry-After; 0 if there was none
}

func (r *refusal) Error() string {
	switch {
	case r.status >= 300 && r.status < 400:
		return fmt.Sprintf("it redirects (%d), which is not followed: give the address that it redirects to", r.status)
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden, r.status == http.StatusNotFound, r.status == http.StatusGone:
		return fmt.Sprintf("it answered %d %s: is the address still the right one?", r.status, http.StatusText(r.status))
	}
	return fmt.Sprintf("it answered %d %s", r.status, http.StatusText(r.status))
}

// passing reports whether the same request may succeed soon.
func passing(err error) bool {
	var r *refusal
	if errors.As(err, &r) {
		return r.status >= 500 || r.status == http.StatusRequestTimeout || r.status == http.StatusTooEarly || r.status == http.StatusTooManyRequests
	}
	var cert *tls.CertificateVerificationError
	return !errors.As(err, &cert)
}

// send makes up to l.tries requests, with pauses that grow and jitter, and returns why the last failed. ctx bounds it all.
func (n *Notifier) send(ctx context.Context, d *Destination, m Message) error {
	body, err := m.body(d.Format)
	if err != nil {
		return err
	}
	pause := n.limits.backoff
	for try := 1; ; try++ {
		err = n.post(ctx, d, body)
		if err == nil || try >= n.limits.tries || !passing(err) {
			break
		}
		wait := time.Duration(float64(pause) * (0.5 + n.Jitter()))
		var r *refusal
		if errors.As(err, &r) && r.after > wait {
			wait = r.after
		}
		if wait > n.limits.pause || n.Wait(ctx, wait) != nil {
			break
		}
		pause *= 2
	}
	if err != nil {
		return explain(err, n.limits.request)
	}
	return nil
}

// post makes one request. The answer's body is not read: its status says all.
func (n *Notifier) post(ctx context.Context, d *Destination, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, n.limits.request)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Address, bytes.NewReader(body))
	if err != nil {
		return errors.New("no address that a request can go to")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "rapport/"+n.Revision)
	if len(d.Secret) > 0 {
		req.Header.Set(SignatureHeader, Sign(d.Secret, body, n.Now()))
	}
	res, err := n.Client.Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return nil
	}
	r := &refusal{status: res.StatusCode}
	if after := res.Header.Get("Retry-After"); after != "" {
		if s, err := strconv.Atoi(strings.TrimSpace(after)); err == nil && s >= 0 {
			r.after = time.Duration(min(s, 1<<20)) * time.Second
		} else if t, err := http.ParseTime(after); err == nil {
			r.after = max(0, t.Sub(n.Now()))
		}
	}
	return r
}

// explain says what went wrong in words that hold no address: what net/http says repeats the URL, and looking up repeats the host.
func explain(err error, request time.Duration) error {
	var r *refusal
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("no answer within %s", request)
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case errors.As(err, &dns):
		return errors.New("its name is not known: does the network have a name server, and is the address right?")
	case errors.As(err, &cert), errors.As(err, &unknown):
		return errors.New("its certificate is not valid here")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("nothing listens there")
	}
	return errors.New("the connection failed")
}
