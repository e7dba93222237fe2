package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// textFile is a file of text on disk, plain or gzip by its first bytes, as UTF-8 without a byte order mark.
type textFile struct {
	io.Reader
	name   string // as it was given
	file   *os.File
	size   int64 // on disk
	source *watched
}

// openText opens a file and refuses by name what is no text. cp1252 decodes Windows-1252, of which Latin-1's letters are a part.
func openText(path string, cp1252 bool) (*textFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t := &textFile{name: path, file: f}
	st, err := f.Stat()
	switch {
	case err != nil:
	case st.IsDir():
		err = errors.New("a folder: name the file")
	default:
		t.size = st.Size()
		err = t.start(f, cp1252)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return t, nil
}

// start looks at the first bytes of in and decides how to read it.
func (t *textFile) start(in io.Reader, cp1252 bool) error {
	r := bufio.NewReaderSize(in, 256<<10)
	if head, _ := r.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return fmt.Errorf("begins as gzip and is none: %w", err)
		}
		r = bufio.NewReaderSize(z, 256<<10)
	}
	head, err := r.Peek(512)
	if err != nil && err != io.EOF {
		return fmt.Errorf("%w: get the file again", err)
	}
	if err := notText(head); err != nil {
		return err
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		r.Discard(3) // they were peeked at
		cp1252 = false
	}
	t.source = &watched{Reader: r}
	t.Reader = t.source
	if cp1252 {
		t.Reader = &fromCP1252{in: bufio.NewReaderSize(t.source, 64<<10)}
	}
	return nil
}

// notText names the formats that are taken for CSV now and then.
func notText(head []byte) error {
	for _, f := range []struct{ magic, says string }{
		{"\xff\xfe", "UTF-16 text (its byte order mark says so): save it as UTF-8"},
		{"\xfe\xff", "UTF-16 text (its byte order mark says so): save it as UTF-8"},
		{"PK\x03\x04", "a zip archive or a spreadsheet (.xlsx): unpack it, or export the sheet as CSV"},
		{"PAR1", "a Parquet file: it needs no import; rapport init DIR --from URL makes a project over it"},
		{"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it (gzip is read as it is)"},
		{"BZh", "compressed with bzip2: unpack it (gzip is read as it is)"},
		{"SQLite format 3", "an SQLite database: export the table as CSV"},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return errors.New("this is " + f.says)
		}
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return errors.New("zero bytes stand in it: UTF-16 without a byte order mark, or no text at all; save it as UTF-8")
	}
	return nil
}

// read is how many bytes of the file on disk have been consumed, more or less: buffers run ahead.
func (t *textFile) read() int64 {
	at, err := t.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return at
}

func (t *textFile) Close() error { return t.file.Close() }

// fromCP1252 turns Windows-1252 into UTF-8.
type fromCP1252 struct {
	in   *bufio.Reader
	left []byte // of a character that did not fit
}

func (c *fromCP1252) Read(p []byte) (int, error) {
	n := copy(p, c.left)
	c.left = c.left[n:]
	for n < len(p) {
		b, err := c.in.ReadByte()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		var rune8 [utf8.UTFMax]byte
		enc := utf8.AppendRune(rune8[:0], cp1252Rune(b))
		k := copy(p[n:], enc)
		n += k
		if k < len(enc) {
			c.left = append(c.left[:0], enc[k:]...)
		}
		if c.in.Buffered() == 0 {
			return n, nil
		}
	}
	return n, nil
}

// cp1252 are the characters of the bytes 0x80 to 0x9f. The five that Windows-1252 leaves open are the control characters of Latin-1.
var cp1252 = [32]rune([]rune("€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ"))

func cp1252Rune(b byte) rune {
	if b >= 0x80 && b < 0xa0 {
		return cp1252[b-0x80]
	}
	return rune(b)
}
