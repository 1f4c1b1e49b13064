package scenario

import "go.yaml.in/yaml/v4"

// Key is one key of a small YAML file other than a scenario, with what takes its value: One for a single one, List for each of
// several. Their errors may have the remedy after a semicolon.
type Key struct {
	Name      string
	One, List func(text string) error
}

// ParseKeys reads such a file with the rules and messages of scenario files: unknown keys are errors with the nearest known one,
// and all mistakes come at once with their places. what names the file in messages; the first key is the example in an empty one. The error is an Errors.
func ParseKeys(path string, text []byte, what string, keys []Key) error {
	w := &walker{path: path, text: text, least: what + " needs at least one key, for example " + keys[0].Name + ": [10.0.0.0/8]"}
	if root := w.load(); root != nil {
		w.keys(root, what, keys)
	}
	return w.failed()
}

func (w *walker) keys(root *yaml.Node, what string, keys []Key) {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Name
	}
	o := w.object(root, what, names, nil)
	if o == nil {
		return
	}
	for _, k := range keys {
		n := o.get(k.Name)
		if n == nil {
			continue
		}
		values, take := []*yaml.Node{n}, k.One
		if k.List != nil {
			values, take = w.items(n, k.Name, true), k.List
		}
		for _, v := range values {
			if s, ok := w.scalar(v, k.Name); ok {
				if err := take(s); err != nil {
					w.fail(v, k.Name, err)
				}
			}
		}
	}
}
