package configs

import "fmt"

// ListenDefault is where rapport serve answers unless it is told otherwise: this machine alone can reach it.
const ListenDefault = "127.0.0.1:8321"

// ServeToken reads the token that callers of rapport serve must send; "" if the project file names none.
func (o *Opened) ServeToken() (string, error) {
	token, err := o.secret(o.Serve.Token, o.env)
	if err != nil {
		return "", fmt.Errorf("serve.token: %w", err)
	}
	return token, nil
}
