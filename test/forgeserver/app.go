package forgeserver

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// App is a GitHub App of the fake. Change it inside Do only.
type App struct {
	ID            string
	Key           *rsa.PublicKey
	Installations map[string]int64 // by owner, in lower case
	Lifetime      time.Duration    // of tokens; 0 means an hour
	Tokens        []string         // that were given, in order
	Lookups       int              // of installations
}

func (a *App) handle(mux *http.ServeMux, g *GitHub) {
	find := func(w http.ResponseWriter, r *http.Request, owner string) {
		if !a.authorized(w, r) {
			return
		}
		a.Lookups++
		id, ok := a.Installations[strings.ToLower(owner)]
		if !ok {
			githubMissing(w)
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"id": id, "app_id": 1, "account": map[string]any{"login": owner}})
	}
	for _, pattern := range []string{"GET /repos/{owner}/{repo}/installation", "GET /orgs/{owner}/installation", "GET /users/{owner}/installation"} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { find(w, r, r.PathValue("owner")) })
	}
	mux.HandleFunc("POST /app/installations/{id}/access_tokens", func(w http.ResponseWriter, r *http.Request) {
		if !a.authorized(w, r) {
			return
		}
		for _, id := range a.Installations {
			if strconv.FormatInt(id, 10) == r.PathValue("id") {
				lifetime := a.Lifetime
				if lifetime == 0 {
					lifetime = time.Hour
				}
				token := fmt.Sprintf("ghs_%d_%d", id, len(a.Tokens)+1)
				a.Tokens = append(a.Tokens, token)
				g.token = token // it alone is good from now on
				writeJSON(w, http.StatusCreated, map[string]any{
					"token": token, "expires_at": time.Now().Add(lifetime).UTC().Format(time.RFC3339),
					"permissions": map[string]string{"contents": "write"}, "repository_selection": "all",
				})
				return
			}
		}
		githubMissing(w)
	})
}

func (a *App) authorized(w http.ResponseWriter, r *http.Request) bool {
	if message := a.check(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); message != "" {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"message": message})
		return false
	}
	return true
}

// check verifies a JWT, with nothing but the standard library, and returns what
// GitHub says of a wrong one, or "".
func (a *App) check(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || a.Key == nil {
		return "A JSON web token could not be decoded"
	}
	var header struct{ Alg, Typ string }
	var claims struct {
		Iat, Exp int64
		Iss      string
	}
	for i, v := range []any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, v) != nil {
			return "A JSON web token could not be decoded"
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || header.Alg != "RS256" || rsa.VerifyPKCS1v15(a.Key, crypto.SHA256, sum[:], signature) != nil {
		return "A JSON web token could not be decoded"
	}
	now := time.Now().Unix()
	switch {
	case claims.Iss != a.ID:
		return "'Issuer' claim ('iss') must be an Integer"
	case claims.Iat > now:
		return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
	case claims.Exp <= now:
		return "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
	case claims.Exp-now > 600:
		return "'Expiration time' claim ('exp') is too far in the future"
	}
	return ""
}
