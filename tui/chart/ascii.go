package chart

// On a terminal that has no braille or no UTF-8 at all (see tui.ASCII) every cell is drawn with the nearest ASCII character.
// Drawing knows nothing of it: runes are replaced when a row is written out, each by one of the same width.

// asciiBraille has the character of each pattern of dots: a ladder of four heights, slopes where a line climbs through the
// cell, and lighter signs for a single dot, so that a dotted line differs from a drawn one.
var asciiBraille = func() (table [256]byte) {
	rows := [8]int{0, 1, 2, 0, 1, 2, 3, 3} // of each bit
	for mask := 1; mask < 256; mask++ {
		var sum, count [2]int // of the left and the right column
		lowest, highest := 3, 0
		for bit := range 8 {
			if mask>>bit&1 == 0 {
				continue
			}
			side := 0
			if bit >= 3 && bit != 6 {
				side = 1
			}
			sum[side] += rows[bit]
			count[side]++
			lowest, highest = min(lowest, rows[bit]), max(highest, rows[bit])
		}
		n := count[0] + count[1]
		mean := (2*(sum[0]+sum[1]) + n) / (2 * n)
		switch {
		case n == 1:
			table[mask] = "''.."[mean]
		case count[0] > 0 && count[1] > 0 && highest-lowest >= 2 && sum[0]*count[1] > sum[1]*count[0]:
			table[mask] = '/'
		case count[0] > 0 && count[1] > 0 && highest-lowest >= 2 && sum[0]*count[1] < sum[1]*count[0]:
			table[mask] = '\\'
		case highest-lowest >= 2:
			table[mask] = '|'
		default:
			table[mask] = `"~-_`[mean]
		}
	}
	table[0] = ' '
	return table
}()

// asciiRunes has the signs that the screen uses, each with the character that takes its place.
var asciiRunes = map[rune]byte{
	'─': '-', '━': '=', '│': '|', '┃': '|', '┊': ':', '┈': '.', '╌': '-', '┤': '+', '┬': '+', '└': '+', '┘': '+', '┌': '+', '┐': '+', '┼': '+', '╸': '>',
	'▁': '_', '▂': '.', '▃': '-', '▄': '=', '▅': '+', '▆': '*', '▇': '%', '█': '#', '▀': '"',
	'▏': '|', '▎': '|', '▍': '|', '▌': '+', '▋': '+', '▊': '*', '▉': '%', '░': '.', '▒': ':', '▓': '%',
	'●': '*', '○': 'o', '◐': '%', '◆': '+', '•': '*', '·': '.', '▲': '!', '✗': 'x', '✓': 'v', '▸': '>',
	'…': '~', '–': '-', '—': '-', '≥': '>', '≤': '<', '±': '~', '×': 'x', 'µ': 'u', '→': '>', '←': '<', '↑': '^', '↓': 'v',
}

// ascii is the character that stands for r where there is nothing but ASCII.
func ascii(r rune) byte {
	switch {
	case r < 0x7f:
		return byte(r)
	case r >= 0x2800 && r <= 0x28ff:
		return asciiBraille[r-0x2800]
	}
	if c, ok := asciiRunes[r]; ok {
		return c
	}
	return '?'
}
