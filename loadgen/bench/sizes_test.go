package bench

import (
	"errors"
	"math"
	"testing"
)

func meanOf(s Sizes) (mean float64, least, most int) {
	const n = 200_000
	least = math.MaxInt
	for i := range n {
		bytes := s.Bytes(keyText{16}.hash(uint32(i)))
		mean += float64(bytes) / n
		least, most = min(least, bytes), max(most, bytes)
	}
	return mean, least, most
}

func TestSizesFollowTheirLaw(t *testing.T) {
	for text, want := range map[string]struct {
		mean        float64
		least, most int
	}{
		"100":                  {100, 100, 100},
		"fixed:7":              {7, 7, 7},
		"10-20":                {15, 10, 20},
		"normal:1000:200":      {1000, 200, 1800},
		"normal:10:100":        {47, 1, 410}, // cut off at 1
		"list:64:1,1024:3":     {784, 64, 1024},
		"twitter:cluster52":    {273, 273, 273},
		"cachelib:kvcache_reg": {335, 0, 600_000},
	} {
		s, err := ParseSizes(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		mean, least, most := meanOf(s)
		if math.Abs(mean-want.mean) > max(0.06*want.mean, 0.1) || least < want.least || most > want.most || s.Max() < most {
			t.Errorf("%s: mean %.1f, %d to %d of %d; want about %.1f, %d to %d", text, mean, least, most, s.Max(), want.mean, want.least, want.most)
		}
	}
	for _, text := range []string{"", "-1", "1048577", "20-10", "normal:x:1", "normal:0:1", "list:", "list:5:-1", "list:5:0", "twitter:none", "9000000-9000001", "elephant"} {
		if _, err := ParseSizes(text); !errors.Is(err, ErrOptions) {
			t.Errorf("%q: %v, want ErrOptions", text, err)
		}
	}
}
