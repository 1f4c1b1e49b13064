package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"lt/engine/ledger"
	"lt/engine/metrics"
)

// The geometry of our histograms in HdrHistogram's words: microseconds, 1 µs to 1 h, three digits.
const (
	hdrLowest  = 1
	hdrHighest = int64(time.Hour / time.Microsecond)
	hdrDigits  = 3

	// maxRatio is how many of the histograms' unit make the milliseconds of the column Interval_Max.
	maxRatio = 1000
)

// writeHdrLog writes HdrHistogram's interval log, version 1.3: for each interval of each source the response times of what
// waited for an answer, tagged response, and the service times, tagged service; values are microseconds. The intervals come from
// the record. With several sources a tag is response@NAME.
func writeHdrLog(w io.Writer, l *ledger.Ledger) error {
	h := l.Header()
	b := bufio.NewWriter(w)
	started := float64(h.Started.UnixMilli()) / 1000
	fmt.Fprintf(b, "#[Histogram log format version 1.3]\n#[values are microseconds; the maximum is milliseconds; warm-up and pauses are in it]\n")
	fmt.Fprintf(b, "#[StartTime: %.3f (seconds since epoch), %s]\n", started, h.Started.UTC().Format(time.RFC3339))
	fmt.Fprintf(b, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n")
	several := len(l.Snapshot().Sources) > 1
	err := l.Replay(func(item ledger.Item) error {
		iv, ok := item.(*metrics.Interval)
		if !ok {
			return nil
		}
		var response, service metrics.Histogram
		for i := range iv.Records {
			r := &iv.Records[i]
			if int(r.Step) < len(h.Steps) && h.Steps[r.Step].Kind == metrics.KindStep && r.Outcome == metrics.Waited {
				response.Add(&r.Response)
				service.Add(&r.Service)
			}
		}
		at := ""
		if several {
			at = "@" + tag(iv.Source)
		}
		if err := hdrLine(b, "response"+at, iv, &response); err != nil {
			return err
		}
		return hdrLine(b, "service"+at, iv, &service)
	})
	if err != nil {
		return err
	}
	return b.Flush()
}

// hdrLine writes one histogram. The library's own log writer takes no other unit than nanoseconds for the maximum.
func hdrLine(b *bufio.Writer, tag string, iv *metrics.Interval, of *metrics.Histogram) error {
	h := hdr.New(hdrLowest, hdrHighest, hdrDigits)
	var err error
	of.Each(func(low, _ time.Duration, n uint64) bool {
		err = h.RecordValues(int64(low/time.Microsecond), int64(n))
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("write the interval at %v: %w", iv.From, err)
	}
	packed, err := h.Encode(hdr.V2CompressedEncodingCookieBase)
	if err != nil {
		return fmt.Errorf("write the interval at %v: %w", iv.From, err)
	}
	_, err = fmt.Fprintf(b, "Tag=%s,%.3f,%.3f,%.3f,%s\n", tag, iv.From.Seconds(), iv.Length.Seconds(), float64(of.Max())/float64(time.Microsecond)/maxRatio, packed)
	return err
}

// tag makes a name fit for a tag, which must not hold commas, spaces or line ends.
func tag(s string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && r != ',' && r != '=' {
			return r
		}
		return '_'
	}, s)
}
