package configs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// What a secret may take: bytes, and time where a command prints it.
const (
	maxSecret   = 1 << 16
	secretLimit = 30 * time.Second
)

// secretPlaces says where a secret may stand, for faults.
const secretPlaces = "env:NAME, file:PATH or command:PROGRAM ARGUMENT…"

// isSecretPlace reports whether a setting says where a secret stands, rather than being one.
func isSecretPlace(spec string) bool {
	kind, _, ok := strings.Cut(spec, ":")
	return ok && (kind == "env" || kind == "file" || kind == "command")
}

// checkSecret refuses a secret that stands in the file itself, and a command that cannot be one. It repeats neither.
func (p *Project) checkSecret(path, spec string) {
	if spec == "" {
		return
	}
	if !isSecretPlace(spec) {
		p.dec.at(path, secretPlaces, "the secret itself may not stand in the project file")
		return
	}
	if text, ok := strings.CutPrefix(spec, "command:"); ok {
		if _, err := commandLine(text); err != nil {
			p.dec.at(path, "", "%v", err)
		}
	}
}

// commandLine reads the words of a command: a JSON list of texts, or words between blanks. There is no shell, so what only a shell understands
// is refused where a reader would take it for meant.
func commandLine(text string) ([]string, error) {
	var words []string
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "[") {
		if err := json.Unmarshal([]byte(text), &words); err != nil {
			return nil, errors.New(`the command is no list of texts, as command:["vault", "read", "-field=key", "secret/rapport"]`)
		}
	} else if words = strings.Fields(text); strings.ContainsAny(text, "'\"`$|&;<>()\\") {
		return nil, errors.New(`the command has characters that a shell would read, and no shell does: write it as a list, as command:["vault", "read", "-field=key", "secret/rapport"]`)
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("the command is empty: name a program, as command:vault read -field=key secret/rapport")
	}
	return words, nil
}

// secretText reads what a place holds: the bytes of a variable, of a file or of what a command prints, without the space around them. Errors
// hold the names of variables, files and programs, and nothing that these said.
func (p *Project) secretText(spec string, env func(string) string) (text []byte, err error) {
	switch kind, name, _ := strings.Cut(spec, ":"); kind {
	case "env":
		if text = []byte(env(name)); len(text) == 0 {
			return nil, fmt.Errorf("the environment variable %s is not set", name)
		}
	case "file":
		f, err := os.Open(p.path(name))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if text, err = io.ReadAll(io.LimitReader(f, maxSecret+1)); err != nil {
			return nil, err
		}
		if len(text) > maxSecret {
			return nil, fmt.Errorf("%s has more than %d bytes: is it the right file?", name, maxSecret)
		}
	case "command":
		words, err := commandLine(name)
		if err != nil {
			return nil, err
		}
		if text, err = commandOutput(p.dir, words, secretLimit); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("write where the secret is, as %s, never the secret itself", secretPlaces)
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return nil, errors.New("what stands there is empty")
	}
	return text, nil
}

// secret is secretText for settings that are text; "" is no secret.
func (p *Project) secret(spec string, env func(string) string) (string, error) {
	if spec == "" {
		return "", nil
	}
	text, err := p.secretText(spec, env)
	return string(text), err
}

// commandOutput runs a program in the project's folder, without input, and returns what it prints. Its messages go nowhere: they may repeat what it
// was told to fetch. What takes longer than the limit, or prints too much, is ended.
func commandOutput(dir string, words []string, limit time.Duration) ([]byte, error) {
	name := filepath.Base(words[0])
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out := &bounded{over: cancel}
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Dir, c.Stdout, c.WaitDelay = dir, out, time.Second
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case out.full:
		return nil, fmt.Errorf("the command %s prints more than %d bytes: is it the right one?", name, maxSecret)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("the command %s did not end within %s: does it wait for somebody to log in?", name, limit)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("the command %s is not on this machine, or not on the PATH", name)
	case errors.As(err, &exit):
		return nil, fmt.Errorf("the command %s failed (%s); what it said is not repeated, since it may hold the secret: run it by hand", name, exit.ProcessState)
	case err != nil:
		return nil, fmt.Errorf("the command %s could not be run, or left a program behind that holds its output", name)
	}
	return out.text.Bytes(), nil
}

// bounded keeps up to maxSecret bytes, and calls over when more come.
type bounded struct {
	text bytes.Buffer
	full bool
	over func()
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > maxSecret {
		b.full = true
		b.over()
		return 0, io.ErrShortWrite
	}
	return b.text.Write(p)
}
