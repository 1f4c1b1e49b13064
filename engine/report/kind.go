package report

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"lt/engine/ledger"
)

// Kind is a format of a report, named by the suffix of its files.
type Kind string

// The kinds. LT is the record itself, which is copied by whoever knows where it is.
const (
	JSON     Kind = ".json"
	CSV      Kind = ".csv"
	Markdown Kind = ".md"
	JUnit    Kind = ".xml"
	Lines    Kind = ".jsonl"
	HdrLog   Kind = ".hlog"
	LT       Kind = ".lt"
)

// Kinds lists the kinds that can be written.
func Kinds() []Kind { return []Kind{JSON, CSV, Markdown, JUnit, Lines, HdrLog, LT} }

// KindOf is the kind of a file, by its suffix. The error names the kinds that there are.
func KindOf(path string) (Kind, error) {
	suffix := Kind(strings.ToLower(filepath.Ext(path)))
	names := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		if k == suffix {
			return k, nil
		}
		names = append(names, string(k))
	}
	all := strings.Join(names, " ")
	switch suffix {
	case "":
		return "", fmt.Errorf("the suffix of %q says no kind of report; give one of %s", path, all)
	case ".html", ".htm":
		return "", fmt.Errorf("reports in HTML are not in this version; give one of %s", all)
	}
	return "", fmt.Errorf("there is no report of the kind %s; give one of %s", suffix, all)
}

// Write writes a report of one kind. HdrLog needs the record that the run left, for its histograms second by second.
func Write(k Kind, w io.Writer, l *ledger.Ledger) error {
	switch k {
	case JSON:
		return writeJSON(w, l)
	case CSV:
		return writeCSV(w, l)
	case Markdown:
		return writeMarkdown(w, l)
	case JUnit:
		return writeJUnit(w, l)
	case Lines:
		return writeLines(w, l)
	case HdrLog:
		return writeHdrLog(w, l)
	case LT:
		return fmt.Errorf("a record cannot be made from a report; copy the .lt file that the run wrote")
	}
	return fmt.Errorf("there is no report of the kind %q", string(k))
}
