package limits

import (
	"net"
	"os"
	"runtime"
	"testing"
)

func TestParseStat(t *testing.T) {
	const recorded = "cpu  89361 12 15557 589395 782 3 566 8107 40 2\ncpu0 44680 6 7778 294697 391 1 283 4053 20 1\nintr 1\n"
	if steal, total := parseStat([]byte(recorded)); steal != 8107 || total != 89361+12+15557+589395+782+3+566+8107 {
		t.Errorf("steal %d of %d", steal, total)
	}
	for _, text := range []string{"", "cpu\n", "cpu  1 2 3 4\n", "cpu0 1 2 3 4 5 6 7 8\n", "cpu 1 2 3 4 5 6 7 x\n", "cpu 1 2 3 4 5 6 7 -8\n"} {
		if steal, total := parseStat([]byte(text)); steal != 0 || total != 0 {
			t.Errorf("%q: steal %d of %d, want nothing", text, steal, total)
		}
	}
}

func TestParseSockstat(t *testing.T) {
	const four = "sockets: used 317\nTCP: inuse 41 orphan 0 tw 118 alloc 60 mem 300\nUDP: inuse 7 mem 2\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n"
	const six = "TCP6: inuse 12\nUDP6: inuse 3\nUDPLITE6: inuse 0\nRAW6: inuse 1\nFRAG6: inuse 0 memory 0\n"
	for text, want := range map[string][2]int{
		four: {41, 118}, six: {12, 0}, "": {0, 0}, "TCP:\n": {0, 0}, "TCP: inuse\n": {0, 0}, "TCP: inuse -4 tw x\n": {0, 0}, "UDP: inuse 5 tw 5\n": {0, 0},
		"TCP: inuse 99999999999999999999 tw 2\n": {0, 2},
	} {
		if inUse, waiting := parseSockstat([]byte(text)); inUse != want[0] || waiting != want[1] {
			t.Errorf("%q: %d in use, %d waiting, want %v", text, inUse, waiting, want)
		}
	}
}

func TestParsePortRange(t *testing.T) {
	for text, want := range map[string][3]int{
		"32768\t60999\n": {32768, 60999, 1}, "1024 65535": {1024, 65535, 1}, "5 5": {5, 5, 1},
		"60999 32768": {}, "": {}, "1": {}, "1 2 3": {}, "a b": {}, "0 70000": {}, "-1 5": {},
	} {
		low, high, ok := parsePortRange([]byte(text))
		if low != want[0] || high != want[1] || ok != (want[2] == 1) {
			t.Errorf("%q: %d to %d, %v; want %v", text, low, high, ok, want)
		}
	}
}

func TestParseCPUInfo(t *testing.T) {
	for text, want := range map[string]string{
		"processor\t: 0\nvendor_id\t: GenuineIntel\nmodel\t\t: 85\nmodel name\t: Intel(R) Xeon(R)  Processor @ 2.50GHz\n\nprocessor\t: 1\nmodel name\t: another\n": "Intel(R) Xeon(R) Processor @ 2.50GHz",
		"processor\t: 0\nBogoMIPS\t: 108.00\nCPU part\t: 0xd08\n\nHardware\t: BCM2835\nRevision\t: c03114\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n":            "Raspberry Pi 4 Model B Rev 1.4",
		"processor\t: 0\nBogoMIPS\t: 243.75\nCPU part\t: 0xd0c\n": "",
		"": "",
	} {
		if got := parseCPUInfo([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestParseStatm(t *testing.T) {
	for text, want := range map[string]uint64{"312045 2031 1022 456 0 40301 0\n": 2031, "": 0, "1": 0, "1 x": 0, "1 -3": 0} {
		if got := parseStatm([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestLinkSpeedIsTheFastestThatIsUp(t *testing.T) {
	root := tree(t, map[string]string{
		"lo/operstate": "unknown\n", "eth0/operstate": "up\n", "eth0/speed": "1000\n", "eth1/operstate": "down\n", "eth1/speed": "100000\n",
		"veth/operstate": "up\n", "veth/speed": "-1\n", "wlan0/operstate": "up\n",
	})
	if got := linkSpeed(root); got != 125e6 {
		t.Errorf("%g bytes a second, want those of 1 Gbit/s", got)
	}
	if got := linkSpeed(root + "/none"); got != 0 {
		t.Errorf("%g without links", got)
	}
}

func TestReadCountsDescriptors(t *testing.T) {
	before := Read().Files
	for range 20 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if now := Read().Files; now < before+20 || before < 3 {
		t.Errorf("%d descriptors, then %d after 20 more", before, now)
	}
}

func TestUsedPortsAreAtMostOurDescriptors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if n := usedPorts("/proc/net", 1<<20); n < 1 {
		t.Errorf("%d in use while this test listens", n)
	}
	runtime.KeepAlive(l)
	root := tree(t, map[string]string{"sockstat": "TCP: inuse 41 orphan 0 tw 118 alloc 60 mem 300\n", "sockstat6": "TCP6: inuse 12\n"})
	for descriptors, want := range map[int]int{1000: 41 + 12 + 118, 20: 20 + 118, 0: 118} {
		if got := usedPorts(root, descriptors); got != want {
			t.Errorf("%d in use with %d descriptors, want %d", got, descriptors, want)
		}
	}
}

// No text of the kernel makes a parser fail or a figure leave its range.
func FuzzProc(f *testing.F) {
	for _, s := range []string{
		"cpu  89361 12 15557 589395 782 3 566 8107 40 2\n", "TCP: inuse 41 orphan 0 tw 118 alloc 60 mem 300\n", "32768\t60999\n",
		"312045 2031 1022 456 0 40301 0\n", "model name\t: x\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if steal, total := parseStat(text); steal > total {
			t.Fatalf("steal %d of %d", steal, total)
		}
		if inUse, waiting := parseSockstat(text); inUse < 0 || waiting < 0 {
			t.Fatalf("%d in use, %d waiting", inUse, waiting)
		}
		if low, high, ok := parsePortRange(text); ok && (low > high || low < 0 || high > 65535) {
			t.Fatalf("ports %d to %d", low, high)
		}
		parseStatm(text)
		parseCPUInfo(text)
	})
}
