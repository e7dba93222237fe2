package configs

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/rapport-ml/rapport/jobs/alert"
)

// leastReason is how long the reason must be for which something may go through a network unencrypted: long enough not to be a yes.
const leastReason = 12

// checkClear refuses stores to which data of people would go through a network in the clear, unless the file says aloud why that may be.
func (p *Project) checkClear() {
	d := p.dec
	if e := p.Storage.Endpoint; e != "" {
		if u, err := url.Parse(e); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			d.at("storage.endpoint", "as https://minio.internal:9000", "no address of a server")
		}
	}
	if (p.Storage.CertFile == "") != (p.Storage.KeyFile == "") {
		d.at("storage", "give both, or neither", "cert_file and key_file belong together")
	}
	for _, x := range p.clear() {
		p.checkReason(x.path, x.clear, x.why)
	}
}

// clearing is one connection, and whether it leaves this machine unencrypted.
type clearing struct {
	path  string // of the mapping in the project file
	clear bool
	why   string // as the file says
}

func (p *Project) clear() []clearing {
	return []clearing{
		{"storage", travels(p.Storage.Endpoint, "http"), p.Storage.Insecure},
		{"online", travels(p.Online.URL, "redis"), p.Online.Insecure},
		{"lineage", p.Lineage.Token == "" && travels(p.Lineage.URL, "http"), p.Lineage.Insecure}, // with a token no reason would do
	}
}

// travels reports whether an address has the scheme that does not encrypt, and leads to another machine.
func travels(address, plain string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == plain && u.Host != "" && alert.CheckAddress("http://"+u.Host) != nil
}

// checkReason wants a reason where something goes in the clear, and none where nothing does.
func (p *Project) checkReason(path string, clear bool, why string) {
	words := strings.Fields(why)
	switch at := path + ".insecure"; {
	case clear && why == "":
		p.dec.at(path, "use https or rediss; or say why it may be, as insecure: \"one rack, its own network, TLS comes in May\"", "goes to another machine unencrypted")
	case clear && (len(why) < leastReason || len(words) < 3):
		p.dec.at(at, `as "one rack, its own network, TLS comes in May"`, "is no reason")
	case !clear && why != "":
		p.dec.at(at, "leave it out", "nothing here leaves this machine unencrypted, so it would only allow that later")
	}
}

// InTheClear says which connections go to another machine unencrypted, and why the project file allows it.
func (p *Project) InTheClear() (out []string) {
	for _, x := range p.clear() {
		if x.clear {
			out = append(out, fmt.Sprintf("%s: %s", x.path, x.why))
		}
	}
	return out
}
