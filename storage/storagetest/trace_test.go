package storagetest

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// TestScanFindsWhatIsWrapped: a text is found behind every encoding that Decode knows, and behind any two of them in either order.
func TestScanFindsWhatIsWrapped(t *testing.T) {
	const secret = "Zoë <canary> & \"co\" %41"
	wraps := map[string]func(body []byte) []byte{
		"plain":   func(b []byte) []byte { return append([]byte("before "), b...) },
		"gzip":    gzipOf,
		"zstd":    func(b []byte) []byte { return must(new(zstd.Codec).Encode(nil, b)) },
		"zip":     zipOf,
		"Parquet": parquetOf,
		"sorted":  func(b []byte) []byte { return sortedOf(t, b) },
		"JSON":    func(b []byte) []byte { return must(json.Marshal(map[string]string{"a": string(b)})) },
		"Go":      func(b []byte) []byte { return fmt.Appendf(nil, "level=INFO msg=%q", b) },
		"HTML":    func(b []byte) []byte { return []byte("<p title='" + html.EscapeString(string(b)) + "'>") },
		"percent": func(b []byte) []byte { return []byte("/v1/x?id=" + url.QueryEscape(string(b))) },
		"hex":     func(b []byte) []byte { return []byte("list/" + hex.EncodeToString(b) + " of") },
		"HEX":     func(b []byte) []byte { return []byte("a" + strings.ToUpper(hex.EncodeToString(b))) },
		"base64":  func(b []byte) []byte { return []byte(`{"of":"` + base64.StdEncoding.EncodeToString(b) + `"}`) },
		"url64":   func(b []byte) []byte { return []byte("x/" + base64.RawURLEncoding.EncodeToString(b)) },
	}
	asBytes := map[string]bool{"JSON": true, "Go": true, "HTML": true, "percent": true} // they change bytes that are no text
	packs := map[string]bool{"gzip": true, "zstd": true, "zip": true, "Parquet": true, "sorted": true}
	var traces Traces
	if err := traces.Add("secret", []byte(secret)); err != nil {
		t.Fatal(err)
	}
	// Blanks are pluses in addresses, which are no escape: what is looked for there has none.
	if err := traces.Add("secret", []byte(strings.ReplaceAll(secret, " ", "+"))); err != nil {
		t.Fatal(err)
	}
	for inner, in := range wraps {
		for outer, out := range wraps {
			if asBytes[outer] && packs[inner] || outer == "plain" && packs[inner] {
				continue
			}
			n := 0
			if err := traces.Scan("body", out(in([]byte(secret))), func(name, where string) { n++ }); err != nil || n == 0 {
				t.Errorf("%s in %s: found %d times: %v", inner, outer, n, err)
			}
			if err := traces.Scan("body", out(in([]byte("nobody is here but chickens"))), func(name, where string) { t.Errorf("%s in %s: found where it is not: %s", inner, outer, where) }); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestScanRefuses: what cannot be read is an error and no silence, and so is a pattern that chance would find.
func TestScanRefuses(t *testing.T) {
	var traces Traces
	if err := traces.Add("short", []byte("abcde")); err == nil {
		t.Error("a pattern of five bytes is taken")
	}
	for name, body := range map[string][]byte{
		"Parquet": parquetOf([]byte("a"))[:40], "gzip": gzipOf(bytes.Repeat([]byte("abc"), 100))[:20], "zip": zipOf([]byte("a"))[:20], "zstd": []byte("\x28\xb5\x2f\xfdabcdef"), "sorted": []byte("nothing" + sortedMagic),
	} {
		if err := traces.Scan(name, body, func(string, string) {}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a damaged %s: %v", name, err)
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func gzipOf(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	must(nil, func() error { _, err := z.Write(b); return err }())
	must(nil, z.Close())
	return out.Bytes()
}

func zipOf(b []byte) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	w, err := z.Create("README")
	must(nil, err)
	_, err = w.Write(b)
	must(nil, err)
	must(nil, z.Close())
	return out.Bytes()
}

func parquetOf(b []byte) []byte {
	type row struct {
		Plain string `parquet:"plain,snappy"`
		Dict  []byte `parquet:"dict,dict,zstd"`
	}
	var out bytes.Buffer
	must(nil, parquet.Write(&out, []row{{"a", b}, {"b", b}}))
	return out.Bytes()
}

func sortedOf(t *testing.T, b []byte) []byte {
	t.Helper()
	fs := vfs.NewMem()
	f, err := fs.Create("table", vfs.WriteCategoryUnspecified)
	must(nil, err)
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{})
	must(nil, w.Set([]byte("a"), b))
	must(nil, w.Close())
	r, err := fs.Open("table")
	must(nil, err)
	info, err := r.Stat()
	must(nil, err)
	out := make([]byte, info.Size())
	_, err = r.ReadAt(out, 0)
	return must(out, err)
}
