package shop

// purpose keeps the streams of random numbers apart, so that drawing more of one never shifts another.
type purpose uint64

const (
	drawService purpose = iota + 1
	drawError
	drawSession
	drawCSRF
	drawOrder
	drawPrice
	drawStock
)

// hash is draw n of a stream: 64 uniform bits that depend on nothing but its arguments, so that any place of a stream
// is reached without the places before it. The finalizer is that of SplitMix64 (Steele, Lea, Flood: "Fast splittable
// pseudorandom number generators", OOPSLA 2014); it is applied between the arguments because a plain sum of them would
// make streams of neighbouring seeds overlap.
func hash(seed uint64, p purpose, n uint64) uint64 {
	return mix(mix(mix(seed)+uint64(p)) + n)
}

func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15 // 2^64 / golden ratio: SplitMix64's increment, which also keeps 0 from staying 0
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// uniform is draw n of a stream in the open interval (0, 1): neither end occurs, so its logarithm is always finite.
func uniform(seed uint64, p purpose, n uint64) float64 {
	return (float64(hash(seed, p, n)>>12) + 0.5) / (1 << 52)
}
