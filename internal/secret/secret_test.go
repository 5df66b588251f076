package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/kainlite/gitops-operator/internal/secret"
)

const planted = "hunter2-planted"

// logged returns what zap and slog write of a value, in each way there is.
func logged(v any) string {
	var b bytes.Buffer
	for _, enc := range []zapcore.Encoder{zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())} {
		log := zap.New(zapcore.NewCore(enc, zapcore.AddSync(&b), zap.DebugLevel))
		log.Info("x", zap.Any("any", v), zap.Reflect("reflect", v))
		log.Sugar().Infow("x", "value", v)
		log.Sugar().Info(v)
		log.Sugar().Infof("%v %+v %#v %s", v, v, v, v)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "value", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "value", v)
	return b.String()
}

func TestNoPrintedFormShowsIt(t *testing.T) {
	v := secret.New(planted)
	type holder struct {
		Name  string
		Value secret.Value
		Maybe *secret.Value
		Many  []secret.Value
	}
	h := holder{"a", v, &v, []secret.Value{v}}
	byName := map[string]secret.Value{"a": v}
	for _, value := range []any{v, &v, h, &h, []secret.Value{v}, byName, any(v)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "%U"} {
			if got := fmt.Sprintf(verb, value); strings.Contains(got, planted) || strings.Contains(strings.ToLower(got), fmt.Sprintf("%x", planted)) {
				t.Errorf("%s of %T: %s", verb, value, got)
			}
		}
		if got := fmt.Sprint(value) + fmt.Sprintln(value); strings.Contains(got, planted) {
			t.Errorf("Sprint of %T: %s", value, got)
		}
		if got := logged(value); strings.Contains(got, planted) {
			t.Errorf("log of %T: %s", value, got)
		}
		if got, err := json.Marshal(value); err != nil || bytes.Contains(got, []byte(planted)) || !bytes.Contains(got, []byte(`"***"`)) {
			t.Errorf("JSON of %T: %s %v", value, got, err)
		}
	}
	if got, err := xml.Marshal(v); err != nil || bytes.Contains(got, []byte(planted)) {
		t.Errorf("XML: %s %v", got, err)
	}
	if err := fmt.Errorf("use %s: %w", v, errors.New("refused")); strings.Contains(err.Error(), planted) {
		t.Error(err)
	}
}

func TestAMapKeyIsMasked(t *testing.T) {
	if got, err := json.Marshal(map[secret.Value]int{secret.New(planted): 1}); err != nil || string(got) != `{"***":1}` {
		t.Errorf("%s %v", got, err)
	}
}

func TestRevealGivesItAway(t *testing.T) {
	if got := secret.New([]byte(planted)).Reveal(); got != planted {
		t.Error(got)
	}
}

func TestEqualEmptyAndID(t *testing.T) {
	a, b, none := secret.New("a"), secret.New("b"), secret.Value{}
	if !a.Equal(secret.New("a")) || a.Equal(b) || a.Equal(none) || !none.Equal(secret.New("")) {
		t.Error("Equal compares the secrets")
	}
	if !none.Empty() || a.Empty() {
		t.Error("Empty is about the secret")
	}
	if a.ID() != secret.New("a").ID() || a.ID() == b.ID() || strings.Contains(secret.New(planted).ID(), planted) {
		t.Error("ID names the secret")
	}
}
